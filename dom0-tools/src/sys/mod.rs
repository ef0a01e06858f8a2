//! The kernel's devices and sockets that the standard library does not know.

pub mod evtchn;
pub mod gntdev;
pub mod loopdev;
pub mod netlink;
pub mod page;
pub mod xenbus_backend;
