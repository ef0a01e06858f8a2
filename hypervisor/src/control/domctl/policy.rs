//! A domain's CPU policy, read and set by the tools.

use alloc::sync::Arc;

use hypercall_abi::Errno;
use hypercall_abi::domctl::DomctlCpuPolicy;

use crate::control::DomainPolicy;
use crate::control::domain_policy::Refused;
use crate::control::policy::{self, Policy};
use crate::domain::Domain;
use crate::guest;
use crate::time::now;

/// `XEN_DOMCTL_get_cpu_policy`: what the domain sees of CPUID, or without arrays how many leaves there can be; errors as for
/// the sysctl of the same name.
pub(super) fn get(domain: &Domain, mut op: DomctlCpuPolicy) -> Result<DomctlCpuPolicy, Errno> {
    op.nr_leaves = if op.leaves.is_null() {
        policy::MAX_LEAVES
    } else {
        // Not under the lock: guest memory is written.
        let own = domain.cpu_policy.read().clone();
        let view = own.as_deref().map_or(Policy::Pv, Policy::Own);
        view.write_leaves(op.leaves, op.nr_leaves)?
    };
    op.nr_msrs = if op.msrs.is_null() {
        policy::MAX_MSRS
    } else {
        policy::write_msrs(op.msrs, op.nr_msrs)?
    };
    Ok(op)
}

/// `XEN_DOMCTL_set_cpu_policy`, before the domain runs for the first time. `EEXIST` afterwards, `E2BIG`, `EFAULT`, else as
/// [`DomainPolicy::merged`]; what was at fault comes back with the errno.
pub(super) fn set(domain: &Arc<Domain>, op: &mut DomctlCpuPolicy) -> Result<(), Errno> {
    let now = now();
    if domain
        .vcpus()
        .iter()
        .any(|v| v.sched.info(now).cpu_time > 0)
    {
        return Err(Errno::EEXIST);
    }
    let (leaves, msrs) = (op.nr_leaves as usize, op.nr_msrs as usize);
    let result = guest::read_array(op.leaves, leaves, policy::MAX_LEAVES as usize)
        .and_then(|leaves| {
            let most = policy::MAX_MSRS as usize;
            Ok((leaves, guest::read_array(op.msrs, msrs, most)?))
        })
        .map_err(Refused::from)
        .and_then(|(leaves, msrs)| {
            let before = domain.cpu_policy.read().clone();
            DomainPolicy::merged(before.as_deref(), &leaves, &msrs)
        });
    match result {
        Ok(policy) => {
            *domain.cpu_policy.write() = Some(Arc::new(policy));
            Ok(())
        }
        Err(refused) => {
            log::info!(
                "d{}: CPU policy refused: {:?} at leaf {:#x} subleaf {:#x}, MSR {:#x}",
                domain.id.0,
                refused.errno,
                refused.leaf,
                refused.subleaf,
                refused.msr
            );
            op.err_leaf = refused.leaf;
            op.err_subleaf = refused.subleaf;
            op.err_msr = refused.msr;
            Err(refused.errno)
        }
    }
}
