//! GNTTABOP_copy in all its forms.

use proptest::prelude::*;

use super::*;

/// One side of a copy.
pub fn by_ref(dom: u16, gref: u32, offset: u16) -> GnttabCopyPtr {
    let mut ptr = GnttabCopyPtr {
        domid: DomId(dom),
        offset,
        ..Default::default()
    };
    ptr.u.set_ref(gref);
    ptr
}

pub fn by_frame(dom: u16, mfn: Mfn, offset: u16) -> GnttabCopyPtr {
    let mut ptr = GnttabCopyPtr {
        domid: DomId(dom),
        offset,
        ..Default::default()
    };
    ptr.u.set_gmfn(mfn.get());
    ptr
}

pub const SELF: u16 = DomId::SELF.0;

pub fn copy(
    d: &Arc<Domain>,
    source: GnttabCopyPtr,
    dest: GnttabCopyPtr,
    len: u16,
    flags: u16,
) -> GntStatus {
    let op = GnttabCopy {
        source,
        dest,
        len,
        flags,
        ..Default::default()
    };
    one(d, GnttabOp::COPY, op).expect("array is there").status
}

pub fn fill(mfn: Mfn, byte: u8) {
    arch::hosted::frame(mfn).write(0, &[byte; 4096]);
}

pub fn byte(mfn: Mfn, at: usize) -> u8 {
    arch::hosted::frame(mfn).read_u8(at)
}

#[test]
fn copies_go_both_ways() {
    let (d, p) = machine(2, 4);
    grant(&d[1], 9, 0, p[1][0], ACCESS | GTF_READONLY);
    grant(&d[1], 10, 0, p[1][1], ACCESS);
    fill(p[1][0], 7);
    let s = copy(
        &d[0],
        by_ref(1, 9, 100),
        by_frame(SELF, p[0][0], 200),
        1000,
        GNTCOPY_SOURCE_GREF,
    );
    assert_eq!(s, GntStatus::OKAY);
    assert_eq!(
        [199, 200, 1199, 1200].map(|at| byte(p[0][0], at)),
        [0, 7, 7, 0]
    );
    let s = copy(
        &d[0],
        by_frame(SELF, p[0][0], 0),
        by_ref(1, 10, 0),
        4096,
        GNTCOPY_DEST_GREF,
    );
    assert_eq!((s, byte(p[1][1], 1199)), (GntStatus::OKAY, 7));
    let s = copy(
        &d[0],
        by_ref(1, 9, 0),
        by_ref(1, 10, 0),
        4096,
        GNTCOPY_SOURCE_GREF | GNTCOPY_DEST_GREF,
    );
    assert_eq!((s, byte(p[1][1], 0)), (GntStatus::OKAY, 7));
    check_invariants(&d, &p);
}

/// Parts of one page may overlap: what was there before the copy arrives.
#[test]
fn a_page_is_copied_to_itself() {
    let (d, p) = machine(2, 2);
    let bytes: [u8; 4096] = core::array::from_fn(|at| (at % 251) as u8);
    for (from, to) in [(0u16, 100u16), (100, 0), (7, 7), (0, 2048)] {
        arch::hosted::frame(p[0][0]).write(0, &bytes);
        let s = copy(
            &d[0],
            by_frame(SELF, p[0][0], from),
            by_frame(SELF, p[0][0], to),
            2000,
            0,
        );
        assert_eq!(s, GntStatus::OKAY);
        let mut expected = bytes;
        expected.copy_within(from as usize..from as usize + 2000, to as usize);
        let mut now = [0; 4096];
        arch::hosted::frame(p[0][0]).read(0, &mut now);
        assert!(now == expected, "{from} to {to}");
    }
    check_invariants(&d, &p);
}

#[test]
fn refusals_have_the_status_of_xen() {
    let (d, p) = machine(3, 4);
    grant(&d[1], 9, 0, p[1][0], ACCESS | GTF_READONLY);
    grant(&d[1], 11, 0, p[2][0], ACCESS);
    let own = by_frame(SELF, p[0][0], 0);
    let s = GNTCOPY_SOURCE_GREF;
    let t = GNTCOPY_DEST_GREF;
    let cases = [
        (
            by_frame(1, p[1][0], 0),
            own,
            8,
            0,
            GntStatus::PERMISSION_DENIED,
        ),
        (by_ref(7, 9, 0), own, 8, s, GntStatus::BAD_DOMAIN),
        (by_ref(1, 9999, 0), own, 8, s, GntStatus::BAD_GNTREF),
        (by_ref(1, 8, 0), own, 8, s, GntStatus::GENERAL_ERROR),
        (by_ref(1, 11, 0), own, 8, s, GntStatus::BAD_PAGE),
        (own, by_ref(1, 9, 0), 8, t, GntStatus::GENERAL_ERROR),
        (by_ref(1, 9, 4090), own, 8, s, GntStatus::BAD_COPY_ARG),
        (
            by_ref(1, 9, 0),
            by_frame(SELF, p[0][0], 4090),
            8,
            s,
            GntStatus::BAD_COPY_ARG,
        ),
        (
            by_ref(1, 9, 0),
            by_frame(SELF, p[1][0], 0),
            8,
            s,
            GntStatus::BAD_PAGE,
        ),
        (
            by_ref(1, 9, 0),
            by_frame(SELF, Mfn::new(u64::MAX), 0),
            8,
            s,
            GntStatus::BAD_PAGE,
        ),
    ];
    for (i, (source, dest, len, flags, status)) in cases.into_iter().enumerate() {
        assert_eq!(copy(&d[0], source, dest, len, flags), status, "case {i}");
        check_invariants(&d, &p);
    }
}

