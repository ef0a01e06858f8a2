//! The ring of the last messages.

/// Bytes kept; a power of two.
pub const SIZE: u32 = 32 * 1024;

/// A ring of bytes with free-running 32-bit indices, as the sysctl's `index` shows them.
pub struct Ring {
    bytes: [u8; SIZE as usize],
    /// Index after the newest byte.
    produced: u32,
    /// Index of the oldest byte kept.
    oldest: u32,
}

impl Ring {
    /// Empty.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: [0; SIZE as usize],
            produced: 0,
            oldest: 0,
        }
    }

    /// Appends bytes, forgetting the oldest.
    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.bytes[(self.produced & (SIZE - 1)) as usize] = byte;
            self.produced = self.produced.wrapping_add(1);
            if self.produced.wrapping_sub(self.oldest) > SIZE {
                self.oldest = self.produced.wrapping_sub(SIZE);
            }
        }
    }

    /// See [`super::read_ring`].
    pub fn read(
        &mut self,
        out: &mut [u8],
        index: u32,
        incremental: bool,
        clear: bool,
    ) -> (usize, u32) {
        let mut at = self.oldest;
        // An index from the future, or one that was overwritten, means the oldest byte.
        if incremental && index.wrapping_sub(self.oldest) <= self.produced.wrapping_sub(self.oldest)
        {
            at = index;
        }
        let mut count = 0;
        for slot in out.iter_mut() {
            if at == self.produced {
                break;
            }
            *slot = self.bytes[(at & (SIZE - 1)) as usize];
            at = at.wrapping_add(1);
            count += 1;
        }
        if clear {
            self.oldest = self.produced;
        }
        (count, at)
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_newest_bytes() {
        let mut ring = Box::new(Ring::new());
        for i in 0..SIZE + 10 {
            ring.push(&[i as u8]);
        }
        let mut out = vec![0; SIZE as usize + 100];
        let (n, index) = ring.read(&mut out, 0, false, false);
        assert_eq!((n as u32, index), (SIZE, SIZE + 10));
        assert_eq!(out[0], 10);
    }

    #[test]
    fn incremental_reads_continue_and_recover() {
        let mut ring = Box::new(Ring::new());
        ring.push(b"hello");
        let mut out = [0; 3];
        assert_eq!(ring.read(&mut out, 0, true, false), (3, 3));
        assert_eq!(ring.read(&mut out, 3, true, false), (2, 5));
        assert_eq!(&out[..2], b"lo");
        // An index that was never produced: from the start.
        assert_eq!(ring.read(&mut out, 77, true, false), (3, 3));
        assert_eq!(ring.read(&mut out, 0, false, true).0, 3);
        assert_eq!(ring.read(&mut out, 0, false, false).0, 0);
    }
}
