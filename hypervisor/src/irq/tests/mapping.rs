//! Pirqs: mapping, reserving, binding and their refusals.

use super::*;

#[test]
fn mapping_refusals() {
    let [d, u] = machine();
    let attempt = |d: &Arc<Domain>, op: PhysdevMapPirq| call(d, PhysdevOp::MAP_PIRQ, &mut { op });
    for index in [-1, 0, GSIS as i32, i32::MAX, i32::MIN] {
        assert_eq!(attempt(&d, map(index, -1)), Err(Errno::EINVAL), "{index}");
    }
    assert_eq!(attempt(&u, map(5, 5)), Err(Errno::EPERM));
    assert_eq!(
        attempt(
            &d,
            PhysdevMapPirq {
                domid: DomId(77),
                ..map(5, 5)
            }
        ),
        Err(Errno::ESRCH)
    );
    assert_eq!(
        attempt(
            &u,
            PhysdevMapPirq {
                domid: DomId(0),
                ..map(5, 5)
            }
        ),
        Err(Errno::EPERM)
    );
    assert_eq!(
        attempt(&d, map(5, (GSIS + MESSAGES) as i32)),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        attempt(
            &d,
            PhysdevMapPirq {
                r#type: 2,
                ..map(5, 5)
            }
        ),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        attempt(
            &d,
            PhysdevMapPirq {
                r#type: 99,
                ..map(5, 5)
            }
        ),
        Err(Errno::EINVAL)
    );
    attempt(&d, map(5, 5)).unwrap();
    attempt(&d, map(5, 5)).unwrap();
    assert_eq!(attempt(&d, map(5, 6)), Err(Errno::EEXIST));
    // Without a wish: the number it has, or the first free one from 16.
    let mut op = map(5, -1);
    call(&d, PhysdevOp::MAP_PIRQ, &mut op).unwrap();
    assert_eq!(op.pirq, 5);
    let mut op = map(6, -1);
    call(&d, PhysdevOp::MAP_PIRQ, &mut op).unwrap();
    assert_eq!(op.pirq, 16);
    // On another domain's behalf.
    attempt(
        &d,
        PhysdevMapPirq {
            domid: DomId(1),
            ..map(7, 7)
        },
    )
    .unwrap();
    assert_eq!(u.irqs.irq_of(7), Some(7));
}

#[test]
fn binding_refusals() {
    let [d, u] = machine();
    assert_eq!(bind(&d, GSIS + MESSAGES), Err(Errno::EINVAL));
    assert_eq!(bind(&d, 5), Err(Errno::EPERM), "not mapped");
    map_gsi(&d, 5);
    bind(&d, 5).unwrap();
    assert_eq!(bind(&d, 5), Err(Errno::EEXIST));
    call(
        &d,
        PhysdevOp::MAP_PIRQ,
        &mut PhysdevMapPirq {
            domid: DomId(1),
            ..map(5, 5)
        },
    )
    .unwrap();
    assert_eq!(bind(&u, 5), Err(Errno::EBUSY), "dom0 has it");
    map_gsi(&d, 4);
    assert!(claim_gsi(4, || ()));
    assert!(!claim_gsi(4, || ()) && !claim_gsi(5, || ()) && !claim_gsi(GSIS, || ()));
    assert_eq!(bind(&d, 4), Err(Errno::EBUSY), "the hypervisor has it");
    sim::take_events();
    interrupt(place(4).vector);
    assert_eq!(sim::take_events(), [Event::Eoi]);
}

#[test]
fn only_permitted_interrupts_are_bound() {
    let [d, u] = machine();
    let given = PhysdevMapPirq {
        domid: DomId(1),
        ..map(5, 5)
    };
    call(&d, PhysdevOp::MAP_PIRQ, &mut { given }).unwrap();
    // As the tools take it away again and give it back (domctl irq_permission).
    u.irqs.permit_irq(5, false);
    assert_eq!(bind(&u, 5), Err(Errno::EPERM));
    u.irqs.permit_irq(5, true);
    let port = bind(&u, 5).unwrap();
    events_call(&u, EvtchnOp::CLOSE, &mut EvtchnClose { port }).unwrap();
    // A right to what is not mapped to it is none to its use; unmapping ends the right.
    let unmap = PhysdevUnmapPirq {
        domid: DomId(1),
        pirq: 5,
        ..Default::default()
    };
    call(&d, PhysdevOp::UNMAP_PIRQ, &mut { unmap }).unwrap();
    u.irqs.permit_irq(6, true);
    assert_eq!(
        (bind(&u, 5), bind(&u, 6)),
        (Err(Errno::EPERM), Err(Errno::EPERM))
    );
}

#[test]
fn unmapping_stops_the_interrupt_and_a_bound_port_stays_reserved() {
    let [d, u] = machine();
    let unmap = |d: &Arc<Domain>, domid, pirq| {
        call(
            d,
            PhysdevOp::UNMAP_PIRQ,
            &mut PhysdevUnmapPirq {
                domid,
                pirq,
                ..Default::default()
            },
        )
    };
    assert_eq!(unmap(&d, DomId::SELF, 9), Err(Errno::EINVAL));
    assert_eq!(unmap(&d, DomId::SELF, -1), Err(Errno::EINVAL));
    assert_eq!(unmap(&d, DomId(77), 9), Err(Errno::ESRCH));
    assert_eq!(unmap(&u, DomId::SELF, 9), Err(Errno::EPERM));
    let pirq = map_gsi(&d, 9);
    let port = bind(&d, pirq).unwrap();
    let vector = place(9).vector;
    unmap(&d, DomId::SELF, 9).unwrap();
    sim::take_events();
    interrupt(vector);
    assert_eq!(host().irqs.spurious(), 1);
    assert!(!pending(&d, port));
    assert_eq!(
        call(&d, PhysdevOp::MAP_PIRQ, &mut map(9, 9)),
        Err(Errno::EBUSY)
    );
    events_call(&d, EvtchnOp::CLOSE, &mut EvtchnClose { port }).unwrap();
    map_gsi(&d, 9);
    bind(&d, 9).unwrap();
}

#[test]
fn reserving_pirqs() {
    let [d, _] = machine();
    let mut seen = Vec::new();
    loop {
        let mut op = PhysdevGetFreePirq {
            r#type: MapPirqType::MSI.0 as i32,
            pirq: 0,
        };
        match call(&d, PhysdevOp::GET_FREE_PIRQ, &mut op) {
            Ok(()) => seen.push(op.pirq),
            Err(errno) => break assert_eq!(errno, Errno::ENOSPC),
        }
    }
    assert_eq!(seen, (GSIS..GSIS + MESSAGES).rev().collect::<Vec<_>>());
    let mut op = PhysdevGetFreePirq {
        r#type: MapPirqType::GSI.0 as i32,
        pirq: 0,
    };
    call(&d, PhysdevOp::GET_FREE_PIRQ, &mut op).unwrap();
    assert_eq!(op.pirq, 16);
    // A reserved number is for whoever names it.
    call(&d, PhysdevOp::MAP_PIRQ, &mut map(7, 16)).unwrap();
    assert_eq!(d.irqs.irq_of(16), Some(7));
}
