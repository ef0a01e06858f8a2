//! A vCPU's timers: single-shot, periodic and the time limit of SCHEDOP_poll. The first two raise VIRQ_TIMER.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arch::sync::SpinLock;
use hypercall_abi::xen::Virq;

use super::{Handle, Timer, arm, cancel, now};
use crate::domain::{Context, Vcpu};
use crate::fail::{Args, Return};
use crate::{event_channel, percpu, sched};

/// One of a vCPU's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VcpuTimer {
    /// set_timer_op and VCPUOP_set_singleshot_timer.
    Singleshot,
    /// VCPUOP_set_periodic_timer.
    Periodic,
    /// SCHEDOP_poll.
    Poll,
}

#[derive(Clone, Copy, Default)]
struct Armed {
    deadline: u64,
    handle: Option<Handle>,
}

#[derive(Default)]
struct Timers {
    armed: [Armed; 3],
    /// Period of the periodic timer in nanoseconds; 0 when stopped.
    period: u64,
    /// When the next period ends.
    next_period: u64,
}

/// A vCPU's timers and the places where it looks for the time.
#[derive(Default)]
pub struct VcpuTime {
    timers: SpinLock<Timers>,
    /// Registered runstate area, a virtual address of the guest's kernel; 0 for none.
    pub(super) runstate_area: AtomicU64,
    /// Registered secondary time area, likewise.
    pub(super) time_area: AtomicU64,
    /// An area could not be written because the guest's user page tables were loaded.
    pub(super) areas_pending: AtomicBool,
    /// The scale that the guest has seen last.
    pub(super) seen: SpinLock<Option<super::guest_clock::Seen>>,
}

impl VcpuTime {
    /// Nothing armed.
    pub const fn new() -> Self {
        const IDLE: Armed = Armed {
            deadline: 0,
            handle: None,
        };
        Self {
            timers: SpinLock::new(Timers {
                armed: [IDLE; 3],
                period: 0,
                next_period: 0,
            }),
            runstate_area: AtomicU64::new(0),
            time_area: AtomicU64::new(0),
            areas_pending: AtomicBool::new(false),
            seen: SpinLock::new(None),
        }
    }

    /// When a timer will expire, if it is armed.
    pub fn deadline(&self, which: VcpuTimer) -> Option<u64> {
        let armed = self.timers.lock().armed[which as usize];
        armed.handle.map(|_| armed.deadline)
    }

    /// Whether [`super::update_areas`] is due when the guest's kernel page tables are loaded next.
    #[inline]
    pub fn areas_pending(&self) -> bool {
        self.areas_pending.load(Ordering::Relaxed)
    }
}

/// Arms (or moves) a vCPU's timer, on this pCPU.
pub fn set(vcpu: &Arc<Vcpu>, which: VcpuTimer, deadline: u64) {
    let mut timers = vcpu.time.timers.lock();
    set_locked(vcpu, &mut timers, which, deadline);
}

fn set_locked(vcpu: &Arc<Vcpu>, timers: &mut Timers, which: VcpuTimer, deadline: u64) {
    let slot = &mut timers.armed[which as usize];
    if let Some(old) = slot.handle.take() {
        cancel(old);
    }
    let handle = arm(deadline, Timer::Vcpu(vcpu.clone(), which));
    *slot = Armed { deadline, handle };
}

/// Disarms a vCPU's timer.
pub fn stop(vcpu: &Vcpu, which: VcpuTimer) {
    let mut timers = vcpu.time.timers.lock();
    if which == VcpuTimer::Periodic {
        timers.period = 0;
    }
    if let Some(old) = timers.armed[which as usize].handle.take() {
        cancel(old);
    }
}

/// Disarms everything of a vCPU that goes away.
pub fn stop_all(vcpu: &Vcpu) {
    for which in [VcpuTimer::Singleshot, VcpuTimer::Periodic, VcpuTimer::Poll] {
        stop(vcpu, which);
    }
}

/// Starts the periodic timer, `period` nanoseconds (checked by the caller) from now.
pub fn set_periodic(vcpu: &Arc<Vcpu>, period: u64) {
    let mut timers = vcpu.time.timers.lock();
    timers.period = period;
    timers.next_period = now().saturating_add(period);
    let next = timers.next_period;
    set_locked(vcpu, &mut timers, VcpuTimer::Periodic, next);
}

/// A timer came out of a pCPU's queue.
pub(super) fn expired(vcpu: &Arc<Vcpu>, which: VcpuTimer, handle: Handle, now: u64) {
    let mut timers = vcpu.time.timers.lock();
    let slot = &mut timers.armed[which as usize];
    if slot.handle != Some(handle) {
        // Stopped or set anew while it was on its way.
        return;
    }
    slot.handle = None;
    match which {
        VcpuTimer::Singleshot => {
            drop(timers);
            event_channel::send_virq(vcpu, Virq::TIMER);
        }
        VcpuTimer::Periodic => {
            // The period goes on only while the vCPU runs; one that sleeps hears of it when it runs again.
            if vcpu.sched.on_cpu().is_some() {
                next_period(vcpu, &mut timers, now);
                drop(timers);
                event_channel::send_virq(vcpu, Virq::TIMER);
            }
        }
        VcpuTimer::Poll => {
            drop(timers);
            sched::poll_expired(vcpu);
        }
    }
}

fn next_period(vcpu: &Arc<Vcpu>, timers: &mut Timers, now: u64) {
    let missed = now.saturating_sub(timers.next_period) / timers.period.max(1) + 1;
    timers.next_period = timers
        .next_period
        .saturating_add(missed.saturating_mul(timers.period));
    let next = timers.next_period;
    set_locked(vcpu, timers, VcpuTimer::Periodic, next);
}

/// The vCPU was switched to on this pCPU: its timers follow it, and its period goes on.
pub(super) fn follow(vcpu: &Arc<Vcpu>, now: u64) {
    let here = percpu::with(|b| b.id);
    let mut timers = vcpu.time.timers.lock();
    for which in [VcpuTimer::Singleshot, VcpuTimer::Periodic, VcpuTimer::Poll] {
        let armed = timers.armed[which as usize];
        if let Some(handle) = armed.handle
            && handle.cpu() != here
        {
            set_locked(vcpu, &mut timers, which, armed.deadline);
        }
    }
    let stopped = timers.armed[VcpuTimer::Periodic as usize].handle.is_none();
    if timers.period != 0 && stopped {
        next_period(vcpu, &mut timers, now);
        drop(timers);
        event_channel::send_virq(vcpu, Virq::TIMER);
    }
}

/// Timeouts further ahead than this (13 days) come from guests whose own time wrapped.
const TOO_FAR: u64 = 1 << 50;
/// When such a guest gets its timer event instead.
const SOON: u64 = 100_000_000;

/// `set_timer_op` (Xen public/xen.h): the single-shot timer to an absolute time in nanoseconds since boot, 0 to stop it.
/// Times that are negative or absurdly far ahead raise the event in 100 ms, as guests expect.
pub fn do_set_timer_op(cx: &Context, args: Args) -> Return {
    let timeout = args.0[0];
    let now = now();
    if timeout == 0 {
        stop(&cx.vcpu, VcpuTimer::Singleshot);
    } else if timeout > i64::MAX as u64 || timeout.saturating_sub(now) >= TOO_FAR {
        set(&cx.vcpu, VcpuTimer::Singleshot, now.saturating_add(SOON));
    } else {
        set(&cx.vcpu, VcpuTimer::Singleshot, timeout);
    }
    Ok(0)
}
