//! Multiboot2 Specification 2.0, section 3.6: boot information as a list of tags.

use super::info::{BootInfo, Framebuffer, FramebufferKind, Protocol};
use super::memory::{Memory, bytes, u32_at, u64_at};
use super::memory_map::RegionKind;
use super::{BootError, efi};
use crate::addr::PhysAddr;

/// No loader passes more; a larger size is taken for nonsense.
const MAX_SIZE: usize = 1 << 20;
/// Tags are copied into this much stack at a time; only memory maps may be larger, and are walked entry by entry.
const MAX_ENTRY: usize = 128;

/// Reads the information at a physical address.
pub(super) fn parse_at(
    address: u64,
    memory: &dyn Memory,
    info: &mut BootInfo,
) -> Result<(), BootError> {
    let head = bytes::<8>(memory, address, "multiboot2 information")?;
    let total = u32_at(&head, 0) as usize;
    if !(16..=MAX_SIZE).contains(&total) {
        return Err(BootError::Malformed("multiboot2 total size"));
    }
    let tags = Tags {
        memory,
        address,
        total,
    };
    info.protocol = Protocol::Multiboot2;
    let mut offset = 8;
    let mut efi_map = None;
    let mut have_map = false;
    loop {
        let head = tags.read::<8>(offset, "multiboot2 tag list (it has no end tag)")?;
        let (kind, size) = (u32_at(&head, 0), u32_at(&head, 4) as usize);
        let end = offset
            .checked_add(size)
            .filter(|&end| size >= 8 && end <= total);
        let end = end.ok_or(BootError::Malformed("multiboot2 tag size"))?;
        match kind {
            0 => break,
            1 => info.set_command_line(tags.string(offset + 8, end))?,
            2 => info.set_loader(tags.string(offset + 8, end))?,
            3 => {
                let tag = tags.read::<16>(offset, "multiboot2 module tag")?;
                info.add_module(
                    u64::from(u32_at(&tag, 8)),
                    u64::from(u32_at(&tag, 12)),
                    tags.string(offset + 16, end),
                )?;
            }
            6 => {
                have_map = true;
                tags.entries(
                    offset,
                    end,
                    16,
                    u32_at(&tags.read::<16>(offset, "multiboot2 memory map")?, 8),
                    20,
                    |e| {
                        info.map.add(
                            u64_at(e, 0),
                            u64_at(e, 8),
                            RegionKind::from_e820(u32_at(e, 16)),
                        )
                    },
                )?;
            }
            8 => info.framebuffer = framebuffer(&tags, offset, end)?,
            12 => {
                let tag = tags.read::<16>(offset, "EFI system table tag")?;
                info.efi_system_table = Some(PhysAddr(u64_at(&tag, 8)));
            }
            14 | 15 => {
                let mut copy = [0; 36];
                for (slot, byte) in copy.iter_mut().zip(tags.raw(offset + 8, end)) {
                    *slot = byte;
                }
                // Revision 2 (tag 15) wins over revision 1.
                if kind == 15 || info.rsdp_copy.is_none() {
                    info.rsdp_copy = Some(copy);
                }
            }
            17 => efi_map = Some((offset, end)),
            _ => {}
        }
        offset = end.next_multiple_of(8);
    }
    if let (false, Some((offset, end))) = (have_map, efi_map) {
        let size = u32_at(&tags.read::<16>(offset, "EFI memory map")?, 8);
        tags.entries(offset, end, 16, size, 40, |e| {
            let (start, len, kind) = efi::descriptor(e);
            info.map.add(start, len, kind)
        })?;
    }
    Ok(())
}

struct Tags<'a> {
    memory: &'a dyn Memory,
    address: u64,
    total: usize,
}

impl Tags<'_> {
    /// `N` bytes at `offset`, inside the total size.
    fn read<const N: usize>(
        &self,
        offset: usize,
        what: &'static str,
    ) -> Result<[u8; N], BootError> {
        if offset.checked_add(N).is_none_or(|end| end > self.total) {
            return Err(BootError::Truncated(what));
        }
        let address = self
            .address
            .checked_add(offset as u64)
            .ok_or(BootError::Truncated(what))?;
        bytes::<N>(self.memory, address, what)
    }

    fn raw(&self, start: usize, end: usize) -> impl Iterator<Item = u8> + '_ {
        (start..end).map_while(|offset| self.read::<1>(offset, "string").ok().map(|[byte]| byte))
    }

    fn string(&self, start: usize, end: usize) -> impl Iterator<Item = u8> + '_ {
        self.raw(start, end).take_while(|&byte| byte != 0)
    }

    /// Calls `each` with every entry of `size` bytes (of which `need` at least) between `offset + head` and `end`.
    fn entries(
        &self,
        offset: usize,
        end: usize,
        head: usize,
        size: u32,
        need: usize,
        mut each: impl FnMut(&[u8]) -> Result<(), BootError>,
    ) -> Result<(), BootError> {
        let size = size as usize;
        if size < need || size > MAX_ENTRY {
            return Err(BootError::Malformed("multiboot2 memory map entry size"));
        }
        let mut at = offset + head;
        while at + size <= end {
            let entry = self.read::<40>(at, "memory map entry").or_else(|_| {
                // The last entry of a short kind may be nearer to the end than the longest kind.
                let mut short = [0; 40];
                let part = self.read::<20>(at, "multiboot2 memory map entry")?;
                for (slot, byte) in short.iter_mut().zip(part) {
                    *slot = byte;
                }
                Ok(short)
            })?;
            each(&entry)?;
            at += size;
        }
        Ok(())
    }
}

fn framebuffer(
    tags: &Tags<'_>,
    offset: usize,
    end: usize,
) -> Result<Option<Framebuffer>, BootError> {
    let tag = tags.read::<32>(offset, "framebuffer tag")?;
    let kind = match tag[29] {
        0 => FramebufferKind::Indexed,
        1 if end - offset >= 38 => {
            let c = tags.read::<38>(offset, "framebuffer tag")?;
            FramebufferKind::Rgb {
                red: (c[32], c[33]),
                green: (c[34], c[35]),
                blue: (c[36], c[37]),
            }
        }
        2 => FramebufferKind::Text,
        _ => return Ok(None),
    };
    Ok(Some(Framebuffer {
        address: PhysAddr(u64_at(&tag, 8)),
        pitch: u32_at(&tag, 16),
        width: u32_at(&tag, 20),
        height: u32_at(&tag, 24),
        bpp: tag[28],
        kind,
    }))
}
