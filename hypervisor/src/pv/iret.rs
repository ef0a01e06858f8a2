//! The iret hypercall: back from a guest kernel's handler (public `iret_context`, arch-x86/xen-x86_64.h).

use arch::addr::GuestVa;
use arch::entry::{TrapFrame, selector};
use hypercall_abi::arch_x86::VGCF_IN_SYSCALL;

use crate::domain::Context;
use crate::fail::{Args, Fail, Return};
use crate::pv::bounce::flags;
use crate::pv::{PvState, tables};

/// `HYPERVISOR_iret` as an entry of a multicall; the system call itself comes to [`iret`] directly.
pub fn do_iret(_cx: &Context, _args: Args) -> Return {
    Err(Fail::Iret)
}

/// Loads the context from the guest kernel's stack. `Err` says why the domain must be crashed; nothing of a context that
/// was not checked to its end is left in the frame then, which may be returned through, or kept and loaded again, all the
/// same.
#[inline]
pub fn iret(cx: &Context, state: &mut PvState, frame: &mut TrapFrame) -> Result<(), &'static str> {
    let result = load(cx, state, frame);
    if result.is_err() {
        frame.disarm();
    }
    result
}

#[inline(always)]
fn load(cx: &Context, state: &mut PvState, frame: &mut TrapFrame) -> Result<(), &'static str> {
    let at = GuestVa::new(frame.rsp);
    let Ok([rax, r11, rcx, context]) = arch::guest::read_iret_context(at, frame) else {
        return Err("iret: the guest kernel's stack is not readable");
    };
    if frame.cs & 3 == 3 {
        if state.tables.user().is_none() {
            return Err("iret to guest user mode without user page tables");
        }
        tables::toggle_mode(state);
    }
    let saved_flags = frame.rflags;
    if cx.domain.pv().architectural_iopl() {
        state.iopl = (saved_flags >> 12 & 3) as u8;
    }
    frame.rflags = (saved_flags & !(flags::IOPL | flags::VM)) | flags::IF;
    frame.rax = rax;
    if context & u64::from(VGCF_IN_SYSCALL) == 0 {
        frame.cs = (frame.cs | 3) & 0xffff;
        frame.ss = (frame.ss | 3) & 0xffff;
        frame.r11 = r11;
        frame.rcx = rcx;
        frame.vector = 0;
    } else if frame.cs & 0xfffc == selector::GUEST_CS32 & !3 {
        frame.cs = selector::GUEST_CS32;
        frame.ss = (frame.ss | 3) & 0xffff;
    } else {
        // Promised to be a return from SYSCALL: flat selectors, so that SYSRET will do. The vector is SYSCALL's still.
        frame.cs = selector::GUEST_CS64;
        frame.ss = selector::GUEST_SS;
    }
    cx.vcpu.set_upcall_mask(saved_flags & flags::IF == 0);
    cx.vcpu.pv().nmi_done();
    Ok(())
}
