//! Arrival, end, moving to other CPUs, and the model of the life of an interrupt.

use super::*;

#[test]
fn an_edge_interrupt_needs_no_end() {
    let [d, _] = machine();
    let pirq = map_gsi(&d, 4);
    assert_eq!(pirq, 4);
    assert!(
        sim::take_events().is_empty(),
        "mapping alone touches nothing"
    );
    let port = bind(&d, pirq).unwrap();
    assert_eq!(
        sim::take_events(),
        [
            Event::Mask {
                gsi: 4,
                masked: true
            },
            Event::Mask {
                gsi: 4,
                masked: false
            }
        ]
    );
    interrupt(place(4).vector);
    assert_eq!(sim::take_events(), [Event::Eoi]);
    assert!(pending(&d, port));
    eoi(&d, pirq).unwrap();
    assert!(sim::take_events().is_empty());
}

#[test]
fn a_level_interrupt_is_masked_until_it_is_ended() {
    let [d, _] = machine();
    let pirq = map_gsi(&d, 9);
    let port = bind(&d, pirq).unwrap();
    sim::take_events();
    interrupt(place(9).vector);
    assert_eq!(
        sim::take_events(),
        [
            Event::Mask {
                gsi: 9,
                masked: true
            },
            Event::Eoi
        ]
    );
    assert!(pending(&d, port));
    eoi(&d, pirq).unwrap();
    assert_eq!(
        sim::take_events(),
        [Event::Mask {
            gsi: 9,
            masked: false
        }]
    );
    eoi(&d, pirq).unwrap();
    assert!(
        sim::take_events().is_empty(),
        "an end without an interrupt does nothing"
    );
}

#[test]
fn a_late_end_after_rebinding_does_not_unmask_twice() {
    let [d, _] = machine();
    let pirq = map_gsi(&d, 9);
    let port = bind(&d, pirq).unwrap();
    interrupt(place(9).vector);
    events_call(&d, EvtchnOp::CLOSE, &mut EvtchnClose { port }).unwrap();
    sim::take_events();
    eoi(&d, pirq).unwrap();
    assert!(sim::take_events().is_empty(), "closed: stays masked");
    bind(&d, pirq).unwrap();
    assert_eq!(
        sim::take_events(),
        [Event::Mask {
            gsi: 9,
            masked: false
        }]
    );
}

#[test]
fn the_unmask_notification_ends_what_is_unmasked() {
    let [d, _] = machine();
    let pirq = map_gsi(&d, 9);
    bind(&d, pirq).unwrap();
    interrupt(place(9).vector);
    sim::take_events();
    call(&d, PhysdevOp(PHYSDEVOP_IRQ_UNMASK_NOTIFY), &mut 0_u32).unwrap();
    assert_eq!(
        sim::take_events(),
        [Event::Mask {
            gsi: 9,
            masked: false
        }]
    );
}

#[test]
fn moving_an_interrupt_loses_none() {
    let [d, _] = machine();
    let pirq = map_gsi(&d, 4);
    let port = bind(&d, pirq).unwrap();
    let table = &host().irqs;
    let before = place(4);
    table.irq(4).unwrap().lock().move_to(table, 3);
    let after = place(4);
    assert_eq!((before.cpu, after.cpu), (0, 3));
    // What was on its way to the old CPU still arrives.
    interrupt(before.vector);
    assert!(pending(&d, port));
    // Served there with nothing more pending: the vector is free again.
    assert_eq!(table.cpu(0).unwrap().map.irq(before.vector), None);
    // Moved again; now the first interrupt at the new place makes the old CPU give its vector back.
    table.irq(4).unwrap().lock().move_to(table, 0);
    assert_eq!(table.cpu(3).unwrap().map.irq(after.vector), Some(4));
    interrupt(place(4).vector);
    assert_eq!(*table.cpu(3).unwrap().moved_away.lock(), [4]);
    table.irq(4).unwrap().lock().release_old(table, 3);
    assert_eq!(table.cpu(3).unwrap().map.irq(after.vector), None);
    run_deferred();
}

