//! The little of EFI that is read after boot services have ended: memory types and the configuration table.

use super::memory::{Memory, bytes, u32_at, u64_at};
use super::memory_map::RegionKind;

/// EFI_ACPI_20_TABLE_GUID (UEFI 2.10, 4.6.1), in memory order.
const ACPI_20: [u8; 16] = [
    0x71, 0xe8, 0x68, 0x88, 0xf1, 0xe4, 0xd3, 0x11, 0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81,
];
/// ACPI_TABLE_GUID, for revision 1.
const ACPI_10: [u8; 16] = [
    0x30, 0x2d, 0x9d, 0xeb, 0x88, 0x2d, 0xd3, 0x11, 0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d,
];

/// What an EFI memory type is once boot services have ended (UEFI 2.10, 7.2; ACPI 6.5, table 15.6).
pub(super) const fn region_kind(efi_type: u32) -> RegionKind {
    match efi_type {
        1..=4 | 7 => RegionKind::Ram,
        8 => RegionKind::Unusable,
        9 => RegionKind::AcpiReclaim,
        10 => RegionKind::AcpiNvs,
        14 => RegionKind::Persistent,
        _ => RegionKind::Reserved,
    }
}

/// The RSDP's address per the system table's configuration entries (UEFI 2.10, 4.3), revision 2 preferred.
pub(super) fn find_rsdp(system_table: u64, memory: &dyn Memory) -> Option<u64> {
    let table = bytes::<120>(memory, system_table, "EFI system table").ok()?;
    if table.get(..8)? != b"IBI SYST" {
        return None;
    }
    let count = u64_at(&table, 104).min(256);
    let entries = u64_at(&table, 112);
    let mut old = None;
    for i in 0..count {
        let entry = bytes::<24>(
            memory,
            entries.checked_add(i * 24)?,
            "EFI configuration table",
        )
        .ok()?;
        let address = u64_at(&entry, 16);
        if entry.get(..16)? == ACPI_20 {
            return Some(address);
        }
        if entry.get(..16)? == ACPI_10 {
            old = Some(address);
        }
    }
    old
}

/// One descriptor of an EFI memory map: (first byte, bytes, kind). UEFI 2.10, 7.2.
pub(super) fn descriptor(data: &[u8]) -> (u64, u64, RegionKind) {
    (
        u64_at(data, 8),
        u64_at(data, 24).saturating_mul(4096),
        region_kind(u32_at(data, 0)),
    )
}
