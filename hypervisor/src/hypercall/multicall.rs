//! `HYPERVISOR_multicall(list, count)`: several hypercalls in one entry.

use hypercall_abi::xen::{Hypercall, MulticallEntry};
use hypercall_abi::{Errno, GuestHandle};

use crate::domain::Context;
use crate::fail::{Args, Fail, Return};
use crate::guest;
use crate::preempt::Budget;

/// Offset of `args` in `multicall_entry`.
const ARGS_OFFSET: u64 = 16;
/// Offset of `result`.
const RESULT_OFFSET: u64 = 8;

/// Runs the entries in order, writing each one's result back. An entry that wants to be continued has its arguments
/// rewritten in the list, and the multicall continues from it. An `iret` is the last entry that runs.
pub fn do_multicall(cx: &Context, args: Args) -> Return {
    let [list, count, ..] = args.0;
    // The count is 32 bits wide in the ABI.
    let count = count & 0xffff_ffff;
    let handle = GuestHandle::<MulticallEntry>::new(list);
    let budget = Budget::new();
    for index in 0..count {
        let entry: MulticallEntry = guest::read(handle, index)?;
        let at = handle.offset(index).ok_or(Errno::EFAULT)?;
        let continue_here = |index| {
            let next = handle.offset(index).map_or(list, |h| h.addr());
            Fail::Continue(Args([next, count - index, 0, 0, 0, 0]))
        };
        let result = if entry.op == u64::from(Hypercall::MULTICALL.0) {
            // No nesting: it could recurse without bound.
            Err(Errno::EINVAL.into())
        } else {
            super::dispatch(cx, entry.op, Args(entry.args))
        };
        let value = match result {
            Ok(value) => value,
            Err(Fail::Errno(errno)) => errno.to_ret() as u64,
            Err(Fail::Continue(args)) => {
                guest::write(
                    GuestHandle::new(at.addr().wrapping_add(ARGS_OFFSET)),
                    0,
                    &args.0,
                )?;
                return Err(continue_here(index));
            }
            // The list ends here: what comes next is not for guest user mode to ask for (XSA-213).
            end @ Err(Fail::Iret | Fail::Crash(_)) => return end,
        };
        guest::write(
            GuestHandle::<u64>::new(at.addr().wrapping_add(RESULT_OFFSET)),
            0,
            &value,
        )?;
        if budget.spend(32) && index + 1 < count {
            return Err(continue_here(index + 1));
        }
    }
    Ok(0)
}
