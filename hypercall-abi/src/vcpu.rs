//! vCPU start and stop, run states, timers, registered areas.
//!
//! Xen public/vcpu.h.

use crate::GuestHandle;
use crate::macros::{abi_consts, abi_structs, abi_unions, open_enums};

open_enums! {
    /// Commands of `vcpu_op`.
    pub enum VcpuOp(u32) "VCPUOP_" {
        INITIALISE = 0;
        UP = 1;
        DOWN = 2;
        IS_UP = 3;
        GET_RUNSTATE_INFO = 4;
        REGISTER_RUNSTATE_MEMORY_AREA = 5;
        SET_PERIODIC_TIMER = 6;
        STOP_PERIODIC_TIMER = 7;
        SET_SINGLESHOT_TIMER = 8;
        STOP_SINGLESHOT_TIMER = 9;
        REGISTER_VCPU_INFO = 10;
        SEND_NMI = 11;
        GET_PHYSID = 12;
        REGISTER_VCPU_TIME_MEMORY_AREA = 13;
    }

    /// What a vCPU is doing.
    pub enum Runstate(u32) "RUNSTATE_" {
        RUNNING = 0;
        RUNNABLE = 1;
        BLOCKED = 2;
        OFFLINE = 3;
    }
}

abi_consts! {
    u64 {
        XEN_RUNSTATE_UPDATE = 1 << 63;
    }
    u32 {
        _VCPU_SSHOTTMR_FUTURE = 0;
        VCPU_SSHOTTMR_FUTURE = 1 << 0;
    }
}

abi_structs! {
    /// `struct vcpu_runstate_info`.
    pub struct VcpuRunstateInfo: "struct vcpu_runstate_info", size 48 {
        0 => state: Runstate,
        4 => _hole0: [u8; 4] as "",
        8 => state_entry_time: u64,
        16 => time: [u64; 4],
    }

    /// `struct vcpu_register_runstate_memory_area`: the argument of [`VcpuOp::REGISTER_RUNSTATE_MEMORY_AREA`].
    pub struct VcpuRegisterRunstateMemoryArea: "struct vcpu_register_runstate_memory_area", size 8 {
        0 => addr: VcpuRegisterRunstateMemoryAreaAddr,
    }

    /// `struct vcpu_set_periodic_timer`: the argument of [`VcpuOp::SET_PERIODIC_TIMER`].
    pub struct VcpuSetPeriodicTimer: "struct vcpu_set_periodic_timer", size 8 {
        0 => period_ns: u64,
    }

    /// `struct vcpu_set_singleshot_timer`: the argument of [`VcpuOp::SET_SINGLESHOT_TIMER`].
    pub struct VcpuSetSingleshotTimer: "struct vcpu_set_singleshot_timer", size 16 {
        0 => timeout_abs_ns: u64,
        8 => flags: u32,
        12 => _hole0: [u8; 4] as "",
    }

    /// `struct vcpu_register_vcpu_info`: the argument of [`VcpuOp::REGISTER_VCPU_INFO`].
    pub struct VcpuRegisterVcpuInfo: "struct vcpu_register_vcpu_info", size 16 {
        0 => mfn: u64,
        8 => offset: u32,
        12 => rsvd: u32,
    }

    /// `struct vcpu_get_physid`: the argument of [`VcpuOp::GET_PHYSID`].
    pub struct VcpuGetPhysid: "struct vcpu_get_physid", size 8 {
        0 => phys_id: u64,
    }

    /// `struct vcpu_register_time_memory_area`.
    pub struct VcpuRegisterTimeMemoryArea: "struct vcpu_register_time_memory_area", size 8 {
        0 => addr: VcpuRegisterTimeMemoryAreaAddr,
    }
}

abi_unions! {
    /// Field `addr` of [`VcpuRegisterRunstateMemoryArea`]: one of these, by what a field beside it says.
    pub union VcpuRegisterRunstateMemoryAreaAddr: "__typeof__(((struct vcpu_register_runstate_memory_area*)0)->addr)", [u64; 1] {
        h / set_h: GuestHandle<VcpuRunstateInfo>,
        v / set_v: u64,
        p / set_p: u64,
    }

    /// Field `addr` of [`VcpuRegisterTimeMemoryArea`]: one of these, by what a field beside it says.
    pub union VcpuRegisterTimeMemoryAreaAddr: "__typeof__(((struct vcpu_register_time_memory_area*)0)->addr)", [u64; 1] {
        h / set_h: GuestHandle<crate::xen::VcpuTimeInfo>,
        v / set_v: u64,
        p / set_p: u64,
    }
}
