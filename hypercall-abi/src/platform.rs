//! Machine control, for dom0.
//!
//! Xen public/platform.h.

pub(crate) mod firmware;
pub(crate) mod power;
pub use firmware::*;
pub use power::*;

use crate::GuestHandle;
use crate::macros::{abi_consts, abi_structs, abi_unions, open_enums};

open_enums! {
    /// Commands of `platform_op`.
    pub enum PlatformOp(u32) "XENPF_" {
        SETTIME32 = 17;
        SETTIME64 = 62;
        SETTIME = 62;
        ADD_MEMTYPE = 31;
        DEL_MEMTYPE = 32;
        READ_MEMTYPE = 33;
        MICROCODE_UPDATE = 35;
        PLATFORM_QUIRK = 39;
        EFI_RUNTIME_CALL = 49;
        FIRMWARE_INFO = 50;
        ENTER_ACPI_SLEEP = 51;
        CHANGE_FREQ = 52;
        GETIDLETIME = 53;
        SET_PROCESSOR_PMINFO = 54;
        GET_CPUINFO = 55;
        GET_CPU_VERSION = 48;
        CPU_ONLINE = 56;
        CPU_OFFLINE = 57;
        CPU_HOTADD = 58;
        MEM_HOTADD = 59;
        CORE_PARKING = 60;
        RESOURCE_OP = 61;
        GET_SYMBOL = 63;
    }

    /// EFI runtime services that dom0 calls.
    pub enum EfiRuntimeCall(u32) "XEN_EFI_" {
        GET_TIME = 1;
        SET_TIME = 2;
        GET_WAKEUP_TIME = 3;
        SET_WAKEUP_TIME = 4;
        GET_NEXT_HIGH_MONOTONIC_COUNT = 5;
        GET_VARIABLE = 6;
        SET_VARIABLE = 7;
        GET_NEXT_VARIABLE_NAME = 8;
        QUERY_VARIABLE_INFO = 9;
        QUERY_CAPSULE_CAPABILITIES = 10;
        UPDATE_CAPSULE = 11;
    }

    /// What `firmware_info` asks for.
    pub enum FirmwareInfoType(u32) "XEN_FW_" {
        DISK_INFO = 1;
        DISK_MBR_SIGNATURE = 2;
        VBEDDC_INFO = 3;
        EFI_INFO = 4;
        KBD_SHIFT_FLAGS = 5;
    }

    /// What `firmware_info` of type `EFI_INFO` asks for.
    pub enum FirmwareEfiIndex(u32) "XEN_FW_EFI_" {
        VERSION = 0;
        CONFIG_TABLE = 1;
        VENDOR = 2;
        MEM_INFO = 3;
        RT_VERSION = 4;
        PCI_ROM = 5;
        APPLE_PROPERTIES = 6;
    }

    /// Kinds of power-management data.
    pub enum PmClass(u32) "XEN_PM_" {
        CX = 0;
        PX = 1;
        TX = 2;
        PDC = 3;
    }

    /// Accesses to a CPU resource.
    pub enum ResourceOp(u32) "XEN_RESOURCE_OP_" {
        MSR_READ = 0;
        MSR_WRITE = 1;
    }
}

