//! Operations of a device model.
//!
//! Xen public/hvm/dm_op.h.

use crate::GuestHandle;
use crate::event_channel::EvtchnPort;
use crate::macros::{abi_consts, abi_structs, abi_unions, open_enums};

open_enums! {
    /// Commands of `dm_op`.
    pub enum DmOp(u32) "XEN_DMOP_" {
        CREATE_IOREQ_SERVER = 1;
        GET_IOREQ_SERVER_INFO = 2;
        NO_GFNS = 1 << 0;
        MAP_IO_RANGE_TO_IOREQ_SERVER = 3;
        UNMAP_IO_RANGE_FROM_IOREQ_SERVER = 4;
        SET_IOREQ_SERVER_STATE = 5;
        DESTROY_IOREQ_SERVER = 6;
        TRACK_DIRTY_VRAM = 7;
        SET_PCI_INTX_LEVEL = 8;
        SET_ISA_IRQ_LEVEL = 9;
        SET_PCI_LINK_ROUTE = 10;
        MODIFIED_MEMORY = 11;
        SET_MEM_TYPE = 12;
        INJECT_EVENT = 13;
        INJECT_MSI = 14;
        MAP_MEM_TYPE_TO_IOREQ_SERVER = 15;
        REMOTE_SHUTDOWN = 16;
        RELOCATE_MEMORY = 17;
        PIN_MEMORY_CACHEATTR = 18;
        SET_IRQ_LEVEL = 19;
        NR_VCPUS = 20;
    }
}

abi_consts! {
    u32 {
        _XEN_DMOP_NO_GFNS = 0;
        XEN_DMOP_IO_RANGE_PORT = 0;
        XEN_DMOP_IO_RANGE_MEMORY = 1;
        XEN_DMOP_IO_RANGE_PCI = 2;
        XEN_DMOP_EVENT_EXT_INT = 0;
        XEN_DMOP_EVENT_NMI = 2;
        XEN_DMOP_EVENT_HW_EXC = 3;
        XEN_DMOP_EVENT_SW_INT = 4;
        XEN_DMOP_EVENT_PRI_SW_EXC = 5;
        XEN_DMOP_EVENT_SW_EXC = 6;
        XEN_DMOP_IOREQ_MEM_ACCESS_READ = 1 << 0;
        XEN_DMOP_IOREQ_MEM_ACCESS_WRITE = 1 << 1;
        XEN_DMOP_MEM_CACHEATTR_UC = 0;
        XEN_DMOP_MEM_CACHEATTR_WC = 1;
        XEN_DMOP_MEM_CACHEATTR_WT = 4;
        XEN_DMOP_MEM_CACHEATTR_WP = 5;
        XEN_DMOP_MEM_CACHEATTR_WB = 6;
        XEN_DMOP_MEM_CACHEATTR_UCM = 7;
        XEN_DMOP_DELETE_MEM_CACHEATTR = 0xffffffff;
    }
}

