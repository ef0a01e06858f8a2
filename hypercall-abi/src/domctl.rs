//! Control of domains, for the tools. Layouts of interface version 0x15 (Xen 4.17).
//!
//! Xen public/domctl.h.

pub(crate) mod debug;
pub(crate) mod device;
pub(crate) mod sched;
pub(crate) mod vcpu;
pub use debug::*;
pub use device::*;
pub use sched::*;
pub use vcpu::*;

use crate::GuestHandle;
use crate::event_channel::EvtchnPort;
use crate::macros::{abi_consts, abi_structs, abi_unions, open_enums};
use crate::xen::DomId;

open_enums! {
    /// Sub-commands of `DomctlCmd::SHADOW_OP`.
    pub enum DomctlShadowCmd(u32) "XEN_DOMCTL_SHADOW_OP_" {
        OFF = 0;
        ENABLE = 32;
        CLEAN = 11;
        PEEK = 12;
        GET_ALLOCATION = 30;
        SET_ALLOCATION = 31;
        ENABLE_TEST = 1;
        ENABLE_LOGDIRTY = 2;
    }

    /// Schedulers by number.
    pub enum Scheduler(u32) "XEN_SCHEDULER_" {
        CREDIT = 5;
        CREDIT2 = 6;
        ARINC653 = 7;
        RTDS = 8;
        NULL = 9;
    }

    /// Sub-commands of `DomctlCmd::SCHEDULER_OP`.
    pub enum DomctlSchedOp(u32) "XEN_DOMCTL_SCHEDOP_" {
        PUTINFO = 0;
        GETINFO = 1;
        PUTVCPUINFO = 2;
        GETVCPUINFO = 3;
    }

    /// What `DomctlCmd::SENDTRIGGER` injects.
    pub enum SendTrigger(u32) "XEN_DOMCTL_SENDTRIGGER_" {
        NMI = 0;
        RESET = 1;
        INIT = 2;
        POWER = 3;
        SLEEP = 4;
    }

    /// `PT_IRQ_TYPE_*`.
    pub enum PtIrqType(u32) "PT_IRQ_TYPE_" {
        PCI = 0;
        ISA = 1;
        MSI = 2;
        MSI_TRANSLATE = 3;
        SPI = 4;
    }

    /// `XEN_DOMCTL_MEM_CACHEATTR_*`.
    pub enum MemCacheAttr(u32) "XEN_DOMCTL_MEM_CACHEATTR_" {
        UC = 0;
        WC = 1;
        WT = 4;
        WP = 5;
        WB = 6;
        UCM = 7;
    }

    /// `XEN_DOMCTL_DEBUG_OP_*`.
    pub enum DomctlDebugCmd(u32) "XEN_DOMCTL_DEBUG_OP_" {
        SINGLE_STEP_OFF = 0;
        SINGLE_STEP_ON = 1;
    }

    /// `XEN_VM_EVENT_*`.
    pub enum DomctlVmEventCmd(u32) "XEN_VM_EVENT_" {
        ENABLE = 0;
        DISABLE = 1;
        RESUME = 2;
        GET_VERSION = 3;
    }

    /// `XEN_DOMCTL_VM_EVENT_OP_*`.
    pub enum DomctlVmEventMode(u32) "XEN_DOMCTL_VM_EVENT_OP_" {
        PAGING = 1;
        MONITOR = 2;
        SHARING = 3;
    }

    /// `XEN_DOMCTL_PSR_CMT_OP_*`.
    pub enum DomctlPsrCmtCmd(u32) "XEN_DOMCTL_PSR_CMT_OP_" {
        DETACH = 0;
        ATTACH = 1;
        QUERY_RMID = 2;
    }

    /// `XEN_DOMCTL_MONITOR_OP_*`.
    pub enum DomctlMonitorCmd(u32) "XEN_DOMCTL_MONITOR_OP_" {
        ENABLE = 0;
        DISABLE = 1;
        GET_CAPABILITIES = 2;
        EMULATE_EACH_REP = 3;
        CONTROL_REGISTERS = 4;
    }

    /// `XEN_DOMCTL_MONITOR_EVENT_*`.
    pub enum DomctlMonitorEvent(u32) "XEN_DOMCTL_MONITOR_EVENT_" {
        WRITE_CTRLREG = 0;
        MOV_TO_MSR = 1;
        SINGLESTEP = 2;
        SOFTWARE_BREAKPOINT = 3;
        GUEST_REQUEST = 4;
        DEBUG_EXCEPTION = 5;
        CPUID = 6;
        PRIVILEGED_CALL = 7;
        INTERRUPT = 8;
        DESC_ACCESS = 9;
        EMUL_UNIMPLEMENTED = 10;
        INGUEST_PAGEFAULT = 11;
        VMEXIT = 12;
    }

    /// `XEN_DOMCTL_PSR_*`.
    pub enum DomctlPsrCmd(u32) "XEN_DOMCTL_PSR_" {
        SET_L3_CBM = 0;
        GET_L3_CBM = 1;
        SET_L3_CODE = 2;
        SET_L3_DATA = 3;
        GET_L3_CODE = 4;
        GET_L3_DATA = 5;
        SET_L2_CBM = 6;
        GET_L2_CBM = 7;
        SET_MBA_THRTL = 8;
        GET_MBA_THRTL = 9;
    }

    /// `XEN_DOMCTL_vmtrace_*`.
    pub enum DomctlVmtraceCmd(u32) "XEN_DOMCTL_vmtrace_" {
        ENABLE = 1;
        DISABLE = 2;
        RESET_AND_ENABLE = 3;
        OUTPUT_POSITION = 4;
        GET_OPTION = 5;
        SET_OPTION = 6;
    }

    /// Commands of `domctl`.
    pub enum DomctlCmd(u32) "XEN_DOMCTL_" {
        CREATEDOMAIN = 1;
        DESTROYDOMAIN = 2;
        PAUSEDOMAIN = 3;
        UNPAUSEDOMAIN = 4;
        GETDOMAININFO = 5;
        SETVCPUAFFINITY = 9;
        SHADOW_OP = 10;
        MAX_MEM = 11;
        SETVCPUCONTEXT = 12;
        GETVCPUCONTEXT = 13;
        GETVCPUINFO = 14;
        MAX_VCPUS = 15;
        SCHEDULER_OP = 16;
        SETDOMAINHANDLE = 17;
        SETDEBUGGING = 18;
        IRQ_PERMISSION = 19;
        IOMEM_PERMISSION = 20;
        IOPORT_PERMISSION = 21;
        HYPERCALL_INIT = 22;
        SETTIMEOFFSET = 24;
        GETVCPUAFFINITY = 25;
        REAL_MODE_AREA = 26;
        RESUMEDOMAIN = 27;
        SENDTRIGGER = 28;
        SUBSCRIBE = 29;
        GETHVMCONTEXT = 33;
        SETHVMCONTEXT = 34;
        SET_ADDRESS_SIZE = 35;
        GET_ADDRESS_SIZE = 36;
        ASSIGN_DEVICE = 37;
        BIND_PT_IRQ = 38;
        MEMORY_MAPPING = 39;
        IOPORT_MAPPING = 40;
        SET_EXT_VCPUCONTEXT = 42;
        GET_EXT_VCPUCONTEXT = 43;
        SET_OPT_FEATURE = 44;
        TEST_ASSIGN_DEVICE = 45;
        SET_TARGET = 46;
        DEASSIGN_DEVICE = 47;
        UNBIND_PT_IRQ = 48;
        GET_DEVICE_GROUP = 50;
        DEBUG_OP = 54;
        GETHVMCONTEXT_PARTIAL = 55;
        VM_EVENT_OP = 56;
        MEM_SHARING_OP = 57;
        GETTSCINFO = 59;
        SETTSCINFO = 60;
        GETPAGEFRAMEINFO3 = 61;
        SETVCPUEXTSTATE = 62;
        GETVCPUEXTSTATE = 63;
        SET_ACCESS_REQUIRED = 64;
        AUDIT_P2M = 65;
        SET_VIRQ_HANDLER = 66;
        SET_BROKEN_PAGE_P2M = 67;
        SETNODEAFFINITY = 68;
        GETNODEAFFINITY = 69;
        CACHEFLUSH = 71;
        GET_VCPU_MSRS = 72;
        SET_VCPU_MSRS = 73;
        SETVNUMAINFO = 74;
        PSR_CMT_OP = 75;
        MONITOR_OP = 77;
        PSR_ALLOC = 78;
        SOFT_RESET = 79;
        VUART_OP = 81;
        GET_CPU_POLICY = 82;
        SET_CPU_POLICY = 83;
        VMTRACE_OP = 84;
        GET_PAGING_MEMPOOL_SIZE = 85;
        SET_PAGING_MEMPOOL_SIZE = 86;
        GDBSX_GUESTMEMIO = 1000;
        GDBSX_PAUSEVCPU = 1001;
        GDBSX_UNPAUSEVCPU = 1002;
        GDBSX_DOMSTATUS = 1003;
    }
}

