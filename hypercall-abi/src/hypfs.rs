//! The hypervisor's file system.
//!
//! Xen public/hypfs.h.

use crate::macros::{abi_consts, abi_structs, open_enums};

open_enums! {
    /// `XEN_HYPFS_TYPE_*`.
    pub enum HypfsType(u8) "XEN_HYPFS_TYPE_" {
        DIR = 0;
        BLOB = 1;
        STRING = 2;
        UINT = 3;
        INT = 4;
        BOOL = 5;
    }

    /// `XEN_HYPFS_ENC_*`.
    pub enum HypfsEncoding(u8) "XEN_HYPFS_ENC_" {
        PLAIN = 0;
        GZIP = 1;
    }

    /// `XEN_HYPFS_OP_*`.
    pub enum HypfsOp(u32) "XEN_HYPFS_OP_" {
        GET_VERSION = 0;
        READ = 1;
        WRITE_CONTENTS = 2;
    }
}

abi_consts! {
    u32 {
        XEN_HYPFS_VERSION = 1;
        XEN_HYPFS_MAX_PATHLEN = 1024;
    }
}

abi_structs! {
    /// `struct xen_hypfs_direntry`.
    pub struct HypfsDirentry: "struct xen_hypfs_direntry", size 12 {
        0 => r#type: u8 as "type",
        1 => encoding: u8,
        2 => pad: u16,
        4 => content_len: u32,
        8 => max_write_len: u32,
    }

    /// `struct xen_hypfs_dirlistentry`.
    pub struct HypfsDirlistentry: "struct xen_hypfs_dirlistentry", size 16 {
        0 => e: HypfsDirentry,
        12 => off_next: u16,
        14 => _hole0: [u8; 2] as "",
    }
}
