//! GNTTABOP_*: what guests ask of grant tables (Xen public/grant_table.h), with the results of Xen 4.17.
//!
//! Most take an array and report per element; a call that has used its budget is continued with the rest of the
//! array. GNTTABOP_cache_flush also carries where a search goes on, in the bits of the command from 12 up.

use alloc::sync::Arc;
use core::mem::offset_of;
use core::ops::Range;
use core::sync::atomic::Ordering;

use arch::addr::{GuestVa, Mfn, PAGE_BYTES, PhysAddr};
use arch::guest::range_ok;
use hypercall_abi::grant_table::{
    GNTTAB_CACHE_CLEAN, GNTTAB_CACHE_INVAL, GntStatus, GnttabCacheFlush, GnttabCopy,
    GnttabGetStatusFrames, GnttabGetVersion, GnttabMapGrantRef, GnttabOp, GnttabQuerySize,
    GnttabSetVersion, GnttabSetupTable, GnttabSwapGrantRef, GnttabTransfer, GnttabUnmapAndReplace,
    GnttabUnmapGrantRef,
};
use hypercall_abi::xen::{DomId, Hypercall};
use hypercall_abi::{Errno, GuestHandle};
use zerocopy::{FromBytes, IntoBytes};

use super::entry::Shared;
use super::map::{self, BATCH, FEW, Unmap};
use super::{copy, status_frames_of, transfer};
use crate::domain::{Context, Domain, DomainId};
use crate::fail::{Args, Fail, Return};
use crate::guest;
use crate::host::host;
use crate::mm;
use crate::preempt::Budget;
use crate::xsm;

/// Bits of the command that name the operation; the others carry a continuation's state.
const COMMAND_BITS: u32 = 12;
/// Entries that a search for a mapping looks at before it lets others in.
const SEARCH_STEP: u32 = 1 << COMMAND_BITS;

/// Work units of an element: what it costs in page and table operations.
const MAP_UNITS: u32 = 8;
const COPY_UNITS: u32 = 12;
const TRANSFER_UNITS: u32 = 16;
const SWAP_UNITS: u32 = 4;
const FLUSH_UNITS: u32 = 128;

/// How an operation on an array ended.
#[derive(Debug, PartialEq, Eq)]
enum Progress {
    /// All elements are done.
    Done,
    /// So many are; the call is to be continued with the rest, and this state.
    Stopped(u32, u32),
}

/// `grant_table_op(cmd, uop, count)`.
pub fn do_grant_table_op(cx: &Context, args: Args) -> Return {
    dispatch(cx, args, &Budget::new())
}

