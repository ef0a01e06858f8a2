//! What a guest may know of memory maps: its own and the machine's E820, the machine-to-phys table's place, NUMA.

use alloc::sync::Arc;
use alloc::vec::Vec;

use hypercall_abi::memory::{
    ForeignMemoryMap, MachphysMapping, MachphysMfnList, MemoryMap, ReservedDeviceMemoryMap,
    VnumaTopologyInfo, XENMEM_RDM_ALL,
};
use hypercall_abi::xen::Hypercall;
use hypercall_abi::{Errno, GuestHandle};

use super::{Call, subject};
use crate::domain::Context;
use crate::fail::Return;
use crate::guest;
use crate::host::host;
use crate::mm::MapEntry;
use crate::xsm;

/// Most entries of a guest's map (Xen's `E820MAX`).
const MOST_ENTRIES: u32 = 1024;
/// Bytes of an `e820entry`: base, size, type, unpadded.
const ENTRY: usize = 20;
/// E820 "reserved".
const RESERVED: u32 = 2;
/// The guests' view of the machine-to-phys table (public/arch-x86/xen-x86_64.h).
const M2P_START: u64 = 0xffff_8000_0000_0000;
const M2P_END: u64 = 0xffff_8040_0000_0000;

fn entry_at(buffer: GuestHandle<()>, index: u64) -> Result<GuestHandle<u8>, Errno> {
    index
        .checked_mul(ENTRY as u64)
        .and_then(|bytes| buffer.addr().checked_add(bytes))
        .map(GuestHandle::new)
        .ok_or(Errno::EFAULT)
}

fn write_entry(buffer: GuestHandle<()>, index: u64, entry: &MapEntry) -> Result<(), Errno> {
    let mut bytes = [0; ENTRY];
    bytes[..8].copy_from_slice(&entry.start.to_le_bytes());
    bytes[8..16].copy_from_slice(&entry.size.to_le_bytes());
    bytes[16..].copy_from_slice(&entry.kind.to_le_bytes());
    guest::write_bytes(entry_at(buffer, index)?, &bytes)
}

fn read_entry(buffer: GuestHandle<()>, index: u64) -> Result<MapEntry, Errno> {
    let mut bytes = [0; ENTRY];
    guest::read_bytes(entry_at(buffer, index)?, &mut bytes)?;
    let word = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(word)
    };
    Ok(MapEntry {
        start: word(0),
        size: word(8),
        kind: (word(12) >> 32) as u32,
    })
}

pub(super) fn set(cx: &Context, call: &Call) -> Return {
    let request: ForeignMemoryMap = guest::read(call.handle(), 0)?;
    if request.map.nr_entries > MOST_ENTRIES {
        return Err(Errno::EINVAL.into());
    }
    let domain = subject(cx, call.op, request.domid)?;
    host().mm.may_grow()?;
    let mut map = Vec::new();
    map.try_reserve_exact(request.map.nr_entries as usize)
        .map_err(|_| Errno::ENOMEM)?;
    for i in 0..u64::from(request.map.nr_entries) {
        map.push(read_entry(request.map.buffer, i)?);
    }
    // The old one is dropped when the lock is not held any more.
    let mut map = Arc::new(map);
    core::mem::swap(&mut *domain.mem.map.lock(), &mut map);
    Ok(0)
}

pub(super) fn get(cx: &Context, call: &Call) -> Return {
    let handle: GuestHandle<MemoryMap> = call.handle();
    let mut request = guest::read(handle, 0)?;
    let map = cx.domain.mem.map.lock().clone();
    if map.is_empty() {
        return Err(Errno::ENOSYS.into());
    }
    for (i, entry) in (0..request.nr_entries).zip(map.iter()) {
        write_entry(request.buffer, i.into(), entry)?;
    }
    request.nr_entries = request.nr_entries.min(map.len() as u32);
    guest::write(handle, 0, &request)?;
    Ok(0)
}

