//! The I/O APICs (Intel 82093AA data sheet): routing of global system interrupts to vectors and CPUs.
//!
//! Discipline for level interrupts: when one arrives its pin is masked before the local APIC gets its end of interrupt,
//! and unmasked when the guest is done. A line still asserted then interrupts again, so none is lost, and a guest that
//! never answers blocks only its own line.

use alloc::vec;
use alloc::vec::Vec;

use crate::acpi::{Acpi, IoApicEntry};
use crate::hw::Mmio;

/// How a pin behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wiring {
    /// Level triggered (else edge).
    pub level: bool,
    /// Active low (else high).
    pub active_low: bool,
}

impl Wiring {
    /// An ISA device's.
    pub const ISA: Self = Self {
        level: false,
        active_low: false,
    };
    /// A PCI INTx line's.
    pub const PCI: Self = Self {
        level: true,
        active_low: true,
    };
}

/// Where an ISA interrupt arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsaRoute {
    /// Global system interrupt.
    pub gsi: u32,
    /// Its wiring.
    pub wiring: Wiring,
}

/// ISA interrupts.
pub const ISA_INTERRUPTS: u8 = 16;

const SELECT: usize = 0x00;
const WINDOW: usize = 0x10;
const DIRECTED_EOI: usize = 0x40;
const VERSION: u8 = 1;
const REDIRECTION: u8 = 0x10;

const LEVEL: u32 = 1 << 15;
const ACTIVE_LOW: u32 = 1 << 13;
const MASKED: u32 = 1 << 16;
const NMI: u32 = 4 << 8;

struct IoApic {
    entry: IoApicEntry,
    window: Mmio,
    version: u8,
    /// Low words of the redirection entries as last written.
    shadow: Vec<u32>,
}

impl IoApic {
    fn open(entry: &IoApicEntry) -> Option<Self> {
        let window = Mmio::map(entry.address, 0x100)?;
        let mut apic = Self {
            entry: *entry,
            window,
            version: 0,
            shadow: Vec::new(),
        };
        let version = apic.read(VERSION);
        // Nobody answers there.
        if version == u32::MAX {
            return None;
        }
        apic.version = version as u8;
        // 240 entries are the most that fit the register numbers.
        apic.shadow = vec![MASKED; ((version >> 16 & 0xff) as usize + 1).min(120)];
        Some(apic)
    }

    fn pin(&self, gsi: u32) -> Option<usize> {
        let pin = usize::try_from(gsi.checked_sub(self.entry.gsi_base)?).ok()?;
        (pin < self.shadow.len()).then_some(pin)
    }

    fn read(&self, register: u8) -> u32 {
        self.window.write32(SELECT, register.into());
        self.window.read32(WINDOW)
    }

    fn write(&self, register: u8, value: u32) {
        self.window.write32(SELECT, register.into());
        self.window.write32(WINDOW, value);
    }

    fn write_low(&mut self, pin: usize, value: u32) {
        self.shadow[pin] = value;
        self.write(REDIRECTION + pin as u8 * 2, value);
    }

    fn write_high(&self, pin: usize, apic_id: u8) {
        self.write(REDIRECTION + pin as u8 * 2 + 1, u32::from(apic_id) << 24);
    }
}

#[cfg(target_os = "none")]
static IO_APICS: crate::sync::SpinLock<Vec<IoApic>> = crate::sync::SpinLock::new(Vec::new());

#[cfg(not(target_os = "none"))]
std::thread_local! {
    static IO_APICS: core::cell::RefCell<Vec<IoApic>> = const { core::cell::RefCell::new(Vec::new()) };
}

/// Runs `f` on the machine's I/O APICs (on the host: this thread's simulated ones).
fn with_all<R>(f: impl FnOnce(&mut Vec<IoApic>) -> R) -> R {
    #[cfg(target_os = "none")]
    return f(&mut IO_APICS.lock());
    #[cfg(not(target_os = "none"))]
    IO_APICS.with_borrow_mut(f)
}

