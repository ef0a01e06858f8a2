//! Recomputes every reference and type count from what page tables and vCPUs say, and compares.
//!
//! For tests and `crate::audit`, which adds what other subsystems hold: the machine must be quiet (no hypercall in
//! progress elsewhere), or counts in flight show up as differences.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use arch::addr::Mfn;

use super::frame_table::{count, raw};
use super::page_type::{Kind, PageType};
use super::validate::{ENTRIES, guest_slot, read};
use crate::domain::{Domain, DomainId};
use crate::host::host;

/// A page whose counts are not what its uses add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The page.
    pub mfn: Mfn,
    /// Whose it is.
    pub owner: DomainId,
    /// References counted, and what the uses add up to.
    pub references: (u64, u64),
    /// Uses of its type counted, and what they add up to.
    pub uses: (u32, u32),
    /// The type.
    pub ty: PageType,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "page {} of d{}: {} references (uses: {}), {} times {:?} (uses: {})",
            self.mfn,
            self.owner.0,
            self.references.0,
            self.references.1,
            self.uses.0,
            self.ty,
            self.uses.1
        )
    }
}

/// What each page's uses add up to.
struct Sums {
    references: Vec<u32>,
    uses: Vec<u32>,
    /// Uses as a type that the page does not have.
    wrong: Vec<Mfn>,
    /// Pages that an unprivileged domain's tables map though they are another's: whose tables, which page.
    foreign: Vec<(DomainId, Mfn)>,
}

impl Sums {
    fn reference(&mut self, mfn: Mfn) {
        if let Some(n) = self.references.get_mut(mfn.index()) {
            *n += 1;
        }
    }

    fn typed(&mut self, mfn: Mfn, ty: PageType) {
        self.reference(mfn);
        if let Some(n) = self.uses.get_mut(mfn.index()) {
            *n += 1;
            if super::current_type(mfn) != ty {
                self.wrong.push(mfn);
            }
        }
    }

    /// What the first `held` entries of a table hold.
    fn table(&mut self, table: Mfn, ty: PageType, held: usize, owner: Option<&Domain>) {
        let frame = raw(table);
        for index in 0..held {
            if ty == PageType::L4 && !guest_slot(index) {
                continue;
            }
            let entry = read(frame, index);
            // A table's entry for itself holds nothing.
            let itself = entry.mfn() == table && ty != PageType::L1;
            if !entry.present() || itself || host().mm.frames.ram(entry.mfn()).is_none() {
                continue;
            }
            if let Some(owner) = owner.filter(|d| !d.privileged)
                && host()
                    .mm
                    .frames
                    .ram(entry.mfn())
                    .is_some_and(|p| p.owner() != owner.id)
            {
                self.foreign.push((owner.id, entry.mfn()));
            }
            match ty.level().and_then(|l| PageType::of_level(l - 1)) {
                Some(below) => self.typed(entry.mfn(), below),
                None if entry.writable() => self.typed(entry.mfn(), PageType::Writable),
                None => self.reference(entry.mfn()),
            }
        }
    }
}

/// What an audit of the pages found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Pages whose counts are not what they add up to.
    pub differences: Vec<Difference>,
    /// For each unprivileged domain, the pages of others that its tables map; each needs a grant.
    pub foreign: Vec<(DomainId, Mfn)>,
    /// RAM that is neither free nor anybody's: lost.
    pub lost: Vec<Mfn>,
    /// Pages of domains that do not exist (any more).
    pub orphans: Vec<(DomainId, Mfn)>,
    /// Domains whose accounts are wrong: pages in the account, and pages that are theirs.
    pub accounts: Vec<(DomainId, u64, u64)>,
}

fn zeroes(n: usize) -> Option<Vec<u32>> {
    let mut all = Vec::new();
    all.try_reserve_exact(n).ok()?;
    all.resize(n, 0);
    Some(all)
}

