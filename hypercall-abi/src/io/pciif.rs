//! PCI pass-through to PV guests.
//!
//! Xen public/io/pciif.h.

use crate::macros::{abi_consts, abi_strs, abi_structs, open_enums};

open_enums! {
    /// `XEN_PCI_OP_*`.
    pub enum PciOp(u32) "XEN_PCI_OP_" {
        CONF_READ = 0;
        CONF_WRITE = 1;
        ENABLE_MSI = 2;
        DISABLE_MSI = 3;
        ENABLE_MSIX = 4;
        DISABLE_MSIX = 5;
        AER_DETECTED = 6;
        AER_RESUME = 7;
        AER_MMIO = 8;
        AER_SLOTRESET = 9;
        ENABLE_MULTI_MSI = 10;
    }

    /// `XEN_PCI_ERR_*`.
    pub enum PciError(i32) "XEN_PCI_ERR_" {
        SUCCESS = 0;
        DEV_NOT_FOUND = -1;
        INVALID_OFFSET = -2;
        ACCESS_DENIED = -3;
        NOT_IMPLEMENTED = -4;
        OP_FAILED = -5;
    }
}

abi_consts! {
    u32 {
        _XEN_PCIF_ACTIVE = 0;
        XEN_PCIF_ACTIVE = 1 << 0;
        _XEN_PCIB_AERHANDLER = 1;
        XEN_PCIB_AERHANDLER = 1 << 1;
        _XEN_PCIB_ACTIVE = 2;
        XEN_PCIB_ACTIVE = 1 << 2;
        SH_INFO_MAX_VEC = 128;
    }
}

abi_strs! {
    XEN_PCI_MAGIC = "7";
}

abi_structs! {
    /// `struct xen_msix_entry`.
    pub struct MsixEntry: "struct xen_msix_entry", size 4 {
        0 => vector: u16,
        2 => entry: u16,
    }

    /// `struct xen_pci_op`.
    pub struct PciOpArg: "struct xen_pci_op", size 548 {
        0 => cmd: u32,
        4 => err: i32,
        8 => domain: u32,
        12 => bus: u32,
        16 => devfn: u32,
        20 => offset: i32,
        24 => size: i32,
        28 => value: u32,
        32 => info: u32,
        36 => msix_entries: [MsixEntry; 128],
    }

    /// `struct xen_pcie_aer_op`.
    pub struct PcieAerOp: "struct xen_pcie_aer_op", size 20 {
        0 => cmd: u32,
        4 => err: i32,
        8 => domain: u32,
        12 => bus: u32,
        16 => devfn: u32,
    }

    /// `struct xen_pci_sharedinfo`.
    pub struct PciSharedinfo: "struct xen_pci_sharedinfo", size 572 {
        0 => flags: u32,
        4 => op: PciOpArg,
        552 => aer_op: PcieAerOp,
    }
}
