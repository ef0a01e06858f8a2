//! Guest page tables, walked in software.

use arch::addr::{GuestVa, Mfn};

use super::frame_table::raw;
use super::validate::read;
use crate::domain::Context;
use crate::host::host;

/// The top-level table that the calling vCPU runs on.
#[inline]
pub(super) fn current_table(cx: &Context) -> Option<Mfn> {
    let state = cx.vcpu.pv().state();
    state.tables.for_mode(state.kernel_mode)
}

/// Addresses between the halves name nothing.
const fn canonical(va: u64) -> bool {
    let top = va as i64 >> 47;
    top == 0 || top == -1
}

fn index(va: u64, level: u32) -> usize {
    (va >> (12 + 9 * (level - 1)) & 511) as usize
}

/// The L1 table that maps `va` under `l4`, and the entry's index in it. `None` if an upper entry is missing or `va` is
/// not the guest's. The table may be another's by the time the caller looks: lock it and check.
#[inline]
pub fn walk(l4: Mfn, va: GuestVa) -> Option<(Mfn, usize)> {
    let va = va.get();
    if !canonical(va) || !super::validate::guest_slot(index(va, 4)) {
        return None;
    }
    let frames = &host().mm.frames;
    let mut table = l4;
    for level in [4, 3, 2] {
        // A table can be freed and reused by a racing vCPU; whatever is read then, only RAM is followed.
        frames.ram(table)?;
        let entry = read(raw(table), index(va, level));
        if !entry.present() || entry.upper_refused() {
            return None;
        }
        table = entry.mfn();
    }
    frames.ram(table)?;
    Some((table, index(va, 1)))
}

/// The frame that `va` maps to under `l4`, RAM or not; `None` if it maps nothing.
pub fn translate(l4: Mfn, va: GuestVa) -> Option<Mfn> {
    entry(l4, va).map(super::Pte::mfn)
}

/// The present L1 entry for `va` under `l4`.
pub fn entry(l4: Mfn, va: GuestVa) -> Option<super::Pte> {
    let (l1, index) = walk(l4, va)?;
    Some(read(raw(l1), index)).filter(|e| e.present())
}