abi_consts! {
    u32 {
        XEN_DOMCTL_INTERFACE_VERSION = 0x15;
        _XEN_DOMCTL_CDF_HVM = 0;
        XEN_DOMCTL_CDF_HVM = 1 << 0;
        _XEN_DOMCTL_CDF_HAP = 1;
        XEN_DOMCTL_CDF_HAP = 1 << 1;
        _XEN_DOMCTL_CDF_S3_INTEGRITY = 2;
        XEN_DOMCTL_CDF_S3_INTEGRITY = 1 << 2;
        _XEN_DOMCTL_CDF_OOS_OFF = 3;
        XEN_DOMCTL_CDF_OOS_OFF = 1 << 3;
        _XEN_DOMCTL_CDF_XS_DOMAIN = 4;
        XEN_DOMCTL_CDF_XS_DOMAIN = 1 << 4;
        _XEN_DOMCTL_CDF_IOMMU = 5;
        XEN_DOMCTL_CDF_IOMMU = 1 << 5;
        _XEN_DOMCTL_CDF_NESTED_VIRT = 6;
        XEN_DOMCTL_CDF_NESTED_VIRT = 1 << 6;
        XEN_DOMCTL_CDF_VPMU = 1 << 7;
        XEN_DOMCTL_CDF_MAX = 128;
        _XEN_DOMCTL_IOMMU_NO_SHAREPT = 0;
        XEN_DOMCTL_IOMMU_NO_SHAREPT = 1 << 0;
        XEN_DOMCTL_IOMMU_MAX = 1;
        XEN_DOMCTL_GRANT_VERSION_MASK = 0xf;
        _XEN_DOMINF_DYING = 0;
        XEN_DOMINF_DYING = 1 << 0;
        _XEN_DOMINF_HVM_GUEST = 1;
        XEN_DOMINF_HVM_GUEST = 1 << 1;
        _XEN_DOMINF_SHUTDOWN = 2;
        XEN_DOMINF_SHUTDOWN = 1 << 2;
        _XEN_DOMINF_PAUSED = 3;
        XEN_DOMINF_PAUSED = 1 << 3;
        _XEN_DOMINF_BLOCKED = 4;
        XEN_DOMINF_BLOCKED = 1 << 4;
        _XEN_DOMINF_RUNNING = 5;
        XEN_DOMINF_RUNNING = 1 << 5;
        _XEN_DOMINF_DEBUGGED = 6;
        XEN_DOMINF_DEBUGGED = 1 << 6;
        _XEN_DOMINF_XS_DOMAIN = 7;
        XEN_DOMINF_XS_DOMAIN = 1 << 7;
        _XEN_DOMINF_HAP = 8;
        XEN_DOMINF_HAP = 1 << 8;
        XEN_DOMINF_SHUTDOWNMASK = 255;
        XEN_DOMINF_SHUTDOWNSHIFT = 16;
        XEN_INVALID_MAX_VCPU_ID = 0xffffffff;
        XEN_DOMCTL_PFINFO_LTAB_SHIFT = 28;
        XEN_DOMCTL_PFINFO_NOTAB = 0x0;
        XEN_DOMCTL_PFINFO_L1TAB = 1 << 28;
        XEN_DOMCTL_PFINFO_L2TAB = 1 << 29;
        XEN_DOMCTL_PFINFO_L3TAB = 0x30000000;
        XEN_DOMCTL_PFINFO_L4TAB = 1 << 30;
        XEN_DOMCTL_PFINFO_LTABTYPE_MASK = 0x70000000;
        XEN_DOMCTL_PFINFO_LPINTAB = 1 << 31;
        XEN_DOMCTL_PFINFO_XTAB = 0xf0000000;
        XEN_DOMCTL_PFINFO_XALLOC = 0xe0000000;
        XEN_DOMCTL_PFINFO_BROKEN = 0xd0000000;
        XEN_DOMCTL_PFINFO_LTAB_MASK = 0xf0000000;
        XEN_DOMCTL_SHADOW_ENABLE_REFCOUNT = 1 << 1;
        XEN_DOMCTL_SHADOW_ENABLE_LOG_DIRTY = 1 << 2;
        XEN_DOMCTL_SHADOW_ENABLE_TRANSLATE = 1 << 3;
        XEN_DOMCTL_SHADOW_ENABLE_EXTERNAL = 1 << 4;
        XEN_DOMCTL_SHADOW_LOGDIRTY_FINAL = 1 << 0;
        _XEN_VCPUAFFINITY_HARD = 0;
        XEN_VCPUAFFINITY_HARD = 1 << 0;
        _XEN_VCPUAFFINITY_SOFT = 1;
        XEN_VCPUAFFINITY_SOFT = 1 << 1;
        _XEN_VCPUAFFINITY_FORCE = 2;
        XEN_VCPUAFFINITY_FORCE = 1 << 2;
        _XEN_DOMCTL_SCHEDRT_EXTRA = 0;
        XEN_DOMCTL_SCHEDRT_EXTRA = 1 << 0;
        XEN_DOMCTL_DEV_PCI = 0;
        XEN_DOMCTL_DEV_DT = 1;
        XEN_DOMCTL_DEV_RDM_RELAXED = 1;
        XEN_DOMCTL_VMSI_X86_DEST_ID_MASK = 0xff;
        XEN_DOMCTL_VMSI_X86_RH_MASK = 0x100;
        XEN_DOMCTL_VMSI_X86_DM_MASK = 0x200;
        XEN_DOMCTL_VMSI_X86_DELIV_MASK = 0x7000;
        XEN_DOMCTL_VMSI_X86_TRIG_MASK = 0x8000;
        XEN_DOMCTL_VMSI_X86_UNMASKED = 0x10000;
        DPCI_ADD_MAPPING = 1;
        DPCI_REMOVE_MAPPING = 0;
        XEN_DOMCTL_DELETE_MEM_CACHEATTR = 0xffffffff;
        XEN_CPUID_INPUT_UNUSED = 0xffffffff;
        XEN_DOMCTL_MEM_SHARING_CONTROL = 0;
        XEN_DOMCTL_VUART_OP_INIT = 0;
        XEN_DOMCTL_VUART_TYPE_VPL011 = 0;
    }
}

