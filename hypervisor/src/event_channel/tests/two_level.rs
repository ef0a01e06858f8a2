//! Delivery under the 2-level ABI and the refusals common to both.

use super::super::two_level::{MASK, PENDING};
use super::*;

fn pending_bit(d: &Domain, port: u32) -> bool {
    d.shared_info.read_u64(PENDING + (port / 64) as usize * 8) >> (port % 64) & 1 != 0
}

fn set_mask(d: &Domain, port: u32) {
    d.shared_info
        .fetch_or_u64(MASK + (port / 64) as usize * 8, 1 << (port % 64));
}

fn selector(d: &Domain, vcpu: usize) -> u64 {
    let slot = d.vcpus()[vcpu].info.get().expect("slot");
    slot.frame.read_u64(slot.offset + VCPU_INFO_PENDING_SEL)
}

#[test]
fn an_interdomain_event_reaches_the_bound_vcpu() {
    let d = machine(2, 2);
    let (p0, p1) = pair(&d[0], &d[1]);
    assert!(pending_bit(&d[1], p1), "the binder always looks once");
    assert!(take_upcall(&d[1], 0));
    bind_vcpu(&d[0], p0, 1).unwrap();
    send_port(&d[1], p1).unwrap();
    assert!(pending_bit(&d[0], p0));
    assert_eq!(
        (selector(&d[0], 0), selector(&d[0], 1)),
        (0, 1 << (p0 / 64))
    );
    assert!(d[0].vcpus()[1].upcall_pending() && !d[0].vcpus()[0].upcall_pending());
    check_invariants(&d);
}

#[test]
fn a_masked_event_waits_for_unmask() {
    let d = machine(1, 1);
    let port = bind_ipi(&d[0], 0).unwrap();
    set_mask(&d[0], port);
    send_port(&d[0], port).unwrap();
    assert!(pending_bit(&d[0], port) && !d[0].vcpus()[0].upcall_pending());
    unmask_port(&d[0], port).unwrap();
    assert!(d[0].vcpus()[0].upcall_pending());
    assert_eq!(selector(&d[0], 0), 1);
}

#[test]
fn a_closed_port_leaves_its_peer_unbound_and_no_pending_bit() {
    let d = machine(2, 1);
    let (p0, p1) = pair(&d[0], &d[1]);
    assert_eq!(close_port(&d[1], p1), Ok(()));
    assert!(!pending_bit(&d[1], p1));
    let s = status(&d[0], DomId::SELF, p0).unwrap();
    assert_eq!(
        (s.status, s.u.unbound().dom),
        (EvtchnStat::UNBOUND, DomId(1))
    );
    assert_eq!(bind(&d[1], 0, p0), Ok(p1), "it can be bound again");
    check_invariants(&d);
}

#[test]
fn loopback_channels_connect_a_domain_with_itself() {
    let d = machine(1, 1);
    let a = alloc_unbound(&d[0], DomId::SELF, DomId::SELF).unwrap();
    let b = bind(&d[0], DomId::SELF.0, a).unwrap();
    take_upcall(&d[0], 0);
    send_port(&d[0], b).unwrap();
    assert!(pending_bit(&d[0], a));
    close_port(&d[0], a).unwrap();
    assert_eq!(
        status(&d[0], DomId::SELF, b).unwrap().status,
        EvtchnStat::UNBOUND
    );
    check_invariants(&d);
}

#[test]
fn status_tells_what_each_kind_is_bound_to() {
    let d = machine(2, 2);
    let virq = bind_virq(&d[0], Virq::TIMER.0, 1).unwrap();
    let ipi = bind_ipi(&d[0], 1).unwrap();
    let (inter, far) = pair(&d[0], &d[1]);
    let get = |port| status(&d[0], DomId(0), port).unwrap();
    assert_eq!(
        (get(virq).status, get(virq).u.virq(), get(virq).vcpu),
        (EvtchnStat::VIRQ, 0, 1)
    );
    assert_eq!((get(ipi).status, get(ipi).vcpu), (EvtchnStat::IPI, 1));
    assert_eq!(get(inter).status, EvtchnStat::INTERDOMAIN);
    assert_eq!(
        (
            get(inter).u.interdomain().dom,
            get(inter).u.interdomain().port
        ),
        (DomId(1), far)
    );
    assert_eq!(get(0).status, EvtchnStat::CLOSED);
    assert_eq!(get(40).status, EvtchnStat::CLOSED);
}

