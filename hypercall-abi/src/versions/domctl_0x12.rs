//! domctl 0x12 (Xen 4.14): as 0x13, without a trace buffer and MSR flags at creation, and with disable_migrate.
//!
//! Xen 4.14 public/domctl.h.

use super::domctl_0x13::{self, GRANT_VERSION};
use super::{DomainInfo, creation_front, front_of, versioned};
use crate::Errno;
use crate::arch_x86::ArchDomainconfig;
use crate::domctl::{DomctlCmd, DomctlCreatedomain, DomctlGetdomaininfo, DomctlU};
use crate::macros::abi_structs;

/// `XEN_DOMCTL_disable_migrate`: kept a domain's tools from migrating it. Xen 4.15 dropped it: it is theirs to know.
pub const DISABLE_MIGRATE: DomctlCmd = DomctlCmd(58);

versioned! {
    creation Createdomain0x12, size 48 {
        44 => arch: ArchDomainconfig0x12,
    }
    info Getdomaininfo0x12, size 104 {
        96 => arch_config: ArchDomainconfig0x12,
        100 => _hole1: [u8; 4] as "",
    }
    others {
        /// `struct xen_arch_domainconfig`.
        pub struct ArchDomainconfig0x12: "struct xen_arch_domainconfig", size 4 {
            0 => emulation_flags: u32,
        }

        /// `struct xen_domctl_disable_migrate`.
        pub struct DisableMigrate0x12: "struct xen_domctl_disable_migrate", size 4 {
            0 => disable: u32,
        }
    }
}

pub(super) fn info(info: &DomctlGetdomaininfo) -> DomainInfo {
    DomainInfo::new(&Getdomaininfo0x12 {
        _hole1: [0; 4],
        ..front_of(&domctl_0x13::narrow(info))
    })
}

pub(super) fn creation(u: &DomctlU) -> Result<DomctlCreatedomain, Errno> {
    let asked: Createdomain0x12 = front_of(u);
    Ok(DomctlCreatedomain {
        grant_opts: GRANT_VERSION,
        arch: ArchDomainconfig {
            emulation_flags: asked.arch.emulation_flags,
            misc_flags: 0,
        },
        ..creation_front(u)
    })
}
