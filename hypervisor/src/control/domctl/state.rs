//! Which domains changed, for the xenstored of Xen 4.21 and later (domctl get_domain_state). It asks after VIRQ_DOM_EXC until
//! nothing is left to tell.
//!
//! What the asking domain was told is remembered with it; binding the VIRQ anew forgets it, so that a restarted xenstored
//! hears of every domain.

use alloc::collections::BTreeMap;

use hypercall_abi::Errno;
use hypercall_abi::domctl::DomctlU;
use hypercall_abi::versions::stable::*;
use hypercall_abi::xen::{DomId, Hypercall};

use crate::domain::{Context, Domain, DomainId};
use crate::host::host;
use crate::{event_channel, xsm};

/// What a domain was told about others: by id, the domain's unique id and state.
#[derive(Debug, Default)]
pub struct Told {
    /// Which binding of VIRQ_DOM_EXC this is about.
    binding: u32,
    domains: BTreeMap<u16, (u64, u16)>,
}

fn state_of(domain: &Domain) -> u16 {
    let bit = |on: bool, bit: u16| if on { bit } else { 0 };
    let dead = domain.is_dead();
    STATE_EXIST
        | bit(domain.shutdown.lock().is_some(), STATE_SHUTDOWN)
        | bit(domain.is_dying() && !dead, STATE_DYING)
        | bit(dead, STATE_DEAD)
}

fn describe(domain: &Domain) -> GetDomainState {
    let bit = |on: bool, bit: u16| if on { bit } else { 0 };
    GetDomainState {
        state: state_of(domain),
        caps: bit(domain.privileged, CAP_CONTROL)
            | bit(domain.is_hardware(), CAP_HARDWARE)
            | bit(domain.is_xenstore(), CAP_XENSTORE),
        unique_id: domain.unique_id,
        ..GetDomainState::default()
    }
}

/// A domain's state, or for `DOMID_INVALID` that of one that changed since it was last told; the id and the answer.
/// `EPERM` if the caller may not know, `EINVAL` for a request that is not zeroed, `ESRCH` for a domain that is not there,
/// `EACCES` for changes unless the caller handles VIRQ_DOM_EXC, `ENOENT` when there are none.
pub(super) fn get(cx: &Context, id: u16, u: &DomctlU) -> Result<(u16, DomctlU), Errno> {
    let hypercall = Hypercall::DOMCTL;
    xsm::check(&cx.domain, hypercall, GET_DOMAIN_STATE.0, None)?;
    if GetDomainState::from_request(u).pad0 != 0 {
        return Err(Errno::EINVAL);
    }
    if id != DomId::INVALID.0 {
        let domain = host().domains.get(DomainId(id))?;
        return Ok((id, describe(&domain).to_reply()));
    }
    let binding = event_channel::dom_exc_binding(&cx.domain).ok_or(Errno::EACCES)?;
    let mut control = cx.domain.control.lock();
    let told = &mut control.told;
    if told.binding != binding {
        *told = Told {
            binding,
            ..Told::default()
        };
    }
    // Those that are gone first: their ids may have new owners.
    let gone = told
        .domains
        .iter()
        .find(|(id, (unique, _))| {
            host()
                .domains
                .get(DomainId(**id))
                .map_or(true, |d| d.unique_id != *unique)
        })
        .map(|(id, _)| *id);
    if let Some(id) = gone {
        told.domains.remove(&id);
        return Ok((id, GetDomainState::default().to_reply()));
    }
    let mut from = 0;
    while let Some(domain) = host().domains.next(from) {
        let now = (domain.unique_id, state_of(&domain));
        if told.domains.get(&domain.id.0) != Some(&now) {
            told.domains.insert(domain.id.0, now);
            return Ok((domain.id.0, describe(&domain).to_reply()));
        }
        from = domain.id.0 + 1;
    }
    Err(Errno::ENOENT)
}
