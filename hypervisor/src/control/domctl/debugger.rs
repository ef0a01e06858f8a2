//! What debuggers ask: triggers, single steps, and gdbsx (Xen tools/debugger/gdbsx).
//!
//! gdbsx stops a domain with pausedomain, looks at its memory and releases single vCPUs. Breakpoints and single steps of a
//! PV guest stay the guest's own: they are not reported to the debugger.

use alloc::sync::Arc;

use arch::addr::{GuestVa, Mfn, PAGE_BYTES};
use hypercall_abi::domctl::*;
use hypercall_abi::{Errno, GuestHandle};

use super::{MAX_PAUSES, find};
use crate::domain::{Context, Domain};
use crate::mm::{self, PageType};
use crate::{guest, sched};

/// Bytes copied in one call; gdbsx comes back for the rest.
const MAX_BYTES: u32 = 64 * 1024;
/// Bytes copied at a time.
const CHUNK: usize = 512;
/// No vCPU has an event.
const NO_VCPU: u32 = u32::MAX;

/// `XEN_DOMCTL_sendtrigger`: a non-maskable interrupt. `ESRCH` for a vCPU that is not there, `EINVAL` for buttons, which PV
/// guests have not, `ENOSYS` for others.
pub(super) fn trigger(domain: &Domain, op: &DomctlSendtrigger) -> Result<(), Errno> {
    let vcpu = find(domain, op.vcpu, Errno::ESRCH)?;
    match SendTrigger(op.trigger) {
        SendTrigger::NMI => {
            if vcpu.pv().raise_nmi() {
                sched::kick(vcpu);
            }
            Ok(())
        }
        SendTrigger::POWER | SendTrigger::SLEEP => Err(Errno::EINVAL),
        _ => Err(Errno::ENOSYS),
    }
}

/// `XEN_DOMCTL_setdebugging`: whether a debugger is attached, for who lists the domain.
pub(super) fn attach(domain: &Domain, op: &DomctlSetdebugging) {
    domain.control.lock().debugged = op.enable != 0;
}

/// Whether the tools paused the domain: gdbsx may only look at one that does not run. `EBUSY` otherwise.
fn stopped(domain: &Domain) -> Result<(), Errno> {
    if domain.control.lock().tool_pauses > 0 {
        Ok(())
    } else {
        Err(Errno::EBUSY)
    }
}

/// `XEN_DOMCTL_gdbsx_pausevcpu`: one more pause of one vCPU. `EBUSY` unless the tools paused the domain, `EINVAL` for a vCPU
/// that is not there, `EOVERFLOW` for too many.
pub(super) fn pause(domain: &Domain, op: &DomctlGdbsxPauseunpVcpu) -> Result<(), Errno> {
    stopped(domain)?;
    let vcpu = find(domain, op.vcpu, Errno::EINVAL)?;
    {
        let mut control = domain.control.lock();
        let pauses = control.vcpu_pauses.entry(op.vcpu).or_default();
        if *pauses >= MAX_PAUSES {
            return Err(Errno::EOVERFLOW);
        }
        *pauses += 1;
    }
    // The domain is paused: there is nothing to wait for.
    sched::pause_nosync(vcpu);
    Ok(())
}

/// `XEN_DOMCTL_gdbsx_unpausevcpu`: takes one such pause back. `EINVAL` if there is none.
pub(super) fn unpause(domain: &Domain, op: &DomctlGdbsxPauseunpVcpu) -> Result<(), Errno> {
    stopped(domain)?;
    let vcpu = find(domain, op.vcpu, Errno::EINVAL)?;
    {
        let mut control = domain.control.lock();
        let pauses = control.vcpu_pauses.get_mut(&op.vcpu).ok_or(Errno::EINVAL)?;
        *pauses = pauses.checked_sub(1).ok_or(Errno::EINVAL)?;
        if *pauses == 0 {
            control.vcpu_pauses.remove(&op.vcpu);
        }
    }
    sched::unpause(vcpu);
    Ok(())
}

/// `XEN_DOMCTL_gdbsx_domstatus`: whether the tools paused the domain. No vCPU ever has an event for the debugger.
pub(super) fn status(domain: &Domain) -> DomctlGdbsxDomstatus {
    DomctlGdbsxDomstatus {
        paused: stopped(domain).is_ok().into(),
        vcpu_id: NO_VCPU,
        ..DomctlGdbsxDomstatus::default()
    }
}

/// The table under which a debugger's address is looked up: what it names (an L3 entry of a 32-bit guest, never used here),
/// else what vCPU 0 runs on.
fn table(domain: &Domain) -> Option<Mfn> {
    let vcpu = domain.vcpu(0).ok()?;
    vcpu.pv().state().tables.kernel()
}

/// `XEN_DOMCTL_gdbsx_guestmemio`: copies between a domain's memory and the caller's, as far as both are there; what is left
/// comes back. Only frames that the domain owns and that may be written are written.
pub(super) fn memory(
    cx: &Context,
    domain: &Arc<Domain>,
    mut op: DomctlGdbsxMemio,
) -> Result<DomctlGdbsxMemio, Errno> {
    if Arc::ptr_eq(domain, &cx.domain) {
        return Err(Errno::EINVAL);
    }
    let l4 = table(domain).ok_or(Errno::EINVAL)?;
    // The domain that owns the table keeps it: it is looked at only under a reference.
    let _held = mm::get_page(l4, domain.id)?;
    let wanted = op.len.min(MAX_BYTES);
    let mut done = 0;
    while done < wanted {
        let Some(step) = copy(domain, l4, &op, done, wanted - done)? else {
            break;
        };
        done += step;
    }
    op.remain = op.len - done;
    Ok(op)
}

/// Copies up to the end of a page; none if the guest has nothing there.
fn copy(
    domain: &Domain,
    l4: Mfn,
    op: &DomctlGdbsxMemio,
    done: u32,
    left: u32,
) -> Result<Option<u32>, Errno> {
    let Some(va) = op.gva.checked_add(done.into()) else {
        return Ok(None);
    };
    let Some(mfn) = mm::translate(l4, GuestVa::new(va)) else {
        return Ok(None);
    };
    let within = (va as usize) % PAGE_BYTES;
    let len = (PAGE_BYTES - within).min(left as usize).min(CHUNK);
    let caller = GuestHandle::<u8>::new(op.uva.checked_add(done.into()).ok_or(Errno::EFAULT)?);
    let mut bytes = [0; CHUNK];
    let bytes = bytes.get_mut(..len).unwrap_or_default();
    if op.gwr != 0 {
        let Ok(page) = mm::get_page_and_type(mfn, domain, PageType::Writable) else {
            return Ok(None);
        };
        guest::read_bytes(caller, bytes)?;
        page.frame().write(within, bytes);
    } else {
        let Ok(page) = mm::get_page(mfn, domain.id) else {
            return Ok(None);
        };
        page.frame().read(within, bytes);
        guest::write_bytes(caller, bytes)?;
    }
    Ok(Some(len as u32))
}
