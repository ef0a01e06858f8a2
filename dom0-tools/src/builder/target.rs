//! The domain that is built, as the builder sees it.

use std::fs::File;
use std::io;

use hypercall_abi::arch_x86::VcpuGuestContext;
use hypercall_abi::xen::DomId;

use crate::hypercall::{Error, Foreign, Interface};

/// Pages of the domain, one behind the other.
pub trait Window {
    /// Copies `bytes` to byte `at`.
    ///
    /// # Errors
    /// If they do not fit.
    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;
    /// Zeroes `len` bytes.
    ///
    /// # Errors
    /// If they are not all there.
    fn zero(&mut self, at: u64, len: u64) -> io::Result<()>;
    /// Reads `len` bytes of a file, from its byte `offset` on.
    ///
    /// # Errors
    /// The file system's, or that the file is shorter.
    fn read_file(&mut self, at: u64, file: &File, offset: u64, len: u64) -> io::Result<()>;
}

/// A domain without memory or vCPUs' state.
pub trait Target {
    /// Its pages in our address space.
    type Window: Window;
    /// Sets pages aside that [`Self::populate`] then takes; 0 ends it.
    ///
    /// # Errors
    /// `ENOMEM` if there are not as many.
    fn claim(&self, pages: u64) -> Result<(), Error>;
    /// Pages that nobody has, as far as known.
    fn free_pages(&self) -> u64;
    /// Memory at these guest frames, each the first of `1 << order`: machine frames of as many as
    /// there was memory for.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    fn populate(&self, order: u32, frames: &[u64]) -> Result<Vec<u64>, Error>;
    /// Maps machine frames.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    fn map(&self, frames: &[u64]) -> Result<Self::Window, Error>;
    /// Maps the first page of the grant table.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    fn map_grant_table(&self) -> Result<Self::Window, Error>;
    /// The machine frame of the page shared with the hypervisor.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    fn shared_info(&self) -> Result<u64, Error>;
    /// Fills a page with entry points for hypercalls.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    fn fill_hypercall_page(&self, frame: u64) -> Result<(), Error>;
    /// Has the page tables checked.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    fn pin_l4(&self, frame: u64) -> Result<(), Error>;
    /// The first vCPU's registers.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    fn set_context(&self, context: &VcpuGuestContext) -> Result<(), Error>;
}

/// A domain of the hypervisor.
#[derive(Clone, Copy, Debug)]
pub struct XenTarget<'a> {
    /// The way to it.
    pub xen: &'a Interface,
    /// The domain, fresh.
    pub domain: DomId,
}

fn index(value: u64) -> io::Result<usize> {
    usize::try_from(value).map_err(|_| io::ErrorKind::InvalidInput.into())
}

impl Window for Foreign {
    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        Foreign::write(self, index(at)?, bytes)
    }

    fn zero(&mut self, at: u64, len: u64) -> io::Result<()> {
        Foreign::zero(self, index(at)?, index(len)?)
    }

    fn read_file(&mut self, at: u64, file: &File, offset: u64, len: u64) -> io::Result<()> {
        Foreign::read_file(self, index(at)?, file, offset, index(len)?)
    }
}

impl Target for XenTarget<'_> {
    type Window = Foreign;

    fn claim(&self, pages: u64) -> Result<(), Error> {
        self.xen.claim(self.domain, pages)
    }

    fn free_pages(&self) -> u64 {
        self.xen.physinfo().map_or(0, |info| info.free_pages)
    }

    fn populate(&self, order: u32, frames: &[u64]) -> Result<Vec<u64>, Error> {
        self.xen.populate(self.domain, order, frames)
    }

    fn map(&self, frames: &[u64]) -> Result<Foreign, Error> {
        self.xen.map_foreign(self.domain, frames)
    }

    fn map_grant_table(&self) -> Result<Foreign, Error> {
        self.xen.map_grant_table(self.domain)
    }

    fn shared_info(&self) -> Result<u64, Error> {
        let info = self.xen.domain(self.domain)?;
        info.map(|info| info.shared_info_frame)
            .ok_or(Error::Refused(
                "state of a domain",
                hypercall_abi::Errno::ESRCH,
            ))
    }

    fn fill_hypercall_page(&self, frame: u64) -> Result<(), Error> {
        self.xen.fill_hypercall_page(self.domain, frame)
    }

    fn pin_l4(&self, frame: u64) -> Result<(), Error> {
        self.xen.pin_l4(self.domain, frame)
    }

    fn set_context(&self, context: &VcpuGuestContext) -> Result<(), Error> {
        self.xen.set_vcpu_context(self.domain, 0, context)
    }
}
