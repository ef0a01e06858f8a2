//! Copies between the hypervisor and the current vCPU's virtual address space.
//!
//! The address is the guest's allegation: a range that touches the hypervisor's slots, wraps or is not mapped
//! (or not writable) is a [`Fault`], never more.

use crate::addr::GuestVa;

/// The guest's address did not hold what it alleged. Callers answer `EFAULT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// First address of the hypervisor's slots (Xen `HYPERVISOR_VIRT_START`).
pub const HYPERVISOR_START: u64 = 0xffff_8000_0000_0000;
/// First address after them (Xen `HYPERVISOR_VIRT_END`).
pub const HYPERVISOR_END: u64 = 0xffff_8800_0000_0000;

/// Whether `len` bytes from `va` are canonical and stay clear of the hypervisor's slots.
pub const fn range_ok(va: GuestVa, len: usize) -> bool {
    let Some(end) = va.get().checked_add(len as u64) else {
        return false;
    };
    end <= 0x0000_8000_0000_0000 || va.get() >= HYPERVISOR_END
}

/// Copies bytes in from the current guest.
pub fn copy_from(va: GuestVa, out: &mut [u8]) -> Result<(), Fault> {
    if !range_ok(va, out.len()) {
        return Err(Fault);
    }
    backend::copy_from(va, out)
}

/// Copies bytes out to the current guest.
pub fn copy_to(va: GuestVa, data: &[u8]) -> Result<(), Fault> {
    if !range_ok(va, data.len()) {
        return Err(Fault);
    }
    backend::copy_to(va, data)
}

/// Writes consecutive words, the way a trap frame is put on a guest's stack.
pub fn write_words(va: GuestVa, words: &[u64]) -> Result<(), Fault> {
    if !range_ok(va, words.len() * 8) {
        return Err(Fault);
    }
    backend::write_words(va, words)
}

#[cfg(target_os = "none")]
use crate::cpu::usercopy as backend;
#[cfg(not(target_os = "none"))]
use crate::hosted as backend;
