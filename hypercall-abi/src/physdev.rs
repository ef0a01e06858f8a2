//! Interrupts and PCI devices of the machine, for dom0.
//!
//! Xen public/physdev.h.

use crate::GuestHandle;
use crate::macros::{abi_consts, abi_structs, abi_unions, open_enums};
use crate::xen::DomId;

open_enums! {
    /// Commands of `physdev_op`.
    pub enum PhysdevOp(u32) "PHYSDEVOP_" {
        EOI = 12;
        PIRQ_EOI_GMFN_V1 = 17;
        PIRQ_EOI_GMFN_V2 = 28;
        IRQ_STATUS_QUERY = 5;
        SET_IOPL = 6;
        SET_IOBITMAP = 7;
        APIC_READ = 8;
        APIC_WRITE = 9;
        ALLOC_IRQ_VECTOR = 10;
        FREE_IRQ_VECTOR = 11;
        MAP_PIRQ = 13;
        UNMAP_PIRQ = 14;
        MANAGE_PCI_ADD = 15;
        MANAGE_PCI_REMOVE = 16;
        RESTORE_MSI = 19;
        MANAGE_PCI_ADD_EXT = 20;
        SETUP_GSI = 21;
        GET_FREE_PIRQ = 23;
        PCI_MMCFG_RESERVED = 24;
        PCI_DEVICE_ADD = 25;
        PCI_DEVICE_REMOVE = 26;
        RESTORE_MSI_EXT = 27;
        PREPARE_MSIX = 30;
        RELEASE_MSIX = 31;
        DBGP_OP = 29;
        PIRQ_EOI_GMFN = 28;
    }

    /// What `map_pirq` maps.
    pub enum MapPirqType(u32) "MAP_PIRQ_TYPE_" {
        MSI = 0x0;
        GSI = 0x1;
        UNKNOWN = 0x2;
        MSI_SEG = 0x3;
        MULTI_MSI = 0x4;
    }
}

abi_consts! {
    u32 {
        _XENIRQSTAT_NEEDS_EOI = 0;
        XENIRQSTAT_NEEDS_EOI = 1 << 0;
        _XENIRQSTAT_SHARED = 1;
        XENIRQSTAT_SHARED = 1 << 1;
        XEN_PCI_MMCFG_RESERVED = 0x1;
        XEN_PCI_DEV_EXTFN = 0x1;
        XEN_PCI_DEV_VIRTFN = 0x2;
        XEN_PCI_DEV_PXM = 0x4;
        PHYSDEVOP_DBGP_RESET_PREPARE = 1;
        PHYSDEVOP_DBGP_RESET_DONE = 2;
        PHYSDEVOP_DBGP_BUS_UNKNOWN = 0;
        PHYSDEVOP_DBGP_BUS_PCI = 1;
        PHYSDEVOP_IRQ_UNMASK_NOTIFY = 4;
    }
}