abi_structs! {
    /// `struct xen_domctl_createdomain`: the argument of [`DomctlCmd::CREATEDOMAIN`].
    pub struct DomctlCreatedomain: "struct xen_domctl_createdomain", size 64 {
        0 => ssidref: u32,
        4 => handle: [u8; 16],
        20 => flags: u32,
        24 => iommu_opts: u32,
        28 => max_vcpus: u32,
        32 => max_evtchn_port: u32,
        36 => max_grant_frames: i32,
        40 => max_maptrack_frames: i32,
        44 => grant_opts: u32,
        48 => vmtrace_size: u32,
        52 => cpupool_id: u32,
        56 => arch: crate::arch_x86::ArchDomainconfig,
    }

    /// `struct xen_domctl_getdomaininfo`: the argument of [`DomctlCmd::GETDOMAININFO`].
    pub struct DomctlGetdomaininfo: "struct xen_domctl_getdomaininfo", size 112 {
        0 => domain: DomId,
        2 => pad1: u16,
        4 => flags: u32,
        8 => tot_pages: u64,
        16 => max_pages: u64,
        24 => outstanding_pages: u64,
        32 => shr_pages: u64,
        40 => paged_pages: u64,
        48 => shared_info_frame: u64,
        56 => cpu_time: u64,
        64 => nr_online_vcpus: u32,
        68 => max_vcpu_id: u32,
        72 => ssidref: u32,
        76 => handle: [u8; 16],
        92 => cpupool: u32,
        96 => gpaddr_bits: u8,
        97 => pad2: [u8; 7],
        104 => arch_config: crate::arch_x86::ArchDomainconfig,
    }

    /// `struct xen_domctl_getpageframeinfo3`: the argument of [`DomctlCmd::GETPAGEFRAMEINFO3`].
    pub struct DomctlGetpageframeinfo3: "struct xen_domctl_getpageframeinfo3", size 16 {
        0 => num: u64,
        8 => array: GuestHandle<u64>,
    }

    /// `struct xen_domctl_shadow_op_stats`.
    pub struct DomctlShadowOpStats: "struct xen_domctl_shadow_op_stats", size 8 {
        0 => fault_count: u32,
        4 => dirty_count: u32,
    }

    /// `struct xen_domctl_shadow_op`: the argument of [`DomctlCmd::SHADOW_OP`].
    pub struct DomctlShadowOp: "struct xen_domctl_shadow_op", size 40 {
        0 => op: DomctlShadowCmd,
        4 => mode: u32,
        8 => mb: u32,
        12 => _hole0: [u8; 4] as "",
        16 => dirty_bitmap: GuestHandle<u8>,
        24 => pages: u64,
        32 => stats: DomctlShadowOpStats,
    }

    /// `struct xen_domctl_max_mem`: the argument of [`DomctlCmd::MAX_MEM`].
    pub struct DomctlMaxMem: "struct xen_domctl_max_mem", size 8 {
        0 => max_memkb: u64,
    }

    /// `struct xen_domctl_setdomainhandle`: the argument of [`DomctlCmd::SETDOMAINHANDLE`].
    pub struct DomctlSetdomainhandle: "struct xen_domctl_setdomainhandle", size 16 {
        0 => handle: [u8; 16],
    }

    /// `struct xen_domctl_setdebugging`: the argument of [`DomctlCmd::SETDEBUGGING`].
    pub struct DomctlSetdebugging: "struct xen_domctl_setdebugging", size 1 {
        0 => enable: u8,
    }

    /// `struct xen_domctl_hypercall_init`: the argument of [`DomctlCmd::HYPERCALL_INIT`].
    pub struct DomctlHypercallInit: "struct xen_domctl_hypercall_init", size 8 {
        0 => gmfn: u64,
    }

    /// `struct xen_domctl_settimeoffset`: the argument of [`DomctlCmd::SETTIMEOFFSET`].
    pub struct DomctlSettimeoffset: "struct xen_domctl_settimeoffset", size 8 {
        0 => time_offset_seconds: i64,
    }

    /// `struct xen_domctl_set_target`: the argument of [`DomctlCmd::SET_TARGET`].
    pub struct DomctlSetTarget: "struct xen_domctl_set_target", size 2 {
        0 => target: DomId,
    }

    /// `struct xen_domctl_set_virq_handler`: the argument of [`DomctlCmd::SET_VIRQ_HANDLER`].
    pub struct DomctlSetVirqHandler: "struct xen_domctl_set_virq_handler", size 4 {
        0 => virq: u32,
    }

    /// `struct xen_domctl_set_broken_page_p2m`: the argument of [`DomctlCmd::SET_BROKEN_PAGE_P2M`].
    pub struct DomctlSetBrokenPageP2m: "struct xen_domctl_set_broken_page_p2m", size 8 {
        0 => pfn: u64,
    }

    /// `struct xen_domctl_cacheflush`: the argument of [`DomctlCmd::CACHEFLUSH`].
    pub struct DomctlCacheflush: "struct xen_domctl_cacheflush", size 16 {
        0 => start_pfn: u64,
        8 => nr_pfns: u64,
    }

    /// `struct xen_domctl_paging_mempool`.
    pub struct DomctlPagingMempool: "struct xen_domctl_paging_mempool", size 8 {
        0 => size: u64,
    }

    /// `struct xen_domctl_vuart_op`: the argument of [`DomctlCmd::VUART_OP`].
    pub struct DomctlVuartOp: "struct xen_domctl_vuart_op", size 24 {
        0 => cmd: u32,
        4 => r#type: u32 as "type",
        8 => gfn: u64,
        16 => console_domid: DomId,
        18 => pad: [u8; 2],
        20 => evtchn: EvtchnPort,
    }

    /// `struct xen_domctl`.
    pub struct Domctl: "struct xen_domctl", size 144 {
        0 => cmd: DomctlCmd,
        4 => interface_version: InterfaceVersion,
        8 => domain: DomId,
        10 => _pad: [u16; 3],
        16 => u: DomctlU,
    }
}

