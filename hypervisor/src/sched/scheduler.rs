//! The scheduler proper: vCPUs, run queues and who runs where. It sends no interrupt and reads no clock: the time comes
//! in, and which pCPU must look again comes out ([`Poke`]), so that tests drive any number of pCPUs.
//!
//! Invariants: a vCPU is in at most one queue (its [`Run`] says which, under its lock); it runs on at most one pCPU, and on
//! another only after its registers were saved; a queue holds only vCPUs that may run on its pCPU.
//!
//! Lock order: a vCPU's scheduler lock, then one run queue. Whoever takes an entry out of a queue first and locks its
//! vCPU afterwards compares tickets, and drops the entry if the vCPU has moved on meanwhile.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use arch::sync::{Once, SpinLock};
use hypercall_abi::Errno;
use hypercall_abi::vcpu::Runstate;

use super::cpumask::{AtomicCpuMask, CpuMask, MAX_CPUS};
use super::credit::{self, Account};
use super::pool::Pools;
use super::queue::{self, Entry, Limits, RunQueue, Running};
use super::vcpu::{Inner, NOWHERE, Run};
use crate::domain::{Context, Vcpu};

/// A pCPU that must look at its queue again; the caller raises work on it and, if it is another, sends it an interrupt.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Poke(pub Option<usize>);

/// The outcome of a choice.
pub struct Decision {
    /// Who runs now; nobody when idle.
    pub next: Option<Context>,
    /// When this pCPU must choose again, in nanoseconds since boot. None: nobody waits, no timer needed.
    pub until: Option<u64>,
    /// Another pCPU that got work.
    pub poke: Poke,
}

struct Cpu {
    queue: SpinLock<RunQueue<Context>>,
    /// What runs; touched by its own pCPU only.
    current: SpinLock<Option<Context>>,
    /// Length of the queue, as a hint for others.
    waiting: AtomicUsize,
    /// Most credit of those who wait, as a hint for others; less than anything when nobody does.
    best_hint: AtomicI64,
    /// Credit of what runs as of its start, as a hint for others; less than anything when unknown.
    credit_hint: AtomicI64,
    /// Start of what runs.
    since_hint: AtomicU64,
    idle_time: AtomicU64,
    /// Since when it is idle; [`BUSY`] when it is not.
    idle_since: AtomicU64,
    /// The pool's least time before preemption, in nanoseconds.
    ratelimit: AtomicU64,
    /// The pool's longest slice, in nanoseconds.
    slice: AtomicU64,
    /// Its local APIC's id, or [`UNKNOWN`].
    apic_id: AtomicU32,
    /// What ACPI calls it, or [`UNKNOWN`].
    acpi_id: AtomicU32,
}

/// In place of the time since when a pCPU is idle.
const BUSY: u64 = u64::MAX;
/// An APIC or ACPI id that nobody has told.
const UNKNOWN: u32 = u32::MAX;

impl Cpu {
    fn limits(&self) -> Limits {
        Limits {
            ratelimit: self.ratelimit.load(Ordering::Relaxed),
            slice: self.slice.load(Ordering::Relaxed),
        }
    }

    /// Brings the hints up to date with the queue.
    fn hint(&self, queue: &RunQueue<Context>) {
        let best = queue.best(|_| true).map_or(i64::MIN, |e| e.account.credit);
        self.waiting.store(queue.len(), Ordering::Relaxed);
        self.best_hint.store(best, Ordering::Relaxed);
    }
}

/// All run queues.
pub struct Scheduler {
    cpus: [Once<Box<Cpu>>; MAX_CPUS],
    online: AtomicCpuMask,
    idle: AtomicCpuMask,
    epoch: AtomicU64,
    tickets: AtomicU64,
    /// CPU pools.
    pub(super) pools: Pools,
}

fn same(a: &Context, b: &Context) -> bool {
    Arc::ptr_eq(&a.vcpu, &b.vcpu)
}

