//! Memory for what must exist before the page allocator does: page tables, frame table, per-CPU areas.
//!
//! Takes from the top of RAM below 4 GiB, so that what it gives is inside the early mapping and the DMA zones at the
//! bottom stay whole. Single frames come from conventional memory first, which no guest gets. [`EarlyMemory::free_ranges`] is what is left for the page allocator.

use super::info::BootInfo;
use super::memory_map::{PhysRange, RegionKind};
use crate::addr::{Mfn, PAGE_SIZE, PhysAddr};
use crate::frame::RawFrame;
use crate::paging::FrameSource;

const MAX_RANGES: usize = 512;

/// Conventional memory, less the beginning: some firmware writes there at any time, and CPUs start there.
const CONVENTIONAL: PhysRange = PhysRange {
    start: 0x1_0000,
    end: 0xa_0000,
};

/// RAM that nobody uses yet: ascending, disjoint, page-aligned ranges.
pub struct EarlyMemory {
    ranges: [PhysRange; MAX_RANGES],
    used: usize,
    limit: u64,
}

impl EarlyMemory {
    /// All RAM of the memory map but what [`BootInfo::reserved`] names.
    #[must_use]
    pub fn new(info: &BootInfo) -> Self {
        Self::from_ranges(
            info.memory()
                .iter()
                .filter(|r| r.kind == RegionKind::Ram)
                .map(|r| PhysRange {
                    start: r.start,
                    end: r.end,
                }),
            info.reserved(),
        )
    }

    fn from_ranges(
        ram: impl Iterator<Item = PhysRange>,
        reserved: impl Iterator<Item = PhysRange>,
    ) -> Self {
        let none = PhysRange { start: 0, end: 0 };
        let mut memory = Self {
            ranges: [none; MAX_RANGES],
            used: 0,
            limit: 1 << 32,
        };
        for range in ram {
            // Only whole pages are RAM.
            let start = range.start.next_multiple_of(PAGE_SIZE);
            memory.push(PhysRange {
                start,
                end: range.end & !(PAGE_SIZE - 1),
            });
        }
        for range in reserved {
            memory.remove(PhysRange {
                start: range.start & !(PAGE_SIZE - 1),
                end: range.end.next_multiple_of(PAGE_SIZE),
            });
        }
        memory
    }

    /// Lifts the limit of 4 GiB once the final direct map is loaded.
    pub fn direct_map_ready(&mut self) {
        self.limit = u64::MAX;
    }

    /// Takes `pages` contiguous frames, aligned to `align` pages (a power of two), zeroed; `None` when there are none.
    pub fn take(&mut self, pages: u64, align: u64) -> Option<Mfn> {
        let mfn = self.take_raw(pages, align)?;
        for n in 0..pages {
            // SAFETY: free RAM below the limit of what is mapped, taken from everyone else just now.
            unsafe { RawFrame::new(mfn.offset(n)) }.zero();
        }
        Some(mfn)
    }

    fn take_raw(&mut self, pages: u64, align: u64) -> Option<Mfn> {
        let (size, align) = (pages.checked_mul(PAGE_SIZE)?, align.checked_mul(PAGE_SIZE)?);
        for i in (0..self.used).rev() {
            let range = self.ranges[i];
            let top = range.end.min(self.limit);
            let Some(start) = top.checked_sub(size).map(|s| s & !(align - 1)) else {
                continue;
            };
            if start >= range.start && start != 0 {
                self.remove(PhysRange {
                    start,
                    end: start + size,
                });
                return Some(PhysAddr(start).mfn());
            }
        }
        None
    }

    /// Takes a frame of conventional memory, zeroed.
    fn take_conventional(&mut self) -> Option<Mfn> {
        let start = self.free_ranges().find_map(|range| {
            let start = range.end.min(CONVENTIONAL.end).checked_sub(PAGE_SIZE)?;
            (start >= range.start.max(CONVENTIONAL.start)).then_some(start)
        })?;
        self.remove(PhysRange {
            start,
            end: start + PAGE_SIZE,
        });
        let mfn = PhysAddr(start).mfn();
        // SAFETY: free RAM in the early mapping, taken from everyone else just now.
        unsafe { RawFrame::new(mfn) }.zero();
        Some(mfn)
    }

    /// Takes one frame below 1 MiB, not zeroed: real-mode code for starting CPUs.
    pub fn take_low(&mut self) -> Option<Mfn> {
        let old = core::mem::replace(&mut self.limit, 0xa_0000);
        let mfn = self.take_raw(1, 1);
        self.limit = old;
        mfn
    }

    /// Takes the range out. True if all of it was free.
    pub fn take_range(&mut self, range: PhysRange) -> bool {
        let free = self.ranges[..self.used]
            .iter()
            .any(|r| r.start <= range.start && range.end <= r.end);
        if free {
            self.remove(range);
        }
        free
    }

