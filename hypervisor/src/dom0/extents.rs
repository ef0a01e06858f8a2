//! Which machine frames back dom0's pseudo-physical pages.

use alloc::vec::Vec;
use core::ops::Range;

use arch::addr::{Mfn, PAGE_BYTES, PAGE_SHIFT};
use arch::frame::RawFrame;

use super::BuildError;
use crate::domain::Domain;
use crate::host::host;
use crate::mm::{self, AllocFlags};

/// Adjacent frames for adjacent pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First page (PFN).
    pub pfn: u64,
    /// First frame.
    pub mfn: Mfn,
    /// How many.
    pub pages: u64,
}

/// All extents, ascending by page and without gaps.
#[derive(Debug, Default)]
pub struct Extents {
    list: Vec<Extent>,
    /// No larger block is left.
    largest: Option<u32>,
}

impl Extents {
    /// Pages so far; the next extent starts here.
    pub fn pages(&self) -> u64 {
        self.list.last().map_or(0, |e| e.pfn + e.pages)
    }

    /// Appends frames.
    pub fn push(&mut self, mfn: Mfn, pages: u64) {
        let pfn = self.pages();
        if let Some(last) = self.list.last_mut()
            && last.mfn.offset(last.pages) == mfn
        {
            last.pages += pages;
        } else {
            self.list.push(Extent { pfn, mfn, pages });
        }
    }

    /// Gives dom0 `pages` more pages, in blocks as large as there are.
    pub fn allocate(&mut self, domain: &Domain, pages: u64) -> Result<(), BuildError> {
        let memory = &host().mm;
        let how = AllocFlags {
            // dom0 may read all memory anyhow.
            builder: true,
            ..AllocFlags::default()
        };
        let mut left = pages;
        while left > 0 {
            let fit = left
                .ilog2()
                .min(self.largest.unwrap_or(mm::buddy::MAX_ORDER));
            let mut order = fit;
            let mfn = loop {
                match memory.alloc_domain_pages(domain, order, how) {
                    Ok(mfn) => break mfn,
                    Err(_) if order > 0 => order -= 1,
                    Err(_) => {
                        return Err(BuildError::OutOfMemory { missing: left });
                    }
                }
            };
            if order < fit {
                self.largest = Some(order);
            }
            self.push(mfn, 1 << order);
            left -= 1 << order;
        }
        Ok(())
    }

    /// The allocator has more than before: large blocks are worth a try again.
    pub fn memory_came_back(&mut self) {
        self.largest = None;
    }

    /// The frame of a page.
    pub fn mfn(&self, pfn: u64) -> Option<Mfn> {
        let index = self.list.partition_point(|e| e.pfn <= pfn).checked_sub(1)?;
        let extent = self.list.get(index)?;
        let offset = pfn - extent.pfn;
        (offset < extent.pages).then(|| extent.mfn.offset(offset))
    }

    /// The frames of a range of pages, in order.
    pub fn frames(&self, pfns: Range<u64>) -> impl Iterator<Item = Mfn> + '_ {
        let first = self.list.partition_point(|e| e.pfn + e.pages <= pfns.start);
        self.list
            .iter()
            .skip(first)
            .take_while(move |e| e.pfn < pfns.end)
            .flat_map(move |e| {
                let from = pfns.start.max(e.pfn) - e.pfn;
                let to = pfns.end.min(e.pfn + e.pages) - e.pfn;
                (from..to).map(|i| e.mfn.offset(i))
            })
    }

    /// Every extent.
    pub fn iter(&self) -> impl Iterator<Item = &Extent> {
        self.list.iter()
    }

    /// Access to a page that dom0 owns.
    pub fn frame(&self, domain: &Domain, pfn: u64) -> Result<RawFrame, BuildError> {
        let mfn = self
            .mfn(pfn)
            .ok_or(BuildError::Layout("a page has no frame"))?;
        frame(domain, mfn)
    }

    /// Copies bytes to a pseudo-physical address.
    pub fn write(&self, domain: &Domain, address: u64, mut data: &[u8]) -> Result<(), BuildError> {
        let mut at = address;
        while !data.is_empty() {
            let offset = at as usize % PAGE_BYTES;
            let (piece, rest) = data.split_at(data.len().min(PAGE_BYTES - offset));
            self.frame(domain, at >> PAGE_SHIFT)?.write(offset, piece);
            at += piece.len() as u64;
            data = rest;
        }
        Ok(())
    }

    /// Clears `len` bytes from a pseudo-physical address on.
    pub fn clear(&self, domain: &Domain, address: u64, len: u64) -> Result<(), BuildError> {
        static ZEROES: [u8; PAGE_BYTES] = [0; PAGE_BYTES];
        let (mut at, end) = (address, address + len);
        while at < end {
            let offset = at as usize % PAGE_BYTES;
            let size = ((end - at) as usize).min(PAGE_BYTES - offset);
            let frame = self.frame(domain, at >> PAGE_SHIFT)?;
            if size == PAGE_BYTES {
                frame.zero();
            } else {
                frame.write(offset, &ZEROES[..size]);
            }
            at += size as u64;
        }
        Ok(())
    }
}

/// Access to a frame that dom0 owns, for as long as it is being built.
pub fn frame(domain: &Domain, mfn: Mfn) -> Result<RawFrame, BuildError> {
    Ok(mm::get_page(mfn, domain.id)
        .map_err(|_| BuildError::Layout("a page is not dom0's"))?
        .frame())
}
