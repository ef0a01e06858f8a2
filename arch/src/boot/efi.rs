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

/// What dom0 may know of the EFI system table once boot services have ended (UEFI 2.10, 4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemTable {
    /// Revision of the specification: major in the upper half.
    pub revision: u32,
    /// The firmware's maker: UTF-16 with a NUL at the end.
    pub vendor: alloc::vec::Vec<u16>,
    /// The maker's revision.
    pub vendor_revision: u32,
    /// Physical address of the configuration table.
    pub config_table: u64,
    /// Its entries.
    pub config_entries: u32,
}

/// Most characters kept of the maker's name.
const VENDOR_CHARS: usize = 100;

/// Reads the system table at a physical address. `None` if there is none.
pub fn system_table(address: crate::addr::PhysAddr) -> Option<SystemTable> {
    let mut table = [0; 120];
    if !crate::hw::read_physical(address.get(), &mut table) || table.get(..8)? != b"IBI SYST" {
        return None;
    }
    let name = u64_at(&table, 24);
    let mut vendor = alloc::vec::Vec::new();
    for n in 0..VENDOR_CHARS as u64 {
        let mut char = [0; 2];
        let at = name.checked_add(n * 2)?;
        if name == 0 || !crate::hw::read_physical(at, &mut char) || char == [0; 2] {
            break;
        }
        vendor.push(u16::from_le_bytes(char));
    }
    vendor.push(0);
    Some(SystemTable {
        revision: u32_at(&table, 8),
        vendor,
        vendor_revision: u32_at(&table, 32),
        config_table: u64_at(&table, 112),
        config_entries: u32::try_from(u64_at(&table, 104)).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_table_is_read_from_firmware_memory() {
        crate::sim::reset();
        let at = crate::addr::PhysAddr::new(0x9000);
        assert_eq!(system_table(at), None);
        let words = [
            (0, u32::from_le_bytes(*b"IBI ")),
            (4, u32::from_le_bytes(*b"SYST")),
        ];
        let rest = [
            (8, 0x0002_0046),
            (24, 0xa000),
            (32, 7),
            (104, 3),
            (112, 0xb000),
        ];
        for (offset, word) in words.into_iter().chain(rest) {
            crate::sim::write_memory(0x9000 + offset, word);
        }
        crate::sim::write_memory(0xa000, u32::from_le_bytes([b'E', 0, b'D', 0]));
        let expected = SystemTable {
            revision: 0x0002_0046,
            vendor: [b'E', b'D', 0].map(u16::from).into(),
            vendor_revision: 7,
            config_table: 0xb000,
            config_entries: 3,
        };
        assert_eq!(system_table(at), Some(expected));
    }
}
