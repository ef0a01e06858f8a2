//! LZMA: the range decoder and the match loop (7-Zip's `lzma-specification.txt`), decoding straight into the
//! output, which is its own window. LZMA-alone files; xz uses it per LZMA2 chunk.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Why decoding stopped.
pub type Failure = &'static str;

const TOP: u64 = 1 << 24;
const PROB_BITS: u32 = 11;
const PROB_INIT: u16 = 1 << (PROB_BITS - 1);
const MOVE_BITS: u32 = 5;

const POS_STATES: usize = 16;
/// A literal's probabilities: plain tree, then one tree per value of the matched bit.
type Literal = [u16; 0x300];

/// The range decoder over one chunk of input. Both numbers fit 32 bits; as 64-bit ones each gets a register to itself.
struct Range<'a> {
    range: u64,
    code: u64,
    input: core::slice::Iter<'a, u8>,
}

impl<'a> Range<'a> {
    fn new(input: &'a [u8]) -> Result<Self, Failure> {
        let (first, rest) = input.split_first_chunk().ok_or("chunk too short")?;
        let [0, a, b, c, d] = *first else {
            return Err("range coder does not start with zero");
        };
        Ok(Self {
            range: u32::MAX.into(),
            code: u32::from_be_bytes([a, b, c, d]).into(),
            input: rest.iter(),
        })
    }

    #[inline(always)]
    fn normalise(&mut self) {
        if self.range < TOP {
            self.range <<= 8;
            // Past the end it reads zeroes: output is bounded, so decoding ends, and checksums tell.
            self.code = self.code << 8 | u64::from(self.input.next().copied().unwrap_or(0));
        }
    }

    #[inline(always)]
    fn bit(&mut self, prob: &mut u16) -> bool {
        self.normalise();
        let p = u64::from(*prob);
        let bound = (self.range >> PROB_BITS) * p;
        if self.code < bound {
            self.range = bound;
            *prob = (p + (((1 << PROB_BITS) - p) >> MOVE_BITS)) as u16;
            false
        } else {
            self.range -= bound;
            self.code -= bound;
            *prob = (p - (p >> MOVE_BITS)) as u16;
            true
        }
    }

    /// A number of log2(N) bits, most significant first.
    #[inline(always)]
    fn tree<const N: usize>(&mut self, probs: &mut [u16; N]) -> u32 {
        let mut m = 1usize;
        // A fixed count, so that the loop is unrolled.
        for _ in 0..N.ilog2() {
            m = m << 1 | usize::from(self.bit(&mut probs[m & (N - 1)]));
        }
        (m - N) as u32
    }

    /// Bits without a model.
    #[inline(always)]
    fn direct(&mut self, count: u32) -> u32 {
        let mut value = 0;
        for _ in 0..count {
            self.normalise();
            self.range >>= 1;
            let one = self.code >= self.range;
            if one {
                self.code -= self.range;
            }
            value = value << 1 | u32::from(one);
        }
        value
    }
}

/// Probabilities of a length.
struct Lengths {
    choice: u16,
    choice2: u16,
    low: [[u16; 8]; POS_STATES],
    mid: [[u16; 8]; POS_STATES],
    high: [u16; 256],
}

impl Lengths {
    const fn new() -> Self {
        Self {
            choice: PROB_INIT,
            choice2: PROB_INIT,
            low: [[PROB_INIT; 8]; POS_STATES],
            mid: [[PROB_INIT; 8]; POS_STATES],
            high: [PROB_INIT; 256],
        }
    }

    #[inline(always)]
    fn decode(&mut self, rc: &mut Range<'_>, pos_state: usize) -> u32 {
        if !rc.bit(&mut self.choice) {
            2 + rc.tree(&mut self.low[pos_state & 15])
        } else if !rc.bit(&mut self.choice2) {
            10 + rc.tree(&mut self.mid[pos_state & 15])
        } else {
            18 + rc.tree(&mut self.high)
        }
    }
}

