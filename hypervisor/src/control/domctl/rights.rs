//! A domain's rights to device memory, ports and interrupts. Nobody can give what they do not have.

use alloc::sync::Arc;

use hypercall_abi::Errno;
use hypercall_abi::domctl::*;

use crate::domain::{Context, Domain};
use crate::host::host;

/// `XEN_DOMCTL_iomem_permission`. `EINVAL` for a bad range, `EPERM` for what the hypervisor keeps for itself.
pub(super) fn memory(domain: &Domain, op: &DomctlIomemPermission) -> Result<(), Errno> {
    let last = op
        .nr_mfns
        .checked_sub(1)
        .and_then(|more| op.first_mfn.checked_add(more))
        .ok_or(Errno::EINVAL)?;
    let mut kept = host().mm.denied_ranges();
    if kept.any(|r| r.start <= last && op.first_mfn < r.end) {
        return Err(Errno::EPERM);
    }
    domain
        .mem
        .permit_device(op.first_mfn, last, op.allow_access != 0)
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

/// `XEN_DOMCTL_memory_mapping`: a PV guest maps device memory by its own page tables, so this only checks. `EINVAL` for
/// numbers beyond what addresses can be.
pub(super) fn mapping(op: &DomctlMemoryMapping) -> Result<(), Errno> {
    let bits = host().mm.physical_bits().saturating_sub(12);
    let end = |first: u64| {
        op.nr_mfns
            .checked_sub(1)
            .and_then(|more| first.checked_add(more))
    };
    let (last, _) = end(op.first_mfn)
        .zip(end(op.first_gfn))
        .ok_or(Errno::EINVAL)?;
    if last.checked_shr(bits).unwrap_or(0) != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// `XEN_DOMCTL_irq_permission`. `EINVAL` for a pirq out of range, `EPERM` for one that the caller has not mapped.
pub(super) fn interrupt(
    cx: &Context,
    domain: &Arc<Domain>,
    op: &DomctlIrqPermission,
) -> Result<(), Errno> {
    if op.pirq >= host().irqs.count() {
        return Err(Errno::EINVAL);
    }
    let irq = cx.domain.irqs.irq_of(op.pirq).ok_or(Errno::EPERM)?;
    if Arc::ptr_eq(domain, &cx.domain) {
        // It owns the devices: nobody takes its interrupts from it but itself, and it does not.
        return if op.allow_access != 0 {
            Ok(())
        } else {
            Err(Errno::EOPNOTSUPP)
        };
    }
    domain.irqs.permit_irq(irq, op.allow_access != 0);
    Ok(())
}
