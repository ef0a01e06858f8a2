//! Grant tables: entries that guests share, and the operations on them.
//!
//! Xen public/grant_table.h.

use crate::GuestHandle;
use crate::macros::{abi_consts, abi_structs, abi_unions, open_enums};
use crate::xen::DomId;

open_enums! {
    /// Commands of `grant_table_op`.
    pub enum GnttabOp(u32) "GNTTABOP_" {
        MAP_GRANT_REF = 0;
        UNMAP_GRANT_REF = 1;
        SETUP_TABLE = 2;
        DUMP_TABLE = 3;
        TRANSFER = 4;
        COPY = 5;
        QUERY_SIZE = 6;
        UNMAP_AND_REPLACE = 7;
        SET_VERSION = 8;
        GET_STATUS_FRAMES = 9;
        GET_VERSION = 10;
        SWAP_GRANT_REF = 11;
        CACHE_FLUSH = 12;
    }

    /// Result of one grant operation; negative is an error.
    pub enum GntStatus(i16) "GNTST_" {
        OKAY = 0;
        GENERAL_ERROR = -1;
        BAD_DOMAIN = -2;
        BAD_GNTREF = -3;
        BAD_HANDLE = -4;
        BAD_VIRT_ADDR = -5;
        BAD_DEV_ADDR = -6;
        NO_DEVICE_SPACE = -7;
        PERMISSION_DENIED = -8;
        BAD_PAGE = -9;
        BAD_COPY_ARG = -10;
        ADDRESS_TOO_BIG = -11;
        EAGAIN = -12;
        NO_SPACE = -13;
    }
}

abi_consts! {
    u32 {
        GNTTAB_NR_RESERVED_ENTRIES = 8;
        GNTTAB_RESERVED_CONSOLE = 0;
        GNTTAB_RESERVED_XENSTORE = 1;
    }
    u16 {
        GTF_INVALID = 0x0;
        GTF_PERMIT_ACCESS = 1 << 0;
        GTF_ACCEPT_TRANSFER = 1 << 1;
        GTF_TRANSITIVE = 0x3;
        GTF_TYPE_MASK = 0x3;
        _GTF_READONLY = 2;
        GTF_READONLY = 1 << 2;
        _GTF_READING = 3;
        GTF_READING = 1 << 3;
        _GTF_WRITING = 4;
        GTF_WRITING = 1 << 4;
        _GTF_PWT = 5;
        GTF_PWT = 1 << 5;
        _GTF_PCD = 6;
        GTF_PCD = 1 << 6;
        _GTF_PAT = 7;
        GTF_PAT = 1 << 7;
        _GTF_SUB_PAGE = 8;
        GTF_SUB_PAGE = 1 << 8;
        _GTF_TRANSFER_COMMITTED = 2;
        GTF_TRANSFER_COMMITTED = 1 << 2;
        _GTF_TRANSFER_COMPLETED = 3;
        GTF_TRANSFER_COMPLETED = 1 << 3;
        _GNTCOPY_SOURCE_GREF = 0;
        GNTCOPY_SOURCE_GREF = 1 << 0;
        _GNTCOPY_DEST_GREF = 1;
        GNTCOPY_DEST_GREF = 1 << 1;
    }
    u32 {
        GNTTAB_CACHE_CLEAN = 1 << 0;
        GNTTAB_CACHE_INVAL = 1 << 1;
        GNTTAB_CACHE_SOURCE_GREF = 1 << 31;
        _GNTMAP_DEVICE_MAP = 0;
        GNTMAP_DEVICE_MAP = 1 << 0;
        _GNTMAP_HOST_MAP = 1;
        GNTMAP_HOST_MAP = 1 << 1;
        _GNTMAP_READONLY = 2;
        GNTMAP_READONLY = 1 << 2;
        _GNTMAP_APPLICATION_MAP = 3;
        GNTMAP_APPLICATION_MAP = 1 << 3;
        _GNTMAP_CONTAINS_PTE = 4;
        GNTMAP_CONTAINS_PTE = 1 << 4;
        _GNTMAP_GUEST_AVAIL0 = 16;
        GNTMAP_GUEST_AVAIL_MASK = 0xffff0000;
    }
}

