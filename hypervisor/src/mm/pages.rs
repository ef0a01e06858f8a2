//! Pages given to domains and taken back, and the accounting of that.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arch::addr::Mfn;
use arch::sync::SpinLock;
use hypercall_abi::Errno;

use super::buddy::Constraint;
use super::frame_table::{self, PageInfo, PageList, PageRef, count, flags, put_page, raw};
use super::page_type::{self, Kind, PageType};
use super::{CpuMask, Memory, tlb};
use crate::domain::{Domain, DomainId};
use crate::host::host;
use crate::preempt::Budget;

/// What a domain's accounting lock protects.
#[derive(Debug, Default)]
struct Account {
    pages: PageList,
    /// Pages that the teardown gave up and someone still refers to.
    left: PageList,
    max_pages: u64,
    /// Pages stolen from it whose place is kept for what comes in exchange.
    held: u64,
    /// Pages claimed and not yet allocated.
    claimed: u64,
}

impl Account {
    fn total(&self) -> u64 {
        self.pages.len() + self.left.len()
    }

    /// Whether `pages` more are within the limit.
    fn admits(&self, pages: u64) -> bool {
        self.total()
            .checked_add(self.held)
            .and_then(|n| n.checked_add(pages))
            .is_some_and(|n| n <= self.max_pages)
    }
}

/// An entry of a guest's memory map (public `e820entry`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapEntry {
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub size: u64,
    /// E820 type.
    pub kind: u32,
}

/// A domain's memory: accounting, its pages, what it may map.
#[derive(Default)]
pub struct DomainMemory {
    account: SpinLock<Account>,
    /// CPUs where it runs or ran since they last dropped its translations. The context switch puts CPUs in before
    /// the domain's tables are loaded and takes them out after a full flush.
    pub dirty_cpus: CpuMask,
    /// Suspended page tables whose release someone must continue.
    pub(super) unfinished: SpinLock<Vec<Mfn>>,
    pub(super) has_unfinished: AtomicBool,
    /// It has, or had, a table with an entry for itself.
    linear: AtomicBool,
    /// Machine frames of devices it may map besides a privileged domain's rights: first and last, inclusive.
    devices: SpinLock<Vec<(u64, u64)>>,
    has_devices: AtomicBool,
    /// What XENMEM_set_memory_map said.
    pub(super) map: SpinLock<Arc<Vec<MapEntry>>>,
    /// The nodes that its pages come from as long as they have some, a bit each (domctl setnodeaffinity); 0: any.
    nodes: AtomicU64,
}

impl DomainMemory {
    /// No memory yet, and none allowed.
    pub fn new() -> Self {
        Self {
            account: SpinLock::new(Account {
                pages: PageList::new(),
                left: PageList::new(),
                max_pages: 0,
                held: 0,
                claimed: 0,
            }),
            dirty_cpus: CpuMask::new(),
            unfinished: SpinLock::new(Vec::new()),
            has_unfinished: AtomicBool::new(false),
            linear: AtomicBool::new(false),
            devices: SpinLock::new(Vec::new()),
            has_devices: AtomicBool::new(false),
            map: SpinLock::default(),
            nodes: AtomicU64::new(0),
        }
    }

    /// The nodes that its pages come from as long as they have some, a bit each; 0: any.
    pub fn nodes(&self) -> u64 {
        self.nodes.load(Ordering::Relaxed)
    }

    /// Sets them, for pages that it gets from now on.
    pub fn set_nodes(&self, nodes: u64) {
        self.nodes.store(nodes, Ordering::Relaxed);
    }

    fn place(&self, asked: Constraint) -> Constraint {
        Constraint {
            preferred: self.nodes(),
            ..asked
        }
    }

    pub(super) fn set_linear(&self) {
        self.linear.store(true, Ordering::Release);
    }

    /// Whether one of its tables may have an entry for itself, through which it sees its tables.
    #[inline]
    pub(super) fn has_linear(&self) -> bool {
        self.linear.load(Ordering::Acquire)
    }

    /// Pages it has.
    pub fn tot_pages(&self) -> u64 {
        self.account.lock().total()
    }