pub(super) fn dispatch(cx: &Context, args: Args, budget: &Budget) -> Return {
    let [command, address, count, ..] = args.0;
    let (command, count) = (command as u32, count as u32);
    let state = command & !(SEARCH_STEP - 1);
    let op = GnttabOp(command & (SEARCH_STEP - 1));
    if count > i32::MAX as u32 || (op != GnttabOp::CACHE_FLUSH && state != 0) {
        return Err(Errno::EINVAL.into());
    }
    let (size, result) = match op {
        GnttabOp::MAP_GRANT_REF => array(address, count, size_of::<GnttabMapGrantRef>(), |at| {
            map_grants(cx, at, count, budget)
        }),
        GnttabOp::UNMAP_GRANT_REF => {
            array(address, count, size_of::<GnttabUnmapGrantRef>(), |at| {
                let field = offset_of!(GnttabUnmapGrantRef, status);
                unmap_grants(cx, at, count, budget, field, |op: GnttabUnmapGrantRef| {
                    Unmap {
                        handle: op.handle,
                        host_addr: op.host_addr,
                        dev_bus_addr: op.dev_bus_addr,
                        new_addr: 0,
                    }
                })
            })
        }
        GnttabOp::UNMAP_AND_REPLACE => {
            array(address, count, size_of::<GnttabUnmapAndReplace>(), |at| {
                let field = offset_of!(GnttabUnmapAndReplace, status);
                unmap_grants(cx, at, count, budget, field, |op: GnttabUnmapAndReplace| {
                    Unmap {
                        handle: op.handle,
                        host_addr: op.host_addr,
                        dev_bus_addr: 0,
                        new_addr: op.new_addr,
                    }
                })
            })
        }
        GnttabOp::COPY => array(address, count, size_of::<GnttabCopy>(), |at| {
            copies(cx, at, count, budget)
        }),
        GnttabOp::TRANSFER => array(address, count, size_of::<GnttabTransfer>(), |at| {
            let field = offset_of!(GnttabTransfer, status);
            each(at, count, budget, TRANSFER_UNITS, field, |op| {
                Some(transfer::transfer(cx, &op))
            })
        }),
        GnttabOp::SWAP_GRANT_REF => array(address, count, size_of::<GnttabSwapGrantRef>(), |at| {
            let field = offset_of!(GnttabSwapGrantRef, status);
            each(at, count, budget, SWAP_UNITS, field, |op| {
                Some(swap(cx, &op))
            })
        }),
        GnttabOp::CACHE_FLUSH => array(address, count, size_of::<GnttabCacheFlush>(), |at| {
            cache_flush(cx, at, count, budget, state)
        }),
        GnttabOp::SETUP_TABLE => return one(count, || setup_table(cx, address)),
        GnttabOp::QUERY_SIZE => return one(count, || query_size(cx, address)),
        GnttabOp::GET_STATUS_FRAMES => return one(count, || get_status_frames(cx, address)),
        GnttabOp::SET_VERSION => return set_version(cx, address),
        GnttabOp::GET_VERSION => return get_version(cx, address),
        _ => return Err(Errno::ENOSYS.into()),
    };
    match result? {
        Progress::Done => Ok(0),
        Progress::Stopped(done, state) => {
            let done = done.min(count);
            Err(Fail::Continue(Args([
                (state | op.0).into(),
                address.wrapping_add(u64::from(done) * size as u64),
                (count - done).into(),
                0,
                0,
                0,
            ])))
        }
    }
}

/// Checks that the guest could have an array there (`EFAULT`), and runs `f` on its address.
fn array(
    address: u64,
    count: u32,
    size: usize,
    f: impl FnOnce(u64) -> Result<Progress, Fail>,
) -> (usize, Result<Progress, Fail>) {
    let fits = (count as usize)
        .checked_mul(size)
        .is_some_and(|len| range_ok(GuestVa::new(address), len));
    let result = if fits {
        f(address)
    } else {
        Err(Errno::EFAULT.into())
    };
    (size, result)
}

/// Operations that take one element. `EINVAL` for another count.
fn one(count: u32, f: impl FnOnce() -> Result<(), Errno>) -> Return {
    if count != 1 {
        return Err(Errno::EINVAL.into());
    }
    f()?;
    Ok(0)
}

/// Writes the 16-bit status in element `index` of an array of `T`.
fn write_status<T>(at: u64, index: u32, field: usize, status: GntStatus) -> Result<(), Errno> {
    let offset = u64::from(index) * size_of::<T>() as u64 + field as u64;
    let address = at.checked_add(offset).ok_or(Errno::EFAULT)?;
    guest::write(GuestHandle::new(address), 0, &status)
}

/// Runs `f` on each element and reports its status; `None` asks to be called again later.
fn each<T: FromBytes + IntoBytes>(
    at: u64,
    count: u32,
    budget: &Budget,
    units: u32,
    field: usize,
    mut f: impl FnMut(T) -> Option<GntStatus>,
) -> Result<Progress, Fail> {
    for i in 0..count {
        let op = guest::read(GuestHandle::<T>::new(at), i.into())?;
        let Some(status) = f(op) else {
            return Ok(Progress::Stopped(i, 0));
        };
        write_status::<T>(at, i, field, status)?;
        if budget.spend(units) && i + 1 < count {
            return Ok(Progress::Stopped(i + 1, 0));
        }
    }
    Ok(Progress::Done)
}

fn map_grants(cx: &Context, at: u64, count: u32, budget: &Budget) -> Result<Progress, Fail> {
    let ops = GuestHandle::<GnttabMapGrantRef>::new(at);
    for i in 0..count {
        let mut op = guest::read(ops, i.into())?;
        map::map_grant_ref(cx, &mut op);
        guest::write(ops, i.into(), &op)?;
        if budget.spend(MAP_UNITS) && i + 1 < count {
            return Ok(Progress::Stopped(i + 1, 0));
        }
    }
    Ok(Progress::Done)
}

