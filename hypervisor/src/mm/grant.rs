//! Grant mappings in a PV guest's page tables.
//!
//! The page-table entry of a grant mapping holds what any entry holds: a reference, and a writable use unless the
//! mapping is read-only. The grant code takes both from the granting domain's page before and hands them over here.

use arch::addr::{GuestVa, Mfn, PhysAddr};
use hypercall_abi::Errno;

use super::frame_table::{flags, raw};
use super::page_type::{PageType, TableLock};
use super::pte::Pte;
use super::{validate, walk};
use crate::domain::Context;
use crate::host::host;

/// How a grant is mapped (`GNTMAP_*`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrantMapFlags {
    /// The address is a page-table entry's machine address, not a virtual address to be mapped.
    pub contains_pte: bool,
    /// For guest user mode.
    pub application: bool,
    /// Without write permission.
    pub read_only: bool,
    /// Software bits 0 to 2 for the entry.
    pub available: u8,
}

impl GrantMapFlags {
    fn pte(self, frame: Mfn) -> Pte {
        let mut bits = Pte::P | Pte::A | Pte::D | Pte::NX | u64::from(self.available & 7) << 9;
        if self.application {
            bits |= Pte::US;
        }
        if !self.read_only {
            bits |= Pte::RW;
        }
        Pte::new(frame, bits).adjusted_l1()
    }
}

/// The table and entry that `address` means. `EINVAL` if it means none (XSA-227: alignment).
fn locate(cx: &Context, address: u64, contains_pte: bool) -> Result<(Mfn, usize), Errno> {
    if contains_pte {
        if address & 7 != 0 {
            return Err(Errno::EINVAL);
        }
        let address = PhysAddr::new(address);
        Ok((address.mfn(), address.page_offset() / 8))
    } else {
        let l4 = walk::current_table(cx).ok_or(Errno::EINVAL)?;
        walk::walk(l4, GuestVa::new(address)).ok_or(Errno::EINVAL)
    }
}

/// Runs `change` on an entry of a valid L1 of the caller's, under its lock; the entry becomes what it returns, and
/// the old one is the result.
fn with_entry(
    cx: &Context,
    (table, index): (Mfn, usize),
    change: impl FnOnce(Pte) -> Result<Pte, Errno>,
) -> Result<Pte, Errno> {
    let page = host().mm.frames.ram(table).ok_or(Errno::EINVAL)?;
    let _lock = TableLock::new(page);
    if !page.is_valid(PageType::L1) || page.owner() != cx.domain.id {
        return Err(Errno::EINVAL);
    }
    let frame = raw(table);
    let old = validate::read(frame, index);
    validate::write(frame, index, change(old)?);
    Ok(old)
}

/// Maps a granted frame. On success the entry owns the caller's reference (and writable use unless read-only) to
/// `frame`; on error (`EINVAL`: the address means no entry) they stay the caller's.
pub fn create_grant_mapping(
    cx: &Context,
    address: u64,
    frame: Mfn,
    how: GrantMapFlags,
) -> Result<(), Errno> {
    let at = locate(cx, address, how.contains_pte)?;
    if let Some(page) = host().mm.frames.ram(frame) {
        // The owner's CPUs are not all that will cache this mapping.
        page.set_flag(flags::FOREIGN);
    }
    let old = with_entry(cx, at, |_| Ok(how.pte(frame)))?;
    validate::release_entry_l1(old);
    Ok(())
}

/// Takes a grant mapping away, or moves the mapping at `new_address` in its place if that is not 0
/// (GNTTABOP_unmap_and_replace). On success the entry's reference and writable use are the caller's again, to be
/// dropped after the TLB flush. `EINVAL` if the entry does not map `frame` so (the guest changed it): nothing is the
/// caller's then.
pub fn replace_grant_mapping(
    cx: &Context,
    address: u64,
    frame: Mfn,
    new_address: u64,
    how: GrantMapFlags,
) -> Result<(), Errno> {
    if new_address != 0 && how.contains_pte {
        return Err(Errno::EINVAL);
    }
    let replacement = if new_address == 0 {
        Pte::default()
    } else {
        let at = locate(cx, new_address, false)?;
        with_entry(cx, at, |_| Ok(Pte::default()))?
    };
    let expected = how.pte(frame);
    let result = locate(cx, address, how.contains_pte).and_then(|at| {
        with_entry(cx, at, |old| {
            let rights = Pte::P | Pte::RW;
            if old.mfn() == frame && (old.0 ^ expected.0) & rights == 0 {
                Ok(replacement)
            } else {
                Err(Errno::EINVAL)
            }
        })
    });
    if result.is_err() {
        // The stolen mapping is gone from its old place; what it held goes with it.
        validate::release_entry_l1(replacement);
    }
    result.map(|_| ())
}
