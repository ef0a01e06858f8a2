//! The simulated platform of the hosted backend: ports, device memory, time and interrupt controllers, per thread.
//!
//! Tests set the clock, script ports and PCI devices, and read back what the code under test did
//! ([`Event`]).

use std::cell::RefCell;
use std::collections::BTreeMap;

/// Something that the hypervisor did to the interrupt hardware.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// End of interrupt to the local APIC.
    Eoi,
    /// An interrupt to another CPU.
    Ipi {
        /// Destination APIC id.
        apic_id: u32,
        /// Vector.
        vector: u8,
    },
    /// INIT to another CPU.
    Init {
        /// Destination APIC id.
        apic_id: u32,
    },
    /// Start-up to another CPU.
    StartUp {
        /// Destination APIC id.
        apic_id: u32,
        /// Page number of the start address.
        page: u8,
    },
    /// NMI; `None` for all other CPUs.
    Nmi {
        /// Destination APIC id.
        apic_id: Option<u32>,
    },
    /// The deadline timer was armed for this time, or disarmed.
    Deadline {
        /// Absolute nanoseconds since boot.
        ns: Option<u64>,
    },
    /// An I/O APIC pin was masked or unmasked.
    Mask {
        /// Global system interrupt.
        gsi: u32,
        /// New state.
        masked: bool,
    },
    /// A level interrupt was acknowledged at the I/O APIC.
    IoApicEoi {
        /// Global system interrupt.
        gsi: u32,
    },
}

#[derive(Default)]
struct Platform {
    ports: BTreeMap<u16, u8>,
    port_writes: Vec<(u16, u32)>,
    memory: BTreeMap<u64, u8>,
    config: BTreeMap<(u16, u8, u8), Vec<u8>>,
    msrs: BTreeMap<u32, u64>,
    cpuid: BTreeMap<(u32, u32), [u32; 4]>,
    now_ns: u64,
    events: Vec<Event>,
    console: Vec<u8>,
}

thread_local! {
    static PLATFORM: RefCell<Platform> = RefCell::default();
}

fn with<R>(f: impl FnOnce(&mut Platform) -> R) -> R {
    PLATFORM.with_borrow_mut(f)
}

/// Forgets everything.
pub fn reset() {
    with(|p| *p = Platform::default())
}

/// Sets the simulated time since boot.
pub fn set_now(ns: u64) {
    with(|p| p.now_ns = ns)
}
/// The simulated time since boot.
pub fn now() -> u64 {
    with(|p| p.now_ns)
}
/// The simulated counter runs at 1 GHz.
pub fn tsc() -> u64 {
    now()
}

pub(crate) fn record(event: Event) {
    with(|p| p.events.push(event))
}
/// Takes what was recorded since the last call.
pub fn take_events() -> Vec<Event> {
    with(|p| std::mem::take(&mut p.events))
}

pub(crate) fn console_output(bytes: &[u8]) {
    with(|p| p.console.extend_from_slice(bytes))
}
/// Takes what was written to the console since the last call.
pub fn take_console() -> Vec<u8> {
    with(|p| std::mem::take(&mut p.console))
}

/// What a port reads as.
pub fn set_port(port: u16, value: u8) {
    with(|p| p.ports.insert(port, value));
}
/// Port writes since the last clear, in order.
pub fn port_writes() -> Vec<(u16, u32)> {
    with(|p| p.port_writes.clone())
}
/// Forgets the port writes.
pub fn clear_port_writes() {
    with(|p| p.port_writes.clear())
}

/// Plugs in a PCI function with this configuration space (64 bytes to 4 KiB).
pub fn add_pci_function(segment: u16, bus: u8, devfn: u8, config: Vec<u8>) {
    with(|p| p.config.insert((segment, bus, devfn), config));
}
pub(crate) fn pci_read(segment: u16, bus: u8, devfn: u8, offset: u16) -> u8 {
    with(|p| {
        p.config
            .get(&(segment, bus, devfn))
            .and_then(|c| c.get(usize::from(offset)))
            .copied()
            .unwrap_or(0xff)
    })
}
pub(crate) fn pci_write(segment: u16, bus: u8, devfn: u8, offset: u16, value: u8) {
    with(|p| {
        if let Some(byte) = p
            .config
            .get_mut(&(segment, bus, devfn))
            .and_then(|c| c.get_mut(usize::from(offset)))
        {
            *byte = value;
        }
    });
}

