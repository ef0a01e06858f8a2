//! Tables of the hypervisor that live in their own virtual windows for ever: frame table and machine-to-phys table.
#![allow(unsafe_code)]

use crate::boot::{BootModule, EarlyMemory};
use crate::paging::{self, Flags, MapError};

/// Maps `count` zeroed `T`s at `va` and returns them.
///
/// # Errors
/// As `paging::map_region`.
///
/// # Safety
/// `va` is the start of a window that is this table's alone, and all-zero bytes are a valid `T`.
pub unsafe fn table<T: Sync>(
    va: u64,
    count: u64,
    memory: &mut EarlyMemory,
) -> Result<&'static [T], MapError> {
    let bytes = count * size_of::<T>() as u64;
    paging::map_region(
        va,
        bytes.next_multiple_of(crate::addr::PAGE_SIZE),
        Flags::DATA,
        memory,
    )?;
    // SAFETY: the window was just mapped with zeroed memory that is never unmapped; zeroes are valid (caller).
    Ok(unsafe { core::slice::from_raw_parts(va as *const T, count as usize) })
}

/// The hypervisor's writable view of the machine-to-phys table, `count` entries, once `paging::map_m2p` mapped it.
///
/// # Safety
/// Entries 0..count are mapped.
pub unsafe fn machine_to_phys(count: u64) -> &'static [core::sync::atomic::AtomicU64] {
    // SAFETY: mapped for ever (caller), and only ever accessed atomically.
    unsafe { core::slice::from_raw_parts(paging::M2P_BASE as *const _, count as usize) }
}

/// A boot module's bytes.
///
/// # Safety
/// The frames are RAM that is reserved for the module for as long as the slice is used.
pub unsafe fn module(module: &BootModule) -> &'static [u8] {
    let start = crate::frame::DIRECT_MAP_BASE + module.start.get();
    // SAFETY: inside the direct map, constant while it is used (caller).
    unsafe { core::slice::from_raw_parts(start as *const u8, module.len as usize) }
}
