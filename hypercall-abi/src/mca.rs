//! Machine-check events and their injection.
//!
//! Xen public/arch-x86/xen-mca.h.

use crate::GuestHandle;
use crate::macros::{abi_consts, abi_structs, abi_unions, open_enums};
use crate::xen::DomId;

open_enums! {
    /// `MC_TYPE_*`.
    pub enum McType(u16) "MC_TYPE_" {
        GLOBAL = 0;
        BANK = 1;
        EXTENDED = 2;
        RECOVERY = 3;
    }

    /// `XEN_MC_*`.
    pub enum McCmd(u32) "XEN_MC_" {
        FETCH = 1;
        NOTIFYDOMAIN = 2;
        PHYSCPUINFO = 3;
        MSRINJECT = 4;
        MCEINJECT = 5;
        INJECT_V2 = 6;
    }
}

abi_consts! {
    u32 {
        __HYPERVISOR_MCA = 48;
        XEN_MCA_INTERFACE_VERSION = 0x1ecc003;
        XEN_MC_NONURGENT = 0x1;
        XEN_MC_URGENT = 0x2;
        XEN_MC_ACK = 0x4;
        XEN_MC_OK = 0x0;
        XEN_MC_FETCHFAILED = 0x1;
        XEN_MC_NODATA = 0x2;
        XEN_MC_NOMATCH = 0x4;
        XEN_MC_CANNOTHANDLE = 0x8;
        XEN_MC_NOTDELIVERED = 0x10;
        XEN_MC_VCPUID_INVALID = 0xffff;
        VIRQ_MCA = 16;
        MC_FLAG_CORRECTABLE = 1 << 0;
        MC_FLAG_UNCORRECTABLE = 1 << 1;
        MC_FLAG_RECOVERABLE = 1 << 2;
        MC_FLAG_POLLED = 1 << 3;
        MC_FLAG_RESET = 1 << 4;
        MC_FLAG_CMCI = 1 << 5;
        MC_FLAG_MCE = 1 << 6;
        REC_ACTION_RECOVERED = 1 << 0;
        REC_ACTION_NONE = 1 << 1;
        REC_ACTION_NEED_RESET = 1 << 2;
        MC_ACTION_PAGE_OFFLINE = 1 << 0;
        MC_ACTION_CPU_OFFLINE = 1 << 1;
        MC_ACTION_CACHE_SHRINK = 1 << 2;
        MAX_UNION_SIZE = 16;
        MCINFO_HYPERCALLSIZE = 1024;
        MCINFO_MAXSIZE = 768;
        MCINFO_FLAGS_UNCOMPLETE = 0x1;
        __MC_MSR_ARRAYSIZE = 8;
        MC_NCAPS = 7;
        MC_CAPS_STD_EDX = 0;
        MC_CAPS_AMD_EDX = 1;
        MC_CAPS_TM = 2;
        MC_CAPS_LINUX = 3;
        MC_CAPS_STD_ECX = 4;
        MC_CAPS_VIA = 5;
        MC_CAPS_AMD_ECX = 6;
        MC_MSRINJ_MAXMSRS = 8;
        MC_MSRINJ_F_INTERPOSE = 0x1;
        MC_MSRINJ_F_GPADDR = 0x2;
        XEN_MC_INJECT_TYPE_MASK = 0x7;
        XEN_MC_INJECT_TYPE_MCE = 0x0;
        XEN_MC_INJECT_TYPE_CMCI = 0x1;
        XEN_MC_INJECT_TYPE_LMCE = 0x2;
        XEN_MC_INJECT_CPU_BROADCAST = 0x8;
    }
}

