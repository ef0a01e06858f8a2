//! Mapping grants and unmapping them (GNTTABOP_map_grant_ref, unmap_grant_ref, unmap_and_replace).

use alloc::sync::Arc;

use arch::addr::{Mfn, PAGE_BYTES};
use hypercall_abi::grant_table::{
    GNTMAP_DEVICE_MAP, GNTMAP_HOST_MAP, GNTMAP_READONLY, GntStatus, GnttabMapGrantRef,
};

use super::entry::{Active, Pin};
use super::mapping;
use super::maptrack::Mapping;
use crate::domain::{Context, Domain, DomainId};
use crate::host::host;
use crate::mm::{self, PageRef, PageType, TypedRef, get_page, get_page_and_type};

/// Unmappings between two TLB flushes.
pub(super) const BATCH: usize = 32;
/// Unmappings in a call that are few.
pub(super) const FEW: usize = 4;

/// A use of a page: a reference, and the page as writable memory unless it is only read.
enum Use {
    Read(PageRef),
    Write(TypedRef),
}

impl Use {
    fn take(domain: &Domain, mfn: Mfn, read_only: bool) -> Result<Self, GntStatus> {
        if read_only {
            get_page(mfn, domain.id)
                .map(Self::Read)
                .map_err(|_| GntStatus::GENERAL_ERROR)
        } else {
            get_page_and_type(mfn, domain, PageType::Writable)
                .map(Self::Write)
                .map_err(|_| GntStatus::GENERAL_ERROR)
        }
    }

    /// Keeps it beyond this value's life.
    fn keep(self) {
        match self {
            Self::Read(page) => page.into_raw(),
            Self::Write(page) => page.into_raw(),
        };
    }

    /// Takes one back that was kept.
    fn kept(mfn: Mfn, read_only: bool) -> Self {
        if read_only {
            Self::Read(PageRef::from_raw(mfn))
        } else {
            Self::Write(TypedRef::from_raw(mfn))
        }
    }
}

