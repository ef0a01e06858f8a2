//! The checker of grants finds what is planted, and nothing else.

use std::format;
use std::string::String;
use std::vec::Vec;

use super::*;

/// What the checker says now.
pub fn findings() -> Vec<String> {
    let mut lines = Vec::new();
    crate::grant_table::audit::audit(&mut |line| lines.push(format!("{line}")));
    lines
}

/// Domain 1 grants page 0 with entry 8; domain 0 has it mapped with handle 0.
fn mapped() -> Vec<Arc<Domain>> {
    let (d, p) = machine(2, 2);
    grant(&d[1], 8, 0, p[1][0], ACCESS);
    map(&d[0], 1, 8, 0x1000, HOST | DEVICE).expect("granted");
    assert_eq!(findings(), Vec::<String>::new());
    d
}

fn one_finding(part: &str) {
    let lines = findings();
    assert!(lines.iter().any(|line| line.contains(part)), "{lines:?}");
}

#[test]
fn a_pin_too_many_is_found() {
    let d = mapped();
    let table = d[1].grants.table.read();
    let mut active = table.active(8).unwrap().lock();
    active.pin = active.pin.with(Pin::HOST_READ).unwrap();
    drop(active);
    drop(table);
    one_finding("d1 grant 8: pinned [1, 1, 1, 0] times");
}

#[test]
fn a_lost_mapping_and_its_handle_are_found() {
    let d = mapped();
    *d[0].grants.maptrack.slot(0).unwrap().mapping.lock() = None;
    one_finding("d1 grant 8: pinned [1, 0, 1, 0] times");
    one_finding("d0: 256 handles, 0 in use, 255 free");
}

#[test]
fn a_user_who_is_not_the_mapper_is_found() {
    let d = mapped();
    d[1].grants.table.read().active(8).unwrap().lock().user = DomainId(1);
    one_finding("d1 grant 8: on record as used by d1, mapped by d0");
}

#[test]
fn a_handle_in_two_lists_is_found() {
    let d = mapped();
    d[0].grants.maptrack.put(1, 0);
    one_finding("d0: 256 handles, 1 in use");
}
