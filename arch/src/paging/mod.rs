//! The hypervisor's own address space (docs/architecture.md, "Address space").
//!
//! Owns the 16 L4 entries that every guest's L4 carries, the L3 tables behind them, and everything below. The L3
//! tables are made once, so guests' L4 tables never need an update. Nothing here is both writable and executable.
#![allow(unsafe_code)]

mod ioremap;
mod layout;
mod table;
#[cfg(test)]
mod tests;

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

pub use ioremap::{CacheMode, IoMem, ioremap, read_physical, set_frame_source};
pub use layout::{
    FIRST_SLOT, FRAME_TABLE_BASE, FRAME_TABLE_SIZE, IMAGE_BASE, IOREMAP_BASE, IOREMAP_SIZE,
    M2P_BASE, M2P_RO_BASE, M2P_SIZE, SLOTS, image_range, image_sections,
};
pub use table::{Flags, FrameSource};

use crate::addr::{Mfn, PAGE_SIZE, PhysAddr};
use crate::boot::{BootInfo, EarlyMemory, RegionKind};
use crate::frame::DIRECT_MAP_BASE;
use crate::sync::SpinLock;
use table::Tables;

/// Why a mapping could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// No frame for a page table.
    OutOfMemory,
    /// The range is not page-aligned, wraps, or leaves its window.
    BadRange,
    /// Something is mapped there already.
    Occupied,
    /// [`init`] has not run.
    NotReady,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfMemory => "out of memory for page tables",
            Self::BadRange => "the range cannot be mapped",
            Self::Occupied => "the range is mapped already",
            Self::NotReady => "paging is not set up",
        })
    }
}

/// Serialises changes of the tables.
static TABLES: SpinLock<Option<Tables>> = SpinLock::new(None);
/// Physical address of the idle L4.
static IDLE_CR3: AtomicU64 = AtomicU64::new(0);

/// The tables of this (simulated) machine.
fn with_tables<R>(f: impl FnOnce(&mut Tables) -> Result<R, MapError>) -> Result<R, MapError> {
    f(TABLES.lock().as_mut().ok_or(MapError::NotReady)?)
}

/// Builds the final tables from `memory` and loads them: image, direct map of RAM and ACPI memory, and empty windows
/// for the rest. Boot CPU only, once.
///
/// # Errors
/// [`MapError::OutOfMemory`] if the machine is too small.
pub fn init(info: &BootInfo, memory: &mut EarlyMemory) -> Result<(), MapError> {
    let mut tables = Tables::new(memory)?;
    for (va, range, flags) in image_sections() {
        tables.map(
            va,
            range.start,
            range.len(),
            flags | Flags::GLOBAL,
            1,
            memory,
        )?;
    }
    for region in info.memory() {
        match region.kind {
            RegionKind::Ram => {
                let (start, end) = (
                    region.start.next_multiple_of(PAGE_SIZE),
                    region.end & !(PAGE_SIZE - 1),
                );
                map_direct(&mut tables, start, end, memory)?;
            }
            RegionKind::AcpiReclaim | RegionKind::AcpiNvs => {
                let (start, end) = (
                    region.start & !(PAGE_SIZE - 1),
                    region.end.next_multiple_of(PAGE_SIZE),
                );
                // An edge page that is shared with RAM stays RAM's, or is mapped on demand by `read_physical`.
                map_direct(&mut tables, start, end, memory).or_else(|error| match error {
                    MapError::Occupied => Ok(()),
                    other => Err(other),
                })?;
            }
            _ => {}
        }
    }
    ioremap::reserve(memory);
    let root = tables.root();
    IDLE_CR3.store(root.addr().get(), Ordering::SeqCst);
    *TABLES.lock() = Some(tables);
    load_idle_cr3();
    memory.direct_map_ready();
    Ok(())
}

