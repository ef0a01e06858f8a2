//! Memory that the hypervisor reads and writes during a call.
//!
//! It must stay in place for the whole call: a page that the kernel has moved, swapped or made
//! copy-on-write in the meantime makes the hypervisor return `EFAULT`. Nobody gets a reference
//! into it, only copies.

use std::fs::File;
use std::io;
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap, mmap_anonymous, munmap};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use hypercall_abi::GuestHandle;

use super::Error;

const PAGE: usize = 4096;

/// Whole pages, zeroed, until dropped.
pub(super) struct Buffer {
    start: NonNull<u8>,
    /// In bytes, a multiple of the page size.
    len: usize,
}

impl Buffer {
    /// At least `bytes` bytes, from the kernel's buffer device if there is one.
    pub(super) fn new(device: Option<&File>, bytes: usize) -> Result<Self, Error> {
        let failed = |errno: rustix::io::Errno| {
            Error::Memory(io::Error::from_raw_os_error(errno.raw_os_error()))
        };
        let len = bytes.max(1).next_multiple_of(PAGE);
        let none = std::ptr::null_mut();
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let mapped = match device {
            // SAFETY: the kernel chooses a free address for a new mapping.
            Some(file) => unsafe { mmap(none, len, access, MapFlags::SHARED, file, 0) },
            // SAFETY: as above.
            None => unsafe { mmap_anonymous(none, len, access, MapFlags::PRIVATE) },
        };
        let start = NonNull::new(mapped.map_err(failed)?.cast::<u8>())
            .ok_or_else(|| Error::Memory(io::ErrorKind::OutOfMemory.into()))?;
        let buffer = Self { start, len };
        if device.is_none() {
            // Present and not shared with a child: else the first write would move it.
            // SAFETY: all of the range is the mapping just made.
            unsafe {
                madvise(start.as_ptr().cast(), len, Advice::LinuxDontFork).map_err(failed)?;
                mlock(start.as_ptr().cast(), len).map_err(failed)?;
                start.write_bytes(0, len);
            }
        }
        Ok(buffer)
    }

    /// The address for the hypervisor.
    pub(super) fn addr(&self) -> u64 {
        self.start.as_ptr() as u64
    }

    /// The address as a field of a structure.
    pub(super) fn handle<T>(&self) -> GuestHandle<T> {
        GuestHandle::new(self.addr())
    }

    /// Puts `values` at the start, as many as fit.
    pub(super) fn write<T: IntoBytes + Immutable>(&mut self, values: &[T]) {
        let bytes = values.as_bytes();
        let len = bytes.len().min(self.len);
        // SAFETY: `len` bytes are in both; a new mapping overlaps nothing.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr(), len) };
    }

    /// The first `count` values, fewer if the buffer is smaller.
    pub(super) fn read<T: FromBytes + IntoBytes + Clone>(&self, count: usize) -> Vec<T> {
        let count = count.min(self.len / size_of::<T>());
        let mut values = vec![T::new_zeroed(); count];
        let bytes = values.as_mut_slice().as_mut_bytes();
        // SAFETY: `bytes` is at most as long as the mapping, and new.
        unsafe {
            std::ptr::copy_nonoverlapping(self.start.as_ptr(), bytes.as_mut_ptr(), bytes.len());
        }
        values
    }

    /// The value at the start; one page holds any structure of the ABI.
    pub(super) fn read_one<T: FromBytes + IntoBytes + Clone>(&self) -> T {
        self.read(1).pop().unwrap_or_else(T::new_zeroed)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which nothing refers to any more. Failure leaves it mapped.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_is_written_and_zeroes_behind_it() {
        let mut buffer = Buffer::new(None, 5000).unwrap();
        assert_eq!(buffer.addr() % 4096, 0);
        buffer.write(&[1u32, 2, 3]);
        assert_eq!(buffer.read::<u32>(4), [1, 2, 3, 0]);
        assert_eq!(buffer.read_one::<u64>(), 1 | 2 << 32);
        assert_eq!(buffer.read::<u8>(usize::MAX).len(), 8192);
    }

    #[test]
    fn a_write_that_is_too_long_is_cut() {
        let mut buffer = Buffer::new(None, 1).unwrap();
        buffer.write(&[7u8; 5000]);
        assert_eq!(buffer.read::<u8>(5000), [7; 4096]);
    }
}
