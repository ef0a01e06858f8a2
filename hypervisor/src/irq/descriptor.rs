//! One interrupt source: where it is delivered and who uses it.

use alloc::sync::Weak;
use core::fmt;

use arch::apic;
use arch::ioapic::{self, Wiring};
use arch::msi::{self, MsixTable};
use arch::pci::Sbdf;

use super::IrqTable;
use crate::domain::Domain;
use crate::event_channel;
use crate::percpu::{self, work};

/// Where an irq comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    /// A message-signalled irq's number that nobody uses.
    Free,
    /// An I/O APIC pin.
    Gsi { gsi: u32 },
    /// A function's MSI capability.
    Msi { function: Sbdf, msi: msi::Msi },
    /// An entry of a function's MSI-X table.
    MsiX {
        function: Sbdf,
        table: MsixTable,
        entry: u16,
    },
}

/// Who gets an irq.
pub(super) enum User {
    /// Nobody: it is masked.
    Nobody,
    /// A domain's event port.
    Guest {
        domain: Weak<Domain>,
        pirq: u32,
        port: u32,
    },
    /// The hypervisor itself.
    Hypervisor(fn()),
}

/// A vector of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) cpu: usize,
    pub(super) vector: u8,
}

/// An interrupt source.
pub(super) struct Irq {
    pub(super) number: u16,
    pub(super) source: Source,
    /// Trigger and polarity of a pin.
    pub(super) wiring: Wiring,
    /// dom0 has set the wiring (or ACPI's is in use).
    pub(super) configured: bool,
    pub(super) user: User,
    /// Where it is delivered.
    pub(super) place: Option<Place>,
    /// Where it was delivered before the last move; messages may still be pending there.
    old: Option<Place>,
    /// Delivered to the guest, masked until it says that it is done.
    in_flight: bool,
    /// A move that has to wait until the pin's interrupt is ended.
    wanted: Option<usize>,
}

impl Irq {
    pub(super) fn new(number: u16, source: Source, wiring: Wiring) -> Self {
        Self {
            number,
            source,
            wiring,
            configured: false,
            user: User::Nobody,
            place: None,
            old: None,
            in_flight: false,
            wanted: None,
        }
    }

    /// Whether a delivered interrupt must be ended by the guest before the next.
    pub(super) fn needs_eoi(&self) -> bool {
        matches!(self.source, Source::Gsi { .. }) && self.wiring.level
    }

    /// Whether the guest has one to end.
    pub(super) fn in_flight(&self) -> bool {
        self.in_flight
    }

    /// Allocates a vector on `cpu` if there is none yet and programs the source, masked. False when the CPU has no
    /// vector left or the source cannot name it.
    pub(super) fn place(&mut self, table: &IrqTable, cpu: usize) -> bool {
        if self.place.is_some() {
            return true;
        }
        let Some(place) = allocate(table, cpu, self.number) else {
            return false;
        };
        if !self.program(place, true) {
            free(table, place);
            return false;
        }
        self.place = Some(place);
        true
    }

    /// Points the source to a place.
    fn program(&self, place: Place, masked: bool) -> bool {
        let id = apic_id(place.cpu);
        match &self.source {
            Source::Free => false,
            Source::Gsi { gsi } => ioapic::route(*gsi, place.vector, id, self.wiring, masked),
            Source::Msi { msi, .. } => {
                let Some(message) = msi::compose(id, place.vector) else {
                    return false;
                };
                msi.set_mask(0, true);
                msi.set_message(message, 0);
                msi.set_mask(0, masked);
                true
            }
            Source::MsiX { table, entry, .. } => {
                let Some(message) = msi::compose(id, place.vector) else {
                    return false;
                };
                table.set_mask(*entry, true);
                table.set_message(*entry, message);
                if !masked {
                    table.set_mask(*entry, false);
                }
                true
            }
        }
    }

    /// Programs the source again as it should be, after the function lost its state.
    pub(super) fn restore(&self) {
        if let Some(place) = self.place {
            self.program(place, matches!(self.user, User::Nobody));
        }
    }

    fn set_mask(&self, masked: bool) {
        match &self.source {
            Source::Free => {}
            Source::Gsi { gsi } => ioapic::set_mask(*gsi, masked),
            Source::Msi { msi, .. } => {
                msi.set_mask(0, masked);
            }
            Source::MsiX { table, entry, .. } => table.set_mask(*entry, masked),
        }
    }

    /// Lets interrupts through.
    pub(super) fn unmask(&self) {
        self.set_mask(false);
    }

    /// Takes it from its user, masked.
    pub(super) fn stop(&mut self) {
        self.set_mask(true);
        self.user = User::Nobody;
        self.in_flight = false;
        self.wanted = None;
    }

    /// Gives the vectors back; the source must be masked and quiet.
    pub(super) fn unplace(&mut self, table: &IrqTable) {
        for place in [self.place.take(), self.old.take()].into_iter().flatten() {
            free(table, place);
        }
    }

