//! Hypercall numbers, memory-management commands and the pages shared with a guest.
//!
//! Xen public/xen.h.

use crate::GuestHandle;
use crate::macros::{abi_consts, abi_structs, abi_unions, open_enums};

open_enums! {
    /// Hypercall numbers, in `rax` (or `multicall_entry.op`).
    pub enum Hypercall(u32) "__HYPERVISOR_" {
        SET_TRAP_TABLE = 0;
        MMU_UPDATE = 1;
        SET_GDT = 2;
        STACK_SWITCH = 3;
        SET_CALLBACKS = 4;
        FPU_TASKSWITCH = 5;
        SCHED_OP_COMPAT = 6;
        PLATFORM_OP = 7;
        SET_DEBUGREG = 8;
        GET_DEBUGREG = 9;
        UPDATE_DESCRIPTOR = 10;
        MEMORY_OP = 12;
        MULTICALL = 13;
        UPDATE_VA_MAPPING = 14;
        SET_TIMER_OP = 15;
        EVENT_CHANNEL_OP_COMPAT = 16;
        XEN_VERSION = 17;
        CONSOLE_IO = 18;
        PHYSDEV_OP_COMPAT = 19;
        GRANT_TABLE_OP = 20;
        VM_ASSIST = 21;
        UPDATE_VA_MAPPING_OTHERDOMAIN = 22;
        IRET = 23;
        VCPU_OP = 24;
        SET_SEGMENT_BASE = 25;
        MMUEXT_OP = 26;
        XSM_OP = 27;
        NMI_OP = 28;
        SCHED_OP = 29;
        CALLBACK_OP = 30;
        XENOPROF_OP = 31;
        EVENT_CHANNEL_OP = 32;
        PHYSDEV_OP = 33;
        HVM_OP = 34;
        SYSCTL = 35;
        DOMCTL = 36;
        KEXEC_OP = 37;
        TMEM_OP = 38;
        ARGO_OP = 39;
        XENPMU_OP = 40;
        DM_OP = 41;
        HYPFS_OP = 42;
        ARCH_0 = 48;
        ARCH_1 = 49;
        ARCH_2 = 50;
        ARCH_3 = 51;
        ARCH_4 = 52;
        ARCH_5 = 53;
        ARCH_6 = 54;
        ARCH_7 = 55;
    }

    /// Virtual interrupts: per vCPU or global, see [`Virq::is_global`].
    pub enum Virq(u32) "VIRQ_" {
        TIMER = 0;
        DEBUG = 1;
        CONSOLE = 2;
        DOM_EXC = 3;
        TBUF = 4;
        DEBUGGER = 6;
        XENOPROF = 7;
        CON_RING = 8;
        PCPU_STATE = 9;
        MEM_EVENT = 10;
        ARGO = 11;
        ENOMEM = 12;
        XENPMU = 13;
        ARCH_0 = 16;
        ARCH_1 = 17;
        ARCH_2 = 18;
        ARCH_3 = 19;
        ARCH_4 = 20;
        ARCH_5 = 21;
        ARCH_6 = 22;
        ARCH_7 = 23;
    }

    /// The low two bits of [`MmuUpdate::ptr`].
    pub enum MmuUpdateCmd(u32) "MMU_" {
        NORMAL_PT_UPDATE = 0;
        MACHPHYS_UPDATE = 1;
        PT_UPDATE_PRESERVE_AD = 2;
        PT_UPDATE_NO_TRANSLATE = 3;
    }

    /// Commands of `mmuext_op`.
    pub enum MmuextOp(u32) "MMUEXT_" {
        PIN_L1_TABLE = 0;
        PIN_L2_TABLE = 1;
        PIN_L3_TABLE = 2;
        PIN_L4_TABLE = 3;
        UNPIN_TABLE = 4;
        NEW_BASEPTR = 5;
        TLB_FLUSH_LOCAL = 6;
        INVLPG_LOCAL = 7;
        TLB_FLUSH_MULTI = 8;
        INVLPG_MULTI = 9;
        TLB_FLUSH_ALL = 10;
        INVLPG_ALL = 11;
        FLUSH_CACHE = 12;
        SET_LDT = 13;
        NEW_USER_BASEPTR = 15;
        CLEAR_PAGE = 16;
        COPY_PAGE = 17;
        FLUSH_CACHE_GLOBAL = 18;
        MARK_SUPER = 19;
        UNMARK_SUPER = 20;
    }

    /// Commands of `console_io`.
    pub enum ConsoleIo(u32) "CONSOLEIO_" {
        WRITE = 0;
        READ = 1;
    }

    /// Commands of `vm_assist`.
    pub enum VmAssistCmd(u32) "VMASST_CMD_" {
        ENABLE = 0;
        DISABLE = 1;
    }

    /// Assists that a guest switches with `vm_assist`.
    pub enum VmAssistType(u32) "VMASST_TYPE_" {
        N4GB_SEGMENTS = 0, as "VMASST_TYPE_4gb_segments";
        N4GB_SEGMENTS_NOTIFY = 1, as "VMASST_TYPE_4gb_segments_notify";
        WRITABLE_PAGETABLES = 2;
        PAE_EXTENDED_CR3 = 3;
        ARCHITECTURAL_IOPL = 4;
        RUNSTATE_UPDATE_FLAG = 5;
        M2P_STRICT = 32;
    }

    /// A domain id as a guest names it; values from [`DomId::FIRST_RESERVED`] up are no ordinary domain.
    pub enum DomId(u16) "DOMID_" {
        SELF = 0x7ff0;
        IO = 0x7ff1;
        XEN = 0x7ff2;
        COW = 0x7ff3;
        INVALID = 0x7ff4;
        IDLE = 0x7fff;
        FIRST_RESERVED = 0x7ff0;
        MASK = 0x7fff;
    }
}

