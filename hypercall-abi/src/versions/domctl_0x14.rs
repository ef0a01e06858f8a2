//! domctl 0x14 (Xen 4.16): no CPU pool at creation.
//!
//! Xen 4.16 public/domctl.h.

use super::{Request, domctl_with, member};
use crate::Errno;
use crate::arch_x86::ArchDomainconfig;
use crate::domctl::*;
use crate::macros::abi_structs;

abi_structs! {
    /// `struct xen_domctl_createdomain`.
    pub struct Createdomain0x14: "struct xen_domctl_createdomain", size 60 {
        0 => ssidref: u32,
        4 => handle: [u8; 16],
        20 => flags: u32,
        24 => iommu_opts: u32,
        28 => max_vcpus: u32,
        32 => max_evtchn_port: u32,
        36 => max_grant_frames: i32,
        40 => max_maptrack_frames: i32,
        44 => grant_opts: u32,
        48 => vmtrace_size: u32,
        52 => arch: ArchDomainconfig,
    }
}

pub(super) fn request(cmd: DomctlCmd, u: &DomctlU) -> Result<Request<DomctlU>, Errno> {
    if cmd != DomctlCmd::CREATEDOMAIN {
        return Ok(Request::Ask(*u));
    }
    let asked: Createdomain0x14 = member(u);
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
        cpupool_id: 0,
        arch: asked.arch,
    })))
}

pub(super) fn reply(cmd: DomctlCmd, answer: &DomctlU, asked: &DomctlU) -> DomctlU {
    match cmd {
        DomctlCmd::CREATEDOMAIN => *asked,
        _ => *answer,
    }
}
