//! CPUID leaves by which a guest recognises the hypervisor.
//!
//! Xen public/arch-x86/cpuid.h.

use crate::macros::abi_consts;

abi_consts! {
    u32 {
        XEN_CPUID_FIRST_LEAF = 0x40000000;
        XEN_CPUID_SIGNATURE_EBX = 0x566e6558;
        XEN_CPUID_SIGNATURE_ECX = 0x65584d4d;
        XEN_CPUID_SIGNATURE_EDX = 0x4d4d566e;
        _XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD = 0;
        XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD = 1 << 0;
        XEN_HVM_CPUID_APIC_ACCESS_VIRT = 1 << 0;
        XEN_HVM_CPUID_X2APIC_VIRT = 1 << 1;
        XEN_HVM_CPUID_IOMMU_MAPPINGS = 1 << 2;
        XEN_HVM_CPUID_VCPU_ID_PRESENT = 1 << 3;
        XEN_HVM_CPUID_DOMID_PRESENT = 1 << 4;
        XEN_HVM_CPUID_EXT_DEST_ID = 1 << 5;
        XEN_HVM_CPUID_UPCALL_VECTOR = 1 << 6;
        XEN_CPUID_MACHINE_ADDRESS_WIDTH_MASK = 0xff;
        XEN_CPUID_MAX_NUM_LEAVES = 5;
    }
}
