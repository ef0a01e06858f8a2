//! A page shared with another domain.
//!
//! The other side may write at any time, so nobody gets a reference into it: words are read and
//! written atomically, bytes are copied one volatile access at a time.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Bytes of a page.
pub const PAGE: usize = 4096;

/// One page, mapped until dropped.
#[derive(Debug)]
pub struct SharedPage {
    start: NonNull<u8>,
}

// SAFETY: it is memory without any tie to a thread, reached only through single accesses.
unsafe impl Send for SharedPage {}

impl SharedPage {
    /// Maps the page of a device that is at `offset`, readable and writable.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn map(device: impl AsFd, offset: u64) -> io::Result<Self> {
        let none = std::ptr::null_mut();
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses a free address for a new mapping.
        let start = unsafe { mmap(none, PAGE, access, MapFlags::SHARED, device, offset)? };
        let start = NonNull::new(start.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start })
    }

    /// A place in the page for `len` bytes; the last such place if `offset` is too high, so that
    /// no offset reaches beyond the page.
    fn place(&self, offset: usize, len: usize) -> *mut u8 {
        let offset = offset.min(PAGE - len.min(PAGE));
        // SAFETY: at most the end of the page, which is mapped.
        unsafe { self.start.as_ptr().add(offset) }
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        let place = self.place(offset & !3, 4).cast::<u32>();
        // SAFETY: four mapped bytes, aligned, for as long as `self`; both sides only access
        // them as an atomic word.
        unsafe { AtomicU32::from_ptr(place) }
    }

    /// The word at an offset, a multiple of 4. What is read afterwards is at least as new.
    pub fn load(&self, offset: usize) -> u32 {
        self.word(offset).load(Ordering::Acquire)
    }

    /// Sets the word at an offset, a multiple of 4, after all that was written before.
    pub fn store(&self, offset: usize, value: u32) {
        // A full barrier: what is loaded afterwards is not older than the store.
        self.word(offset).swap(value, Ordering::SeqCst);
    }

    /// Copies bytes out; no more than the page has.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) {
        let len = bytes.len().min(PAGE);
        let place = self.place(offset, len);
        for (index, byte) in bytes.iter_mut().take(len).enumerate() {
            // SAFETY: below `len`, in the page.
            *byte = unsafe { place.add(index).read_volatile() };
        }
    }

    /// Copies bytes in; no more than the page has.
    pub fn write(&self, offset: usize, bytes: &[u8]) {
        let len = bytes.len().min(PAGE);
        let place = self.place(offset, len);
        for (index, byte) in bytes.iter().take(len).enumerate() {
            // SAFETY: below `len`, in the page.
            unsafe { place.add(index).write_volatile(*byte) };
        }
    }
}

impl Drop for SharedPage {
    fn drop(&mut self) {
        // SAFETY: our own mapping, which nothing refers to any more. Failure leaves it mapped.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), PAGE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_stay_in_the_page() {
        let path = std::env::temp_dir().join(format!("oxen-page-{}", std::process::id()));
        std::fs::write(&path, [0; PAGE]).unwrap();
        let file = std::fs::File::options()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        let page = SharedPage::map(&file, 0).unwrap();
        page.store(8, 0x0403_0201);
        assert_eq!(page.load(8), 0x0403_0201);
        let mut bytes = [0; 4];
        page.read(8, &mut bytes);
        assert_eq!(bytes, [1, 2, 3, 4]);
        page.write(10, b"xy");
        page.read(8, &mut bytes);
        assert_eq!(bytes, [1, 2, b'x', b'y']);
        page.store(usize::MAX, 7);
        assert_eq!(page.load(PAGE - 4), 7);
        page.write(PAGE, b"end!");
        page.read(PAGE - 4, &mut bytes);
        assert_eq!(&bytes, b"end!");
        page.write(0, &[1; 2 * PAGE]);
        std::fs::remove_file(path).unwrap();
    }
}