abi_consts! {
    u32 {
        NR_VIRQS = 24;
    }
    u64 {
        UVMF_NONE = 0x0;
        UVMF_TLB_FLUSH = 1 << 0;
        UVMF_INVLPG = 1 << 1;
        UVMF_FLUSHTYPE_MASK = 0x3;
        UVMF_MULTI = 0x0;
        UVMF_LOCAL = 0x0;
        UVMF_ALL = 1 << 2;
    }
    u32 {
        XEN_PVCLOCK_TSC_STABLE_BIT = 1 << 0;
        XEN_PVCLOCK_GUEST_STOPPED = 1 << 1;
        MAX_GUEST_CMDLINE = 1024;
        SIF_PRIVILEGED = 1 << 0;
        SIF_INITDOMAIN = 1 << 1;
        SIF_MULTIBOOT_MOD = 1 << 2;
        SIF_MOD_START_PFN = 1 << 3;
        SIF_VIRT_P2M_4TOOLS = 1 << 4;
        SIF_PM_MASK = 0xff00;
        XEN_VGATYPE_TEXT_MODE_3 = 0x3;
        XEN_VGATYPE_VESA_LFB = 0x23;
        XEN_VGATYPE_EFI_LFB = 0x70;
    }
}

abi_structs! {
    /// `struct mmuext_op`.
    pub struct MmuextOpArg: "struct mmuext_op", size 24 {
        0 => cmd: MmuextOp,
        4 => _hole0: [u8; 4] as "",
        8 => arg1: MmuextArg1,
        16 => arg2: MmuextArg2,
    }

    /// One page-table update: `ptr` is a machine address with a [`MmuUpdateCmd`] in its low bits.
    pub struct MmuUpdate: "struct mmu_update", size 16 {
        0 => ptr: u64,
        8 => val: u64,
    }

    /// One call of a multicall.
    pub struct MulticallEntry: "struct multicall_entry", size 64 {
        0 => op: u64,
        8 => result: u64,
        16 => args: [u64; 6],
    }

    /// TSC to system time (ns); `version` is odd while it changes.
    pub struct VcpuTimeInfo: "struct vcpu_time_info", size 32 {
        0 => version: u32,
        4 => pad0: u32,
        8 => tsc_timestamp: u64,
        16 => system_time: u64,
        24 => tsc_to_system_mul: u32,
        28 => tsc_shift: i8,
        29 => flags: u8,
        30 => pad1: [u8; 2],
    }

    /// Per-vCPU part of the page shared with the guest.
    pub struct VcpuInfo: "struct vcpu_info", size 64 {
        0 => evtchn_upcall_pending: u8,
        1 => evtchn_upcall_mask: u8,
        2 => _hole0: [u8; 6] as "",
        8 => evtchn_pending_sel: u64,
        16 => arch: crate::arch_x86::ArchVcpuInfo,
        32 => time: VcpuTimeInfo,
    }

    /// The page shared between hypervisor and guest.
    pub struct SharedInfo: "struct shared_info", size 3136 {
        0 => vcpu_info: [VcpuInfo; 32],
        2048 => evtchn_pending: [u64; 64],
        2560 => evtchn_mask: [u64; 64],
        3072 => wc_version: u32,
        3076 => wc_sec: u32,
        3080 => wc_nsec: u32,
        3084 => wc_sec_hi: u32,
        3088 => arch: crate::arch_x86::ArchSharedInfo,
    }

    /// Member `domU` of [`StartInfoConsole`].
    pub struct StartInfoConsoleDomU: "__typeof__(((__typeof__(((struct start_info*)0)->console)*)0)->domU)", size 16 {
        0 => mfn: u64,
        8 => evtchn: u32,
        12 => _hole0: [u8; 4] as "",
    }

    /// Member `dom0` of [`StartInfoConsole`].
    pub struct StartInfoConsoleDom0: "__typeof__(((__typeof__(((struct start_info*)0)->console)*)0)->dom0)", size 8 {
        0 => info_off: u32,
        4 => info_size: u32,
    }

    /// What a PV kernel finds at `rsi` when it starts.
    pub struct StartInfo: "struct start_info", size 1168 {
        0 => magic: [u8; 32],
        32 => nr_pages: u64,
        40 => shared_info: u64,
        48 => flags: u32,
        52 => _hole0: [u8; 4] as "",
        56 => store_mfn: u64,
        64 => store_evtchn: u32,
        68 => _hole1: [u8; 4] as "",
        72 => console: StartInfoConsole,
        88 => pt_base: u64,
        96 => nr_pt_frames: u64,
        104 => mfn_list: u64,
        112 => mod_start: u64,
        120 => mod_len: u64,
        128 => cmd_line: [u8; 1024],
        1152 => first_p2m_pfn: u64,
        1160 => nr_p2m_frames: u64,
    }

    /// `struct xen_multiboot_mod_list`.
    pub struct MultibootModList: "struct xen_multiboot_mod_list", size 16 {
        0 => mod_start: u32,
        4 => mod_end: u32,
        8 => cmdline: u32,
        12 => pad: u32,
    }

    /// Member `text_mode_3` of [`Dom0VgaConsoleInfoU`].
    pub struct Dom0VgaConsoleInfoTextMode3: "__typeof__(((__typeof__(((struct dom0_vga_console_info*)0)->u)*)0)->text_mode_3)", size 10 {
        0 => font_height: u16,
        2 => cursor_x: u16,
        4 => cursor_y: u16,
        6 => rows: u16,
        8 => columns: u16,
    }

    /// Member `vesa_lfb` of [`Dom0VgaConsoleInfoU`].
    pub struct Dom0VgaConsoleInfoVesaLfb: "__typeof__(((__typeof__(((struct dom0_vga_console_info*)0)->u)*)0)->vesa_lfb)", size 36 {
        0 => width: u16,
        2 => height: u16,
        4 => bytes_per_line: u16,
        6 => bits_per_pixel: u16,
        8 => lfb_base: u32,
        12 => lfb_size: u32,
        16 => red_pos: u8,
        17 => red_size: u8,
        18 => green_pos: u8,
        19 => green_size: u8,
        20 => blue_pos: u8,
        21 => blue_size: u8,
        22 => rsvd_pos: u8,
        23 => rsvd_size: u8,
        24 => gbl_caps: u32,
        28 => mode_attrs: u16,
        30 => pad: u16,
        32 => ext_lfb_base: u32,
    }

    /// `struct dom0_vga_console_info`.
    pub struct Dom0VgaConsoleInfo: "struct dom0_vga_console_info", size 40 {
        0 => video_type: u8,
        1 => _hole0: [u8; 3] as "",
        4 => u: Dom0VgaConsoleInfoU,
    }

    /// `xen_uuid_t`.
    pub struct Uuid: "xen_uuid_t", size 16 {
        0 => a: [u8; 16],
    }

    /// A bitmap in guest memory.
    pub struct XenctlBitmap: "struct xenctl_bitmap", size 16 {
        0 => bitmap: GuestHandle<u8>,
        8 => nr_bits: u32,
        12 => _hole0: [u8; 4] as "",
    }
}

