//! What the dom0 builder needs of memory management, beyond what hypercalls do.

use core::ops::Range;
use core::sync::atomic::Ordering;

use arch::addr::{Mfn, PAGE_BYTES};
use arch::frame::FrameBytes;
use hypercall_abi::Errno;

use super::Memory;
use super::buddy::Constraint;
use super::frame_table::count;
use super::page_type::{Kind, PageType};
use crate::domain::Domain;

impl Memory {
    /// Gives `domain` frames of RAM that start-up kept from the allocator (a boot module), contents and all.
    /// `EINVAL` if they are not such frames, `ENOMEM` beyond the domain's limit; then nothing was given.
    pub fn adopt_range(&self, domain: &Domain, range: Range<u64>) -> Result<(), Errno> {
        let reserved = |mfn| {
            let page = self.frames.entry(Mfn::new(mfn));
            page.is_some_and(|p| p.count_word() == count::RESERVED)
        };
        if !range.clone().all(reserved) {
            return Err(Errno::EINVAL);
        }
        let limit = domain.mem.max_pages();
        if limit.saturating_sub(domain.mem.tot_pages()) < range.end.saturating_sub(range.start) {
            return Err(Errno::ENOMEM);
        }
        for mfn in range.map(Mfn::new) {
            let page = self.frames.known(mfn);
            page.kind
                .store(Kind::new(PageType::None, 0, 0).0, Ordering::Relaxed);
            self.assign_page(domain, mfn)?;
        }
        Ok(())
    }

    /// Memory for the hypervisor to work in for a while: `bytes` long, not cleared. `None` if there is no such block.
    pub fn alloc_scratch(&self, bytes: u64) -> Option<FrameBytes> {
        let pages = bytes.div_ceil(PAGE_BYTES as u64).max(1);
        let order = pages.next_power_of_two().trailing_zeros();
        let first = self
            .buddy
            .allocate(&self.frames, order, Constraint::default(), true, 0)?;
        self.clean(first, order, true);
        for i in 0..1u64 << order {
            let page = self.frames.known(first.offset(i));
            page.count.store(count::RESERVED, Ordering::Release);
        }
        self.free_range(first.get() + pages..first.get() + (1 << order), true);
        Some(scratch(first, pages as usize))
    }

    /// Looks into frames that start-up kept from the allocator (a boot module). `EINVAL` if they are not such frames.
    pub fn borrow_reserved(&self, range: Range<u64>) -> Result<FrameBytes, Errno> {
        let reserved = |mfn| {
            let page = self.frames.entry(Mfn::new(mfn));
            page.is_some_and(|p| p.count_word() == count::RESERVED)
        };
        if range.is_empty() || !range.clone().all(reserved) {
            return Err(Errno::EINVAL);
        }
        Ok(scratch(
            Mfn::new(range.start),
            (range.end - range.start) as usize,
        ))
    }

    /// Takes scratch memory back.
    pub fn free_scratch(&self, scratch: FrameBytes) {
        let first = scratch.first().get();
        let frames = scratch.frames() as u64;
        self.free_range(first..first + frames, true);
    }
}

#[allow(unsafe_code)]
fn scratch(first: Mfn, frames: usize) -> FrameBytes {
    // SAFETY: the frames were just taken from the allocator and marked as the hypervisor's own: RAM of the direct map
    // that no guest can refer to and that nothing else uses until `free_scratch` consumes the value.
    unsafe { FrameBytes::new(first, frames) }
}
