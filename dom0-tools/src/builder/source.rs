//! The kernel's file: a bzImage, an ELF file, or one that is packed; and what unpacks it.
//!
//! Linux `Documentation/x86/boot.rst` for the bzImage.

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::Path;

use super::Error;
use super::keep::{self, Place};
use super::lzo::LzoReader;

const BOOT_FLAG: usize = 0x1fe;
const HEADER: usize = 0x202;
const SETUP_SECTORS: usize = 0x1f1;
const VERSION: usize = 0x206;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
/// The first protocol that says where the payload is.
const FIRST_VERSION: u16 = 0x208;
/// In KiB: what a decompressor's dictionary may take.
const DICTIONARY: u32 = 256 * 1024;

/// How bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// RFC 1952.
    Gzip,
    /// The .xz format.
    Xz,
    /// The older .lzma format.
    Lzma,
    /// bzip2.
    Bzip2,
    /// The format of lzop.
    Lzo,
    /// LZ4's "legacy" frames, as Linux uses them.
    Lz4,
    /// RFC 8878.
    Zstd,
}

impl Packing {
    /// By the first bytes.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        const MAGIC: &[(&[u8], Packing)] = &[
            (b"\x7fELF", Packing::Plain),
            (b"\x1f\x8b", Packing::Gzip),
            (b"\xfd7zXZ\0", Packing::Xz),
            (b"\x5d\0\0", Packing::Lzma),
            (b"BZh", Packing::Bzip2),
            (b"\x89LZO", Packing::Lzo),
            (b"\x02\x21\x4c\x18", Packing::Lz4),
            (b"\x28\xb5\x2f\xfd", Packing::Zstd),
        ];
        let found = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic));
        found.map(|(_, packing)| *packing)
    }

    /// What unpacks `bytes`.
    fn reader(self, bytes: &[u8]) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(match self {
            Self::Plain => Box::new(bytes),
            Self::Gzip => Box::new(flate2::bufread::GzDecoder::new(bytes)),
            Self::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(
                bytes, false, DICTIONARY,
            )),
            Self::Lzma => Box::new(lzma_rust2::LzmaReader::new_mem_limit(
                bytes, DICTIONARY, None,
            )?),
            Self::Bzip2 => Box::new(bzip2::bufread::BzDecoder::new(bytes)),
            Self::Lzo => Box::new(LzoReader::new(bytes)?),
            Self::Lz4 => Box::new(Lz4Reader::new(bytes)),
            Self::Zstd => {
                let limit = u64::from(DICTIONARY) * 1024;
                let decoder =
                    ruzstd::decoding::StreamingDecoder::new_with_max_window_size(bytes, limit)
                        .map_err(invalid)?;
                Box::new(ZstdReader(decoder))
            }
        })
    }
}

