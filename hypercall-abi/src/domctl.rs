//! The interface of this header.
//!
//! Xen public/domctl.h.

use crate::GuestHandle;
use crate::event_channel::EvtchnPort;
use crate::macros::{abi_consts, abi_structs, abi_unions, open_enums};
use crate::xen::DomId;

open_enums! {
    /// `XEN_DOMCTL_SHADOW_OP_*`.
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

    /// `XEN_SCHEDULER_*`.
    pub enum Scheduler(u32) "XEN_SCHEDULER_" {
        CREDIT = 5;
        CREDIT2 = 6;
        ARINC653 = 7;
        RTDS = 8;
        NULL = 9;
    }

    /// `XEN_DOMCTL_SCHEDOP_*`.
    pub enum DomctlSchedOp(u32) "XEN_DOMCTL_SCHEDOP_" {
        PUTINFO = 0;
        GETINFO = 1;
        PUTVCPUINFO = 2;
        GETVCPUINFO = 3;
    }

    /// `XEN_DOMCTL_SENDTRIGGER_*`.
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

    /// `XEN_DOMCTL_*`.
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
    /// `struct xen_domctl_createdomain`.
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

    /// `struct xen_domctl_getdomaininfo`.
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

    /// `struct xen_domctl_getpageframeinfo3`.
    pub struct DomctlGetpageframeinfo3: "struct xen_domctl_getpageframeinfo3", size 16 {
        0 => num: u64,
        8 => array: GuestHandle<u64>,
    }

    /// `struct xen_domctl_shadow_op_stats`.
    pub struct DomctlShadowOpStats: "struct xen_domctl_shadow_op_stats", size 8 {
        0 => fault_count: u32,
        4 => dirty_count: u32,
    }

    /// `struct xen_domctl_shadow_op`.
    pub struct DomctlShadowOp: "struct xen_domctl_shadow_op", size 40 {
        0 => op: DomctlShadowCmd,
        4 => mode: u32,
        8 => mb: u32,
        12 => _hole0: [u8; 4] as "",
        16 => dirty_bitmap: GuestHandle<u8>,
        24 => pages: u64,
        32 => stats: DomctlShadowOpStats,
    }

    /// `struct xen_domctl_max_mem`.
    pub struct DomctlMaxMem: "struct xen_domctl_max_mem", size 8 {
        0 => max_memkb: u64,
    }

    /// `struct xen_domctl_vcpucontext`.
    pub struct DomctlVcpucontext: "struct xen_domctl_vcpucontext", size 16 {
        0 => vcpu: u32,
        4 => _hole0: [u8; 4] as "",
        8 => ctxt: GuestHandle<crate::arch_x86::VcpuGuestContext>,
    }

    /// `struct xen_domctl_getvcpuinfo`.
    pub struct DomctlGetvcpuinfo: "struct xen_domctl_getvcpuinfo", size 24 {
        0 => vcpu: u32,
        4 => online: u8,
        5 => blocked: u8,
        6 => running: u8,
        7 => _hole0: [u8; 1] as "",
        8 => cpu_time: u64,
        16 => cpu: u32,
        20 => _hole1: [u8; 4] as "",
    }

    /// `struct xen_domctl_nodeaffinity`.
    pub struct DomctlNodeaffinity: "struct xen_domctl_nodeaffinity", size 16 {
        0 => nodemap: crate::xen::XenctlBitmap,
    }

    /// `struct xen_domctl_vcpuaffinity`.
    pub struct DomctlVcpuaffinity: "struct xen_domctl_vcpuaffinity", size 40 {
        0 => vcpu: u32,
        4 => flags: u32,
        8 => cpumap_hard: crate::xen::XenctlBitmap,
        24 => cpumap_soft: crate::xen::XenctlBitmap,
    }

    /// `struct xen_domctl_max_vcpus`.
    pub struct DomctlMaxVcpus: "struct xen_domctl_max_vcpus", size 4 {
        0 => max: u32,
    }

    /// `struct xen_domctl_sched_credit`.
    pub struct DomctlSchedCredit: "struct xen_domctl_sched_credit", size 4 {
        0 => weight: u16,
        2 => cap: u16,
    }

    /// `struct xen_domctl_sched_credit2`.
    pub struct DomctlSchedCredit2: "struct xen_domctl_sched_credit2", size 4 {
        0 => weight: u16,
        2 => cap: u16,
    }

    /// `struct xen_domctl_sched_rtds`.
    pub struct DomctlSchedRtds: "struct xen_domctl_sched_rtds", size 12 {
        0 => period: u32,
        4 => budget: u32,
        8 => flags: u32,
    }

    /// `struct xen_domctl_schedparam_vcpu`.
    pub struct DomctlSchedparamVcpu: "struct xen_domctl_schedparam_vcpu", size 16 {
        0 => u: DomctlSchedparamVcpuU,
        12 => vcpuid: u32,
    }

    /// Unnamed in C.
    pub struct DomctlSchedulerOpUV: "__typeof__(((__typeof__(((struct xen_domctl_scheduler_op*)0)->u)*)0)->v)", size 16 {
        0 => vcpus: GuestHandle<DomctlSchedparamVcpu>,
        8 => nr_vcpus: u32,
        12 => padding: u32,
    }

    /// `struct xen_domctl_scheduler_op`.
    pub struct DomctlSchedulerOp: "struct xen_domctl_scheduler_op", size 24 {
        0 => sched_id: Scheduler,
        4 => cmd: DomctlSchedOp,
        8 => u: DomctlSchedulerOpU,
    }

    /// `struct xen_domctl_setdomainhandle`.
    pub struct DomctlSetdomainhandle: "struct xen_domctl_setdomainhandle", size 16 {
        0 => handle: [u8; 16],
    }

    /// `struct xen_domctl_setdebugging`.
    pub struct DomctlSetdebugging: "struct xen_domctl_setdebugging", size 1 {
        0 => enable: u8,
    }

    /// `struct xen_domctl_irq_permission`.
    pub struct DomctlIrqPermission: "struct xen_domctl_irq_permission", size 8 {
        0 => pirq: u32,
        4 => allow_access: u8,
        5 => pad: [u8; 3],
    }

    /// `struct xen_domctl_iomem_permission`.
    pub struct DomctlIomemPermission: "struct xen_domctl_iomem_permission", size 24 {
        0 => first_mfn: u64,
        8 => nr_mfns: u64,
        16 => allow_access: u8,
        17 => _hole0: [u8; 7] as "",
    }

    /// `struct xen_domctl_ioport_permission`.
    pub struct DomctlIoportPermission: "struct xen_domctl_ioport_permission", size 12 {
        0 => first_port: u32,
        4 => nr_ports: u32,
        8 => allow_access: u8,
        9 => _hole0: [u8; 3] as "",
    }

    /// `struct xen_domctl_hypercall_init`.
    pub struct DomctlHypercallInit: "struct xen_domctl_hypercall_init", size 8 {
        0 => gmfn: u64,
    }

    /// `struct xen_domctl_settimeoffset`.
    pub struct DomctlSettimeoffset: "struct xen_domctl_settimeoffset", size 8 {
        0 => time_offset_seconds: i64,
    }

    /// `struct xen_domctl_hvmcontext`.
    pub struct DomctlHvmcontext: "struct xen_domctl_hvmcontext", size 16 {
        0 => size: u32,
        4 => _hole0: [u8; 4] as "",
        8 => buffer: GuestHandle<u8>,
    }

    /// `struct xen_domctl_address_size`.
    pub struct DomctlAddressSize: "struct xen_domctl_address_size", size 4 {
        0 => size: u32,
    }

    /// `struct xen_domctl_sendtrigger`.
    pub struct DomctlSendtrigger: "struct xen_domctl_sendtrigger", size 8 {
        0 => trigger: u32,
        4 => vcpu: u32,
    }

    /// Unnamed in C.
    pub struct DomctlAssignDeviceUPci: "__typeof__(((__typeof__(((struct xen_domctl_assign_device*)0)->u)*)0)->pci)", size 4 {
        0 => machine_sbdf: u32,
    }

    /// Unnamed in C.
    pub struct DomctlAssignDeviceUDt: "__typeof__(((__typeof__(((struct xen_domctl_assign_device*)0)->u)*)0)->dt)", size 16 {
        0 => size: u32,
        4 => _hole0: [u8; 4] as "",
        8 => path: GuestHandle<u8>,
    }

    /// `struct xen_domctl_assign_device`.
    pub struct DomctlAssignDevice: "struct xen_domctl_assign_device", size 24 {
        0 => dev: u32,
        4 => flags: u32,
        8 => u: DomctlAssignDeviceU,
    }

    /// `struct xen_domctl_get_device_group`.
    pub struct DomctlGetDeviceGroup: "struct xen_domctl_get_device_group", size 24 {
        0 => machine_sbdf: u32,
        4 => max_sdevs: u32,
        8 => num_sdevs: u32,
        12 => _hole0: [u8; 4] as "",
        16 => sdev_array: GuestHandle<u32>,
    }

    /// Unnamed in C.
    pub struct DomctlBindPtIrqUIsa: "__typeof__(((__typeof__(((struct xen_domctl_bind_pt_irq*)0)->u)*)0)->isa)", size 1 {
        0 => isa_irq: u8,
    }

    /// Unnamed in C.
    pub struct DomctlBindPtIrqUPci: "__typeof__(((__typeof__(((struct xen_domctl_bind_pt_irq*)0)->u)*)0)->pci)", size 3 {
        0 => bus: u8,
        1 => device: u8,
        2 => intx: u8,
    }

    /// Unnamed in C.
    pub struct DomctlBindPtIrqUMsi: "__typeof__(((__typeof__(((struct xen_domctl_bind_pt_irq*)0)->u)*)0)->msi)", size 16 {
        0 => gvec: u8,
        1 => _hole0: [u8; 3] as "",
        4 => gflags: u32,
        8 => gtable: u64,
    }

    /// Unnamed in C.
    pub struct DomctlBindPtIrqUSpi: "__typeof__(((__typeof__(((struct xen_domctl_bind_pt_irq*)0)->u)*)0)->spi)", size 2 {
        0 => spi: u16,
    }

    /// `struct xen_domctl_bind_pt_irq`.
    pub struct DomctlBindPtIrq: "struct xen_domctl_bind_pt_irq", size 24 {
        0 => machine_irq: u32,
        4 => irq_type: u32,
        8 => u: DomctlBindPtIrqU,
    }

    /// `struct xen_domctl_memory_mapping`.
    pub struct DomctlMemoryMapping: "struct xen_domctl_memory_mapping", size 32 {
        0 => first_gfn: u64,
        8 => first_mfn: u64,
        16 => nr_mfns: u64,
        24 => add_mapping: u32,
        28 => padding: u32,
    }

    /// `struct xen_domctl_ioport_mapping`.
    pub struct DomctlIoportMapping: "struct xen_domctl_ioport_mapping", size 16 {
        0 => first_gport: u32,
        4 => first_mport: u32,
        8 => nr_ports: u32,
        12 => add_mapping: u32,
    }

    /// `struct xen_domctl_ext_vcpucontext`.
    pub struct DomctlExtVcpucontext: "struct xen_domctl_ext_vcpucontext", size 64 {
        0 => vcpu: u32,
        4 => size: u32,
        8 => syscall32_callback_eip: u64,
        16 => sysenter_callback_eip: u64,
        24 => syscall32_callback_cs: u16,
        26 => sysenter_callback_cs: u16,
        28 => syscall32_disables_events: u8,
        29 => sysenter_disables_events: u8,
        30 => _hole0: [u8; 2] as "",
        32 => u: DomctlExtVcpucontextU as "",
    }

    /// `struct xen_domctl_set_target`.
    pub struct DomctlSetTarget: "struct xen_domctl_set_target", size 2 {
        0 => target: DomId,
    }

    /// `struct xen_domctl_cpu_policy`.
    pub struct DomctlCpuPolicy: "struct xen_domctl_cpu_policy", size 40 {
        0 => nr_leaves: u32,
        4 => nr_msrs: u32,
        8 => leaves: GuestHandle<crate::arch_x86::CpuidLeaf>,
        16 => msrs: GuestHandle<crate::arch_x86::MsrEntry>,
        24 => err_leaf: u32,
        28 => err_subleaf: u32,
        32 => err_msr: u32,
        36 => _hole0: [u8; 4] as "",
    }

    /// `struct xen_domctl_subscribe`.
    pub struct DomctlSubscribe: "struct xen_domctl_subscribe", size 4 {
        0 => port: u32,
    }

    /// `struct xen_domctl_debug_op`.
    pub struct DomctlDebugOp: "struct xen_domctl_debug_op", size 8 {
        0 => op: u32,
        4 => vcpu: u32,
    }

    /// `struct xen_domctl_hvmcontext_partial`.
    pub struct DomctlHvmcontextPartial: "struct xen_domctl_hvmcontext_partial", size 24 {
        0 => r#type: u32 as "type",
        4 => instance: u32,
        8 => bufsz: u64,
        16 => buffer: GuestHandle<u8>,
    }

    /// `struct xen_domctl_tsc_info`.
    pub struct DomctlTscInfo: "struct xen_domctl_tsc_info", size 24 {
        0 => tsc_mode: u32,
        4 => gtsc_khz: u32,
        8 => incarnation: u32,
        12 => pad: u32,
        16 => elapsed_nsec: u64,
    }

    /// `struct xen_domctl_gdbsx_memio`.
    pub struct DomctlGdbsxMemio: "struct xen_domctl_gdbsx_memio", size 40 {
        0 => pgd3val: u64,
        8 => gva: u64,
        16 => uva: u64,
        24 => len: u32,
        28 => gwr: u8,
        29 => _hole0: [u8; 3] as "",
        32 => remain: u32,
        36 => _hole1: [u8; 4] as "",
    }

    /// `struct xen_domctl_gdbsx_pauseunp_vcpu`.
    pub struct DomctlGdbsxPauseunpVcpu: "struct xen_domctl_gdbsx_pauseunp_vcpu", size 4 {
        0 => vcpu: u32,
    }

    /// `struct xen_domctl_gdbsx_domstatus`.
    pub struct DomctlGdbsxDomstatus: "struct xen_domctl_gdbsx_domstatus", size 12 {
        0 => paused: u8,
        1 => _hole0: [u8; 3] as "",
        4 => vcpu_id: u32,
        8 => vcpu_ev: u32,
    }

    /// Unnamed in C.
    pub struct DomctlVmEventOpUEnable: "__typeof__(((__typeof__(((struct xen_domctl_vm_event_op*)0)->u)*)0)->enable)", size 4 {
        0 => port: u32,
    }

    /// `struct xen_domctl_vm_event_op`.
    pub struct DomctlVmEventOp: "struct xen_domctl_vm_event_op", size 12 {
        0 => op: u32,
        4 => mode: u32,
        8 => u: DomctlVmEventOpU,
    }

    /// `struct xen_domctl_mem_sharing_op`.
    pub struct DomctlMemSharingOp: "struct xen_domctl_mem_sharing_op", size 2 {
        0 => op: u8,
        1 => u: DomctlMemSharingOpU,
    }

    /// `struct xen_domctl_audit_p2m`.
    pub struct DomctlAuditP2m: "struct xen_domctl_audit_p2m", size 24 {
        0 => orphans: u64,
        8 => m2p_bad: u64,
        16 => p2m_bad: u64,
    }

    /// `struct xen_domctl_set_virq_handler`.
    pub struct DomctlSetVirqHandler: "struct xen_domctl_set_virq_handler", size 4 {
        0 => virq: u32,
    }

    /// `struct xen_domctl_vcpuextstate`.
    pub struct DomctlVcpuextstate: "struct xen_domctl_vcpuextstate", size 32 {
        0 => vcpu: u32,
        4 => _hole0: [u8; 4] as "",
        8 => xfeature_mask: u64,
        16 => size: u64,
        24 => buffer: GuestHandle<u64>,
    }

    /// `struct xen_domctl_set_access_required`.
    pub struct DomctlSetAccessRequired: "struct xen_domctl_set_access_required", size 1 {
        0 => access_required: u8,
    }

    /// `struct xen_domctl_set_broken_page_p2m`.
    pub struct DomctlSetBrokenPageP2m: "struct xen_domctl_set_broken_page_p2m", size 8 {
        0 => pfn: u64,
    }

    /// `struct xen_domctl_cacheflush`.
    pub struct DomctlCacheflush: "struct xen_domctl_cacheflush", size 16 {
        0 => start_pfn: u64,
        8 => nr_pfns: u64,
    }

    /// `struct xen_domctl_paging_mempool`.
    pub struct DomctlPagingMempool: "struct xen_domctl_paging_mempool", size 8 {
        0 => size: u64,
    }

    /// `struct xen_domctl_vcpu_msr`.
    pub struct DomctlVcpuMsr: "struct xen_domctl_vcpu_msr", size 16 {
        0 => index: u32,
        4 => reserved: u32,
        8 => value: u64,
    }

    /// `struct xen_domctl_vcpu_msrs`.
    pub struct DomctlVcpuMsrs: "struct xen_domctl_vcpu_msrs", size 16 {
        0 => vcpu: u32,
        4 => msr_count: u32,
        8 => msrs: GuestHandle<DomctlVcpuMsr>,
    }

    /// `struct xen_domctl_vnuma`.
    pub struct DomctlVnuma: "struct xen_domctl_vnuma", size 48 {
        0 => nr_vnodes: u32,
        4 => nr_vmemranges: u32,
        8 => nr_vcpus: u32,
        12 => pad: u32,
        16 => vdistance: GuestHandle<u32>,
        24 => vcpu_to_vnode: GuestHandle<u32>,
        32 => vnode_to_pnode: GuestHandle<u32>,
        40 => vmemrange: GuestHandle<crate::memory::Vmemrange>,
    }

    /// `struct xen_domctl_psr_cmt_op`.
    pub struct DomctlPsrCmtOp: "struct xen_domctl_psr_cmt_op", size 8 {
        0 => cmd: u32,
        4 => data: u32,
    }

    /// Unnamed in C.
    pub struct DomctlMonitorOpUMovToCr: "__typeof__(((__typeof__(((struct xen_domctl_monitor_op*)0)->u)*)0)->mov_to_cr)", size 16 {
        0 => index: u8,
        1 => sync: u8,
        2 => onchangeonly: u8,
        3 => pad1: u8,
        4 => pad2: u32,
        8 => bitmask: u64,
    }

    /// Unnamed in C.
    pub struct DomctlMonitorOpUMovToMsr: "__typeof__(((__typeof__(((struct xen_domctl_monitor_op*)0)->u)*)0)->mov_to_msr)", size 8 {
        0 => msr: u32,
        4 => onchangeonly: u8,
        5 => _hole0: [u8; 3] as "",
    }

    /// Unnamed in C.
    pub struct DomctlMonitorOpUGuestRequest: "__typeof__(((__typeof__(((struct xen_domctl_monitor_op*)0)->u)*)0)->guest_request)", size 2 {
        0 => sync: u8,
        1 => allow_userspace: u8,
    }

    /// Unnamed in C.
    pub struct DomctlMonitorOpUDebugException: "__typeof__(((__typeof__(((struct xen_domctl_monitor_op*)0)->u)*)0)->debug_exception)", size 1 {
        0 => sync: u8,
    }

    /// Unnamed in C.
    pub struct DomctlMonitorOpUVmexit: "__typeof__(((__typeof__(((struct xen_domctl_monitor_op*)0)->u)*)0)->vmexit)", size 1 {
        0 => sync: u8,
    }

    /// `struct xen_domctl_monitor_op`.
    pub struct DomctlMonitorOp: "struct xen_domctl_monitor_op", size 24 {
        0 => op: u32,
        4 => event: u32,
        8 => u: DomctlMonitorOpU,
    }

    /// `struct xen_domctl_psr_alloc`.
    pub struct DomctlPsrAlloc: "struct xen_domctl_psr_alloc", size 16 {
        0 => cmd: u32,
        4 => target: u32,
        8 => data: u64,
    }

    /// `struct xen_domctl_vuart_op`.
    pub struct DomctlVuartOp: "struct xen_domctl_vuart_op", size 24 {
        0 => cmd: u32,
        4 => r#type: u32 as "type",
        8 => gfn: u64,
        16 => console_domid: DomId,
        18 => pad: [u8; 2],
        20 => evtchn: EvtchnPort,
    }

    /// `struct xen_domctl_vmtrace_op`.
    pub struct DomctlVmtraceOp: "struct xen_domctl_vmtrace_op", size 24 {
        0 => cmd: u32,
        4 => vcpu: u32,
        8 => key: u64,
        16 => value: u64,
    }

    /// `struct xen_domctl`.
    pub struct Domctl: "struct xen_domctl", size 144 {
        0 => cmd: DomctlCmd,
        4 => interface_version: u32,
        8 => domain: DomId,
        10 => _pad: [u16; 3],
        16 => u: DomctlU,
    }

}