/// Compares all pages' counts; see [`examine`].
pub fn audit(stored: &[(Mfn, Option<PageType>)]) -> Vec<Difference> {
    examine(stored).map_or_else(Vec::new, |found| found.differences)
}

/// Compares all pages. `stored` are references that the hypervisor keeps elsewhere (FIFO event pages, grants' own
/// references): page and, if it is typed, the type. Empty findings mean that the books balance. `None` if there is
/// no memory for the sums (8 bytes per page of the machine).
pub fn examine(stored: &[(Mfn, Option<PageType>)]) -> Option<Findings> {
    let mm = &host().mm;
    let frames = mm.frames.len() as usize;
    let mut sums = Sums {
        references: zeroes(frames)?,
        uses: zeroes(frames)?,
        wrong: Vec::new(),
        foreign: Vec::new(),
    };
    let mut found = Findings::default();
    let mut domains: BTreeMap<u16, (Arc<Domain>, u64)> = BTreeMap::new();
    host().domains.for_each(|domain| {
        domains.insert(domain.id.0, (domain.clone(), 0));
    });
    for mfn in (0..frames as u64).map(Mfn::new) {
        let Some(page) = mm.frames.ram(mfn) else {
            continue;
        };
        let (word, kind) = (page.count_word(), page.kind_word());
        let owner = page.owner();
        if word & (count::FREE | count::RESERVED) == 0 {
            let theirs = domains.get_mut(&owner.0);
            if word & count::REFS == 0 {
                found.lost.push(mfn);
            } else if word & count::SHARED == 0 {
                match theirs {
                    Some((_, pages)) => *pages += 1,
                    None => found.orphans.push((owner, mfn)),
                }
            }
        }
        if word & count::ALLOCATED != 0 {
            if word & count::SHARED != 0 {
                sums.typed(mfn, kind.ty());
            } else {
                sums.reference(mfn);
            }
        }
        if kind.count() == 0 {
            continue;
        }
        if kind.has(Kind::PINNED) {
            sums.typed(mfn, kind.ty());
        }
        if kind.has(Kind::PARTIAL) {
            sums.typed(mfn, kind.ty());
        }
        if kind.ty().level().is_some() {
            let held = if kind.has(Kind::VALIDATED) {
                ENTRIES
            } else {
                kind.position()
            };
            let tables_of = domains.get(&owner.0).map(|(domain, _)| &**domain);
            sums.table(mfn, kind.ty(), held, tables_of);
        }
    }
    for (domain, _) in domains.values() {
        for vcpu in domain.vcpus() {
            let state = vcpu.pv().state();
            for l4 in state.tables.all() {
                sums.typed(l4, PageType::L4);
            }
            for &mfn in state.gdt.iter().chain(&state.ldt_frames) {
                if mfn != Mfn::INVALID {
                    sums.typed(mfn, PageType::SegDesc);
                }
            }
            if let Some(slot) = vcpu.info.get()
                && slot.frame != domain.shared_info
            {
                sums.typed(slot.frame.mfn(), PageType::Writable);
            }
        }
    }
    for &(mfn, ty) in stored {
        match ty {
            Some(ty) => sums.typed(mfn, ty),
            None => sums.reference(mfn),
        }
    }
    for mfn in (0..frames as u64).map(Mfn::new) {
        let Some(page) = mm.frames.ram(mfn) else {
            continue;
        };
        let (ty, uses) = page.page_type();
        let references = (page.references(), u64::from(sums.references[mfn.index()]));
        let uses = (uses, sums.uses[mfn.index()]);
        if references.0 != references.1 || uses.0 != uses.1 || sums.wrong.contains(&mfn) {
            found.differences.push(Difference {
                mfn,
                owner: page.owner(),
                references,
                uses,
                ty,
            });
        }
    }
    for (domain, pages) in domains.values() {
        let account = domain.mem.tot_pages();
        if account != *pages {
            found.accounts.push((domain.id, account, *pages));
        }
    }
    found.foreign = sums.foreign;
    Some(found)
}
