//! The scheduler.

/// All run queues.
#[derive(Default)]
pub struct Scheduler {}

/// A CPU's own scheduler state.
pub struct CpuLocal {}

impl CpuLocal {
    /// For CPU `_id`.
    pub const fn new(_id: usize) -> Self {
        Self {}
    }
}

/// A domain's scheduling parameters.
#[derive(Default)]
pub struct DomainSched {}

impl DomainSched {
    /// Default weight, no cap.
    pub const fn new() -> Self {
        Self {}
    }
}

/// A vCPU's scheduler state.
#[derive(Default)]
pub struct VcpuSched {}

impl VcpuSched {
    /// Not queued.
    pub const fn new() -> Self {
        Self {}
    }
}

/// Wakes a vCPU if it is blocked, and makes its pCPU exit to look at its events if it runs.
pub fn kick(_vcpu: &alloc::sync::Arc<crate::domain::Vcpu>) {}

/// Wakes a vCPU if it is blocked.
pub fn wake(_vcpu: &alloc::sync::Arc<crate::domain::Vcpu>) {}

// Seams that the scheduler fills in.
use crate::domain::{Context, Domain, Vcpu};
use crate::percpu::PerCpu;
/// What runs next on this CPU.
pub fn pick_next(_cpu: &PerCpu) -> Option<Context> {
    None
}
/// The previous vCPU's state is saved.
pub fn context_saved(_cpu: &PerCpu, _prev: &Vcpu) {}
/// Blocks the caller until an event.
pub fn block(_cx: &Context) {}
/// Shuts a domain down.
pub fn domain_shutdown(_domain: &Domain, _reason: hypercall_abi::sched::Shutdown) {}
