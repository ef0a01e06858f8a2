//! Event channels of a process (Linux `include/uapi/xen/evtchn.h`).
//!
//! Ports that have fired are read from the device, and stay quiet until they are enabled again.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;

use hypercall_abi::linux::evtchn::{
    IOCTL_EVTCHN_BIND_INTERDOMAIN, IOCTL_EVTCHN_BIND_VIRQ, IOCTL_EVTCHN_NOTIFY,
    IOCTL_EVTCHN_UNBIND, IoctlEvtchnBindInterdomain, IoctlEvtchnBindVirq, IoctlEvtchnNotify,
    IoctlEvtchnUnbind,
};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl};
use zerocopy::{Immutable, IntoBytes};

const DEVICE: &str = "/dev/xen/evtchn";
/// Ports taken from the device at a time.
const BATCH: usize = 64;

/// The open device; its ports close with it.
#[derive(Debug)]
pub struct Evtchn {
    file: File,
}

/// An ioctl that reads one structure and returns a number.
struct Request<T> {
    opcode: u64,
    argument: T,
}

// SAFETY: used with this device only; each opcode is put together with the structure it reads.
unsafe impl<T> Ioctl for Request<T> {
    type Output = u32;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        self.opcode as Opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.argument).cast()
    }

    unsafe fn output_from_ptr(output: IoctlOutput, _: *mut c_void) -> rustix::io::Result<u32> {
        Ok(u32::try_from(output).unwrap_or(0))
    }
}

impl Evtchn {
    /// Opens the device; reading it never waits.
    ///
    /// # Errors
    /// If there is none.
    pub fn open() -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
        options.open(DEVICE).map(|file| Self { file })
    }

    /// Goes on with a device that was open before the program was replaced.
    ///
    /// # Errors
    /// If the descriptor cannot be set up.
    pub fn adopt(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&fd, rustix::fs::OFlags::NONBLOCK)?;
        Ok(Self { file: fd.into() })
    }

    fn call<T: IntoBytes + Immutable>(&self, opcode: u64, argument: T) -> io::Result<u32> {
        // SAFETY: see `Request`; the structures hold no addresses.
        Ok(unsafe { ioctl(&self.file, Request { opcode, argument }) }?)
    }

    /// Binds a port of another domain. Gives our port.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn bind_interdomain(&self, domid: u32, port: u32) -> io::Result<u32> {
        let argument = IoctlEvtchnBindInterdomain {
            remote_domain: domid,
            remote_port: port,
        };
        self.call(IOCTL_EVTCHN_BIND_INTERDOMAIN, argument)
    }

    /// Binds a virtual interrupt.
    ///
    /// # Errors
    /// `EEXIST` if somebody has it.
    pub fn bind_virq(&self, virq: u32) -> io::Result<u32> {
        self.call(IOCTL_EVTCHN_BIND_VIRQ, IoctlEvtchnBindVirq { virq })
    }

    /// Closes a port.
    ///
    /// # Errors
    /// If it is not ours.
    pub fn unbind(&self, port: u32) -> io::Result<()> {
        self.call(IOCTL_EVTCHN_UNBIND, IoctlEvtchnUnbind { port })
            .map(drop)
    }

    /// Raises an event at the other end of a port.
    ///
    /// # Errors
    /// If the port is not ours.
    pub fn notify(&self, port: u32) -> io::Result<()> {
        self.call(IOCTL_EVTCHN_NOTIFY, IoctlEvtchnNotify { port })
            .map(drop)
    }

    /// Ports that have fired since they were last enabled; none if there are none.
    ///
    /// # Errors
    /// If the device fails.
    pub fn pending(&self) -> io::Result<Vec<u32>> {
        let mut ports = [0u32; BATCH];
        let read = match rustix::io::read(&self.file, ports.as_mut_bytes()) {
            Ok(read) => read,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        Ok(ports.iter().take(read / 4).copied().collect())
    }

    /// Lets a port fire again.
    ///
    /// # Errors
    /// If the device fails.
    pub fn enable(&self, port: u32) -> io::Result<()> {
        rustix::io::write(&self.file, &port.to_ne_bytes())?;
        Ok(())
    }
}

impl AsFd for Evtchn {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
