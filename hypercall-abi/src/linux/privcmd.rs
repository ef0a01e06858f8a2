//! `/dev/xen/privcmd`: hypercalls and foreign mappings.
//!
//! Xen public/sys/privcmd.h.

use crate::macros::{abi_consts, abi_structs};
use crate::xen::DomId;

abi_consts! {
    u32 {
        PRIVCMD_MMAPBATCH_MFN_ERROR = 0xf0000000;
        PRIVCMD_MMAPBATCH_PAGED_ERROR = 0x80000000;
    }
    u64 {
        IOCTL_PRIVCMD_HYPERCALL = 0x305000;
        IOCTL_PRIVCMD_MMAP = 0x105002;
        IOCTL_PRIVCMD_MMAPBATCH = 0x185003;
        IOCTL_PRIVCMD_MMAPBATCH_V2 = 0x205004;
        IOCTL_PRIVCMD_DM_OP = 0x105005;
        IOCTL_PRIVCMD_RESTRICT = 0x25006;
        IOCTL_PRIVCMD_MMAP_RESOURCE = 0x205007;
        IOCTL_PRIVCMD_UNIMPLEMENTED = 0x50ff;
    }
}

abi_structs! {
    /// `struct privcmd_hypercall`.
    pub struct PrivcmdHypercall: "struct privcmd_hypercall", size 48 {
        0 => op: u64,
        8 => arg: [u64; 5],
    }

    /// `struct privcmd_mmap_entry`.
    pub struct PrivcmdMmapEntry: "struct privcmd_mmap_entry", size 24 {
        0 => va: u64,
        8 => mfn: u64,
        16 => npages: u64,
    }

    /// `struct privcmd_mmap`.
    pub struct PrivcmdMmap: "struct privcmd_mmap", size 16 {
        0 => num: i32,
        4 => dom: DomId,
        6 => _hole0: [u8; 2] as "",
        8 => entry: u64,
    }

    /// `struct privcmd_mmapbatch`.
    pub struct PrivcmdMmapbatch: "struct privcmd_mmapbatch", size 24 {
        0 => num: i32,
        4 => dom: DomId,
        6 => _hole0: [u8; 2] as "",
        8 => addr: u64,
        16 => arr: u64,
    }

    /// `struct privcmd_mmapbatch_v2`.
    pub struct PrivcmdMmapbatchV2: "struct privcmd_mmapbatch_v2", size 32 {
        0 => num: u32,
        4 => dom: DomId,
        6 => _hole0: [u8; 2] as "",
        8 => addr: u64,
        16 => arr: u64,
        24 => err: u64,
    }

    /// `struct privcmd_dm_op_buf`.
    pub struct PrivcmdDmOpBuf: "struct privcmd_dm_op_buf", size 16 {
        0 => uptr: u64,
        8 => size: u64,
    }

    /// `struct privcmd_dm_op`.
    pub struct PrivcmdDmOp: "struct privcmd_dm_op", size 16 {
        0 => dom: DomId,
        2 => num: u16,
        4 => _hole0: [u8; 4] as "",
        8 => ubufs: u64,
    }

    /// `struct privcmd_mmap_resource`.
    pub struct PrivcmdMmapResource: "struct privcmd_mmap_resource", size 32 {
        0 => dom: DomId,
        2 => _hole0: [u8; 2] as "",
        4 => r#type: u32 as "type",
        8 => id: u32,
        12 => idx: u32,
        16 => num: u64,
        24 => addr: u64,
    }
}
