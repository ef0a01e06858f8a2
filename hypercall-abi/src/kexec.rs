//! Loading and starting another kernel.
//!
//! Xen public/kexec.h.

use crate::GuestHandle;
use crate::macros::{abi_consts, abi_structs, abi_unions, open_enums};

open_enums! {
    /// `KEXEC_TYPE_*`.
    pub enum KexecType(u32) "KEXEC_TYPE_" {
        DEFAULT = 0;
        CRASH = 1;
    }

    /// `KEXEC_CMD_*`.
    pub enum KexecCmd(u32) "KEXEC_CMD_" {
        KEXEC = 0;
        KEXEC_LOAD_V1 = 1;
        KEXEC_UNLOAD_V1 = 2;
        KEXEC_GET_RANGE = 3;
        KEXEC_LOAD = 4;
        KEXEC_UNLOAD = 5;
        KEXEC_STATUS = 6;
    }

    /// `KEXEC_RANGE_*`.
    pub enum KexecRange(u32) "KEXEC_RANGE_" {
        MA_CRASH = 0;
        MA_XEN = 1;
        MA_CPU = 2;
        MA_XENHEAP = 3;
        MA_BOOT_PARAM = 4;
        MA_EFI_MEMMAP = 5;
        MA_VMCOREINFO = 6;
    }
}

abi_consts! {
    u32 {
        KEXEC_XEN_NO_PAGES = 17;
    }
}

abi_structs! {
    /// `struct xen_kexec_image`.
    pub struct KexecImage: "struct xen_kexec_image", size 152 {
        0 => page_list: [u64; 17],
        136 => indirection_page: u64,
        144 => start_address: u64,
    }

    /// `struct xen_kexec_exec`.
    pub struct KexecExec: "struct xen_kexec_exec", size 4 {
        0 => r#type: i32 as "type",
    }

    /// `struct xen_kexec_load_v1`.
    pub struct KexecLoadV1: "struct xen_kexec_load_v1", size 160 {
        0 => r#type: i32 as "type",
        4 => _hole0: [u8; 4] as "",
        8 => image: KexecImage,
    }

    /// `struct xen_kexec_range`.
    pub struct KexecRangeArg: "struct xen_kexec_range", size 24 {
        0 => range: i32,
        4 => nr: i32,
        8 => size: u64,
        16 => start: u64,
    }

    /// `struct xen_kexec_segment`.
    pub struct KexecSegment: "struct xen_kexec_segment", size 32 {
        0 => buf: KexecSegmentBuf,
        8 => buf_size: u64,
        16 => dest_maddr: u64,
        24 => dest_size: u64,
    }

    /// `struct xen_kexec_load`.
    pub struct KexecLoad: "struct xen_kexec_load", size 24 {
        0 => r#type: u8 as "type",
        1 => _pad: u8,
        2 => arch: u16,
        4 => nr_segments: u32,
        8 => segments: KexecLoadSegments,
        16 => entry_maddr: u64,
    }

    /// `struct xen_kexec_unload`.
    pub struct KexecUnload: "struct xen_kexec_unload", size 1 {
        0 => r#type: u8 as "type",
    }

    /// `struct xen_kexec_status`.
    pub struct KexecStatus: "struct xen_kexec_status", size 1 {
        0 => r#type: u8 as "type",
    }
}

abi_unions! {
    /// Field `buf` of [`KexecSegment`]: one of these, by what a field beside it says.
    pub union KexecSegmentBuf: "__typeof__(((struct xen_kexec_segment*)0)->buf)", [u64; 1] {
        h / set_h: GuestHandle<()>,
    }

    /// Field `segments` of [`KexecLoad`]: one of these, by what a field beside it says.
    pub union KexecLoadSegments: "__typeof__(((struct xen_kexec_load*)0)->segments)", [u64; 1] {
        h / set_h: GuestHandle<KexecSegment>,
    }
}
