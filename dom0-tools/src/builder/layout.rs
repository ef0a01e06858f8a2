//! Where a PV guest finds what it starts with.
//!
//! Xen `public/xen.h`, "Start-of-day memory layout": kernel, ramdisk, list of frames, start info
//! and rings, page tables, boot stack, all mapped from the kernel's base on, to a multiple of 4 MiB
//! with at least 512 KiB to spare. A kernel may ask for the ramdisk not to be mapped, and for the
//! list of frames elsewhere: then they come behind, and the list brings tables of its own.

use std::ops::Range;

use super::elf::Notes;
use super::{Error, PAGE};

/// Frames left mapped and free behind everything.
const SPARE: u64 = 512 * 1024 / PAGE;
/// To which the mapping is rounded up, in bytes.
const ROUND: u64 = 4 << 20;
/// Bits of a virtual address below each level's index, from L1 on.
pub const SHIFTS: [u32; 4] = [12, 21, 30, 39];
const CANONICAL: u64 = (1 << 48) - 1;

/// Frames one behind the other, mapped one behind the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Virtual address of the first.
    pub start: u64,
    /// The guest frames.
    pub frames: Range<u64>,
    /// The frames of its tables, from L3 down to L1.
    pub tables: Range<u64>,
}

impl Region {
    fn len(&self) -> u64 {
        (self.frames.end - self.frames.start) * PAGE
    }

    /// Entries of the tables at a level (1 to 4) that the region uses: the first, and how many.
    pub fn entries(&self, level: usize) -> (u64, u64) {
        entries(self.start, self.len(), level)
    }

    /// The frames of its tables at a level (1 to 3).
    pub fn tables_at(&self, level: usize) -> Range<u64> {
        let mut start = self.tables.start;
        for upper in (level + 1..=3).rev() {
            start += self.entries(upper + 1).1;
        }
        start..start + self.entries(level + 1).1
    }
}

fn entries(start: u64, len: u64, level: usize) -> (u64, u64) {
    let shift = SHIFTS[level - 1];
    let first = (start & CANONICAL) >> shift;
    let last = ((start & CANONICAL) + len.max(1) - 1) >> shift;
    (first, last - first + 1)
}

/// How many tables (L3 to L1) map `len` bytes from `start` on.
fn tables(start: u64, len: u64) -> u64 {
    (1..=3).map(|level| entries(start, len, level + 1).1).sum()
}

/// Guest frames of everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What is mapped from the kernel's base on.
    pub main: Region,
    /// The list of frames, where the kernel wants it elsewhere.
    pub list: Option<Region>,
    /// The frames of the list, without tables.
    pub list_frames: Range<u64>,
    /// Virtual address of the list.
    pub list_start: u64,
    /// The ramdisk.
    pub ramdisk: Option<Range<u64>>,
    /// Whether it is mapped.
    pub ramdisk_mapped: bool,
    /// The start info.
    pub start_info: u64,
    /// xenstore's ring.
    pub xenstore: u64,
    /// The console's ring.
    pub console: u64,
    /// The L4; the other tables of `main` follow it.
    pub l4: u64,
    /// The stack to start on, a frame.
    pub boot_stack: u64,
    /// The frame behind everything.
    pub end: u64,
}

impl Layout {
    /// Plans for a kernel that ends before frame `kernel_end`, a ramdisk of `ramdisk` bytes, and a
    /// guest of `pages` pages.
    ///
    /// # Errors
    /// [`Error::TooSmall`].
    pub fn plan(
        notes: &Notes,
        kernel_end: u64,
        ramdisk: Option<u64>,
        pages: u64,
    ) -> Result<Self, Error> {
        let base = notes.virt_base.unwrap_or(0);
        let list_len = (pages * 8).div_ceil(PAGE);
        // A list that would share top-level tables with the kernel is put behind the kernel.
        let slot = |address: u64| (address & CANONICAL) >> SHIFTS[3];
        let list_start = notes.init_p2m.filter(|start| {
            let last = start.checked_add(list_len * PAGE - 1);
            start % PAGE == 0
                && *start < base
                && last.is_some_and(|last| slot(last) == slot(*start))
                && slot(*start) != slot(base)
        });
        let ramdisk_frames = ramdisk.map(|bytes| bytes.div_ceil(PAGE));
        let ramdisk_mapped = ramdisk.is_some() && !notes.unmapped_ramdisk;

        let mut next = kernel_end;
        let mut take = |count: u64| {
            let taken = next..next + count;
            next += count;
            taken
        };
        let mut ramdisk = None;
        if ramdisk_mapped {
            ramdisk = ramdisk_frames.map(&mut take);
        }
        let mut list_frames = 0..0;
        if list_start.is_none() {
            list_frames = take(list_len);
        }
        let start_info = take(1).start;
        let xenstore = take(1).start;
        let console = take(1).start;
        let l4 = take(1).start;
        // The tables map themselves, so their number depends on itself; it only grows.
        let mut count = 0;
        let (frames, lower) = loop {
            let used = l4 + 1 + count + 1 + SPARE;
            let end = used
                .checked_mul(PAGE)
                .and_then(|bytes| base.checked_add(bytes))
                .and_then(|end| end.checked_next_multiple_of(ROUND));
            let end = end.ok_or(Error::TooSmall {
                needed: used.saturating_mul(PAGE),
                given: base.wrapping_neg(),
            })?;
            let frames = (end - base) / PAGE;
            let needed = tables(base, end - base);
            if needed <= count {
                break (frames, count);
            }
            count = needed;
        };
        let main = Region {
            start: base,
            frames: 0..frames,
            tables: take(lower),
        };
        let boot_stack = take(1).start;
        next = frames;
        let mut take = |count: u64| {
            let taken = next..next + count;
            next += count;
            taken
        };
        if !ramdisk_mapped {
            ramdisk = ramdisk_frames.map(&mut take);
        }
        let mut list = None;
        if let Some(start) = list_start {
            list_frames = take(list_len);
            list = Some(Region {
                start,
                frames: list_frames.clone(),
                tables: take(tables(start, list_len * PAGE)),
            });
        }
        if next > pages {
            return Err(Error::TooSmall {
                needed: next * PAGE,
                given: pages * PAGE,
            });
        }
        Ok(Self {
            list_start: list_start.unwrap_or(base + list_frames.start * PAGE),
            main,
            list,
            list_frames,
            ramdisk,
            ramdisk_mapped,
            start_info,
            xenstore,
            console,
            l4,
            boot_stack,
            end: next,
        })
    }

    /// The virtual address of a frame in the main mapping.
    pub fn address(&self, frame: u64) -> u64 {
        self.main.start.wrapping_add(frame * PAGE)
    }

    /// How many frames the tables of the main mapping take, with the L4.
    pub fn table_frames(&self) -> u64 {
        1 + self.main.tables.end - self.main.tables.start
    }

    /// The frames that belong to the list of frames: with its own tables, if it has some.
    pub fn list_with_tables(&self) -> Range<u64> {
        match &self.list {
            Some(list) => self.list_frames.start..list.tables.end,
            None => self.list_frames.clone(),
        }
    }

    /// Whether a frame holds a table, which the guest may map for reading only.
    pub fn is_table(&self, frame: u64) -> bool {
        frame == self.l4
            || self.main.tables.contains(&frame)
            || self
                .list
                .as_ref()
                .is_some_and(|list| list.tables.contains(&frame))
    }
}