/// Unmaps in batches: take the mappings away, flush the TLBs once, then give the pages up.
fn unmap_grants<T: FromBytes + IntoBytes>(
    cx: &Context,
    at: u64,
    count: u32,
    budget: &Budget,
    field: usize,
    what: impl Fn(T) -> Unmap,
) -> Result<Progress, Fail> {
    let mut done = 0;
    while done < count {
        let end = count.min(done + BATCH as u32);
        let part = done..end;
        // A place that nothing waits in costs time, too, and most calls are for one page.
        if part.len() <= FEW {
            unmap_part::<FEW, T>(cx, at, part, field, &what)?;
        } else {
            unmap_part::<BATCH, T>(cx, at, part, field, &what)?;
        }
        let units = (end - done) * MAP_UNITS;
        done = end;
        if budget.spend(units) && done < count {
            return Ok(Progress::Stopped(done, 0));
        }
    }
    Ok(Progress::Done)
}

/// Unmaps up to `N` elements of the array with one flush.
fn unmap_part<const N: usize, T: FromBytes + IntoBytes>(
    cx: &Context,
    at: u64,
    part: Range<u32>,
    field: usize,
    what: impl Fn(T) -> Unmap,
) -> Result<(), Fail> {
    let mut waiting = [const { None }; N];
    let mut fault = Ok(());
    for (i, place) in part.zip(&mut waiting) {
        fault = guest::read(GuestHandle::<T>::new(at), i.into()).and_then(|op| {
            let status = match map::unmap(cx, &what(op)) {
                Ok(unmapped) => {
                    *place = unmapped;
                    GntStatus::OKAY
                }
                Err(status) => {
                    log::debug!(target: "guest", "d{} unmap of a grant refused: {status:?}", cx.domain.id.0);
                    status
                }
            };
            write_status::<T>(at, i, field, status)
        });
        if fault.is_err() {
            break;
        }
    }
    map::flush(cx);
    waiting
        .iter_mut()
        .filter_map(Option::take)
        .for_each(map::complete);
    Ok(fault?)
}

fn copies(cx: &Context, at: u64, count: u32, budget: &Budget) -> Result<Progress, Fail> {
    let field = offset_of!(GnttabCopy, status);
    let mut copier = copy::Copier::new(cx);
    each(
        at,
        count,
        budget,
        COPY_UNITS,
        field,
        |op: GnttabCopy| match copier.copy(cx, &op) {
            Ok(()) => Some(GntStatus::OKAY),
            Err(copy::Refusal::Status(status)) => {
                log::debug!(target: "guest", "d{} grant copy refused: {status:?}", cx.domain.id.0);
                Some(status)
            }
            Err(copy::Refusal::Again) => None,
        },
    )
}

/// The domain a guest names, and whether it may manage its grant table.
fn target(cx: &Context, op: GnttabOp, dom: DomId) -> Result<Arc<Domain>, (GntStatus, Errno)> {
    let domain = if dom == DomId::SELF {
        cx.domain.clone()
    } else {
        host()
            .domains
            .get(DomainId(dom.0))
            .map_err(|_| (GntStatus::BAD_DOMAIN, Errno::ESRCH))?
    };
    xsm::check(&cx.domain, Hypercall::GRANT_TABLE_OP, op.0, Some(&domain))
        .map_err(|errno| (GntStatus::PERMISSION_DENIED, errno))?;
    Ok(domain)
}

/// Whether the guest could have `count` frame numbers there. `EFAULT`.
fn list_ok(list: GuestHandle<u64>, count: u32) -> Result<(), Errno> {
    if range_ok(GuestVa::new(list.addr()), count as usize * 8) {
        Ok(())
    } else {
        Err(Errno::EFAULT)
    }
}

fn setup_table(cx: &Context, at: u64) -> Result<(), Errno> {
    let op: GnttabSetupTable = guest::read(GuestHandle::new(at), 0)?;
    list_ok(op.frame_list, op.nr_frames)?;
    let status = match target(cx, GnttabOp::SETUP_TABLE, op.dom) {
        Ok(domain) => try_setup(&domain, &op).err().unwrap_or(GntStatus::OKAY),
        Err((status, _)) => status,
    };
    write_status::<GnttabSetupTable>(at, 0, offset_of!(GnttabSetupTable, status), status)
}

