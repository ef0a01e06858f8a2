//! The console ring.
//!
//! Xen public/io/console.h.

use crate::macros::abi_structs;

abi_structs! {
    /// `struct xencons_interface`.
    pub struct XenconsInterface: "struct xencons_interface", size 3088 {
        0 => r#in: [u8; 1024] as "in",
        1024 => out: [u8; 2048],
        3072 => in_cons: u32,
        3076 => in_prod: u32,
        3080 => out_cons: u32,
        3084 => out_prod: u32,
    }
}