abi_unions! {
    /// Field `u` of [`Domctl`]: one of these, by what a field beside it says.
    pub union DomctlU: "__typeof__(((struct xen_domctl*)0)->u)", [u64; 16] {
        createdomain / set_createdomain: DomctlCreatedomain,
        getdomaininfo / set_getdomaininfo: DomctlGetdomaininfo,
        getpageframeinfo3 / set_getpageframeinfo3: DomctlGetpageframeinfo3,
        nodeaffinity / set_nodeaffinity: DomctlNodeaffinity,
        vcpuaffinity / set_vcpuaffinity: DomctlVcpuaffinity,
        shadow_op / set_shadow_op: DomctlShadowOp,
        max_mem / set_max_mem: DomctlMaxMem,
        vcpucontext / set_vcpucontext: DomctlVcpucontext,
        getvcpuinfo / set_getvcpuinfo: DomctlGetvcpuinfo,
        max_vcpus / set_max_vcpus: DomctlMaxVcpus,
        scheduler_op / set_scheduler_op: DomctlSchedulerOp,
        setdomainhandle / set_setdomainhandle: DomctlSetdomainhandle,
        setdebugging / set_setdebugging: DomctlSetdebugging,
        irq_permission / set_irq_permission: DomctlIrqPermission,
        iomem_permission / set_iomem_permission: DomctlIomemPermission,
        ioport_permission / set_ioport_permission: DomctlIoportPermission,
        hypercall_init / set_hypercall_init: DomctlHypercallInit,
        settimeoffset / set_settimeoffset: DomctlSettimeoffset,
        tsc_info / set_tsc_info: DomctlTscInfo,
        hvmcontext / set_hvmcontext: DomctlHvmcontext,
        hvmcontext_partial / set_hvmcontext_partial: DomctlHvmcontextPartial,
        address_size / set_address_size: DomctlAddressSize,
        sendtrigger / set_sendtrigger: DomctlSendtrigger,
        get_device_group / set_get_device_group: DomctlGetDeviceGroup,
        assign_device / set_assign_device: DomctlAssignDevice,
        bind_pt_irq / set_bind_pt_irq: DomctlBindPtIrq,
        memory_mapping / set_memory_mapping: DomctlMemoryMapping,
        ioport_mapping / set_ioport_mapping: DomctlIoportMapping,
        ext_vcpucontext / set_ext_vcpucontext: DomctlExtVcpucontext,
        set_target / set_set_target: DomctlSetTarget,
        subscribe / set_subscribe: DomctlSubscribe,
        debug_op / set_debug_op: DomctlDebugOp,
        vm_event_op / set_vm_event_op: DomctlVmEventOp,
        mem_sharing_op / set_mem_sharing_op: DomctlMemSharingOp,
        cpu_policy / set_cpu_policy: DomctlCpuPolicy,
        vcpuextstate / set_vcpuextstate: DomctlVcpuextstate,
        vcpu_msrs / set_vcpu_msrs: DomctlVcpuMsrs,
        access_required / set_access_required: DomctlSetAccessRequired,
        audit_p2m / set_audit_p2m: DomctlAuditP2m,
        set_virq_handler / set_set_virq_handler: DomctlSetVirqHandler,
        gdbsx_guest_memio / set_gdbsx_guest_memio: DomctlGdbsxMemio,
        set_broken_page_p2m / set_set_broken_page_p2m: DomctlSetBrokenPageP2m,
        cacheflush / set_cacheflush: DomctlCacheflush,
        gdbsx_pauseunp_vcpu / set_gdbsx_pauseunp_vcpu: DomctlGdbsxPauseunpVcpu,
        gdbsx_domstatus / set_gdbsx_domstatus: DomctlGdbsxDomstatus,
        vnuma / set_vnuma: DomctlVnuma,
        psr_cmt_op / set_psr_cmt_op: DomctlPsrCmtOp,
        monitor_op / set_monitor_op: DomctlMonitorOp,
        psr_alloc / set_psr_alloc: DomctlPsrAlloc,
        vuart_op / set_vuart_op: DomctlVuartOp,
        vmtrace_op / set_vmtrace_op: DomctlVmtraceOp,
        paging_mempool / set_paging_mempool: DomctlPagingMempool,
        pad / set_pad: [u8; 128],
    }
}

/// A version of this interface, as the caller names it in [`Domctl::interface_version`].
/// Which are spoken: [`crate::versions`].
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::Immutable,
)]
#[repr(transparent)]
pub struct InterfaceVersion(pub u32);

impl InterfaceVersion {
    /// The version whose layouts this module has.
    pub const CANONICAL: Self = Self(XEN_DOMCTL_INTERFACE_VERSION);
}
