//! Device memory: a window of the address space, filled from its start and never given back.

#[cfg(target_os = "none")]
use super::layout::{IOREMAP_BASE, IOREMAP_SIZE};
use super::table::{Flags, FrameSource};
use super::{MapError, with_tables};
use crate::addr::{Mfn, PAGE_SIZE, PhysAddr};
use crate::sync::SpinLock;

/// How the processor caches a mapping; the bits select from the PAT in `cpu::control`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheMode {
    /// Ordinary memory.
    WriteBack,
    /// Device registers.
    Uncached,
    /// Frame buffers.
    WriteCombining,
}

impl CacheMode {
    const fn large_flags(self) -> u64 {
        match self {
            Self::WriteBack => 0,
            Self::Uncached => Flags::WRITE_THROUGH.bits() | Flags::CACHE_DISABLE.bits(),
            Self::WriteCombining => 1 << 12,
        }
    }

    const fn small_flags(self) -> u64 {
        match self {
            Self::WriteCombining => 1 << 7,
            other => other.large_flags(),
        }
    }
}

/// Gives a zeroed frame.
type TakeFrame = fn() -> Option<Mfn>;

/// The next free address; the first page is the temporary mapping of [`read_physical`].
#[cfg(target_os = "none")]
static NEXT: SpinLock<u64> = SpinLock::new(IOREMAP_BASE + PAGE_SIZE);
/// The page allocator, once there is one.
static SOURCE: SpinLock<Option<TakeFrame>> = SpinLock::new(None);

/// Frames put aside at boot for page tables.
static RESERVE: SpinLock<[Option<Mfn>; 32]> = SpinLock::new([None; 32]);

/// From now on tables of late mappings come from here (zeroed frames), no longer from the reserve made at boot.
pub fn set_frame_source(source: TakeFrame) {
    *SOURCE.lock() = Some(source);
}

/// A mapped range of device memory. All accesses are volatile; one that leaves the range panics (offsets are the
/// driver's own constants).
#[derive(Clone, Copy, Debug)]
pub struct IoMem {
    base: u64,
    len: u64,
    #[cfg(not(target_os = "none"))]
    window: crate::sim::Window,
}

macro_rules! access {
    ($read:ident, $write:ident, $ty:ty, $sim_read:ident, $sim_write:ident) => {
        /// Reads a register.
        #[inline]
        #[must_use]
        pub fn $read(&self, offset: usize) -> $ty {
            let address = self.check::<$ty>(offset);
            #[cfg(target_os = "none")]
            // SAFETY: inside the mapping, aligned; device registers hold no Rust objects.
            unsafe {
                (address as *const $ty).read_volatile()
            }
            #[cfg(not(target_os = "none"))]
            {
                let _ = address;
                self.window.$sim_read(offset) as $ty
            }
        }
        /// Writes a register.
        #[inline]
        pub fn $write(&self, offset: usize, value: $ty) {
            let address = self.check::<$ty>(offset);
            #[cfg(target_os = "none")]
            // SAFETY: as for reading; what the device does with it is its driver's business.
            unsafe {
                (address as *mut $ty).write_volatile(value)
            }
            #[cfg(not(target_os = "none"))]
            {
                let _ = address;
                self.window.$sim_write(offset, value)
            }
        }
    };
}

impl IoMem {
    /// Bytes of the range.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }
    /// Whether it is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
    /// Its first virtual address.
    #[must_use]
    pub const fn address(&self) -> u64 {
        self.base
    }

    #[inline]
    fn check<T>(&self, offset: usize) -> u64 {
        let address = self.base + offset as u64;
        assert!(
            offset as u64 <= self.len
                && size_of::<T>() as u64 <= self.len - offset as u64
                && address.is_multiple_of(size_of::<T>() as u64),
            "device access outside its mapping: offset {offset:#x} of {:#x}",
            self.len
        );
        address
    }

    access!(read8, write8, u8, read8, write8);
    access!(read16, write16, u16, read16, write16);
    access!(read32, write32, u32, read32, write32);

    /// Reads a 64-bit register in one access.
    #[must_use]
    pub fn read64(&self, offset: usize) -> u64 {
        let address = self.check::<u64>(offset);
        #[cfg(target_os = "none")]
        // SAFETY: as for the narrower ones.
        unsafe {
            (address as *const u64).read_volatile()
        }
        #[cfg(not(target_os = "none"))]
        {
            let _ = address;
            u64::from(self.window.read32(offset + 4)) << 32 | u64::from(self.window.read32(offset))
        }
    }

    /// Writes a 64-bit register in one access.
    pub fn write64(&self, offset: usize, value: u64) {
        let address = self.check::<u64>(offset);
        #[cfg(target_os = "none")]
        // SAFETY: as for the narrower ones.
        unsafe {
            (address as *mut u64).write_volatile(value)
        }
        #[cfg(not(target_os = "none"))]
        {
            let _ = address;
            self.window.write32(offset, value as u32);
            self.window.write32(offset + 4, (value >> 32) as u32);
        }
    }
}

/// Memory for tables of late mappings: the page allocator's, before that the reserve.
struct Late;

