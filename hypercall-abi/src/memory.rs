//! Memory reservations and the physical address space of a domain.
//!
//! Xen public/memory.h.

use crate::GuestHandle;
use crate::macros::{abi_consts, abi_structs, abi_unions, open_enums};
use crate::xen::DomId;

open_enums! {
    /// Commands of `memory_op`: the low 6 bits of its first argument, the rest is a continuation.
    pub enum XenMem(u32) "XENMEM_" {
        INCREASE_RESERVATION = 0;
        DECREASE_RESERVATION = 1;
        POPULATE_PHYSMAP = 6;
        EXCHANGE = 11;
        MAXIMUM_RAM_PAGE = 2;
        CURRENT_RESERVATION = 3;
        MAXIMUM_RESERVATION = 4;
        MAXIMUM_GPFN = 14;
        MACHPHYS_MFN_LIST = 5;
        MACHPHYS_COMPAT_MFN_LIST = 25;
        MACHPHYS_MAPPING = 12;
        ADD_TO_PHYSMAP = 7;
        ADD_TO_PHYSMAP_BATCH = 23;
        REMOVE_FROM_PHYSMAP = 15;
        MEMORY_MAP = 9;
        MACHINE_MEMORY_MAP = 10;
        SET_MEMORY_MAP = 13;
        SET_POD_TARGET = 16;
        GET_POD_TARGET = 17;
        GET_SHARING_FREED_PAGES = 18;
        GET_SHARING_SHARED_PAGES = 19;
        PAGING_OP = 20;
        ACCESS_OP = 21;
        SHARING_OP = 22;
        CLAIM_PAGES = 24;
        RESERVED_DEVICE_MEMORY_MAP = 27;
        ACQUIRE_RESOURCE = 28;
        GET_VNUMAINFO = 26;
    }

    /// Where the frame that `add_to_physmap` maps comes from.
    pub enum MapSpace(u32) "XENMAPSPACE_" {
        SHARED_INFO = 0;
        GRANT_TABLE = 1;
        GMFN = 2;
        GMFN_RANGE = 3;
        GMFN_FOREIGN = 4;
        DEV_MMIO = 5;
    }

    /// Sub-commands of `XenMem::PAGING_OP`.
    pub enum MemPagingOp(u8) "XENMEM_paging_op_" {
        NOMINATE = 0;
        EVICT = 1;
        PREP = 2;
    }

    /// Sub-commands of `XenMem::ACCESS_OP`.
    pub enum MemAccessOp(u8) "XENMEM_access_op_" {
        SET_ACCESS = 0;
        GET_ACCESS = 1;
        SET_ACCESS_MULTI = 4;
    }

    /// Access rights that a monitor sets on a frame.
    pub enum MemAccess(u8) "XENMEM_access_" {
        N = 0;
        R = 1;
        W = 2;
        RW = 3;
        X = 4;
        RX = 5;
        WX = 6;
        RWX = 7;
        RX2RW = 8;
        N2RWX = 9;
        DEFAULT = 10;
    }

    /// Sub-commands of `XenMem::SHARING_OP`.
    pub enum MemSharingOp(u8) "XENMEM_sharing_op_" {
        NOMINATE_GFN = 0;
        NOMINATE_GREF = 1;
        SHARE = 2;
        DEBUG_GFN = 3;
        DEBUG_MFN = 4;
        DEBUG_GREF = 5;
        ADD_PHYSMAP = 6;
        AUDIT = 7;
        RANGE_SHARE = 8;
        FORK = 9;
        FORK_RESET = 10;
    }

    /// Resources that `acquire_resource` maps.
    pub enum MemResource(u16) "XENMEM_resource_" {
        IOREQ_SERVER = 0;
        GRANT_TABLE = 1;
        VMTRACE_BUF = 2;
    }
}

