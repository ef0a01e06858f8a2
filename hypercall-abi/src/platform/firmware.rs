//! EFI and BIOS data.
//!
//! Xen public/platform.h.

use crate::GuestHandle;
use crate::macros::{abi_structs, abi_unions};

abi_structs! {
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

    /// Member `get_time` of [`XenpfEfiRuntimeCallU`].
    pub struct XenpfEfiRuntimeCallGetTime: "__typeof__(((__typeof__(((struct xenpf_efi_runtime_call*)0)->u)*)0)->get_time)", size 24 {
        0 => time: XenpfEfiTime,
        16 => resolution: u32,
        20 => accuracy: u32,
    }

    /// Member `get_variable` of [`XenpfEfiRuntimeCallU`].
    pub struct XenpfEfiRuntimeCallGetVariable: "__typeof__(((__typeof__(((struct xenpf_efi_runtime_call*)0)->u)*)0)->get_variable)", size 40 {
        0 => name: GuestHandle<()>,
        8 => size: u64,
        16 => data: GuestHandle<()>,
        24 => vendor_guid: XenpfEfiGuid,
    }

    /// Member `get_next_variable_name` of [`XenpfEfiRuntimeCallU`].
    pub struct XenpfEfiRuntimeCallGetNextVariableName: "__typeof__(((__typeof__(((struct xenpf_efi_runtime_call*)0)->u)*)0)->get_next_variable_name)", size 32 {
        0 => size: u64,
        8 => name: GuestHandle<()>,
        16 => vendor_guid: XenpfEfiGuid,
    }

    /// Member `query_variable_info` of [`XenpfEfiRuntimeCallU`].
    pub struct XenpfEfiRuntimeCallQueryVariableInfo: "__typeof__(((__typeof__(((struct xenpf_efi_runtime_call*)0)->u)*)0)->query_variable_info)", size 32 {
        0 => attr: u32,
        4 => _hole0: [u8; 4] as "",
        8 => max_store_size: u64,
        16 => remain_store_size: u64,
        24 => max_size: u64,
    }

    /// Member `query_capsule_capabilities` of [`XenpfEfiRuntimeCallU`].
    pub struct XenpfEfiRuntimeCallQueryCapsuleCapabilities: "__typeof__(((__typeof__(((struct xenpf_efi_runtime_call*)0)->u)*)0)->query_capsule_capabilities)", size 32 {
        0 => capsule_header_array: GuestHandle<()>,
        8 => capsule_count: u64,
        16 => max_capsule_size: u64,
        24 => reset_type: u32,
        28 => _hole0: [u8; 4] as "",
    }

    /// Member `update_capsule` of [`XenpfEfiRuntimeCallU`].
    pub struct XenpfEfiRuntimeCallUpdateCapsule: "__typeof__(((__typeof__(((struct xenpf_efi_runtime_call*)0)->u)*)0)->update_capsule)", size 24 {
        0 => capsule_header_array: GuestHandle<()>,
        8 => capsule_count: u64,
        16 => sg_list: u64,
    }

    /// `struct xenpf_efi_runtime_call`: the argument of [`PlatformOp::EFI_RUNTIME_CALL`](super::PlatformOp::EFI_RUNTIME_CALL).
    pub struct XenpfEfiRuntimeCall: "struct xenpf_efi_runtime_call", size 56 {
        0 => function: u32,
        4 => misc: u32,
        8 => status: u64,
        16 => u: XenpfEfiRuntimeCallU,
    }

    /// Member `cfg` of [`XenpfEfiInfo`].
    pub struct XenpfEfiInfoCfg: "__typeof__(((union xenpf_efi_info*)0)->cfg)", size 16 {
        0 => addr: u64,
        8 => nent: u32,
        12 => _hole0: [u8; 4] as "",
    }

    /// Member `vendor` of [`XenpfEfiInfo`].
    pub struct XenpfEfiInfoVendor: "__typeof__(((union xenpf_efi_info*)0)->vendor)", size 16 {
        0 => revision: u32,
        4 => bufsz: u32,
        8 => name: GuestHandle<()>,
    }

    /// Member `mem` of [`XenpfEfiInfo`].
    pub struct XenpfEfiInfoMem: "__typeof__(((union xenpf_efi_info*)0)->mem)", size 32 {
        0 => addr: u64,
        8 => size: u64,
        16 => attr: u64,
        24 => r#type: u32 as "type",
        28 => _hole0: [u8; 4] as "",
    }

    /// Member `pci_rom` of [`XenpfEfiInfo`].
    pub struct XenpfEfiInfoPciRom: "__typeof__(((union xenpf_efi_info*)0)->pci_rom)", size 24 {
        0 => segment: u16,
        2 => bus: u8,
        3 => devfn: u8,
        4 => vendor: u16,
        6 => devid: u16,
        8 => address: u64,
        16 => size: u64,
    }

    /// Member `apple_properties` of [`XenpfEfiInfo`].
    pub struct XenpfEfiInfoAppleProperties: "__typeof__(((union xenpf_efi_info*)0)->apple_properties)", size 16 {
        0 => address: u64,
        8 => size: u64,
    }

    /// Member `disk_info` of [`XenpfFirmwareInfoU`].
    pub struct XenpfFirmwareInfoDiskInfo: "__typeof__(((__typeof__(((struct xenpf_firmware_info*)0)->u)*)0)->disk_info)", size 16 {
        0 => device: u8,
        1 => version: u8,
        2 => interface_support: u16,
        4 => legacy_max_cylinder: u16,
        6 => legacy_max_head: u8,
        7 => legacy_sectors_per_track: u8,
        8 => edd_params: GuestHandle<()>,
    }

    /// Member `disk_mbr_signature` of [`XenpfFirmwareInfoU`].
    pub struct XenpfFirmwareInfoDiskMbrSignature: "__typeof__(((__typeof__(((struct xenpf_firmware_info*)0)->u)*)0)->disk_mbr_signature)", size 8 {
        0 => device: u8,
        1 => _hole0: [u8; 3] as "",
        4 => mbr_signature: u32,
    }

    /// Member `vbeddc_info` of [`XenpfFirmwareInfoU`].
    pub struct XenpfFirmwareInfoVbeddcInfo: "__typeof__(((__typeof__(((struct xenpf_firmware_info*)0)->u)*)0)->vbeddc_info)", size 16 {
        0 => capabilities: u8,
        1 => edid_transfer_time: u8,
        2 => _hole0: [u8; 6] as "",
        8 => edid: GuestHandle<u8>,
    }

    /// `struct xenpf_firmware_info`: the argument of [`PlatformOp::FIRMWARE_INFO`](super::PlatformOp::FIRMWARE_INFO).
    pub struct XenpfFirmwareInfo: "struct xenpf_firmware_info", size 40 {
        0 => r#type: u32 as "type",
        4 => index: u32,
        8 => u: XenpfFirmwareInfoU,
    }
}

