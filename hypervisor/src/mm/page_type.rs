//! Page types: what a page of a PV guest is used as, and how that changes.
//!
//! The *kind word* of a page holds a type, a count of its uses as that type, and the state of its validation:
//!
//! | state | count | flags | who owns the count |
//! |---|---|---|---|
//! | unused | 0 | - | nobody; the type field remembers the last use, for which stale TLB entries may exist |
//! | in use | n > 0 | `VALIDATED` | n users |
//! | exclusive | 1 | none | the CPU that is changing the page's state; all others wait |
//! | suspended | 1 | `PARTIAL` | the page itself, with one reference; `[0, position)` of its entries are held |
//!
//! Transitions: unused → exclusive → in use (validated; flushed first if the type changes), in use (last user) →
//! exclusive → unused (entries released, stamp taken). A long validation or release stops in between as *suspended*;
//! whoever clears `PARTIAL` continues it, in either direction. Nothing else refers to a suspended page's state, so a
//! lost continuation costs the guest that page's use and nobody anything else (XSA-299, XSA-310).
//!
//! The stamp is taken and the old type's flush done in the exclusive state, so neither can race with another change
//! (XSA-241, XSA-401).

use core::sync::atomic::Ordering;

use arch::addr::Mfn;
use arch::frame::RawFrame;
use hypercall_abi::Errno;
use spin::relax::RelaxStrategy;

use super::frame_table::{FrameTable, PageInfo, PageRef, flags, get_page, put_page};
use super::{tlb, validate};
use crate::domain::Domain;
use crate::fail::Fail;
use crate::host::host;
use crate::preempt::Budget;

/// What a page is used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PageType {
    /// Nothing in particular.
    None = 0,
    /// Page table of level 1 (holds PTEs).
    L1 = 1,
    /// Page directory.
    L2 = 2,
    /// Page directory pointer table.
    L3 = 3,
    /// Top-level table.
    L4 = 4,
    /// GDT or LDT page.
    SegDesc = 5,
    /// Mapped writable, or written by the hypervisor for the guest.
    Writable = 6,
}

impl PageType {
    const fn from_bits(bits: u64) -> Self {
        match bits & 7 {
            1 => Self::L1,
            2 => Self::L2,
            3 => Self::L3,
            4 => Self::L4,
            5 => Self::SegDesc,
            6 => Self::Writable,
            _ => Self::None,
        }
    }

    /// The level of a page table, 1 to 4.
    pub const fn level(self) -> Option<u8> {
        match self {
            Self::L1 | Self::L2 | Self::L3 | Self::L4 => Some(self as u8),
            _ => None,
        }
    }

    /// The page table type of a level.
    pub const fn of_level(level: u8) -> Option<Self> {
        match level {
            1 => Some(Self::L1),
            2 => Some(Self::L2),
            3 => Some(Self::L3),
            4 => Some(Self::L4),
            _ => None,
        }
    }
}

/// A kind word, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Kind(pub u64);

impl Kind {
    const COUNT: u64 = 0xffff_ffff;
    const POSITION_SHIFT: u32 = 32;
    const POSITION: u64 = 0x3ff << Self::POSITION_SHIFT;
    /// The entry at the position refers to a table that was left suspended on this one's behalf.
    pub const BELOW: u64 = 1 << 42;
    const TYPE_SHIFT: u32 = 44;
    const TYPE: u64 = 7 << Self::TYPE_SHIFT;
    /// Pinned by the guest; accounts for one of the count.
    pub const PINNED: u64 = 1 << 48;
    pub const VALIDATED: u64 = 1 << 49;
    pub const PARTIAL: u64 = 1 << 50;

    pub const fn new(ty: PageType, count: u32, flags: u64) -> Self {
        Self(((ty as u64) << Self::TYPE_SHIFT) | count as u64 | flags)
    }
    pub const fn count(self) -> u32 {
        (self.0 & Self::COUNT) as u32
    }
    pub const fn ty(self) -> PageType {
        PageType::from_bits((self.0 & Self::TYPE) >> Self::TYPE_SHIFT)
    }
    pub const fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }
    pub const fn position(self) -> usize {
        ((self.0 & Self::POSITION) >> Self::POSITION_SHIFT) as usize
    }
}

