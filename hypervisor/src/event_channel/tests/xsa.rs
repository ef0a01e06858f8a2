//! Classes of bugs that Xen had, by advisory.

use super::consumer::*;
use super::*;

#[test]
fn xsa_107_fifo_operations_before_a_control_block() {
    let d = machine(1, 2);
    let port = bind_ipi(&d[0], 1).unwrap();
    assert_eq!(set_priority(&d[0], port, 0), Err(Errno::ENOSYS));
    assert_eq!(expand(&d[0], 40), Err(Errno::EOPNOTSUPP));
    // The domain is FIFO now, vCPU 1 has nothing.
    init_control(&d[0], 0, 20, 0).unwrap();
    assert_eq!(set_priority(&d[0], port, 0), Ok(()));
    assert_eq!(send_port(&d[0], port), Ok(()));
    expand(&d[0], 40).unwrap();
    assert_eq!(send_port(&d[0], port), Ok(()));
    assert_eq!(unmask_port(&d[0], port), Ok(()));
    check_invariants(&d);
}

#[test]
fn xsa_188_a_failed_init_control_leaves_nothing_behind() {
    let d = machine(1, 1);
    assert_eq!(init_control(&d[0], 0, 99_999, 0), Err(Errno::EINVAL));
    assert!(!d[0].events.uses_fifo());
    assert!(d[0].vcpus()[0].events.fifo.is_clear());
    assert_eq!(expand(&d[0], 40), Err(Errno::EOPNOTSUPP));
    let port = bind_ipi(&d[0], 0).unwrap();
    send_port(&d[0], port).unwrap();
    assert!(poll(&d[0], port).unwrap());
    assert_eq!(
        init_control(&d[0], 0, 20, 0),
        Ok(17),
        "it can be tried again"
    );
}

#[test]
fn xsa_221_polling_ports_that_are_not_there() {
    let d = machine(1, 1);
    for port in [0, 1, 63, 64, 4095, 4096, 131_071, 131_072, u32::MAX] {
        assert_eq!(poll(&d[0], port), Err(Errno::EINVAL), "{port}");
    }
}

#[test]
fn xsa_317_no_more_ports_than_the_abi_has() {
    let d = machine(1, 1);
    for _ in 1..4096 {
        bind_ipi(&d[0], 0).unwrap();
    }
    let after = d[0].shared_info.read_u64(2560 + 512);
    assert_eq!(bind_ipi(&d[0], 0), Err(Errno::ENOSPC));
    assert_eq!(send_port(&d[0], 4096), Err(Errno::EINVAL));
    assert_eq!(unmask_port(&d[0], 4096), Err(Errno::EINVAL));
    send_port(&d[0], 4095).unwrap();
    assert_eq!(d[0].shared_info.read_u64(2560 + 512), after);
}

#[test]
fn xsa_338_validity_of_ports_survives_reset() {
    let d = machine(2, 1);
    init_control(&d[0], 0, 20, 0).unwrap();
    let own = (1..4200)
        .map(|_| bind_ipi(&d[0], 0).unwrap())
        .fold(0, |_, port| port);
    // A port above the 2-level range that a reset does not close.
    let kept = alloc_for_hypervisor(&d[0], 0, DomainId(1)).unwrap();
    assert!(kept > 4096);
    reset_self(&d[0]).unwrap();
    assert_eq!(poll(&d[0], own), Err(Errno::EINVAL));
    let far = bind(&d[1], 0, kept).unwrap();
    send_port(&d[1], far).unwrap();
    notify_from_hypervisor(&d[0], kept);
    free_for_hypervisor(&d[0], kept);
    assert_eq!(
        status(&d[1], DomId::SELF, far).unwrap().status,
        EvtchnStat::UNBOUND
    );
    check_invariants(&d);
}

/// The bucket is published by a `Once`, after it and its place in the free map are complete: a reader on another
/// CPU either sees no port or a whole one.
#[test]
fn xsa_340_a_port_is_seen_whole_or_not_at_all() {
    let d = machine(1, 1).remove(0);
    let ram = arch::hosted::ram();
    std::thread::scope(|s| {
        let reader = &d;
        s.spawn(move || {
            arch::hosted::adopt(ram);
            for port in 0..1024 {
                while reader.events.channel(port).is_err() {
                    std::thread::yield_now();
                }
                let _ = poll(reader, port);
            }
        });
        for _ in 1..1024 {
            bind_ipi(&d, 0).unwrap();
        }
    });
}

