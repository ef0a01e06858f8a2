//! domctl 0x17 (Xen 4.19 to 4.21) and 0x18 (Xen 4.22): alternate physical maps at creation. 4.20 and 4.21 added commands
//! without a new number (gsi_permission, set_llc_colors); they are unknown here, as on a 4.19.
//!
//! Xen 4.19 to 4.22 public/domctl.h.

use super::{Request, domctl_with, member};
use crate::Errno;
use crate::arch_x86::ArchDomainconfig;
use crate::domctl::*;
use crate::macros::abi_structs;

/// Flags that creation knows on x86.
const FLAGS: u32 = XEN_DOMCTL_CDF_MAX | (XEN_DOMCTL_CDF_MAX - 1);

abi_structs! {
    /// `struct xen_domctl_createdomain`. The word of alternate maps was split in 4.21: options, and how many.
    pub struct Createdomain0x17: "struct xen_domctl_createdomain", size 68 {
        0 => ssidref: u32,
        4 => handle: [u8; 16],
        20 => flags: u32,
        24 => iommu_opts: u32,
        28 => max_vcpus: u32,
        32 => max_evtchn_port: u32,
        36 => max_grant_frames: i32,
        40 => max_maptrack_frames: i32,
        44 => grant_opts: u32,
        48 => altp2m_opts: u16 as "",
        50 => altp2m_nr: u16 as "",
        52 => vmtrace_size: u32,
        56 => cpupool_id: u32,
        60 => arch: ArchDomainconfig,
    }
}

pub(super) fn request(cmd: DomctlCmd, u: &DomctlU) -> Result<Request<DomctlU>, Errno> {
    if cmd != DomctlCmd::CREATEDOMAIN {
        return Ok(Request::Ask(*u));
    }
    let asked: Createdomain0x17 = member(u);
    // Alternate maps are for HVM guests with hardware support. How many there may be: 4.21 and 4.22 refuse a number without
    // them, and to 4.19 and 4.20 it is unknown options.
    if asked.altp2m_opts != 0 || asked.altp2m_nr != 0 || asked.flags & !FLAGS != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(Request::Ask(domctl_with(&DomctlCreatedomain {
        ssidref: asked.ssidref,
        handle: asked.handle,
        flags: asked.flags,
        iommu_opts: asked.iommu_opts,
        max_vcpus: asked.max_vcpus,
        max_evtchn_port: asked.max_evtchn_port,
        max_grant_frames: asked.max_grant_frames,
        max_maptrack_frames: asked.max_maptrack_frames,
        grant_opts: asked.grant_opts,
        vmtrace_size: asked.vmtrace_size,
        cpupool_id: asked.cpupool_id,
        arch: asked.arch,
    })))
}

pub(super) fn reply(cmd: DomctlCmd, answer: &DomctlU, asked: &DomctlU) -> DomctlU {
    match cmd {
        DomctlCmd::CREATEDOMAIN => *asked,
        _ => *answer,
    }
}
