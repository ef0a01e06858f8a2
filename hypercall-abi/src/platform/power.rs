//! Power management.
//!
//! Xen public/platform.h.

use crate::GuestHandle;
use crate::macros::{abi_structs, abi_unions};

abi_structs! {
    /// `struct xenpf_enter_acpi_sleep`: the argument of [`PlatformOp::ENTER_ACPI_SLEEP`](super::PlatformOp::ENTER_ACPI_SLEEP).
    pub struct XenpfEnterAcpiSleep: "struct xenpf_enter_acpi_sleep", size 12 {
        0 => val_a: u16,
        2 => val_b: u16,
        4 => sleep_state: u32,
        8 => flags: u32,
    }

    /// `struct xenpf_change_freq`: the argument of [`PlatformOp::CHANGE_FREQ`](super::PlatformOp::CHANGE_FREQ).
    pub struct XenpfChangeFreq: "struct xenpf_change_freq", size 16 {
        0 => flags: u32,
        4 => cpu: u32,
        8 => freq: u64,
    }

    /// `struct xenpf_getidletime`: the argument of [`PlatformOp::GETIDLETIME`](super::PlatformOp::GETIDLETIME).
    pub struct XenpfGetidletime: "struct xenpf_getidletime", size 32 {
        0 => cpumap_bitmap: GuestHandle<u8>,
        8 => cpumap_nr_cpus: u32,
        12 => _hole0: [u8; 4] as "",
        16 => idletime: GuestHandle<u64>,
        24 => now: u64,
    }

    /// `struct xen_power_register`.
    pub struct PowerRegister: "struct xen_power_register", size 24 {
        0 => space_id: u32,
        4 => bit_width: u32,
        8 => bit_offset: u32,
        12 => access_size: u32,
        16 => address: u64,
    }

    /// `struct xen_processor_csd`.
    pub struct ProcessorCsd: "struct xen_processor_csd", size 12 {
        0 => domain: u32,
        4 => coord_type: u32,
        8 => num: u32,
    }

    /// `struct xen_processor_cx`.
    pub struct ProcessorCx: "struct xen_processor_cx", size 48 {
        0 => reg: PowerRegister,
        24 => r#type: u8 as "type",
        25 => _hole0: [u8; 3] as "",
        28 => latency: u32,
        32 => power: u32,
        36 => dpcnt: u32,
        40 => dp: GuestHandle<ProcessorCsd>,
    }

    /// `struct xen_processor_flags`.
    pub struct ProcessorFlags: "struct xen_processor_flags", size 4 {
        0 => bits0: u32 as "",
    }

    /// `struct xen_processor_power`.
    pub struct ProcessorPower: "struct xen_processor_power", size 16 {
        0 => count: u32,
        4 => flags: ProcessorFlags,
        8 => states: GuestHandle<ProcessorCx>,
    }

    /// `struct xen_pct_register`.
    pub struct PctRegister: "struct xen_pct_register", size 16 {
        0 => descriptor: u8,
        1 => _hole0: [u8; 1] as "",
        2 => length: u16,
        4 => space_id: u8,
        5 => bit_width: u8,
        6 => bit_offset: u8,
        7 => reserved: u8,
        8 => address: u64,
    }

    /// `struct xen_processor_px`.
    pub struct ProcessorPx: "struct xen_processor_px", size 48 {
        0 => core_frequency: u64,
        8 => power: u64,
        16 => transition_latency: u64,
        24 => bus_master_latency: u64,
        32 => control: u64,
        40 => status: u64,
    }

    /// `struct xen_psd_package`.
    pub struct PsdPackage: "struct xen_psd_package", size 40 {
        0 => num_entries: u64,
        8 => revision: u64,
        16 => domain: u64,
        24 => coord_type: u64,
        32 => num_processors: u64,
    }

    /// `struct xen_processor_performance`.
    pub struct ProcessorPerformance: "struct xen_processor_performance", size 104 {
        0 => flags: u32,
        4 => platform_limit: u32,
        8 => control_register: PctRegister,
        24 => status_register: PctRegister,
        40 => state_count: u32,
        44 => _hole0: [u8; 4] as "",
        48 => states: GuestHandle<ProcessorPx>,
        56 => domain_info: PsdPackage,
        96 => shared_type: u32,
        100 => _hole1: [u8; 4] as "",
    }

    /// `struct xenpf_set_processor_pminfo`: the argument of [`PlatformOp::SET_PROCESSOR_PMINFO`](super::PlatformOp::SET_PROCESSOR_PMINFO).
    pub struct XenpfSetProcessorPminfo: "struct xenpf_set_processor_pminfo", size 112 {
        0 => id: u32,
        4 => r#type: u32 as "type",
        8 => u: XenpfSetProcessorPminfoU,
    }

    /// `struct xenpf_pcpuinfo`.
    pub struct XenpfPcpuinfo: "struct xenpf_pcpuinfo", size 20 {
        0 => xen_cpuid: u32,
        4 => max_present: u32,
        8 => flags: u32,
        12 => apic_id: u32,
        16 => acpi_id: u32,
    }

    /// `struct xenpf_pcpu_version`.
    pub struct XenpfPcpuVersion: "struct xenpf_pcpu_version", size 32 {
        0 => xen_cpuid: u32,
        4 => max_present: u32,
        8 => vendor_id: [u8; 12],
        20 => family: u32,
        24 => model: u32,
        28 => stepping: u32,
    }

    /// `struct xenpf_cpu_ol`.
    pub struct XenpfCpuOl: "struct xenpf_cpu_ol", size 4 {
        0 => cpuid: u32,
    }

    /// `struct xenpf_cpu_hotadd`: the argument of [`PlatformOp::CPU_HOTADD`](super::PlatformOp::CPU_HOTADD).
    pub struct XenpfCpuHotadd: "struct xenpf_cpu_hotadd", size 12 {
        0 => apic_id: u32,
        4 => acpi_id: u32,
        8 => pxm: u32,
    }

    /// `struct xenpf_core_parking`: the argument of [`PlatformOp::CORE_PARKING`](super::PlatformOp::CORE_PARKING).
    pub struct XenpfCoreParking: "struct xenpf_core_parking", size 8 {
        0 => r#type: u32 as "type",
        4 => idle_nums: u32,
    }
}

abi_unions! {
    /// Field `u` of [`XenpfSetProcessorPminfo`]: one of these, by what a field beside it says.
    pub union XenpfSetProcessorPminfoU: "__typeof__(((struct xenpf_set_processor_pminfo*)0)->u)", [u64; 13] {
        power / set_power: ProcessorPower,
        perf / set_perf: ProcessorPerformance,
        pdc / set_pdc: GuestHandle<u32>,
    }
}