abi_structs! {
    /// A grant entry of version 1.
    pub struct GrantEntryV1: "struct grant_entry_v1", size 8 {
        0 => flags: u16,
        2 => domid: DomId,
        4 => frame: u32,
    }

    /// `struct grant_entry_header`.
    pub struct GrantEntryHeader: "struct grant_entry_header", size 4 {
        0 => flags: u16,
        2 => domid: DomId,
    }

    /// Member `full_page` of [`GrantEntryV2`].
    pub struct GrantEntryV2FullPage: "__typeof__(((union grant_entry_v2*)0)->full_page)", size 16 {
        0 => hdr: GrantEntryHeader,
        4 => pad0: u32,
        8 => frame: u64,
    }

    /// Member `sub_page` of [`GrantEntryV2`].
    pub struct GrantEntryV2SubPage: "__typeof__(((union grant_entry_v2*)0)->sub_page)", size 16 {
        0 => hdr: GrantEntryHeader,
        4 => page_off: u16,
        6 => length: u16,
        8 => frame: u64,
    }

    /// Member `transitive` of [`GrantEntryV2`].
    pub struct GrantEntryV2Transitive: "__typeof__(((union grant_entry_v2*)0)->transitive)", size 12 {
        0 => hdr: GrantEntryHeader,
        4 => trans_domid: DomId,
        6 => pad0: u16,
        8 => gref: GrantRef,
    }

    /// `struct gnttab_map_grant_ref`: the argument of [`GnttabOp::MAP_GRANT_REF`].
    pub struct GnttabMapGrantRef: "struct gnttab_map_grant_ref", size 32 {
        0 => host_addr: u64,
        8 => flags: u32,
        12 => r#ref: GrantRef as "ref",
        16 => dom: DomId,
        18 => status: GntStatus,
        20 => handle: GrantHandle,
        24 => dev_bus_addr: u64,
    }

    /// `struct gnttab_unmap_grant_ref`: the argument of [`GnttabOp::UNMAP_GRANT_REF`].
    pub struct GnttabUnmapGrantRef: "struct gnttab_unmap_grant_ref", size 24 {
        0 => host_addr: u64,
        8 => dev_bus_addr: u64,
        16 => handle: GrantHandle,
        20 => status: GntStatus,
        22 => _hole0: [u8; 2] as "",
    }

    /// `struct gnttab_setup_table`: the argument of [`GnttabOp::SETUP_TABLE`].
    pub struct GnttabSetupTable: "struct gnttab_setup_table", size 24 {
        0 => dom: DomId,
        2 => _hole0: [u8; 2] as "",
        4 => nr_frames: u32,
        8 => status: GntStatus,
        10 => _hole1: [u8; 6] as "",
        16 => frame_list: GuestHandle<u64>,
    }

    /// `struct gnttab_dump_table`: the argument of [`GnttabOp::DUMP_TABLE`].
    pub struct GnttabDumpTable: "struct gnttab_dump_table", size 4 {
        0 => dom: DomId,
        2 => status: GntStatus,
    }

    /// `struct gnttab_transfer`: the argument of [`GnttabOp::TRANSFER`].
    pub struct GnttabTransfer: "struct gnttab_transfer", size 24 {
        0 => mfn: u64,
        8 => domid: DomId,
        10 => _hole0: [u8; 2] as "",
        12 => r#ref: GrantRef as "ref",
        16 => status: GntStatus,
        18 => _hole1: [u8; 6] as "",
    }

    /// `struct gnttab_copy_ptr`.
    pub struct GnttabCopyPtr: "struct gnttab_copy_ptr", size 16 {
        0 => u: GnttabCopyPtrU,
        8 => domid: DomId,
        10 => offset: u16,
        12 => _hole0: [u8; 4] as "",
    }

    /// `struct gnttab_copy`: the argument of [`GnttabOp::COPY`].
    pub struct GnttabCopy: "struct gnttab_copy", size 40 {
        0 => source: GnttabCopyPtr,
        16 => dest: GnttabCopyPtr,
        32 => len: u16,
        34 => flags: u16,
        36 => status: GntStatus,
        38 => _hole0: [u8; 2] as "",
    }

    /// `struct gnttab_query_size`: the argument of [`GnttabOp::QUERY_SIZE`].
    pub struct GnttabQuerySize: "struct gnttab_query_size", size 16 {
        0 => dom: DomId,
        2 => _hole0: [u8; 2] as "",
        4 => nr_frames: u32,
        8 => max_nr_frames: u32,
        12 => status: GntStatus,
        14 => _hole1: [u8; 2] as "",
    }

    /// `struct gnttab_unmap_and_replace`: the argument of [`GnttabOp::UNMAP_AND_REPLACE`].
    pub struct GnttabUnmapAndReplace: "struct gnttab_unmap_and_replace", size 24 {
        0 => host_addr: u64,
        8 => new_addr: u64,
        16 => handle: GrantHandle,
        20 => status: GntStatus,
        22 => _hole0: [u8; 2] as "",
    }

    /// `struct gnttab_set_version`: the argument of [`GnttabOp::SET_VERSION`].
    pub struct GnttabSetVersion: "struct gnttab_set_version", size 4 {
        0 => version: u32,
    }

    /// `struct gnttab_get_status_frames`: the argument of [`GnttabOp::GET_STATUS_FRAMES`].
    pub struct GnttabGetStatusFrames: "struct gnttab_get_status_frames", size 16 {
        0 => nr_frames: u32,
        4 => dom: DomId,
        6 => status: GntStatus,
        8 => frame_list: GuestHandle<u64>,
    }

    /// `struct gnttab_get_version`: the argument of [`GnttabOp::GET_VERSION`].
    pub struct GnttabGetVersion: "struct gnttab_get_version", size 8 {
        0 => dom: DomId,
        2 => pad: u16,
        4 => version: u32,
    }

    /// `struct gnttab_swap_grant_ref`: the argument of [`GnttabOp::SWAP_GRANT_REF`].
    pub struct GnttabSwapGrantRef: "struct gnttab_swap_grant_ref", size 12 {
        0 => ref_a: GrantRef,
        4 => ref_b: GrantRef,
        8 => status: GntStatus,
        10 => _hole0: [u8; 2] as "",
    }

    /// `struct gnttab_cache_flush`: the argument of [`GnttabOp::CACHE_FLUSH`].
    pub struct GnttabCacheFlush: "struct gnttab_cache_flush", size 16 {
        0 => a: GnttabCacheFlushA,
        8 => offset: u16,
        10 => length: u16,
        12 => op: u32,
    }
}

