//! Kernel images: bzImage, compression, ELF, notes. Everything here reads byte slices that the boot loader
//! passed, and trusts none of their numbers.

mod bytes;
pub mod bzimage;
pub mod elf;
mod error;
pub mod kernel;
pub mod unpack;

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;

use alloc::borrow::Cow;
use alloc::vec::Vec;

pub use error::LoadError;
pub use kernel::Kernel;
pub use unpack::Compression;

/// An image whose parts are located but not unpacked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image<'a> {
    /// The payload.
    data: &'a [u8],
    /// How it is compressed.
    pub compression: Compression,
    /// Bytes it unpacks to.
    pub size: u64,
}

impl<'a> Image<'a> {
    /// Looks at what the boot loader passed: a bzImage, an ELF file, or an ELF file compressed in a way that
    /// names its size.
    pub fn locate(image: &'a [u8]) -> Result<Self, LoadError> {
        if image.is_empty() {
            return Err(LoadError::Missing);
        }
        let (data, container_size) = match bzimage::payload(image)? {
            // An uncompressed payload has no size behind it: the four bytes belong to it.
            Some(payload) if payload.data.starts_with(b"\x7fELF") => (payload.whole, None),
            Some(payload) => (payload.data, Some(u64::from(payload.unpacked))),
            None => (image, None),
        };
        let Some(compression) = Compression::detect(data) else {
            return Err(if container_size.is_some() {
                LoadError::UnknownCompression(start(data))
            } else {
                LoadError::NotAKernel { magic: start(data) }
            });
        };
        let size = container_size
            .or_else(|| compression.size(data))
            .ok_or(LoadError::UnknownSize(compression))?;
        Ok(Self {
            data,
            compression,
            size,
        })
    }

    /// The ELF file within, unpacked if need be. More than `limit` bytes are refused before anything is allocated.
    pub fn unpack(&self, limit: u64) -> Result<Cow<'a, [u8]>, LoadError> {
        if self.compression == Compression::None {
            return Ok(Cow::Borrowed(self.data));
        }
        let too_large = LoadError::TooLarge {
            size: self.size,
            limit,
        };
        if self.size > limit {
            return Err(too_large);
        }
        let size = usize::try_from(self.size).map_err(|_| too_large)?;
        let mut out = Vec::new();
        out.try_reserve_exact(size).map_err(|_| too_large)?;
        out.resize(size, 0);
        let length = self.unpack_into(&mut out)?;
        out.truncate(length);
        Ok(Cow::Owned(out))
    }

    /// The payload as it lies in the image: the ELF file if it is not compressed.
    pub fn plain(&self) -> &'a [u8] {
        self.data
    }

    /// Unpacks into `out`, which holds `size` bytes; the bytes written.
    pub fn unpack_into(&self, out: &mut [u8]) -> Result<usize, LoadError> {
        self.compression.decode(self.data, out)
    }
}

/// The first bytes, zeroes if there are too few.
fn start<const N: usize>(data: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(data) {
        *to = *from;
    }
    out
}
