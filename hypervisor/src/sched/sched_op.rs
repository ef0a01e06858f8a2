//! `HYPERVISOR_sched_op` (Xen public/sched.h).

use core::sync::atomic::Ordering;

use arch::addr::GuestVa;
use hypercall_abi::sched::{
    SchedOp, SchedPinOverride, SchedPoll, SchedRemoteShutdown, SchedShutdown, SchedWatchdog,
    Shutdown,
};
use hypercall_abi::xen::Hypercall;
use hypercall_abi::{Errno, GuestHandle};

use super::{block, shutdown, yield_now};
use crate::domain::{Context, DomainId};
use crate::fail::{Args, Return};
use crate::host::host;
use crate::percpu::{self, work};
use crate::time::{VcpuTimer, now, vcpu_timer};
use crate::{event_channel, guest, xsm};

/// Most ports of one SCHEDOP_poll, as in Xen.
const MAX_POLL_PORTS: u32 = 128;

/// `HYPERVISOR_sched_op(cmd, arg)`.
pub fn do_sched_op(cx: &Context, args: Args) -> Return {
    let arg = args.0[1];
    match SchedOp(args.0[0] as u32) {
        SchedOp::YIELD => yield_now(cx),
        SchedOp::BLOCK => block(cx),
        SchedOp::SHUTDOWN => {
            let request: SchedShutdown = guest::read(GuestHandle::new(arg), 0)?;
            shutdown::domain_shutdown(&cx.domain, reason(request.reason));
        }
        SchedOp::SHUTDOWN_CODE => {
            let request: SchedShutdown = guest::read(GuestHandle::new(arg), 0)?;
            // The first one stays.
            let _ = cx.domain.sched.shutdown_code.compare_exchange(
                -1,
                reason(request.reason).0 as i32,
                Ordering::AcqRel,
                Ordering::Acquire,
            );
        }
        SchedOp::POLL => {
            let request: SchedPoll = guest::read(GuestHandle::new(arg), 0)?;
            poll(cx, &request)?;
        }
        SchedOp::REMOTE_SHUTDOWN => {
            let request: SchedRemoteShutdown = guest::read(GuestHandle::new(arg), 0)?;
            let domain = host().domains.get(DomainId(request.domain_id.0))?;
            let op = SchedOp::REMOTE_SHUTDOWN.0;
            xsm::check(&cx.domain, Hypercall::SCHED_OP, op, Some(&domain))?;
            shutdown::domain_shutdown(&domain, reason(request.reason));
        }
        SchedOp::WATCHDOG => {
            let request: SchedWatchdog = guest::read(GuestHandle::new(arg), 0)?;
            return Ok(shutdown::set_watchdog(
                &cx.domain,
                request.id,
                request.timeout,
            )?);
        }
        SchedOp::PIN_OVERRIDE => {
            let op = SchedOp::PIN_OVERRIDE.0;
            xsm::check(&cx.domain, Hypercall::SCHED_OP, op, None)?;
            let request: SchedPinOverride = guest::read(GuestHandle::new(arg), 0)?;
            let cpu = usize::try_from(request.pcpu).ok();
            super::poke(host().sched.pin_override(cx, cpu, now())?);
        }
        _ => return Err(Errno::ENOSYS.into()),
    }
    Ok(0)
}

/// The ABI's reasons are bytes.
fn reason(reason: Shutdown) -> Shutdown {
    Shutdown(reason.0 & 0xff)
}

/// `HYPERVISOR_sched_op_compat(cmd, arg)`: the interface before Xen 3.0.2, with the shutdown reason in a register.
pub fn do_sched_op_compat(cx: &Context, args: Args) -> Return {
    match SchedOp(args.0[0] as u32) {
        SchedOp::YIELD => yield_now(cx),
        SchedOp::BLOCK => block(cx),
        SchedOp::SHUTDOWN => {
            shutdown::domain_shutdown(&cx.domain, reason(Shutdown(args.0[1] as u32)));
        }
        _ => return Err(Errno::ENOSYS.into()),
    }
    Ok(0)
}

/// SCHEDOP_poll: waits until one of the ports is pending, an upcall is deliverable or the time is over.
fn poll(cx: &Context, request: &SchedPoll) -> Result<(), Errno> {
    if request.nr_ports > MAX_POLL_PORTS {
        return Err(Errno::EINVAL);
    }
    let bytes = request.nr_ports as usize * size_of::<u32>();
    if !arch::guest::range_ok(GuestVa::new(request.ports.addr()), bytes) {
        return Err(Errno::EFAULT);
    }
    let vcpu = &cx.vcpu;
    vcpu_timer::stop(vcpu, VcpuTimer::Poll);
    // First say that it waits, then look: an event in between ends the wait.
    vcpu.sched.blocked.store(true, Ordering::SeqCst);
    event_channel::start_polling(vcpu);
    match nothing_pending(cx, request) {
        Ok(true) => {
            if request.timeout != 0 {
                vcpu_timer::set(vcpu, VcpuTimer::Poll, request.timeout);
            }
            percpu::with(|b| b.raise(work::RESCHEDULE));
            Ok(())
        }
        other => {
            event_channel::stop_polling(vcpu);
            vcpu.sched.blocked.store(false, Ordering::SeqCst);
            other.map(|_| ())
        }
    }
}

/// Whether the vCPU of a poll should go to sleep.
fn nothing_pending(cx: &Context, request: &SchedPoll) -> Result<bool, Errno> {
    if cx.vcpu.has_news() {
        return Ok(false);
    }
    let mut last = 0;
    for index in 0..request.nr_ports {
        last = guest::read(request.ports, index.into())?;
        if event_channel::poll(&cx.domain, last)? {
            return Ok(false);
        }
    }
    if request.nr_ports == 1 {
        event_channel::narrow_polling(&cx.vcpu, last);
    }
    Ok(true)
}
