//! Physical interrupts.

/// All physical interrupts.
#[derive(Default)]
pub struct IrqTable {}

/// A domain's pirqs and hardware rights.
#[derive(Default)]
pub struct DomainIrqs {}

impl DomainIrqs {
    /// No rights.
    pub const fn new() -> Self {
        Self {}
    }
}