abi_structs! {
    /// `struct xen_dm_op_create_ioreq_server`: the argument of [`DmOp::CREATE_IOREQ_SERVER`].
    pub struct DmOpCreateIoreqServer: "struct xen_dm_op_create_ioreq_server", size 6 {
        0 => handle_bufioreq: u8,
        1 => pad: [u8; 3],
        4 => id: u16,
    }

    /// `struct xen_dm_op_get_ioreq_server_info`: the argument of [`DmOp::GET_IOREQ_SERVER_INFO`].
    pub struct DmOpGetIoreqServerInfo: "struct xen_dm_op_get_ioreq_server_info", size 24 {
        0 => id: u16,
        2 => flags: u16,
        4 => bufioreq_port: EvtchnPort,
        8 => ioreq_gfn: u64,
        16 => bufioreq_gfn: u64,
    }

    /// `struct xen_dm_op_ioreq_server_range`.
    pub struct DmOpIoreqServerRange: "struct xen_dm_op_ioreq_server_range", size 24 {
        0 => id: u16,
        2 => pad: u16,
        4 => r#type: u32 as "type",
        8 => start: u64,
        16 => end: u64,
    }

    /// `struct xen_dm_op_set_ioreq_server_state`: the argument of [`DmOp::SET_IOREQ_SERVER_STATE`].
    pub struct DmOpSetIoreqServerState: "struct xen_dm_op_set_ioreq_server_state", size 4 {
        0 => id: u16,
        2 => enabled: u8,
        3 => pad: u8,
    }

    /// `struct xen_dm_op_destroy_ioreq_server`: the argument of [`DmOp::DESTROY_IOREQ_SERVER`].
    pub struct DmOpDestroyIoreqServer: "struct xen_dm_op_destroy_ioreq_server", size 4 {
        0 => id: u16,
        2 => pad: u16,
    }

    /// `struct xen_dm_op_track_dirty_vram`: the argument of [`DmOp::TRACK_DIRTY_VRAM`].
    pub struct DmOpTrackDirtyVram: "struct xen_dm_op_track_dirty_vram", size 16 {
        0 => nr: u32,
        4 => pad: u32,
        8 => first_pfn: u64,
    }

    /// `struct xen_dm_op_set_pci_intx_level`: the argument of [`DmOp::SET_PCI_INTX_LEVEL`].
    pub struct DmOpSetPciIntxLevel: "struct xen_dm_op_set_pci_intx_level", size 6 {
        0 => domain: u16,
        2 => bus: u8,
        3 => device: u8,
        4 => intx: u8,
        5 => level: u8,
    }

    /// `struct xen_dm_op_set_isa_irq_level`: the argument of [`DmOp::SET_ISA_IRQ_LEVEL`].
    pub struct DmOpSetIsaIrqLevel: "struct xen_dm_op_set_isa_irq_level", size 2 {
        0 => isa_irq: u8,
        1 => level: u8,
    }

    /// `struct xen_dm_op_set_pci_link_route`: the argument of [`DmOp::SET_PCI_LINK_ROUTE`].
    pub struct DmOpSetPciLinkRoute: "struct xen_dm_op_set_pci_link_route", size 2 {
        0 => link: u8,
        1 => isa_irq: u8,
    }

    /// `struct xen_dm_op_modified_memory`: the argument of [`DmOp::MODIFIED_MEMORY`].
    pub struct DmOpModifiedMemory: "struct xen_dm_op_modified_memory", size 8 {
        0 => nr_extents: u32,
        4 => opaque: u32,
    }

    /// `struct xen_dm_op_modified_memory_extent`.
    pub struct DmOpModifiedMemoryExtent: "struct xen_dm_op_modified_memory_extent", size 16 {
        0 => nr: u32,
        4 => pad: u32,
        8 => first_pfn: u64,
    }

    /// `struct xen_dm_op_set_mem_type`: the argument of [`DmOp::SET_MEM_TYPE`].
    pub struct DmOpSetMemType: "struct xen_dm_op_set_mem_type", size 16 {
        0 => nr: u32,
        4 => mem_type: u16,
        6 => pad: u16,
        8 => first_pfn: u64,
    }

    /// `struct xen_dm_op_inject_event`: the argument of [`DmOp::INJECT_EVENT`].
    pub struct DmOpInjectEvent: "struct xen_dm_op_inject_event", size 24 {
        0 => vcpuid: u32,
        4 => vector: u8,
        5 => r#type: u8 as "type",
        6 => insn_len: u8,
        7 => pad0: u8,
        8 => error_code: u32,
        12 => pad1: u32,
        16 => cr2: u64,
    }

    /// `struct xen_dm_op_inject_msi`: the argument of [`DmOp::INJECT_MSI`].
    pub struct DmOpInjectMsi: "struct xen_dm_op_inject_msi", size 16 {
        0 => data: u32,
        4 => pad: u32,
        8 => addr: u64,
    }

    /// `struct xen_dm_op_map_mem_type_to_ioreq_server`: the argument of [`DmOp::MAP_MEM_TYPE_TO_IOREQ_SERVER`].
    pub struct DmOpMapMemTypeToIoreqServer: "struct xen_dm_op_map_mem_type_to_ioreq_server", size 16 {
        0 => id: u16,
        2 => r#type: u16 as "type",
        4 => flags: u32,
        8 => opaque: u64,
    }

    /// `struct xen_dm_op_remote_shutdown`: the argument of [`DmOp::REMOTE_SHUTDOWN`].
    pub struct DmOpRemoteShutdown: "struct xen_dm_op_remote_shutdown", size 4 {
        0 => reason: u32,
    }

    /// `struct xen_dm_op_relocate_memory`: the argument of [`DmOp::RELOCATE_MEMORY`].
    pub struct DmOpRelocateMemory: "struct xen_dm_op_relocate_memory", size 24 {
        0 => size: u32,
        4 => pad: u32,
        8 => src_gfn: u64,
        16 => dst_gfn: u64,
    }

    /// `struct xen_dm_op_pin_memory_cacheattr`: the argument of [`DmOp::PIN_MEMORY_CACHEATTR`].
    pub struct DmOpPinMemoryCacheattr: "struct xen_dm_op_pin_memory_cacheattr", size 24 {
        0 => start: u64,
        8 => end: u64,
        16 => r#type: u32 as "type",
        20 => pad: u32,
    }

    /// `struct xen_dm_op_set_irq_level`: the argument of [`DmOp::SET_IRQ_LEVEL`].
    pub struct DmOpSetIrqLevel: "struct xen_dm_op_set_irq_level", size 8 {
        0 => irq: u32,
        4 => level: u8,
        5 => pad: [u8; 3],
    }

    /// `struct xen_dm_op_nr_vcpus`: the argument of [`DmOp::NR_VCPUS`].
    pub struct DmOpNrVcpus: "struct xen_dm_op_nr_vcpus", size 4 {
        0 => vcpus: u32,
    }

    /// `struct xen_dm_op`.
    pub struct DmOpArg: "struct xen_dm_op", size 32 {
        0 => op: DmOp,
        4 => pad: u32,
        8 => u: DmOpArgU,
    }

    /// `struct xen_dm_op_buf`.
    pub struct DmOpBuf: "struct xen_dm_op_buf", size 16 {
        0 => h: GuestHandle<()>,
        8 => size: u64,
    }
}

