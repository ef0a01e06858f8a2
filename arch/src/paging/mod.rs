//! The hypervisor's own address space (docs/architecture.md, "Address space").
#![allow(unsafe_code)]

use crate::boot::PhysRange;

/// Virtual minus physical address of the image; `arch/oxen.ld` has the same number.
pub const IMAGE_BASE: u64 = 0xffff_82d0_8000_0000;

#[cfg(target_os = "none")]
unsafe extern "C" {
    static image_start: u8;
    static image_end: u8;
}

/// The physical memory that the image takes, page-aligned.
#[must_use]
pub fn image_range() -> PhysRange {
    #[cfg(target_os = "none")]
    {
        PhysRange {
            start: (&raw const image_start) as u64 - IMAGE_BASE,
            end: (&raw const image_end) as u64 - IMAGE_BASE,
        }
    }
    #[cfg(not(target_os = "none"))]
    {
        PhysRange {
            start: 0x20_0000,
            end: 0x30_0000,
        }
    }
}
