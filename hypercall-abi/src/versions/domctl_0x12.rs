//! domctl 0x12 (Xen 4.14): as 0x13, without a trace buffer and MSR flags at creation, and with disable_migrate.
//!
//! Xen 4.14 public/domctl.h.

use super::domctl_0x13::{self, GRANT_VERSION};
use super::{DomainInfo, Request, domctl_with, member};
use crate::Errno;
use crate::arch_x86::ArchDomainconfig;
use crate::domctl::*;
use crate::macros::abi_structs;
use crate::xen::DomId;

/// Flags that creation knows.
const FLAGS: u32 = XEN_DOMCTL_CDF_IOMMU | (XEN_DOMCTL_CDF_IOMMU - 1);
/// `XEN_DOMCTL_disable_migrate`: kept a domain's tools from migrating it. Xen 4.15 dropped it: it is theirs to know.
pub const DISABLE_MIGRATE: DomctlCmd = DomctlCmd(58);

abi_structs! {
    /// `struct xen_arch_domainconfig`.
    pub struct ArchDomainconfig0x12: "struct xen_arch_domainconfig", size 4 {
        0 => emulation_flags: u32,
    }

    /// `struct xen_domctl_createdomain`.
    pub struct Createdomain0x12: "struct xen_domctl_createdomain", size 48 {
        0 => ssidref: u32,
        4 => handle: [u8; 16],
        20 => flags: u32,
        24 => iommu_opts: u32,
        28 => max_vcpus: u32,
        32 => max_evtchn_port: u32,
        36 => max_grant_frames: i32,
        40 => max_maptrack_frames: i32,
        44 => arch: ArchDomainconfig0x12,
    }

    /// `struct xen_domctl_getdomaininfo`.
    pub struct Getdomaininfo0x12: "struct xen_domctl_getdomaininfo", size 104 {
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
        96 => arch_config: ArchDomainconfig0x12,
        100 => _hole1: [u8; 4] as "",
    }

    /// `struct xen_domctl_disable_migrate`.
    pub struct DisableMigrate0x12: "struct xen_domctl_disable_migrate", size 4 {
        0 => disable: u32,
    }
}

fn narrow(info: &DomctlGetdomaininfo) -> Getdomaininfo0x12 {
    let i = domctl_0x13::narrow(info);
    Getdomaininfo0x12 {
        domain: i.domain,
        flags: i.flags,
        tot_pages: i.tot_pages,
        max_pages: i.max_pages,
        outstanding_pages: i.outstanding_pages,
        shr_pages: i.shr_pages,
        paged_pages: i.paged_pages,
        shared_info_frame: i.shared_info_frame,
        cpu_time: i.cpu_time,
        nr_online_vcpus: i.nr_online_vcpus,
        max_vcpu_id: i.max_vcpu_id,
        ssidref: i.ssidref,
        handle: i.handle,
        cpupool: i.cpupool,
        arch_config: ArchDomainconfig0x12 {
            emulation_flags: i.arch_config.emulation_flags,
        },
        ..Getdomaininfo0x12::default()
    }
}

pub(super) fn info(info: &DomctlGetdomaininfo) -> DomainInfo {
    DomainInfo::new(&narrow(info))
}

pub(super) fn request(cmd: DomctlCmd, u: &DomctlU) -> Result<Request<DomctlU>, Errno> {
    let u = match cmd {
        DISABLE_MIGRATE => return Ok(Request::Nothing),
        DomctlCmd::CREATEDOMAIN => {
            let asked: Createdomain0x12 = member(u);
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
                vmtrace_size: 0,
                cpupool_id: 0,
                arch: ArchDomainconfig {
                    emulation_flags: asked.arch.emulation_flags,
                    misc_flags: 0,
                },
            })
        }
        DomctlCmd::IRQ_PERMISSION => domctl_0x13::irq_permission(u),
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
