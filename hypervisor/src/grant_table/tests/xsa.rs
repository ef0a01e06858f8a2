//! Classes of bugs that Xen had, by advisory.

use super::copies::{SELF, by_frame, by_ref, byte, copy, fill, transitive};
use super::*;

#[test]
fn xsa_026_a_switch_back_to_version_1_frees_the_status_frames_once() {
    let (d, p) = machine(2, 2);
    let free = host().mm.free_pages();
    for _ in 0..10 {
        assert_eq!(set_version(&d[1], 2), Ok(2));
        assert_eq!(host().mm.free_pages(), free - 1);
        assert_eq!(set_version(&d[1], 1), Ok(1));
        assert_eq!(host().mm.free_pages(), free);
    }
    check_invariants(&d, &p);
}

#[test]
fn xsa_134_swap_before_the_table_was_set_up() {
    let (d, _) = machine(1, 1);
    let fresh = simulated::unlisted(9, 1);
    let op = GnttabSwapGrantRef {
        ref_a: 0,
        ref_b: 1,
        ..Default::default()
    };
    let op = one(&fresh, GnttabOp::SWAP_GRANT_REF, op).unwrap();
    assert_eq!(op.status, GntStatus::BAD_GNTREF);
    assert_eq!(
        map(&d[0], 9, 0, 0x1000, HOST).unwrap_err(),
        GntStatus::BAD_DOMAIN
    );
}

#[test]
fn xsa_218_one_handle_unmapped_twice_in_a_batch() {
    let (d, p) = machine(2, 2);
    grant(&d[1], 9, 0, p[1][0], ACCESS);
    let (h, bus) = map(&d[0], 1, 9, 0x1000, HOST | DEVICE).unwrap();
    let op = |host_addr, dev_bus_addr| GnttabUnmapGrantRef {
        host_addr,
        dev_bus_addr,
        handle: h,
        ..Default::default()
    };
    let mut ops = [
        op(0x1000, 0),
        op(0x1000, 0),
        op(0x1000, bus),
        op(0x1000, bus),
    ];
    assert_eq!(call(&d[0], GnttabOp::UNMAP_GRANT_REF, &mut ops), Ok(0));
    assert_eq!(
        ops.map(|op| op.status.0),
        [0, 0, 0, GntStatus::BAD_HANDLE.0]
    );
    check_invariants(&d, &p);
    // The handle is on the free list once: two new mappings get different ones.
    let (a, _) = map(&d[0], 1, 9, 0x1000, HOST).unwrap();
    let (b, _) = map(&d[0], 1, 9, 0x2000, HOST).unwrap();
    assert_ne!(a, b);
    check_invariants(&d, &p);
}

#[test]
fn xsa_224_host_and_device_mapping_unmapped_separately() {
    for read_only in [0, RO] {
        for device_first in [false, true] {
            let (d, p) = machine(2, 2);
            grant(&d[1], 9, 0, p[1][0], ACCESS);
            let (h, bus) = map(&d[0], 1, 9, 0x1000, HOST | DEVICE | read_only).unwrap();
            let (first, second) = if device_first {
                ((0, bus), (0x1000, 0))
            } else {
                ((0x1000, 0), (0, bus))
            };
            assert_eq!(unmap(&d[0], h, first.0, first.1), GntStatus::OKAY);
            check_invariants(&d, &p);
            assert_eq!(unmap(&d[0], h, second.0, second.1), GntStatus::OKAY);
            assert_eq!(uses(p[1][0]), (0, 0));
            check_invariants(&d, &p);
        }
    }
}

#[test]
fn xsa_226_transitive_grants_leave_nothing_pinned() {
    let (d, p) = transitive();
    let own = by_frame(SELF, p[0][0], 0);
    // The inner grant is refused: not for domain 1.
    grant(&d[2], 30, 0, p[2][0], ACCESS);
    for _ in 0..300 {
        assert_eq!(
            copy(&d[0], by_ref(1, 9, 0), own, 8, GNTCOPY_SOURCE_GREF),
            GntStatus::GENERAL_ERROR
        );
    }
    check_invariants(&d, &p);
    grant(&d[2], 30, 1, p[2][0], ACCESS);
    for _ in 0..300 {
        assert_eq!(
            copy(&d[0], by_ref(1, 9, 0), own, 8, GNTCOPY_SOURCE_GREF),
            GntStatus::OKAY
        );
    }
    check_invariants(&d, &p);
    assert_eq!(set_version(&d[1], 1), Ok(1));
}