/// Maps physical `start..end` in the direct map: writable, but for the image's code and constants.
fn map_direct(
    tables: &mut Tables,
    start: u64,
    end: u64,
    memory: &mut dyn FrameSource,
) -> Result<(), MapError> {
    // Within the direct map's ten slots.
    let end = end.min(DIRECT_MAP_SIZE);
    let mut at = start;
    for (_, range, flags) in image_sections() {
        let writable = flags.contains(Flags::WRITABLE);
        if writable || range.end <= at || range.start >= end {
            continue;
        }
        let border = range.start.max(at);
        map_direct_part(tables, at, border, Flags::DATA, memory)?;
        map_direct_part(tables, border, range.end.min(end), Flags::CONSTANTS, memory)?;
        at = range.end.min(end);
    }
    map_direct_part(tables, at, end, Flags::DATA, memory)
}

fn map_direct_part(
    tables: &mut Tables,
    start: u64,
    end: u64,
    flags: Flags,
    memory: &mut dyn FrameSource,
) -> Result<(), MapError> {
    if start >= end {
        return Ok(());
    }
    let largest = if crate::cpu::features().gigabyte_pages {
        3
    } else {
        2
    };
    tables.map(
        DIRECT_MAP_BASE + start,
        start,
        end - start,
        flags | Flags::GLOBAL,
        largest,
        memory,
    )
}

/// Bytes of physical memory that the direct map can show.
pub const DIRECT_MAP_SIZE: u64 = 10 << 39;

/// Whether the direct map shows this physical range.
#[must_use]
pub fn is_direct_mapped(start: PhysAddr, len: u64) -> bool {
    let Some(end) = start
        .get()
        .checked_add(len)
        .filter(|&end| end <= DIRECT_MAP_SIZE)
    else {
        return false;
    };
    with_tables(|tables| {
        let mut at = start.get();
        while at < end {
            let Some((_, size)) = tables.lookup(DIRECT_MAP_BASE + at) else {
                return Ok(false);
            };
            at = (at / size + 1) * size;
        }
        Ok(true)
    })
    .unwrap_or(false)
}

/// Maps `len` bytes at `va` with fresh zeroed memory from `source`, in 2 MiB pages where alignment and source allow it.
/// For the frame table and its like; both must be page-aligned.
///
/// # Errors
/// See [`MapError`]; what was mapped before the error stays.
pub fn map_region(
    va: u64,
    len: u64,
    flags: Flags,
    source: &mut dyn FrameSource,
) -> Result<(), MapError> {
    with_tables(|tables| tables.map_fresh(va, len, flags | Flags::GLOBAL, source))
}

/// Maps physical memory at a virtual address of the hypervisor's slots, 4 KiB or 2 MiB at a time.
///
/// # Errors
/// See [`MapError`].
///
/// # Safety
/// The virtual range is the caller's, and the mapping breaks no rule of the frames behind it.
pub unsafe fn map_physical(
    va: u64,
    phys: PhysAddr,
    len: u64,
    flags: Flags,
    source: &mut dyn FrameSource,
) -> Result<(), MapError> {
    with_tables(|tables| tables.map(va, phys.get(), len, flags | Flags::GLOBAL, 2, source))
}

/// Makes the machine-to-phys table cover frames `start..end` (rounded outwards to what one page of the table holds):
/// writable for the hypervisor, read-only and user-readable for guests. Parts that exist are left alone. Fresh memory
/// is filled with all ones (Xen's `INVALID_M2P_ENTRY`).
///
/// # Errors
/// See [`MapError`].
pub fn map_m2p(start: Mfn, end: Mfn, source: &mut dyn FrameSource) -> Result<(), MapError> {
    const LARGE: u64 = 2 << 20;
    let first = start.get().saturating_mul(8) & !(LARGE - 1);
    let last = end.get().saturating_mul(8);
    if last > M2P_SIZE {
        return Err(MapError::BadRange);
    }
    with_tables(|tables| {
        let mut at = first;
        while at < last {
            if tables.lookup(M2P_BASE + at).is_none() {
                match source.large_frame() {
                    Some(mfn) => {
                        map_m2p_part(tables, at, mfn, LARGE, source)?;
                    }
                    None => {
                        for page in 0..512 {
                            let mfn = source.frame().ok_or(MapError::OutOfMemory)?;
                            map_m2p_part(tables, at + page * PAGE_SIZE, mfn, PAGE_SIZE, source)?;
                        }
                    }
                }
            }
            at += LARGE;
        }
        Ok(())
    })
}

