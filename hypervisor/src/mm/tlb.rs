//! What memory management needs of the TLBs: a clock that orders flushes, and flushes of sets of CPUs.

use core::sync::atomic::{AtomicU64, Ordering};

/// CPUs a mask can name.
pub const MAX_CPUS: usize = 256;

/// A set of CPUs that many may change at once.
#[derive(Debug, Default)]
pub struct CpuMask([AtomicU64; MAX_CPUS / 64]);

impl CpuMask {
    /// The empty set.
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; MAX_CPUS / 64])
    }

    /// Puts a CPU in; numbers beyond [`MAX_CPUS`] do not exist.
    pub fn insert(&self, cpu: usize) {
        if let Some(word) = self.0.get(cpu / 64) {
            word.fetch_or(1 << (cpu % 64), Ordering::SeqCst);
        }
    }

    /// Takes a CPU out.
    pub fn remove(&self, cpu: usize) {
        if let Some(word) = self.0.get(cpu / 64) {
            word.fetch_and(!(1 << (cpu % 64)), Ordering::SeqCst);
        }
    }

    /// Whether a CPU is in.
    pub fn contains(&self, cpu: usize) -> bool {
        self.0
            .get(cpu / 64)
            .is_some_and(|w| w.load(Ordering::SeqCst) & (1 << (cpu % 64)) != 0)
    }

    /// Its words, lowest CPUs first.
    pub fn words(&self) -> [u64; MAX_CPUS / 64] {
        core::array::from_fn(|i| self.0[i].load(Ordering::SeqCst))
    }
}

pub(super) use backend::{clock, flush_stale};
pub use backend::{flush_all, flush_local, flush_mask};

/// The simulated machine: a clock, and counts for tests to look at.
#[cfg(not(target_os = "none"))]
mod backend {
    use super::CpuMask;
    use std::cell::Cell;

    std::thread_local! {
        static CLOCK: Cell<u32> = const { Cell::new(1) };
        static FLUSHED: Cell<u32> = const { Cell::new(0) };
        static FLUSHES: Cell<u64> = const { Cell::new(0) };
    }

    /// The present moment; a flush that starts later has a higher number.
    pub fn clock() -> u32 {
        CLOCK.get()
    }

    fn flush() {
        CLOCK.set(CLOCK.get() + 1);
        FLUSHED.set(CLOCK.get());
        FLUSHES.set(FLUSHES.get() + 1);
    }

    /// Flushes those CPUs (none: all) that have not flushed since `stamp`.
    pub fn flush_stale(_mask: Option<&CpuMask>, stamp: u32) {
        if FLUSHED.get() <= stamp {
            flush();
        }
    }

    /// Flushes this CPU: everything, or one page.
    pub fn flush_local(_va: Option<u64>) {
        flush();
    }

    /// Flushes a set of CPUs.
    pub fn flush_mask(_cpus: [u64; super::MAX_CPUS / 64], _va: Option<u64>) {
        flush();
    }

    /// Flushes all CPUs.
    pub fn flush_all() {
        flush();
    }

    /// How many flushes there were (for tests).
    pub fn flushes() -> u64 {
        FLUSHES.get()
    }
}

#[cfg(not(target_os = "none"))]
pub use backend::flushes;

#[cfg(target_os = "none")]
mod backend {
    use super::CpuMask;

    /// The present moment; a flush that starts later has a higher number.
    pub fn clock() -> u32 {
        arch::tlb::clock()
    }

    /// Flushes those CPUs (none: all) that have not flushed since `stamp`.
    pub fn flush_stale(mask: Option<&CpuMask>, stamp: u32) {
        arch::tlb::flush_stale(mask.map(CpuMask::words), stamp);
    }

    /// Flushes this CPU: everything, or one page.
    pub fn flush_local(va: Option<u64>) {
        arch::tlb::flush_local(va);
    }

    /// Flushes a set of CPUs.
    pub fn flush_mask(cpus: [u64; super::MAX_CPUS / 64], va: Option<u64>) {
        arch::tlb::flush_mask(cpus, va);
    }

    /// Flushes all CPUs.
    pub fn flush_all() {
        arch::tlb::flush_mask([u64::MAX; super::MAX_CPUS / 64], None);
    }
}
