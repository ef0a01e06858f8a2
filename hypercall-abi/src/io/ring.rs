//! Shared rings.
//!
//! Xen public/io/ring.h.

use crate::macros::{abi_consts, abi_structs};

abi_consts! {
    u32 {
        XEN_PAGE_SHIFT = 12;
    }
}

abi_structs! {
    /// The head of every shared ring; the entries follow at byte 64.
    pub struct SringHeader: "struct blkif_sring", size 64 {
        0 => req_prod: u32,
        4 => req_event: u32,
        8 => rsp_prod: u32,
        12 => rsp_event: u32,
        16 => pvt: [u8; 4],
        20 => _pad: [u8; 44] as "__pad",
    }
}
