//! What the scheduler keeps about a vCPU and about a domain.

use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU16, AtomicU32, AtomicUsize, Ordering};

use arch::sync::SpinLock;
use hypercall_abi::vcpu::Runstate;

use super::cpumask::CpuMask;
use super::credit::{Account, Cap, DEFAULT_WEIGHT};
use super::shutdown::Watchdogs;
use crate::time::RunstateClock;

/// No pCPU.
pub(super) const NOWHERE: usize = usize::MAX;

/// Where a vCPU stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// Neither runs nor waits: blocked, paused or down.
    Off,
    /// Waits in a CPU's queue, under this ticket.
    Queued { cpu: usize, ticket: u64 },
    /// Runs, or is about to be switched to.
    Running { cpu: usize },
}

/// The part that changes under the vCPU's scheduler lock. That lock is taken before a run queue's.
#[derive(Debug)]
pub(super) struct Inner {
    pub run: Run,
    pub account: Account,
    pub hard: CpuMask,
    pub soft: CpuMask,
    /// What its pool has.
    pub pool: CpuMask,
    /// A temporary hard affinity (SCHEDOP_pin_override).
    pub pinned: Option<usize>,
    /// Where it ran last.
    pub last_cpu: usize,
    /// When it began to run, for the rate limit.
    pub started: u64,
    /// Since when its running is not yet paid for.
    pub unpaid_since: u64,
    /// Nobody else wanted its pCPU since then.
    pub alone: bool,
    /// What it claimed of its domain's capped budget.
    pub granted: u64,
    pub runstate: RunstateClock,
}

impl Inner {
    /// Where it may run.
    pub fn allowed(&self) -> CpuMask {
        if let Some(cpu) = self.pinned {
            return CpuMask::of(cpu);
        }
        let both = self.hard.and(&self.pool);
        if both.is_empty() { self.pool } else { both }
    }
}

/// A vCPU's scheduler state.
pub struct VcpuSched {
    pub(super) inner: SpinLock<Inner>,
    /// The pCPU that holds its registers; [`NOWHERE`] once they are saved. Only while this is nowhere may another pCPU
    /// switch to it.
    pub(super) on_cpu: AtomicUsize,
    /// Waits for an event (SCHEDOP_block or poll).
    pub(super) blocked: AtomicBool,
    /// Gave its turn away; cleared by the next choice.
    pub(super) yielding: AtomicBool,
    /// Where its interrupts are delivered.
    pub(super) irqs_at: AtomicUsize,
}

impl VcpuSched {
    /// Off, allowed everywhere.
    pub const fn new() -> Self {
        Self {
            inner: SpinLock::new(Inner {
                run: Run::Off,
                account: Account::new(),
                hard: CpuMask::ALL,
                soft: CpuMask::ALL,
                pool: CpuMask::ALL,
                pinned: None,
                last_cpu: 0,
                started: 0,
                unpaid_since: 0,
                alone: false,
                granted: 0,
                runstate: RunstateClock::new(),
            }),
            on_cpu: AtomicUsize::new(NOWHERE),
            blocked: AtomicBool::new(false),
            yielding: AtomicBool::new(false),
            irqs_at: AtomicUsize::new(NOWHERE),
        }
    }

    /// Whether it waits for an event.
    pub fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::SeqCst)
    }

    /// The pCPU that holds its registers now; none once they are saved in the vCPU.
    pub fn on_cpu(&self) -> Option<usize> {
        let cpu = self.on_cpu.load(Ordering::SeqCst);
        (cpu != NOWHERE).then_some(cpu)
    }

    /// The pCPU that SCHEDOP_pin_override binds it to.
    pub fn pinned_to(&self) -> Option<usize> {
        self.inner.lock().pinned
    }

    /// A copy of its runstate.
    pub fn runstate(&self) -> RunstateClock {
        self.inner.lock().runstate
    }

    /// What `xl vcpu-list` shows. `now` in nanoseconds since boot.
    pub fn info(&self, now: u64) -> Info {
        let inner = self.inner.lock();
        let state = inner.runstate.state();
        Info {
            cpu: match inner.run {
                Run::Running { cpu } | Run::Queued { cpu, .. } => cpu,
                Run::Off => inner.last_cpu,
            },
            state,
            cpu_time: inner.runstate.snapshot_at(now).time[Runstate::RUNNING.0 as usize],
            hard: inner.pinned.map_or(inner.hard, CpuMask::of),
            soft: inner.soft,
        }
    }
}

impl Default for VcpuSched {
    fn default() -> Self {
        Self::new()
    }
}

/// A vCPU's place and use of time.
#[derive(Clone, Copy, Debug)]
pub struct Info {
    /// Where it runs, waits or ran last.
    pub cpu: usize,
    /// Running, runnable, blocked or offline.
    pub state: Runstate,
    /// Nanoseconds it ran.
    pub cpu_time: u64,
    /// Where it may run.
    pub hard: CpuMask,
    /// Where it likes to run.
    pub soft: CpuMask,
}

/// A domain's scheduling parameters.
pub struct DomainSched {
    weight: AtomicU16,
    /// The CPU pool it is in; changed under the pools' lock.
    pub(super) pool: AtomicU32,
    /// A cap is set: lets the common case pass without the lock.
    capped: AtomicBool,
    cap: SpinLock<Cap>,
    /// SCHEDOP_watchdog.
    pub(super) watchdogs: Watchdogs,
    /// The reason announced by SCHEDOP_shutdown_code; -1 for none.
    pub(super) shutdown_code: AtomicI32,
    /// The domain is paused because it has shut down.
    pub(super) shut_down: AtomicBool,
}

impl DomainSched {
    /// Default weight, no cap.
    pub const fn new() -> Self {
        Self {
            weight: AtomicU16::new(DEFAULT_WEIGHT),
            pool: AtomicU32::new(0),
            capped: AtomicBool::new(false),
            cap: SpinLock::new(Cap::new()),
            watchdogs: Watchdogs::new(),
            shutdown_code: AtomicI32::new(-1),
            shut_down: AtomicBool::new(false),
        }
    }

    /// Whether the domain has shut down and was not resumed.
    pub fn is_shut_down(&self) -> bool {
        self.shut_down.load(Ordering::SeqCst)
    }

    /// Its weight: its share of CPU time relative to other domains'.
    pub fn weight(&self) -> u16 {
        self.weight.load(Ordering::Relaxed)
    }

    /// The CPU pool it is in.
    pub fn pool(&self) -> u32 {
        self.pool.load(Ordering::Acquire)
    }

    /// Changes the weight from the next choice on; zero is taken as one.
    pub fn set_weight(&self, weight: u16) {
        self.weight.store(weight.max(1), Ordering::Relaxed);
    }

    /// The cap in percent of one pCPU; 0 for none.
    pub fn cap(&self) -> u16 {
        self.cap.lock().percent()
    }

    /// Changes the cap.
    pub fn set_cap(&self, percent: u16) {
        self.cap.lock().set(percent);
        self.capped.store(percent != 0, Ordering::Release);
    }

    pub(super) fn is_capped(&self) -> bool {
        self.capped.load(Ordering::Acquire)
    }

    pub(super) fn claim(&self, now: u64, want: u64) -> Result<u64, u64> {
        if self.is_capped() {
            self.cap.lock().claim(now, want)
        } else {
            Ok(want)
        }
    }

    pub(super) fn settle(&self, granted: u64, used: u64) {
        if self.is_capped() {
            self.cap.lock().settle(granted, used);
        }
    }
}

impl Default for DomainSched {
    fn default() -> Self {
        Self::new()
    }
}