/// Takes over all I/O APICs: every pin masked, the NMI sources of the MADT set up. Returns how many there are.
pub fn init(acpi: &Acpi) -> usize {
    let mut apics: Vec<IoApic> = Vec::new();
    for entry in &acpi.io_apics {
        if let Some(mut apic) = IoApic::open(entry) {
            for pin in 0..apic.shadow.len() {
                apic.write_low(pin, MASKED);
            }
            apics.push(apic);
        }
    }
    let count = apics.len();
    with_all(|all| *all = apics);
    for nmi in &acpi.nmi_sources {
        with_pin(nmi.gsi, |apic, pin| {
            apic.write_high(pin, crate::apic::id() as u8);
            let flags = if nmi.active_low == Some(true) {
                ACTIVE_LOW
            } else {
                0
            };
            apic.write_low(pin, NMI | flags);
        });
    }
    count
}

fn with_pin<R>(gsi: u32, f: impl FnOnce(&mut IoApic, usize) -> R) -> Option<R> {
    with_all(|apics| {
        apics
            .iter_mut()
            .find_map(|apic| apic.pin(gsi).map(|pin| (apic, pin)))
            .map(|(apic, pin)| f(apic, pin))
    })
}

/// One more than the highest global system interrupt; at least the ISA interrupts.
pub fn gsi_end() -> u32 {
    let end = |a: &IoApic| a.entry.gsi_base.saturating_add(a.shadow.len() as u32);
    with_all(|apics| {
        apics
            .iter()
            .map(end)
            .max()
            .unwrap_or(0)
            .max(ISA_INTERRUPTS.into())
    })
}

/// Whether a pin exists for this interrupt.
pub fn exists(gsi: u32) -> bool {
    with_pin(gsi, |_, _| ()).is_some()
}

/// Where an ISA interrupt arrives, with the MADT's overrides applied.
pub fn isa_route(acpi: &Acpi, irq: u8) -> IsaRoute {
    match acpi.overrides.iter().find(|o| o.irq == irq) {
        None => IsaRoute {
            gsi: irq.into(),
            wiring: Wiring::ISA,
        },
        Some(o) => IsaRoute {
            gsi: o.gsi,
            wiring: Wiring {
                level: o.level.unwrap_or(false),
                // "Conforms to the bus" means active high on ISA, except for a level-triggered line.
                active_low: o.active_low.unwrap_or(false),
            },
        },
    }
}

/// Programs a pin: vector, CPU, wiring, masked or not. False when the pin does not exist or the APIC id cannot be named.
pub fn route(gsi: u32, vector: u8, apic_id: u32, wiring: Wiring, masked: bool) -> bool {
    let Some(destination) = u8::try_from(apic_id).ok().filter(|&d| d != 0xff) else {
        return false;
    };
    record_mask(gsi, masked);
    with_pin(gsi, |apic, pin| {
        // Never live while half programmed.
        apic.write_low(pin, apic.shadow[pin] | MASKED);
        apic.write_high(pin, destination);
        let mut low = u32::from(vector);
        if wiring.level {
            low |= LEVEL;
        }
        if wiring.active_low {
            low |= ACTIVE_LOW;
        }
        apic.write_low(pin, if masked { low | MASKED } else { low });
    })
    .is_some()
}

/// Masks or unmasks a pin.
pub fn set_mask(gsi: u32, masked: bool) {
    record_mask(gsi, masked);
    with_pin(gsi, |apic, pin| {
        let low = if masked {
            apic.shadow[pin] | MASKED
        } else {
            apic.shadow[pin] & !MASKED
        };
        apic.write_low(pin, low);
    });
}

fn record_mask(_gsi: u32, _masked: bool) {
    #[cfg(not(target_os = "none"))]
    crate::sim::record(crate::sim::Event::Mask {
        gsi: _gsi,
        masked: _masked,
    });
}