fn try_setup(domain: &Domain, op: &GnttabSetupTable) -> Result<(), GntStatus> {
    {
        let mut table = domain.grants.table.write();
        let short = table.shared.len() < op.nr_frames.max(1) as usize
            || (table.version == 2
                && table.status.len()
                    < status_frames_of(op.nr_frames.min(table.max_frames)) as usize);
        if op.nr_frames > table.max_frames || (short && domain.is_dying()) {
            return Err(GntStatus::GENERAL_ERROR);
        }
        if short {
            table
                .grow(domain.id, op.nr_frames)
                .map_err(|_| GntStatus::GENERAL_ERROR)?;
        }
    }
    let mut result = Ok(());
    for i in 0..op.nr_frames {
        let mfn = domain
            .grants
            .table
            .read()
            .shared
            .get(i as usize)
            .map(|p| p.mfn().get())
            .ok_or(GntStatus::GENERAL_ERROR)?;
        if guest::write(op.frame_list, i.into(), &mfn).is_err() {
            result = Err(GntStatus::BAD_VIRT_ADDR);
        }
    }
    result
}

fn query_size(cx: &Context, at: u64) -> Result<(), Errno> {
    let handle = GuestHandle::new(at);
    let mut op: GnttabQuerySize = guest::read(handle, 0)?;
    op.status = match target(cx, GnttabOp::QUERY_SIZE, op.dom) {
        Ok(domain) => {
            // A table has one frame from the start; that it is allocated at first use is our affair.
            let (frames, max) = domain.grants.frames();
            (op.nr_frames, op.max_nr_frames) = (frames.max(1), max);
            GntStatus::OKAY
        }
        Err((status, _)) => status,
    };
    guest::write(handle, 0, &op)
}

fn get_status_frames(cx: &Context, at: u64) -> Result<(), Errno> {
    let op: GnttabGetStatusFrames = guest::read(GuestHandle::new(at), 0)?;
    list_ok(op.frame_list, op.nr_frames)?;
    let status = match target(cx, GnttabOp::GET_STATUS_FRAMES, op.dom) {
        Ok(domain) => list_status_frames(&domain, &op),
        Err((status, _)) => status,
    };
    let field = offset_of!(GnttabGetStatusFrames, status);
    write_status::<GnttabGetStatusFrames>(at, 0, field, status)
}

fn list_status_frames(domain: &Domain, op: &GnttabGetStatusFrames) -> GntStatus {
    let mut status = GntStatus::OKAY;
    if op.nr_frames as usize > domain.grants.table.read().status.len() {
        return GntStatus::GENERAL_ERROR;
    }
    for i in 0..op.nr_frames {
        let mfn = domain
            .grants
            .table
            .read()
            .status
            .get(i as usize)
            .map(|p| p.mfn().get());
        // The version may have changed under us.
        let Some(mfn) = mfn else {
            return GntStatus::GENERAL_ERROR;
        };
        if guest::write(op.frame_list, i.into(), &mfn).is_err() {
            status = GntStatus::BAD_VIRT_ADDR;
        }
    }
    status
}

fn set_version(cx: &Context, at: u64) -> Return {
    let handle = GuestHandle::new(at);
    let mut op: GnttabSetVersion = guest::read(handle, 0)?;
    let grants = &cx.domain.grants;
    let result = {
        let mut table = grants.table.write();
        let result = match op.version {
            1 | 2 if op.version > table.max_version => Err(Errno::ENOSYS),
            1 | 2 => {
                let operations = grants.v2_operations.load(Ordering::SeqCst);
                table.set_version(cx.domain.id, op.version, operations)
            }
            _ => Err(Errno::EINVAL),
        };
        op.version = table.version;
        result
    };
    guest::write(handle, 0, &op)?;
    result?;
    Ok(0)
}

fn get_version(cx: &Context, at: u64) -> Return {
    let op: GnttabGetVersion = guest::read(GuestHandle::new(at), 0)?;
    let domain = target(cx, GnttabOp::GET_VERSION, op.dom).map_err(|(_, errno)| errno)?;
    let version = domain.grants.table.read().version;
    let address = at
        .checked_add(offset_of!(GnttabGetVersion, version) as u64)
        .ok_or(Errno::EFAULT)?;
    guest::write(GuestHandle::new(address), 0, &version)?;
    Ok(0)
}

