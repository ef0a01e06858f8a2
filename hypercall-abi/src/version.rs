//! Version, capabilities and features of the hypervisor.
//!
//! Xen public/version.h.

use crate::macros::{abi_consts, abi_structs, open_enums};

open_enums! {
    /// Commands of `xen_version`.
    pub enum XenVer(u32) "XENVER_" {
        VERSION = 0;
        EXTRAVERSION = 1;
        COMPILE_INFO = 2;
        CAPABILITIES = 3;
        CHANGESET = 4;
        PLATFORM_PARAMETERS = 5;
        GET_FEATURES = 6;
        PAGESIZE = 7;
        GUEST_HANDLE = 8;
        COMMANDLINE = 9;
        BUILD_ID = 10;
    }
}

abi_consts! {
    u32 {
        XEN_EXTRAVERSION_LEN = 16;
        XEN_CAPABILITIES_INFO_LEN = 1024;
        XEN_CHANGESET_INFO_LEN = 64;
    }
}

abi_structs! {
    /// `struct xen_compile_info`.
    pub struct CompileInfo: "struct xen_compile_info", size 144 {
        0 => compiler: [u8; 64],
        64 => compile_by: [u8; 16],
        80 => compile_domain: [u8; 32],
        112 => compile_date: [u8; 32],
    }

    /// `struct xen_platform_parameters`.
    pub struct PlatformParameters: "struct xen_platform_parameters", size 8 {
        0 => virt_start: u64,
    }

    /// `struct xen_feature_info`.
    pub struct FeatureInfo: "struct xen_feature_info", size 8 {
        0 => submap_idx: u32,
        4 => submap: u32,
    }

    /// `struct xen_build_id`.
    pub struct BuildId: "struct xen_build_id", size 4 {
        0 => len: u32,
    }
}