impl PageInfo {
    pub(super) fn kind_word(&self) -> Kind {
        Kind(self.kind.load(Ordering::Acquire))
    }

    fn kind_exchange(&self, old: Kind, new: Kind) -> bool {
        self.kind
            .compare_exchange_weak(old.0, new.0, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Whether a pin keeps its page-table type.
    pub fn is_pinned(&self) -> bool {
        self.kind_word().has(Kind::PINNED)
    }

    /// Its type now, and how many uses of it there are.
    pub fn page_type(&self) -> (PageType, u32) {
        let kind = self.kind_word();
        (kind.ty(), kind.count())
    }

    /// Whether it is in use as `ty`, completely validated.
    pub(super) fn is_valid(&self, ty: PageType) -> bool {
        let kind = self.kind_word();
        kind.ty() == ty && kind.count() > 0 && kind.has(Kind::VALIDATED)
    }
}

/// Why a type was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TypeError {
    /// The page cannot have it.
    Errno(Errno),
    /// The budget ran out; asking again continues.
    Restart,
}

impl From<Errno> for TypeError {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

/// How far dropping a type came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Dropped {
    /// Done.
    Done,
    /// The page was left suspended; [`finish`] continues.
    Suspended,
}

/// Where a validation or release stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Progress {
    /// Entries `[0, position)` are held.
    pub position: usize,
    /// The entry at the position was left suspended.
    pub below: bool,
}

/// The page lock: whoever changes entries of a page table in use holds it. Locks are taken in descending order of
/// table level.
pub(super) struct TableLock<'a>(&'a PageInfo);

impl<'a> TableLock<'a> {
    #[inline]
    pub fn new(page: &'a PageInfo) -> Self {
        while page
            .lock
            .compare_exchange_weak(0, 1, Ordering::SeqCst, Ordering::Relaxed)
            .is_err()
        {
            arch::sync::Service::relax();
        }
        Self(page)
    }
}

impl Drop for TableLock<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.lock.store(0, Ordering::Release);
    }
}

/// Adds a use of `ty` to a page on which the caller holds a reference. `domain` is the one on whose behalf (for page
/// tables: the owner). On `Restart` the page is suspended and the caller holds no type.
#[inline]
pub(super) fn get_type(
    mfn: Mfn,
    page: &PageInfo,
    ty: PageType,
    domain: &Domain,
    budget: &Budget,
) -> Result<(), TypeError> {
    loop {
        let kind = page.kind_word();
        if kind.count() == 0 {
            let same = kind.ty() == ty;
            if same && ty == PageType::Writable {
                if page.kind_exchange(kind, Kind::new(ty, 1, Kind::VALIDATED)) {
                    return Ok(());
                }
                continue;
            }
            if page.kind_exchange(kind, Kind::new(ty, 1, 0)) {
                if !same && kind.ty() != PageType::None {
                    flush_for_type_change(page, domain);
                }
                return begin(mfn, page, ty, domain, budget, Progress::default());
            }
        } else if kind.ty() != ty {
            return Err(Errno::EINVAL.into());
        } else if kind.has(Kind::VALIDATED) {
            if kind.count() >= u32::MAX - 1 {
                return Err(Errno::EBUSY.into());
            }
            if page.kind_exchange(kind, Kind(kind.0 + 1)) {
                return Ok(());
            }
        } else if kind.has(Kind::PARTIAL) {
            if page.kind_exchange(kind, Kind::new(ty, 1, 0)) {
                let progress = Progress {
                    position: kind.position(),
                    below: false,
                };
                let done = begin(mfn, page, ty, domain, budget, progress);
                // The suspended state's own reference; a renewed suspension took another.
                put_page(mfn);
                return done;
            }
        } else {
            arch::sync::Service::relax();
        }
    }
}

