//! Another domain's pages in our address space.
//!
//! Linux `include/uapi/xen/privcmd.h`: a mapping of the privcmd device is filled in with frames by
//! an ioctl. Nobody gets a reference into it, only copies: another domain may write there.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::fs::FileExt as _;
use std::ptr::NonNull;

use hypercall_abi::Errno;
use hypercall_abi::linux::privcmd::{
    IOCTL_PRIVCMD_MMAP_RESOURCE, IOCTL_PRIVCMD_MMAPBATCH_V2, PrivcmdMmapResource,
    PrivcmdMmapbatchV2,
};
use hypercall_abi::memory::MemResource;
use hypercall_abi::xen::DomId;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::{Error, Interface};

const PAGE: usize = 4096;
const MAPPING: &str = "mapping of a domain's memory";

/// Pages of another domain, mapped until dropped.
#[derive(Debug)]
pub struct Foreign {
    start: NonNull<u8>,
    /// In bytes, a multiple of the page size.
    len: usize,
}

// SAFETY: it is memory without any tie to a thread, reached only through copies.
unsafe impl Send for Foreign {}

impl Foreign {
    fn reserve(xen: &Interface, pages: usize, rights: ProtFlags) -> Result<Self, Error> {
        let memory = |errno: rustix::io::Errno| {
            Error::Memory(io::Error::from_raw_os_error(errno.raw_os_error()))
        };
        let len = pages
            .max(1)
            .checked_mul(PAGE)
            .ok_or_else(|| Error::Memory(io::ErrorKind::OutOfMemory.into()))?;
        // SAFETY: the kernel chooses a free address for a new mapping.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                len,
                rights,
                MapFlags::SHARED,
                &xen.privcmd,
                0,
            )
        };
        let start = NonNull::new(start.map_err(memory)?.cast::<u8>())
            .ok_or_else(|| Error::Memory(io::ErrorKind::OutOfMemory.into()))?;
        Ok(Self { start, len })
    }

    /// Its size in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Never: at least a page is mapped.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The address of `len` bytes from `at` on, if all of them are in the mapping.
    fn place(&self, at: usize, len: usize) -> io::Result<*mut u8> {
        match at.checked_add(len) {
            // SAFETY: at most one past the end of the mapping.
            Some(end) if end <= self.len => Ok(unsafe { self.start.as_ptr().add(at) }),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Copies `bytes` to `at`.
    ///
    /// # Errors
    /// If they do not fit.
    pub fn write(&mut self, at: usize, bytes: &[u8]) -> io::Result<()> {
        let place = self.place(at, bytes.len())?;
        // SAFETY: the place has room for all; our mapping overlaps no Rust object.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len()) };
        Ok(())
    }

    /// Zeroes `len` bytes from `at` on.
    ///
    /// # Errors
    /// If they are not all in the mapping.
    pub fn zero(&mut self, at: usize, len: usize) -> io::Result<()> {
        let place = self.place(at, len)?;
        // SAFETY: as above.
        unsafe { place.write_bytes(0, len) };
        Ok(())
    }

    /// Copies from `at` on into `bytes`.
    ///
    /// # Errors
    /// If they are not all in the mapping.
    pub fn read(&self, at: usize, bytes: &mut [u8]) -> io::Result<()> {
        let place = self.place(at, bytes.len())?;
        // SAFETY: the place holds as many; our mapping overlaps no Rust object.
        unsafe { std::ptr::copy_nonoverlapping(place, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    /// Reads `len` bytes of a file from `offset` on to `at`, without a copy in between.
    ///
    /// # Errors
    /// What the file system says, or that the file is shorter.
    pub fn read_file(&mut self, at: usize, file: &File, offset: u64, len: usize) -> io::Result<()> {
        let place = self.place(at, len)?;
        let mut done = 0;
        while done < len {
            // SAFETY: the rest of the place, which only the kernel fills; the domain does not run
            // yet, and bytes are bytes whoever wrote them.
            let room = unsafe {
                std::slice::from_raw_parts_mut(
                    place.add(done).cast::<MaybeUninit<u8>>(),
                    len - done,
                )
            };
            let (filled, _) = rustix::io::pread(file, room, offset + done as u64)
                .map_err(|errno| io::Error::from_raw_os_error(errno.raw_os_error()))?;
            if filled.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            done += filled.len();
        }
        Ok(())
    }

    /// Writes `len` bytes from `at` on to a file at `offset`.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_file(&self, at: usize, file: &File, offset: u64, len: usize) -> io::Result<()> {
        let mut copy = vec![0; len];
        self.read(at, &mut copy)?;
        file.write_all_at(&copy, offset)
    }
}

/// Pages of another domain that can only be read.
#[derive(Debug)]
pub struct ReadOnly(Foreign);

impl ReadOnly {
    /// See [`Foreign::read`].
    ///
    /// # Errors
    /// As there.
    pub fn read(&self, at: usize, bytes: &mut [u8]) -> io::Result<()> {
        self.0.read(at, bytes)
    }
}

/// A mapping without any page that could not be mapped.
fn all((mapped, errors): (Foreign, Vec<i32>)) -> Result<Foreign, Error> {
    match errors.iter().find(|errno| **errno != 0) {
        None => Ok(mapped),
        Some(errno) => Err(Error::Refused(MAPPING, Errno(-errno))),
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which nothing refers to any more. Failure leaves it mapped.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}

impl Interface {
    /// Maps frames of a domain, in this order: machine frames of a PV domain, guest frames of
    /// another.
    ///
    /// # Errors
    /// If one of them is not that domain's, or memory is short.
    pub fn map_foreign(&self, domain: DomId, frames: &[u64]) -> Result<Foreign, Error> {
        all(self.map_foreign_each(domain, frames, ProtFlags::READ | ProtFlags::WRITE)?)
    }

    /// As [`Self::map_foreign`], for reading only: the pages may be page tables, too, which nobody
    /// may map to write.
    ///
    /// # Errors
    /// As there.
    pub fn map_foreign_to_read(&self, domain: DomId, frames: &[u64]) -> Result<ReadOnly, Error> {
        all(self.map_foreign_each(domain, frames, ProtFlags::READ)?).map(ReadOnly)
    }

    /// As [`Self::map_foreign`], but frames that cannot be mapped are told by a number other than 0
    /// in the list returned beside; touching those pages of the mapping is an error of the program.
    fn map_foreign_each(
        &self,
        domain: DomId,
        frames: &[u64],
        rights: ProtFlags,
    ) -> Result<(Foreign, Vec<i32>), Error> {
        let what = MAPPING;
        let mapped = Foreign::reserve(self, frames.len(), rights)?;
        let mut errors = vec![0i32; frames.len()];
        // All in one: the device fills a mapping as a whole, or what is left of it.
        let request = PrivcmdMmapbatchV2 {
            num: u32::try_from(frames.len()).unwrap_or(0),
            dom: domain,
            addr: mapped.start.as_ptr() as u64,
            arr: frames.as_ptr() as u64,
            err: errors.as_mut_ptr() as u64,
            ..Default::default()
        };
        // SAFETY: the structure is this ioctl's; `addr` is our own mapping of the device with as
        // many pages, `arr` and `err` are as long as `num` says.
        match unsafe { ioctl(&self.privcmd, MapBatch(request)) } {
            // With ENOENT some are paged out: told one by one.
            Ok(()) | Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(Error::Refused(what, Errno(errno.raw_os_error()))),
        }
        Ok((mapped, errors))
    }

    /// Maps a page of a domain to read it, `None` if it has no such frame.
    ///
    /// # Errors
    /// If memory is short.
    pub fn map_page_to_read(&self, domain: DomId, frame: u64) -> Result<Option<ReadOnly>, Error> {
        let (mapped, errors) = self.map_foreign_each(domain, &[frame], ProtFlags::READ)?;
        Ok((errors.first() == Some(&0)).then_some(ReadOnly(mapped)))
    }

    /// Maps the first frame of a domain's grant table.
    ///
    /// # Errors
    /// What the hypervisor refuses.
    pub fn map_grant_table(&self, domain: DomId) -> Result<Foreign, Error> {
        let what = "mapping of a domain's grant table";
        let mapped = Foreign::reserve(self, 1, ProtFlags::READ | ProtFlags::WRITE)?;
        let request = PrivcmdMmapResource {
            dom: domain,
            r#type: u32::from(u16::from(MemResource::GRANT_TABLE)),
            id: 0,
            idx: 0,
            num: 1,
            addr: mapped.start.as_ptr() as u64,
            ..Default::default()
        };
        // SAFETY: the structure is this ioctl's; `addr` is our own mapping of the device, a page.
        match unsafe { ioctl(&self.privcmd, MapResource(request)) } {
            Ok(_) => Ok(mapped),
            Err(
                rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTTY,
            ) => {
                // An older way, for hypervisors or kernels without resources.
                let frame = self.grant_table_frame(domain)?;
                self.map_foreign(domain, &[frame])
            }
            Err(errno) => Err(Error::Refused(what, Errno(errno.raw_os_error()))),
        }
    }
}

/// `IOCTL_PRIVCMD_MMAPBATCH_V2`.
struct MapBatch(PrivcmdMmapbatchV2);

// SAFETY: the opcode takes a pointer to a `PrivcmdMmapbatchV2` and only reads it.
unsafe impl Ioctl for MapBatch {
    type Output = ();
    // Not the request itself, but the memory that it names: without this the compiler takes what was written there
    // before for what the hypervisor leaves there.
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        IOCTL_PRIVCMD_MMAPBATCH_V2 as Opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

/// `IOCTL_PRIVCMD_MMAP_RESOURCE`.
struct MapResource(PrivcmdMmapResource);

// SAFETY: the opcode takes a pointer to a `PrivcmdMmapResource`, of which it may write `num`.
unsafe impl Ioctl for MapResource {
    type Output = ();
    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        IOCTL_PRIVCMD_MMAP_RESOURCE as Opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}
