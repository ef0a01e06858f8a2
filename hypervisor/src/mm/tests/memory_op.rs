//! `memory_op`: extents, exchange, continuations, refusals.

use std::vec::Vec;

use arch::addr::Mfn;
use hypercall_abi::memory::{
    AddToPhysmap, MemAcquireResource, MemoryExchange, MemoryReservation, XenMem,
};
use hypercall_abi::xen::{DomId, MmuextOp};
use hypercall_abi::{Errno, GuestHandle};

use super::machine::{
    BUDGET, BUFFER, Machine, SELF, address_space, balanced, ext, finish, get, kind, pages, peek,
    poke, put, update,
};
use crate::domain::Context;
use crate::fail::{Args, Fail, Return};
use crate::host::host;
use crate::mm::{self, Pte};

/// Where structures, input and output lists lie in the buffer.
const REQUEST: u64 = 0;
const IN: u64 = 0x1000;
const OUT: u64 = 0x2000;

fn raw(cx: &Context, op: XenMem, start: u64) -> Return {
    let command = u64::from(op.0) | start << 6;
    mm::do_memory_op(cx, Args([command, BUFFER + REQUEST, 0, 0, 0, 0]))
}

fn call(cx: &Context, op: XenMem) -> Result<u64, Errno> {
    let args = Args([op.0.into(), BUFFER + REQUEST, 0, 0, 0, 0]);
    finish(args, |args| mm::do_memory_op(cx, args))
}

fn reservation(list: u64, extents: u64, order: u32) -> MemoryReservation {
    MemoryReservation {
        extent_start: GuestHandle::new(BUFFER + list),
        nr_extents: extents,
        extent_order: order,
        domid: DomId(SELF),
        ..Default::default()
    }
}

fn list(at: u64, n: usize) -> Vec<u64> {
    (0..n as u64).map(|i| get(at + i * 8)).collect()
}

#[test]
fn populated_extents_are_described_and_given_back() {
    let m = Machine::new();
    let cx = &m.dom1;
    let free = host().mm.free_pages();
    for budget in [1, 1024] {
        BUDGET.set(budget);
        put(IN, [0x10u64, 0x20, 0x30].as_slice());
        put(REQUEST, &reservation(IN, 3, 2));
        assert_eq!(call(cx, XenMem::POPULATE_PHYSMAP), Ok(3));
        let extents = list(IN, 3);
        for (&mfn, gfn) in extents.iter().zip([0x10u64, 0x20, 0x30]) {
            assert_eq!(mfn % 4, 0);
            for i in 0..4 {
                assert_eq!(host().mm.m2p.get(Mfn::new(mfn + i)).get(), gfn + i);
            }
        }
        assert_eq!(cx.domain.mem.tot_pages(), 12);
        balanced();
        assert_eq!(call(cx, XenMem::DECREASE_RESERVATION), Ok(3));
        assert_eq!(cx.domain.mem.tot_pages(), 0);
        assert_eq!(host().mm.free_pages(), free);
        assert_eq!(host().mm.m2p.get(Mfn::new(extents[0])).get(), u64::MAX);
        balanced();
    }
}

#[test]
fn continuations_carry_the_extents_done_in_the_command() {
    let m = Machine::new();
    BUDGET.set(1);
    put(IN, [1u64, 2, 3].as_slice());
    put(REQUEST, &reservation(IN, 3, 0));
    let Err(Fail::Continue(again)) = raw(&m.dom1, XenMem::POPULATE_PHYSMAP, 0) else {
        panic!("done at once");
    };
    assert_eq!(again.0[0], u64::from(XenMem::POPULATE_PHYSMAP.0) | 1 << 6);
    assert_eq!(again.0[1], BUFFER + REQUEST);
    // A claim to have done more than there is changes nothing.
    assert_eq!(raw(&m.dom1, XenMem::POPULATE_PHYSMAP, 4), Ok(4));
    assert_eq!(m.dom1.domain.mem.tot_pages(), 1);
}

