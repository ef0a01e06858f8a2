//! The local APIC timer: one shot, by count or by TSC deadline.

use core::sync::atomic::{AtomicBool, Ordering};

use super::registers as reg;
use super::vectors;
use crate::hw;
use crate::percpu::MAX_CPUS;

const TSC_DEADLINE_MSR: u32 = 0x6e0;
/// Divide by one.
const DIVIDE_BY_ONE: u32 = 0b1011;

/// How this machine's deadline timers are armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerKind {
    /// A count of the APIC's own clock.
    OneShot,
    /// An absolute TSC value.
    TscDeadline,
}

static DEADLINE: AtomicBool = AtomicBool::new(false);
/// CPUs whose timer is set up for TSC deadlines.
static IN_DEADLINE_MODE: [AtomicBool; MAX_CPUS] = [const { AtomicBool::new(false) }; MAX_CPUS];

/// The kind in use.
pub fn timer_kind() -> TimerKind {
    if DEADLINE.load(Ordering::Relaxed) {
        TimerKind::TscDeadline
    } else {
        TimerKind::OneShot
    }
}

/// Chooses the kind for all CPUs; those that run follow when they arm their timer next. TSC deadlines need the
/// processor's support and a stable TSC.
pub fn set_timer_kind(kind: TimerKind) {
    DEADLINE.store(kind == TimerKind::TscDeadline, Ordering::Relaxed);
    init_cpu();
}

pub(super) fn init_cpu() {
    reg::write(reg::TIMER_DIVIDE, DIVIDE_BY_ONE);
    reg::write(reg::TIMER_INITIAL, 0);
    let mode = if timer_kind() == TimerKind::TscDeadline {
        reg::LVT_TSC_DEADLINE
    } else {
        0
    };
    reg::write(reg::LVT_TIMER, mode | u32::from(vectors::TIMER));
    if let Some(me) = IN_DEADLINE_MODE.get(crate::percpu::cpu_id()) {
        me.store(mode != 0, Ordering::Relaxed);
    }
    if mode != 0 && !reg::x2apic() {
        // The xAPIC's mode change must be seen before the deadline is written (SDM 11.5.4.1).
        hw::fence();
    }
}

/// Arms this CPU's timer: for `tsc` with TSC deadlines, else `count` APIC clocks from now. Replaces what was armed.
pub(crate) fn arm(tsc: u64, count: u32) {
    let kind = timer_kind();
    if IN_DEADLINE_MODE
        .get(crate::percpu::cpu_id())
        .is_some_and(|mode| mode.load(Ordering::Relaxed) != (kind == TimerKind::TscDeadline))
    {
        init_cpu();
    }
    match kind {
        TimerKind::TscDeadline => hw::wrmsr(TSC_DEADLINE_MSR, tsc.max(1)),
        TimerKind::OneShot => reg::write(reg::TIMER_INITIAL, count.max(1)),
    }
}

/// Disarms this CPU's timer. An interrupt already on its way still arrives.
pub(crate) fn disarm() {
    match timer_kind() {
        TimerKind::TscDeadline => hw::wrmsr(TSC_DEADLINE_MSR, 0),
        TimerKind::OneShot => reg::write(reg::TIMER_INITIAL, 0),
    }
}

/// Starts the longest count, masked, to measure the timer's clock.
pub(crate) fn calibration_start() {
    reg::write(reg::LVT_TIMER, reg::LVT_MASKED | u32::from(vectors::TIMER));
    reg::write(reg::TIMER_DIVIDE, DIVIDE_BY_ONE);
    reg::write(reg::TIMER_INITIAL, u32::MAX);
}

/// What is left of the longest count.
pub(crate) fn calibration_count() -> u32 {
    reg::read(reg::TIMER_CURRENT)
}
