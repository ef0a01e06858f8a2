//! `HYPERVISOR_memory_op` (Xen public/memory.h).
//!
//! The command word holds the operation in its low six bits and, in continuations, the first extent to do above them.

mod exchange;
mod maps;
mod physmap;
mod reservation;
mod resource;

use alloc::sync::Arc;

use hypercall_abi::memory::{MemoryDomain, MemoryReservation, PodTarget, XenMem};
use hypercall_abi::xen::{DomId, Hypercall, SharedInfo};
use hypercall_abi::{Errno, GuestHandle};

use crate::domain::{Context, Domain, DomainId};
use crate::fail::{Args, Fail, Return};
use crate::guest;
use crate::host::host;
use crate::xsm;

/// Bits of the command word that name the operation (`MEMOP_EXTENT_SHIFT`).
const EXTENT_SHIFT: u32 = 6;
/// Most extents whose number a continuation can hold.
const MOST_EXTENTS: u64 = (u32::MAX >> EXTENT_SHIFT) as u64;

/// A call's arguments, taken apart.
struct Call {
    /// The operation.
    op: XenMem,
    /// Extents done by earlier parts of it.
    start: u64,
    /// Where its structure is alleged to be.
    arg: u64,
}

impl Call {
    fn handle<T>(&self) -> GuestHandle<T> {
        GuestHandle::new(self.arg)
    }

    /// The same call again, from extent `done`.
    fn resume(&self, done: u64) -> Fail {
        Fail::Continue(Args([
            u64::from(self.op.0) | done << EXTENT_SHIFT,
            self.arg,
            0,
            0,
            0,
            0,
        ]))
    }

    /// `error` if this claims to be a continuation of what never is continued so.
    fn fresh(&self, error: Errno) -> Result<(), Errno> {
        if self.start == 0 { Ok(()) } else { Err(error) }
    }
}

/// The domain a guest names (itself by number or `DOMID_SELF`). `ESRCH` if there is none, `EPERM` if the caller may not
/// manage its memory.
fn subject(cx: &Context, op: XenMem, id: DomId) -> Result<Arc<Domain>, Errno> {
    if id == DomId::SELF || id.0 == cx.domain.id.0 {
        return Ok(cx.domain.clone());
    }
    let domain = host().domains.get(DomainId(id.0))?;
    xsm::check(&cx.domain, Hypercall::MEMORY_OP, op.0, Some(&domain))?;
    Ok(domain)
}

/// `HYPERVISOR_memory_op(command, argument)`.
pub fn do_memory_op(cx: &Context, args: Args) -> Return {
    let [command, arg, ..] = args.0;
    let call = Call {
        op: XenMem((command & ((1 << EXTENT_SHIFT) - 1)) as u32),
        start: command >> EXTENT_SHIFT,
        arg,
    };
    match call.op {
        XenMem::INCREASE_RESERVATION | XenMem::DECREASE_RESERVATION | XenMem::POPULATE_PHYSMAP => {
            reservation::adjust(cx, &call)
        }
        XenMem::EXCHANGE => {
            call.fresh(Errno::EINVAL)?;
            exchange::exchange(cx, &call)
        }
        XenMem::MAXIMUM_RAM_PAGE => {
            call.fresh(Errno::EINVAL)?;
            Ok(host().mm.frames.len())
        }
        XenMem::CURRENT_RESERVATION | XenMem::MAXIMUM_RESERVATION | XenMem::MAXIMUM_GPFN => {
            call.fresh(Errno::EINVAL)?;
            let domain: MemoryDomain = guest::read(call.handle(), 0)?;
            let domain = subject(cx, call.op, domain.domid)?;
            Ok(match call.op {
                XenMem::CURRENT_RESERVATION => domain.mem.tot_pages(),
                XenMem::MAXIMUM_RESERVATION => domain.mem.max_pages(),
                _ => maximum_gpfn(&domain),
            })
        }
        XenMem::ADD_TO_PHYSMAP => physmap::add(cx, &call),
        XenMem::ADD_TO_PHYSMAP_BATCH => physmap::add_batch(cx, &call),
        XenMem::REMOVE_FROM_PHYSMAP => physmap::remove(cx, &call),
        XenMem::CLAIM_PAGES => claim(cx, &call),
        XenMem::GET_VNUMAINFO => maps::vnuma(cx, &call),
        XenMem::RESERVED_DEVICE_MEMORY_MAP => maps::reserved_device_memory(&call),
        XenMem::ACQUIRE_RESOURCE => resource::acquire(cx, &call),
        XenMem::ACCESS_OP => Err(Errno::EINVAL.into()),
        _ => {
            call.fresh(Errno::ENOSYS)?;
            match call.op {
                XenMem::SET_MEMORY_MAP => maps::set(cx, &call),
                XenMem::MEMORY_MAP => maps::get(cx, &call),
                XenMem::MACHINE_MEMORY_MAP => maps::machine(cx, &call),
                XenMem::MACHPHYS_MAPPING => maps::machphys_mapping(cx, &call),
                XenMem::MACHPHYS_MFN_LIST => maps::machphys_mfn_list(&call),
                XenMem::MACHPHYS_COMPAT_MFN_LIST => Err(Errno::EOPNOTSUPP.into()),
                XenMem::SET_POD_TARGET | XenMem::GET_POD_TARGET => {
                    let target: PodTarget = guest::read(call.handle(), 0)?;
                    let domain = subject(cx, call.op, target.domid)?;
                    xsm::check(&cx.domain, Hypercall::MEMORY_OP, call.op.0, Some(&domain))?;
                    // Populate-on-demand is for HVM domains.
                    Err(Errno::EINVAL.into())
                }
                XenMem::GET_SHARING_FREED_PAGES | XenMem::GET_SHARING_SHARED_PAGES => Ok(0),
                _ => Err(Errno::ENOSYS.into()),
            }
        }
    }
}

/// The highest pseudo-physical frame: what the guest says in its shared_info (`arch.max_pfn` counts frames).
fn maximum_gpfn(domain: &Domain) -> u64 {
    const MAX_PFN: usize = core::mem::offset_of!(SharedInfo, arch)
        + core::mem::offset_of!(hypercall_abi::arch_x86::ArchSharedInfo, max_pfn);
    domain.shared_info.read_u64(MAX_PFN).saturating_sub(1)
}

/// XENMEM_claim_pages.
fn claim(cx: &Context, call: &Call) -> Return {
    call.fresh(Errno::EINVAL)?;
    let claim: MemoryReservation = guest::read(call.handle(), 0)?;
    if !claim.extent_start.is_null() || claim.extent_order != 0 || claim.mem_flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let domain = host()
        .domains
        .get(DomainId(claim.domid.0))
        .map_err(|_| Errno::EINVAL)?;
    xsm::check(&cx.domain, Hypercall::MEMORY_OP, call.op.0, Some(&domain))?;
    host().mm.claim(&domain, claim.nr_extents)?;
    Ok(0)
}
