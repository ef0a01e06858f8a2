//! The 80x25 VGA text screen at physical `0xb8000` (IBM VGA; CRT controller at ports 0x3d4/0x3d5).

use super::Sink;
use super::text::{Cells, Cursor};
use crate::hw::{self, Mmio};

const TEXT_MEMORY: u64 = 0xb_8000;
const COLUMNS: usize = 80;
const ROWS: usize = 25;
/// Light grey on black.
const ATTRIBUTE: u16 = 0x0700;

/// The text screen; output starts on a cleared screen and scrolls.
pub struct VgaText {
    memory: Mmio,
    cursor: Cursor,
}

impl VgaText {
    /// Maps and clears the screen. `None` when its memory cannot be mapped.
    pub fn open() -> Option<Self> {
        let screen = Self {
            memory: Mmio::map(TEXT_MEMORY, (COLUMNS * ROWS * 2) as u64)?,
            cursor: Cursor::new(ROWS, COLUMNS),
        };
        for row in 0..ROWS {
            screen.clear_row(row);
        }
        screen.show_cursor();
        Some(screen)
    }

    fn clear_row(&self, row: usize) {
        for column in 0..COLUMNS {
            self.show(row, column, b' ');
        }
    }

    fn show(&self, row: usize, column: usize, byte: u8) {
        self.memory
            .write16((row * COLUMNS + column) * 2, ATTRIBUTE | u16::from(byte));
    }

    fn show_cursor(&self) {
        let position = (self.cursor.row * COLUMNS + self.cursor.column) as u16;
        for (index, value) in [(0x0e, (position >> 8) as u8), (0x0f, position as u8)] {
            hw::outb(0x3d4, index);
            hw::outb(0x3d5, value);
        }
    }
}

impl Cells for VgaText {
    fn put(&mut self, row: usize, column: usize, byte: u8) {
        self.show(row, column, byte);
    }

    fn scroll(&mut self) {
        for offset in (0..(ROWS - 1) * COLUMNS * 2).step_by(4) {
            self.memory
                .write32(offset, self.memory.read32(offset + COLUMNS * 2));
        }
        self.clear_row(ROWS - 1);
    }
}

impl Sink for VgaText {
    fn write(&mut self, bytes: &[u8]) {
        let mut cursor = self.cursor;
        cursor.write(bytes, self);
        self.cursor = cursor;
        self.show_cursor();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(screen: &VgaText, row: usize) -> String {
        (0..COLUMNS)
            .map(|c| char::from(screen.memory.read8((row * COLUMNS + c) * 2)))
            .collect::<String>()
            .trim_end()
            .into()
    }

    #[test]
    fn wraps_and_scrolls() {
        let mut screen = VgaText::open().unwrap();
        for n in 0..30 {
            screen.write(format!("line {n}\n").as_bytes());
        }
        assert_eq!(line(&screen, 0), "line 6");
        assert_eq!(line(&screen, 23), "line 29");
        screen.write(&[b'x'; 81]);
        assert_eq!((screen.cursor.row, screen.cursor.column), (24, 1));
        assert_eq!(line(&screen, 24), "x");
    }
}