/// Whether it may run and has something to do.
fn ready(context: &Context) -> bool {
    !context.vcpu.sched.blocked.load(Ordering::SeqCst)
        && context.vcpu.runnable()
        && context.domain.pause_count.load(Ordering::SeqCst) == 0
}

/// The state of one that does not run and does not want to.
fn resting(context: &Context) -> Runstate {
    if context.vcpu.sched.blocked.load(Ordering::SeqCst) {
        Runstate::BLOCKED
    } else {
        Runstate::OFFLINE
    }
}

impl Scheduler {
    /// No pCPU.
    pub const fn new() -> Self {
        Self {
            cpus: [const { Once::new() }; MAX_CPUS],
            online: AtomicCpuMask::new(),
            idle: AtomicCpuMask::new(),
            epoch: AtomicU64::new(0),
            tickets: AtomicU64::new(1),
            pools: Pools::new(),
        }
    }

    /// Takes a pCPU into service, idle since `now`. May be repeated.
    pub fn cpu_up(&self, cpu: usize, now: u64) {
        if self.make(cpu, now).is_some() {
            self.online.set(cpu);
        }
    }

    /// A pCPU's queue, made at its first use: vCPUs may wait there before the pCPU is in service.
    fn make(&self, cpu: usize, now: u64) -> Option<&Cpu> {
        let made = self.cpus.get(cpu)?.call_once(|| {
            Box::new(Cpu {
                queue: SpinLock::new(RunQueue::new()),
                current: SpinLock::new(None),
                waiting: AtomicUsize::new(0),
                best_hint: AtomicI64::new(i64::MIN),
                credit_hint: AtomicI64::new(i64::MAX),
                since_hint: AtomicU64::new(0),
                idle_time: AtomicU64::new(0),
                idle_since: AtomicU64::new(now),
                ratelimit: AtomicU64::new(credit::RATELIMIT),
                slice: AtomicU64::new(credit::MAX_SLICE),
                apic_id: AtomicU32::new(UNKNOWN),
                acpi_id: AtomicU32::new(UNKNOWN),
            })
        });
        Some(made)
    }

    /// Says where interrupts for a pCPU go.
    pub fn set_apic_id(&self, cpu: usize, id: u32) {
        if let Some(cpu) = self.cpu(cpu) {
            cpu.apic_id.store(id, Ordering::Relaxed);
        }
    }

    /// Changes a pCPU's times, in nanoseconds, from the next choice on.
    pub fn set_limits(&self, cpu: usize, ratelimit: u64, slice: u64) {
        if let Some(cpu) = self.cpu(cpu) {
            cpu.ratelimit.store(ratelimit, Ordering::Relaxed);
            cpu.slice.store(slice, Ordering::Relaxed);
        }
    }

    /// Says what ACPI calls a pCPU (its processor UID), for VCPUOP_get_physid.
    pub fn set_acpi_id(&self, cpu: usize, id: u32) {
        if let Some(cpu) = self.cpu(cpu) {
            cpu.acpi_id.store(id, Ordering::Relaxed);
        }
    }

    /// Where interrupts for a pCPU go; none before it is in service.
    pub fn apic_id(&self, cpu: usize) -> Option<u32> {
        Some(self.cpu(cpu)?.apic_id.load(Ordering::Relaxed)).filter(|&id| id != UNKNOWN)
    }

    pub(super) fn acpi_id(&self, cpu: usize) -> Option<u32> {
        Some(self.cpu(cpu)?.acpi_id.load(Ordering::Relaxed)).filter(|&id| id != UNKNOWN)
    }

    /// pCPUs in service.
    pub fn online(&self) -> CpuMask {
        self.online.load()
    }

    /// Nanoseconds that a pCPU was idle until `now`; none if it is not in service.
    pub fn idle_time(&self, cpu: usize, now: u64) -> Option<u64> {
        let cpu = self.cpu(cpu)?;
        let since = cpu.idle_since.load(Ordering::Acquire);
        // BUSY lies after any time.
        let present = now.saturating_sub(since);
        Some(cpu.idle_time.load(Ordering::Acquire) + present)
    }