#[test]
fn xsa_343_reset_while_another_is_in_progress() {
    let d = machine(1, 1);
    for _ in 0..40 {
        bind_ipi(&d[0], 0).unwrap();
    }
    let budget = || Budget::with_units(8);
    assert_eq!(reset(&d[0], true, true, &budget()), Err(Errno::EBUSY));
    assert_eq!(reset(&d[0], true, false, &budget()), Err(Errno::ERESTART));
    assert_eq!(reset(&d[0], true, false, &budget()), Err(Errno::EBUSY));
    // A port that is bound behind the sweep is noticed at its end.
    let again = bind_ipi(&d[0], 0).unwrap();
    assert!(again <= 8);
    let result = loop {
        match reset(&d[0], true, true, &budget()) {
            Err(Errno::ERESTART) => check_invariants(&d),
            other => break other,
        }
    };
    assert_eq!(result, Err(Errno::EAGAIN));
    assert_eq!(reset_self(&d[0]), Ok(()));
    check_invariants(&d);
}

#[test]
fn xsa_344_reset_and_teardown_are_preemptible() {
    let d = machine(2, 1);
    for _ in 1..4096 {
        bind_ipi(&d[1], 0).unwrap();
    }
    let first = raw_call(
        &d[1],
        EvtchnOp::RESET,
        &mut EvtchnReset { dom: DomId::SELF },
    );
    assert!(matches!(first, Err(Fail::Continue(args)) if args.0[0] == 14 && args.0[1] == ARG));
    // dom0 cannot cut in on a running domain, nor start a second one on a paused one.
    let mut op = EvtchnReset { dom: DomId(1) };
    assert_eq!(call(&d[0], EvtchnOp::RESET, &mut op), Err(Errno::EINVAL));
    d[1].pause_count.fetch_add(1, Ordering::SeqCst);
    assert_eq!(call(&d[0], EvtchnOp::RESET, &mut op), Err(Errno::EBUSY));
    while let Err(Fail::Continue(_)) =
        raw_call(&d[1], EvtchnOp(14), &mut EvtchnReset { dom: DomId::SELF })
    {}
    assert_eq!(d[1].events.table.lock().active, 0);
    d[1].dying.store(true, Ordering::SeqCst);
    let budget = Budget::with_units(64);
    assert!(!destroy(&d[1], &budget));
    while !destroy(&d[1], &Budget::with_units(64)) {}
}

/// The control block's offset is published before the block, and the array page before the events that wait for it
/// are looked at; a sender at the same time finds either or both, and no event is lost.
#[test]
fn xsa_358_359_set_up_against_concurrent_senders() {
    for _ in 0..200 {
        let d = machine(1, 1).remove(0);
        let port = bind_ipi(&d, 0).unwrap();
        let ram = arch::hosted::ram();
        std::thread::scope(|s| {
            let sender = &d;
            s.spawn(move || {
                arch::hosted::adopt(ram);
                send(sender, port).unwrap();
            });
            init_control(&d, 0, 20, 64).unwrap();
            expand(&d, 40).unwrap();
        });
        let word = arch::hosted::frame(Mfn::new(40)).read_u32(port as usize * 4);
        assert_eq!(word, P | L, "queued");
        assert_eq!(
            arch::hosted::frame(Mfn::new(20)).read_u32(64),
            1 << 7,
            "and announced"
        );
    }
}

#[test]
fn xsa_496_bind_virq_gives_the_port_back_when_it_fails() {
    let d = machine(1, 1);
    bind_virq(&d[0], Virq::TIMER.0, 0).unwrap();
    for _ in 0..100 {
        assert_eq!(bind_virq(&d[0], Virq::TIMER.0, 0), Err(Errno::EEXIST));
        let mut op = EvtchnBindPirq {
            pirq: 77_777,
            ..Default::default()
        };
        assert!(call(&d[0], EvtchnOp::BIND_PIRQ, &mut op).is_err());
        assert!(bind(&d[0], 0, 9_999).is_err());
        check_invariants(&d);
    }
    assert_eq!(bind_ipi(&d[0], 0), Ok(2));
}

#[test]
fn xsa_505_expanding_the_array_after_a_reset() {
    let d = machine(1, 1);
    fifo_guest(&d[0]);
    let port = bind_ipi(&d[0], 0).unwrap();
    reset_self(&d[0]).unwrap();
    assert_eq!(expand(&d[0], 41), Err(Errno::EOPNOTSUPP));
    // The first page given after the reset is page 0 again.
    init_control(&d[0], 0, 20, 0).unwrap();
    expand(&d[0], 42).unwrap();
    assert_eq!(bind_ipi(&d[0], 0), Ok(port));
    send_port(&d[0], port).unwrap();
    assert_eq!(
        arch::hosted::frame(Mfn::new(42)).read_u32(port as usize * 4),
        P | L
    );
    assert_eq!(
        arch::hosted::frame(Mfn::new(40)).read_u32(port as usize * 4),
        0
    );
    check_invariants(&d);
}
