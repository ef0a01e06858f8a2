//! CPU pools: disjoint sets of pCPUs, each with its domains and its scheduler's parameters. Pool 0 exists always, has
//! pCPU 0 and whatever nobody else took; a pCPU in no pool idles.
//!
//! One engine (see the module above) serves every pool. A pool is created under the name of credit2 or credit, which decides
//! what parameters the tools may ask of it; a vCPU never leaves its pool's pCPUs.
//!
//! Lock order: the pools' lock, then a vCPU's scheduler lock; the domain list is never held meanwhile.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use arch::sync::SpinLock;
use hypercall_abi::Errno;
use hypercall_abi::domctl::Scheduler as SchedulerId;
use hypercall_abi::sysctl::{
    XEN_SYSCTL_CSCHED_MGR_DLY_MAX_US, XEN_SYSCTL_CSCHED_TSLICE_MAX, XEN_SYSCTL_CSCHED_TSLICE_MIN,
    XEN_SYSCTL_SCHED_RATELIMIT_MAX, XEN_SYSCTL_SCHED_RATELIMIT_MIN,
};

use super::cpumask::CpuMask;
use super::{Scheduler, context, credit, poke};
use crate::domain::Domain;
use crate::host::host;
use crate::time::now;

/// The pool that exists always.
pub const POOL0: u32 = 0;
/// The highest id (`XEN_SYSCTL_CPUPOOL_PAR_ANY` stands for "none").
const LAST_ID: u32 = u32::MAX - 1;
/// How many pools there can be for each pCPU.
const POOLS_PER_CPU: usize = 2;

/// What a pool's scheduler can be told. Times as the interface has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Microseconds that a vCPU runs before a better one takes its place; 0 for no such time.
    pub ratelimit_us: u32,
    /// Milliseconds that a vCPU runs at most while others wait (credit only).
    pub tslice_ms: u32,
    /// Microseconds for which a vCPU counts as cache-hot (credit only): kept, and without effect, since vCPUs move
    /// only for a large difference in credits.
    pub migration_delay_us: u32,
}

impl Parameters {
    /// Xen's defaults, but for credit's time slice, which is credit2's here.
    const DEFAULT: Self = Self {
        ratelimit_us: (credit::RATELIMIT / 1000) as u32,
        tslice_ms: (credit::MAX_SLICE / 1_000_000) as u32,
        migration_delay_us: 0,
    };

    /// Whether the values are in the ranges of the interface.
    fn check(&self, scheduler: SchedulerId) -> Result<(), Errno> {
        let rates = XEN_SYSCTL_SCHED_RATELIMIT_MIN..=XEN_SYSCTL_SCHED_RATELIMIT_MAX;
        let slices = XEN_SYSCTL_CSCHED_TSLICE_MIN..=XEN_SYSCTL_CSCHED_TSLICE_MAX;
        let rate_ok = self.ratelimit_us == 0 || rates.contains(&self.ratelimit_us);
        let credit_ok = scheduler != SchedulerId::CREDIT
            || slices.contains(&self.tslice_ms)
                && self.ratelimit_us <= self.tslice_ms.saturating_mul(1000)
                && self.migration_delay_us <= XEN_SYSCTL_CSCHED_MGR_DLY_MAX_US;
        if rate_ok && credit_ok {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }
}

/// A pool as the tools see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolInfo {
    /// Its id.
    pub id: u32,
    /// Its scheduler's name.
    pub scheduler: SchedulerId,
    /// pCPUs in service that it has.
    pub cpus: CpuMask,
    /// Domains in it.
    pub domains: u32,
    /// Its scheduler's parameters.
    pub parameters: Parameters,
}

#[derive(Clone, Copy)]
struct Pool {
    id: u32,
    scheduler: SchedulerId,
    /// What it has; pool 0 has besides that all that are neither another's nor free.
    cpus: CpuMask,
    parameters: Parameters,
}

/// All pools but pool 0 in order of their ids, what pool 0 is, and who is in none.
struct Table {
    first: Pool,
    others: Vec<Pool>,
    free: CpuMask,
}

/// The pools.
pub struct Pools(SpinLock<Table>);

impl Pools {
    /// Pool 0 with everything.
    pub const fn new() -> Self {
        Self(SpinLock::new(Table {
            first: Pool {
                id: POOL0,
                scheduler: SchedulerId::CREDIT2,
                cpus: CpuMask::ALL,
                parameters: Parameters::DEFAULT,
            },
            others: Vec::new(),
            free: CpuMask::NONE,
        }))
    }
}

impl Default for Pools {
    fn default() -> Self {
        Self::new()
    }
}

impl Table {
    fn find(&self, id: u32) -> Option<Pool> {
        core::iter::once(&self.first)
            .chain(&self.others)
            .find(|p| p.id == id)
            .copied()
    }

    fn find_mut(&mut self, id: u32) -> Option<&mut Pool> {
        core::iter::once(&mut self.first)
            .chain(&mut self.others)
            .find(|p| p.id == id)
    }

