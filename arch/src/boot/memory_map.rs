//! The machine's memory map: regions as the firmware tells them, made sorted and disjoint.

use super::BootError;

/// What a region of physical memory is (E820 types, ACPI 6.5 section 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum RegionKind {
    /// Usable RAM.
    Ram = 1,
    /// Persistent memory.
    Persistent = 7,
    /// ACPI tables; RAM once they have been read.
    AcpiReclaim = 3,
    /// ACPI non-volatile storage.
    AcpiNvs = 4,
    /// Reserved, or of a type that Oxen does not know.
    Reserved = 2,
    /// Broken memory.
    Unusable = 5,
}

impl RegionKind {
    /// From an E820 type; unknown ones are reserved.
    #[must_use]
    pub const fn from_e820(kind: u32) -> Self {
        match kind {
            1 => Self::Ram,
            3 => Self::AcpiReclaim,
            4 => Self::AcpiNvs,
            5 => Self::Unusable,
            7 => Self::Persistent,
            _ => Self::Reserved,
        }
    }

    /// The E820 type.
    #[must_use]
    pub const fn e820(self) -> u32 {
        self as u32
    }

    /// Where regions overlap, the kind with the higher rank holds.
    const fn rank(self) -> u8 {
        match self {
            Self::Ram => 0,
            Self::Persistent => 1,
            Self::AcpiReclaim => 2,
            Self::AcpiNvs => 3,
            Self::Reserved => 4,
            Self::Unusable => 5,
        }
    }
}

/// A range of physical addresses, `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhysRange {
    /// First byte.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
}

impl PhysRange {
    /// Whether no byte is in both.
    #[must_use]
    pub const fn is_disjoint(&self, other: &Self) -> bool {
        self.end <= other.start || other.end <= self.start
    }
    /// Bytes in it.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
    /// Whether it has no byte.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.end <= self.start
    }
}

/// One region of the memory map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First byte, physical.
    pub start: u64,
    /// First byte after it.
    pub end: u64,
    /// What it is.
    pub kind: RegionKind,
}

const NONE: Region = Region {
    start: 0,
    end: 0,
    kind: RegionKind::Reserved,
};

/// A memory map with room for `N` regions.
pub(super) struct MemoryMap<const N: usize> {
    regions: [Region; N],
    used: usize,
}

/// No CPU has more physical address bits (Intel SDM 1, 3.3.1; AMD APM 2, 5.1).
const PHYS_LIMIT: u64 = 1 << 52;

impl<const N: usize> MemoryMap<N> {
    pub(super) const fn new() -> Self {
        Self {
            regions: [NONE; N],
            used: 0,
        }
    }

    pub(super) fn regions(&self) -> &[Region] {
        &self.regions[..self.used]
    }

    /// Adds a region as told. Empty ones are dropped, ends beyond the address space cut, neighbours of one kind joined.
    pub(super) fn add(&mut self, start: u64, len: u64, kind: RegionKind) -> Result<(), BootError> {
        let end = start.saturating_add(len).min(PHYS_LIMIT);
        if end <= start {
            return Ok(());
        }
        if let Some(last) = self
            .used
            .checked_sub(1)
            .and_then(|i| self.regions.get_mut(i))
            && last.end == start
            && last.kind == kind
        {
            last.end = end;
            return Ok(());
        }
        self.push(Region { start, end, kind })
    }

    fn push(&mut self, region: Region) -> Result<(), BootError> {
        *self
            .regions
            .get_mut(self.used)
            .ok_or(BootError::TooMany("memory regions"))? = region;
        self.used += 1;
        Ok(())
    }

    /// Forgets RAM from `end` on. The map must be normalised. Returns the bytes forgotten.
    pub(super) fn limit_ram(&mut self, end: u64) -> u64 {
        let mut forgotten = 0;
        let mut kept = 0;
        for i in 0..self.used {
            let mut region = self.regions[i];
            if region.kind == RegionKind::Ram && region.end > end {
                let cut = region.start.max(end);
                forgotten += region.end - cut;
                region.end = cut;
                if region.start == cut {
                    continue;
                }
            }
            self.regions[kept] = region;
            kept += 1;
        }
        self.used = kept;
        forgotten
    }

    /// The address below which lie so many bytes of RAM.
    pub(super) fn end_of_first(&self, bytes: u64) -> u64 {
        let mut left = bytes;
        for region in self.regions().iter().filter(|r| r.kind == RegionKind::Ram) {
            let size = region.end - region.start;
            if size >= left {
                return region.start + left;
            }
            left -= size;
        }
        u64::MAX
    }

    /// Sorts the regions and resolves overlaps: a byte has the kind of highest rank that anyone claims for it.
    pub(super) fn normalise(&mut self) -> Result<(), BootError> {
        let mut out = Self::new();
        let mut at = 0;
        loop {
            // The strictest claim on the byte `at`, and the nearest border after it.
            let mut kind: Option<RegionKind> = None;
            let mut next = u64::MAX;
            for region in self.regions() {
                if region.start > at {
                    next = next.min(region.start);
                } else if region.end > at {
                    next = next.min(region.end);
                    if kind.is_none_or(|k| k.rank() < region.kind.rank()) {
                        kind = Some(region.kind);
                    }
                }
            }
            if next == u64::MAX {
                break;
            }
            if let Some(kind) = kind {
                out.add(at, next - at, kind)?;
            }
            at = next;
        }
        *self = out;
        Ok(())
    }
}
