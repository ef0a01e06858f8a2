//! Event channels: 2-level and FIFO.

/// A domain's event channels.
#[derive(Default)]
pub struct DomainEvents {}

impl DomainEvents {
    /// No channels.
    pub const fn new() -> Self {
        Self {}
    }
}

/// A vCPU's event state.
#[derive(Default)]
pub struct VcpuEvents {}

impl VcpuEvents {
    /// Nothing pending.
    pub const fn new() -> Self {
        Self {}
    }
}
