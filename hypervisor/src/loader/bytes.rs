//! Little-endian fields at checked offsets.

use super::LoadError;

/// `len` bytes at `offset`; truncation names `what`.
pub fn slice<'a>(
    data: &'a [u8],
    offset: u64,
    len: u64,
    what: &'static str,
) -> Result<&'a [u8], LoadError> {
    let truncated = |needed| LoadError::Truncated {
        what,
        needed,
        present: data.len() as u64,
    };
    let end = offset.checked_add(len).ok_or(truncated(u64::MAX))?;
    let range = usize::try_from(offset).ok().zip(usize::try_from(end).ok());
    range
        .and_then(|(start, end)| data.get(start..end))
        .ok_or(truncated(end))
}

/// The array at `offset`.
pub fn array<const N: usize>(
    data: &[u8],
    offset: u64,
    what: &'static str,
) -> Result<[u8; N], LoadError> {
    let mut out = [0; N];
    out.copy_from_slice(slice(data, offset, N as u64, what)?);
    Ok(out)
}

/// A 16-bit field.
pub fn u16(data: &[u8], offset: u64, what: &'static str) -> Result<u16, LoadError> {
    array(data, offset, what).map(u16::from_le_bytes)
}

/// A 32-bit field.
pub fn u32(data: &[u8], offset: u64, what: &'static str) -> Result<u32, LoadError> {
    array(data, offset, what).map(u32::from_le_bytes)
}

/// A 64-bit field.
pub fn u64(data: &[u8], offset: u64, what: &'static str) -> Result<u64, LoadError> {
    array(data, offset, what).map(u64::from_le_bytes)
}
