//! Names for code addresses. `./x build` writes the table into the finished image; a plain `cargo build` leaves it empty.
//!
//! Format, little-endian: `count: u32`, then `count` offsets from `IMAGE_BASE` (`u32`, ascending), then `count` ends
//! of names (`u32`, in the text that follows), then the names, one after the other.
#![allow(unsafe_code)]

/// Bytes that the image keeps free for the table.
pub const CAPACITY: usize = 128 << 10;

/// The table's place. Its name is known to `./x build`.
#[cfg(target_os = "none")]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata.symbols")]
#[used]
static OXEN_SYMBOLS: [u8; CAPACITY] = [0; CAPACITY];

fn table() -> &'static [u8] {
    #[cfg(target_os = "none")]
    {
        // The compiler must not take the zeroes for granted: the table is written after linking.
        let start = core::hint::black_box(&raw const OXEN_SYMBOLS).cast::<u8>();
        // SAFETY: a static of that size.
        unsafe { core::slice::from_raw_parts(start, CAPACITY) }
    }
    #[cfg(not(target_os = "none"))]
    &[]
}

/// The name of the function that holds an offset from the image's base, and the distance from its start.
#[must_use]
pub fn find(offset: u32) -> Option<(&'static str, u32)> {
    find_in(table(), offset)
}

fn find_in(table: &[u8], offset: u32) -> Option<(&str, u32)> {
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(table.get(at..at + 4)?.try_into().ok()?))
    };
    let count = word(0)? as usize;
    let start = |n: usize| word(4 + n * 4);
    let end = |n: usize| word(4 + (count + n) * 4);
    // The last symbol that starts at or before the offset.
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if start(middle)? <= offset {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    let n = low.checked_sub(1)?;
    let text = table.get(4 + count * 8..)?;
    let from = if n == 0 { 0 } else { end(n - 1)? as usize };
    let name = core::str::from_utf8(text.get(from..end(n)? as usize)?).ok()?;
    Some((name, offset - start(n)?))
}

#[cfg(test)]
mod tests {
    use super::find_in;

    #[test]
    fn finds_the_function_around_an_offset() {
        let names = ["boot", "hypervisor::mm", "end"];
        let mut table = 3u32.to_le_bytes().to_vec();
        for start in [0x100u32, 0x200, 0x300] {
            table.extend(start.to_le_bytes());
        }
        let mut end = 0u32;
        for name in names {
            end += name.len() as u32;
            table.extend(end.to_le_bytes());
        }
        table.extend(names.concat().as_bytes());
        assert_eq!(find_in(&table, 0xff), None);
        assert_eq!(find_in(&table, 0x100), Some(("boot", 0)));
        assert_eq!(find_in(&table, 0x2ff), Some(("hypervisor::mm", 0xff)));
        assert_eq!(find_in(&table, 0x1000), Some(("end", 0xd00)));
        assert_eq!(find_in(&[0; 64], 5), None);
        for cut in 0..table.len() {
            let _ = find_in(&table[..cut], 0x200);
        }
    }
}
