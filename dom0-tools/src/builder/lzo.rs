//! The file format of lzop, in which Linux keeps LZO-packed kernels.

use std::io::{self, Read};

const MAGIC: &[u8] = b"\x89LZO\0\r\n\x1a\n";
/// Blocks are 256 KiB; lzop itself takes up to 64 MiB.
const LARGEST_BLOCK: u32 = 64 << 20;

/// Header flags: checksums beside each block, fields of the header.
const ADLER32_UNPACKED: u32 = 0x1;
const ADLER32_PACKED: u32 = 0x2;
const CRC32_UNPACKED: u32 = 0x100;
const CRC32_PACKED: u32 = 0x200;
const EXTRA_FIELD: u32 = 0x40;
const FILTER: u32 = 0x800;

/// Unpacks the blocks of an lzop file. Checksums are not looked at: the kernel's own build does not
/// either, and what they would catch the ELF parser refuses.
pub(super) struct LzoReader<'a> {
    rest: Bytes<'a>,
    flags: u32,
    block: Vec<u8>,
    given: usize,
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> io::Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn word(&mut self) -> io::Result<u16> {
        let bytes = self.take(2)?;
        Ok(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn long(&mut self) -> io::Result<u32> {
        let bytes = self.take(4)?;
        Ok(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

impl<'a> LzoReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> io::Result<Self> {
        let mut rest = Bytes(bytes);
        if rest.take(MAGIC.len())? != MAGIC {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let version = rest.word()?;
        rest.word()?; // of the library
        if version >= 0x940 {
            rest.word()?; // needed to unpack
        }
        rest.byte()?; // method
        if version >= 0x940 {
            rest.byte()?; // level
        }
        let flags = rest.long()?;
        if flags & FILTER != 0 {
            rest.long()?;
        }
        rest.long()?; // mode
        rest.long()?; // time
        if version >= 0x940 {
            rest.long()?; // time, high part
        }
        let name = rest.byte()?;
        rest.take(usize::from(name))?;
        rest.long()?; // checksum of the header
        if flags & EXTRA_FIELD != 0 {
            let len = rest.long()?;
            rest.take(len as usize)?;
            rest.long()?;
        }
        Ok(Self {
            rest,
            flags,
            block: Vec::new(),
            given: 0,
        })
    }

    fn next(&mut self) -> io::Result<bool> {
        let unpacked = self.rest.long()?;
        if unpacked == 0 {
            return Ok(false);
        }
        let packed = self.rest.long()?;
        if unpacked > LARGEST_BLOCK || packed > unpacked {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut sums = [ADLER32_UNPACKED, CRC32_UNPACKED]
            .iter()
            .filter(|flag| self.flags & *flag != 0)
            .count();
        if packed < unpacked {
            let of_packed = [ADLER32_PACKED, CRC32_PACKED];
            sums += of_packed
                .iter()
                .filter(|flag| self.flags & *flag != 0)
                .count();
        }
        self.rest.take(sums * 4)?;
        let data = self.rest.take(packed as usize)?;
        self.block.clear();
        if packed == unpacked {
            self.block.extend_from_slice(data);
        } else {
            self.block.resize(unpacked as usize, 0);
            match lzokay::decompress::decompress(data, &mut self.block) {
                Ok(len) if len == self.block.len() => {}
                Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
                Err(error) => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("{error:?}"),
                    ));
                }
            }
        }
        self.given = 0;
        Ok(true)
    }
}

impl Read for LzoReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.given == self.block.len() {
            if !self.next()? {
                return Ok(0);
            }
        }
        let from = self.block.get(self.given..).unwrap_or(&[]);
        let len = from.len().min(out.len());
        out[..len].copy_from_slice(&from[..len]);
        self.given += len;
        Ok(len)
    }
}
