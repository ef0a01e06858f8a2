//! TLB shootdown (being built).

/// Serves shootdowns that other CPUs asked of this one.
pub fn service_pending() {}
