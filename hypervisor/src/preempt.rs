//! Bounded work: a hypercall that a guest can make long spends from a budget and asks to be continued.

use core::cell::Cell;

/// Work units (page-table entries, multicall entries, frames ...) that one hypercall does in a row before it lets
/// interrupts and other vCPUs in. A unit is worth up to about 100 ns, so a budget lasts about 100 us.
pub const UNITS: u32 = 1024;

/// The rest of the present hypercall's budget.
#[derive(Debug)]
pub struct Budget(Cell<u32>);

impl Budget {
    /// A fresh budget for one hypercall.
    pub const fn new() -> Self {
        Self::with_units(UNITS)
    }

    /// A budget of a given size (tests use small ones to reach every continuation).
    pub const fn with_units(units: u32) -> Self {
        Self(Cell::new(units))
    }

    /// Spends `units`; true when the budget is used up and the caller must stop at its next consistent point.
    /// Callers finish at least one unit of work per call before they look, so that progress is certain.
    #[must_use]
    pub fn spend(&self, units: u32) -> bool {
        self.0.set(self.0.get().saturating_sub(units));
        self.0.get() == 0
    }

    /// Whether it is used up.
    pub fn exhausted(&self) -> bool {
        self.0.get() == 0
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new()
    }
}