#[test]
fn refusals_have_the_errors_of_xen() {
    let d = machine(3, 2);
    let far = 1_000_000;
    // Who may allocate for whom.
    assert_eq!(alloc_unbound(&d[1], DomId(2), DomId(0)), Err(Errno::EPERM));
    assert_eq!(alloc_unbound(&d[1], DomId(9), DomId(0)), Err(Errno::ESRCH));
    assert!(alloc_unbound(&d[0], DomId(2), DomId(1)).is_ok());
    // Who may bind to what.
    let p = unbound(&d[0], 1);
    assert_eq!(bind(&d[2], 0, p), Err(Errno::EINVAL));
    assert_eq!(bind(&d[1], 0, far), Err(Errno::EINVAL));
    assert_eq!(bind(&d[1], 7, p), Err(Errno::ESRCH));
    assert_eq!(bind(&d[1], 0, 0), Err(Errno::EINVAL));
    assert_eq!(bind_virq(&d[1], NR_VIRQS, 0), Err(Errno::EINVAL));
    assert_eq!(bind_virq(&d[1], Virq::CONSOLE.0, 1), Err(Errno::EINVAL));
    assert_eq!(bind_virq(&d[1], Virq::TIMER.0, 2), Err(Errno::ENOENT));
    assert!(bind_virq(&d[1], Virq::TIMER.0, 1).is_ok());
    assert_eq!(bind_virq(&d[1], Virq::TIMER.0, 1), Err(Errno::EEXIST));
    assert_eq!(bind_ipi(&d[1], 2), Err(Errno::ENOENT));
    // Operations on ports that are not what they need to be.
    for port in [0, 50, far] {
        assert_eq!(close_port(&d[1], port), Err(Errno::EINVAL));
        assert_eq!(send_port(&d[1], port), Err(Errno::EINVAL));
        assert_eq!(bind_vcpu(&d[1], port, 0), Err(Errno::EINVAL));
    }
    assert_eq!(unmask_port(&d[1], far), Err(Errno::EINVAL));
    assert_eq!(unmask_port(&d[1], 50), Ok(()));
    let virq = bind_virq(&d[2], Virq::TIMER.0, 0).unwrap();
    assert_eq!(send_port(&d[2], virq), Err(Errno::EINVAL));
    assert_eq!(bind_vcpu(&d[2], virq, 1), Err(Errno::EINVAL));
    assert_eq!(bind_vcpu(&d[2], virq, 2), Err(Errno::ENOENT));
    let ipi = bind_ipi(&d[2], 0).unwrap();
    assert_eq!(bind_vcpu(&d[2], ipi, 1), Err(Errno::EINVAL));
    assert_eq!(status(&d[1], DomId(2), virq), Err(Errno::EPERM));
    assert_eq!(status(&d[1], DomId(9), 1), Err(Errno::ESRCH));
    assert_eq!(status(&d[1], DomId::SELF, far), Err(Errno::EINVAL));
    assert!(status(&d[0], DomId(2), virq).is_ok());
    let mut op = EvtchnSetPriority {
        port: virq,
        priority: 0,
    };
    assert_eq!(
        call(&d[2], EvtchnOp::SET_PRIORITY, &mut op),
        Err(Errno::ENOSYS)
    );
    let mut op = EvtchnExpandArray { array_gfn: 9 };
    assert_eq!(
        call(&d[2], EvtchnOp::EXPAND_ARRAY, &mut op),
        Err(Errno::EOPNOTSUPP)
    );
    let mut op = EvtchnReset { dom: DomId(2) };
    assert_eq!(call(&d[1], EvtchnOp::RESET, &mut op), Err(Errno::EPERM));
    assert_eq!(call(&d[0], EvtchnOp::RESET, &mut op), Err(Errno::EINVAL));
    assert_eq!(call(&d[2], EvtchnOp(15), &mut op), Err(Errno::ENOSYS));
    let bad = Args([EvtchnOp::SEND.0.into(), 0xdead_0000, 0, 0, 0, 0]);
    assert_eq!(
        do_event_channel_op(&context(&d[0], 0), bad),
        Err(Fail::Errno(Errno::EFAULT))
    );
    check_invariants(&d);
}

#[test]
fn ports_run_out_at_the_limit_of_the_domain_and_of_the_abi() {
    let d = machine(2, 1);
    d[1].events.set_max_port(70);
    for port in 1..=70 {
        assert_eq!(bind_ipi(&d[1], 0), Ok(port));
    }
    assert_eq!(bind_ipi(&d[1], 0), Err(Errno::ENOSPC));
    close_port(&d[1], 33).unwrap();
    assert_eq!(bind_ipi(&d[1], 0), Ok(33), "the lowest free port");
    for _ in 1..4096 {
        bind_ipi(&d[0], 0).unwrap();
    }
    assert_eq!(bind_ipi(&d[0], 0), Err(Errno::ENOSPC));
    check_invariants(&d);
}