/// A page that is a page table cannot be the destination.
#[test]
fn a_destination_is_writable_memory() {
    let (d, p) = machine(2, 4);
    let _table =
        crate::mm::get_page_and_type(p[0][1], &d[0], PageType::L1).expect("an empty table");
    grant(&d[1], 9, 0, p[1][0], ACCESS);
    let s = copy(
        &d[0],
        by_ref(1, 9, 0),
        by_frame(SELF, p[0][1], 0),
        8,
        GNTCOPY_SOURCE_GREF,
    );
    assert_eq!(s, GntStatus::GENERAL_ERROR);
    assert!(pin(&d[1], 9).is_zero());
}

#[test]
fn sub_page_grants_give_their_part_only() {
    let (d, p) = machine(2, 4);
    assert_eq!(set_version(&d[1], 2), Ok(2));
    grant(&d[1], 9, 0, p[1][0], ACCESS | GTF_SUB_PAGE);
    let (frame, at) = place(&d[1], 9);
    frame.write_u32(at + 4, 100 << 16 | 1000);
    let own = by_frame(SELF, p[0][0], 0);
    let go = |offset, len| copy(&d[0], by_ref(1, 9, offset), own, len, GNTCOPY_SOURCE_GREF);
    assert_eq!(go(1000, 100), GntStatus::OKAY);
    assert_eq!(go(1050, 50), GntStatus::OKAY);
    assert_eq!(go(999, 10), GntStatus::GENERAL_ERROR);
    assert_eq!(go(1050, 51), GntStatus::GENERAL_ERROR);
    assert_eq!(
        map(&d[0], 1, 9, 0x1000, HOST).unwrap_err(),
        GntStatus::GENERAL_ERROR
    );
    check_invariants(&d, &p);
}

/// Domain 2 grants to 1, which passes the grant on to 0.
pub fn transitive() -> (Vec<Arc<Domain>>, Vec<Vec<Mfn>>) {
    let (d, p) = machine(3, 4);
    assert_eq!(set_version(&d[1], 2), Ok(2));
    grant(&d[2], 30, 1, p[2][0], ACCESS);
    let (frame, at) = place(&d[1], 9);
    frame.write_u32(at + 4, 2);
    frame.write_u32(at + 8, 30);
    frame.write_u32(at, u32::from(GTF_TRANSITIVE));
    (d, p)
}

#[test]
fn transitive_grants_pass_on_one_level() {
    let (d, p) = transitive();
    fill(p[2][0], 9);
    let own = by_frame(SELF, p[0][0], 0);
    let s = copy(&d[0], by_ref(1, 9, 0), own, 4096, GNTCOPY_SOURCE_GREF);
    assert_eq!((s, byte(p[0][0], 4095)), (GntStatus::OKAY, 9));
    check_invariants(&d, &p);
    let s = copy(&d[0], own, by_ref(1, 9, 0), 16, GNTCOPY_DEST_GREF);
    assert_eq!(s, GntStatus::OKAY);
    // Not to be mapped, not for others, not twice, not to itself.
    assert!(map(&d[0], 1, 9, 0x1000, HOST).is_err());
    let third = by_frame(SELF, p[2][1], 0);
    assert_eq!(
        copy(&d[2], by_ref(1, 9, 0), third, 8, GNTCOPY_SOURCE_GREF),
        GntStatus::GENERAL_ERROR
    );
    assert_eq!(set_version(&d[2], 2), Ok(2));
    let (frame, at) = place(&d[2], 30);
    frame.write_u32(at + 4, 0);
    frame.write_u32(at + 8, 5);
    frame.write_u32(at, 1 << 16 | u32::from(GTF_TRANSITIVE));
    assert_eq!(
        copy(&d[0], by_ref(1, 9, 0), own, 8, GNTCOPY_SOURCE_GREF),
        GntStatus::GENERAL_ERROR
    );
    let (frame, at) = place(&d[1], 9);
    frame.write_u32(at + 4, 1);
    assert_eq!(
        copy(&d[0], by_ref(1, 9, 0), own, 8, GNTCOPY_SOURCE_GREF),
        GntStatus::GENERAL_ERROR
    );
    frame.write_u32(at + 4, 77);
    assert_eq!(
        copy(&d[0], by_ref(1, 9, 0), own, 8, GNTCOPY_SOURCE_GREF),
        GntStatus::GENERAL_ERROR
    );
    check_invariants(&d, &p);
}

