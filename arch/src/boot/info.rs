//! What the boot loader told, copied out of its memory.

use super::memory::{Memory, bytes, u16_at};
use super::memory_map::{MemoryMap, PhysRange, Region};
use super::{BootError, efi};
use crate::addr::PhysAddr;

/// Most regions of the memory map, after joining neighbours.
pub const MAX_REGIONS: usize = 256;
/// Most modules.
pub const MAX_MODULES: usize = 16;
/// Bytes for all strings together.
const MAX_TEXT: usize = 16384;

/// Who started Oxen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Multiboot Specification 0.6.96.
    Multiboot1,
    /// Multiboot2 Specification 2.0.
    Multiboot2,
    /// Xen public/arch-x86/hvm/start_info.h.
    Pvh,
}

/// A string in the information's own storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Text {
    offset: u16,
    len: u16,
}

/// A file that the loader put into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootModule {
    /// First byte.
    pub start: PhysAddr,
    /// Bytes.
    pub len: u64,
    command_line: Text,
}

/// How pixels are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FramebufferKind {
    /// Palette indices.
    Indexed,
    /// Direct colour: position and size in bits of each channel.
    Rgb {
        /// Red (position, size).
        red: (u8, u8),
        /// Green (position, size).
        green: (u8, u8),
        /// Blue (position, size).
        blue: (u8, u8),
    },
    /// EGA text: `width` and `height` count characters.
    Text,
}

/// The screen that the loader set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framebuffer {
    /// First byte, physical.
    pub address: PhysAddr,
    /// Bytes from one line to the next.
    pub pitch: u32,
    /// Pixels (or characters) in a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Bits per pixel.
    pub bpp: u8,
    /// Pixel layout.
    pub kind: FramebufferKind,
}

/// Everything the loader told. Plain data in static memory; nothing in it refers to the loader's memory.
pub struct BootInfo {
    /// Who started Oxen.
    pub protocol: Protocol,
    /// ACPI root pointer's address, if the loader or EFI told it (on a BIOS machine it is found by searching).
    pub rsdp: Option<PhysAddr>,
    /// The loader's own copy of the RSDP structure (36 bytes, zero padded), where it passed one.
    pub rsdp_copy: Option<[u8; 36]>,
    /// The screen.
    pub framebuffer: Option<Framebuffer>,
    /// The 64-bit EFI system table, when started under EFI.
    pub efi_system_table: Option<PhysAddr>,
    /// Bytes of conventional memory below the EBDA and firmware, per the BIOS data area.
    pub low_memory_end: u64,
    command_line: Text,
    loader: Text,
    pub(super) map: MemoryMap<MAX_REGIONS>,
    modules: [BootModule; MAX_MODULES],
    module_count: usize,
    text: [u8; MAX_TEXT],
    text_used: usize,
}

impl Default for BootInfo {
    fn default() -> Self {
        Self::new()
    }
}

