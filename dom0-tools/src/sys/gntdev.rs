//! Pages that other domains grant (Linux `include/uapi/xen/gntdev.h`).

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::fs::{File, OpenOptions};
use std::io;
use std::sync::Arc;

use hypercall_abi::linux::gntdev::{
    IOCTL_GNTDEV_MAP_GRANT_REF, IOCTL_GNTDEV_UNMAP_GRANT_REF, IoctlGntdevGrantRef,
    IoctlGntdevMapGrantRef, IoctlGntdevUnmapGrantRef,
};
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl};

use super::page::SharedPage;

const DEVICE: &str = "/dev/xen/gntdev";

/// The open device.
#[derive(Clone, Debug)]
pub struct Gntdev {
    file: Arc<File>,
}

/// A granted page, mapped until dropped.
#[derive(Debug)]
pub struct GrantedPage {
    /// `None` only while it is dropped: the mapping goes before its record in the kernel.
    page: Option<SharedPage>,
    device: Gntdev,
    index: u64,
}

struct MapGrant(IoctlGntdevMapGrantRef);

// SAFETY: the opcode takes a pointer to this structure, reads it, and writes its index.
unsafe impl Ioctl for MapGrant {
    type Output = u64;
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        IOCTL_GNTDEV_MAP_GRANT_REF as Opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, argument: *mut c_void) -> rustix::io::Result<u64> {
        // SAFETY: the structure that `as_ptr` gave.
        Ok(unsafe { (*argument.cast::<IoctlGntdevMapGrantRef>()).index })
    }
}

struct UnmapGrant(IoctlGntdevUnmapGrantRef);

// SAFETY: the opcode takes a pointer to this structure and only reads it.
unsafe impl Ioctl for UnmapGrant {
    type Output = ();
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        IOCTL_GNTDEV_UNMAP_GRANT_REF as Opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

impl Gntdev {
    /// Opens the device.
    ///
    /// # Errors
    /// If there is none.
    pub fn open() -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(DEVICE)?;
        Ok(Self {
            file: Arc::new(file),
        })
    }

    /// Maps a page that a domain grants us, readable and writable.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn map(&self, domid: u32, reference: u32) -> io::Result<GrantedPage> {
        let mut request = IoctlGntdevMapGrantRef {
            count: 1,
            ..Default::default()
        };
        request.refs = [IoctlGntdevGrantRef {
            domid,
            r#ref: reference,
        }];
        // SAFETY: one structure with one reference, as its count says.
        let index = unsafe { ioctl(&self.file, MapGrant(request)) }?;
        let mut granted = GrantedPage {
            page: None,
            device: self.clone(),
            index,
        };
        granted.page = Some(SharedPage::map(&self.file, index)?);
        Ok(granted)
    }
}

impl GrantedPage {
    /// The page.
    pub fn page(&self) -> Option<&SharedPage> {
        self.page.as_ref()
    }
}

impl Drop for GrantedPage {
    fn drop(&mut self) {
        self.page = None;
        let request = IoctlGntdevUnmapGrantRef {
            index: self.index,
            count: 1,
            ..Default::default()
        };
        // SAFETY: one structure. Failure leaves a record that goes with the device.
        let _ = unsafe { ioctl(&self.device.file, UnmapGrant(request)) };
    }
}
