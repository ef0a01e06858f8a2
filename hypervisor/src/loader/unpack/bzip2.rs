//! bzip2: Huffman groups, move-to-front, the Burrows-Wheeler inverse and the outer run lengths.

use alloc::vec::Vec;

use super::lzma::Failure;

const BLOCK_MAGIC: u64 = 0x3141_5926_5359;
const END_MAGIC: u64 = 0x1772_4538_5090;
const GROUP: usize = 50;
const MAX_BITS: usize = 20;
const RUN_A: u16 = 0;
const RUN_B: u16 = 1;

/// Bits, most significant first.
struct Bits<'a> {
    input: core::slice::Iter<'a, u8>,
    hold: u64,
    count: u32,
}

impl Bits<'_> {
    fn take(&mut self, n: u32) -> Result<u32, Failure> {
        while self.count < n {
            let byte = self.input.next().ok_or("ends too early")?;
            self.hold = self.hold << 8 | u64::from(*byte);
            self.count += 8;
        }
        self.count -= n;
        Ok((self.hold >> self.count) as u32 & ((1u64 << n) - 1) as u32)
    }

    fn flag(&mut self) -> Result<bool, Failure> {
        Ok(self.take(1)? != 0)
    }

    fn magic(&mut self) -> Result<u64, Failure> {
        Ok(u64::from(self.take(24)?) << 24 | u64::from(self.take(24)?))
    }
}

/// A canonical Huffman code.
struct Code {
    /// Per length: one past the largest code of it, and what to add to a code to index `symbols`.
    limit: [i64; MAX_BITS + 2],
    base: [i64; MAX_BITS + 2],
    symbols: Vec<u16>,
    shortest: usize,
}

impl Code {
    fn new(lengths: &[u8]) -> Self {
        let mut code = Self {
            limit: [0; MAX_BITS + 2],
            base: [0; MAX_BITS + 2],
            symbols: Vec::with_capacity(lengths.len()),
            shortest: lengths.iter().copied().min().unwrap_or(1).into(),
        };
        let mut next = 0i64;
        for bits in 1..=MAX_BITS {
            next <<= 1;
            code.base[bits] = code.symbols.len() as i64 - next;
            for (symbol, &length) in lengths.iter().enumerate() {
                if usize::from(length) == bits {
                    code.symbols.push(symbol as u16);
                    next += 1;
                }
            }
            code.limit[bits] = next;
        }
        code
    }

    fn symbol(&self, bits: &mut Bits<'_>) -> Result<u16, Failure> {
        let mut value = i64::from(bits.take(self.shortest as u32)?);
        for length in self.shortest..=MAX_BITS {
            if value < self.limit[length] {
                let index = usize::try_from(value + self.base[length]).map_err(|_| "bad code")?;
                return self.symbols.get(index).copied().ok_or("bad code");
            }
            value = value << 1 | i64::from(bits.take(1)?);
        }
        Err("bad code")
    }
}

const fn crc_table() -> [u32; 256] {
    let mut t = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut c = (i as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            c = if c >> 31 != 0 {
                c << 1 ^ 0x04c1_1db7
            } else {
                c << 1
            };
            bit += 1;
        }
        t[i] = c;
        i += 1;
    }
    t
}

static CRC: [u32; 256] = crc_table();

fn crc(data: &[u8]) -> u32 {
    let crc = data.iter().fold(u32::MAX, |crc, &b| {
        crc << 8 ^ CRC[usize::from((crc >> 24) as u8 ^ b)]
    });
    !crc
}

