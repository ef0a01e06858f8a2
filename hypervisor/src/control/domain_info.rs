//! What a domain looks like from outside: for domctl getdomaininfo and its list form.

use core::sync::atomic::Ordering;

use hypercall_abi::Errno;
use hypercall_abi::arch_x86::ArchDomainconfig;
use hypercall_abi::domctl::*;
use hypercall_abi::sysctl::SysctlGetdomaininfolist;
use hypercall_abi::vcpu::Runstate;
use hypercall_abi::versions::SysctlVersion;
use hypercall_abi::xen::DomId;

use crate::domain::Domain;
use crate::guest;
use crate::host::host;
use crate::time::now;

/// The device that a PV domain with all hardware sees emulated: the interval timer (`XEN_X86_EMU_PIT`).
const EMULATED_PIT: u32 = 1 << 8;

/// A domain's state now.
pub fn of(domain: &Domain) -> DomctlGetdomaininfo {
    let now = now();
    let (mut cpu_time, mut online) = (0, 0);
    let (mut running, mut blocked) = (false, true);
    for vcpu in domain.vcpus() {
        let info = vcpu.sched.info(now);
        cpu_time += info.cpu_time;
        if !vcpu.down.load(Ordering::Acquire) {
            online += 1;
            running |= info.state == Runstate::RUNNING;
            blocked &= vcpu.sched.is_blocked();
        }
    }
    let shutdown = *domain.shutdown.lock();
    let control = domain.control.lock();
    let mut flags = 0;
    let mut set = |on: bool, flag: u32| flags |= if on { flag } else { 0 };
    set(online > 0 && blocked, XEN_DOMINF_BLOCKED);
    set(online > 0 && running, XEN_DOMINF_RUNNING);
    // Not before all that can be given back was: tools take it for the end.
    set(domain.is_dead(), XEN_DOMINF_DYING);
    set(domain.is_xenstore(), XEN_DOMINF_XS_DOMAIN);
    set(control.debugged, XEN_DOMINF_DEBUGGED);
    set(control.tool_pauses > 0, XEN_DOMINF_PAUSED);
    set(shutdown.is_some(), XEN_DOMINF_SHUTDOWN);
    // Without a reason the field is all ones.
    let code = shutdown.unwrap_or(XEN_DOMINF_SHUTDOWNMASK) & XEN_DOMINF_SHUTDOWNMASK;
    flags |= code << XEN_DOMINF_SHUTDOWNSHIFT;
    DomctlGetdomaininfo {
        domain: DomId(domain.id.0),
        flags,
        tot_pages: domain.mem.tot_pages(),
        max_pages: domain.mem.max_pages(),
        outstanding_pages: domain.mem.outstanding_claim(),
        shared_info_frame: domain.shared_info.mfn().get(),
        cpu_time,
        nr_online_vcpus: online,
        max_vcpu_id: (domain.vcpus().len() as u32).wrapping_sub(1),
        handle: control.handle,
        cpupool: domain.sched.pool(),
        gpaddr_bits: (arch::cpu::cpuid(0x8000_0008, 0).eax & 0xff) as u8,
        arch_config: ArchDomainconfig {
            emulation_flags: if domain.privileged { EMULATED_PIT } else { 0 },
            misc_flags: 0,
        },
        ..DomctlGetdomaininfo::default()
    }
}

/// Writes the domains from `first_domain` up to the caller's array, as many as fit, laid out as the caller's version has it.
pub fn list(
    version: &SysctlVersion,
    mut op: SysctlGetdomaininfolist,
) -> Result<SysctlGetdomaininfolist, Errno> {
    let mut from = op.first_domain.0;
    op.num_domains = 0;
    while op.num_domains < op.max_domains
        && let Some(domain) = host().domains.next(from)
    {
        let info = version.info(&of(&domain));
        let bytes = info.as_bytes();
        let at = u64::from(op.num_domains) * bytes.len() as u64;
        let to = op.buffer.cast::<u8>().offset(at).ok_or(Errno::EFAULT)?;
        guest::write_bytes(to, bytes)?;
        op.num_domains += 1;
        from = domain.id.0 + 1;
    }
    Ok(op)
}