abi_unions! {
    /// Field `u` of [`XenpfEfiRuntimeCall`]: one of these, by what a field beside it says.
    pub union XenpfEfiRuntimeCallU: "__typeof__(((struct xenpf_efi_runtime_call*)0)->u)", [u64; 5] {
        get_time / set_get_time: XenpfEfiRuntimeCallGetTime,
        set_time / set_set_time: XenpfEfiTime,
        get_wakeup_time / set_get_wakeup_time: XenpfEfiTime,
        set_wakeup_time / set_set_wakeup_time: XenpfEfiTime,
        get_variable / set_get_variable: XenpfEfiRuntimeCallGetVariable,
        set_variable / set_set_variable: XenpfEfiRuntimeCallGetVariable,
        get_next_variable_name / set_get_next_variable_name: XenpfEfiRuntimeCallGetNextVariableName,
        query_variable_info / set_query_variable_info: XenpfEfiRuntimeCallQueryVariableInfo,
        query_capsule_capabilities / set_query_capsule_capabilities: XenpfEfiRuntimeCallQueryCapsuleCapabilities,
        update_capsule / set_update_capsule: XenpfEfiRuntimeCallUpdateCapsule,
    }

    /// `union xenpf_efi_info`.
    pub union XenpfEfiInfo: "union xenpf_efi_info", [u64; 4] {
        version / set_version: u32,
        cfg / set_cfg: XenpfEfiInfoCfg,
        vendor / set_vendor: XenpfEfiInfoVendor,
        mem / set_mem: XenpfEfiInfoMem,
        pci_rom / set_pci_rom: XenpfEfiInfoPciRom,
        apple_properties / set_apple_properties: XenpfEfiInfoAppleProperties,
    }

    /// Field `u` of [`XenpfFirmwareInfo`]: one of these, by what a field beside it says.
    pub union XenpfFirmwareInfoU: "__typeof__(((struct xenpf_firmware_info*)0)->u)", [u64; 4] {
        disk_info / set_disk_info: XenpfFirmwareInfoDiskInfo,
        disk_mbr_signature / set_disk_mbr_signature: XenpfFirmwareInfoDiskMbrSignature,
        vbeddc_info / set_vbeddc_info: XenpfFirmwareInfoVbeddcInfo,
        efi_info / set_efi_info: XenpfEfiInfo,
        kbd_shift_flags / set_kbd_shift_flags: u8,
    }
}
