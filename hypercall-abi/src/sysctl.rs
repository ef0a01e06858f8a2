//! Control of the machine, for the tools. Layouts of interface version 0x15 (Xen 4.17).
//!
//! Xen public/sysctl.h.

pub(crate) mod debug;
pub(crate) mod livepatch;
pub(crate) mod power;
pub(crate) mod sched;
pub use debug::*;
pub use livepatch::*;
pub use power::*;
pub use sched::*;

use crate::GuestHandle;
use crate::macros::{abi_consts, abi_structs, abi_unions, open_enums};
use crate::xen::DomId;

open_enums! {
    /// `XEN_SYSCTL_TBUFOP_*`.
    pub enum TbufOp(u32) "XEN_SYSCTL_TBUFOP_" {
        GET_INFO = 0;
        SET_CPU_MASK = 1;
        SET_EVT_MASK = 2;
        SET_SIZE = 3;
        ENABLE = 4;
        DISABLE = 5;
    }

    /// `XEN_SYSCTL_PERFCOP_*`.
    pub enum PerfcOp(u32) "XEN_SYSCTL_PERFCOP_" {
        RESET = 1;
        QUERY = 2;
    }

    /// `PMSTAT_*`.
    pub enum PmStat(u32) "PMSTAT_" {
        GET_MAX_PX = 0x11;
        GET_PXSTAT = 0x12;
        RESET_PXSTAT = 0x13;
        GET_MAX_CX = 0x21;
        GET_CXSTAT = 0x22;
        RESET_CXSTAT = 0x23;
    }

    /// `XEN_SYSCTL_CPU_HOTPLUG_*`.
    pub enum CpuHotplug(u32) "XEN_SYSCTL_CPU_HOTPLUG_" {
        ONLINE = 0;
        OFFLINE = 1;
        SMT_ENABLE = 2;
        SMT_DISABLE = 3;
    }

    /// `XEN_SYSCTL_pm_op_*`.
    pub enum PmOp(u32) "XEN_SYSCTL_pm_op_" {
        SET_SCHED_OPT_SMT = 0x21;
        GET_MAX_CSTATE = 0x22;
        SET_MAX_CSTATE = 0x23;
        SET_VCPU_MIGRATION_DELAY = 0x24;
        GET_VCPU_MIGRATION_DELAY = 0x25;
        ENABLE_TURBO = 0x26;
        DISABLE_TURBO = 0x27;
    }

    /// `XEN_SYSCTL_LOCKPROF_*`.
    pub enum LockprofOp(u32) "XEN_SYSCTL_LOCKPROF_" {
        RESET = 1;
        QUERY = 2;
    }

    /// Sub-commands of `SysctlCmd::CPUPOOL_OP`.
    pub enum CpupoolOp(u32) "XEN_SYSCTL_CPUPOOL_OP_" {
        CREATE = 1;
        DESTROY = 2;
        INFO = 3;
        ADDCPU = 4;
        RMCPU = 5;
        MOVEDOMAIN = 6;
        FREEINFO = 7;
    }

    /// Sub-commands of `SysctlCmd::SCHEDULER_OP`.
    pub enum SysctlSchedOp(u32) "XEN_SYSCTL_SCHEDOP_" {
        PUTINFO = 0;
        GETINFO = 1;
    }

    /// `XEN_SYSCTL_COVERAGE_*`.
    pub enum CoverageOp(u32) "XEN_SYSCTL_COVERAGE_" {
        GET_SIZE = 0;
        READ = 1;
        RESET = 2;
    }

    /// `XEN_SYSCTL_PSR_CMT_*`.
    pub enum SysctlPsrCmtCmd(u32) "XEN_SYSCTL_PSR_CMT_" {
        GET_TOTAL_RMID = 0;
        GET_L3_UPSCALING_FACTOR = 1;
        GET_L3_CACHE_SIZE = 2;
        ENABLED = 3;
        GET_L3_EVENT_MASK = 4;
    }

    /// `XEN_SYSCTL_PSR_get_*`.
    pub enum SysctlPsrCmd(u32) "XEN_SYSCTL_PSR_get_" {
        L3_INFO = 0;
        L2_INFO = 1;
        MBA_INFO = 2;
    }

    /// `XEN_SYSCTL_cpu_featureset_*`.
    pub enum CpuFeaturesetIndex(u32) "XEN_SYSCTL_cpu_featureset_" {
        RAW = 0;
        HOST = 1;
        PV = 2;
        HVM = 3;
        PV_MAX = 4;
        HVM_MAX = 5;
    }

    /// `XEN_SYSCTL_LIVEPATCH_*`.
    pub enum LivepatchOp(u32) "XEN_SYSCTL_LIVEPATCH_" {
        UPLOAD = 0;
        GET = 1;
        LIST = 2;
        ACTION = 3;
    }

    /// `XEN_SYSCTL_cpu_policy_*`.
    pub enum CpuPolicyIndex(u32) "XEN_SYSCTL_cpu_policy_" {
        RAW = 0;
        HOST = 1;
        PV_MAX = 2;
        HVM_MAX = 3;
        PV_DEFAULT = 4;
        HVM_DEFAULT = 5;
    }

    /// Commands of `sysctl`.
    pub enum SysctlCmd(u32) "XEN_SYSCTL_" {
        READCONSOLE = 1;
        TBUF_OP = 2;
        PHYSINFO = 3;
        SCHED_ID = 4;
        PERFC_OP = 5;
        GETDOMAININFOLIST = 6;
        DEBUG_KEYS = 7;
        GETCPUINFO = 8;
        AVAILHEAP = 9;
        GET_PMSTAT = 10;
        CPU_HOTPLUG = 11;
        PM_OP = 12;
        PAGE_OFFLINE_OP = 14;
        LOCKPROF_OP = 15;
        CPUTOPOINFO = 16;
        NUMAINFO = 17;
        CPUPOOL_OP = 18;
        SCHEDULER_OP = 19;
        COVERAGE_OP = 20;
        PSR_CMT_OP = 21;
        PCITOPOINFO = 22;
        PSR_ALLOC = 23;
        GET_CPU_LEVELLING_CAPS = 25;
        GET_CPU_FEATURESET = 26;
        LIVEPATCH_OP = 27;
        GET_CPU_POLICY = 29;
    }
}

