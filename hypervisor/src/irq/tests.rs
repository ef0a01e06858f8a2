//! The state machine of interrupts, and every refusal of physdev_op, on the simulated machine.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use arch::acpi::{Acpi, IoApicEntry, IsaOverride};
use arch::addr::Mfn;
use arch::pci::Sbdf;
use arch::sim::{self, Event};
use hypercall_abi::Errno;
use hypercall_abi::event_channel::*;
use hypercall_abi::physdev::*;
use hypercall_abi::xen::DomId;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::*;
use crate::domain::{Context, Domain, DomainId, Kind};
use crate::event_channel;
use crate::fail::{Args, Fail, Return};
use crate::guest;
use crate::host::{Host, host, install};
use crate::pv;

const ARG: u64 = 0x10_0000;
const IO_APIC: u64 = 0xfec0_0000;
const GSIS: u32 = 24;
const MESSAGES: u32 = 8;

/// A machine with one I/O APIC of 24 pins, eight message irqs, and domains 0 (dom0) and 1.
fn machine() -> [Arc<Domain>; 2] {
    arch::hosted::reset(64);
    arch::hosted::map_guest(ARG, 4096);
    sim::reset();
    install(Host {
        mm: Default::default(),
        domains: Default::default(),
        sched: Default::default(),
        irqs: Default::default(),
        console: Default::default(),
        time: Default::default(),
    });
    let mut acpi = Acpi::default();
    acpi.io_apics.push(IoApicEntry {
        id: 0,
        address: IO_APIC,
        gsi_base: 0,
    });
    acpi.overrides.push(IsaOverride {
        irq: 9,
        gsi: 9,
        active_low: Some(false),
        level: Some(true),
    });
    sim::write_memory(IO_APIC + 0x10, 23 << 16 | 0x20);
    ioapic::init(&acpi);
    host().irqs.init(&acpi, MESSAGES);
    let domains = [0, 1].map(|id| {
        let kind = Kind::Pv(pv::PvDomain::default());
        let d = Domain::new(
            DomainId(id),
            kind,
            id == 0,
            arch::hosted::frame(Mfn::new(id.into())),
        );
        d.create_vcpus(2).expect("fresh");
        host().domains.insert(d.clone()).expect("fresh");
        d
    });
    sim::take_events();
    domains
}

fn context(d: &Arc<Domain>) -> Context {
    Context {
        vcpu: d.vcpus()[0].clone(),
        domain: d.clone(),
    }
}

fn errno(result: Return) -> Result<(), Errno> {
    match result {
        Ok(0) => Ok(()),
        Err(Fail::Errno(errno)) => Err(errno),
        other => panic!("{other:?}"),
    }
}

fn call<T: FromBytes + IntoBytes + Immutable>(
    d: &Arc<Domain>,
    op: PhysdevOp,
    arg: &mut T,
) -> Result<(), Errno> {
    let handle = hypercall_abi::GuestHandle::new(ARG);
    guest::write(handle, 0, arg).expect("mapped");
    let result = do_physdev_op(&context(d), Args([op.0.into(), ARG, 0, 0, 0, 0]));
    *arg = guest::read(handle, 0).expect("mapped");
    errno(result)
}

fn events_call<T: FromBytes + IntoBytes + Immutable>(
    d: &Arc<Domain>,
    op: EvtchnOp,
    arg: &mut T,
) -> Result<(), Errno> {
    let handle = hypercall_abi::GuestHandle::new(ARG);
    guest::write(handle, 0, arg).expect("mapped");
    let result =
        event_channel::do_event_channel_op(&context(d), Args([op.0.into(), ARG, 0, 0, 0, 0]));
    *arg = guest::read(handle, 0).expect("mapped");
    errno(result)
}

fn map(index: i32, pirq: i32) -> PhysdevMapPirq {
    let kind = MapPirqType::GSI.0 as i32;
    PhysdevMapPirq {
        domid: DomId::SELF,
        r#type: kind,
        index,
        pirq,
        ..Default::default()
    }
}

fn map_gsi(d: &Arc<Domain>, gsi: i32) -> u32 {
    let mut op = map(gsi, gsi);
    call(d, PhysdevOp::MAP_PIRQ, &mut op).unwrap();
    op.pirq as u32
}

fn bind(d: &Arc<Domain>, pirq: u32) -> Result<u32, Errno> {
    let mut op = EvtchnBindPirq {
        pirq,
        ..Default::default()
    };
    events_call(d, EvtchnOp::BIND_PIRQ, &mut op)?;
    // Linux unmasks the port when it starts the interrupt; at the 2-level ABI it starts out unmasked.
    Ok(op.port)
}

fn place(irq: u32) -> descriptor::Place {
    host().irqs.irq(irq).unwrap().lock().place.expect("placed")
}

fn pending(d: &Arc<Domain>, port: u32) -> bool {
    event_channel::poll(d, port).unwrap()
}

fn eoi(d: &Arc<Domain>, pirq: u32) -> Result<(), Errno> {
    call(d, PhysdevOp::EOI, &mut PhysdevEoi { irq: pirq })
}

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

/// Plugs in a function with MSI at 0x50 and MSI-X (4 entries, table at BAR 0 + 0x2000) at 0x70.
fn plug() -> Sbdf {
    let mut config = vec![0_u8; 256];
    config[..4].copy_from_slice(&[1, 2, 3, 4]);
    (config[4], config[6], config[0x34]) = (2, 0x10, 0x50);
    (config[0x50], config[0x51], config[0x52], config[0x53]) = (5, 0x70, 0x80, 1);
    (config[0x70], config[0x72], config[0x75]) = (0x11, 3, 0x20);
    config[0x13] = 0xfe;
    sim::add_pci_function(0, 3, 8, config);
    Sbdf::new(0, 3, 8)
}

fn message(kind: MapPirqType, entry_nr: i32, table_base: u64) -> PhysdevMapPirq {
    PhysdevMapPirq {
        domid: DomId::SELF,
        r#type: kind.0 as i32,
        index: -1,
        pirq: -1,
        bus: 3,
        devfn: 8,
        entry_nr,
        table_base,
        ..Default::default()
    }
}

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
