//! `HYPERVISOR_mmuext_op` (Xen public/xen.h): pinning, page-table base, TLB and cache flushes, LDT, page contents.

use arch::addr::{GuestVa, Mfn};
use arch::guest::range_ok;
use hypercall_abi::xen::{Hypercall, MmuextOp, MmuextOpArg};
use hypercall_abi::{Errno, GuestHandle};

use super::frame_table::{PageRef, get_page};
use super::mmu_update::{FrameOwner, PREEMPTED, batch};
use super::page_type::{self, Dropped, PageType, TypeError, get_type, put_type, set_pinned};
use super::{defer, get_page_and_type, tlb};
use crate::domain::{Context, Domain};
use crate::fail::{Args, Fail, Return};
use crate::guest;
use crate::preempt::Budget;
use crate::pv;

/// `HYPERVISOR_mmuext_op(operations, count, done, foreign domain)`.
pub fn do_mmuext_op(cx: &Context, args: Args) -> Return {
    let operations = GuestHandle::<MmuextOpArg>::new(args.0[0]);
    let mut owner = FrameOwner::Caller;
    if args.0[0] != 0 || args.0[1] as u32 != PREEMPTED {
        owner = FrameOwner::resolve(cx, Hypercall::MMUEXT_OP, args.0[3] as u16)?;
    }
    let subject: Result<&Domain, Errno> = match &owner {
        FrameOwner::Caller => Ok(&cx.domain),
        FrameOwner::Other(domain) => Ok(domain),
        FrameOwner::System(_) => Err(Errno::EINVAL),
    };
    let subject = subject?;
    batch(
        cx,
        args,
        size_of::<MmuextOpArg>() as u64,
        |index, budget| operate(cx, subject, &guest::read(operations, index)?, budget),
    )
}