/// The machine's map as the caller may use it: what it may not touch is reserved.
pub(super) fn machine(cx: &Context, call: &Call) -> Return {
    xsm::check(&cx.domain, Hypercall::MEMORY_OP, call.op.0, None)?;
    let handle: GuestHandle<MemoryMap> = call.handle();
    let mut request = guest::read(handle, 0)?;
    let mm = &host().mm;
    let denied = mm.denied_ranges().map(|r| MapEntry {
        start: r.start << 12,
        size: (r.end - r.start) << 12,
        kind: RESERVED,
    });
    mm.may_grow()?;
    let mut map: Vec<MapEntry> = Vec::new();
    map.try_reserve_exact(mm.machine_map.len() + denied.len())
        .map_err(|_| Errno::ENOMEM)?;
    map.extend_from_slice(&mm.machine_map);
    for entry in denied {
        let covered = mm.machine_map.iter().any(|e| {
            e.start < entry.start.saturating_add(entry.size)
                && entry.start < e.start.saturating_add(e.size)
        });
        if !covered {
            map.push(entry);
        }
    }
    map.sort_by_key(|e| e.start);
    if !request.buffer.is_null() {
        if (request.nr_entries as usize) < map.len() {
            return Err(Errno::EINVAL.into());
        }
        for (i, entry) in map.iter().enumerate() {
            write_entry(request.buffer, i as u64, entry)?;
        }
    }
    request.nr_entries = map.len() as u32;
    guest::write(handle, 0, &request)?;
    Ok(0)
}

pub(super) fn machphys_mapping(cx: &Context, call: &Call) -> Return {
    let entries = (M2P_END - M2P_START) / 8;
    let max_mfn = if cx.domain.privileged {
        host().mm.frames.len().saturating_sub(1)
    } else {
        entries - 1
    };
    let mapping = MachphysMapping {
        v_start: M2P_START,
        v_end: M2P_END,
        max_mfn,
    };
    guest::write(call.handle(), 0, &mapping)?;
    Ok(0)
}

/// The frames of the table, one per 2 MiB of it.
pub(super) fn machphys_mfn_list(call: &Call) -> Return {
    let handle: GuestHandle<MachphysMfnList> = call.handle();
    let mut request = guest::read(handle, 0)?;
    let pieces = &host().mm.m2p_pieces;
    let count = (request.max_extents as usize).min(pieces.len());
    for (i, mfn) in pieces[..count].iter().enumerate() {
        guest::write(request.extent_start, i as u64, &mfn.get())?;
    }
    request.nr_extents = count as u32;
    guest::write(handle, 0, &request)?;
    Ok(0)
}

/// No IOMMU is driven, so no device has reserved memory.
pub(super) fn reserved_device_memory(call: &Call) -> Return {
    call.fresh(Errno::EINVAL)?;
    let handle: GuestHandle<ReservedDeviceMemoryMap> = call.handle();
    let mut request = guest::read(handle, 0)?;
    if request.flags & !XENMEM_RDM_ALL != 0 {
        return Err(Errno::EINVAL.into());
    }
    request.nr_entries = 0;
    guest::write(handle, 0, &request)?;
    Ok(0)
}

/// The topology that the tools gave a domain. `ENOBUFS`, and the sizes to come back with, for too little room.
pub(super) fn vnuma(cx: &Context, call: &Call) -> Return {
    call.fresh(Errno::EINVAL)?;
    let mut request: VnumaTopologyInfo = guest::read(call.handle(), 0)?;
    if request.pad != 0 {
        return Err(Errno::EINVAL.into());
    }
    let domain = subject(cx, call.op, request.domid)?;
    let whole = crate::control::read_vnuma(&domain, &mut request)?;
    guest::write(call.handle(), 0, &request)?;
    if whole {
        Ok(0)
    } else {
        Err(Errno::ENOBUFS.into())
    }
}
