//! Why a domain could not be built.

use std::path::PathBuf;
use std::{fmt, io};

use crate::hypercall;

/// Why a domain could not be built. Its text is one line and names the file.
#[derive(Debug)]
pub enum Error {
    /// A file does not open or does not read.
    File(PathBuf, io::Error),
    /// The kernel's file is neither a bzImage nor an ELF file, packed or not.
    NotAKernel(PathBuf),
    /// The kernel's file is broken: what about it.
    Broken(PathBuf, String),
    /// A working kernel, but not for a PV guest: why.
    NoPv(PathBuf, String),
    /// The guest's memory does not hold what it starts with, in bytes.
    TooSmall {
        /// What kernel, ramdisk and tables need.
        needed: u64,
        /// What the guest has.
        given: u64,
    },
    /// The machine has not as much memory, in bytes.
    NoMemory {
        /// For this guest.
        needed: u64,
        /// That it got before the hypervisor had no more.
        got: u64,
    },
    /// The command line is longer than a PV guest can be given.
    CommandLine(usize),
    /// The hypervisor refused.
    Xen(hypercall::Error),
    /// It is not wanted any more.
    Cancelled,
    /// A copy into the domain's memory failed: an error of this program.
    Copy(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: &u64| bytes.div_ceil(1 << 20);
        match self {
            Self::File(path, error) => write!(f, "cannot read {}: {error}", path.display()),
            Self::NotAKernel(path) => write!(
                f,
                "{} is not a kernel: neither a bzImage nor an ELF file",
                path.display()
            ),
            Self::Broken(path, why) => write!(f, "kernel {} is broken: {why}", path.display()),
            Self::NoPv(path, why) => {
                write!(
                    f,
                    "kernel {} cannot run as a PV guest: {why}",
                    path.display()
                )
            }
            Self::TooSmall { needed, given } => write!(
                f,
                "kernel, ramdisk and tables need {} MiB, the guest has {}: raise memory=",
                mib(needed),
                mib(given)
            ),
            Self::NoMemory { needed, got } => write!(
                f,
                "not enough free memory: the guest needs {} MiB, the hypervisor had {} \
                 (xl info free_memory)",
                mib(needed),
                got >> 20
            ),
            Self::CommandLine(len) => write!(
                f,
                "the kernel's command line has {len} characters, a PV guest can be given {}",
                hypercall_abi::xen::MAX_GUEST_CMDLINE - 1
            ),
            Self::Xen(error) => error.fmt(f),
            Self::Cancelled => write!(f, "interrupted"),
            Self::Copy(error) => write!(f, "copy into the guest's memory: {error}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<hypercall::Error> for Error {
    fn from(error: hypercall::Error) -> Self {
        Self::Xen(error)
    }
}
