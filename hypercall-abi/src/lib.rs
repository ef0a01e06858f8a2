#![no_std]
#![forbid(unsafe_code)]
//! Xen's public ABI (4.17) for 64-bit x86 guests as Rust types.
//!
//! A module per public header. Structures are plain values: any bytes are a
//! valid one, and padding is explicit, so that nothing leaks when they are
//! copied to a guest. Every number that a guest chooses is an open enum.

mod macros;

pub mod arch_x86;
pub mod callback;
#[doc(hidden)]
pub mod check;
pub mod cpufeatureset;
pub mod cpuid;
pub mod domctl;
pub mod elfnote;
pub mod errno;
pub mod event_channel;
pub mod features;
pub mod grant_table;
mod handle;
pub mod hvm;
pub mod hypfs;
pub mod io;
pub mod kexec;
pub mod linux;
pub mod mca;
pub mod memory;
pub mod nmi;
pub mod physdev;
pub mod platform;
pub mod pmu;
pub mod sched;
pub mod sysctl;
pub mod trace;
pub mod vcpu;
pub mod version;
pub mod versions;
pub mod vm_event;
pub mod xen;
pub mod xenoprof;

pub use errno::Errno;
pub use handle::{GuestHandle, GuestHandle64};
