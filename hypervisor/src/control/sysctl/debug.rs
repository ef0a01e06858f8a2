//! The console ring and debug keys, for `xl dmesg` and `xl debug-keys`.

use hypercall_abi::Errno;
use hypercall_abi::sysctl::{SysctlDebugKeys, SysctlReadconsole};

use crate::{console, guest};

/// Bytes copied at a time.
const CHUNK: usize = 512;
/// Keys in one call.
const MAX_KEYS: u32 = 64;

/// Copies messages out, at most the whole ring, and then forgets them if asked.
pub(super) fn read_console(mut op: SysctlReadconsole) -> Result<SysctlReadconsole, Errno> {
    let wanted = op.count.min(console::ring_size());
    let mut buffer = [0; CHUNK];
    let (mut done, mut index) = (0, op.index);
    let mut incremental = op.incremental != 0;
    while done < wanted {
        let room = (wanted - done).min(CHUNK as u32) as usize;
        let room = buffer.get_mut(..room).unwrap_or_default();
        let (read, next) = console::read_ring(room, index, incremental, false);
        if read == 0 {
            break;
        }
        let to = op.buffer.offset(done.into()).ok_or(Errno::EFAULT)?;
        guest::write_bytes(to, room.get(..read).unwrap_or_default())?;
        (done, index, incremental) = (done + read as u32, next, true);
    }
    if op.clear != 0 {
        console::read_ring(&mut [], index, true, true);
    }
    (op.index, op.count) = (index, done);
    Ok(op)
}

/// Handles keys as if they were pressed on the hypervisor's console. `E2BIG` for more than anyone presses.
pub(super) fn keys(op: &SysctlDebugKeys) -> Result<(), Errno> {
    if op.nr_keys > MAX_KEYS {
        return Err(Errno::E2BIG);
    }
    for i in 0..op.nr_keys {
        console::debug_keys::key(guest::read(op.keys, i.into())?);
    }
    Ok(())
}
