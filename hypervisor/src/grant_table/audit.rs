//! Whether grants' pins are what the mappings add up to, and handles are where they belong, for `crate::audit`.
//!
//! The machine must be quiet: a copy pins an entry only while it runs.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::fmt;

use arch::addr::Mfn;
use arch::sync::SpinLock;

use super::entry::{Active, Pin};
use super::maptrack::Mapping;
use crate::domain::{Domain, DomainId};
use crate::host::host;

/// What a domain's mappings say of one granted page, as somebody mapped it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Who mapped it.
    pub mapper: DomainId,
    /// The page.
    pub mfn: Mfn,
    /// Into page tables, which hold what it holds.
    pub host: bool,
    /// For devices: a reference that nobody but the mapping holds.
    pub device: bool,
    /// Not writable.
    pub read_only: bool,
}

/// Calls `f` with every mapping of the domain's.
pub fn for_each_mapping(domain: &Domain, mut f: impl FnMut(Mapped)) {
    each(domain, |_, mapping| {
        let table = mapping.domain.grants.table.read();
        let Some(active) = table.active(mapping.gref) else {
            return;
        };
        let mfn = active.lock().mfn;
        f(Mapped {
            mapper: domain.id,
            mfn,
            host: mapping.host,
            device: mapping.device,
            read_only: mapping.read_only,
        });
    });
}

/// How many of the domain's grants somebody uses.
pub fn grants_in_use(domain: &Domain) -> u64 {
    let table = domain.grants.table.read();
    let pinned = |active: &&SpinLock<Active>| !active.lock().pin.is_zero();
    table.active.iter().flatten().filter(pinned).count() as u64
}

/// How many mappings of others' grants it has.
pub fn mappings(domain: &Domain) -> u64 {
    let mut count = 0;
    each(domain, |_, _| count += 1);
    count
}

fn each(domain: &Domain, mut f: impl FnMut(u32, &Mapping)) {
    let track = &domain.grants.maptrack;
    for handle in 0..track.len() {
        let mapping = track
            .slot(handle)
            .and_then(|slot| slot.mapping.lock().clone());
        if let Some(mapping) = mapping {
            f(handle, &mapping);
        }
    }
}

/// What a granting domain's entries must be pinned by: by entry, each kind's count and the user.
type Expected = BTreeMap<u32, ([u32; 4], DomainId)>;

/// Calls `report` for every grant and handle of all domains that does not add up.
pub fn audit(report: &mut dyn FnMut(fmt::Arguments<'_>)) {
    // A domain that is gone from the list lives on while others have its pages mapped.
    let mut granters: BTreeMap<usize, (Arc<Domain>, Expected)> = BTreeMap::new();
    let key = |domain: &Arc<Domain>| Arc::as_ptr(domain).addr();
    host().domains.for_each(|domain| {
        granters
            .entry(key(domain))
            .or_insert_with(|| (domain.clone(), BTreeMap::new()));
    });
    host().domains.for_each(|mapper| {
        each(mapper, |handle, mapping| {
            if !mapping.host && !mapping.device {
                report(format_args!(
                    "d{} handle {handle}: a mapping of nothing",
                    mapper.id.0
                ));
            }
            let (_, expected) = granters
                .entry(key(&mapping.domain))
                .or_insert_with(|| (mapping.domain.clone(), BTreeMap::new()));
            let (pins, user) = expected.entry(mapping.gref).or_insert(([0; 4], mapper.id));
            if *user != mapper.id {
                report(format_args!(
                    "d{} grant {}: mapped by d{} and d{}",
                    mapping.domain.id.0, mapping.gref, user.0, mapper.id.0
                ));
            }
            let pin = Pin::of_mapping(mapping.host, mapping.device, mapping.read_only);
            for (byte, n) in pins.iter_mut().enumerate() {
                *n += pin.0 >> (byte * 8) & 0xff;
            }
        });
        handles(mapper, report);
    });
    for (domain, expected) in granters.values() {
        entries(domain, expected, report);
    }
}

fn entries(domain: &Domain, expected: &Expected, report: &mut dyn FnMut(fmt::Arguments<'_>)) {
    let id = domain.id.0;
    let table = domain.grants.table.read();
    for gref in 0..table.active.len() as u32 * super::V1_PER_FRAME {
        let Some(active) = table.active(gref) else {
            continue;
        };
        let (pin, user) = {
            let active = active.lock();
            (active.pin, active.user)
        };
        let counts: [u32; 4] = core::array::from_fn(|byte| pin.0 >> (byte * 8) & 0xff);
        let (sums, mapper) = expected.get(&gref).copied().unwrap_or(([0; 4], user));
        if counts != sums {
            report(format_args!(
                "d{id} grant {gref}: pinned {counts:?} times (write, read, device write, device read), mapped {sums:?}"
            ));
        } else if !pin.is_zero() && user != mapper {
            report(format_args!(
                "d{id} grant {gref}: on record as used by d{}, mapped by d{}",
                user.0, mapper.0
            ));
        }
    }
    for gref in expected
        .keys()
        .filter(|&&gref| table.active(gref).is_none())
    {
        report(format_args!(
            "d{id} grant {gref}: mapped, but there is no such entry"
        ));
    }
}

/// Every handle is either in use or in one free list.
fn handles(domain: &Domain, report: &mut dyn FnMut(fmt::Arguments<'_>)) {
    let track = &domain.grants.maptrack;
    let mut used = 0u32;
    each(domain, |_, _| used += 1);
    let free = track.count_free();
    // A dying domain's mappings are released without giving their handles back.
    if !domain.is_dying() && used + free != track.len() {
        report(format_args!(
            "d{}: {} handles, {used} in use, {free} free",
            domain.id.0,
            track.len()
        ));
    }
}
