//! Frequencies and CPU hot-plug.
//!
//! Xen public/sysctl.h.

use crate::GuestHandle;
use crate::macros::{abi_structs, abi_unions};

abi_structs! {
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

    /// `struct xen_sysctl_get_pmstat`: the argument of [`SysctlCmd::GET_PMSTAT`](super::SysctlCmd::GET_PMSTAT).
    pub struct SysctlGetPmstat: "struct xen_sysctl_get_pmstat", size 64 {
        0 => r#type: u32 as "type",
        4 => cpuid: u32,
        8 => u: SysctlGetPmstatU,
    }

    /// `struct xen_sysctl_cpu_hotplug`: the argument of [`SysctlCmd::CPU_HOTPLUG`](super::SysctlCmd::CPU_HOTPLUG).
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

    /// `struct xen_sysctl_pm_op`: the argument of [`SysctlCmd::PM_OP`](super::SysctlCmd::PM_OP).
    pub struct SysctlPmOp: "struct xen_sysctl_pm_op", size 128 {
        0 => cmd: u32,
        4 => cpuid: u32,
        8 => u: SysctlPmOpU,
    }
}

abi_unions! {
    /// Field `u` of [`SysctlGetPmstat`]: one of these, by what a field beside it says.
    pub union SysctlGetPmstatU: "__typeof__(((struct xen_sysctl_get_pmstat*)0)->u)", [u64; 7] {
        getpx / set_getpx: PmPxStat,
        getcx / set_getcx: PmCxStat,
    }

    /// Field `u` of [`GetCpufreqPara`]: one of these, by what a field beside it says.
    pub union GetCpufreqParaU: "__typeof__(((struct xen_get_cpufreq_para*)0)->u)", [u32; 4] {
        userspace / set_userspace: Userspace,
        ondemand / set_ondemand: Ondemand,
    }

    /// Field `u` of [`SysctlPmOp`]: one of these, by what a field beside it says.
    pub union SysctlPmOpU: "__typeof__(((struct xen_sysctl_pm_op*)0)->u)", [u64; 15] {
        get_para / set_get_para: GetCpufreqPara,
        set_gov / set_set_gov: SetCpufreqGov,
        set_para / set_set_para: SetCpufreqPara,
        get_avgfreq / set_get_avgfreq: u64,
        set_sched_opt_smt / set_set_sched_opt_smt: u32,
        get_max_cstate / set_get_max_cstate: u32,
        set_max_cstate / set_set_max_cstate: u32,
    }
}
