//! Mapping, unmapping, and what they count.

use super::*;

#[test]
fn a_mapping_holds_the_page_and_marks_the_entry() {
    let (d, p) = machine(2, 4);
    grant(&d[1], 9, 0, p[1][0], ACCESS);
    let (rw, bus) = map(&d[0], 1, 9, 0x1000, HOST).unwrap();
    assert_eq!(bus, p[1][0].addr().get());
    assert_eq!(uses(p[1][0]), (1, 1));
    assert_eq!(flags(&d[1], 9), ACCESS | GTF_READING | GTF_WRITING);
    let (ro, _) = map(&d[0], 1, 9, 0x2000, HOST | RO).unwrap();
    assert_eq!(uses(p[1][0]), (2, 1));
    check_invariants(&d, &p);
    assert_eq!(unmap(&d[0], rw, 0x1000, 0), GntStatus::OKAY);
    assert_eq!(flags(&d[1], 9), ACCESS | GTF_READING);
    assert_eq!(unmap(&d[0], ro, 0x2000, 0), GntStatus::OKAY);
    assert_eq!((flags(&d[1], 9), uses(p[1][0])), (ACCESS, (0, 0)));
    assert_eq!(unmap(&d[0], ro, 0x2000, 0), GntStatus::BAD_HANDLE);
    check_invariants(&d, &p);
}

#[test]
fn host_and_device_mappings_are_undone_each_on_its_own() {
    let (d, p) = machine(2, 4);
    grant(&d[1], 9, 0, p[1][0], ACCESS);
    let (h, bus) = map(&d[0], 1, 9, 0x1000, HOST | DEVICE).unwrap();
    assert_eq!(uses(p[1][0]), (2, 2));
    assert_eq!(unmap(&d[0], h, 0, bus + 8), GntStatus::BAD_DEV_ADDR);
    assert_eq!(unmap(&d[0], h, 0, bus), GntStatus::OKAY);
    assert_eq!(uses(p[1][0]), (1, 1));
    check_invariants(&d, &p);
    assert_eq!(unmap(&d[0], h, 0x1000, bus), GntStatus::OKAY);
    assert_eq!(uses(p[1][0]), (0, 0));
    check_invariants(&d, &p);
}

#[test]
fn refusals_have_the_status_of_xen() {
    let (d, p) = machine(3, 4);
    grant(&d[1], 9, 0, p[1][0], ACCESS | GTF_READONLY);
    grant(&d[1], 10, 0, p[0][0], ACCESS);
    grant(&d[1], 11, 0, Mfn::new(1 << 30), ACCESS);
    grant(&d[1], 12, 0, p[1][1], ACCESS | GTF_SUB_PAGE);
    grant(&d[1], 13, 0, p[1][1], ACCESS);
    let refused = |from: &Arc<Domain>, dom, gref, addr, flags| {
        let result = map(from, dom, gref, addr, flags).unwrap_err();
        check_invariants(&d, &p);
        result
    };
    assert_eq!(
        refused(&d[0], 1, 9, 0x1000, 0),
        GntStatus::BAD_GNTREF,
        "no kind of mapping"
    );
    assert_eq!(refused(&d[0], 7, 9, 0x1000, HOST), GntStatus::BAD_DOMAIN);
    assert_eq!(
        refused(&d[0], DomId::SELF.0, 9, 0x1000, HOST),
        GntStatus::BAD_DOMAIN
    );
    assert_eq!(refused(&d[0], 1, 512, 0x1000, HOST), GntStatus::BAD_GNTREF);
    assert_eq!(
        refused(&d[0], 1, u32::MAX, 0x1000, HOST),
        GntStatus::BAD_GNTREF
    );
    assert_eq!(
        refused(&d[0], 1, 8, 0x1000, HOST),
        GntStatus::GENERAL_ERROR,
        "invalid entry"
    );
    assert_eq!(
        refused(&d[2], 1, 13, 0x1000, HOST),
        GntStatus::GENERAL_ERROR,
        "for another domain"
    );
    assert_eq!(
        refused(&d[0], 1, 9, 0x1000, HOST),
        GntStatus::GENERAL_ERROR,
        "read-only"
    );
    assert_eq!(
        refused(&d[0], 1, 10, 0x1000, HOST),
        GntStatus::BAD_PAGE,
        "not the granter's page"
    );
    assert_eq!(
        refused(&d[0], 1, 11, 0x1000, HOST),
        GntStatus::BAD_PAGE,
        "no page"
    );
    assert_eq!(
        refused(&d[0], 1, 12, 0x1000, HOST),
        GntStatus::GENERAL_ERROR,
        "sub-page"
    );
    assert_eq!(
        refused(&d[0], 1, 13, 1 << 40, HOST),
        GntStatus::GENERAL_ERROR,
        "no page table"
    );
    assert!(map(&d[0], 1, 9, 0x1000, HOST | RO).is_ok());
    assert_eq!(unmap(&d[0], 5000, 0x1000, 0), GntStatus::BAD_HANDLE);
    assert_eq!(unmap(&d[0], 200, 0x1000, 0), GntStatus::BAD_HANDLE);
    assert_eq!(
        unmap(&d[0], 0, 0x5000, 0),
        GntStatus::GENERAL_ERROR,
        "not mapped there"
    );
    check_invariants(&d, &p);
}

