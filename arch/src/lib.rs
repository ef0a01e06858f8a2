//! The x86-64 machine: every instruction, register, table and raw memory access that Oxen uses.
//!
//! Two backends offer the same interface: *bare* (`target_os = "none"`) on the real machine, *hosted*
//! everywhere else, over simulated RAM, so that the hypervisor above runs in ordinary tests.
//! This crate is the only home of `unsafe`; modules that need it say so and every block says why it is sound.
#![cfg_attr(target_os = "none", no_std)]

extern crate alloc;

pub mod acpi;
pub mod addr;
pub mod apic;
pub mod backtrace;
pub mod boot;
pub mod build_info;
pub mod clock;
pub mod console;
pub mod cpu;
pub mod entry;
pub mod extable;
pub mod frame;
pub mod guest;
pub mod guest_cpu;
pub mod heap;
#[cfg(not(target_os = "none"))]
pub mod hosted;
#[cfg_attr(not(target_os = "none"), allow(dead_code, unused_imports))]
mod hw;
pub mod ioapic;
pub mod msi;
pub mod paging;
pub mod pci;
pub mod percpu;
pub mod power;
#[cfg(not(target_os = "none"))]
pub mod sim;
pub mod smp;
#[cfg(target_os = "none")]
pub mod statics;
pub mod symbols;
pub mod sync;
pub mod tables;
pub mod tlb;
