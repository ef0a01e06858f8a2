//! Decompression of kernel payloads, straight into an output of known size.
//!
//! xz and lzma, the hot path (Debian's kernels are xz), bzip2 and lzo are decoded here; gzip, zstd and lz4
//! blocks by crates.

mod by_crate;
mod bzip2;
mod crc;
mod lzma;
mod lzo;
mod xz;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use crc::crc32 as checksum;

use core::fmt;

use super::LoadError;

/// How a payload is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all: an ELF file.
    None,
    /// RFC 1952.
    Gzip,
    /// The .xz format.
    Xz,
    /// LZMA-alone (.lzma).
    Lzma,
    /// bzip2.
    Bzip2,
    /// lz4's legacy frames.
    Lz4,
    /// lzop files.
    Lzo,
    /// RFC 8878.
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "not compressed",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "lz4",
            Self::Lzo => "lzo",
            Self::Zstd => "zstd",
        })
    }
}

impl Compression {
    /// What the first bytes say; `None` if they name no known format.
    pub fn detect(data: &[u8]) -> Option<Self> {
        Some(match data {
            [0x7f, b'E', b'L', b'F', ..] => Self::None,
            [0x1f, 0x8b | 0x9e, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            // No magic of its own: lc=3 lp=0 pb=2 and the low half of a dictionary size.
            [0x5d, 0, 0, ..] => Self::Lzma,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ if data.starts_with(&by_crate::LZ4_LEGACY) => Self::Lz4,
            _ if data.starts_with(&lzo::MAGIC) => Self::Lzo,
            _ => return None,
        })
    }

    /// The unpacked size that the data itself names, in bytes.
    pub fn size(self, data: &[u8]) -> Option<u64> {
        match self {
            Self::None => Some(data.len() as u64),
            Self::Gzip => Some(u64::from(u32::from_le_bytes(*data.last_chunk()?))),
            Self::Xz => xz::size(data),
            Self::Lzma => lzma::size(data),
            Self::Zstd => by_crate::zstd_size(data),
            Self::Bzip2 | Self::Lz4 | Self::Lzo => None,
        }
    }

    /// Unpacks `data` into `out`; the bytes written.
    pub fn decode(self, data: &[u8], out: &mut [u8]) -> Result<usize, LoadError> {
        match self {
            Self::None => match out.get_mut(..data.len()) {
                Some(room) => {
                    room.copy_from_slice(data);
                    Ok(data.len())
                }
                None => Err("larger than announced"),
            },
            Self::Gzip => by_crate::gzip(data, out),
            Self::Xz => xz::decode(data, out),
            Self::Lzma => lzma::decode(data, out),
            Self::Bzip2 => bzip2::decode(data, out),
            Self::Lz4 => by_crate::lz4(data, out),
            Self::Lzo => lzo::decode(data, out),
            Self::Zstd => by_crate::zstd(data, out),
        }
        .map_err(|why| LoadError::Corrupt(self, why))
    }
}

/// Copies `length` bytes from `distance` back to `pos`, where they may overlap with what they produce.
/// The caller has checked `1 <= distance <= pos` and `pos + length <= out.len()`.
#[inline(always)]
fn copy_match(out: &mut [u8], pos: usize, distance: usize, length: usize) {
    let end = pos + length;
    if distance == 1 {
        let byte = out[pos - 1];
        out[pos..end].fill(byte);
        return;
    }
    // A short period is written bytewise until it is eight bytes long, and then repeats as any other.
    let (mut at, mut distance) = (pos, distance);
    while distance < 8 {
        for _ in 0..distance {
            if at == end {
                return;
            }
            out[at] = out[at - distance];
            at += 1;
        }
        distance *= 2;
    }
    if end + 8 <= out.len() {
        // Eight at a time; what goes beyond the end is overwritten by what comes next.
        while at < end {
            let from = at - distance;
            let mut eight = [0; 8];
            eight.copy_from_slice(&out[from..from + 8]);
            out[at..at + 8].copy_from_slice(&eight);
            at += 8;
        }
    } else {
        for at in at..end {
            out[at] = out[at - distance];
        }
    }
}
