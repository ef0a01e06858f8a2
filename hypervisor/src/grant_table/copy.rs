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

/// One side of a copy. Gives everything back on drop, the page before the pin.
struct Side {
    /// Whose page or grant it is.
    domain: Arc<Domain>,
    /// The page; for the destination with its use as writable memory.
    page: Option<Page>,
    start: u16,
    length: u16,
    /// The entry that is pinned, if it goes by one.
    grant: Option<u32>,
    read_only: bool,
}

enum Page {
    Read(PageRef),
    Write(crate::mm::TypedRef),
}

impl Drop for Side {
    fn drop(&mut self) {
        self.page = None;
        if let Some(gref) = self.grant {
            release(&self.domain, gref, self.read_only);
        }
    }
}

impl Side {
    fn new(
        cx: &Context,
        ptr: &GnttabCopyPtr,
        by_grant: bool,
        read_only: bool,
    ) -> Result<Self, Refusal> {
        // Only the caller's own pages go by frame number.
        if ptr.domid != DomId::SELF && !by_grant {
            return Err(GntStatus::PERMISSION_DENIED.into());
        }
        let domain = if ptr.domid == DomId::SELF {
            cx.domain.clone()
        } else {
            host()
                .domains
                .get(DomainId(ptr.domid.0))
                .map_err(|_| GntStatus::BAD_DOMAIN)?
        };
        let mut side = Self {
            domain,
            page: None,
            start: 0,
            length: PAGE_BYTES as u16,
            grant: None,
            read_only,
        };
        let page = if by_grant {
            let gref = ptr.u.r#ref();
            let got = acquire(&side.domain, gref, cx.domain.id, read_only, true)?;
            side.start = got.start;
            side.length = got.length;
            side.grant = Some(gref);
            got.page
        } else {
            get_page(Mfn::new(ptr.u.gmfn()), side.domain.id).map_err(|_| GntStatus::BAD_PAGE)?
        };
        side.page = Some(if read_only {
            Page::Read(page)
        } else {
            let owner = page.info().owner();
            let typed = if owner == side.domain.id {
                into_typed(page, &side.domain, PageType::Writable)
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
        Ok(side)
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

/// Performs one copy.
pub(super) fn copy_one(cx: &Context, op: &GnttabCopy) -> Result<(), Refusal> {
    let source = Side::new(cx, &op.source, op.flags & GNTCOPY_SOURCE_GREF != 0, true)?;
    let dest = Side::new(cx, &op.dest, op.flags & GNTCOPY_DEST_GREF != 0, false)?;
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
