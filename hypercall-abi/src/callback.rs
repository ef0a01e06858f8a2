//! Entry points of a PV guest.
//!
//! Xen public/callback.h.

use crate::macros::{abi_consts, abi_structs, open_enums};

open_enums! {
    /// Entry points that a PV guest registers.
    pub enum CallbackType(u16) "CALLBACKTYPE_" {
        EVENT = 0;
        FAILSAFE = 1;
        SYSCALL = 2;
        SYSENTER_DEPRECATED = 3;
        NMI = 4;
        SYSENTER = 5;
        SYSCALL32 = 7;
    }

    /// Commands of `callback_op`.
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
    /// `struct callback_register`: the argument of [`CallbackOp::REGISTER`].
    pub struct CallbackRegister: "struct callback_register", size 16 {
        0 => r#type: CallbackType as "type",
        2 => flags: u16,
        4 => _hole0: [u8; 4] as "",
        8 => address: u64,
    }

    /// `struct callback_unregister`: the argument of [`CallbackOp::UNREGISTER`].
    pub struct CallbackUnregister: "struct callback_unregister", size 4 {
        0 => r#type: CallbackType as "type",
        2 => _unused: u16,
    }
}
