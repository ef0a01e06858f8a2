//! What page-table entries hold: references and types are taken entry by entry when a table is validated or an entry
//! written, and given back when it is released or overwritten.
//!
//! * L1 entry to RAM: a reference, and a writable use if it maps writable.
//! * L1 entry to device memory: nothing; the right to map it is checked.
//! * Entry above: a reference and a use as a table of the level below. Superpages are refused, and so are linear tables
//!   (entries that refer to a table of their own level), but for one: an L4's read-only entry for itself, through which a
//!   guest sees its own tables. That one holds nothing. So recursion is three deep and never meets a page twice
//!   (XSA-148, XSA-240).

use arch::addr::Mfn;
use arch::frame::RawFrame;
use hypercall_abi::Errno;

use super::frame_table::{self, PageInfo, count, flags, put_page, raw};
use super::page_type::{self, Dropped, PageType, Progress, TypeError, get_type, put_type};
use super::pte::Pte;
use crate::domain::{Domain, DomainId};
use crate::host::host;
use crate::preempt::Budget;

/// Entries of a page table.
pub(super) const ENTRIES: usize = 512;
/// L4 slots of the hypervisor.
pub(super) const HYPERVISOR_SLOTS: core::ops::Range<usize> = 256..272;

#[inline]
pub(super) fn read(frame: RawFrame, index: usize) -> Pte {
    Pte(frame.read_u64(index * 8))
}

#[inline]
pub(super) fn write(frame: RawFrame, index: usize, pte: Pte) {
    frame.write_u64(index * 8, pte.0);
}

/// Whether an L4 slot is the guest's.
pub(super) fn guest_slot(index: usize) -> bool {
    !HYPERVISOR_SLOTS.contains(&index)
}

/// Takes what a present L1 entry of `table_owner`'s holds, mapping a frame of `frame_owner`. `Ok` is the entry as it
/// may be written (cacheability of device memory forced). `EINVAL`: refused bits or not that owner's; `EPERM`: no
/// right to the device memory; `EBUSY`: the frame cannot be mapped so.
#[inline]
pub(super) fn acquire_l1(
    pte: Pte,
    table_owner: &Domain,
    frame_owner: DomainId,
) -> Result<Pte, Errno> {
    if pte.l1_refused(table_owner.mem.may_control_caches(table_owner)) {
        return Err(Errno::EINVAL);
    }
    let mfn = pte.mfn();
    let mm = &host().mm;
    let Some(page) = mm
        .frames
        .entry(mfn)
        .filter(|p| p.count_word() & (count::RAM | count::RESERVED) != 0)
    else {
        return acquire_device(pte, table_owner, frame_owner);
    };
    frame_table::reference(page, frame_owner).map_err(|_| Errno::EBUSY)?;
    if pte.writable()
        && get_type(mfn, page, PageType::Writable, table_owner, &Budget::new()).is_err()
    {
        put_page(mfn);
        return Err(Errno::EBUSY);
    }
    if pte.0 & Pte::CACHE != 0 && page.is_shared() {
        release_ram(pte, mfn, page);
        return Err(Errno::EACCES);
    }
    if frame_owner != table_owner.id {
        page.set_flag(flags::FOREIGN);
    }
    Ok(pte)
}

#[cold]
fn acquire_device(pte: Pte, table_owner: &Domain, frame_owner: DomainId) -> Result<Pte, Errno> {
    let mfn = pte.mfn();
    if mfn.get() == Pte::ADDR >> arch::addr::PAGE_SHIFT {
        return Err(Errno::EINVAL); // INVALID_MFN
    }
    let mm = &host().mm;
    if mfn.addr().get() >> mm.physical_bits() != 0 {
        return Err(Errno::EINVAL);
    }
    if frame_owner != DomainId::IO && frame_owner != table_owner.id {
        let owner = host().domains.get(frame_owner)?;
        if !owner.mem.may_map_device(&owner, mfn) {
            return Err(Errno::EPERM);
        }
    }
    if !table_owner.mem.may_map_device(table_owner, mfn) {
        return Err(Errno::EPERM);
    }
    // Device memory is mapped cached only if write-combining or uncached is asked for otherwise.
    let flip = match pte.0 & Pte::CACHE {
        0 => Pte::PWT | Pte::PCD,
        Pte::PWT => Pte::PCD,
        x if x == Pte::PWT | Pte::PAT => Pte::PCD | Pte::PAT,
        _ => 0,
    };
    let pte = Pte(pte.0 ^ flip);
    if pte.writable() && mm.device_read_only(mfn) {
        return Ok(Pte(pte.0 & !Pte::RW));
    }
    Ok(pte)
}

