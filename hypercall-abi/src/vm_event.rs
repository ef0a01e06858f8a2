//! Events to a monitoring domain.
//!
//! Xen public/vm_event.h.

use crate::macros::{abi_consts, abi_structs, abi_unions, open_enums};

open_enums! {
    /// `VM_EVENT_REASON_*`.
    pub enum VmEventReason(u32) "VM_EVENT_REASON_" {
        UNKNOWN = 0;
        MEM_ACCESS = 1;
        MEM_SHARING = 2;
        MEM_PAGING = 3;
        WRITE_CTRLREG = 4;
        MOV_TO_MSR = 5;
        SOFTWARE_BREAKPOINT = 6;
        SINGLESTEP = 7;
        GUEST_REQUEST = 8;
        DEBUG_EXCEPTION = 9;
        CPUID = 10;
        PRIVILEGED_CALL = 11;
        INTERRUPT = 12;
        DESCRIPTOR_ACCESS = 13;
        EMUL_UNIMPLEMENTED = 14;
        VMEXIT = 15;
    }
}

abi_consts! {
    u32 {
        VM_EVENT_INTERFACE_VERSION = 0x7;
        VM_EVENT_FLAG_VCPU_PAUSED = 1 << 0;
        VM_EVENT_FLAG_FOREIGN = 1 << 1;
        VM_EVENT_FLAG_EMULATE = 1 << 2;
        VM_EVENT_FLAG_EMULATE_NOWRITE = 1 << 3;
        VM_EVENT_FLAG_TOGGLE_SINGLESTEP = 1 << 4;
        VM_EVENT_FLAG_SET_EMUL_READ_DATA = 1 << 5;
        VM_EVENT_FLAG_DENY = 1 << 6;
        VM_EVENT_FLAG_ALTERNATE_P2M = 1 << 7;
        VM_EVENT_FLAG_SET_REGISTERS = 1 << 8;
        VM_EVENT_FLAG_SET_EMUL_INSN_DATA = 1 << 9;
        VM_EVENT_FLAG_GET_NEXT_INTERRUPT = 1 << 10;
        VM_EVENT_FLAG_FAST_SINGLESTEP = 1 << 11;
        VM_EVENT_FLAG_NESTED_P2M = 1 << 12;
        VM_EVENT_FLAG_RESET_VMTRACE = 1 << 13;
        VM_EVENT_FLAG_RESET_FORK_STATE = 1 << 14;
        VM_EVENT_FLAG_RESET_FORK_MEMORY = 1 << 15;
        VM_EVENT_X86_CR0 = 0;
        VM_EVENT_X86_CR3 = 1;
        VM_EVENT_X86_CR4 = 2;
        VM_EVENT_X86_XCR0 = 3;
        MEM_ACCESS_R = 1 << 0;
        MEM_ACCESS_W = 1 << 1;
        MEM_ACCESS_X = 1 << 2;
        MEM_ACCESS_RWX = 7;
        MEM_ACCESS_RW = 3;
        MEM_ACCESS_RX = 5;
        MEM_ACCESS_WX = 6;
        MEM_ACCESS_GLA_VALID = 1 << 3;
        MEM_ACCESS_FAULT_WITH_GLA = 1 << 4;
        MEM_ACCESS_FAULT_IN_GPT = 1 << 5;
        VM_EVENT_DESC_IDTR = 1;
        VM_EVENT_DESC_GDTR = 2;
        VM_EVENT_DESC_LDTR = 3;
        VM_EVENT_DESC_TR = 4;
        MEM_PAGING_DROP_PAGE = 1 << 0;
        MEM_PAGING_EVICT_FAIL = 1 << 1;
        VM_EVENT_X86_SELECTOR_REG_LIMIT_MASK = 0xfffff, as "({ struct vm_event_x86_selector_reg x; memset(&x, 0, sizeof(x)); x.limit = ~0; *(uint32_t *)((char *)&x + 0); })";
        VM_EVENT_X86_SELECTOR_REG_AR_MASK = 0xfff00000, as "({ struct vm_event_x86_selector_reg x; memset(&x, 0, sizeof(x)); x.ar = ~0; *(uint32_t *)((char *)&x + 0); })";
    }
}

