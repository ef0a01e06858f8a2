//! Raw access to page frames through the direct map.
//!
//! [`RawFrame`] is the one way to read or write RAM that guests can also see. All its accesses are atomic or
//! volatile bytes, never Rust references, so concurrent guest writes are harmless to the hypervisor.
#![allow(unsafe_code)]

use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use crate::addr::{Mfn, PAGE_BYTES};

/// A frame of RAM that the holder may access. Copyable; carries no reference count
/// (the hypervisor's `PageRef` does).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawFrame(Mfn);

macro_rules! words {
    ($read:ident, $write:ident, $cmpxchg:ident, $fetch_or:ident, $fetch_and:ident, $ty:ty, $atomic:ty) => {
        /// Reads an aligned word at byte `offset` (acquire).
        ///
        /// # Panics
        /// If the offset is unaligned or outside the frame (a hypervisor bug: offsets are checked by callers).
        #[inline]
        pub fn $read(self, offset: usize) -> $ty {
            self.word::<$atomic>(offset).load(Ordering::Acquire)
        }
        /// Writes an aligned word at byte `offset` (release). Panics as the reader does.
        #[inline]
        pub fn $write(self, offset: usize, value: $ty) {
            self.word::<$atomic>(offset).store(value, Ordering::Release)
        }
        /// Compare-and-exchange (sequentially consistent); `Err` holds the value found. Panics as the reader does.
        #[inline]
        pub fn $cmpxchg(self, offset: usize, old: $ty, new: $ty) -> Result<$ty, $ty> {
            self.word::<$atomic>(offset).compare_exchange(
                old,
                new,
                Ordering::SeqCst,
                Ordering::SeqCst,
            )
        }
        /// Atomic or; returns the previous value. Panics as the reader does.
        #[inline]
        pub fn $fetch_or(self, offset: usize, bits: $ty) -> $ty {
            self.word::<$atomic>(offset)
                .fetch_or(bits, Ordering::SeqCst)
        }
        /// Atomic and; returns the previous value. Panics as the reader does.
        #[inline]
        pub fn $fetch_and(self, offset: usize, bits: $ty) -> $ty {
            self.word::<$atomic>(offset)
                .fetch_and(bits, Ordering::SeqCst)
        }
    };
}

impl RawFrame {
    /// Grants access to a frame.
    ///
    /// # Safety
    /// `mfn` is RAM inside the direct map, holds no Rust object, and stays so while this value or a copy is used
    /// (the caller holds a page reference, or owns the frame).
    pub const unsafe fn new(mfn: Mfn) -> Self {
        Self(mfn)
    }

    /// The frame's number.
    pub const fn mfn(self) -> Mfn {
        self.0
    }

    #[inline]
    fn base(self) -> *mut u8 {
        crate::frame::direct_map(self.0)
    }

    #[inline]
    fn word<A>(self, offset: usize) -> &'static A {
        assert!(offset.is_multiple_of(size_of::<A>()) && offset <= PAGE_BYTES - size_of::<A>());
        // SAFETY: the frame is mapped RAM (contract of `new`), the offset is aligned and inside it, and `A` is an
        // atomic integer type (only used so in this file), valid for any bit pattern and any concurrent access.
        unsafe { &*self.base().add(offset).cast::<A>() }
    }

    words!(
        read_u8,
        write_u8,
        cmpxchg_u8,
        fetch_or_u8,
        fetch_and_u8,
        u8,
        AtomicU8
    );
    words!(
        read_u16,
        write_u16,
        cmpxchg_u16,
        fetch_or_u16,
        fetch_and_u16,
        u16,
        AtomicU16
    );
    words!(
        read_u32,
        write_u32,
        cmpxchg_u32,
        fetch_or_u32,
        fetch_and_u32,
        u32,
        AtomicU32
    );
    words!(
        read_u64,
        write_u64,
        cmpxchg_u64,
        fetch_or_u64,
        fetch_and_u64,
        u64,
        AtomicU64
    );

    /// Copies bytes out; not atomic as a whole. Panics if the range leaves the frame.
    pub fn read(self, offset: usize, out: &mut [u8]) {
        assert!(offset <= PAGE_BYTES && out.len() <= PAGE_BYTES - offset);
        // SAFETY: source is mapped RAM inside the frame, destination a distinct Rust buffer (frames hold no Rust
        // objects); racing guest writes can only change which bytes are copied.
        unsafe {
            core::ptr::copy_nonoverlapping(self.base().add(offset), out.as_mut_ptr(), out.len())
        }
    }

    /// Copies bytes in; not atomic as a whole. Panics if the range leaves the frame.
    pub fn write(self, offset: usize, data: &[u8]) {
        assert!(offset <= PAGE_BYTES && data.len() <= PAGE_BYTES - offset);
        // SAFETY: as in `read`, with the roles exchanged.
        unsafe {
            core::ptr::copy_nonoverlapping(data.as_ptr(), self.base().add(offset), data.len())
        }
    }

    /// Copies bytes from a part of a frame to one of this, which may be the same frame and the parts may overlap; not atomic as
    /// a whole. Panics if a part leaves its frame.
    pub fn copy_part_from(self, offset: usize, source: RawFrame, from: usize, len: usize) {
        assert!(offset <= PAGE_BYTES && len <= PAGE_BYTES - offset);
        assert!(from <= PAGE_BYTES && len <= PAGE_BYTES - from);
        // SAFETY: both parts are mapped RAM inside their frames, without Rust objects; `copy` allows them to overlap, and
        // racing guest writes can only change which bytes are copied.
        unsafe { core::ptr::copy(source.base().add(from), self.base().add(offset), len) }
    }

    /// Writes the cache lines of a byte range back to memory and drops them, on all CPUs. Panics if the range leaves
    /// the frame.
    pub fn flush_cache(self, offset: usize, len: usize) {
        assert!(offset <= PAGE_BYTES && len <= PAGE_BYTES - offset);
        // 64-byte lines: every processor that Oxen runs on has them.
        #[cfg(target_os = "none")]
        for line in (offset & !63..offset + len).step_by(64) {
            // SAFETY: the address is mapped RAM inside the frame; the instruction changes no memory contents.
            unsafe {
                core::arch::asm!("clflush [{}]", in(reg) self.base().add(line), options(nostack, preserves_flags));
            }
        }
    }

    /// Fills the whole frame with zeroes.
    pub fn zero(self) {
        // SAFETY: the whole frame is mapped RAM without Rust objects (contract of `new`).
        unsafe { core::ptr::write_bytes(self.base(), 0, PAGE_BYTES) }
    }

    /// Copies a whole frame.
    pub fn copy_frame_from(self, source: RawFrame) {
        // SAFETY: both frames are mapped RAM without Rust objects; `copy` allows them to be the same.
        unsafe { core::ptr::copy(source.base(), self.base(), PAGE_BYTES) }
    }
}