abi_consts! {
    u32 {
        XEN_SYSCTL_INTERFACE_VERSION = 0x15;
        _XEN_SYSCTL_PHYSCAP_HVM = 0;
        XEN_SYSCTL_PHYSCAP_HVM = 1 << 0;
        _XEN_SYSCTL_PHYSCAP_PV = 1;
        XEN_SYSCTL_PHYSCAP_PV = 1 << 1;
        _XEN_SYSCTL_PHYSCAP_DIRECTIO = 2;
        XEN_SYSCTL_PHYSCAP_DIRECTIO = 1 << 2;
        _XEN_SYSCTL_PHYSCAP_HAP = 3;
        XEN_SYSCTL_PHYSCAP_HAP = 1 << 3;
        _XEN_SYSCTL_PHYSCAP_SHADOW = 4;
        XEN_SYSCTL_PHYSCAP_SHADOW = 1 << 4;
        _XEN_SYSCTL_PHYSCAP_IOMMU_HAP_PT_SHARE = 5;
        XEN_SYSCTL_PHYSCAP_IOMMU_HAP_PT_SHARE = 1 << 5;
        XEN_SYSCTL_PHYSCAP_VMTRACE = 1 << 6;
        XEN_SYSCTL_PHYSCAP_VPMU = 1 << 7;
        XEN_SYSCTL_PHYSCAP_GNTTAB_V1 = 1 << 8;
        XEN_SYSCTL_PHYSCAP_GNTTAB_V2 = 1 << 9;
        XEN_SYSCTL_PHYSCAP_MAX = 512;
        PMSTAT_CATEGORY_MASK = 0xf0;
        PMSTAT_PX = 0x10;
        PMSTAT_CX = 0x20;
        CPUFREQ_NAME_LEN = 16;
        SCALING_MAX_FREQ = 1;
        SCALING_MIN_FREQ = 2;
        SCALING_SETSPEED = 3;
        SAMPLING_RATE = 4;
        UP_THRESHOLD = 5;
        PM_PARA_CATEGORY_MASK = 0xf0;
        CPUFREQ_PARA = 0x10;
        GET_CPUFREQ_PARA = 0x11;
        SET_CPUFREQ_GOV = 0x12;
        SET_CPUFREQ_PARA = 0x13;
        GET_CPUFREQ_AVGFREQ = 0x14;
        XEN_SYSCTL_CX_UNLIMITED = 0xffffffff;
        SYSCTL_PAGE_OFFLINE = 1;
        SYSCTL_PAGE_ONLINE = 2;
        SYSCTL_QUERY_PAGE_OFFLINE = 3;
        PG_OFFLINE_STATUS_MASK = 0xff;
        PG_OFFLINE_INVALID = 1 << 0;
        PG_OFFLINE_OFFLINED = 1 << 1;
        PG_OFFLINE_PENDING = 1 << 2;
        PG_OFFLINE_FAILED = 1 << 3;
        PG_OFFLINE_AGAIN = 1 << 4;
        PG_ONLINE_FAILED = 8;
        PG_ONLINE_ONLINED = 2;
        PG_OFFLINE_STATUS_OFFLINED = 1 << 1;
        PG_OFFLINE_STATUS_ONLINE = 1 << 2;
        PG_OFFLINE_STATUS_OFFLINE_PENDING = 1 << 3;
        PG_OFFLINE_STATUS_BROKEN = 1 << 4;
        PG_OFFLINE_MISC_MASK = 0xff0;
        PG_OFFLINE_XENPAGE = 1 << 8;
        PG_OFFLINE_DOM0PAGE = 1 << 9;
        PG_OFFLINE_ANONYMOUS = 1 << 10;
        PG_OFFLINE_NOT_CONV_RAM = 1 << 11;
        PG_OFFLINE_OWNED = 1 << 12;
        PG_OFFLINE_BROKEN = 1 << 13;
        PG_ONLINE_BROKEN = 0x2000;
        PG_OFFLINE_OWNER_SHIFT = 16;
        LOCKPROF_TYPE_GLOBAL = 0;
        LOCKPROF_TYPE_PERDOM = 1;
        LOCKPROF_TYPE_N = 2;
        XEN_INVALID_CORE_ID = 0xffffffff;
        XEN_INVALID_SOCKET_ID = 0xffffffff;
        XEN_INVALID_NODE_ID = 0xffffffff;
        XEN_INVALID_MEM_SZ = 0xffffffff;
        XEN_INVALID_NODE_DIST = 0xffffffff;
        XEN_SYSCTL_CPUPOOL_PAR_ANY = 0xffffffff;
        ARINC653_MAX_DOMAINS_PER_SCHEDULE = 64;
        XEN_SYSCTL_SCHED_RATELIMIT_MAX = 0x7a120;
        XEN_SYSCTL_SCHED_RATELIMIT_MIN = 100;
        XEN_SYSCTL_CSCHED_TSLICE_MAX = 1000;
        XEN_SYSCTL_CSCHED_TSLICE_MIN = 1;
        XEN_SYSCTL_CSCHED_MGR_DLY_MAX_US = 0x186a0;
        XEN_GCOV_FORMAT_MAGIC = 0x58434f56;
        XEN_INVALID_DEV = 0xfffffffe;
        XEN_SYSCTL_PSR_CAT_L3_CDP = 1 << 0;
        XEN_SYSCTL_PSR_MBA_LINEAR = 1 << 0;
        XEN_SYSCTL_CPU_LEVELCAP_FAULTING = 1 << 0;
        XEN_SYSCTL_CPU_LEVELCAP_ECX = 1 << 1;
        XEN_SYSCTL_CPU_LEVELCAP_EDX = 1 << 2;
        XEN_SYSCTL_CPU_LEVELCAP_EXTD_ECX = 1 << 3;
        XEN_SYSCTL_CPU_LEVELCAP_EXTD_EDX = 1 << 4;
        XEN_SYSCTL_CPU_LEVELCAP_XSAVE_EAX = 1 << 5;
        XEN_SYSCTL_CPU_LEVELCAP_THERMAL_ECX = 1 << 6;
        XEN_SYSCTL_CPU_LEVELCAP_L7S0_EAX = 1 << 7;
        XEN_SYSCTL_CPU_LEVELCAP_L7S0_EBX = 1 << 8;
        LIVEPATCH_PAYLOAD_VERSION = 2;
        XEN_LIVEPATCH_NAME_SIZE = 128;
        LIVEPATCH_STATE_CHECKED = 1;
        LIVEPATCH_STATE_APPLIED = 2;
        LIVEPATCH_ACTION_UNLOAD = 1;
        LIVEPATCH_ACTION_REVERT = 2;
        LIVEPATCH_ACTION_APPLY = 3;
        LIVEPATCH_ACTION_REPLACE = 4;
        LIVEPATCH_ACTION_APPLY_NODEPS = 1 << 0;
    }
}

