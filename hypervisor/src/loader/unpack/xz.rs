//! The .xz container (The .xz File Format 1.1.0): streams of blocks, LZMA2, the x86 branch filter.

use super::crc::{crc32, crc64};
use alloc::boxed::Box;

use super::lzma::{Decoder, End, Failure};

const HEADER_MAGIC: [u8; 6] = *b"\xfd7zXZ\0";
const FOOTER_MAGIC: [u8; 2] = *b"YZ";
const FILTER_X86: u64 = 4;
const FILTER_LZMA2: u64 = 0x21;

/// A reader of bytes with the format's variable-length integers.
struct Reader<'a> {
    data: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Failure> {
        let end = self.pos.checked_add(len).ok_or("length overflows")?;
        let bytes = self.data.get(self.pos..end).ok_or("ends too early")?;
        self.pos = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        self.take(N)?.try_into().map_err(|_| "ends too early")
    }

    fn byte(&mut self) -> Result<u8, Failure> {
        Ok(self.array::<1>()?[0])
    }

    fn varint(&mut self) -> Result<u64, Failure> {
        let mut value = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("number too long")
    }
}

/// Size in bytes of a check of this type.
const fn check_size(kind: u8) -> usize {
    match kind {
        0 => 0,
        1..=3 => 4,
        4..=6 => 8,
        7..=9 => 16,
        10..=12 => 32,
        _ => 64,
    }
}

/// What a block header says.
struct Block {
    /// Offset the x86 filter starts counting at, if it is used.
    x86: Option<u32>,
}

/// Reads a block header whose first byte, its size, is not zero.
fn block_header(r: &mut Reader<'_>) -> Result<Block, Failure> {
    let start = r.pos;
    let size = (usize::from(r.byte()?) + 1) * 4;
    r.pos = start;
    let whole = r.take(size)?;
    let (fields, crc) = whole.split_last_chunk().ok_or("block header too short")?;
    if crc32(fields) != u32::from_le_bytes(*crc) {
        return Err("block header checksum");
    }
    let mut f = Reader {
        data: fields,
        pos: 1,
    };
    let flags = f.byte()?;
    if flags & 0x3c != 0 {
        return Err("unknown block flags");
    }
    if flags & 0x40 != 0 {
        f.varint()?;
    }
    if flags & 0x80 != 0 {
        f.varint()?;
    }
    let mut block = Block { x86: None };
    for last in (0..=flags & 3).rev() {
        let id = f.varint()?;
        let props = f.varint()?;
        let props = f.take(usize::try_from(props).map_err(|_| "length overflows")?)?;
        match id {
            FILTER_LZMA2 if last == 0 => {}
            FILTER_X86 if last != 0 && block.x86.is_none() => {
                let start = props.first_chunk().map_or(0, |b| u32::from_le_bytes(*b));
                block.x86 = Some(start);
            }
            _ => return Err("unknown filter"),
        }
    }
    Ok(block)
}

/// Decodes LZMA2 chunks into `out[start..]`; the position reached.
fn lzma2(r: &mut Reader<'_>, out: &mut [u8], start: usize) -> Result<usize, Failure> {
    let mut pos = start;
    // Matches reach back to the last dictionary reset.
    let mut window = start;
    let mut props: Option<u8> = None;
    let mut decoder: Option<Box<Decoder>> = None;
    loop {
        let control = r.byte()?;
        if control == 0 {
            return Ok(pos);
        }
        if control == 1 || control >= 0xe0 {
            window = pos;
        }
        if control < 0x80 {
            if control > 2 {
                return Err("bad chunk");
            }
            let size = usize::from(u16::from_be_bytes(r.array()?)) + 1;
            let data = r.take(size)?;
            let room = out
                .get_mut(pos..)
                .and_then(|o| o.get_mut(..size))
                .ok_or("larger than announced")?;
            room.copy_from_slice(data);
            pos += size;
            continue;
        }
        let high = usize::from(control & 0x1f) << 16;
        let unpacked = high + usize::from(u16::from_be_bytes(r.array()?)) + 1;
        let packed = usize::from(u16::from_be_bytes(r.array()?)) + 1;
        if control >= 0xc0 {
            props = Some(r.byte()?);
        }
        if control >= 0xa0 {
            let props = props.ok_or("no properties before the first chunk")?;
            decoder = Some(Decoder::new(props)?);
        }
        let decoder = decoder.as_mut().ok_or("no state before the first chunk")?;
        let input = r.take(packed)?;
        let end = pos
            .checked_add(unpacked)
            .filter(|&e| e <= out.len())
            .ok_or("larger than announced")?;
        match decoder.run(input, out, window, pos, end)? {
            (End::Full, reached) => pos = reached,
            (End::Marker, _) => return Err("unexpected end marker"),
        }
    }
}

