//! The machine's clock as the rest of the hypervisor uses it.

pub use arch::clock::{TscScale, now, set_deadline, tsc_scale, tsc_stable, wallclock_at_boot};
