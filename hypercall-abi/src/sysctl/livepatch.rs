//! Live patching.
//!
//! Xen public/sysctl.h.

use crate::GuestHandle;
use crate::macros::{abi_structs, abi_unions};

abi_structs! {
    /// `struct xen_livepatch_name`.
    pub struct LivepatchName: "struct xen_livepatch_name", size 16 {
        0 => name: GuestHandle<u8>,
        8 => size: u16,
        10 => pad: [u16; 3],
    }

    /// `struct xen_sysctl_livepatch_upload`.
    pub struct SysctlLivepatchUpload: "struct xen_sysctl_livepatch_upload", size 32 {
        0 => name: LivepatchName,
        16 => size: u64,
        24 => payload: GuestHandle<u8>,
    }

    /// `struct xen_livepatch_status`.
    pub struct LivepatchStatus: "struct xen_livepatch_status", size 8 {
        0 => state: u32,
        4 => rc: i32,
    }

    /// `struct xen_sysctl_livepatch_get`.
    pub struct SysctlLivepatchGet: "struct xen_sysctl_livepatch_get", size 24 {
        0 => name: LivepatchName,
        16 => status: LivepatchStatus,
    }

    /// `struct xen_sysctl_livepatch_list`.
    pub struct SysctlLivepatchList: "struct xen_sysctl_livepatch_list", size 64 {
        0 => version: u32,
        4 => idx: u32,
        8 => nr: u32,
        12 => pad: u32,
        16 => name_total_size: u32,
        20 => metadata_total_size: u32,
        24 => status: GuestHandle<LivepatchStatus>,
        32 => name: GuestHandle<u8>,
        40 => len: GuestHandle<u32>,
        48 => metadata: GuestHandle<u8>,
        56 => metadata_len: GuestHandle<u32>,
    }

    /// `struct xen_sysctl_livepatch_action`.
    pub struct SysctlLivepatchAction: "struct xen_sysctl_livepatch_action", size 32 {
        0 => name: LivepatchName,
        16 => cmd: u32,
        20 => timeout: u32,
        24 => flags: u32,
        28 => pad: u32,
    }

    /// `struct xen_sysctl_livepatch_op`: the argument of [`SysctlCmd::LIVEPATCH_OP`](super::SysctlCmd::LIVEPATCH_OP).
    pub struct SysctlLivepatchOp: "struct xen_sysctl_livepatch_op", size 72 {
        0 => cmd: u32,
        4 => pad: u32,
        8 => u: SysctlLivepatchOpU,
    }
}

abi_unions! {
    /// Field `u` of [`SysctlLivepatchOp`]: one of these, by what a field beside it says.
    pub union SysctlLivepatchOpU: "__typeof__(((struct xen_sysctl_livepatch_op*)0)->u)", [u64; 8] {
        upload / set_upload: SysctlLivepatchUpload,
        list / set_list: SysctlLivepatchList,
        get / set_get: SysctlLivepatchGet,
        action / set_action: SysctlLivepatchAction,
    }
}
