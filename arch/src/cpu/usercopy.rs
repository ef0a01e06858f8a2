//! Copies to and from guest virtual memory through the loaded page tables, faults fixed up by the exception table.
//! Callers (`guest`) have checked that the range is clear of the hypervisor's slots.
#![allow(unsafe_code)]

use crate::addr::GuestVa;
use crate::guest::Fault;

unsafe extern "C" {
    fn oxen_usercopy(dst: *mut u8, src: *const u8, len: usize) -> usize;
    fn oxen_user_read8(src: u64, out: *mut u64) -> u64;
    fn oxen_user_write_words(dst: u64, words: *const u64, count: usize) -> usize;
}

pub(crate) fn copy_from(va: GuestVa, out: &mut [u8]) -> Result<(), Fault> {
    if out.len() == 8 {
        let mut word = 0u64;
        // SAFETY: a fault on the guest side is fixed up; `word` is ours.
        if unsafe { oxen_user_read8(va.get(), &mut word) } != 0 {
            return Err(Fault);
        }
        out.copy_from_slice(&word.to_ne_bytes());
        return Ok(());
    }
    // SAFETY: the destination is a Rust buffer of that length; the source is outside the hypervisor's slots, so it
    // can alias nothing of ours, and a fault on it is fixed up.
    match unsafe { oxen_usercopy(out.as_mut_ptr(), va.get() as *const u8, out.len()) } {
        0 => Ok(()),
        _ => Err(Fault),
    }
}

pub(crate) fn copy_to(va: GuestVa, data: &[u8]) -> Result<(), Fault> {
    // SAFETY: as in `copy_from` with the roles exchanged.
    match unsafe { oxen_usercopy(va.get() as *mut u8, data.as_ptr(), data.len()) } {
        0 => Ok(()),
        _ => Err(Fault),
    }
}

pub(crate) fn write_words(va: GuestVa, words: &[u64]) -> Result<(), Fault> {
    // SAFETY: as in `copy_to`.
    match unsafe { oxen_user_write_words(va.get(), words.as_ptr(), words.len()) } {
        0 => Ok(()),
        _ => Err(Fault),
    }
}
