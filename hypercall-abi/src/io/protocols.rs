//! The interface of this header.
//!
//! Xen public/io/protocols.h.

use crate::macros::abi_consts;

abi_consts! {
    u64 {
        XEN_IO_PROTO_ABI_X86_32 = 0x5649c71eba3d;
        XEN_IO_PROTO_ABI_X86_64 = 0x5649c71eba69;
        XEN_IO_PROTO_ABI_ARM = 0x5649c71eba99;
        XEN_IO_PROTO_ABI_NATIVE = 0x5649c71eba69;
    }
}