abi_consts! {
    u32 {
        XENPF_INTERFACE_VERSION = 0x3000001;
        QUIRK_NOIRQBALANCING = 1;
        QUIRK_IOAPIC_BAD_REGSEL = 2;
        QUIRK_IOAPIC_GOOD_REGSEL = 3;
        XEN_EFI_GET_TIME_SET_CLEARS_NS = 0x1;
        XEN_EFI_GET_WAKEUP_TIME_ENABLED = 0x1;
        XEN_EFI_GET_WAKEUP_TIME_PENDING = 0x2;
        XEN_EFI_SET_WAKEUP_TIME_ENABLE = 0x1;
        XEN_EFI_SET_WAKEUP_TIME_ENABLE_ONLY = 0x2;
        XEN_EFI_VARIABLE_NON_VOLATILE = 0x1;
        XEN_EFI_VARIABLE_BOOTSERVICE_ACCESS = 0x2;
        XEN_EFI_VARIABLE_RUNTIME_ACCESS = 0x4;
        XEN_EFI_VARINFO_BOOT_SNAPSHOT = 0x1;
        XENPF_ACPI_SLEEP_EXTENDED = 0x1;
        XEN_PROCESSOR_PM_CX = 1;
        XEN_PROCESSOR_PM_PX = 2;
        XEN_PROCESSOR_PM_TX = 4;
        XEN_PX_PCT = 1;
        XEN_PX_PSS = 2;
        XEN_PX_PPC = 4;
        XEN_PX_PSD = 8;
        XEN_CPUPERF_SHARED_TYPE_HW = 1;
        XEN_CPUPERF_SHARED_TYPE_ALL = 2;
        XEN_CPUPERF_SHARED_TYPE_ANY = 3;
        XEN_PCPU_FLAGS_ONLINE = 1;
        XEN_PCPU_FLAGS_INVALID = 2;
        XEN_CORE_PARKING_SET = 1;
        XEN_CORE_PARKING_GET = 2;
        PROCESSOR_FLAGS_BM_CONTROL_MASK = 0x1, as "({ struct xen_processor_flags x; memset(&x, 0, sizeof(x)); x.bm_control = ~0; *(uint32_t *)((char *)&x + 0); })";
        PROCESSOR_FLAGS_BM_CHECK_MASK = 0x2, as "({ struct xen_processor_flags x; memset(&x, 0, sizeof(x)); x.bm_check = ~0; *(uint32_t *)((char *)&x + 0); })";
        PROCESSOR_FLAGS_HAS_CST_MASK = 0x4, as "({ struct xen_processor_flags x; memset(&x, 0, sizeof(x)); x.has_cst = ~0; *(uint32_t *)((char *)&x + 0); })";
        PROCESSOR_FLAGS_POWER_SETUP_DONE_MASK = 0x8, as "({ struct xen_processor_flags x; memset(&x, 0, sizeof(x)); x.power_setup_done = ~0; *(uint32_t *)((char *)&x + 0); })";
        PROCESSOR_FLAGS_BM_RLD_SET_MASK = 0x10, as "({ struct xen_processor_flags x; memset(&x, 0, sizeof(x)); x.bm_rld_set = ~0; *(uint32_t *)((char *)&x + 0); })";
    }
}

