//! First state of a PVH vCPU.
//!
//! Xen public/hvm/hvm_vcpu.h.

use crate::macros::{abi_consts, abi_structs, abi_unions};

abi_consts! {
    u32 {
        VCPU_HVM_MODE_32B = 0;
        VCPU_HVM_MODE_64B = 1;
    }
}

abi_structs! {
    /// `struct vcpu_hvm_x86_32`.
    pub struct VcpuHvmX8632: "struct vcpu_hvm_x86_32", size 120 {
        0 => eax: u32,
        4 => ecx: u32,
        8 => edx: u32,
        12 => ebx: u32,
        16 => esp: u32,
        20 => ebp: u32,
        24 => esi: u32,
        28 => edi: u32,
        32 => eip: u32,
        36 => eflags: u32,
        40 => cr0: u32,
        44 => cr3: u32,
        48 => cr4: u32,
        52 => pad1: u32,
        56 => efer: u64,
        64 => cs_base: u32,
        68 => ds_base: u32,
        72 => ss_base: u32,
        76 => es_base: u32,
        80 => tr_base: u32,
        84 => cs_limit: u32,
        88 => ds_limit: u32,
        92 => ss_limit: u32,
        96 => es_limit: u32,
        100 => tr_limit: u32,
        104 => cs_ar: u16,
        106 => ds_ar: u16,
        108 => ss_ar: u16,
        110 => es_ar: u16,
        112 => tr_ar: u16,
        114 => pad2: [u16; 3],
    }

    /// `struct vcpu_hvm_x86_64`.
    pub struct VcpuHvmX8664: "struct vcpu_hvm_x86_64", size 112 {
        0 => rax: u64,
        8 => rcx: u64,
        16 => rdx: u64,
        24 => rbx: u64,
        32 => rsp: u64,
        40 => rbp: u64,
        48 => rsi: u64,
        56 => rdi: u64,
        64 => rip: u64,
        72 => rflags: u64,
        80 => cr0: u64,
        88 => cr3: u64,
        96 => cr4: u64,
        104 => efer: u64,
    }

    /// `struct vcpu_hvm_context`.
    pub struct VcpuHvmContext: "struct vcpu_hvm_context", size 128 {
        0 => mode: u32,
        4 => pad: u32,
        8 => cpu_regs: VcpuHvmContextCpuRegs,
    }
}

abi_unions! {
    /// Field `cpu_regs` of [`VcpuHvmContext`]: one of these, by what a field beside it says.
    pub union VcpuHvmContextCpuRegs: "__typeof__(((struct vcpu_hvm_context*)0)->cpu_regs)", [u64; 15] {
        x86_32 / set_x86_32: VcpuHvmX8632,
        x86_64 / set_x86_64: VcpuHvmX8664,
    }
}
