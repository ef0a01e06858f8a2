//! Bounce frames: making a guest kernel's handler run, with the frame on its stack that the ABI promises.
//!
//! From low to high addresses: rcx, r11, error code (where the exception has one), rip, cs (with the upcall mask at
//! entry in bits 32..40), rflags (IF is the inverse of that mask), rsp, ss. cs has RPL 0 if the guest kernel was
//! interrupted. Source: the public ABI as Linux's `arch/x86/xen/xen-asm.S` expects it.

use arch::addr::GuestVa;
use arch::entry::{TrapFrame, VECTOR_SYSCALL, selector};
use arch::guest::{Fault, write_trap_frame, write_words};

use crate::domain::Context;
use crate::pv::{PvState, tables};

/// RFLAGS bits.
pub mod flags {
    /// Trap flag.
    pub const TF: u64 = 1 << 8;
    /// Direction flag.
    pub const DF: u64 = 1 << 10;
    /// Interrupt flag.
    pub const IF: u64 = 1 << 9;
    /// I/O privilege level.
    pub const IOPL: u64 = 3 << 12;
    /// Nested task.
    pub const NT: u64 = 1 << 14;
    /// Resume flag.
    pub const RF: u64 = 1 << 16;
    /// Virtual-8086 mode.
    pub const VM: u64 = 1 << 17;
    /// Alignment check.
    pub const AC: u64 = 1 << 18;
}

/// What is to be run in the guest kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounce {
    /// Handler address.
    pub rip: u64,
    /// Error code, for exceptions that have one.
    pub error_code: Option<u32>,
    /// Mask upcalls on entry.
    pub mask_events: bool,
}

/// Rewrites `frame` so that the guest continues in the handler. `Err` says why the domain must be crashed.
#[inline(always)]
pub fn bounce(
    cx: &Context,
    state: &mut PvState,
    frame: &mut TrapFrame,
    to: Bounce,
) -> Result<(), &'static str> {
    let top = prepare(cx, state, frame, to)?;
    let written = write_trap_frame(
        GuestVa::new(top.base),
        frame,
        to.error_code,
        top.cs,
        top.rflags,
    );
    finish(cx, frame, to, written)
}

/// As [`bounce`], with the data selectors between r11 and the error code: the failsafe callback's frame.
pub fn bounce_with_selectors(
    cx: &Context,
    state: &mut PvState,
    frame: &mut TrapFrame,
    to: Bounce,
    [ds, es, fs, gs]: [u64; 4],
) -> Result<(), &'static str> {
    let top = prepare(cx, state, frame, to)?;
    let sp = GuestVa::new(top.base.wrapping_sub(11 * 8));
    let (rip, rsp, ss) = (frame.rip, frame.rsp, frame.ss & 0xffff);
    let words = [
        frame.rcx, frame.r11, ds, es, fs, gs, rip, top.cs, top.rflags, rsp, ss,
    ];
    let written = write_words(sp, &words).map(|()| sp);
    finish(cx, frame, to, written)
}

/// Where a frame begins (its high end), and the words that are not simply the interrupted registers.
struct Top {
    base: u64,
    cs: u64,
    rflags: u64,
}

#[cold]
#[inline(never)]
fn areas_due(cx: &Context) {
    crate::time::update_areas(&cx.vcpu);
}

#[inline(always)]
fn prepare(
    cx: &Context,
    state: &mut PvState,
    frame: &TrapFrame,
    to: Bounce,
) -> Result<Top, &'static str> {
    // Other addresses that no guest may use were refused when the handler was registered.
    if to.rip == 0 {
        return Err("no handler for a trap");
    }
    let mut cs = frame.cs & 0xffff;
    let base = if state.kernel_mode {
        cs &= !3;
        frame.rsp
    } else {
        if state.tables.kernel().is_none() {
            return Err("trap in guest user mode without kernel page tables");
        }
        tables::toggle_mode(state);
        if cx.vcpu.time.areas_pending() {
            areas_due(cx);
        }
        state.kernel_sp
    };
    let masked = cx.vcpu.upcall_masked();
    let mut rflags = frame.rflags & !(flags::IF | flags::IOPL);
    if !masked {
        rflags |= flags::IF;
    }
    if cx.domain.pv().architectural_iopl() {
        rflags |= u64::from(state.iopl) << 12;
    }
    Ok(Top {
        base: base & !15,
        cs: cs | u64::from(masked) << 32,
        rflags,
    })
}

#[inline(always)]
fn finish(
    cx: &Context,
    frame: &mut TrapFrame,
    to: Bounce,
    written: Result<GuestVa, Fault>,
) -> Result<(), &'static str> {
    let Ok(sp) = written else {
        return Err("the guest kernel's stack is not writable");
    };
    if to.mask_events {
        cx.vcpu.set_upcall_mask(true);
    }
    frame.rip = to.rip;
    frame.cs = selector::GUEST_CS64;
    frame.ss = selector::GUEST_SS;
    frame.rsp = sp.get();
    frame.rflags &= !(flags::AC | flags::VM | flags::RF | flags::NT | flags::TF);
    // rcx and r11 are on the guest's stack, so the quick way back is open.
    frame.vector = VECTOR_SYSCALL;
    Ok(())
}
