//! Console, tracing, counters, page off-lining.
//!
//! Xen public/sysctl.h.

use crate::GuestHandle;
use crate::macros::abi_structs;

abi_structs! {
    /// `struct xen_sysctl_readconsole`: the argument of [`SysctlCmd::READCONSOLE`](super::SysctlCmd::READCONSOLE).
    pub struct SysctlReadconsole: "struct xen_sysctl_readconsole", size 24 {
        0 => clear: u8,
        1 => incremental: u8,
        2 => pad0: u8,
        3 => pad1: u8,
        4 => index: u32,
        8 => buffer: GuestHandle<u8>,
        16 => count: u32,
        20 => _hole0: [u8; 4] as "",
    }

    /// `struct xen_sysctl_tbuf_op`: the argument of [`SysctlCmd::TBUF_OP`](super::SysctlCmd::TBUF_OP).
    pub struct SysctlTbufOp: "struct xen_sysctl_tbuf_op", size 48 {
        0 => cmd: u32,
        4 => _hole0: [u8; 4] as "",
        8 => cpu_mask: crate::xen::XenctlBitmap,
        24 => evt_mask: u32,
        28 => _hole1: [u8; 4] as "",
        32 => buffer_mfn: u64,
        40 => size: u32,
        44 => _hole2: [u8; 4] as "",
    }

    /// `struct xen_sysctl_perfc_desc`.
    pub struct SysctlPerfcDesc: "struct xen_sysctl_perfc_desc", size 84 {
        0 => name: [u8; 80],
        80 => nr_vals: u32,
    }

    /// `struct xen_sysctl_perfc_op`: the argument of [`SysctlCmd::PERFC_OP`](super::SysctlCmd::PERFC_OP).
    pub struct SysctlPerfcOp: "struct xen_sysctl_perfc_op", size 32 {
        0 => cmd: u32,
        4 => nr_counters: u32,
        8 => nr_vals: u32,
        12 => _hole0: [u8; 4] as "",
        16 => desc: GuestHandle<SysctlPerfcDesc>,
        24 => val: GuestHandle<u32>,
    }

    /// `struct xen_sysctl_debug_keys`: the argument of [`SysctlCmd::DEBUG_KEYS`](super::SysctlCmd::DEBUG_KEYS).
    pub struct SysctlDebugKeys: "struct xen_sysctl_debug_keys", size 16 {
        0 => keys: GuestHandle<u8>,
        8 => nr_keys: u32,
        12 => _hole0: [u8; 4] as "",
    }

    /// `struct xen_sysctl_page_offline_op`: the argument of [`SysctlCmd::PAGE_OFFLINE_OP`](super::SysctlCmd::PAGE_OFFLINE_OP).
    pub struct SysctlPageOfflineOp: "struct xen_sysctl_page_offline_op", size 24 {
        0 => cmd: u32,
        4 => start: u32,
        8 => end: u32,
        12 => _hole0: [u8; 4] as "",
        16 => status: GuestHandle<u32>,
    }

    /// `struct xen_sysctl_lockprof_data`.
    pub struct SysctlLockprofData: "struct xen_sysctl_lockprof_data", size 80 {
        0 => name: [u8; 40],
        40 => r#type: i32 as "type",
        44 => idx: i32,
        48 => lock_cnt: u64,
        56 => block_cnt: u64,
        64 => lock_time: u64,
        72 => block_time: u64,
    }

    /// `struct xen_sysctl_lockprof_op`: the argument of [`SysctlCmd::LOCKPROF_OP`](super::SysctlCmd::LOCKPROF_OP).
    pub struct SysctlLockprofOp: "struct xen_sysctl_lockprof_op", size 32 {
        0 => cmd: u32,
        4 => max_elem: u32,
        8 => nr_elem: u32,
        12 => _hole0: [u8; 4] as "",
        16 => time: u64,
        24 => data: GuestHandle<SysctlLockprofData>,
    }

    /// `struct xen_sysctl_coverage_op`: the argument of [`SysctlCmd::COVERAGE_OP`](super::SysctlCmd::COVERAGE_OP).
    pub struct SysctlCoverageOp: "struct xen_sysctl_coverage_op", size 16 {
        0 => cmd: u32,
        4 => size: u32,
        8 => buffer: GuestHandle<u8>,
    }
}
