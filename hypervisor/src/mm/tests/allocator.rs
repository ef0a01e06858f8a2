//! The buddy allocator against a model, and domain accounting.

use std::collections::BTreeMap;
use std::vec::Vec;

use arch::addr::Mfn;
use hypercall_abi::Errno;
use proptest::prelude::*;

use super::machine::{FRAMES, Machine, balanced, install_host, pages};
use crate::host::host;
use crate::mm::{AllocFlags, Constraint, relinquish};
use crate::preempt::Budget;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn blocks_never_overlap_and_all_come_back(
        steps in prop::collection::vec((0u32..6, any::<u8>(), 0u32..3, 0u32..4), 1..120)
    ) {
        install_host(core::iter::once((0x280..FRAMES, 1)).collect());
        let mm = &host().mm;
        let all = mm.free_pages();
        prop_assert_eq!(all, FRAMES - 0x100);
        let mut held: Vec<(Mfn, u32)> = Vec::new();
        let mut owner: BTreeMap<u64, usize> = BTreeMap::new();
        for (order, pick, action, place) in steps {
            if action == 0 && !held.is_empty() {
                let (mfn, order) = held.swap_remove(usize::from(pick) % held.len());
                for i in 0..1u64 << order { owner.remove(&(mfn.get() + i)); }
                mm.buddy.free(&mm.frames, mfn, order, false);
                continue;
            }
            let constraint = match place {
                1 => Constraint { address_bits: 12 + 9, ..Default::default() },
                2 => Constraint { node: Some(1), exact_node: true, ..Default::default() },
                3 => Constraint { node: Some(0), exact_node: false, ..Default::default() },
                _ => Constraint::default(),
            };
            if let Some(mfn) = mm.buddy.allocate(&mm.frames, order, constraint, true, 0) {
                prop_assert_eq!(mfn.get() & ((1 << order) - 1), 0, "aligned");
                for i in 0..1u64 << order {
                    prop_assert!(owner.insert(mfn.get() + i, held.len()).is_none(), "given twice");
                }
                if place == 1 { prop_assert!(mfn.get() + (1 << order) <= 1 << 9); }
                if place == 2 { prop_assert!(mfn.get() >= 0x280); }
                held.push((mfn, order));
            }
            prop_assert_eq!(mm.free_pages() + owner.len() as u64, all);
        }
        for (mfn, order) in held { mm.buddy.free(&mm.frames, mfn, order, false); }
        prop_assert_eq!(mm.free_pages(), all);
        // Everything merged again: the largest aligned block is there.
        let block = mm.buddy.allocate(&mm.frames, 7, Constraint { address_bits: 12 + 9, ..Default::default() }, true, 0);
        prop_assert!(block.is_some());
    }
}

#[test]
fn accounting_is_exact_and_limits_hold() {
    let m = Machine::new();
    let free = host().mm.free_pages();
    m.dom1.domain.mem.set_max_pages(3);
    let got = pages(&m.dom1.domain, 3);
    assert_eq!(m.dom1.domain.mem.tot_pages(), 3);
    let more = host()
        .mm
        .alloc_domain_pages(&m.dom1.domain, 0, AllocFlags::default());
    assert_eq!(more, Err(Errno::ENOMEM));
    assert_eq!(host().mm.free_pages(), free - 3);
    balanced();
    let page = crate::mm::get_page(got[0], m.dom1.domain.id).expect("own");
    assert!(host().mm.release_allocation(&page));
    assert!(!host().mm.release_allocation(&page));
    // Still referred to: neither gone from the account nor free.
    assert_eq!(m.dom1.domain.mem.tot_pages(), 3);
    drop(page);
    assert_eq!(m.dom1.domain.mem.tot_pages(), 2);
    assert!(relinquish(&m.dom1.domain, &Budget::with_units(1_000_000)));
    assert_eq!(m.dom1.domain.mem.tot_pages(), 0);
    assert_eq!(host().mm.free_pages(), free);
}

#[test]
fn freed_pages_are_clean_for_the_next_owner() {
    let m = Machine::new();
    let n = host().mm.free_pages() as usize;
    m.dom1.domain.mem.set_max_pages(n as u64);
    m.dom0.domain.mem.set_max_pages(n as u64);
    let first = pages(&m.dom1.domain, n);
    for &mfn in &first {
        super::machine::poke(&m.dom1.domain, mfn, 7, crate::mm::Pte(0xdead));
    }
    let flushes = crate::mm::tlb::flushes();
    assert!(relinquish(&m.dom1.domain, &Budget::with_units(u32::MAX)));
    for mfn in pages(&m.dom0.domain, n) {
        assert_eq!(super::machine::peek(&m.dom0.domain, mfn, 7).0, 0);
    }
    // And no stale translation of the last owner's reaches them (XSA-214, XSA-241).
    assert!(crate::mm::tlb::flushes() > flushes);
}

#[test]
fn claims_keep_their_pages() {
    let m = Machine::new();
    let mm = &host().mm;
    let free = mm.free_pages();
    m.dom1.domain.mem.set_max_pages(free);
    m.dom0.domain.mem.set_max_pages(free);
    mm.claim(&m.dom1.domain, free - 1).expect("free");
    assert_eq!(mm.claim(&m.dom0.domain, 2), Err(Errno::ENOMEM));
    pages(&m.dom0.domain, 1);
    let other = mm.alloc_domain_pages(&m.dom0.domain, 0, AllocFlags::default());
    assert_eq!(other, Err(Errno::ENOMEM));
    pages(&m.dom1.domain, 1);
    assert_eq!(m.dom1.domain.mem.outstanding_claim(), free - 2);
    mm.claim(&m.dom1.domain, 0).expect("withdrawn");
    assert_eq!(mm.buddy.statistics().claimed, 0);
}

#[test]
fn idle_time_clears_what_is_free() {
    let m = Machine::new();
    let mm = &host().mm;
    while mm.scrub_some() {}
    assert_eq!(mm.dirty_pages(), 0);
    m.dom1.domain.mem.set_max_pages(10);
    let freed = pages(&m.dom1.domain, 10);
    for &mfn in &freed {
        super::machine::poke(&m.dom1.domain, mfn, 7, crate::mm::Pte(0xdead));
    }
    assert!(relinquish(&m.dom1.domain, &Budget::with_units(u32::MAX)));
    assert_eq!(mm.dirty_pages(), 10);
    let mut steps = 0;
    while mm.scrub_some() {
        steps += 1;
    }
    assert!(steps >= 10);
    assert_eq!(mm.dirty_pages(), 0);
    // Cleared, but CPUs may still cache translations to them.
    let flushes = crate::mm::tlb::flushes();
    let all = mm.free_pages() as usize;
    m.dom0.domain.mem.set_max_pages(all as u64);
    for mfn in pages(&m.dom0.domain, all) {
        assert_eq!(super::machine::peek(&m.dom0.domain, mfn, 7).0, 0);
    }
    assert!(crate::mm::tlb::flushes() > flushes);
    assert_eq!(mm.dirty_pages(), 0);
}
