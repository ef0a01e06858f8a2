//! vchan rings.
//!
//! Xen public/io/libxenvchan.h.

use crate::macros::{abi_consts, abi_structs};

abi_consts! {
    u32 {
        VCHAN_NOTIFY_WRITE = 0x1;
        VCHAN_NOTIFY_READ = 0x2;
    }
}

abi_structs! {
    /// `struct ring_shared`.
    pub struct RingShared: "struct ring_shared", size 8 {
        0 => cons: u32,
        4 => prod: u32,
    }

    /// `struct vchan_interface`.
    pub struct VchanInterface: "struct vchan_interface", size 24 {
        0 => left: RingShared,
        8 => right: RingShared,
        16 => left_order: u16,
        18 => right_order: u16,
        20 => cli_live: u8,
        21 => srv_live: u8,
        22 => cli_notify: u8,
        23 => srv_notify: u8,
    }
}