impl BootInfo {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        const NO_MODULE: BootModule = BootModule {
            start: PhysAddr(0),
            len: 0,
            command_line: Text { offset: 0, len: 0 },
        };
        Self {
            protocol: Protocol::Multiboot2,
            rsdp: None,
            rsdp_copy: None,
            framebuffer: None,
            efi_system_table: None,
            low_memory_end: 0x9_f000,
            command_line: Text { offset: 0, len: 0 },
            loader: Text { offset: 0, len: 0 },
            map: MemoryMap::new(),
            modules: [NO_MODULE; MAX_MODULES],
            module_count: 0,
            text: [0; MAX_TEXT],
            text_used: 0,
        }
    }

    /// The hypervisor's own command line, without the image's path.
    #[must_use]
    pub fn command_line(&self) -> &str {
        self.str(self.command_line)
    }

    /// The loader's name, or nothing.
    #[must_use]
    pub fn loader_name(&self) -> &str {
        self.str(self.loader)
    }

    /// The modules in the order in which the loader lists them.
    #[must_use]
    pub fn modules(&self) -> &[BootModule] {
        self.modules.get(..self.module_count).unwrap_or_default()
    }

    /// A module's command line.
    #[must_use]
    pub fn module_command_line(&self, module: &BootModule) -> &str {
        self.str(module.command_line)
    }

    /// The machine's memory map: ascending, disjoint.
    #[must_use]
    pub fn memory(&self) -> &[Region] {
        self.map.regions()
    }

    /// Forgets RAM from physical address `end` on (options `mem=`, `availmem=`), but none that holds a module or lies
    /// below the image's end. Returns the bytes forgotten.
    pub fn limit_memory(&mut self, end: u64) -> u64 {
        let image = crate::paging::image_range().end;
        let modules = self.modules().iter();
        let needed = modules.map(|m| m.start.get().saturating_add(m.len));
        let end = needed.fold(end.max(image), u64::max);
        self.map.limit_ram(end & !0xfff)
    }

    /// The address below which there are so many bytes of RAM.
    #[must_use]
    pub fn end_of_first(&self, bytes: u64) -> u64 {
        self.map.end_of_first(bytes)
    }

    /// Physical ranges in use although the memory map calls them RAM: the image, the modules, page 0, and what lies
    /// between the end of conventional memory and 1 MiB. Not sorted; ranges may touch.
    pub fn reserved(&self) -> impl Iterator<Item = PhysRange> + '_ {
        let fixed = [
            PhysRange {
                start: 0,
                end: 0x1000,
            },
            PhysRange {
                start: self.low_memory_end,
                end: 0x10_0000,
            },
            crate::paging::image_range(),
        ];
        let modules = self.modules().iter().map(|m| PhysRange {
            start: m.start.get(),
            end: m.start.get().saturating_add(m.len),
        });
        fixed.into_iter().chain(modules).filter(|r| !r.is_empty())
    }

    fn str(&self, text: Text) -> &str {
        let start = usize::from(text.offset);
        let data = self
            .text
            .get(start..start + usize::from(text.len))
            .unwrap_or_default();
        core::str::from_utf8(data).unwrap_or_default()
    }

    pub(super) fn set_command_line(
        &mut self,
        bytes: impl Iterator<Item = u8>,
    ) -> Result<(), BootError> {
        self.command_line = self.add_text(bytes)?;
        Ok(())
    }

    pub(super) fn set_loader(&mut self, bytes: impl Iterator<Item = u8>) -> Result<(), BootError> {
        self.loader = self.add_text(bytes)?;
        Ok(())
    }

    /// Adds a module; `end` is the first byte after it.
    pub(super) fn add_module(
        &mut self,
        start: u64,
        end: u64,
        command_line: impl Iterator<Item = u8>,
    ) -> Result<(), BootError> {
        let len = end
            .checked_sub(start)
            .ok_or(BootError::Malformed("module (it ends before it starts)"))?;
        let command_line = self.add_text(command_line)?;
        let slot = self
            .modules
            .get_mut(self.module_count)
            .ok_or(BootError::TooMany("modules"))?;
        *slot = BootModule {
            start: PhysAddr(start),
            len,
            command_line,
        };
        self.module_count += 1;
        Ok(())
    }

    /// Keeps a string up to its NUL; bytes that are not ASCII become `?`, so that it is valid text.
    fn add_text(&mut self, bytes: impl Iterator<Item = u8>) -> Result<Text, BootError> {
        let start = self.text_used;
        for byte in bytes.take_while(|&b| b != 0) {
            let slot = self
                .text
                .get_mut(self.text_used)
                .ok_or(BootError::TooMany("characters in command lines"))?;
            *slot = if byte.is_ascii() { byte } else { b'?' };
            self.text_used += 1;
        }
        Ok(Text {
            offset: start as u16,
            len: (self.text_used - start) as u16,
        })
    }

    /// Keeps the NUL-terminated string at a physical address.
    pub(super) fn read_text<'a>(
        memory: &'a dyn Memory,
        address: u64,
        what: &'static str,
    ) -> Result<StringAt<'a>, BootError> {
        // The first byte must be readable; further on the reader stops at the first that is not.
        bytes::<1>(memory, address, what)?;
        Ok(StringAt { memory, address })
    }

    /// Multiboot1 loaders put the file's path before the arguments; QEMU always, GRUB 2 only from a `menu.lst`.
    fn strip_paths(&mut self) {
        let always = self.loader_name().starts_with("qemu");
        self.command_line = self.without_path(self.command_line, always);
        for n in 0..self.module_count {
            self.modules[n].command_line = self.without_path(self.modules[n].command_line, always);
        }
    }

    fn without_path(&self, text: Text, always: bool) -> Text {
        let line = self.str(text);
        let first = line.split(' ').next().unwrap_or_default();
        if !always && (!first.contains('/') || first.contains('=')) {
            return text;
        }
        let skip = line.len() - line[first.len()..].trim_start_matches(' ').len();
        Text {
            offset: text.offset + skip as u16,
            len: text.len - skip as u16,
        }
    }

    /// What is common to all protocols, after their own parsing.
    pub(super) fn finish(&mut self, memory: &dyn Memory) -> Result<(), BootError> {
        self.map.normalise()?;
        if self.protocol == Protocol::Multiboot1 {
            self.strip_paths();
        }
        if self.map.regions().is_empty() {
            return Err(BootError::NoMemoryMap);
        }
        if let Some(table) = self.efi_system_table
            && let Some(rsdp) = efi::find_rsdp(table.get(), memory)
        {
            self.rsdp = Some(PhysAddr(rsdp));
        }
        // BIOS data area: the EBDA's segment at 0x40e, conventional memory in KiB at 0x413.
        if self.efi_system_table.is_none()
            && let Ok(area) = bytes::<8>(memory, 0x40e, "BIOS data area")
        {
            let ebda = u64::from(u16_at(&area, 0)) << 4;
            let size = u64::from(u16_at(&area, 5)) << 10;
            for end in [ebda, size] {
                if (0x4_0000..self.low_memory_end).contains(&end) {
                    self.low_memory_end = end & !0xfff;
                }
            }
        }
        Ok(())
    }
}

/// The bytes of a string in physical memory; ends where memory ends, at the latest.
pub(super) struct StringAt<'a> {
    memory: &'a dyn Memory,
    address: u64,
}

impl Iterator for StringAt<'_> {
    type Item = u8;
    fn next(&mut self) -> Option<u8> {
        let [byte] = bytes::<1>(self.memory, self.address, "string").ok()?;
        self.address = self.address.checked_add(1)?;
        Some(byte)
    }
}
