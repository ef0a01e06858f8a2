//! Oxen started through its PVH note, with modules, by QEMU: a page of loader (`tests/pvh/shim.S`) in front of the flat
//! image. And a copy of the image without a multiboot1 header, which QEMU's own PVH loader then takes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::{cmd, paths};

const MULTIBOOT1: [u8; 4] = 0x1bad_b002_u32.to_le_bytes();
/// XEN_ELFNOTE_PHYS32_ENTRY.
const PHYS32_ENTRY: u32 = 18;
/// The loader takes the page below the image.
const SHIM_BYTES: u64 = 4096;

/// Writes the image with the loader in front and returns its path.
pub fn with_loader(elf: &Path) -> Result<PathBuf> {
    let image = Image::read(elf)?;
    let flat = image.flat();
    let load = image.start - SHIM_BYTES;
    let folder = paths::output();
    let (object, page) = (folder.join("pvh-shim.o"), folder.join("pvh-shim.bin"));
    let symbol = |name: &str, value: u64| format!("{name}={value}");
    let mut assembler = cmd::command("as");
    assembler.args(["--32", "-o"]).arg(&object);
    for (name, value) in [
        ("load", load),
        ("entry", image.pvh_entry()?.into()),
        ("file_end", image.start + flat.len() as u64),
        ("memory_end", image.memory_end),
    ] {
        assembler.args(["--defsym", &symbol(name, value)]);
    }
    cmd::output(assembler.arg("tests/pvh/shim.S"))?;
    cmd::output(
        cmd::command("ld")
            .args(["-m", "elf_i386", "--oformat", "binary", "-e", "start"])
            .arg(format!("-Ttext={load:#x}"))
            .arg("-o")
            .args([&page, &object]),
    )?;
    let mut bytes = fs::read(&page)?;
    bytes.resize(SHIM_BYTES as usize, 0);
    bytes.extend_from_slice(&flat);
    let path = folder.join("oxen-pvh.bin");
    fs::write(&path, bytes)?;
    Ok(path)
}

/// Writes a copy that has no multiboot1 header and returns its path.
pub fn without_multiboot1(elf: &Path) -> Result<PathBuf> {
    let mut bytes = fs::read(elf)?;
    let at = bytes
        .chunks_exact(4)
        .take(8192 / 4)
        .position(|word| word == MULTIBOOT1)
        .context("the image has no multiboot1 header")?;
    bytes[at * 4..at * 4 + 4].fill(0);
    let path = paths::output().join("oxen-pvh.elf");
    fs::write(&path, bytes)?;
    Ok(path)
}

/// What of an ELF64 file a loader looks at.
struct Image {
    bytes: Vec<u8>,
    /// Type, offset, physical address, size in the file, size in memory.
    segments: Vec<[u64; 5]>,
    start: u64,
    memory_end: u64,
}

impl Image {
    fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let number = |at: u64, size: usize| -> Result<u64> {
            let field = bytes
                .get(at as usize..at as usize + size)
                .context("the image's ELF headers are cut off")?;
            let mut word = [0; 8];
            word[..size].copy_from_slice(field);
            Ok(u64::from_le_bytes(word))
        };
        let (table, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        let mut segments = Vec::new();
        for at in (0..count).map(|n| table + n * size) {
            segments.push([
                number(at, 4)?,
                number(at + 8, 8)?,
                number(at + 24, 8)?,
                number(at + 32, 8)?,
                number(at + 40, 8)?,
            ]);
        }
        let loaded = || segments.iter().filter(|s| s[0] == 1);
        let start = loaded().map(|s| s[2]).min().context("nothing to load")?;
        let memory_end = loaded().map(|s| s[2] + s[4]).max().unwrap_or(start);
        Ok(Self {
            start,
            memory_end,
            segments,
            bytes,
        })
    }

    fn part(&self, offset: u64, size: u64) -> &[u8] {
        self.bytes
            .get(offset as usize..(offset + size) as usize)
            .unwrap_or_default()
    }

    /// What the file puts into memory, from `start` on.
    fn flat(&self) -> Vec<u8> {
        let mut flat = Vec::new();
        for &[_, offset, address, size, _] in self.segments.iter().filter(|s| s[0] == 1) {
            let at = (address - self.start) as usize;
            flat.resize(flat.len().max(at + size as usize), 0);
            flat[at..at + size as usize].copy_from_slice(self.part(offset, size));
        }
        flat
    }

    fn pvh_entry(&self) -> Result<u32> {
        let note = self.segments.iter().find(|s| s[0] == 4);
        let words: Vec<u32> = note
            .map(|s| self.part(s[1], s[3]))
            .unwrap_or_default()
            .as_chunks()
            .0
            .iter()
            .map(|word| u32::from_le_bytes(*word))
            .collect();
        // One note: sizes of name and value, type, "Xen", value.
        match words[..] {
            [4, 4, PHYS32_ENTRY, _, entry, ..] => Ok(entry),
            _ => anyhow::bail!("the image has no PVH note: {words:x?}"),
        }
    }
}
