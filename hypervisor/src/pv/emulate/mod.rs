//! What the hypervisor does in place of instructions that a PV guest, in ring 3, may not execute, and of writes to
//! page tables, which it sees read-only.

pub mod cpuid;
pub mod decode;
pub mod io;
pub mod msr;
mod privileged;
mod table_write;

use arch::addr::GuestVa;
use arch::entry::TrapFrame;

use crate::domain::Context;
pub use privileged::{guest_cr4, privileged, xcr0_valid};
pub use table_write::page_table_write;

/// The prefix by which a PV guest asks for an emulated CPUID: `ud2; .ascii "xen"`, then the instruction.
const FORCED_PREFIX: [u8; 5] = [0x0f, 0x0b, 0x78, 0x65, 0x6e];

/// Emulates a CPUID behind the forced-emulation prefix. False: it is something else.
pub fn forced_cpuid(cx: &Context, frame: &mut TrapFrame) -> bool {
    let mut code = [0u8; 7];
    if arch::guest::copy_from(GuestVa::new(frame.rip), &mut code).is_err()
        || code[..5] != FORCED_PREFIX
        || code[5..] != [0x0f, 0xa2]
    {
        return false;
    }
    cpuid::execute(cx, frame);
    frame.rip = frame.rip.wrapping_add(code.len() as u64);
    true
}
