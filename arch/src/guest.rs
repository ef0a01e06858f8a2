//! Copies between the hypervisor and the current vCPU's virtual address space.
//!
//! The address is the guest's allegation: a range that touches the hypervisor's slots, wraps or is not mapped
//! (or not writable) is a [`Fault`], never more.

use crate::addr::GuestVa;
use crate::entry::TrapFrame;

/// The guest's address did not hold what it alleged. Callers answer `EFAULT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// First address of the hypervisor's slots (Xen `HYPERVISOR_VIRT_START`).
pub const HYPERVISOR_START: u64 = 0xffff_8000_0000_0000;
/// First address after them (Xen `HYPERVISOR_VIRT_END`).
pub const HYPERVISOR_END: u64 = 0xffff_8800_0000_0000;

/// Whether `len` bytes from `va` are canonical and stay clear of the hypervisor's slots.
pub const fn range_ok(va: GuestVa, len: usize) -> bool {
    let Some(end) = va.get().checked_add(len as u64) else {
        return false;
    };
    end <= 0x0000_8000_0000_0000 || va.get() >= HYPERVISOR_END
}

/// Copies bytes in from the current guest.
pub fn copy_from(va: GuestVa, out: &mut [u8]) -> Result<(), Fault> {
    if !range_ok(va, out.len()) {
        return Err(Fault);
    }
    backend::copy_from(va, out)
}

/// Copies bytes out to the current guest.
pub fn copy_to(va: GuestVa, data: &[u8]) -> Result<(), Fault> {
    if !range_ok(va, data.len()) {
        return Err(Fault);
    }
    backend::copy_to(va, data)
}

/// Writes consecutive words, the way a trap frame is put on a guest's stack.
pub fn write_words(va: GuestVa, words: &[u64]) -> Result<(), Fault> {
    if !range_ok(va, words.len() * 8) {
        return Err(Fault);
    }
    backend::write_words(va, words)
}

/// Writes the frame of a trap, which ends at `top`, to a guest's stack: rcx, r11, the error code if there is one, rip, `cs`,
/// `rflags`, rsp, ss, all others than the two from `frame`. Returns where it begins.
#[inline(always)]
pub fn write_trap_frame(
    top: GuestVa,
    frame: &TrapFrame,
    error_code: Option<u32>,
    cs: u64,
    rflags: u64,
) -> Result<GuestVa, Fault> {
    let bytes = if error_code.is_some() { 8 * 8 } else { 7 * 8 };
    let va = GuestVa::new(top.get().wrapping_sub(bytes));
    if !range_ok(va, bytes as usize) {
        return Err(Fault);
    }
    backend::write_trap_frame(va, frame, error_code, cs, rflags)?;
    Ok(va)
}

/// Reads a public `iret_context`: `rip`, `cs`, `rflags`, `rsp` and `ss` go to the frame as they are, the words before them
/// (rax, r11, rcx, flags) are returned. After a fault those five of the frame's words
/// mean nothing, and the caller must not let them stay ([`TrapFrame::disarm`]).
#[inline(always)]
pub fn read_iret_context(va: GuestVa, frame: &mut TrapFrame) -> Result<[u64; 4], Fault> {
    if !range_ok(va, 9 * 8) {
        return Err(Fault);
    }
    backend::read_iret_context(va, frame)
}

#[cfg(target_os = "none")]
use crate::cpu::usercopy as backend;
#[cfg(not(target_os = "none"))]
use crate::hosted as backend;
