//! Clearing free memory in advance: what pCPUs do that have nothing else to do, so that a guest's start does not wait for
//! it.

use core::sync::atomic::Ordering;

use arch::addr::Mfn;

use super::Memory;
use super::frame_table::count;

/// Frames that one step looks at.
const FRAMES: u64 = 4096;

impl Memory {
    /// Takes a small step: clears one page, or looks at some that need nothing. False when there is nothing left to do,
    /// or another pCPU is at it: several would only queue for the allocator's lock, and keep those waiting who need pages.
    pub fn scrub_some(&self) -> bool {
        if self.buddy.scrubbing.swap(true, Ordering::Acquire) {
            return false;
        }
        let more = self.scrub_step();
        self.buddy.scrubbing.store(false, Ordering::Release);
        more
    }

    fn scrub_step(&self) -> bool {
        let from = self.buddy.dirty_from.load(Ordering::Acquire);
        if from >= self.frames.len() {
            return false;
        }
        let end = from.saturating_add(FRAMES).min(self.frames.len());
        let dirty = |&mfn: &u64| count::wants_scrub(self.frames.known(Mfn::new(mfn)).count_word());
        let next = match (from..end).find(dirty) {
            Some(mfn) => {
                self.buddy.scrub(&self.frames, Mfn::new(mfn));
                mfn + 1
            }
            None => end,
        };
        // Where pages were freed below meanwhile, the search starts there.
        let _ =
            self.buddy
                .dirty_from
                .compare_exchange(from, next, Ordering::AcqRel, Ordering::Relaxed);
        true
    }

    /// Free pages that will have to be cleared.
    pub fn dirty_pages(&self) -> u64 {
        self.buddy.dirty.load(Ordering::Relaxed)
    }
}
