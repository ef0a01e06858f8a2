//! Why dom0 could not be built, in one line.

use core::fmt;

use crate::loader::LoadError;

/// Why there is no dom0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// The kernel cannot be used.
    Kernel(LoadError),
    /// dom0's memory does not hold what it starts with; pages.
    TooLittleMemory {
        /// What the start needs.
        needed: u64,
        /// What `dom0_mem` or the machine gives.
        given: u64,
    },
    /// The machine ran out of memory, by this many pages.
    OutOfMemory {
        /// Pages that could not be had.
        missing: u64,
    },
    /// The ramdisk is not in memory that can be given away.
    Ramdisk,
    /// The kernel's address space cannot be laid out.
    Layout(&'static str),
    /// The first page tables or registers were refused (a bug).
    Refused(&'static str),
}

impl From<LoadError> for BuildError {
    fn from(error: LoadError) -> Self {
        Self::Kernel(error)
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |pages: u64| pages.div_ceil(256);
        match *self {
            Self::Kernel(error) => error.fmt(f),
            Self::TooLittleMemory { needed, given } => write!(
                f,
                "too little memory for dom0: kernel, ramdisk and tables need {} MiB, it gets {} MiB (dom0_mem=?)",
                mib(needed),
                mib(given)
            ),
            Self::OutOfMemory { missing } => write!(
                f,
                "the machine has too little memory for dom0: {} MiB are missing (dom0_mem=?)",
                mib(missing)
            ),
            Self::Ramdisk => f.write_str("the ramdisk module is not in ordinary memory"),
            Self::Layout(why) => write!(f, "dom0's kernel cannot be placed: {why}"),
            Self::Refused(what) => write!(f, "dom0's {what} were refused by the hypervisor itself"),
        }
    }
}

impl core::error::Error for BuildError {}
