//! Debugging, monitoring and introspection of domains.
//!
//! Xen public/domctl.h.

use crate::macros::{abi_structs, abi_unions};

abi_structs! {
    /// `struct xen_domctl_subscribe`: the argument of [`DomctlCmd::SUBSCRIBE`](super::DomctlCmd::SUBSCRIBE).
    pub struct DomctlSubscribe: "struct xen_domctl_subscribe", size 4 {
        0 => port: u32,
    }

    /// `struct xen_domctl_debug_op`: the argument of [`DomctlCmd::DEBUG_OP`](super::DomctlCmd::DEBUG_OP).
    pub struct DomctlDebugOp: "struct xen_domctl_debug_op", size 8 {
        0 => op: u32,
        4 => vcpu: u32,
    }

    /// `struct xen_domctl_gdbsx_memio`.
    pub struct DomctlGdbsxMemio: "struct xen_domctl_gdbsx_memio", size 40 {
        0 => pgd3val: u64,
        8 => gva: u64,
        16 => uva: u64,
        24 => len: u32,
        28 => gwr: u8,
        29 => _hole0: [u8; 3] as "",
        32 => remain: u32,
        36 => _hole1: [u8; 4] as "",
    }

    /// `struct xen_domctl_gdbsx_pauseunp_vcpu`.
    pub struct DomctlGdbsxPauseunpVcpu: "struct xen_domctl_gdbsx_pauseunp_vcpu", size 4 {
        0 => vcpu: u32,
    }

    /// `struct xen_domctl_gdbsx_domstatus`: the argument of [`DomctlCmd::GDBSX_DOMSTATUS`](super::DomctlCmd::GDBSX_DOMSTATUS).
    pub struct DomctlGdbsxDomstatus: "struct xen_domctl_gdbsx_domstatus", size 12 {
        0 => paused: u8,
        1 => _hole0: [u8; 3] as "",
        4 => vcpu_id: u32,
        8 => vcpu_ev: u32,
    }

    /// Member `enable` of [`DomctlVmEventOpU`].
    pub struct DomctlVmEventOpEnable: "__typeof__(((__typeof__(((struct xen_domctl_vm_event_op*)0)->u)*)0)->enable)", size 4 {
        0 => port: u32,
    }

    /// `struct xen_domctl_vm_event_op`: the argument of [`DomctlCmd::VM_EVENT_OP`](super::DomctlCmd::VM_EVENT_OP).
    pub struct DomctlVmEventOp: "struct xen_domctl_vm_event_op", size 12 {
        0 => op: u32,
        4 => mode: u32,
        8 => u: DomctlVmEventOpU,
    }

    /// `struct xen_domctl_mem_sharing_op`: the argument of [`DomctlCmd::MEM_SHARING_OP`](super::DomctlCmd::MEM_SHARING_OP).
    pub struct DomctlMemSharingOp: "struct xen_domctl_mem_sharing_op", size 2 {
        0 => op: u8,
        1 => u: DomctlMemSharingOpU,
    }

    /// `struct xen_domctl_audit_p2m`: the argument of [`DomctlCmd::AUDIT_P2M`](super::DomctlCmd::AUDIT_P2M).
    pub struct DomctlAuditP2m: "struct xen_domctl_audit_p2m", size 24 {
        0 => orphans: u64,
        8 => m2p_bad: u64,
        16 => p2m_bad: u64,
    }

    /// `struct xen_domctl_set_access_required`: the argument of [`DomctlCmd::SET_ACCESS_REQUIRED`](super::DomctlCmd::SET_ACCESS_REQUIRED).
    pub struct DomctlSetAccessRequired: "struct xen_domctl_set_access_required", size 1 {
        0 => access_required: u8,
    }

    /// Member `mov_to_cr` of [`DomctlMonitorOpU`].
    pub struct DomctlMonitorOpMovToCr: "__typeof__(((__typeof__(((struct xen_domctl_monitor_op*)0)->u)*)0)->mov_to_cr)", size 16 {
        0 => index: u8,
        1 => sync: u8,
        2 => onchangeonly: u8,
        3 => pad1: u8,
        4 => pad2: u32,
        8 => bitmask: u64,
    }

    /// Member `mov_to_msr` of [`DomctlMonitorOpU`].
    pub struct DomctlMonitorOpMovToMsr: "__typeof__(((__typeof__(((struct xen_domctl_monitor_op*)0)->u)*)0)->mov_to_msr)", size 8 {
        0 => msr: u32,
        4 => onchangeonly: u8,
        5 => _hole0: [u8; 3] as "",
    }

    /// Member `guest_request` of [`DomctlMonitorOpU`].
    pub struct DomctlMonitorOpGuestRequest: "__typeof__(((__typeof__(((struct xen_domctl_monitor_op*)0)->u)*)0)->guest_request)", size 2 {
        0 => sync: u8,
        1 => allow_userspace: u8,
    }

    /// Member `debug_exception` of [`DomctlMonitorOpU`].
    pub struct DomctlMonitorOpDebugException: "__typeof__(((__typeof__(((struct xen_domctl_monitor_op*)0)->u)*)0)->debug_exception)", size 1 {
        0 => sync: u8,
    }

    /// Member `vmexit` of [`DomctlMonitorOpU`].
    pub struct DomctlMonitorOpVmexit: "__typeof__(((__typeof__(((struct xen_domctl_monitor_op*)0)->u)*)0)->vmexit)", size 1 {
        0 => sync: u8,
    }

    /// `struct xen_domctl_monitor_op`: the argument of [`DomctlCmd::MONITOR_OP`](super::DomctlCmd::MONITOR_OP).
    pub struct DomctlMonitorOp: "struct xen_domctl_monitor_op", size 24 {
        0 => op: u32,
        4 => event: u32,
        8 => u: DomctlMonitorOpU,
    }

    /// `struct xen_domctl_vmtrace_op`: the argument of [`DomctlCmd::VMTRACE_OP`](super::DomctlCmd::VMTRACE_OP).
    pub struct DomctlVmtraceOp: "struct xen_domctl_vmtrace_op", size 24 {
        0 => cmd: u32,
        4 => vcpu: u32,
        8 => key: u64,
        16 => value: u64,
    }
}

abi_unions! {
    /// Field `u` of [`DomctlVmEventOp`]: one of these, by what a field beside it says.
    pub union DomctlVmEventOpU: "__typeof__(((struct xen_domctl_vm_event_op*)0)->u)", [u32; 1] {
        enable / set_enable: DomctlVmEventOpEnable,
        version / set_version: u32,
    }

    /// Field `u` of [`DomctlMemSharingOp`]: one of these, by what a field beside it says.
    pub union DomctlMemSharingOpU: "__typeof__(((struct xen_domctl_mem_sharing_op*)0)->u)", [u8; 1] {
        enable / set_enable: u8,
    }

    /// Field `u` of [`DomctlMonitorOp`]: one of these, by what a field beside it says.
    pub union DomctlMonitorOpU: "__typeof__(((struct xen_domctl_monitor_op*)0)->u)", [u64; 2] {
        mov_to_cr / set_mov_to_cr: DomctlMonitorOpMovToCr,
        mov_to_msr / set_mov_to_msr: DomctlMonitorOpMovToMsr,
        guest_request / set_guest_request: DomctlMonitorOpGuestRequest,
        debug_exception / set_debug_exception: DomctlMonitorOpDebugException,
        vmexit / set_vmexit: DomctlMonitorOpVmexit,
    }
}