/// Reads a word of simulated device memory.
pub fn read_memory(phys: u64) -> u32 {
    Window { base: phys }.read32(0)
}
/// Writes a word of simulated device memory.
pub fn write_memory(phys: u64, value: u32) {
    Window { base: phys }.write32(0, value)
}

pub(crate) fn rdmsr(msr: u32) -> u64 {
    with(|p| p.msrs.get(&msr).copied().unwrap_or(0))
}
pub(crate) fn wrmsr(msr: u32, value: u64) {
    with(|p| p.msrs.insert(msr, value));
}
pub(crate) fn cpuid(leaf: u32, subleaf: u32) -> [u32; 4] {
    with(|p| p.cpuid.get(&(leaf, subleaf)).copied().unwrap_or_default())
}

/// What this thread's processor answers to CPUID from now on: EAX, EBX, ECX, EDX of a leaf and subleaf.
pub fn set_cpuid(leaf: u32, subleaf: u32, registers: [u32; 4]) {
    with(|p| p.cpuid.insert((leaf, subleaf), registers));
}

/// A mapped piece of simulated device memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    base: u64,
}

impl Window {
    pub(crate) fn map(phys: u64, len: u64) -> Option<Self> {
        phys.checked_add(len)?;
        Some(Self { base: phys })
    }
    fn bytes<const N: usize>(&self, offset: usize) -> [u8; N] {
        with(|p| {
            std::array::from_fn(|n| {
                p.memory
                    .get(&(self.base + (offset + n) as u64))
                    .copied()
                    .unwrap_or(0)
            })
        })
    }
    fn set(&self, offset: usize, bytes: &[u8]) {
        with(|p| {
            for (n, &byte) in bytes.iter().enumerate() {
                p.memory.insert(self.base + (offset + n) as u64, byte);
            }
        });
    }
    pub(crate) fn read8(&self, offset: usize) -> u8 {
        u8::from_le_bytes(self.bytes(offset))
    }
    pub(crate) fn read16(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.bytes(offset))
    }
    pub(crate) fn read32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.bytes(offset))
    }
    pub(crate) fn write8(&self, offset: usize, value: u8) {
        self.set(offset, &value.to_le_bytes())
    }
    pub(crate) fn write16(&self, offset: usize, value: u16) {
        self.set(offset, &value.to_le_bytes())
    }
    pub(crate) fn write32(&self, offset: usize, value: u32) {
        self.set(offset, &value.to_le_bytes())
    }
}

pub(crate) mod ports {
    use super::with;

    fn read(port: u16) -> u8 {
        with(|p| p.ports.get(&port).copied().unwrap_or(0xff))
    }
    fn write(port: u16, value: u32) {
        with(|p| p.port_writes.push((port, value)))
    }
    pub(crate) fn inb(port: u16) -> u8 {
        read(port)
    }
    #[allow(dead_code)]
    pub(crate) fn inw(port: u16) -> u16 {
        u16::from_le_bytes([read(port), read(port.wrapping_add(1))])
    }
    pub(crate) fn inl(port: u16) -> u32 {
        u32::from_le_bytes(std::array::from_fn(|n| read(port.wrapping_add(n as u16))))
    }
    pub(crate) fn outb(port: u16, value: u8) {
        write(port, value.into())
    }
    #[allow(dead_code)]
    pub(crate) fn outw(port: u16, value: u16) {
        write(port, value.into())
    }
    #[allow(dead_code)]
    pub(crate) fn outl(port: u16, value: u32) {
        write(port, value)
    }
}

pub(crate) fn read_physical(phys: u64, out: &mut [u8]) -> bool {
    let Some(window) = Window::map(phys, out.len() as u64) else {
        return false;
    };
    for (n, byte) in out.iter_mut().enumerate() {
        *byte = window.read8(n);
    }
    true
}
