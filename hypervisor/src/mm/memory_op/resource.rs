//! XENMEM_acquire_resource: frames of another domain's grant table for a toolstack to map.

use arch::addr::Mfn;
use hypercall_abi::memory::{MemAcquireResource, MemResource};
use hypercall_abi::xen::Hypercall;
use hypercall_abi::{Errno, GuestHandle};

use super::{Call, MOST_EXTENTS};
use crate::domain::{Context, Domain, DomainId};
use crate::fail::Return;
use crate::grant_table;
use crate::guest;
use crate::host::host;
use crate::preempt::Budget;
use crate::xsm;

/// Frames fetched at a time.
const STRIDE: usize = 32;

pub(super) fn acquire(cx: &Context, call: &Call) -> Return {
    let handle: GuestHandle<MemAcquireResource> = call.handle();
    let mut request = guest::read(handle, 0)?;
    let count = u64::from(request.nr_frames);
    let end = request.frame.checked_add(count).ok_or(Errno::EINVAL)?;
    if request.pad != 0 || request.frame >> 32 != 0 || end >> 32 != 0 {
        return Err(Errno::EINVAL.into());
    }
    if request.domid.0 == cx.domain.id.0 || request.domid == hypercall_abi::xen::DomId::SELF {
        return Err(Errno::EPERM.into());
    }
    let domain = host().domains.get(DomainId(request.domid.0))?;
    xsm::check(&cx.domain, Hypercall::MEMORY_OP, call.op.0, Some(&domain))?;
    let most = match MemResource(request.r#type) {
        MemResource::GRANT_TABLE => grant_table::resource_max_frames(&domain, request.id),
        // A PV domain has neither.
        MemResource::IOREQ_SERVER | MemResource::VMTRACE_BUF => 0,
        _ => return Err(Errno::EOPNOTSUPP.into()),
    };
    if most == 0 {
        return Err(Errno::EINVAL.into());
    }
    if request.frame_list.is_null() {
        if count != 0 || call.start != 0 {
            return Err(Errno::EINVAL.into());
        }
        request.nr_frames = most;
        guest::write(handle, 0, &request)?;
        return Ok(0);
    }
    if call.start >= count || count > MOST_EXTENTS {
        return Err(Errno::EINVAL.into());
    }
    fetch(call, &domain, &request)
}

fn fetch(call: &Call, domain: &Domain, request: &MemAcquireResource) -> Return {
    let budget = Budget::new();
    let count = u64::from(request.nr_frames);
    let mut done = call.start;
    while done < count {
        if done != call.start && budget.exhausted() {
            return Err(call.resume(done));
        }
        let mut frames = [Mfn::INVALID; STRIDE];
        let todo = (count - done).min(STRIDE as u64);
        let frames = &mut frames[..todo as usize];
        grant_table::acquire_resource(domain, request.id, request.frame + done, frames)?;
        for (i, mfn) in frames.iter().enumerate() {
            guest::write(request.frame_list, done + i as u64, &mfn.get())?;
        }
        done += todo;
        let _ = budget.spend(STRIDE as u32);
    }
    Ok(0)
}
