//! How a domain sees the time-stamp counter.

use hypercall_abi::Errno;
use hypercall_abi::domctl::DomctlTscInfo;

use crate::domain::Domain;
use crate::sched;

/// `XEN_DOMCTL_settscinfo`. `EINVAL` for unknown modes, `EBUSY` if the domain could not be stopped yet. The domain that owns
/// the hardware has the processor's counter whatever is said.
pub(super) fn set(domain: &Domain, op: &DomctlTscInfo) -> Result<(), Errno> {
    if domain.is_hardware() {
        return Ok(());
    }
    // Whether reads fault is loaded with a vCPU's registers.
    sched::domain_pause(domain)?;
    let result = domain.tsc.set(op);
    sched::domain_unpause(domain);
    result
}