#[test]
fn bad_calls_have_the_errors_of_xen() {
    let (d, _) = machine(2, 2);
    let go = |cmd: u64, at: u64, count: u64| {
        do_grant_table_op(&context(&d[1], 0), Args([cmd, at, count, 0, 0, 0]))
    };
    let is = |result: Return, errno: Errno| assert_eq!(result, Err(Fail::Errno(errno)));
    is(go(99, ARG, 1), Errno::ENOSYS);
    is(go(3, ARG, 1), Errno::ENOSYS);
    is(go(0, ARG, 0x8000_0000), Errno::EINVAL);
    is(go(0x1000, ARG, 1), Errno::EINVAL);
    is(go(0, 0xdead_0000, 1), Errno::EFAULT);
    is(go(0, arch::guest::HYPERVISOR_START, 1), Errno::EFAULT);
    is(go(0, u64::MAX - 8, 4), Errno::EFAULT);
    is(go(2, ARG, 2), Errno::EINVAL);
    is(go(6, ARG, 0), Errno::EINVAL);
    is(go(8, 0xdead_0000, 1), Errno::EFAULT);
    assert_eq!(go(0, ARG, 0), Ok(0));
    let get = |dom| {
        one(
            &d[1],
            GnttabOp::GET_VERSION,
            GnttabGetVersion {
                dom: DomId(dom),
                ..Default::default()
            },
        )
    };
    assert_eq!(get(0).unwrap_err(), Errno::EPERM);
    assert_eq!(get(5).unwrap_err(), Errno::ESRCH);
    assert_eq!(get(DomId::SELF.0).unwrap().version, 1);
}

#[test]
fn counters_stop_before_they_overflow() {
    let (d, p) = machine(2, 2);
    grant(&d[1], 9, 0, p[1][0], ACCESS);
    let mut handles = Vec::new();
    let refused = loop {
        match map(
            &d[0],
            1,
            9,
            0x1000 + handles.len() as u64 * 0x1000,
            HOST | RO,
        ) {
            Ok((h, _)) => handles.push(h),
            Err(status) => break status,
        }
    };
    assert_eq!((refused, handles.len()), (GntStatus::GENERAL_ERROR, 128));
    check_invariants(&d, &p);
    // The other kinds still work, and all can be undone.
    let (h, _) = map(&d[0], 1, 9, 0x900_0000, HOST).unwrap();
    assert_eq!(unmap(&d[0], h, 0x900_0000, 0), GntStatus::OKAY);
    for (i, h) in handles.into_iter().enumerate() {
        assert_eq!(
            unmap(&d[0], h, 0x1000 + i as u64 * 0x1000, 0),
            GntStatus::OKAY
        );
    }
    check_invariants(&d, &p);
}

#[test]
fn handles_run_out_at_the_limit() {
    let (d, p) = machine(2, 4);
    for gref in 0..4 {
        grant(&d[1], gref, 0, p[1][gref as usize], ACCESS);
    }
    let mut done = 0u32;
    let refused = loop {
        match map(
            &d[0],
            1,
            done % 4,
            0x1000 + u64::from(done) * 0x1000,
            if (done / 4).is_multiple_of(2) {
                HOST
            } else {
                HOST | RO
            },
        ) {
            Ok(_) => done += 1,
            Err(status) => break status,
        }
    };
    assert_eq!((refused, done), (GntStatus::NO_SPACE, 512));
    check_invariants(&d, &p);
    d[0].dying.store(true, Ordering::SeqCst);
    let mut steps = 1;
    while !release_mappings(&d[0], &Budget::with_units(50)) {
        steps += 1;
    }
    assert!(steps >= 10);
    assert!((0..4).all(|gref| pin(&d[1], gref).is_zero()));
}

