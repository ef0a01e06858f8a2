//! x86-64: registers, selectors, address-space layout, trap tables.
//!
//! Xen public/arch-x86/xen.h, public/arch-x86/xen-x86_64.h.

use crate::macros::{abi_consts, abi_structs, open_enums};

open_enums! {
    /// `SEGBASE_*`.
    pub enum SegBase(u32) "SEGBASE_" {
        FS = 0;
        GS_USER = 1;
        GS_KERNEL = 2;
        GS_USER_SEL = 3;
    }
}

abi_consts! {
    u32 {
        XEN_HAVE_PV_GUEST_ENTRY = 1;
        XEN_HAVE_PV_UPCALL_MASK = 1;
        FIRST_RESERVED_GDT_PAGE = 14;
        FIRST_RESERVED_GDT_BYTE = 0xe000;
        FIRST_RESERVED_GDT_ENTRY = 0x1c00;
        XEN_LEGACY_MAX_VCPUS = 32;
        VGCF_I387_VALID = 1 << 0;
        VGCF_IN_KERNEL = 1 << 2;
        _VGCF_I387_VALID = 0;
        _VGCF_IN_KERNEL = 2;
        _VGCF_FAILSAFE_DISABLES_EVENTS = 3;
        VGCF_FAILSAFE_DISABLES_EVENTS = 1 << 3;
        _VGCF_SYSCALL_DISABLES_EVENTS = 4;
        VGCF_SYSCALL_DISABLES_EVENTS = 1 << 4;
        _VGCF_ONLINE = 5;
        VGCF_ONLINE = 1 << 5;
        _XEN_X86_EMU_LAPIC = 0;
        XEN_X86_EMU_LAPIC = 1 << 0;
        _XEN_X86_EMU_HPET = 1;
        XEN_X86_EMU_HPET = 1 << 1;
        _XEN_X86_EMU_PM = 2;
        XEN_X86_EMU_PM = 1 << 2;
        _XEN_X86_EMU_RTC = 3;
        XEN_X86_EMU_RTC = 1 << 3;
        _XEN_X86_EMU_IOAPIC = 4;
        XEN_X86_EMU_IOAPIC = 1 << 4;
        _XEN_X86_EMU_PIC = 5;
        XEN_X86_EMU_PIC = 1 << 5;
        _XEN_X86_EMU_VGA = 6;
        XEN_X86_EMU_VGA = 1 << 6;
        _XEN_X86_EMU_IOMMU = 7;
        XEN_X86_EMU_IOMMU = 1 << 7;
        _XEN_X86_EMU_PIT = 8;
        XEN_X86_EMU_PIT = 1 << 8;
        _XEN_X86_EMU_USE_PIRQ = 9;
        XEN_X86_EMU_USE_PIRQ = 1 << 9;
        _XEN_X86_EMU_VPCI = 10;
        XEN_X86_EMU_VPCI = 1 << 10;
        XEN_X86_EMU_ALL = 2047;
        XEN_X86_MSR_RELAXED = 1 << 0;
        XEN_X86_MISC_FLAGS_MAX = 1;
        XEN_CPUID_NO_SUBLEAF = 0xffffffff;
        XEN_HVM_DEBUGCONS_IOPORT = 0xe9;
    }
    u16 {
        FLAT_RING3_CS32 = 0xe023;
        FLAT_RING3_CS64 = 0xe033;
        FLAT_RING3_DS32 = 0xe02b;
        FLAT_RING3_DS64 = 0x0;
        FLAT_RING3_SS32 = 0xe02b;
        FLAT_RING3_SS64 = 0xe02b;
        FLAT_KERNEL_DS64 = 0;
        FLAT_KERNEL_DS32 = 0xe02b;
        FLAT_KERNEL_DS = 0;
        FLAT_KERNEL_CS64 = 0xe033;
        FLAT_KERNEL_CS32 = 0xe023;
        FLAT_KERNEL_CS = 0xe033;
        FLAT_KERNEL_SS64 = 0xe02b;
        FLAT_KERNEL_SS32 = 0xe02b;
        FLAT_KERNEL_SS = 0xe02b;
        FLAT_USER_DS64 = 0;
        FLAT_USER_DS32 = 0xe02b;
        FLAT_USER_DS = 0;
        FLAT_USER_CS64 = 0xe033;
        FLAT_USER_CS32 = 0xe023;
        FLAT_USER_CS = 0xe033;
        FLAT_USER_SS64 = 0xe02b;
        FLAT_USER_SS32 = 0xe02b;
        FLAT_USER_SS = 0xe02b;
    }
    u64 {
        __HYPERVISOR_VIRT_START = 0xffff800000000000;
        __HYPERVISOR_VIRT_END = 0xffff880000000000;
        __MACH2PHYS_VIRT_START = 0xffff800000000000;
        __MACH2PHYS_VIRT_END = 0xffff804000000000;
        HYPERVISOR_VIRT_START = 0xffff800000000000;
        HYPERVISOR_VIRT_END = 0xffff880000000000;
        MACH2PHYS_VIRT_START = 0xffff800000000000;
        MACH2PHYS_VIRT_END = 0xffff804000000000;
        MACH2PHYS_NR_ENTRIES = 0x800000000;
    }
    u32 {
        _VGCF_IN_SYSCALL = 8;
        VGCF_IN_SYSCALL = 1 << 8;
    }
}

