//! Names of ring ABIs.
//!
//! Xen public/io/protocols.h.

use crate::macros::abi_strs;

abi_strs! {
    XEN_IO_PROTO_ABI_X86_32 = "x86_32-abi";
    XEN_IO_PROTO_ABI_X86_64 = "x86_64-abi";
    XEN_IO_PROTO_ABI_ARM = "arm-abi";
    XEN_IO_PROTO_ABI_NATIVE = "x86_64-abi";
}