#[test]
fn unmap_and_replace_moves_a_mapping() {
    let (d, p) = machine(2, 4);
    grant(&d[1], 9, 0, p[1][0], ACCESS);
    grant(&d[1], 10, 0, p[1][1], ACCESS);
    let (a, _) = map(&d[0], 1, 9, 0x1000, HOST).unwrap();
    map(&d[0], 1, 10, 0x2000, HOST).unwrap();
    let op = GnttabUnmapAndReplace {
        host_addr: 0x1000,
        new_addr: 0x2000,
        handle: a,
        ..Default::default()
    };
    let op = one(&d[0], GnttabOp::UNMAP_AND_REPLACE, op).unwrap();
    assert_eq!(op.status, GntStatus::OKAY);
    MAPPED.with_borrow(|m| {
        assert_eq!(m.get(&(0, 0x1000)), Some(&(p[1][1], true)));
        assert_eq!(m.len(), 1);
    });
    check_invariants(&d, &p);
}

#[test]
fn long_arrays_are_continued() {
    let (d, p) = machine(2, 2);
    grant(&d[1], 9, 0, p[1][0], ACCESS);
    let mut ops: Vec<_> = (0..120u64)
        .map(|i| GnttabMapGrantRef {
            host_addr: 0x1000 + i * 0x1000,
            flags: HOST | RO,
            r#ref: 9,
            dom: DomId(1),
            ..Default::default()
        })
        .collect();
    for (i, op) in ops.iter().enumerate() {
        guest::write(GuestHandle::new(ARG), i as u64, op).unwrap();
    }
    let args = Args([0, ARG, 120, 0, 0, 0]);
    let first = dispatch_with(&d[0], args, 80);
    assert_eq!(
        first,
        Err(Fail::Continue(Args([0, ARG + 320, 110, 0, 0, 0])))
    );
    let mut args = Args([0, ARG + 320, 110, 0, 0, 0]);
    while let Err(Fail::Continue(next)) = dispatch_with(&d[0], args, 80) {
        args = next;
    }
    check_invariants(&d, &p);
    let mut unmaps: Vec<_> = Vec::new();
    for (i, op) in ops.iter_mut().enumerate() {
        *op = guest::read(GuestHandle::new(ARG), i as u64).unwrap();
        assert_eq!(op.status, GntStatus::OKAY);
        unmaps.push(GnttabUnmapGrantRef {
            host_addr: op.host_addr,
            handle: op.handle,
            status: GntStatus(77),
            ..Default::default()
        });
    }
    assert_eq!(call(&d[0], GnttabOp::UNMAP_GRANT_REF, &mut unmaps), Ok(0));
    assert!(unmaps.iter().all(|op| op.status == GntStatus::OKAY));
    check_invariants(&d, &p);
}

fn dispatch_with(d: &Arc<Domain>, args: Args, units: u32) -> Return {
    super::super::ops::dispatch(&context(d, 0), args, &Budget::with_units(units))
}