abi_structs! {
    /// `struct vm_event_x86_selector_reg`.
    pub struct VmEventX86SelectorReg: "struct vm_event_x86_selector_reg", size 4 {
        0 => bits0: u32 as "",
    }

    /// `struct vm_event_regs_x86`.
    pub struct VmEventRegsX86: "struct vm_event_regs_x86", size 344 {
        0 => rax: u64,
        8 => rcx: u64,
        16 => rdx: u64,
        24 => rbx: u64,
        32 => rsp: u64,
        40 => rbp: u64,
        48 => rsi: u64,
        56 => rdi: u64,
        64 => r8: u64,
        72 => r9: u64,
        80 => r10: u64,
        88 => r11: u64,
        96 => r12: u64,
        104 => r13: u64,
        112 => r14: u64,
        120 => r15: u64,
        128 => rflags: u64,
        136 => dr6: u64,
        144 => dr7: u64,
        152 => rip: u64,
        160 => cr0: u64,
        168 => cr2: u64,
        176 => cr3: u64,
        184 => cr4: u64,
        192 => sysenter_cs: u64,
        200 => sysenter_esp: u64,
        208 => sysenter_eip: u64,
        216 => msr_efer: u64,
        224 => msr_star: u64,
        232 => msr_lstar: u64,
        240 => gdtr_base: u64,
        248 => npt_base: u64,
        256 => vmtrace_pos: u64,
        264 => cs_base: u32,
        268 => ss_base: u32,
        272 => ds_base: u32,
        276 => es_base: u32,
        280 => fs_base: u64,
        288 => gs_base: u64,
        296 => cs: VmEventX86SelectorReg,
        300 => ss: VmEventX86SelectorReg,
        304 => ds: VmEventX86SelectorReg,
        308 => es: VmEventX86SelectorReg,
        312 => fs: VmEventX86SelectorReg,
        316 => gs: VmEventX86SelectorReg,
        320 => shadow_gs: u64,
        328 => gdtr_limit: u16,
        330 => cs_sel: u16,
        332 => ss_sel: u16,
        334 => ds_sel: u16,
        336 => es_sel: u16,
        338 => fs_sel: u16,
        340 => gs_sel: u16,
        342 => _pad: u16,
    }

    /// `struct vm_event_regs_arm`.
    pub struct VmEventRegsArm: "struct vm_event_regs_arm", size 40 {
        0 => ttbr0: u64,
        8 => ttbr1: u64,
        16 => ttbcr: u64,
        24 => pc: u64,
        32 => cpsr: u64,
    }

    /// `struct vm_event_mem_access`.
    pub struct VmEventMemAccess: "struct vm_event_mem_access", size 32 {
        0 => gfn: u64,
        8 => offset: u64,
        16 => gla: u64,
        24 => flags: u32,
        28 => _pad: u32,
    }

    /// `struct vm_event_write_ctrlreg`.
    pub struct VmEventWriteCtrlreg: "struct vm_event_write_ctrlreg", size 24 {
        0 => index: u32,
        4 => _pad: u32,
        8 => new_value: u64,
        16 => old_value: u64,
    }

    /// `struct vm_event_singlestep`.
    pub struct VmEventSinglestep: "struct vm_event_singlestep", size 8 {
        0 => gfn: u64,
    }

    /// `struct vm_event_fast_singlestep`.
    pub struct VmEventFastSinglestep: "struct vm_event_fast_singlestep", size 2 {
        0 => p2midx: u16,
    }

    /// `struct vm_event_debug`.
    pub struct VmEventDebug: "struct vm_event_debug", size 24 {
        0 => gfn: u64,
        8 => pending_dbg: u64,
        16 => insn_length: u32,
        20 => r#type: u8 as "type",
        21 => _pad: [u8; 3],
    }

    /// `struct vm_event_mov_to_msr`.
    pub struct VmEventMovToMsr: "struct vm_event_mov_to_msr", size 24 {
        0 => msr: u64,
        8 => new_value: u64,
        16 => old_value: u64,
    }

    /// Member `vmx` of [`VmEventDescAccessArch`].
    pub struct VmEventDescAccessArchVmx: "__typeof__(((__typeof__(((struct vm_event_desc_access*)0)->arch)*)0)->vmx)", size 16 {
        0 => instr_info: u32,
        4 => _pad1: u32,
        8 => exit_qualification: u64,
    }

    /// `struct vm_event_desc_access`.
    pub struct VmEventDescAccess: "struct vm_event_desc_access", size 24 {
        0 => arch: VmEventDescAccessArch,
        16 => descriptor: u8,
        17 => is_write: u8,
        18 => _pad: [u8; 6],
    }

    /// `struct vm_event_cpuid`.
    pub struct VmEventCpuid: "struct vm_event_cpuid", size 16 {
        0 => insn_length: u32,
        4 => leaf: u32,
        8 => subleaf: u32,
        12 => _pad: u32,
    }

    /// `struct vm_event_interrupt_x86`.
    pub struct VmEventInterruptX86: "struct vm_event_interrupt_x86", size 24 {
        0 => vector: u32,
        4 => r#type: u32 as "type",
        8 => error_code: u32,
        12 => _pad: u32,
        16 => cr2: u64,
    }

    /// `struct vm_event_paging`.
    pub struct VmEventPaging: "struct vm_event_paging", size 16 {
        0 => gfn: u64,
        8 => p2mt: u32,
        12 => flags: u32,
    }

    /// `struct vm_event_sharing`.
    pub struct VmEventSharing: "struct vm_event_sharing", size 16 {
        0 => gfn: u64,
        8 => p2mt: u32,
        12 => _pad: u32,
    }

    /// `struct vm_event_emul_read_data`.
    pub struct VmEventEmulReadData: "struct vm_event_emul_read_data", size 344 {
        0 => size: u32,
        4 => data: [u8; 340],
    }

    /// `struct vm_event_emul_insn_data`.
    pub struct VmEventEmulInsnData: "struct vm_event_emul_insn_data", size 16 {
        0 => data: [u8; 16],
    }

    /// Member `vmx` of [`VmEventVmexitArch`].
    pub struct VmEventVmexitArchVmx: "__typeof__(((__typeof__(((struct vm_event_vmexit*)0)->arch)*)0)->vmx)", size 16 {
        0 => reason: u64,
        8 => qualification: u64,
    }

    /// Member `arch` of [`VmEventVmexit`].
    pub struct VmEventVmexitArch: "__typeof__(((struct vm_event_vmexit*)0)->arch)", size 16 {
        0 => vmx: VmEventVmexitArchVmx,
    }

    /// `struct vm_event_vmexit`.
    pub struct VmEventVmexit: "struct vm_event_vmexit", size 16 {
        0 => arch: VmEventVmexitArch,
    }

    /// `struct vm_event_st`.
    pub struct VmEventSt: "struct vm_event_st", size 400 {
        0 => version: u32,
        4 => flags: u32,
        8 => reason: u32,
        12 => vcpu_id: u32,
        16 => altp2m_idx: u16,
        18 => _pad: [u16; 3],
        24 => u: VmEventStU,
        56 => data: VmEventStData,
    }
}

