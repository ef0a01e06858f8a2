//! `HYPERVISOR_update_va_mapping` and the emulation of a guest's own writes to its L1 tables: one entry, named by the
//! virtual address that it maps or at which it lies.

use arch::addr::{GuestVa, Mfn};
use arch::guest::range_ok;
use hypercall_abi::xen::{
    Hypercall, UVMF_ALL, UVMF_FLUSHTYPE_MASK, UVMF_INVLPG, UVMF_LOCAL, UVMF_TLB_FLUSH,
};
use hypercall_abi::{Errno, GuestHandle};

use super::entry::{Mode, set_l1};
use super::frame_table::raw;
use super::mmu_update::FrameOwner;
use super::page_type::{PageType, TableLock};
use super::pte::Pte;
use super::{tlb, walk};
use crate::domain::{Context, Domain, DomainId};
use crate::fail::{Args, Return};
use crate::guest;
use crate::host::host;

/// `HYPERVISOR_update_va_mapping(va, value, flags)`.
pub fn do_update_va_mapping(cx: &Context, args: Args) -> Return {
    let [va, value, flags, ..] = args.0;
    update(cx, va, Pte(value), cx.domain.id)?;
    flush(cx, va, flags)
}

/// `HYPERVISOR_update_va_mapping_otherdomain(va, value, flags, domid)`.
pub fn do_update_va_mapping_otherdomain(cx: &Context, args: Args) -> Return {
    let [va, value, flags, domid, ..] = args.0;
    let owner = FrameOwner::resolve(cx, Hypercall::UPDATE_VA_MAPPING_OTHERDOMAIN, domid as u16)?;
    update(cx, va, Pte(value), owner.id(cx))?;
    flush(cx, va, flags)
}

#[inline]
fn update(cx: &Context, va: u64, value: Pte, frame_owner: DomainId) -> Result<(), Errno> {
    let l4 = walk::current_table(cx).ok_or(Errno::EINVAL)?;
    let (l1, index) = walk::walk(l4, GuestVa::new(va)).ok_or(Errno::EINVAL)?;
    set_in_table(&cx.domain, l1, index, value, Mode::Plain, frame_owner)
}

/// Changes an entry of what may or may not be a valid L1 of `domain`'s.
#[inline]
pub(super) fn set_in_table(
    domain: &Domain,
    l1: Mfn,
    index: usize,
    value: Pte,
    mode: Mode,
    frame_owner: DomainId,
) -> Result<(), Errno> {
    let page = host().mm.frames.ram(l1).ok_or(Errno::EINVAL)?;
    let _lock = TableLock::new(page);
    if !page.is_valid(PageType::L1) || page.owner() != domain.id {
        return Err(Errno::EINVAL);
    }
    set_l1(raw(l1), index, value, mode, domain, frame_owner)
}

#[inline]
fn flush(cx: &Context, va: u64, flags: u64) -> Return {
    let page = match flags & UVMF_FLUSHTYPE_MASK {
        UVMF_TLB_FLUSH => None,
        UVMF_INVLPG if range_ok(GuestVa::new(va), 1) => Some(va),
        _ => return Ok(0),
    };
    match flags & !UVMF_FLUSHTYPE_MASK {
        UVMF_LOCAL => tlb::flush_local(page),
        UVMF_ALL => tlb::flush_mask(cx.domain.mem.dirty_cpus.words(), page),
        bitmap => {
            let mut bytes = [0u8; 32];
            let wanted = cx.domain.vcpus().len().div_ceil(8).min(bytes.len());
            guest::read_bytes(GuestHandle::new(bitmap), &mut bytes[..wanted])?;
            if bytes.iter().any(|&b| b != 0) {
                tlb::flush_mask(cx.domain.mem.dirty_cpus.words(), page);
            }
        }
    }
    Ok(0)
}

/// A guest kernel's write to an entry of one of its L1 tables through the read-only mapping that it has of it:
/// the entry at virtual address `va` (8-byte aligned) becomes `new` if it is `old` still; false if it is not.
/// `EINVAL` if that is no mapping of a valid L1 of the caller's; other errors as for mmu_update.
pub fn emulate_pte_write(cx: &Context, va: GuestVa, old: u64, new: u64) -> Result<bool, Errno> {
    if va.get() & 7 != 0 {
        return Err(Errno::EINVAL);
    }
    let l4 = walk::current_table(cx).ok_or(Errno::EINVAL)?;
    let l1 = walk::translate(l4, va).ok_or(Errno::EINVAL)?;
    let index = (va.get() as usize & 4095) / 8;
    let mode = Mode::Exchange(Pte(old));
    match set_in_table(&cx.domain, l1, index, Pte(new), mode, cx.domain.id) {
        Ok(()) => Ok(true),
        Err(Errno::EAGAIN) => Ok(false),
        Err(errno) => Err(errno),
    }
}
