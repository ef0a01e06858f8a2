//! The interface of this header.
//!
//! Xen public/callback.h.

use crate::macros::{abi_consts, abi_structs, open_enums};

open_enums! {
    /// `CALLBACKTYPE_*`.
    pub enum CallbackType(u16) "CALLBACKTYPE_" {
        EVENT = 0;
        FAILSAFE = 1;
        SYSCALL = 2;
        SYSENTER_DEPRECATED = 3;
        NMI = 4;
        SYSENTER = 5;
        SYSCALL32 = 7;
    }

    /// `CALLBACKOP_*`.
    pub enum CallbackOp(u32) "CALLBACKOP_" {
        REGISTER = 0;
        UNREGISTER = 1;
    }

}

abi_consts! {
    u16 {
        _CALLBACKF_MASK_EVENTS = 0;
        CALLBACKF_MASK_EVENTS = 1 << 0;
    }
}

abi_structs! {
    /// `struct callback_register`.
    pub struct CallbackRegister: "struct callback_register", size 16 {
        0 => r#type: CallbackType as "type",
        2 => flags: u16,
        4 => _hole0: [u8; 4] as "",
        8 => address: u64,
    }

    /// `struct callback_unregister`.
    pub struct CallbackUnregister: "struct callback_unregister", size 4 {
        0 => r#type: CallbackType as "type",
        2 => _unused: u16,
    }

}
