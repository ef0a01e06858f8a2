//! GNTTABOP_copy: copies between granted pages and the caller's own.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use arch::addr::{Mfn, PAGE_BYTES};
use arch::frame::RawFrame;
use hypercall_abi::grant_table::{
    GNTCOPY_DEST_GREF, GNTCOPY_SOURCE_GREF, GTF_SUB_PAGE, GTF_TRANSITIVE, GTF_TYPE_MASK, GntStatus,
    GnttabCopy, GnttabCopyPtr,
};
use hypercall_abi::xen::DomId;

use super::entry::{Active, Pin};
use crate::domain::{Context, Domain, DomainId};
use crate::host::host;
use crate::mm::{PageRef, PageType, get_page, into_typed};

/// Why a copy did not happen.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The caller's (or the grant's) fault.
    Status(GntStatus),
    /// The grant changed meanwhile: try again.
    Again,
}

impl From<GntStatus> for Refusal {
    fn from(status: GntStatus) -> Self {
        Self::Status(status)
    }
}

/// A granted page in use for a copy: a page reference and the part of it that is granted.
struct Acquired {
    page: PageRef,
    start: u16,
    length: u16,
}

/// What the caller calls one side of a copy.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Name {
    domain: DomId,
    /// The number is a grant reference, else a frame number.
    by_grant: bool,
    number: u64,
}

/// One side of a copy, and of the next ones as long as they name the same. Gives everything back on drop.
struct Side {
    read_only: bool,
    name: Name,
    /// The domain of that name: whose page or grant it is.
    domain: Arc<Domain>,
    /// The page; for the destination with its use as writable memory.
    page: Option<Page>,
    start: u16,
    length: u16,
    /// The entry of that name is pinned.
    pinned: bool,
}

enum Page {
    Read(PageRef),
    Write(crate::mm::TypedRef),
}

impl Drop for Side {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Side {
    /// No page yet.
    fn new(cx: &Context, read_only: bool) -> Self {
        Self {
            read_only,
            name: Name {
                domain: DomId::SELF,
                by_grant: false,
                number: 0,
            },
            domain: cx.domain.clone(),
            page: None,
            start: 0,
            length: 0,
            pinned: false,
        }
    }

    /// The page before the pin.
    fn give_back(&mut self) {
        self.page = None;
        if self.pinned {
            self.pinned = false;
            release(&self.domain, self.name.number as u32, self.read_only);
        }
    }

    /// Exchanges the page for the one that is named, unless it is the same. After a refusal there is none.
    fn turn_to(
        &mut self,
        cx: &Context,
        ptr: &GnttabCopyPtr,
        by_grant: bool,
    ) -> Result<(), Refusal> {
        let name = Name {
            domain: ptr.domid,
            by_grant,
            number: if by_grant {
                ptr.u.r#ref().into()
            } else {
                ptr.u.gmfn()
            },
        };
        if self.page.is_some() && self.name == name {
            return Ok(());
        }
        self.give_back();
        let taken = self.take(cx, name);
        if taken.is_err() {
            self.give_back();
        }
        taken
    }

    fn take(&mut self, cx: &Context, name: Name) -> Result<(), Refusal> {
        // Only the caller's own pages go by frame number.
        if name.domain != DomId::SELF && !name.by_grant {
            return Err(GntStatus::PERMISSION_DENIED.into());
        }
        if name.domain != self.name.domain {
            self.domain = if name.domain == DomId::SELF {
                cx.domain.clone()
            } else {
                host()
                    .domains
                    .get(DomainId(name.domain.0))
                    .map_err(|_| GntStatus::BAD_DOMAIN)?
            };
        }
        self.name = name;
        let page = if name.by_grant {
            let gref = name.number as u32;
            let got = acquire(&self.domain, gref, cx.domain.id, self.read_only, true)?;
            (self.start, self.length, self.pinned) = (got.start, got.length, true);
            got.page
        } else {
            (self.start, self.length) = (0, PAGE_BYTES as u16);
            get_page(Mfn::new(name.number), self.domain.id).map_err(|_| GntStatus::BAD_PAGE)?
        };
        self.page = Some(if self.read_only {
            Page::Read(page)
        } else {
            let owner = page.info().owner();
            let typed = if owner == self.domain.id {
                into_typed(page, &self.domain, PageType::Writable)
            } else {
                // What a transitive grant passes on is another domain's.
                let owner = host()
                    .domains
                    .get(owner)
                    .map_err(|_| GntStatus::GENERAL_ERROR)?;
                into_typed(page, &owner, PageType::Writable)
            };
            Page::Write(typed.map_err(|_| GntStatus::GENERAL_ERROR)?)
        });
        Ok(())
    }

