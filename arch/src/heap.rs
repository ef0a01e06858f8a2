//! The kernel heap: size classes over page runs from the page allocator.
//!
//! Objects up to half a page come from slabs, one list of slabs with room per class; larger ones are page runs of a power
//! of two. Before the page allocator exists, runs come from a small static pool and are never given back; slabs, which stay
//! of use, take what is left of it later. Constant time,
//! a freed object is found again by the next request of its class, and a slab whose last object was freed goes back to
//! the page allocator: a domain that is gone has left no page behind.
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::addr::{Mfn, PAGE_BYTES, PAGE_SHIFT};
use crate::frame::DIRECT_MAP_BASE;
use crate::sync::{Once, SpinLock};

/// Where page runs come from: 2^order frames of RAM in the direct map that nobody else uses.
pub struct PageSource {
    /// Takes a run; `None` when memory is short.
    pub take: fn(order: u32) -> Option<Mfn>,
    /// Gives a run back.
    pub give: fn(start: Mfn, order: u32),
}

static SOURCE: Once<PageSource> = Once::new();

/// Bytes of the early pool.
const EARLY: usize = 512 * 1024;

/// Two pages: what the largest slab must be aligned to.
const POOL_ALIGN: usize = 2 * PAGE_BYTES;

#[repr(C, align(8192))]
struct EarlyPool(UnsafeCell<[u8; EARLY]>);

// SAFETY: every byte is handed out at most once, through the atomic cursor.
unsafe impl Sync for EarlyPool {}

static POOL: EarlyPool = EarlyPool(UnsafeCell::new([0; EARLY]));
static EARLY_USED: AtomicUsize = AtomicUsize::new(0);
static PAGES: AtomicU64 = AtomicU64::new(0);

/// Classes 16, 32, ... 2048 bytes.
const CLASSES: usize = 8;
const SMALLEST_SHIFT: u32 = 4;

/// Pages of a slab as a power of two: the larger classes take two pages, so that the header costs them little.
const fn slab_order(class: usize) -> u32 {
    if class < 5 { 0 } else { 1 }
}

/// The head of a slab; its objects follow at multiples of their size.
struct Slab {
    previous: *mut Slab,
    next: *mut Slab,
    free: *mut FreeObject,
    used: usize,
}
struct FreeObject {
    next: *mut FreeObject,
}

/// The slabs of one class that have room, last used first, and how many objects of the class are in use.
struct Class {
    first: *mut Slab,
    used: u64,
}
// SAFETY: the list owns the slabs it links and the free objects in them.
unsafe impl Send for Class {}

static LISTS: [SpinLock<Class>; CLASSES] = [const { SpinLock::new(Class::new()) }; CLASSES];

impl Class {
    const fn new() -> Self {
        Self {
            first: null_mut(),
            used: 0,
        }
    }

    /// Makes a slab of a fresh run.
    ///
    /// # Safety
    /// `run` is `bytes` long, aligned to that (a power of two), and nobody else's.
    unsafe fn add(&mut self, run: *mut u8, bytes: usize, size: usize) {
        let slab = run.cast::<Slab>();
        let mut free = null_mut();
        let first = size_of::<Slab>().next_multiple_of(size);
        for offset in (first..bytes).step_by(size).rev() {
            // SAFETY: inside the run, behind the header; aligned and large enough for the link.
            unsafe {
                let object = run.add(offset).cast::<FreeObject>();
                object.write(FreeObject { next: free });
                free = object;
            }
        }
        // SAFETY: the header is the run's beginning, before the first object.
        unsafe {
            slab.write(Slab {
                previous: null_mut(),
                next: null_mut(),
                free,
                used: 0,
            });
            self.link(slab);
        }
    }

    /// An object of the first slab with room; null when there is none.
    fn take(&mut self) -> *mut u8 {
        let slab = self.first;
        if slab.is_null() {
            return null_mut();
        }
        // SAFETY: a listed slab is ours and has a free object.
        unsafe {
            let object = (*slab).free;
            (*slab).free = (*object).next;
            (*slab).used += 1;
            if (*slab).free.is_null() {
                self.unlink(slab);
            }
            self.used += 1;
            object.cast()
        }
    }

