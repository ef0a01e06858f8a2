//! How domains begin, pause, resume and end.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use hypercall_abi::Errno;

use super::MAX_PAUSES;
use crate::domain::{Context, Domain, DomainId, Kind, crash, destroy};
use crate::host::host;
use crate::preempt::Budget;
use crate::{event_channel, sched};

/// `XEN_DOMCTL_destroydomain`, never of the caller's own. `ERESTART` to be called again.
pub(super) fn destroy(domain: &Arc<Domain>) -> Result<(), Errno> {
    if destroy::destroy(domain, &Budget::new()) {
        Ok(())
    } else {
        Err(Errno::ERESTART)
    }
}

/// `XEN_DOMCTL_subscribe`: the port that is notified when the domain suspends. `EINVAL` if it is not the domain's.
pub(super) fn subscribe(domain: &Domain, port: u32) -> Result<(), Errno> {
    event_channel::can_notify(domain, port)?;
    domain.suspend_port.store(port, Ordering::Release);
    Ok(())
}

/// `XEN_DOMCTL_set_address_size`: a PV domain is a 64-bit one. `EOPNOTSUPP` for 32 bits, `EINVAL` for others.
pub(super) fn address_size(bits: u32) -> Result<(), Errno> {
    match bits {
        64 => Ok(()),
        32 => {
            log::warn!("32-bit PV domain refused: only 64-bit ones are supported");
            Err(Errno::EOPNOTSUPP)
        }
        _ => Err(Errno::EINVAL),
    }
}

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

/// `XEN_DOMCTL_soft_reset`, which only HVM domains survive. As in Xen, a PV domain has lost its event channels and what its
/// vCPUs registered by the time that this turns out, and has crashed. `EINVAL`, first of all for a domain that has not
/// shut down or that the tools do not hold paused; `EBUSY` while it is resetting its channels itself, `EAGAIN` as
/// [`event_channel::reset`], `ERESTART` to be called again.
pub(super) fn soft_reset(domain: &Arc<Domain>) -> Result<(), Errno> {
    let (paused, resume) = {
        let control = domain.control.lock();
        (control.tool_pauses > 0, control.soft_reset)
    };
    if !paused || !domain.sched.is_shut_down() {
        return Err(Errno::EINVAL);
    }
    // A vCPU on its way out may still look at its areas.
    if !destroy::stopped(domain) {
        return Err(Errno::ERESTART);
    }
    let result = event_channel::reset(domain, false, resume, &Budget::new());
    domain.control.lock().soft_reset = result == Err(Errno::ERESTART);
    result?;
    for vcpu in domain.vcpus() {
        sched::forget_areas(domain, vcpu);
    }
    crash(
        domain,
        "a soft reset, which only an HVM domain can have",
        None,
    );
    Err(Errno::EINVAL)
}

/// `XEN_DOMCTL_set_target`: makes a domain the device model of another, which must be an HVM domain. `ESRCH` for a target
/// that is not there, `EINVAL` for the domain itself, else `EOPNOTSUPP`.
pub(super) fn set_target(domain: &Arc<Domain>, target: u16) -> Result<(), Errno> {
    let target = host().domains.get(DomainId(target))?;
    if Arc::ptr_eq(domain, &target) {
        return Err(Errno::EINVAL);
    }
    match target.kind {
        Kind::Pv(_) => Err(Errno::EOPNOTSUPP),
    }
}