abi_unions! {
    /// A grant entry of version 2.
    pub union GrantEntryV2: "union grant_entry_v2", [u64; 2] {
        hdr / set_hdr: GrantEntryHeader,
        full_page / set_full_page: GrantEntryV2FullPage,
        sub_page / set_sub_page: GrantEntryV2SubPage,
        transitive / set_transitive: GrantEntryV2Transitive,
    }

    /// Field `u` of [`GnttabCopyPtr`]: one of these, by what a field beside it says.
    pub union GnttabCopyPtrU: "__typeof__(((struct gnttab_copy_ptr*)0)->u)", [u64; 1] {
        r#ref / set_ref: GrantRef as "ref",
        gmfn / set_gmfn: u64,
    }

    /// Field `a` of [`GnttabCacheFlush`]: one of these, by what a field beside it says.
    pub union GnttabCacheFlushA: "__typeof__(((struct gnttab_cache_flush*)0)->a)", [u64; 1] {
        dev_bus_addr / set_dev_bus_addr: u64,
        r#ref / set_ref: GrantRef as "ref",
    }
}

/// An index into a domain's grant table.
pub type GrantRef = u32;
/// What mapping a grant returns, to unmap it with.
pub type GrantHandle = u32;
/// A word of the version 2 status array.
pub type GrantStatus = u16;