    /// What is free, ascending.
    pub fn free_ranges(&self) -> impl Iterator<Item = PhysRange> + '_ {
        self.ranges[..self.used]
            .iter()
            .copied()
            .filter(|r| !r.is_empty())
    }

    /// Free bytes in all.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.free_ranges().map(|r| r.len()).sum()
    }

    /// A range too many is forgotten: memory lost, nothing worse.
    fn push(&mut self, range: PhysRange) {
        if !range.is_empty()
            && let Some(slot) = self.ranges.get_mut(self.used)
        {
            *slot = range;
            self.used += 1;
        }
    }

    fn remove(&mut self, hole: PhysRange) {
        let mut i = 0;
        while i < self.used {
            let range = self.ranges[i];
            if range.is_disjoint(&hole) {
                i += 1;
                continue;
            }
            let below = PhysRange {
                start: range.start,
                end: hole.start.max(range.start),
            };
            let above = PhysRange {
                start: hole.end.min(range.end),
                end: range.end,
            };
            match (below.is_empty(), above.is_empty()) {
                (false, false) if self.used < MAX_RANGES => {
                    self.ranges.copy_within(i + 1..self.used, i + 2);
                    self.ranges[i] = below;
                    self.ranges[i + 1] = above;
                    self.used += 1;
                    i += 2;
                }
                (false, false) => {
                    // No room to split: keep the larger half.
                    self.ranges[i] = if below.len() > above.len() {
                        below
                    } else {
                        above
                    };
                    i += 1;
                }
                (false, true) => {
                    self.ranges[i] = below;
                    i += 1;
                }
                (true, false) => {
                    self.ranges[i] = above;
                    i += 1;
                }
                (true, true) => {
                    self.ranges.copy_within(i + 1..self.used, i);
                    self.used -= 1;
                }
            }
        }
    }
}

impl FrameSource for EarlyMemory {
    fn frame(&mut self) -> Option<Mfn> {
        self.take_conventional().or_else(|| self.take(1, 1))
    }
    fn large_frame(&mut self) -> Option<Mfn> {
        self.take(512, 512)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> PhysRange {
        PhysRange { start, end }
    }

    #[test]
    fn holes_split_trim_and_swallow_ranges() {
        let ram = [
            range(0x800, 0x9_fc00),
            range(0x10_0000, 0x100_0000),
            range(0x200_0000, 0x200_3000),
        ];
        let holes = [
            range(0, 0x1000),
            range(0x20_0000, 0x2f_f001),
            range(0x1ff_0000, 0x201_0000),
        ];
        let memory = EarlyMemory::from_ranges(ram.into_iter(), holes.into_iter());
        let free: Vec<_> = memory.free_ranges().collect();
        assert_eq!(
            free,
            [
                range(0x1000, 0x9_f000),
                range(0x10_0000, 0x20_0000),
                range(0x30_0000, 0x100_0000)
            ]
        );
        assert_eq!(memory.free_bytes(), 0x9_e000 + 0x10_0000 + 0xd0_0000);
    }

    #[test]
    fn single_frames_are_conventional_memory_while_there_is_some() {
        crate::hosted::reset(0x1000);
        let ram = [range(0x1000, 0x1_3000), range(0x10_0000, 0x20_0000)];
        let mut memory = EarlyMemory::from_ranges(ram.into_iter(), core::iter::empty());
        let frames: Vec<_> = (0..4)
            .filter_map(|_| FrameSource::frame(&mut memory))
            .map(Mfn::get)
            .collect();
        // What is below 64 KiB is left alone: CPUs start there.
        assert_eq!(frames, [0x12, 0x11, 0x10, 0x1ff]);
        assert_eq!(memory.take_low(), Some(Mfn::new(0xf)));
    }

    #[test]
    fn takes_aligned_from_the_top_below_the_limit() {
        crate::hosted::reset(0x1000);
        let ram = [
            range(0x10_0000, 0x90_1000),
            range(0x1_0000_0000, 0x2_0000_0000),
        ];
        let mut memory = EarlyMemory::from_ranges(ram.into_iter(), core::iter::empty());
        assert_eq!(memory.take(1, 1), Some(Mfn(0x900)));
        assert_eq!(memory.large_frame(), Some(Mfn(0x600)));
        assert_eq!(memory.take(2, 1), Some(Mfn(0x8fe)));
        assert_eq!(memory.take_low(), None);
        memory.direct_map_ready();
        assert_eq!(memory.take_raw(1, 1), Some(Mfn(0x1f_ffff)));
        assert!(memory.take_range(range(0x10_0000, 0x10_1000)));
        assert!(!memory.take_range(range(0x10_0000, 0x10_2000)));
    }
}