/// An optional [`RawFrame`] that one CPU publishes and others read without a lock. Like `RawFrame` it carries no
/// reference: whoever clears it waits until no reader can still use what it held.
#[derive(Debug)]
pub struct AtomicFrame(AtomicU64);

impl AtomicFrame {
    const NONE: u64 = u64::MAX;

    /// Holds no frame.
    pub const fn none() -> Self {
        Self(AtomicU64::new(Self::NONE))
    }

    /// The frame, if there is one.
    #[inline]
    pub fn load(&self) -> Option<RawFrame> {
        match self.0.load(Ordering::SeqCst) {
            Self::NONE => None,
            mfn => Some(RawFrame(Mfn(mfn))),
        }
    }

    /// Publishes a frame, or takes it away.
    pub fn store(&self, frame: Option<RawFrame>) {
        self.0
            .store(frame.map_or(Self::NONE, |f| f.0.get()), Ordering::SeqCst);
    }
}

/// A place in a frame (a frame and a byte offset below its size), published atomically in one word.
#[derive(Debug)]
pub struct AtomicPlace(AtomicU64);

impl AtomicPlace {
    const NONE: u64 = u64::MAX;

    /// No place.
    pub const fn none() -> Self {
        Self(AtomicU64::new(Self::NONE))
    }

    /// The place, if there is one.
    #[inline]
    pub fn load(&self) -> Option<(RawFrame, usize)> {
        match self.0.load(Ordering::SeqCst) {
            Self::NONE => None,
            word => Some((
                RawFrame(Mfn(word >> crate::addr::PAGE_SHIFT)),
                (word % PAGE_BYTES as u64) as usize,
            )),
        }
    }

    /// Publishes a place, or takes it away.
    ///
    /// # Panics
    /// If the offset leaves the frame (a hypervisor bug).
    pub fn store(&self, place: Option<(RawFrame, usize)>) {
        let word = place.map_or(Self::NONE, |(frame, offset)| {
            assert!(offset < PAGE_BYTES);
            frame.0.addr().get() | offset as u64
        });
        self.0.store(word, Ordering::SeqCst);
    }
}

/// A run of frames that only the hypervisor uses, as ordinary memory (boot modules, unpack buffers).
#[derive(Debug)]
pub struct FrameBytes {
    first: Mfn,
    frames: usize,
}

impl FrameBytes {
    /// Takes the frames over.
    ///
    /// # Safety
    /// The frames are RAM inside the direct map, adjacent, and nobody else reads or writes them while this value lives.
    pub const unsafe fn new(first: Mfn, frames: usize) -> Self {
        Self { first, frames }
    }

    /// The first frame.
    pub const fn first(&self) -> Mfn {
        self.first
    }

    /// How many frames.
    pub const fn frames(&self) -> usize {
        self.frames
    }

    /// The contents.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: adjacent RAM in the direct map that nobody else writes (contract of `new`), borrowed with `self`.
        unsafe { core::slice::from_raw_parts(direct_map(self.first), self.frames * PAGE_BYTES) }
    }

    /// The contents, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and borrowed mutably.
        unsafe { core::slice::from_raw_parts_mut(direct_map(self.first), self.frames * PAGE_BYTES) }
    }
}

/// Where the direct map shows a frame.
#[cfg(target_os = "none")]
#[inline]
pub(crate) fn direct_map(mfn: Mfn) -> *mut u8 {
    (DIRECT_MAP_BASE + (mfn.get() << crate::addr::PAGE_SHIFT)) as *mut u8
}

#[cfg(not(target_os = "none"))]
pub(crate) fn direct_map(mfn: Mfn) -> *mut u8 {
    crate::hosted::ram_frame(mfn)
}

/// First virtual address of the direct map (bare backend); see docs/architecture.md.
pub const DIRECT_MAP_BASE: u64 = 0xffff_8300_0000_0000;
