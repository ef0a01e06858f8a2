//! Typed copies to and from the calling guest. A handle is an allegation; a value read through it is the
//! hypervisor's own copy, read once.

use alloc::vec::Vec;

use arch::addr::GuestVa;
use arch::guest::{copy_from, copy_to};
use hypercall_abi::{Errno, GuestHandle};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::host::host;

fn element<T>(handle: GuestHandle<T>, index: u64) -> Result<GuestVa, Errno> {
    handle
        .offset(index)
        .map(|h| GuestVa::new(h.addr()))
        .ok_or(Errno::EFAULT)
}

/// Copies element `index` of the array at `handle` in. `EFAULT` if it is not readable guest memory.
pub fn read<T: FromBytes + IntoBytes>(handle: GuestHandle<T>, index: u64) -> Result<T, Errno> {
    let mut value = T::new_zeroed();
    copy_from(element(handle, index)?, value.as_mut_bytes()).map_err(|_| Errno::EFAULT)?;
    Ok(value)
}

/// Copies a whole array in. `E2BIG` for more than `most` elements, `ENOMEM`, `EFAULT`.
pub fn read_array<T: FromBytes + IntoBytes>(
    handle: GuestHandle<T>,
    count: usize,
    most: usize,
) -> Result<Vec<T>, Errno> {
    if count > most {
        return Err(Errno::E2BIG);
    }
    host().mm.may_grow()?;
    let mut array = Vec::new();
    array.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    for i in 0..count as u64 {
        array.push(read(handle, i)?);
    }
    Ok(array)
}

/// Copies `value` out to element `index` of the array at `handle`. `EFAULT` if it is not writable guest memory.
pub fn write<T: IntoBytes + Immutable>(
    handle: GuestHandle<T>,
    index: u64,
    value: &T,
) -> Result<(), Errno> {
    copy_to(element(handle, index)?, value.as_bytes()).map_err(|_| Errno::EFAULT)
}

/// Copies `out.len()` bytes in from `handle`.
pub fn read_bytes(handle: GuestHandle<u8>, out: &mut [u8]) -> Result<(), Errno> {
    copy_from(GuestVa::new(handle.addr()), out).map_err(|_| Errno::EFAULT)
}

/// Copies bytes out to `handle`.
pub fn write_bytes(handle: GuestHandle<u8>, data: &[u8]) -> Result<(), Errno> {
    copy_to(GuestVa::new(handle.addr()), data).map_err(|_| Errno::EFAULT)
}