    /// Most pages it may have.
    pub fn max_pages(&self) -> u64 {
        self.account.lock().max_pages
    }

    /// Sets that limit. Pages beyond it stay, more are not given.
    pub fn set_max_pages(&self, pages: u64) {
        self.account.lock().max_pages = pages;
    }

    /// Pages claimed for it and not yet allocated.
    pub fn outstanding_claim(&self) -> u64 {
        self.account.lock().claimed
    }

    /// Lets it map device frames `first..=last`, or takes that right away (domctl iomem_permission). `ENOMEM`.
    pub fn permit_device(&self, first: u64, last: u64, allow: bool) -> Result<(), Errno> {
        if allow {
            host().mm.may_grow()?;
        }
        let mut devices = self.devices.lock();
        let mut rest = Vec::new();
        rest.try_reserve_exact(devices.len() + 2)
            .map_err(|_| Errno::ENOMEM)?;
        for &(from, to) in devices.iter() {
            if to < first || from > last {
                rest.push((from, to));
                continue;
            }
            if from < first {
                rest.push((from, first - 1));
            }
            if to > last {
                rest.push((last + 1, to));
            }
        }
        if allow {
            rest.push((first, last));
        }
        self.has_devices.store(!rest.is_empty(), Ordering::Release);
        *devices = rest;
        Ok(())
    }

    /// Whether it may map this frame of device memory.
    pub fn may_map_device(&self, domain: &Domain, mfn: Mfn) -> bool {
        let mm = &host().mm;
        if mm.device_denied(mfn) {
            return false;
        }
        domain.privileged
            || self.has_devices.load(Ordering::Acquire)
                && self
                    .devices
                    .lock()
                    .iter()
                    .any(|&(from, to)| (from..=to).contains(&mfn.get()))
    }

    /// Whether its mappings may choose cacheability: only domains with device memory (XSA-402).
    pub fn may_control_caches(&self, domain: &Domain) -> bool {
        domain.privileged || self.has_devices.load(Ordering::Acquire)
    }

    /// Calls `f` with each of its pages until it says stop. The account is locked meanwhile: for tools and audits.
    pub fn for_each_page(&self, mut f: impl FnMut(Mfn) -> bool) {
        let account = self.account.lock();
        let table = &host().mm.frames;
        let mut next = account.pages.first();
        while let Some(mfn) = next {
            if !f(mfn) {
                return;
            }
            next = PageList::next(table, mfn);
        }
    }
}

/// How pages are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AllocFlags {
    /// Where they may lie.
    pub place: Constraint,
    /// For dom0's builder: the new owner is trusted with what the pages hold, and may have what is kept for the hypervisor,
    /// since without dom0 nothing runs.
    pub builder: bool,
}

/// Most pages that stay free for the hypervisor itself because there is much memory.
const MOST_RESERVED: u64 = 1024;
/// Pages that stay free for each CPU: more than a hypercall takes between two questions ([`Memory::may_grow`]), the
/// longest array that is copied in included.
const RESERVED_FOR_CPU: u64 = 32;

/// Pages that stay free for the hypervisor itself on a machine with `total`, besides those for each CPU.
pub(super) fn reserve_of(total: u64) -> u64 {
    (total / 4096).min(MOST_RESERVED)
}

impl Memory {
    /// Pages that stay free, and promised to nobody, for the hypervisor's own heap whatever guests ask for.
    pub fn reserve(&self) -> u64 {
        self.reserve.load(Ordering::Relaxed)
    }

    /// One more CPU runs, and makes hypercalls at the same time as the others.
    pub fn reserve_for_cpu(&self) {
        self.reserve.fetch_add(RESERVED_FOR_CPU, Ordering::Relaxed);
    }

    /// Keeps another number of pages for the hypervisor: test machines are too small to have any.
    #[cfg(test)]
    pub(crate) fn set_reserve(&self, pages: u64) {
        self.reserve.store(pages, Ordering::Relaxed);
    }