abi_consts! {
    u32 {
        XENMEMF_POPULATE_ON_DEMAND = 1 << 16;
        XENMEMF_EXACT_NODE_REQUEST = 1 << 17;
        XENMEMF_VNODE = 1 << 18;
        XENMAPIDX_GRANT_TABLE_STATUS = 0x80000000;
    }
    i32 {
        XENMEM_SHARING_OP_S_HANDLE_INVALID = -10;
        XENMEM_SHARING_OP_C_HANDLE_INVALID = -9;
    }
    u64 {
        XENMEM_SHARING_OP_FIELD_IS_GREF_FLAG = 1 << 62;
    }
    u32 {
        XENMEM_FORK_WITH_IOMMU_ALLOWED = 1 << 0;
        XENMEM_FORK_BLOCK_INTERRUPTS = 1 << 1;
        XENMEM_FORK_RESET_STATE = 1 << 2;
        XENMEM_FORK_RESET_MEMORY = 1 << 3;
        XENMEM_RDM_ALL = 1;
        XENMEM_RESOURCE_GRANT_TABLE_ID_SHARED = 0;
        XENMEM_RESOURCE_GRANT_TABLE_ID_STATUS = 1;
        XENMEM_RESOURCE_IOREQ_SERVER_FRAME_BUFIOREQ = 0;
    }
}

