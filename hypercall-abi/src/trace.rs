//! Trace buffers and event numbers.
//!
//! Xen public/trace.h.

use crate::macros::{abi_consts, abi_structs, abi_unions};

abi_consts! {
    u32 {
        TRACE_EXTRA_MAX = 7;
        TRACE_EXTRA_SHIFT = 28;
        TRC_CLS_SHIFT = 16;
        TRC_GEN = 0x1f000;
        TRC_SCHED = 0x2f000;
        TRC_DOM0OP = 0x4f000;
        TRC_HVM = 0x8f000;
        TRC_MEM = 0x10f000;
        TRC_PV = 0x20f000;
        TRC_SHADOW = 0x40f000;
        TRC_HW = 0x80f000;
        TRC_GUEST = 0x800f000;
        TRC_ALL = 0xffff000;
        TRC_HD_CYCLE_FLAG = 1 << 31;
        TRC_SUBCLS_SHIFT = 12;
        TRC_HVM_ENTRYEXIT = 0x81000;
        TRC_HVM_HANDLER = 0x82000;
        TRC_HVM_EMUL = 0x84000;
        TRC_SCHED_MIN = 0x21000;
        TRC_SCHED_CLASS = 0x22000;
        TRC_SCHED_VERBOSE = 0x28000;
        TRC_SCHED_ID_BITS = 3;
        TRC_SCHED_ID_SHIFT = 9;
        TRC_SCHED_ID_MASK = 0xe00;
    }
    u64 {
        TRC_SCHED_EVT_MASK = 0xfffffffffffff1ff;
    }
    u32 {
        TRC_SCHED_CSCHED = 0;
        TRC_SCHED_CSCHED2 = 1;
        TRC_SCHED_ARINC653 = 3;
        TRC_SCHED_RTDS = 4;
        TRC_SCHED_SNULL = 5;
        TRC_DOM0_DOMOPS = 0x41000;
        TRC_HW_PM = 0x801000;
        TRC_HW_IRQ = 0x802000;
        TRC_LOST_RECORDS = 0x1f001;
        TRC_TRACE_WRAP_BUFFER = 0x1f002;
        TRC_TRACE_CPU_CHANGE = 0x1f003;
        TRC_SCHED_RUNSTATE_CHANGE = 0x21001;
        TRC_SCHED_CONTINUE_RUNNING = 0x21002;
        TRC_SCHED_DOM_ADD = 0x28001;
        TRC_SCHED_DOM_REM = 0x28002;
        TRC_SCHED_SLEEP = 0x28003;
        TRC_SCHED_WAKE = 0x28004;
        TRC_SCHED_YIELD = 0x28005;
        TRC_SCHED_BLOCK = 0x28006;
        TRC_SCHED_SHUTDOWN = 0x28007;
        TRC_SCHED_CTL = 0x28008;
        TRC_SCHED_ADJDOM = 0x28009;
        TRC_SCHED_SWITCH = 0x2800a;
        TRC_SCHED_S_TIMER_FN = 0x2800b;
        TRC_SCHED_T_TIMER_FN = 0x2800c;
        TRC_SCHED_DOM_TIMER_FN = 0x2800d;
        TRC_SCHED_SWITCH_INFPREV = 0x2800e;
        TRC_SCHED_SWITCH_INFNEXT = 0x2800f;
        TRC_SCHED_SHUTDOWN_CODE = 0x28010;
        TRC_SCHED_SWITCH_INFCONT = 0x28011;
        TRC_DOM0_DOM_ADD = 0x41001;
        TRC_DOM0_DOM_REM = 0x41002;
        TRC_MEM_PAGE_GRANT_MAP = 0x10f001;
        TRC_MEM_PAGE_GRANT_UNMAP = 0x10f002;
        TRC_MEM_PAGE_GRANT_TRANSFER = 0x10f003;
        TRC_MEM_SET_P2M_ENTRY = 0x10f004;
        TRC_MEM_DECREASE_RESERVATION = 0x10f005;
        TRC_MEM_POD_POPULATE = 0x10f010;
        TRC_MEM_POD_ZERO_RECLAIM = 0x10f011;
        TRC_MEM_POD_SUPERPAGE_SPLINTER = 0x10f012;
        TRC_PV_ENTRY = 0x201000;
        TRC_PV_SUBCALL = 0x202000;
        TRC_PV_HYPERCALL = 0x201001;
        TRC_PV_TRAP = 0x201003;
        TRC_PV_PAGE_FAULT = 0x201004;
        TRC_PV_FORCED_INVALID_OP = 0x201005;
        TRC_PV_EMULATE_PRIVOP = 0x201006;
        TRC_PV_EMULATE_4GB = 0x201007;
        TRC_PV_MATH_STATE_RESTORE = 0x201008;
        TRC_PV_PAGING_FIXUP = 0x201009;
        TRC_PV_GDT_LDT_MAPPING_FAULT = 0x20100a;
        TRC_PV_PTWR_EMULATION = 0x20100b;
        TRC_PV_PTWR_EMULATION_PAE = 0x20100c;
        TRC_PV_HYPERCALL_V2 = 0x20100d;
        TRC_PV_HYPERCALL_SUBCALL = 0x20200e;
        TRC_PV_HYPERCALL_V2_ARG_MASK = 0xfff00000;
        TRC_SHADOW_NOT_SHADOW = 0x40f001;
        TRC_SHADOW_FAST_PROPAGATE = 0x40f002;
        TRC_SHADOW_FAST_MMIO = 0x40f003;
        TRC_SHADOW_FALSE_FAST_PATH = 0x40f004;
        TRC_SHADOW_MMIO = 0x40f005;
        TRC_SHADOW_FIXUP = 0x40f006;
        TRC_SHADOW_DOMF_DYING = 0x40f007;
        TRC_SHADOW_EMULATE = 0x40f008;
        TRC_SHADOW_EMULATE_UNSHADOW_USER = 0x40f009;
        TRC_SHADOW_EMULATE_UNSHADOW_EVTINJ = 0x40f00a;
        TRC_SHADOW_EMULATE_UNSHADOW_UNHANDLED = 0x40f00b;
        TRC_SHADOW_WRMAP_BF = 0x40f00c;
        TRC_SHADOW_PREALLOC_UNPIN = 0x40f00d;
        TRC_SHADOW_RESYNC_FULL = 0x40f00e;
        TRC_SHADOW_RESYNC_ONLY = 0x40f00f;
        TRC_HVM_NESTEDFLAG = 0x400;
        TRC_HVM_VMENTRY = 0x81001;
        TRC_HVM_VMEXIT = 0x81002;
        TRC_HVM_VMEXIT64 = 0x81102;
        TRC_HVM_PF_XEN = 0x82001;
        TRC_HVM_PF_XEN64 = 0x82101;
        TRC_HVM_PF_INJECT = 0x82002;
        TRC_HVM_PF_INJECT64 = 0x82102;
        TRC_HVM_INJ_EXC = 0x82003;
        TRC_HVM_INJ_VIRQ = 0x82004;
        TRC_HVM_REINJ_VIRQ = 0x82005;
        TRC_HVM_IO_READ = 0x82006;
        TRC_HVM_IO_WRITE = 0x82007;
        TRC_HVM_CR_READ = 0x82008;
        TRC_HVM_CR_READ64 = 0x82108;
        TRC_HVM_CR_WRITE = 0x82009;
        TRC_HVM_CR_WRITE64 = 0x82109;
        TRC_HVM_DR_READ = 0x8200a;
        TRC_HVM_DR_WRITE = 0x8200b;
        TRC_HVM_MSR_READ = 0x8200c;
        TRC_HVM_MSR_WRITE = 0x8200d;
        TRC_HVM_CPUID = 0x8200e;
        TRC_HVM_INTR = 0x8200f;
        TRC_HVM_NMI = 0x82010;
        TRC_HVM_SMI = 0x82011;
        TRC_HVM_VMMCALL = 0x82012;
        TRC_HVM_HLT = 0x82013;
        TRC_HVM_INVLPG = 0x82014;
        TRC_HVM_INVLPG64 = 0x82114;
        TRC_HVM_MCE = 0x82015;
        TRC_HVM_IOPORT_READ = 0x82016;
        TRC_HVM_IOMEM_READ = 0x82017;
        TRC_HVM_CLTS = 0x82018;
        TRC_HVM_LMSW = 0x82019;
        TRC_HVM_LMSW64 = 0x82119;
        TRC_HVM_RDTSC = 0x8201a;
        TRC_HVM_INTR_WINDOW = 0x82020;
        TRC_HVM_NPF = 0x82021;
        TRC_HVM_REALMODE_EMULATE = 0x82022;
        TRC_HVM_TRAP = 0x82023;
        TRC_HVM_TRAP_DEBUG = 0x82024;
        TRC_HVM_VLAPIC = 0x82025;
        TRC_HVM_XCR_READ64 = 0x82126;
        TRC_HVM_XCR_WRITE64 = 0x82127;
        TRC_HVM_IOPORT_WRITE = 0x82216;
        TRC_HVM_IOMEM_WRITE = 0x82217;
        TRC_HVM_EMUL_HPET_START_TIMER = 0x84001;
        TRC_HVM_EMUL_PIT_START_TIMER = 0x84002;
        TRC_HVM_EMUL_RTC_START_TIMER = 0x84003;
        TRC_HVM_EMUL_LAPIC_START_TIMER = 0x84004;
        TRC_HVM_EMUL_HPET_STOP_TIMER = 0x84005;
        TRC_HVM_EMUL_PIT_STOP_TIMER = 0x84006;
        TRC_HVM_EMUL_RTC_STOP_TIMER = 0x84007;
        TRC_HVM_EMUL_LAPIC_STOP_TIMER = 0x84008;
        TRC_HVM_EMUL_PIT_TIMER_CB = 0x84009;
        TRC_HVM_EMUL_LAPIC_TIMER_CB = 0x8400a;
        TRC_HVM_EMUL_PIC_INT_OUTPUT = 0x8400b;
        TRC_HVM_EMUL_PIC_KICK = 0x8400c;
        TRC_HVM_EMUL_PIC_INTACK = 0x8400d;
        TRC_HVM_EMUL_PIC_POSEDGE = 0x8400e;
        TRC_HVM_EMUL_PIC_NEGEDGE = 0x8400f;
        TRC_HVM_EMUL_PIC_PEND_IRQ_CALL = 0x84010;
        TRC_HVM_EMUL_LAPIC_PIC_INTR = 0x84011;
        TRC_PM_FREQ_CHANGE = 0x801001;
        TRC_PM_IDLE_ENTRY = 0x801002;
        TRC_PM_IDLE_EXIT = 0x801003;
        TRC_HW_IRQ_MOVE_CLEANUP_DELAY = 0x802001;
        TRC_HW_IRQ_MOVE_CLEANUP = 0x802002;
        TRC_HW_IRQ_BIND_VECTOR = 0x802003;
        TRC_HW_IRQ_CLEAR_VECTOR = 0x802004;
        TRC_HW_IRQ_MOVE_FINISH = 0x802005;
        TRC_HW_IRQ_ASSIGN_VECTOR = 0x802006;
        TRC_HW_IRQ_UNMAPPED_VECTOR = 0x802007;
        TRC_HW_IRQ_HANDLED = 0x802008;
        TRC_64_FLAG = 0x100;
        TREC_EVENT_MASK = 0xfffffff, as "({ struct t_rec x; memset(&x, 0, sizeof(x)); x.event = ~0; *(uint32_t *)((char *)&x + 0); })";
        TREC_EXTRA_U32_MASK = 0x70000000, as "({ struct t_rec x; memset(&x, 0, sizeof(x)); x.extra_u32 = ~0; *(uint32_t *)((char *)&x + 0); })";
        TREC_CYCLES_INCLUDED_MASK = 0x80000000, as "({ struct t_rec x; memset(&x, 0, sizeof(x)); x.cycles_included = ~0; *(uint32_t *)((char *)&x + 0); })";
    }
}

