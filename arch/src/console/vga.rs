//! The 80x25 VGA text screen at physical `0xb8000` (IBM VGA; CRT controller at ports 0x3d4/0x3d5).

use super::Sink;
use crate::hw::{self, Mmio};

const TEXT_MEMORY: u64 = 0xb_8000;
const COLUMNS: usize = 80;
const ROWS: usize = 25;
/// Light grey on black.
const ATTRIBUTE: u16 = 0x0700;

/// The text screen; output starts on a cleared screen and scrolls.
pub struct VgaText {
    memory: Mmio,
    row: usize,
    column: usize,
}

impl VgaText {
    /// Maps and clears the screen. `None` when its memory cannot be mapped.
    pub fn open() -> Option<Self> {
        let screen = Self {
            memory: Mmio::map(TEXT_MEMORY, (COLUMNS * ROWS * 2) as u64)?,
            row: 0,
            column: 0,
        };
        for row in 0..ROWS {
            screen.clear_row(row);
        }
        screen.show_cursor();
        Some(screen)
    }

    fn clear_row(&self, row: usize) {
        for column in 0..COLUMNS {
            self.put(row, column, b' ');
        }
    }

    fn put(&self, row: usize, column: usize, byte: u8) {
        self.memory
            .write16((row * COLUMNS + column) * 2, ATTRIBUTE | u16::from(byte));
    }

    fn newline(&mut self) {
        self.column = 0;
        if self.row + 1 < ROWS {
            self.row += 1;
            return;
        }
        for offset in (0..(ROWS - 1) * COLUMNS * 2).step_by(4) {
            self.memory
                .write32(offset, self.memory.read32(offset + COLUMNS * 2));
        }
        self.clear_row(ROWS - 1);
    }

    fn show_cursor(&self) {
        let position = (self.row * COLUMNS + self.column) as u16;
        for (index, value) in [(0x0e, (position >> 8) as u8), (0x0f, position as u8)] {
            hw::outb(0x3d4, index);
            hw::outb(0x3d5, value);
        }
    }
}

impl Sink for VgaText {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' => self.newline(),
                b'\r' => self.column = 0,
                b'\t' => self.column = (self.column + 8) & !7,
                8 => self.column = self.column.saturating_sub(1),
                0..=31 => {}
                _ => {
                    self.put(self.row, self.column, byte);
                    self.column += 1;
                }
            }
            if self.column >= COLUMNS {
                self.newline();
            }
        }
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
        assert_eq!((screen.row, screen.column), (24, 1));
        assert_eq!(line(&screen, 24), "x");
    }
}
