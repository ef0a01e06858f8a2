//! Bounce frames: making a guest kernel's handler run, with the frame on its stack that the ABI promises.
//!
//! From low to high addresses: rcx, r11, error code (where the exception has one), rip, cs (with the upcall mask at
//! entry in bits 32..40), rflags (IF is the inverse of that mask), rsp, ss. cs has RPL 0 if the guest kernel was
//! interrupted. Source: the public ABI as Linux's `arch/x86/xen/xen-asm.S` expects it.

use arch::addr::GuestVa;
use arch::entry::{TrapFrame, VECTOR_SYSCALL, selector};

use crate::domain::Vcpu;
use crate::pv::{PvState, code_address_ok, tables};

/// RFLAGS bits.
pub mod flags {
    /// Trap flag.
    pub const TF: u64 = 1 << 8;
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
pub fn bounce(
    vcpu: &Vcpu,
    state: &mut PvState,
    frame: &mut TrapFrame,
    to: Bounce,
) -> Result<(), &'static str> {
    bounce_with(vcpu, state, frame, to, &[])
}

/// As [`bounce`], with extra words between r11 and the error code (the failsafe callback has data selectors there).
pub fn bounce_with(
    vcpu: &Vcpu,
    state: &mut PvState,
    frame: &mut TrapFrame,
    to: Bounce,
    extra: &[u64],
) -> Result<(), &'static str> {
    if to.rip == 0 || !code_address_ok(to.rip) {
        return Err("no handler for a trap, or at a bad address");
    }
    let mut cs = frame.cs & 0xffff;
    let base = if state.kernel_mode {
        cs &= !3;
        frame.rsp
    } else {
        if state.tables.kernel.is_none() {
            return Err("trap in guest user mode without kernel page tables");
        }
        tables::toggle_mode(state);
        if vcpu.time.areas_pending() {
            crate::time::update_areas(vcpu);
        }
        state.kernel_sp
    };
    let masked = vcpu.upcall_masked();
    let mut rflags = frame.rflags & !(flags::IF | flags::IOPL);
    if !masked {
        rflags |= flags::IF;
    }
    rflags |= u64::from(state.iopl) << 12;

    let mut words = [0u64; 12];
    let mut n = 0;
    let mut push = |word| {
        words[n] = word;
        n += 1;
    };
    push(frame.rcx);
    push(frame.r11);
    for &word in extra.iter().take(4) {
        push(word);
    }
    if let Some(code) = to.error_code {
        push(code.into());
    }
    push(frame.rip);
    push(cs | u64::from(masked) << 32);
    push(rflags);
    push(frame.rsp);
    push(frame.ss & 0xffff);
    let sp = (base & !15).wrapping_sub(n as u64 * 8);
    if arch::guest::write_words(GuestVa::new(sp), &words[..n]).is_err() {
        return Err("the guest kernel's stack is not writable");
    }

    if to.mask_events {
        vcpu.set_upcall_mask(true);
    }
    frame.rip = to.rip;
    frame.cs = selector::GUEST_CS64;
    frame.ss = selector::GUEST_SS;
    frame.rsp = sp;
    frame.rflags &= !(flags::AC | flags::VM | flags::RF | flags::NT | flags::TF);
    // rcx and r11 are on the guest's stack, so the quick way back is open.
    frame.vector = VECTOR_SYSCALL;
    Ok(())
}
