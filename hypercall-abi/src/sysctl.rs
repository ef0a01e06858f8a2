//! The interface of this header.
//!
//! Xen public/sysctl.h.

use crate::GuestHandle;
use crate::domctl::Scheduler;
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

    /// `XEN_SYSCTL_CPUPOOL_OP_*`.
    pub enum CpupoolOp(u32) "XEN_SYSCTL_CPUPOOL_OP_" {
        CREATE = 1;
        DESTROY = 2;
        INFO = 3;
        ADDCPU = 4;
        RMCPU = 5;
        MOVEDOMAIN = 6;
        FREEINFO = 7;
    }

    /// `XEN_SYSCTL_SCHEDOP_*`.
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

    /// `XEN_SYSCTL_*`.
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
    /// `struct xen_sysctl_readconsole`.
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

    /// `struct xen_sysctl_tbuf_op`.
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

    /// `struct xen_sysctl_physinfo`.
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

    /// `struct xen_sysctl_sched_id`.
    pub struct SysctlSchedId: "struct xen_sysctl_sched_id", size 4 {
        0 => sched_id: Scheduler,
    }

    /// `struct xen_sysctl_perfc_desc`.
    pub struct SysctlPerfcDesc: "struct xen_sysctl_perfc_desc", size 84 {
        0 => name: [u8; 80],
        80 => nr_vals: u32,
    }

    /// `struct xen_sysctl_perfc_op`.
    pub struct SysctlPerfcOp: "struct xen_sysctl_perfc_op", size 32 {
        0 => cmd: u32,
        4 => nr_counters: u32,
        8 => nr_vals: u32,
        12 => _hole0: [u8; 4] as "",
        16 => desc: GuestHandle<SysctlPerfcDesc>,
        24 => val: GuestHandle<u32>,
    }

    /// `struct xen_sysctl_getdomaininfolist`.
    pub struct SysctlGetdomaininfolist: "struct xen_sysctl_getdomaininfolist", size 24 {
        0 => first_domain: DomId,
        2 => _hole0: [u8; 2] as "",
        4 => max_domains: u32,
        8 => buffer: GuestHandle<crate::domctl::DomctlGetdomaininfo>,
        16 => num_domains: u32,
        20 => _hole1: [u8; 4] as "",
    }

    /// `struct xen_sysctl_debug_keys`.
    pub struct SysctlDebugKeys: "struct xen_sysctl_debug_keys", size 16 {
        0 => keys: GuestHandle<u8>,
        8 => nr_keys: u32,
        12 => _hole0: [u8; 4] as "",
    }

    /// `struct xen_sysctl_cpuinfo`.
    pub struct SysctlCpuinfo: "struct xen_sysctl_cpuinfo", size 8 {
        0 => idletime: u64,
    }

    /// `struct xen_sysctl_getcpuinfo`.
    pub struct SysctlGetcpuinfo: "struct xen_sysctl_getcpuinfo", size 24 {
        0 => max_cpus: u32,
        4 => _hole0: [u8; 4] as "",
        8 => info: GuestHandle<SysctlCpuinfo>,
        16 => nr_cpus: u32,
        20 => _hole1: [u8; 4] as "",
    }

    /// `struct xen_sysctl_availheap`.
    pub struct SysctlAvailheap: "struct xen_sysctl_availheap", size 24 {
        0 => min_bitwidth: u32,
        4 => max_bitwidth: u32,
        8 => node: i32,
        12 => _hole0: [u8; 4] as "",
        16 => avail_bytes: u64,
    }

    /// `struct pm_px_val`.
    pub struct PmPxVal: "struct pm_px_val", size 24 {
        0 => freq: u64,
        8 => residency: u64,
        16 => count: u64,
    }

    /// `struct pm_px_stat`.
    pub struct PmPxStat: "struct pm_px_stat", size 24 {
        0 => total: u8,
        1 => usable: u8,
        2 => last: u8,
        3 => cur: u8,
        4 => _hole0: [u8; 4] as "",
        8 => trans_pt: GuestHandle<u64>,
        16 => pt: GuestHandle<PmPxVal>,
    }

    /// `struct pm_cx_stat`.
    pub struct PmCxStat: "struct pm_cx_stat", size 56 {
        0 => nr: u32,
        4 => last: u32,
        8 => idle_time: u64,
        16 => triggers: GuestHandle<u64>,
        24 => residencies: GuestHandle<u64>,
        32 => nr_pc: u32,
        36 => nr_cc: u32,
        40 => pc: GuestHandle<u64>,
        48 => cc: GuestHandle<u64>,
    }

    /// `struct xen_sysctl_get_pmstat`.
    pub struct SysctlGetPmstat: "struct xen_sysctl_get_pmstat", size 64 {
        0 => r#type: u32 as "type",
        4 => cpuid: u32,
        8 => u: SysctlGetPmstatU,
    }

    /// `struct xen_sysctl_cpu_hotplug`.
    pub struct SysctlCpuHotplug: "struct xen_sysctl_cpu_hotplug", size 8 {
        0 => cpu: u32,
        4 => op: u32,
    }

    /// `struct xen_userspace`.
    pub struct Userspace: "struct xen_userspace", size 4 {
        0 => scaling_setspeed: u32,
    }

    /// `struct xen_ondemand`.
    pub struct Ondemand: "struct xen_ondemand", size 16 {
        0 => sampling_rate_max: u32,
        4 => sampling_rate_min: u32,
        8 => sampling_rate: u32,
        12 => up_threshold: u32,
    }

    /// `struct xen_get_cpufreq_para`.
    pub struct GetCpufreqPara: "struct xen_get_cpufreq_para", size 120 {
        0 => cpu_num: u32,
        4 => freq_num: u32,
        8 => gov_num: u32,
        12 => _hole0: [u8; 4] as "",
        16 => affected_cpus: GuestHandle<u32>,
        24 => scaling_available_frequencies: GuestHandle<u32>,
        32 => scaling_available_governors: GuestHandle<u8>,
        40 => scaling_driver: [u8; 16],
        56 => cpuinfo_cur_freq: u32,
        60 => cpuinfo_max_freq: u32,
        64 => cpuinfo_min_freq: u32,
        68 => scaling_cur_freq: u32,
        72 => scaling_governor: [u8; 16],
        88 => scaling_max_freq: u32,
        92 => scaling_min_freq: u32,
        96 => u: GetCpufreqParaU,
        112 => turbo_enabled: i32,
        116 => _hole1: [u8; 4] as "",
    }

    /// `struct xen_set_cpufreq_gov`.
    pub struct SetCpufreqGov: "struct xen_set_cpufreq_gov", size 16 {
        0 => scaling_governor: [u8; 16],
    }

    /// `struct xen_set_cpufreq_para`.
    pub struct SetCpufreqPara: "struct xen_set_cpufreq_para", size 8 {
        0 => ctrl_type: u32,
        4 => ctrl_value: u32,
    }

    /// `struct xen_sysctl_pm_op`.
    pub struct SysctlPmOp: "struct xen_sysctl_pm_op", size 128 {
        0 => cmd: u32,
        4 => cpuid: u32,
        8 => u: SysctlPmOpU,
    }

    /// `struct xen_sysctl_page_offline_op`.
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

    /// `struct xen_sysctl_lockprof_op`.
    pub struct SysctlLockprofOp: "struct xen_sysctl_lockprof_op", size 32 {
        0 => cmd: u32,
        4 => max_elem: u32,
        8 => nr_elem: u32,
        12 => _hole0: [u8; 4] as "",
        16 => time: u64,
        24 => data: GuestHandle<SysctlLockprofData>,
    }

    /// `struct xen_sysctl_cputopo`.
    pub struct SysctlCputopo: "struct xen_sysctl_cputopo", size 12 {
        0 => core: u32,
        4 => socket: u32,
        8 => node: u32,
    }

    /// `struct xen_sysctl_cputopoinfo`.
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

    /// `struct xen_sysctl_numainfo`.
    pub struct SysctlNumainfo: "struct xen_sysctl_numainfo", size 24 {
        0 => num_nodes: u32,
        4 => _hole0: [u8; 4] as "",
        8 => meminfo: GuestHandle<SysctlMeminfo>,
        16 => distance: GuestHandle<u32>,
    }

    /// `struct xen_sysctl_cpupool_op`.
    pub struct SysctlCpupoolOp: "struct xen_sysctl_cpupool_op", size 40 {
        0 => op: CpupoolOp,
        4 => cpupool_id: u32,
        8 => sched_id: u32,
        12 => domid: u32,
        16 => cpu: u32,
        20 => n_dom: u32,
        24 => cpumap: crate::xen::XenctlBitmap,
    }

    /// Unnamed in C.
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

    /// `struct xen_sysctl_scheduler_op`.
    pub struct SysctlSchedulerOp: "struct xen_sysctl_scheduler_op", size 32 {
        0 => cpupool_id: u32,
        4 => sched_id: Scheduler,
        8 => cmd: SysctlSchedOp,
        12 => _hole0: [u8; 4] as "",
        16 => u: SysctlSchedulerOpU,
    }

    /// `struct xen_sysctl_coverage_op`.
    pub struct SysctlCoverageOp: "struct xen_sysctl_coverage_op", size 16 {
        0 => cmd: u32,
        4 => size: u32,
        8 => buffer: GuestHandle<u8>,
    }

    /// Unnamed in C.
    pub struct SysctlPsrCmtOpUL3Cache: "__typeof__(((__typeof__(((struct xen_sysctl_psr_cmt_op*)0)->u)*)0)->l3_cache)", size 8 {
        0 => cpu: u32,
        4 => rsvd: u32,
    }

    /// `struct xen_sysctl_psr_cmt_op`.
    pub struct SysctlPsrCmtOp: "struct xen_sysctl_psr_cmt_op", size 16 {
        0 => cmd: u32,
        4 => flags: u32,
        8 => u: SysctlPsrCmtOpU,
    }

    /// `struct xen_sysctl_pcitopoinfo`.
    pub struct SysctlPcitopoinfo: "struct xen_sysctl_pcitopoinfo", size 24 {
        0 => num_devs: u32,
        4 => _hole0: [u8; 4] as "",
        8 => devs: GuestHandle<crate::physdev::PhysdevPciDevice>,
        16 => nodes: GuestHandle<u32>,
    }

    /// Unnamed in C.
    pub struct SysctlPsrAllocUCatInfo: "__typeof__(((__typeof__(((struct xen_sysctl_psr_alloc*)0)->u)*)0)->cat_info)", size 12 {
        0 => cbm_len: u32,
        4 => cos_max: u32,
        8 => flags: u32,
    }

    /// Unnamed in C.
    pub struct SysctlPsrAllocUMbaInfo: "__typeof__(((__typeof__(((struct xen_sysctl_psr_alloc*)0)->u)*)0)->mba_info)", size 12 {
        0 => thrtl_max: u32,
        4 => cos_max: u32,
        8 => flags: u32,
    }

    /// `struct xen_sysctl_psr_alloc`.
    pub struct SysctlPsrAlloc: "struct xen_sysctl_psr_alloc", size 20 {
        0 => cmd: u32,
        4 => target: u32,
        8 => u: SysctlPsrAllocU,
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

    /// `struct xen_sysctl_livepatch_op`.
    pub struct SysctlLivepatchOp: "struct xen_sysctl_livepatch_op", size 72 {
        0 => cmd: u32,
        4 => pad: u32,
        8 => u: SysctlLivepatchOpU,
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
        4 => interface_version: u32,
        8 => u: SysctlU,
    }

}