abi_structs! {
    /// `struct xenpf_settime32`: the argument of [`PlatformOp::SETTIME32`].
    pub struct XenpfSettime32: "struct xenpf_settime32", size 16 {
        0 => secs: u32,
        4 => nsecs: u32,
        8 => system_time: u64,
    }

    /// `struct xenpf_settime64`: the argument of [`PlatformOp::SETTIME64`].
    pub struct XenpfSettime64: "struct xenpf_settime64", size 24 {
        0 => secs: u64,
        8 => nsecs: u32,
        12 => mbz: u32,
        16 => system_time: u64,
    }

    /// `struct xenpf_add_memtype`: the argument of [`PlatformOp::ADD_MEMTYPE`].
    pub struct XenpfAddMemtype: "struct xenpf_add_memtype", size 32 {
        0 => mfn: u64,
        8 => nr_mfns: u64,
        16 => r#type: u32 as "type",
        20 => handle: u32,
        24 => reg: u32,
        28 => _hole0: [u8; 4] as "",
    }

    /// `struct xenpf_del_memtype`: the argument of [`PlatformOp::DEL_MEMTYPE`].
    pub struct XenpfDelMemtype: "struct xenpf_del_memtype", size 8 {
        0 => handle: u32,
        4 => reg: u32,
    }

    /// `struct xenpf_read_memtype`: the argument of [`PlatformOp::READ_MEMTYPE`].
    pub struct XenpfReadMemtype: "struct xenpf_read_memtype", size 32 {
        0 => reg: u32,
        4 => _hole0: [u8; 4] as "",
        8 => mfn: u64,
        16 => nr_mfns: u64,
        24 => r#type: u32 as "type",
        28 => _hole1: [u8; 4] as "",
    }

    /// `struct xenpf_microcode_update`: the argument of [`PlatformOp::MICROCODE_UPDATE`].
    pub struct XenpfMicrocodeUpdate: "struct xenpf_microcode_update", size 16 {
        0 => data: GuestHandle<()>,
        8 => length: u32,
        12 => _hole0: [u8; 4] as "",
    }

    /// `struct xenpf_platform_quirk`: the argument of [`PlatformOp::PLATFORM_QUIRK`].
    pub struct XenpfPlatformQuirk: "struct xenpf_platform_quirk", size 4 {
        0 => quirk_id: u32,
    }

    /// `struct xenpf_mem_hotadd`: the argument of [`PlatformOp::MEM_HOTADD`].
    pub struct XenpfMemHotadd: "struct xenpf_mem_hotadd", size 24 {
        0 => spfn: u64,
        8 => epfn: u64,
        16 => pxm: u32,
        20 => flags: u32,
    }

    /// `struct xenpf_resource_entry`.
    pub struct XenpfResourceEntry: "struct xenpf_resource_entry", size 24 {
        0 => u: XenpfResourceEntryU,
        4 => rsvd: u32,
        8 => idx: u64,
        16 => val: u64,
    }

    /// `struct xenpf_resource_op`: the argument of [`PlatformOp::RESOURCE_OP`].
    pub struct XenpfResourceOp: "struct xenpf_resource_op", size 16 {
        0 => nr_entries: u32,
        4 => cpu: u32,
        8 => entries: GuestHandle<XenpfResourceEntry>,
    }

    /// `struct xenpf_symdata`.
    pub struct XenpfSymdata: "struct xenpf_symdata", size 32 {
        0 => namelen: u32,
        4 => symnum: u32,
        8 => name: GuestHandle<u8>,
        16 => address: u64,
        24 => r#type: u8 as "type",
        25 => _hole0: [u8; 7] as "",
    }

    /// `struct xen_platform_op`.
    pub struct PlatformOpArg: "struct xen_platform_op", size 136 {
        0 => cmd: PlatformOp,
        4 => interface_version: u32,
        8 => u: PlatformOpArgU,
    }
}

abi_unions! {
    /// Field `u` of [`XenpfResourceEntry`]: one of these, by what a field beside it says.
    pub union XenpfResourceEntryU: "__typeof__(((struct xenpf_resource_entry*)0)->u)", [u32; 1] {
        cmd / set_cmd: u32,
        ret / set_ret: i32,
    }

    /// Field `u` of [`PlatformOpArg`]: one of these, by what a field beside it says.
    pub union PlatformOpArgU: "__typeof__(((struct xen_platform_op*)0)->u)", [u64; 16] {
        settime / set_settime: XenpfSettime64,
        settime32 / set_settime32: XenpfSettime32,
        settime64 / set_settime64: XenpfSettime64,
        add_memtype / set_add_memtype: XenpfAddMemtype,
        del_memtype / set_del_memtype: XenpfDelMemtype,
        read_memtype / set_read_memtype: XenpfReadMemtype,
        microcode / set_microcode: XenpfMicrocodeUpdate,
        platform_quirk / set_platform_quirk: XenpfPlatformQuirk,
        efi_runtime_call / set_efi_runtime_call: XenpfEfiRuntimeCall,
        firmware_info / set_firmware_info: XenpfFirmwareInfo,
        enter_acpi_sleep / set_enter_acpi_sleep: XenpfEnterAcpiSleep,
        change_freq / set_change_freq: XenpfChangeFreq,
        getidletime / set_getidletime: XenpfGetidletime,
        set_pminfo / set_set_pminfo: XenpfSetProcessorPminfo,
        pcpu_info / set_pcpu_info: XenpfPcpuinfo,
        pcpu_version / set_pcpu_version: XenpfPcpuVersion,
        cpu_ol / set_cpu_ol: XenpfCpuOl,
        cpu_add / set_cpu_add: XenpfCpuHotadd,
        mem_add / set_mem_add: XenpfMemHotadd,
        core_parking / set_core_parking: XenpfCoreParking,
        resource_op / set_resource_op: XenpfResourceOp,
        symdata / set_symdata: XenpfSymdata,
        pad / set_pad: [u8; 128],
    }
}
