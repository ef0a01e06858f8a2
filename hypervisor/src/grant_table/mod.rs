//! Grant tables.

/// A domain's grant table and maptrack.
#[derive(Default)]
pub struct GrantTable {}

impl GrantTable {
    /// An empty version 1 table.
    pub const fn new() -> Self {
        Self {}
    }
}
