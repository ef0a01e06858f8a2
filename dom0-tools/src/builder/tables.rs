//! The page tables that a PV guest starts on.

use std::io;

use zerocopy::IntoBytes as _;

use super::layout::{Layout, Region};
use super::{PAGE, Window};

const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
/// Entries of a table.
const ENTRIES: u64 = 512;

/// Writes all tables into `window`, which begins at frame `first`. `machine` has the machine frame
/// of each guest frame.
///
/// # Errors
/// If a table is not in the window.
pub fn write<W: Window>(
    layout: &Layout,
    machine: &[u64],
    window: &mut W,
    first: u64,
) -> io::Result<()> {
    let mut l4 = [0; ENTRIES as usize];
    for region in [Some(&layout.main), layout.list.as_ref()]
        .into_iter()
        .flatten()
    {
        let (start, _) = region.entries(4);
        for (index, table) in region.tables_at(3).enumerate() {
            let slot = (start as usize + index) % ENTRIES as usize;
            l4[slot] = frame(machine, table)? << 12 | upper();
        }
        for level in [3, 2, 1] {
            level_of(layout, region, level, machine, window, first)?;
        }
    }
    put(window, first, layout.l4, &l4)
}

fn upper() -> u64 {
    PRESENT | WRITABLE | USER | ACCESSED | DIRTY
}

/// Writes the region's tables of one level. Their entries are those of one long table, cut.
fn level_of<W: Window>(
    layout: &Layout,
    region: &Region,
    level: usize,
    machine: &[u64],
    window: &mut W,
    first: u64,
) -> io::Result<()> {
    let (start, count) = region.entries(level);
    let below = match level {
        1 => region.frames.clone(),
        _ => region.tables_at(level - 1),
    };
    let mut table = [0; ENTRIES as usize];
    let skipped = start % ENTRIES;
    for (at, number) in region.tables_at(level).zip(0..) {
        table.fill(0);
        for slot in 0..ENTRIES {
            let index = number * ENTRIES + slot;
            // The first table's beginning and the last one's end may belong to nobody.
            let Some(index) = index.checked_sub(skipped).filter(|index| *index < count) else {
                continue;
            };
            let guest = below.start + index;
            let flags = match level {
                1 if layout.is_table(guest) => PRESENT | ACCESSED,
                1 => PRESENT | WRITABLE | ACCESSED,
                _ => upper(),
            };
            table[slot as usize] = frame(machine, guest)? << 12 | flags;
        }
        put(window, first, at, &table)?;
    }
    Ok(())
}

fn frame(machine: &[u64], guest: u64) -> io::Result<u64> {
    let frame = usize::try_from(guest)
        .ok()
        .and_then(|guest| machine.get(guest));
    frame
        .copied()
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

fn put<W: Window>(window: &mut W, first: u64, at: u64, table: &[u64; 512]) -> io::Result<()> {
    let place = at.checked_sub(first).ok_or(io::ErrorKind::InvalidInput)?;
    window.write(place * PAGE, table.as_bytes())
}
