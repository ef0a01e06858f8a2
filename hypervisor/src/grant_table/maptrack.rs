//! What a domain has mapped of others' grants: handles, and which entry each stands for.
//!
//! Free handles are kept in several lists, a vCPU's picked by its id, so that vCPUs that map at the same time seldom
//! meet. An empty list takes from the others first and grows by a chunk only when all are empty: what a domain maps at a
//! time decides its memory, not on which vCPUs it did.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};

use arch::cpu::speculation;
use arch::sync::{Once, SpinLock};

use crate::domain::Domain;
use crate::host::host;

/// Handles per chunk; the limit is set in frames of this many entries.
pub(super) const CHUNK: u32 = 256;
/// Lists of free handles.
const SHARDS: usize = 8;
/// No handle: the end of a free list.
const NONE: u32 = u32::MAX;

/// What a handle stands for. A reference to the granting domain is kept, so that it can always be unmapped.
#[derive(Clone)]
pub(super) struct Mapping {
    pub(super) domain: Arc<Domain>,
    pub(super) gref: u32,
    /// Mapped into page tables.
    pub(super) host: bool,
    /// Mapped for devices.
    pub(super) device: bool,
    pub(super) read_only: bool,
    /// `GNTMAP_*` as the guest gave them.
    pub(super) flags: u32,
}

impl Mapping {
    /// Whether this is the same mapping as `other`, as far as it still exists.
    pub(super) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.domain, &other.domain) && self.gref == other.gref
    }
}

/// A place for a mapping.
pub(super) struct Slot {
    pub(super) mapping: SpinLock<Option<Mapping>>,
    /// The next free handle while this one is free.
    next: AtomicU32,
}

/// Slots of [`CHUNK`] handles, once they exist.
type Chunk = Once<Box<[Slot]>>;

/// A domain's handles.
pub(super) struct Maptrack {
    chunks: Once<Box<[Chunk]>>,
    /// Chunks that exist; the lock orders their creation.
    count: SpinLock<u32>,
    /// Chunks there may be.
    limit: AtomicU32,
    free: [SpinLock<u32>; SHARDS],
}

impl Maptrack {
    pub(super) const fn new(limit: u32) -> Self {
        Self {
            chunks: Once::new(),
            count: SpinLock::new(0),
            limit: AtomicU32::new(limit),
            free: [const { SpinLock::new(NONE) }; SHARDS],
        }
    }

    /// Sets the limit in chunks. Takes effect only before the first mapping.
    pub(super) fn set_limit(&self, chunks: u32) {
        self.limit.store(chunks, Ordering::Release);
    }

    /// The slot of a handle that a guest names.
    pub(super) fn slot(&self, handle: u32) -> Option<&Slot> {
        speculation::get(self.chunks.get()?, (handle / CHUNK) as usize)?
            .get()?
            .get((handle % CHUNK) as usize)
    }

    /// Handles that exist.
    pub(super) fn len(&self) -> u32 {
        *self.count.lock() * CHUNK
    }

    /// Takes a free handle for a vCPU; `None` at the limit or when memory is short.
    pub(super) fn take(&self, vcpu: u32) -> Option<u32> {
        let own = vcpu as usize % SHARDS;
        self.pop(own)
            .or_else(|| (1..SHARDS).find_map(|i| self.pop((own + i) % SHARDS)))
            .or_else(|| self.grow(own))
    }

    /// Gives a handle back whose slot is empty.
    pub(super) fn put(&self, vcpu: u32, handle: u32) {
        if let (Some(list), Some(slot)) = (self.free.get(vcpu as usize % SHARDS), self.slot(handle))
        {
            let mut head = list.lock();
            slot.next.store(*head, Ordering::Relaxed);
            *head = handle;
        }
    }

    /// Handles in the free lists; as many as there are at most, should a list be a circle.
    pub(super) fn count_free(&self) -> u32 {
        let all = self.len();
        let mut free = 0;
        for list in &self.free {
            let head = list.lock();
            let mut next = *head;
            while free <= all
                && let Some(slot) = self.slot(next)
            {
                free += 1;
                next = slot.next.load(Ordering::Relaxed);
            }
        }
        free
    }

    fn pop(&self, shard: usize) -> Option<u32> {
        let mut head = self.free.get(shard)?.lock();
        let handle = *head;
        let slot = self.slot(handle)?;
        *head = slot.next.load(Ordering::Relaxed);
        Some(handle)
    }

    /// Adds a chunk: one of its handles for the caller, the others for the list.
    fn grow(&self, shard: usize) -> Option<u32> {
        let mut count = self.count.lock();
        let limit = self.limit.load(Ordering::Acquire);
        if *count >= limit || host().mm.may_grow().is_err() {
            return None;
        }
        if self.chunks.get().is_none() {
            let mut places = Vec::new();
            places.try_reserve_exact(limit as usize).ok()?;
            places.extend((0..limit).map(|_| Once::new()));
            self.chunks.call_once(|| places.into_boxed_slice());
        }
        let place = self.chunks.get()?.get(*count as usize)?;
        let first = *count * CHUNK;
        let mut slots = Vec::new();
        slots.try_reserve_exact(CHUNK as usize).ok()?;
        // Chained from the second on; the last one's link is set below.
        slots.extend((0..CHUNK).map(|i| Slot {
            mapping: SpinLock::new(None),
            next: AtomicU32::new(if i + 1 < CHUNK { first + i + 1 } else { NONE }),
        }));
        place.call_once(|| slots.into_boxed_slice());
        *count += 1;
        drop(count);
        let mut head = self.free.get(shard)?.lock();
        if let Some(last) = self.slot(first + CHUNK - 1) {
            last.next.store(*head, Ordering::Relaxed);
            *head = first + 1;
        }
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_of_one_vcpu_serve_the_others_before_there_are_more() {
        crate::simulated::switch_on(crate::simulated::layout(0x400));
        let track = Maptrack::new(2);
        let taken: Vec<u32> = (0..CHUNK).map_while(|i| track.take(i)).collect();
        assert_eq!(taken.len() as u32, CHUNK);
        assert_eq!(track.len(), CHUNK);
        assert!(track.take(3).is_some());
        assert_eq!(track.len(), 2 * CHUNK);
    }
}
