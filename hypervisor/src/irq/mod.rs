//! Physical interrupts: who gets them, where they are delivered, and dom0's view of them (pirqs).
//!
//! An *irq* is the hypervisor's number of an interrupt source: global system interrupts (I/O APIC pins) have their own
//! number, message-signalled ones follow above. A *pirq* is a domain's number for an irq mapped to it; it is bound to
//! an event port to be delivered.
//!
//! Invariants: an irq has one user, the hypervisor or one domain. A level irq that was delivered stays masked until the
//! domain ends it. A vector on a CPU belongs to one irq; a moved irq keeps its old vector until the old CPU has
//! nothing pending there, so no message gets lost.
//!
//! Locks, outer to inner: `DomainIrqs`, devices, one irq, a CPU's vector allocation.

mod descriptor;
mod device;
mod physdev;
mod pirq;
mod ports;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use arch::apic;
use arch::apic::vectors::{self, VectorMap};
use arch::ioapic::{self, Wiring};
use arch::sync::{Once, SpinGuard, SpinLock};

pub use physdev::do_physdev_op;
pub use pirq::{
    DomainIrqs, bind_pirq, follow, is_bound_to, pirqs, set_affinity, stored, teardown, unbind_pirq,
};

use crate::host::host;
use crate::percpu::{self, work};
use descriptor::{Irq, Source, User};
use device::Devices;

/// Most CPUs.
const MAX_CPUS: usize = arch::percpu::MAX_CPUS;

/// One CPU's side of interrupt delivery.
#[derive(Default)]
struct CpuVectors {
    map: VectorMap,
    /// Held while a vector is allocated.
    allocation: SpinLock<()>,
    /// Irqs whose old vector on this CPU may be freed when nothing is pending there.
    moved_away: SpinLock<Vec<u16>>,
}

/// All physical interrupts.
pub struct IrqTable {
    cpus: [Once<Box<CpuVectors>>; MAX_CPUS],
    irqs: Once<Box<[SpinLock<Irq>]>>,
    gsi_end: AtomicU32,
    devices: SpinLock<Devices>,
    spurious: AtomicU64,
}

impl Default for IrqTable {
    fn default() -> Self {
        Self {
            cpus: [const { Once::new() }; MAX_CPUS],
            irqs: Once::new(),
            gsi_end: AtomicU32::new(0),
            devices: SpinLock::new(Devices::default()),
            spurious: AtomicU64::new(0),
        }
    }
}

impl IrqTable {
    /// Makes the descriptors: every global system interrupt with its wiring from ACPI, and room for `messages`
    /// message-signalled ones. Once, after `arch::ioapic::init`.
    pub fn init(&self, acpi: &arch::acpi::Acpi, messages: u32) {
        let gsi_end = ioapic::gsi_end();
        self.gsi_end.store(gsi_end, Ordering::Relaxed);
        self.irqs.call_once(|| {
            (0..gsi_end + messages)
                .map(|number| {
                    let source = if number < gsi_end {
                        Source::Gsi { gsi: number }
                    } else {
                        Source::Free
                    };
                    let wiring = if number < 16 {
                        Wiring::ISA
                    } else {
                        Wiring::PCI
                    };
                    SpinLock::new(Irq::new(number as u16, source, wiring))
                })
                .collect()
        });
        for isa in 0..ioapic::ISA_INTERRUPTS {
            let route = ioapic::isa_route(acpi, isa);
            if let Some(irq) = self.irq(route.gsi) {
                irq.lock().wiring = route.wiring;
            }
        }
    }

    /// How many irqs there are; a domain's pirq numbers have the same range.
    pub fn count(&self) -> u32 {
        self.irqs.get().map_or(0, |irqs| irqs.len() as u32)
    }

    /// One more than the last global system interrupt.
    pub fn gsi_end(&self) -> u32 {
        self.gsi_end.load(Ordering::Relaxed)
    }

    /// Interrupts that came on a vector nobody owns.
    pub fn spurious(&self) -> u64 {
        self.spurious.load(Ordering::Relaxed)
    }

    fn irq(&self, number: u32) -> Option<&SpinLock<Irq>> {
        self.irqs.get()?.get(number as usize)
    }

    fn lock(&self, number: u16) -> Option<SpinGuard<'_, Irq>> {
        self.irq(number.into()).map(SpinLock::lock)
    }

    fn cpu(&self, cpu: usize) -> Option<&CpuVectors> {
        Some(self.cpus.get(cpu)?.call_once(Box::default))
    }
}

