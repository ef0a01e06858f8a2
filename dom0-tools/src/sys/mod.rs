//! The kernel's devices and sockets that the standard library does not know.

pub mod loopdev;
pub mod netlink;
