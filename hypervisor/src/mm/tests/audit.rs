//! The checker of pages finds what is planted, and nothing else.

use std::string::String;
use std::vec::Vec;

use arch::addr::Mfn;
use hypercall_abi::xen::MmuextOp;

use super::machine::*;
use crate::audit::run;
use crate::host::host;
use crate::mm::{AllocFlags, PageType, Pte, get_page, get_page_and_type};

fn found(part: &str) {
    let lines = run();
    assert!(lines.iter().any(|line| line.contains(part)), "{lines:?}");
}

/// Domain 1 with tables in use; the L1 and the pages that it maps.
fn world() -> (Machine, Mfn, Vec<Mfn>) {
    let m = Machine::new();
    let (tables, data) = address_space(&m.dom1, 2);
    ext(&m.dom1, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
    assert_eq!(run(), Vec::<String>::new());
    (m, tables[3], data)
}

#[test]
fn a_reference_that_nobody_holds_is_found() {
    let (m, _, data) = world();
    let page = get_page(data[0], m.dom1.domain.id).unwrap();
    core::mem::forget(page);
    found(&std::format!(
        "page {} of d1: 3 references (uses: 2)",
        data[0]
    ));
}

#[test]
fn a_use_that_nobody_makes_is_found() {
    let (m, _, data) = world();
    let page = get_page_and_type(data[0], &m.dom1.domain, PageType::Writable).unwrap();
    core::mem::forget(page);
    found("2 times Writable (uses: 1)");
}

#[test]
fn an_entry_that_was_written_past_the_checks_is_found() {
    let (m, l1, _) = world();
    let others = pages(&m.dom0.domain, 1);
    // The guest has no grant of the page.
    poke(
        &m.dom1.domain,
        l1,
        100,
        Pte::new(others[0], Pte::P | Pte::US),
    );
    found(&std::format!(
        "d1 maps page {} of another domain without a grant",
        others[0]
    ));
}

#[test]
fn a_page_in_no_account_is_found() {
    let (m, _, _) = world();
    let mfn = host()
        .mm
        .alloc_domain_pages(&m.dom1.domain, 0, AllocFlags::default())
        .unwrap();
    host().domains.remove(m.dom1.domain.id);
    found(&std::format!("page {mfn} belongs to d1, which is gone"));
}
