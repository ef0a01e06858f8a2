//! Timers, clocks, runstate.

/// Global clock state.
#[derive(Default)]
pub struct Clock {}

/// A CPU's timers.
pub struct TimerQueue {}

impl TimerQueue {
    /// For CPU `_id`, empty.
    pub const fn new(_id: usize) -> Self {
        Self {}
    }
}

/// A vCPU's timers, runstate and time areas.
#[derive(Default)]
pub struct VcpuTime {}

impl VcpuTime {
    /// Nothing armed.
    pub const fn new() -> Self {
        Self {}
    }
}

// Seams that this module's owner fills in.
use crate::domain::Vcpu;
use crate::percpu::PerCpu;
/// Runs expired timers.
pub fn run_expired(_cpu: &PerCpu) {}
/// Updates the vCPU's pvclock.
pub fn update_vcpu_time(_vcpu: &Vcpu) {}
/// The vCPU was switched in.
pub fn vcpu_entered(_vcpu: &alloc::sync::Arc<Vcpu>) {}
