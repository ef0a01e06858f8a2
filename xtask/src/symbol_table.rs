//! The names of the hypervisor's functions, written into the finished image for its own traces.
//!
//! The format is described in `arch/src/symbols.rs`, which keeps the room for it.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cmd;

/// Virtual minus physical address of the image (`arch/oxen.ld`).
const IMAGE_BASE: u64 = 0xffff_82d0_8000_0000;
/// Bytes of the room (`arch::symbols::CAPACITY`).
const CAPACITY: usize = 128 << 10;
/// Longer names lose their middle.
const LONGEST: usize = 72;

/// Writes the table for `symbols` (the image with its ELF symbols) into `elf` (the one that is loaded).
pub fn write_into(elf: &Path, symbols: &Path) -> Result<()> {
    let listing = cmd::output(
        cmd::command("nm")
            .args(["-C", "-n", "--defined-only"])
            .arg(symbols),
    )?;
    let place = listing
        .lines()
        .find(|line| line.ends_with(" OXEN_SYMBOLS"))
        .and_then(|line| u64::from_str_radix(line.split(' ').next()?, 16).ok())
        .context("the image has no room for symbols (OXEN_SYMBOLS)")?;
    let table = encode(&functions(&listing));
    let mut image = std::fs::read(elf)?;
    let offset = file_offset(&image, place).context("OXEN_SYMBOLS is in no segment")?;
    image
        .get_mut(offset..offset + table.len())
        .context("OXEN_SYMBOLS is beyond the end of the file")?
        .copy_from_slice(&table);
    std::fs::write(elf, image)?;
    Ok(())
}

/// Functions by ascending offset from the image's base.
fn functions(listing: &str) -> Vec<(u32, String)> {
    let mut found: Vec<(u32, String)> = Vec::new();
    for line in listing.lines() {
        let mut words = line.splitn(3, ' ');
        let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        if !matches!(kind, "t" | "T") {
            continue;
        }
        let offset = u64::from_str_radix(address, 16)
            .ok()
            .and_then(|a| a.checked_sub(IMAGE_BASE));
        let Some(offset) = offset.and_then(|o| u32::try_from(o).ok()) else {
            continue;
        };
        if found.last().is_some_and(|last| last.0 == offset) {
            continue;
        }
        found.push((offset, shorten(name)));
    }
    found
}

/// Without crate hashes and generic noise, and not longer than a line.
fn shorten(name: &str) -> String {
    let name: String = name.chars().filter(char::is_ascii).collect();
    if name.len() <= LONGEST {
        return name;
    }
    let half = LONGEST / 2 - 1;
    format!("{}..{}", &name[..half], &name[name.len() - half..])
}

/// As many functions as there is room for (all of them, unless the hypervisor grows much).
fn encode(functions: &[(u32, String)]) -> Vec<u8> {
    let mut size = 4;
    let fitting = functions.iter().take_while(|(_, name)| {
        size += 8 + name.len();
        size <= CAPACITY
    });
    let fitting: Vec<_> = fitting.collect();
    let mut table = (fitting.len() as u32).to_le_bytes().to_vec();
    table.extend(fitting.iter().flat_map(|(offset, _)| offset.to_le_bytes()));
    let mut end = 0u32;
    for (_, name) in &fitting {
        end += name.len() as u32;
        table.extend(end.to_le_bytes());
    }
    table.extend(fitting.iter().flat_map(|(_, name)| name.bytes()));
    table
}

/// Where a virtual address is in an ELF64 file.
pub fn file_offset(image: &[u8], address: u64) -> Option<usize> {
    let quad = |at: usize| Some(u64::from_le_bytes(image.get(at..at + 8)?.try_into().ok()?));
    let half = |at: usize| Some(u16::from_le_bytes(image.get(at..at + 2)?.try_into().ok()?));
    let (start, size, count) = (
        quad(32)? as usize,
        usize::from(half(54)?),
        usize::from(half(56)?),
    );
    for n in 0..count {
        let header = start + n * size;
        // A loaded segment (type 1): offset, virtual address, and size in the file.
        let (kind, offset, at, len) = (
            half(header)?,
            quad(header + 8)?,
            quad(header + 16)?,
            quad(header + 32)?,
        );
        if kind == 1 && (at..at + len).contains(&address) {
            return usize::try_from(offset + (address - at)).ok();
        }
    }
    None
}

/// Says where the room for symbols went if the hypervisor outgrew it.
pub fn check_room(symbols: &Path) -> Result<()> {
    let listing = cmd::output(
        cmd::command("nm")
            .args(["-C", "-n", "--defined-only"])
            .arg(symbols),
    )?;
    let all = functions(&listing);
    let stored = u32::from_le_bytes(encode(&all)[..4].try_into()?);
    if (stored as usize) < all.len() {
        bail!(
            "only {stored} of {} function names fit into the image; enlarge arch::symbols::CAPACITY",
            all.len()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_the_image_only_each_place_once() {
        let listing = "0000000000000010 T absolute\nffff82d080200000 T first\nffff82d080200000 t alias\n\
                       ffff82d080200040 t core::fmt::write\nffff82d080300000 r constant\n";
        let found = functions(listing);
        assert_eq!(
            found,
            [
                (0x20_0000, "first".to_owned()),
                (0x20_0040, "core::fmt::write".to_owned())
            ]
        );
        let table = encode(&found);
        assert_eq!(table[..4], 2u32.to_le_bytes());
        assert!(table.ends_with(b"firstcore::fmt::write"));
        assert_eq!(table.len(), 4 + 16 + 5 + 16);
    }

    #[test]
    fn long_names_keep_both_ends() {
        let name = shorten(&format!("start{}end", "x".repeat(200)));
        assert!(name.len() <= LONGEST && name.starts_with("start") && name.ends_with("end"));
    }
}
