//! Parameters of HVM domains.
//!
//! Xen public/hvm/params.h.

use crate::macros::{abi_consts, open_enums};

open_enums! {
    /// Parameters of an HVM domain.
    pub enum HvmParam(u32) "HVM_PARAM_" {
        PAE_ENABLED = 4;
        DM_DOMAIN = 13;
        MEMORY_EVENT_CR0 = 20;
        MEMORY_EVENT_CR3 = 21;
        MEMORY_EVENT_CR4 = 22;
        MEMORY_EVENT_INT3 = 23;
        NESTEDHVM = 24;
        MEMORY_EVENT_SINGLE_STEP = 25;
        BUFIOREQ_EVTCHN = 26;
        MEMORY_EVENT_MSR = 30;
        CALLBACK_IRQ = 0;
        STORE_PFN = 1;
        STORE_EVTCHN = 2;
        IOREQ_PFN = 5;
        BUFIOREQ_PFN = 6;
        VIRIDIAN = 9;
        TIMER_MODE = 10;
        HPET_ENABLED = 11;
        IDENT_PT = 12;
        ACPI_S_STATE = 14;
        VM86_TSS = 15;
        VPT_ALIGN = 16;
        CONSOLE_PFN = 17;
        CONSOLE_EVTCHN = 18;
        ACPI_IOPORTS_LOCATION = 19;
        PAGING_RING_PFN = 27;
        MONITOR_RING_PFN = 28;
        SHARING_RING_PFN = 29;
        TRIPLE_FAULT_REASON = 31;
        IOREQ_SERVER_PFN = 32;
        NR_IOREQ_SERVER_PAGES = 33;
        VM_GENERATION_ID_ADDR = 34;
        ALTP2M = 35;
        X87_FIP_WIDTH = 36;
        VM86_TSS_SIZED = 37;
        MCA_CAP = 38;
    }

    /// `HVM_PARAM_CALLBACK_TYPE_*`.
    pub enum HvmCallbackType(u32) "HVM_PARAM_CALLBACK_TYPE_" {
        GSI = 0;
        PCI_INTX = 1;
        VECTOR = 2;
    }
}

abi_consts! {
    u64 {
        HVM_PARAM_CALLBACK_IRQ_TYPE_MASK = 0xff00000000000000;
    }
    u32 {
        _HVMPV_BASE_FREQ = 0;
        HVMPV_BASE_FREQ = 1 << 0;
        _HVMPV_NO_FREQ = 1;
        HVMPV_NO_FREQ = 1 << 1;
        _HVMPV_TIME_REF_COUNT = 2;
        HVMPV_TIME_REF_COUNT = 1 << 2;
        _HVMPV_REFERENCE_TSC = 3;
        HVMPV_REFERENCE_TSC = 1 << 3;
        _HVMPV_HCALL_REMOTE_TLB_FLUSH = 4;
        HVMPV_HCALL_REMOTE_TLB_FLUSH = 1 << 4;
        _HVMPV_APIC_ASSIST = 5;
        HVMPV_APIC_ASSIST = 1 << 5;
        _HVMPV_CRASH_CTL = 6;
        HVMPV_CRASH_CTL = 1 << 6;
        _HVMPV_SYNIC = 7;
        HVMPV_SYNIC = 1 << 7;
        _HVMPV_STIMER = 8;
        HVMPV_STIMER = 1 << 8;
        _HVMPV_HCALL_IPI = 9;
        HVMPV_HCALL_IPI = 1 << 9;
        _HVMPV_EX_PROCESSOR_MASKS = 10;
        HVMPV_EX_PROCESSOR_MASKS = 1 << 10;
        _HVMPV_NO_VP_LIMIT = 11;
        HVMPV_NO_VP_LIMIT = 1 << 11;
        _HVMPV_CPU_HOTPLUG = 12;
        HVMPV_CPU_HOTPLUG = 1 << 12;
        HVMPV_FEATURE_MASK = 0x1fff;
        HVMPTM_DELAY_FOR_MISSED_TICKS = 0;
        HVMPTM_NO_DELAY_FOR_MISSED_TICKS = 1;
        HVMPTM_NO_MISSED_TICKS_PENDING = 2;
        HVMPTM_ONE_MISSED_TICK_PENDING = 3;
        XEN_ALTP2M_DISABLED = 0;
        XEN_ALTP2M_MIXED = 1;
        XEN_ALTP2M_EXTERNAL = 2;
        XEN_ALTP2M_LIMITED = 3;
    }
    u64 {
        XEN_HVM_MCA_CAP_LMCE = 1 << 0;
    }
    u32 {
        XEN_HVM_MCA_CAP_MASK = 1;
        HVM_NR_PARAMS = 39;
    }
}
