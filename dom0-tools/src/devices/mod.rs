//! The devices of guests: disks and network interfaces, what is said of them in configurations,
//! and their way through xenstore to the kernel's backends.

pub mod disk_spec;
pub mod mac;
pub mod nic_spec;
pub mod vdev;

pub use disk_spec::{DiskSpec, SpecError};
pub use mac::Mac;
pub use nic_spec::NicSpec;