abi_structs! {
    /// Member `cycles` of [`TRecU`].
    pub struct TRecCycles: "__typeof__(((__typeof__(((struct t_rec*)0)->u)*)0)->cycles)", size 36 {
        0 => cycles_lo: u32,
        4 => cycles_hi: u32,
        8 => extra_u32: [u32; 7],
    }

    /// Member `nocycles` of [`TRecU`].
    pub struct TRecNocycles: "__typeof__(((__typeof__(((struct t_rec*)0)->u)*)0)->nocycles)", size 28 {
        0 => extra_u32: [u32; 7],
    }

    /// `struct t_rec`.
    pub struct TRec: "struct t_rec", size 40 {
        0 => bits0: u32 as "",
        4 => u: TRecU,
    }

    /// `struct t_buf`.
    pub struct TBuf: "struct t_buf", size 8 {
        0 => cons: u32,
        4 => prod: u32,
    }

    /// `struct t_info`.
    pub struct TInfo: "struct t_info", size 2 {
        0 => tbuf_size: u16,
    }
}

abi_unions! {
    /// Field `u` of [`TRec`]: one of these, by what a field beside it says.
    pub union TRecU: "__typeof__(((struct t_rec*)0)->u)", [u32; 9] {
        cycles / set_cycles: TRecCycles,
        nocycles / set_nocycles: TRecNocycles,
    }
}
