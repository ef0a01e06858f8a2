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

/// Routes a pirq's occurrences to an event port.
pub fn bind_pirq(
    _domain: &crate::domain::Domain,
    _pirq: u32,
    _port: u32,
    _flags: u32,
) -> Result<(), hypercall_abi::Errno> {
    Err(hypercall_abi::Errno::EINVAL)
}

/// Undoes [`bind_pirq`].
pub fn unbind_pirq(_domain: &crate::domain::Domain, _pirq: u32) {}

/// Moves a pirq to where the vCPU runs.
pub fn set_affinity(_domain: &crate::domain::Domain, _pirq: u32, _vcpu: &crate::domain::Vcpu) {}

/// Serves an interrupt vector.
pub fn interrupt(_vector: u8) {}
/// Work put off by interrupt handlers.
pub fn run_deferred() {}

impl DomainIrqs {
    /// Whether the domain may touch these I/O ports.
    pub fn ports_permitted(&self, _port: u16, _size: usize) -> bool {
        false
    }
}
