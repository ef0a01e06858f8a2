//! How domains end by themselves: SCHEDOP_shutdown and the watchdogs.

use core::sync::atomic::Ordering;

use arch::sync::SpinLock;
use hypercall_abi::Errno;
use hypercall_abi::sched::Shutdown;
use hypercall_abi::xen::Virq;

use crate::domain::{Domain, DomainId};
use crate::event_channel;
use crate::host::host;
use crate::time::{self, Handle, Timer};

/// Watchdogs per domain (Xen's `NR_DOMAIN_WATCHDOG_TIMERS`).
pub const WATCHDOGS: usize = 2;
const SECOND: u64 = 1_000_000_000;

/// A domain's watchdogs: set, or free.
#[derive(Default)]
pub struct Watchdogs(SpinLock<[Option<Handle>; WATCHDOGS]>);

impl Watchdogs {
    /// None set.
    pub const fn new() -> Self {
        Self(SpinLock::new([None; WATCHDOGS]))
    }
}

/// SCHEDOP_watchdog: `id` 0 takes a free watchdog and returns its id (`ENOSPC` if there is none); another id sets that one
/// anew, or frees it if `timeout` (seconds) is 0 (`EINVAL` if it is not taken).
pub(super) fn set_watchdog(domain: &Domain, id: u32, timeout: u32) -> Result<u64, Errno> {
    let arm = |index| {
        let deadline = time::now().saturating_add(u64::from(timeout) * SECOND);
        time::arm(deadline, Timer::Watchdog(domain.id.0, index))
    };
    let mut watchdogs = domain.sched.watchdogs.0.lock();
    let Some(index) = (id as usize).checked_sub(1) else {
        let free = watchdogs
            .iter()
            .position(Option::is_none)
            .ok_or(Errno::ENOSPC)?;
        watchdogs[free] = arm(free);
        return Ok(free as u64 + 1);
    };
    let slot = watchdogs.get_mut(index).ok_or(Errno::EINVAL)?;
    time::cancel(slot.take().ok_or(Errno::EINVAL)?);
    if timeout != 0 {
        *slot = arm(index);
    }
    Ok(0)
}

/// A watchdog's time is over: its domain, if it is still the one that set it, did not prove itself alive.
pub fn watchdog_expired(domain: u16, index: usize, handle: Handle) {
    let Ok(domain) = host().domains.get(DomainId(domain)) else {
        return;
    };
    // The slot stays taken, as for a watchdog that the guest still has to free.
    let valid = domain.sched.watchdogs.0.lock().get(index) == Some(&Some(handle));
    if valid && !domain.is_dying() && domain.shutdown.lock().is_none() {
        log::warn!("d{}: watchdog {} fired", domain.id.0, index + 1);
        domain_shutdown(&domain, Shutdown::WATCHDOG);
    }
}

/// Stops a dying domain's watchdogs.
pub fn stop_watchdogs(domain: &Domain) {
    for slot in domain.sched.watchdogs.0.lock().iter_mut() {
        if let Some(handle) = slot.take() {
            time::cancel(handle);
        }
    }
}

/// Ends a domain for `reason`, or for the one named before by SCHEDOP_shutdown_code: its vCPUs stop, and the tools in dom0 hear of it
/// (VIRQ_DOM_EXC). If it is dom0, the host ends. A second end changes nothing.
pub fn domain_shutdown(domain: &Domain, reason: Shutdown) {
    let (reason, first) = {
        let mut shutdown = domain.shutdown.lock();
        let announced = domain.sched.shutdown_code.load(Ordering::Acquire);
        let reason = u32::try_from(announced).map_or(reason, Shutdown);
        if shutdown.is_some() && !domain.is_hardware() {
            return;
        }
        *shutdown = Some(shutdown.unwrap_or(reason.0));
        // On the host (tests) there is no machine to end.
        let ends_host = domain.is_hardware() && cfg!(target_os = "none");
        let first = !ends_host && !domain.sched.shut_down.swap(true, Ordering::SeqCst);
        // Before the lock is released: whoever finds the domain shut down, a vCPU that is itself at fault for one, may
        // count on no vCPU going on in the guest.
        if first {
            super::domain_pause_nosync(domain);
        }
        (reason, first)
    };
    if domain.is_hardware() && cfg!(target_os = "none") {
        crate::shutdown::shutdown_host(reason.0);
    }
    if first {
        tell(domain, reason);
    }
}

/// A suspension is told to whoever asked for it, all else to dom0's tools.
fn tell(domain: &Domain, reason: Shutdown) {
    let port = domain.suspend_port.load(Ordering::Acquire);
    if reason != Shutdown::SUSPEND || port == 0 || event_channel::send(domain, port).is_err() {
        event_channel::send_global_virq(Virq::DOM_EXC);
    }
}

/// Lets a domain that suspended go on (XEN_DOMCTL_resumedomain). Nothing if it was not shut down.
pub fn domain_resume(domain: &Domain) {
    let mut shutdown = domain.shutdown.lock();
    *shutdown = None;
    domain.sched.shutdown_code.store(-1, Ordering::Release);
    if domain.sched.shut_down.swap(false, Ordering::SeqCst) {
        super::domain_unpause(domain);
    }
}
