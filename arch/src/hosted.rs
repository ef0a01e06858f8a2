//! The simulated machine of the hosted backend: per thread, some RAM and one guest address range.
#![allow(unsafe_code)]

use std::cell::RefCell;

use crate::addr::{GuestVa, Mfn, PAGE_BYTES};
use crate::entry::TrapFrame;
use crate::guest::Fault;

struct Machine {
    /// Leaked, so that `RawFrame` stays valid for the thread's life; page-aligned.
    ram: *mut u8,
    frames: usize,
    /// This thread allocated the RAM, rather than adopted it.
    own: bool,
    guest_base: u64,
    guest: Vec<u8>,
}

thread_local! {
    static MACHINE: RefCell<Machine> = const {
        RefCell::new(Machine { ram: std::ptr::null_mut(), frames: 0, own: false, guest_base: 0, guest: Vec::new() })
    };
}

/// Gives this thread a machine with `frames` zeroed frames, MFN 0 upwards, and no guest memory. The RAM of its last machine
/// is used again if it has that size, so that a fuzzer may make a machine for every input.
pub fn reset(frames: usize) {
    let layout =
        std::alloc::Layout::from_size_align(frames.max(1) * PAGE_BYTES, PAGE_BYTES).expect("size");
    MACHINE.with_borrow_mut(|m| {
        if m.own && m.frames == frames {
            // SAFETY: this thread allocated that many frames, which hold nothing but bytes; threads that adopted the RAM
            // have ended (their machine is over).
            unsafe { core::ptr::write_bytes(m.ram, 0, layout.size()) };
        } else {
            // SAFETY: the layout has a non-zero size; the memory is never freed (tests are short-lived).
            m.ram = unsafe { std::alloc::alloc_zeroed(layout) };
            m.own = true;
        }
        m.frames = frames;
        m.guest = Vec::new();
    });
}

/// Maps `len` zeroed bytes of guest virtual memory at `base` (replacing the previous range).
pub fn map_guest(base: u64, len: usize) {
    MACHINE.with_borrow_mut(|m| {
        m.guest_base = base;
        m.guest = vec![0; len];
    });
}

pub(crate) fn ram_frame(mfn: Mfn) -> *mut u8 {
    MACHINE.with_borrow(|m| {
        assert!(
            mfn.index() < m.frames,
            "{mfn:?} is outside the simulated RAM"
        );
        // SAFETY: inside the allocation, as just checked.
        unsafe { m.ram.add(mfn.index() * PAGE_BYTES) }
    })
}

/// A frame of the simulated RAM. Nothing on this machine holds Rust objects in it.
///
/// # Panics
/// If there is no such frame.
pub fn frame(mfn: Mfn) -> crate::frame::RawFrame {
    ram_frame(mfn);
    // SAFETY: it is simulated RAM, which lives for the thread's life and holds only bytes.
    unsafe { crate::frame::RawFrame::new(mfn) }
}

/// The RAM of a simulated machine, for further threads that play its other CPUs.
#[derive(Clone, Copy, Debug)]
pub struct SharedRam {
    address: usize,
    frames: usize,
}

/// This thread's RAM.
pub fn ram() -> SharedRam {
    MACHINE.with_borrow(|m| SharedRam {
        address: m.ram.expose_provenance(),
        frames: m.frames,
    })
}

/// Makes another thread's RAM this thread's, too.
pub fn adopt(ram: SharedRam) {
    MACHINE.with_borrow_mut(|m| {
        m.ram = std::ptr::with_exposed_provenance_mut(ram.address);
        m.own = false;
        m.frames = ram.frames;
    });
}

fn window(m: &Machine, va: GuestVa, len: usize) -> Result<std::ops::Range<usize>, Fault> {
    let start = va.get().checked_sub(m.guest_base).ok_or(Fault)? as usize;
    let end = start
        .checked_add(len)
        .filter(|&e| e <= m.guest.len())
        .ok_or(Fault)?;
    Ok(start..end)
}

pub(crate) fn copy_from(va: GuestVa, out: &mut [u8]) -> Result<(), Fault> {
    MACHINE.with_borrow(|m| {
        out.copy_from_slice(&m.guest[window(m, va, out.len())?]);
        Ok(())
    })
}

pub(crate) fn copy_to(va: GuestVa, data: &[u8]) -> Result<(), Fault> {
    MACHINE.with_borrow_mut(|m| {
        let range = window(m, va, data.len())?;
        m.guest[range].copy_from_slice(data);
        Ok(())
    })
}

pub(crate) fn write_words(va: GuestVa, words: &[u64]) -> Result<(), Fault> {
    for (i, word) in words.iter().enumerate() {
        copy_to(va.offset(i as u64 * 8), &word.to_ne_bytes())?;
    }
    Ok(())
}

pub(crate) fn write_trap_frame(
    va: GuestVa,
    frame: &TrapFrame,
    error_code: Option<u32>,
    cs: u64,
    rflags: u64,
) -> Result<(), Fault> {
    let mut words = vec![frame.rcx, frame.r11];
    words.extend(error_code.map(u64::from));
    words.extend([frame.rip, cs, rflags, frame.rsp, frame.ss & 0xffff]);
    write_words(va, &words)
}

pub(crate) fn read_iret_context(va: GuestVa, frame: &mut TrapFrame) -> Result<[u64; 4], Fault> {
    // Word by word and in this order, as on the machine: a fault leaves in the frame what was read before it.
    let word = |n: u64| {
        let mut bytes = [0; 8];
        copy_from(GuestVa::new(va.get() + n * 8), &mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    };
    frame.rip = word(4)?;
    frame.cs = word(5)?;
    frame.rflags = word(6)?;
    frame.rsp = word(7)?;
    frame.ss = word(8)?;
    Ok([word(0)?, word(1)?, word(2)?, word(3)?])
}
