//! Device memory that even the domain with the right to it may only read: the tables of interrupt messages, which the
//! hypervisor programs, and the event timer that is its clock. A mapping asked for writable becomes a read-only one, and
//! what a guest kernel stores there all the same is dropped, as Xen does (`mmio_ro_ranges`).

use alloc::vec::Vec;

use arch::addr::{GuestVa, Mfn};
use arch::sync::SpinLock;

use super::{Memory, walk};
use crate::domain::Context;

/// Ranges of frames, first and last; one may be in it several times.
#[derive(Default)]
pub(super) struct ReadOnly(SpinLock<Vec<(u64, u64)>>);

impl ReadOnly {
    fn contains(&self, mfn: Mfn) -> bool {
        let ranges = self.0.lock();
        ranges
            .iter()
            .any(|&(first, last)| (first..=last).contains(&mfn.get()))
    }
}

impl Memory {
    /// From now on, guests get these device frames read-only. What is mapped already stays as it is.
    pub fn protect_device(&self, first: Mfn, last: Mfn) {
        self.read_only.0.lock().push((first.get(), last.get()));
    }

    /// Undoes one [`Self::protect_device`].
    pub fn release_device(&self, first: Mfn, last: Mfn) {
        let mut ranges = self.read_only.0.lock();
        let range = (first.get(), last.get());
        if let Some(at) = ranges.iter().position(|r| *r == range) {
            ranges.swap_remove(at);
        }
    }

    /// Whether guests may only read this device frame.
    pub fn device_read_only(&self, mfn: Mfn) -> bool {
        self.read_only.contains(mfn)
    }
}

/// Whether the guest has device memory mapped at `va` that it may only read.
pub fn read_only_device_at(cx: &Context, va: GuestVa) -> bool {
    let mm = &crate::host::host().mm;
    walk::current_table(cx)
        .and_then(|l4| walk::translate(l4, va))
        .is_some_and(|mfn| mm.frames.ram(mfn).is_none() && mm.device_read_only(mfn))
}
