//! Records of a saved HVM domain.
//!
//! Xen public/hvm/save.h, public/arch-x86/hvm/save.h.

use crate::macros::{abi_consts, abi_structs, abi_unions, open_enums};

open_enums! {
    /// Types of records in a saved HVM domain.
    pub enum HvmSaveCode(u16) "HVM_SAVE_CODE_" {
        END = 0, as "HVM_SAVE_CODE(END)";
        HEADER = 1, as "HVM_SAVE_CODE(HEADER)";
        CPU = 2, as "HVM_SAVE_CODE(CPU)";
        PIC = 3, as "HVM_SAVE_CODE(PIC)";
        IOAPIC = 4, as "HVM_SAVE_CODE(IOAPIC)";
        LAPIC = 5, as "HVM_SAVE_CODE(LAPIC)";
        LAPIC_REGS = 6, as "HVM_SAVE_CODE(LAPIC_REGS)";
        PCI_IRQ = 7, as "HVM_SAVE_CODE(PCI_IRQ)";
        ISA_IRQ = 8, as "HVM_SAVE_CODE(ISA_IRQ)";
        PCI_LINK = 9, as "HVM_SAVE_CODE(PCI_LINK)";
        PIT = 10, as "HVM_SAVE_CODE(PIT)";
        RTC = 11, as "HVM_SAVE_CODE(RTC)";
        HPET = 12, as "HVM_SAVE_CODE(HPET)";
        PMTIMER = 13, as "HVM_SAVE_CODE(PMTIMER)";
        MTRR = 14, as "HVM_SAVE_CODE(MTRR)";
        VIRIDIAN_DOMAIN = 15, as "HVM_SAVE_CODE(VIRIDIAN_DOMAIN)";
        VIRIDIAN_VCPU = 17, as "HVM_SAVE_CODE(VIRIDIAN_VCPU)";
        VMCE_VCPU = 18, as "HVM_SAVE_CODE(VMCE_VCPU)";
        TSC_ADJUST = 19, as "HVM_SAVE_CODE(TSC_ADJUST)";
        CPU_XSAVE = 16, as "CPU_XSAVE_CODE";
        CPU_MSR = 20, as "CPU_MSR_CODE";
    }
}

