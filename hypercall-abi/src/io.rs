//! Device protocols and shared rings (Xen public/io/).

pub mod blkif;
pub mod console;
pub mod fbif;
pub mod kbdif;
pub mod libxenvchan;
pub mod netif;
pub mod pciif;
pub mod protocols;
pub mod ring;
pub mod xenbus;
pub mod xs_wire;
