//! PVH entry: Xen public/arch-x86/hvm/start_info.h, versions 0 and 1.

use super::BootError;
use super::info::{BootInfo, Protocol};
use super::memory::{Memory, bytes, u32_at, u64_at};
use super::memory_map::RegionKind;
use crate::addr::PhysAddr;

/// More entries than this are taken for nonsense.
const MAX_ENTRIES: u64 = 4096;

/// Reads the `hvm_start_info` at a physical address.
pub(super) fn parse(
    address: u64,
    memory: &dyn Memory,
    info: &mut BootInfo,
) -> Result<(), BootError> {
    info.protocol = Protocol::Pvh;
    info.set_loader(b"PVH".iter().copied())?;
    let start = bytes::<40>(memory, address, "PVH start information")?;
    if u32_at(&start, 0) != 0x336e_c578 {
        return Err(BootError::Malformed("PVH magic number"));
    }
    if u32_at(&start, 4) < 1 {
        return Err(BootError::NoMemoryMap);
    }
    let map = bytes::<16>(memory, address.saturating_add(40), "PVH start information")?;

    let command_line = u64_at(&start, 24);
    if command_line != 0 {
        info.set_command_line(BootInfo::read_text(memory, command_line, "command line")?)?;
    }
    let list = u64_at(&start, 16);
    for i in 0..u64::from(u32_at(&start, 12)) {
        let entry = bytes::<32>(memory, list.saturating_add(i * 32), "PVH module list")?;
        let (first, size, text) = (u64_at(&entry, 0), u64_at(&entry, 8), u64_at(&entry, 16));
        let end = first
            .checked_add(size)
            .ok_or(BootError::Malformed("module size"))?;
        if text == 0 {
            info.add_module(first, end, core::iter::empty())?;
        } else {
            info.add_module(
                first,
                end,
                BootInfo::read_text(memory, text, "module command line")?,
            )?;
        }
    }
    let rsdp = u64_at(&start, 32);
    info.rsdp = (rsdp != 0).then_some(PhysAddr(rsdp));

    let (table, entries) = (u64_at(&map, 0), u64::from(u32_at(&map, 8)));
    if entries > MAX_ENTRIES {
        return Err(BootError::TooMany("memory map entries"));
    }
    for i in 0..entries {
        let entry = bytes::<24>(memory, table.saturating_add(i * 24), "memory map")?;
        info.map.add(
            u64_at(&entry, 0),
            u64_at(&entry, 8),
            RegionKind::from_e820(u32_at(&entry, 16)),
        )?;
    }
    Ok(())
}
