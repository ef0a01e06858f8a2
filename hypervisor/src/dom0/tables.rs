//! dom0's first page tables, written as plain memory. They become page tables when they are pinned, which validates
//! them like any guest's.

use arch::addr::Mfn;

use super::BuildError;
use super::extents::{Extents, frame};
use crate::domain::Domain;
use crate::mm::Pte;

const ENTRIES: usize = 512;
/// What guests' own table entries carry.
const TABLE: u64 = Pte::P | Pte::RW | Pte::US | Pte::A | Pte::D;
/// A leaf; `RW` is added where the page is not itself a table.
const LEAF: u64 = Pte::P | Pte::US | Pte::A;

/// Tables under construction.
pub struct Tables<'a> {
    domain: &'a Domain,
    extents: &'a Extents,
    /// The top-level table.
    pub l4: Mfn,
    /// Pages for further tables.
    spare: core::ops::Range<u64>,
}

impl<'a> Tables<'a> {
    /// Starts with the first of the pages `tables` (PFNs) as an empty L4.
    pub fn new(
        domain: &'a Domain,
        extents: &'a Extents,
        tables: core::ops::Range<u64>,
    ) -> Result<Self, BuildError> {
        let mut this = Self {
            domain,
            extents,
            l4: Mfn::INVALID,
            spare: tables,
        };
        this.l4 = this.fresh()?;
        Ok(this)
    }

    /// Takes further tables from these pages from now on.
    pub fn spare(&mut self, tables: core::ops::Range<u64>) {
        self.spare = tables;
    }

    fn fresh(&mut self) -> Result<Mfn, BuildError> {
        let pfn = self
            .spare
            .next()
            .ok_or(BuildError::Layout("too few page tables"))?;
        let frame = self.extents.frame(self.domain, pfn)?;
        frame.zero();
        Ok(frame.mfn())
    }

    /// The L1 table for a virtual address, made if need be.
    fn l1(&mut self, address: u64) -> Result<Mfn, BuildError> {
        let mut table = self.l4;
        for shift in [39, 30, 21] {
            let offset = (address >> shift) as usize % ENTRIES * 8;
            let entry = Pte(frame(self.domain, table)?.read_u64(offset));
            table = if entry.present() {
                entry.mfn()
            } else {
                let fresh = self.fresh()?;
                frame(self.domain, table)?.write_u64(offset, Pte::new(fresh, TABLE).0);
                fresh
            };
        }
        Ok(table)
    }

    /// Maps frames from a page-aligned virtual address on; those for which `read_only` says so without write access.
    pub fn map(
        &mut self,
        address: u64,
        frames: impl Iterator<Item = Mfn>,
        read_only: impl Fn(u64) -> bool,
    ) -> Result<(), BuildError> {
        let mut frames = frames.enumerate().peekable();
        while let Some(&(done, _)) = frames.peek() {
            let at = address + done as u64 * 4096;
            let first = (at >> 12) as usize % ENTRIES;
            let l1 = frame(self.domain, self.l1(at)?)?;
            let mut entries = [0; ENTRIES * 8];
            let mut end = first;
            for slot in entries.as_chunks_mut::<8>().0.iter_mut().skip(first) {
                let Some((page, mfn)) = frames.next() else {
                    break;
                };
                let write = if read_only(page as u64) { 0 } else { Pte::RW };
                *slot = Pte::new(mfn, LEAF | write).0.to_le_bytes();
                end += 1;
            }
            l1.write(first * 8, &entries[first * 8..end * 8]);
        }
        Ok(())
    }
}
