//! sysctl: the host, for the tools. Xen public/sysctl.h.

mod cpu;
mod debug;
mod host_info;
mod pool;

use hypercall_abi::sysctl::*;
use hypercall_abi::versions::SysctlVersion;
use hypercall_abi::xen::Hypercall;
use hypercall_abi::{Errno, GuestHandle};

use crate::control::{domain_info, versions};
use crate::domain::Context;
use crate::fail::{Args, Fail, Return};
use crate::{guest, xsm};

/// `HYPERVISOR_sysctl(op)`. `EFAULT` for a bad `op`, `EPERM` if the caller is not privileged, `EACCES` for an interface
/// version that is not spoken here, `ENOSYS` for unknown commands.
pub fn do_sysctl(cx: &Context, args: Args) -> Return {
    let from = GuestHandle::<Sysctl>::new(args.0[0]);
    let mut op = guest::read(from, 0)?;
    xsm::check(&cx.domain, Hypercall::SYSCTL, op.cmd.0, None)?;
    let version = versions::sysctl(op.interface_version)?;
    let result = execute(cx, version, op.cmd, &mut op.u);
    // A feature set that was cut short is still an answer.
    let cut = op.cmd == SysctlCmd::GET_CPU_FEATURESET && result == Err(Errno::ENOBUFS.into());
    if result.is_ok() || cut {
        op.u = version.reply(op.cmd, &op.u);
        guest::write(from, 0, &op)?;
    }
    result.map(|()| 0)
}

fn execute(
    cx: &Context,
    version: &SysctlVersion,
    cmd: SysctlCmd,
    u: &mut SysctlU,
) -> Result<(), Fail> {
    match cmd {
        SysctlCmd::READCONSOLE => u.set_readconsole(debug::read_console(u.readconsole())?),
        SysctlCmd::PHYSINFO => u.set_physinfo(host_info::physinfo()),
        SysctlCmd::SCHED_ID => u.set_sched_id(SysctlSchedId {
            sched_id: pool::scheduler_id()?,
        }),
        SysctlCmd::GETDOMAININFOLIST => {
            u.set_getdomaininfolist(domain_info::list(version, u.getdomaininfolist())?);
        }
        SysctlCmd::DEBUG_KEYS => debug::keys(&u.debug_keys())?,
        SysctlCmd::GETCPUINFO => u.set_getcpuinfo(host_info::idle_times(u.getcpuinfo())?),
        SysctlCmd::AVAILHEAP => u.set_availheap(host_info::available(u.availheap())),
        SysctlCmd::CPUTOPOINFO => u.set_cputopoinfo(host_info::cpu_topology(u.cputopoinfo())?),
        SysctlCmd::NUMAINFO => u.set_numainfo(host_info::numa_info(u.numainfo())?),
        SysctlCmd::PCITOPOINFO => u.set_pcitopoinfo(host_info::pci_topology(u.pcitopoinfo())?),
        SysctlCmd::CPUPOOL_OP => u.set_cpupool_op(pool::cpupool(cx, u.cpupool_op())?),
        SysctlCmd::SCHEDULER_OP => u.set_scheduler_op(pool::scheduler(u.scheduler_op())?),
        // No means to hide features from guests' CPUID beyond what the hypervisor always does.
        SysctlCmd::GET_CPU_LEVELLING_CAPS => {
            u.set_cpu_levelling_caps(SysctlCpuLevellingCaps { caps: 0 });
        }
        SysctlCmd::GET_CPU_FEATURESET => {
            let (set, whole) = cpu::feature_set(u.cpu_featureset())?;
            u.set_cpu_featureset(set);
            whole?;
        }
        SysctlCmd::GET_CPU_POLICY => u.set_cpu_policy(cpu::policy(u.cpu_policy())?),
        SysctlCmd::GET_PMSTAT => return Err(cpu::power_statistics(&u.get_pmstat()).into()),
        SysctlCmd::PM_OP => return Err(cpu::power_management(&u.pm_op()).into()),
        SysctlCmd::PAGE_OFFLINE_OP => {
            let op = u.page_offline();
            let sane = op.end >= op.start;
            return Err(if sane {
                Errno::EOPNOTSUPP
            } else {
                Errno::EINVAL
            }
            .into());
        }
        SysctlCmd::CPU_HOTPLUG | SysctlCmd::COVERAGE_OP => return Err(Errno::EOPNOTSUPP.into()),
        // Cache monitoring and allocation: as on processors without them.
        SysctlCmd::PSR_CMT_OP | SysctlCmd::PSR_ALLOC => return Err(Errno::ENODEV.into()),
        // Trace buffers, performance counters, lock profiles and live patches are not built in.
        _ => return Err(Errno::ENOSYS.into()),
    }
    Ok(())
}
