//! The initial virtual address space of dom0, in the order that Xen public/xen.h lays down ("the initial layout").

use super::BuildError;
use crate::loader::Kernel;

const PAGE: u64 = 4096;
/// What the end of the initial mapping is aligned to.
const END_ALIGN: u64 = 4 << 20;
/// Room that must be left behind the boot stack.
const END_PAD: u64 = 512 << 10;

/// Virtual addresses; all multiples of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Start of the initial mapping.
    pub start: u64,
    /// The ramdisk, if it is mapped.
    pub initrd: Option<u64>,
    /// The list of machine frames.
    pub p2m: u64,
    /// The list is outside of the initial mapping, with tables of its own.
    pub p2m_apart: bool,
    /// The start_info page.
    pub start_info: u64,
    /// Page tables, the L4 first.
    pub tables: u64,
    /// How many tables.
    pub table_count: u64,
    /// Top of the boot stack.
    pub stack_top: u64,
    /// End of the initial mapping.
    pub end: u64,
}

fn up(address: u64, to: u64) -> Result<u64, BuildError> {
    address
        .checked_next_multiple_of(to)
        .ok_or(BuildError::Layout("its address space wraps around"))
}

fn add(address: u64, size: u64) -> Result<u64, BuildError> {
    address
        .checked_add(size)
        .ok_or(BuildError::Layout("its address space wraps around"))
}

/// Tables of a level, each covering 2^`shift` bytes, that `start..end` needs.
pub fn tables_for(start: u64, end: u64, shift: u32) -> u64 {
    if start >= end {
        return 0;
    }
    ((end - 1) >> shift) - (start >> shift) + 1
}

impl Layout {
    /// Lays out a kernel with a ramdisk of `initrd` bytes and `pages` pages of memory.
    pub fn new(kernel: &Kernel<'_>, initrd: u64, pages: u64) -> Result<Self, BuildError> {
        let start = kernel.virt_base;
        let mut at = up(kernel.virt_end, PAGE)?;
        let mut mapped_initrd = None;
        if !kernel.initrd_by_pfn && initrd > 0 {
            mapped_initrd = Some(at);
            at = up(add(at, initrd)?, PAGE)?;
        }
        let p2m_bytes = pages
            .checked_mul(8)
            .ok_or(BuildError::Layout("too much memory"))?;
        let p2m = match kernel.init_p2m {
            Some(address) => {
                let end = up(add(address, p2m_bytes)?, PAGE)?;
                let hypervisor = arch::guest::HYPERVISOR_START..arch::guest::HYPERVISOR_END;
                if address < hypervisor.end && end > hypervisor.start {
                    return Err(BuildError::Layout(
                        "its P2M list would overlap the hypervisor",
                    ));
                }
                address
            }
            None => {
                let here = at;
                at = up(add(at, p2m_bytes)?, PAGE)?;
                here
            }
        };
        let start_info = at;
        let tables = add(start_info, PAGE)?;
        // The tables map themselves, so that their number and the end depend on each other.
        let mut table_count = 4;
        loop {
            let stack_top = add(tables, (table_count + 1) * PAGE)?;
            let mut end = up(stack_top, END_ALIGN)?;
            if end - stack_top < END_PAD {
                end = add(end, END_ALIGN)?;
            }
            let needed = 1
                + tables_for(start, end, 39)
                + tables_for(start, end, 30)
                + tables_for(start, end, 21);
            if needed > table_count {
                table_count = needed;
                continue;
            }
            let layout = Self {
                start,
                initrd: mapped_initrd,
                p2m,
                p2m_apart: kernel.init_p2m.is_some(),
                start_info,
                tables,
                table_count,
                stack_top,
                end,
            };
            return layout.check(kernel, p2m_bytes);
        }
    }

    fn check(self, kernel: &Kernel<'_>, p2m_bytes: u64) -> Result<Self, BuildError> {
        let hypervisor = arch::guest::HYPERVISOR_START..arch::guest::HYPERVISOR_END;
        if self.start < hypervisor.end && self.end > hypervisor.start {
            return Err(BuildError::Layout("it would overlap the hypervisor"));
        }
        // Each half of the address space is canonical, the hole between them is not.
        let canonical = |address: u64| (address as i64 >> 47) == 0 || (address as i64 >> 47) == -1;
        if !canonical(self.start) || !canonical(self.end - 1) || !canonical(self.p2m) {
            return Err(BuildError::Layout(
                "it has an address that is not canonical",
            ));
        }
        if kernel.init_p2m.is_some() && self.p2m < self.end && self.p2m + p2m_bytes > self.start {
            return Err(BuildError::Layout("its P2M list would overlap its image"));
        }
        Ok(self)
    }

    /// Pages of the initial mapping.
    pub fn pages(&self) -> u64 {
        (self.end - self.start) / PAGE
    }

    /// The page of the initial mapping that holds a virtual address in it.
    pub fn page_of(&self, address: u64) -> u64 {
        (address - self.start) / PAGE
    }
}