#[test]
fn limits_stop_and_say_how_far() {
    let m = Machine::new();
    let cx = &m.dom1;
    cx.domain.mem.set_max_pages(2);
    put(IN, [1u64, 2, 3].as_slice());
    put(REQUEST, &reservation(IN, 3, 0));
    assert_eq!(call(cx, XenMem::POPULATE_PHYSMAP), Ok(2));
    balanced();
}

#[test]
fn xsa_158_orders_are_bounded() {
    let m = Machine::new();
    for op in [
        XenMem::POPULATE_PHYSMAP,
        XenMem::INCREASE_RESERVATION,
        XenMem::DECREASE_RESERVATION,
    ] {
        for order in [10, 19, 63, 64, u32::MAX] {
            put(REQUEST, &reservation(IN, 1, order));
            assert_eq!(call(&m.dom1, op), Ok(0));
        }
        put(REQUEST, &reservation(IN, u64::MAX, 0));
        assert_eq!(call(&m.dom1, op), Ok(0), "too many to continue");
    }
    let mut exchange = MemoryExchange {
        r#in: reservation(IN, 1, 0),
        out: reservation(OUT, 1, 0),
        nr_exchanged: 0,
    };
    exchange.r#in.extent_order = 64;
    put(REQUEST, &exchange);
    assert_eq!(call(&m.dom1, XenMem::EXCHANGE), Err(Errno::EPERM));
}

#[test]
fn xsa_231_nodes_are_checked() {
    let m = Machine::new();
    for node in [1u32, 64, 200, 254] {
        for exact in [0, 1 << 17] {
            put(IN, &7u64);
            let mut request = reservation(IN, 1, 0);
            request.mem_flags = (node + 1) << 8 | exact;
            put(REQUEST, &request);
            // There is one node: another is a preference at best, and only dom0 may insist.
            let done = call(&m.dom0, XenMem::POPULATE_PHYSMAP);
            assert_eq!(done, Ok(u64::from(node < 64 && exact == 0)), "node {node}");
            put(REQUEST, &request);
            let done = call(&m.dom1, XenMem::POPULATE_PHYSMAP);
            assert_eq!(done, Ok(u64::from(exact == 0)));
        }
    }
}

