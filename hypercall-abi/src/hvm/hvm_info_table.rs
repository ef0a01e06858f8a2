//! What the toolstack tells hvmloader.
//!
//! Xen public/hvm/hvm_info_table.h.

use crate::macros::{abi_consts, abi_structs};

abi_consts! {
    u32 {
        HVM_INFO_PFN = 0x9f;
        HVM_INFO_OFFSET = 0x800;
        HVM_INFO_PADDR = 0x9f800;
        HVM_MAX_VCPUS = 128;
    }
}

abi_structs! {
    /// `struct hvm_info_table`.
    pub struct HvmInfoTable: "struct hvm_info_table", size 48 {
        0 => signature: [u8; 8],
        8 => length: u32,
        12 => checksum: u8,
        13 => apic_mode: u8,
        14 => _hole0: [u8; 2] as "",
        16 => nr_vcpus: u32,
        20 => low_mem_pgend: u32,
        24 => reserved_mem_pgstart: u32,
        28 => high_mem_pgend: u32,
        32 => vcpu_online: [u8; 16],
    }
}