    /// Takes an object back; the slab's run if that was its last one and it need not be kept.
    ///
    /// # Safety
    /// `object` came from `take` of this class, whose slabs have `bytes`, and nobody uses it any more.
    unsafe fn give(&mut self, object: *mut u8, bytes: usize, keep: bool) -> Option<*mut u8> {
        let run = object.map_addr(|address| address & !(bytes - 1));
        let slab = run.cast::<Slab>();
        let object = object.cast::<FreeObject>();
        self.used -= 1;
        // SAFETY: slabs are aligned to their length, so the header is there; the object is ours again.
        unsafe {
            let was_full = (*slab).free.is_null();
            object.write(FreeObject { next: (*slab).free });
            (*slab).free = object;
            (*slab).used -= 1;
            if was_full {
                self.link(slab);
            }
            if (*slab).used == 0 && !keep {
                self.unlink(slab);
                return Some(run);
            }
        }
        None
    }

    /// # Safety
    /// `slab` is a slab of this class that is not in the list.
    unsafe fn link(&mut self, slab: *mut Slab) {
        // SAFETY: both are slabs of this class, under its lock.
        unsafe {
            (*slab).previous = null_mut();
            (*slab).next = self.first;
            if !self.first.is_null() {
                (*self.first).previous = slab;
            }
        }
        self.first = slab;
    }

    /// # Safety
    /// `slab` is in the list.
    unsafe fn unlink(&mut self, slab: *mut Slab) {
        // SAFETY: a listed slab's neighbours are listed slabs, under the class's lock.
        unsafe {
            let (previous, next) = ((*slab).previous, (*slab).next);
            if previous.is_null() {
                self.first = next;
            } else {
                (*previous).next = next;
            }
            if !next.is_null() {
                (*next).previous = previous;
            }
        }
    }
}

/// Lets the heap grow from the page allocator from now on.
pub fn set_page_source(source: PageSource) {
    SOURCE.call_once(|| source);
}

/// Frames that the heap has taken from the page allocator.
pub fn pages_in_use() -> u64 {
    PAGES.load(Ordering::Relaxed)
}

/// Bytes of the early pool, which is part of the image, and how many of them are taken.
pub fn early_pool() -> (usize, usize) {
    (EARLY, EARLY_USED.load(Ordering::Relaxed))
}

/// Objects in slabs that are in use. Larger ones are page runs, which show in [`pages_in_use`].
pub fn objects_in_use() -> u64 {
    LISTS.iter().map(|list| list.lock().used).sum()
}

fn early_run(bytes: usize) -> *mut u8 {
    let reserve = |used: usize| {
        let start = used.next_multiple_of(bytes.min(POOL_ALIGN));
        (start + bytes <= EARLY).then_some(start + bytes)
    };
    match EARLY_USED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve) {
        // SAFETY: the range was reserved for this caller alone and lies inside the pool.
        Ok(used) => unsafe {
            POOL.0
                .get()
                .cast::<u8>()
                .add(used.next_multiple_of(bytes.min(POOL_ALIGN)))
        },
        Err(_) => null_mut(),
    }
}

fn in_pool(p: *mut u8) -> bool {
    let start = POOL.0.get() as usize;
    (start..start + EARLY).contains(&(p as usize))
}

/// A run from the page allocator, or from the early pool while there is no other or for a slab, as long as that lasts.
fn take_run(order: u32, slab: bool) -> *mut u8 {
    if slab {
        let run = early_run(PAGE_BYTES << order);
        if !run.is_null() {
            return run;
        }
    }
    match SOURCE.get() {
        Some(source) => match (source.take)(order) {
            Some(mfn) => {
                PAGES.fetch_add(1 << order, Ordering::Relaxed);
                crate::frame::direct_map(mfn)
            }
            None => null_mut(),
        },
        None => early_run(PAGE_BYTES << order),
    }
}

fn give_run(p: *mut u8, order: u32) {
    if in_pool(p) {
        return;
    }
    if let Some(source) = SOURCE.get() {
        PAGES.fetch_sub(1 << order, Ordering::Relaxed);
        (source.give)(Mfn::new((p as u64 - DIRECT_MAP_BASE) >> PAGE_SHIFT), order);
    }
}

/// The allocator; the binary makes it the global one.
pub struct Heap;

enum Place {
    Class(usize),
    Run(u32),
}

