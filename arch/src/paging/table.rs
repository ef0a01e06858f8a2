//! Walking and filling the hypervisor's four-level tables (Intel SDM 3A, 4.5; AMD APM 2, 5.3).

use super::MapError;
use super::layout::{FIRST_SLOT, SLOTS};
use crate::addr::{Mfn, PAGE_SIZE, PhysAddr};
use crate::frame::RawFrame;

bitflags::bitflags! {
    /// Bits of a page-table entry.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u64 {
        /// There is a mapping.
        const PRESENT = 1 << 0;
        /// Writes are allowed.
        const WRITABLE = 1 << 1;
        /// Ring 3 may use it.
        const USER = 1 << 2;
        /// PAT index bit 0.
        const WRITE_THROUGH = 1 << 3;
        /// PAT index bit 1.
        const CACHE_DISABLE = 1 << 4;
        /// Was used.
        const ACCESSED = 1 << 5;
        /// Was written.
        const DIRTY = 1 << 6;
        /// A 2 MiB or 1 GiB page (in L2 and L3 entries).
        const LARGE = 1 << 7;
        /// Survives a CR3 load.
        const GLOBAL = 1 << 8;
        /// No instruction fetches.
        const NO_EXECUTE = 1 << 63;
        /// r-x
        const CODE = 1 << 0 | 1 << 5;
        /// r--
        const CONSTANTS = 1 << 0 | 1 << 5 | 1 << 63;
        /// rw-
        const DATA = 1 << 0 | 1 << 1 | 1 << 5 | 1 << 6 | 1 << 63;
    }
}

/// The address bits of an entry.
pub(super) const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// What entries above the last level carry; permissions are decided at the leaf.
const TABLE: u64 = 0x63;

/// Where page tables and fresh mappings get their memory.
pub trait FrameSource {
    /// A zeroed frame.
    fn frame(&mut self) -> Option<Mfn>;
    /// A zeroed, 2 MiB aligned run of 512 frames.
    fn large_frame(&mut self) -> Option<Mfn> {
        None
    }
}

impl<F: FnMut() -> Option<Mfn>> FrameSource for F {
    fn frame(&mut self) -> Option<Mfn> {
        self()
    }
}

/// The tables: idle L4, and the L3 tables of the hypervisor's slots.
pub(super) struct Tables {
    root: Mfn,
}

fn raw(mfn: Mfn) -> RawFrame {
    // SAFETY: only called for frames that hold the hypervisor's own page tables, which are never freed.
    unsafe { RawFrame::new(mfn) }
}

const fn index(va: u64, level: u32) -> usize {
    (va >> (12 + 9 * (level - 1)) & 511) as usize
}

/// Bytes that an entry of a level maps.
const fn span(level: u32) -> u64 {
    1 << (12 + 9 * (level - 1))
}

impl Tables {
    /// Empty tables: an L4 with the hypervisor's slots filled.
    pub(super) fn new(source: &mut dyn FrameSource) -> Result<Self, MapError> {
        let root = source.frame().ok_or(MapError::OutOfMemory)?;
        for slot in FIRST_SLOT..FIRST_SLOT + SLOTS {
            let l3 = source.frame().ok_or(MapError::OutOfMemory)?;
            // The guests' view of the machine-to-phys table alone is theirs to read, and not even Oxen writes there.
            let bits = if slot == FIRST_SLOT {
                TABLE & !2 | 4
            } else {
                TABLE
            };
            raw(root).write_u64(slot * 8, l3.addr().get() | bits);
        }
        Ok(Self { root })
    }

    pub(super) const fn root(&self) -> Mfn {
        self.root
    }

    pub(super) fn l4_entries(&self) -> [u64; SLOTS] {
        core::array::from_fn(|n| raw(self.root).read_u64((FIRST_SLOT + n) * 8))
    }

    /// The table of `level` that holds `va`'s entry, made where it is missing.
    fn descend(
        &mut self,
        va: u64,
        level: u32,
        source: &mut dyn FrameSource,
    ) -> Result<Mfn, MapError> {
        let mut table = self.root;
        for upper in (level + 1..=4).rev() {
            let offset = index(va, upper) * 8;
            let entry = raw(table).read_u64(offset);
            if entry & Flags::PRESENT.bits() == 0 {
                let new = source.frame().ok_or(MapError::OutOfMemory)?;
                let user = if index(va, 4) == FIRST_SLOT {
                    Flags::USER.bits()
                } else {
                    0
                };
                raw(table).write_u64(offset, new.addr().get() | TABLE | user);
                table = new;
            } else if entry & Flags::LARGE.bits() != 0 && upper < 4 {
                return Err(MapError::Occupied);
            } else {
                table = PhysAddr(entry & ADDRESS).mfn();
            }
        }
        Ok(table)
    }

