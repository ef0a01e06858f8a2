//! domctl 0x13 (Xen 4.15): no grant options and no CPU pool at creation, a shorter getdomaininfo, interrupts in one byte.
//!
//! Xen 4.15 public/domctl.h.

use super::{DomainInfo, Request, domctl_with, member};
use crate::Errno;
use crate::arch_x86::ArchDomainconfig;
use crate::domctl::*;
use crate::macros::abi_structs;
use crate::xen::DomId;

/// Flags that creation knows.
const FLAGS: u32 = XEN_DOMCTL_CDF_NESTED_VIRT | (XEN_DOMCTL_CDF_NESTED_VIRT - 1);
/// Up to this version of grant tables a domain may use: without a word about it, the newest.
pub(super) const GRANT_VERSION: u32 = 2;

abi_structs! {
    /// `struct xen_domctl_createdomain`.
    pub struct Createdomain0x13: "struct xen_domctl_createdomain", size 56 {
        0 => ssidref: u32,
        4 => handle: [u8; 16],
        20 => flags: u32,
        24 => iommu_opts: u32,
        28 => max_vcpus: u32,
        32 => max_evtchn_port: u32,
        36 => max_grant_frames: i32,
        40 => max_maptrack_frames: i32,
        44 => vmtrace_size: u32,
        48 => arch: ArchDomainconfig,
    }

    /// `struct xen_domctl_getdomaininfo`.
    pub struct Getdomaininfo0x13: "struct xen_domctl_getdomaininfo", size 104 {
        0 => domain: DomId,
        2 => _hole0: [u8; 2] as "",
        4 => flags: u32,
        8 => tot_pages: u64,
        16 => max_pages: u64,
        24 => outstanding_pages: u64,
        32 => shr_pages: u64,
        40 => paged_pages: u64,
        48 => shared_info_frame: u64,
        56 => cpu_time: u64,
        64 => nr_online_vcpus: u32,
        68 => max_vcpu_id: u32,
        72 => ssidref: u32,
        76 => handle: [u8; 16],
        92 => cpupool: u32,
        96 => arch_config: ArchDomainconfig,
    }

    /// `struct xen_domctl_irq_permission`.
    pub struct IrqPermission0x13: "struct xen_domctl_irq_permission", size 2 {
        0 => pirq: u8,
        1 => allow_access: u8,
    }
}

/// A domain's state.
pub(super) fn narrow(info: &DomctlGetdomaininfo) -> Getdomaininfo0x13 {
    Getdomaininfo0x13 {
        domain: info.domain,
        flags: info.flags,
        tot_pages: info.tot_pages,
        max_pages: info.max_pages,
        outstanding_pages: info.outstanding_pages,
        shr_pages: info.shr_pages,
        paged_pages: info.paged_pages,
        shared_info_frame: info.shared_info_frame,
        cpu_time: info.cpu_time,
        nr_online_vcpus: info.nr_online_vcpus,
        max_vcpu_id: info.max_vcpu_id,
        ssidref: info.ssidref,
        handle: info.handle,
        cpupool: info.cpupool,
        arch_config: info.arch_config,
        ..Getdomaininfo0x13::default()
    }
}

pub(super) fn info(info: &DomctlGetdomaininfo) -> DomainInfo {
    DomainInfo::new(&narrow(info))
}

/// Interrupt permission, as 0x12 and 0x13 have it.
pub(super) fn irq_permission(u: &DomctlU) -> DomctlU {
    let asked: IrqPermission0x13 = member(u);
    domctl_with(&DomctlIrqPermission {
        pirq: asked.pirq.into(),
        allow_access: asked.allow_access,
        ..DomctlIrqPermission::default()
    })
}

pub(super) fn request(cmd: DomctlCmd, u: &DomctlU) -> Result<Request<DomctlU>, Errno> {
    let u = match cmd {
        DomctlCmd::CREATEDOMAIN => {
            let asked: Createdomain0x13 = member(u);
            if asked.flags & !FLAGS != 0 {
                return Err(Errno::EINVAL);
            }
            domctl_with(&DomctlCreatedomain {
                ssidref: asked.ssidref,
                handle: asked.handle,
                flags: asked.flags,
                iommu_opts: asked.iommu_opts,
                max_vcpus: asked.max_vcpus,
                max_evtchn_port: asked.max_evtchn_port,
                max_grant_frames: asked.max_grant_frames,
                max_maptrack_frames: asked.max_maptrack_frames,
                grant_opts: GRANT_VERSION,
                vmtrace_size: asked.vmtrace_size,
                cpupool_id: 0,
                arch: asked.arch,
            })
        }
        DomctlCmd::IRQ_PERMISSION => irq_permission(u),
        _ => *u,
    };
    Ok(Request::Ask(u))
}

pub(super) fn reply(cmd: DomctlCmd, answer: &DomctlU, asked: &DomctlU) -> DomctlU {
    match cmd {
        DomctlCmd::CREATEDOMAIN | DomctlCmd::IRQ_PERMISSION => *asked,
        DomctlCmd::GETDOMAININFO => domctl_with(&narrow(&answer.getdomaininfo())),
        _ => *answer,
    }
}
