//! From the entry code into the hypervisor and back: what `oxen_trap`, `oxen_syscall`, `oxen_sysenter` and
//! `oxen_iret_fault` do.

use core::sync::atomic::Ordering;

use arch::entry::{TrapFrame, selector};
use hypercall_abi::xen::Hypercall;

use crate::domain::Context;
use crate::fail::{Args, Fail};
use crate::hypercall;
use crate::percpu::{self, PerCpu};
use crate::pv::{iret, switch, trap};

/// An exception or interrupt, from a guest or from the hypervisor itself.
#[inline]
pub fn trap(frame: &mut TrapFrame) {
    if !frame.from_guest() {
        return crate::fault::in_hypervisor(frame);
    }
    percpu::with(|cpu| match frame.vector {
        0x80 => with_guest(cpu, frame, trap::int80),
        0x20.. => {
            crate::irq::interrupt(frame.vector as u8);
            leave(cpu, frame);
        }
        trap::vector::NMI => {
            crate::fault::nmi(frame);
            leave(cpu, frame);
        }
        trap::vector::MACHINE_CHECK => {
            crate::fault::machine_check(frame);
            leave(cpu, frame);
        }
        _ => with_guest(cpu, frame, trap::exception),
    });
}

/// SYSCALL: a hypercall from guest kernel mode, a system call from guest user mode or from compatibility mode.
#[inline]
pub fn syscall(frame: &mut TrapFrame) {
    percpu::with(|cpu| {
        with_guest(cpu, frame, |cx, frame| {
            let mut state = cx.vcpu.pv().state();
            if !state.kernel_mode || frame.cs != selector::GUEST_CS64 {
                return trap::user_syscall(cx, &mut state, frame);
            }
            if frame.rax == u64::from(Hypercall::IRET.0) {
                return iret::iret(cx, &mut state, frame);
            }
            drop(state);
            run_hypercall(cx, frame)
        });
    });
}

/// SYSENTER, a system call of 32-bit programs on Intel processors.
pub fn sysenter(frame: &mut TrapFrame) {
    percpu::with(|cpu| with_guest(cpu, frame, trap::sysenter));
}

#[inline(always)]
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
        Err(Fail::Iret) => return iret::iret(cx, &mut cx.vcpu.pv().state(), frame),
        Err(Fail::Crash(why)) => return Err(why),
    }
    Ok(())
}

/// The guest's own frame could not be loaded by IRET.
pub fn iret_fault(frame: &mut TrapFrame) {
    percpu::with(|cpu| with_guest(cpu, frame, trap::failsafe));
}

/// Lets `act` serve what the running guest did, and does what must be done before it continues.
#[inline(always)]
fn with_guest(
    cpu: &PerCpu,
    frame: &mut TrapFrame,
    act: impl FnOnce(&Context, &mut TrapFrame) -> Result<(), &'static str>,
) {
    let current = cpu.current.borrow();
    let Some(cx) = current.as_ref() else {
        panic!("a trap from a guest, but none runs here");
    };
    if let Err(why) = act(cx, frame) {
        crate::domain::crash(&cx.domain, why, Some(frame));
    }
    if !quiet(cpu, cx) {
        drop(current);
        leave(cpu, frame);
    }
    // The last look before the registers are loaded: nothing a guest does may lead anywhere but to ring 3.
    assert!(frame.cs & 3 == 3, "a frame of ring 0 on the way to a guest");
}

/// Whether nothing must be done before the guest continues: no pending work, no upcall or NMI to deliver.
///
/// Interrupts are off, so work that another CPU raises after this look comes with an interrupt that is taken in the guest.
#[inline(always)]
fn quiet(cpu: &PerCpu, cx: &Context) -> bool {
    cpu.pending.load(Ordering::Relaxed) == 0
        && !cx.vcpu.upcall_deliverable()
        && !cx.vcpu.pv().nmi_deliverable()
}

/// Everything that must happen before the guest continues: pending work, rescheduling, upcalls and NMIs.
#[inline(never)]
fn leave(cpu: &PerCpu, frame: &mut TrapFrame) {
    loop {
        if cpu.pending.load(Ordering::Relaxed) != 0 {
            switch::do_pending(cpu, frame);
        }
        let current = cpu.current.borrow();
        let cx = current.as_ref().expect("leaving to a guest");
        let result = if cx.vcpu.pv().nmi_deliverable() {
            trap::nmi(cx, frame)
        } else if cx.vcpu.upcall_deliverable() {
            trap::upcall(cx, frame)
        } else {
            return;
        };
        if let Err(why) = result {
            crate::domain::crash(&cx.domain, why, Some(frame));
        }
        // A crash raises work; and another CPU's is done here rather than after the interrupt.
        if cpu.pending.load(Ordering::Relaxed) == 0 {
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
