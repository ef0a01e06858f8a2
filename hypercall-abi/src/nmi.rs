//! NMI callback.
//!
//! Xen public/nmi.h.

use crate::macros::{abi_consts, abi_structs, open_enums};

open_enums! {
    /// Commands of `nmi_op`.
    pub enum NmiOp(u32) "XENNMI_" {
        REGISTER_CALLBACK = 0;
        UNREGISTER_CALLBACK = 1;
    }
}

abi_consts! {
    u32 {
        _XEN_NMIREASON_IO_ERROR = 0;
        XEN_NMIREASON_IO_ERROR = 1 << 0;
        _XEN_NMIREASON_PCI_SERR = 1;
        XEN_NMIREASON_PCI_SERR = 1 << 1;
        _XEN_NMIREASON_UNKNOWN = 2;
        XEN_NMIREASON_UNKNOWN = 1 << 2;
    }
}

abi_structs! {
    /// `struct xennmi_callback`.
    pub struct XennmiCallback: "struct xennmi_callback", size 16 {
        0 => handler_address: u64,
        8 => pad: u64,
    }
}
