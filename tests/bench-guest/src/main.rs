//! PV guests without an operating system, for `./x bench`: what guests do with each other and with the CPU, with nothing
//! of a kernel in the figures. Stock tools start it as a PV kernel (`tests/dom0/scenarios/bench-guests.sh`).
//!
//! Words of its command line:
//! * `role=0`: says when its first instruction ran, then sleeps for ever.
//! * `role=1 peer=DOMID`: offers that domain a port and pages, and sends every event back.
//! * `role=2 peer=DOMID`: measures with a guest of role 1.
//! * `role=3 from=TICKS length=TICKS`: works without a pause, and says how much it did in each of five such times.
//!
//! Figures are lines `%% NAME NUMBER` on its console; times are ticks of the time-stamp counter, which counts
//! instructions under QEMU's `-icount` (the guest's configuration must not have the counter emulated).
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod guest;
#[cfg(target_os = "none")]
mod pair;
#[cfg(target_os = "none")]
mod work;

/// The guest's part.
#[cfg(target_os = "none")]
fn run(start: guest::StartInfo) -> ! {
    match start.argument(b"role=", 0) {
        1 => pair::serve(start),
        2 => pair::measure(start),
        3 => work::run(start),
        _ => guest::sleep(),
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("This is a PV guest's kernel: `./x bench` builds and starts it.");
}
