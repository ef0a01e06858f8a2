//! The one CPU pool and its scheduler's parameters.

use hypercall_abi::Errno;
use hypercall_abi::domctl::Scheduler;
use hypercall_abi::sysctl::*;

use crate::control::{bitmap, cpus};
use crate::domain::{Context, DomainId};
use crate::host::host;
use crate::sched::CpuMask;

/// What the scheduler is in the terms of the interface.
pub(crate) const SCHEDULER: Scheduler = Scheduler::CREDIT2;
/// The pool that has all CPUs and all domains.
const POOL: u32 = 0;
/// Microseconds that a vCPU runs before another may take its place.
const RATELIMIT_US: u32 = (crate::sched::credit::RATELIMIT / 1000) as u32;

/// `XEN_SYSCTL_scheduler_op`. `ESRCH` for another pool, `EINVAL` for another scheduler or a value out of range,
/// `EOPNOTSUPP` for a rate limit other than the built-in one.
pub(super) fn scheduler(mut op: SysctlSchedulerOp) -> Result<SysctlSchedulerOp, Errno> {
    let put = match op.cmd {
        SysctlSchedOp::PUTINFO => true,
        SysctlSchedOp::GETINFO => false,
        _ => return Err(Errno::EINVAL),
    };
    if op.cpupool_id != POOL {
        return Err(Errno::ESRCH);
    }
    if op.sched_id != SCHEDULER {
        return Err(Errno::EINVAL);
    }
    let wanted = op.u.sched_credit2().ratelimit_us;
    if put && wanted != RATELIMIT_US {
        let range = XEN_SYSCTL_SCHED_RATELIMIT_MIN..=XEN_SYSCTL_SCHED_RATELIMIT_MAX;
        return Err(if wanted == 0 || range.contains(&wanted) {
            log::info!("rate limit of {wanted} us refused: it is {RATELIMIT_US} us");
            Errno::EOPNOTSUPP
        } else {
            Errno::EINVAL
        });
    }
    op.u.set_sched_credit2(SysctlCredit2Schedule {
        ratelimit_us: RATELIMIT_US,
    });
    Ok(op)
}

/// `XEN_SYSCTL_cpupool_op`: there is pool 0 and never another.
pub(super) fn cpupool(cx: &Context, mut op: SysctlCpupoolOp) -> Result<SysctlCpupoolOp, Errno> {
    let bits = cpus::present().len();
    match op.op {
        CpupoolOp::INFO => {
            // Asks for the first pool from this id up.
            if op.cpupool_id != POOL {
                return Err(Errno::ENOENT);
            }
            let mut domains = 0;
            host().domains.for_each(|_| domains += 1);
            op.sched_id = SCHEDULER;
            op.n_dom = domains;
            bitmap::write(&op.cpumap, cpus::online(), bits)?;
        }
        CpupoolOp::FREEINFO => bitmap::write(&op.cpumap, CpuMask::NONE, bits)?,
        CpupoolOp::CREATE => {
            log::info!("creation of a CPU pool refused: there is one pool");
            return Err(Errno::EOPNOTSUPP);
        }
        CpupoolOp::DESTROY | CpupoolOp::ADDCPU | CpupoolOp::RMCPU if op.cpupool_id != POOL => {
            return Err(Errno::ENOENT);
        }
        CpupoolOp::DESTROY => return Err(Errno::EBUSY),
        CpupoolOp::ADDCPU | CpupoolOp::RMCPU => {
            let any = op.cpu == XEN_SYSCTL_CPUPOOL_PAR_ANY;
            if !any && cpus::get(op.cpu).is_none() {
                return Err(Errno::EINVAL);
            }
            // No CPU is free to be added, and none can be spared.
            return Err(if op.op == CpupoolOp::ADDCPU {
                Errno::ENODEV
            } else {
                Errno::EBUSY
            });
        }
        CpupoolOp::MOVEDOMAIN => {
            let id = u16::try_from(op.domid).map_err(|_| Errno::ESRCH)?;
            if DomainId(id) == cx.domain.id {
                return Err(Errno::EPERM);
            }
            host().domains.get(DomainId(id))?;
            if op.cpupool_id != POOL {
                return Err(Errno::ENOENT);
            }
        }
        _ => return Err(Errno::ENOSYS),
    }
    Ok(op)
}