abi_structs! {
    /// `struct xen_memory_reservation`.
    pub struct MemoryReservation: "struct xen_memory_reservation", size 32 {
        0 => extent_start: GuestHandle<u64>,
        8 => nr_extents: u64,
        16 => extent_order: u32,
        20 => mem_flags: u32,
        24 => domid: DomId,
        26 => _hole0: [u8; 6] as "",
    }

    /// `struct xen_memory_exchange`.
    pub struct MemoryExchange: "struct xen_memory_exchange", size 72 {
        0 => r#in: MemoryReservation as "in",
        32 => out: MemoryReservation,
        64 => nr_exchanged: u64,
    }

    /// `struct xen_memory_domain`.
    pub struct MemoryDomain: "struct xen_memory_domain", size 2 {
        0 => domid: DomId,
    }

    /// `struct xen_machphys_mfn_list`: the argument of [`XenMem::MACHPHYS_MFN_LIST`].
    pub struct MachphysMfnList: "struct xen_machphys_mfn_list", size 24 {
        0 => max_extents: u32,
        4 => _hole0: [u8; 4] as "",
        8 => extent_start: GuestHandle<u64>,
        16 => nr_extents: u32,
        20 => _hole1: [u8; 4] as "",
    }

    /// `struct xen_machphys_mapping`: the argument of [`XenMem::MACHPHYS_MAPPING`].
    pub struct MachphysMapping: "struct xen_machphys_mapping", size 24 {
        0 => v_start: u64,
        8 => v_end: u64,
        16 => max_mfn: u64,
    }

    /// `struct xen_add_to_physmap`: the argument of [`XenMem::ADD_TO_PHYSMAP`].
    pub struct AddToPhysmap: "struct xen_add_to_physmap", size 24 {
        0 => domid: DomId,
        2 => size: u16,
        4 => space: MapSpace,
        8 => idx: u64,
        16 => gpfn: u64,
    }

    /// `struct xen_add_to_physmap_batch`: the argument of [`XenMem::ADD_TO_PHYSMAP_BATCH`].
    pub struct AddToPhysmapBatch: "struct xen_add_to_physmap_batch", size 32 {
        0 => domid: DomId,
        2 => space: u16,
        4 => size: u16,
        6 => u: AddToPhysmapBatchExtra,
        8 => idxs: GuestHandle<u64>,
        16 => gpfns: GuestHandle<u64>,
        24 => errs: GuestHandle<i32>,
    }

    /// `struct xen_remove_from_physmap`: the argument of [`XenMem::REMOVE_FROM_PHYSMAP`].
    pub struct RemoveFromPhysmap: "struct xen_remove_from_physmap", size 16 {
        0 => domid: DomId,
        2 => _hole0: [u8; 6] as "",
        8 => gpfn: u64,
    }

    /// `struct xen_memory_map`: the argument of [`XenMem::MEMORY_MAP`].
    pub struct MemoryMap: "struct xen_memory_map", size 16 {
        0 => nr_entries: u32,
        4 => _hole0: [u8; 4] as "",
        8 => buffer: GuestHandle<()>,
    }

    /// `struct xen_foreign_memory_map`.
    pub struct ForeignMemoryMap: "struct xen_foreign_memory_map", size 24 {
        0 => domid: DomId,
        2 => _hole0: [u8; 6] as "",
        8 => map: MemoryMap,
    }

    /// `struct xen_pod_target`.
    pub struct PodTarget: "struct xen_pod_target", size 40 {
        0 => target_pages: u64,
        8 => tot_pages: u64,
        16 => pod_cache_pages: u64,
        24 => pod_entries: u64,
        32 => domid: DomId,
        34 => _hole0: [u8; 6] as "",
    }

    /// `struct xen_mem_paging_op`.
    pub struct MemPagingOpArg: "struct xen_mem_paging_op", size 24 {
        0 => op: u8,
        1 => _hole0: [u8; 1] as "",
        2 => domain: DomId,
        4 => _hole1: [u8; 4] as "",
        8 => buffer: GuestHandle<u8>,
        16 => gfn: u64,
    }

    /// `struct xen_mem_access_op`.
    pub struct MemAccessOpArg: "struct xen_mem_access_op", size 32 {
        0 => op: u8,
        1 => access: u8,
        2 => domid: DomId,
        4 => nr: u32,
        8 => pfn: u64,
        16 => pfn_list: GuestHandle<u64>,
        24 => access_list: GuestHandle<u8>,
    }

    /// `struct mem_sharing_op_nominate`.
    pub struct MemSharingOpNominate: "struct mem_sharing_op_nominate", size 16 {
        0 => u: MemSharingOpNominateU,
        8 => handle: u64,
    }

    /// `struct mem_sharing_op_share`.
    pub struct MemSharingOpShare: "struct mem_sharing_op_share", size 40 {
        0 => source_gfn: u64,
        8 => source_handle: u64,
        16 => client_gfn: u64,
        24 => client_handle: u64,
        32 => client_domain: DomId,
        34 => _hole0: [u8; 6] as "",
    }

    /// `struct mem_sharing_op_range`.
    pub struct MemSharingOpRange: "struct mem_sharing_op_range", size 32 {
        0 => first_gfn: u64,
        8 => last_gfn: u64,
        16 => opaque: u64,
        24 => client_domain: DomId,
        26 => _pad: [u16; 3],
    }

    /// `struct mem_sharing_op_debug`.
    pub struct MemSharingOpDebug: "struct mem_sharing_op_debug", size 8 {
        0 => u: MemSharingOpDebugU,
    }

    /// `struct mem_sharing_op_fork`.
    pub struct MemSharingOpFork: "struct mem_sharing_op_fork", size 8 {
        0 => parent_domain: DomId,
        2 => flags: u16,
        4 => pad: u32,
    }

    /// `struct xen_mem_sharing_op`.
    pub struct MemSharingOpArg: "struct xen_mem_sharing_op", size 48 {
        0 => op: u8,
        1 => _hole0: [u8; 1] as "",
        2 => domain: DomId,
        4 => _hole1: [u8; 4] as "",
        8 => u: MemSharingOpArgU,
    }

    /// `struct xen_reserved_device_memory`.
    pub struct ReservedDeviceMemory: "struct xen_reserved_device_memory", size 16 {
        0 => start_pfn: u64,
        8 => nr_pages: u64,
    }

    /// `struct xen_reserved_device_memory_map`: the argument of [`XenMem::RESERVED_DEVICE_MEMORY_MAP`].
    pub struct ReservedDeviceMemoryMap: "struct xen_reserved_device_memory_map", size 24 {
        0 => flags: u32,
        4 => nr_entries: u32,
        8 => buffer: GuestHandle<ReservedDeviceMemory>,
        16 => dev: ReservedDeviceMemoryMapDev,
        20 => _hole0: [u8; 4] as "",
    }

    /// `struct xen_mem_acquire_resource`.
    pub struct MemAcquireResource: "struct xen_mem_acquire_resource", size 32 {
        0 => domid: DomId,
        2 => r#type: u16 as "type",
        4 => id: u32,
        8 => nr_frames: u32,
        12 => pad: u32,
        16 => frame: u64,
        24 => frame_list: GuestHandle<u64>,
    }

    /// `struct xen_vmemrange`.
    pub struct Vmemrange: "struct xen_vmemrange", size 24 {
        0 => start: u64,
        8 => end: u64,
        16 => flags: u32,
        20 => nid: u32,
    }

    /// `struct xen_vnuma_topology_info`.
    pub struct VnumaTopologyInfo: "struct xen_vnuma_topology_info", size 40 {
        0 => domid: DomId,
        2 => pad: u16,
        4 => nr_vnodes: u32,
        8 => nr_vcpus: u32,
        12 => nr_vmemranges: u32,
        16 => vdistance: VnumaTopologyInfoVdistance,
        24 => vcpu_to_vnode: VnumaTopologyInfoVcpuToVnode,
        32 => vmemrange: VnumaTopologyInfoVmemrange,
    }
}

