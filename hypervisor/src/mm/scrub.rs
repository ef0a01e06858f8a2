//! Clearing free memory in advance: what pCPUs do that have nothing else to do, so that a guest's start does not wait for
//! it.

use core::ops::Range;
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
        let Some(window) = self.next_window() else {
            return false;
        };
        self.scrub_in(window);
        true
    }

    /// The frames that a step searches. The next search starts behind them, or where pages are freed from here on: who
    /// frees a page that this search has passed moves the start back.
    pub(super) fn next_window(&self) -> Option<Range<u64>> {
        let start = &self.buddy.dirty_from;
        let from = start.load(Ordering::Acquire);
        if from >= self.frames.len() {
            return None;
        }
        let end = from.saturating_add(FRAMES).min(self.frames.len());
        match start.compare_exchange(from, end, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Some(from..end),
            // Something was freed below: nothing to search here before that.
            Err(_) => Some(from..from),
        }
    }

    /// Clears the first page of a window that wants it, and leaves the rest of it to the next step.
    pub(super) fn scrub_in(&self, mut window: Range<u64>) {
        let dirty = |&mfn: &u64| count::wants_scrub(self.frames.known(Mfn::new(mfn)).count_word());
        if let Some(mfn) = window.find(dirty) {
            self.buddy.scrub(&self.frames, Mfn::new(mfn));
            self.buddy.dirty_from.fetch_min(mfn + 1, Ordering::AcqRel);
        }
    }

    /// Free pages that will have to be cleared.
    pub fn dirty_pages(&self) -> u64 {
        self.buddy.dirty.load(Ordering::Relaxed)
    }
}