/// The first call or jump opcode (0xe8, 0xe9) in `data[from..limit]`, or `limit`. Most bytes are none: eight at a time.
fn next_opcode(data: &[u8], from: usize, limit: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut at = from;
    let Some(rest) = data.get(from..limit) else {
        return limit;
    };
    for eight in rest.as_chunks::<8>().0 {
        let v = u64::from_le_bytes(*eight) & (ONES * 0xfe) ^ (ONES * 0xe8);
        // The lowest set bit marks the first byte that became zero.
        let zero = v.wrapping_sub(ONES) & !v & (ONES << 7);
        if zero != 0 {
            return at + (zero.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let tail = data.get(at..limit).unwrap_or_default();
    at + tail
        .iter()
        .position(|&b| b & 0xfe == 0xe8)
        .unwrap_or(tail.len())
}

/// Undoes the x86 branch filter: call and jump targets were made absolute, so that equal targets look equal.
/// The filter's state is the recent history of opcode bytes: bit i of `mask` (from bit 1 up) says whether the
/// byte i places back was an opcode candidate.
fn unfilter_x86(data: &mut [u8], start: u32) {
    const ALLOWED: [bool; 8] = [true, true, true, false, true, false, false, false];
    const BIT: [u32; 8] = [0, 1, 2, 2, 3, 3, 3, 3];
    let extreme = |b: u8| b == 0 || b == 0xff;
    let Some(limit) = data.len().checked_sub(4) else {
        return;
    };
    let mut mask = 0u32;
    let mut previous: Option<usize> = None;
    let mut i = 0;
    while i < limit {
        i = next_opcode(data, i, limit);
        if i == limit {
            break;
        }
        mask = match previous.map_or(usize::MAX, |p| i - p) {
            gap @ 1..=3 => mask << (gap - 1) & 7,
            _ => 0,
        };
        if mask != 0 {
            let suspect = data[i + 4 - BIT[mask as usize] as usize];
            if !ALLOWED[mask as usize] || extreme(suspect) {
                previous = Some(i);
                mask = mask << 1 | 1;
                i += 1;
                continue;
            }
        }
        previous = Some(i);
        let Some(operand) = data
            .get_mut(i + 1..)
            .and_then(|d| d.first_chunk_mut::<4>())
            .filter(|d| extreme(d[3]))
        else {
            mask = mask << 1 | 1;
            i += 1;
            continue;
        };
        let mut value = u32::from_le_bytes(*operand);
        let origin = start.wrapping_add(i as u32).wrapping_add(5);
        let target = loop {
            let target = value.wrapping_sub(origin);
            if mask == 0 {
                break target;
            }
            let shift = BIT[mask as usize] * 8;
            if !extreme((target >> (24 - shift)) as u8) {
                break target;
            }
            value = target ^ ((1 << (32 - shift)) - 1);
        };
        // The top byte is the sign extension of bit 24.
        let signed = (((target << 7) as i32) >> 7) as u32;
        *operand = signed.to_le_bytes();
        i += 5;
        mask = 0;
        previous = None;
    }
}

/// Decodes one stream into `out`; the size reached. Bytes behind the stream's blocks are the caller's.
pub fn decode(data: &[u8], out: &mut [u8]) -> Result<usize, Failure> {
    let mut r = Reader { data, pos: 0 };
    if r.array()? != HEADER_MAGIC {
        return Err("no header");
    }
    let flags: [u8; 2] = r.array()?;
    if crc32(&flags) != u32::from_le_bytes(r.array()?) {
        return Err("stream header checksum");
    }
    let [0, kind @ 0..=15] = flags else {
        return Err("unknown stream flags");
    };
    let mut pos = 0;
    // An index follows the last block and starts with a zero byte, where a block has its header's size.
    while *r.data.get(r.pos).ok_or("ends too early")? != 0 {
        let block = block_header(&mut r)?;
        let body = r.pos;
        let end = lzma2(&mut r, out, pos)?;
        r.take((r.pos - body).next_multiple_of(4) - (r.pos - body))?;
        let unpacked = out.get_mut(pos..end).ok_or("larger than announced")?;
        if let Some(start) = block.x86 {
            unfilter_x86(unpacked, start);
        }
        let check = r.take(check_size(kind))?;
        let good = match kind {
            1 => check == crc32(unpacked).to_le_bytes(),
            4 => check == crc64(unpacked).to_le_bytes(),
            // Other checks are not computed here (nobody builds kernels with them).
            _ => true,
        };
        if !good {
            return Err("checksum of the unpacked data");
        }
        pos = end;
    }
    Ok(pos)
}

/// The unpacked size of a file that is exactly one stream, from its index.
pub fn size(data: &[u8]) -> Option<u64> {
    let (rest, magic) = data.split_last_chunk::<2>()?;
    if *magic != FOOTER_MAGIC {
        return None;
    }
    let (rest, _flags) = rest.split_last_chunk::<2>()?;
    let (rest, backward) = rest.split_last_chunk::<4>()?;
    let (rest, _crc) = rest.split_last_chunk::<4>()?;
    let index_size = (u64::from(u32::from_le_bytes(*backward)) + 1) * 4;
    let start = rest.len().checked_sub(usize::try_from(index_size).ok()?)?;
    let mut r = Reader {
        data: rest,
        pos: start,
    };
    if r.byte().ok()? != 0 {
        return None;
    }
    let records = r.varint().ok()?;
    let mut total = 0u64;
    for _ in 0..records {
        r.varint().ok()?;
        total = total.checked_add(r.varint().ok()?)?;
    }
    Some(total)
}
