//! domctl 0x13 (Xen 4.15): no grant options and no CPU pool at creation, a shorter getdomaininfo, interrupts in one byte.
//!
//! Xen 4.15 public/domctl.h.

use super::{DomainInfo, creation_front, front_of, versioned, with_front};
use crate::Errno;
use crate::arch_x86::ArchDomainconfig;
use crate::domctl::{DomctlCreatedomain, DomctlGetdomaininfo, DomctlIrqPermission, DomctlU};
use crate::macros::abi_structs;

/// Up to this version of grant tables a domain may use: without a word about it, the newest.
pub(super) const GRANT_VERSION: u32 = 2;

versioned! {
    creation Createdomain0x13, size 56 {
        44 => vmtrace_size: u32,
        48 => arch: ArchDomainconfig,
    }
    info Getdomaininfo0x13, size 104 {
        96 => arch_config: ArchDomainconfig,
    }
    others {
        /// `struct xen_domctl_irq_permission`.
        pub struct IrqPermission0x13: "struct xen_domctl_irq_permission", size 2 {
            0 => pirq: u8,
            1 => allow_access: u8,
        }
    }
}

/// A domain's state.
pub(super) fn narrow(info: &DomctlGetdomaininfo) -> Getdomaininfo0x13 {
    Getdomaininfo0x13 {
        arch_config: info.arch_config,
        ..front_of(info)
    }
}

pub(super) fn info(info: &DomctlGetdomaininfo) -> DomainInfo {
    DomainInfo::new(&narrow(info))
}

/// Interrupt permission, as 0x12 and 0x13 have it.
pub(super) fn irq_permission(u: &DomctlU) -> DomctlU {
    let asked: IrqPermission0x13 = front_of(u);
    with_front(&DomctlIrqPermission {
        pirq: asked.pirq.into(),
        allow_access: asked.allow_access,
        ..DomctlIrqPermission::default()
    })
}

pub(super) fn creation(u: &DomctlU) -> Result<DomctlCreatedomain, Errno> {
    let asked: Createdomain0x13 = front_of(u);
    Ok(DomctlCreatedomain {
        grant_opts: GRANT_VERSION,
        vmtrace_size: asked.vmtrace_size,
        arch: asked.arch,
        ..creation_front(u)
    })
}
