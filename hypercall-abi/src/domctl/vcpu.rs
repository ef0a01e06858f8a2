//! State of vCPUs.
//!
//! Xen public/domctl.h.

use crate::GuestHandle;
use crate::macros::{abi_structs, abi_unions};

abi_structs! {
    /// `struct xen_domctl_vcpucontext`.
    pub struct DomctlVcpucontext: "struct xen_domctl_vcpucontext", size 16 {
        0 => vcpu: u32,
        4 => _hole0: [u8; 4] as "",
        8 => ctxt: GuestHandle<crate::arch_x86::VcpuGuestContext>,
    }

    /// `struct xen_domctl_getvcpuinfo`: the argument of [`DomctlCmd::GETVCPUINFO`](super::DomctlCmd::GETVCPUINFO).
    pub struct DomctlGetvcpuinfo: "struct xen_domctl_getvcpuinfo", size 24 {
        0 => vcpu: u32,
        4 => online: u8,
        5 => blocked: u8,
        6 => running: u8,
        7 => _hole0: [u8; 1] as "",
        8 => cpu_time: u64,
        16 => cpu: u32,
        20 => _hole1: [u8; 4] as "",
    }

    /// `struct xen_domctl_max_vcpus`: the argument of [`DomctlCmd::MAX_VCPUS`](super::DomctlCmd::MAX_VCPUS).
    pub struct DomctlMaxVcpus: "struct xen_domctl_max_vcpus", size 4 {
        0 => max: u32,
    }

    /// `struct xen_domctl_hvmcontext`.
    pub struct DomctlHvmcontext: "struct xen_domctl_hvmcontext", size 16 {
        0 => size: u32,
        4 => _hole0: [u8; 4] as "",
        8 => buffer: GuestHandle<u8>,
    }

    /// `struct xen_domctl_address_size`.
    pub struct DomctlAddressSize: "struct xen_domctl_address_size", size 4 {
        0 => size: u32,
    }

    /// `struct xen_domctl_sendtrigger`: the argument of [`DomctlCmd::SENDTRIGGER`](super::DomctlCmd::SENDTRIGGER).
    pub struct DomctlSendtrigger: "struct xen_domctl_sendtrigger", size 8 {
        0 => trigger: u32,
        4 => vcpu: u32,
    }

    /// `struct xen_domctl_ext_vcpucontext`.
    pub struct DomctlExtVcpucontext: "struct xen_domctl_ext_vcpucontext", size 64 {
        0 => vcpu: u32,
        4 => size: u32,
        8 => syscall32_callback_eip: u64,
        16 => sysenter_callback_eip: u64,
        24 => syscall32_callback_cs: u16,
        26 => sysenter_callback_cs: u16,
        28 => syscall32_disables_events: u8,
        29 => sysenter_disables_events: u8,
        30 => _hole0: [u8; 2] as "",
        32 => u: DomctlExtVcpucontextU as "",
    }

    /// `struct xen_domctl_cpu_policy`.
    pub struct DomctlCpuPolicy: "struct xen_domctl_cpu_policy", size 40 {
        0 => nr_leaves: u32,
        4 => nr_msrs: u32,
        8 => leaves: GuestHandle<crate::arch_x86::CpuidLeaf>,
        16 => msrs: GuestHandle<crate::arch_x86::MsrEntry>,
        24 => err_leaf: u32,
        28 => err_subleaf: u32,
        32 => err_msr: u32,
        36 => _hole0: [u8; 4] as "",
    }

    /// `struct xen_domctl_hvmcontext_partial`.
    pub struct DomctlHvmcontextPartial: "struct xen_domctl_hvmcontext_partial", size 24 {
        0 => r#type: u32 as "type",
        4 => instance: u32,
        8 => bufsz: u64,
        16 => buffer: GuestHandle<u8>,
    }

    /// `struct xen_domctl_tsc_info`.
    pub struct DomctlTscInfo: "struct xen_domctl_tsc_info", size 24 {
        0 => tsc_mode: u32,
        4 => gtsc_khz: u32,
        8 => incarnation: u32,
        12 => pad: u32,
        16 => elapsed_nsec: u64,
    }

    /// `struct xen_domctl_vcpuextstate`.
    pub struct DomctlVcpuextstate: "struct xen_domctl_vcpuextstate", size 32 {
        0 => vcpu: u32,
        4 => _hole0: [u8; 4] as "",
        8 => xfeature_mask: u64,
        16 => size: u64,
        24 => buffer: GuestHandle<u64>,
    }

    /// `struct xen_domctl_vcpu_msr`.
    pub struct DomctlVcpuMsr: "struct xen_domctl_vcpu_msr", size 16 {
        0 => index: u32,
        4 => reserved: u32,
        8 => value: u64,
    }

    /// `struct xen_domctl_vcpu_msrs`.
    pub struct DomctlVcpuMsrs: "struct xen_domctl_vcpu_msrs", size 16 {
        0 => vcpu: u32,
        4 => msr_count: u32,
        8 => msrs: GuestHandle<DomctlVcpuMsr>,
    }
}

abi_unions! {
    /// Field `u` of [`DomctlExtVcpucontext`]: one of these, by what a field beside it says.
    pub union DomctlExtVcpucontextU: "", [u64; 4] {
        mcg_cap / set_mcg_cap: u64,
        vmce / set_vmce: crate::hvm::save::HvmVmceVcpu,
    }
}