/// Exchanges two entries of the caller's, neither of which may be in use.
fn swap(cx: &Context, op: &GnttabSwapGrantRef) -> GntStatus {
    let table = cx.domain.grants.table.write();
    if op.ref_a >= table.entries() || op.ref_b >= table.entries() {
        return GntStatus::BAD_GNTREF;
    }
    if op.ref_a == op.ref_b {
        return GntStatus::OKAY;
    }
    let in_use = |gref| table.active(gref).is_none_or(|a| !a.lock().pin.is_zero());
    if in_use(op.ref_a) || in_use(op.ref_b) {
        return GntStatus::EAGAIN;
    }
    match (table.shared(op.ref_a), table.shared(op.ref_b)) {
        (Some(Shared::V1(fa, a)), Some(Shared::V1(fb, b))) => {
            let (va, vb) = (fa.read_u64(a), fb.read_u64(b));
            fa.write_u64(a, vb);
            fb.write_u64(b, va);
            GntStatus::OKAY
        }
        (Some(Shared::V2(fa, a, sa, at_a)), Some(Shared::V2(fb, b, sb, at_b))) => {
            for half in [8, 0] {
                let (va, vb) = (fa.read_u64(a + half), fb.read_u64(b + half));
                fa.write_u64(a + half, vb);
                fb.write_u64(b + half, va);
            }
            let (va, vb) = (sa.read_u16(at_a), sb.read_u16(at_b));
            sa.write_u16(at_a, vb);
            sb.write_u16(at_b, va);
            GntStatus::OKAY
        }
        _ => GntStatus::BAD_GNTREF,
    }
}

fn cache_flush(
    cx: &Context,
    at: u64,
    count: u32,
    budget: &Budget,
    state: u32,
) -> Result<Progress, Fail> {
    let mut from = state;
    for i in 0..count {
        let op: GnttabCacheFlush = guest::read(GuestHandle::new(at), i.into())?;
        while let Some(next) = flush_one(cx, &op, from)? {
            from = next;
            if budget.spend(SEARCH_STEP / 16) {
                return Ok(Progress::Stopped(i, from));
            }
        }
        from = 0;
        if budget.spend(FLUSH_UNITS) && i + 1 < count {
            return Ok(Progress::Stopped(i + 1, 0));
        }
    }
    Ok(Progress::Done)
}

/// Flushes a range of a page of the caller's, or of one that it has mapped. `Some`: the search for its mapping goes
/// on from that entry.
fn flush_one(cx: &Context, op: &GnttabCacheFlush, from: u32) -> Result<Option<u32>, Errno> {
    let (offset, length) = (usize::from(op.offset), usize::from(op.length));
    if offset >= PAGE_BYTES
        || offset + length > PAGE_BYTES
        || op.op & !(GNTTAB_CACHE_INVAL | GNTTAB_CACHE_CLEAN) != 0
    {
        return Err(Errno::EINVAL);
    }
    if length == 0 || op.op == 0 {
        return if from == 0 {
            Ok(None)
        } else {
            Err(Errno::EILSEQ)
        };
    }
    let mfn: Mfn = PhysAddr::new(op.a.dev_bus_addr()).mfn();
    let (page, owner) = mm::get_page_of_any(mfn)?;
    if owner != cx.domain.id {
        // Pages of no domain have no grant table (XSA-232).
        let owner = host().domains.get(owner).map_err(|_| Errno::EPERM)?;
        let table = owner.grants.table.read();
        let end = table.entries().min(from.saturating_add(SEARCH_STEP));
        let mapped = (from..end).any(|gref| {
            table.active(gref).is_some_and(|active| {
                let active = active.lock();
                !active.pin.is_zero() && active.user == cx.domain.id && active.mfn == mfn
            })
        });
        if !mapped {
            return if end < table.entries() {
                Ok(Some(end))
            } else {
                Err(Errno::EINVAL)
            };
        }
    }
    // x86 has no instruction that drops lines without writing them back where needed.
    if op.op == GNTTAB_CACHE_INVAL {
        return Err(Errno::EOPNOTSUPP);
    }
    page.frame().flush_cache(offset, length);
    Ok(None)
}