abi_structs! {
    /// The frame that the `iret` hypercall pops.
    pub struct IretContext: "struct iret_context", size 72 {
        0 => rax: u64,
        8 => r11: u64,
        16 => rcx: u64,
        24 => flags: u64,
        32 => rip: u64,
        40 => cs: u64,
        48 => rflags: u64,
        56 => rsp: u64,
        64 => ss: u64,
    }

    /// General registers of a vCPU.
    pub struct CpuUserRegs: "struct cpu_user_regs", size 200 {
        0 => r15: u64,
        8 => r14: u64,
        16 => r13: u64,
        24 => r12: u64,
        32 => rbp: u64,
        40 => rbx: u64,
        48 => r11: u64,
        56 => r10: u64,
        64 => r9: u64,
        72 => r8: u64,
        80 => rax: u64,
        88 => rcx: u64,
        96 => rdx: u64,
        104 => rsi: u64,
        112 => rdi: u64,
        120 => error_code: u32,
        124 => entry_vector: u32,
        128 => rip: u64,
        136 => cs: u16,
        138 => _pad0: [u16; 1],
        140 => saved_upcall_mask: u8,
        141 => _pad1: [u8; 3],
        144 => rflags: u64,
        152 => rsp: u64,
        160 => ss: u16,
        162 => _pad2: [u16; 3],
        168 => es: u16,
        170 => _pad3: [u16; 3],
        176 => ds: u16,
        178 => _pad4: [u16; 3],
        184 => fs: u16,
        186 => _pad5: [u16; 3],
        192 => gs: u16,
        194 => _pad6: [u16; 3],
    }

    /// `struct arch_vcpu_info`.
    pub struct ArchVcpuInfo: "struct arch_vcpu_info", size 16 {
        0 => cr2: u64,
        8 => pad: u64,
    }

    /// One entry of a PV guest's trap table.
    pub struct TrapInfo: "struct trap_info", size 16 {
        0 => vector: u8,
        1 => flags: u8,
        2 => cs: u16,
        4 => _hole0: [u8; 4] as "",
        8 => address: u64,
    }

    /// Member `fpu_ctxt` of [`VcpuGuestContext`].
    pub struct FpuCtxt: "__typeof__(((struct vcpu_guest_context*)0)->fpu_ctxt)", size 512 {
        0 => x: [u8; 512],
    }

    /// All registers of a PV vCPU.
    pub struct VcpuGuestContext: "struct vcpu_guest_context", size 5168 {
        0 => fpu_ctxt: FpuCtxt,
        512 => flags: u64,
        520 => user_regs: CpuUserRegs,
        720 => trap_ctxt: [TrapInfo; 256],
        4816 => ldt_base: u64,
        4824 => ldt_ents: u64,
        4832 => gdt_frames: [u64; 16],
        4960 => gdt_ents: u64,
        4968 => kernel_ss: u64,
        4976 => kernel_sp: u64,
        4984 => ctrlreg: [u64; 8],
        5048 => debugreg: [u64; 8],
        5112 => event_callback_eip: u64,
        5120 => failsafe_callback_eip: u64,
        5128 => syscall_callback_eip: u64,
        5136 => vm_assist: u64,
        5144 => fs_base: u64,
        5152 => gs_base_kernel: u64,
        5160 => gs_base_user: u64,
    }

    /// `struct arch_shared_info`.
    pub struct ArchSharedInfo: "struct arch_shared_info", size 48 {
        0 => max_pfn: u64,
        8 => pfn_to_mfn_frame_list_list: u64,
        16 => nmi_reason: u64,
        24 => p2m_cr3: u64,
        32 => p2m_vaddr: u64,
        40 => p2m_generation: u64,
    }

    /// `struct xen_arch_domainconfig`.
    pub struct ArchDomainconfig: "struct xen_arch_domainconfig", size 8 {
        0 => emulation_flags: u32,
        4 => misc_flags: u32,
    }

    /// `struct xen_cpuid_leaf`.
    pub struct CpuidLeaf: "struct xen_cpuid_leaf", size 24 {
        0 => leaf: u32,
        4 => subleaf: u32,
        8 => a: u32,
        12 => b: u32,
        16 => c: u32,
        20 => d: u32,
    }

    /// `struct xen_msr_entry`.
    pub struct MsrEntry: "struct xen_msr_entry", size 16 {
        0 => idx: u32,
        4 => flags: u32,
        8 => val: u64,
    }
}

/// The bytes that a PV guest puts before an instruction (`cpuid`) to have the
/// hypervisor emulate it: `ud2` and "xen".
pub const XEN_EMULATE_PREFIX: [u8; 5] = [0x0f, 0x0b, b'x', b'e', b'n'];
