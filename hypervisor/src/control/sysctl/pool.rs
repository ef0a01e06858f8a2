//! CPU pools and their schedulers' parameters.

use hypercall_abi::Errno;
use hypercall_abi::domctl::Scheduler;
use hypercall_abi::sysctl::*;

use crate::control::{bitmap, cpus};
use crate::domain::{Context, DomainId};
use crate::host::host;
use crate::sched::pool::{self, Parameters};

/// `XEN_SYSCTL_sched_id`: what the scheduler of pool 0 is called.
pub(super) fn scheduler_id() -> Result<Scheduler, Errno> {
    Ok(pool::info(pool::POOL0)?.scheduler)
}

/// `XEN_SYSCTL_scheduler_op`. `ESRCH` for a pool that is not there, `EINVAL` for another scheduler than the pool's or a
/// value out of range.
pub(super) fn scheduler(mut op: SysctlSchedulerOp) -> Result<SysctlSchedulerOp, Errno> {
    let put = match op.cmd {
        SysctlSchedOp::PUTINFO => true,
        SysctlSchedOp::GETINFO => false,
        _ => return Err(Errno::EINVAL),
    };
    let pool = pool::info(op.cpupool_id)?;
    if op.sched_id != pool.scheduler {
        return Err(Errno::EINVAL);
    }
    let credit = pool.scheduler == Scheduler::CREDIT;
    if put {
        let wanted = if credit {
            let wanted = op.u.sched_credit();
            Parameters {
                ratelimit_us: wanted.ratelimit_us,
                tslice_ms: wanted.tslice_ms,
                migration_delay_us: wanted.vcpu_migr_delay_us,
            }
        } else {
            Parameters {
                ratelimit_us: op.u.sched_credit2().ratelimit_us,
                ..pool.parameters
            }
        };
        pool::set_parameters(pool.id, wanted)?;
    }
    let in_force = pool::info(pool.id)?.parameters;
    if credit {
        op.u.set_sched_credit(SysctlCreditSchedule {
            tslice_ms: in_force.tslice_ms,
            ratelimit_us: in_force.ratelimit_us,
            vcpu_migr_delay_us: in_force.migration_delay_us,
        });
    } else {
        op.u.set_sched_credit2(SysctlCredit2Schedule {
            ratelimit_us: in_force.ratelimit_us,
        });
    }
    Ok(op)
}

/// `XEN_SYSCTL_cpupool_op`. `ENOSYS` for unknown operations; errors of the others in `sched::pool`.
pub(super) fn cpupool(cx: &Context, mut op: SysctlCpupoolOp) -> Result<SysctlCpupoolOp, Errno> {
    let bits = cpus::present().len();
    let any = op.cpu == XEN_SYSCTL_CPUPOOL_PAR_ANY;
    let cpu = (!any).then_some(op.cpu as usize);
    match op.op {
        CpupoolOp::INFO => {
            let info = pool::info_from(op.cpupool_id)?;
            op.cpupool_id = info.id;
            op.sched_id = info.scheduler;
            op.n_dom = info.domains;
            bitmap::write(&op.cpumap, info.cpus, bits)?;
        }
        CpupoolOp::FREEINFO => bitmap::write(&op.cpumap, pool::free_cpus(), bits)?,
        CpupoolOp::CREATE => {
            let id = (op.cpupool_id != XEN_SYSCTL_CPUPOOL_PAR_ANY).then_some(op.cpupool_id);
            op.cpupool_id = pool::create(id, op.sched_id)?;
        }
        CpupoolOp::DESTROY => pool::destroy(op.cpupool_id)?,
        CpupoolOp::ADDCPU => pool::add_cpu(op.cpupool_id, cpu)?,
        CpupoolOp::RMCPU => pool::remove_cpu(op.cpupool_id, cpu)?,
        CpupoolOp::MOVEDOMAIN => {
            let id = u16::try_from(op.domid).map_err(|_| Errno::ESRCH)?;
            if DomainId(id) == cx.domain.id {
                return Err(Errno::EPERM);
            }
            let domain = host().domains.get(DomainId(id))?;
            pool::move_domain(&domain, op.cpupool_id)?;
        }
        _ => return Err(Errno::ENOSYS),
    }
    Ok(op)
}