abi_unions! {
    /// Field `arg1` of [`MmuextOpArg`]: one of these, by what a field beside it says.
    pub union MmuextArg1: "__typeof__(((struct mmuext_op*)0)->arg1)", [u64; 1] {
        mfn / set_mfn: u64,
        linear_addr / set_linear_addr: u64,
    }

    /// Field `arg2` of [`MmuextOpArg`]: one of these, by what a field beside it says.
    pub union MmuextArg2: "__typeof__(((struct mmuext_op*)0)->arg2)", [u64; 1] {
        nr_ents / set_nr_ents: u32,
        vcpumask / set_vcpumask: GuestHandle<()>,
        src_mfn / set_src_mfn: u64,
    }

    /// Field `console` of [`StartInfo`]: one of these, by what a field beside it says.
    pub union StartInfoConsole: "__typeof__(((struct start_info*)0)->console)", [u64; 2] {
        domu / set_domu: StartInfoConsoleDomU as "domU",
        dom0 / set_dom0: StartInfoConsoleDom0,
    }

    /// Field `u` of [`Dom0VgaConsoleInfo`]: one of these, by what a field beside it says.
    pub union Dom0VgaConsoleInfoU: "__typeof__(((struct dom0_vga_console_info*)0)->u)", [u32; 9] {
        text_mode_3 / set_text_mode_3: Dom0VgaConsoleInfoTextMode3,
        vesa_lfb / set_vesa_lfb: Dom0VgaConsoleInfoVesaLfb,
    }
}

impl Virq {
    /// Whether the interrupt is one for the whole machine, bound by one domain,
    /// rather than one per vCPU.
    pub const fn is_global(self) -> bool {
        !matches!(
            self,
            Self::TIMER | Self::DEBUG | Self::XENOPROF | Self::XENPMU
        )
    }
}

impl DomId {
    /// Whether this can be an ordinary domain's id.
    pub const fn is_ordinary(self) -> bool {
        self.0 < Self::FIRST_RESERVED.0
    }
}
