//! Text on a linear frame buffer, as UEFI machines and GRUB's graphical modes leave it.
//!
//! Characters are 8x16 (the glyphs of the `font8x8` crate with doubled rows). A copy of what is shown is kept, so that
//! scrolling only redraws cells that change and never reads the slow frame buffer.

use alloc::vec;
use alloc::vec::Vec;

use super::Sink;
use super::text::{Cells, Cursor};
use crate::hw::Mmio;

/// A frame buffer as the boot loader describes it (Multiboot2 section 3.6.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramebufferInfo {
    /// Physical address of the first pixel.
    pub address: u64,
    /// Bytes from one row to the next.
    pub pitch: u32,
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Bits per pixel: 15, 16, 24 or 32.
    pub bits_per_pixel: u8,
    /// Position of the lowest bit and number of bits of red, green and blue.
    pub channels: [(u8, u8); 3],
}

const CELL_WIDTH: usize = 8;
const CELL_HEIGHT: usize = 16;
/// Screens larger than this are a boot loader's error.
const MAX_SIDE: u32 = 16_384;

/// The text console on a frame buffer.
pub struct Framebuffer {
    memory: Mmio,
    pitch: usize,
    bytes_per_pixel: usize,
    foreground: u32,
    columns: usize,
    /// What each cell shows.
    shown: Vec<u8>,
    /// What each cell should show.
    text: Vec<u8>,
    cursor: Cursor,
}

impl Framebuffer {
    /// Maps and clears the frame buffer. `None` when the description makes no sense, the depth is not supported or the
    /// memory cannot be mapped. Needs the heap.
    pub fn open(info: &FramebufferInfo) -> Option<Self> {
        let bytes_per_pixel = usize::from(info.bits_per_pixel).div_ceil(8);
        if !(2..=4).contains(&bytes_per_pixel) || info.width > MAX_SIDE || info.height > MAX_SIDE {
            return None;
        }
        let pitch = info.pitch as usize;
        let (columns, rows) = (
            info.width as usize / CELL_WIDTH,
            info.height as usize / CELL_HEIGHT,
        );
        if columns == 0
            || rows == 0
            || pitch < info.width as usize * bytes_per_pixel
            || pitch > 1 << 20
        {
            return None;
        }
        if bytes_per_pixel != 3 && !pitch.is_multiple_of(bytes_per_pixel) {
            return None;
        }
        let length = pitch * info.height as usize;
        info.address.checked_add(length as u64)?;
        let memory = Mmio::map_combining(info.address, length as u64)?;
        let foreground = info.channels.iter().fold(0, |pixel, &(position, bits)| {
            let level = 0xaa_u32
                .checked_shr(8_u32.saturating_sub(bits.into()))
                .unwrap_or(0);
            pixel | level.checked_shl(position.into()).unwrap_or(0)
        });
        for offset in (0..length & !3).step_by(4) {
            memory.write32(offset, 0);
        }
        Some(Self {
            memory,
            pitch,
            bytes_per_pixel,
            foreground,
            columns,
            shown: vec![b' '; columns * rows],
            text: vec![b' '; columns * rows],
            cursor: Cursor::new(rows, columns),
        })
    }

    /// Draws the cells that changed.
    fn refresh(&mut self) {
        for cell in 0..self.text.len() {
            if self.text[cell] != self.shown[cell] {
                self.draw(cell / self.columns, cell % self.columns, self.text[cell]);
                self.shown[cell] = self.text[cell];
            }
        }
    }

    fn draw(&self, row: usize, column: usize, byte: u8) {
        let glyph = font8x8::legacy::BASIC_LEGACY
            .get(usize::from(byte))
            .unwrap_or(&[0x7e; 8]);
        for y in 0..CELL_HEIGHT {
            let bits = glyph[y / 2];
            let mut offset =
                (row * CELL_HEIGHT + y) * self.pitch + column * CELL_WIDTH * self.bytes_per_pixel;
            for x in 0..CELL_WIDTH {
                self.pixel(
                    offset,
                    if bits >> x & 1 == 1 {
                        self.foreground
                    } else {
                        0
                    },
                );
                offset += self.bytes_per_pixel;
            }
        }
    }

    fn pixel(&self, offset: usize, value: u32) {
        match self.bytes_per_pixel {
            4 => self.memory.write32(offset, value),
            2 => self.memory.write16(offset, value as u16),
            _ => {
                for (n, byte) in value.to_le_bytes().into_iter().take(3).enumerate() {
                    self.memory.write8(offset + n, byte);
                }
            }
        }
    }
}

impl Cells for Framebuffer {
    fn put(&mut self, row: usize, column: usize, byte: u8) {
        self.text[row * self.columns + column] = byte;
    }

    fn scroll(&mut self) {
        self.text.copy_within(self.columns.., 0);
        let last = self.text.len() - self.columns;
        self.text[last..].fill(b' ');
    }
}

impl Sink for Framebuffer {
    fn write(&mut self, bytes: &[u8]) {
        let mut cursor = self.cursor;
        cursor.write(bytes, self);
        self.cursor = cursor;
        self.refresh();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(bits_per_pixel: u8) -> FramebufferInfo {
        let bytes = u32::from(bits_per_pixel).div_ceil(8);
        FramebufferInfo {
            address: 0xe000_0000,
            pitch: 64 * bytes + 16,
            width: 64,
            height: 40,
            bits_per_pixel,
            channels: if bytes == 2 {
                [(11, 5), (5, 6), (0, 5)]
            } else {
                [(16, 8), (8, 8), (0, 8)]
            },
        }
    }

    #[test]
    fn draws_in_every_depth_and_scrolls() {
        for depth in [16, 24, 32] {
            let mut screen = Framebuffer::open(&info(depth)).unwrap();
            assert_eq!((screen.columns, screen.text.len()), (8, 16));
            screen.write(b"A\nB\nC");
            assert_eq!(&screen.shown, b"B       C       ");
            // Row 1 of 'C' (glyph row 0) has its first lit pixels at x = 2.
            let lit = CELL_HEIGHT * screen.pitch + 2 * screen.bytes_per_pixel;
            assert_eq!(
                screen.memory.read16(lit),
                screen.foreground as u16,
                "{depth}"
            );
            assert_eq!(screen.memory.read8(CELL_HEIGHT * screen.pitch), 0);
        }
    }

    #[test]
    fn senseless_descriptions_are_refused() {
        let good = info(32);
        for bad in [
            FramebufferInfo {
                bits_per_pixel: 8,
                ..good
            },
            FramebufferInfo {
                bits_per_pixel: 64,
                ..good
            },
            FramebufferInfo { pitch: 10, ..good },
            FramebufferInfo {
                pitch: good.pitch + 2,
                ..good
            },
            FramebufferInfo {
                address: good.address + 1,
                ..good
            },
            FramebufferInfo { width: 0, ..good },
            FramebufferInfo { height: 3, ..good },
            FramebufferInfo {
                width: u32::MAX,
                pitch: u32::MAX,
                ..good
            },
            FramebufferInfo {
                address: u64::MAX - 100,
                ..good
            },
        ] {
            assert!(Framebuffer::open(&bad).is_none(), "{bad:?}");
        }
        let odd = FramebufferInfo {
            channels: [(200, 255), (33, 0), (31, 8)],
            ..good
        };
        assert!(Framebuffer::open(&odd).is_some());
    }
}