abi_structs! {
    /// `struct xen_sysctl_physinfo`: the argument of [`SysctlCmd::PHYSINFO`].
    pub struct SysctlPhysinfo: "struct xen_sysctl_physinfo", size 112 {
        0 => threads_per_core: u32,
        4 => cores_per_socket: u32,
        8 => nr_cpus: u32,
        12 => max_cpu_id: u32,
        16 => nr_nodes: u32,
        20 => max_node_id: u32,
        24 => cpu_khz: u32,
        28 => capabilities: u32,
        32 => arch_capabilities: u32,
        36 => pad: u32,
        40 => total_pages: u64,
        48 => free_pages: u64,
        56 => scrub_pages: u64,
        64 => outstanding_pages: u64,
        72 => max_mfn: u64,
        80 => hw_cap: [u32; 8],
    }

    /// `struct xen_sysctl_getdomaininfolist`: the argument of [`SysctlCmd::GETDOMAININFOLIST`].
    pub struct SysctlGetdomaininfolist: "struct xen_sysctl_getdomaininfolist", size 24 {
        0 => first_domain: DomId,
        2 => _hole0: [u8; 2] as "",
        4 => max_domains: u32,
        8 => buffer: GuestHandle<crate::domctl::DomctlGetdomaininfo>,
        16 => num_domains: u32,
        20 => _hole1: [u8; 4] as "",
    }

    /// `struct xen_sysctl_cpuinfo`.
    pub struct SysctlCpuinfo: "struct xen_sysctl_cpuinfo", size 8 {
        0 => idletime: u64,
    }

    /// `struct xen_sysctl_getcpuinfo`: the argument of [`SysctlCmd::GETCPUINFO`].
    pub struct SysctlGetcpuinfo: "struct xen_sysctl_getcpuinfo", size 24 {
        0 => max_cpus: u32,
        4 => _hole0: [u8; 4] as "",
        8 => info: GuestHandle<SysctlCpuinfo>,
        16 => nr_cpus: u32,
        20 => _hole1: [u8; 4] as "",
    }

    /// `struct xen_sysctl_availheap`: the argument of [`SysctlCmd::AVAILHEAP`].
    pub struct SysctlAvailheap: "struct xen_sysctl_availheap", size 24 {
        0 => min_bitwidth: u32,
        4 => max_bitwidth: u32,
        8 => node: i32,
        12 => _hole0: [u8; 4] as "",
        16 => avail_bytes: u64,
    }

    /// `struct xen_sysctl_cputopo`.
    pub struct SysctlCputopo: "struct xen_sysctl_cputopo", size 12 {
        0 => core: u32,
        4 => socket: u32,
        8 => node: u32,
    }

    /// `struct xen_sysctl_cputopoinfo`: the argument of [`SysctlCmd::CPUTOPOINFO`].
    pub struct SysctlCputopoinfo: "struct xen_sysctl_cputopoinfo", size 16 {
        0 => num_cpus: u32,
        4 => _hole0: [u8; 4] as "",
        8 => cputopo: GuestHandle<SysctlCputopo>,
    }

    /// `struct xen_sysctl_meminfo`.
    pub struct SysctlMeminfo: "struct xen_sysctl_meminfo", size 16 {
        0 => memsize: u64,
        8 => memfree: u64,
    }

    /// `struct xen_sysctl_numainfo`: the argument of [`SysctlCmd::NUMAINFO`].
    pub struct SysctlNumainfo: "struct xen_sysctl_numainfo", size 24 {
        0 => num_nodes: u32,
        4 => _hole0: [u8; 4] as "",
        8 => meminfo: GuestHandle<SysctlMeminfo>,
        16 => distance: GuestHandle<u32>,
    }

    /// `struct xen_sysctl_pcitopoinfo`: the argument of [`SysctlCmd::PCITOPOINFO`].
    pub struct SysctlPcitopoinfo: "struct xen_sysctl_pcitopoinfo", size 24 {
        0 => num_devs: u32,
        4 => _hole0: [u8; 4] as "",
        8 => devs: GuestHandle<crate::physdev::PhysdevPciDevice>,
        16 => nodes: GuestHandle<u32>,
    }

    /// `struct xen_sysctl_cpu_levelling_caps`.
    pub struct SysctlCpuLevellingCaps: "struct xen_sysctl_cpu_levelling_caps", size 4 {
        0 => caps: u32,
    }

    /// `struct xen_sysctl_cpu_featureset`.
    pub struct SysctlCpuFeatureset: "struct xen_sysctl_cpu_featureset", size 16 {
        0 => index: u32,
        4 => nr_features: u32,
        8 => features: GuestHandle<u32>,
    }

    /// `struct xen_sysctl_cpu_policy`.
    pub struct SysctlCpuPolicy: "struct xen_sysctl_cpu_policy", size 32 {
        0 => index: u32,
        4 => nr_leaves: u32,
        8 => nr_msrs: u32,
        12 => _rsvd: u32,
        16 => leaves: GuestHandle<crate::arch_x86::CpuidLeaf>,
        24 => msrs: GuestHandle<crate::arch_x86::MsrEntry>,
    }

    /// `struct xen_sysctl`.
    pub struct Sysctl: "struct xen_sysctl", size 136 {
        0 => cmd: SysctlCmd,
        4 => interface_version: InterfaceVersion,
        8 => u: SysctlU,
    }
}

