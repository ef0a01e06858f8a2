//! Commands whose layout does not change from release to release: the caller names version 0.
//!
//! Xen 4.21 public/domctl.h.

use crate::domctl::{DomctlCmd, DomctlU};
use crate::macros::abi_structs;

/// `XEN_DOMCTL_get_domain_state`.
pub const GET_DOMAIN_STATE: DomctlCmd = DomctlCmd(90);
/// The version that callers of stable commands name.
pub const VERSION: u32 = 0;

/// Bits of [`GetDomainState::state`] (`XEN_DOMCTL_GETDOMSTATE_STATE_*`): it is there, has shut down, is being torn down, is gone
/// but for memory that others hold.
pub const STATE_EXIST: u16 = 1 << 0;
/// See [`STATE_EXIST`].
pub const STATE_SHUTDOWN: u16 = 1 << 1;
/// See [`STATE_EXIST`].
pub const STATE_DYING: u16 = 1 << 2;
/// See [`STATE_EXIST`].
pub const STATE_DEAD: u16 = 1 << 3;
/// Bits of [`GetDomainState::caps`] (`XEN_DOMCTL_GETDOMSTATE_CAP_*`): it controls others, has the hardware, runs xenstore.
pub const CAP_CONTROL: u16 = 1 << 0;
/// See [`CAP_CONTROL`].
pub const CAP_HARDWARE: u16 = 1 << 1;
/// See [`CAP_CONTROL`].
pub const CAP_XENSTORE: u16 = 1 << 2;

abi_structs! {
    /// `struct xen_domctl_get_domain_state`.
    pub struct GetDomainState: "struct xen_domctl_get_domain_state", size 16 {
        0 => state: u16,
        2 => caps: u16,
        4 => pad0: u32,
        8 => unique_id: u64,
    }
}

impl GetDomainState {
    /// From a request's argument.
    pub fn from_request(u: &DomctlU) -> Self {
        super::front_of(u)
    }

    /// As an answer's argument.
    pub fn to_reply(self) -> DomctlU {
        super::with_front(&self)
    }
}
