//! Waiting for domains to stop.

use std::time::Duration;

use hypercall_abi::domctl::{
    DomctlGetdomaininfo, XEN_DOMINF_DYING, XEN_DOMINF_SHUTDOWN, XEN_DOMINF_SHUTDOWNMASK,
    XEN_DOMINF_SHUTDOWNSHIFT,
};
use hypercall_abi::sched::Shutdown;
use hypercall_abi::xen::DomId;

use super::{Error, Tools};
use crate::xenstore::Client;

const WATCH: &str = "@releaseDomain";
/// An event may come before the hypervisor's list shows why; then this is how long until a look.
const AGAIN: Duration = Duration::from_secs(5);

/// How a domain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It shut down, and is still there.
    Shutdown(Shutdown),
    /// It is gone, or going.
    Gone,
}

/// Notices when domains stop.
#[derive(Debug)]
pub struct Waiter {
    store: Client,
}

impl Waiter {
    /// Begins to listen: what happens from now on is not missed.
    ///
    /// # Errors
    /// xenstore's.
    pub fn new() -> Result<Self, Error> {
        let store = Client::open()?;
        store.watch(WATCH, "wait")?;
        Ok(Self { store })
    }

    /// How a domain ended, once it has.
    ///
    /// # Errors
    /// The hypervisor's and xenstore's.
    pub fn wait(&self, tools: &Tools, domain: DomId, uuid: [u8; 16]) -> Result<End, Error> {
        loop {
            if let Some(end) = end_of(tools.xen.domain(domain)?, uuid) {
                return Ok(end);
            }
            self.store.next_event(Some(AGAIN))?;
            // One look serves all that came together.
            while self.store.queued_event().is_some() {}
        }
    }
}

impl Waiter {
    /// Returns once a domain is gone.
    ///
    /// # Errors
    /// The hypervisor's and xenstore's.
    pub fn wait_gone(&self, tools: &Tools, domain: DomId, uuid: [u8; 16]) -> Result<(), Error> {
        while end_of(tools.xen.domain(domain)?, uuid) != Some(End::Gone) {
            self.store.next_event(Some(AGAIN))?;
        }
        Ok(())
    }
}

/// How a domain ended, if it has.
pub fn end_of(info: Option<DomctlGetdomaininfo>, uuid: [u8; 16]) -> Option<End> {
    match info {
        // Another one has taken the number.
        Some(info) if info.handle != uuid => Some(End::Gone),
        Some(info) if info.flags & XEN_DOMINF_DYING != 0 => Some(End::Gone),
        Some(info) if info.flags & XEN_DOMINF_SHUTDOWN != 0 => {
            let reason = info.flags >> XEN_DOMINF_SHUTDOWNSHIFT & XEN_DOMINF_SHUTDOWNMASK;
            Some(End::Shutdown(Shutdown(reason)))
        }
        Some(_) => None,
        None => Some(End::Gone),
    }
}