#[test]
fn xsa_227_a_misaligned_pte_address_undoes_the_mapping() {
    let (d, p) = machine(2, 2);
    grant(&d[1], 9, 0, p[1][0], ACCESS);
    let status = map(&d[0], 1, 9, 0x1004, HOST | GNTMAP_CONTAINS_PTE).unwrap_err();
    assert_eq!(status, GntStatus::GENERAL_ERROR);
    check_invariants(&d, &p);
}

#[test]
fn xsa_228_free_handles_survive_many_takers() {
    machine(0, 0);
    let machine = host();
    let track = super::super::maptrack::Maptrack::new(4);
    std::thread::scope(|s| {
        for vcpu in 0..4 {
            let track = &track;
            s.spawn(move || {
                crate::host::adopt(machine);
                let mut own = Vec::new();
                for round in 0..3000u32 {
                    if round % 3 == 2 {
                        if let Some(h) = own.pop() {
                            *track.slot(h).unwrap().mapping.lock() = None;
                            track.put((vcpu + round) % 11, h);
                        }
                    } else if let Some(h) = track.take(vcpu) {
                        own.push(h);
                    }
                    if own.len() > 200 {
                        own.drain(..).for_each(|h| track.put(vcpu, h));
                    }
                }
                own.drain(..).for_each(|h| track.put(vcpu, h));
            });
        }
    });
    let mut all: Vec<u32> = std::iter::from_fn(|| track.take(0)).collect();
    all.sort_unstable();
    assert_eq!(all, (0..1024).collect::<Vec<_>>());
}

#[test]
fn a_table_does_not_grow_into_what_the_hypervisor_keeps() {
    let (d, _) = machine(1, 0);
    let track = super::super::maptrack::Maptrack::new(4);
    host().mm.set_reserve(host().mm.free_pages() + 1);
    assert_eq!(grant_frame(&d[0], 1), Err(Errno::ENOMEM));
    assert_eq!(d[0].grants.frames().0, 1);
    assert_eq!(track.take(0), None);
    host().mm.set_reserve(4);
    grant_frame(&d[0], 1).expect("memory");
    assert_eq!(track.take(0), Some(0));
}

#[test]
fn xsa_230_status_bits_stay_while_pins_remain() {
    let (d, p) = machine(2, 2);
    grant(&d[1], 9, 0, p[1][0], ACCESS);
    map(&d[0], 1, 9, 0x1000, HOST).unwrap();
    let own = by_frame(SELF, p[0][0], 0);
    assert_eq!(
        copy(&d[0], by_ref(1, 9, 0), own, 8, GNTCOPY_SOURCE_GREF),
        GntStatus::OKAY
    );
    assert_eq!(
        copy(&d[0], own, by_ref(1, 9, 0), 8, GNTCOPY_DEST_GREF),
        GntStatus::OKAY
    );
    assert_eq!(status_bits(&d[1], 9), GTF_READING | GTF_WRITING);
    check_invariants(&d, &p);
}

#[test]
fn xsa_232_cache_flush_of_pages_that_no_domain_owns() {
    let (d, p) = machine(2, 2);
    let flush = |who: &Arc<Domain>, address: u64, offset: u16, length: u16, op: u32| {
        let mut arg = GnttabCacheFlush {
            offset,
            length,
            op,
            ..Default::default()
        };
        arg.a.set_dev_bus_addr(address);
        one(who, GnttabOp::CACHE_FLUSH, arg).map(|_| ())
    };
    let clean = GNTTAB_CACHE_CLEAN;
    assert!(flush(&d[0], 5 << 12, 0, 8, clean).is_err(), "reserved RAM");
    assert!(flush(&d[0], 1 << 45, 0, 8, clean).is_err(), "no RAM");
    assert_eq!(flush(&d[0], p[0][0].addr().get(), 0, 4096, clean), Ok(()));
    assert_eq!(
        flush(&d[0], p[0][0].addr().get(), 0, 8, GNTTAB_CACHE_INVAL),
        Err(Errno::EOPNOTSUPP)
    );
    assert_eq!(
        flush(&d[0], p[0][0].addr().get(), 4096, 0, clean),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        flush(&d[0], p[0][0].addr().get(), 4000, 97, clean),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        flush(&d[0], p[0][0].addr().get(), 0, 8, 1 << 31),
        Err(Errno::EINVAL)
    );
    assert_eq!(flush(&d[0], p[0][0].addr().get(), 0, 0, clean), Ok(()));
    // Another's page only while it is mapped.
    let theirs = p[1][0].addr().get();
    assert_eq!(flush(&d[0], theirs, 0, 8, clean), Err(Errno::EINVAL));
    grant(&d[1], 9, 0, p[1][0], ACCESS);
    map(&d[0], 1, 9, 0x1000, HOST).unwrap();
    assert_eq!(flush(&d[0], theirs, 0, 8, clean), Ok(()));
    check_invariants(&d, &p);
}