abi_unions! {
    /// Payload: which member holds is said by a field beside it.
    pub union SysctlGetPmstatU: "__typeof__(((struct xen_sysctl_get_pmstat*)0)->u)", [u64; 7] {
        getpx / set_getpx: PmPxStat,
        getcx / set_getcx: PmCxStat,
    }

    /// Payload: which member holds is said by a field beside it.
    pub union GetCpufreqParaU: "__typeof__(((struct xen_get_cpufreq_para*)0)->u)", [u32; 4] {
        userspace / set_userspace: Userspace,
        ondemand / set_ondemand: Ondemand,
    }

    /// Payload: which member holds is said by a field beside it.
    pub union SysctlPmOpU: "__typeof__(((struct xen_sysctl_pm_op*)0)->u)", [u64; 15] {
        get_para / set_get_para: GetCpufreqPara,
        set_gov / set_set_gov: SetCpufreqGov,
        set_para / set_set_para: SetCpufreqPara,
        get_avgfreq / set_get_avgfreq: u64,
        set_sched_opt_smt / set_set_sched_opt_smt: u32,
        get_max_cstate / set_get_max_cstate: u32,
        set_max_cstate / set_set_max_cstate: u32,
    }

    /// Payload: which member holds is said by a field beside it.
    pub union SysctlSchedulerOpU: "__typeof__(((struct xen_sysctl_scheduler_op*)0)->u)", [u64; 2] {
        sched_arinc653 / set_sched_arinc653: SysctlSchedArinc653,
        sched_credit / set_sched_credit: SysctlCreditSchedule,
        sched_credit2 / set_sched_credit2: SysctlCredit2Schedule,
    }

    /// Payload: which member holds is said by a field beside it.
    pub union SysctlPsrCmtOpU: "__typeof__(((struct xen_sysctl_psr_cmt_op*)0)->u)", [u64; 1] {
        data / set_data: u64,
        l3_cache / set_l3_cache: SysctlPsrCmtOpUL3Cache,
    }

    /// Payload: which member holds is said by a field beside it.
    pub union SysctlPsrAllocU: "__typeof__(((struct xen_sysctl_psr_alloc*)0)->u)", [u32; 3] {
        cat_info / set_cat_info: SysctlPsrAllocUCatInfo,
        mba_info / set_mba_info: SysctlPsrAllocUMbaInfo,
    }

    /// Payload: which member holds is said by a field beside it.
    pub union SysctlLivepatchOpU: "__typeof__(((struct xen_sysctl_livepatch_op*)0)->u)", [u64; 8] {
        upload / set_upload: SysctlLivepatchUpload,
        list / set_list: SysctlLivepatchList,
        get / set_get: SysctlLivepatchGet,
        action / set_action: SysctlLivepatchAction,
    }

    /// Payload: which member holds is said by a field beside it.
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
