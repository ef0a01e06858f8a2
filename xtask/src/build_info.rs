//! Commit, date, compiler and build id, written into the finished image (`arch/src/build_info.rs` has the format). They
//! come from the commit and the image alone: the same sources make the same bytes, wherever and whenever.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cmd;
use crate::symbol_table::file_offset;

/// Bytes of the room for texts (`arch::build_info::CAPACITY`).
const CAPACITY: usize = 512;
const ID_BYTES: usize = 20;

/// Writes them into `elf`; `symbols` is the same image with its ELF symbols.
pub fn write_into(elf: &Path, symbols: &Path) -> Result<()> {
    let listing = cmd::output(cmd::command("nm").arg("--defined-only").arg(symbols))?;
    let mut image = fs::read(elf)?;
    put(&mut image, &listing, "OXEN_BUILD", &texts())?;
    // Of everything but the id itself.
    fs::write(elf, &image)?;
    let digest = cmd::output(cmd::command("sha1sum").arg(elf))?;
    let id: Option<Vec<u8>> = (0..ID_BYTES)
        .map(|n| u8::from_str_radix(digest.get(2 * n..2 * n + 2)?, 16).ok())
        .collect();
    let id = id.context("sha1sum prints no digest")?;
    put(&mut image, &listing, "oxen_build_id", &id)?;
    fs::write(elf, &image)?;
    Ok(())
}

fn put(image: &mut [u8], listing: &str, symbol: &str, bytes: &[u8]) -> Result<()> {
    let place = listing
        .lines()
        .find(|line| line.split(' ').next_back() == Some(symbol))
        .and_then(|line| u64::from_str_radix(line.split(' ').next()?, 16).ok())
        .with_context(|| format!("the image has no {symbol}"))?;
    let Some(offset) = file_offset(image, place) else {
        bail!("{symbol} is in no segment");
    };
    image
        .get_mut(offset..offset + bytes.len())
        .with_context(|| format!("{symbol} is beyond the end of the file"))?
        .copy_from_slice(bytes);
    Ok(())
}

/// Changeset, date and compiler, each ended by a zero byte; what cannot be found out is empty.
fn texts() -> Vec<u8> {
    let git = |format: &str| {
        let mut git = cmd::command("git");
        git.env("TZ", "UTC").args(["log", "-1", format]);
        let text = cmd::output(git.arg("--date=format-local:%a %b %e %H:%M:%S UTC %Y"));
        text.unwrap_or_default().trim().to_owned()
    };
    let mut changeset = git("--format=%cd git:%h");
    let mut status = cmd::command("git");
    status.args(["status", "--porcelain", "--untracked-files=no"]);
    if !changeset.is_empty() && !cmd::output(&mut status).unwrap_or_default().is_empty() {
        changeset.push_str("-dirty");
    }
    let compiler = cmd::output(cmd::rustc().arg("--version")).unwrap_or_default();
    let mut bytes = Vec::new();
    for text in [changeset, git("--format=%cd"), compiler.trim().to_owned()] {
        // Longer ones than the ABI has room for are cut there.
        bytes.extend(text.bytes().filter(|byte| *byte != 0).take(127));
        bytes.push(0);
    }
    bytes.truncate(CAPACITY);
    bytes
}