abi_unions! {
    /// Field `arch` of [`VmEventDescAccess`]: one of these, by what a field beside it says.
    pub union VmEventDescAccessArch: "__typeof__(((struct vm_event_desc_access*)0)->arch)", [u64; 2] {
        vmx / set_vmx: VmEventDescAccessArchVmx,
    }

    /// Field `interrupt` of [`VmEventStU`]: one of these, by what a field beside it says.
    pub union VmEventStInterrupt: "__typeof__(((__typeof__(((struct vm_event_st*)0)->u)*)0)->interrupt)", [u64; 3] {
        x86 / set_x86: VmEventInterruptX86,
    }

    /// Field `u` of [`VmEventSt`]: one of these, by what a field beside it says.
    pub union VmEventStU: "__typeof__(((struct vm_event_st*)0)->u)", [u64; 4] {
        mem_paging / set_mem_paging: VmEventPaging,
        mem_sharing / set_mem_sharing: VmEventSharing,
        mem_access / set_mem_access: VmEventMemAccess,
        write_ctrlreg / set_write_ctrlreg: VmEventWriteCtrlreg,
        mov_to_msr / set_mov_to_msr: VmEventMovToMsr,
        desc_access / set_desc_access: VmEventDescAccess,
        singlestep / set_singlestep: VmEventSinglestep,
        fast_singlestep / set_fast_singlestep: VmEventFastSinglestep,
        software_breakpoint / set_software_breakpoint: VmEventDebug,
        debug_exception / set_debug_exception: VmEventDebug,
        cpuid / set_cpuid: VmEventCpuid,
        vmexit / set_vmexit: VmEventVmexit,
        interrupt / set_interrupt: VmEventStInterrupt,
    }

    /// Field `regs` of [`VmEventStData`]: one of these, by what a field beside it says.
    pub union VmEventStDataRegs: "__typeof__(((__typeof__(((struct vm_event_st*)0)->data)*)0)->regs)", [u64; 43] {
        x86 / set_x86: VmEventRegsX86,
        arm / set_arm: VmEventRegsArm,
    }

    /// Field `emul` of [`VmEventStData`]: one of these, by what a field beside it says.
    pub union VmEventStDataEmul: "__typeof__(((__typeof__(((struct vm_event_st*)0)->data)*)0)->emul)", [u32; 86] {
        read / set_read: VmEventEmulReadData,
        insn / set_insn: VmEventEmulInsnData,
    }

    /// Field `data` of [`VmEventSt`]: one of these, by what a field beside it says.
    pub union VmEventStData: "__typeof__(((struct vm_event_st*)0)->data)", [u64; 43] {
        regs / set_regs: VmEventStDataRegs,
        emul / set_emul: VmEventStDataEmul,
    }
}