    fn cpu(&self, cpu: usize) -> Option<&Cpu> {
        self.cpus.get(cpu)?.get().map(|b| &**b)
    }

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Looks at a vCPU anew after something that decides whether it can run has changed (blocked, down, paused).
    pub fn reevaluate(&self, context: &Context, now: u64) -> Poke {
        let mut inner = context.vcpu.sched.inner.lock();
        let ready = ready(context);
        match inner.run {
            Run::Off if ready => self.enqueue(context, &mut inner, now),
            Run::Off => {
                inner.runstate.enter(resting(context), now);
                Poke::default()
            }
            Run::Queued { cpu, ticket } if !ready => {
                self.dequeue(cpu, ticket);
                inner.run = Run::Off;
                inner.runstate.enter(resting(context), now);
                Poke::default()
            }
            Run::Running { cpu } if !ready => Poke(Some(cpu)),
            _ => Poke::default(),
        }
    }

    /// Changes where a vCPU may and likes to run. `EINVAL` if no pCPU in service remains, `EBUSY` while it is pinned by
    /// SCHEDOP_pin_override (hard affinity only).
    pub fn set_affinity(
        &self,
        context: &Context,
        hard: Option<CpuMask>,
        soft: Option<CpuMask>,
        now: u64,
    ) -> Result<Poke, Errno> {
        let mut inner = context.vcpu.sched.inner.lock();
        if let Some(hard) = hard {
            if inner.pinned.is_some() {
                return Err(Errno::EBUSY);
            }
            let online = self.online();
            let usable = online.and(&inner.pool);
            if hard.is_empty() || (!online.is_empty() && hard.and(&usable).is_empty()) {
                return Err(Errno::EINVAL);
            }
            inner.hard = hard;
        }
        if let Some(soft) = soft {
            inner.soft = soft;
        }
        Ok(self.moved(context, &mut inner, now))
    }

    /// Pins a vCPU to one pCPU whatever its affinity, or ends that. `EINVAL` for a pCPU not in service or when there is
    /// nothing to end, `EBUSY` if it is pinned already.
    pub fn pin_override(
        &self,
        context: &Context,
        cpu: Option<usize>,
        now: u64,
    ) -> Result<Poke, Errno> {
        let mut inner = context.vcpu.sched.inner.lock();
        match cpu {
            Some(_) if inner.pinned.is_some() => return Err(Errno::EBUSY),
            Some(cpu) if !self.online().and(&inner.pool).contains(cpu) => {
                return Err(Errno::EINVAL);
            }
            None if inner.pinned.is_none() => return Err(Errno::EINVAL),
            _ => inner.pinned = cpu,
        }
        Ok(self.moved(context, &mut inner, now))
    }

    /// Says what pCPUs a vCPU's pool has. `anew`: it came from another pool, and its affinities begin anew; else its hard
    /// affinity does when nothing is left of it.
    pub fn set_pool(&self, context: &Context, cpus: CpuMask, anew: bool, now: u64) -> Poke {
        let mut inner = context.vcpu.sched.inner.lock();
        inner.pool = cpus;
        // It may have been pinned since the pool's change was found possible.
        if inner.pinned.is_some_and(|cpu| !cpus.contains(cpu)) {
            inner.pinned = None;
        }
        if anew {
            (inner.hard, inner.soft) = (CpuMask::ALL, CpuMask::ALL);
        } else if inner.hard.and(&cpus).is_empty() {
            log::info!(
                "d{}v{}: nothing is left of its hard affinity; it may run anywhere in its pool",
                context.domain.id.0,
                context.vcpu.id
            );
            inner.hard = CpuMask::ALL;
        }
        self.moved(context, &mut inner, now)
    }

