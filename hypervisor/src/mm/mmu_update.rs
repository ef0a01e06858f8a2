//! `HYPERVISOR_mmu_update` (Xen public/xen.h): writes to page tables and to the machine-to-phys table, in batches.

use alloc::sync::Arc;

use arch::addr::{Gfn, Mfn, PhysAddr};
use hypercall_abi::xen::{DomId, Hypercall, MmuUpdate, MmuUpdateCmd};
use hypercall_abi::{Errno, GuestHandle};

use super::entry::{Mode, set_l1, set_upper};
use super::frame_table::{get_page, raw};
use super::page_type::{Kind, PageType, TableLock, TypeError};
use super::pte::Pte;
use super::{finish_deferred, get_page_and_type, has_deferred};
use crate::domain::{Context, Domain, DomainId};
use crate::fail::{Args, Fail, Return};
use crate::guest;
use crate::host::host;
use crate::preempt::Budget;
use crate::xsm;

/// In the count argument: this is a continuation (Xen's `MMU_UPDATE_PREEMPTED`).
pub(super) const PREEMPTED: u32 = 1 << 31;

/// The domain whose frames are meant.
pub(super) enum FrameOwner {
    /// The caller.
    Caller,
    /// Another domain.
    Other(Arc<Domain>),
    /// `DOMID_IO` or `DOMID_XEN`.
    System(DomainId),
}

impl FrameOwner {
    /// Resolves a guest's claim. `ESRCH` if there is no such domain (or the caller names itself by number), `EPERM` if
    /// the caller may not use its frames.
    pub fn resolve(cx: &Context, hypercall: Hypercall, id: u16) -> Result<Self, Errno> {
        match DomId(id) {
            DomId::SELF => Ok(Self::Caller),
            DomId::IO => Ok(Self::System(DomainId::IO)),
            DomId::XEN => {
                xsm::check(&cx.domain, hypercall, 0, None)?;
                Ok(Self::System(DomainId::XEN))
            }
            _ if id == cx.domain.id.0 => Err(Errno::ESRCH),
            _ => {
                let domain = host().domains.get(DomainId(id))?;
                xsm::check(&cx.domain, hypercall, 0, Some(&domain))?;
                Ok(Self::Other(domain))
            }
        }
    }

    /// The id.
    pub fn id(&self, cx: &Context) -> DomainId {
        match self {
            Self::Caller => cx.domain.id,
            Self::Other(domain) => domain.id,
            Self::System(id) => *id,
        }
    }
}

/// Runs a batch in the manner that mmu_update and mmuext_op share: `each` handles request `index` of the caller's
/// array; `Restart` and deferred releases become continuations with Xen's encoding.
pub(super) fn batch(
    cx: &Context,
    args: Args,
    element: u64,
    mut each: impl FnMut(u64, &Budget) -> Result<(), TypeError>,
) -> Return {
    let budget = super::budget();
    let [array, count, pdone, foreign, ..] = args.0;
    let mut count = count as u32;
    if has_deferred(&cx.domain) && !finish_deferred(&cx.domain, &budget) {
        return Err(Fail::Continue(args));
    }
    if count == PREEMPTED && array == 0 {
        // Only deferred work was left; this is the result from before.
        let result = foreign as i32;
        return match Errno::from_ret(result.into()) {
            Some(errno) => Err(errno.into()),
            None => Ok(0),
        };
    }
    let pdone = GuestHandle::<u32>::new(pdone);
    let mut done_before = 0;
    if count & PREEMPTED != 0 {
        count &= !PREEMPTED;
        if !pdone.is_null() {
            done_before = guest::read(pdone, 0).unwrap_or(0);
        }
    }
    let mut done = 0;
    let result = loop {
        if done == count {
            break Ok(());
        }
        if done > 0 && (budget.exhausted() || has_deferred(&cx.domain)) {
            break Err(TypeError::Restart);
        }
        if let Err(error) = each(u64::from(done), &budget) {
            if let TypeError::Errno(errno) = error {
                refused(cx, done, errno);
            }
            break Err(error);
        }
        done += 1;
        let _ = budget.spend(1);
    };
    if !pdone.is_null() {
        // As in Xen, failing to report progress is nobody's error.
        let _ = guest::write(pdone, 0, &done_before.wrapping_add(done));
    }
    match result {
        Err(TypeError::Restart) => Err(Fail::Continue(Args([
            array.wrapping_add(u64::from(done) * element),
            u64::from((count - done) | PREEMPTED),
            args.0[2],
            foreign,
            0,
            0,
        ]))),
        result => {
            let value = match result {
                Err(TypeError::Errno(errno)) => Err(errno),
                _ => Ok(()),
            };
            if has_deferred(&cx.domain) {
                let code = value.err().map_or(0, |e| -e.0);
                return Err(Fail::Continue(Args([
                    0,
                    u64::from(PREEMPTED),
                    0,
                    code as u32 as u64,
                    0,
                    0,
                ])));
            }
            value.map(|()| 0).map_err(Fail::from)
        }
    }
}

