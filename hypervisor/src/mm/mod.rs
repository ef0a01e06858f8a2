//! Memory: frame table, page types, allocation, direct paging.

/// Frame table and allocator of the host.
#[derive(Default)]
pub struct Memory {}

/// A domain's memory accounting.
#[derive(Default)]
pub struct DomainMemory {}

impl DomainMemory {
    /// No memory yet.
    pub const fn new() -> Self {
        Self {}
    }
}
