//! Timers, the guests' clocks, runstate.
//!
//! Every pCPU has a queue of timers; a timer is armed on the pCPU that arms it and follows its vCPU when that is
//! switched to elsewhere. The hardware is armed for the earliest of them and of the end of the present slice, so that a
//! pCPU with nothing to do is not interrupted.

pub mod clock;
pub mod guest_clock;
pub mod heap;
mod runstate;
pub mod vcpu_timer;
mod virtual_tsc;
pub mod watchdog;

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use arch::sync::{Once, SpinLock};

pub use clock::now;
pub use guest_clock::{
    force_update, set_wallclock, switching_out, update_areas, update_domain_wallclock,
    update_vcpu_time, vcpu_entered, wallclock,
};
pub use runstate::RunstateClock;
pub use vcpu_timer::{VcpuTime, VcpuTimer, do_set_timer_op};
pub use virtual_tsc::VirtualTsc;

use crate::domain::Vcpu;
use crate::host::host;
use crate::percpu::{self, PerCpu, work};
use crate::sched::MAX_CPUS;
use heap::{Heap, Key};

/// No deadline.
const NEVER: u64 = u64::MAX;

/// What happens when a timer expires.
#[derive(Clone)]
pub enum Timer {
    /// One of a vCPU's timers.
    Vcpu(Arc<Vcpu>, VcpuTimer),
    /// A domain's watchdog (SCHEDOP_watchdog), by the domain's id and the watchdog's index.
    Watchdog(u16, usize),
    /// A call into the hypervisor, on the pCPU that armed it, with this argument.
    Call(fn(u64), u64),
}

/// Names one arming of a timer, to cancel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    cpu: usize,
    key: Key,
}

impl Handle {
    /// The pCPU whose queue it is in.
    pub fn cpu(&self) -> usize {
        self.cpu
    }
}

struct CpuTimers {
    heap: SpinLock<Heap<Timer>>,
    /// End of the present slice, or [`NEVER`].
    slice: AtomicU64,
    /// What the hardware is armed for, or [`NEVER`]; written by the pCPU itself.
    armed: AtomicU64,
}

/// Global clock state: the pCPUs' timers and the wall clock.
pub struct Clock {
    cpus: [Once<Box<CpuTimers>>; MAX_CPUS],
    wall: SpinLock<Option<guest_clock::Wallclock>>,
}

impl Clock {
    /// No timers; the wall clock as the machine's.
    pub const fn new() -> Self {
        Self {
            cpus: [const { Once::new() }; MAX_CPUS],
            wall: SpinLock::new(None),
        }
    }

    fn cpu(&self, cpu: usize) -> Option<&CpuTimers> {
        let made = self.cpus.get(cpu)?.call_once(|| {
            Box::new(CpuTimers {
                heap: SpinLock::new(Heap::new()),
                slice: AtomicU64::new(NEVER),
                armed: AtomicU64::new(NEVER),
            })
        });
        Some(made)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// This pCPU's timers. The queue itself is in [`Clock`], because other pCPUs cancel and take over timers.
pub struct TimerQueue {
    cpu: usize,
}

impl TimerQueue {
    /// For pCPU `id`.
    pub const fn new(id: usize) -> Self {
        Self { cpu: id }
    }

    /// Arms a timer for `deadline`, nanoseconds since boot.
    pub fn arm(&self, deadline: u64, timer: Timer) -> Option<Handle> {
        let cpu = host().time.cpu(self.cpu)?;
        let key = cpu.heap.lock().insert(deadline, timer);
        if deadline < cpu.armed.load(Ordering::Relaxed) {
            self.program(cpu, deadline);
        }
        Some(Handle { cpu: self.cpu, key })
    }

    /// Runs what has expired by `now` and arms the hardware for the next. To be called on [`work::TIMER`].
    pub fn run_expired(&self, now: u64) {
        let Some(cpu) = host().time.cpu(self.cpu) else {
            return;
        };
        // The hardware has fired, or will once more for nothing.
        cpu.armed.store(NEVER, Ordering::Relaxed);
        if cpu.slice.load(Ordering::Relaxed) <= now {
            cpu.slice.store(NEVER, Ordering::Relaxed);
            percpu::with(|b| b.raise(work::RESCHEDULE));
        }
        loop {
            let expired = cpu.heap.lock().pop_expired(now);
            let Some((key, timer)) = expired else { break };
            fire(Handle { cpu: self.cpu, key }, timer, now);
        }
        self.reprogram();
    }

    /// When this pCPU must choose anew who runs; none for not at all.
    pub fn set_slice(&self, end: Option<u64>) {
        if let Some(cpu) = host().time.cpu(self.cpu) {
            let end = end.unwrap_or(NEVER);
            cpu.slice.store(end, Ordering::Relaxed);
            if end < cpu.armed.load(Ordering::Relaxed) {
                self.program(cpu, end);
            }
        }
    }

    /// Arms the hardware for exactly the next deadline. Cancelling a timer leaves it armed, since the next one often comes before;
    /// a pCPU that goes idle calls this, so that it is not woken for nothing.
    pub fn reprogram(&self) {
        if let Some(cpu) = host().time.cpu(self.cpu) {
            let next = cpu.heap.lock().next().unwrap_or(NEVER);
            let next = next.min(cpu.slice.load(Ordering::Relaxed));
            if next != cpu.armed.load(Ordering::Relaxed) {
                self.program(cpu, next);
            }
        }
    }

    /// The next deadline of this pCPU, nanoseconds since boot.
    pub fn next(&self) -> Option<u64> {
        let next = host().time.cpu(self.cpu)?.heap.lock().next();
        next.filter(|&deadline| deadline != NEVER)
    }

    fn program(&self, cpu: &CpuTimers, deadline: u64) {
        cpu.armed.store(deadline, Ordering::Relaxed);
        clock::set_deadline((deadline != NEVER).then_some(deadline));
    }
}

/// Arms a timer on this pCPU; see [`TimerQueue::arm`].
pub fn arm(deadline: u64, timer: Timer) -> Option<Handle> {
    percpu::with(|b| b.timers.arm(deadline, timer))
}

/// Disarms a timer; false if it has expired (its effect may still be under way on its pCPU).
pub fn cancel(handle: Handle) -> bool {
    host()
        .time
        .cpu(handle.cpu)
        .is_some_and(|cpu| cpu.heap.lock().remove(handle.key).is_some())
}

/// How many armed timers are such, on all pCPUs.
pub fn count(mut such: impl FnMut(&Timer) -> bool) -> u64 {
    let mut count = 0;
    for cpu in host().time.cpus.iter().filter_map(Once::get) {
        count += cpu.heap.lock().iter().filter(|timer| such(timer)).count() as u64;
    }
    count
}

/// Runs this pCPU's expired timers; on [`work::TIMER`].
pub fn run_expired(cpu: &PerCpu) {
    cpu.timers.run_expired(now());
}

fn fire(handle: Handle, timer: Timer, now: u64) {
    match timer {
        Timer::Vcpu(vcpu, which) => vcpu_timer::expired(&vcpu, which, handle, now),
        Timer::Watchdog(domain, index) => crate::sched::watchdog_expired(domain, index, handle),
        Timer::Call(call, argument) => call(argument),
    }
}

#[cfg(test)]
mod tests;
