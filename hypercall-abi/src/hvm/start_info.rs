//! What a PVH kernel finds at `ebx` when it starts.
//!
//! Xen public/arch-x86/hvm/start_info.h.

use crate::macros::{abi_consts, abi_structs, open_enums};

open_enums! {
    /// `XEN_HVM_MEMMAP_TYPE_*`.
    pub enum HvmMemmapType(u32) "XEN_HVM_MEMMAP_TYPE_" {
        RAM = 1;
        RESERVED = 2;
        ACPI = 3;
        NVS = 4;
        UNUSABLE = 5;
        DISABLED = 6;
        PMEM = 7;
    }
}

abi_consts! {
    u32 {
        XEN_HVM_START_MAGIC_VALUE = 0x336ec578;
    }
}

abi_structs! {
    /// `struct hvm_start_info`.
    pub struct HvmStartInfo: "struct hvm_start_info", size 56 {
        0 => magic: u32,
        4 => version: u32,
        8 => flags: u32,
        12 => nr_modules: u32,
        16 => modlist_paddr: u64,
        24 => cmdline_paddr: u64,
        32 => rsdp_paddr: u64,
        40 => memmap_paddr: u64,
        48 => memmap_entries: u32,
        52 => reserved: u32,
    }

    /// `struct hvm_modlist_entry`.
    pub struct HvmModlistEntry: "struct hvm_modlist_entry", size 32 {
        0 => paddr: u64,
        8 => size: u64,
        16 => cmdline_paddr: u64,
        24 => reserved: u64,
    }

    /// `struct hvm_memmap_table_entry`.
    pub struct HvmMemmapTableEntry: "struct hvm_memmap_table_entry", size 24 {
        0 => addr: u64,
        8 => size: u64,
        16 => r#type: u32 as "type",
        20 => reserved: u32,
    }
}
