//! Recomputes every reference and type count from what page tables and vCPUs say, and compares.
//!
//! For tests and a debug key: the machine must be quiet (no hypercall in progress elsewhere), or counts in flight
//! show up as differences.

use alloc::vec::Vec;
use core::fmt;

use arch::addr::Mfn;

use super::frame_table::{count, raw};
use super::page_type::{Kind, PageType};
use super::validate::{ENTRIES, guest_slot, read};
use crate::host::host;

/// A page whose counts are not what its uses add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The page.
    pub mfn: Mfn,
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
            "page {}: {} references (uses: {}), {} times {:?} (uses: {})",
            self.mfn, self.references.0, self.references.1, self.uses.0, self.ty, self.uses.1
        )
    }
}

/// What each page's uses add up to.
struct Sums {
    references: Vec<u32>,
    uses: Vec<u32>,
    /// Uses as a type that the page does not have.
    wrong: Vec<Mfn>,
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
    fn table(&mut self, table: Mfn, ty: PageType, held: usize) {
        let frame = raw(table);
        for index in 0..held {
            if ty == PageType::L4 && !guest_slot(index) {
                continue;
            }
            let entry = read(frame, index);
            if !entry.present() || host().mm.frames.ram(entry.mfn()).is_none() {
                continue;
            }
            match ty.level().and_then(|l| PageType::of_level(l - 1)) {
                Some(below) => self.typed(entry.mfn(), below),
                None if entry.writable() => self.typed(entry.mfn(), PageType::Writable),
                None => self.reference(entry.mfn()),
            }
        }
    }
}

/// Compares all pages. `stored` are references that the hypervisor keeps elsewhere (FIFO event pages, grants' own
/// references): page and, if it is typed, the type. An empty result means that the books balance.
pub fn audit(stored: &[(Mfn, Option<PageType>)]) -> Vec<Difference> {
    let mm = &host().mm;
    let frames = mm.frames.len() as usize;
    let mut sums = Sums {
        references: alloc::vec![0; frames],
        uses: alloc::vec![0; frames],
        wrong: Vec::new(),
    };
    for mfn in (0..frames as u64).map(Mfn::new) {
        let Some(page) = mm.frames.ram(mfn) else {
            continue;
        };
        let (word, kind) = (page.count_word(), page.kind_word());
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
            sums.table(mfn, kind.ty(), held);
        }
    }
    host().domains.for_each(|domain| {
        for vcpu in domain.vcpus() {
            let state = vcpu.pv().state();
            for l4 in [state.tables.kernel, state.tables.user]
                .into_iter()
                .flatten()
            {
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
    });
    for &(mfn, ty) in stored {
        match ty {
            Some(ty) => sums.typed(mfn, ty),
            None => sums.reference(mfn),
        }
    }
    let mut differences = Vec::new();
    for mfn in (0..frames as u64).map(Mfn::new) {
        let Some(page) = mm.frames.ram(mfn) else {
            continue;
        };
        let (ty, uses) = page.page_type();
        let references = (page.references(), u64::from(sums.references[mfn.index()]));
        let uses = (uses, sums.uses[mfn.index()]);
        if references.0 != references.1 || uses.0 != uses.1 || sums.wrong.contains(&mfn) {
            differences.push(Difference {
                mfn,
                references,
                uses,
                ty,
            });
        }
    }
    differences
}
