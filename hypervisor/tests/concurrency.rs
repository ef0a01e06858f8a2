//! Several threads play the CPUs of one simulated machine and call at the same time: the lock protocols of page types,
//! grants and event channels. Afterwards the books balance, and all memory comes back.

#[path = "../fuzz/src/lib.rs"]
#[allow(
    dead_code,
    reason = "shared with the fuzz targets, which use other parts"
)]
mod fuzz;

use std::sync::mpsc;
use std::time::Duration;

use fuzz::hypercalls::{Call, EVENTS, GRANTS, PAGES};
use fuzz::input::{Input, noise};
use fuzz::machine::{self, BUFFER, BUFFER_SIZE};

const CPUS: usize = 4;
/// A machine that does not end by then has a deadlock.
const PATIENCE: Duration = Duration::from_secs(300);

/// Runs `rounds` machines, on each of which every CPU makes random calls from `calls` (a list for each CPU, in turn).
fn storm(rounds: u64, calls: &'static [&'static [Call]]) {
    let (done, waiting) = mpsc::channel();
    let run = std::thread::spawn(move || {
        for round in 0..rounds {
            one(round, calls);
        }
        let _ = done.send(());
    });
    match waiting.recv_timeout(PATIENCE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("the CPUs wait for each other"),
        // Its panic, if there was one, is this thread's.
        _ => run
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
    }
}

fn one(round: u64, calls: &[&[Call]]) {
    let machine = machine::new(CPUS as u32);
    let (ram, host) = (arch::hosted::ram(), hypervisor::host::host());
    let start = std::sync::Barrier::new(CPUS);
    std::thread::scope(|scope| {
        for cpu in 0..CPUS {
            let (machine, start) = (&machine, &start);
            scope.spawn(move || {
                arch::hosted::adopt(ram);
                arch::hosted::map_guest(BUFFER, BUFFER_SIZE);
                hypervisor::host::adopt(host);
                let bytes = noise(round * 64 + cpu as u64, 24_000);
                let mut input = Input::new(&bytes);
                start.wait();
                while !input.is_empty() {
                    let _ = machine.step(&mut input, calls[cpu % calls.len()], cpu);
                }
            });
        }
    });
    machine.audit("what all CPUs did");
    machine.end();
}

#[test]
fn page_types_change_on_all_cpus_at_once() {
    storm(12, &[PAGES]);
}

#[test]
fn grants_are_mapped_and_copied_on_all_cpus_at_once() {
    storm(12, &[GRANTS]);
}

#[test]
fn event_channels_are_bound_sent_and_closed_on_all_cpus_at_once() {
    storm(12, &[EVENTS]);
}

#[test]
fn grants_meet_page_types_and_events() {
    storm(8, &[PAGES, GRANTS, EVENTS, GRANTS]);
}
