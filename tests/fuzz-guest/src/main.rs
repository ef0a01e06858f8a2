//! A PV guest that attacks the hypervisor below it: random instructions in guest kernel and guest user mode, random
//! hypercalls with arguments that are almost right, hostile page tables. All of it follows from a seed.
//!
//! It is a bare-metal program that the stock tools start as a PV kernel (`tests/dom0/scenarios/guest-fuzz.sh`). Words of
//! its command line: `seed=N`, `rounds=N`. What it does may well end it; then the next seed is tried. The hypervisor must
//! live on, with all its invariants (debug key `f`) and all other guests.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg_attr(not(target_os = "none"), allow(dead_code))]
mod instructions;
#[cfg_attr(not(target_os = "none"), allow(dead_code))]
mod random;

#[cfg(target_os = "none")]
mod calls;
#[cfg(target_os = "none")]
mod machine;

#[cfg(target_os = "none")]
pv_guest::entry!(machine::run);

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("This is a PV guest's kernel: `./x test xen-guest-fuzz` builds and starts it.");
}
