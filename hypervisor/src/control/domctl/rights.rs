//! A domain's rights to device memory, ports and interrupts. Nobody can give what they do not have.

use alloc::sync::Arc;

use hypercall_abi::Errno;
use hypercall_abi::domctl::*;

use crate::domain::{Context, Domain};
use crate::host::host;

/// `XEN_DOMCTL_iomem_permission`. What the hypervisor keeps for itself stays denied whatever is permitted here.
pub(super) fn memory(domain: &Domain, op: &DomctlIomemPermission) -> Result<(), Errno> {
    let last = op
        .nr_mfns
        .checked_sub(1)
        .and_then(|more| op.first_mfn.checked_add(more))
        .ok_or(Errno::EINVAL)?;
    domain
        .mem
        .permit_device(op.first_mfn, last, op.allow_access != 0);
    Ok(())
}

/// `XEN_DOMCTL_ioport_permission`. `EINVAL` for a bad range, `EPERM` if the caller has not all of it.
pub(super) fn ports(
    cx: &Context,
    domain: &Domain,
    op: &DomctlIoportPermission,
) -> Result<(), Errno> {
    let last = op
        .nr_ports
        .checked_sub(1)
        .and_then(|more| op.first_port.checked_add(more))
        .ok_or(Errno::EINVAL)?;
    let first = u16::try_from(op.first_port).map_err(|_| Errno::EINVAL)?;
    let last = u16::try_from(last).map_err(|_| Errno::EINVAL)?;
    if !cx.domain.irqs.ports_permitted(first, op.nr_ports as usize) {
        return Err(Errno::EPERM);
    }
    domain.irqs.permit_ports(first, last, op.allow_access != 0);
    Ok(())
}

/// `XEN_DOMCTL_irq_permission`. `EINVAL` for a pirq out of range, `EPERM` for one that the caller has not mapped. dom0
/// keeps its interrupts; other domains get theirs with device assignment, which is not here yet.
pub(super) fn interrupt(
    cx: &Context,
    domain: &Arc<Domain>,
    op: &DomctlIrqPermission,
) -> Result<(), Errno> {
    if op.pirq >= host().irqs.count() {
        return Err(Errno::EINVAL);
    }
    if cx.domain.irqs.irq_of(op.pirq).is_none() {
        return Err(Errno::EPERM);
    }
    if Arc::ptr_eq(domain, &cx.domain) && op.allow_access != 0 {
        Ok(())
    } else {
        Err(Errno::EOPNOTSUPP)
    }
}
