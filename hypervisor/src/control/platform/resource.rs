//! Reads of a CPU's resources by dom0: of the registers that Xen lets through, this hypervisor has the time.

use hypercall_abi::platform::*;
use hypercall_abi::{Errno, GuestHandle};

use crate::control::cpus;
use crate::fail::Return;
use crate::guest;

/// Entries in one call.
const MAX_ENTRIES: u32 = 3;
/// IA32_TIME_STAMP_COUNTER, read as nanoseconds of system time.
const MSR_TSC: u64 = 0x10;

/// The value for one entry, or what its `ret` becomes.
fn entry(e: &XenpfResourceEntry) -> Result<u64, Errno> {
    if e.rsvd != 0 {
        return Err(Errno::EINVAL);
    }
    match ResourceOp(e.u.cmd()) {
        ResourceOp::MSR_READ | ResourceOp::MSR_WRITE if e.idx >> 32 != 0 => Err(Errno::EINVAL),
        ResourceOp::MSR_READ if e.idx == MSR_TSC => Ok(arch::clock::now()),
        ResourceOp::MSR_READ | ResourceOp::MSR_WRITE => Err(Errno::EPERM),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

/// `XENPF_resource_op`: how many entries were done; the first that failed says why in its `ret`. `EINVAL` for too
/// many entries, `ENODEV` for a CPU that is not online.
pub(super) fn access(op: XenpfResourceOp) -> Return {
    if op.nr_entries == 0 {
        return Ok(0);
    }
    if op.nr_entries > MAX_ENTRIES {
        return Err(Errno::EINVAL.into());
    }
    let handle: GuestHandle<XenpfResourceEntry> = op.entries;
    let mut entries = [XenpfResourceEntry::default(); MAX_ENTRIES as usize];
    for (i, e) in (0..op.nr_entries).zip(&mut entries) {
        *e = guest::read(handle, i.into())?;
    }
    let mut done = 0;
    for (i, e) in (0..op.nr_entries).zip(&mut entries) {
        match entry(e) {
            Ok(value) => {
                if !cpus::is_online(op.cpu) {
                    return Err(Errno::ENODEV.into());
                }
                e.val = value;
                guest::write(handle, i.into(), e)?;
                done += 1;
            }
            Err(errno) => {
                e.u.set_ret(-errno.0);
                guest::write(handle, i.into(), e)?;
                break;
            }
        }
    }
    Ok(done)
}
