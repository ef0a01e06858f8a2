//! CPU pools and the parameters of their schedulers (Xen `public/sysctl.h`, `public/domctl.h`).

use hypercall_abi::Errno;
use hypercall_abi::domctl::{DomctlCmd, DomctlSchedOp, DomctlSchedulerOp, Scheduler};
use hypercall_abi::sysctl::{
    CpupoolOp, SysctlCmd, SysctlCpupoolOp, SysctlSchedOp, SysctlSchedulerOp, SysctlSchedulerOpU,
    XEN_SYSCTL_CPUPOOL_PAR_ANY,
};
use hypercall_abi::xen::DomId;

use super::calls::{domctl, sysctl};
use super::{Error, Interface};

/// A CPU pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its number.
    pub id: u32,
    /// Who schedules in it.
    pub scheduler: Scheduler,
    /// How many domains are in it.
    pub domains: u32,
    /// Its processors.
    pub cpus: Vec<u32>,
}

/// The parameters of a pool's scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameters {
    /// Of the credit scheduler.
    Credit {
        /// Time slice in milliseconds.
        slice: u32,
        /// Shortest run in microseconds.
        rate_limit: u32,
        /// Microseconds for which a vCPU's cache counts as warm.
        migration_delay: u32,
    },
    /// Of the credit2 scheduler.
    Credit2 {
        /// Shortest run in microseconds.
        rate_limit: u32,
    },
}

impl Interface {
    fn pool_op(&self, what: &'static str, op: SysctlCpupoolOp) -> Result<SysctlCpupoolOp, Error> {
        let mut request = sysctl(SysctlCmd::CPUPOOL_OP);
        request.u.set_cpupool_op(op);
        // SAFETY: the callers set no handle, or one of a buffer that they hold, with all its bits.
        let done = unsafe { self.sysctl(what, request)? };
        Ok(done.u.cpupool_op())
    }

