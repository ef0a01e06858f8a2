//! Message-signalled interrupts and the functions that send them.

use super::*;

#[test]
fn an_msi_is_programmed_bound_and_given_back() {
    let [d, _] = machine();
    let f = plug();
    let mut op = message(MapPirqType::MSI_SEG, 0, 0);
    call(&d, PhysdevOp::MAP_PIRQ, &mut op).unwrap();
    let pirq = op.pirq as u32;
    assert_eq!(
        pirq,
        GSIS + MESSAGES - 1,
        "messages' pirqs come from the top"
    );
    let irq = u32::from(d.irqs.irq_of(pirq).unwrap());
    assert_eq!(f.read32(0x54), 0xfee0_0000);
    assert_eq!(f.read16(0x5c), place(irq).vector.into());
    assert_eq!(f.read32(0x60), 1, "masked until bound");
    assert_eq!(f.read16(0x52) & 1, 0, "dom0 enables the capability");
    let port = bind(&d, pirq).unwrap();
    assert_eq!(f.read32(0x60), 0);
    sim::take_events();
    interrupt(place(irq).vector);
    assert_eq!(sim::take_events(), [Event::Eoi]);
    assert!(pending(&d, port));
    // A second one for the same capability.
    assert_eq!(
        call(
            &d,
            PhysdevOp::MAP_PIRQ,
            &mut message(MapPirqType::MSI, 0, 0)
        ),
        Err(Errno::EEXIST)
    );
    f.write16(0x52, f.read16(0x52) | 1);
    let mut op = PhysdevUnmapPirq {
        domid: DomId::SELF,
        pirq: pirq as i32,
        ..Default::default()
    };
    call(&d, PhysdevOp::UNMAP_PIRQ, &mut op).unwrap();
    assert_eq!((f.read32(0x60), f.read16(0x52) & 1), (1, 0), "silenced");
    events_call(&d, EvtchnOp::CLOSE, &mut EvtchnClose { port }).unwrap();
    call(
        &d,
        PhysdevOp::MAP_PIRQ,
        &mut message(MapPirqType::MULTI_MSI, 1, 0),
    )
    .unwrap();
}

#[test]
fn msi_x_entries_are_programmed_one_by_one() {
    let [d, _] = machine();
    let f = plug();
    let mut pirqs = Vec::new();
    for entry in 0..4 {
        let mut op = message(MapPirqType::MSI_SEG, entry, 0xfe00_0000);
        call(&d, PhysdevOp::MAP_PIRQ, &mut op).unwrap();
        pirqs.push(op.pirq as u32);
    }
    let irq = u32::from(d.irqs.irq_of(pirqs[2]).unwrap());
    assert_eq!(sim::read_memory(0xfe00_2028), place(irq).vector.into());
    assert_eq!(sim::read_memory(0xfe00_202c), 1);
    bind(&d, pirqs[2]).unwrap();
    assert_eq!(sim::read_memory(0xfe00_202c), 0);
    assert_eq!(
        call(
            &d,
            PhysdevOp::MAP_PIRQ,
            &mut message(MapPirqType::MSI_SEG, 2, 0xfe00_0000)
        ),
        Err(Errno::EEXIST)
    );
    // The function lost its state in a reset.
    sim::write_memory(0xfe00_2028, 0);
    sim::write_memory(0xfe00_202c, 1);
    let mut dev = PhysdevPciDevice {
        seg: 0,
        bus: 3,
        devfn: 8,
    };
    call(&d, PhysdevOp::RESTORE_MSI_EXT, &mut dev).unwrap();
    assert_eq!(sim::read_memory(0xfe00_2028), place(irq).vector.into());
    assert_eq!(sim::read_memory(0xfe00_202c), 0);
    assert_eq!(f.read16(0x72) >> 14, 2, "enabled, not masked as a whole");
    assert_eq!(
        call(&d, PhysdevOp::PREPARE_MSIX, &mut dev),
        Err(Errno::EBUSY)
    );
    call(&d, PhysdevOp::PCI_DEVICE_REMOVE, &mut dev).unwrap();
    assert_eq!(sim::read_memory(0xfe00_202c), 1, "removal masks");
    assert_eq!(
        call(&d, PhysdevOp::RESTORE_MSI_EXT, &mut dev),
        Err(Errno::ENODEV)
    );
}