abi_structs! {
    /// `struct mcinfo_common`.
    pub struct McinfoCommon: "struct mcinfo_common", size 4 {
        0 => r#type: u16 as "type",
        2 => size: u16,
    }

    /// `struct mcinfo_global`.
    pub struct McinfoGlobal: "struct mcinfo_global", size 32 {
        0 => common: McinfoCommon,
        4 => mc_domid: u16,
        6 => mc_vcpuid: u16,
        8 => mc_socketid: u32,
        12 => mc_coreid: u16,
        14 => mc_core_threadid: u16,
        16 => mc_apicid: u32,
        20 => mc_flags: u32,
        24 => mc_gstatus: u64,
    }

    /// `struct mcinfo_bank`.
    pub struct McinfoBank: "struct mcinfo_bank", size 48 {
        0 => common: McinfoCommon,
        4 => mc_bank: u16,
        6 => mc_domid: u16,
        8 => mc_status: u64,
        16 => mc_addr: u64,
        24 => mc_misc: u64,
        32 => mc_ctrl2: u64,
        40 => mc_tsc: u64,
    }

    /// `struct mcinfo_msr`.
    pub struct McinfoMsr: "struct mcinfo_msr", size 16 {
        0 => reg: u64,
        8 => value: u64,
    }

    /// `struct mcinfo_extended`.
    pub struct McinfoExtended: "struct mcinfo_extended", size 520 {
        0 => common: McinfoCommon,
        4 => mc_msrs: u32,
        8 => mc_msr: [McinfoMsr; 32],
    }

    /// `struct page_offline_action`.
    pub struct PageOfflineAction: "struct page_offline_action", size 16 {
        0 => mfn: u64,
        8 => status: u64,
    }

    /// `struct cpu_offline_action`.
    pub struct CpuOfflineAction: "struct cpu_offline_action", size 8 {
        0 => mc_socketid: u32,
        4 => mc_coreid: u16,
        6 => mc_core_threadid: u16,
    }

    /// `struct mcinfo_recovery`.
    pub struct McinfoRecovery: "struct mcinfo_recovery", size 24 {
        0 => common: McinfoCommon,
        4 => mc_bank: u16,
        6 => action_flags: u8,
        7 => action_types: u8,
        8 => action_info: McinfoRecoveryActionInfo,
    }

    /// `struct mc_info`.
    pub struct McInfo: "struct mc_info", size 768 {
        0 => mi_nentries: u32,
        4 => flags: u32,
        8 => mi_data: [u64; 95],
    }

    /// `struct mcinfo_logical_cpu`.
    pub struct McinfoLogicalCpu: "struct mcinfo_logical_cpu", size 304 {
        0 => mc_cpunr: u32,
        4 => mc_chipid: u32,
        8 => mc_coreid: u16,
        10 => mc_threadid: u16,
        12 => mc_apicid: u32,
        16 => mc_clusterid: u32,
        20 => mc_ncores: u32,
        24 => mc_ncores_active: u32,
        28 => mc_nthreads: u32,
        32 => mc_cpuid_level: i32,
        36 => mc_family: u32,
        40 => mc_vendor: u32,
        44 => mc_model: u32,
        48 => mc_step: u32,
        52 => mc_vendorid: [u8; 16],
        68 => mc_brandid: [u8; 64],
        132 => mc_cpu_caps: [u32; 7],
        160 => mc_cache_size: u32,
        164 => mc_cache_alignment: u32,
        168 => mc_nmsrvals: i32,
        172 => _hole0: [u8; 4] as "",
        176 => mc_msrvalues: [McinfoMsr; 8],
    }

    /// `struct xen_mc_fetch`: the argument of [`McCmd::FETCH`].
    pub struct McFetch: "struct xen_mc_fetch", size 24 {
        0 => flags: u32,
        4 => _pad0: u32,
        8 => fetch_id: u64,
        16 => data: GuestHandle<McInfo>,
    }

    /// `struct xen_mc_notifydomain`: the argument of [`McCmd::NOTIFYDOMAIN`].
    pub struct McNotifydomain: "struct xen_mc_notifydomain", size 8 {
        0 => mc_domid: u16,
        2 => mc_vcpuid: u16,
        4 => flags: u32,
    }

    /// `struct xen_mc_physcpuinfo`: the argument of [`McCmd::PHYSCPUINFO`].
    pub struct McPhyscpuinfo: "struct xen_mc_physcpuinfo", size 16 {
        0 => ncpus: u32,
        4 => _pad0: u32,
        8 => info: GuestHandle<McinfoLogicalCpu>,
    }

    /// `struct xen_mc_msrinject`: the argument of [`McCmd::MSRINJECT`].
    pub struct McMsrinject: "struct xen_mc_msrinject", size 144 {
        0 => mcinj_cpunr: u32,
        4 => mcinj_flags: u32,
        8 => mcinj_count: u32,
        12 => mcinj_domid: DomId,
        14 => _pad0: u16,
        16 => mcinj_msr: [McinfoMsr; 8],
    }

    /// `struct xen_mc_mceinject`: the argument of [`McCmd::MCEINJECT`].
    pub struct McMceinject: "struct xen_mc_mceinject", size 4 {
        0 => mceinj_cpunr: u32,
    }

    /// `struct xen_mc_inject_v2`: the argument of [`McCmd::INJECT_V2`].
    pub struct McInjectV2: "struct xen_mc_inject_v2", size 24 {
        0 => flags: u32,
        4 => _hole0: [u8; 4] as "",
        8 => cpumap: crate::xen::XenctlBitmap,
    }

    /// `struct xen_mc`.
    pub struct McArg: "struct xen_mc", size 152 {
        0 => cmd: McCmd,
        4 => interface_version: u32,
        8 => u: McArgU,
    }
}

abi_unions! {
    /// Field `action_info` of [`McinfoRecovery`]: one of these, by what a field beside it says.
    pub union McinfoRecoveryActionInfo: "__typeof__(((struct mcinfo_recovery*)0)->action_info)", [u64; 2] {
        page_retire / set_page_retire: PageOfflineAction,
        cpu_offline / set_cpu_offline: CpuOfflineAction,
        pad / set_pad: [u8; 16],
    }

    /// Field `u` of [`McArg`]: one of these, by what a field beside it says.
    pub union McArgU: "__typeof__(((struct xen_mc*)0)->u)", [u64; 18] {
        mc_fetch / set_mc_fetch: McFetch,
        mc_notifydomain / set_mc_notifydomain: McNotifydomain,
        mc_physcpuinfo / set_mc_physcpuinfo: McPhyscpuinfo,
        mc_msrinject / set_mc_msrinject: McMsrinject,
        mc_mceinject / set_mc_mceinject: McMceinject,
        mc_inject_v2 / set_mc_inject_v2: McInjectV2,
    }
}