fn operate(
    cx: &Context,
    subject: &Domain,
    op: &MmuextOpArg,
    budget: &Budget,
) -> Result<(), TypeError> {
    let mfn = Mfn::new(op.arg1.mfn());
    let address = op.arg1.linear_addr();
    let own = || {
        if subject.id == cx.domain.id {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    };
    match op.cmd {
        MmuextOp::PIN_L1_TABLE => pin(subject, mfn, PageType::L1, budget)?,
        MmuextOp::PIN_L2_TABLE => pin(subject, mfn, PageType::L2, budget)?,
        MmuextOp::PIN_L3_TABLE => pin(subject, mfn, PageType::L3, budget)?,
        MmuextOp::PIN_L4_TABLE => pin(subject, mfn, PageType::L4, budget)?,
        MmuextOp::UNPIN_TABLE => unpin(subject, mfn, budget)?,
        MmuextOp::NEW_BASEPTR => {
            own()?;
            new_kernel_table(cx, mfn, budget)?;
        }
        MmuextOp::NEW_USER_BASEPTR => {
            own()?;
            new_user_table(cx, mfn, budget)?;
        }
        MmuextOp::TLB_FLUSH_LOCAL => {
            own()?;
            tlb::flush_local(None);
        }
        MmuextOp::INVLPG_LOCAL => {
            own()?;
            // A non-canonical address is not an error, and must not reach INVPCID (XSA-279).
            if range_ok(GuestVa::new(address), 1) {
                tlb::flush_local(Some(address));
            }
        }
        MmuextOp::TLB_FLUSH_MULTI | MmuextOp::INVLPG_MULTI => {
            own()?;
            let mut bytes = [0u8; 32];
            let wanted = cx.domain.vcpus().len().div_ceil(8).min(bytes.len());
            guest::read_bytes(op.arg2.vcpumask().cast(), &mut bytes[..wanted])
                .map_err(|_| Errno::EINVAL)?;
            if bytes.iter().any(|&b| b != 0) {
                flush_domain(cx, op.cmd == MmuextOp::TLB_FLUSH_MULTI, address);
            }
        }
        MmuextOp::TLB_FLUSH_ALL => {
            own()?;
            flush_domain(cx, true, address);
        }
        MmuextOp::INVLPG_ALL => {
            own()?;
            flush_domain(cx, false, address);
        }
        MmuextOp::FLUSH_CACHE => {
            own()?;
            if !cx.domain.mem.may_control_caches(&cx.domain) {
                return Err(Errno::EACCES.into());
            }
            arch::guest_cpu::write_back_caches();
        }
        MmuextOp::FLUSH_CACHE_GLOBAL => {
            own()?;
            if !cx.domain.mem.may_control_caches(&cx.domain) {
                return Err(Errno::EINVAL.into());
            }
            // Caches are coherent among CPUs, and what the domain's other CPUs hold modified is theirs to write back;
            // the one that asks has what it wrote before.
            arch::guest_cpu::write_back_caches();
        }
        MmuextOp::SET_LDT => {
            own()?;
            pv::descriptor::set_ldt(cx, address, u64::from(op.arg2.nr_ents())).map_err(errno)?;
        }
        MmuextOp::CLEAR_PAGE => {
            let page =
                get_page_and_type(mfn, subject, PageType::Writable).map_err(|_| Errno::EINVAL)?;
            page.frame().zero();
            let _ = budget.spend(4);
        }
        MmuextOp::COPY_PAGE => {
            let source = get_page(Mfn::new(op.arg2.src_mfn()), subject.id)?;
            let page =
                get_page_and_type(mfn, subject, PageType::Writable).map_err(|_| Errno::EINVAL)?;
            page.frame().copy_frame_from(source.frame());
            let _ = budget.spend(8);
        }
        // Superpages are not offered to PV guests, so there is nothing to mark, whatever the frame (XSA-167).
        MmuextOp::MARK_SUPER | MmuextOp::UNMARK_SUPER => return Err(Errno::EOPNOTSUPP.into()),
        _ => return Err(Errno::ENOSYS.into()),
    }
    Ok(())
}

fn errno(fail: Fail) -> TypeError {
    match fail {
        Fail::Errno(errno) => TypeError::Errno(errno),
        Fail::Continue(_) => TypeError::Restart,
        Fail::Iret | Fail::Crash(_) => TypeError::Errno(Errno::EINVAL),
    }
}

/// Flushes wherever the caller's domain may have translations: everything, or one page.
fn flush_domain(cx: &Context, everything: bool, address: u64) {
    let page = (!everything).then_some(address);
    if page.is_none_or(|va| range_ok(GuestVa::new(va), 1)) {
        tlb::flush_mask(cx.domain.mem.dirty_cpus.words(), page);
    }
}

/// Keeps a page table valid until it is unpinned, whether anything refers to it or not.
fn pin(domain: &Domain, mfn: Mfn, ty: PageType, budget: &Budget) -> Result<(), TypeError> {
    let page = get_page(mfn, domain.id)?;
    let info = page.info();
    if info.is_shared() {
        return Err(Errno::EINVAL.into());
    }
    get_type(mfn, info, ty, domain, budget)?;
    // From here the type use and the reference are the pin's, or go again (XSA-58).
    if set_pinned(info) {
        let _ = page.into_raw();
        if domain.is_dying() && page_type::clear_pinned(info) {
            // The teardown may have passed this page already.
            give_back(PageRef::from_raw(mfn), budget);
        }
        return Ok(());
    }
    give_back(page, budget);
    Err(Errno::EINVAL.into())
}

/// Drops a type use and a reference; a long release is continued later.
fn give_back(page: PageRef, budget: &Budget) {
    if put_type(page.mfn(), page.info(), budget) == Dropped::Suspended {
        defer(page.mfn());
    }
}

fn unpin(domain: &Domain, mfn: Mfn, budget: &Budget) -> Result<(), TypeError> {
    let page = get_page(mfn, domain.id)?;
    if !page_type::clear_pinned(page.info()) {
        return Err(Errno::EINVAL.into());
    }
    give_back(PageRef::from_raw(mfn), budget);
    Ok(())
}

/// A reference to `mfn` as a validated L4.
fn get_l4(domain: &Domain, mfn: Mfn, budget: &Budget) -> Result<PageRef, TypeError> {
    let page = get_page(mfn, domain.id)?;
    if page.info().is_shared() {
        return Err(Errno::EINVAL.into());
    }
    get_type(mfn, page.info(), PageType::L4, domain, budget)?;
    Ok(page)
}

fn new_kernel_table(cx: &Context, mfn: Mfn, budget: &Budget) -> Result<(), TypeError> {
    if cx.vcpu.pv().state().tables.kernel() == Some(mfn) {
        // Loading the same base again is the guest's way to flush.
        pv::tables::activate_tables(cx);
        return Ok(());
    }
    let page = get_l4(&cx.domain, mfn, budget)?;
    let old = {
        let mut state = cx.vcpu.pv().state();
        if state.ldt_entries != 0 {
            // Its pages were found through the old tables.
            pv::descriptor::drop_ldt(&cx.domain, &mut state);
            pv::descriptor::load(&mut state);
        }
        state.tables.set_kernel(Some(page.into_raw()))
    };
    // The old table is off this CPU before its reference goes (XSA-494).
    pv::tables::activate_tables(cx);
    if let Some(old) = old {
        give_back(PageRef::from_raw(old), budget);
    }
    Ok(())
}

fn new_user_table(cx: &Context, mfn: Mfn, budget: &Budget) -> Result<(), TypeError> {
    let current = cx.vcpu.pv().state().tables.user();
    let wanted = (mfn.get() != 0).then_some(mfn);
    if current == wanted {
        // As for the kernel's: the guest may mean to flush.
        pv::tables::user_table_changed();
        return Ok(());
    }
    let page = wanted
        .map(|mfn| get_l4(&cx.domain, mfn, budget))
        .transpose()?;
    let page = page.map(PageRef::into_raw);
    let old = cx.vcpu.pv().state().tables.set_user(page);
    // Translations of the old table are gone before its reference is.
    pv::tables::user_table_changed();
    if let Some(old) = old {
        give_back(PageRef::from_raw(old), budget);
    }
    Ok(())
}

/// MOV to CR3 of a guest kernel: `value` is the control register's. `EINVAL` if the frame cannot be a top-level table.
pub fn switch_kernel_tables(cx: &Context, value: u64) -> Result<(), Errno> {
    let mfn = Mfn::new((value & super::Pte::ADDR) >> arch::addr::PAGE_SHIFT);
    match new_kernel_table(cx, mfn, &Budget::with_units(u32::MAX)) {
        Ok(()) => Ok(()),
        Err(TypeError::Errno(errno)) => Err(errno),
        Err(TypeError::Restart) => Err(Errno::EBUSY),
    }
}

/// Validates the page tables that dom0's builder made under `l4` and pins it, as the guest itself would.
/// `EINVAL` if they break a rule.
pub fn pin_initial_tables(domain: &Domain, l4: Mfn) -> Result<(), Errno> {
    match pin(domain, l4, PageType::L4, &Budget::with_units(u32::MAX)) {
        Ok(()) => Ok(()),
        Err(TypeError::Errno(errno)) => Err(errno),
        Err(TypeError::Restart) => Err(Errno::EBUSY),
    }
}