/// Exclusive → in use, suspended or unused.
fn begin(
    mfn: Mfn,
    page: &PageInfo,
    ty: PageType,
    domain: &Domain,
    budget: &Budget,
    progress: Progress,
) -> Result<(), TypeError> {
    let (result, progress) = match ty {
        PageType::None | PageType::Writable => (Ok(()), progress),
        PageType::SegDesc => (validate::segment_descriptors(mfn), progress),
        PageType::L1 => validate::l1(mfn, domain, budget),
        PageType::L2 | PageType::L3 | PageType::L4 => {
            validate::upper(mfn, ty, domain, budget, progress.position)
        }
    };
    match result {
        Ok(()) => {
            page.kind
                .store(Kind::new(ty, 1, Kind::VALIDATED).0, Ordering::Release);
            Ok(())
        }
        Err(TypeError::Restart) => {
            suspend(page, ty, progress);
            Err(TypeError::Restart)
        }
        Err(error) => {
            if release(mfn, page, ty, budget, progress) == Dropped::Suspended {
                super::defer(mfn);
            }
            Err(error)
        }
    }
}

/// Exclusive → suspended. The page keeps itself alive meanwhile.
fn suspend(page: &PageInfo, ty: PageType, progress: Progress) {
    page.add_reference();
    let position = (progress.position as u64) << Kind::POSITION_SHIFT;
    let below = if progress.below { Kind::BELOW } else { 0 };
    page.kind.store(
        Kind::new(ty, 1, Kind::PARTIAL | position | below).0,
        Ordering::Release,
    );
}

/// Exclusive → unused or suspended: gives back what the entries hold.
fn release(
    mfn: Mfn,
    page: &PageInfo,
    ty: PageType,
    budget: &Budget,
    progress: Progress,
) -> Dropped {
    let rest = match ty {
        PageType::L1 => {
            validate::release_l1(mfn, progress.position, budget);
            None
        }
        PageType::L2 | PageType::L3 | PageType::L4 => {
            validate::release_upper(mfn, ty, budget, progress)
        }
        PageType::None | PageType::SegDesc | PageType::Writable => None,
    };
    if let Some(progress) = rest {
        suspend(page, ty, progress);
        return Dropped::Suspended;
    }
    page.stamp.store(tlb::clock(), Ordering::Release);
    page.kind.store(Kind::new(ty, 0, 0).0, Ordering::Release);
    Dropped::Done
}

/// Drops a use of the page's type that the caller holds. If it was the last, the type's consequences are undone, as
/// far as the budget goes.
#[inline]
pub(super) fn put_type(mfn: Mfn, page: &PageInfo, budget: &Budget) -> Dropped {
    loop {
        let kind = page.kind_word();
        assert!(kind.count() > 0, "page type dropped that nobody held");
        if kind.count() > 1 {
            if page.kind_exchange(kind, Kind(kind.0 - 1)) {
                return Dropped::Done;
            }
            continue;
        }
        debug_assert!(kind.has(Kind::VALIDATED) && !kind.has(Kind::PINNED));
        if page.kind_exchange(kind, Kind::new(kind.ty(), 1, 0)) {
            let ty = kind.ty();
            if ty.level().is_some() {
                // Let an update that saw the page valid finish; later ones see that it is not.
                drop(TableLock::new(page));
            }
            let progress = Progress {
                position: validate::ENTRIES,
                below: false,
            };
            return release(mfn, page, ty, budget, progress);
        }
    }
}

/// Continues the release of a page that may be suspended; does nothing if it is not (any more), or not `owner`'s.
pub(super) fn finish(mfn: Mfn, owner: crate::domain::DomainId, budget: &Budget) -> Dropped {
    let Ok(held) = get_page(mfn, owner) else {
        return Dropped::Done;
    };
    let page = held.info();
    loop {
        let kind = page.kind_word();
        if !kind.has(Kind::PARTIAL) {
            return Dropped::Done;
        }
        if page.kind_exchange(kind, Kind::new(kind.ty(), 1, 0)) {
            let progress = Progress {
                position: kind.position(),
                below: kind.has(Kind::BELOW),
            };
            let dropped = release(mfn, page, kind.ty(), budget, progress);
            put_page(mfn); // the suspended state's own
            return dropped;
        }
    }
}