#[test]
fn setup_table_grows_up_to_the_limit() {
    let (d, p) = machine(2, 2);
    let setup = |who: &Arc<Domain>, dom: u16, frames: u32| {
        let op = GnttabSetupTable {
            dom: DomId(dom),
            nr_frames: frames,
            frame_list: GuestHandle::new(LIST),
            ..Default::default()
        };
        one(who, GnttabOp::SETUP_TABLE, op).unwrap().status
    };
    assert_eq!(setup(&d[1], DomId::SELF.0, 3), GntStatus::OKAY);
    let list: Vec<u64> = (0..3)
        .map(|i| guest::read(GuestHandle::new(LIST), i).unwrap())
        .collect();
    for (i, &mfn) in list.iter().enumerate() {
        assert_eq!(grant_frame(&d[1], i as u32), Ok(Mfn::new(mfn)));
        assert_eq!(
            host().mm.frames.entry(Mfn::new(mfn)).unwrap().owner(),
            DomainId(1)
        );
    }
    assert_eq!(setup(&d[1], DomId::SELF.0, 5), GntStatus::GENERAL_ERROR);
    assert_eq!(setup(&d[1], 0, 1), GntStatus::PERMISSION_DENIED);
    assert_eq!(setup(&d[1], 9, 1), GntStatus::BAD_DOMAIN);
    assert_eq!(setup(&d[0], 1, 4), GntStatus::OKAY);
    let query = |dom: u16| {
        let op = GnttabQuerySize {
            dom: DomId(dom),
            ..Default::default()
        };
        one(&d[1], GnttabOp::QUERY_SIZE, op).unwrap()
    };
    assert_eq!(
        (query(DomId::SELF.0).nr_frames, query(1).max_nr_frames),
        (4, 4)
    );
    assert_eq!(query(0).status, GntStatus::PERMISSION_DENIED);
    assert_eq!(grant_frame(&d[1], 4), Err(Errno::EINVAL));
    assert_eq!(status_frame(&d[1], 0), Err(Errno::EINVAL));
    let mut two = [Mfn::INVALID; 2];
    assert_eq!(acquire_resource(&d[1], 0, 2, &mut two), Ok(()));
    assert_eq!(two.map(Ok), [grant_frame(&d[1], 2), grant_frame(&d[1], 3)]);
    assert_eq!(acquire_resource(&d[1], 0, 3, &mut two), Err(Errno::EINVAL));
    assert_eq!(acquire_resource(&d[1], 1, 0, &mut two), Err(Errno::EINVAL));
    assert_eq!(acquire_resource(&d[1], 2, 0, &mut two), Err(Errno::EINVAL));
    assert_eq!(
        [0, 1, 2].map(|id| resource_max_frames(&d[1], id)),
        [4, 1, 0]
    );
    check_invariants(&d, &p);
    d[1].dying.store(true, Ordering::SeqCst);
    let free = host().mm.free_pages();
    destroy(&d[1]);
    assert_eq!(host().mm.free_pages(), free + 4);
}

#[test]
fn transfer_gives_a_page_away_for_good() {
    let (d, mut p) = machine(2, 4);
    let page = p[1].pop().unwrap();
    let (frame, at) = place(&d[0], 20);
    frame.write_u32(at + 4, 0x777);
    frame.write_u32(at, 1 << 16 | u32::from(GTF_ACCEPT_TRANSFER));
    let give = |mfn: u64, dom: u16, gref: u32| {
        let op = GnttabTransfer {
            mfn,
            domid: DomId(dom),
            r#ref: gref,
            ..Default::default()
        };
        one(&d[1], GnttabOp::TRANSFER, op).unwrap().status
    };
    assert_eq!(give(p[0][0].get(), 0, 20), GntStatus::BAD_PAGE);
    assert_eq!(give(1 << 40, 0, 20), GntStatus::BAD_PAGE);
    assert_eq!(give(page.get(), 0, 20), GntStatus::OKAY);
    assert_eq!(frame.read_u32(at + 4), page.get() as u32);
    assert_eq!(
        frame.read_u16(at),
        GTF_ACCEPT_TRANSFER | GTF_TRANSFER_COMMITTED | GTF_TRANSFER_COMPLETED
    );
    assert_eq!(host().mm.frames.entry(page).unwrap().owner(), DomainId(0));
    // Refused by the receiver: the page is gone all the same.
    let lost = p[1].pop().unwrap();
    let free = host().mm.free_pages();
    assert_eq!(give(lost.get(), 0, 20), GntStatus::GENERAL_ERROR);
    assert_eq!(host().mm.free_pages(), free + 1);
    // One that is mapped cannot go.
    grant(&d[1], 9, 0, p[1][0], ACCESS);
    map(&d[0], 1, 9, 0x1000, HOST).unwrap();
    assert_eq!(give(p[1][0].get(), 0, 20), GntStatus::BAD_PAGE);
}

/// However many are unmapped in a call: few, a batch, more than one.
#[test]
fn any_number_is_unmapped_in_a_call() {
    let (d, p) = machine(2, 2);
    grant(&d[1], 9, 0, p[1][0], ACCESS);
    for count in [1, 2, 4, 5, 32, 33, 36, 70] {
        let mut ops: Vec<GnttabUnmapGrantRef> = (0..count)
            .map(|i| {
                let host_addr = 0x1000 * (i + 1);
                let (handle, _) = map(&d[0], 1, 9, host_addr, HOST).unwrap();
                GnttabUnmapGrantRef {
                    host_addr,
                    handle,
                    ..Default::default()
                }
            })
            .collect();
        assert_eq!(call(&d[0], GnttabOp::UNMAP_GRANT_REF, &mut ops), Ok(0));
        assert!(ops.iter().all(|op| op.status == GntStatus::OKAY));
        assert!(pin(&d[1], 9).is_zero(), "{count}");
        check_invariants(&d, &p);
    }
}
