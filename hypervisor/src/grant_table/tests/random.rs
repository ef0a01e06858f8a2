//! Random operations of three domains on each other's grants; all counts are recounted after each.

use proptest::prelude::*;

use super::copies::{SELF, by_frame, by_ref, copy};
use super::*;

#[derive(Clone, Debug)]
enum Op {
    /// Granter, entry, receiver, page (of domain, index), flags.
    Grant(u16, u32, u16, u16, usize, u16),
    Map(u16, u16, u32, u64, u32),
    Unmap(u16, u32, u64, bool),
    Copy(u16, u16, u32, usize, bool, u16, u16),
    Version(u16, u32),
    Swap(u16, u32, u32),
    Grow(u16, u32),
    Transfer(u16, usize, u16, u32),
    Scribble(u16, u32, u32),
}

fn op() -> impl Strategy<Value = Op> {
    let dom = 0..3u16;
    let gref = 6..13u32;
    let page = 0..4usize;
    let address = (1..12u64).prop_map(|n| n * 0x1000);
    let entry_flags = prop_oneof![
        6 => Just(ACCESS),
        3 => Just(ACCESS | GTF_READONLY),
        1 => Just(GTF_TRANSITIVE),
        1 => Just(ACCESS | GTF_SUB_PAGE),
        1 => Just(GTF_ACCEPT_TRANSFER),
        1 => Just(0)
    ];
    let map_flags = prop_oneof![
        Just(HOST),
        Just(HOST | RO),
        Just(DEVICE),
        Just(HOST | DEVICE),
        Just(HOST | DEVICE | RO),
        Just(0)
    ];
    prop_oneof![
        6 => (dom.clone(), gref.clone(), dom.clone(), dom.clone(), page.clone(), entry_flags)
            .prop_map(|(a, b, c, d, e, f)| Op::Grant(a, b, c, d, e, f)),
        10 => (dom.clone(), dom.clone(), gref.clone(), address.clone(), map_flags)
            .prop_map(|(a, b, c, d, e)| Op::Map(a, b, c, d, e)),
        10 => (dom.clone(), 0..6u32, address, any::<bool>()).prop_map(|(a, b, c, d)| Op::Unmap(a, b, c, d)),
        6 => (dom.clone(), dom.clone(), gref.clone(), page.clone(), any::<bool>(), 0..5000u16, 0..5000u16)
            .prop_map(|(a, b, c, d, e, f, g)| Op::Copy(a, b, c, d, e, f, g)),
        2 => (dom.clone(), 0..4u32).prop_map(|(a, b)| Op::Version(a, b)),
        1 => (dom.clone(), gref.clone(), gref.clone()).prop_map(|(a, b, c)| Op::Swap(a, b, c)),
        1 => (dom.clone(), 0..6u32).prop_map(|(a, b)| Op::Grow(a, b)),
        1 => (dom.clone(), page, dom.clone(), gref.clone()).prop_map(|(a, b, c, d)| Op::Transfer(a, b, c, d)),
        1 => (dom, gref, any::<u32>()).prop_map(|(a, b, c)| Op::Scribble(a, b, c)),
    ]
}

/// Rewrites an entry as a guest may: the status bits of one in use stay as they are, and so does the type of a reserved
/// one (a change to version 1 drops the status of any that does not permit access).
fn rewrite(d: &Domain, gref: u32, to: u16, mfn: Mfn, mut new: u16) {
    let (pin, v1) = (pin(d, gref), d.grants.table.read().version == 1);
    if gref < GNTTAB_NR_RESERVED_ENTRIES && !pin.is_zero() {
        new = new & !GTF_TYPE_MASK | ACCESS;
    }
    let mut keep = 0;
    if v1 && !pin.is_zero() {
        keep |= GTF_READING;
    }
    if v1 && pin.writable() {
        keep |= GTF_WRITING;
    }
    grant(d, gref, to, mfn, new & !(GTF_READING | GTF_WRITING) | keep);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn random_operations_keep_every_count(ops in proptest::collection::vec(op(), 1..100)) {
        let (d, mut p) = machine(3, 4);
        for op in &ops {
            match *op {
                Op::Grant(by, gref, to, whose, page, flags) => {
                    if let Some(&mfn) = p[whose as usize].get(page) {
                        rewrite(&d[by as usize], gref, to, mfn, flags);
                    }
                }
                Op::Map(by, dom, gref, address, flags) => {
                    let _ = map(&d[by as usize], dom, gref, address, flags);
                }
                Op::Unmap(by, handle, address, device) => {
                    let bus = d[by as usize]
                        .grants
                        .maptrack
                        .slot(handle)
                        .and_then(|s| s.mapping.lock().clone())
                        .map_or(0, |m| {
                            let table = m.domain.grants.table.read();
                            table.active(m.gref).map_or(0, |a| a.lock().mfn.addr().get())
                        });
                    let _ = unmap(&d[by as usize], handle, address, if device { bus } else { 0 });
                }
                Op::Copy(by, dom, gref, page, to_grant, offset, len) => {
                    let Some(&own) = p[by as usize].get(page) else { continue };
                    let (g, f) = (by_ref(dom, gref, offset), by_frame(SELF, own, 0));
                    let _ = if to_grant {
                        copy(&d[by as usize], f, g, len, GNTCOPY_DEST_GREF)
                    } else {
                        copy(&d[by as usize], g, f, len, GNTCOPY_SOURCE_GREF)
                    };
                }
                Op::Version(by, version) => {
                    let _ = set_version(&d[by as usize], version);
                }
                Op::Swap(by, a, b) => {
                    let op = GnttabSwapGrantRef { ref_a: a, ref_b: b, ..Default::default() };
                    let _ = one(&d[by as usize], GnttabOp::SWAP_GRANT_REF, op);
                }
                Op::Grow(by, frames) => {
                    let _ = grant_frame(&d[by as usize], frames);
                    let _ = status_frame(&d[by as usize], frames);
                }
                Op::Transfer(by, page, to, gref) => {
                    let Some(&mfn) = p[by as usize].get(page) else { continue };
                    let op = GnttabTransfer { mfn: mfn.get(), domid: DomId(to), r#ref: gref, ..Default::default() };
                    let status = one(&d[by as usize], GnttabOp::TRANSFER, op).unwrap().status;
                    let owner = host().mm.frames.entry(mfn).unwrap().owner();
                    if owner.0 != by {
                        p[by as usize].remove(page);
                    }
                    if status == GntStatus::OKAY {
                        p[to as usize].push(mfn);
                    }
                    // A page that was refused after it was taken is free now.
                    p.iter_mut().for_each(|own| own.retain(|&m| host().mm.frames.entry(m).unwrap().references() > 0));
                }
                Op::Scribble(by, gref, word) => {
                    // Flags and domain at random, but for the status bits.
                    rewrite(&d[by as usize], gref, (word >> 16) as u16 & 3, p[by as usize].first().copied().unwrap_or(Mfn::new(5)), word as u16);
                }
            }
            check_invariants(&d, &p);
            prop_assert_eq!(audit::findings(), Vec::<String>::new());
        }
        // All can be released.
        for dom in &d {
            dom.dying.store(true, Ordering::SeqCst);
            while !release_mappings(dom, &Budget::with_units(7)) {}
        }
        for dom in &d {
            let entries = dom.grants.table.read().entries();
            for gref in 0..entries {
                prop_assert!(pin(dom, gref).is_zero());
            }
            destroy(dom);
            prop_assert_eq!(Arc::strong_count(dom), 2);
        }
    }
}