    /// Free pages that are neither promised to claims nor kept for the hypervisor.
    pub fn available_pages(&self) -> u64 {
        let unpromised = self.buddy.statistics().unpromised();
        unpromised.saturating_sub(self.reserve())
    }

    /// To be asked before something of the hypervisor's grows on a guest's behalf: the heap does not know for whom it
    /// allocates, and what is kept for the hypervisor is not for that. `ENOMEM` when only that is left.
    pub fn may_grow(&self) -> Result<(), Errno> {
        if self.buddy.statistics().unpromised() < self.reserve() {
            return Err(Errno::ENOMEM);
        }
        Ok(())
    }

    /// The count word of an allocated page with one reference, the owner's.
    fn allocated(owner: DomainId, bits: u64) -> u64 {
        (u64::from(owner.0) << count::OWNER_SHIFT) | count::RAM | count::ALLOCATED | bits | 1
    }

    /// Makes freshly allocated frames harmless: no CPU caches translations to them, and their old contents are gone.
    pub(super) fn clean(&self, mfn: Mfn, order: u32, no_scrub: bool) {
        let now = tlb::clock();
        // Clock ticks since the youngest of them was freed.
        let mut age: Option<u32> = None;
        let mut unscrubbed = 0;
        for i in 0..1u64 << order {
            let mfn = mfn.offset(i);
            let page = self.frames.known(mfn);
            let word = page.count_word();
            if word & count::DIRTY != 0 {
                let stamp = page.stamp.load(Ordering::Acquire);
                let ticks = now.wrapping_sub(stamp);
                age = Some(age.map_or(ticks, |a| a.min(ticks)));
                if word & count::SCRUBBED == 0 {
                    unscrubbed += 1;
                    if !no_scrub {
                        raw(mfn).zero();
                    }
                }
            }
        }
        if unscrubbed > 0 {
            let count = &self.buddy.dirty;
            let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                Some(n.saturating_sub(unscrubbed))
            });
        }
        if let Some(age) = age {
            tlb::flush_stale(None, now.wrapping_sub(age));
        }
    }

    fn start(&self, page: &PageInfo, owner: DomainId, kind: Kind, bits: u64) {
        page.flags.store(0, Ordering::Relaxed);
        page.kind.store(kind.0, Ordering::Relaxed);
        page.count
            .store(Self::allocated(owner, bits), Ordering::Release);
    }

    /// Gives `domain` a block of 2^order pages. `EINVAL` if it is dying, `ENOMEM` if it has its limit or there is none.
    pub fn alloc_domain_pages(
        &self,
        domain: &Domain,
        order: u32,
        how: AllocFlags,
    ) -> Result<Mfn, Errno> {
        let pages = 1u64.checked_shl(order).ok_or(Errno::ENOMEM)?;
        let claimed = {
            let account = domain.mem.account.lock();
            if domain.is_dying() {
                return Err(Errno::EINVAL);
            }
            if !account.admits(pages) {
                return Err(Errno::ENOMEM);
            }
            account.claimed >= pages
        };
        // No guest's growth, dom0's neither, takes what the hypervisor itself may need in the middle of something.
        let spare = if how.builder { 0 } else { self.reserve() };
        let place = domain.mem.place(how.place);
        let mfn = self
            .buddy
            .allocate(&self.frames, order, place, !claimed, spare)
            .ok_or(Errno::ENOMEM)?;
        self.clean(mfn, order, how.builder);
        let mut account = domain.mem.account.lock();
        // Both may have changed while the lock was not held.
        if domain.is_dying() || !account.admits(pages) {
            drop(account);
            self.buddy.free(&self.frames, mfn, order, how.builder);
            return Err(Errno::ENOMEM);
        }
        for i in 0..pages {
            let mfn = mfn.offset(i);
            self.start(
                self.frames.known(mfn),
                domain.id,
                Kind::new(PageType::None, 0, 0),
                0,
            );
            account.pages.push(&self.frames, mfn);
        }
        let used = account.claimed.min(pages);
        account.claimed -= used;
        drop(account);
        if used > 0 {
            self.buddy.unclaim(used);
        }
        Ok(mfn)
    }

    /// A zeroed page of the hypervisor shared with `domain` (shared_info, grant table frames), writable by it or not.
    /// It is never a page table. Freed by [`Self::free_shared_page`]. `ENOMEM`.
    pub fn alloc_shared_page(&self, domain: DomainId, writable: bool) -> Result<PageRef, Errno> {
        let mfn = self
            .buddy
            .allocate(&self.frames, 0, Constraint::default(), true, self.reserve())
            .ok_or(Errno::ENOMEM)?;
        self.clean(mfn, 0, true);
        raw(mfn).zero();
        let ty = if writable {
            PageType::Writable
        } else {
            PageType::None
        };
        self.start(
            self.frames.known(mfn),
            domain,
            Kind::new(ty, 1, Kind::VALIDATED),
            count::SHARED,
        );
        self.m2p.clear(mfn);
        Ok(PageRef::from_raw(mfn))
    }

    /// Takes the hypervisor's reference to a shared page back. It is freed when all mappings of it are gone, too; until
    /// then it is nobody's, since its owner's id may be another domain's before that.
    pub fn free_shared_page(&self, page: PageRef) {
        let info = page.info();
        info.set_owner(frame_table::NOBODY);
        if info.take_allocation() {
            let _ = page_type::put_type(page.mfn(), info, &Budget::new());
        }
        drop(page);
    }

    /// Gives up the owner's allocation of a page that the caller holds a reference on. False if that was done before.
    /// The page is freed when its other references are gone.
    pub fn release_allocation(&self, page: &PageRef) -> bool {
        let released = page.info().take_allocation();
        if released {
            put_page(page.mfn());
        }
        released
    }

    /// The last reference went: takes the page from its owner's account and gives it to the allocator.
    #[cold]
    pub(super) fn free_last(&self, mfn: Mfn) {
        let page = self.frames.known(mfn);
        let word = page.count_word();
        assert!(
            page.kind_word().count() == 0,
            "page {mfn} freed while in use as {:?}",
            page.kind_word()
        );
        page.stamp.store(tlb::clock(), Ordering::Release);
        // Shared pages are in nobody's account; the domain is in the list while it has others.
        let mut last_of = None;
        if word & count::SHARED == 0
            && let Ok(owner) = host().domains.get(page.owner())
        {
            let mut account = owner.mem.account.lock();
            if page.flags.load(Ordering::Acquire) & flags::LEFT != 0 {
                account.left.remove(&self.frames, mfn);
            } else {
                account.pages.remove(&self.frames, mfn);
            }
            let last = account.total() == 0;
            drop(account);
            last_of = last.then_some(owner);
        }
        self.m2p.clear(mfn);
        page.kind.store(0, Ordering::Release);
        self.buddy.free(&self.frames, mfn, 0, true);
        if let Some(owner) = last_of {
            crate::domain::destroy::reap(&owner);
        }
    }

    /// Promises `pages` to `domain` in all (XENMEM_claim_pages); 0 withdraws. `EINVAL`: it has as many already or may
    /// not have so many; `ENOMEM`: not free.
    pub fn claim(&self, domain: &Domain, pages: u64) -> Result<(), Errno> {
        let mut account = domain.mem.account.lock();
        if pages == 0 {
            self.buddy.unclaim(core::mem::take(&mut account.claimed));
            return Ok(());
        }
        // The teardown withdraws a claim once.
        if domain.is_dying() || account.claimed != 0 || pages > account.max_pages {
            return Err(Errno::EINVAL);
        }
        let more = pages
            .checked_sub(account.total())
            .filter(|&m| m > 0)
            .ok_or(Errno::EINVAL)?;
        if !self.buddy.claim(more, self.reserve()) {
            return Err(Errno::ENOMEM);
        }
        account.claimed = more;
        Ok(())
    }

    /// Makes a stolen page `domain`'s. `limited` checks the limit (transfer to another domain); otherwise the page takes
    /// the place kept for it. `EINVAL` if the domain is dying, `ENOMEM` at its limit; the page is the caller's still.
    fn assign(&self, domain: &Domain, mfn: Mfn, limited: bool) -> Result<(), Errno> {
        let mut account = domain.mem.account.lock();
        if domain.is_dying() {
            return Err(Errno::EINVAL);
        }
        if limited && !account.admits(1) {
            return Err(Errno::ENOMEM);
        }
        if !limited {
            account.held = account.held.saturating_sub(1);
        }
        let page = self.frames.known(mfn);
        self.start(page, domain.id, Kind::new(PageType::None, 0, 0), 0);
        account.pages.push(&self.frames, mfn);
        Ok(())
    }

    /// Makes a page that nobody refers to `domain`'s, within its limit: the caller owns the frame (boot memory, or
    /// stolen). Errors as [`Self::transfer_stolen`].
    pub(super) fn assign_page(&self, domain: &Domain, mfn: Mfn) -> Result<(), Errno> {
        self.assign(domain, mfn, true)
    }

    /// Gives a stolen page to another domain (grant transfer); see [`Self::steal_page`]. Errors as a limit has them:
    /// `ENOMEM`, and `EINVAL` if it is dying; the page is the caller's still.
    pub fn transfer_stolen(&self, from: &Domain, to: &Domain, mfn: Mfn) -> Result<(), Errno> {
        self.assign_page(to, mfn)?;
        let mut account = from.mem.account.lock();
        account.held = account.held.saturating_sub(1);
        Ok(())
    }

    /// Gives a stolen page back to the domain it was taken from. `EINVAL` if that is dying.
    pub fn assign_stolen(&self, domain: &Domain, mfn: Mfn) -> Result<(), Errno> {
        self.assign(domain, mfn, false)
    }

    /// Allocates a clean block for `domain` that belongs to nobody yet.
    pub(super) fn alloc_anonymous(
        &self,
        domain: &Domain,
        order: u32,
        place: Constraint,
    ) -> Result<Mfn, Errno> {
        let place = domain.mem.place(place);
        let mfn = self
            .buddy
            .allocate(&self.frames, order, place, true, self.reserve())
            .ok_or(Errno::ENOMEM)?;
        self.clean(mfn, order, false);
        Ok(mfn)
    }

    /// Makes such a block `domain`'s in exchange for stolen pages. `EINVAL` if it is dying.
    pub(super) fn assign_anonymous(
        &self,
        domain: &Domain,
        mfn: Mfn,
        order: u32,
    ) -> Result<(), Errno> {
        for i in 0..1u64 << order {
            if let Err(errno) = self.assign(domain, mfn.offset(i), false) {
                // Dying since: the pages assigned so far are the teardown's, the rest nobody's.
                for rest in i..1u64 << order {
                    self.free_stolen(mfn.offset(rest));
                }
                return Err(errno);
            }
        }
        Ok(())
    }

    /// Gives such a block back.
    pub(super) fn free_anonymous(&self, mfn: Mfn, order: u32) {
        self.buddy.free(&self.frames, mfn, order, false);
    }

    /// Takes a page away from `domain` for exchange or transfer: nobody else may refer to it. It leaves the account and
    /// belongs to nobody; the caller has its only reference, and the domain's limit keeps its place. `EINVAL` if it is
    /// not the domain's, or in use.
    pub fn steal_page(&self, domain: &Domain, mfn: Mfn) -> Result<(), Errno> {
        let page = self.frames.ram(mfn).ok_or(Errno::EINVAL)?;
        let mut account = domain.mem.account.lock();
        let word = page.count_word();
        if word & (count::SHARED | count::FREE) != 0 || page.owner() != domain.id {
            return Err(Errno::EINVAL);
        }
        let only = Self::allocated(domain.id, 0);
        let nobody = (u64::from(frame_table::NOBODY.0) << count::OWNER_SHIFT) | count::RAM | 1;
        // With one reference, the allocation's, there can be no type in use (each comes with a reference).
        if word & !count::DIRTY != only
            || page
                .count
                .compare_exchange(word, nobody, Ordering::AcqRel, Ordering::Acquire)
                .is_err()
        {
            return Err(Errno::EINVAL);
        }
        account.pages.remove(&self.frames, mfn);
        account.held += 1;
        // Its next owner must not be reached by the last one's stale translations (XSA-214).
        page.stamp.store(tlb::clock(), Ordering::Release);
        drop(account);
        tlb::flush_stale(None, page.stamp.load(Ordering::Acquire));
        page.kind.store(0, Ordering::Release);
        Ok(())
    }

    /// Gives a stolen page to the allocator for good: `from` has it no more.
    pub fn discard_stolen(&self, from: &Domain, mfn: Mfn) {
        let mut account = from.mem.account.lock();
        account.held = account.held.saturating_sub(1);
        drop(account);
        self.free_stolen(mfn);
    }

    /// Gives a stolen page to the allocator.
    pub fn free_stolen(&self, mfn: Mfn) {
        self.m2p.clear(mfn);
        self.buddy.free(&self.frames, mfn, 0, true);
    }

    /// Frames for the hypervisor's own use: zeroed, nobody can reference them. `None` if there are none. Unlike in Xen
    /// they may be promised to a claim: a claim that finds less than promised is an error to who builds that domain,
    /// memory that the hypervisor does not get may be its end.
    pub fn alloc_hypervisor_frames(&self, order: u32, place: Constraint) -> Option<Mfn> {
        let mfn = self.buddy.allocate(&self.frames, order, place, false, 0)?;
        self.clean(mfn, order, true);
        for i in 0..1u64 << order {
            let mfn = mfn.offset(i);
            raw(mfn).zero();
            self.frames
                .known(mfn)
                .count
                .store(count::RESERVED, Ordering::Release);
        }
        Some(mfn)
    }

    /// Gives frames of the hypervisor's back (or boot memory for the first time). They must be unreachable by then.
    pub fn free_hypervisor_frames(&self, mfn: Mfn, order: u32) {
        self.buddy.free(&self.frames, mfn, order, true);
    }
}

