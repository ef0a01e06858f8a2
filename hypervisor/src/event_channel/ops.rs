//! EVTCHNOP_*: what guests ask of event channels (Xen public/event_channel.h), with the error numbers of Xen 4.17.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use arch::addr::Gfn;
use hypercall_abi::event_channel::{
    EvtchnAllocUnbound, EvtchnBindInterdomain, EvtchnBindIpi, EvtchnBindPirq, EvtchnBindVcpu,
    EvtchnBindVirq, EvtchnClose, EvtchnExpandArray, EvtchnInitControl, EvtchnOp, EvtchnReset,
    EvtchnSend, EvtchnSetPriority, EvtchnStat, EvtchnStatus, EvtchnStatusInterdomain,
    EvtchnStatusUnbound, EvtchnUnmask,
};
use hypercall_abi::xen::{DomId, Hypercall, NR_VIRQS, Virq};
use hypercall_abi::{Errno, GuestHandle};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{
    Consumer, DomainEvents, State, clear_pending, close, fifo, lock_both, send, set_pending,
    two_level, upcall, virq_is_global, with_states,
};
use crate::domain::{Context, Domain, DomainId};
use crate::fail::{Args, Fail, Return};
use crate::guest;
use crate::host::host;
use crate::irq;
use crate::preempt::Budget;
use crate::xsm;

/// The continuation of [`EvtchnOp::RESET`], which is not in the public header.
const RESET_CONT: EvtchnOp = EvtchnOp(14);

/// `event_channel_op(cmd, arg)`.
pub fn do_event_channel_op(cx: &Context, args: Args) -> Return {
    let op = EvtchnOp(args.0[0] as u32);
    let result = dispatch(cx, op, args.0[1], &Budget::new());
    if let Err(Fail::Errno(errno)) = &result {
        log::debug!(target: "guest", "d{}v{} event channel {op:?} refused: {errno}", cx.domain.id.0, cx.vcpu.id);
    }
    result
}

/// Copies the argument in, runs `f` on it and copies it out if that succeeds.
fn inout<T: FromBytes + IntoBytes + Immutable>(
    arg: u64,
    f: impl FnOnce(&mut T) -> Result<(), Errno>,
) -> Return {
    let handle = GuestHandle::new(arg);
    let mut op: T = guest::read(handle, 0)?;
    f(&mut op)?;
    guest::write(handle, 0, &op)?;
    Ok(0)
}

/// Copies the argument in and runs `f` on it.
fn input<T: FromBytes + IntoBytes>(arg: u64, f: impl FnOnce(T) -> Result<(), Errno>) -> Return {
    f(guest::read(GuestHandle::new(arg), 0)?)?;
    Ok(0)
}

