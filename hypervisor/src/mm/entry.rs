//! Changing one entry of a page table that is in use. The caller holds the table's lock and has seen that it is valid.

use arch::addr::Mfn;
use arch::frame::RawFrame;
use hypercall_abi::Errno;

use super::frame_table::{PageInfo, flags};
use super::page_type::{Dropped, PageType, TypeError, get_type, put_type};
use super::pte::Pte;
use super::{tlb, validate};
use crate::domain::{Domain, DomainId};
use crate::host::host;
use crate::preempt::Budget;

/// How an entry is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// As it is.
    Plain,
    /// Keeping the accessed and dirty bits that are there (`MMU_PT_UPDATE_PRESERVE_AD`).
    KeepAccessed,
    /// Only if the entry still is this one; `EAGAIN` otherwise.
    Exchange(Pte),
}

/// Changes of an L1 entry that concern neither the frame nor what may be done with it.
const HARMLESS_L1: u64 = Pte::A | Pte::D | Pte::G | Pte::US | Pte::NX | (7 << 9) | (0x7ff << 52);
/// Above L1 write permission is harmless, too: no table is reachable as data through a superpage, and none for writing
/// through a recursive entry, whose own permission is checked.
const HARMLESS_UPPER: u64 = HARMLESS_L1 & !Pte::G | Pte::RW;

/// Writes an entry of a live table. Nobody but the processor (accessed and dirty bits) changes it meanwhile.
#[inline]
fn store(frame: RawFrame, index: usize, mut old: Pte, new: Pte, mode: Mode) -> Result<(), Errno> {
    match mode {
        Mode::Plain => {
            validate::write(frame, index, new);
            Ok(())
        }
        Mode::KeepAccessed => loop {
            let keep = old.0 & (Pte::A | Pte::D);
            match frame.cmpxchg_u64(index * 8, old.0, new.0 | keep) {
                Ok(_) => return Ok(()),
                Err(now) => old = Pte(now),
            }
        },
        Mode::Exchange(expected) => frame
            .cmpxchg_u64(index * 8, expected.0, new.0)
            .map(|_| ())
            .map_err(|_| Errno::EAGAIN),
    }
}

/// Changes an L1 entry. `frame_owner` is whose frame the new entry maps. Errors as [`validate::acquire_l1`], nothing
/// changed then.
#[inline]
pub(super) fn set_l1(
    frame: RawFrame,
    index: usize,
    new: Pte,
    mode: Mode,
    table_owner: &Domain,
    frame_owner: DomainId,
) -> Result<(), Errno> {
    let old = validate::read(frame, index);
    if let Mode::Exchange(expected) = mode
        && expected != old
    {
        return Err(Errno::EAGAIN);
    }
    if !new.present() {
        store(frame, index, old, new, mode)?;
        validate::release_entry_l1(old);
        return Ok(());
    }
    let new = new.adjusted_l1();
    let changed = old.0 ^ new.0;
    if changed & !HARMLESS_L1 == 0 {
        // Same frame, same rights, same cacheability: it holds what it held.
        return store(frame, index, old, new, mode);
    }
    if changed & !(HARMLESS_L1 | Pte::RW) == 0
        && old.present()
        && let Some(page) = host().mm.frames.ram(new.mfn())
    {
        return set_rights(
            frame,
            index,
            (old, new),
            mode,
            page,
            table_owner,
            frame_owner,
        );
    }
    let new = validate::acquire_l1(new, table_owner, frame_owner)?;
    match store(frame, index, old, new, mode) {
        Ok(()) => validate::release_entry_l1(old),
        Err(errno) => {
            validate::release_entry_l1(new);
            return Err(errno);
        }
    }
    Ok(())
}

/// Write permission given or taken on the frame that is mapped already (fork, mprotect): only the writable use changes
/// hands, the reference stays.
fn set_rights(
    frame: RawFrame,
    index: usize,
    (old, new): (Pte, Pte),
    mode: Mode,
    page: &PageInfo,
    table_owner: &Domain,
    frame_owner: DomainId,
) -> Result<(), Errno> {
    let mfn = new.mfn();
    let budget = Budget::new();
    if new.writable() {
        // A read-only grant or foreign mapping must not grow rights this way.
        if page.owner() != frame_owner
            || get_type(mfn, page, PageType::Writable, table_owner, &budget).is_err()
        {
            return Err(Errno::EBUSY);
        }
        if frame_owner != table_owner.id {
            page.set_flag(flags::FOREIGN);
        }
    }
    let stored = store(frame, index, old, new, mode);
    // The use that is left over: the old entry's, or the new one's if it was not written.
    let leftover = if stored.is_ok() { old } else { new };
    if leftover.writable() {
        let done = put_type(mfn, page, &budget);
        debug_assert_eq!(done, Dropped::Done);
    }
    stored
}

/// Changes an entry of a table of `level` 2 to 4. On `Restart` nothing changed. What the old entry held may be left
/// for later.
pub(super) fn set_upper(
    frame: RawFrame,
    index: usize,
    level: u8,
    new: Pte,
    mode: Mode,
    domain: &Domain,
    budget: &Budget,
) -> Result<(), TypeError> {
    if level == 4 && !validate::guest_slot(index) {
        return Err(Errno::EINVAL.into());
    }
    let table = frame.mfn();
    let old = validate::read(frame, index);
    if new.present() {
        if new.upper_refused() || (validate::recursive(new, table) && new.writable()) {
            return Err(Errno::EINVAL.into());
        }
        let adjusted = if level == 4 {
            new.adjusted_l4()
        } else {
            new.adjusted_upper()
        };
        if old.present() && (old.0 ^ adjusted.0) & !HARMLESS_UPPER == 0 {
            store(frame, index, old, adjusted, mode)?;
            flush_linear(domain);
            return Ok(());
        }
        validate::acquire_upper(adjusted, table, level, domain, budget)?;
        if let Err(errno) = store(frame, index, old, adjusted, mode) {
            if validate::release_entry_upper(adjusted, table, budget) == Dropped::Suspended {
                super::defer(adjusted.mfn());
            }
            return Err(errno.into());
        }
    } else {
        store(frame, index, old, new, mode)?;
    }
    if old.present() {
        flush_linear(domain);
        let below: Mfn = old.mfn();
        if validate::release_entry_upper(old, table, budget) == Dropped::Suspended {
            super::defer(below);
        }
    }
    Ok(())
}

/// A guest that sees its tables through a recursive entry flushes the addresses that it has mapped otherwise, and does
/// not know of those at which it saw the tables themselves (XSA-286).
#[inline]
fn flush_linear(domain: &Domain) {
    if domain.mem.has_linear() {
        tlb::flush_mask(domain.mem.dirty_cpus.words(), None);
    }
}
