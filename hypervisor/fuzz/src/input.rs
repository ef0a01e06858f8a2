//! Bytes as a source of choices. A used-up input gives zeroes, so that every prefix is an input, too.

/// The rest of an input.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// All of it.
    pub fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next bytes as they are, fewer at the end.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (head, tail) = self.0.split_at(count.min(self.0.len()));
        self.0 = tail;
        head
    }

    fn word<const N: usize>(&mut self) -> u64 {
        let mut word = [0; 8];
        let bytes = self.bytes(N);
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    }

    /// The next byte.
    pub fn u8(&mut self) -> u8 {
        self.word::<1>() as u8
    }

    /// The next two bytes.
    pub fn u16(&mut self) -> u16 {
        self.word::<2>() as u16
    }

    /// The next eight bytes.
    pub fn u64(&mut self) -> u64 {
        self.word::<8>()
    }

    /// One of some values.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.u8()) % from.len()]
    }
}

/// Pseudo-random bytes (xorshift), the input of runs without a fuzzer.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}