/// Takes a dying domain's memory away, as far as the budget goes; `true` when every page has been given up. Those that
/// others still refer to leave when the references go ([`DomainMemory::tot_pages`] counts them). The domain's vCPUs no
/// longer run and hold no tables.
pub fn relinquish(domain: &Domain, budget: &Budget) -> bool {
    let mm = &host().mm;
    if !super::finish_deferred(domain, budget) {
        return false;
    }
    loop {
        let page = {
            let account = domain.mem.account.lock();
            let Some(mfn) = account.pages.first() else {
                return true;
            };
            match frame_table::get_page(mfn, domain.id) {
                Ok(page) => page,
                // Another CPU is just freeing it.
                Err(_) => return false,
            }
        };
        let (mfn, info) = (page.mfn(), page.info());
        if page_type::clear_pinned(info) {
            let dropped = page_type::put_type(mfn, info, budget);
            put_page(mfn);
            if dropped == page_type::Dropped::Suspended {
                return false;
            }
        }
        if page_type::finish(mfn, domain.id, budget) == page_type::Dropped::Suspended {
            return false;
        }
        {
            let mut account = domain.mem.account.lock();
            account.pages.remove(&mm.frames, mfn);
            info.set_flag(flags::LEFT);
            account.left.push(&mm.frames, mfn);
        }
        mm.release_allocation(&page);
        drop(page);
        if budget.spend(1) {
            return false;
        }
    }
}

/// A shared page is nobody's from now on: references to it stay, new ones in its owner's name are not given.
pub fn disown(mfn: Mfn) {
    if let Some(page) = host().mm.frames.ram(mfn).filter(|p| p.is_shared()) {
        page.set_owner(frame_table::NOBODY);
    }
}

/// Frees the page that a domain had as its `shared_info`, if it is one (tests have others).
pub fn free_shared_info(mfn: Mfn) {
    if let Some(host) = crate::host::installed()
        && let Some(page) = host.mm.frames.ram(mfn)
        && page.is_shared()
        && page.references() > 0
    {
        host.mm.free_shared_page(PageRef::from_raw(mfn));
    }
}
