//! domctl 0x14 (Xen 4.16): no CPU pool at creation.
//!
//! Xen 4.16 public/domctl.h.

use super::{creation_front, front_of, versioned};
use crate::Errno;
use crate::arch_x86::ArchDomainconfig;
use crate::domctl::{DomctlCreatedomain, DomctlU};
use crate::macros::abi_structs;

versioned! {
    creation Createdomain0x14, size 60 {
        44 => grant_opts: u32,
        48 => vmtrace_size: u32,
        52 => arch: ArchDomainconfig,
    }
}

pub(super) fn creation(u: &DomctlU) -> Result<DomctlCreatedomain, Errno> {
    let asked: Createdomain0x14 = front_of(u);
    Ok(DomctlCreatedomain {
        grant_opts: asked.grant_opts,
        vmtrace_size: asked.vmtrace_size,
        arch: asked.arch,
        ..creation_front(u)
    })
}