#[test]
fn back_and_forth_uses_two_vectors() {
    let [d, _] = machine();
    bind(&d, map_gsi(&d, 4)).unwrap();
    let table = &host().irqs;
    let home = place(4);
    for _ in 0..1000 {
        table.irq(4).unwrap().lock().move_to(table, 1);
        table.irq(4).unwrap().lock().move_to(table, 0);
    }
    assert_eq!(place(4), home);
    let used = |cpu: usize| {
        (0..=255)
            .filter(|&v| table.cpu(cpu).unwrap().map.irq(v).is_some())
            .count()
    };
    assert_eq!((used(0), used(1)), (1, 1));
    for cpu in [2, 3, 2, 3, 1] {
        table.irq(4).unwrap().lock().move_to(table, cpu);
    }
    assert_eq!((used(0), used(1) + used(2) + used(3)), (0, 2));
}

#[test]
fn a_dying_domain_loses_its_interrupts() {
    let [d, _] = machine();
    plug();
    bind(&d, map_gsi(&d, 9)).unwrap();
    let mut op = message(MapPirqType::MSI_SEG, 1, 0xfe00_0000);
    call(&d, PhysdevOp::MAP_PIRQ, &mut op).unwrap();
    bind(&d, op.pirq as u32).unwrap();
    teardown(&d);
    assert_eq!(
        (d.irqs.irq_of(9), d.irqs.irq_of(op.pirq as u32)),
        (None, None)
    );
    assert_eq!(sim::read_memory(0xfe00_201c), 1);
    let table = &host().irqs;
    assert!((0..=255).all(|v| table.cpu(0).unwrap().map.irq(v).is_none()));
    assert!((0..table.count()).all(|n| matches!(table.irq(n).unwrap().lock().user, User::Nobody)));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]
    /// Any sequence of calls and interrupts: a level pin is unmasked at the hardware exactly when it is bound and not in
    /// flight, and ends never come before interrupts.
    #[test]
    fn level_discipline(steps in proptest::collection::vec(0_u8..6, 1..60)) {
        let [d, _] = machine();
        let (mut port, mut mapped, mut flight, mut masked) = (None, false, false, true);
        for step in steps {
            match step {
                0 if !mapped && port.is_none() => { map_gsi(&d, 9); mapped = true; }
                1 if mapped && port.is_none() => port = Some(bind(&d, 9).unwrap()),
                2 => if port.is_some() && mapped && !masked { interrupt(place(9).vector); flight = true; },
                3 => if eoi(&d, 9).is_ok() { flight = false; },
                4 => if let Some(port) = port.take() {
                    events_call(&d, EvtchnOp::CLOSE, &mut EvtchnClose { port }).unwrap();
                    flight = false;
                },
                5 => {
                    let mut op = PhysdevUnmapPirq { domid: DomId::SELF, pirq: 9, ..Default::default() };
                    let result = call(&d, PhysdevOp::UNMAP_PIRQ, &mut op);
                    proptest::prop_assert_eq!(result.is_ok(), mapped);
                    (mapped, flight) = (false, false);
                }
                _ => {}
            }
            for event in sim::take_events() {
                if let Event::Mask { gsi: 9, masked: now } = event { masked = now }
            }
            proptest::prop_assert_eq!(!masked, port.is_some() && mapped && !flight);
        }
    }
}

#[test]
fn interrupts_follow_their_vcpu() {
    let [d, _] = machine();
    let (first, second) = (map_gsi(&d, 4), map_gsi(&d, 5));
    bind(&d, first).unwrap();
    bind(&d, second).unwrap();
    // One is the second vCPU's business.
    set_affinity(&d, second, &d.vcpus()[1]);
    follow(&d, &d.vcpus()[0], 2);
    assert_eq!((place(4).cpu, place(5).cpu), (2, 0));
    follow(&d, &d.vcpus()[1], 3);
    assert_eq!((place(4).cpu, place(5).cpu), (2, 3));
}
