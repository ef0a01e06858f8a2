//! Memory: frame table, page types, allocation, direct paging.
//!
//! Owns every machine frame's state. `frame_table` counts references, `page_type` says what a page is used as and when
//! that may change, `validate` what page-table entries hold, `pages` gives pages to domains and takes them back,
//! `buddy` keeps the free ones. `mmu_update`, `mmuext`, `va_mapping` and `memory_op` are the hypercalls over them.
//!
//! Invariants, recomputed from scratch by `audit`: a page's references are its allocation, its entries in page
//! tables, pins and what the hypervisor stores; its type count is its uses as that type; a page that a CPU may still
//! reach through a stale translation changes neither type nor owner before the flush.

pub mod audit;
pub mod buddy;
mod construct;
mod device;
mod entry;
pub mod frame_table;
mod grant;
pub mod m2p;
mod memory_op;
mod mmu_update;
mod mmuext;
pub mod page_type;
mod pages;
mod pte;
mod scrub;
#[cfg(test)]
mod tests;
pub mod tlb;
mod usage;
mod va_mapping;
mod validate;
mod walk;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use arch::addr::Mfn;

pub use buddy::Constraint;
pub use device::read_only_device_at;
pub use frame_table::{FrameTable, PageInfo, PageRef, get_page, get_page_of_any};
pub use grant::{GrantMapFlags, create_grant_mapping, replace_grant_mapping};
pub use memory_op::do_memory_op;
pub use mmu_update::do_mmu_update;
pub use mmuext::{do_mmuext_op, pin_initial_tables, switch_kernel_tables};
pub use page_type::{PageType, TypedRef, get_page_and_type, into_typed};
pub use pages::{AllocFlags, DomainMemory, MapEntry, disown, free_shared_info, relinquish};
pub use pte::Pte;
pub use tlb::CpuMask;
pub use usage::{Usage, usage};
pub use va_mapping::{do_update_va_mapping, do_update_va_mapping_otherdomain, emulate_pte_write};
pub use validate::check_descriptor;
pub use walk::{entry as walk_entry, translate, walk};

use crate::domain::Domain;
use crate::host::host;
use crate::preempt::Budget;

/// What start-up knows of the machine's memory.
pub struct Layout {
    /// The frame table, all zeroes, one entry per frame up to the end of RAM.
    pub frame_table: &'static [PageInfo],
    /// The writable view of the machine-to-phys table.
    pub m2p: &'static [AtomicU64],
    /// All RAM (frames), free or not.
    pub ram: Vec<Range<u64>>,
    /// RAM that nobody uses; within `ram` and above the first MiB.
    pub free: Vec<Range<u64>>,
    /// NUMA node of frame ranges; what is not named is node 0.
    pub nodes: Vec<(Range<u64>, u8)>,
    /// Device frames that no guest may map: local APICs, IO-APICs, IOMMUs, the MSI window.
    pub denied: Vec<Range<u64>>,
    /// The hypervisor's L4 entries, slots 256 to 271.
    pub hypervisor_l4: [u64; 16],
    /// Physical address bits of the processor.
    pub physical_bits: u32,
    /// The machine's memory map for XENMEM_machine_memory_map.
    pub machine_map: Vec<MapEntry>,
    /// The first entry of the M2P's page tables as guests see it: frames of its 2 MiB pieces
    /// (XENMEM_machphys_mfn_list).
    pub m2p_pieces: Vec<Mfn>,
    /// Whether free RAM may hold secrets of what ran before (else it was scrubbed or never used).
    pub dirty: bool,
}

/// Frame table, allocator and machine-to-phys table of the host.
pub struct Memory {
    /// All machine frames.
    pub frames: FrameTable,
    /// Free pages.
    pub buddy: buddy::Buddy,
    /// Machine-to-phys.
    pub m2p: m2p::MachineToPhys,
    denied: Box<[Range<u64>]>,
    read_only: device::ReadOnly,
    hypervisor_l4: [u64; 16],
    physical_bits: u32,
    /// The machine's memory map.
    pub machine_map: Box<[MapEntry]>,
    /// Frames of the M2P, one per 2 MiB.
    pub m2p_pieces: Box<[Mfn]>,
    total: AtomicU64,
    /// Pages that stay free for the hypervisor itself.
    reserve: AtomicU64,
}

/// Frames of the first MiB: firmware's and devices' for all purposes.
const FIRST_MIB: u64 = 0x100;

