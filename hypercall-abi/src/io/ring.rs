//! The interface of this header.
//!
//! Xen public/io/ring.h.

use crate::macros::abi_consts;

abi_consts! {
    u32 {
        XEN_PAGE_SHIFT = 12;
    }
}
