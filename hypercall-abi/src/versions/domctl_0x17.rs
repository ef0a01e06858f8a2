//! domctl 0x17 (Xen 4.19 to 4.21) and 0x18 (Xen 4.22): alternate physical maps at creation. 4.20 and 4.21 added commands
//! without a new number (gsi_permission, set_llc_colors); they are unknown here, as on a 4.19.
//!
//! Xen 4.19 to 4.22 public/domctl.h.

use super::{creation_front, front_of, versioned};
use crate::Errno;
use crate::arch_x86::ArchDomainconfig;
use crate::domctl::{DomctlCreatedomain, DomctlU};
use crate::macros::abi_structs;

versioned! {
    // 4.21 split the word of alternate maps: options, and how many.
    creation Createdomain0x17, size 68 {
        44 => grant_opts: u32,
        48 => altp2m_opts: u16 as "",
        50 => altp2m_nr: u16 as "",
        52 => vmtrace_size: u32,
        56 => cpupool_id: u32,
        60 => arch: ArchDomainconfig,
    }
}

pub(super) fn creation(u: &DomctlU) -> Result<DomctlCreatedomain, Errno> {
    let asked: Createdomain0x17 = front_of(u);
    // Alternate maps are for HVM guests with hardware support. How many there may be: 4.21 and 4.22 refuse a number without
    // them, and to 4.19 and 4.20 it is unknown options.
    if asked.altp2m_opts != 0 || asked.altp2m_nr != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(DomctlCreatedomain {
        grant_opts: asked.grant_opts,
        vmtrace_size: asked.vmtrace_size,
        cpupool_id: asked.cpupool_id,
        arch: asked.arch,
        ..creation_front(u)
    })
}
