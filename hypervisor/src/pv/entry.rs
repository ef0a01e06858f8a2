//! From the entry code into the hypervisor and back: what `oxen_trap`, `oxen_syscall` and `oxen_iret_fault` do.

use arch::entry::TrapFrame;
use hypercall_abi::xen::Hypercall;

use crate::domain::Context;
use crate::fail::{Args, Fail};
use crate::hypercall;
use crate::percpu::{self, PerCpu};
use crate::pv::{iret, switch, trap};

/// An exception or interrupt, from a guest or from the hypervisor itself.
pub fn trap(frame: &mut TrapFrame) {
    if !frame.from_guest() {
        return crate::fault::in_hypervisor(frame);
    }
    percpu::with(|cpu| {
        if frame.vector >= 0x20 && frame.vector != 0x80 {
            crate::irq::interrupt(frame.vector as u8);
        } else if frame.vector == trap::vector::NMI {
            crate::fault::nmi(frame);
        } else if frame.vector == trap::vector::MACHINE_CHECK {
            crate::fault::machine_check(frame);
        } else {
            with_guest(cpu, frame, |cx, frame| match frame.vector {
                0x80 => trap::int80(cx, frame),
                _ => trap::exception(cx, frame),
            });
        }
        leave(cpu, frame);
    });
}

/// SYSCALL: a hypercall from guest kernel mode, a system call from guest user mode.
pub fn syscall(frame: &mut TrapFrame) {
    percpu::with(|cpu| {
        with_guest(cpu, frame, |cx, frame| {
            let state = cx.vcpu.pv().state();
            if !state.kernel_mode {
                return trap::user_syscall(cx, state, frame);
            }
            drop(state);
            if frame.rax == u64::from(Hypercall::IRET.0) {
                return iret::iret(cx, frame);
            }
            run_hypercall(cx, frame)
        });
        leave(cpu, frame);
    });
}

fn run_hypercall(cx: &Context, frame: &mut TrapFrame) -> Result<(), &'static str> {
    let args = Args([
        frame.rdi, frame.rsi, frame.rdx, frame.r10, frame.r8, frame.r9,
    ]);
    match hypercall::dispatch(cx, frame.rax, args) {
        Ok(value) => frame.rax = value,
        Err(Fail::Errno(errno)) => frame.rax = errno.to_ret() as u64,
        Err(Fail::Continue(args)) => {
            [
                frame.rdi, frame.rsi, frame.rdx, frame.r10, frame.r8, frame.r9,
            ] = args.0;
            // Back onto the two-byte SYSCALL; rax still holds the number.
            frame.rip = frame.rip.wrapping_sub(2);
        }
        Err(Fail::Crash(why)) => return Err(why),
    }
    Ok(())
}

/// The guest's own frame could not be loaded by IRET.
pub fn iret_fault(frame: &mut TrapFrame) {
    percpu::with(|cpu| {
        with_guest(cpu, frame, trap::failsafe);
        leave(cpu, frame);
    });
}

fn with_guest(
    cpu: &PerCpu,
    frame: &mut TrapFrame,
    act: impl FnOnce(&Context, &mut TrapFrame) -> Result<(), &'static str>,
) {
    let current = cpu.current.borrow();
    let Some(cx) = current.as_ref() else {
        panic!("a trap from a guest, but no guest runs here: {frame:?}");
    };
    if let Err(why) = act(cx, frame) {
        crate::domain::crash(&cx.domain, why, Some(frame));
    }
}

/// Everything that must happen before the guest continues: pending work, rescheduling, upcalls.
fn leave(cpu: &PerCpu, frame: &mut TrapFrame) {
    loop {
        if cpu.pending.load(core::sync::atomic::Ordering::Relaxed) != 0 {
            switch::do_pending(cpu, frame);
        }
        let current = cpu.current.borrow();
        let cx = current.as_ref().expect("leaving to a guest");
        let result = if cx.vcpu.upcall_deliverable() {
            trap::upcall(cx, frame)
        } else {
            Ok(())
        };
        match result {
            Ok(()) => {}
            Err(why) => crate::domain::crash(&cx.domain, why, Some(frame)),
        }
        if cpu.pending.load(core::sync::atomic::Ordering::SeqCst) == 0 {
            return;
        }
    }
}

/// Leaves to the vCPU that `frame` was set up for; the first entry of each CPU comes through here.
pub fn first_leave(frame: &mut TrapFrame) {
    percpu::with(|cpu| {
        if cpu.current.borrow().is_none() {
            cpu.raise(percpu::work::RESCHEDULE);
        }
        loop {
            switch::do_pending(cpu, frame);
            if cpu.current.borrow().is_some() {
                break;
            }
        }
        leave(cpu, frame);
    });
}
