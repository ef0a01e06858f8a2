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
