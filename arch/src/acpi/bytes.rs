//! Bounds-checked little-endian fields.

/// A table's bytes.
#[derive(Clone, Copy)]
pub(super) struct Bytes<'a>(pub &'a [u8]);

impl<'a> Bytes<'a> {
    fn array<const N: usize>(self, offset: usize) -> Option<[u8; N]> {
        self.0.get(offset..)?.first_chunk().copied()
    }
    pub(super) fn u8(self, offset: usize) -> Option<u8> {
        self.0.get(offset).copied()
    }
    pub(super) fn u16(self, offset: usize) -> Option<u16> {
        self.array(offset).map(u16::from_le_bytes)
    }
    pub(super) fn u32(self, offset: usize) -> Option<u32> {
        self.array(offset).map(u32::from_le_bytes)
    }
    pub(super) fn u64(self, offset: usize) -> Option<u64> {
        self.array(offset).map(u64::from_le_bytes)
    }
    pub(super) fn from(self, offset: usize) -> Bytes<'a> {
        Bytes(self.0.get(offset..).unwrap_or(&[]))
    }

    /// The structures of a list whose second byte is their length (MADT, SRAT). Ends at the first that is shorter than
    /// its own header or leaves the table.
    pub(super) fn entries(self) -> impl Iterator<Item = Bytes<'a>> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let length = usize::from(*rest.get(1)?);
            if length < 2 || length > rest.len() {
                return None;
            }
            let (entry, tail) = rest.split_at(length);
            rest = tail;
            Some(Bytes(entry))
        })
    }
}

/// Whether the bytes add up to zero.
pub(super) fn checksum_ok(bytes: &[u8]) -> bool {
    bytes.iter().fold(0_u8, |sum, b| sum.wrapping_add(*b)) == 0
}
