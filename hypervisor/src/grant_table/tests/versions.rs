//! Changing the version, and what hangs on it.

use super::*;

#[test]
fn the_reserved_entries_survive_and_the_others_do_not() {
    let (d, p) = machine(2, 4);
    grant(&d[1], 1, 0, p[1][0], ACCESS);
    grant(&d[1], 9, 0, p[1][1], ACCESS);
    let (h, _) = map(&d[0], 1, 1, 0x1000, HOST).unwrap();
    assert_eq!(set_version(&d[1], 2), Ok(2));
    assert_eq!(
        (flags(&d[1], 1), status_bits(&d[1], 1)),
        (ACCESS, GTF_READING | GTF_WRITING)
    );
    assert_eq!(flags(&d[1], 9), 0);
    check_invariants(&d, &p);
    assert_eq!(set_version(&d[1], 1), Ok(1));
    assert_eq!(flags(&d[1], 1), ACCESS | GTF_READING | GTF_WRITING);
    assert_eq!(set_version(&d[1], 2), Ok(2));
    assert_eq!(unmap(&d[0], h, 0x1000, 0), GntStatus::OKAY);
    assert_eq!(status_bits(&d[1], 1), 0);
    check_invariants(&d, &p);
}

#[test]
fn refusals_have_the_errors_of_xen() {
    let (d, p) = machine(2, 4);
    assert_eq!(set_version(&d[1], 3), Err(Errno::EINVAL));
    assert_eq!(set_version(&d[1], 0), Err(Errno::EINVAL));
    grant(&d[1], 9, 0, p[1][1], ACCESS);
    let (h, _) = map(&d[0], 1, 9, 0x1000, HOST).unwrap();
    assert_eq!(set_version(&d[1], 2), Err(Errno::EBUSY));
    assert_eq!(set_version(&d[1], 1), Ok(1), "no change");
    unmap(&d[0], h, 0x1000, 0);
    assert_eq!(set_version(&d[1], 2), Ok(2));
    grant(&d[1], 2, 0, Mfn::new(1 << 33), ACCESS);
    assert_eq!(set_version(&d[1], 1), Err(Errno::ERANGE));
    grant(&d[1], 2, 0, Mfn::new(1), GTF_TRANSITIVE);
    assert_eq!(set_version(&d[1], 1), Err(Errno::ERANGE));
    grant(&d[1], 2, 0, Mfn::new(1), 0);
    d[1].grants.v2_operations.fetch_add(1, Ordering::SeqCst);
    assert_eq!(set_version(&d[1], 1), Err(Errno::EAGAIN));
    d[1].grants.v2_operations.fetch_sub(1, Ordering::SeqCst);
    assert_eq!(set_version(&d[1], 1), Ok(1));
    init(&d[1], 4, 2, 1).unwrap();
    assert_eq!(set_version(&d[1], 2), Err(Errno::ENOSYS));
    assert_eq!(init(&d[1], 0, 2, 1), Err(Errno::EINVAL));
    assert_eq!(init(&d[1], 1, 2, 3), Err(Errno::EINVAL));
    check_invariants(&d, &p);
}

#[test]
fn version_2_entries_map_and_revoke() {
    let (d, p) = machine(2, 4);
    assert_eq!(set_version(&d[1], 2), Ok(2));
    grant(&d[1], 255, 0, p[1][0], ACCESS);
    let (h, _) = map(&d[0], 1, 255, 0x1000, HOST).unwrap();
    assert_eq!(
        (flags(&d[1], 255), status_bits(&d[1], 255)),
        (ACCESS, GTF_READING | GTF_WRITING)
    );
    assert_eq!(
        map(&d[0], 1, 256, 0x2000, HOST).unwrap_err(),
        GntStatus::BAD_GNTREF
    );
    check_invariants(&d, &p);
    unmap(&d[0], h, 0x1000, 0);
    grant(&d[1], 255, 0, p[1][0], ACCESS | GTF_READONLY);
    assert!(map(&d[0], 1, 255, 0x1000, HOST).is_err());
    let (_, _) = map(&d[0], 1, 255, 0x1000, HOST | RO).unwrap();
    // Asking for more than is granted leaves what is in use alone.
    assert!(map(&d[0], 1, 255, 0x2000, HOST).is_err());
    assert_eq!(status_bits(&d[1], 255), GTF_READING);
    check_invariants(&d, &p);
}

#[test]
fn swap_exchanges_entries_that_nobody_uses() {
    for version in [1, 2] {
        let (d, p) = machine(2, 4);
        set_version(&d[1], version).unwrap();
        grant(&d[1], 9, 0, p[1][0], ACCESS);
        grant(&d[1], 10, 0, p[1][1], ACCESS | GTF_READONLY);
        let swap = |a, b| {
            let op = GnttabSwapGrantRef {
                ref_a: a,
                ref_b: b,
                ..Default::default()
            };
            one(&d[1], GnttabOp::SWAP_GRANT_REF, op).unwrap().status
        };
        assert_eq!(swap(9, 10), GntStatus::OKAY);
        let (h, bus) = map(&d[0], 1, 10, 0x1000, HOST).unwrap();
        assert_eq!(
            (bus, flags(&d[1], 9)),
            (p[1][0].addr().get(), ACCESS | GTF_READONLY)
        );
        assert_eq!(swap(9, 10), GntStatus::EAGAIN);
        assert_eq!(swap(10, 9), GntStatus::EAGAIN);
        assert_eq!(swap(10, 10), GntStatus::OKAY);
        assert_eq!(swap(10, 512), GntStatus::BAD_GNTREF);
        unmap(&d[0], h, 0x1000, 0);
        assert_eq!(swap(10, 9), GntStatus::OKAY);
        check_invariants(&d, &p);
    }
}
