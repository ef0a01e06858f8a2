//! A domain's ports in words, for debug keys.

use core::fmt;

use super::channel::State;
use super::{BUCKET, Consumer, is_masked, is_pending};
use crate::domain::Domain;

/// Calls `f` with a line for every port that is bound.
pub fn for_each(domain: &Domain, mut f: impl FnMut(fmt::Arguments<'_>)) {
    let ports = domain.events.table.lock().free.len() as u32 * BUCKET;
    for port in 0..ports {
        let Ok(channel) = domain.events.channel(port) else {
            continue;
        };
        let state = channel.state.lock();
        if !state.is_bound() {
            continue;
        }
        let pending = if is_pending(domain, port) { "P" } else { "-" };
        let masked = if is_masked(domain, port) { "M" } else { "-" };
        let by = match channel.consumer() {
            Consumer::Guest => "",
            Consumer::Hypervisor => ", taken by Oxen",
        };
        let vcpu = channel.vcpu();
        match &*state {
            State::Free | State::Reserved => {}
            State::Unbound { remote } => f(format_args!(
                "{port:4} [{pending}{masked}] v{vcpu} unbound, for d{}{by}",
                remote.0
            )),
            State::Interdomain { remote, port: end } => f(format_args!(
                "{port:4} [{pending}{masked}] v{vcpu} to port {end} of d{}{by}",
                remote.id.0
            )),
            State::Pirq { pirq } => f(format_args!(
                "{port:4} [{pending}{masked}] v{vcpu} pirq {pirq}{by}"
            )),
            State::Virq { virq } => f(format_args!(
                "{port:4} [{pending}{masked}] v{vcpu} virq {virq}{by}"
            )),
            State::Ipi => f(format_args!("{port:4} [{pending}{masked}] v{vcpu} ipi{by}")),
        }
    }
}