    fn info(&self, pool: &Pool, online: &CpuMask) -> PoolInfo {
        PoolInfo {
            id: pool.id,
            scheduler: pool.scheduler,
            cpus: pool.cpus.and(online),
            domains: count(pool.id, false),
            parameters: pool.parameters,
        }
    }

    /// A pool that has pCPUs, once any are in service.
    fn running(&self, id: u32) -> Result<Pool, Errno> {
        let online = host().sched.online();
        let pool = self.find(id).ok_or(Errno::ESRCH)?;
        if !online.is_empty() && pool.cpus.and(&online).is_empty() {
            return Err(Errno::ENODEV);
        }
        Ok(pool)
    }

    /// An id that nobody has: behind the last, or the first gap.
    fn fresh_id(&self) -> Option<u32> {
        let last = self.others.last().map_or(POOL0, |p| p.id);
        if last < LAST_ID {
            return Some(last + 1);
        }
        (1..LAST_ID).find(|id| self.others.iter().all(|p| p.id != *id))
    }
}

/// Domains in a pool, perhaps without those that are going away.
fn count(pool: u32, living: bool) -> u32 {
    let mut domains = 0;
    host().domains.for_each(|d| {
        domains += u32::from(d.sched.pool() == pool && !(living && d.is_dying()));
    });
    domains
}

fn table() -> &'static SpinLock<Table> {
    &host().sched.pools.0
}

/// Says what pool 0's scheduler is called (option `sched=`). At boot, before dom0 runs.
pub fn name_scheduler(id: SchedulerId) {
    table().lock().first.scheduler = id;
}

/// The first pool from this id up. `ENOENT` if there is none.
pub fn info_from(id: u32) -> Result<PoolInfo, Errno> {
    let online = host().sched.online();
    let table = table().lock();
    core::iter::once(&table.first)
        .chain(&table.others)
        .find(|p| p.id >= id)
        .map(|p| table.info(p, &online))
        .ok_or(Errno::ENOENT)
}

/// The pool with this id. `ESRCH` if there is none.
pub fn info(id: u32) -> Result<PoolInfo, Errno> {
    info_from(id)
        .ok()
        .filter(|p| p.id == id)
        .ok_or(Errno::ESRCH)
}

/// The pool that a domain is in.
pub fn of(domain: &Domain) -> Result<PoolInfo, Errno> {
    info(domain.sched.pool())
}

/// pCPUs in service that are in no pool.
pub fn free_cpus() -> CpuMask {
    table().lock().free.and(&host().sched.online())
}

/// Makes a pool without pCPUs; its id. `ENOENT` for schedulers other than credit and credit2, `EEXIST` for an id that is
/// taken, `ENOSPC` for too many.
pub fn create(id: Option<u32>, scheduler: SchedulerId) -> Result<u32, Errno> {
    let most = POOLS_PER_CPU * host().sched.online().count().max(1);
    let mut table = table().lock();
    if table.others.len() + 1 >= most {
        return Err(Errno::ENOSPC);
    }
    let id = match id {
        Some(id) if table.find(id).is_some() => return Err(Errno::EEXIST),
        Some(id) => id,
        None => table.fresh_id().ok_or(Errno::ENOSPC)?,
    };
    if !matches!(scheduler, SchedulerId::CREDIT | SchedulerId::CREDIT2) {
        return Err(Errno::ENOENT);
    }
    table.others.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    let at = table.others.partition_point(|p| p.id < id);
    let pool = Pool {
        id,
        scheduler,
        cpus: CpuMask::NONE,
        parameters: Parameters::DEFAULT,
    };
    table.others.insert(at, pool);
    Ok(id)
}

/// Ends an empty pool. `ENOENT` if there is none, `EBUSY` while it has pCPUs or domains (pool 0 always has).
pub fn destroy(id: u32) -> Result<(), Errno> {
    let mut table = table().lock();
    let pool = table.find(id).ok_or(Errno::ENOENT)?;
    if id == POOL0 || !pool.cpus.is_empty() || count(id, false) != 0 {
        return Err(Errno::EBUSY);
    }
    table.others.retain(|p| p.id != id);
    Ok(())
}

/// Gives a pool a pCPU that is in none; any, if none is named. `ENOENT` for the pool, `EINVAL` for a pCPU that cannot be,
/// `ENODEV` for one that is not free.
pub fn add_cpu(id: u32, cpu: Option<usize>) -> Result<(), Errno> {
    let sched = &host().sched;
    let mut table = table().lock();
    table.find(id).ok_or(Errno::ENOENT)?;
    let free = table.free.and(&sched.online());
    let cpu = match cpu {
        Some(cpu) if cpu >= super::MAX_CPUS => return Err(Errno::EINVAL),
        Some(cpu) => cpu,
        None => free.first().ok_or(Errno::ENODEV)?,
    };
    if !free.contains(cpu) {
        return Err(Errno::ENODEV);
    }
    table.free.clear(cpu);
    let pool = table.find_mut(id).ok_or(Errno::ENOENT)?;
    pool.cpus.set(cpu);
    let pool = *pool;
    limit(sched, &pool, CpuMask::of(cpu));
    spread(&pool);
    Ok(())
}

