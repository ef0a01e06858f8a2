//! Where things are in the hypervisor's 16 slots (docs/architecture.md has the table).

use super::table::Flags;
use crate::boot::PhysRange;

/// First of the hypervisor's L4 slots.
pub const FIRST_SLOT: usize = 256;
/// How many there are.
pub const SLOTS: usize = 16;
/// The machine-to-phys table as guests see it.
pub const M2P_RO_BASE: u64 = 0xffff_8000_0000_0000;
/// The machine-to-phys table as the hypervisor writes it.
pub const M2P_BASE: u64 = 0xffff_8180_0000_0000;
/// Room for either view, bytes.
pub const M2P_SIZE: u64 = 1 << 39;
/// The frame table.
pub const FRAME_TABLE_BASE: u64 = 0xffff_8280_0000_0000;
/// Room for it, bytes.
pub const FRAME_TABLE_SIZE: u64 = IOREMAP_BASE - FRAME_TABLE_BASE;
/// Device memory.
pub const IOREMAP_BASE: u64 = 0xffff_82c0_0000_0000;
/// Room for it, bytes.
pub const IOREMAP_SIZE: u64 = 64 << 30;
/// Virtual minus physical address of the image; `arch/oxen.ld` has the same number.
pub const IMAGE_BASE: u64 = 0xffff_82d0_8000_0000;

#[cfg(target_os = "none")]
unsafe extern "C" {
    static image_start: u8;
    static image_end: u8;
    static text_start: u8;
    static text_end: u8;
    static rodata_start: u8;
    static rodata_end: u8;
    static data_start: u8;
    static bss_end: u8;
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

/// The image's parts, ascending: virtual address, physical range, permissions.
#[must_use]
pub fn image_sections() -> [(u64, PhysRange, Flags); 3] {
    #[cfg(target_os = "none")]
    let [text, rodata, data] = [
        (&raw const text_start, &raw const text_end),
        (&raw const rodata_start, &raw const rodata_end),
        (&raw const data_start, &raw const bss_end),
    ]
    .map(|(start, end)| {
        (
            start as u64,
            PhysRange {
                start: start as u64 - IMAGE_BASE,
                end: end as u64 - IMAGE_BASE,
            },
        )
    });
    #[cfg(not(target_os = "none"))]
    let [text, rodata, data] = [
        (0x20_0000, 0x24_0000),
        (0x24_0000, 0x26_0000),
        (0x26_0000, 0x30_0000),
    ]
    .map(|(start, end)| (IMAGE_BASE + start, PhysRange { start, end }));
    [
        (text.0, text.1, Flags::CODE),
        (rodata.0, rodata.1, Flags::CONSTANTS),
        (data.0, data.1, Flags::DATA),
    ]
}