    /// After a change of affinity: puts it where it belongs now.
    fn moved(&self, context: &Context, inner: &mut Inner, now: u64) -> Poke {
        match inner.run {
            Run::Queued { cpu, ticket } => {
                self.dequeue(cpu, ticket);
                self.enqueue(context, inner, now)
            }
            Run::Running { cpu } if !inner.allowed().contains(cpu) => Poke(Some(cpu)),
            _ => Poke::default(),
        }
    }

    /// The vCPU's registers are saved: other pCPUs may run it from now on.
    pub fn context_saved(&self, me: usize, prev: &Vcpu, now: u64) -> Poke {
        let sched = &prev.sched;
        sched.on_cpu.store(NOWHERE, Ordering::SeqCst);
        let inner = sched.inner.lock();
        match inner.run {
            // It was passed over there until now.
            Run::Queued { cpu, .. } if cpu != me => Poke(Some(cpu)),
            Run::Queued { .. } => {
                drop(inner);
                self.cpu(me)
                    .map_or(Poke::default(), |cpu| self.push(me, cpu, now))
            }
            _ => Poke::default(),
        }
    }

    fn dequeue(&self, cpu: usize, ticket: u64) {
        if let Some(cpu) = self.cpu(cpu) {
            let mut queue = cpu.queue.lock();
            queue.remove(ticket);
            cpu.hint(&queue);
        }
    }

    /// Where a vCPU that wants to run should wait.
    fn choose_cpu(&self, context: &Context, inner: &Inner) -> usize {
        let mut allowed = inner.allowed().and(&self.online());
        if allowed.is_empty() {
            // Nothing it may use is in service (yet): wait where it will be looked for.
            return inner.allowed().first().unwrap_or(0);
        }
        // Its registers are still there, so nobody else can run it sooner.
        let held = context.vcpu.sched.on_cpu.load(Ordering::SeqCst);
        if allowed.contains(held) {
            return held;
        }
        let idle = self.idle.load().and(&allowed);
        let liked = allowed.and(&inner.soft);
        if !liked.is_empty() {
            allowed = liked;
        }
        let liked_idle = idle.and(&allowed);
        let last = inner.last_cpu;
        if liked_idle.contains(last) {
            return last;
        }
        if let Some(cpu) = liked_idle.first().or(idle.first()) {
            return cpu;
        }
        let load = |cpu: usize| {
            self.cpu(cpu)
                .map_or(usize::MAX, |c| c.waiting.load(Ordering::Relaxed))
        };
        allowed
            .iter()
            .min_by_key(|&cpu| (load(cpu), cpu != last))
            .unwrap_or(last)
    }

    fn enqueue(&self, context: &Context, inner: &mut Inner, now: u64) -> Poke {
        let cpu = self.choose_cpu(context, inner);
        self.enqueue_on(cpu, context, inner, now)
    }

    fn enqueue_on(&self, number: usize, context: &Context, inner: &mut Inner, now: u64) -> Poke {
        let Some(cpu) = self.make(number, now) else {
            return Poke::default();
        };
        let ticket = self.tickets.fetch_add(1, Ordering::Relaxed);
        let epoch = self.epoch();
        inner.account.catch_up(epoch);
        inner.run = Run::Queued {
            cpu: number,
            ticket,
        };
        inner.runstate.enter(Runstate::RUNNABLE, now);
        let entry = Entry {
            task: context.clone(),
            ticket,
            account: inner.account,
            hard: inner.allowed(),
            soft: inner.soft,
        };
        let mut queue = cpu.queue.lock();
        queue.catch_up(epoch);
        queue.insert(entry);
        cpu.hint(&queue);
        let poke =
            self.idle.take(number) || !queue.watched || queue.preempts(&inner.account, now, epoch);
        Poke(poke.then_some(number))
    }