    /// Serves the interrupt on the CPU that got it.
    pub(super) fn arrived(&mut self, table: &IrqTable, cpu: usize, vector: u8) {
        let here = Place { cpu, vector };
        if self.place == Some(here) && self.old.is_some() {
            self.ask_old_cpu(table);
        }
        let level = self.needs_eoi();
        if level {
            // Masked before its end is reported, or it would come again at once.
            self.set_mask(true);
        }
        apic::eoi();
        match &self.user {
            User::Nobody => self.set_mask(true),
            User::Hypervisor(handler) => {
                handler();
                if level {
                    self.set_mask(false);
                }
            }
            User::Guest { domain, port, .. } => {
                let (domain, port) = (domain.upgrade(), *port);
                self.in_flight = level;
                if !domain.is_some_and(|domain| event_channel::send_pirq(&domain, port)) {
                    // The port is being closed: whoever binds next unmasks.
                    self.in_flight = false;
                    self.set_mask(true);
                }
            }
        }
        if self.old == Some(here) {
            self.release_old(table, cpu);
        }
    }

    /// The guest is done with the delivered interrupt.
    pub(super) fn end(&mut self, table: &IrqTable) {
        if !core::mem::take(&mut self.in_flight) {
            return;
        }
        if let Some(cpu) = self.wanted.take() {
            self.move_to(table, cpu);
        }
        self.unmask();
    }

    /// Delivers to another CPU from now on, if that is possible now (else at the end of the present interrupt).
    pub(super) fn move_to(&mut self, table: &IrqTable, cpu: usize) {
        let Some(from) = self.place else { return };
        if from.cpu == cpu {
            self.wanted = None;
            return;
        }
        if let Source::Gsi { gsi } = self.source
            && self.wiring.level
            && ioapic::in_service(gsi)
        {
            // The end of a level interrupt is matched by vector: changing it now would leave the pin waiting for ever.
            self.wanted = Some(cpu);
            return;
        }
        let masked = self.in_flight || matches!(self.user, User::Nobody);
        let to = match self.old.take() {
            // Back to where it was.
            Some(old) if old.cpu == cpu => old,
            other => {
                if let Some(old) = other {
                    free(table, old);
                    // A message may have been pending there: one event too many is better than one too few.
                    if let User::Guest { domain, port, .. } = &self.user
                        && !self.needs_eoi()
                        && let Some(domain) = domain.upgrade()
                    {
                        event_channel::send_pirq(&domain, *port);
                    }
                }
                match allocate(table, cpu, self.number) {
                    Some(place) => place,
                    // No vector left there: it stays where it is.
                    None => return,
                }
            }
        };
        if self.program(to, masked) {
            self.old = Some(from);
            self.place = Some(to);
        } else {
            free(table, to);
            self.program(from, masked);
        }
    }

    /// Asks the old CPU to give the old vector back when nothing is pending there.
    fn ask_old_cpu(&self, table: &IrqTable) {
        let Some(old) = self.old else { return };
        if let Some(cpu) = table.cpu(old.cpu) {
            let mut list = cpu.moved_away.lock();
            if !list.contains(&self.number) {
                list.push(self.number);
                percpu::raise_on(old.cpu, work::DEFERRED);
            }
        }
    }

    /// On the old CPU: gives the old vector back, unless an interrupt is still waiting there (it will come back here).
    pub(super) fn release_old(&mut self, table: &IrqTable, me: usize) {
        if let Some(old) = self.old
            && old.cpu == me
            && !apic::requested(old.vector)
        {
            self.old = None;
            free(table, old);
        }
    }
}

impl fmt::Display for Irq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "irq {:3} ", self.number)?;
        match self.place {
            Some(place) => write!(f, "CPU {} vector {:#04x} ", place.cpu, place.vector)?,
            None => f.write_str("nowhere ")?,
        }
        match &self.source {
            Source::Free => f.write_str("free")?,
            Source::Gsi { gsi } => {
                let kind = if self.wiring.level { "level" } else { "edge" };
                write!(f, "pin {gsi} {kind}")?;
            }
            Source::Msi { function, .. } => write!(f, "MSI of {function}")?,
            Source::MsiX {
                function, entry, ..
            } => write!(f, "MSI-X {entry} of {function}")?,
        }
        match &self.user {
            User::Nobody => Ok(()),
            User::Hypervisor(_) => f.write_str(", hypervisor"),
            User::Guest { domain, pirq, port } => {
                let id = domain.upgrade().map_or(u16::MAX, |d| d.id.0);
                let flight = if self.in_flight { ", in flight" } else { "" };
                write!(f, ", domain {id} pirq {pirq} port {port}{flight}")
            }
        }
    }
}

fn apic_id(cpu: usize) -> u32 {
    arch::tlb::apic_id(cpu).unwrap_or(cpu as u32)
}

fn allocate(table: &IrqTable, cpu: usize, irq: u16) -> Option<Place> {
    let vectors = table.cpu(cpu)?;
    let _guard = vectors.allocation.lock();
    vectors
        .map
        .allocate(irq)
        .map(|vector| Place { cpu, vector })
}

fn free(table: &IrqTable, place: Place) {
    if let Some(vectors) = table.cpu(place.cpu) {
        vectors.map.free(place.vector);
    }
}
