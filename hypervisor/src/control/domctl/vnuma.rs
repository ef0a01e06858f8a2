//! A domain's virtual NUMA topology: the tools set it, the guest reads it (XENMEM_get_vnumainfo).

use alloc::sync::Arc;
use alloc::vec::Vec;

use hypercall_abi::domctl::DomctlVnuma;
use hypercall_abi::memory::{Vmemrange, VnumaTopologyInfo};
use hypercall_abi::{Errno, GuestHandle};

use crate::domain::Domain;
use crate::guest;

/// Bytes that one of the arrays may have: a page, as in Xen.
const MAX_BYTES: usize = 4096;
/// Physical nodes that can be named.
const MAX_NODES: u32 = 64;

/// A topology.
#[derive(Debug)]
pub struct Vnuma {
    nodes: u32,
    /// The physical node of each.
    physical: Vec<u32>,
    distances: Vec<u32>,
    vcpu_nodes: Vec<u32>,
    ranges: Vec<Vmemrange>,
}

impl Vnuma {
    /// The physical node where a virtual one has its memory; none if there is no such virtual node.
    pub fn physical(&self, node: u8) -> Option<u8> {
        let physical = *self.physical.get(usize::from(node))?;
        u8::try_from(physical).ok()
    }
}

fn array<T>(from: GuestHandle<T>, count: usize) -> Result<Vec<T>, Errno>
where
    T: zerocopy::FromBytes + zerocopy::IntoBytes,
{
    guest::read_array(from, count, MAX_BYTES / size_of::<T>())
}

/// `XEN_DOMCTL_setvnumainfo`. `EINVAL` for an empty topology, another number of vCPUs than the domain's or unknown flags,
/// `E2BIG` for too much of anything or a node that is not there, `EFAULT`.
pub(super) fn set(domain: &Domain, op: &DomctlVnuma) -> Result<(), Errno> {
    let vcpus = domain.vcpus().len();
    if op.nr_vcpus as usize != vcpus
        || op.pad != 0
        || vcpus == 0
        || op.nr_vnodes == 0
        || op.nr_vmemranges == 0
    {
        return Err(Errno::EINVAL);
    }
    let nodes = op.nr_vnodes as usize;
    let topology = Vnuma {
        nodes: op.nr_vnodes,
        physical: array(op.vnode_to_pnode, nodes)?,
        distances: array(op.vdistance, nodes.saturating_mul(nodes))?,
        ranges: array(op.vmemrange, op.nr_vmemranges as usize)?,
        vcpu_nodes: array(op.vcpu_to_vnode, vcpus)?,
    };
    if topology.vcpu_nodes.iter().any(|n| *n >= op.nr_vnodes)
        || topology.physical.iter().any(|n| *n >= MAX_NODES)
    {
        return Err(Errno::E2BIG);
    }
    if topology.ranges.iter().any(|r| r.flags != 0) {
        return Err(Errno::EINVAL);
    }
    domain.control.lock().vnuma = Some(Arc::new(topology));
    Ok(())
}

/// XENMEM_get_vnumainfo: true if all was written; else the request holds the sizes to come back with. `EOPNOTSUPP` without
/// a topology, `EFAULT`.
pub(crate) fn read(domain: &Domain, request: &mut VnumaTopologyInfo) -> Result<bool, Errno> {
    // Held by reference: a guest that asks allocates nothing.
    let topology = domain.control.lock().vnuma.clone();
    let topology = topology.ok_or(Errno::EOPNOTSUPP)?;
    let asked = (request.nr_vnodes, request.nr_vcpus, request.nr_vmemranges);
    request.nr_vnodes = topology.nodes;
    request.nr_vcpus = topology.vcpu_nodes.len() as u32;
    request.nr_vmemranges = topology.ranges.len() as u32;
    if asked.0 < request.nr_vnodes || asked.1 < request.nr_vcpus || asked.2 < request.nr_vmemranges
    {
        return Ok(false);
    }
    for (i, distance) in (0..).zip(&topology.distances) {
        guest::write(request.vdistance.h(), i, distance)?;
    }
    for (i, range) in (0..).zip(&topology.ranges) {
        guest::write(request.vmemrange.h(), i, range)?;
    }
    for (i, node) in (0..).zip(&topology.vcpu_nodes) {
        guest::write(request.vcpu_to_vnode.h(), i, node)?;
    }
    Ok(true)
}
