//! The tables behind the header check, and the byte access behind unions.
//! Not part of the ABI: hidden from users of the crate.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// A structure or union, as the crate lays it out.
#[derive(Debug)]
pub struct Struct {
    /// Rust name, without the module.
    pub rust: &'static str,
    /// C type expression.
    pub c: &'static str,
    /// Size in bytes.
    pub size: usize,
    /// Members in order.
    pub fields: &'static [Field],
}

/// A member of a [`Struct`].
#[derive(Debug)]
pub struct Field {
    /// C member designator; empty if C has none (padding, bit-field container).
    pub c: &'static str,
    /// Offset in bytes.
    pub offset: usize,
    /// Size in bytes.
    pub size: usize,
}

/// A constant, as the crate defines it.
#[derive(Debug)]
pub struct Const {
    /// Rust name, without the module.
    pub rust: &'static str,
    /// C name, any case, or C expression.
    pub c: &'static str,
    /// Value, sign-extended.
    pub value: u64,
}

/// The first `size_of::<T>()` bytes as a `T`; zeroes if there are too few, which
/// the assertions beside every union exclude.
pub(crate) fn read_prefix<T: FromBytes>(bytes: &[u8]) -> T {
    match T::read_from_prefix(bytes) {
        Ok((value, _)) => value,
        Err(_) => FromZeros::new_zeroed(),
    }
}

/// Writes `value` to the front of `bytes`; see [`read_prefix`] on sizes.
pub(crate) fn write_prefix<T: IntoBytes + Immutable>(bytes: &mut [u8], value: &T) {
    let written = value.write_to_prefix(bytes);
    debug_assert!(written.is_ok());
}