abi_unions! {
    /// Field `u` of [`Sysctl`]: one of these, by what a field beside it says.
    pub union SysctlU: "__typeof__(((struct xen_sysctl*)0)->u)", [u64; 16] {
        readconsole / set_readconsole: SysctlReadconsole,
        tbuf_op / set_tbuf_op: SysctlTbufOp,
        physinfo / set_physinfo: SysctlPhysinfo,
        cputopoinfo / set_cputopoinfo: SysctlCputopoinfo,
        pcitopoinfo / set_pcitopoinfo: SysctlPcitopoinfo,
        numainfo / set_numainfo: SysctlNumainfo,
        sched_id / set_sched_id: SysctlSchedId,
        perfc_op / set_perfc_op: SysctlPerfcOp,
        getdomaininfolist / set_getdomaininfolist: SysctlGetdomaininfolist,
        debug_keys / set_debug_keys: SysctlDebugKeys,
        getcpuinfo / set_getcpuinfo: SysctlGetcpuinfo,
        availheap / set_availheap: SysctlAvailheap,
        get_pmstat / set_get_pmstat: SysctlGetPmstat,
        cpu_hotplug / set_cpu_hotplug: SysctlCpuHotplug,
        pm_op / set_pm_op: SysctlPmOp,
        page_offline / set_page_offline: SysctlPageOfflineOp,
        lockprof_op / set_lockprof_op: SysctlLockprofOp,
        cpupool_op / set_cpupool_op: SysctlCpupoolOp,
        scheduler_op / set_scheduler_op: SysctlSchedulerOp,
        coverage_op / set_coverage_op: SysctlCoverageOp,
        psr_cmt_op / set_psr_cmt_op: SysctlPsrCmtOp,
        psr_alloc / set_psr_alloc: SysctlPsrAlloc,
        cpu_levelling_caps / set_cpu_levelling_caps: SysctlCpuLevellingCaps,
        cpu_featureset / set_cpu_featureset: SysctlCpuFeatureset,
        livepatch / set_livepatch: SysctlLivepatchOp,
        cpu_policy / set_cpu_policy: SysctlCpuPolicy,
        pad / set_pad: [u8; 128],
    }
}

/// A version of this interface, as the caller names it in [`Sysctl::interface_version`].
/// Which are spoken: [`crate::versions`].
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
)]
#[repr(transparent)]
pub struct InterfaceVersion(pub u32);

impl InterfaceVersion {
    /// The version whose layouts this module has.
    pub const CANONICAL: Self = Self(XEN_SYSCTL_INTERFACE_VERSION);
}
