//! The interface of this header.
//!
//! Xen public/platform.h.

use crate::GuestHandle;
use crate::macros::{abi_consts, abi_structs, abi_unions, open_enums};

open_enums! {
    /// `XENPF_*`.
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
        ACPI_SLEEP_EXTENDED = 0x1;
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

    /// `XEN_EFI_*`.
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

    /// `XEN_FW_*`.
    pub enum FirmwareInfoType(u32) "XEN_FW_" {
        DISK_INFO = 1;
        DISK_MBR_SIGNATURE = 2;
        VBEDDC_INFO = 3;
        KBD_SHIFT_FLAGS = 5;
    }

    /// `XEN_FW_EFI_*`.
    pub enum FirmwareEfiIndex(u32) "XEN_FW_EFI_" {
        INFO = 4;
        VERSION = 0;
        CONFIG_TABLE = 1;
        VENDOR = 2;
        MEM_INFO = 3;
        RT_VERSION = 4;
        PCI_ROM = 5;
        APPLE_PROPERTIES = 6;
    }

    /// `XEN_PM_*`.
    pub enum PmClass(u32) "XEN_PM_" {
        CX = 0;
        PX = 1;
        TX = 2;
        PDC = 3;
    }

    /// `XEN_RESOURCE_OP_*`.
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
    }
}