/// All that adapts, and the state between symbols.
pub struct Decoder {
    literal: Vec<Literal>,
    lc: u32,
    literal_pos_mask: usize,
    pos_mask: usize,
    is_match: [[u16; POS_STATES]; 16],
    is_rep: [u16; 16],
    is_rep0: [u16; 16],
    is_rep1: [u16; 16],
    is_rep2: [u16; 16],
    is_rep0_long: [[u16; POS_STATES]; 16],
    slots: [[u16; 64]; 4],
    special: [u16; 128],
    align: [u16; 16],
    len: Lengths,
    rep_len: Lengths,
    state: usize,
    reps: [u32; 4],
}

/// How a run of symbols ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The output range is full.
    Full,
    /// The end marker came first.
    Marker,
}

impl Decoder {
    /// A decoder for the properties byte `(pb * 5 + lp) * 9 + lc`.
    /// Boxed: it is too large for the stack of a caller that keeps several.
    #[inline(never)]
    pub fn new(props: u8) -> Result<Box<Self>, Failure> {
        if props >= 9 * 5 * 5 {
            return Err("bad properties");
        }
        let lc = u32::from(props % 9);
        let lp = u32::from(props / 9 % 5);
        let pb = u32::from(props / 45);
        let mut literal = Vec::new();
        literal
            .try_reserve_exact(1 << (lc + lp))
            .map_err(|_| "out of memory")?;
        literal.resize(1 << (lc + lp), [PROB_INIT; 0x300]);
        Ok(Box::new(Self {
            literal,
            lc,
            literal_pos_mask: (1 << lp) - 1,
            pos_mask: (1 << pb) - 1,
            is_match: [[PROB_INIT; POS_STATES]; 16],
            is_rep: [PROB_INIT; 16],
            is_rep0: [PROB_INIT; 16],
            is_rep1: [PROB_INIT; 16],
            is_rep2: [PROB_INIT; 16],
            is_rep0_long: [[PROB_INIT; POS_STATES]; 16],
            slots: [[PROB_INIT; 64]; 4],
            special: [PROB_INIT; 128],
            align: [PROB_INIT; 16],
            len: Lengths::new(),
            rep_len: Lengths::new(),
            state: 0,
            reps: [0; 4],
        }))
    }

