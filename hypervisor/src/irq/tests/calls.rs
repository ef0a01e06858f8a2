//! The other operations of physdev_op.

use super::*;

#[test]
fn the_page_of_ends_and_its_refusals() {
    let [d, _] = machine();
    let mut op = PhysdevPirqEoiGmfn { gmfn: 1 << 50 };
    assert_eq!(
        call(&d, PhysdevOp::PIRQ_EOI_GMFN_V2, &mut op),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        call(&d, PhysdevOp::PIRQ_EOI_GMFN_V1, &mut op),
        Err(Errno::EINVAL)
    );
}

#[test]
fn status_query() {
    let [d, _] = machine();
    let mut op = PhysdevIrqStatusQuery {
        irq: 9,
        flags: 0xff,
    };
    call(&d, PhysdevOp::IRQ_STATUS_QUERY, &mut op).unwrap();
    assert_eq!(op.flags, XENIRQSTAT_NEEDS_EOI);
    op.irq = GSIS + MESSAGES;
    assert_eq!(
        call(&d, PhysdevOp::IRQ_STATUS_QUERY, &mut op),
        Err(Errno::EINVAL)
    );
    assert_eq!(eoi(&d, GSIS + MESSAGES), Err(Errno::EINVAL));
    assert_eq!(eoi(&d, 9), Err(Errno::EINVAL), "not mapped");
}

#[test]
fn wiring_is_set_once() {
    let [d, u] = machine();
    let setup = |d: &Arc<Domain>, gsi| {
        call(
            d,
            PhysdevOp::SETUP_GSI,
            &mut PhysdevSetupGsi {
                gsi,
                triggering: 1,
                polarity: 1,
                ..Default::default()
            },
        )
    };
    for gsi in [-1, GSIS as i32, i32::MAX] {
        assert_eq!(setup(&d, gsi), Err(Errno::EINVAL));
    }
    assert_eq!(setup(&u, 5), Err(Errno::EPERM));
    setup(&d, 5).unwrap();
    assert_eq!(setup(&d, 5), Err(Errno::EEXIST));
    assert!(host().irqs.irq(5).unwrap().lock().needs_eoi());
    map_gsi(&d, 10);
    bind(&d, 10).unwrap();
    assert_eq!(setup(&d, 10), Err(Errno::EEXIST), "in use");
}

#[test]
fn io_privilege() {
    let [d, u] = machine();
    for who in [&d, &u] {
        assert_eq!(
            call(who, PhysdevOp::SET_IOPL, &mut PhysdevSetIopl { iopl: 4 }),
            Err(Errno::EINVAL)
        );
        call(who, PhysdevOp::SET_IOPL, &mut PhysdevSetIopl { iopl: 1 }).unwrap();
        assert_eq!(who.vcpus()[0].pv().state().iopl, 1);
        let bitmap = |addr, nr_ports| PhysdevSetIobitmap {
            bitmap: hypercall_abi::GuestHandle::new(addr),
            nr_ports,
            ..Default::default()
        };
        let set = |op: PhysdevSetIobitmap| call(who, PhysdevOp::SET_IOBITMAP, &mut { op });
        assert_eq!(set(bitmap(0x1000, 65_537)), Err(Errno::EINVAL));
        assert_eq!(set(bitmap(0xffff_8000_0000_0000, 1)), Err(Errno::EINVAL));
        assert_eq!(set(bitmap(u64::MAX, 1)), Err(Errno::EINVAL));
        set(bitmap(0x1000, 65_536)).unwrap();
        assert_eq!(who.vcpus()[0].pv().state().io_bitmap, (0x1000, 65_536));
    }
}

#[test]
fn ports() {
    let [d, u] = machine();
    d.irqs.permit_dom0_ports();
    for (port, size, allowed) in [
        (0x60, 1, true),
        (0x60, 2, false),
        (0x70, 2, true),
        (0xcf8, 4, false),
        (0x20, 1, false),
        (0xffff, 1, true),
        (0xffff, 2, false),
    ] {
        assert_eq!(
            d.irqs.ports_permitted(port, size),
            allowed,
            "{port:#x} {size}"
        );
        assert!(!u.irqs.ports_permitted(port, size));
    }
}

#[test]
fn io_apic_registers() {
    let [d, u] = machine();
    let apic = |base, reg, value| PhysdevApic {
        apic_physbase: base,
        reg,
        value,
    };
    let mut read = apic(IO_APIC, 1, 0);
    assert_eq!(call(&u, PhysdevOp::APIC_READ, &mut read), Err(Errno::EPERM));
    call(&d, PhysdevOp::APIC_READ, &mut read).unwrap();
    assert_eq!(
        call(&d, PhysdevOp::APIC_READ, &mut apic(IO_APIC + 0x1000, 1, 0)),
        Err(Errno::EINVAL)
    );
    let write = |d: &Arc<Domain>, op: PhysdevApic| call(d, PhysdevOp::APIC_WRITE, &mut { op });
    assert_eq!(write(&u, apic(IO_APIC, 0x10, 0)), Err(Errno::EPERM));
    assert_eq!(
        write(&d, apic(IO_APIC + 0x1000, 0x10, 0)),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        write(&d, apic(IO_APIC, 0x1a, 7 << 8)),
        Err(Errno::EINVAL),
        "ExtINT"
    );
    assert_eq!(
        write(&d, apic(IO_APIC, 0x40, 0)),
        Err(Errno::EINVAL),
        "no such pin"
    );
    assert_eq!(
        write(&d, apic(IO_APIC, u32::MAX - 1, 0)),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        write(&d, apic(IO_APIC, 0x1a, 0xff)),
        Err(Errno::EINVAL),
        "no such pirq"
    );
    write(&d, apic(IO_APIC, 0, 0)).unwrap();
    write(&d, apic(IO_APIC, 0x1b, 0)).unwrap();
    write(&d, apic(IO_APIC, 0x1a, 1 << 15 | 5)).unwrap();
    assert_eq!(d.irqs.irq_of(5), Some(5));
    assert!(host().irqs.irq(5).unwrap().lock().needs_eoi());
    let mut op = PhysdevIrq { irq: 5, vector: 0 };
    assert_eq!(
        call(&u, PhysdevOp::ALLOC_IRQ_VECTOR, &mut op),
        Err(Errno::EPERM)
    );
    call(&d, PhysdevOp::ALLOC_IRQ_VECTOR, &mut op).unwrap();
    assert_eq!(op.vector, 5);
}