#[test]
fn message_refusals() {
    let [d, u] = machine();
    let f = plug();
    let attempt = |d: &Arc<Domain>, op: PhysdevMapPirq| call(d, PhysdevOp::MAP_PIRQ, &mut { op });
    let msi = |entry, base| message(MapPirqType::MSI_SEG, entry, base);
    assert_eq!(attempt(&u, msi(0, 0)), Err(Errno::EPERM));
    assert_eq!(
        attempt(
            &d,
            PhysdevMapPirq {
                devfn: 16,
                ..msi(0, 0)
            }
        ),
        Err(Errno::ENODEV),
        "no such function"
    );
    assert_eq!(
        attempt(
            &d,
            PhysdevMapPirq {
                bus: 1 << 16 | 3,
                ..msi(0, 0)
            }
        ),
        Err(Errno::ENODEV),
        "segment 1"
    );
    assert_eq!(
        attempt(
            &d,
            PhysdevMapPirq {
                index: 3,
                ..msi(0, 0)
            }
        ),
        Err(Errno::EINVAL)
    );
    for entry in [4, -1, i32::MAX, i32::MIN] {
        assert_eq!(
            attempt(&d, msi(entry, 0xfe00_0000)),
            Err(Errno::EINVAL),
            "{entry}"
        );
    }
    let multi = |n, base| message(MapPirqType::MULTI_MSI, n, base);
    assert_eq!(attempt(&d, multi(1, 0x1000)), Err(Errno::EINVAL));
    for n in [0, -1, 33, i32::MIN] {
        assert_eq!(attempt(&d, multi(n, 0)), Err(Errno::EDOM), "{n}");
    }
    assert_eq!(attempt(&d, multi(2, 0)), Err(Errno::EOPNOTSUPP));
    // Memory decoding off: a fresh function, whose table was not mapped yet.
    let mut dev = PhysdevPciDevice {
        seg: 0,
        bus: 3,
        devfn: 8,
    };
    call(&d, PhysdevOp::PCI_DEVICE_REMOVE, &mut dev).unwrap();
    f.write16(4, 0);
    assert_eq!(attempt(&d, msi(0, 0xfe00_0000)), Err(Errno::ENXIO));
    f.write16(4, 2);
    // A base of dom0's invention, where the function says nothing, must not reach an unaligned access.
    f.write32(0x10, 0);
    assert_eq!(attempt(&d, msi(0, 0xfe00_0001)), Err(Errno::ENXIO));
    assert_eq!(attempt(&d, msi(0, u64::MAX)), Err(Errno::ENXIO));
    assert_eq!(attempt(&d, msi(0, u64::MAX - 0xfff)), Err(Errno::ENXIO));
    for free in 0..4 {
        assert_eq!(attempt(&d, msi(free, 0xfe00_0000)), Ok(()));
    }
    let listed = d.irqs.irq_of(GSIS + MESSAGES - 4);
    assert!(listed.is_some());
}

#[test]
fn running_out_of_message_irqs() {
    let [d, _] = machine();
    for bus in 0..3 {
        let mut config = vec![0_u8; 256];
        config[..4].copy_from_slice(&[1, 2, 3, 4]);
        (
            config[4],
            config[6],
            config[0x34],
            config[0x70],
            config[0x72],
        ) = (2, 0x10, 0x70, 0x11, 3);
        (config[0x10], config[0x13]) = (0, 0xe0 + bus);
        sim::add_pci_function(0, bus, 0, config);
    }
    let mut results = Vec::new();
    for n in 0..12 {
        let op = message(MapPirqType::MSI_SEG, n % 4, 0xfe00_0000);
        results.push(call(
            &d,
            PhysdevOp::MAP_PIRQ,
            &mut PhysdevMapPirq {
                bus: n / 4,
                devfn: 0,
                ..op
            },
        ));
    }
    assert!(results[..8].iter().all(Result::is_ok));
    assert!(
        results[8..].iter().all(|r| *r == Err(Errno::ENOSPC)),
        "{results:?}"
    );
}

