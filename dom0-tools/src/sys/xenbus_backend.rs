//! The kernel's own ring to xenstore, for a xenstored in the kernel's domain (Linux
//! `include/uapi/xen/xenbus_dev.h`).

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fs::OpenOptions;
use std::io;

use hypercall_abi::linux::xenbus_dev::IOCTL_XENBUS_BACKEND_EVTCHN;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl};

use super::page::SharedPage;

const DEVICE: &str = "/dev/xen/xenbus_backend";

struct Port;

// SAFETY: the opcode takes no argument and returns a port.
unsafe impl Ioctl for Port {
    type Output = u32;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        IOCTL_XENBUS_BACKEND_EVTCHN as Opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::null_mut()
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> rustix::io::Result<u32> {
        Ok(u32::try_from(output).unwrap_or(0))
    }
}

/// The kernel's ring, and the port that it listens at.
///
/// # Errors
/// If this is not the domain where xenstored belongs, or the caller is not root.
pub fn open() -> io::Result<(SharedPage, u32)> {
    let file = OpenOptions::new().read(true).write(true).open(DEVICE)?;
    // SAFETY: see `Port`.
    let port = unsafe { ioctl(&file, Port) }?;
    Ok((SharedPage::map(&file, 0)?, port))
}
