//! The bare life of a PV guest that tests the hypervisor below it, without a kernel: entry, trap handlers, hypercalls,
//! console. What its tests have in common; the only place in them that knows the machine.
//!
//! Code under test runs "armed": whatever trap or call it ends in lands back in [`run_kernel`]'s or [`run_user`]'s caller
//! with the stack that was saved, and [`last_trap`] tells what it was. A trap when nothing is armed means that the guest
//! has destroyed itself.
//!
//! A guest names its first function with [`entry!`] and is linked with `guest.ld`.
#![cfg_attr(target_os = "none", no_std)]

#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod start;

#[cfg(target_os = "none")]
pub use self::{
    console::{PROGRESS, say, say_hex, say_number},
    entry::{
        FAILSAFE, NO_TRAP, Registers, SYSTEM_CALL, Trap, call, hypercall, landing, last_trap,
        run_kernel, run_user, stub, traps,
    },
    memory::{
        CS, PAGE, SS, address_of, argument, claim_traps, mmuext, own_stack, read, stored,
        trap_table, write, write_bytes,
    },
    start::{BASE, StartInfo, end},
};

/// Names the guest's first function: `fn(StartInfo) -> !`.
#[macro_export]
macro_rules! entry {
    ($run:path) => {
        #[unsafe(no_mangle)]
        extern "C" fn guest_main(start: u64) -> ! {
            $run($crate::StartInfo::first(start))
        }
    };
}
