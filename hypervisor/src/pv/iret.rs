//! The iret hypercall: back from a guest kernel's handler (public `iret_context`, arch-x86/xen-x86_64.h).

use arch::entry::{TrapFrame, VECTOR_SYSCALL, selector};
use hypercall_abi::GuestHandle;
use hypercall_abi::arch_x86::{IretContext, VGCF_IN_SYSCALL};

use crate::domain::Context;
use crate::guest;
use crate::pv::bounce::flags;
use crate::pv::tables;

/// Loads the context from the guest kernel's stack. `Err` says why the domain must be crashed.
pub fn iret(cx: &Context, frame: &mut TrapFrame) -> Result<(), &'static str> {
    let saved: IretContext = guest::read(GuestHandle::new(frame.rsp), 0)
        .map_err(|_| "iret: the guest kernel's stack is not readable")?;
    let mut state = cx.vcpu.pv().state();
    if saved.cs & 3 == 3 {
        if state.tables.user.is_none() {
            return Err("iret to guest user mode without user page tables");
        }
        tables::toggle_mode(&mut state);
    }
    if cx.domain.pv().architectural_iopl() {
        state.iopl = (saved.rflags >> 12 & 3) as u8;
    }
    drop(state);
    frame.rip = saved.rip;
    frame.cs = (saved.cs | 3) & 0xffff;
    frame.rflags = (saved.rflags & !(flags::IOPL | flags::VM)) | flags::IF;
    frame.rsp = saved.rsp;
    frame.ss = (saved.ss | 3) & 0xffff;
    frame.rax = saved.rax;
    if saved.flags & u64::from(VGCF_IN_SYSCALL) == 0 {
        frame.r11 = saved.r11;
        frame.rcx = saved.rcx;
        frame.vector = 0;
    } else {
        // Promised to be a return from SYSCALL: flat selectors, so that SYSRET will do.
        if frame.cs != selector::GUEST_CS32 {
            frame.cs = selector::GUEST_CS64;
            frame.ss = selector::GUEST_SS;
        }
        frame.vector = VECTOR_SYSCALL;
    }
    cx.vcpu.set_upcall_mask(saved.rflags & flags::IF == 0);
    Ok(())
}