pub(super) fn dispatch(cx: &Context, op_number: EvtchnOp, arg: u64, budget: &Budget) -> Return {
    let d = &cx.domain;
    match op_number {
        EvtchnOp::SEND => input(arg, |op: EvtchnSend| send(d, op.port)),
        EvtchnOp::UNMASK => input(arg, |op: EvtchnUnmask| unmask(d, op.port)),
        EvtchnOp::ALLOC_UNBOUND => inout(arg, |op| alloc_unbound(cx, op)),
        EvtchnOp::BIND_INTERDOMAIN => inout(arg, |op| bind_interdomain(cx, op)),
        EvtchnOp::BIND_VIRQ => inout(arg, |op| bind_virq(d, op)),
        EvtchnOp::BIND_IPI => inout(arg, |op| bind_ipi(d, op)),
        EvtchnOp::BIND_PIRQ => inout(arg, |op| bind_pirq(d, op)),
        EvtchnOp::CLOSE => input(arg, |op: EvtchnClose| close(d, op.port, true)),
        EvtchnOp::STATUS => inout(arg, |op| status(cx, op)),
        EvtchnOp::BIND_VCPU => input(arg, |op: EvtchnBindVcpu| bind_vcpu(d, &op)),
        EvtchnOp::RESET | RESET_CONT => {
            let op: EvtchnReset = guest::read(GuestHandle::new(arg), 0)?;
            let target = resolve(cx, op.dom)?;
            may(cx, EvtchnOp::RESET, &target)?;
            let own = Arc::ptr_eq(&target, d);
            match reset(&target, own, op_number == RESET_CONT, budget) {
                Ok(()) => Ok(0),
                Err(Errno::ERESTART) => {
                    Err(Fail::Continue(Args([RESET_CONT.0.into(), arg, 0, 0, 0, 0])))
                }
                Err(errno) => Err(errno.into()),
            }
        }
        EvtchnOp::INIT_CONTROL => {
            inout(arg, |op: &mut EvtchnInitControl| fifo::init_control(d, op))
        }
        EvtchnOp::EXPAND_ARRAY => input(arg, |op: EvtchnExpandArray| {
            fifo::expand_array(d, Gfn::new(op.array_gfn))
        }),
        EvtchnOp::SET_PRIORITY => input(arg, |op: EvtchnSetPriority| set_priority(d, &op)),
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// The domain that a guest names, itself included. `ESRCH` if there is none.
fn resolve(cx: &Context, dom: DomId) -> Result<Arc<Domain>, Errno> {
    if dom == DomId::SELF {
        Ok(cx.domain.clone())
    } else {
        host().domains.get(DomainId(dom.0))
    }
}

fn may(cx: &Context, op: EvtchnOp, target: &Domain) -> Result<(), Errno> {
    xsm::check(&cx.domain, Hypercall::EVENT_CHANNEL_OP, op.0, Some(target))
}

fn alloc_unbound(cx: &Context, op: &mut EvtchnAllocUnbound) -> Result<(), Errno> {
    let d = resolve(cx, op.dom)?;
    let mut table = d.events.table.lock();
    let (port, channel) = table.allocate(&d)?;
    if let Err(errno) = may(cx, EvtchnOp::ALLOC_UNBOUND, &d) {
        table.give_back(port);
        return Err(errno);
    }
    let remote = if op.remote_dom == DomId::SELF {
        cx.domain.id
    } else {
        DomainId(op.remote_dom.0)
    };
    channel.bind(&mut channel.state.lock(), State::Unbound { remote }, 0);
    op.port = port;
    Ok(())
}

fn bind_interdomain(cx: &Context, op: &mut EvtchnBindInterdomain) -> Result<(), Errno> {
    let near = &cx.domain;
    let far = resolve(cx, op.remote_dom)?;
    let mut locked = lock_both(near, &far);
    let (port, channel) = locked.near.allocate(near)?;
    let far_port = op.remote_port;
    let invites = |far_channel: &super::Channel| matches!(*far_channel.state.lock(), State::Unbound { remote } if remote == near.id);
    let far_channel = match far.events.channel(far_port) {
        // A dying domain closes its ports once, so none may come to life behind its teardown.
        Ok(c) if !far.is_dying() && invites(c) => c,
        _ => {
            locked.near.give_back(port);
            return Err(Errno::EINVAL);
        }
    };
    with_states(
        (near.id, port, channel),
        (far.id, far_port, far_channel),
        |near_state, far_state| {
            let to_far = State::Interdomain {
                remote: far.clone(),
                port: far_port,
            };
            channel.bind(near_state, to_far, 0);
            *far_state = State::Interdomain {
                remote: near.clone(),
                port,
            };
            // The other side may have sent before anybody listened: let the near side look.
            set_pending(near, 0, port, channel);
        },
    );
    op.local_port = port;
    Ok(())
}

fn bind_virq(d: &Domain, op: &mut EvtchnBindVirq) -> Result<(), Errno> {
    let virq = op.virq.0;
    if virq >= NR_VIRQS || (virq_is_global(virq) && op.vcpu != 0) {
        return Err(Errno::EINVAL);
    }
    let vcpu = d.vcpu(op.vcpu.into())?;
    let slot = vcpu
        .events
        .virq_ports
        .get(virq as usize)
        .ok_or(Errno::EINVAL)?;
    let mut table = d.events.table.lock();
    if slot.load(Ordering::Acquire) != 0 {
        return Err(Errno::EEXIST);
    }
    let (port, channel) = table.allocate(d)?;
    channel.bind(&mut channel.state.lock(), State::Virq { virq }, op.vcpu);
    slot.store(port, Ordering::Release);
    if op.virq == Virq::DOM_EXC {
        d.events.dom_exc_bindings.fetch_add(1, Ordering::AcqRel);
    }
    op.port = port;
    Ok(())
}

fn bind_ipi(d: &Domain, op: &mut EvtchnBindIpi) -> Result<(), Errno> {
    d.vcpu(op.vcpu.into())?;
    let mut table = d.events.table.lock();
    let (port, channel) = table.allocate(d)?;
    channel.bind(&mut channel.state.lock(), State::Ipi, op.vcpu);
    op.port = port;
    Ok(())
}

fn bind_pirq(d: &Domain, op: &mut EvtchnBindPirq) -> Result<(), Errno> {
    let mut table = d.events.table.lock();
    let (port, channel) = table.allocate(d)?;
    // Bound before the interrupt is let through, so that its first occurrence finds the port. `irq` checks that the
    // pirq exists, may be used and is not bound already.
    channel.bind(&mut channel.state.lock(), State::Pirq { pirq: op.pirq }, 0);
    if let Err(errno) = irq::bind_pirq(d, op.pirq, port, op.flags) {
        clear_pending(d, port);
        channel.free(&mut channel.state.lock());
        table.give_back(port);
        return Err(errno);
    }
    op.port = port;
    Ok(())
}

fn status(cx: &Context, op: &mut EvtchnStatus) -> Result<(), Errno> {
    let d = resolve(cx, op.dom)?;
    let channel = d.events.channel(op.port)?;
    let _table = d.events.table.lock();
    if channel.consumer() != Consumer::Guest {
        return Err(Errno::EACCES);
    }
    may(cx, EvtchnOp::STATUS, &d)?;
    op.status = match &*channel.state.lock() {
        State::Free | State::Reserved => EvtchnStat::CLOSED,
        State::Unbound { remote } => {
            op.u.set_unbound(EvtchnStatusUnbound {
                dom: DomId(remote.0),
            });
            EvtchnStat::UNBOUND
        }
        State::Interdomain { remote, port } => {
            op.u.set_interdomain(EvtchnStatusInterdomain {
                dom: DomId(remote.id.0),
                port: *port,
                ..Default::default()
            });
            EvtchnStat::INTERDOMAIN
        }
        State::Pirq { pirq } => {
            op.u.set_pirq(*pirq);
            EvtchnStat::PIRQ
        }
        State::Virq { virq } => {
            op.u.set_virq(*virq);
            EvtchnStat::VIRQ
        }
        State::Ipi => EvtchnStat::IPI,
    };
    op.vcpu = channel.vcpu();
    Ok(())
}

fn bind_vcpu(d: &Domain, op: &EvtchnBindVcpu) -> Result<(), Errno> {
    let vcpu = d.vcpu(op.vcpu.into())?;
    let channel = d.events.channel(op.port)?;
    let _table = d.events.table.lock();
    if channel.consumer() != Consumer::Guest {
        return Err(Errno::EINVAL);
    }
    let pirq = match &*channel.state.lock() {
        State::Virq { virq } if virq_is_global(*virq) => None,
        State::Unbound { .. } | State::Interdomain { .. } => None,
        State::Pirq { pirq } => Some(*pirq),
        _ => return Err(Errno::EINVAL),
    };
    let before = channel.vcpu.swap(vcpu.id, Ordering::AcqRel);
    if let Some(pirq) = pirq
        && before != vcpu.id
    {
        irq::set_affinity(d, pirq, vcpu);
    }
    Ok(())
}

/// Unmasks a port and delivers what is pending there (EVTCHNOP_unmask).
pub(crate) fn unmask(d: &Domain, port: u32) -> Result<(), Errno> {
    let channel = d.events.channel(port)?;
    let state = channel.state.lock();
    // Xen answers success for any valid port; only bound ones have a mask.
    if !state.is_bound() || channel.consumer() != Consumer::Guest {
        return Ok(());
    }
    if d.events.uses_fifo() {
        fifo::unmask(d, port, channel);
    } else if let Ok(vcpu) = d.vcpu(channel.vcpu().into())
        && two_level::unmask(d, vcpu, port)
    {
        upcall(vcpu);
    }
    Ok(())
}

fn set_priority(d: &Domain, op: &EvtchnSetPriority) -> Result<(), Errno> {
    let channel = d.events.channel(op.port)?;
    let state = channel.state.lock();
    if !d.events.uses_fifo() {
        return Err(Errno::ENOSYS);
    }
    if !state.is_bound() || channel.consumer() != Consumer::Guest {
        return Err(Errno::EACCES);
    }
    fifo::set_priority(channel, op.priority)
}

/// Closes all ports that the guest consumes and goes back to the 2-level ABI. `own`: the domain resets itself, else
/// it has to be paused (`EINVAL`). `resume` continues a reset that returned `ERESTART` because the budget was used
/// up. `EBUSY`: a reset is in progress (or none is, for `resume`). `EAGAIN`: ports were bound meanwhile.
pub fn reset(d: &Domain, own: bool, resume: bool, budget: &Budget) -> Result<(), Errno> {
    if !own && d.pause_count.load(Ordering::Acquire) == 0 {
        return Err(Errno::EINVAL);
    }
    let mut port = {
        let mut table = d.events.table.lock();
        if resume == (table.reset_next == 0) {
            return Err(Errno::EBUSY);
        }
        if !resume {
            table.reset_next = 1;
        }
        table.reset_next
    };
    loop {
        {
            let table = d.events.table.lock();
            if port >= DomainEvents::valid_ports(&table) || table.active <= table.hypervisor {
                break;
            }
        }
        let _ = close(d, port, true);
        port += 1;
        if budget.spend(1) {
            d.events.table.lock().reset_next = port;
            return Err(Errno::ERESTART);
        }
    }
    let mut table = d.events.table.lock();
    table.reset_next = 0;
    if table.active > table.hypervisor {
        return Err(Errno::EAGAIN);
    }
    if d.events.uses_fifo() {
        fifo::leave(d, &mut table);
    }
    Ok(())
}
