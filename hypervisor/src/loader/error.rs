//! Why a kernel image cannot be used: one line each, for the console.

use core::fmt;

use super::unpack::Compression;

/// A kernel image that cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The boot loader gave no kernel module, or an empty one.
    Missing,
    /// The image ends before something that its headers announce.
    Truncated {
        /// What is cut off.
        what: &'static str,
        /// Bytes the image must have for it.
        needed: u64,
        /// Bytes it has.
        present: u64,
    },
    /// Neither a bzImage, nor an ELF file, nor either of them compressed.
    NotAKernel {
        /// The first bytes.
        magic: [u8; 4],
    },
    /// A bzImage of a boot protocol before 2.08, which does not say where its payload is.
    OldProtocol(u16),
    /// The payload starts with bytes that name no known compression.
    UnknownCompression([u8; 6]),
    /// The compressed data contradicts itself.
    Corrupt(Compression, &'static str),
    /// The compressed data does not say how large it unpacks, and its container does not either.
    UnknownSize(Compression),
    /// More than can be unpacked.
    TooLarge {
        /// Bytes it unpacks to, as far as known.
        size: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The ELF headers are wrong.
    Elf(&'static str),
    /// A good ELF file that does not declare what a PV kernel must.
    NotXenCapable(&'static str),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Missing => f.write_str(
                "no kernel: the boot loader passed no module (\"module2 /boot/vmlinuz ...\") or an empty one",
            ),
            Self::Truncated { what, needed, present } => write!(
                f,
                "kernel image is truncated: its {what} needs {needed} bytes, the image has {present}"
            ),
            Self::NotAKernel { magic } => write!(
                f,
                "the first module is not a kernel: it starts with {magic:02x?}, which is neither a bzImage nor ELF"
            ),
            Self::OldProtocol(version) => write!(
                f,
                "kernel image uses Linux boot protocol {}.{:02}; 2.08 or later is needed",
                version >> 8,
                version & 0xff
            ),
            Self::UnknownCompression(magic) => write!(
                f,
                "kernel payload has an unknown compression: it starts with {magic:02x?} (known: gzip, xz, lzma, bzip2, lz4, lzo, zstd)"
            ),
            Self::Corrupt(c, why) => write!(f, "kernel payload is damaged ({c}): {why}"),
            Self::UnknownSize(c) => {
                write!(f, "a bare {c} file does not say its unpacked size; use a bzImage")
            }
            Self::TooLarge { size, limit } => write!(
                f,
                "kernel is too large: it unpacks to {} KiB, the limit is {} KiB",
                size.div_ceil(1024),
                limit / 1024
            ),
            Self::Elf(why) => write!(f, "kernel is not a usable ELF file: {why}"),
            Self::NotXenCapable(why) => {
                write!(f, "kernel cannot run as a Xen PV guest: {why}")
            }
        }
    }
}

impl core::error::Error for LoadError {}
