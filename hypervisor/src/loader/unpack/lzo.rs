//! lzop files with LZO1X blocks (the format as Linux Documentation/staging/lzo.rst describes it).

use super::lzma::Failure;

/// First bytes of an lzop file.
pub const MAGIC: [u8; 9] = *b"\x89LZO\0\r\n\x1a\n";
const ADLER_UNPACKED: u32 = 1;
const ADLER_PACKED: u32 = 2;
const CRC_UNPACKED: u32 = 1 << 8;
const CRC_PACKED: u32 = 1 << 9;
const FILTER: u32 = 1 << 11;
const EXTRA: u32 = 1 << 6;

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Failure> {
        let (head, rest) = self.0.split_at_checked(n).ok_or("ends too early")?;
        self.0 = rest;
        Ok(head)
    }
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        self.take(N)?.try_into().map_err(|_| "ends too early")
    }
    fn byte(&mut self) -> Result<usize, Failure> {
        Ok(usize::from(self.array::<1>()?[0]))
    }
    fn be32(&mut self) -> Result<u32, Failure> {
        self.array().map(u32::from_be_bytes)
    }
    fn le16(&mut self) -> Result<usize, Failure> {
        Ok(usize::from(u16::from_le_bytes(self.array()?)))
    }
    /// A length whose short form was zero: 255 per zero byte, then the rest.
    fn long(&mut self, base: usize) -> Result<usize, Failure> {
        let zeroes = self.0.iter().take_while(|&&b| b == 0).count();
        self.take(zeroes)?;
        Ok(base + zeroes * 255 + self.byte()?)
    }
}

/// Decodes one LZO1X block that fills `out` exactly.
fn block(data: &[u8], out: &mut [u8]) -> Result<(), Failure> {
    let mut r = Reader(data);
    let mut pos = 0usize;
    // Literals copied by the last instruction: 0, 1..=3, or 4 for four and more.
    let mut state = 0;
    let literals = |r: &mut Reader<'_>, out: &mut [u8], pos: &mut usize, n: usize| {
        let room = out.get_mut(*pos..).and_then(|o| o.get_mut(..n));
        room.ok_or("larger than announced")?
            .copy_from_slice(r.take(n)?);
        *pos += n;
        Ok::<(), Failure>(())
    };
    if let Some(&first @ 18..) = r.0.first() {
        r.byte()?;
        let n = usize::from(first) - 17;
        literals(&mut r, out, &mut pos, n)?;
        state = n.min(4);
    }
    loop {
        let op = r.byte()?;
        let (distance, length, trailing);
        match op {
            0..16 if state == 0 => {
                let n = if op == 0 { r.long(18)? } else { op + 3 };
                literals(&mut r, out, &mut pos, n)?;
                state = 4;
                continue;
            }
            0..16 => {
                let near = (r.byte()? << 2) + (op >> 2) + 1;
                (distance, length) = if state == 4 {
                    (near + 2048, 3)
                } else {
                    (near, 2)
                };
                trailing = op & 3;
            }
            16..32 => {
                length = if op & 7 == 0 {
                    r.long(9)?
                } else {
                    (op & 7) + 2
                };
                let word = r.le16()?;
                distance = 16384 + ((op & 8) << 11) + (word >> 2);
                trailing = word & 3;
                if distance == 16384 {
                    return if pos == out.len() {
                        Ok(())
                    } else {
                        Err("smaller than announced")
                    };
                }
            }
            32..64 => {
                length = if op & 31 == 0 {
                    r.long(33)?
                } else {
                    (op & 31) + 2
                };
                let word = r.le16()?;
                distance = (word >> 2) + 1;
                trailing = word & 3;
            }
            _ => {
                length = if op < 128 {
                    3 + (op >> 5 & 1)
                } else {
                    5 + (op >> 5 & 3)
                };
                distance = (r.byte()? << 3) + (op >> 2 & 7) + 1;
                trailing = op & 3;
            }
        }
        if distance > pos {
            return Err("distance beyond the start");
        }
        if length > out.len() - pos {
            return Err("match beyond the end");
        }
        super::copy_match(out, pos, distance, length);
        pos += length;
        literals(&mut r, out, &mut pos, trailing)?;
        state = trailing;
    }
}

/// Decodes a whole lzop file into `out`; the size reached.
pub fn decode(data: &[u8], out: &mut [u8]) -> Result<usize, Failure> {
    let mut r = Reader(data);
    if r.array()? != MAGIC {
        return Err("no header");
    }
    let version = u16::from_be_bytes(r.array()?);
    r.take(2)?; // version of the library
    if version >= 0x0940 {
        r.take(2)?; // version needed to extract
    }
    let method = r.byte()?;
    if !(1..=3).contains(&method) {
        return Err("unknown method");
    }
    if version >= 0x0940 {
        r.take(1)?; // level
    }
    let flags = r.be32()?;
    if flags & FILTER != 0 {
        return Err("filters are not supported");
    }
    r.take(4 + 4)?; // mode, time
    if version >= 0x0940 {
        r.take(4)?; // time, upper half
    }
    let name = r.byte()?;
    r.take(name + 4)?; // name, checksum of the header
    if flags & EXTRA != 0 {
        let extra = r.be32()? as usize;
        r.take(extra.checked_add(4).ok_or("length overflows")?)?;
    }
    let mut pos = 0usize;
    loop {
        let unpacked = r.be32()? as usize;
        if unpacked == 0 {
            return Ok(pos);
        }
        let packed = r.be32()? as usize;
        let adler = if flags & ADLER_UNPACKED != 0 {
            Some(r.be32()?)
        } else {
            None
        };
        let crc = if flags & CRC_UNPACKED != 0 {
            Some(r.be32()?)
        } else {
            None
        };
        if packed < unpacked {
            for flag in [ADLER_PACKED, CRC_PACKED] {
                if flags & flag != 0 {
                    r.be32()?;
                }
            }
        }
        let input = r.take(packed)?;
        let room = out.get_mut(pos..).and_then(|o| o.get_mut(..unpacked));
        let room = room.ok_or("larger than announced")?;
        if packed == unpacked {
            room.copy_from_slice(input);
        } else if packed < unpacked {
            block(input, room)?;
        } else {
            return Err("a block grew");
        }
        if adler.is_some_and(|a| a != adler32(room))
            || crc.is_some_and(|c| c != super::crc::crc32(room))
        {
            return Err("checksum of the unpacked data");
        }
        pos += unpacked;
    }
}

fn adler32(data: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    // 5552 bytes are as many as cannot overflow 32 bits.
    for chunk in data.chunks(5552) {
        for &byte in chunk {
            a += u32::from(byte);
            b += a;
        }
        a %= 65521;
        b %= 65521;
    }
    b << 16 | a
}
