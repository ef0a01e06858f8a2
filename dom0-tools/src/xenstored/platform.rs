//! What the store needs of the machine: domains, their rings, and a place to log.

use hypercall_abi::Errno;

use super::ring::{Memory, Ring};

/// What the hypervisor says of a domain that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DomainState {
    /// It has shut down, or crashed.
    pub shutdown: bool,
    /// It is being taken apart.
    pub dying: bool,
}

/// The machine.
pub trait Platform {
    /// What rings are in.
    type Page: Memory;

    /// The state of a domain; `None` if there is no such domain.
    fn domain(&mut self, domid: u32) -> Option<DomainState>;

    /// Maps a domain's ring and binds its event channel: the port is the domain's.
    ///
    /// # Errors
    /// What the hypervisor refuses; nothing stays mapped then.
    fn attach(&mut self, domid: u32, port: u32) -> Result<(), Errno>;

    /// Maps a domain's ring again after a restart. `local` is our end of the event channel, if it
    /// is still open; else the domain's port is bound anew.
    ///
    /// # Errors
    /// What the hypervisor refuses; nothing stays mapped then.
    fn reattach(&mut self, domid: u32, local: Option<u32>, port: u32) -> Result<(), Errno>;

    /// A domain's ring, if it is mapped.
    fn ring(&self, domid: u32) -> Option<&Ring<Self::Page>>;

    /// Raises an event for a domain.
    fn notify(&mut self, domid: u32);

    /// Our end of a domain's event channel, 0 if there is none.
    fn local_port(&self, domid: u32) -> u32;

    /// Binds another event channel for a domain that is attached.
    fn rebind(&mut self, domid: u32, port: u32);

    /// Lets a domain's ring and event channel go.
    fn detach(&mut self, domid: u32);

    /// Empties a domain's ring, and tells a domain that waits for it that the store is there.
    fn reset_ring(&mut self, domid: u32);

    /// Tells a domain through its ring why it is not listened to any more.
    fn ring_error(&mut self, domid: u32, error: u32);

    /// One line for the administrator.
    fn log(&mut self, line: &str);
}