#[test]
fn xsa_252_nothing_is_unpinned_by_giving_it_up() {
    let m = Machine::new();
    let cx = &m.dom1;
    let (tables, data) = address_space(cx, 1);
    ext(cx, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
    put(IN, [tables[0].get(), data[0].get()].as_slice());
    put(REQUEST, &reservation(IN, 2, 0));
    assert_eq!(call(cx, XenMem::DECREASE_RESERVATION), Ok(2));
    // Both stay while they are in use.
    assert_eq!(kind(tables[0]), (mm::PageType::L4, 1));
    assert_eq!(cx.domain.mem.tot_pages(), 5);
    balanced();
    let again = call(cx, XenMem::DECREASE_RESERVATION);
    assert_eq!(
        again,
        Ok(2),
        "given up already: no reference is dropped twice"
    );
    balanced();
    update(cx, tables[3], 0, Pte::default()).expect("unmapped");
    assert_eq!(cx.domain.mem.tot_pages(), 4);
    ext(cx, MmuextOp::UNPIN_TABLE, tables[0]).expect("pinned");
    assert_eq!(cx.domain.mem.tot_pages(), 3);
    balanced();
}

fn exchange(extents: (u64, u32), out: (u64, u32)) -> MemoryExchange {
    MemoryExchange {
        r#in: reservation(IN, extents.0, extents.1),
        out: reservation(OUT, out.0, out.1),
        nr_exchanged: 0,
    }
}

#[test]
fn pages_are_exchanged_for_contiguous_ones_and_back() {
    let m = Machine::new();
    let cx = &m.dom0;
    let held = pages(&cx.domain, 8);
    let limit = cx.domain.mem.tot_pages();
    cx.domain.mem.set_max_pages(limit);
    for budget in [1, 1024] {
        BUDGET.set(budget);
        let now: Vec<u64> = if budget == 1 {
            held.iter().map(|m| m.get()).collect()
        } else {
            list(OUT, 8)
        };
        put(IN, now.as_slice());
        put(OUT, [0x40u64, 0x44].as_slice());
        let mut request = exchange((8, 0), (2, 2));
        request.out.mem_flags = 12 + 9; // below 2 MiB
        put(REQUEST, &request);
        assert_eq!(call(cx, XenMem::EXCHANGE), Ok(0));
        assert_eq!(get::<MemoryExchange>(REQUEST).nr_exchanged, 8);
        let blocks = list(OUT, 2);
        assert!(blocks.iter().all(|b| b % 4 == 0 && b + 4 <= 0x200));
        assert_eq!(host().mm.m2p.get(Mfn::new(blocks[1] + 3)).get(), 0x47);
        assert_eq!(cx.domain.mem.tot_pages(), limit);
        balanced();
        put(IN, blocks.as_slice());
        put(OUT, (0x80..0x88u64).collect::<Vec<_>>().as_slice());
        put(REQUEST, &exchange((2, 2), (8, 0)));
        assert_eq!(call(cx, XenMem::EXCHANGE), Ok(0));
        assert_eq!(cx.domain.mem.tot_pages(), limit);
        balanced();
    }
}

#[test]
fn xsa_287_pages_in_use_are_not_stolen() {
    let m = Machine::new();
    let cx = &m.dom0;
    let held = pages(&cx.domain, 3);
    let (tables, data) = address_space(cx, 1);
    ext(cx, MmuextOp::PIN_L4_TABLE, tables[0]).expect("valid");
    let total = cx.domain.mem.tot_pages();
    let shared = cx.domain.shared_info.mfn();
    for bad in [
        data[0],
        tables[3],
        shared,
        Mfn::new(0x3ff),
        Mfn::new(1 << 40),
    ] {
        put(
            IN,
            [held[0].get(), held[1].get(), bad.get(), held[2].get()].as_slice(),
        );
        put(OUT, &0x40u64);
        put(REQUEST, &exchange((4, 0), (1, 2)));
        assert_eq!(call(cx, XenMem::EXCHANGE), Err(Errno::EINVAL));
        // What was taken before is back, contents and all.
        assert_eq!(get::<MemoryExchange>(REQUEST).nr_exchanged, 0);
        assert_eq!(cx.domain.mem.tot_pages(), total);
        balanced();
    }
    poke(&cx.domain, held[0], 3, Pte(0x55));
    put(IN, [held[0].get(), bad_page(&m).get()].as_slice());
    put(REQUEST, &exchange((2, 0), (1, 1)));
    assert_eq!(call(cx, XenMem::EXCHANGE), Err(Errno::EINVAL));
    assert_eq!(peek(&cx.domain, held[0], 3).0, 0x55);
}

fn bad_page(m: &Machine) -> Mfn {
    pages(&m.dom1.domain, 1)[0]
}

#[test]
fn xsa_212_a_progress_claim_does_not_move_the_lists_out_of_the_guest() {
    let m = Machine::new();
    let cx = &m.dom1;
    // The array base is fine, the element that the claimed progress reaches is not the guest's.
    let base = 0xffff_7fff_ffff_f000u64;
    let mut request = exchange((1 << 40, 0), (1 << 40, 0));
    request.r#in.extent_start = GuestHandle::new(base);
    request.out.extent_start = GuestHandle::new(base);
    request.nr_exchanged = (0xffff_8300_0000_0000 - base) / 8;
    put(REQUEST, &request);
    assert_eq!(call(cx, XenMem::EXCHANGE), Err(Errno::EFAULT));
    let mut request = exchange((1, 0), (1, 0));
    request.nr_exchanged = 2;
    put(REQUEST, &request);
    assert_eq!(call(cx, XenMem::EXCHANGE), Err(Errno::EINVAL));
}

#[test]
fn stolen_pages_keep_their_place_in_the_account() {
    let m = Machine::new();
    let cx = &m.dom1;
    let held = pages(&cx.domain, 2);
    cx.domain.mem.set_max_pages(2);
    let mm = &host().mm;
    mm.steal_page(&cx.domain, held[0]).expect("unused");
    assert!(
        mm.alloc_domain_pages(&cx.domain, 0, Default::default())
            .is_err()
    );
    mm.assign_stolen(&cx.domain, held[0]).expect("its place");
    // XSA-214: a page that changes hands has no type and no stale translation.
    let flushes = mm::tlb::flushes();
    mm.steal_page(&cx.domain, held[1]).expect("unused");
    assert!(mm::tlb::flushes() > flushes);
    mm.transfer_stolen(&cx.domain, &m.dom0.domain, held[1])
        .expect("room");
    assert_eq!(cx.domain.mem.tot_pages(), 1);
    assert!(mm::get_page(held[1], m.dom0.domain.id).is_ok());
    mm.alloc_domain_pages(&cx.domain, 0, Default::default())
        .expect("its place is free");
    balanced();
}

#[test]
fn pv_guests_have_no_physical_map_to_change() {
    let m = Machine::new();
    let mut request = AddToPhysmap {
        domid: DomId(SELF),
        ..Default::default()
    };
    put(REQUEST, &request);
    for op in [XenMem::ADD_TO_PHYSMAP, XenMem::REMOVE_FROM_PHYSMAP] {
        assert_eq!(call(&m.dom0, op), Err(Errno::EACCES));
    }
    request.domid = DomId(77);
    put(REQUEST, &request);
    assert_eq!(call(&m.dom0, XenMem::ADD_TO_PHYSMAP), Err(Errno::ESRCH));
    let far = raw(&m.dom0, XenMem::ADD_TO_PHYSMAP, 1 << 16);
    assert_eq!(far, Err(Fail::Errno(Errno::EDOM)));
}

#[test]
fn others_memory_is_for_the_privileged() {
    let m = Machine::new();
    put(REQUEST, &DomId(0));
    for op in [XenMem::CURRENT_RESERVATION, XenMem::MAXIMUM_RESERVATION] {
        assert_eq!(call(&m.dom1, op), Err(Errno::EPERM));
    }
    put(REQUEST, &DomId(1));
    assert_eq!(call(&m.dom0, XenMem::MAXIMUM_RESERVATION), Ok(512));
    put(IN, &1u64);
    let mut request = reservation(IN, 1, 0);
    request.domid = DomId(0);
    put(REQUEST, &request);
    assert_eq!(call(&m.dom1, XenMem::POPULATE_PHYSMAP), Ok(0));
    request.domid = DomId(1);
    put(REQUEST, &request);
    assert_eq!(call(&m.dom0, XenMem::POPULATE_PHYSMAP), Ok(1));
    assert_eq!(m.dom1.domain.mem.tot_pages(), 1);
    assert_eq!(call(&m.dom1, XenMem::MACHINE_MEMORY_MAP), Err(Errno::EPERM));
    assert_eq!(
        call(&m.dom1, XenMem::MEMORY_MAP),
        Err(Errno::ENOSYS),
        "none set"
    );
}

#[test]
fn xsa_334_resources_are_checked_before_they_are_given() {
    let m = Machine::new();
    let mut request = MemAcquireResource {
        domid: DomId(1),
        r#type: 1,
        nr_frames: 1,
        ..Default::default()
    };
    request.frame = u64::from(u32::MAX);
    put(REQUEST, &request);
    let overflow = call(&m.dom0, XenMem::ACQUIRE_RESOURCE);
    assert_eq!(overflow, Err(Errno::EINVAL));
    request.frame = 0;
    request.domid = DomId(SELF);
    put(REQUEST, &request);
    assert_eq!(call(&m.dom0, XenMem::ACQUIRE_RESOURCE), Err(Errno::EPERM));
    request.domid = DomId(0);
    put(REQUEST, &request);
    assert_eq!(call(&m.dom1, XenMem::ACQUIRE_RESOURCE), Err(Errno::EPERM));
    request.domid = DomId(1);
    request.r#type = 9;
    put(REQUEST, &request);
    let unknown = call(&m.dom0, XenMem::ACQUIRE_RESOURCE);
    assert_eq!(unknown, Err(Errno::EOPNOTSUPP));
    balanced();
}

#[test]
fn unknown_operations_are_not_there() {
    let m = Machine::new();
    for op in 26..64 {
        let known = [26, 27, 28].contains(&op);
        if !known {
            assert_eq!(call(&m.dom0, XenMem(op)), Err(Errno::ENOSYS), "{op}");
        }
    }
}

#[test]
fn a_virtual_node_is_the_physical_one_that_the_tools_gave() {
    use hypercall_abi::domctl::{Domctl, DomctlCmd, DomctlVnuma, InterfaceVersion};
    const VNODE: u32 = 1 << 18;
    const EXACT: u32 = 1 << 17;
    let m = Machine::with_nodes([(0x100..0x280, 0), (0x280..super::machine::FRAMES, 1)]);
    let cx = &m.dom1;
    let node_of = |mfn| {
        let page = host().mm.frames.known(Mfn::new(mfn));
        page.node.load(core::sync::atomic::Ordering::Relaxed)
    };
    let populate = |flags| {
        put(IN, [1u64].as_slice());
        put(
            REQUEST,
            &MemoryReservation {
                mem_flags: flags,
                ..reservation(IN, 1, 0)
            },
        );
        call(cx, XenMem::POPULATE_PHYSMAP).map(|n| (n == 1).then(|| node_of(get::<u64>(IN))))
    };
    let node = |n: u32| (n + 1) << 8;
    // No topology: from anywhere.
    assert!(matches!(populate(VNODE | node(7)), Ok(Some(_))));
    // Virtual node 0 lies on 1, and 1 on 0.
    put(OUT, [10u32, 20, 20, 10].as_slice());
    put(OUT + 0x100, [0u32].as_slice());
    put(OUT + 0x200, [1u32, 0].as_slice());
    put(OUT + 0x300, [0u64, 0x1000, 0].as_slice());
    let topology = DomctlVnuma {
        nr_vnodes: 2,
        nr_vmemranges: 1,
        nr_vcpus: 1,
        vdistance: GuestHandle::new(BUFFER + OUT),
        vcpu_to_vnode: GuestHandle::new(BUFFER + OUT + 0x100),
        vnode_to_pnode: GuestHandle::new(BUFFER + OUT + 0x200),
        vmemrange: GuestHandle::new(BUFFER + OUT + 0x300),
        ..Default::default()
    };
    let mut op = Domctl {
        cmd: DomctlCmd::SETVNUMAINFO,
        interface_version: InterfaceVersion::CANONICAL,
        domain: DomId(1),
        ..Default::default()
    };
    op.u.set_vnuma(topology);
    let args = Args([put(REQUEST, &op), 0, 0, 0, 0, 0]);
    crate::control::do_domctl(&m.dom0, args).expect("a topology");
    for flags in [VNODE, VNODE | EXACT] {
        assert_eq!(populate(flags | node(0)), Ok(Some(1)));
        assert_eq!(populate(flags | node(1)), Ok(Some(0)));
        assert_eq!(populate(flags | node(2)), Ok(None), "no such node");
        assert_eq!(populate(flags), Ok(None), "none named");
    }
    cx.domain.mem.set_max_pages(u64::MAX);
    while populate(VNODE | EXACT | node(0)) == Ok(Some(1)) {}
    assert_eq!(host().mm.buddy.free_on_node(1), 0);
    assert_eq!(populate(VNODE | node(0)), Ok(Some(0)), "not exactly");
}
