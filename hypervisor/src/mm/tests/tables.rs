//! Page tables: what is refused, what is counted, what is flushed.

use std::vec::Vec;

use arch::addr::{GuestVa, Mfn};
use hypercall_abi::Errno;
use hypercall_abi::xen::{MmuextOp, UVMF_INVLPG};

use super::machine::{
    BUDGET, BUFFER, DENIED, DEVICE, Machine, RWU, SELF, address_space, balanced, ext, finish, kind,
    mmuext, op, pages, peek, poke, put, update, update_as,
};
use crate::fail::{Args, Fail};
use crate::host::host;
use crate::mm::{self, PageType, Pte, relinquish, tlb};
use crate::preempt::Budget;

#[test]
fn pinning_types_the_whole_tree_and_unpinning_undoes_it() {
    let m = Machine::new();
    let cx = &m.dom1;
    let (tables, data) = address_space(cx, 3);
    ext(cx, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
    let types = [PageType::L4, PageType::L3, PageType::L2, PageType::L1];
    for (&mfn, ty) in tables.iter().zip(types) {
        assert_eq!(kind(mfn), (ty, 1));
    }
    assert_eq!(kind(data[0]), (PageType::Writable, 1));
    balanced();
    assert_eq!(
        ext(cx, MmuextOp::PIN_L4_TABLE, tables[0]),
        Err(Errno::EINVAL)
    );
    balanced();
    ext(cx, MmuextOp::UNPIN_TABLE, tables[0]).expect("pinned");
    assert_eq!(
        ext(cx, MmuextOp::UNPIN_TABLE, tables[0]),
        Err(Errno::EINVAL)
    );
    for &mfn in tables.iter().chain(&data) {
        assert_eq!(kind(mfn).1, 0);
    }
    balanced();
}

#[test]
fn guest_entries_become_reachable_from_ring_three() {
    let m = Machine::new();
    let cx = &m.dom1;
    let (tables, data) = address_space(cx, 1);
    poke(&cx.domain, tables[3], 1, Pte::new(data[0], Pte::P));
    ext(cx, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
    let kernel = peek(&cx.domain, tables[3], 1);
    assert!(kernel.has(Pte::US | Pte::GUEST_KERNEL) && !kernel.has(Pte::G));
    assert!(!peek(&cx.domain, tables[3], 0).has(Pte::GUEST_KERNEL));
    // The hypervisor's slots are in place.
    assert_eq!(peek(&cx.domain, tables[0], 256).0, 0x1063);
    assert_eq!(peek(&cx.domain, tables[0], 271).0, 0x1063);
    balanced();
}

#[test]
fn xsa_182_page_tables_cannot_be_mapped_writable() {
    let m = Machine::new();
    let cx = &m.dom1;
    let (tables, data) = address_space(cx, 1);
    ext(cx, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
    for &table in &tables {
        let refused = update(cx, tables[3], 5, Pte::new(table, RWU));
        assert_eq!(refused, Err(Errno::EBUSY));
        update(cx, tables[3], 5, Pte::new(table, Pte::P)).expect("read-only is fine");
        // And not by the flags-only path either.
        let refused = update(cx, tables[3], 5, Pte::new(table, RWU));
        assert_eq!(refused, Err(Errno::EBUSY));
    }
    // Nor can a page mapped writable become a table.
    assert_eq!(ext(cx, MmuextOp::PIN_L1_TABLE, data[0]), Err(Errno::EINVAL));
    balanced();
}

#[test]
fn xsa_148_superpages_are_refused_on_every_path() {
    let m = Machine::new();
    let cx = &m.dom1;
    let (tables, _) = address_space(cx, 1);
    let big = Pte::new(Mfn::new(0x200), RWU | Pte::PAT);
    poke(&cx.domain, tables[2], 1, big);
    assert_eq!(
        ext(cx, MmuextOp::PIN_L2_TABLE, tables[2]),
        Err(Errno::EINVAL)
    );
    poke(&cx.domain, tables[2], 1, Pte::default());
    ext(cx, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
    for &table in &tables[..3] {
        assert_eq!(update(cx, table, 1, big), Err(Errno::EINVAL));
        // Changing only the flags of an entry that is there takes the fast path.
        let now = peek(&cx.domain, table, 0);
        assert_eq!(
            update(cx, table, 0, Pte(now.0 | Pte::PAT)),
            Err(Errno::EINVAL)
        );
    }
    balanced();
}

#[test]
fn xsa_240_309_tables_of_one_level_do_not_refer_to_each_other() {
    let m = Machine::new();
    let cx = &m.dom1;
    let (tables, _) = address_space(cx, 0);
    ext(cx, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
    for (i, &table) in tables[..3].iter().enumerate() {
        for &target in &tables[..=i] {
            let refused = update(cx, table, 300, Pte::new(target, RWU));
            assert_eq!(refused, Err(Errno::EINVAL), "L{} to {target}", 4 - i);
        }
    }
    let (fresh, _) = address_space(cx, 0);
    poke(&cx.domain, fresh[0], 3, Pte::new(tables[0], Pte::P));
    assert_eq!(
        ext(cx, MmuextOp::PIN_L4_TABLE, fresh[0]),
        Err(Errno::EINVAL)
    );
    balanced();
}

#[test]
fn xsa_182_286_a_table_sees_itself_read_only() {
    let m = Machine::new();
    let cx = &m.dom1;
    let (tables, data) = address_space(cx, 1);
    let [l4, l3, l2, l1] = tables[..4] else {
        panic!("four levels");
    };
    ext(cx, MmuextOp::PIN_L4_TABLE, l4).expect("valid");
    let before = tlb::flushes();
    update(cx, l2, 1, Pte::default()).expect("nothing there");
    update(cx, l2, 0, Pte::new(l1, RWU | Pte::A)).expect("the same");
    assert_eq!(tlb::flushes(), before, "nobody sees tables");
    // Only an L4, only for reading, whatever was there before.
    let read = Pte::new(l4, Pte::P | Pte::US);
    for (table, itself) in [(l3, l3), (l2, l2)] {
        let refused = update(cx, table, 300, Pte::new(itself, Pte::P));
        assert_eq!(refused, Err(Errno::EINVAL));
    }
    assert_eq!(update(cx, l4, 300, Pte::new(l4, RWU)), Err(Errno::EINVAL));
    update(cx, l4, 300, read).expect("a recursive entry");
    // Changes of L1 are the guest's to flush, still.
    let before = tlb::flushes();
    update(cx, l1, 0, Pte::default()).expect("unmapped");
    assert_eq!(tlb::flushes(), before);
    balanced();
    for more in [0, Pte::A, Pte::D, 1 << 9, Pte::NX] {
        let refused = update(cx, l4, 300, Pte(read.0 | Pte::RW | more));
        assert_eq!(refused, Err(Errno::EINVAL));
    }
    assert!(!peek(&cx.domain, l4, 300).writable());
    // Whatever changes above L1 is flushed, rights as well.
    for (table, index, entry) in [
        (l2, 0, Pte::new(l1, Pte::P | Pte::US)),
        (l3, 0, Pte::default()),
        (l4, 300, Pte(read.0 | Pte::NX)),
        (l4, 0, Pte::default()),
    ] {
        let before = tlb::flushes();
        update(cx, table, index, entry).expect("a change");
        assert!(tlb::flushes() > before);
        balanced();
    }
    ext(cx, MmuextOp::UNPIN_TABLE, l4).expect("pinned");
    for &mfn in tables.iter().chain(&data) {
        assert_eq!(kind(mfn).1, 0);
    }
    // As part of a table that is not in use yet.
    ext(cx, MmuextOp::PIN_L4_TABLE, l4).expect("with the recursive entry in it");
    balanced();
    ext(cx, MmuextOp::UNPIN_TABLE, l4).expect("pinned");
    poke(&cx.domain, l4, 300, Pte::new(l4, RWU));
    let refused = ext(cx, MmuextOp::PIN_L4_TABLE, l4);
    assert_eq!(refused, Err(Errno::EINVAL));
    balanced();
}

#[test]
fn the_hypervisors_slots_are_not_the_guests() {
    let m = Machine::new();
    let cx = &m.dom1;
    let (tables, _) = address_space(cx, 0);
    ext(cx, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
    for slot in [256, 262, 271] {
        let entry = Pte::new(tables[1], RWU);
        assert_eq!(update(cx, tables[0], slot, entry), Err(Errno::EINVAL));
        assert_eq!(
            update(cx, tables[0], slot, Pte::default()),
            Err(Errno::EINVAL)
        );
    }
    update(cx, tables[0], 272, Pte::new(tables[1], RWU)).expect("the guest's");
    balanced();
}

#[test]
fn frames_of_others_and_of_the_hypervisor_are_refused() {
    let m = Machine::new();
    let cx = &m.dom1;
    let (tables, _) = address_space(cx, 0);
    ext(cx, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
    let foreign = pages(&m.dom0.domain, 1)[0];
    let free = Mfn::new(super::machine::FRAMES - 1);
    for mfn in [foreign, free] {
        assert_eq!(
            update(cx, tables[3], 0, Pte::new(mfn, Pte::P)),
            Err(Errno::EBUSY)
        );
        assert_eq!(
            update(cx, tables[2], 9, Pte::new(mfn, RWU)),
            Err(Errno::EINVAL)
        );
        assert_eq!(ext(cx, MmuextOp::PIN_L1_TABLE, mfn), Err(Errno::EINVAL));
    }
    let own = host()
        .mm
        .alloc_hypervisor_frames(0, mm::Constraint::default())
        .expect("memory");
    for cx in [&m.dom0, &m.dom1] {
        let (tables, _) = address_space(cx, 0);
        ext(cx, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
        let refused = update(cx, tables[3], 0, Pte::new(own, Pte::P));
        assert_eq!(refused, Err(Errno::EBUSY));
    }
    balanced();
}

#[test]
fn device_memory_needs_the_right_and_is_not_cached() {
    let m = Machine::new();
    for (cx, allowed) in [(&m.dom0, true), (&m.dom1, false)] {
        let (tables, _) = address_space(cx, 0);
        ext(cx, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
        let result = update(cx, tables[3], 0, Pte::new(Mfn::new(DEVICE), RWU));
        assert_eq!(result, if allowed { Ok(()) } else { Err(Errno::EPERM) });
        if allowed {
            assert!(peek(&cx.domain, tables[3], 0).has(Pte::PWT | Pte::PCD));
            // Write-combining is the guest's choice.
            let wc = RWU | Pte::PAT;
            update(cx, tables[3], 0, Pte::new(Mfn::new(DEVICE), wc)).expect("allowed");
            assert_eq!(peek(&cx.domain, tables[3], 0).0 & Pte::CACHE, Pte::PAT);
        }
        let denied = update(cx, tables[3], 1, Pte::new(Mfn::new(DENIED), RWU));
        assert_eq!(denied, Err(Errno::EPERM));
        let beyond = update(cx, tables[3], 1, Pte::new(Mfn::new(1 << 30), RWU));
        assert_eq!(beyond, Err(Errno::EINVAL), "reserved address bits");
        balanced();
    }
    m.dom1
        .domain
        .mem
        .permit_device(DEVICE, DEVICE, true)
        .expect("memory");
    let (tables, _) = address_space(&m.dom1, 0);
    ext(&m.dom1, MmuextOp::PIN_L1_TABLE, tables[3]).expect("valid");
    update(&m.dom1, tables[3], 0, Pte::new(Mfn::new(DEVICE), RWU)).expect("permitted");
    m.dom1
        .domain
        .mem
        .permit_device(DEVICE, DEVICE, false)
        .expect("memory");
    let again = update(&m.dom1, tables[3], 1, Pte::new(Mfn::new(DEVICE), RWU));
    assert_eq!(again, Err(Errno::EPERM));
}

#[test]
fn protected_device_memory_is_mapped_read_only() {
    let m = Machine::new();
    let (tables, _) = address_space(&m.dom0, 0);
    ext(&m.dom0, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
    let device = Mfn::new(DEVICE);
    let mapped_writable = || {
        update(&m.dom0, tables[3], 0, Pte::new(device, RWU)).expect("allowed");
        let entry = peek(&m.dom0.domain, tables[3], 0);
        assert!(entry.present());
        entry.writable()
    };
    host().mm.protect_device(device, device);
    host().mm.protect_device(device, device);
    assert!(!mapped_writable());
    host().mm.release_device(device, device);
    assert!(!mapped_writable());
    host().mm.release_device(device, device);
    assert!(mapped_writable());
    balanced();
}

#[test]
fn xsa_402_cacheability_is_for_domains_with_devices() {
    let m = Machine::new();
    let (tables, data) = address_space(&m.dom1, 1);
    ext(&m.dom1, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
    for bits in [Pte::PCD, Pte::PWT, Pte::PAT] {
        let refused = update(&m.dom1, tables[3], 0, Pte::new(data[0], RWU | bits));
        assert_eq!(refused, Err(Errno::EINVAL));
    }
    balanced();
}

#[test]
fn xsa_241_401_the_flush_precedes_a_change_of_type() {
    let m = Machine::new();
    let cx = &m.dom1;
    let (tables, data) = address_space(cx, 1);
    ext(cx, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
    update(cx, tables[3], 0, Pte::default()).expect("unmapped");
    let flushes = mm::tlb::flushes();
    // Writable again: the same type, nothing to flush.
    update(cx, tables[3], 0, Pte::new(data[0], RWU)).expect("mapped");
    update(cx, tables[3], 0, Pte::default()).expect("unmapped");
    assert_eq!(mm::tlb::flushes(), flushes);
    // A page table: a stale writable translation could be left.
    ext(cx, MmuextOp::PIN_L1_TABLE, data[0]).expect("empty table");
    assert_eq!(mm::tlb::flushes(), flushes + 1);
    ext(cx, MmuextOp::UNPIN_TABLE, data[0]).expect("pinned");
    // Data again: a stale walk could go through it.
    update(cx, tables[3], 0, Pte::new(data[0], RWU)).expect("mapped");
    assert_eq!(mm::tlb::flushes(), flushes + 2);
    // A flush after the last use makes another one needless.
    update(cx, tables[3], 0, Pte::default()).expect("unmapped");
    mm::tlb::flush_all();
    let flushes = mm::tlb::flushes();
    ext(cx, MmuextOp::PIN_L1_TABLE, data[0]).expect("empty table");
    assert_eq!(mm::tlb::flushes(), flushes);
}

#[test]
fn rights_change_without_touching_references() {
    let m = Machine::new();
    let cx = &m.dom1;
    let (tables, data) = address_space(cx, 1);
    ext(cx, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
    for round in 0..3 {
        update(cx, tables[3], 0, Pte::new(data[0], Pte::P | Pte::US)).expect("read-only");
        assert_eq!(kind(data[0]).1, 0, "round {round}");
        balanced();
        update(cx, tables[3], 0, Pte::new(data[0], RWU | Pte::D)).expect("writable");
        assert_eq!(kind(data[0]), (PageType::Writable, 1));
        balanced();
    }
}

#[test]
fn accessed_and_dirty_bits_survive_when_asked() {
    let m = Machine::new();
    let cx = &m.dom1;
    let (tables, data) = address_space(cx, 1);
    poke(
        &cx.domain,
        tables[3],
        0,
        Pte::new(data[0], RWU | Pte::A | Pte::D),
    );
    ext(cx, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
    let entry = Pte::new(data[0], Pte::P | Pte::US);
    update_as(cx, tables[3], 0, entry, 2, SELF.into()).expect("preserving");
    assert!(peek(&cx.domain, tables[3], 0).has(Pte::A | Pte::D));
    update(cx, tables[3], 0, entry).expect("plain");
    assert_eq!(peek(&cx.domain, tables[3], 0).0 & (Pte::A | Pte::D), 0);
    balanced();
}

#[test]
fn foreign_mappings_are_for_the_privileged() {
    let m = Machine::new();
    let (dom0, dom1) = (&m.dom0, &m.dom1);
    let (tables, _) = address_space(dom0, 0);
    ext(dom0, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
    let theirs = pages(&dom1.domain, 1)[0];
    let entry = Pte::new(theirs, RWU);
    update_as(dom0, tables[3], 0, entry, 0, 1).expect("dom1's frame");
    assert_eq!(kind(theirs), (PageType::Writable, 1));
    balanced();
    // The owner cannot make it a table meanwhile, nor do its CPUs alone get flushed when it may.
    assert_eq!(
        ext(dom1, MmuextOp::PIN_L1_TABLE, theirs),
        Err(Errno::EINVAL)
    );
    update(dom0, tables[3], 0, Pte::default()).expect("unmapped");
    ext(dom1, MmuextOp::PIN_L1_TABLE, theirs).expect("free to be");
    ext(dom1, MmuextOp::UNPIN_TABLE, theirs).expect("pinned");
    // A read-only foreign mapping does not grow rights through the caller's own frames.
    update_as(dom0, tables[3], 0, Pte::new(theirs, Pte::P), 0, 1).expect("read-only");
    assert_eq!(update(dom0, tables[3], 0, entry), Err(Errno::EBUSY));
    balanced();
    let (tables, _) = address_space(dom1, 0);
    ext(dom1, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
    let ours = pages(&dom0.domain, 1)[0];
    let refused = update_as(dom1, tables[3], 0, Pte::new(ours, Pte::P), 0, 0);
    assert_eq!(refused, Err(Errno::EPERM));
    let refused = update_as(
        dom1,
        tables[3],
        0,
        Pte::default(),
        0,
        1 << 16 | u64::from(SELF),
    );
    assert_eq!(refused, Err(Errno::EPERM), "dom0's tables");
    balanced();
}

#[test]
fn xsa_45_290_310_pinning_and_unpinning_stop_and_go_on() {
    let m = Machine::new();
    let cx = &m.dom1;
    // Three L1s with many entries each, so that a small budget stops often.
    let (tables, data) = address_space(cx, 4);
    let more = pages(&cx.domain, 2);
    for (i, &l1) in more.iter().enumerate() {
        for index in 0..64 {
            poke(&cx.domain, l1, index, Pte::new(data[index % 4], RWU));
        }
        poke(&cx.domain, tables[2], 1 + i, Pte::new(l1, RWU));
    }
    BUDGET.set(1);
    let mut stops = 0;
    for cmd in [MmuextOp::PIN_L4_TABLE, MmuextOp::UNPIN_TABLE] {
        let at = put(0, &op(cmd, tables[0]));
        let mut args = Args([at, 1, 0, SELF.into(), 0, 0]);
        loop {
            match mm::do_mmuext_op(cx, args) {
                Ok(_) => break,
                Err(Fail::Continue(again)) => {
                    stops += 1;
                    args = again;
                    // The books balance at every stop.
                    balanced();
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        balanced();
    }
    assert!(stops >= 4, "{stops}");
    assert!(tables.iter().chain(&data).all(|&mfn| kind(mfn).1 == 0));
}

#[test]
fn xsa_299_an_abandoned_validation_can_be_taken_up_or_torn_down() {
    let m = Machine::new();
    let cx = &m.dom1;
    let free = host().mm.free_pages();
    let (tables, data) = address_space(cx, 4);
    for i in 1..4 {
        let l1 = pages(&cx.domain, 1)[0];
        poke(&cx.domain, l1, 0, Pte::new(data[0], RWU));
        poke(&cx.domain, tables[2], i, Pte::new(l1, RWU));
    }
    BUDGET.set(1);
    let at = put(0, &op(MmuextOp::PIN_L4_TABLE, tables[0]));
    let args = Args([at, 1, 0, SELF.into(), 0, 0]);
    assert!(matches!(mm::do_mmuext_op(cx, args), Err(Fail::Continue(_))));
    balanced();
    // Suspended tables are neither data nor other tables.
    assert_eq!(
        ext(cx, MmuextOp::PIN_L1_TABLE, tables[0]),
        Err(Errno::EINVAL)
    );
    assert_eq!(update(cx, tables[0], 3, Pte::default()), Err(Errno::EINVAL));
    balanced();
    // Someone else pins a table in the middle, completely.
    ext(cx, MmuextOp::PIN_L3_TABLE, tables[1]).expect("valid");
    balanced();
    put(0, &op(MmuextOp::PIN_L4_TABLE, tables[0]));
    assert!(matches!(
        mm::do_mmuext_op(cx, args),
        Err(Fail::Continue(_)) | Ok(_)
    ));
    balanced();
    BUDGET.set(1024);
    cx.domain
        .dying
        .store(true, core::sync::atomic::Ordering::SeqCst);
    // XSA-410: teardown is preemptible.
    let mut calls = 0;
    while !relinquish(&cx.domain, &Budget::with_units(2)) {
        balanced();
        calls += 1;
        assert!(calls < 1000);
    }
    assert!(calls > 2);
    assert_eq!(cx.domain.mem.tot_pages(), 0);
    assert_eq!(host().mm.free_pages(), free);
    balanced();
}

#[test]
fn xsa_58_a_failed_pin_leaves_nothing_behind() {
    let m = Machine::new();
    let cx = &m.dom1;
    let (tables, data) = address_space(cx, 3);
    let foreign = pages(&m.dom0.domain, 1)[0];
    poke(&cx.domain, tables[3], 200, Pte::new(foreign, RWU));
    for budget in [1, 3, 1024] {
        BUDGET.set(budget);
        assert!(ext(cx, MmuextOp::PIN_L4_TABLE, tables[0]).is_err());
        balanced();
        assert!(tables.iter().chain(&data).all(|&mfn| kind(mfn).1 == 0));
    }
}

#[test]
fn xsa_494_the_loaded_tables_hold_their_references() {
    let m = Machine::new();
    let cx = &m.dom1;
    let (first, _) = address_space(cx, 2);
    let (second, _) = address_space(cx, 2);
    for budget in [1, 1024] {
        BUDGET.set(budget);
        ext(cx, MmuextOp::NEW_BASEPTR, first[0]).expect("valid");
        ext(cx, MmuextOp::NEW_USER_BASEPTR, second[0]).expect("valid");
        balanced();
        ext(cx, MmuextOp::NEW_BASEPTR, second[0]).expect("valid");
        ext(cx, MmuextOp::NEW_USER_BASEPTR, first[0]).expect("valid");
        balanced();
        assert_eq!(kind(first[0]), (PageType::L4, 1));
        ext(cx, MmuextOp::NEW_USER_BASEPTR, Mfn::new(0)).expect("none");
        assert_eq!(kind(first[0]).1, 0);
        balanced();
    }
    assert!(
        ext(cx, MmuextOp::NEW_BASEPTR, first[3]).is_ok(),
        "an empty-looking L4 is one"
    );
    let refused = mmuext(cx, &[op(MmuextOp::NEW_BASEPTR, second[0])], 0);
    assert_eq!(refused, Err(Errno::EPERM), "dom0's");
}

#[test]
fn virtual_addresses_find_their_entries() {
    let m = Machine::new();
    let cx = &m.dom1;
    let (tables, data) = address_space(cx, 2);
    ext(cx, MmuextOp::NEW_BASEPTR, tables[0]).expect("valid");
    let read_only = Pte::new(data[1], Pte::P);
    let call = |va: u64, entry: Pte| {
        finish(Args([va, entry.0, UVMF_INVLPG, 0, 0, 0]), |args| {
            mm::do_update_va_mapping(cx, args)
        })
    };
    call(0x1000, read_only).expect("mapped");
    assert_eq!(kind(data[1]).1, 0);
    assert_eq!(
        call(0x20_0000, read_only),
        Err(Errno::EINVAL),
        "no L1 there"
    );
    assert_eq!(call(0xffff_8300_0000_0000, read_only), Err(Errno::EINVAL));
    assert_eq!(
        call(0x8000_0000_0000, read_only),
        Err(Errno::EINVAL),
        "not canonical"
    );
    // The L1 itself, mapped read-only at entry 5: writes through it are emulated.
    update(cx, tables[3], 5, Pte::new(tables[3], Pte::P)).expect("read-only");
    let va = GuestVa::new(0x5000 + 8);
    let old = peek(&cx.domain, tables[3], 1);
    let new = Pte::new(data[1], RWU);
    assert_eq!(
        mm::emulate_pte_write(cx, va, old.0 ^ Pte::D, new.0),
        Ok(false)
    );
    assert_eq!(mm::emulate_pte_write(cx, va, old.0, new.0), Ok(true));
    assert_eq!(kind(data[1]), (PageType::Writable, 1));
    let table = Pte::new(tables[0], RWU);
    let now = peek(&cx.domain, tables[3], 1);
    assert_eq!(
        mm::emulate_pte_write(cx, va, now.0, table.0),
        Err(Errno::EBUSY)
    );
    assert!(
        mm::emulate_pte_write(cx, GuestVa::new(0), 0, 0).is_err(),
        "a data page"
    );
    balanced();
}

#[test]
fn xsa_113_machphys_updates_leave_no_reference() {
    let m = Machine::new();
    let cx = &m.dom1;
    let page = pages(&cx.domain, 1)[0];
    let foreign = pages(&m.dom0.domain, 1)[0];
    update_as(cx, page, 0, Pte(0x123), 1, SELF.into()).expect("own");
    assert_eq!(host().mm.m2p.get(page).get(), 0x123);
    let refused = update_as(cx, foreign, 0, Pte(0x123), 1, SELF.into());
    assert_eq!(refused, Err(Errno::EINVAL));
    balanced();
}

#[test]
fn xsa_167_superpage_marks_are_refused_whatever_the_frame() {
    let m = Machine::new();
    for mfn in [0, 0x200, u64::MAX] {
        for cmd in [MmuextOp::MARK_SUPER, MmuextOp::UNMARK_SUPER] {
            assert_eq!(ext(&m.dom1, cmd, Mfn::new(mfn)), Err(Errno::EOPNOTSUPP));
        }
    }
}

#[test]
fn xsa_279_invalidations_of_odd_addresses_do_nothing() {
    let m = Machine::new();
    let flushes = mm::tlb::flushes();
    for address in [
        0x8000_0000_0000u64,
        0xffff_8000_0000_0000,
        0xffff_87ff_ffff_ffff,
    ] {
        for cmd in [MmuextOp::INVLPG_LOCAL, MmuextOp::INVLPG_ALL] {
            ext(&m.dom1, cmd, Mfn::new(address)).expect("no error");
        }
    }
    assert_eq!(mm::tlb::flushes(), flushes);
}

#[test]
fn clearing_and_copying_need_writable_pages() {
    let m = Machine::new();
    let cx = &m.dom1;
    let (tables, data) = address_space(cx, 2);
    poke(&cx.domain, data[0], 9, Pte(0x77));
    let mut copy = op(MmuextOp::COPY_PAGE, data[1]);
    copy.arg2.set_src_mfn(data[0].get());
    mmuext(cx, &[copy], SELF).expect("own pages");
    assert_eq!(peek(&cx.domain, data[1], 9).0, 0x77);
    ext(cx, MmuextOp::CLEAR_PAGE, data[1]).expect("own page");
    assert_eq!(peek(&cx.domain, data[1], 9).0, 0);
    ext(cx, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
    assert_eq!(ext(cx, MmuextOp::CLEAR_PAGE, tables[3]), Err(Errno::EINVAL));
    balanced();
}

#[test]
fn batches_report_how_far_they_came() {
    let m = Machine::new();
    let cx = &m.dom1;
    let (tables, data) = address_space(cx, 1);
    ext(cx, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
    let request = |index: u64, entry: Pte| [tables[3].addr().get() + index * 8, entry.0];
    let good = Pte::new(data[0], RWU);
    let bad = Pte::new(tables[3], RWU);
    let list: Vec<[u64; 2]> = [1, 2, 3]
        .map(|i| request(i, good))
        .into_iter()
        .chain([request(4, bad), request(5, good)])
        .collect();
    for budget in [1, 1024] {
        BUDGET.set(budget);
        let at = put(0x100, list.as_slice());
        let done = put(0, &0u32);
        let args = Args([at, list.len() as u64, done, SELF.into(), 0, 0]);
        let result = finish(args, |args| mm::do_mmu_update(cx, args));
        assert_eq!(result, Err(Errno::EBUSY));
        assert_eq!(super::machine::get::<u32>(0), 3);
        balanced();
    }
    let outside = Args([BUFFER + 0x10_0000, 1, 0, SELF.into(), 0, 0]);
    assert_eq!(
        mm::do_mmu_update(cx, outside),
        Err(Fail::Errno(Errno::EFAULT))
    );
}

#[test]
fn segment_descriptor_pages_are_made_harmless() {
    let m = Machine::new();
    let cx = &m.dom1;
    let page = pages(&cx.domain, 1)[0];
    poke(&cx.domain, page, 1, Pte(0x00af_9b00_0000_ffff)); // ring 0 code
    let held = mm::get_page_and_type(page, &cx.domain, PageType::SegDesc).expect("harmless");
    assert_eq!(peek(&cx.domain, page, 1).0, 0x00af_fb00_0000_ffff);
    assert!(mm::get_page_and_type(page, &cx.domain, PageType::Writable).is_err());
    drop(held);
    poke(&cx.domain, page, 2, Pte(0x0000_8900_0000_0067)); // a TSS
    assert!(mm::get_page_and_type(page, &cx.domain, PageType::SegDesc).is_err());
    balanced();
}

#[test]
fn shared_pages_never_become_tables() {
    let m = Machine::new();
    let cx = &m.dom1;
    let shared = cx.domain.shared_info.mfn();
    for cmd in [
        MmuextOp::PIN_L1_TABLE,
        MmuextOp::PIN_L4_TABLE,
        MmuextOp::NEW_BASEPTR,
    ] {
        assert_eq!(ext(cx, cmd, shared), Err(Errno::EINVAL));
    }
    let (tables, _) = address_space(cx, 0);
    ext(cx, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
    update(cx, tables[3], 0, Pte::new(shared, RWU)).expect("mappable");
    assert_eq!(
        update(cx, tables[2], 1, Pte::new(shared, RWU)),
        Err(Errno::EINVAL)
    );
    balanced();
}

#[test]
fn grant_mappings_own_what_their_entries_hold() {
    let m = Machine::new();
    let (cx, granter) = (&m.dom0, &m.dom1);
    let (tables, data) = address_space(cx, 1);
    ext(cx, MmuextOp::NEW_BASEPTR, tables[0]).expect("valid");
    let granted = pages(&granter.domain, 1)[0];
    let how = mm::GrantMapFlags::default();
    let take = || {
        mm::get_page_and_type(granted, &granter.domain, PageType::Writable)
            .expect("free to be")
            .into_raw()
    };
    take();
    mm::create_grant_mapping(cx, 0, granted, how).expect("mapped");
    balanced();
    assert_eq!(kind(data[0]).1, 0, "what was mapped there is released");
    // XSA-234: a read-only unmap does not take the writable mapping's use.
    let read_only = mm::GrantMapFlags {
        read_only: true,
        ..how
    };
    let refused = mm::replace_grant_mapping(cx, 0, granted, 0, read_only);
    assert_eq!(refused, Err(Errno::EINVAL));
    balanced();
    mm::replace_grant_mapping(cx, 0, granted, 0, how).expect("mapped");
    drop(mm::TypedRef::from_raw(granted));
    balanced();
    // By the entry's address; XSA-227: aligned.
    take();
    let by_entry = mm::GrantMapFlags {
        contains_pte: true,
        ..how
    };
    let address = tables[3].addr().get() + 16;
    let refused = mm::create_grant_mapping(cx, address + 4, granted, by_entry);
    assert_eq!(refused, Err(Errno::EINVAL));
    mm::create_grant_mapping(cx, address, granted, by_entry).expect("mapped");
    balanced();
    // The guest overwrites the entry: what it held is dropped once, and the unmap finds nothing.
    update(cx, tables[3], 2, Pte::default()).expect("own entry");
    balanced();
    let refused = mm::replace_grant_mapping(cx, address, granted, 0, by_entry);
    assert_eq!(refused, Err(Errno::EINVAL));
    assert_eq!(kind(granted).1, 0);
    balanced();
}
