//! Scheduling, affinity and NUMA of domains.
//!
//! Xen public/domctl.h.

use super::{DomctlSchedOp, Scheduler};
use crate::GuestHandle;
use crate::macros::{abi_structs, abi_unions};

abi_structs! {
    /// `struct xen_domctl_nodeaffinity`.
    pub struct DomctlNodeaffinity: "struct xen_domctl_nodeaffinity", size 16 {
        0 => nodemap: crate::xen::XenctlBitmap,
    }

    /// `struct xen_domctl_vcpuaffinity`.
    pub struct DomctlVcpuaffinity: "struct xen_domctl_vcpuaffinity", size 40 {
        0 => vcpu: u32,
        4 => flags: u32,
        8 => cpumap_hard: crate::xen::XenctlBitmap,
        24 => cpumap_soft: crate::xen::XenctlBitmap,
    }

    /// `struct xen_domctl_sched_credit`.
    pub struct DomctlSchedCredit: "struct xen_domctl_sched_credit", size 4 {
        0 => weight: u16,
        2 => cap: u16,
    }

    /// `struct xen_domctl_sched_credit2`.
    pub struct DomctlSchedCredit2: "struct xen_domctl_sched_credit2", size 4 {
        0 => weight: u16,
        2 => cap: u16,
    }

    /// `struct xen_domctl_sched_rtds`.
    pub struct DomctlSchedRtds: "struct xen_domctl_sched_rtds", size 12 {
        0 => period: u32,
        4 => budget: u32,
        8 => flags: u32,
    }

    /// `struct xen_domctl_schedparam_vcpu`.
    pub struct DomctlSchedparamVcpu: "struct xen_domctl_schedparam_vcpu", size 16 {
        0 => u: DomctlSchedparamVcpuU,
        12 => vcpuid: u32,
    }

    /// Member `v` of [`DomctlSchedulerOpU`].
    pub struct DomctlSchedulerOpV: "__typeof__(((__typeof__(((struct xen_domctl_scheduler_op*)0)->u)*)0)->v)", size 16 {
        0 => vcpus: GuestHandle<DomctlSchedparamVcpu>,
        8 => nr_vcpus: u32,
        12 => padding: u32,
    }

    /// `struct xen_domctl_scheduler_op`: the argument of [`DomctlCmd::SCHEDULER_OP`](super::DomctlCmd::SCHEDULER_OP).
    pub struct DomctlSchedulerOp: "struct xen_domctl_scheduler_op", size 24 {
        0 => sched_id: Scheduler,
        4 => cmd: DomctlSchedOp,
        8 => u: DomctlSchedulerOpU,
    }

    /// `struct xen_domctl_vnuma`.
    pub struct DomctlVnuma: "struct xen_domctl_vnuma", size 48 {
        0 => nr_vnodes: u32,
        4 => nr_vmemranges: u32,
        8 => nr_vcpus: u32,
        12 => pad: u32,
        16 => vdistance: GuestHandle<u32>,
        24 => vcpu_to_vnode: GuestHandle<u32>,
        32 => vnode_to_pnode: GuestHandle<u32>,
        40 => vmemrange: GuestHandle<crate::memory::Vmemrange>,
    }

    /// `struct xen_domctl_psr_cmt_op`: the argument of [`DomctlCmd::PSR_CMT_OP`](super::DomctlCmd::PSR_CMT_OP).
    pub struct DomctlPsrCmtOp: "struct xen_domctl_psr_cmt_op", size 8 {
        0 => cmd: u32,
        4 => data: u32,
    }

    /// `struct xen_domctl_psr_alloc`: the argument of [`DomctlCmd::PSR_ALLOC`](super::DomctlCmd::PSR_ALLOC).
    pub struct DomctlPsrAlloc: "struct xen_domctl_psr_alloc", size 16 {
        0 => cmd: u32,
        4 => target: u32,
        8 => data: u64,
    }
}

abi_unions! {
    /// Field `u` of [`DomctlSchedparamVcpu`]: one of these, by what a field beside it says.
    pub union DomctlSchedparamVcpuU: "__typeof__(((struct xen_domctl_schedparam_vcpu*)0)->u)", [u32; 3] {
        credit / set_credit: DomctlSchedCredit,
        credit2 / set_credit2: DomctlSchedCredit2,
        rtds / set_rtds: DomctlSchedRtds,
    }

    /// Field `u` of [`DomctlSchedulerOp`]: one of these, by what a field beside it says.
    pub union DomctlSchedulerOpU: "__typeof__(((struct xen_domctl_scheduler_op*)0)->u)", [u64; 2] {
        credit / set_credit: DomctlSchedCredit,
        credit2 / set_credit2: DomctlSchedCredit2,
        rtds / set_rtds: DomctlSchedRtds,
        v / set_v: DomctlSchedulerOpV,
    }
}