#[test]
fn device_calls_and_their_refusals() {
    let [d, u] = machine();
    plug();
    let mut dev = PhysdevPciDevice {
        seg: 0,
        bus: 3,
        devfn: 8,
    };
    let mut add = PhysdevPciDeviceAdd {
        bus: 3,
        devfn: 8,
        ..Default::default()
    };
    for op in [
        PhysdevOp::PCI_DEVICE_REMOVE,
        PhysdevOp::RESTORE_MSI_EXT,
        PhysdevOp::PREPARE_MSIX,
        PhysdevOp::RELEASE_MSIX,
    ] {
        assert_eq!(call(&u, op, &mut dev), Err(Errno::EPERM), "{op:?}");
        assert_eq!(
            call(
                &d,
                op,
                &mut PhysdevPciDevice {
                    seg: 0,
                    bus: 9,
                    devfn: 0
                }
            ),
            Err(Errno::ENODEV),
            "{op:?}"
        );
    }
    assert_eq!(
        call(&u, PhysdevOp::PCI_DEVICE_ADD, &mut add),
        Err(Errno::EPERM)
    );
    call(&d, PhysdevOp::PCI_DEVICE_ADD, &mut add).unwrap();
    call(&d, PhysdevOp::PCI_DEVICE_ADD, &mut add).unwrap();
    call(&d, PhysdevOp::RESTORE_MSI_EXT, &mut dev).unwrap();
    call(
        &d,
        PhysdevOp::RESTORE_MSI,
        &mut PhysdevRestoreMsi { bus: 3, devfn: 8 },
    )
    .unwrap();
    assert_eq!(
        call(&d, PhysdevOp::RELEASE_MSIX, &mut dev),
        Err(Errno::EBUSY)
    );
    call(&d, PhysdevOp::PREPARE_MSIX, &mut dev).unwrap();
    assert_eq!(
        call(&d, PhysdevOp::PREPARE_MSIX, &mut dev),
        Err(Errno::EBUSY)
    );
    call(&d, PhysdevOp::RELEASE_MSIX, &mut dev).unwrap();
    call(&d, PhysdevOp::PCI_DEVICE_REMOVE, &mut dev).unwrap();
    assert_eq!(
        call(&d, PhysdevOp::PCI_DEVICE_REMOVE, &mut dev),
        Err(Errno::ENODEV)
    );
    call(
        &d,
        PhysdevOp::MANAGE_PCI_ADD,
        &mut PhysdevManagePci { bus: 3, devfn: 8 },
    )
    .unwrap();
    call(
        &d,
        PhysdevOp::MANAGE_PCI_REMOVE,
        &mut PhysdevManagePci { bus: 3, devfn: 8 },
    )
    .unwrap();
    let ext = |is_extfn, is_virtfn| PhysdevManagePciExt {
        bus: 3,
        devfn: 8,
        is_extfn,
        is_virtfn,
        ..Default::default()
    };
    assert_eq!(
        call(&d, PhysdevOp::MANAGE_PCI_ADD_EXT, &mut ext(2, 0)),
        Err(Errno::EINVAL)
    );
    assert_eq!(
        call(&d, PhysdevOp::MANAGE_PCI_ADD_EXT, &mut ext(0, 2)),
        Err(Errno::EINVAL)
    );
    call(&d, PhysdevOp::MANAGE_PCI_ADD_EXT, &mut ext(1, 1)).unwrap();
    let mut mmcfg = PhysdevPciMmcfgReserved::default();
    assert_eq!(
        call(&u, PhysdevOp::PCI_MMCFG_RESERVED, &mut mmcfg),
        Err(Errno::EPERM)
    );
    assert_eq!(
        call(&d, PhysdevOp::PCI_MMCFG_RESERVED, &mut mmcfg),
        Err(Errno::ENODEV)
    );
    let mut dbgp = PhysdevDbgpOp::default();
    assert_eq!(call(&u, PhysdevOp::DBGP_OP, &mut dbgp), Err(Errno::EPERM));
    call(&d, PhysdevOp::DBGP_OP, &mut dbgp).unwrap();
    assert_eq!(
        call(&d, PhysdevOp::FREE_IRQ_VECTOR, &mut 0_u64),
        Err(Errno::ENOSYS)
    );
    assert_eq!(call(&d, PhysdevOp(1234), &mut 0_u64), Err(Errno::ENOSYS));
}

#[test]
fn bad_argument_addresses() {
    let [d, _] = machine();
    for number in (5..=31).filter(|n| ![11, 18, 22].contains(n)) {
        let result = do_physdev_op(&context(&d), Args([number, 0xdead_0000, 0, 0, 0, 0]));
        assert_eq!(errno(result), Err(Errno::EFAULT), "{number}");
    }
}

/// A virtual function's own base address registers are empty: dom0 says where its table is.
#[test]
fn the_table_of_a_virtual_function_is_read_only_too() {
    let [d, _] = machine();
    let f = plug();
    f.write32(0x10, 0);
    let base = 0xfd00_0000;
    call(
        &d,
        PhysdevOp::MAP_PIRQ,
        &mut message(MapPirqType::MSI_SEG, 0, base),
    )
    .unwrap();
    let page = |offset| arch::addr::PhysAddr(base + offset).mfn();
    assert!(host().mm.device_read_only(page(0x2000)));
    assert!(host().mm.device_read_only(page(0)), "pending bits");
    assert!(!host().mm.device_read_only(page(0x1000)));
}

#[test]
fn the_pages_of_msi_x_are_read_only_while_it_is_in_use() {
    let [d, _] = machine();
    plug();
    let mm = &host().mm;
    let (table, pending) = (Mfn::new(0xfe002), Mfn::new(0xfe000));
    let read_only = || (mm.device_read_only(table), mm.device_read_only(pending));
    assert_eq!(read_only(), (false, false));
    let mut first = message(MapPirqType::MSI, 0, 0xfe00_0000);
    call(&d, PhysdevOp::MAP_PIRQ, &mut first).unwrap();
    let mut second = message(MapPirqType::MSI, 1, 0xfe00_0000);
    call(&d, PhysdevOp::MAP_PIRQ, &mut second).unwrap();
    assert_eq!(read_only(), (true, true));
    for pirq in [first.pirq, second.pirq] {
        assert_eq!(read_only(), (true, true));
        let mut unmap = PhysdevUnmapPirq {
            domid: DomId::SELF,
            pirq,
            ..Default::default()
        };
        call(&d, PhysdevOp::UNMAP_PIRQ, &mut unmap).unwrap();
    }
    assert_eq!(read_only(), (false, false));
}