#[test]
fn xsa_234_unmapping_a_read_only_mapping_keeps_the_writable_one() {
    let (d, p) = machine(2, 2);
    grant(&d[1], 9, 0, p[1][0], ACCESS);
    let (rw, _) = map(&d[0], 1, 9, 0x1000, HOST).unwrap();
    let (ro, _) = map(&d[0], 1, 9, 0x2000, HOST | RO).unwrap();
    // The other's address does not match what this handle maps.
    assert_eq!(unmap(&d[0], ro, 0x1000, 0), GntStatus::GENERAL_ERROR);
    assert_eq!(unmap(&d[0], ro, 0x2000, 0), GntStatus::OKAY);
    assert_eq!(uses(p[1][0]), (1, 1));
    assert_eq!(unmap(&d[0], rw, 0x1000, 0), GntStatus::OKAY);
    check_invariants(&d, &p);
}

/// The entry is unpinned last, so while a pin is there its page is.
#[test]
fn xsa_236_the_page_is_released_before_the_pin() {
    let (d, p) = machine(2, 2);
    grant(&d[1], 9, 0, p[1][0], ACCESS);
    let (h, _) = map(&d[0], 1, 9, 0x1000, HOST).unwrap();
    let what = super::super::map::Unmap {
        handle: h,
        host_addr: 0x1000,
        dev_bus_addr: 0,
        new_addr: 0,
    };
    let waiting = super::super::map::unmap(&context(&d[0], 0), &what)
        .unwrap()
        .unwrap();
    // Between the two steps both are there, and the version cannot change (XSA-486).
    assert_eq!(uses(p[1][0]), (1, 1));
    assert!(!pin(&d[1], 9).is_zero());
    assert_eq!(set_version(&d[1], 2), Err(Errno::EBUSY));
    super::super::map::complete(waiting);
    assert_eq!(uses(p[1][0]), (0, 0));
    check_invariants(&d, &p);
}

#[test]
fn xsa_255_no_switch_back_while_status_frames_are_mapped() {
    let (d, p) = machine(2, 2);
    set_version(&d[1], 2).unwrap();
    let mapped = crate::mm::get_page(status_frame(&d[1], 0).unwrap(), DomainId(1)).unwrap();
    assert_eq!(set_version(&d[1], 1), Err(Errno::EBUSY));
    drop(mapped);
    assert_eq!(set_version(&d[1], 1), Ok(1));
    check_invariants(&d, &p);
}

#[test]
fn xsa_284_a_transferred_page_has_one_owner_and_one_reference() {
    let (d, p) = machine(2, 4);
    let (frame, at) = place(&d[0], 20);
    frame.write_u32(at, 1 << 16 | u32::from(GTF_ACCEPT_TRANSFER));
    let op = GnttabTransfer {
        mfn: p[1][0].get(),
        domid: DomId(0),
        r#ref: 20,
        ..Default::default()
    };
    assert_eq!(
        one(&d[1], GnttabOp::TRANSFER, op).unwrap().status,
        GntStatus::OKAY
    );
    assert_eq!(uses(p[1][0]), (0, 0));
    assert!(crate::mm::get_page(p[1][0], DomainId(1)).is_err());
    assert!(crate::mm::get_page(p[1][0], DomainId(0)).is_ok());
}

/// No element's status is ever positive, and the call's result is 0 or an error.
#[test]
fn xsa_316_errors_are_negative() {
    let (d, p) = machine(2, 2);
    let own = by_frame(SELF, p[0][0], 0);
    for gref in 0..600 {
        assert!(copy(&d[0], by_ref(1, gref, 0), own, 8, GNTCOPY_SOURCE_GREF).0 < 0);
        assert!(map(&d[0], 1, gref, 0x1000, HOST).unwrap_err().0 < 0);
    }
    check_invariants(&d, &p);
}

