//! The frame table: one [`PageInfo`] per machine frame, and references to pages.
//!
//! A frame's *count word* holds who owns it, what it is (RAM, free, allocated) and how many references exist, all in one
//! atomic, so that "is it this domain's and may I hold it" is one decision. A page is freed when the last reference goes;
//! the owner's allocation is itself a reference. No count can overflow: a reference that would is refused.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use arch::addr::Mfn;
use arch::frame::RawFrame;
use hypercall_abi::Errno;

use crate::domain::DomainId;
use crate::host::host;

/// Bits of the count word.
pub(super) mod count {
    /// References.
    pub const REFS: u64 = (1 << 40) - 1;
    /// The owner's allocation is outstanding; it accounts for one reference.
    pub const ALLOCATED: u64 = 1 << 40;
    /// A page of the hypervisor shared with its owner: in no accounting, and never a page table.
    pub const SHARED: u64 = 1 << 41;
    /// The frame is RAM that the allocator manages (or gave away). Without it the frame is device space.
    pub const RAM: u64 = 1 << 42;
    /// In the buddy allocator.
    pub const FREE: u64 = 1 << 43;
    /// Holds what its last owner left there: scrub before anyone else sees it.
    pub const DIRTY: u64 = 1 << 44;
    /// RAM that the hypervisor keeps to itself (image, heap, boot modules): nobody may map or reference it.
    pub const RESERVED: u64 = 1 << 45;
    /// With `DIRTY`: its contents have been cleared since, but CPUs may still cache translations to it.
    pub const SCRUBBED: u64 = 1 << 46;
    /// Where the owner's domain id starts.
    pub const OWNER_SHIFT: u32 = 48;

    /// Whether the page is free and holds what its last owner left there.
    pub const fn wants_scrub(word: u64) -> bool {
        word & (FREE | DIRTY | SCRUBBED) == FREE | DIRTY
    }
}

/// Bits of [`PageInfo::flags`].
pub(super) mod flags {
    /// Someone other than the owner had it mapped, so the owner's CPUs are not all that may cache translations.
    pub const FOREIGN: u8 = 1 << 0;
    /// Its owner's teardown has been at it; it is in that list of its owner's.
    pub const LEFT: u8 = 1 << 1;
}

/// The owner of pages that belong to nobody (`DOMID_INVALID`).
pub const NOBODY: DomainId = DomainId(0x7ff4);

/// What is known of one machine frame. All zeroes means: not RAM. 32 bytes.
#[derive(Default)]
#[repr(C, align(32))]
pub struct PageInfo {
    pub(super) count: AtomicU64,
    /// See `page_type`.
    pub(super) kind: AtomicU64,
    /// Links of the list it is in (a free list or its owner's pages): MFNs, 0 ends the list.
    pub(super) next: AtomicU32,
    pub(super) prev: AtomicU32,
    /// TLB clock when the type count (or, when free, the last reference) went.
    pub(super) stamp: AtomicU32,
    /// Held while the entries of a page table are changed; see `page_type::TableLock`.
    pub(super) lock: AtomicU8,
    pub(super) flags: AtomicU8,
    /// Order of the free block that starts here.
    pub(super) order: AtomicU8,
    /// NUMA node.
    pub(super) node: AtomicU8,
}

const _: () = assert!(size_of::<PageInfo>() == 32);

