//! Schedulers, CPU pools, cache allocation.
//!
//! Xen public/sysctl.h.

use super::{CpupoolOp, SysctlSchedOp};
use crate::GuestHandle;
use crate::domctl::Scheduler;
use crate::macros::{abi_structs, abi_unions};

abi_structs! {
    /// `struct xen_sysctl_sched_id`: the argument of [`SysctlCmd::SCHED_ID`](super::SysctlCmd::SCHED_ID).
    pub struct SysctlSchedId: "struct xen_sysctl_sched_id", size 4 {
        0 => sched_id: Scheduler,
    }

    /// `struct xen_sysctl_cpupool_op`: the argument of [`SysctlCmd::CPUPOOL_OP`](super::SysctlCmd::CPUPOOL_OP).
    pub struct SysctlCpupoolOp: "struct xen_sysctl_cpupool_op", size 40 {
        0 => op: CpupoolOp,
        4 => cpupool_id: u32,
        8 => sched_id: Scheduler,
        12 => domid: u32,
        16 => cpu: u32,
        20 => n_dom: u32,
        24 => cpumap: crate::xen::XenctlBitmap,
    }

    /// Member `sched_entries` of [`SysctlArinc653Schedule`].
    pub struct SysctlArinc653ScheduleSchedEntries: "__typeof__(((struct xen_sysctl_arinc653_schedule*)0)->sched_entries[0])", size 32 {
        0 => dom_handle: [u8; 16],
        16 => vcpu_id: u32,
        20 => _hole0: [u8; 4] as "",
        24 => runtime: u64,
    }

    /// `struct xen_sysctl_arinc653_schedule`.
    pub struct SysctlArinc653Schedule: "struct xen_sysctl_arinc653_schedule", size 2064 {
        0 => major_frame: u64,
        8 => num_sched_entries: u8,
        9 => _hole0: [u8; 7] as "",
        16 => sched_entries: [SysctlArinc653ScheduleSchedEntries; 64],
    }

    /// `struct xen_sysctl_credit_schedule`.
    pub struct SysctlCreditSchedule: "struct xen_sysctl_credit_schedule", size 12 {
        0 => tslice_ms: u32,
        4 => ratelimit_us: u32,
        8 => vcpu_migr_delay_us: u32,
    }

    /// `struct xen_sysctl_credit2_schedule`.
    pub struct SysctlCredit2Schedule: "struct xen_sysctl_credit2_schedule", size 4 {
        0 => ratelimit_us: u32,
    }

    /// `struct xen_sysctl_sched_arinc653`.
    pub struct SysctlSchedArinc653: "struct xen_sysctl_sched_arinc653", size 8 {
        0 => schedule: GuestHandle<SysctlArinc653Schedule>,
    }

    /// `struct xen_sysctl_scheduler_op`: the argument of [`SysctlCmd::SCHEDULER_OP`](super::SysctlCmd::SCHEDULER_OP).
    pub struct SysctlSchedulerOp: "struct xen_sysctl_scheduler_op", size 32 {
        0 => cpupool_id: u32,
        4 => sched_id: Scheduler,
        8 => cmd: SysctlSchedOp,
        12 => _hole0: [u8; 4] as "",
        16 => u: SysctlSchedulerOpU,
    }

    /// Member `l3_cache` of [`SysctlPsrCmtOpU`].
    pub struct SysctlPsrCmtOpL3Cache: "__typeof__(((__typeof__(((struct xen_sysctl_psr_cmt_op*)0)->u)*)0)->l3_cache)", size 8 {
        0 => cpu: u32,
        4 => rsvd: u32,
    }

    /// `struct xen_sysctl_psr_cmt_op`: the argument of [`SysctlCmd::PSR_CMT_OP`](super::SysctlCmd::PSR_CMT_OP).
    pub struct SysctlPsrCmtOp: "struct xen_sysctl_psr_cmt_op", size 16 {
        0 => cmd: u32,
        4 => flags: u32,
        8 => u: SysctlPsrCmtOpU,
    }

    /// Member `cat_info` of [`SysctlPsrAllocU`].
    pub struct SysctlPsrAllocCatInfo: "__typeof__(((__typeof__(((struct xen_sysctl_psr_alloc*)0)->u)*)0)->cat_info)", size 12 {
        0 => cbm_len: u32,
        4 => cos_max: u32,
        8 => flags: u32,
    }

    /// Member `mba_info` of [`SysctlPsrAllocU`].
    pub struct SysctlPsrAllocMbaInfo: "__typeof__(((__typeof__(((struct xen_sysctl_psr_alloc*)0)->u)*)0)->mba_info)", size 12 {
        0 => thrtl_max: u32,
        4 => cos_max: u32,
        8 => flags: u32,
    }

    /// `struct xen_sysctl_psr_alloc`: the argument of [`SysctlCmd::PSR_ALLOC`](super::SysctlCmd::PSR_ALLOC).
    pub struct SysctlPsrAlloc: "struct xen_sysctl_psr_alloc", size 20 {
        0 => cmd: u32,
        4 => target: u32,
        8 => u: SysctlPsrAllocU,
    }
}

abi_unions! {
    /// Field `u` of [`SysctlSchedulerOp`]: one of these, by what a field beside it says.
    pub union SysctlSchedulerOpU: "__typeof__(((struct xen_sysctl_scheduler_op*)0)->u)", [u64; 2] {
        sched_arinc653 / set_sched_arinc653: SysctlSchedArinc653,
        sched_credit / set_sched_credit: SysctlCreditSchedule,
        sched_credit2 / set_sched_credit2: SysctlCredit2Schedule,
    }

    /// Field `u` of [`SysctlPsrCmtOp`]: one of these, by what a field beside it says.
    pub union SysctlPsrCmtOpU: "__typeof__(((struct xen_sysctl_psr_cmt_op*)0)->u)", [u64; 1] {
        data / set_data: u64,
        l3_cache / set_l3_cache: SysctlPsrCmtOpL3Cache,
    }

    /// Field `u` of [`SysctlPsrAlloc`]: one of these, by what a field beside it says.
    pub union SysctlPsrAllocU: "__typeof__(((struct xen_sysctl_psr_alloc*)0)->u)", [u32; 3] {
        cat_info / set_cat_info: SysctlPsrAllocCatInfo,
        mba_info / set_mba_info: SysctlPsrAllocMbaInfo,
    }
}
