//! Block devices.
//!
//! Xen public/io/blkif.h.

use crate::grant_table::GrantRef;
use crate::macros::{abi_consts, abi_structs, open_enums};

open_enums! {
    /// `BLKIF_OP_*`.
    pub enum BlkifOp(u8) "BLKIF_OP_" {
        READ = 0;
        WRITE = 1;
        WRITE_BARRIER = 2;
        FLUSH_DISKCACHE = 3;
        RESERVED_1 = 4;
        DISCARD = 5;
        INDIRECT = 6;
    }

    /// `BLKIF_RSP_*`.
    pub enum BlkifStatus(i16) "BLKIF_RSP_" {
        EOPNOTSUPP = -2;
        ERROR = -1;
        OKAY = 0;
    }
}

abi_consts! {
    u32 {
        BLKIF_MAX_SEGMENTS_PER_REQUEST = 11;
        BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST = 8;
        BLKIF_DISCARD_SECURE = 1 << 0;
        VDISK_CDROM = 0x1;
        VDISK_REMOVABLE = 0x2;
        VDISK_READONLY = 0x4;
        BLKIF_RING_SIZE = 32, as "__CONST_RING_SIZE(blkif, 4096)";
    }
}

abi_structs! {
    /// `struct blkif_request_segment`.
    pub struct BlkifRequestSegment: "struct blkif_request_segment", size 8 {
        0 => gref: GrantRef,
        4 => first_sect: u8,
        5 => last_sect: u8,
        6 => _hole0: [u8; 2] as "",
    }

    /// `struct blkif_request`.
    pub struct BlkifRequest: "struct blkif_request", size 112 {
        0 => operation: u8,
        1 => nr_segments: u8,
        2 => handle: u16,
        4 => _hole0: [u8; 4] as "",
        8 => id: u64,
        16 => sector_number: u64,
        24 => seg: [BlkifRequestSegment; 11],
    }

    /// `struct blkif_request_discard`.
    pub struct BlkifRequestDiscard: "struct blkif_request_discard", size 32 {
        0 => operation: u8,
        1 => flag: u8,
        2 => handle: u16,
        4 => _hole0: [u8; 4] as "",
        8 => id: u64,
        16 => sector_number: u64,
        24 => nr_sectors: u64,
    }

    /// `struct blkif_request_indirect`.
    pub struct BlkifRequestIndirect: "struct blkif_request_indirect", size 64 {
        0 => operation: u8,
        1 => indirect_op: u8,
        2 => nr_segments: u16,
        4 => _hole0: [u8; 4] as "",
        8 => id: u64,
        16 => sector_number: u64,
        24 => handle: u16,
        26 => _hole1: [u8; 2] as "",
        28 => indirect_grefs: [GrantRef; 8],
        60 => _hole2: [u8; 4] as "",
    }

    /// `struct blkif_response`.
    pub struct BlkifResponse: "struct blkif_response", size 16 {
        0 => id: u64,
        8 => operation: u8,
        9 => _hole0: [u8; 1] as "",
        10 => status: i16,
        12 => _hole1: [u8; 4] as "",
    }
}
