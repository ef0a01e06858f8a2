//! Hypercalls from a program: the privcmd device of Linux (Xen `public/sys/privcmd.h`).
//!
//! Owns all that is unsafe in the tools. A hypercall names memory by address, and the hypervisor
//! reads and writes there; the invariant kept here is that every such address is one of a
//! [`Buffer`] that outlives the call and is as large as the call says. So the untyped calls are
//! private and unsafe, and what is public (in `calls`) takes and returns plain values.

#![allow(unsafe_code)]

mod buffer;
mod calls;
mod domain;
mod foreign;
mod memory;
pub mod pools;

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::{fmt, io};

use hypercall_abi::Errno;
use hypercall_abi::domctl::Domctl;
use hypercall_abi::linux::privcmd::{IOCTL_PRIVCMD_HYPERCALL, PrivcmdHypercall};
use hypercall_abi::sysctl::Sysctl;
use hypercall_abi::xen::Hypercall;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl};

use buffer::Buffer;
pub use calls::{BuildId, Version};
pub use foreign::Foreign;

/// Where the kernel offers hypercalls; the second is xenfs, of older kernels.
const DEVICES: [&str; 2] = ["/dev/xen/privcmd", "/proc/xen/privcmd"];
/// Memory for hypercalls that the kernel never moves or takes away.
const BUFFER_DEVICE: &str = "/dev/xen/hypercall";

/// Why a tool could not reach the hypervisor, or was refused.
#[derive(Debug)]
pub enum Error {
    /// There is no privcmd device.
    NotUnderXen,
    /// A device is there but does not open.
    Device(&'static str, io::Error),
    /// No memory for a call.
    Memory(io::Error),
    /// The hypervisor, or the kernel on its way, refused the call named here.
    Refused(&'static str, Errno),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUnderXen => write!(f, "no {}: not running under Xen", DEVICES[0]),
            Self::Device(path, error) => write!(f, "cannot open {path}: {error}"),
            Self::Memory(error) => write!(f, "no memory for a hypercall: {error}"),
            Self::Refused(what, Errno::EPERM) => write!(
                f,
                "{what}: EPERM: this domain is not privileged to ask for it"
            ),
            Self::Refused(what, Errno::EACCES) => write!(
                f,
                "{what}: EACCES: the hypervisor does not speak interface version {:#x} (Xen 4.17)",
                hypercall_abi::sysctl::XEN_SYSCTL_INTERFACE_VERSION
            ),
            Self::Refused(what, errno) => write!(f, "{what}: {errno}"),
        }
    }
}

impl std::error::Error for Error {}

/// The way to the hypervisor: the open devices.
#[derive(Debug)]
pub struct Interface {
    privcmd: File,
    /// Linux 4.18 and later.
    buffers: Option<File>,
}

impl Interface {
    /// Opens the devices.
    ///
    /// # Errors
    /// [`Error::NotUnderXen`] without them, [`Error::Device`] if they do not open.
    pub fn open() -> Result<Self, Error> {
        let open = |path| OpenOptions::new().read(true).write(true).open(path);
        let absent = |error: &io::Error| {
            let errno = error.raw_os_error().map(Errno);
            matches!(errno, Some(Errno::ENOENT | Errno::ENXIO | Errno::ENODEV))
        };
        let mut privcmd = None;
        for path in DEVICES {
            match open(path) {
                Ok(file) => {
                    privcmd = Some(file);
                    break;
                }
                Err(error) if absent(&error) => {}
                Err(error) => return Err(Error::Device(path, error)),
            }
        }
        let privcmd = privcmd.ok_or(Error::NotUnderXen)?;
        let buffers = match open(BUFFER_DEVICE) {
            Ok(file) => Some(file),
            Err(error) if absent(&error) => None,
            Err(error) => return Err(Error::Device(BUFFER_DEVICE, error)),
        };
        Ok(Self { privcmd, buffers })
    }

    fn buffer(&self, bytes: usize) -> Result<Buffer, Error> {
        Buffer::new(self.buffers.as_ref(), bytes)
    }

    /// Any hypercall. `what` names it in errors.
    ///
    /// # Safety
    /// Every address among `arg`, and in memory that these name, is of a live [`Buffer`] with as
    /// many bytes as the call will read or write there.
    unsafe fn call(&self, what: &'static str, op: Hypercall, arg: [u64; 5]) -> Result<u64, Error> {
        let request = Request(PrivcmdHypercall {
            op: u64::from(u32::from(op)),
            arg,
        });
        // SAFETY: the request is the structure that this ioctl of this device takes; what it
        // names is sound by this function's own contract.
        let done = unsafe { ioctl(&self.privcmd, request) };
        done.map_err(|errno| Error::Refused(what, Errno(errno.raw_os_error())))
    }

    /// A sysctl in the version of its structures; returns the structure as the hypervisor left it.
    ///
    /// # Safety
    /// As [`Self::call`], for the handles in `op`.
    unsafe fn sysctl(&self, what: &'static str, mut op: Sysctl) -> Result<Sysctl, Error> {
        op.interface_version = hypercall_abi::sysctl::InterfaceVersion::CANONICAL;
        let mut memory = self.buffer(size_of::<Sysctl>())?;
        memory.write(&[op]);
        // SAFETY: `memory` is one Sysctl; its handles are sound by this function's contract.
        unsafe { self.call(what, Hypercall::SYSCTL, [memory.addr(), 0, 0, 0, 0])? };
        Ok(memory.read_one())
    }

    /// A domctl in the version of its structures; returns the structure as the hypervisor left it.
    ///
    /// # Safety
    /// As [`Self::call`], for the handles in `op`.
    unsafe fn domctl(&self, what: &'static str, mut op: Domctl) -> Result<Domctl, Error> {
        op.interface_version = hypercall_abi::domctl::InterfaceVersion::CANONICAL;
        let mut memory = self.buffer(size_of::<Domctl>())?;
        memory.write(&[op]);
        // SAFETY: `memory` is one Domctl; its handles are sound by this function's contract.
        unsafe { self.call(what, Hypercall::DOMCTL, [memory.addr(), 0, 0, 0, 0])? };
        Ok(memory.read_one())
    }
}

/// `IOCTL_PRIVCMD_HYPERCALL`: the result of the hypercall is that of the ioctl.
struct Request(PrivcmdHypercall);

// SAFETY: the opcode takes a pointer to a `PrivcmdHypercall` and only reads it.
unsafe impl Ioctl for Request {
    type Output = u64;
    // Not the request itself, but the memory that it names: without this the compiler takes what was written there
    // before for what the hypervisor leaves there.
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        IOCTL_PRIVCMD_HYPERCALL as Opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> rustix::io::Result<u64> {
        // Errors were taken out of it before: not negative.
        Ok(u64::try_from(output).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_their_cause_in_one_line() {
        let line = Error::NotUnderXen.to_string();
        assert_eq!(line, "no /dev/xen/privcmd: not running under Xen");
        let line = Error::Refused("physinfo", Errno::EPERM).to_string();
        assert!(line.starts_with("physinfo: EPERM: "), "{line}");
        let line = Error::Refused("physinfo", Errno::EACCES).to_string();
        assert!(line.contains("interface version 0x15"), "{line}");
        let line = Error::Refused("physinfo", Errno::EINVAL).to_string();
        assert_eq!(line, "physinfo: EINVAL (invalid argument)");
    }
}