/// The grant of the last copy stays in use for the next one, and only for that.
#[test]
fn a_grant_is_in_use_from_copy_to_copy() {
    let (d, p) = machine(2, 4);
    grant(&d[1], 9, 0, p[1][0], ACCESS);
    grant(&d[1], 10, 0, p[1][1], ACCESS);
    let cx = context(&d[0], 0);
    let mut copier = super::super::copy::Copier::new(&cx);
    let mut go = |gref, page| {
        let op = GnttabCopy {
            source: by_ref(1, gref, 0),
            dest: by_frame(SELF, p[0][page], 0),
            len: 8,
            flags: GNTCOPY_SOURCE_GREF,
            ..Default::default()
        };
        copier.copy(&cx, &op).is_ok()
    };
    assert!(go(9, 0));
    assert_eq!(pin(&d[1], 9), Pin::HOST_READ);
    // Its owner takes it back, sees that it is in use, and waits.
    grant(&d[1], 9, 0, p[1][0], GTF_READING);
    assert!(go(9, 1));
    assert_eq!(pin(&d[1], 9), Pin::HOST_READ);
    assert!(go(10, 1));
    assert!(pin(&d[1], 9).is_zero());
    assert_eq!(status_bits(&d[1], 9), 0);
    assert!(!go(9, 1));
    assert!(!go(9, 1));
    assert!(go(10, 1));
    drop(copier);
    check_invariants(&d, &p);
}

/// What copies may name: grants of two domains (for reading only, of one page twice, of nothing), frames of the
/// caller's and of another's.
fn sides(p: &[Vec<Mfn>]) -> [(GnttabCopyPtr, bool); 10] {
    [
        (by_ref(1, 9, 0), true),
        (by_ref(1, 10, 0), true),
        (by_ref(1, 11, 0), true),
        (by_ref(1, 12, 0), true),
        (by_ref(2, 9, 0), true),
        (by_ref(7, 9, 0), true),
        (by_frame(SELF, p[0][0], 0), false),
        (by_frame(SELF, p[0][1], 0), false),
        (by_frame(SELF, p[1][0], 0), false),
        (by_frame(1, p[1][0], 0), false),
    ]
}

fn machine_with_sides() -> (Vec<Arc<Domain>>, Vec<Vec<Mfn>>) {
    let (d, p) = machine(3, 2);
    grant(&d[1], 9, 0, p[1][0], ACCESS);
    grant(&d[1], 10, 0, p[1][1], ACCESS | GTF_READONLY);
    grant(&d[1], 11, 0, p[1][0], ACCESS);
    grant(&d[2], 9, 0, p[2][0], ACCESS);
    for (byte, &mfn) in (1..).zip(p.iter().flatten()) {
        fill(mfn, byte);
    }
    (d, p)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn copies_in_one_call_do_what_they_do_one_by_one(
        ops in proptest::collection::vec((0..10usize, 0..10usize, 0u16..64, 0u16..64, 0u16..64), 1..60),
    ) {
        let run = |at_once: usize| {
            let (d, p) = machine_with_sides();
            let sides = sides(&p);
            let mut ops: Vec<_> = ops
                .iter()
                .map(|&(from, to, source_at, dest_at, len)| {
                    let ((mut source, s), (mut dest, t)) = (sides[from], sides[to]);
                    (source.offset, dest.offset) = (source_at, dest_at);
                    let flags = if s { GNTCOPY_SOURCE_GREF } else { 0 } | if t { GNTCOPY_DEST_GREF } else { 0 };
                    GnttabCopy { source, dest, len, flags, ..Default::default() }
                })
                .collect();
            for part in ops.chunks_mut(at_once) {
                assert_eq!(call(&d[0], GnttabOp::COPY, part), Ok(0));
            }
            check_invariants(&d, &p);
            let bytes: Vec<u8> = p
                .iter()
                .flatten()
                .flat_map(|&mfn| (0..128).map(move |at| byte(mfn, at)))
                .collect();
            let statuses: Vec<_> = ops.iter().map(|op| op.status).collect();
            (statuses, bytes)
        };
        prop_assert_eq!(run(usize::MAX), run(1));
    }
}