fn place(layout: Layout) -> Option<Place> {
    let size = layout
        .size()
        .max(layout.align())
        .max(1 << SMALLEST_SHIFT)
        .checked_next_power_of_two()?;
    let shift = size.trailing_zeros();
    if shift < SMALLEST_SHIFT + CLASSES as u32 {
        Some(Place::Class((shift - SMALLEST_SHIFT) as usize))
    } else {
        Some(Place::Run(shift.saturating_sub(PAGE_SHIFT)))
    }
}

// SAFETY: a class hands out disjoint naturally aligned objects of at least the layout's size from runs that the source
// gave to the heap alone; a run is naturally aligned as buddy runs are (early runs: to two pages at most, enough for any
// slab and any layout up to a page's alignment).
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let class = match place(layout) {
            None => return null_mut(),
            Some(Place::Run(order)) => return take_run(order, false),
            Some(Place::Class(class)) => class,
        };
        let mut list = LISTS[class].lock();
        let object = list.take();
        if !object.is_null() {
            return object;
        }
        let order = slab_order(class);
        let run = take_run(order, true);
        if run.is_null() {
            return null_mut();
        }
        // SAFETY: a fresh run of that length, aligned to it.
        unsafe {
            list.add(
                run,
                PAGE_BYTES << order,
                1 << (class as u32 + SMALLEST_SHIFT),
            )
        };
        list.take()
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        match place(layout) {
            None => {}
            Some(Place::Run(order)) => give_run(ptr, order),
            Some(Place::Class(class)) => {
                let order = slab_order(class);
                // SAFETY: the caller gives back what `alloc` took from this class.
                let empty = unsafe {
                    LISTS[class]
                        .lock()
                        .give(ptr, PAGE_BYTES << order, in_pool(ptr))
                };
                if let Some(run) = empty {
                    give_run(run, order);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::alloc::{alloc, dealloc};

    /// Takes and gives in an order that visits full, partial and empty slabs; every run comes back, none early.
    #[test]
    fn every_slab_goes_back_when_its_last_object_does() {
        for class in 0..CLASSES {
            let (size, bytes) = (16usize << class, PAGE_BYTES << slab_order(class));
            let layout = Layout::from_size_align(bytes, bytes).unwrap();
            let (mut list, mut runs, mut live) = (Class::new(), 0, Vec::new());
            let mut random = 0x1234_5678_9abc_def1u64;
            for round in 0..4000 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let growing = (round / 500u32).is_multiple_of(2);
                if random.is_multiple_of(4) != growing || live.is_empty() {
                    let mut object = list.take();
                    if object.is_null() {
                        // SAFETY: the layout's size is not zero, and the run is that long and aligned.
                        unsafe { list.add(alloc(layout), bytes, size) };
                        runs += 1;
                        object = list.take();
                    }
                    assert!((object as usize).is_multiple_of(size));
                    // SAFETY: a fresh object of that size.
                    unsafe { object.write_bytes(live.len() as u8, size) };
                    live.push(object);
                } else {
                    let object = live.swap_remove(random as usize % live.len());
                    // SAFETY: it came from this list.
                    if let Some(run) = unsafe { list.give(object, bytes, false) } {
                        runs -= 1;
                        // SAFETY: it came from `alloc` with this layout.
                        unsafe { dealloc(run, layout) };
                    }
                }
                let room = bytes / size - size_of::<Slab>().div_ceil(size);
                assert!(runs * room >= live.len());
            }
            assert_eq!(list.used, live.len() as u64);
            let mut all: Vec<usize> = live.iter().map(|object| *object as usize).collect();
            all.sort_unstable();
            assert!(all.windows(2).all(|pair| pair[1] - pair[0] >= size));
            for object in live {
                // SAFETY: as above.
                if let Some(run) = unsafe { list.give(object, bytes, false) } {
                    runs -= 1;
                    // SAFETY: as above.
                    unsafe { dealloc(run, layout) };
                }
            }
            assert_eq!(runs, 0);
            assert!(list.first.is_null());
            assert_eq!(list.used, 0);
        }
    }

    #[test]
    fn a_slab_of_the_early_pool_stays() {
        let layout = Layout::from_size_align(PAGE_BYTES, PAGE_BYTES).unwrap();
        let mut list = Class::new();
        // SAFETY: as above; the object came from this list.
        unsafe {
            let run = alloc(layout);
            list.add(run, PAGE_BYTES, 64);
            let object = list.take();
            assert!(list.give(object, PAGE_BYTES, true).is_none());
            assert_eq!(list.take(), object);
            dealloc(run, layout);
        }
    }
}