#[test]
fn xsa_318_a_continued_copy_does_each_element_once() {
    let (d, p) = machine(2, 2);
    grant(&d[1], 9, 0, p[1][0], ACCESS);
    fill(p[1][0], 5);
    let op = |i: u16| GnttabCopy {
        source: by_ref(1, 9, 0),
        dest: by_frame(SELF, p[0][0], i),
        len: 1,
        flags: GNTCOPY_SOURCE_GREF,
        status: GntStatus(99),
        ..Default::default()
    };
    for i in 0..20 {
        guest::write(GuestHandle::new(ARG), u64::from(i), &op(i)).unwrap();
    }
    let mut args = Args([5, ARG, 20, 0, 0, 0]);
    let mut left = 20;
    loop {
        let budget = Budget::with_units(30);
        match super::super::ops::dispatch(&context(&d[0], 0), args, &budget) {
            Err(Fail::Continue(next)) => {
                assert!(next.0[2] < left, "progress");
                check_invariants(&d, &p);
                left = next.0[2];
                assert_eq!(next.0[1], ARG + (20 - left) * 40);
                args = next;
            }
            other => break assert_eq!(other, Ok(0)),
        }
    }
    for i in 0..20 {
        let op: GnttabCopy = guest::read(GuestHandle::new(ARG), i).unwrap();
        assert_eq!((op.status, byte(p[0][0], i as usize)), (GntStatus::OKAY, 5));
    }
    check_invariants(&d, &p);
}

#[test]
fn xsa_380_release_is_preemptible() {
    let (d, p) = machine(2, 2);
    grant(&d[1], 9, 0, p[1][0], ACCESS);
    for i in 0..100u64 {
        map(&d[0], 1, 9, 0x1000 + i * 0x1000, HOST).unwrap();
    }
    d[0].dying.store(true, Ordering::SeqCst);
    assert!(!release_mappings(&d[0], &Budget::with_units(10)));
    let mut steps = 1;
    while !release_mappings(&d[0], &Budget::with_units(10)) {
        steps += 1;
    }
    assert!(steps > 20, "{steps}");
    assert!(pin(&d[1], 9).is_zero());
    assert_eq!(flags(&d[1], 9), ACCESS);
}

/// One status frame serves eight grant frames; the limit is in grant frames.
#[test]
fn xsa_382_status_frames_are_counted_in_their_own_unit() {
    let (d, p) = machine(2, 1);
    init(&d[1], 20, 2, 2).unwrap();
    set_version(&d[1], 2).unwrap();
    assert!(grant_frame(&d[1], 8).is_ok());
    assert_eq!(d[1].grants.table.read().status.len(), 2);
    assert!(status_frame(&d[1], 1).is_ok());
    assert!(status_frame(&d[1], 2).is_ok());
    assert_eq!(
        d[1].grants.table.read().shared.len(),
        20,
        "not beyond the limit"
    );
    assert_eq!(status_frame(&d[1], 3), Err(Errno::EINVAL));
    assert_eq!(status_frame(&d[1], u32::MAX), Err(Errno::EINVAL));
    assert_eq!(grant_frame(&d[1], u32::MAX), Err(Errno::EINVAL));
    // Every entry has its status word.
    grant(&d[1], 20 * 256 - 1, 0, p[1][0], ACCESS);
    map(&d[0], 1, 20 * 256 - 1, 0x1000, HOST).unwrap();
    check_invariants(&d, &p);
    let list = |n| {
        let op = GnttabGetStatusFrames {
            nr_frames: n,
            dom: DomId::SELF,
            frame_list: GuestHandle::new(LIST),
            ..Default::default()
        };
        one(&d[1], GnttabOp::GET_STATUS_FRAMES, op).unwrap().status
    };
    assert_eq!(
        (list(3), list(4)),
        (GntStatus::OKAY, GntStatus::GENERAL_ERROR)
    );
}

#[test]
fn xsa_394_a_partial_unmap_counts_down_once() {
    let (d, p) = machine(2, 2);
    grant(&d[1], 9, 0, p[1][0], ACCESS);
    let (h, bus) = map(&d[0], 1, 9, 0x1000, HOST | DEVICE).unwrap();
    for _ in 0..5 {
        // The device half is gone after the first; the others find nothing to do.
        assert_eq!(unmap(&d[0], h, 0, bus), GntStatus::OKAY);
        check_invariants(&d, &p);
    }
    assert_eq!(unmap(&d[0], h, 0, 0), GntStatus::OKAY);
    assert_eq!(unmap(&d[0], h, 0x1000, 0), GntStatus::OKAY);
    check_invariants(&d, &p);
}