impl Default for Layout {
    /// No memory.
    fn default() -> Self {
        Self {
            frame_table: &[],
            m2p: &[],
            ram: Vec::new(),
            free: Vec::new(),
            nodes: Vec::new(),
            denied: Vec::new(),
            hypervisor_l4: [0; 16],
            physical_bits: 52,
            machine_map: Vec::new(),
            m2p_pieces: Vec::new(),
            dirty: false,
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(Layout::default())
    }
}

impl Memory {
    /// The host's memory as start-up found it. RAM that is not free is the hypervisor's own.
    pub fn new(layout: Layout) -> Self {
        let frames = FrameTable::new(layout.frame_table);
        let clip = |r: &Range<u64>| r.start.max(FIRST_MIB)..r.end.min(frames.len());
        let mut total = 0;
        for range in layout.ram.iter().map(clip) {
            for mfn in range {
                frames
                    .known(Mfn::new(mfn))
                    .count
                    .store(frame_table::count::RESERVED, Ordering::Relaxed);
                total += 1;
            }
        }
        let mut nodes = 1;
        for (range, node) in &layout.nodes {
            nodes = nodes.max(usize::from(*node) + 1);
            for mfn in clip(range) {
                frames
                    .known(Mfn::new(mfn))
                    .node
                    .store(*node, Ordering::Relaxed);
            }
        }
        let m2p = m2p::MachineToPhys::new(layout.m2p);
        for mfn in 0..m2p.len() {
            m2p.clear(Mfn::new(mfn));
        }
        let memory = Self {
            frames,
            buddy: buddy::Buddy::new(nodes),
            m2p,
            denied: layout.denied.into_boxed_slice(),
            read_only: device::ReadOnly::default(),
            hypervisor_l4: layout.hypervisor_l4,
            physical_bits: layout.physical_bits,
            machine_map: layout.machine_map.into_boxed_slice(),
            m2p_pieces: layout.m2p_pieces.into_boxed_slice(),
            total: AtomicU64::new(total),
            reserve: AtomicU64::new(pages::reserve_of(total)),
        };
        for range in &layout.free {
            memory.free_range(range.clone(), layout.dirty);
        }
        memory
    }

    /// Gives a range of RAM that was the hypervisor's to the allocator (start-up, and boot modules once used).
    pub fn free_range(&self, range: Range<u64>, dirty: bool) {
        let end = range.end.min(self.frames.len());
        let mut mfn = range.start.max(FIRST_MIB);
        while mfn < end {
            let fit = (u64::BITS - 1 - (end - mfn).leading_zeros()).min(mfn.trailing_zeros());
            let mut order = fit.min(buddy::MAX_ORDER);
            let node = |m: u64| self.frames.known(Mfn::new(m)).node.load(Ordering::Relaxed);
            // A block lies on one node.
            while order > 0 && node(mfn) != node(mfn + (1 << order) - 1) {
                order -= 1;
            }
            self.buddy.free(&self.frames, Mfn::new(mfn), order, dirty);
            mfn += 1 << order;
        }
    }

    /// Pages of RAM in the machine.
    pub fn total_pages(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Free pages.
    pub fn free_pages(&self) -> u64 {
        self.buddy.statistics().free
    }

    pub(crate) fn device_denied(&self, mfn: Mfn) -> bool {
        self.denied.iter().any(|r| r.contains(&mfn.get()))
            || self.frames.entry(mfn).is_some_and(|p| {
                p.count_word() & (frame_table::count::RAM | frame_table::count::RESERVED) != 0
            })
    }

    /// Device frames that no guest may map.
    pub(crate) fn denied_ranges(&self) -> core::slice::Iter<'_, Range<u64>> {
        self.denied.iter()
    }

    pub(crate) fn physical_bits(&self) -> u32 {
        self.physical_bits
    }

    pub(crate) fn hypervisor_l4(&self) -> &[u64; 16] {
        &self.hypervisor_l4
    }
}

/// Notes a suspended page table of which nobody else will continue the release.
#[cold]
fn defer(mfn: Mfn) {
    if let Ok(owner) = host().domains.get(page_type::info(mfn).owner()) {
        let mut unfinished = owner.mem.unfinished.lock();
        unfinished.push(mfn);
        owner.mem.has_unfinished.store(true, Ordering::Release);
    }
}

/// Whether something is suspended on `domain`'s behalf.
#[inline]
fn has_deferred(domain: &Domain) -> bool {
    domain.mem.has_unfinished.load(Ordering::Acquire)
}

/// The type a frame is used as now.
pub fn current_type(mfn: Mfn) -> PageType {
    host()
        .mm
        .frames
        .ram(mfn)
        .map(PageInfo::page_type)
        .filter(|&(_, uses)| uses > 0)
        .map_or(PageType::None, |(ty, _)| ty)
}

/// Gives back a type use and reference that were stored with [`TypedRef::into_raw`].
pub fn put_page_and_type(_domain: &Domain, mfn: Mfn) {
    drop(TypedRef::from_raw(mfn));
}

/// Continues what was left suspended on `domain`'s behalf. True when nothing is left.
#[cold]
fn finish_deferred(domain: &Domain, budget: &Budget) -> bool {
    loop {
        let mfn = {
            let mut unfinished = domain.mem.unfinished.lock();
            let Some(mfn) = unfinished.pop() else {
                domain.mem.has_unfinished.store(false, Ordering::Release);
                return true;
            };
            mfn
        };
        let suspended = page_type::finish(mfn, domain.id, budget) == page_type::Dropped::Suspended;
        if suspended {
            domain.mem.unfinished.lock().push(mfn);
        }
        if suspended || budget.exhausted() {
            return false;
        }
    }
}

/// A fresh budget for one hypercall; tests choose small ones to stop everywhere.
#[inline]
fn budget() -> Budget {
    #[cfg(test)]
    {
        Budget::with_units(tests::BUDGET.get())
    }
    #[cfg(not(test))]
    {
        Budget::new()
    }
}
