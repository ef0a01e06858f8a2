//! The kernel heap: size classes over page runs from the page allocator.
//!
//! Objects up to half a page come from per-class free lists; larger ones are page runs of a power of two. Before the
//! page allocator exists, page runs come from a small static pool and are never given back. Constant time, and a freed
//! object is found again by the next request of its class.
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

#[repr(C, align(4096))]
struct EarlyPool(UnsafeCell<[u8; EARLY]>);

// SAFETY: every byte is handed out at most once, through the atomic cursor.
unsafe impl Sync for EarlyPool {}

static POOL: EarlyPool = EarlyPool(UnsafeCell::new([0; EARLY]));
static EARLY_USED: AtomicUsize = AtomicUsize::new(0);
static PAGES: AtomicU64 = AtomicU64::new(0);

/// Classes 16, 32, ... 2048 bytes.
const CLASSES: usize = 8;
const SMALLEST_SHIFT: u32 = 4;

struct FreeList(*mut FreeObject);
struct FreeObject {
    next: *mut FreeObject,
}
// SAFETY: the list owns the free objects it links.
unsafe impl Send for FreeList {}

static LISTS: [SpinLock<FreeList>; CLASSES] =
    [const { SpinLock::new(FreeList(null_mut())) }; CLASSES];

/// Lets the heap grow from the page allocator from now on.
pub fn set_page_source(source: PageSource) {
    SOURCE.call_once(|| source);
}

/// Frames that the heap has taken from the page allocator.
pub fn pages_in_use() -> u64 {
    PAGES.load(Ordering::Relaxed)
}

fn early_run(bytes: usize) -> *mut u8 {
    let start = EARLY_USED.fetch_add(bytes, Ordering::Relaxed);
    if start + bytes > EARLY {
        return null_mut();
    }
    // SAFETY: the range was reserved for this caller alone and lies inside the pool.
    unsafe { POOL.0.get().cast::<u8>().add(start) }
}

fn in_pool(p: *mut u8) -> bool {
    let start = POOL.0.get() as usize;
    (start..start + EARLY).contains(&(p as usize))
}

fn take_run(order: u32) -> *mut u8 {
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
// gave to the heap alone; a run is naturally aligned as buddy runs are (early runs: page-aligned, enough for any layout
// up to a page's alignment).
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let class = match place(layout) {
            None => return null_mut(),
            Some(Place::Run(order)) => return take_run(order),
            Some(Place::Class(class)) => class,
        };
        let mut list = LISTS[class].lock();
        if list.0.is_null() {
            let run = take_run(0);
            if run.is_null() {
                return null_mut();
            }
            let size = 1usize << (class as u32 + SMALLEST_SHIFT);
            for offset in (0..PAGE_BYTES).step_by(size) {
                // SAFETY: the run is a fresh page; each object in it is aligned and large enough for the link.
                unsafe {
                    let object = run.add(offset).cast::<FreeObject>();
                    object.write(FreeObject { next: list.0 });
                    list.0 = object;
                }
            }
        }
        let object = list.0;
        // SAFETY: a non-null list head is a free object of this class.
        list.0 = unsafe { (*object).next };
        object.cast()
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        match place(layout) {
            None => {}
            Some(Place::Run(order)) => give_run(ptr, order),
            Some(Place::Class(class)) => {
                let mut list = LISTS[class].lock();
                let object = ptr.cast::<FreeObject>();
                // SAFETY: the caller gives the object back, so it is ours to link.
                unsafe { object.write(FreeObject { next: list.0 }) };
                list.0 = object;
            }
        }
    }
}