    /// All pools; `cpus` is how many processors there may be.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn pools(&self, cpus: u32) -> Result<Vec<Pool>, Error> {
        let mut pools = Vec::new();
        let mut next = 0;
        loop {
            let (map, cpumap) = self.bitmap(cpus)?;
            let op = SysctlCpupoolOp {
                op: CpupoolOp::INFO,
                cpupool_id: next,
                cpumap,
                ..Default::default()
            };
            let found = match self.pool_op("CPU pools", op) {
                Ok(found) => found,
                Err(Error::Refused(_, Errno::ENOENT)) => return Ok(pools),
                Err(error) => return Err(error),
            };
            let bytes: Vec<u8> = map.read(cpus.div_ceil(8) as usize);
            let is_set = |cpu: &u32| {
                let byte = bytes.get((cpu / 8) as usize).copied().unwrap_or(0);
                byte >> (cpu % 8) & 1 != 0
            };
            pools.push(Pool {
                id: found.cpupool_id,
                scheduler: found.sched_id,
                domains: found.n_dom,
                cpus: (0..cpus).filter(is_set).collect(),
            });
            let Some(after) = found.cpupool_id.checked_add(1) else {
                return Ok(pools);
            };
            next = after;
        }
    }

    /// Makes an empty pool and gives its number.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn create_pool(&self, scheduler: Scheduler) -> Result<u32, Error> {
        let op = SysctlCpupoolOp {
            op: CpupoolOp::CREATE,
            cpupool_id: XEN_SYSCTL_CPUPOOL_PAR_ANY,
            sched_id: scheduler,
            ..Default::default()
        };
        Ok(self.pool_op("new CPU pool", op)?.cpupool_id)
    }

    /// Removes a pool that has no processors and no domains.
    ///
    /// # Errors
    /// `EBUSY` if it has.
    pub fn destroy_pool(&self, pool: u32) -> Result<(), Error> {
        let op = SysctlCpupoolOp {
            op: CpupoolOp::DESTROY,
            cpupool_id: pool,
            ..Default::default()
        };
        self.pool_op("end of a CPU pool", op).map(drop)
    }

    /// Gives a free processor to a pool.
    ///
    /// # Errors
    /// `EBUSY` if it is not free.
    pub fn add_to_pool(&self, pool: u32, cpu: u32) -> Result<(), Error> {
        let op = SysctlCpupoolOp {
            op: CpupoolOp::ADDCPU,
            cpupool_id: pool,
            cpu,
            ..Default::default()
        };
        self.pool_op("processor into CPU pool", op).map(drop)
    }

    /// Takes a processor from a pool.
    ///
    /// # Errors
    /// `EBUSY` if it is the last one and domains are there.
    pub fn take_from_pool(&self, pool: u32, cpu: u32) -> Result<(), Error> {
        let op = SysctlCpupoolOp {
            op: CpupoolOp::RMCPU,
            cpupool_id: pool,
            cpu,
            ..Default::default()
        };
        self.pool_op("processor out of CPU pool", op).map(drop)
    }

    /// Moves a domain to a pool.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn move_to_pool(&self, pool: u32, domain: DomId) -> Result<(), Error> {
        let op = SysctlCpupoolOp {
            op: CpupoolOp::MOVEDOMAIN,
            cpupool_id: pool,
            domid: u32::from(domain.0),
            ..Default::default()
        };
        self.pool_op("domain into CPU pool", op).map(drop)
    }

    /// A domain's weight and cap under this scheduler (credit or credit2).
    ///
    /// # Errors
    /// What the hypervisor refuses: `EINVAL` if another scheduler has the domain.
    pub fn share(&self, domain: DomId, scheduler: Scheduler) -> Result<(u16, u16), Error> {
        let mut op = domctl(DomctlCmd::SCHEDULER_OP, domain);
        op.u.set_scheduler_op(DomctlSchedulerOp {
            sched_id: scheduler,
            cmd: DomctlSchedOp::GETINFO,
            u: Default::default(),
        });
        // SAFETY: this command takes no handles.
        let done = unsafe { self.domctl("share of processor time", op)? };
        // Both schedulers with shares have the same two fields.
        let share = done.u.scheduler_op().u.credit2();
        Ok((share.weight, share.cap))
    }

    /// The parameters of a pool's scheduler, which must be this one.
    ///
    /// # Errors
    /// What the hypervisor refuses; `EINVAL` for schedulers other than credit and credit2.
    pub fn parameters(&self, pool: u32, scheduler: Scheduler) -> Result<Parameters, Error> {
        let op = SysctlSchedulerOp {
            cpupool_id: pool,
            sched_id: scheduler,
            cmd: SysctlSchedOp::GETINFO,
            ..Default::default()
        };
        let u = self.scheduler_op(op)?.u;
        Ok(match scheduler {
            Scheduler::CREDIT => {
                let now = u.sched_credit();
                Parameters::Credit {
                    slice: now.tslice_ms,
                    rate_limit: now.ratelimit_us,
                    migration_delay: now.vcpu_migr_delay_us,
                }
            }
            Scheduler::CREDIT2 => Parameters::Credit2 {
                rate_limit: u.sched_credit2().ratelimit_us,
            },
            _ => return Err(Error::Refused("scheduler's parameters", Errno::EINVAL)),
        })
    }

    /// Sets the parameters of a pool's scheduler.
    ///
    /// # Errors
    /// What the hypervisor refuses: `EINVAL` for values out of range.
    pub fn set_parameters(&self, pool: u32, parameters: Parameters) -> Result<(), Error> {
        let mut u = SysctlSchedulerOpU::default();
        let sched_id = match parameters {
            Parameters::Credit {
                slice,
                rate_limit,
                migration_delay,
            } => {
                let mut now = u.sched_credit();
                now.tslice_ms = slice;
                now.ratelimit_us = rate_limit;
                now.vcpu_migr_delay_us = migration_delay;
                u.set_sched_credit(now);
                Scheduler::CREDIT
            }
            Parameters::Credit2 { rate_limit } => {
                let mut now = u.sched_credit2();
                now.ratelimit_us = rate_limit;
                u.set_sched_credit2(now);
                Scheduler::CREDIT2
            }
        };
        let op = SysctlSchedulerOp {
            cpupool_id: pool,
            sched_id,
            cmd: SysctlSchedOp::PUTINFO,
            u,
            ..Default::default()
        };
        self.scheduler_op(op).map(drop)
    }

    fn scheduler_op(&self, op: SysctlSchedulerOp) -> Result<SysctlSchedulerOp, Error> {
        let mut request = sysctl(SysctlCmd::SCHEDULER_OP);
        request.u.set_scheduler_op(op);
        // SAFETY: those of credit and credit2 have no handles; a GETINFO of another has a null one,
        // which the hypervisor refuses.
        let done = unsafe { self.sysctl("scheduler's parameters", request)? };
        Ok(done.u.scheduler_op())
    }
}
