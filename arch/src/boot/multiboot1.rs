//! Multiboot Specification 0.6.96, section 3.3: boot information as one structure with pointers.

use super::BootError;
use super::info::{BootInfo, Framebuffer, FramebufferKind, Protocol};
use super::memory::{Memory, bytes, u32_at, u64_at};
use super::memory_map::RegionKind;
use crate::addr::PhysAddr;

const FLAG_MEMORY: u32 = 1 << 0;
const FLAG_COMMAND_LINE: u32 = 1 << 2;
const FLAG_MODULES: u32 = 1 << 3;
const FLAG_MEMORY_MAP: u32 = 1 << 6;
const FLAG_LOADER: u32 = 1 << 9;
const FLAG_FRAMEBUFFER: u32 = 1 << 12;

/// Reads the information at a physical address.
pub(super) fn parse(
    address: u64,
    memory: &dyn Memory,
    info: &mut BootInfo,
) -> Result<(), BootError> {
    info.protocol = Protocol::Multiboot1;
    let mbi = bytes::<116>(memory, address, "multiboot information")?;
    let flags = u32_at(&mbi, 0);
    let has = |flag: u32| flags & flag != 0;
    let pointer = |offset: usize| u64::from(u32_at(&mbi, offset));

    if has(FLAG_COMMAND_LINE) {
        info.set_command_line(BootInfo::read_text(memory, pointer(16), "command line")?)?;
    }
    if has(FLAG_LOADER) && pointer(64) != 0 {
        info.set_loader(BootInfo::read_text(memory, pointer(64), "name")?)?;
    }
    if has(FLAG_MODULES) {
        let (count, list) = (u32_at(&mbi, 20), pointer(24));
        for i in 0..u64::from(count) {
            let entry = bytes::<16>(memory, list + i * 16, "module list")?;
            let (start, end, text) = (u32_at(&entry, 0), u32_at(&entry, 4), u32_at(&entry, 8));
            if text == 0 {
                info.add_module(u64::from(start), u64::from(end), core::iter::empty())?;
            } else {
                let text = BootInfo::read_text(memory, u64::from(text), "module command line")?;
                info.add_module(u64::from(start), u64::from(end), text)?;
            }
        }
    }
    if has(FLAG_MEMORY_MAP) {
        memory_map(pointer(48), u64::from(u32_at(&mbi, 44)), memory, info)?;
    } else if has(FLAG_MEMORY) {
        // Sizes in KiB below 640 KiB and from 1 MiB on.
        info.map.add(0, pointer(4) << 10, RegionKind::Ram)?;
        info.map.add(0x10_0000, pointer(8) << 10, RegionKind::Ram)?;
    }
    if has(FLAG_FRAMEBUFFER) {
        let kind = match mbi[109] {
            0 => Some(FramebufferKind::Indexed),
            1 => Some(FramebufferKind::Rgb {
                red: (mbi[110], mbi[111]),
                green: (mbi[112], mbi[113]),
                blue: (mbi[114], mbi[115]),
            }),
            2 => Some(FramebufferKind::Text),
            _ => None,
        };
        info.framebuffer = kind.map(|kind| Framebuffer {
            address: PhysAddr(u64_at(&mbi, 88)),
            pitch: u32_at(&mbi, 96),
            width: u32_at(&mbi, 100),
            height: u32_at(&mbi, 104),
            bpp: mbi[108],
            kind,
        });
    }
    Ok(())
}

/// Entries that each begin with their own size (not counting that word).
fn memory_map(
    start: u64,
    len: u64,
    memory: &dyn Memory,
    info: &mut BootInfo,
) -> Result<(), BootError> {
    let (mut at, end) = (start, start + len);
    while at < end {
        let entry = bytes::<24>(memory, at, "memory map")?;
        let size = u64::from(u32_at(&entry, 0));
        if size < 20 {
            return Err(BootError::Malformed("memory map entry size"));
        }
        info.map.add(
            u64_at(&entry, 4),
            u64_at(&entry, 12),
            RegionKind::from_e820(u32_at(&entry, 20)),
        )?;
        at += size + 4;
    }
    Ok(())
}
