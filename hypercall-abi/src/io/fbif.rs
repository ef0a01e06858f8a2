//! Frame buffer.
//!
//! Xen public/io/fbif.h.

use crate::macros::{abi_consts, abi_structs, abi_unions, open_enums};

open_enums! {
    /// `XENFB_TYPE_*`.
    pub enum FbType(u8) "XENFB_TYPE_" {
        UPDATE = 2;
        RESIZE = 3;
        REFRESH_PERIOD = 1;
    }
}

abi_consts! {
    u32 {
        XENFB_OUT_EVENT_SIZE = 40;
        XENFB_NO_REFRESH = 0;
        XENFB_IN_EVENT_SIZE = 40;
        XENFB_IN_RING_SIZE = 1024;
        XENFB_IN_RING_LEN = 25;
        XENFB_IN_RING_OFFS = 1024;
        XENFB_OUT_RING_SIZE = 2048;
        XENFB_OUT_RING_LEN = 51;
        XENFB_OUT_RING_OFFS = 2048;
    }
}

abi_structs! {
    /// `struct xenfb_update`.
    pub struct XenfbUpdate: "struct xenfb_update", size 20 {
        0 => r#type: u8 as "type",
        1 => _hole0: [u8; 3] as "",
        4 => x: i32,
        8 => y: i32,
        12 => width: i32,
        16 => height: i32,
    }

    /// `struct xenfb_resize`.
    pub struct XenfbResize: "struct xenfb_resize", size 24 {
        0 => r#type: u8 as "type",
        1 => _hole0: [u8; 3] as "",
        4 => width: i32,
        8 => height: i32,
        12 => stride: i32,
        16 => depth: i32,
        20 => offset: i32,
    }

    /// `struct xenfb_refresh_period`.
    pub struct XenfbRefreshPeriod: "struct xenfb_refresh_period", size 8 {
        0 => r#type: u8 as "type",
        1 => _hole0: [u8; 3] as "",
        4 => period: u32,
    }

    /// `struct xenfb_page`.
    pub struct XenfbPage: "struct xenfb_page", size 2088 {
        0 => in_cons: u32,
        4 => in_prod: u32,
        8 => out_cons: u32,
        12 => out_prod: u32,
        16 => width: i32,
        20 => height: i32,
        24 => line_length: u32,
        28 => mem_length: u32,
        32 => depth: u8,
        33 => _hole0: [u8; 7] as "",
        40 => pd: [u64; 256],
    }
}

abi_unions! {
    /// `union xenfb_out_event`.
    pub union XenfbOutEvent: "union xenfb_out_event", [u32; 10] {
        r#type / set_type: u8 as "type",
        update / set_update: XenfbUpdate,
        resize / set_resize: XenfbResize,
        pad / set_pad: [u8; 40],
    }

    /// `union xenfb_in_event`.
    pub union XenfbInEvent: "union xenfb_in_event", [u32; 10] {
        r#type / set_type: u8 as "type",
        refresh_period / set_refresh_period: XenfbRefreshPeriod,
        pad / set_pad: [u8; 40],
    }
}