abi_unions! {
    /// `union xen_add_to_physmap_batch_extra`.
    pub union AddToPhysmapBatchExtra: "union xen_add_to_physmap_batch_extra", [u16; 1] {
        foreign_domid / set_foreign_domid: DomId,
        res0 / set_res0: u16,
    }

    /// Field `u` of [`MemSharingOpNominate`]: one of these, by what a field beside it says.
    pub union MemSharingOpNominateU: "__typeof__(((struct mem_sharing_op_nominate*)0)->u)", [u64; 1] {
        gfn / set_gfn: u64,
        grant_ref / set_grant_ref: u32,
    }

    /// Field `u` of [`MemSharingOpDebug`]: one of these, by what a field beside it says.
    pub union MemSharingOpDebugU: "__typeof__(((struct mem_sharing_op_debug*)0)->u)", [u64; 1] {
        gfn / set_gfn: u64,
        mfn / set_mfn: u64,
        gref / set_gref: u32,
    }

    /// Field `u` of [`MemSharingOpArg`]: one of these, by what a field beside it says.
    pub union MemSharingOpArgU: "__typeof__(((struct xen_mem_sharing_op*)0)->u)", [u64; 5] {
        nominate / set_nominate: MemSharingOpNominate,
        share / set_share: MemSharingOpShare,
        range / set_range: MemSharingOpRange,
        debug / set_debug: MemSharingOpDebug,
        fork / set_fork: MemSharingOpFork,
    }

    /// Field `dev` of [`ReservedDeviceMemoryMap`]: one of these, by what a field beside it says.
    pub union ReservedDeviceMemoryMapDev: "__typeof__(((struct xen_reserved_device_memory_map*)0)->dev)", [u16; 2] {
        pci / set_pci: crate::physdev::PhysdevPciDevice,
    }

    /// Field `vdistance` of [`VnumaTopologyInfo`]: one of these, by what a field beside it says.
    pub union VnumaTopologyInfoVdistance: "__typeof__(((struct xen_vnuma_topology_info*)0)->vdistance)", [u64; 1] {
        h / set_h: GuestHandle<u32>,
        pad / set_pad: u64,
    }

    /// Field `vcpu_to_vnode` of [`VnumaTopologyInfo`]: one of these, by what a field beside it says.
    pub union VnumaTopologyInfoVcpuToVnode: "__typeof__(((struct xen_vnuma_topology_info*)0)->vcpu_to_vnode)", [u64; 1] {
        h / set_h: GuestHandle<u32>,
        pad / set_pad: u64,
    }

    /// Field `vmemrange` of [`VnumaTopologyInfo`]: one of these, by what a field beside it says.
    pub union VnumaTopologyInfoVmemrange: "__typeof__(((struct xen_vnuma_topology_info*)0)->vmemrange)", [u64; 1] {
        h / set_h: GuestHandle<Vmemrange>,
        pad / set_pad: u64,
    }
}
