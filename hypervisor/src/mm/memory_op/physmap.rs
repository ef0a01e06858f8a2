//! XENMEM_add_to_physmap and its kin change a translated guest's physical map. A PV guest has none, and Xen answers
//! it `EACCES`; its shared pages are found through start_info, setup_table and acquire_resource.

use hypercall_abi::Errno;
use hypercall_abi::memory::{AddToPhysmap, AddToPhysmapBatch, MapSpace, RemoveFromPhysmap};

use super::{Call, subject};
use crate::domain::{Context, Domain, Kind};
use crate::fail::Return;
use crate::guest;

/// Refuses domains without a physical map of their own.
fn translated(domain: &Domain) -> Result<(), Errno> {
    match domain.kind {
        Kind::Pv(_) => Err(Errno::EACCES),
    }
}

pub(super) fn add(cx: &Context, call: &Call) -> Return {
    if call.start > u64::from(u16::MAX) {
        return Err(Errno::EDOM.into());
    }
    let request: AddToPhysmap = guest::read(call.handle(), 0)?;
    if request.space == MapSpace::GMFN_FOREIGN {
        return Err(Errno::ENOSYS.into());
    }
    translated(&*any(cx, call, request.domid)?)?;
    Err(Errno::ENOSYS.into())
}

pub(super) fn add_batch(cx: &Context, call: &Call) -> Return {
    if call.start > u64::from(u16::MAX) {
        return Err(Errno::EDOM.into());
    }
    let request: AddToPhysmapBatch = guest::read(call.handle(), 0)?;
    if MapSpace(request.space.into()) == MapSpace::GMFN_RANGE {
        return Err(Errno::EOPNOTSUPP.into());
    }
    translated(&*any(cx, call, request.domid)?)?;
    Err(Errno::ENOSYS.into())
}

pub(super) fn remove(cx: &Context, call: &Call) -> Return {
    call.fresh(Errno::EINVAL)?;
    let request: RemoveFromPhysmap = guest::read(call.handle(), 0)?;
    translated(&*any(cx, call, request.domid)?)?;
    Err(Errno::ENOSYS.into())
}

/// The domain named, whoever asks: Xen looks at its kind before the caller's rights, and so answers `EACCES` to all.
fn any(
    cx: &Context,
    call: &Call,
    id: hypercall_abi::xen::DomId,
) -> Result<alloc::sync::Arc<Domain>, Errno> {
    match subject(cx, call.op, id) {
        Err(Errno::EPERM) => Err(Errno::EACCES),
        other => other,
    }
}
