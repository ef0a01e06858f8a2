//! A page of the guest's that the hypervisor writes to for as long as the pin lives.

use arch::addr::Gfn;
use arch::frame::RawFrame;
use hypercall_abi::Errno;

use crate::domain::Domain;

/// A reference to a page and its use as writable memory, both given back on drop.
#[derive(Debug)]
pub(super) struct Pin(backend::Page);

impl Pin {
    /// Pins a page of the domain's as writable. `EINVAL` if it is none.
    pub(super) fn new(domain: &Domain, gfn: Gfn) -> Result<Self, Errno> {
        backend::pin(domain, gfn).map(Self)
    }

    /// The page.
    pub(super) fn frame(&self) -> RawFrame {
        self.0.frame()
    }
}

#[cfg(not(test))]
mod backend {
    use arch::addr::{Gfn, Mfn};
    use hypercall_abi::Errno;

    use crate::domain::Domain;
    use crate::mm::{PageType, get_page_and_type};

    pub(super) type Page = crate::mm::TypedRef;

    pub(super) fn pin(domain: &Domain, gfn: Gfn) -> Result<Page, Errno> {
        // A PV guest's frame numbers are the machine's.
        get_page_and_type(Mfn::new(gfn.get()), domain, PageType::Writable)
            .map_err(|_| Errno::EINVAL)
    }
}

/// Tests of event channels have the simulated RAM without a frame table: any frame is the guest's.
#[cfg(test)]
mod backend {
    use arch::addr::{Gfn, Mfn};
    use arch::frame::RawFrame;
    use hypercall_abi::Errno;

    use crate::domain::Domain;

    #[derive(Debug)]
    pub(in super::super) struct Page(RawFrame);

    impl Page {
        pub(super) fn frame(&self) -> RawFrame {
            self.0
        }
    }

    pub(super) fn pin(_domain: &Domain, gfn: Gfn) -> Result<Page, Errno> {
        if gfn.get() < super::super::tests::FRAMES as u64 {
            Ok(Page(arch::hosted::frame(Mfn::new(gfn.get()))))
        } else {
            Err(Errno::EINVAL)
        }
    }
}