impl FrameSource for Late {
    fn frame(&mut self) -> Option<Mfn> {
        let source = *SOURCE.lock();
        source
            .and_then(|f| f())
            .or_else(|| RESERVE.lock().iter_mut().find_map(Option::take))
    }
}

/// Puts frames aside, as many as there is room for.
pub(super) fn reserve(source: &mut dyn FrameSource) {
    for slot in RESERVE.lock().iter_mut().filter(|slot| slot.is_none()) {
        *slot = source.frame();
    }
}

/// Maps `len` bytes of device memory at physical `start` (neither needs alignment).
///
/// # Errors
/// See [`MapError`].
pub fn ioremap(start: PhysAddr, len: u64, mode: CacheMode) -> Result<IoMem, MapError> {
    let end = start
        .get()
        .checked_add(len)
        .filter(|&end| end <= 1 << 52 && len != 0)
        .ok_or(MapError::BadRange)?;
    #[cfg(not(target_os = "none"))]
    {
        let window = crate::sim::Window::map(start.get(), len).ok_or(MapError::BadRange)?;
        let _ = (end, mode.small_flags());
        Ok(IoMem {
            base: start.get(),
            len,
            window,
        })
    }
    #[cfg(target_os = "none")]
    {
        let first = start.get() & !(PAGE_SIZE - 1);
        let size = end.next_multiple_of(PAGE_SIZE) - first;
        let va = {
            let mut next = NEXT.lock();
            // Large ranges keep their offset within 2 MiB, so that large pages serve.
            let va = if size >= 2 << 20 {
                let rest = first & ((2 << 20) - 1);
                next.wrapping_sub(rest).next_multiple_of(2 << 20) + rest
            } else {
                *next
            };
            if va + size > IOREMAP_BASE + IOREMAP_SIZE {
                return Err(MapError::BadRange);
            }
            *next = va + size;
            va
        };
        map_window(va, first, size, mode)?;
        Ok(IoMem {
            base: va + (start.get() - first),
            len,
        })
    }
}

#[cfg_attr(
    not(target_os = "none"),
    allow(dead_code, reason = "devices are simulated on the host")
)]
fn map_window(va: u64, phys: u64, size: u64, mode: CacheMode) -> Result<(), MapError> {
    with_tables(|tables| {
        let flags = |bits| Flags::DATA | Flags::GLOBAL | Flags::from_bits_retain(bits);
        let mut done = 0;
        while done < size {
            let (at, from) = (va + done, phys + done);
            let large = (at | from) & ((2 << 20) - 1) == 0 && size - done >= 2 << 20;
            let (len, bits, largest) = if large {
                (2 << 20, mode.large_flags(), 2)
            } else {
                (PAGE_SIZE, mode.small_flags(), 1)
            };
            tables.map(at, from, len, flags(bits), largest, &mut Late)?;
            done += len;
        }
        Ok(())
    })
}

/// Copies physical memory that may lie outside RAM (firmware tables, the BIOS area). False if the range wraps, or
/// before [`super::init`] lies above 4 GiB.
pub fn read_physical(start: PhysAddr, out: &mut [u8]) -> bool {
    let Some(end) = start
        .get()
        .checked_add(out.len() as u64)
        .filter(|&end| end <= 1 << 52)
    else {
        return false;
    };
    #[cfg(not(target_os = "none"))]
    {
        let _ = end;
        crate::sim::read_physical(start.get(), out)
    }
    #[cfg(target_os = "none")]
    {
        use crate::boot::{Memory, Physical};
        if super::idle_cr3() == 0 {
            // SAFETY: the early tables map the first 4 GiB at the direct map's base.
            return unsafe { Physical::new(1 << 32) }.read(start.get(), out);
        }
        let mut at = start.get();
        let mut rest = out;
        while at < end {
            let take = ((PAGE_SIZE - (at & (PAGE_SIZE - 1))) as usize).min(rest.len());
            let (part, after) = rest.split_at_mut(take);
            if !read_page(at, part) {
                return false;
            }
            rest = after;
            at += take as u64;
        }
        true
    }
}

/// Copies from one page through the temporary mapping.
#[cfg(target_os = "none")]
fn read_page(at: u64, out: &mut [u8]) -> bool {
    // The lock is held for the whole use of the temporary page.
    let next = NEXT.lock();
    let entry = (at & !(PAGE_SIZE - 1)) | Flags::CONSTANTS.bits();
    let placed = with_tables(|tables| match tables.replace_l1(IOREMAP_BASE, entry) {
        Ok(_) => Ok(()),
        // The first time there is no L1 table yet.
        Err(_) => tables.map(
            IOREMAP_BASE,
            at & !(PAGE_SIZE - 1),
            PAGE_SIZE,
            Flags::CONSTANTS,
            1,
            &mut Late,
        ),
    });
    if placed.is_err() {
        return false;
    }
    crate::tlb::invalidate_page(IOREMAP_BASE);
    let source = (IOREMAP_BASE + (at & (PAGE_SIZE - 1))) as *const u8;
    for (i, byte) in out.iter_mut().enumerate() {
        // SAFETY: the page was mapped just now and stays so while the lock is held.
        *byte = unsafe { source.add(i).read_volatile() };
    }
    drop(next);
    true
}