fn map_m2p_part(
    tables: &mut Tables,
    offset: u64,
    mfn: Mfn,
    len: u64,
    source: &mut dyn FrameSource,
) -> Result<(), MapError> {
    for n in 0..len / PAGE_SIZE {
        // SAFETY: fresh frames from the source, ours alone.
        let frame = unsafe { crate::frame::RawFrame::new(mfn.offset(n)) };
        for word in 0..512 {
            frame.write_u64(word * 8, u64::MAX);
        }
    }
    tables.map(
        M2P_BASE + offset,
        mfn.addr().get(),
        len,
        Flags::DATA | Flags::GLOBAL,
        2,
        source,
    )?;
    tables.map(
        M2P_RO_BASE + offset,
        mfn.addr().get(),
        len,
        Flags::CONSTANTS | Flags::USER | Flags::GLOBAL,
        2,
        source,
    )
}

/// The L4 entries 256..=271 that every guest L4 carries.
#[must_use]
pub fn hypervisor_l4_entries() -> [u64; SLOTS] {
    with_tables(|tables| Ok(tables.l4_entries())).unwrap_or([0; SLOTS])
}

/// CR3 of a CPU that runs no guest (no PCID bits).
#[must_use]
pub fn idle_cr3() -> u64 {
    IDLE_CR3.load(Ordering::Relaxed)
}

/// Leaves the current guest's tables: the idle tables have the same hypervisor mappings and nothing else.
pub fn load_idle_cr3() {
    #[cfg(target_os = "none")]
    {
        use crate::cpu::control::Cr4;
        let cr4 = crate::cpu::control::read_cr4().bits();
        // SAFETY: the idle tables map the image, this stack (image or per-CPU area) and the direct map as those before
        // them do; global entries that differ (the early identity mapping has none) go with the PGE toggle.
        unsafe {
            core::arch::asm!(
                "mov cr3, {root}", "mov cr4, {off}", "mov cr4, {on}",
                root = in(reg) idle_cr3(), off = in(reg) cr4 & !Cr4::PGE.bits(), on = in(reg) cr4,
                options(nostack, preserves_flags)
            );
        }
    }
}

/// The L1 table that maps `va`, which must exist.
pub(crate) fn l1_table(va: u64) -> Result<Mfn, MapError> {
    with_tables(|tables| tables.l1_table(va))
}

/// Whether an address lies on a mapped page of a CPU's stacks, or on the boot stack. Takes no lock: for traces.
#[must_use]
pub(crate) fn is_stack(va: u64) -> bool {
    let [.., (data, range, _)] = image_sections();
    if (data..data + range.len()).contains(&va) {
        return true;
    }
    let Some(offset) = va.checked_sub(crate::percpu::area_base(0)) else {
        return false;
    };
    let (cpu, page) = ((offset >> 20) as usize, offset >> 12 & 0xff);
    // Pages of the stack region that are not guards.
    crate::tables::has_area(cpu) && matches!(page, 0x21 | 0x23 | 0x25 | 0x27 | 0x29..=0x2f)
}

/// The frame and page size (bytes) behind a hypervisor address, for messages and tests.
#[must_use]
pub fn translate(va: u64) -> Option<(PhysAddr, u64)> {
    with_tables(|tables| Ok(tables.lookup(va)))
        .ok()
        .flatten()
        .map(|(entry, size)| {
            (
                PhysAddr((entry & table::ADDRESS & !(size - 1)) | (va & (size - 1))),
                size,
            )
        })
}