/// Gives back what an L1 entry held.
#[inline]
pub(super) fn release_entry_l1(pte: Pte) {
    if !pte.present() {
        return;
    }
    let mfn = pte.mfn();
    if let Some(page) = host().mm.frames.ram(mfn) {
        release_ram(pte, mfn, page);
    }
}

#[inline]
fn release_ram(pte: Pte, mfn: Mfn, page: &PageInfo) {
    if pte.writable() {
        // A writable use has nothing to undo.
        let done = put_type(mfn, page, &Budget::new());
        debug_assert_eq!(done, Dropped::Done);
    }
    put_page(mfn);
}

/// Whether a present entry of `table` refers to the table itself. Only an L4 can have one; it holds nothing.
#[inline]
pub(super) fn recursive(pte: Pte, table: Mfn) -> bool {
    pte.mfn() == table
}

/// Takes what a present entry of `table`, of `level` (2 to 4), holds. On `Restart` it holds nothing and the table below
/// is suspended.
pub(super) fn acquire_upper(
    pte: Pte,
    table: Mfn,
    level: u8,
    domain: &Domain,
    budget: &Budget,
) -> Result<(), TypeError> {
    if pte.upper_refused() {
        return Err(Errno::EINVAL.into());
    }
    if recursive(pte, table) {
        // What was allowed to be written through it would not be checked (XSA-182).
        if level != 4 || pte.writable() {
            return Err(Errno::EINVAL.into());
        }
        domain.mem.set_linear();
        return Ok(());
    }
    let below = PageType::of_level(level - 1).ok_or(Errno::EINVAL)?;
    let mfn = pte.mfn();
    let page = host().mm.frames.entry(mfn).ok_or(Errno::EINVAL)?;
    frame_table::reference(page, domain.id)?;
    let result = if page.is_shared() {
        Err(Errno::EINVAL.into())
    } else {
        get_type(mfn, page, below, domain, budget)
    };
    if result.is_err() {
        put_page(mfn);
    }
    result
}

/// Gives back what an entry of `table`, above L1, held; the table below may be left suspended.
pub(super) fn release_entry_upper(pte: Pte, table: Mfn, budget: &Budget) -> Dropped {
    if !pte.present() || recursive(pte, table) {
        return Dropped::Done;
    }
    let mfn = pte.mfn();
    let done = put_type(mfn, page_type::info(mfn), budget);
    put_page(mfn);
    done
}

/// Validates all entries of an L1.
pub(super) fn l1(mfn: Mfn, domain: &Domain, budget: &Budget) -> (Result<(), TypeError>, Progress) {
    let frame = raw(mfn);
    let mut present = 8;
    for position in 0..ENTRIES {
        let pte = read(frame, position);
        if !pte.present() {
            continue;
        }
        present += 1;
        match acquire_l1(pte, domain, domain.id) {
            Ok(checked) => {
                let adjusted = checked.adjusted_l1();
                if adjusted != pte {
                    write(frame, position, adjusted);
                }
            }
            Err(errno) => {
                log::debug!(
                    "d{}: L1 {mfn}: entry {position} {:#x} refused: {errno:?}",
                    domain.id.0,
                    pte.0
                );
                let below = false;
                return (Err(errno.into()), Progress { position, below });
            }
        }
    }
    let _ = budget.spend(present);
    (
        Ok(()),
        Progress {
            position: ENTRIES,
            below: false,
        },
    )
}

/// Releases the first `position` entries of an L1.
pub(super) fn release_l1(mfn: Mfn, position: usize, budget: &Budget) {
    let frame = raw(mfn);
    let mut present = 8;
    for index in 0..position {
        let pte = read(frame, index);
        if pte.present() {
            present += 1;
            release_entry_l1(pte);
        }
    }
    let _ = budget.spend(present);
}

