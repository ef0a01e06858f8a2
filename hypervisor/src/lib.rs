//! Oxen's kernel objects, policy and mechanism, over the machine that `arch` offers.
//!
//! The library has no `unsafe` beyond the few places that say why, and runs on the host (tests, fuzzers, Miri)
//! over `arch`'s hosted backend; the `oxen` binary is the same library on the bare machine.
#![cfg_attr(target_os = "none", no_std)]

extern crate alloc;

pub mod audit;
#[cfg(target_os = "none")]
pub mod boot;
pub mod console;
pub mod control;
pub mod dom0;
pub mod domain;
pub mod event_channel;
pub mod fail;
pub mod fault;
pub mod grant_table;
pub mod guest;
pub mod host;
pub mod hypercall;
pub mod irq;
pub mod loader;
pub mod mm;
pub mod numa;
pub mod options;
pub mod percpu;
pub mod preempt;
pub mod pv;
pub mod sched;
pub mod shutdown;
#[cfg(not(target_os = "none"))]
pub mod simulated;
pub mod speculation;
pub mod time;
pub mod xsm;

pub use hypercall_abi::Errno;
