//! Making a domain as the tools describe it (Xen public/domctl.h `xen_domctl_createdomain`).

use alloc::sync::Arc;

use hypercall_abi::Errno;
use hypercall_abi::arch_x86::{XEN_X86_EMU_PIT, XEN_X86_MSR_RELAXED};
use hypercall_abi::domctl::*;

use super::{Domain, DomainId, Kind, Vcpu};
use crate::host::host;
use crate::sched::pool;
use crate::{grant_table, pv};

/// Most vCPUs of a PV domain (Xen's `MAX_VIRT_CPUS`).
const MAX_VCPUS: u32 = 8192;
/// All flags of this interface version.
const FLAGS: u32 = XEN_DOMCTL_CDF_HVM
    | XEN_DOMCTL_CDF_HAP
    | XEN_DOMCTL_CDF_S3_INTEGRITY
    | XEN_DOMCTL_CDF_OOS_OFF
    | XEN_DOMCTL_CDF_XS_DOMAIN
    | XEN_DOMCTL_CDF_IOMMU
    | XEN_DOMCTL_CDF_NESTED_VIRT
    | XEN_DOMCTL_CDF_VPMU;
/// Bytes of the kernel heap that a vCPU takes besides its own structures (extended state, allocator's slack).
const VCPU_EXTRA: u64 = 8192;

/// Why a configuration is refused, for the log; all of them are `EINVAL` to the caller, as in Xen.
fn objection(config: &DomctlCreatedomain) -> Option<&'static str> {
    let flag = |bit: u32| config.flags & bit != 0;
    let refusals = [
        (config.flags & !FLAGS != 0, "unknown flags"),
        (
            config.grant_opts & !XEN_DOMCTL_GRANT_VERSION_MASK != 0,
            "unknown grant options",
        ),
        (config.max_vcpus < 1, "no vCPUs"),
        (
            flag(XEN_DOMCTL_CDF_HAP) && !flag(XEN_DOMCTL_CDF_HVM),
            "HAP for a PV domain",
        ),
        (flag(XEN_DOMCTL_CDF_IOMMU), "an IOMMU, and none is driven"),
        (config.iommu_opts != 0, "IOMMU options without an IOMMU"),
        (config.vmtrace_size != 0, "vmtrace, which is not available"),
        (flag(XEN_DOMCTL_CDF_VPMU), "a vPMU, which is switched off"),
        (
            flag(XEN_DOMCTL_CDF_HVM),
            "HVM, which this version does not support",
        ),
        (config.max_vcpus > MAX_VCPUS, "too many vCPUs"),
        (
            flag(XEN_DOMCTL_CDF_S3_INTEGRITY),
            "S3 integrity checks, which need tboot",
        ),
        (
            flag(XEN_DOMCTL_CDF_NESTED_VIRT),
            "nested virtualisation without HAP",
        ),
        (
            config.arch.misc_flags & !XEN_X86_MSR_RELAXED != 0,
            "unknown architecture flags",
        ),
        (
            config.arch.emulation_flags & !XEN_X86_EMU_PIT != 0,
            "devices that a PV domain does not have emulated",
        ),
    ];
    refusals.iter().find(|r| r.0).map(|r| r.1)
}

/// A limit that the tools may leave to the hypervisor by a negative number. `EINVAL` above that default.
fn limit(wanted: i32, default: u32) -> Result<u32, Errno> {
    match u32::try_from(wanted) {
        Err(_) => Ok(default),
        Ok(n) if n <= default => Ok(n),
        Ok(_) => Err(Errno::EINVAL),
    }
}

/// Makes a domain, paused, with its vCPUs down and no memory, and puts it into the list: with the id that the tools want
/// (`EEXIST` if it is taken), or the next free one. `EINVAL` for a configuration that cannot be had, `ESRCH` for a CPU
/// pool that is not there, `ENODEV` for one without CPUs, `ENOMEM`.
pub fn create(wanted: u16, config: &DomctlCreatedomain) -> Result<Arc<Domain>, Errno> {
    if let Some(why) = objection(config) {
        log::warn!("createdomain refused: it asks for {why}");
        return Err(Errno::EINVAL);
    }
    pool::can_take(config.cpupool_id)?;
    let grant_frames = limit(config.max_grant_frames, grant_table::DEFAULT_MAX_FRAMES)?;
    let maptrack_frames = limit(
        config.max_maptrack_frames,
        grant_table::DEFAULT_MAX_MAPTRACK_FRAMES,
    )?;
    affordable(config.max_vcpus)?;
    let claim = host().domains.claim_id(wanted)?;
    let domain = assemble(claim, config)?;
    let limited = grant_table::init(
        &domain,
        grant_frames,
        maptrack_frames,
        config.grant_opts & XEN_DOMCTL_GRANT_VERSION_MASK,
    )
    .and_then(|()| host().domains.insert(domain.clone()));
    if let Err(errno) = limited {
        grant_table::destroy(&domain);
        return Err(errno);
    }
    // Only the pool's end meanwhile prevents this, and then pool 0 has it already.
    if let Err(errno) = pool::add_domain(&domain, config.cpupool_id) {
        log::warn!(
            "d{}: CPU pool {}: {errno:?}",
            domain.id.0,
            config.cpupool_id
        );
    }
    Ok(domain)
}

/// Refuses what the heap could not hold besides what is promised to claims and kept for the hypervisor: nothing may fail
/// for want of memory where it cannot be refused any more.
fn affordable(vcpus: u32) -> Result<(), Errno> {
    let each = (size_of::<Vcpu>() + size_of::<pv::PvState>()) as u64 + VCPU_EXTRA;
    let pages = (each * u64::from(vcpus)).div_ceil(4096);
    if host().mm.available_pages() / 2 < pages {
        return Err(Errno::ENOMEM);
    }
    Ok(())
}

fn assemble(id: DomainId, config: &DomctlCreatedomain) -> Result<Arc<Domain>, Errno> {
    let shared = host().mm.alloc_shared_page(id, true)?;
    let kind = Kind::Pv(pv::PvDomain::default());
    let domain = Domain::new(id, kind, false, shared.frame());
    // The domain gives it back when it is dropped.
    let _ = shared.into_raw();
    {
        let mut control = domain.control.lock();
        control.handle = config.handle;
        control.tool_pauses = 1;
    }
    let relaxed = core::sync::atomic::Ordering::Relaxed;
    domain.pause_count.store(1, relaxed);
    domain
        .xenstore
        .store(config.flags & XEN_DOMCTL_CDF_XS_DOMAIN != 0, relaxed);
    // Ports are counted in a C int.
    domain
        .events
        .set_max_port(config.max_evtchn_port.min(i32::MAX as u32));
    domain.create_vcpus(config.max_vcpus)?;
    crate::time::update_domain_wallclock(&domain);
    Ok(domain)
}