#[test]
fn virqs_go_where_they_are_bound() {
    let d = machine(2, 2);
    let timer = bind_virq(&d[1], Virq::TIMER.0, 1).unwrap();
    send_virq(&d[1].vcpus()[0], Virq::TIMER);
    assert!(!pending_bit(&d[1], timer));
    send_virq(&d[1].vcpus()[1], Virq::TIMER);
    assert!(pending_bit(&d[1], timer) && d[1].vcpus()[1].upcall_pending());
    // A global one may be notified on another vCPU than the 0 it is bound to.
    let con = bind_virq(&d[0], Virq::CON_RING.0, 0).unwrap();
    bind_vcpu(&d[0], con, 1).unwrap();
    send_global_virq(Virq::CON_RING);
    assert!(pending_bit(&d[0], con) && d[0].vcpus()[1].upcall_pending());
    assert!(virq_bound(&d[0].vcpus()[1], Virq::CON_RING));
    assert!(!virq_bound(&d[1].vcpus()[0], Virq::TIMER));
    // Another domain takes over.
    let exc = bind_virq(&d[1], Virq::DOM_EXC.0, 0).unwrap();
    assert_eq!(
        set_global_virq_handler(&d[1], Virq::TIMER.0),
        Err(Errno::EINVAL)
    );
    assert_eq!(set_global_virq_handler(&d[1], 24), Err(Errno::EINVAL));
    set_global_virq_handler(&d[1], Virq::DOM_EXC.0).unwrap();
    send_global_virq(Virq::DOM_EXC);
    assert!(pending_bit(&d[1], exc));
    close_port(&d[1], exc).unwrap();
    assert!(!virq_bound(&d[1].vcpus()[0], Virq::DOM_EXC));
    check_invariants(&d);
}

#[test]
fn polling_sees_pending_ports_and_is_ended_by_events() {
    let d = machine(1, 2);
    let a = bind_ipi(&d[0], 0).unwrap();
    let b = bind_ipi(&d[0], 0).unwrap();
    let v = &d[0].vcpus()[1];
    start_polling(v);
    assert_eq!(poll(&d[0], a), Ok(false));
    narrow_polling(v, a);
    send_port(&d[0], b).unwrap();
    assert_eq!(poll(&d[0], b), Ok(true));
    assert!(
        d[0].events.pollers.load(Ordering::SeqCst) == 1,
        "not the awaited port"
    );
    send_port(&d[0], a).unwrap();
    assert!(!stop_polling(v), "the event ended the poll");
    start_polling(v);
    assert!(stop_polling(v));
    assert_eq!(d[0].events.pollers.load(Ordering::SeqCst), 0);
}

#[test]
fn the_hypervisors_own_ports_are_out_of_the_guests_reach() {
    let d = machine(2, 1);
    let own = alloc_for_hypervisor(&d[1], 0, DomainId(0)).unwrap();
    let far = bind(&d[0], 1, own).unwrap();
    take_upcall(&d[0], 0);
    clear_pending(&d[0], far);
    assert_eq!(close_port(&d[1], own), Err(Errno::EINVAL));
    assert_eq!(send_port(&d[1], own), Err(Errno::EINVAL));
    assert_eq!(bind_vcpu(&d[1], own, 0), Err(Errno::EINVAL));
    assert_eq!(status(&d[1], DomId::SELF, own), Err(Errno::EACCES));
    assert_eq!(poll(&d[1], own), Err(Errno::EINVAL));
    send_port(&d[0], far).unwrap();
    assert!(!pending_bit(&d[1], own));
    notify_from_hypervisor(&d[1], own);
    assert!(take_upcall(&d[0], 0) && pending_bit(&d[0], far));
    // A guest's reset leaves it alone.
    reset_self(&d[1]).unwrap();
    assert_eq!(
        status(&d[0], DomId::SELF, far).unwrap().status,
        EvtchnStat::INTERDOMAIN
    );
    check_invariants(&d);
    free_for_hypervisor(&d[1], own);
    assert_eq!(
        status(&d[0], DomId::SELF, far).unwrap().status,
        EvtchnStat::UNBOUND
    );
    check_invariants(&d);
}

#[test]
fn a_moved_vcpu_info_has_everything_pending() {
    let d = machine(1, 1);
    vcpu_info_moved(&d[0].vcpus()[0]);
    assert_eq!(selector(&d[0], 0), u64::MAX);
    assert!(d[0].vcpus()[0].upcall_pending());
}

#[test]
fn teardown_goes_in_steps_and_unbinds_all_peers() {
    let d = machine(2, 1);
    let (p0, _) = pair(&d[0], &d[1]);
    for _ in 0..100 {
        bind_ipi(&d[1], 0).unwrap();
    }
    d[1].dying.store(true, Ordering::SeqCst);
    assert_eq!(bind_ipi(&d[1], 0), Err(Errno::EINVAL));
    let mut steps = 1;
    while !destroy(&d[1], &Budget::with_units(16)) {
        steps += 1;
    }
    assert!(steps >= 6, "{steps}");
    assert_eq!(
        status(&d[0], DomId::SELF, p0).unwrap().status,
        EvtchnStat::UNBOUND
    );
    assert_eq!(Arc::strong_count(&d[1]), 2, "the list's and the test's");
    check_invariants(&d);
}
