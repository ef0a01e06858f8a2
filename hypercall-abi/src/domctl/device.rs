//! Devices, interrupts and I/O ranges given to domains.
//!
//! Xen public/domctl.h.

use crate::GuestHandle;
use crate::macros::{abi_structs, abi_unions};

abi_structs! {
    /// `struct xen_domctl_irq_permission`: the argument of [`DomctlCmd::IRQ_PERMISSION`](super::DomctlCmd::IRQ_PERMISSION).
    pub struct DomctlIrqPermission: "struct xen_domctl_irq_permission", size 8 {
        0 => pirq: u32,
        4 => allow_access: u8,
        5 => pad: [u8; 3],
    }

    /// `struct xen_domctl_iomem_permission`: the argument of [`DomctlCmd::IOMEM_PERMISSION`](super::DomctlCmd::IOMEM_PERMISSION).
    pub struct DomctlIomemPermission: "struct xen_domctl_iomem_permission", size 24 {
        0 => first_mfn: u64,
        8 => nr_mfns: u64,
        16 => allow_access: u8,
        17 => _hole0: [u8; 7] as "",
    }

    /// `struct xen_domctl_ioport_permission`: the argument of [`DomctlCmd::IOPORT_PERMISSION`](super::DomctlCmd::IOPORT_PERMISSION).
    pub struct DomctlIoportPermission: "struct xen_domctl_ioport_permission", size 12 {
        0 => first_port: u32,
        4 => nr_ports: u32,
        8 => allow_access: u8,
        9 => _hole0: [u8; 3] as "",
    }

    /// Member `pci` of [`DomctlAssignDeviceU`].
    pub struct DomctlAssignDevicePci: "__typeof__(((__typeof__(((struct xen_domctl_assign_device*)0)->u)*)0)->pci)", size 4 {
        0 => machine_sbdf: u32,
    }

    /// Member `dt` of [`DomctlAssignDeviceU`].
    pub struct DomctlAssignDeviceDt: "__typeof__(((__typeof__(((struct xen_domctl_assign_device*)0)->u)*)0)->dt)", size 16 {
        0 => size: u32,
        4 => _hole0: [u8; 4] as "",
        8 => path: GuestHandle<u8>,
    }

    /// `struct xen_domctl_assign_device`: the argument of [`DomctlCmd::ASSIGN_DEVICE`](super::DomctlCmd::ASSIGN_DEVICE).
    pub struct DomctlAssignDevice: "struct xen_domctl_assign_device", size 24 {
        0 => dev: u32,
        4 => flags: u32,
        8 => u: DomctlAssignDeviceU,
    }

    /// `struct xen_domctl_get_device_group`: the argument of [`DomctlCmd::GET_DEVICE_GROUP`](super::DomctlCmd::GET_DEVICE_GROUP).
    pub struct DomctlGetDeviceGroup: "struct xen_domctl_get_device_group", size 24 {
        0 => machine_sbdf: u32,
        4 => max_sdevs: u32,
        8 => num_sdevs: u32,
        12 => _hole0: [u8; 4] as "",
        16 => sdev_array: GuestHandle<u32>,
    }

    /// Member `isa` of [`DomctlBindPtIrqU`].
    pub struct DomctlBindPtIrqIsa: "__typeof__(((__typeof__(((struct xen_domctl_bind_pt_irq*)0)->u)*)0)->isa)", size 1 {
        0 => isa_irq: u8,
    }

    /// Member `pci` of [`DomctlBindPtIrqU`].
    pub struct DomctlBindPtIrqPci: "__typeof__(((__typeof__(((struct xen_domctl_bind_pt_irq*)0)->u)*)0)->pci)", size 3 {
        0 => bus: u8,
        1 => device: u8,
        2 => intx: u8,
    }

    /// Member `msi` of [`DomctlBindPtIrqU`].
    pub struct DomctlBindPtIrqMsi: "__typeof__(((__typeof__(((struct xen_domctl_bind_pt_irq*)0)->u)*)0)->msi)", size 16 {
        0 => gvec: u8,
        1 => _hole0: [u8; 3] as "",
        4 => gflags: u32,
        8 => gtable: u64,
    }

    /// Member `spi` of [`DomctlBindPtIrqU`].
    pub struct DomctlBindPtIrqSpi: "__typeof__(((__typeof__(((struct xen_domctl_bind_pt_irq*)0)->u)*)0)->spi)", size 2 {
        0 => spi: u16,
    }

    /// `struct xen_domctl_bind_pt_irq`: the argument of [`DomctlCmd::BIND_PT_IRQ`](super::DomctlCmd::BIND_PT_IRQ).
    pub struct DomctlBindPtIrq: "struct xen_domctl_bind_pt_irq", size 24 {
        0 => machine_irq: u32,
        4 => irq_type: u32,
        8 => u: DomctlBindPtIrqU,
    }

    /// `struct xen_domctl_memory_mapping`: the argument of [`DomctlCmd::MEMORY_MAPPING`](super::DomctlCmd::MEMORY_MAPPING).
    pub struct DomctlMemoryMapping: "struct xen_domctl_memory_mapping", size 32 {
        0 => first_gfn: u64,
        8 => first_mfn: u64,
        16 => nr_mfns: u64,
        24 => add_mapping: u32,
        28 => padding: u32,
    }

    /// `struct xen_domctl_ioport_mapping`: the argument of [`DomctlCmd::IOPORT_MAPPING`](super::DomctlCmd::IOPORT_MAPPING).
    pub struct DomctlIoportMapping: "struct xen_domctl_ioport_mapping", size 16 {
        0 => first_gport: u32,
        4 => first_mport: u32,
        8 => nr_ports: u32,
        12 => add_mapping: u32,
    }
}

abi_unions! {
    /// Field `u` of [`DomctlAssignDevice`]: one of these, by what a field beside it says.
    pub union DomctlAssignDeviceU: "__typeof__(((struct xen_domctl_assign_device*)0)->u)", [u64; 2] {
        pci / set_pci: DomctlAssignDevicePci,
        dt / set_dt: DomctlAssignDeviceDt,
    }

    /// Field `u` of [`DomctlBindPtIrq`]: one of these, by what a field beside it says.
    pub union DomctlBindPtIrqU: "__typeof__(((struct xen_domctl_bind_pt_irq*)0)->u)", [u64; 2] {
        isa / set_isa: DomctlBindPtIrqIsa,
        pci / set_pci: DomctlBindPtIrqPci,
        msi / set_msi: DomctlBindPtIrqMsi,
        spi / set_spi: DomctlBindPtIrqSpi,
    }
}