/// The transitive path's error exits leave no lock held: the table can be written to afterwards.
#[test]
fn xsa_411_transitive_errors_unlock() {
    let (d, p) = transitive();
    let own = by_frame(SELF, p[0][0], 0);
    grant(&d[2], 30, 1, Mfn::new(u64::MAX), ACCESS);
    assert_eq!(
        copy(&d[0], by_ref(1, 9, 0), own, 8, GNTCOPY_SOURCE_GREF),
        GntStatus::BAD_PAGE
    );
    for dom in &d {
        assert!(dom.grants.table.try_write().is_some());
    }
    assert_eq!(set_version(&d[1], 1), Ok(1));
    check_invariants(&d, &p);
}

#[test]
fn xsa_448_empty_copies_are_checked_like_others() {
    let (d, p) = machine(2, 2);
    set_version(&d[1], 2).unwrap();
    grant(&d[1], 9, 0, p[1][0], ACCESS | GTF_SUB_PAGE);
    let (frame, at) = place(&d[1], 9);
    frame.write_u32(at + 4, 100 << 16 | 1000);
    let own = by_frame(SELF, p[0][0], 0);
    let empty = |offset| copy(&d[0], by_ref(1, 9, offset), own, 0, GNTCOPY_SOURCE_GREF);
    assert_eq!(empty(1000), GntStatus::OKAY);
    assert_eq!(empty(1100), GntStatus::OKAY);
    assert_eq!(empty(1101), GntStatus::GENERAL_ERROR);
    assert_eq!(empty(999), GntStatus::GENERAL_ERROR);
    assert_eq!(empty(4097), GntStatus::BAD_COPY_ARG);
    assert_eq!(empty(u16::MAX), GntStatus::BAD_COPY_ARG);
    check_invariants(&d, &p);
}

#[test]
fn xsa_486_an_unmap_counts_in_the_version_of_its_end() {
    let (d, p) = machine(2, 2);
    grant(&d[1], 1, 0, p[1][0], ACCESS);
    let (h, _) = map(&d[0], 1, 1, 0x1000, HOST).unwrap();
    let what = super::super::map::Unmap {
        handle: h,
        host_addr: 0x1000,
        dev_bus_addr: 0,
        new_addr: 0,
    };
    let waiting = super::super::map::unmap(&context(&d[0], 0), &what)
        .unwrap()
        .unwrap();
    // A reserved entry does not keep the version from changing.
    assert_eq!(set_version(&d[1], 2), Ok(2));
    super::super::map::complete(waiting);
    assert_eq!((status_bits(&d[1], 1), flags(&d[1], 1)), (0, ACCESS));
    check_invariants(&d, &p);
}

#[test]
fn xsa_500_a_pinned_entry_is_what_it_was_when_it_was_pinned() {
    let (d, p) = machine(2, 4);
    grant(&d[1], 9, 0, p[1][0], ACCESS);
    fill(p[1][0], 1);
    fill(p[1][1], 2);
    map(&d[0], 1, 9, 0x1000, HOST).unwrap();
    // The guest changes the frame (and keeps the status bits).
    grant(&d[1], 9, 0, p[1][1], ACCESS | GTF_READING | GTF_WRITING);
    let own = by_frame(SELF, p[0][0], 0);
    assert_eq!(
        copy(&d[0], by_ref(1, 9, 0), own, 8, GNTCOPY_SOURCE_GREF),
        GntStatus::OKAY
    );
    assert_eq!(byte(p[0][0], 0), 1);
    let (_, bus) = map(&d[0], 1, 9, 0x2000, HOST).unwrap();
    assert_eq!(bus, p[1][0].addr().get());
    assert_eq!(uses(p[1][1]), (0, 0));
    check_invariants(&d, &p);
}

/// A transitive copy drops its locks on the way; the version cannot change meanwhile.
#[test]
fn xsa_501_the_version_stays_while_a_transitive_copy_has_no_lock() {
    let (d, _) = transitive();
    d[1].grants.v2_operations.fetch_add(1, Ordering::SeqCst);
    assert_eq!(set_version(&d[1], 1), Err(Errno::EAGAIN));
    d[1].grants.v2_operations.fetch_sub(1, Ordering::SeqCst);
}
