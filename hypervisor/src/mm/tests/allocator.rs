//! The buddy allocator against a model, and domain accounting.

use core::sync::atomic::Ordering;
use std::collections::BTreeMap;
use std::vec::Vec;

use arch::addr::Mfn;
use hypercall_abi::Errno;
use proptest::prelude::*;

use super::machine::{FRAMES, Machine, balanced, install_host, pages};
use crate::domain::Domain;
use crate::host::host;
use crate::mm::{self, AllocFlags, Constraint, relinquish};
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
fn xsa_214_freed_pages_are_clean_for_the_next_owner() {
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
    // And no stale translation of the last owner's reaches them.
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

/// A page more, or why not.
fn more(domain: &Domain, how: AllocFlags) -> Result<Mfn, Errno> {
    host().mm.alloc_domain_pages(domain, 0, how)
}

#[test]
fn no_guest_takes_what_is_kept_for_the_hypervisor() {
    const KEPT: u64 = 20;
    let m = Machine::new();
    let mm = &host().mm;
    mm.set_reserve(KEPT);
    for d in [&m.dom0.domain, &m.dom1.domain] {
        d.mem.set_max_pages(u64::MAX);
    }
    // dom0 as any other: `xl mem-set 0` may ask for everything.
    while more(&m.dom0.domain, AllocFlags::default()).is_ok() {}
    assert_eq!(mm.free_pages(), KEPT);
    assert_eq!(mm.available_pages(), 0);
    assert_eq!(
        more(&m.dom1.domain, AllocFlags::default()),
        Err(Errno::ENOMEM)
    );
    let shared = mm.alloc_shared_page(m.dom1.domain.id, true);
    assert_eq!(shared.err(), Some(Errno::ENOMEM));
    let anonymous = mm.alloc_anonymous(&m.dom1.domain, 0, Constraint::default());
    assert_eq!(anonymous, Err(Errno::ENOMEM));
    // The hypervisor has it, and dom0's builder.
    mm.may_grow().expect("all is there");
    let frame = mm.alloc_hypervisor_frames(0, Constraint::default());
    assert!(frame.is_some());
    assert_eq!(mm.may_grow(), Err(Errno::ENOMEM));
    let builder = AllocFlags {
        builder: true,
        ..AllocFlags::default()
    };
    more(&m.dom0.domain, builder).expect("without dom0 nothing runs");
}

#[test]
fn claims_leave_the_hypervisor_its_memory() {
    const KEPT: u64 = 20;
    let m = Machine::new();
    let mm = &host().mm;
    mm.set_reserve(KEPT);
    let free = mm.free_pages();
    m.dom0.domain.mem.set_max_pages(free);
    m.dom1.domain.mem.set_max_pages(free);
    let claim = |pages| mm.claim(&m.dom1.domain, pages);
    assert_eq!(claim(free - KEPT + 1), Err(Errno::ENOMEM));
    claim(free - KEPT).expect("free");
    assert_eq!(mm.may_grow(), Ok(()));
    // The heap goes on even where all is claimed, and claims count on with less free than was promised.
    for _ in 0..KEPT + 5 {
        let frame = mm.alloc_hypervisor_frames(0, Constraint::default());
        assert!(frame.is_some());
    }
    let stats = mm.buddy.statistics();
    assert!(stats.free < stats.claimed);
    assert_eq!((stats.unpromised(), mm.available_pages()), (0, 0));
    assert_eq!(mm.claim(&m.dom0.domain, 1), Err(Errno::ENOMEM));
    assert_eq!(
        more(&m.dom0.domain, AllocFlags::default()),
        Err(Errno::ENOMEM)
    );
    claim(0).expect("withdrawn");
    more(&m.dom0.domain, AllocFlags::default()).expect("memory");
}

/// The node of a page that the allocator gives.
fn node_of(domain: &Domain, place: Constraint) -> u8 {
    let how = AllocFlags {
        place,
        ..AllocFlags::default()
    };
    let mfn = more(domain, how).expect("memory");
    host().mm.frames.known(mfn).node.load(Ordering::Relaxed)
}

#[test]
fn pages_come_from_where_they_are_wanted_or_where_most_is_free() {
    let m = Machine::with_nodes([(0x100..0x200, 0), (0x200..0x300, 1), (0x300..FRAMES, 2)]);
    let mm = &host().mm;
    let (d, any) = (&m.dom1.domain, Constraint::default());
    d.mem.set_max_pages(u64::MAX);
    let free = |node| mm.buddy.free_on_node(node);
    // Without a wish: what is fullest is spared.
    for _ in 0..200 {
        let most = (0..3).map(free).max();
        let before = [0, 1, 2].map(free);
        let node = usize::from(node_of(d, any));
        assert_eq!(Some(before[node]), most);
    }
    // The domain's nodes first, then any.
    d.mem.set_nodes(1 << 1);
    for _ in 0..free(1) {
        assert_eq!(node_of(d, any), 1);
    }
    assert_ne!(node_of(d, any), 1);
    // The caller's wish before the domain's.
    d.mem.set_nodes(1 << 2);
    let on = |node, exact_node| Constraint {
        node: Some(node),
        exact_node,
        ..Constraint::default()
    };
    assert_eq!(node_of(d, on(0, false)), 0);
    assert_eq!(node_of(d, on(1, false)), 2);
    assert_eq!(node_of(d, on(9, false)), 2);
    for node in [1, 9, 63, 200] {
        let how = AllocFlags {
            place: on(node, true),
            ..AllocFlags::default()
        };
        assert_eq!(more(d, how), Err(Errno::ENOMEM), "{node}");
    }
}

#[test]
fn what_is_freed_behind_the_search_is_cleared_in_the_next() {
    let m = Machine::new();
    let mm = &host().mm;
    while mm.scrub_some() {}
    let dirty = pages(&m.dom1.domain, 2);
    let (low, high) = (dirty[0].min(dirty[1]), dirty[0].max(dirty[1]));
    let free = |mfn| {
        let page = crate::mm::get_page(mfn, m.dom1.domain.id).expect("own");
        assert!(mm.release_allocation(&page));
    };
    free(high);
    let window = mm.next_window().expect("something to do");
    // The search is past this one when it is freed.
    free(low);
    mm.scrub_in(low.get() + 1..window.end);
    assert_eq!(mm.dirty_pages(), 1);
    while mm.scrub_some() {}
    assert_eq!(mm.dirty_pages(), 0);
}

#[test]
fn what_the_hypervisor_itself_has_adds_up() {
    let m = Machine::new();
    let mm = &host().mm;
    let before = mm::usage();
    let held: u64 = m.dom0.domain.mem.tot_pages() + m.dom1.domain.mem.tot_pages();
    assert_eq!(
        before.frame_table,
        (mm.frames.len() * 32).div_ceil(4096),
        "32 bytes for a frame"
    );
    m.dom1.domain.mem.set_max_pages(held + 5);
    let _ = pages(&m.dom1.domain, 5);
    assert_eq!(
        mm::usage(),
        before,
        "a guest's pages are not the hypervisor's"
    );
    let shared = mm
        .alloc_shared_page(m.dom1.domain.id, true)
        .expect("memory");
    let _ = shared.into_raw();
    assert!(mm::usage().total() >= before.total());
}

#[test]
fn the_reserve_grows_with_memory_and_cpus() {
    use crate::mm::pages::reserve_of;
    const GIB: u64 = 1 << 18;
    assert_eq!(reserve_of(GIB), 64);
    assert_eq!(reserve_of(16 * GIB), 1024);
    assert_eq!(reserve_of(1024 * GIB), 1024, "enough for any");
    let _m = Machine::new();
    let before = host().mm.reserve();
    host().mm.reserve_for_cpu();
    assert_eq!(host().mm.reserve(), before + 32);
}
