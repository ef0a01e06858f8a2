//! The state machine of interrupts, and every refusal of physdev_op, on the simulated machine.

mod calls;
mod delivery;
mod mapping;
mod messages;

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
use crate::domain::{Context, Domain};
use crate::event_channel;
use crate::fail::{Args, Fail, Return};
use crate::guest;
use crate::host::host;
use crate::simulated;

const ARG: u64 = 0x10_0000;
const IO_APIC: u64 = 0xfec0_0000;
const GSIS: u32 = 24;
const MESSAGES: u32 = 8;

/// A machine with one I/O APIC of 24 pins, eight message irqs, and domains 0 (dom0) and 1.
fn machine() -> [Arc<Domain>; 2] {
    simulated::switch_on_without_memory(64);
    arch::hosted::map_guest(ARG, 4096);
    sim::reset();
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
    let domains = [0, 1].map(|id| simulated::domain_without_memory(id, 2));
    sim::take_events();
    domains
}

fn context(d: &Arc<Domain>) -> Context {
    simulated::context(d, 0)
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