/// Maps one grant; the outcome is in `op`.
pub(super) fn map_grant_ref(cx: &Context, op: &mut GnttabMapGrantRef) {
    op.status = match try_map(cx, op) {
        Ok((handle, mfn)) => {
            op.handle = handle;
            op.dev_bus_addr = mfn.addr().get();
            GntStatus::OKAY
        }
        Err(status) => {
            log::debug!(target: "guest", "d{} map of grant {} of d{} refused: {status:?}",
                cx.domain.id.0, op.r#ref, op.dom.0);
            status
        }
    };
}

fn try_map(cx: &Context, op: &GnttabMapGrantRef) -> Result<(u32, Mfn), GntStatus> {
    let (host_map, device_map) = (
        op.flags & GNTMAP_HOST_MAP != 0,
        op.flags & GNTMAP_DEVICE_MAP != 0,
    );
    let read_only = op.flags & GNTMAP_READONLY != 0;
    if !host_map && !device_map {
        return Err(GntStatus::BAD_GNTREF);
    }
    let owner = host()
        .domains
        .get(DomainId(op.dom.0))
        .map_err(|_| GntStatus::BAD_DOMAIN)?;
    let track = &cx.domain.grants.maptrack;
    let handle = track.take(cx.vcpu.id).ok_or(GntStatus::NO_SPACE)?;
    let result = pin_and_map(cx, op, &owner).and_then(|mfn| {
        let slot = track.slot(handle).ok_or(GntStatus::GENERAL_ERROR)?;
        *slot.mapping.lock() = Some(Mapping {
            domain: owner,
            gref: op.r#ref,
            host: host_map,
            device: device_map,
            read_only,
            flags: op.flags,
        });
        Ok((handle, mfn))
    });
    if result.is_err() {
        track.put(cx.vcpu.id, handle);
    }
    result
}

/// Pins the entry, takes the page and maps it, all under the entry's lock.
fn pin_and_map(
    cx: &Context,
    op: &GnttabMapGrantRef,
    owner: &Arc<Domain>,
) -> Result<Mfn, GntStatus> {
    let read_only = op.flags & GNTMAP_READONLY != 0;
    let host_map = op.flags & GNTMAP_HOST_MAP != 0;
    let device_map = op.flags & GNTMAP_DEVICE_MAP != 0;
    let user = cx.domain.id;
    let gref = op.r#ref;

    let table = owner.grants.table.read();
    // A dying domain's pages are on their way out.
    if owner.is_dying() || cx.domain.is_dying() {
        return Err(GntStatus::GENERAL_ERROR);
    }
    if gref >= table.entries() {
        return Err(GntStatus::BAD_GNTREF);
    }
    let shared = table.shared(gref).ok_or(GntStatus::BAD_GNTREF)?;
    let mut active = table.active(gref).ok_or(GntStatus::BAD_GNTREF)?.lock();
    let pin = active.pin;
    if !pin.is_zero() && (active.user != user || active.sub_page) {
        return Err(GntStatus::GENERAL_ERROR);
    }
    let more = Pin::of_mapping(host_map, device_map, read_only);
    let pinned = pin.with(more).ok_or(GntStatus::GENERAL_ERROR)?;

    let asked = pin.is_zero() || (!read_only && !pin.writable());
    if asked {
        shared.begin_use(pin, user, read_only, true)?;
    }
    // The frame number is the guest's allegation, read once. A pinned entry's frame is the one on record: the guest
    // may have changed the entry since (XSA-500).
    let mfn = if pin.is_zero() {
        Mfn::new(shared.frame())
    } else {
        active.mfn
    };
    let result = take_and_map(cx, op, owner, mfn, pin.is_zero());
    match result {
        Ok(()) => {
            if pin.is_zero() {
                *active = Active {
                    pin,
                    user,
                    mfn,
                    start: 0,
                    length: PAGE_BYTES as u16,
                    sub_page: false,
                    origin: (owner.id, gref),
                };
            }
            active.pin = pinned;
            Ok(mfn)
        }
        Err(status) => {
            if asked {
                shared.end_use(pin, read_only);
            }
            Err(status)
        }
    }
}

/// Takes a use of the page per kind of mapping, and maps it. Nothing is held after an error.
fn take_and_map(
    cx: &Context,
    op: &GnttabMapGrantRef,
    owner: &Domain,
    mfn: Mfn,
    fresh: bool,
) -> Result<(), GntStatus> {
    let read_only = op.flags & GNTMAP_READONLY != 0;
    let take = || {
        Use::take(owner, mfn, read_only).map_err(|status| {
            // Not its page at all, or only not one to be mapped so.
            if fresh && get_page(mfn, owner.id).is_err() {
                GntStatus::BAD_PAGE
            } else {
                status
            }
        })
    };
    let device = if op.flags & GNTMAP_DEVICE_MAP != 0 {
        Some(take()?)
    } else {
        None
    };
    if op.flags & GNTMAP_HOST_MAP != 0 {
        let mapped = take()?;
        mapping::create(cx, op.host_addr, mfn, op.flags).map_err(|_| GntStatus::GENERAL_ERROR)?;
        mapped.keep();
    }
    if let Some(device) = device {
        device.keep();
    }
    Ok(())
}

/// What to unmap.
pub(super) struct Unmap {
    pub(super) handle: u32,
    /// 0: leave the host mapping.
    pub(super) host_addr: u64,
    /// 0: leave the device mapping.
    pub(super) dev_bus_addr: u64,
    /// Not 0: put the mapping from there in its place.
    pub(super) new_addr: u64,
}

/// An unmapping that waits for the TLB flush: what it gives up then.
pub(super) struct Unmapped {
    domain: Arc<Domain>,
    gref: u32,
    mfn: Mfn,
    host: bool,
    device: bool,
    read_only: bool,
}

/// Takes mappings away. What they held is to be given up with [`complete`], after a flush.
pub(super) fn unmap(cx: &Context, op: &Unmap) -> Result<Option<Unmapped>, GntStatus> {
    let track = &cx.domain.grants.maptrack;
    let slot = track.slot(op.handle).ok_or(GntStatus::BAD_HANDLE)?;
    let seen = slot.mapping.lock().clone().ok_or(GntStatus::BAD_HANDLE)?;
    let table = seen.domain.grants.table.read();
    let active = table.active(seen.gref).ok_or(GntStatus::BAD_HANDLE)?.lock();
    // Another vCPU may have unmapped it, and the handle may stand for something else by now.
    let mut held = slot.mapping.lock();
    let map = held
        .as_mut()
        .filter(|m| m.same(&seen))
        .ok_or(GntStatus::BAD_HANDLE)?;
    let mfn = active.mfn;
    let device = op.dev_bus_addr != 0 && map.device;
    if device && op.dev_bus_addr != mfn.addr().get() {
        return Err(GntStatus::BAD_DEV_ADDR);
    }
    let host = op.host_addr != 0 && map.host;
    if host {
        mapping::replace(cx, op.host_addr, mfn, op.new_addr, map.flags)
            .map_err(|_| GntStatus::GENERAL_ERROR)?;
        map.host = false;
    }
    if device {
        map.device = false;
    }
    let read_only = map.read_only;
    let gone = !map.host && !map.device;
    let old = if gone { held.take() } else { None };
    drop(held);
    drop(active);
    drop(table);
    if gone {
        track.put(cx.vcpu.id, op.handle);
    }
    // Drops what may be a reference to a domain, with no lock held.
    drop(old);
    Ok((host || device).then_some(Unmapped {
        domain: seen.domain,
        gref: seen.gref,
        mfn,
        host,
        device,
        read_only,
    }))
}

/// Drops the translations of the caller's unmapped pages on all CPUs it runs on.
pub(super) fn flush(cx: &Context) {
    mm::tlb::flush_mask(cx.domain.mem.dirty_cpus.words(), None);
}

/// Gives up what an unmapping held: the page, then the pin (XSA-236).
pub(super) fn complete(done: Unmapped) {
    let table = done.domain.grants.table.read();
    let shared = table.shared(done.gref);
    let Some(active) = table.active(done.gref) else {
        return;
    };
    let mut active = active.lock();
    if done.device {
        drop(Use::kept(done.mfn, done.read_only));
    }
    if done.host {
        drop(Use::kept(done.mfn, done.read_only));
    }
    active.pin = active
        .pin
        .without(Pin::of_mapping(done.host, done.device, done.read_only));
    if let Some(shared) = shared {
        shared.end_use(active.pin, done.read_only);
    }
}

/// Gives up a dying domain's mapping. Its page-table entries own what they refer to; devices' references are ours.
pub(super) fn release(mapping: &Mapping) {
    let table = mapping.domain.grants.table.read();
    let Some(active) = table.active(mapping.gref) else {
        return;
    };
    let mut active = active.lock();
    if mapping.device {
        drop(Use::kept(active.mfn, mapping.read_only));
    }
    active.pin = active.pin.without(Pin::of_mapping(
        mapping.host,
        mapping.device,
        mapping.read_only,
    ));
    if let Some(shared) = table.shared(mapping.gref) {
        shared.end_use(active.pin, mapping.read_only);
    }
}
