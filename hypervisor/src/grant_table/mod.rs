//! Grant tables: pages that a domain lets others map or copy.
//!
//! Xen public/grant_table.h, versions 1 and 2. Owns the frames that the guest shares with the hypervisor, the record
//! of which entries are in use ([`entry`]) and what a domain has mapped of others' ([`maptrack`]). Invariants:
//! * An entry's pin is the number of mappings and copies that use it; its status bits are set while it is used, and
//!   only then. A page is referenced by each user as long as the pin lasts, and released before the pin.
//! * The version changes only while no entry but the reserved ones is pinned and no v2-only operation is under way.
//!
//! Lock order: a table's lock (shared to use entries, exclusive to grow it or change the version), then an entry's,
//! then a handle's, then memory's. Two tables are never locked at once.

pub mod audit;
mod copy;
mod entry;
mod map;
mod mapping;
mod maptrack;
mod ops;
#[cfg(test)]
mod tests;
mod transfer;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use arch::addr::{Mfn, PAGE_BYTES};
use arch::cpu::speculation::get;
use arch::sync::{RwLock, SpinLock};
use hypercall_abi::Errno;
use hypercall_abi::grant_table::{GNTTAB_NR_RESERVED_ENTRIES, GTF_READING, GTF_WRITING};
use hypercall_abi::grant_table::{GTF_PERMIT_ACCESS, GTF_TRANSITIVE, GTF_TYPE_MASK};
use hypercall_abi::memory::{
    XENMEM_RESOURCE_GRANT_TABLE_ID_SHARED, XENMEM_RESOURCE_GRANT_TABLE_ID_STATUS,
};

use entry::{Active, Shared};
use maptrack::Maptrack;
pub use ops::do_grant_table_op;

use crate::domain::{Domain, DomainId};
use crate::host::host;
use crate::mm::PageRef;
use crate::preempt::Budget;

/// Entries of version 1 per frame.
const V1_PER_FRAME: u32 = (PAGE_BYTES / 8) as u32;
/// Entries of version 2 per frame.
const V2_PER_FRAME: u32 = (PAGE_BYTES / 16) as u32;
/// Status words per frame.
const STATUS_PER_FRAME: u32 = (PAGE_BYTES / 2) as u32;
/// Frames of grants a domain may have unless told otherwise (`gnttab_max_frames`).
pub const DEFAULT_MAX_FRAMES: u32 = 64;
/// Frames' worth of mappings a domain may have unless told otherwise (`gnttab_max_maptrack_frames`).
pub const DEFAULT_MAX_MAPTRACK_FRAMES: u32 = 1024;

/// Status frames that go with so many grant frames.
const fn status_frames_of(grant_frames: u32) -> u32 {
    (grant_frames * V2_PER_FRAME).div_ceil(STATUS_PER_FRAME)
}

/// Grant frames that go with so many status frames.
const fn grant_frames_of(status_frames: u32) -> u32 {
    status_frames
        .saturating_mul(STATUS_PER_FRAME)
        .div_ceil(V2_PER_FRAME)
}

/// A domain's grant table and maptrack.
pub struct GrantTable {
    table: RwLock<Table>,
    maptrack: Maptrack,
    /// Transitive and sub-page uses under way, which a change to version 1 must wait for.
    v2_operations: AtomicU32,
    /// Where the release of mappings goes on, from the highest handle down; `u32::MAX`: not begun.
    release_next: AtomicU32,
}

struct Table {
    version: u32,
    /// Frames shared with the guest.
    shared: Vec<PageRef>,
    /// Status frames; version 2 only.
    status: Vec<PageRef>,
    /// The record of each entry, a slice per grant frame, as many as version 1 has.
    active: Vec<Box<[SpinLock<Active>]>>,
    max_frames: u32,
    max_version: u32,
}

