//! XENMEM_increase_reservation, decrease_reservation, populate_physmap: pages by extents of 2^order. The result is the
//! number of extents done; errors only stop it.

use arch::addr::{Gfn, Mfn};
use hypercall_abi::memory::{MemoryReservation, XENMEMF_POPULATE_ON_DEMAND, XenMem};
use hypercall_abi::{Errno, GuestHandle};

use super::{Call, MOST_EXTENTS, subject};
use crate::domain::{Context, Domain};
use crate::fail::Return;
use crate::guest;
use crate::host::host;
use crate::mm::buddy::MAX_ORDER;
use crate::mm::frame_table::get_page;
use crate::mm::{AllocFlags, Constraint};

const EXACT_NODE: u32 = 1 << 17;
const VNODE: u32 = 1 << 18;

/// The largest extent a caller may ask for (XSA-158).
pub(super) fn max_order(cx: &Context) -> u32 {
    if cx.domain.privileged {
        MAX_ORDER
    } else if cx.domain.mem.may_control_caches(&cx.domain) {
        11
    } else {
        9
    }
}

/// The node that `mem_flags` names, if it names one: it is stored plus one, and 0 is "any".
fn named_node(mem_flags: u32) -> Option<u8> {
    (mem_flags >> 8 & 0xff).checked_sub(1).map(|n| n as u8)
}

/// Where `mem_flags` wants pages for `domain`. A virtual node, which anybody may name, is one of the domain's own and
/// means the physical node that the tools gave it. `EINVAL` for one that it has not, else as [`placement`].
fn placement_for(cx: &Context, domain: &Domain, mem_flags: u32) -> Result<Constraint, Errno> {
    if mem_flags & VNODE == 0 {
        return placement(cx, mem_flags);
    }
    let mut place = within(mem_flags)?;
    // A domain without a topology gets its memory from anywhere.
    let topology = domain.control.lock().vnuma.clone();
    if let Some(topology) = topology {
        let physical = named_node(mem_flags).and_then(|n| topology.physical(n));
        place.node = Some(physical.ok_or(Errno::EINVAL)?);
        place.exact_node = mem_flags & EXACT_NODE != 0;
    }
    Ok(place)
}

/// Where `mem_flags` wants pages on the machine. `EINVAL` for impossible wishes; unprivileged callers cannot insist on a
/// node (XSA-231: the node is checked before it indexes anything).
pub(super) fn placement(cx: &Context, mem_flags: u32) -> Result<Constraint, Errno> {
    let mut place = within(mem_flags)?;
    let Some(node) = named_node(mem_flags) else {
        return Ok(place);
    };
    if cx.domain.privileged {
        if usize::from(node) >= crate::numa::MAX_NODES {
            return Err(Errno::EINVAL);
        }
        place.node = Some(node);
        place.exact_node = mem_flags & EXACT_NODE != 0;
    } else if mem_flags & EXACT_NODE != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(place)
}

/// How far up `mem_flags` wants pages at most. `EINVAL` for the first page.
fn within(mem_flags: u32) -> Result<Constraint, Errno> {
    let mut place = Constraint::default();
    let bits = mem_flags & 0xff;
    let frames = host().mm.frames.len();
    let machine_bits = u64::BITS - frames.saturating_sub(1).leading_zeros() + 12;
    if bits != 0 && bits < machine_bits {
        if bits <= 12 {
            return Err(Errno::EINVAL);
        }
        place.address_bits = bits;
    }
    Ok(place)
}

pub(super) fn adjust(cx: &Context, call: &Call) -> Return {
    // Whatever is wrong, the answer is how many extents were done.
    let refused = Ok(call.start);
    let Ok(request) = guest::read::<MemoryReservation>(call.handle(), 0) else {
        return refused;
    };
    if request.nr_extents > MOST_EXTENTS || call.start >= request.nr_extents {
        return refused;
    }
    let Ok(domain) = subject(cx, call.op, request.domid) else {
        return refused;
    };
    let Ok(place) = placement_for(cx, &domain, request.mem_flags) else {
        return refused;
    };
    // Populate-on-demand means nothing to a PV domain's memory, and is refused to oneself.
    let on_demand =
        call.op == XenMem::POPULATE_PHYSMAP && request.mem_flags & XENMEMF_POPULATE_ON_DEMAND != 0;
    if request.extent_order > max_order(cx) || on_demand && domain.id == cx.domain.id {
        return refused;
    }
    let list = request.extent_start;
    if call.op == XenMem::INCREASE_RESERVATION && list.is_null() && request.extent_order != 0 {
        return refused;
    }
    let budget = crate::mm::budget();
    let how = AllocFlags {
        place,
        builder: false,
    };
    for done in call.start..request.nr_extents {
        if done != call.start && budget.exhausted() {
            return Err(call.resume(done));
        }
        let order = request.extent_order;
        let result = match call.op {
            XenMem::DECREASE_RESERVATION => decrease(&domain, list, done, order),
            XenMem::INCREASE_RESERVATION => increase(&domain, list, done, order, how),
            _ if on_demand => Ok(()),
            _ => populate(&domain, list, done, order, how),
        };
        if result.is_err() {
            return Ok(done);
        }
        // Clearing a page costs about eight units.
        let _ = budget.spend(8u32.checked_shl(order).unwrap_or(u32::MAX).max(8));
    }
    Ok(request.nr_extents)
}

fn increase(
    domain: &Domain,
    list: GuestHandle<u64>,
    index: u64,
    order: u32,
    how: AllocFlags,
) -> Result<(), Errno> {
    let mfn = host().mm.alloc_domain_pages(domain, order, how)?;
    if !list.is_null() {
        guest::write(list, index, &mfn.get())?;
    }
    Ok(())
}

fn populate(
    domain: &Domain,
    list: GuestHandle<u64>,
    index: u64,
    order: u32,
    how: AllocFlags,
) -> Result<(), Errno> {
    let gfn = guest::read(list, index)?;
    let mfn = host().mm.alloc_domain_pages(domain, order, how)?;
    describe(mfn, gfn, order);
    guest::write(list, index, &mfn.get())
}

/// Says in the machine-to-phys table what a new extent is to its owner.
pub(super) fn describe(mfn: Mfn, gfn: u64, order: u32) {
    for i in 0..1u64 << order {
        host()
            .mm
            .m2p
            .set(mfn.offset(i), Gfn::new(gfn.wrapping_add(i)));
    }
}

fn decrease(domain: &Domain, list: GuestHandle<u64>, index: u64, order: u32) -> Result<(), Errno> {
    let first: u64 = guest::read(list, index)?;
    for i in 0..1u64 << order {
        remove_page(domain, Mfn::new(first.wrapping_add(i)))?;
    }
    Ok(())
}

/// Gives a page of `domain`'s up. It stays while it is pinned or mapped somewhere: nothing is unpinned behind the
/// guest's back (XSA-252).
fn remove_page(domain: &Domain, mfn: Mfn) -> Result<(), Errno> {
    let mm = &host().mm;
    let page = get_page(mfn, domain.id)?;
    if page.info().is_shared() {
        return Err(Errno::EINVAL);
    }
    mm.m2p.clear(mfn);
    mm.release_allocation(&page);
    Ok(())
}
