//! PV guests: entry logic, bounce frames, emulation.

/// What a PV domain has beyond `Domain`.
#[derive(Default)]
pub struct PvDomain {}

/// What a PV vCPU has beyond `Vcpu`.
#[derive(Default)]
pub struct PvVcpu {}

impl PvVcpu {
    /// Reset state.
    pub const fn new() -> Self {
        Self {}
    }
}
