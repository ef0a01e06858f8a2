//! `/dev/xen/gntalloc`: granting pages.
//!
//! Xen public/sys/gntalloc.h.

use crate::macros::{abi_consts, abi_structs};

abi_consts! {
    u64 {
        IOCTL_GNTALLOC_ALLOC_GREF = 0x184705;
    }
    u32 {
        GNTALLOC_FLAG_WRITABLE = 1;
    }
    u64 {
        IOCTL_GNTALLOC_DEALLOC_GREF = 0x104706;
        IOCTL_GNTALLOC_SET_UNMAP_NOTIFY = 0x104707;
    }
}

abi_structs! {
    /// `struct ioctl_gntalloc_alloc_gref`.
    pub struct IoctlGntallocAllocGref: "struct ioctl_gntalloc_alloc_gref", size 24 {
        0 => domid: u16,
        2 => flags: u16,
        4 => count: u32,
        8 => index: u64,
        16 => gref_ids: [u32; 1],
        20 => _hole0: [u8; 4] as "",
    }

    /// `struct ioctl_gntalloc_dealloc_gref`.
    pub struct IoctlGntallocDeallocGref: "struct ioctl_gntalloc_dealloc_gref", size 16 {
        0 => index: u64,
        8 => count: u32,
        12 => _hole0: [u8; 4] as "",
    }

    /// `struct ioctl_gntalloc_unmap_notify`.
    pub struct IoctlGntallocUnmapNotify: "struct ioctl_gntalloc_unmap_notify", size 16 {
        0 => index: u64,
        8 => action: u32,
        12 => event_channel_port: u32,
    }
}