/// The block's symbols: the last column of its rotations, and the row to start from.
fn block_symbols(bits: &mut Bits<'_>, max: usize, column: &mut Vec<u32>) -> Result<usize, Failure> {
    if bits.flag()? {
        return Err("randomised blocks are not supported");
    }
    let origin = bits.take(24)? as usize;
    let mut front: Vec<u8> = Vec::with_capacity(256);
    let groups = bits.take(16)?;
    for high in 0..16u32 {
        if groups & 0x8000 >> high != 0 {
            let used = bits.take(16)?;
            front.extend(
                (0..16u32)
                    .filter(|low| used & 0x8000 >> low != 0)
                    .map(|low| (high * 16 + low) as u8),
            );
        }
    }
    if front.is_empty() {
        return Err("no symbols");
    }
    let alphabet = front.len() + 2;
    let tables = bits.take(3)? as usize;
    let count = bits.take(15)? as usize;
    if !(2..=6).contains(&tables) || count == 0 {
        return Err("bad table count");
    }
    let mut order: [u8; 6] = [0, 1, 2, 3, 4, 5];
    let mut selectors = Vec::with_capacity(count);
    for _ in 0..count {
        let mut j = 0;
        while bits.flag()? {
            j += 1;
            if j >= tables {
                return Err("bad selector");
            }
        }
        order[..=j].rotate_right(1);
        selectors.push(order[0]);
    }
    let mut codes = Vec::with_capacity(tables);
    for _ in 0..tables {
        let mut lengths = [0u8; 258];
        let mut length = bits.take(5)?;
        for slot in lengths.iter_mut().take(alphabet) {
            loop {
                if !(1..=MAX_BITS as u32).contains(&length) {
                    return Err("bad code length");
                }
                if !bits.flag()? {
                    break;
                }
                length = if bits.flag()? { length - 1 } else { length + 1 };
            }
            *slot = length as u8;
        }
        codes.push(Code::new(&lengths[..alphabet]));
    }
    let end = (alphabet - 1) as u16;
    column.clear();
    let (mut run, mut weight) = (0usize, 1usize);
    for selector in selectors {
        let code = codes.get(usize::from(selector)).ok_or("bad selector")?;
        for _ in 0..GROUP {
            let symbol = code.symbol(bits)?;
            if symbol == RUN_A || symbol == RUN_B {
                run += weight << symbol;
                weight <<= 1;
                if run > max {
                    return Err("run too long");
                }
                continue;
            }
            let byte = u32::from(front[0]);
            if run > max - column.len() {
                return Err("block too long");
            }
            column.extend(core::iter::repeat_n(byte, run));
            (run, weight) = (0, 1);
            if symbol == end {
                return if origin < column.len() {
                    Ok(origin)
                } else {
                    Err("bad origin")
                };
            }
            if column.len() == max {
                return Err("block too long");
            }
            let at = usize::from(symbol) - 1;
            front.get_mut(..=at).ok_or("bad symbol")?.rotate_right(1);
            column.push(front[0].into());
        }
    }
    Err("block without an end")
}

/// Undoes the transform and the outer run lengths into `out[pos..]`; the position reached.
fn write_block(
    column: &mut [u32],
    origin: usize,
    out: &mut [u8],
    mut pos: usize,
) -> Result<usize, Failure> {
    // Upper 24 bits of each entry become the next row, the low byte stays the column's.
    let mut starts = [0u32; 256];
    for entry in column.iter() {
        starts[(entry & 0xff) as usize] += 1;
    }
    let mut sum = 0;
    for start in &mut starts {
        (*start, sum) = (sum, sum + *start);
    }
    for row in 0..column.len() {
        let byte = (column[row] & 0xff) as usize;
        column[starts[byte] as usize] |= (row as u32) << 8;
        starts[byte] += 1;
    }
    let mut entry = column[origin];
    let (mut last, mut repeats) = (None, 0);
    for _ in 0..column.len() {
        entry = column[(entry >> 8) as usize];
        let byte = entry as u8;
        if repeats == 4 {
            let n = usize::from(byte);
            let room = out
                .get_mut(pos..)
                .and_then(|o| o.get_mut(..n))
                .ok_or("larger than announced")?;
            room.fill(last.unwrap_or(0));
            pos += n;
            (last, repeats) = (None, 0);
            continue;
        }
        repeats = if last == Some(byte) { repeats + 1 } else { 1 };
        last = Some(byte);
        *out.get_mut(pos).ok_or("larger than announced")? = byte;
        pos += 1;
    }
    Ok(pos)
}

/// Decodes one stream into `out`; the size reached.
pub fn decode(data: &[u8], out: &mut [u8]) -> Result<usize, Failure> {
    let (header, body) = data.split_first_chunk::<4>().ok_or("no header")?;
    let [b'B', b'Z', b'h', level @ b'1'..=b'9'] = *header else {
        return Err("no header");
    };
    let max = usize::from(level - b'0') * 100_000;
    let mut column = Vec::new();
    column.try_reserve_exact(max).map_err(|_| "out of memory")?;
    let bits = &mut Bits {
        input: body.iter(),
        hold: 0,
        count: 0,
    };
    let mut pos = 0;
    loop {
        match bits.magic()? {
            BLOCK_MAGIC => {}
            END_MAGIC => return Ok(pos),
            _ => return Err("no block where one should be"),
        }
        let expected = bits.take(32)?;
        let origin = block_symbols(bits, max, &mut column)?;
        let end = write_block(&mut column, origin, out, pos)?;
        if crc(&out[pos..end]) != expected {
            return Err("checksum of the unpacked data");
        }
        pos = end;
    }
}