/// Message-signalled irqs: enough for a queue per CPU of a handful of devices; each costs 100 bytes.
const MESSAGES: u32 = 512;

/// Makes the host's interrupt table. Once, after `arch::ioapic::init`.
pub fn init(acpi: &arch::acpi::Acpi) {
    host().irqs.init(acpi, MESSAGES);
}

/// Serves interrupt `vector` of this CPU.
pub fn interrupt(vector: u8) {
    match vector {
        vectors::FIRST_DYNAMIC..=vectors::LAST_DYNAMIC => device_interrupt(vector),
        vectors::TIMER => {
            apic::eoi();
            percpu::with(|cpu| cpu.raise(work::TIMER));
        }
        // Whoever sent it has set the bits of pending work.
        vectors::EVENT_CHECK => apic::eoi(),
        vectors::TLB_SHOOTDOWN => {
            apic::eoi();
            arch::tlb::service_pending();
        }
        vectors::ERROR => {
            let errors = apic::take_errors();
            apic::eoi();
            log::warn!("local APIC {} reports errors {errors:#x}", apic::id());
        }
        vectors::SPURIOUS => {}
        _ => apic::eoi(),
    }
}

fn device_interrupt(vector: u8) {
    let table = &host().irqs;
    let me = arch::percpu::cpu_id();
    let number = table.cpu(me).and_then(|cpu| cpu.map.irq(vector));
    match number.and_then(|number| table.lock(number)) {
        Some(mut irq) => irq.arrived(table, me, vector),
        None => {
            // The spurious interrupt of a masked 8259, or a message to a vector that was freed.
            if apic::in_service(vector) {
                apic::eoi();
            }
            if table.spurious.fetch_add(1, Ordering::Relaxed) == 0 {
                log::warn!("interrupt on CPU {me}, vector {vector:#x}, which nobody uses");
            }
        }
    }
}

/// Interrupts that idle CPUs found in service ([`end_leftover`]).
static LEFTOVERS: AtomicU64 = AtomicU64::new(0);

/// On an idle CPU, interrupts off: no interrupt is in service here, or its handler did not run to its end, and this CPU
/// would hear nothing of its class and below for ever: no timer, no wake-up. It was seen once, on an emulated machine.
/// Ends it, says so and sees to what may have been missed; true if there was one.
pub fn end_leftover(cpu: &percpu::PerCpu) -> bool {
    let Some(vector) = apic::end_leftover() else {
        return false;
    };
    LEFTOVERS.fetch_add(1, Ordering::Relaxed);
    log::warn!(
        "CPU {}: interrupt {vector:#x} was in service though its handler is done; ended it",
        cpu.id
    );
    cpu.raise(work::TIMER | work::DEFERRED | work::RESCHEDULE);
    true
}

/// How many interrupts had to be ended so.
pub fn leftovers() -> u64 {
    LEFTOVERS.load(Ordering::Relaxed)
}

/// Work put off by interrupt handlers: frees vectors of interrupts that moved to other CPUs.
pub fn run_deferred() {
    let table = &host().irqs;
    let me = arch::percpu::cpu_id();
    let Some(cpu) = table.cpu(me) else { return };
    let numbers = core::mem::take(&mut *cpu.moved_away.lock());
    for number in numbers {
        if let Some(mut irq) = table.lock(number) {
            irq.release_old(table, me);
        }
    }
}

/// Gives a global system interrupt to the hypervisor itself, unmasked: `handler` is called with interrupts off. False if
/// it does not exist or is in use.
pub fn claim_gsi(gsi: u32, handler: fn()) -> bool {
    let table = &host().irqs;
    let Some(irq) = table.irq(gsi).filter(|_| gsi < table.gsi_end()) else {
        return false;
    };
    let mut irq = irq.lock();
    if !matches!(irq.user, User::Nobody) || !irq.place(table, arch::percpu::cpu_id()) {
        return false;
    }
    irq.user = User::Hypervisor(handler);
    irq.unmask();
    true
}

/// Calls `f` for every irq in use, for debug keys: number, CPU, vector, what it is, and whom it is delivered to.
pub fn for_each(mut f: impl FnMut(core::fmt::Arguments<'_>)) {
    let table = &host().irqs;
    for irq in table.irqs.get().map_or(&[][..], |irqs| irqs) {
        let irq = irq.lock();
        if !matches!(irq.user, User::Nobody) {
            f(format_args!("{}", *irq));
        }
    }
}