abi_unions! {
    /// Payload: which member holds is said by a field beside it.
    pub union DomctlSchedparamVcpuU: "__typeof__(((struct xen_domctl_schedparam_vcpu*)0)->u)", [u32; 3] {
        credit / set_credit: DomctlSchedCredit,
        credit2 / set_credit2: DomctlSchedCredit2,
        rtds / set_rtds: DomctlSchedRtds,
    }

    /// Payload: which member holds is said by a field beside it.
    pub union DomctlSchedulerOpU: "__typeof__(((struct xen_domctl_scheduler_op*)0)->u)", [u64; 2] {
        credit / set_credit: DomctlSchedCredit,
        credit2 / set_credit2: DomctlSchedCredit2,
        rtds / set_rtds: DomctlSchedRtds,
        v / set_v: DomctlSchedulerOpUV,
    }

    /// Payload: which member holds is said by a field beside it.
    pub union DomctlAssignDeviceU: "__typeof__(((struct xen_domctl_assign_device*)0)->u)", [u64; 2] {
        pci / set_pci: DomctlAssignDeviceUPci,
        dt / set_dt: DomctlAssignDeviceUDt,
    }

    /// Payload: which member holds is said by a field beside it.
    pub union DomctlBindPtIrqU: "__typeof__(((struct xen_domctl_bind_pt_irq*)0)->u)", [u64; 2] {
        isa / set_isa: DomctlBindPtIrqUIsa,
        pci / set_pci: DomctlBindPtIrqUPci,
        msi / set_msi: DomctlBindPtIrqUMsi,
        spi / set_spi: DomctlBindPtIrqUSpi,
    }

    /// Payload: which member holds is said by a field beside it.
    pub union DomctlExtVcpucontextU: "", [u64; 4] {
        mcg_cap / set_mcg_cap: u64,
        vmce / set_vmce: crate::hvm::save::HvmVmceVcpu,
    }

    /// Payload: which member holds is said by a field beside it.
    pub union DomctlVmEventOpU: "__typeof__(((struct xen_domctl_vm_event_op*)0)->u)", [u32; 1] {
        enable / set_enable: DomctlVmEventOpUEnable,
        version / set_version: u32,
    }

    /// Payload: which member holds is said by a field beside it.
    pub union DomctlMemSharingOpU: "__typeof__(((struct xen_domctl_mem_sharing_op*)0)->u)", [u8; 1] {
        enable / set_enable: u8,
    }

    /// Payload: which member holds is said by a field beside it.
    pub union DomctlMonitorOpU: "__typeof__(((struct xen_domctl_monitor_op*)0)->u)", [u64; 2] {
        mov_to_cr / set_mov_to_cr: DomctlMonitorOpUMovToCr,
        mov_to_msr / set_mov_to_msr: DomctlMonitorOpUMovToMsr,
        guest_request / set_guest_request: DomctlMonitorOpUGuestRequest,
        debug_exception / set_debug_exception: DomctlMonitorOpUDebugException,
        vmexit / set_vmexit: DomctlMonitorOpUVmexit,
    }

    /// Payload: which member holds is said by a field beside it.
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