    fn frame(&self) -> Option<RawFrame> {
        self.page.as_ref().map(|page| match page {
            Page::Read(page) => page.frame(),
            Page::Write(page) => page.frame(),
        })
    }

    /// Whether the granted part holds `len` bytes at `offset`; also asked when there are none (XSA-448).
    fn holds(&self, offset: usize, len: usize) -> bool {
        let (start, length) = (usize::from(self.start), usize::from(self.length));
        offset >= start && offset + len <= start + length
    }
}

/// The copies of one hypercall. Both sides of a copy stay in use for the next one, because a back end that hands over a
/// packet goes through pages that begin elsewhere in its memory than in the guest's: nearly every copy shares a page with
/// the one before. A grant that its owner revokes meanwhile is in use until then, as it would be in the midst of a copy.
pub(super) struct Copier {
    source: Side,
    dest: Side,
}

impl Copier {
    /// For a hypercall of `cx`.
    pub(super) fn new(cx: &Context) -> Self {
        Self {
            source: Side::new(cx, true),
            dest: Side::new(cx, false),
        }
    }

    /// Performs one copy.
    pub(super) fn copy(&mut self, cx: &Context, op: &GnttabCopy) -> Result<(), Refusal> {
        let Self { source, dest } = self;
        source.turn_to(cx, &op.source, op.flags & GNTCOPY_SOURCE_GREF != 0)?;
        dest.turn_to(cx, &op.dest, op.flags & GNTCOPY_DEST_GREF != 0)?;
        let len = usize::from(op.len);
        let (from, to) = (usize::from(op.source.offset), usize::from(op.dest.offset));
        if from + len > PAGE_BYTES || to + len > PAGE_BYTES {
            return Err(GntStatus::BAD_COPY_ARG.into());
        }
        if !source.holds(from, len) || !dest.holds(to, len) {
            return Err(GntStatus::GENERAL_ERROR.into());
        }
        if let (Some(source), Some(dest)) = (source.frame(), dest.frame()) {
            dest.copy_part_from(to, source, from, len);
        }
        Ok(())
    }
}

/// Pins an entry for a copy by `user` and takes a reference to its page. `transitive`: an entry that passes on
/// another domain's grant will do, too (one level).
fn acquire(
    owner: &Arc<Domain>,
    gref: u32,
    user: DomainId,
    read_only: bool,
    transitive: bool,
) -> Result<Acquired, Refusal> {
    let kind = if read_only {
        Pin::HOST_READ
    } else {
        Pin::HOST_WRITE
    };
    let table = owner.grants.table.read();
    if gref >= table.entries() {
        return Err(GntStatus::BAD_GNTREF.into());
    }
    let shared = table.shared(gref).ok_or(GntStatus::BAD_GNTREF)?;
    let mut active = table.active(gref).ok_or(GntStatus::BAD_GNTREF)?.lock();
    let pin = active.pin;
    if !pin.is_zero() && active.user != user {
        return Err(GntStatus::GENERAL_ERROR.into());
    }
    let pinned = pin.with(kind).ok_or(GntStatus::GENERAL_ERROR)?;
    let asked = pin.is_zero() || (!read_only && !pin.writable());

    if shared.is_v2() && shared.header().flags & GTF_TYPE_MASK == GTF_TRANSITIVE {
        if asked {
            shared.begin_use(pin, user, read_only, false)?;
        }
        let passed = if transitive {
            let (domain, origin) = shared.transitive();
            (domain != owner.id.0)
                .then(|| host().domains.get(DomainId(domain)).ok())
                .flatten()
                .map(|d| (d, origin))
        } else {
            None
        };
        let Some(origin) = passed else {
            shared.end_use(pin, read_only);
            return Err(GntStatus::GENERAL_ERROR.into());
        };
        drop(active);
        drop(table);
        return acquire_transitive(owner, gref, user, read_only, (pin, origin));
    }

    if !asked {
        // What is on record counts, not what the guest's entry says by now (XSA-500). Its page can only be gone if
        // the owner is dying.
        let page = get_page(active.mfn, owner.id)
            .ok()
            .filter(|_| !owner.is_dying())
            .ok_or(GntStatus::BAD_DOMAIN)?;
        active.pin = pinned;
        return Ok(Acquired {
            page,
            start: active.start,
            length: active.length,
        });
    }

    shared.begin_use(pin, user, read_only, false)?;
    let header = shared.header();
    let sub_page = shared.is_v2() && header.flags & GTF_SUB_PAGE != 0;
    let (start, length) = if sub_page {
        shared.part()
    } else {
        (0, PAGE_BYTES as u16)
    };
    let mfn = Mfn::new(shared.frame());
    let page = match get_page(mfn, owner.id) {
        Ok(page) => page,
        Err(_) => {
            shared.end_use(pin, read_only);
            return Err(GntStatus::BAD_PAGE.into());
        }
    };
    if pin.is_zero() {
        *active = Active {
            pin,
            user,
            mfn,
            start,
            length,
            sub_page,
            origin: (owner.id, gref),
        };
        if sub_page {
            owner.grants.v2_operations.fetch_add(1, Ordering::SeqCst);
        }
    } else if active.mfn != mfn
        || active.origin != (owner.id, gref)
        || (active.sub_page && (!sub_page || (active.start, active.length) != (start, length)))
    {
        shared.end_use(pin, read_only);
        return Err(GntStatus::GENERAL_ERROR.into());
    }
    active.pin = pinned;
    Ok(Acquired {
        page,
        start: active.start,
        length: active.length,
    })
}

/// The rest of [`acquire`] for a transitive entry whose use has begun: pins the entry it passes on, with no lock held
/// meanwhile, and then its own if nothing has changed.
fn acquire_transitive(
    owner: &Arc<Domain>,
    gref: u32,
    user: DomainId,
    read_only: bool,
    (pin, (from, origin)): (Pin, (Arc<Domain>, u32)),
) -> Result<Acquired, Refusal> {
    let kind = if read_only {
        Pin::HOST_READ
    } else {
        Pin::HOST_WRITE
    };
    // Keeps the version at 2 until the count is taken back.
    owner.grants.v2_operations.fetch_add(1, Ordering::SeqCst);
    let got = acquire(&from, origin, owner.id, read_only, false);

    let undo = |table: &super::Table, active: &Active| {
        owner.grants.v2_operations.fetch_sub(1, Ordering::SeqCst);
        if let Some(shared) = table.shared(gref) {
            shared.end_use(active.pin, read_only);
        }
    };
    let table = owner.grants.table.read();
    let mut active = table.active(gref).ok_or(GntStatus::BAD_GNTREF)?.lock();
    let got = match got {
        Ok(got) => got,
        Err(refusal) => {
            undo(&table, &active);
            return Err(refusal);
        }
    };
    let same_record = active.user == user
        && active.mfn == got.page.mfn()
        && (active.start, active.length) == (got.start, got.length)
        && active.origin == (from.id, origin)
        && active.sub_page;
    let pinned = pin.with(kind);
    let (Some(pinned), true) = (
        pinned,
        table.version == 2 && active.pin == pin && (pin.is_zero() || same_record),
    ) else {
        undo(&table, &active);
        drop(active);
        drop(table);
        // The page first, then the pin.
        drop(got);
        release(&from, origin, read_only);
        return Err(Refusal::Again);
    };
    if pin.is_zero() {
        // Always as a part of a page, which keeps it from being mapped.
        *active = Active {
            pin,
            user,
            mfn: got.page.mfn(),
            start: got.start,
            length: got.length,
            sub_page: true,
            origin: (from.id, origin),
        };
    } else {
        owner.grants.v2_operations.fetch_sub(1, Ordering::SeqCst);
    }
    active.pin = pinned;
    Ok(got)
}

/// Gives back what [`acquire`] pinned; the page reference was dropped before.
fn release(owner: &Domain, gref: u32, read_only: bool) {
    let kind = if read_only {
        Pin::HOST_READ
    } else {
        Pin::HOST_WRITE
    };
    let origin = {
        let table = owner.grants.table.read();
        let Some(active) = table.active(gref) else {
            return;
        };
        let mut active = active.lock();
        active.pin = active.pin.without(kind);
        if active.pin.is_zero() && active.sub_page {
            owner.grants.v2_operations.fetch_sub(1, Ordering::SeqCst);
        }
        if let Some(shared) = table.shared(gref) {
            shared.end_use(active.pin, read_only);
        }
        active.origin
    };
    // One level of transitivity, so this goes one level deep.
    if origin.0 != owner.id
        && let Ok(from) = host().domains.get(origin.0)
    {
        release(&from, origin.1, read_only);
    }
}
