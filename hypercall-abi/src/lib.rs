#![no_std]
#![forbid(unsafe_code)]
//! Xen's public ABI (4.17) for 64-bit guests as Rust types.