/// Ends a level interrupt at the I/O APIC alone, where the version has that register (0x20 and up). False where not: the
/// broadcast by the local APIC is then what ends it.
pub fn directed_eoi(gsi: u32) -> bool {
    with_pin(gsi, |apic, pin| {
        let able = apic.version >= 0x20;
        if able {
            apic.window.write32(DIRECTED_EOI, apic.shadow[pin] & 0xff);
        }
        able
    })
    .unwrap_or(false)
}

/// Whether the pin's last level interrupt is still being served by some local APIC (remote IRR).
pub fn in_service(gsi: u32) -> bool {
    with_pin(gsi, |apic, pin| {
        apic.read(REDIRECTION + pin as u8 * 2) & 1 << 14 != 0
    })
    .unwrap_or(false)
}

/// Reads a register of the I/O APIC at physical address `base` on dom0's behalf; `None` when there is none.
pub fn read_register(base: u64, register: u8) -> Option<u32> {
    with_all(|apics| {
        apics
            .iter()
            .find(|a| a.entry.address == base)
            .map(|a| a.read(register))
    })
}

/// The global system interrupt that a redirection register (0x10 and up) of the I/O APIC at `base` belongs to.
pub fn gsi_of_register(base: u64, register: u8) -> Option<u32> {
    with_all(|apics| {
        let apic = apics.iter().find(|a| a.entry.address == base)?;
        let pin = usize::from(register.checked_sub(REDIRECTION)? / 2);
        (pin < apic.shadow.len()).then(|| apic.entry.gsi_base + pin as u32)
    })
}

/// Physical base addresses of all I/O APICs; dom0 must not map these pages writably.
pub fn addresses() -> Vec<u64> {
    with_all(|apics| apics.iter().map(|a| a.entry.address).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acpi::IsaOverride;

    #[test]
    fn overrides() {
        let mut acpi = Acpi::default();
        acpi.overrides.push(IsaOverride {
            irq: 0,
            gsi: 2,
            active_low: None,
            level: None,
        });
        acpi.overrides.push(IsaOverride {
            irq: 9,
            gsi: 9,
            active_low: Some(true),
            level: Some(true),
        });
        assert_eq!(
            isa_route(&acpi, 0),
            IsaRoute {
                gsi: 2,
                wiring: Wiring::ISA
            }
        );
        assert_eq!(isa_route(&acpi, 9).wiring, Wiring::PCI);
        assert_eq!(
            isa_route(&acpi, 4),
            IsaRoute {
                gsi: 4,
                wiring: Wiring::ISA
            }
        );
    }

    #[test]
    fn pins() {
        let entry = IoApicEntry {
            id: 0,
            address: 0xfec0_0000,
            gsi_base: 16,
        };
        let apic = IoApic {
            entry,
            window: Mmio::map(entry.address, 0x100).unwrap(),
            version: 0x20,
            shadow: vec![MASKED; 24],
        };
        with_all(|all| *all = vec![apic]);
        assert_eq!(
            (gsi_end(), exists(15), exists(16), exists(39), exists(40)),
            (40, false, true, true, false)
        );
        assert!(route(20, 0x51, 1, Wiring::PCI, true));
        let shadow = || with_pin(20, |a, p| a.shadow[p]).unwrap();
        assert_eq!(shadow(), 0x51 | LEVEL | ACTIVE_LOW | MASKED);
        set_mask(20, false);
        assert_eq!(shadow(), 0x51 | LEVEL | ACTIVE_LOW);
        assert!(directed_eoi(20) && !directed_eoi(99));
        assert_eq!(crate::sim::read_memory(0xfec0_0040), 0x51);
        assert!(!route(20, 0x51, 255, Wiring::PCI, true) && !route(99, 0x51, 0, Wiring::PCI, true));
        assert_eq!(
            (
                gsi_of_register(0xfec0_0000, 0x19),
                gsi_of_register(0xfec0_0000, 0x40)
            ),
            (Some(20), None)
        );
        assert_eq!(
            (
                read_register(0xfec0_0000, 1).is_some(),
                read_register(0xfec0_1000, 1)
            ),
            (true, None)
        );
    }
}
