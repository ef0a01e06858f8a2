//! The few raw accesses that the platform devices in this crate share: ports, model-specific registers, the
//! time-stamp counter and device memory, behind one interface for both backends.
//!
//! On the host every port reads as a floating bus unless a test scripted it, and writes are recorded; see
//! [`crate::sim`].
#![allow(unsafe_code)]

pub(crate) use backend::*;

use crate::addr::PhysAddr;
use crate::paging::{CacheMode, IoMem, ioremap};

/// A mapped range of device registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mmio(IoMem);

impl Mmio {
    /// Maps `len` bytes at `phys` uncached. `None` when the range cannot be mapped or is not aligned to a register
    /// (addresses come from firmware, devices and dom0).
    pub(crate) fn map(phys: u64, len: u64) -> Option<Self> {
        if !phys.is_multiple_of(4) {
            return None;
        }
        ioremap(PhysAddr::new(phys), len, CacheMode::Uncached)
            .ok()
            .map(Self)
    }
    /// Maps `len` bytes at `phys` write-combining (frame buffers).
    pub(crate) fn map_combining(phys: u64, len: u64) -> Option<Self> {
        if !phys.is_multiple_of(4) {
            return None;
        }
        ioremap(PhysAddr::new(phys), len, CacheMode::WriteCombining)
            .ok()
            .map(Self)
    }
    #[inline]
    pub(crate) fn read8(&self, offset: usize) -> u8 {
        self.0.read8(offset)
    }
    #[inline]
    pub(crate) fn read16(&self, offset: usize) -> u16 {
        self.0.read16(offset)
    }
    #[inline]
    pub(crate) fn read32(&self, offset: usize) -> u32 {
        self.0.read32(offset)
    }
    #[inline]
    pub(crate) fn write8(&self, offset: usize, value: u8) {
        self.0.write8(offset, value);
    }
    #[inline]
    pub(crate) fn write16(&self, offset: usize, value: u16) {
        self.0.write16(offset, value);
    }
    #[inline]
    pub(crate) fn write32(&self, offset: usize, value: u32) {
        self.0.write32(offset, value);
    }
}

/// Copies physical memory wherever it lies; false when it cannot be reached.
pub(crate) fn read_physical(phys: u64, out: &mut [u8]) -> bool {
    crate::paging::read_physical(PhysAddr::new(phys), out)
}

#[cfg(not(target_os = "none"))]
mod backend {
    pub(crate) use crate::sim::ports::*;

    pub(crate) fn fence() {}
    pub(crate) fn rdtsc_ordered() -> u64 {
        crate::sim::tsc()
    }
    pub(crate) fn rdtsc() -> u64 {
        crate::sim::tsc()
    }
    pub(crate) fn cpuid(leaf: u32, subleaf: u32) -> [u32; 4] {
        crate::sim::cpuid(leaf, subleaf)
    }
    pub(crate) fn rdmsr(msr: u32) -> u64 {
        crate::sim::rdmsr(msr)
    }
    pub(crate) fn wrmsr(msr: u32, value: u64) {
        crate::sim::wrmsr(msr, value)
    }
}

#[cfg(target_os = "none")]
mod backend {
    use core::arch::asm;
    use core::arch::x86_64::{__cpuid_count, _rdtsc};

    macro_rules! port {
        ($read:ident, $write:ident, $ty:ty, $reg:tt) => {
            pub(crate) fn $read(port: u16) -> $ty {
                let value;
                // SAFETY: a port read touches no memory of ours; Oxen runs in ring 0.
                unsafe {
                    asm!(concat!("in ", $reg, ", dx"), out($reg) value, in("dx") port,
                        options(nomem, nostack, preserves_flags));
                }
                value
            }
            pub(crate) fn $write(port: u16, value: $ty) {
                // SAFETY: the platform drivers in this crate write only to devices that they own.
                unsafe {
                    asm!(concat!("out dx, ", $reg), in("dx") port, in($reg) value,
                        options(nomem, nostack, preserves_flags));
                }
            }
        };
    }
    port!(inb, outb, u8, "al");
    port!(inw, outw, u16, "ax");
    port!(inl, outl, u32, "eax");

    pub(crate) fn rdtsc() -> u64 {
        // SAFETY: every x86-64 processor has a time-stamp counter.
        unsafe { _rdtsc() }
    }
    /// The time-stamp counter, read after everything before it has happened.
    #[inline]
    pub(crate) fn rdtsc_ordered() -> u64 {
        // SAFETY: as in `rdtsc`; the fence has no other effect.
        unsafe {
            asm!("lfence", options(nostack, preserves_flags));
            _rdtsc()
        }
    }
    /// Orders all earlier memory accesses before all later ones, device registers and WRMSR included.
    pub(crate) fn fence() {
        // SAFETY: fences have no other effect.
        unsafe { asm!("mfence", "lfence", options(nostack, preserves_flags)) };
    }
    pub(crate) fn cpuid(leaf: u32, subleaf: u32) -> [u32; 4] {
        let r = __cpuid_count(leaf, subleaf);
        [r.eax, r.ebx, r.ecx, r.edx]
    }
    pub(crate) fn rdmsr(msr: u32) -> u64 {
        let (low, high): (u32, u32);
        // SAFETY: callers read only architectural registers that CPUID announces.
        unsafe {
            asm!("rdmsr", in("ecx") msr, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags));
        }
        u64::from(high) << 32 | u64::from(low)
    }
    pub(crate) fn wrmsr(msr: u32, value: u64) {
        // SAFETY: callers write only local APIC and deadline registers, which have no effect on memory.
        unsafe {
            asm!("wrmsr", in("ecx") msr, in("eax") value as u32, in("edx") (value >> 32) as u32,
                options(nostack, preserves_flags));
        }
    }
}