impl GrantTable {
    /// An empty version 1 table with the default limits. Frames come with the first use.
    pub const fn new() -> Self {
        Self {
            table: RwLock::new(Table {
                version: 1,
                shared: Vec::new(),
                status: Vec::new(),
                active: Vec::new(),
                max_frames: DEFAULT_MAX_FRAMES,
                max_version: 2,
            }),
            maptrack: Maptrack::new(DEFAULT_MAX_MAPTRACK_FRAMES),
            v2_operations: AtomicU32::new(0),
            release_next: AtomicU32::new(u32::MAX),
        }
    }

    /// Grant frames now and at most.
    pub fn frames(&self) -> (u32, u32) {
        let table = self.table.read();
        (table.shared.len() as u32, table.max_frames)
    }
}

impl Default for GrantTable {
    fn default() -> Self {
        Self::new()
    }
}

impl Table {
    /// Entries that the guest may use.
    fn entries(&self) -> u32 {
        let per_frame = if self.version == 1 {
            V1_PER_FRAME
        } else {
            V2_PER_FRAME
        };
        self.shared.len() as u32 * per_frame
    }

    /// The guest's words of an entry; `None` if it does not exist.
    fn shared(&self, gref: u32) -> Option<Shared> {
        if self.version == 1 {
            let frame = get(&self.shared, (gref / V1_PER_FRAME) as usize)?.frame();
            return Some(Shared::V1(frame, (gref % V1_PER_FRAME) as usize * 8));
        }
        let frame = get(&self.shared, (gref / V2_PER_FRAME) as usize)?.frame();
        let status = get(&self.status, (gref / STATUS_PER_FRAME) as usize)?.frame();
        Some(Shared::V2(
            frame,
            (gref % V2_PER_FRAME) as usize * 16,
            status,
            (gref % STATUS_PER_FRAME) as usize * 2,
        ))
    }

    /// The record of an entry, whether or not the present version reaches it.
    fn active(&self, gref: u32) -> Option<&SpinLock<Active>> {
        get(&self.active, (gref / V1_PER_FRAME) as usize)?.get((gref % V1_PER_FRAME) as usize)
    }

    /// Grows the table to `frames` (at least one). `EINVAL` beyond the limit, `ENOMEM`.
    fn grow(&mut self, owner: DomainId, frames: u32) -> Result<(), Errno> {
        let frames = frames.max(1);
        if frames > self.max_frames {
            return Err(Errno::EINVAL);
        }
        while (self.active.len() as u32) < frames {
            host().mm.may_grow()?;
            let mut records = Vec::new();
            records
                .try_reserve_exact(V1_PER_FRAME as usize)
                .map_err(|_| Errno::ENOMEM)?;
            records.extend((0..V1_PER_FRAME).map(|_| SpinLock::new(Active::unused())));
            self.active.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            self.active.push(records.into_boxed_slice());
        }
        // Status frames first: an entry without a status word must not be reachable.
        if self.version == 2 {
            self.add_status_frames(owner, frames)?;
        }
        add_pages(&mut self.shared, owner, frames)
    }

    fn add_status_frames(&mut self, owner: DomainId, grant_frames: u32) -> Result<(), Errno> {
        add_pages(&mut self.status, owner, status_frames_of(grant_frames))
    }

