//! A domain's share of CPU time, and the nodes its memory comes from.

use hypercall_abi::Errno;
use hypercall_abi::domctl::*;

use crate::control::bitmap;
use crate::domain::Domain;
use crate::host::host;
use crate::sched::{CpuMask, pool};

fn nodes() -> CpuMask {
    CpuMask::first_n(host().mm.buddy.nodes().max(1))
}

/// `XEN_DOMCTL_getnodeaffinity`: all nodes unless others were set.
pub(super) fn node_affinity(domain: &Domain, op: &DomctlNodeaffinity) -> Result<(), Errno> {
    let set = match domain.mem.nodes() {
        0 => nodes(),
        set => CpuMask::from_bytes(&set.to_le_bytes()),
    };
    bitmap::write(&op.nodemap, set, nodes().count())
}

/// `XEN_DOMCTL_setnodeaffinity`: memory that the domain gets from now on comes from these nodes as long as they have some.
/// `EINVAL` if it leaves no node.
pub(super) fn set_node_affinity(domain: &Domain, op: &DomctlNodeaffinity) -> Result<(), Errno> {
    let wanted = bitmap::read(&op.nodemap)?.and(&nodes());
    if wanted.is_empty() {
        return Err(Errno::EINVAL);
    }
    // There are at most 64 nodes.
    let nodes = wanted.iter().fold(0, |set, node| set | 1 << (node % 64));
    domain.mem.set_nodes(nodes);
    Ok(())
}

/// `XEN_DOMCTL_scheduler_op`: weight and cap. `EINVAL` for another scheduler than that of the domain's pool, for another
/// command (neither scheduler has parameters of vCPUs), or (credit2) for a cap above what the domain's vCPUs could use.
pub(super) fn scheduler(
    domain: &Domain,
    mut op: DomctlSchedulerOp,
) -> Result<DomctlSchedulerOp, Errno> {
    if op.sched_id != pool::of(domain)?.scheduler {
        return Err(Errno::EINVAL);
    }
    let credit = op.sched_id == Scheduler::CREDIT;
    match op.cmd {
        DomctlSchedOp::PUTINFO => {
            // Both schedulers' parameters are laid out alike; in credit all ones leave the cap as it is.
            let new = op.u.credit2();
            let keep_cap = credit && new.cap == u16::MAX;
            if !credit && usize::from(new.cap) > 100 * domain.vcpus().len() {
                return Err(Errno::EINVAL);
            }
            if new.weight != 0 {
                domain.sched.set_weight(new.weight);
            }
            if !keep_cap {
                domain.sched.set_cap(new.cap);
            }
        }
        DomctlSchedOp::GETINFO => op.u.set_credit2(DomctlSchedCredit2 {
            weight: domain.sched.weight(),
            cap: domain.sched.cap(),
        }),
        _ => return Err(Errno::EINVAL),
    }
    Ok(op)
}