/// Sets the pin, which takes over one use that the caller holds. False if it was pinned already.
pub(super) fn set_pinned(page: &PageInfo) -> bool {
    page.kind.fetch_or(Kind::PINNED, Ordering::AcqRel) & Kind::PINNED == 0
}

/// Takes the pin away: true if it was there, and then one use and one reference are the caller's.
pub(super) fn clear_pinned(page: &PageInfo) -> bool {
    let mut kind = page.kind_word();
    while kind.has(Kind::PINNED) {
        if page.kind_exchange(kind, Kind(kind.0 & !Kind::PINNED)) {
            return true;
        }
        kind = page.kind_word();
    }
    false
}

/// Before a page is used as something else, no CPU may still act on what it was: neither write to it through a stale
/// mapping, nor walk it as a page table.
fn flush_for_type_change(page: &PageInfo, domain: &Domain) {
    let stamp = page.stamp.load(Ordering::Acquire);
    let foreign = page.flags.load(Ordering::Acquire) & flags::FOREIGN != 0;
    if foreign || page.owner() != domain.id {
        page.flags.fetch_and(!flags::FOREIGN, Ordering::AcqRel);
        tlb::flush_stale(None, stamp);
    } else {
        tlb::flush_stale(Some(&domain.mem.dirty_cpus), stamp);
    }
}

/// A reference together with a use of a type.
#[derive(Debug)]
pub struct TypedRef(PageRef);

impl TypedRef {
    /// The frame's number.
    pub const fn mfn(&self) -> Mfn {
        self.0.mfn()
    }

    /// Access to its bytes, to be used only while this lives.
    pub fn frame(&self) -> RawFrame {
        self.0.frame()
    }

    /// Keeps both beyond this value's life; whoever stores the MFN owns them.
    pub fn into_raw(self) -> Mfn {
        let mfn = self.mfn();
        core::mem::forget(self);
        mfn
    }

    /// Takes both back; see [`PageRef::from_raw`].
    pub const fn from_raw(mfn: Mfn) -> Self {
        Self(PageRef::from_raw(mfn))
    }

    /// Gives the type use up and keeps the reference.
    pub fn into_page(self) -> PageRef {
        let mfn = self.into_raw();
        drop_type(mfn);
        PageRef::from_raw(mfn)
    }
}

impl Drop for TypedRef {
    fn drop(&mut self) {
        drop_type(self.mfn());
        // The field's drop gives the reference back.
    }
}

/// Drops a type use; a page table that would take long is finished later on its owner's behalf.
fn drop_type(mfn: Mfn) {
    let page = host().mm.frames.known(mfn);
    if put_type(mfn, page, &Budget::new()) == Dropped::Suspended {
        super::defer(mfn);
    }
}

/// A reference to `owner`'s page together with a use as `ty`. `EINVAL` if the page is not the owner's or is used as
/// something else; `ERESTART` if it is a page table whose validation is long: asking again goes on.
pub fn get_page_and_type(mfn: Mfn, owner: &Domain, ty: PageType) -> Result<TypedRef, Fail> {
    into_typed(get_page(mfn, owner.id)?, owner, ty)
}

/// The same for a reference to a page of `owner`'s that the caller has; it is gone after an error.
pub fn into_typed(page: PageRef, owner: &Domain, ty: PageType) -> Result<TypedRef, Fail> {
    debug_assert!(page.info().owner() == owner.id);
    match get_type(page.mfn(), page.info(), ty, owner, &Budget::new()) {
        Ok(()) => Ok(TypedRef(page)),
        Err(TypeError::Errno(errno)) => Err(errno.into()),
        Err(TypeError::Restart) => Err(Errno::ERESTART.into()),
    }
}

/// The entry of a table's frame, for callers that found the number in a validated entry.
pub(super) fn info(mfn: Mfn) -> &'static PageInfo {
    let table: &FrameTable = &host().mm.frames;
    table.known(mfn)
}
