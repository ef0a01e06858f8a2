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

/// How many frames resource `id` of the domain's grant table has at most (XENMEM_acquire_resource); 0 for none.
pub fn resource_max_frames(_domain: &crate::domain::Domain, _id: u32) -> u32 {
    0
}

/// Frames `first..` of resource `id` of the domain's grant table, made if they do not exist yet. `EINVAL`.
pub fn acquire_resource(
    _domain: &crate::domain::Domain,
    _id: u32,
    _first: u64,
    _frames: &mut [arch::addr::Mfn],
) -> Result<(), hypercall_abi::Errno> {
    Err(hypercall_abi::Errno::EINVAL)
}
