//! The domain builder: from files of a kernel and a ramdisk to a domain that can start.
//!
//! [`source`] finds and unpacks the kernel, [`elf`] understands it, [`load`] brings it into the
//! domain's memory as it comes out of the decompressor, [`layout`] and [`tables`] are the address
//! space that a PV kernel expects (Xen `docs/misc/pvh`'s sibling, `public/xen.h`: "start of day"),
//! [`pv`] puts it all together. Other kinds of guests get a file beside [`pv`].
//!
//! Everything reaches the domain through [`target::Target`]: the hypervisor, or in tests memory.

pub mod elf;
pub mod error;
pub mod keep;
pub mod layout;
pub mod load;
mod lzo;
pub mod pv;
pub mod source;
pub mod tables;
pub mod target;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use pv::{Built, Request, build};
pub use target::{Target, Window, XenTarget};

/// Bytes of a page.
pub const PAGE: u64 = 4096;