abi_consts! {
    u32 {
        HVM_FILE_MAGIC = 0x54381286;
        HVM_FILE_VERSION = 0x1;
        _XEN_X86_FPU_INITIALISED = 0;
        XEN_X86_FPU_INITIALISED = 1 << 0;
        VIOAPIC_NUM_PINS = 48;
        RTC_CMOS_SIZE = 14;
        HPET_TIMER_NUM = 3;
        MTRR_VCNT = 8;
        NUM_FIXED_MSR = 11;
        HVM_SAVE_CODE_MAX = 20;
    }
    u8 {
        HVM_HW_VPIC_INIT_STATE_MASK = 0xf, as "({ struct hvm_hw_vpic x; memset(&x, 0, sizeof(x)); x.init_state = ~0; *(uint8_t *)((char *)&x + 4); })";
        HVM_HW_VPIC_PRIORITY_ADD_MASK = 0xf0, as "({ struct hvm_hw_vpic x; memset(&x, 0, sizeof(x)); x.priority_add = ~0; *(uint8_t *)((char *)&x + 4); })";
        HVM_HW_VPIC_READSEL_ISR_MASK = 0x1, as "({ struct hvm_hw_vpic x; memset(&x, 0, sizeof(x)); x.readsel_isr = ~0; *(uint8_t *)((char *)&x + 5); })";
        HVM_HW_VPIC_POLL_MASK = 0x2, as "({ struct hvm_hw_vpic x; memset(&x, 0, sizeof(x)); x.poll = ~0; *(uint8_t *)((char *)&x + 5); })";
        HVM_HW_VPIC_AUTO_EOI_MASK = 0x4, as "({ struct hvm_hw_vpic x; memset(&x, 0, sizeof(x)); x.auto_eoi = ~0; *(uint8_t *)((char *)&x + 5); })";
        HVM_HW_VPIC_ROTATE_ON_AUTO_EOI_MASK = 0x8, as "({ struct hvm_hw_vpic x; memset(&x, 0, sizeof(x)); x.rotate_on_auto_eoi = ~0; *(uint8_t *)((char *)&x + 5); })";
        HVM_HW_VPIC_SPECIAL_FULLY_NESTED_MODE_MASK = 0x10, as "({ struct hvm_hw_vpic x; memset(&x, 0, sizeof(x)); x.special_fully_nested_mode = ~0; *(uint8_t *)((char *)&x + 5); })";
        HVM_HW_VPIC_SPECIAL_MASK_MODE_MASK = 0x20, as "({ struct hvm_hw_vpic x; memset(&x, 0, sizeof(x)); x.special_mask_mode = ~0; *(uint8_t *)((char *)&x + 5); })";
        HVM_HW_VPIC_IS_MASTER_MASK = 0x40, as "({ struct hvm_hw_vpic x; memset(&x, 0, sizeof(x)); x.is_master = ~0; *(uint8_t *)((char *)&x + 5); })";
        VIOAPIC_REDIR_ENTRY_FIELDS_DELIVERY_MODE_MASK = 0x7, as "({ __typeof__(((union vioapic_redir_entry*)0)->fields) x; memset(&x, 0, sizeof(x)); x.delivery_mode = ~0; *(uint8_t *)((char *)&x + 1); })";
        VIOAPIC_REDIR_ENTRY_FIELDS_DEST_MODE_MASK = 0x8, as "({ __typeof__(((union vioapic_redir_entry*)0)->fields) x; memset(&x, 0, sizeof(x)); x.dest_mode = ~0; *(uint8_t *)((char *)&x + 1); })";
        VIOAPIC_REDIR_ENTRY_FIELDS_DELIVERY_STATUS_MASK = 0x10, as "({ __typeof__(((union vioapic_redir_entry*)0)->fields) x; memset(&x, 0, sizeof(x)); x.delivery_status = ~0; *(uint8_t *)((char *)&x + 1); })";
        VIOAPIC_REDIR_ENTRY_FIELDS_POLARITY_MASK = 0x20, as "({ __typeof__(((union vioapic_redir_entry*)0)->fields) x; memset(&x, 0, sizeof(x)); x.polarity = ~0; *(uint8_t *)((char *)&x + 1); })";
        VIOAPIC_REDIR_ENTRY_FIELDS_REMOTE_IRR_MASK = 0x40, as "({ __typeof__(((union vioapic_redir_entry*)0)->fields) x; memset(&x, 0, sizeof(x)); x.remote_irr = ~0; *(uint8_t *)((char *)&x + 1); })";
        VIOAPIC_REDIR_ENTRY_FIELDS_TRIG_MODE_MASK = 0x80, as "({ __typeof__(((union vioapic_redir_entry*)0)->fields) x; memset(&x, 0, sizeof(x)); x.trig_mode = ~0; *(uint8_t *)((char *)&x + 1); })";
        VIOAPIC_REDIR_ENTRY_FIELDS_MASK_MASK = 0x1, as "({ __typeof__(((union vioapic_redir_entry*)0)->fields) x; memset(&x, 0, sizeof(x)); x.mask = ~0; *(uint8_t *)((char *)&x + 2); })";
        VIOAPIC_REDIR_ENTRY_FIELDS_RESERVE_MASK = 0xfe, as "({ __typeof__(((union vioapic_redir_entry*)0)->fields) x; memset(&x, 0, sizeof(x)); x.reserve = ~0; *(uint8_t *)((char *)&x + 2); })";
    }
}

