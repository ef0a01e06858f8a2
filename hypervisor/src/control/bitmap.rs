//! `xenctl_bitmap`: sets of CPUs and nodes in the caller's memory, as long as the caller says.

use hypercall_abi::xen::XenctlBitmap;
use hypercall_abi::{Errno, GuestHandle};

use crate::guest;
use crate::sched::CpuMask;

/// Bytes of the largest set that the hypervisor has.
const BYTES: usize = crate::sched::MAX_CPUS / 8;
/// Bits that a caller may ask for: far more than any host has CPUs, and little enough to fill in one go.
const MAX_BITS: u32 = 1 << 16;

fn at(map: &XenctlBitmap, byte: usize) -> Result<GuestHandle<u8>, Errno> {
    map.bitmap.offset(byte as u64).ok_or(Errno::EFAULT)
}

/// Reads a set: bits beyond the caller's number are zero, bits beyond the hypervisor's largest number are dropped.
pub fn read(map: &XenctlBitmap) -> Result<CpuMask, Errno> {
    let guest_bytes = map.nr_bits.div_ceil(8) as usize;
    let mut bytes = [0; BYTES];
    let copied = guest_bytes.min(BYTES);
    guest::read_bytes(map.bitmap, bytes.get_mut(..copied).unwrap_or_default())?;
    if guest_bytes == copied
        && let Some(last) = bytes.get_mut(copied.wrapping_sub(1))
    {
        let spare = (8 - map.nr_bits % 8) % 8;
        *last &= 0xff >> spare;
    }
    Ok(CpuMask::from_bytes(&bytes))
}

/// Writes a set of which `bits` bits mean something; the rest of the caller's bytes become zero. `EINVAL` for an absurd
/// length.
pub fn write(map: &XenctlBitmap, set: CpuMask, bits: usize) -> Result<(), Errno> {
    if map.nr_bits > MAX_BITS {
        return Err(Errno::EINVAL);
    }
    let guest_bytes = map.nr_bits.div_ceil(8) as usize;
    let bytes = set.and(&CpuMask::first_n(bits)).to_bytes();
    let copied = guest_bytes.min(BYTES);
    guest::write_bytes(map.bitmap, bytes.get(..copied).unwrap_or_default())?;
    let zeroes = [0; 64];
    let mut done = copied;
    while done < guest_bytes {
        let step = (guest_bytes - done).min(zeroes.len());
        guest::write_bytes(at(map, done)?, zeroes.get(..step).unwrap_or_default())?;
        done += step;
    }
    Ok(())
}