    /// Decodes one range-coded chunk into `out[pos..end]`, with matches reaching back to `start`.
    /// Returns how it ended and the position reached.
    pub fn run(
        &mut self,
        input: &[u8],
        out: &mut [u8],
        start: usize,
        mut pos: usize,
        end: usize,
    ) -> Result<(End, usize), Failure> {
        let rc = &mut Range::new(input)?;
        let out = out.get_mut(start..end).ok_or("chunk beyond the output")?;
        pos -= start;
        let end = out.len();
        let mut state = self.state;
        let [mut rep0, mut rep1, mut rep2, mut rep3] = self.reps;
        let literal_shift = 8 - self.lc;
        while pos < end {
            let pos_state = pos & self.pos_mask & 15;
            if !rc.bit(&mut self.is_match[state & 15][pos_state]) {
                let previous = if pos > 0 {
                    usize::from(out[pos - 1])
                } else {
                    0
                };
                let context =
                    ((pos & self.literal_pos_mask) << self.lc) + (previous >> literal_shift);
                let probs = &mut self.literal[context];
                let mut symbol = 1usize;
                if state < 7 {
                    // A fixed count, so that the loop is unrolled.
                    for _ in 0..8 {
                        symbol = symbol << 1 | usize::from(rc.bit(&mut probs[symbol & 0xff]));
                    }
                } else {
                    let mut matched = match pos.checked_sub(rep0 as usize + 1) {
                        Some(at) => usize::from(out[at]) << 1,
                        None => return Err("distance beyond the start"),
                    };
                    // Follows the matched byte's tree while the bits agree; `offset` drops to 0 when they part.
                    let mut offset = 0x100;
                    for _ in 0..8 {
                        let expected = matched & offset;
                        matched <<= 1;
                        let index = offset + expected + symbol;
                        let bit = rc.bit(&mut probs[index]);
                        symbol = symbol << 1 | usize::from(bit);
                        offset &= if bit { expected } else { !expected };
                    }
                }
                out[pos] = symbol as u8;
                pos += 1;
                state = match state {
                    0..4 => 0,
                    4..10 => state - 3,
                    _ => state - 6,
                };
                continue;
            }
            let length;
            if !rc.bit(&mut self.is_rep[state & 15]) {
                (rep3, rep2, rep1) = (rep2, rep1, rep0);
                length = self.len.decode(rc, pos_state);
                state = if state < 7 { 7 } else { 10 };
                rep0 = self.distance(rc, length);
                if rep0 == u32::MAX {
                    (self.state, self.reps) = (state, [rep0, rep1, rep2, rep3]);
                    return Ok((End::Marker, pos + start));
                }
            } else {
                if !rc.bit(&mut self.is_rep0[state & 15]) {
                    if !rc.bit(&mut self.is_rep0_long[state & 15][pos_state]) {
                        let at = pos
                            .checked_sub(rep0 as usize + 1)
                            .ok_or("distance beyond the start")?;
                        out[pos] = out[at];
                        pos += 1;
                        state = if state < 7 { 9 } else { 11 };
                        continue;
                    }
                } else if !rc.bit(&mut self.is_rep1[state & 15]) {
                    (rep0, rep1) = (rep1, rep0);
                } else if !rc.bit(&mut self.is_rep2[state & 15]) {
                    (rep0, rep1, rep2) = (rep2, rep0, rep1);
                } else {
                    (rep0, rep1, rep2, rep3) = (rep3, rep0, rep1, rep2);
                }
                length = self.rep_len.decode(rc, pos_state);
                state = if state < 7 { 8 } else { 11 };
            }
            let length = length as usize;
            let distance = rep0 as usize + 1;
            if distance > pos {
                return Err("distance beyond the start");
            }
            if length > end - pos {
                return Err("match beyond the end");
            }
            super::copy_match(out, pos, distance, length);
            pos += length;
        }
        (self.state, self.reps) = (state, [rep0, rep1, rep2, rep3]);
        Ok((End::Full, pos + start))
    }

    #[inline(always)]
    fn distance(&mut self, rc: &mut Range<'_>, length: u32) -> u32 {
        let slot = rc.tree(&mut self.slots[(length as usize - 2).min(3)]);
        if slot < 4 {
            return slot;
        }
        let bits = (slot >> 1) - 1;
        let base = (2 | slot & 1) << bits;
        if slot < 14 {
            // A reverse tree whose nodes start behind the base's own.
            let origin = (base - slot) as usize;
            let mut m = 1usize;
            let mut value = 0;
            for i in 0..bits {
                let bit = rc.bit(&mut self.special[(origin + m) & 127]);
                m = m << 1 | usize::from(bit);
                value |= u32::from(bit) << i;
            }
            base + value
        } else {
            let high = rc.direct(bits - 4);
            let mut m = 1usize;
            let mut value = 0;
            for i in 0..4 {
                let bit = rc.bit(&mut self.align[m & 15]);
                m = m << 1 | usize::from(bit);
                value |= u32::from(bit) << i;
            }
            base.wrapping_add(high << 4).wrapping_add(value)
        }
    }
}

/// The unpacked size that an LZMA-alone header names; `None` if it leaves it to the end marker.
pub fn size(data: &[u8]) -> Option<u64> {
    let size = u64::from_le_bytes(*data.get(5..13)?.first_chunk()?);
    (size != u64::MAX).then_some(size)
}

/// Decodes an LZMA-alone file into `out`; the size reached.
pub fn decode(data: &[u8], out: &mut [u8]) -> Result<usize, Failure> {
    let props = *data.first().ok_or("no header")?;
    let body = data.get(13..).ok_or("no header")?;
    let end = match size(data) {
        Some(size) => usize::try_from(size)
            .ok()
            .filter(|&s| s <= out.len())
            .ok_or("larger than announced")?,
        None => out.len(),
    };
    let (_, reached) = Decoder::new(props)?.run(body, out, 0, 0, end)?;
    Ok(reached)
}
