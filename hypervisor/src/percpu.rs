//! What belongs to one pCPU and is touched only by it (with the marked exceptions that are atomics).

use core::cell::{Cell, RefCell};
use core::sync::atomic::{AtomicU32, Ordering};

use crate::domain::Context;
use crate::{sched, time};

/// Bits of the pending-work word that a CPU looks at on its way out to a guest.
pub mod work {
    /// Run the scheduler.
    pub const RESCHEDULE: u32 = 1 << 0;
    /// Run expired timers.
    pub const TIMER: u32 = 1 << 1;
    /// Deferred console, debug-key or irq work.
    pub const DEFERRED: u32 = 1 << 2;
}

/// State of one pCPU.
pub struct PerCpu {
    /// Dense CPU number.
    pub id: usize,
    /// Work to be done before the next return to a guest ([`work`]). Any CPU may set bits.
    pub pending: AtomicU32,
    /// What runs here now; the idle context when no guest does.
    pub current: RefCell<Option<Context>>,
    /// The domain of the vCPU that ran here last (`Domain::unique_id`).
    pub last_domain: Cell<u64>,
    /// This CPU's scheduler state that needs no lock.
    pub sched: sched::CpuLocal,
    /// This CPU's timer queue.
    pub timers: time::TimerQueue,
}

impl PerCpu {
    /// State for CPU `id` before it runs anything.
    pub fn new(id: usize) -> Self {
        Self {
            id,
            pending: AtomicU32::new(0),
            current: RefCell::new(None),
            last_domain: Cell::new(0),
            sched: sched::CpuLocal::new(id),
            timers: time::TimerQueue::new(id),
        }
    }

    /// Marks work as pending on this CPU; the caller kicks the CPU with an IPI when it is another.
    pub fn raise(&self, bits: u32) {
        self.pending.fetch_or(bits, Ordering::SeqCst);
    }
}

#[cfg(target_os = "none")]
#[allow(unsafe_code)]
// SAFETY: the hypervisor has no other `Slots`.
static BLOCKS: arch::percpu::Slots<PerCpu> = unsafe { arch::percpu::Slots::new() };

/// Runs `f` on this CPU's block.
#[cfg(target_os = "none")]
#[inline(always)]
pub fn with<R>(f: impl FnOnce(&PerCpu) -> R) -> R {
    f(BLOCKS.get())
}

/// Raises work on another CPU (only the atomic word is touched).
#[cfg(target_os = "none")]
pub fn raise_on(cpu: usize, bits: u32) {
    if let Some(pending) = BLOCKS.shared_on(cpu, |b| &b.pending) {
        pending.fetch_or(bits, Ordering::SeqCst);
    }
}

/// Installs the block of CPU `id`; called on any CPU before that CPU runs guests.
#[cfg(target_os = "none")]
pub fn install(id: usize) {
    BLOCKS.install(id, || PerCpu::new(id));
}

#[cfg(not(target_os = "none"))]
std::thread_local! {
    static BLOCK: PerCpu = PerCpu::new(0);
}

/// Runs `f` on this (simulated) CPU's block.
#[cfg(not(target_os = "none"))]
pub fn with<R>(f: impl FnOnce(&PerCpu) -> R) -> R {
    BLOCK.with(f)
}

/// Raises work on another CPU; the simulated machine has one.
#[cfg(not(target_os = "none"))]
pub fn raise_on(_cpu: usize, bits: u32) {
    with(|b| b.raise(bits));
}

/// What runs on this CPU now.
pub fn current() -> Context {
    with(|b| b.current.borrow().clone()).expect("no current context")
}
