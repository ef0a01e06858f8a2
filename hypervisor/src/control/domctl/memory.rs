//! A domain's memory: its limit, the types of its frames, its hypercall page.

use arch::addr::{Mfn, PAGE_SHIFT};
use hypercall_abi::Errno;
use hypercall_abi::domctl::*;

use crate::domain::Domain;
use crate::mm::{self, PageType};
use crate::{guest, pv};

/// Frames in one call.
const MAX_FRAMES: u64 = 1024;

/// `XEN_DOMCTL_max_mem`: may be below what the domain has; then it gets no more.
pub(super) fn set_limit(domain: &Domain, kilobytes: u64) {
    let pages = kilobytes >> (PAGE_SHIFT - 10);
    domain.mem.set_max_pages(pages.min(u64::from(u32::MAX) - 1));
}

/// `XEN_DOMCTL_getpageframeinfo3`: each frame number in the array becomes its type. `E2BIG` for too many.
pub(super) fn frame_types(domain: &Domain, op: &DomctlGetpageframeinfo3) -> Result<(), Errno> {
    if op.num > MAX_FRAMES {
        return Err(Errno::E2BIG);
    }
    for i in 0..op.num {
        let frame = guest::read(op.array, i)?;
        guest::write(op.array, i, &u64::from(frame_type(domain, Mfn::new(frame))))?;
    }
    Ok(())
}

fn frame_type(domain: &Domain, mfn: Mfn) -> u32 {
    let Ok(page) = mm::get_page(mfn, domain.id) else {
        return XEN_DOMCTL_PFINFO_XTAB;
    };
    let info = page.info();
    let table = match info.page_type() {
        (_, 0) => XEN_DOMCTL_PFINFO_NOTAB,
        (PageType::L1, _) => XEN_DOMCTL_PFINFO_L1TAB,
        (PageType::L2, _) => XEN_DOMCTL_PFINFO_L2TAB,
        (PageType::L3, _) => XEN_DOMCTL_PFINFO_L3TAB,
        (PageType::L4, _) => XEN_DOMCTL_PFINFO_L4TAB,
        _ => XEN_DOMCTL_PFINFO_NOTAB,
    };
    if info.is_pinned() {
        table | XEN_DOMCTL_PFINFO_LPINTAB
    } else {
        table
    }
}

/// `XEN_DOMCTL_hypercall_init`: fills a page with the entries. `EINVAL` if it is not the domain's, `EPERM` if it may not be
/// written.
pub(super) fn hypercall_page(domain: &Domain, mfn: u64) -> Result<(), Errno> {
    let mfn = Mfn::new(mfn);
    drop(mm::get_page(mfn, domain.id).map_err(|_| Errno::EINVAL)?);
    let page = mm::get_page_and_type(mfn, domain, PageType::Writable).map_err(|_| Errno::EPERM)?;
    let mut code = [0; 4096];
    pv::hypercall_page(&mut code);
    page.frame().write(0, &code);
    Ok(())
}
