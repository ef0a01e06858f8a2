#![no_std]
#![forbid(unsafe_code)]
//! Xen's public ABI (4.17) for 64-bit x86 guests as Rust types.
//!
//! A module per public header. Structures are plain values: any bytes are a
//! valid one, and padding is explicit, so that nothing leaks when they are
//! copied to a guest. Every number that a guest chooses is an open enum.

mod macros;

#[doc(hidden)]
pub mod check;
pub mod errno;
mod handle;

pub use errno::Errno;
pub use handle::{GuestHandle, GuestHandle64};