    /// Changes the version. `EBUSY`: entries are in use, or status frames are mapped; `ERANGE`: a reserved entry
    /// cannot be expressed in version 1; `EAGAIN`: v2 operations are under way; `ENOMEM`.
    fn set_version(
        &mut self,
        owner: DomainId,
        version: u32,
        v2_operations: u32,
    ) -> Result<(), Errno> {
        if version == self.version {
            return Ok(());
        }
        self.grow(owner, self.shared.len() as u32)?;
        // The reserved entries (console and xenstore) may be mapped by the tools all the while.
        for gref in GNTTAB_NR_RESERVED_ENTRIES..self.entries() {
            if self.active(gref).is_some_and(|a| !a.lock().pin.is_zero()) {
                return Err(Errno::EBUSY);
            }
        }
        let reserved = self.reserved_entries(version, v2_operations)?;
        if version == 2 {
            self.add_status_frames(owner, self.shared.len() as u32)?;
        } else {
            if self.status.iter().any(|p| p.info().references() > 1) {
                return Err(Errno::EBUSY);
            }
            // A mapping that the guest makes at this very moment keeps its page, which nobody looks at any more.
            for page in self.status.drain(..) {
                host().mm.free_shared_page(page);
            }
        }
        for page in &self.shared {
            page.frame().zero();
        }
        self.version = version;
        for (gref, &(flags, domain, frame)) in reserved.iter().enumerate() {
            let status = flags & (GTF_READING | GTF_WRITING);
            match self.shared(gref as u32) {
                Some(Shared::V1(page, at)) => {
                    page.write_u32(at + 4, frame as u32);
                    page.write_u32(at, u32::from(domain) << 16 | u32::from(flags));
                }
                Some(Shared::V2(page, at, status_page, status_at)) => {
                    status_page.write_u16(status_at, status);
                    page.write_u64(at + 8, frame);
                    page.write_u32(at, u32::from(domain) << 16 | u32::from(flags & !status));
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Flags (with status), domain and frame of the entries that survive a change to `version`.
    fn reserved_entries(
        &self,
        version: u32,
        v2_operations: u32,
    ) -> Result<[(u16, u16, u64); GNTTAB_NR_RESERVED_ENTRIES as usize], Errno> {
        if version == 1 && v2_operations != 0 {
            return Err(Errno::EAGAIN);
        }
        let mut entries = [(0, 0, 0); GNTTAB_NR_RESERVED_ENTRIES as usize];
        for (gref, entry) in entries.iter_mut().enumerate() {
            let Some(shared) = self.shared(gref as u32) else {
                continue;
            };
            // Read once: the guest may be writing.
            let (header, frame) = (shared.header(), shared.frame());
            match shared {
                Shared::V1(..) => *entry = (header.flags, header.domain, frame),
                Shared::V2(.., status, at) => match header.flags & GTF_TYPE_MASK {
                    GTF_PERMIT_ACCESS if frame >> 32 == 0 => {
                        let flags = header.flags | status.read_u16(at);
                        *entry = (flags, header.domain, frame);
                    }
                    GTF_PERMIT_ACCESS | GTF_TRANSITIVE => return Err(Errno::ERANGE),
                    _ => {}
                },
            }
        }
        Ok(entries)
    }
}

/// Adds shared pages until there are `count`. `ENOMEM`.
fn add_pages(pages: &mut Vec<PageRef>, owner: DomainId, count: u32) -> Result<(), Errno> {
    let missing = (count as usize).saturating_sub(pages.len());
    pages.try_reserve(missing).map_err(|_| Errno::ENOMEM)?;
    for _ in 0..missing {
        pages.push(host().mm.alloc_shared_page(owner, true)?);
    }
    Ok(())
}

/// Sets a new domain's limits (XEN_DOMCTL_createdomain) and gives its table its first frame. `EINVAL`: no frames, or
/// a version that does not exist; `ENOMEM`.
pub fn init(
    domain: &Domain,
    max_frames: u32,
    max_maptrack_frames: u32,
    max_version: u32,
) -> Result<(), Errno> {
    if max_frames == 0 || !(1..=2).contains(&max_version) {
        return Err(Errno::EINVAL);
    }
    let mut table = domain.grants.table.write();
    table.max_frames = max_frames;
    table.max_version = max_version;
    domain.grants.maptrack.set_limit(max_maptrack_frames);
    table.grow(domain.id, 1)
}

/// The frame of grant entries `index`, for mapping it (XENMAPSPACE_grant_table, XENMEM_acquire_resource); the table
/// grows to have it. `EINVAL` beyond the domain's limit, `ENOMEM`.
pub fn grant_frame(domain: &Domain, index: u32) -> Result<Mfn, Errno> {
    let mut table = domain.grants.table.write();
    let frames = index.checked_add(1).ok_or(Errno::EINVAL)?;
    if table.shared.len() < frames as usize {
        may_grow(domain)?;
        table.grow(domain.id, frames)?;
    }
    let page = table.shared.get(index as usize).ok_or(Errno::EINVAL)?;
    Ok(page.mfn())
}

/// The frame of status words `index` (version 2); the table grows to have it. `EINVAL` beyond the domain's limit or
/// in version 1, `ENOMEM`.
pub fn status_frame(domain: &Domain, index: u32) -> Result<Mfn, Errno> {
    let mut table = domain.grants.table.write();
    if table.version != 2 || index >= status_frames_of(table.max_frames) {
        return Err(Errno::EINVAL);
    }
    if table.status.len() <= index as usize {
        may_grow(domain)?;
        let frames = grant_frames_of(index + 1).min(table.max_frames);
        table.grow(domain.id, frames)?;
    }
    let page = table.status.get(index as usize).ok_or(Errno::EINVAL)?;
    Ok(page.mfn())
}

/// A dying domain's table does not grow behind its teardown. `EINVAL`.
fn may_grow(domain: &Domain) -> Result<(), Errno> {
    if domain.is_dying() {
        Err(Errno::EINVAL)
    } else {
        Ok(())
    }
}

/// Lets go of what a dying domain has mapped of others'. True when all is done, false to be called again. The
/// references of its page-table entries go with its page tables.
pub fn release_mappings(domain: &Domain, budget: &Budget) -> bool {
    debug_assert!(domain.is_dying());
    let grants = &domain.grants;
    let mut handle = grants
        .release_next
        .load(Ordering::Acquire)
        .min(grants.maptrack.len());
    while handle > 0 {
        handle -= 1;
        if let Some(slot) = grants.maptrack.slot(handle)
            && let Some(mapping) = slot.mapping.lock().take()
        {
            map::release(&mapping);
        }
        if budget.spend(1) {
            break;
        }
    }
    grants.release_next.store(handle, Ordering::Release);
    handle == 0
}

/// Frees the frames of a dead domain's table: after [`release_mappings`], when nobody uses its grants any more or its
/// pages are being taken away (users' references keep their pages).
pub fn destroy(domain: &Domain) {
    let mut table = domain.grants.table.write();
    table.version = 1;
    let (shared, status) = (
        core::mem::take(&mut table.shared),
        core::mem::take(&mut table.status),
    );
    // The records stay: whoever still uses a grant counts down there.
    drop(table);
    for page in shared.into_iter().chain(status) {
        host().mm.free_shared_page(page);
    }
}

/// How many frames resource `id` of the domain's grant table has at most (XENMEM_acquire_resource); 0 for none.
pub fn resource_max_frames(domain: &Domain, id: u32) -> u32 {
    let max = domain.grants.table.read().max_frames;
    match id {
        XENMEM_RESOURCE_GRANT_TABLE_ID_SHARED => max,
        XENMEM_RESOURCE_GRANT_TABLE_ID_STATUS => status_frames_of(max),
        _ => 0,
    }
}

/// Frames `first..` of resource `id` of the domain's grant table, made if they do not exist yet. `EINVAL` beyond its
/// limit or for another resource, `ENOMEM`.
pub fn acquire_resource(
    domain: &Domain,
    id: u32,
    first: u64,
    frames: &mut [Mfn],
) -> Result<(), Errno> {
    let first = u32::try_from(first).map_err(|_| Errno::EINVAL)?;
    for (i, frame) in (0u32..).zip(frames) {
        let index = first.checked_add(i).ok_or(Errno::EINVAL)?;
        *frame = match id {
            XENMEM_RESOURCE_GRANT_TABLE_ID_SHARED => grant_frame(domain, index)?,
            XENMEM_RESOURCE_GRANT_TABLE_ID_STATUS => status_frame(domain, index)?,
            _ => return Err(Errno::EINVAL),
        };
    }
    Ok(())
}
