//! Pausing, and what is settled when a domain is created.

use alloc::sync::Arc;

use hypercall_abi::Errno;

use crate::domain::{Context, Domain};
use crate::sched;

/// Pauses by the tools that a domain can have at a time.
const MAX_PAUSES: u32 = 255;

/// `XEN_DOMCTL_pausedomain`: until as many unpauses, no vCPU runs. `EINVAL` for the caller's own domain, `EOVERFLOW` for
/// too many pauses, `EBUSY` if a vCPU could not be stopped yet.
pub(super) fn pause(cx: &Context, domain: &Arc<Domain>) -> Result<(), Errno> {
    if Arc::ptr_eq(domain, &cx.domain) {
        return Err(Errno::EINVAL);
    }
    if domain.control.lock().tool_pauses >= MAX_PAUSES {
        return Err(Errno::EOVERFLOW);
    }
    // Not under the lock: others may need it to get out of the way.
    sched::domain_pause(domain)?;
    domain.control.lock().tool_pauses += 1;
    Ok(())
}

/// `XEN_DOMCTL_unpausedomain`: takes back one pause by the tools. `EINVAL` if there is none.
pub(super) fn unpause(domain: &Domain) -> Result<(), Errno> {
    {
        let mut control = domain.control.lock();
        control.tool_pauses = control.tool_pauses.checked_sub(1).ok_or(Errno::EINVAL)?;
    }
    sched::domain_unpause(domain);
    Ok(())
}

/// `XEN_DOMCTL_max_vcpus`: only what creation settled, and not for the caller's own domain. `EINVAL` otherwise.
pub(super) fn max_vcpus(cx: &Context, domain: &Arc<Domain>, max: u32) -> Result<(), Errno> {
    if Arc::ptr_eq(domain, &cx.domain) || max as usize != domain.vcpus().len() {
        return Err(Errno::EINVAL);
    }
    Ok(())
}