impl PageInfo {
    pub(super) fn count_word(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// The owner; `DOMID_IO` for what is not RAM.
    pub fn owner(&self) -> DomainId {
        let word = self.count_word();
        if word & count::RAM == 0 {
            DomainId::IO
        } else {
            DomainId((word >> count::OWNER_SHIFT) as u16)
        }
    }

    /// References, the owner's allocation included.
    pub fn references(&self) -> u64 {
        self.count_word() & count::REFS
    }

    /// Whether it is a page of the hypervisor shared with its owner.
    pub fn is_shared(&self) -> bool {
        self.count_word() & count::SHARED != 0
    }

    /// Writes the owner's name anew. The caller knows that nobody else does.
    pub(super) fn set_owner(&self, owner: DomainId) {
        let id = u64::from(owner.0) << count::OWNER_SHIFT;
        let below = (1 << count::OWNER_SHIFT) - 1;
        let mut word = self.count_word();
        while let Err(now) = self.count.compare_exchange_weak(
            word,
            word & below | id,
            Ordering::AcqRel,
            Ordering::Acquire,
        ) {
            word = now;
        }
    }

    pub(super) fn set_flag(&self, bits: u8) {
        if self.flags.load(Ordering::Relaxed) & bits != bits {
            self.flags.fetch_or(bits, Ordering::AcqRel);
        }
    }

    /// Takes a reference if the page is `owner`'s.
    fn try_reference(&self, owner: Option<DomainId>) -> Result<DomainId, Errno> {
        let mut word = self.count_word();
        loop {
            let found = DomainId((word >> count::OWNER_SHIFT) as u16);
            let refs = word & count::REFS;
            if word & (count::RAM | count::FREE) != count::RAM
                || refs == 0
                || owner.is_some_and(|o| o != found)
            {
                return Err(Errno::EINVAL);
            }
            // One below the limit, so that the holder of a reference can always duplicate it once.
            if refs >= count::REFS - 1 {
                return Err(Errno::EBUSY);
            }
            match self.count.compare_exchange_weak(
                word,
                word + 1,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return Ok(found),
                Err(now) => word = now,
            }
        }
    }

    /// Takes one more reference on a page that the caller (or a type count) already holds one on.
    pub(super) fn add_reference(&self) {
        let before = self.count.fetch_add(1, Ordering::AcqRel);
        debug_assert!(before & count::REFS != 0 && before & count::REFS < count::REFS);
    }

    /// Drops a reference; true when it was the last and the caller must free the page.
    #[must_use]
    pub(super) fn drop_reference(&self) -> bool {
        let before = self.count.fetch_sub(1, Ordering::AcqRel);
        assert!(
            before & count::REFS != 0,
            "page reference dropped that nobody held"
        );
        before & count::REFS == 1
    }

    /// Gives up the owner's allocation: true if it was outstanding, and then one reference is the caller's.
    #[must_use]
    pub(super) fn take_allocation(&self) -> bool {
        self.count.fetch_and(!count::ALLOCATED, Ordering::AcqRel) & count::ALLOCATED != 0
    }
}

/// All machine frames from 0 up.
pub struct FrameTable {
    pages: &'static [PageInfo],
}

impl FrameTable {
    /// Over a table that is all zeroes (`PageInfo::default()`): nothing is RAM yet.
    ///
    /// # Panics
    /// If the table covers more frames than 32-bit list links can name (16 TiB).
    pub fn new(pages: &'static [PageInfo]) -> Self {
        assert!(u32::try_from(pages.len()).is_ok());
        Self { pages }
    }

    /// Frames covered: MFNs 0 up to this.
    pub fn len(&self) -> u64 {
        self.pages.len() as u64
    }

    /// Whether it covers nothing.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// The entry of a frame, RAM or not; none beyond the table.
    #[inline]
    pub fn entry(&self, mfn: Mfn) -> Option<&'static PageInfo> {
        self.pages.get(mfn.index())
    }

    /// The entry of a frame of RAM; none for device space.
    #[inline]
    pub fn ram(&self, mfn: Mfn) -> Option<&'static PageInfo> {
        self.entry(mfn).filter(|p| p.count_word() & count::RAM != 0)
    }

    /// The entry of a frame that is known to be in the table: its number came out of it.
    #[inline]
    pub(super) fn known(&self, mfn: Mfn) -> &'static PageInfo {
        &self.pages[mfn.index()]
    }
}

/// Raw access to a frame of RAM that is kept alive by a reference, a type or a list that the caller holds.
#[allow(unsafe_code)]
#[inline]
pub(super) fn raw(mfn: Mfn) -> RawFrame {
    debug_assert!(host().mm.frames.ram(mfn).is_some());
    // SAFETY: every caller (this folder only) has found the frame's RAM bit set in the frame table. Frames that have
    // it lie in the direct map, and are handed to the heap or other Rust objects only through `Memory::into_heap`,
    // which clears it.
    unsafe { RawFrame::new(mfn) }
}