/// Validates an upper table from `position` on. The second value says how far it came.
pub(super) fn upper(
    mfn: Mfn,
    ty: PageType,
    domain: &Domain,
    budget: &Budget,
    position: usize,
) -> (Result<(), TypeError>, Progress) {
    let frame = raw(mfn);
    let level = ty as u8;
    let stop = |position, below| Progress { position, below };
    for index in position..ENTRIES {
        if level == 4 && !guest_slot(index) {
            continue;
        }
        let pte = read(frame, index);
        if !pte.present() {
            continue;
        }
        // At least one entry is done per call; then the budget decides.
        if index > position && budget.spend(1) {
            return (Err(TypeError::Restart), stop(index, false));
        }
        match acquire_upper(pte, mfn, level, domain, budget) {
            Ok(()) => {
                let adjusted = if level == 4 {
                    pte.adjusted_l4()
                } else {
                    pte.adjusted_upper()
                };
                if adjusted != pte {
                    write(frame, index, adjusted);
                }
            }
            Err(TypeError::Restart) => return (Err(TypeError::Restart), stop(index, true)),
            Err(error) => {
                log::debug!(
                    "d{}: L{level} {mfn}: entry {index} {:#x} refused: {error:?}",
                    domain.id.0,
                    pte.0
                );
                return (Err(error), stop(index, false));
            }
        }
    }
    if level == 4 {
        install_hypervisor_slots(frame);
    }
    (Ok(()), stop(ENTRIES, false))
}

/// The hypervisor's part of every guest L4.
fn install_hypervisor_slots(frame: RawFrame) {
    for (slot, entry) in HYPERVISOR_SLOTS.zip(host().mm.hypervisor_l4()) {
        write(frame, slot, Pte(*entry));
    }
}

/// Releases the held entries of an upper table, last first. `Some` says where it stopped.
pub(super) fn release_upper(
    mfn: Mfn,
    ty: PageType,
    budget: &Budget,
    progress: Progress,
) -> Option<Progress> {
    let frame = raw(mfn);
    let level = ty as u8;
    let owner = page_type::info(mfn).owner();
    let Progress {
        mut position,
        below,
    } = progress;
    let mut worked = false;
    if below && position < ENTRIES {
        let pte = read(frame, position);
        if pte.present() && page_type::finish(pte.mfn(), owner, budget) == Dropped::Suspended {
            return Some(Progress {
                position,
                below: true,
            });
        }
        worked = true;
    }
    while position > 0 {
        let index = position - 1;
        let pte = read(frame, index);
        if !pte.present() || (level == 4 && !guest_slot(index)) {
            position = index;
            continue;
        }
        if worked && budget.spend(1) {
            return Some(Progress {
                position,
                below: false,
            });
        }
        position = index;
        worked = true;
        if release_entry_upper(pte, mfn, budget) == Dropped::Suspended {
            return Some(Progress {
                position,
                below: true,
            });
        }
    }
    None
}

/// Checks a page to be used for segment descriptors, and makes every descriptor in it harmless to ring 0.
pub(super) fn segment_descriptors(mfn: Mfn) -> Result<(), TypeError> {
    let frame = raw(mfn);
    for index in 0..ENTRIES {
        let raw = frame.read_u64(index * 8);
        let fixed = check_descriptor(raw).ok_or(Errno::EINVAL)?;
        if fixed != raw {
            frame.write_u64(index * 8, fixed);
        }
    }
    Ok(())
}

/// What a guest's GDT or LDT entry becomes (Intel SDM 3A 3.4.5): code and data segments at DPL 3 as they are, call
/// gates made unreachable (DPL 0: their use faults and is emulated, with the wanted DPL kept in the selector's RPL).
/// `None` for what could give a guest ring 0: TSS, LDT and interrupt-gate descriptors.
pub fn check_descriptor(descriptor: u64) -> Option<u64> {
    const PRESENT: u64 = 1 << 47;
    const CODE_OR_DATA: u64 = 1 << 44;
    const DPL: u64 = 3 << 45;
    const TYPE: u64 = 0xf << 40;
    const CALL_GATE: u64 = 0xc << 40;
    if descriptor & PRESENT == 0 {
        return Some(descriptor);
    }
    if descriptor & CODE_OR_DATA != 0 {
        return Some(descriptor | DPL);
    }
    match descriptor & TYPE {
        // The upper half of a 64-bit gate.
        0 => Some(descriptor),
        CALL_GATE => {
            let selector = (descriptor >> 16) & 0xffff;
            let reserved = (descriptor >> 32) & 0xff;
            // Local, or below Oxen's own descriptors.
            let guest_selector = selector & 4 != 0 || selector < 0xe000;
            (guest_selector && reserved == 0)
                .then_some((descriptor & !DPL & !(3 << 16)) | (3 << 16))
        }
        _ => None,
    }
}