#[cold]
fn refused(cx: &Context, request: u32, errno: Errno) {
    log::debug!(
        "d{}v{}: mmu_update or mmuext_op request {request} refused: {errno:?}",
        cx.domain.id.0,
        cx.vcpu.id
    );
}

/// The domain whose page tables are meant, if not the caller: the upper half of the argument, less one.
fn table_owner_of(cx: &Context, field: u32) -> Result<Option<Arc<Domain>>, Errno> {
    let Some(id) = field.checked_sub(1).map(|id| DomainId(id as u16)) else {
        return Ok(None);
    };
    if id == cx.domain.id {
        return Ok(None);
    }
    let domain = host().domains.get(id)?;
    xsm::check(&cx.domain, Hypercall::MMU_UPDATE, 0, Some(&domain))?;
    Ok(Some(domain))
}

/// `HYPERVISOR_mmu_update(requests, count, done, foreign domain)`.
pub fn do_mmu_update(cx: &Context, args: Args) -> Return {
    let requests = GuestHandle::<MmuUpdate>::new(args.0[0]);
    let foreign = args.0[3] as u32;
    let (mut tables_of, mut frames_of) = (None, FrameOwner::Caller);
    // A continuation that only waits for deferred work carries its result in that argument.
    if args.0[0] != 0 || args.0[1] as u32 != PREEMPTED {
        tables_of = table_owner_of(cx, foreign >> 16)?;
        frames_of = FrameOwner::resolve(cx, Hypercall::MMU_UPDATE, foreign as u16)?;
    }
    let table_owner = tables_of.as_deref().unwrap_or(&cx.domain);
    batch(cx, args, size_of::<MmuUpdate>() as u64, |index, budget| {
        let request: MmuUpdate = guest::read(requests, index)?;
        let command = MmuUpdateCmd((request.ptr & 7) as u32);
        let address = PhysAddr::new(request.ptr & !7);
        match command {
            MmuUpdateCmd::NORMAL_PT_UPDATE
            | MmuUpdateCmd::PT_UPDATE_PRESERVE_AD
            | MmuUpdateCmd::PT_UPDATE_NO_TRANSLATE => {
                let mode = if command == MmuUpdateCmd::PT_UPDATE_PRESERVE_AD {
                    Mode::KeepAccessed
                } else {
                    Mode::Plain
                };
                let frame_owner = frames_of.id(cx);
                update(
                    address,
                    Pte(request.val),
                    mode,
                    table_owner,
                    frame_owner,
                    budget,
                )
            }
            MmuUpdateCmd::MACHPHYS_UPDATE => {
                if tables_of.is_some() {
                    return Err(Errno::EPERM.into());
                }
                // The reference makes sure that the frame is the owner's (XSA-113: dropped on all paths).
                let page = get_page(address.mfn(), frames_of.id(cx))?;
                host().mm.m2p.set(page.mfn(), Gfn::new(request.val));
                Ok(())
            }
            _ => Err(Errno::ENOSYS.into()),
        }
    })
}

/// One write to whatever `address` is in: an entry of a page table in use, or plain memory.
#[inline]
fn update(
    address: PhysAddr,
    value: Pte,
    mode: Mode,
    table_owner: &Domain,
    frame_owner: DomainId,
    budget: &Budget,
) -> Result<(), TypeError> {
    let mfn: Mfn = address.mfn();
    let page = host().mm.frames.ram(mfn).ok_or(Errno::EINVAL)?;
    let index = address.page_offset() / 8;
    {
        let _lock = TableLock::new(page);
        let kind = page.kind_word();
        // A valid table is referenced by its type, which cannot go while the lock is held: no reference is needed.
        if kind.has(Kind::VALIDATED) && kind.count() > 0 && kind.ty().level().is_some() {
            if page.owner() != table_owner.id {
                return Err(Errno::EINVAL.into());
            }
            let frame = raw(mfn);
            return match kind.ty() {
                PageType::L1 => Ok(set_l1(frame, index, value, mode, table_owner, frame_owner)?),
                _ if frame_owner != table_owner.id => Err(Errno::EINVAL.into()),
                ty => set_upper(frame, index, ty as u8, value, mode, table_owner, budget),
            };
        }
    }
    let page =
        get_page_and_type(mfn, table_owner, PageType::Writable).map_err(|_| Errno::EINVAL)?;
    page.frame().write_u64(index * 8, value.0);
    Ok(())
}
