//! The ring of the last messages.

use alloc::vec::Vec;

/// Bytes kept from the first message on; a power of two.
pub const SIZE: u32 = 32 * 1024;
/// What `conring_size=` can get at most.
pub const LARGEST: u32 = 64 << 20;

/// A ring of bytes with free-running 32-bit indices, as the sysctl's `index` shows them.
pub struct Ring {
    early: [u8; SIZE as usize],
    /// In place of `early` once there is memory for more; a power of two.
    grown: Vec<u8>,
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
            early: [0; SIZE as usize],
            grown: Vec::new(),
            produced: 0,
            oldest: 0,
        }
    }

    fn bytes(&mut self) -> &mut [u8] {
        if self.grown.is_empty() {
            &mut self.early
        } else {
            &mut self.grown
        }
    }

    /// Bytes that it keeps.
    #[must_use]
    pub fn size(&self) -> u32 {
        if self.grown.is_empty() {
            SIZE
        } else {
            self.grown.len() as u32
        }
    }

    /// Moves to `memory`, all zeroes, if that is larger and its length a power of two.
    pub fn grow(&mut self, mut memory: Vec<u8>) {
        let (old, new) = (self.size(), memory.len() as u32);
        if new <= old || !new.is_power_of_two() {
            return;
        }
        let mut at = self.oldest;
        while at != self.produced {
            memory[(at & (new - 1)) as usize] = self.bytes()[(at & (old - 1)) as usize];
            at = at.wrapping_add(1);
        }
        self.grown = memory;
    }

    /// Appends bytes, forgetting the oldest.
    pub fn push(&mut self, bytes: &[u8]) {
        let size = self.size();
        for &byte in bytes {
            let at = (self.produced & (size - 1)) as usize;
            self.bytes()[at] = byte;
            self.produced = self.produced.wrapping_add(1);
            if self.produced.wrapping_sub(self.oldest) > size {
                self.oldest = self.produced.wrapping_sub(size);
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
        let (size, produced) = (self.size(), self.produced);
        for slot in out.iter_mut() {
            if at == produced {
                break;
            }
            *slot = self.bytes()[(at & (size - 1)) as usize];
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
    fn growing_keeps_what_is_there() {
        let mut ring = Box::new(Ring::new());
        for i in 0..SIZE + 10 {
            ring.push(&[i as u8]);
        }
        ring.grow(vec![0; 1000]);
        assert_eq!(ring.size(), SIZE);
        ring.grow(vec![0; 4 * SIZE as usize]);
        assert_eq!(ring.size(), 4 * SIZE);
        ring.push(b"more");
        let mut out = vec![0; 4 * SIZE as usize];
        let (n, index) = ring.read(&mut out, 0, false, false);
        assert_eq!((n as u32, index), (SIZE + 4, SIZE + 14));
        assert_eq!((out[0], &out[n - 4..n]), (10, &b"more"[..]));
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
