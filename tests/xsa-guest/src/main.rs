//! A PV guest that tries what Xen Security Advisories tell of: one test per advisory, named after it, written from the
//! advisories and the public headers. What a function on the host can show is tested there; here is what takes a
//! processor, or a real guest.
//!
//! It is a bare-metal program that the stock tools start as a PV kernel (`tests/dom0/scenarios/guest-xsa.sh`). Each test
//! prints one line: `%% ok NAME`, `%% skip NAME: WHY` or `%% FAIL NAME: WHAT, NUMBER`. The same tests hold on stock Xen.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod debug;
#[cfg(target_os = "none")]
mod events;
#[cfg(target_os = "none")]
mod grants;
#[cfg(target_os = "none")]
mod guest;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod privilege;
#[cfg(target_os = "none")]
mod tables;
#[cfg(target_os = "none")]
mod traps;

#[cfg(target_os = "none")]
pv_guest::entry!(guest::run);

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("This is a PV guest's kernel: `./x test xen-guest-xsa` builds and starts it.");
}