fn invalid(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

/// A kernel's file in memory.
#[derive(Debug)]
pub struct Source {
    bytes: Vec<u8>,
    packing: Packing,
    /// The packed part of `bytes`.
    start: usize,
    end: usize,
    /// Where it is kept unpacked, or will be.
    place: Option<Place>,
    /// It is kept already.
    unpacked: Option<File>,
}

impl Source {
    /// Reads the file and finds the kernel in it.
    ///
    /// # Errors
    /// That it does not read, or is no kernel.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_keeping(path, Path::new(keep::FOLDER))
    }

    /// As [`Self::open`], with the folder of kept kernels.
    ///
    /// # Errors
    /// As there.
    pub fn open_keeping(path: &Path, folder: &Path) -> Result<Self, Error> {
        let failed = |error| Error::File(path.to_owned(), error);
        let mut file = File::open(path).map_err(failed)?;
        let place = Place::of(folder, &file);
        if let Some(unpacked) = place.as_ref().and_then(Place::open) {
            return Ok(Self {
                bytes: Vec::new(),
                packing: Packing::Plain,
                start: 0,
                end: 0,
                place: None,
                unpacked: Some(unpacked),
            });
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let mut source = Self::of(bytes, path)?;
        // One that is not packed is as good as kept.
        source.place = place.filter(|_| source.packing != Packing::Plain);
        Ok(source)
    }

    /// Finds the kernel in a file's bytes.
    ///
    /// # Errors
    /// That it is no kernel; `path` is for the message.
    pub fn of(bytes: Vec<u8>, path: &Path) -> Result<Self, Error> {
        let broken = |why: &str| Error::Broken(path.to_owned(), why.to_owned());
        if word(&bytes, BOOT_FLAG) == Some(0xaa55) && bytes.get(HEADER..HEADER + 4) == Some(b"HdrS")
        {
            if word(&bytes, VERSION).is_none_or(|version| version < FIRST_VERSION) {
                return Err(broken("its boot protocol is older than 2.08, of 2008"));
            }
            // A zero stands for four, by the protocol's history.
            let sectors = match bytes[SETUP_SECTORS] {
                0 => 4,
                sectors => usize::from(sectors),
            };
            let field = |at| long(&bytes, at).unwrap_or(0) as usize;
            let start = (sectors + 1) * 512 + field(PAYLOAD_OFFSET);
            let end = start.saturating_add(field(PAYLOAD_LENGTH));
            let payload = bytes.get(start..end);
            let payload = payload.ok_or_else(|| broken("it is shorter than its header says"))?;
            let packing = Packing::of(payload);
            let packing =
                packing.ok_or_else(|| broken("its payload is packed in an unknown way"))?;
            // The size that Linux appends to what is packed; gzip's own last field is the same.
            let end = match packing {
                Packing::Gzip => end,
                _ => end.saturating_sub(4).max(start),
            };
            return Ok(Self {
                packing,
                start,
                end,
                bytes,
                place: None,
                unpacked: None,
            });
        }
        let packing = Packing::of(&bytes).ok_or_else(|| Error::NotAKernel(path.to_owned()))?;
        Ok(Self {
            packing,
            start: 0,
            end: bytes.len(),
            bytes,
            place: None,
            unpacked: None,
        })
    }

    /// How it is packed.
    pub fn packing(&self) -> Packing {
        self.packing
    }

    /// Size in bytes of the packed kernel.
    pub fn packed_len(&self) -> usize {
        self.end - self.start
    }

    /// The unpacked kernel, as it comes.
    ///
    /// # Errors
    /// If the packed bytes do not begin as they should.
    pub fn reader(&self) -> io::Result<Box<dyn Read + Send + '_>> {
        if let Some(file) = &self.unpacked {
            let mut file = file.try_clone()?;
            // A clone shares its place in the file.
            file.rewind()?;
            return Ok(Box::new(file));
        }
        let bytes = self.bytes.get(self.start..self.end).unwrap_or(&[]);
        let reader = self.packing.reader(bytes)?;
        Ok(match &self.place {
            Some(place) => place.note(reader),
            None => reader,
        })
    }

    /// Says that the kernel was loaded, so that what was read of it is worth keeping.
    pub fn keep(&self) {
        if let Some(place) = &self.place {
            place.keep();
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// LZ4's legacy format: blocks of at most 8 MiB, each behind its packed size.
struct Lz4Reader<'a> {
    rest: &'a [u8],
    block: Vec<u8>,
    /// Valid bytes in `block`, and how many of them were given away.
    len: usize,
    given: usize,
}

impl<'a> Lz4Reader<'a> {
    const BLOCK: usize = 8 << 20;
    const MAGIC: u32 = 0x184c_2102;

    fn new(rest: &'a [u8]) -> Self {
        Self {
            rest,
            block: Vec::new(),
            len: 0,
            given: 0,
        }
    }

    /// Unpacks the next block; `false` at the end.
    fn next(&mut self) -> io::Result<bool> {
        loop {
            let Some(size) = long(self.rest, 0) else {
                return Ok(false);
            };
            self.rest = self.rest.get(4..).unwrap_or(&[]);
            // A frame's start, at the beginning or where files were joined.
            if size == Self::MAGIC {
                continue;
            }
            let Some((packed, rest)) = self.rest.split_at_checked(size as usize) else {
                // What is left behind the last block: the size that Linux appends.
                return Ok(false);
            };
            self.rest = rest;
            if self.block.is_empty() {
                // Zeroed by the system, as far as it is touched.
                self.block = vec![0; Self::BLOCK];
            }
            let unpacked = lz4_flex::block::decompress_into(packed, &mut self.block);
            self.len = unpacked.map_err(invalid)?;
            self.given = 0;
            return Ok(true);
        }
    }
}

impl Read for Lz4Reader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.given == self.len {
            if !self.next()? {
                return Ok(0);
            }
        }
        let from = self.block.get(self.given..self.len).unwrap_or(&[]);
        let len = from.len().min(out.len());
        out[..len].copy_from_slice(&from[..len]);
        self.given += len;
        Ok(len)
    }
}

/// The decoder brings a `Read` of its own, for use without the standard library.
struct ZstdReader<'a>(ruzstd::decoding::StreamingDecoder<&'a [u8], ruzstd::decoding::FrameDecoder>);

impl Read for ZstdReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        ruzstd::io::Read::read(&mut self.0, out).map_err(invalid)
    }
}
