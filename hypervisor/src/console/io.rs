//! `HYPERVISOR_console_io(cmd, count, buffer)`.

use hypercall_abi::xen::{ConsoleIo, Hypercall};
use hypercall_abi::{Errno, GuestHandle};

use crate::domain::Context;
use crate::fail::{Args, Fail, Return};
use crate::preempt::Budget;
use crate::{guest, xsm};

/// Bytes copied at a time.
const CHUNK: usize = 128;
/// What a chunk costs: all there is, because a serial line takes milliseconds for it.
const CHUNK_UNITS: u32 = crate::preempt::UNITS;

/// Writes a privileged domain's bytes to the serial ports, or reads what was typed. `EPERM` for others.
pub fn do_console_io(cx: &Context, args: Args) -> Return {
    let [cmd, count, buffer, ..] = args.0;
    xsm::check(&cx.domain, Hypercall::CONSOLE_IO, cmd as u32, None)?;
    // The count is a C int.
    let count = count as u32;
    if count > i32::MAX as u32 {
        return Err(Errno::E2BIG.into());
    }
    match ConsoleIo(cmd as u32) {
        ConsoleIo::WRITE => write(cmd, count, buffer),
        ConsoleIo::READ => {
            let mut done = 0u32;
            let mut bytes = [0; CHUNK];
            while done < count {
                let want = (count - done).min(CHUNK as u32) as usize;
                let got = super::input::take(&mut bytes[..want]);
                if got == 0 {
                    break;
                }
                let at = GuestHandle::new(buffer.wrapping_add(done.into()));
                guest::write_bytes(at, &bytes[..got])?;
                done += got as u32;
            }
            Ok(done.into())
        }
        _ => Err(Errno::ENOSYS.into()),
    }
}

fn write(cmd: u64, count: u32, buffer: u64) -> Return {
    let budget = Budget::new();
    let mut done = 0u32;
    let mut bytes = [0; CHUNK];
    while done < count {
        let part = (count - done).min(CHUNK as u32) as usize;
        guest::read_bytes(
            GuestHandle::new(buffer.wrapping_add(done.into())),
            &mut bytes[..part],
        )?;
        super::write_from_dom0(&bytes[..part]);
        done += part as u32;
        if budget.spend(CHUNK_UNITS) && done < count {
            let next = buffer.wrapping_add(done.into());
            return Err(Fail::Continue(Args([
                cmd,
                u64::from(count - done),
                next,
                0,
                0,
                0,
            ])));
        }
    }
    Ok(0)
}
