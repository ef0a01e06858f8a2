//! Keyboard and pointer.
//!
//! Xen public/io/kbdif.h.

use crate::macros::{abi_consts, abi_strs, abi_structs, abi_unions, open_enums};

open_enums! {
    /// `XENKBD_TYPE_*`.
    pub enum KbdType(u8) "XENKBD_TYPE_" {
        MOTION = 1;
        RESERVED = 2;
        KEY = 3;
        POS = 4;
        MTOUCH = 5;
    }
}

abi_consts! {
    u32 {
        XENKBD_MT_EV_DOWN = 0;
        XENKBD_MT_EV_UP = 1;
        XENKBD_MT_EV_MOTION = 2;
        XENKBD_MT_EV_SYN = 3;
        XENKBD_MT_EV_SHAPE = 4;
        XENKBD_MT_EV_ORIENT = 5;
        XENKBD_IN_EVENT_SIZE = 40;
        XENKBD_OUT_EVENT_SIZE = 40;
        XENKBD_IN_RING_SIZE = 2048;
        XENKBD_IN_RING_LEN = 51;
        XENKBD_IN_RING_OFFS = 1024;
        XENKBD_OUT_RING_SIZE = 1024;
        XENKBD_OUT_RING_LEN = 25;
        XENKBD_OUT_RING_OFFS = 3072;
    }
}

abi_strs! {
    XENKBD_DRIVER_NAME = "vkbd";
    XENKBD_FIELD_FEAT_DSBL_KEYBRD = "feature-disable-keyboard";
    XENKBD_FIELD_FEAT_DSBL_POINTER = "feature-disable-pointer";
    XENKBD_FIELD_FEAT_ABS_POINTER = "feature-abs-pointer";
    XENKBD_FIELD_FEAT_RAW_POINTER = "feature-raw-pointer";
    XENKBD_FIELD_FEAT_MTOUCH = "feature-multi-touch";
    XENKBD_FIELD_REQ_ABS_POINTER = "request-abs-pointer";
    XENKBD_FIELD_REQ_RAW_POINTER = "request-raw-pointer";
    XENKBD_FIELD_REQ_MTOUCH = "request-multi-touch";
    XENKBD_FIELD_RING_GREF = "page-gref";
    XENKBD_FIELD_EVT_CHANNEL = "event-channel";
    XENKBD_FIELD_WIDTH = "width";
    XENKBD_FIELD_HEIGHT = "height";
    XENKBD_FIELD_MT_WIDTH = "multi-touch-width";
    XENKBD_FIELD_MT_HEIGHT = "multi-touch-height";
    XENKBD_FIELD_MT_NUM_CONTACTS = "multi-touch-num-contacts";
    XENKBD_FIELD_UNIQUE_ID = "unique-id";
    XENKBD_FIELD_RING_REF = "page-ref";
}

abi_structs! {
    /// `struct xenkbd_motion`.
    pub struct XenkbdMotion: "struct xenkbd_motion", size 16 {
        0 => r#type: u8 as "type",
        1 => _hole0: [u8; 3] as "",
        4 => rel_x: i32,
        8 => rel_y: i32,
        12 => rel_z: i32,
    }

    /// `struct xenkbd_key`.
    pub struct XenkbdKey: "struct xenkbd_key", size 8 {
        0 => r#type: u8 as "type",
        1 => pressed: u8,
        2 => _hole0: [u8; 2] as "",
        4 => keycode: u32,
    }

    /// `struct xenkbd_position`.
    pub struct XenkbdPosition: "struct xenkbd_position", size 16 {
        0 => r#type: u8 as "type",
        1 => _hole0: [u8; 3] as "",
        4 => abs_x: i32,
        8 => abs_y: i32,
        12 => rel_z: i32,
    }

    /// Member `pos` of [`XenkbdMtouchU`].
    pub struct XenkbdMtouchPos: "__typeof__(((__typeof__(((struct xenkbd_mtouch*)0)->u)*)0)->pos)", size 8 {
        0 => abs_x: i32,
        4 => abs_y: i32,
    }

    /// Member `shape` of [`XenkbdMtouchU`].
    pub struct XenkbdMtouchShape: "__typeof__(((__typeof__(((struct xenkbd_mtouch*)0)->u)*)0)->shape)", size 8 {
        0 => major: u32,
        4 => minor: u32,
    }

    /// `struct xenkbd_mtouch`.
    pub struct XenkbdMtouch: "struct xenkbd_mtouch", size 16 {
        0 => r#type: u8 as "type",
        1 => event_type: u8,
        2 => contact_id: u8,
        3 => reserved: [u8; 5],
        8 => u: XenkbdMtouchU,
    }

    /// `struct xenkbd_page`.
    pub struct XenkbdPage: "struct xenkbd_page", size 16 {
        0 => in_cons: u32,
        4 => in_prod: u32,
        8 => out_cons: u32,
        12 => out_prod: u32,
    }
}

abi_unions! {
    /// Field `u` of [`XenkbdMtouch`]: one of these, by what a field beside it says.
    pub union XenkbdMtouchU: "__typeof__(((struct xenkbd_mtouch*)0)->u)", [u32; 2] {
        pos / set_pos: XenkbdMtouchPos,
        shape / set_shape: XenkbdMtouchShape,
        orientation / set_orientation: i16,
    }

    /// `union xenkbd_in_event`.
    pub union XenkbdInEvent: "union xenkbd_in_event", [u32; 10] {
        r#type / set_type: u8 as "type",
        motion / set_motion: XenkbdMotion,
        key / set_key: XenkbdKey,
        pos / set_pos: XenkbdPosition,
        mtouch / set_mtouch: XenkbdMtouch,
        pad / set_pad: [u8; 40],
    }

    /// `union xenkbd_out_event`.
    pub union XenkbdOutEvent: "union xenkbd_out_event", [u8; 40] {
        r#type / set_type: u8 as "type",
        pad / set_pad: [u8; 40],
    }
}