    fn check(va: u64, len: u64) -> Result<u64, MapError> {
        let start = 0xffff_8000_0000_0000;
        let limit = start + span(4) * SLOTS as u64;
        let end = va.checked_add(len).ok_or(MapError::BadRange)?;
        let aligned = (va | len) & (PAGE_SIZE - 1) == 0;
        if va >= start && end <= limit && aligned {
            Ok(end)
        } else {
            Err(MapError::BadRange)
        }
    }

    /// The page size for the next piece: the largest level that alignment, length and `largest` allow.
    fn level_for(va: u64, phys: u64, left: u64, largest: u32) -> u32 {
        (2..=largest)
            .rev()
            .find(|&l| (va | phys) & (span(l) - 1) == 0 && left >= span(l))
            .unwrap_or(1)
    }

    /// Maps `len` bytes of physical memory in pages of at most `largest` (1: 4 KiB, 2: 2 MiB, 3: 1 GiB).
    pub(super) fn map(
        &mut self,
        va: u64,
        phys: u64,
        len: u64,
        flags: Flags,
        largest: u32,
        source: &mut dyn FrameSource,
    ) -> Result<(), MapError> {
        Self::check(va, len)?;
        if phys & (PAGE_SIZE - 1) != 0
            || phys
                .checked_add(len)
                .is_none_or(|end| end > ADDRESS + PAGE_SIZE)
        {
            return Err(MapError::BadRange);
        }
        let mut done = 0;
        while done < len {
            let level = Self::level_for(va + done, phys + done, len - done, largest);
            self.set(va + done, phys + done, level, flags, source)?;
            done += span(level);
        }
        Ok(())
    }

    /// Maps `len` bytes of fresh memory.
    pub(super) fn map_fresh(
        &mut self,
        va: u64,
        len: u64,
        flags: Flags,
        source: &mut dyn FrameSource,
    ) -> Result<(), MapError> {
        Self::check(va, len)?;
        let mut done = 0;
        while done < len {
            let large = Self::level_for(va + done, 0, len - done, 2) == 2;
            let (mfn, level) = match large.then(|| source.large_frame()).flatten() {
                Some(mfn) => (mfn, 2),
                None => (source.frame().ok_or(MapError::OutOfMemory)?, 1),
            };
            self.set(va + done, mfn.addr().get(), level, flags, source)?;
            done += span(level);
        }
        Ok(())
    }

    fn set(
        &mut self,
        va: u64,
        phys: u64,
        level: u32,
        flags: Flags,
        source: &mut dyn FrameSource,
    ) -> Result<(), MapError> {
        let table = raw(self.descend(va, level, source)?);
        let offset = index(va, level) * 8;
        if table.read_u64(offset) & Flags::PRESENT.bits() != 0 {
            return Err(MapError::Occupied);
        }
        let large = if level > 1 {
            Flags::LARGE
        } else {
            Flags::empty()
        };
        table.write_u64(offset, phys | (flags | large).bits());
        Ok(())
    }

    /// The leaf entry for an address, and the bytes that it maps.
    pub(super) fn lookup(&self, va: u64) -> Option<(u64, u64)> {
        Self::check(va & !(PAGE_SIZE - 1), PAGE_SIZE).ok()?;
        let mut table = self.root;
        for level in (1..=4).rev() {
            let entry = raw(table).read_u64(index(va, level) * 8);
            if entry & Flags::PRESENT.bits() == 0 {
                return None;
            }
            if level == 1 || (level < 4 && entry & Flags::LARGE.bits() != 0) {
                return Some((entry, span(level)));
            }
            table = PhysAddr(entry & ADDRESS).mfn();
        }
        None
    }

    /// The L1 table for an address; it must exist.
    pub(super) fn l1_table(&mut self, va: u64) -> Result<Mfn, MapError> {
        Self::check(va & !(PAGE_SIZE - 1), PAGE_SIZE)?;
        self.descend(va, 1, &mut || None)
    }

    /// Replaces a 4 KiB entry whose L1 table exists; the caller invalidates. Returns the old entry.
    #[cfg_attr(
        not(target_os = "none"),
        allow(dead_code, reason = "for the temporary mapping")
    )]
    pub(super) fn replace_l1(&mut self, va: u64, entry: u64) -> Result<u64, MapError> {
        let table = raw(self.l1_table(va)?);
        let offset = index(va, 1) * 8;
        let old = table.read_u64(offset);
        table.write_u64(offset, entry);
        Ok(old)
    }
}