    /// Chooses who runs on `me` from `now` on. What ran there before is charged and, if it still wants to run, queued.
    pub fn pick_next(&self, me: usize, now: u64) -> Decision {
        self.cpu_up(me, now);
        let Some(cpu) = self.cpu(me) else {
            return Decision {
                next: None,
                until: None,
                poke: Poke::default(),
            };
        };
        let mut current = cpu.current.lock();
        let prev = current.take();
        let mut poke = Poke::default();
        let mut yielded = None;
        if let Some(prev) = &prev {
            let mut inner = prev.vcpu.sched.inner.lock();
            self.charge(prev, &mut inner, now);
            let yielding = prev.vcpu.sched.yielding.swap(false, Ordering::Relaxed);
            let stays = ready(prev) && inner.allowed().contains(me);
            let ran = now.saturating_sub(inner.started);
            if stays
                && !yielding
                && let Some(rest) = cpu.limits().ratelimit.checked_sub(ran)
                && rest > 0
                && let Ok(granted) = prev.domain.sched.claim(now, rest)
            {
                inner.granted = granted;
                let until = self.publish(cpu, prev, &mut inner, now, Some(granted));
                drop(inner);
                *current = Some(prev.clone());
                return Decision {
                    next: Some(prev.clone()),
                    until,
                    poke,
                };
            }
            if stays {
                // No need to tell anybody: this pCPU looks right now.
                let _ = self.enqueue_on(me, prev, &mut inner, now);
                yielded = yielding.then_some(prev);
            } else if ready(prev) {
                poke = self.enqueue(prev, &mut inner, now);
            } else {
                inner.run = Run::Off;
                inner.runstate.enter(resting(prev), now);
            }
        }
        let next = self.choose(me, cpu, yielded, now);
        let until = match &next {
            Some(next) => {
                let mut inner = next.vcpu.sched.inner.lock();
                let granted = next.domain.sched.is_capped().then_some(inner.granted);
                self.publish(cpu, next, &mut inner, now, granted)
            }
            None => cpu.queue.lock().unpark(now),
        };
        self.account_idle(cpu, next.is_none(), now);
        *current = next.clone();
        drop(current);
        if poke.0.is_none() && next.is_some() {
            poke = self.push(me, cpu, now);
        }
        Decision { next, until, poke }
    }

    /// Takes what a vCPU ran off its credits and its domain's budget.
    fn charge(&self, context: &Context, inner: &mut Inner, now: u64) {
        let ran = now.saturating_sub(inner.unpaid_since);
        let weight = context.domain.sched.weight();
        if inner.alone {
            inner.account.burn_alone(ran, weight);
        } else {
            inner.account.burn(ran, weight);
        }
        inner.account.catch_up(self.epoch());
        context.domain.sched.settle(inner.granted, ran);
        (inner.unpaid_since, inner.granted) = (now, 0);
    }

    /// Tells others what runs here, and says when to choose again. `granted` limits the slice.
    fn publish(
        &self,
        cpu: &Cpu,
        context: &Context,
        inner: &mut Inner,
        now: u64,
        granted: Option<u64>,
    ) -> Option<u64> {
        let weight = context.domain.sched.weight();
        let mut queue = cpu.queue.lock();
        inner.alone = queue.is_empty();
        if inner.alone && inner.account.credit <= 0 {
            inner.account.credit = credit::ALONE_CREDIT;
        }
        queue.running = Some(Running {
            account: inner.account,
            weight,
            since: now,
        });
        cpu.credit_hint
            .store(inner.account.credit, Ordering::Relaxed);
        cpu.since_hint.store(now, Ordering::Relaxed);
        let unpark = queue.unpark(now);
        let company = queue.best(|_| true);
        let slice =
            company.map(|next| queue::slice(&inner.account, weight, &next.account, cpu.limits()));
        // A grant matters when others wait or the domain is capped.
        let limited = context.domain.sched.is_capped() || company.is_some();
        let end = [slice, granted.filter(|_| limited)]
            .into_iter()
            .flatten()
            .min()
            .map(|slice| now.saturating_add(slice));
        let until = [end, unpark].into_iter().flatten().min();
        queue.watched = end.is_some();
        until
    }