abi_structs! {
    /// `struct xenpf_settime32`.
    pub struct XenpfSettime32: "struct xenpf_settime32", size 16 {
        0 => secs: u32,
        4 => nsecs: u32,
        8 => system_time: u64,
    }

    /// `struct xenpf_settime64`.
    pub struct XenpfSettime64: "struct xenpf_settime64", size 24 {
        0 => secs: u64,
        8 => nsecs: u32,
        12 => mbz: u32,
        16 => system_time: u64,
    }

    /// `struct xenpf_add_memtype`.
    pub struct XenpfAddMemtype: "struct xenpf_add_memtype", size 32 {
        0 => mfn: u64,
        8 => nr_mfns: u64,
        16 => r#type: u32 as "type",
        20 => handle: u32,
        24 => reg: u32,
        28 => _hole0: [u8; 4] as "",
    }

    /// `struct xenpf_del_memtype`.
    pub struct XenpfDelMemtype: "struct xenpf_del_memtype", size 8 {
        0 => handle: u32,
        4 => reg: u32,
    }

    /// `struct xenpf_read_memtype`.
    pub struct XenpfReadMemtype: "struct xenpf_read_memtype", size 32 {
        0 => reg: u32,
        4 => _hole0: [u8; 4] as "",
        8 => mfn: u64,
        16 => nr_mfns: u64,
        24 => r#type: u32 as "type",
        28 => _hole1: [u8; 4] as "",
    }

    /// `struct xenpf_microcode_update`.
    pub struct XenpfMicrocodeUpdate: "struct xenpf_microcode_update", size 16 {
        0 => data: GuestHandle<()>,
        8 => length: u32,
        12 => _hole0: [u8; 4] as "",
    }

    /// `struct xenpf_platform_quirk`.
    pub struct XenpfPlatformQuirk: "struct xenpf_platform_quirk", size 4 {
        0 => quirk_id: u32,
    }

    /// `struct xenpf_efi_time`.
    pub struct XenpfEfiTime: "struct xenpf_efi_time", size 16 {
        0 => year: u16,
        2 => month: u8,
        3 => day: u8,
        4 => hour: u8,
        5 => min: u8,
        6 => sec: u8,
        7 => _hole0: [u8; 1] as "",
        8 => ns: u32,
        12 => tz: i16,
        14 => daylight: u8,
        15 => _hole1: [u8; 1] as "",
    }

    /// `struct xenpf_efi_guid`.
    pub struct XenpfEfiGuid: "struct xenpf_efi_guid", size 16 {
        0 => data1: u32,
        4 => data2: u16,
        6 => data3: u16,
        8 => data4: [u8; 8],
    }

    /// Unnamed in C.
    pub struct XenpfEfiRuntimeCallUGetTime: "__typeof__(((__typeof__(((struct xenpf_efi_runtime_call*)0)->u)*)0)->get_time)", size 24 {
        0 => time: XenpfEfiTime,
        16 => resolution: u32,
        20 => accuracy: u32,
    }

    /// Unnamed in C.
    pub struct XenpfEfiRuntimeCallUGetVariable: "__typeof__(((__typeof__(((struct xenpf_efi_runtime_call*)0)->u)*)0)->get_variable)", size 40 {
        0 => name: GuestHandle<()>,
        8 => size: u64,
        16 => data: GuestHandle<()>,
        24 => vendor_guid: XenpfEfiGuid,
    }

    /// Unnamed in C.
    pub struct XenpfEfiRuntimeCallUGetNextVariableName: "__typeof__(((__typeof__(((struct xenpf_efi_runtime_call*)0)->u)*)0)->get_next_variable_name)", size 32 {
        0 => size: u64,
        8 => name: GuestHandle<()>,
        16 => vendor_guid: XenpfEfiGuid,
    }

    /// Unnamed in C.
    pub struct XenpfEfiRuntimeCallUQueryVariableInfo: "__typeof__(((__typeof__(((struct xenpf_efi_runtime_call*)0)->u)*)0)->query_variable_info)", size 32 {
        0 => attr: u32,
        4 => _hole0: [u8; 4] as "",
        8 => max_store_size: u64,
        16 => remain_store_size: u64,
        24 => max_size: u64,
    }

    /// Unnamed in C.
    pub struct XenpfEfiRuntimeCallUQueryCapsuleCapabilities: "__typeof__(((__typeof__(((struct xenpf_efi_runtime_call*)0)->u)*)0)->query_capsule_capabilities)", size 32 {
        0 => capsule_header_array: GuestHandle<()>,
        8 => capsule_count: u64,
        16 => max_capsule_size: u64,
        24 => reset_type: u32,
        28 => _hole0: [u8; 4] as "",
    }

    /// Unnamed in C.
    pub struct XenpfEfiRuntimeCallUUpdateCapsule: "__typeof__(((__typeof__(((struct xenpf_efi_runtime_call*)0)->u)*)0)->update_capsule)", size 24 {
        0 => capsule_header_array: GuestHandle<()>,
        8 => capsule_count: u64,
        16 => sg_list: u64,
    }

    /// `struct xenpf_efi_runtime_call`.
    pub struct XenpfEfiRuntimeCall: "struct xenpf_efi_runtime_call", size 56 {
        0 => function: u32,
        4 => misc: u32,
        8 => status: u64,
        16 => u: XenpfEfiRuntimeCallU,
    }

    /// Unnamed in C.
    pub struct XenpfEfiInfoCfg: "__typeof__(((union xenpf_efi_info*)0)->cfg)", size 16 {
        0 => addr: u64,
        8 => nent: u32,
        12 => _hole0: [u8; 4] as "",
    }

    /// Unnamed in C.
    pub struct XenpfEfiInfoVendor: "__typeof__(((union xenpf_efi_info*)0)->vendor)", size 16 {
        0 => revision: u32,
        4 => bufsz: u32,
        8 => name: GuestHandle<()>,
    }

    /// Unnamed in C.
    pub struct XenpfEfiInfoMem: "__typeof__(((union xenpf_efi_info*)0)->mem)", size 32 {
        0 => addr: u64,
        8 => size: u64,
        16 => attr: u64,
        24 => r#type: u32 as "type",
        28 => _hole0: [u8; 4] as "",
    }

    /// Unnamed in C.
    pub struct XenpfEfiInfoPciRom: "__typeof__(((union xenpf_efi_info*)0)->pci_rom)", size 24 {
        0 => segment: u16,
        2 => bus: u8,
        3 => devfn: u8,
        4 => vendor: u16,
        6 => devid: u16,
        8 => address: u64,
        16 => size: u64,
    }

    /// Unnamed in C.
    pub struct XenpfEfiInfoAppleProperties: "__typeof__(((union xenpf_efi_info*)0)->apple_properties)", size 16 {
        0 => address: u64,
        8 => size: u64,
    }

    /// Unnamed in C.
    pub struct XenpfFirmwareInfoUDiskInfo: "__typeof__(((__typeof__(((struct xenpf_firmware_info*)0)->u)*)0)->disk_info)", size 16 {
        0 => device: u8,
        1 => version: u8,
        2 => interface_support: u16,
        4 => legacy_max_cylinder: u16,
        6 => legacy_max_head: u8,
        7 => legacy_sectors_per_track: u8,
        8 => edd_params: GuestHandle<()>,
    }

    /// Unnamed in C.
    pub struct XenpfFirmwareInfoUDiskMbrSignature: "__typeof__(((__typeof__(((struct xenpf_firmware_info*)0)->u)*)0)->disk_mbr_signature)", size 8 {
        0 => device: u8,
        1 => _hole0: [u8; 3] as "",
        4 => mbr_signature: u32,
    }

    /// Unnamed in C.
    pub struct XenpfFirmwareInfoUVbeddcInfo: "__typeof__(((__typeof__(((struct xenpf_firmware_info*)0)->u)*)0)->vbeddc_info)", size 16 {
        0 => capabilities: u8,
        1 => edid_transfer_time: u8,
        2 => _hole0: [u8; 6] as "",
        8 => edid: GuestHandle<u8>,
    }

    /// `struct xenpf_firmware_info`.
    pub struct XenpfFirmwareInfo: "struct xenpf_firmware_info", size 40 {
        0 => r#type: u32 as "type",
        4 => index: u32,
        8 => u: XenpfFirmwareInfoU,
    }

    /// `struct xenpf_enter_acpi_sleep`.
    pub struct XenpfEnterAcpiSleep: "struct xenpf_enter_acpi_sleep", size 12 {
        0 => val_a: u16,
        2 => val_b: u16,
        4 => sleep_state: u32,
        8 => flags: u32,
    }

    /// `struct xenpf_change_freq`.
    pub struct XenpfChangeFreq: "struct xenpf_change_freq", size 16 {
        0 => flags: u32,
        4 => cpu: u32,
        8 => freq: u64,
    }

    /// `struct xenpf_getidletime`.
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

    /// `struct xenpf_set_processor_pminfo`.
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

    /// `struct xenpf_cpu_hotadd`.
    pub struct XenpfCpuHotadd: "struct xenpf_cpu_hotadd", size 12 {
        0 => apic_id: u32,
        4 => acpi_id: u32,
        8 => pxm: u32,
    }

    /// `struct xenpf_mem_hotadd`.
    pub struct XenpfMemHotadd: "struct xenpf_mem_hotadd", size 24 {
        0 => spfn: u64,
        8 => epfn: u64,
        16 => pxm: u32,
        20 => flags: u32,
    }

    /// `struct xenpf_core_parking`.
    pub struct XenpfCoreParking: "struct xenpf_core_parking", size 8 {
        0 => r#type: u32 as "type",
        4 => idle_nums: u32,
    }

    /// `struct xenpf_resource_entry`.
    pub struct XenpfResourceEntry: "struct xenpf_resource_entry", size 24 {
        0 => u: XenpfResourceEntryU,
        4 => rsvd: u32,
        8 => idx: u64,
        16 => val: u64,
    }

    /// `struct xenpf_resource_op`.
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
    /// Payload: which member holds is said by a field beside it.
    pub union XenpfEfiRuntimeCallU: "__typeof__(((struct xenpf_efi_runtime_call*)0)->u)", [u64; 5] {
        get_time / set_get_time: XenpfEfiRuntimeCallUGetTime,
        set_time / set_set_time: XenpfEfiTime,
        get_wakeup_time / set_get_wakeup_time: XenpfEfiTime,
        set_wakeup_time / set_set_wakeup_time: XenpfEfiTime,
        get_variable / set_get_variable: XenpfEfiRuntimeCallUGetVariable,
        set_variable / set_set_variable: XenpfEfiRuntimeCallUGetVariable,
        get_next_variable_name / set_get_next_variable_name: XenpfEfiRuntimeCallUGetNextVariableName,
        query_variable_info / set_query_variable_info: XenpfEfiRuntimeCallUQueryVariableInfo,
        query_capsule_capabilities / set_query_capsule_capabilities: XenpfEfiRuntimeCallUQueryCapsuleCapabilities,
        update_capsule / set_update_capsule: XenpfEfiRuntimeCallUUpdateCapsule,
    }

    /// Payload: which member holds is said by a field beside it.
    pub union XenpfEfiInfo: "union xenpf_efi_info", [u64; 4] {
        version / set_version: u32,
        cfg / set_cfg: XenpfEfiInfoCfg,
        vendor / set_vendor: XenpfEfiInfoVendor,
        mem / set_mem: XenpfEfiInfoMem,
        pci_rom / set_pci_rom: XenpfEfiInfoPciRom,
        apple_properties / set_apple_properties: XenpfEfiInfoAppleProperties,
    }

    /// Payload: which member holds is said by a field beside it.
    pub union XenpfFirmwareInfoU: "__typeof__(((struct xenpf_firmware_info*)0)->u)", [u64; 4] {
        disk_info / set_disk_info: XenpfFirmwareInfoUDiskInfo,
        disk_mbr_signature / set_disk_mbr_signature: XenpfFirmwareInfoUDiskMbrSignature,
        vbeddc_info / set_vbeddc_info: XenpfFirmwareInfoUVbeddcInfo,
        efi_info / set_efi_info: XenpfEfiInfo,
        kbd_shift_flags / set_kbd_shift_flags: u8,
    }

    /// Payload: which member holds is said by a field beside it.
    pub union XenpfSetProcessorPminfoU: "__typeof__(((struct xenpf_set_processor_pminfo*)0)->u)", [u64; 13] {
        power / set_power: ProcessorPower,
        perf / set_perf: ProcessorPerformance,
        pdc / set_pdc: GuestHandle<u32>,
    }

    /// Payload: which member holds is said by a field beside it.
    pub union XenpfResourceEntryU: "__typeof__(((struct xenpf_resource_entry*)0)->u)", [u32; 1] {
        cmd / set_cmd: u32,
        ret / set_ret: i32,
    }

    /// Payload: which member holds is said by a field beside it.
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