abi_structs! {
    /// `struct physdev_eoi`: the argument of [`PhysdevOp::EOI`].
    pub struct PhysdevEoi: "struct physdev_eoi", size 4 {
        0 => irq: u32,
    }

    /// `struct physdev_pirq_eoi_gmfn`: the argument of [`PhysdevOp::PIRQ_EOI_GMFN`].
    pub struct PhysdevPirqEoiGmfn: "struct physdev_pirq_eoi_gmfn", size 8 {
        0 => gmfn: u64,
    }

    /// `struct physdev_irq_status_query`: the argument of [`PhysdevOp::IRQ_STATUS_QUERY`].
    pub struct PhysdevIrqStatusQuery: "struct physdev_irq_status_query", size 8 {
        0 => irq: u32,
        4 => flags: u32,
    }

    /// `struct physdev_set_iopl`: the argument of [`PhysdevOp::SET_IOPL`].
    pub struct PhysdevSetIopl: "struct physdev_set_iopl", size 4 {
        0 => iopl: u32,
    }

    /// `struct physdev_set_iobitmap`: the argument of [`PhysdevOp::SET_IOBITMAP`].
    pub struct PhysdevSetIobitmap: "struct physdev_set_iobitmap", size 16 {
        0 => bitmap: GuestHandle<u8>,
        8 => nr_ports: u32,
        12 => _hole0: [u8; 4] as "",
    }

    /// `struct physdev_apic`.
    pub struct PhysdevApic: "struct physdev_apic", size 16 {
        0 => apic_physbase: u64,
        8 => reg: u32,
        12 => value: u32,
    }

    /// `struct physdev_irq`.
    pub struct PhysdevIrq: "struct physdev_irq", size 8 {
        0 => irq: u32,
        4 => vector: u32,
    }

    /// `struct physdev_map_pirq`: the argument of [`PhysdevOp::MAP_PIRQ`].
    pub struct PhysdevMapPirq: "struct physdev_map_pirq", size 40 {
        0 => domid: DomId,
        2 => _hole0: [u8; 2] as "",
        4 => r#type: i32 as "type",
        8 => index: i32,
        12 => pirq: i32,
        16 => bus: i32,
        20 => devfn: i32,
        24 => entry_nr: i32,
        28 => _hole1: [u8; 4] as "",
        32 => table_base: u64,
    }

    /// `struct physdev_unmap_pirq`: the argument of [`PhysdevOp::UNMAP_PIRQ`].
    pub struct PhysdevUnmapPirq: "struct physdev_unmap_pirq", size 8 {
        0 => domid: DomId,
        2 => _hole0: [u8; 2] as "",
        4 => pirq: i32,
    }

    /// `struct physdev_manage_pci`.
    pub struct PhysdevManagePci: "struct physdev_manage_pci", size 2 {
        0 => bus: u8,
        1 => devfn: u8,
    }

    /// `struct physdev_restore_msi`: the argument of [`PhysdevOp::RESTORE_MSI`].
    pub struct PhysdevRestoreMsi: "struct physdev_restore_msi", size 2 {
        0 => bus: u8,
        1 => devfn: u8,
    }

    /// Member `physfn` of [`PhysdevManagePciExt`].
    pub struct PhysdevManagePciExtPhysfn: "__typeof__(((struct physdev_manage_pci_ext*)0)->physfn)", size 2 {
        0 => bus: u8,
        1 => devfn: u8,
    }

    /// `struct physdev_manage_pci_ext`.
    pub struct PhysdevManagePciExt: "struct physdev_manage_pci_ext", size 16 {
        0 => bus: u8,
        1 => devfn: u8,
        2 => _hole0: [u8; 2] as "",
        4 => is_extfn: u32,
        8 => is_virtfn: u32,
        12 => physfn: PhysdevManagePciExtPhysfn,
        14 => _hole1: [u8; 2] as "",
    }

    /// `struct physdev_op`.
    pub struct PhysdevOpArg: "struct physdev_op", size 24 {
        0 => cmd: u32,
        4 => _hole0: [u8; 4] as "",
        8 => u: PhysdevOpArgU,
    }

    /// `struct physdev_setup_gsi`: the argument of [`PhysdevOp::SETUP_GSI`].
    pub struct PhysdevSetupGsi: "struct physdev_setup_gsi", size 8 {
        0 => gsi: i32,
        4 => triggering: u8,
        5 => polarity: u8,
        6 => _hole0: [u8; 2] as "",
    }

    /// `struct physdev_get_free_pirq`: the argument of [`PhysdevOp::GET_FREE_PIRQ`].
    pub struct PhysdevGetFreePirq: "struct physdev_get_free_pirq", size 8 {
        0 => r#type: i32 as "type",
        4 => pirq: u32,
    }

    /// `struct physdev_pci_mmcfg_reserved`: the argument of [`PhysdevOp::PCI_MMCFG_RESERVED`].
    pub struct PhysdevPciMmcfgReserved: "struct physdev_pci_mmcfg_reserved", size 16 {
        0 => address: u64,
        8 => segment: u16,
        10 => start_bus: u8,
        11 => end_bus: u8,
        12 => flags: u32,
    }

    /// Member `physfn` of [`PhysdevPciDeviceAdd`].
    pub struct PhysdevPciDeviceAddPhysfn: "__typeof__(((struct physdev_pci_device_add*)0)->physfn)", size 2 {
        0 => bus: u8,
        1 => devfn: u8,
    }

    /// `struct physdev_pci_device_add`: the argument of [`PhysdevOp::PCI_DEVICE_ADD`].
    pub struct PhysdevPciDeviceAdd: "struct physdev_pci_device_add", size 12 {
        0 => seg: u16,
        2 => bus: u8,
        3 => devfn: u8,
        4 => flags: u32,
        8 => physfn: PhysdevPciDeviceAddPhysfn,
        10 => _hole0: [u8; 2] as "",
    }

    /// `struct physdev_pci_device`.
    pub struct PhysdevPciDevice: "struct physdev_pci_device", size 4 {
        0 => seg: u16,
        2 => bus: u8,
        3 => devfn: u8,
    }

    /// `struct physdev_dbgp_op`: the argument of [`PhysdevOp::DBGP_OP`].
    pub struct PhysdevDbgpOp: "struct physdev_dbgp_op", size 6 {
        0 => op: u8,
        1 => bus: u8,
        2 => u: PhysdevDbgpOpU,
    }
}

abi_unions! {
    /// Field `u` of [`PhysdevOpArg`]: one of these, by what a field beside it says.
    pub union PhysdevOpArgU: "__typeof__(((struct physdev_op*)0)->u)", [u64; 2] {
        irq_status_query / set_irq_status_query: PhysdevIrqStatusQuery,
        set_iopl / set_set_iopl: PhysdevSetIopl,
        set_iobitmap / set_set_iobitmap: PhysdevSetIobitmap,
        apic_op / set_apic_op: PhysdevApic,
        irq_op / set_irq_op: PhysdevIrq,
    }

    /// Field `u` of [`PhysdevDbgpOp`]: one of these, by what a field beside it says.
    pub union PhysdevDbgpOpU: "__typeof__(((struct physdev_dbgp_op*)0)->u)", [u16; 2] {
        pci / set_pci: PhysdevPciDevice,
    }
}