abi_unions! {
    /// Field `u` of [`DmOpArg`]: one of these, by what a field beside it says.
    pub union DmOpArgU: "__typeof__(((struct xen_dm_op*)0)->u)", [u64; 3] {
        create_ioreq_server / set_create_ioreq_server: DmOpCreateIoreqServer,
        get_ioreq_server_info / set_get_ioreq_server_info: DmOpGetIoreqServerInfo,
        map_io_range_to_ioreq_server / set_map_io_range_to_ioreq_server: DmOpIoreqServerRange,
        unmap_io_range_from_ioreq_server / set_unmap_io_range_from_ioreq_server: DmOpIoreqServerRange,
        set_ioreq_server_state / set_set_ioreq_server_state: DmOpSetIoreqServerState,
        destroy_ioreq_server / set_destroy_ioreq_server: DmOpDestroyIoreqServer,
        track_dirty_vram / set_track_dirty_vram: DmOpTrackDirtyVram,
        set_pci_intx_level / set_set_pci_intx_level: DmOpSetPciIntxLevel,
        set_isa_irq_level / set_set_isa_irq_level: DmOpSetIsaIrqLevel,
        set_irq_level / set_set_irq_level: DmOpSetIrqLevel,
        set_pci_link_route / set_set_pci_link_route: DmOpSetPciLinkRoute,
        modified_memory / set_modified_memory: DmOpModifiedMemory,
        set_mem_type / set_set_mem_type: DmOpSetMemType,
        inject_event / set_inject_event: DmOpInjectEvent,
        inject_msi / set_inject_msi: DmOpInjectMsi,
        map_mem_type_to_ioreq_server / set_map_mem_type_to_ioreq_server: DmOpMapMemTypeToIoreqServer,
        remote_shutdown / set_remote_shutdown: DmOpRemoteShutdown,
        relocate_memory / set_relocate_memory: DmOpRelocateMemory,
        pin_memory_cacheattr / set_pin_memory_cacheattr: DmOpPinMemoryCacheattr,
        nr_vcpus / set_nr_vcpus: DmOpNrVcpus,
    }
}
