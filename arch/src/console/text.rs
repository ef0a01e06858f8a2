//! What control characters do on a screen of character cells, whatever the cells are made of.

/// A screen of cells.
pub(super) trait Cells {
    /// Shows a character.
    fn put(&mut self, row: usize, column: usize, byte: u8);
    /// Moves everything up by one row and clears the last.
    fn scroll(&mut self);
}

/// Where the next character goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub row: usize,
    pub column: usize,
    rows: usize,
    columns: usize,
}

impl Cursor {
    /// At the top left of a screen of that size.
    pub const fn new(rows: usize, columns: usize) -> Self {
        Self {
            row: 0,
            column: 0,
            rows,
            columns,
        }
    }

    /// Shows the bytes.
    pub fn write(&mut self, bytes: &[u8], cells: &mut impl Cells) {
        for &byte in bytes {
            match byte {
                b'\n' => self.newline(cells),
                b'\r' => self.column = 0,
                b'\t' => self.column = (self.column + 8) & !7,
                8 => self.column = self.column.saturating_sub(1),
                0..=31 => {}
                _ => {
                    cells.put(self.row, self.column, byte);
                    self.column += 1;
                }
            }
            if self.column >= self.columns {
                self.newline(cells);
            }
        }
    }

    fn newline(&mut self, cells: &mut impl Cells) {
        self.column = 0;
        if self.row + 1 < self.rows {
            self.row += 1;
        } else {
            cells.scroll();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Lines(Vec<Vec<u8>>);

    impl Cells for Lines {
        fn put(&mut self, row: usize, column: usize, byte: u8) {
            self.0[row][column] = byte;
        }
        fn scroll(&mut self) {
            self.0.remove(0);
            self.0.push(vec![b'.'; 10]);
        }
    }

    fn shown(text: &str) -> String {
        let mut lines = Lines(vec![vec![b'.'; 10]; 2]);
        Cursor::new(2, 10).write(text.as_bytes(), &mut lines);
        String::from_utf8(lines.0.join(&b'|')).unwrap()
    }

    #[test]
    fn control_characters_move() {
        assert_eq!(shown("ab\tc\rd"), "db......c.|..........");
        assert_eq!(shown("ab\x08c\x07\x01"), "ac........|..........");
        assert_eq!(shown("\x08a\n\nb"), "..........|b.........");
        assert_eq!(shown("0123456789a"), "0123456789|a.........");
        assert_eq!(shown("1\t\tx"), "1.........|x.........");
    }
}
