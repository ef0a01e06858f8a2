//! The machine-to-phys table: which pseudo-physical frame of its owner a machine frame is. Guests read it through their
//! own mapping (public/arch-x86/xen-x86_64.h, `MACH2PHYS_VIRT_START`); it binds nobody.

use core::sync::atomic::{AtomicU64, Ordering};

use arch::addr::{Gfn, Mfn};

/// The entry of a frame that is nobody's (`INVALID_M2P_ENTRY`).
pub const INVALID: u64 = u64::MAX;

/// The table.
pub struct MachineToPhys(&'static [AtomicU64]);

impl MachineToPhys {
    /// Over the writable view of a table that covers all RAM.
    pub fn new(table: &'static [AtomicU64]) -> Self {
        Self(table)
    }

    /// Frames covered.
    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }

    /// Whether it covers nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes an entry; frames beyond the table have none.
    pub fn set(&self, mfn: Mfn, gfn: Gfn) {
        if let Some(entry) = self.0.get(mfn.index()) {
            entry.store(gfn.get(), Ordering::Relaxed);
        }
    }

    /// Makes a frame nobody's.
    pub fn clear(&self, mfn: Mfn) {
        self.set(mfn, Gfn::new(INVALID));
    }

    /// What the table says.
    pub fn get(&self, mfn: Mfn) -> Gfn {
        Gfn::new(
            self.0
                .get(mfn.index())
                .map_or(INVALID, |e| e.load(Ordering::Relaxed)),
        )
    }
}