/// Takes a pCPU out of a pool; the last, if none is named. Who runs there moves on. `ENOENT` for the pool, `EINVAL` for
/// pCPU 0 of pool 0 or one that is not in service, `EADDRNOTAVAIL` for one that the pool has not, `EADDRINUSE` while a vCPU
/// is bound to it by SCHEDOP_pin_override, `EBUSY` for the last one under living domains.
pub fn remove_cpu(id: u32, cpu: Option<usize>) -> Result<(), Errno> {
    let sched = &host().sched;
    let online = sched.online();
    let mut table = table().lock();
    let pool = table.find(id).ok_or(Errno::ENOENT)?;
    let cpus = pool.cpus.and(&online);
    let cpu = cpu.or(cpus.iter().last()).ok_or(Errno::EINVAL)?;
    if id == POOL0 && cpu == 0 || !online.contains(cpu) {
        return Err(Errno::EINVAL);
    }
    if !cpus.contains(cpu) {
        return Err(Errno::EADDRNOTAVAIL);
    }
    if cpus.count() == 1 && count(id, true) != 0 {
        return Err(Errno::EBUSY);
    }
    let mut pinned = false;
    each_vcpu(id, |cx| pinned |= cx.vcpu.sched.pinned_to() == Some(cpu));
    if pinned {
        return Err(Errno::EADDRINUSE);
    }
    let last = cpus.count() == 1;
    let pool = table.find_mut(id).ok_or(Errno::ENOENT)?;
    pool.cpus.clear(cpu);
    let pool = *pool;
    table.free.set(cpu);
    if last {
        // Only dying domains are left: pool 0 takes them in.
        let first = table.first;
        host().domains.for_each(|d| {
            if d.sched.pool() == id {
                enter(d, &first, true);
            }
        });
    } else {
        spread(&pool);
    }
    Ok(())
}

/// Moves a domain with all its vCPUs; their affinities begin anew. `ENOENT` for a pool that is not there or has no pCPU,
/// `EBUSY` while a vCPU is bound by SCHEDOP_pin_override.
pub fn move_domain(domain: &Arc<Domain>, id: u32) -> Result<(), Errno> {
    let online = host().sched.online();
    let table = table().lock();
    if domain.sched.pool() == id {
        return Ok(());
    }
    let pool = table
        .find(id)
        .filter(|p| !p.cpus.and(&online).is_empty())
        .ok_or(Errno::ENOENT)?;
    let mut vcpus = domain.vcpus().iter();
    if vcpus.any(|v| v.sched.pinned_to().is_some()) {
        return Err(Errno::EBUSY);
    }
    enter(domain, &pool, true);
    Ok(())
}

/// Whether new domains can run in a pool: errors as [`add_domain`].
pub fn can_take(id: u32) -> Result<(), Errno> {
    table().lock().running(id).map(|_| ())
}

/// Puts a new domain into a pool, with what vCPUs it has. Once it is in the list of domains, so that no change of the pool
/// passes it by. `ESRCH` for a pool that is not there, `ENODEV` for one without pCPUs.
pub fn add_domain(domain: &Arc<Domain>, id: u32) -> Result<(), Errno> {
    let table = table().lock();
    let pool = table.running(id)?;
    enter(domain, &pool, false);
    Ok(())
}

/// Changes a pool's parameters. `ESRCH` for the pool, `EINVAL` for values out of range.
pub fn set_parameters(id: u32, parameters: Parameters) -> Result<(), Errno> {
    let mut table = table().lock();
    let pool = table.find_mut(id).ok_or(Errno::ESRCH)?;
    parameters.check(pool.scheduler)?;
    pool.parameters = parameters;
    let pool = *pool;
    limit(&host().sched, &pool, pool.cpus);
    Ok(())
}

/// Tells pCPUs their pool's times.
fn limit(sched: &Scheduler, pool: &Pool, cpus: CpuMask) {
    let slice = match pool.scheduler {
        SchedulerId::CREDIT => u64::from(pool.parameters.tslice_ms) * 1_000_000,
        _ => credit::MAX_SLICE,
    };
    let rate = u64::from(pool.parameters.ratelimit_us) * 1000;
    for cpu in cpus.iter() {
        sched.set_limits(cpu, rate, slice.max(rate));
    }
}

fn each_vcpu(pool: u32, mut f: impl FnMut(&crate::domain::Context)) {
    host().domains.for_each(|d| {
        if d.sched.pool() == pool {
            d.vcpus().iter().filter_map(context).for_each(|cx| f(&cx));
        }
    });
}

/// Puts a domain into a pool.
fn enter(domain: &Arc<Domain>, pool: &Pool, anew: bool) {
    domain.sched.pool.store(pool.id, Ordering::Release);
    for cx in domain.vcpus().iter().filter_map(context) {
        poke(host().sched.set_pool(&cx, pool.cpus, anew, now()));
    }
}

/// Tells the vCPUs of a pool's domains where they may run now.
fn spread(pool: &Pool) {
    each_vcpu(pool.id, |cx| {
        poke(host().sched.set_pool(cx, pool.cpus, false, now()));
    });
}
