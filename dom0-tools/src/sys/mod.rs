//! The kernel's devices and sockets that the standard library does not know, and what the programs
//! have in common in dealing with it.

pub mod evtchn;
pub mod file;
pub mod gntdev;
pub mod limits;
pub mod log;
pub mod loopdev;
pub mod netlink;
pub mod page;
pub mod xenbus_backend;
