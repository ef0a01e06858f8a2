//! Device states.
//!
//! Xen public/io/xenbus.h.

use crate::macros::open_enums;

open_enums! {
    /// Device states in xenstore.
    pub enum XenbusState(u32) "XenbusState" {
        UNKNOWN = 0;
        INITIALISING = 1;
        INITWAIT = 2;
        INITIALISED = 3;
        CONNECTED = 4;
        CLOSING = 5;
        CLOSED = 6;
        RECONFIGURING = 7;
        RECONFIGURED = 8;
    }
}
