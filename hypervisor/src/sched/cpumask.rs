//! Sets of pCPUs.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

/// How many pCPUs the scheduler can name.
pub const MAX_CPUS: usize = 256;
const WORDS: usize = MAX_CPUS / 64;

/// A set of pCPUs by their dense numbers.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuMask([u64; WORDS]);

impl CpuMask {
    /// No CPU.
    pub const NONE: Self = Self([0; WORDS]);
    /// Every CPU there can be.
    pub const ALL: Self = Self([u64::MAX; WORDS]);

    /// One CPU; empty if the number is out of range.
    pub fn of(cpu: usize) -> Self {
        let mut mask = Self::NONE;
        mask.set(cpu);
        mask
    }

    /// CPUs 0 to `count` - 1.
    pub fn first_n(count: usize) -> Self {
        let mut mask = Self::NONE;
        (0..count).for_each(|cpu| mask.set(cpu));
        mask
    }

    /// From a little-endian bitmap as the control interface carries it; bits beyond [`MAX_CPUS`] are dropped.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut mask = Self::NONE;
        for (i, &byte) in bytes.iter().enumerate().take(MAX_CPUS / 8) {
            mask.0[i / 8] |= u64::from(byte) << (i % 8 * 8);
        }
        mask
    }

    /// As a little-endian bitmap.
    pub fn to_bytes(self) -> [u8; MAX_CPUS / 8] {
        core::array::from_fn(|i| self.0[i / 8].to_le_bytes()[i % 8])
    }

    /// Adds a CPU; numbers out of range are ignored.
    pub fn set(&mut self, cpu: usize) {
        if let Some(word) = self.0.get_mut(cpu / 64) {
            *word |= 1 << (cpu % 64);
        }
    }

    /// Takes a CPU out.
    pub fn clear(&mut self, cpu: usize) {
        if let Some(word) = self.0.get_mut(cpu / 64) {
            *word &= !(1 << (cpu % 64));
        }
    }

    /// Whether a CPU is in the set.
    pub fn contains(&self, cpu: usize) -> bool {
        self.0
            .get(cpu / 64)
            .is_some_and(|word| word & (1 << (cpu % 64)) != 0)
    }

    /// CPUs in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(core::array::from_fn(|i| self.0[i] & other.0[i]))
    }

    /// Whether it has no CPU.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }

    /// How many CPUs it has.
    pub fn count(&self) -> usize {
        self.0.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// The lowest CPU.
    pub fn first(&self) -> Option<usize> {
        self.iter().next()
    }

    /// The CPUs in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + use<> {
        let words = self.0;
        (0..WORDS).flat_map(move |i| {
            let mut word = words[i];
            core::iter::from_fn(move || {
                let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
                word &= word - 1;
                Some(i * 64 + bit)
            })
        })
    }
}

impl fmt::Debug for CpuMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("all");
        }
        f.debug_set().entries(self.iter()).finish()
    }
}

/// A set of pCPUs that several CPUs change.
pub struct AtomicCpuMask([AtomicU64; WORDS]);

impl AtomicCpuMask {
    /// No CPU.
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; WORDS])
    }

    /// Adds a CPU.
    pub fn set(&self, cpu: usize) {
        if let Some(word) = self.0.get(cpu / 64) {
            word.fetch_or(1 << (cpu % 64), Ordering::SeqCst);
        }
    }

    /// Takes a CPU out; true if it was in the set, so that of several takers one wins.
    pub fn take(&self, cpu: usize) -> bool {
        let bit = 1 << (cpu % 64);
        self.0
            .get(cpu / 64)
            .is_some_and(|word| word.fetch_and(!bit, Ordering::SeqCst) & bit != 0)
    }

    /// The set as it is now, word by word.
    pub fn load(&self) -> CpuMask {
        CpuMask(core::array::from_fn(|i| self.0[i].load(Ordering::SeqCst)))
    }
}

impl Default for AtomicCpuMask {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_round_trip() {
        let mut mask = CpuMask::of(3);
        mask.set(64);
        mask.set(255);
        mask.set(256);
        assert_eq!(CpuMask::from_bytes(&mask.to_bytes()), mask);
        assert_eq!(mask.iter().collect::<Vec<_>>(), [3, 64, 255]);
        assert_eq!(mask.count(), 3);
        assert!(!mask.contains(256));
    }

    #[test]
    fn one_taker_wins() {
        let mask = AtomicCpuMask::new();
        mask.set(70);
        assert!(mask.take(70));
        assert!(!mask.take(70));
        assert!(mask.load().is_empty());
    }
}
