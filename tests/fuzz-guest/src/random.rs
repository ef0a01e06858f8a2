//! Random numbers that follow from a seed, and values at which checks go wrong.

/// xorshift64*, after Vigna, "An experimental exploration of Marsaglia's xorshift generators".
pub struct Random(u64);

impl Random {
    /// The sequence of a seed; 0 is as good as any.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit.max(1)
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of the elements.
    pub fn of<T: Copy>(&mut self, all: &[T]) -> T {
        let index = self.below(all.len() as u64) as usize;
        all[index.min(all.len() - 1)]
    }

    /// A number that a check may forget: limits, signs, addresses around the holes of the address space.
    pub fn odd(&mut self) -> u64 {
        match self.below(8) {
            0 => self.below(16),
            1 => 1 << self.below(64),
            2 => (1u64 << self.below(64)).wrapping_sub(1),
            3 => self.next(),
            4 => self.next() & 0xffff_ffff,
            5 => 0u64.wrapping_sub(self.below(16)),
            6 => self.of(&ODD),
            _ => self.of(&ODD).wrapping_add(self.below(0x2000)),
        }
    }
}

/// Addresses and ids of interest: the ends of the canonical halves, the hypervisor's own areas, reserved domain ids.
const ODD: [u64; 16] = [
    0,
    0x7fff_ffff_ffff,
    0x8000_0000_0000,
    0xffff_7fff_ffff_ffff,
    0xffff_8000_0000_0000,
    0xffff_8180_0000_0000,
    0xffff_8200_0000_0000,
    0xffff_82d0_8020_0000,
    0xffff_8300_0000_0000,
    0xffff_8800_0000_0000,
    0xffff_ffff_ffff_ffff,
    0x7ff0,
    0x7ff1,
    0x7ff2,
    0x7ff4,
    0xfee0_0000,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_does_not() {
        let run = |seed| {
            let mut random = Random::new(seed);
            [random.next(), random.odd(), random.below(7)]
        };
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
    }

    #[test]
    fn numbers_stay_below_their_limit() {
        let mut random = Random::new(1);
        assert!((0..1000).all(|_| random.below(7) < 7));
        assert_eq!(random.below(0), 0);
    }
}