/// A reference to a page of RAM; given back on drop.
#[derive(Debug, PartialEq, Eq)]
pub struct PageRef(Mfn);

impl PageRef {
    /// The frame's number.
    pub const fn mfn(&self) -> Mfn {
        self.0
    }

    /// Access to its bytes, to be used only while this reference lives.
    pub fn frame(&self) -> RawFrame {
        raw(self.0)
    }

    /// The frame table's entry.
    pub fn info(&self) -> &'static PageInfo {
        host().mm.frames.known(self.0)
    }

    /// Keeps the reference beyond this value's life; whoever stores the MFN owns it.
    pub fn into_raw(self) -> Mfn {
        let mfn = self.0;
        core::mem::forget(self);
        mfn
    }

    /// Takes a stored reference back. The caller must have got `mfn` from [`Self::into_raw`] and use it once
    /// (a wrong count is caught when it reaches zero too early, by a hypervisor panic).
    pub const fn from_raw(mfn: Mfn) -> Self {
        Self(mfn)
    }
}

impl Clone for PageRef {
    fn clone(&self) -> Self {
        self.info().add_reference();
        Self(self.0)
    }
}

impl Drop for PageRef {
    fn drop(&mut self) {
        put_page(self.0);
    }
}

/// Drops one reference that is held on the page (see [`PageRef::into_raw`]); frees the page with the last one.
pub(crate) fn put_page(mfn: Mfn) {
    let mm = &host().mm;
    if mm.frames.known(mfn).drop_reference() {
        mm.free_last(mfn);
    }
}

/// A reference to a page if it is allocated RAM of this owner. `EINVAL` if not.
pub fn get_page(mfn: Mfn, owner: DomainId) -> Result<PageRef, Errno> {
    let page = host().mm.frames.entry(mfn).ok_or(Errno::EINVAL)?;
    page.try_reference(Some(owner)).map(|_| PageRef(mfn))
}

/// A reference to a page whoever owns it, and the owner. `EINVAL` if it is not allocated RAM.
pub fn get_page_of_any(mfn: Mfn) -> Result<(PageRef, DomainId), Errno> {
    let page = host().mm.frames.entry(mfn).ok_or(Errno::EINVAL)?;
    page.try_reference(None).map(|owner| (PageRef(mfn), owner))
}

/// The bare count operation behind [`get_page`], for page-table entries that own their references.
pub(super) fn reference(page: &PageInfo, owner: DomainId) -> Result<(), Errno> {
    page.try_reference(Some(owner)).map(|_| ())
}

/// A list of pages linked through the frame table; the holder's lock protects it.
#[derive(Debug, Default)]
pub(super) struct PageList {
    head: u32,
    len: u64,
}

impl PageList {
    pub(super) const fn new() -> Self {
        Self { head: 0, len: 0 }
    }

    pub(super) fn first(&self) -> Option<Mfn> {
        (self.head != 0).then(|| Mfn::new(self.head.into()))
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn next(table: &FrameTable, mfn: Mfn) -> Option<Mfn> {
        let next = table.known(mfn).next.load(Ordering::Relaxed);
        (next != 0).then(|| Mfn::new(next.into()))
    }

    pub(super) fn push(&mut self, table: &FrameTable, mfn: Mfn) {
        let (page, number) = (table.known(mfn), mfn.get() as u32);
        page.prev.store(0, Ordering::Relaxed);
        page.next.store(self.head, Ordering::Relaxed);
        if let Some(first) = self.first() {
            table.known(first).prev.store(number, Ordering::Relaxed);
        }
        self.head = number;
        self.len += 1;
    }

    pub(super) fn remove(&mut self, table: &FrameTable, mfn: Mfn) {
        let page = table.known(mfn);
        let next = page.next.swap(0, Ordering::Relaxed);
        let prev = page.prev.swap(0, Ordering::Relaxed);
        if prev == 0 {
            self.head = next;
        } else {
            table
                .known(Mfn::new(prev.into()))
                .next
                .store(next, Ordering::Relaxed);
        }
        if next != 0 {
            table
                .known(Mfn::new(next.into()))
                .prev
                .store(prev, Ordering::Relaxed);
        }
        self.len -= 1;
    }
}
