//! Performance counters of guests.
//!
//! Xen public/arch-x86/pmu.h, public/pmu.h.

use crate::macros::{abi_consts, abi_structs, abi_unions, open_enums};
use crate::xen::DomId;

open_enums! {
    /// `XENPMU_*`.
    pub enum PmuOp(u32) "XENPMU_" {
        MODE_GET = 0;
        MODE_SET = 1;
        FEATURE_GET = 2;
        FEATURE_SET = 3;
        INIT = 4;
        FINISH = 5;
        LVTPC_SET = 6;
        FLUSH = 7;
    }
}

abi_consts! {
    u32 {
        PMU_CACHED = 1 << 0;
        PMU_SAMPLE_USER = 1 << 1;
        PMU_SAMPLE_REAL = 1 << 2;
        PMU_SAMPLE_PV = 1 << 3;
        XENPMU_REGS_PAD_SZ = 64;
        XENPMU_CTXT_PAD_SZ = 128;
        XENPMU_VER_MAJ = 0;
        XENPMU_VER_MIN = 1;
        XENPMU_MODE_OFF = 0;
        XENPMU_MODE_SELF = 1 << 0;
        XENPMU_MODE_HV = 1 << 1;
        XENPMU_MODE_ALL = 1 << 2;
        XENPMU_FEATURE_INTEL_BTS = 1 << 0;
        XENPMU_FEATURE_IPC_ONLY = 1 << 1;
        XENPMU_FEATURE_ARCH_ONLY = 1 << 2;
    }
}

abi_structs! {
    /// `struct xen_pmu_amd_ctxt`.
    pub struct PmuAmdCtxt: "struct xen_pmu_amd_ctxt", size 8 {
        0 => counters: u32,
        4 => ctrls: u32,
    }

    /// `struct xen_pmu_cntr_pair`.
    pub struct PmuCntrPair: "struct xen_pmu_cntr_pair", size 16 {
        0 => counter: u64,
        8 => control: u64,
    }

    /// `struct xen_pmu_intel_ctxt`.
    pub struct PmuIntelCtxt: "struct xen_pmu_intel_ctxt", size 64 {
        0 => fixed_counters: u32,
        4 => arch_counters: u32,
        8 => global_ctrl: u64,
        16 => global_ovf_ctrl: u64,
        24 => global_status: u64,
        32 => fixed_ctrl: u64,
        40 => ds_area: u64,
        48 => pebs_enable: u64,
        56 => debugctl: u64,
    }

    /// `struct xen_pmu_regs`.
    pub struct PmuRegs: "struct xen_pmu_regs", size 32 {
        0 => ip: u64,
        8 => sp: u64,
        16 => flags: u64,
        24 => cs: u16,
        26 => ss: u16,
        28 => cpl: u8,
        29 => pad: [u8; 3],
    }

    /// `struct xen_pmu_arch`.
    pub struct PmuArch: "struct xen_pmu_arch", size 208 {
        0 => r: PmuArchRegs,
        64 => pmu_flags: u64,
        72 => lapic: PmuArchLapic as "l",
        80 => c: PmuArchContext,
    }

    /// Member `version` of [`PmuParams`].
    pub struct PmuParamsVersion: "__typeof__(((struct xen_pmu_params*)0)->version)", size 8 {
        0 => maj: u32,
        4 => min: u32,
    }

    /// `struct xen_pmu_params`.
    pub struct PmuParams: "struct xen_pmu_params", size 24 {
        0 => version: PmuParamsVersion,
        8 => val: u64,
        16 => vcpu: u32,
        20 => pad: u32,
    }

    /// `struct xen_pmu_data`.
    pub struct PmuData: "struct xen_pmu_data", size 224 {
        0 => vcpu_id: u32,
        4 => pcpu_id: u32,
        8 => domain_id: DomId,
        10 => pad: [u8; 6],
        16 => pmu: PmuArch,
    }
}

abi_unions! {
    /// Field `r` of [`PmuArch`]: one of these, by what a field beside it says.
    pub union PmuArchRegs: "__typeof__(((struct xen_pmu_arch*)0)->r)", [u64; 8] {
        regs / set_regs: PmuRegs,
        pad / set_pad: [u8; 64],
    }

    /// Field `l` of [`PmuArch`]: one of these, by what a field beside it says.
    pub union PmuArchLapic: "__typeof__(((struct xen_pmu_arch*)0)->l)", [u64; 1] {
        lapic_lvtpc / set_lapic_lvtpc: u32,
        pad / set_pad: u64,
    }

    /// Field `c` of [`PmuArch`]: one of these, by what a field beside it says.
    pub union PmuArchContext: "__typeof__(((struct xen_pmu_arch*)0)->c)", [u64; 16] {
        amd / set_amd: PmuAmdCtxt,
        intel / set_intel: PmuIntelCtxt,
        pad / set_pad: [u8; 128],
    }
}