    /// Takes the best candidate out of this pCPU's queue, or another's if nobody waits here, and marks it as running here.
    fn choose(&self, me: usize, cpu: &Cpu, yielded: Option<&Context>, now: u64) -> Option<Context> {
        let available = |e: &Entry<Context>| {
            let held = e.task.vcpu.sched.on_cpu.load(Ordering::SeqCst);
            held == NOWHERE || held == me
        };
        loop {
            let mut queue = cpu.queue.lock();
            queue.catch_up(self.epoch());
            queue.unpark(now);
            let entry = queue
                .take_best(|e| available(e) && yielded.is_none_or(|y| !same(y, &e.task)))
                .or_else(|| queue.take_best(available));
            cpu.hint(&queue);
            let company = !queue.is_empty();
            drop(queue);
            // Out of credit: before a new epoch begins, those who wait elsewhere with credit have their turn.
            let entry = match entry {
                Some(entry) if entry.account.credit <= 0 && company => {
                    let floor = entry.account.credit.saturating_add(credit::MIGRATE_RESIST);
                    match self.steal(me, floor) {
                        Some(better) => {
                            let mut queue = cpu.queue.lock();
                            queue.insert(entry);
                            cpu.hint(&queue);
                            Some(better)
                        }
                        None => {
                            self.begin_epoch(entry.account);
                            Some(entry)
                        }
                    }
                }
                Some(entry) => Some(entry),
                None => self.steal(me, i64::MIN),
            };
            let Some(entry) = entry else {
                // Look again under the lock under which others queue: either they see this pCPU idle or it sees them.
                let mut queue = cpu.queue.lock();
                if queue.best(available).is_some() {
                    continue;
                }
                queue.running = None;
                queue.watched = false;
                cpu.credit_hint.store(i64::MAX, Ordering::Relaxed);
                self.idle.set(me);
                return None;
            };
            if let Some(next) = self.start(me, cpu, entry, now) {
                self.idle.take(me);
                return Some(next);
            }
        }
    }