abi_structs! {
    /// `struct hvm_save_descriptor`.
    pub struct HvmSaveDescriptor: "struct hvm_save_descriptor", size 8 {
        0 => typecode: HvmSaveCode,
        2 => instance: u16,
        4 => length: u32,
    }

    /// `struct hvm_save_end`.
    pub struct HvmSaveEnd: "struct hvm_save_end", size 0 {
    }

    /// `struct hvm_save_header`.
    pub struct HvmSaveHeader: "struct hvm_save_header", size 24 {
        0 => magic: u32,
        4 => version: u32,
        8 => changeset: u64,
        16 => cpuid: u32,
        20 => gtsc_khz: u32,
    }

    /// `struct hvm_hw_cpu`.
    pub struct HvmHwCpu: "struct hvm_hw_cpu", size 1032 {
        0 => fpu_regs: [u8; 512],
        512 => rax: u64,
        520 => rbx: u64,
        528 => rcx: u64,
        536 => rdx: u64,
        544 => rbp: u64,
        552 => rsi: u64,
        560 => rdi: u64,
        568 => rsp: u64,
        576 => r8: u64,
        584 => r9: u64,
        592 => r10: u64,
        600 => r11: u64,
        608 => r12: u64,
        616 => r13: u64,
        624 => r14: u64,
        632 => r15: u64,
        640 => rip: u64,
        648 => rflags: u64,
        656 => cr0: u64,
        664 => cr2: u64,
        672 => cr3: u64,
        680 => cr4: u64,
        688 => dr0: u64,
        696 => dr1: u64,
        704 => dr2: u64,
        712 => dr3: u64,
        720 => dr6: u64,
        728 => dr7: u64,
        736 => cs_sel: u32,
        740 => ds_sel: u32,
        744 => es_sel: u32,
        748 => fs_sel: u32,
        752 => gs_sel: u32,
        756 => ss_sel: u32,
        760 => tr_sel: u32,
        764 => ldtr_sel: u32,
        768 => cs_limit: u32,
        772 => ds_limit: u32,
        776 => es_limit: u32,
        780 => fs_limit: u32,
        784 => gs_limit: u32,
        788 => ss_limit: u32,
        792 => tr_limit: u32,
        796 => ldtr_limit: u32,
        800 => idtr_limit: u32,
        804 => gdtr_limit: u32,
        808 => cs_base: u64,
        816 => ds_base: u64,
        824 => es_base: u64,
        832 => fs_base: u64,
        840 => gs_base: u64,
        848 => ss_base: u64,
        856 => tr_base: u64,
        864 => ldtr_base: u64,
        872 => idtr_base: u64,
        880 => gdtr_base: u64,
        888 => cs_arbytes: u32,
        892 => ds_arbytes: u32,
        896 => es_arbytes: u32,
        900 => fs_arbytes: u32,
        904 => gs_arbytes: u32,
        908 => ss_arbytes: u32,
        912 => tr_arbytes: u32,
        916 => ldtr_arbytes: u32,
        920 => sysenter_cs: u64,
        928 => sysenter_esp: u64,
        936 => sysenter_eip: u64,
        944 => shadow_gs: u64,
        952 => msr_flags: u64,
        960 => msr_lstar: u64,
        968 => msr_star: u64,
        976 => msr_cstar: u64,
        984 => msr_syscall_mask: u64,
        992 => msr_efer: u64,
        1000 => msr_tsc_aux: u64,
        1008 => tsc: u64,
        1016 => pending_event: u32,
        1020 => error_code: u32,
        1024 => flags: u32,
        1028 => pad0: u32,
    }

    /// `struct hvm_hw_cpu_compat`.
    pub struct HvmHwCpuCompat: "struct hvm_hw_cpu_compat", size 1016 {
        0 => fpu_regs: [u8; 512],
        512 => rax: u64,
        520 => rbx: u64,
        528 => rcx: u64,
        536 => rdx: u64,
        544 => rbp: u64,
        552 => rsi: u64,
        560 => rdi: u64,
        568 => rsp: u64,
        576 => r8: u64,
        584 => r9: u64,
        592 => r10: u64,
        600 => r11: u64,
        608 => r12: u64,
        616 => r13: u64,
        624 => r14: u64,
        632 => r15: u64,
        640 => rip: u64,
        648 => rflags: u64,
        656 => cr0: u64,
        664 => cr2: u64,
        672 => cr3: u64,
        680 => cr4: u64,
        688 => dr0: u64,
        696 => dr1: u64,
        704 => dr2: u64,
        712 => dr3: u64,
        720 => dr6: u64,
        728 => dr7: u64,
        736 => cs_sel: u32,
        740 => ds_sel: u32,
        744 => es_sel: u32,
        748 => fs_sel: u32,
        752 => gs_sel: u32,
        756 => ss_sel: u32,
        760 => tr_sel: u32,
        764 => ldtr_sel: u32,
        768 => cs_limit: u32,
        772 => ds_limit: u32,
        776 => es_limit: u32,
        780 => fs_limit: u32,
        784 => gs_limit: u32,
        788 => ss_limit: u32,
        792 => tr_limit: u32,
        796 => ldtr_limit: u32,
        800 => idtr_limit: u32,
        804 => gdtr_limit: u32,
        808 => cs_base: u64,
        816 => ds_base: u64,
        824 => es_base: u64,
        832 => fs_base: u64,
        840 => gs_base: u64,
        848 => ss_base: u64,
        856 => tr_base: u64,
        864 => ldtr_base: u64,
        872 => idtr_base: u64,
        880 => gdtr_base: u64,
        888 => cs_arbytes: u32,
        892 => ds_arbytes: u32,
        896 => es_arbytes: u32,
        900 => fs_arbytes: u32,
        904 => gs_arbytes: u32,
        908 => ss_arbytes: u32,
        912 => tr_arbytes: u32,
        916 => ldtr_arbytes: u32,
        920 => sysenter_cs: u64,
        928 => sysenter_esp: u64,
        936 => sysenter_eip: u64,
        944 => shadow_gs: u64,
        952 => msr_flags: u64,
        960 => msr_lstar: u64,
        968 => msr_star: u64,
        976 => msr_cstar: u64,
        984 => msr_syscall_mask: u64,
        992 => msr_efer: u64,
        1000 => tsc: u64,
        1008 => pending_event: u32,
        1012 => error_code: u32,
    }

    /// `struct hvm_hw_vpic`.
    pub struct HvmHwVpic: "struct hvm_hw_vpic", size 8 {
        0 => irr: u8,
        1 => imr: u8,
        2 => isr: u8,
        3 => irq_base: u8,
        4 => bits0: u8 as "",
        5 => bits1: u8 as "",
        6 => elcr: u8,
        7 => int_output: u8,
    }

    /// Member `fields` of [`VioapicRedirEntry`].
    pub struct VioapicRedirEntryFields: "__typeof__(((union vioapic_redir_entry*)0)->fields)", size 8 {
        0 => vector: u8,
        1 => bits0: u8 as "",
        2 => bits1: u8 as "",
        3 => reserved: [u8; 4],
        7 => dest_id: u8,
    }

    /// `struct hvm_hw_vioapic`.
    pub struct HvmHwVioapic: "struct hvm_hw_vioapic", size 400 {
        0 => base_address: u64,
        8 => ioregsel: u32,
        12 => id: u32,
        16 => redirtbl: [VioapicRedirEntry; 48],
    }

    /// `struct hvm_hw_lapic`.
    pub struct HvmHwLapic: "struct hvm_hw_lapic", size 24 {
        0 => apic_base_msr: u64,
        8 => disabled: u32,
        12 => timer_divisor: u32,
        16 => tdt_msr: u64,
    }

    /// `struct hvm_hw_lapic_regs`.
    pub struct HvmHwLapicRegs: "struct hvm_hw_lapic_regs", size 1024 {
        0 => data: [u8; 1024],
    }

    /// `struct hvm_hw_pci_irqs`.
    pub struct HvmHwPciIrqs: "struct hvm_hw_pci_irqs", size 16 {
        0 => u: HvmHwPciIrqsU as "",
    }

    /// `struct hvm_hw_isa_irqs`.
    pub struct HvmHwIsaIrqs: "struct hvm_hw_isa_irqs", size 8 {
        0 => u: HvmHwIsaIrqsU as "",
    }

    /// `struct hvm_hw_pci_link`.
    pub struct HvmHwPciLink: "struct hvm_hw_pci_link", size 8 {
        0 => route: [u8; 4],
        4 => pad0: [u8; 4],
    }

    /// `struct hvm_hw_pit_channel`.
    pub struct HvmHwPitChannel: "struct hvm_hw_pit_channel", size 16 {
        0 => count: u32,
        4 => latched_count: u16,
        6 => count_latched: u8,
        7 => status_latched: u8,
        8 => status: u8,
        9 => read_state: u8,
        10 => write_state: u8,
        11 => write_latch: u8,
        12 => rw_mode: u8,
        13 => mode: u8,
        14 => bcd: u8,
        15 => gate: u8,
    }

    /// `struct hvm_hw_pit`.
    pub struct HvmHwPit: "struct hvm_hw_pit", size 56 {
        0 => channels: [HvmHwPitChannel; 3],
        48 => speaker_data_on: u32,
        52 => pad0: u32,
    }

    /// `struct hvm_hw_rtc`.
    pub struct HvmHwRtc: "struct hvm_hw_rtc", size 24 {
        0 => cmos_data: [u8; 14],
        14 => cmos_index: u8,
        15 => pad0: u8,
        16 => rtc_offset: i64,
    }

    /// Member `timers` of [`HvmHwHpet`].
    pub struct HvmHwHpetTimers: "__typeof__(((struct hvm_hw_hpet*)0)->timers[0])", size 32 {
        0 => config: u64,
        8 => cmp: u64,
        16 => fsb: u64,
        24 => res4: u64,
    }

    /// `struct hvm_hw_hpet`.
    pub struct HvmHwHpet: "struct hvm_hw_hpet", size 1048 {
        0 => capability: u64,
        8 => res0: u64,
        16 => config: u64,
        24 => res1: u64,
        32 => isr: u64,
        40 => res2: [u64; 25],
        240 => mc64: u64,
        248 => res3: u64,
        256 => timers: [HvmHwHpetTimers; 3],
        352 => res5: [u64; 84],
        1024 => period: [u64; 3],
    }

    /// `struct hvm_hw_pmtimer`.
    pub struct HvmHwPmtimer: "struct hvm_hw_pmtimer", size 8 {
        0 => tmr_val: u32,
        4 => pm1a_sts: u16,
        6 => pm1a_en: u16,
    }

    /// `struct hvm_hw_mtrr`.
    pub struct HvmHwMtrr: "struct hvm_hw_mtrr", size 240 {
        0 => msr_pat_cr: u64,
        8 => msr_mtrr_var: [u64; 16],
        136 => msr_mtrr_fixed: [u64; 11],
        224 => msr_mtrr_cap: u64,
        232 => msr_mtrr_def_type: u64,
    }

    /// `struct hvm_hw_cpu_xsave_hdr`.
    pub struct HvmHwCpuXsaveHdr: "struct hvm_hw_cpu_xsave_hdr", size 64 {
        0 => xstate_bv: u64,
        8 => xcomp_bv: u64,
        16 => reserved: [u64; 6],
    }

    /// Member `fpu_sse` of [`HvmHwCpuXsaveSaveArea`].
    pub struct HvmHwCpuXsaveSaveAreaFpuSse: "__typeof__(((__typeof__(((struct hvm_hw_cpu_xsave*)0)->save_area)*)0)->fpu_sse)", size 512 {
        0 => x: [u8; 512],
    }

    /// Member `save_area` of [`HvmHwCpuXsave`].
    pub struct HvmHwCpuXsaveSaveArea: "__typeof__(((struct hvm_hw_cpu_xsave*)0)->save_area)", size 576 {
        0 => fpu_sse: HvmHwCpuXsaveSaveAreaFpuSse,
        512 => xsave_hdr: HvmHwCpuXsaveHdr,
    }

    /// `struct hvm_hw_cpu_xsave`.
    pub struct HvmHwCpuXsave: "struct hvm_hw_cpu_xsave", size 600 {
        0 => xfeature_mask: u64,
        8 => xcr0: u64,
        16 => xcr0_accum: u64,
        24 => save_area: HvmHwCpuXsaveSaveArea,
    }

    /// `struct hvm_viridian_domain_context`.
    pub struct HvmViridianDomainContext: "struct hvm_viridian_domain_context", size 32 {
        0 => hypercall_gpa: u64,
        8 => guest_os_id: u64,
        16 => time_ref_count: u64,
        24 => reference_tsc: u64,
    }

    /// `struct hvm_viridian_vcpu_context`.
    pub struct HvmViridianVcpuContext: "struct hvm_viridian_vcpu_context", size 216 {
        0 => vp_assist_msr: u64,
        8 => apic_assist_pending: u8,
        9 => _pad: [u8; 7],
        16 => simp_msr: u64,
        24 => sint_msr: [u64; 16],
        152 => stimer_config_msr: [u64; 4],
        184 => stimer_count_msr: [u64; 4],
    }

    /// `struct hvm_vmce_vcpu`.
    pub struct HvmVmceVcpu: "struct hvm_vmce_vcpu", size 32 {
        0 => caps: u64,
        8 => mci_ctl2_bank0: u64,
        16 => mci_ctl2_bank1: u64,
        24 => mcg_ext_ctl: u64,
    }

    /// `struct hvm_tsc_adjust`.
    pub struct HvmTscAdjust: "struct hvm_tsc_adjust", size 8 {
        0 => tsc_adjust: u64,
    }

    /// `struct hvm_one_msr`.
    pub struct HvmOneMsr: "struct hvm_one_msr", size 16 {
        0 => index: u32,
        4 => _rsvd: u32,
        8 => val: u64,
    }

    /// `struct hvm_msr`.
    pub struct HvmMsr: "struct hvm_msr", size 8 {
        0 => count: u32,
        4 => _hole0: [u8; 4] as "",
    }
}

abi_unions! {
    /// `union vioapic_redir_entry`.
    pub union VioapicRedirEntry: "union vioapic_redir_entry", [u64; 1] {
        bits / set_bits: u64,
        fields / set_fields: VioapicRedirEntryFields,
    }

    /// Field `u` of [`HvmHwPciIrqs`]: one of these, by what a field beside it says.
    pub union HvmHwPciIrqsU: "", [u64; 2] {
        i / set_i: [u64; 2],
        pad / set_pad: [u64; 2],
    }

    /// Field `u` of [`HvmHwIsaIrqs`]: one of these, by what a field beside it says.
    pub union HvmHwIsaIrqsU: "", [u64; 1] {
        i / set_i: [u64; 1],
        pad / set_pad: [u64; 1],
    }
}
