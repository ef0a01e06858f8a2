//! Whether ports, bindings and counts of event channels agree with each other, for `crate::audit`.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::Ordering;

use arch::addr::Mfn;

use super::channel::State;
use super::{BUCKET, Consumer, DomainEvents, virq_is_global};
use crate::domain::{Domain, DomainId};
use crate::host::host;
use crate::irq;

/// Calls `f` with each page that the domain's FIFO queues hold as writable memory.
pub fn stored(domain: &Domain, mut f: impl FnMut(Mfn)) {
    for pin in &domain.events.table.lock().pins {
        f(pin.frame().mfn());
    }
}

/// How many ports are bound.
pub fn ports(domain: &Domain) -> u64 {
    domain.events.table.lock().active.into()
}

/// The far end of an interdomain port, as both ends must see it.
fn far_end(
    domain: &Arc<Domain>,
    port: u32,
    remote: &Arc<Domain>,
    far: u32,
) -> Result<(), &'static str> {
    let known = host().domains.get(remote.id);
    if !known.is_ok_and(|d| Arc::ptr_eq(&d, remote)) {
        return Err("its far end's domain is gone");
    }
    if Arc::ptr_eq(domain, remote) && port == far {
        return Err("it is its own far end");
    }
    let channel = remote
        .events
        .channel(far)
        .map_err(|_| "its far end does not exist")?;
    match &*channel.state.lock() {
        State::Interdomain {
            remote: back,
            port: p,
        } if Arc::ptr_eq(back, domain) && *p == port => Ok(()),
        _ => Err("its far end is bound to something else"),
    }
}

/// Calls `report` for everything about the domain's ports that does not add up. Takes one port's lock at a time.
pub fn audit(domain: &Arc<Domain>, report: &mut dyn FnMut(fmt::Arguments<'_>)) {
    let id = domain.id.0;
    let (free, active, hypervisor, pins, array_pages) = {
        let table = domain.events.table.lock();
        (
            table.free.clone(),
            table.active,
            table.hypervisor,
            table.pins.len(),
            table.array_pages,
        )
    };
    let (mut bound, mut consumed) = (0, 0);
    for port in 0..free.len() as u32 * BUCKET {
        let Ok(channel) = domain.events.channel(port) else {
            report(format_args!(
                "d{id} port {port}: in the table but not there"
            ));
            continue;
        };
        // What must be looked up elsewhere is looked up without this port's lock.
        let (is_free, is_bound, far, virq, pirq, unbound) = {
            let state = channel.state.lock();
            let (mut far, mut virq, mut pirq, mut unbound) = (None, None, None, None);
            match &*state {
                State::Interdomain { remote, port } => far = Some((remote.clone(), *port)),
                State::Virq { virq: v } => virq = Some(*v),
                State::Pirq { pirq: p } => pirq = Some(*p),
                State::Unbound { remote } => unbound = Some(*remote),
                State::Free | State::Reserved | State::Ipi => {}
            }
            (
                matches!(*state, State::Free),
                state.is_bound(),
                far,
                virq,
                pirq,
                unbound,
            )
        };
        let marked = free
            .get((port / BUCKET) as usize)
            .is_some_and(|w| w >> (port % BUCKET) & 1 != 0);
        if marked != is_free {
            report(format_args!(
                "d{id} port {port}: free in the map: {marked}, in truth: {is_free}"
            ));
        }
        if !is_bound {
            continue;
        }
        bound += 1;
        if channel.consumer() == Consumer::Hypervisor {
            consumed += 1;
        }
        let vcpu = channel.vcpu();
        if domain.vcpu(vcpu.into()).is_err() && !domain.vcpus().is_empty() {
            report(format_args!(
                "d{id} port {port}: notifies vCPU {vcpu}, which does not exist"
            ));
        }
        if let Some((remote, far)) = far
            && let Err(why) = far_end(domain, port, &remote, far)
        {
            report(format_args!(
                "d{id} port {port}, bound to port {far} of d{}: {why}",
                remote.id.0
            ));
        }
        if let Some(virq) = virq {
            let holder = if virq_is_global(virq) { 0 } else { vcpu };
            let named = domain
                .vcpu(holder.into())
                .ok()
                .and_then(|v| v.events.virq_ports.get(virq as usize))
                .map_or(0, |p| p.load(Ordering::Acquire));
            if named != port {
                report(format_args!(
                    "d{id} port {port}: VIRQ {virq} of vCPU {holder} is at port {named}"
                ));
            }
        }
        if let Some(pirq) = pirq
            && !irq::is_bound_to(domain, pirq, port)
        {
            report(format_args!(
                "d{id} port {port}: pirq {pirq} is not bound to it"
            ));
        }
        if let Some(remote) = unbound
            && remote.0 >= DomainId::FIRST_RESERVED
        {
            report(format_args!(
                "d{id} port {port}: waits for d{:#x}",
                remote.0
            ));
        }
    }
    if bound != active || consumed != hypervisor {
        report(format_args!(
            "d{id}: {bound} ports bound ({active} counted), {consumed} of them Oxen's ({hypervisor} counted)"
        ));
    }
    virqs(domain, report);
    if !domain.events.uses_fifo() && (pins != 0 || array_pages != 0) {
        report(format_args!(
            "d{id}: 2-level, but {pins} FIFO pages are held"
        ));
    }
}

/// Every port that a vCPU's VIRQ names is bound to that VIRQ.
fn virqs(domain: &Arc<Domain>, report: &mut dyn FnMut(fmt::Arguments<'_>)) {
    for vcpu in domain.vcpus() {
        for (virq, port) in (0u32..).zip(&vcpu.events.virq_ports) {
            let port = port.load(Ordering::Acquire);
            if port == 0 {
                continue;
            }
            let events: &DomainEvents = &domain.events;
            let bound = events
                .channel(port)
                .is_ok_and(|c| matches!(*c.state.lock(), State::Virq { virq: v } if v == virq));
            if !bound {
                report(format_args!(
                    "d{} vCPU {}: VIRQ {virq} names port {port}, which is not bound to it",
                    domain.id.0, vcpu.id
                ));
            }
        }
    }
}
