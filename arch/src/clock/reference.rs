//! The counters of known rate: HPET, ACPI power management timer, PIT channel 2.

use crate::acpi::{Acpi, AddressSpace};
use crate::hw::{self, Mmio};

/// A counter of known rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceKind {
    /// High precision event timer (IA-PC HPET specification).
    Hpet,
    /// ACPI power management timer, 3.579545 MHz.
    PmTimer,
    /// The 8254's channel 2, 1.193182 MHz.
    Pit,
}

impl core::fmt::Display for ReferenceKind {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Hpet => "HPET",
            Self::PmTimer => "ACPI PM timer",
            Self::Pit => "PIT",
        })
    }
}

/// One such counter, running.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reference {
    pub kind: ReferenceKind,
    pub hz: u64,
    /// The counter's significant bits.
    pub mask: u64,
    access: Access,
}

#[derive(Clone, Copy, Debug)]
enum Access {
    Hpet { window: Mmio, wide: bool },
    PmIo(u16),
    PmMemory(Mmio),
    Pit,
}

const HPET_PERIOD: usize = 0x004;
const HPET_CAPABILITIES: usize = 0x000;
const HPET_CONFIG: usize = 0x010;
const HPET_COUNTER: usize = 0x0f0;
/// The specification's longest period in femtoseconds.
const HPET_LONGEST_PERIOD: u32 = 100_000_000;
const PM_TIMER_HZ: u64 = 3_579_545;
const PIT_HZ: u64 = 1_193_182;

impl Reference {
    /// Those that exist and run, best first.
    pub(super) fn candidates(acpi: &Acpi) -> impl Iterator<Item = Self> + use<> {
        let (hpet, fadt) = (acpi.hpet, acpi.fadt);
        // Opened one after the other, so that a machine with an HPET never touches the others.
        (0..3)
            .filter_map(move |rank| match rank {
                0 => Self::hpet(hpet?),
                1 => Self::pm_timer(&fadt?),
                _ => Some(Self::pit()),
            })
            .filter(Self::runs)
    }

    fn hpet(address: u64) -> Option<Self> {
        let window = Mmio::map(address, 0x400)?;
        let period = window.read32(HPET_PERIOD);
        if period == 0 || period > HPET_LONGEST_PERIOD {
            return None;
        }
        let hz = 1_000_000_000_000_000 / u64::from(period);
        window.write32(HPET_CONFIG, window.read32(HPET_CONFIG) | 1);
        let wide = window.read32(HPET_CAPABILITIES) & 1 << 13 != 0;
        let mask = if wide { u64::MAX } else { u32::MAX.into() };
        Some(Self {
            kind: ReferenceKind::Hpet,
            hz,
            mask,
            access: Access::Hpet { window, wide },
        })
    }

    fn pm_timer(fadt: &crate::acpi::Fadt) -> Option<Self> {
        let register = fadt.pm_timer?;
        let access = match register.space {
            AddressSpace::Io => Access::PmIo(register.address.try_into().ok()?),
            AddressSpace::Memory => Access::PmMemory(Mmio::map(register.address, 4)?),
            AddressSpace::PciConfig => return None,
        };
        let mask = if fadt.pm_timer_32bit {
            0xffff_ffff
        } else {
            0x00ff_ffff
        };
        Some(Self {
            kind: ReferenceKind::PmTimer,
            hz: PM_TIMER_HZ,
            mask,
            access,
        })
    }

    /// Starts channel 2 at its longest count (mode 0, 55 ms), speaker off.
    fn pit() -> Self {
        hw::outb(0x61, hw::inb(0x61) & !2 | 1);
        hw::outb(0x43, 0xb0);
        hw::outb(0x42, 0xff);
        hw::outb(0x42, 0xff);
        Self {
            kind: ReferenceKind::Pit,
            hz: PIT_HZ,
            mask: 0xffff,
            access: Access::Pit,
        }
    }

    /// The counter, counting up, within [`Self::mask`].
    #[inline]
    pub(super) fn read(&self) -> u64 {
        let raw = match &self.access {
            Access::Hpet {
                window,
                wide: false,
            } => window.read32(HPET_COUNTER).into(),
            Access::Hpet { window, wide: true } => loop {
                let high = window.read32(HPET_COUNTER + 4);
                let low = window.read32(HPET_COUNTER);
                if high == window.read32(HPET_COUNTER + 4) {
                    break u64::from(high) << 32 | u64::from(low);
                }
            },
            Access::PmIo(port) => hw::inl(*port).into(),
            Access::PmMemory(window) => window.read32(0).into(),
            Access::Pit => {
                hw::outb(0x43, 0x80);
                let low = hw::inb(0x42);
                !u64::from(u16::from_le_bytes([low, hw::inb(0x42)]))
            }
        };
        raw & self.mask
    }

    /// Whether it counts at all, and forwards.
    fn runs(&self) -> bool {
        let first = self.read();
        (0..100_000).any(|_| {
            let ticks = self.read().wrapping_sub(first) & self.mask;
            ticks != 0 && ticks < self.mask / 2
        })
    }
}
