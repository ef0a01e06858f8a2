//! The checker of event channels finds what is planted, and nothing else.

use std::format;
use std::string::String;
use std::vec::Vec;

use super::*;

/// What the checker says of these domains now.
pub fn findings(domains: &[Arc<Domain>]) -> Vec<String> {
    let mut lines = Vec::new();
    for d in domains {
        crate::event_channel::audit::audit(d, &mut |line| lines.push(format!("{line}")));
    }
    lines
}

/// Domains 0 and 1 with a channel between them (port 1 each), a VIRQ and an IPI port of domain 1.
fn world() -> Vec<Arc<Domain>> {
    let d = machine(2, 2);
    let port = unbound(&d[0], 1);
    assert_eq!(bind(&d[1], 0, port), Ok(1));
    bind_virq(&d[1], Virq::TIMER.0, 1).unwrap();
    bind_ipi(&d[1], 0).unwrap();
    assert_eq!(findings(&d), Vec::<String>::new());
    d
}

fn found(d: &[Arc<Domain>], part: &str) {
    let lines = findings(d);
    assert!(lines.iter().any(|line| line.contains(part)), "{lines:?}");
}

#[test]
fn a_far_end_that_does_not_answer_is_found() {
    let d = world();
    *d[0].events.channel(1).unwrap().state.lock() = State::Unbound {
        remote: DomainId(1),
    };
    found(
        &d,
        "d1 port 1, bound to port 1 of d0: its far end is bound to something else",
    );
}

#[test]
fn a_virq_that_names_another_port_is_found() {
    let d = world();
    d[1].vcpus()[1].events.virq_ports[Virq::TIMER.0 as usize].store(3, Ordering::Release);
    found(&d, "d1 port 2: VIRQ 0 of vCPU 1 is at port 3");
    found(
        &d,
        "d1 vCPU 1: VIRQ 0 names port 3, which is not bound to it",
    );
}

#[test]
fn a_port_that_is_free_in_one_place_only_is_found() {
    let d = world();
    d[1].events.table.lock().mark(3, true);
    found(&d, "d1 port 3: free in the map: true, in truth: false");
}

#[test]
fn wrong_counts_and_vcpus_are_found() {
    let d = world();
    d[1].events.table.lock().active += 1;
    d[1].events
        .channel(3)
        .unwrap()
        .vcpu
        .store(7, Ordering::Release);
    found(&d, "d1: 3 ports bound (4 counted)");
    found(&d, "d1 port 3: notifies vCPU 7, which does not exist");
}