    fn begin_epoch(&self, best: Account) {
        let epoch = best.epoch.max(self.epoch());
        let next = epoch + credit::epochs_needed(best.credit);
        // If another pCPU was faster, its epoch serves here too.
        let _ = self
            .epoch
            .compare_exchange(epoch, next, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Marks an entry's vCPU as running here; none if it has moved on, or must wait for its domain's budget.
    fn start(&self, me: usize, cpu: &Cpu, entry: Entry<Context>, now: u64) -> Option<Context> {
        let context = &entry.task;
        let mut inner = context.vcpu.sched.inner.lock();
        match inner.run {
            Run::Queued { ticket, .. } if ticket == entry.ticket => {}
            _ => return None,
        }
        match context
            .domain
            .sched
            .claim(now, cpu.limits().slice.max(credit::MIN_SLICE))
        {
            Ok(granted) => inner.granted = granted,
            Err(until) => {
                inner.run = Run::Queued {
                    cpu: me,
                    ticket: entry.ticket,
                };
                cpu.queue.lock().park(until, entry.clone());
                return None;
            }
        }
        // The one that held this pCPU already goes on with its rate limit behind it.
        let held = context.vcpu.sched.on_cpu.swap(me, Ordering::SeqCst);
        if held != me {
            inner.started = now;
        }
        inner.run = Run::Running { cpu: me };
        inner.last_cpu = me;
        inner.unpaid_since = now;
        inner.account.catch_up(self.epoch());
        inner.runstate.enter(Runstate::RUNNING, now);
        drop(inner);
        Some(entry.task)
    }

    /// Takes somebody who waits elsewhere with at least `floor` credit and may run here, preferably one who likes it here.
    fn steal(&self, me: usize, floor: i64) -> Option<Entry<Context>> {
        let online = self.online();
        for liked in [true, false] {
            let others = online
                .iter()
                .filter(|&c| c > me)
                .chain(online.iter().filter(|&c| c < me));
            for other in others {
                let Some(cpu) = self.cpu(other) else { continue };
                if cpu.waiting.load(Ordering::Relaxed) == 0
                    || cpu.best_hint.load(Ordering::Relaxed) < floor
                {
                    continue;
                }
                let mut queue = cpu.queue.lock();
                let found = queue.take_best(|e| {
                    e.account.credit >= floor
                        && e.hard.contains(me)
                        && (!liked || e.soft.contains(me))
                        && e.task.vcpu.sched.on_cpu.load(Ordering::SeqCst) == NOWHERE
                });
                cpu.hint(&queue);
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }

    /// Gives the best who waits here to a pCPU that is idle or runs somebody with far less credit.
    fn push(&self, me: usize, cpu: &Cpu, now: u64) -> Poke {
        if cpu.waiting.load(Ordering::Relaxed) == 0 {
            return Poke::default();
        }
        let queue = cpu.queue.lock();
        let Some(entry) = queue
            .best(|e| e.task.vcpu.sched.on_cpu.load(Ordering::SeqCst) == NOWHERE)
            .cloned()
        else {
            return Poke::default();
        };
        drop(queue);
        let mut targets = entry.hard.and(&self.online());
        let liked = targets.and(&entry.soft);
        if !liked.is_empty() {
            targets = liked;
        }
        let idle = self.idle.load();
        let idle = targets.and(&idle).first().or(entry.hard.and(&idle).first());
        let target = idle.or_else(|| {
            targets
                .iter()
                .filter(|&c| c != me)
                .filter_map(|c| Some((self.running_credit(self.cpu(c)?, now), c)))
                .min()
                .filter(|&(credit, _)| {
                    credit.saturating_add(credit::MIGRATE_RESIST) < entry.account.credit
                })
                .map(|(_, c)| c)
        });
        let Some(target) = target else {
            return Poke::default();
        };
        let context = &entry.task;
        let mut inner = context.vcpu.sched.inner.lock();
        if inner.run
            != (Run::Queued {
                cpu: me,
                ticket: entry.ticket,
            })
            || !inner.allowed().contains(target)
        {
            return Poke::default();
        }
        self.dequeue(me, entry.ticket);
        self.enqueue_on(target, context, &mut inner, now)
    }

    /// A guess at the credit of what runs on a pCPU, at default weight.
    fn running_credit(&self, cpu: &Cpu, now: u64) -> i64 {
        let ran = now.saturating_sub(cpu.since_hint.load(Ordering::Relaxed));
        cpu.credit_hint
            .load(Ordering::Relaxed)
            .saturating_sub(credit::cost(
                ran.min(credit::MAX_DEBT_TIME),
                credit::DEFAULT_WEIGHT,
            ))
    }

    fn account_idle(&self, cpu: &Cpu, idle: bool, now: u64) {
        let since = cpu.idle_since.load(Ordering::Relaxed);
        if idle && since == BUSY {
            cpu.idle_since.store(now, Ordering::Release);
        } else if !idle && since != BUSY {
            cpu.idle_time
                .fetch_add(now.saturating_sub(since), Ordering::AcqRel);
            cpu.idle_since.store(BUSY, Ordering::Release);
        }
    }

    /// What runs on a pCPU, from that pCPU's point of view.
    pub fn current(&self, cpu: usize) -> Option<Context> {
        self.cpu(cpu)?.current.lock().clone()
    }

    /// A vCPU of a domain that goes away: out of every queue.
    pub fn forget(&self, vcpu: &Vcpu) {
        let mut inner = vcpu.sched.inner.lock();
        if let Run::Queued { cpu, ticket } = inner.run {
            self.dequeue(cpu, ticket);
            inner.run = Run::Off;
        }
    }
}

impl Default for Scheduler {
    fn default() -> Self {
        Self::new()
    }
}
