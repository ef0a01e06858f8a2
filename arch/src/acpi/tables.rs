//! The tables' contents.

use alloc::vec::Vec;

use super::Acpi;
use super::bytes::Bytes;

/// One table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableInfo {
    /// Four-letter signature.
    pub signature: [u8; 4],
    /// Physical address.
    pub address: u64,
    /// Bytes, header included.
    pub length: u32,
}

/// A processor (MADT types 0 and 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processor {
    /// Local APIC id (32 bits in x2APIC entries).
    pub apic_id: u32,
    /// The id that ACPI namespace objects use.
    pub acpi_uid: u32,
    /// Usable now.
    pub enabled: bool,
    /// Could be plugged in later.
    pub online_capable: bool,
}

/// An I/O APIC (MADT type 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApicEntry {
    /// Its APIC id.
    pub id: u8,
    /// Physical address of its registers.
    pub address: u64,
    /// The first global system interrupt.
    pub gsi_base: u32,
}

/// An ISA interrupt's real wiring (MADT type 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IsaOverride {
    /// ISA interrupt number.
    pub irq: u8,
    /// Global system interrupt.
    pub gsi: u32,
    /// Polarity; `None` as the bus has it.
    pub active_low: Option<bool>,
    /// Trigger; `None` as the bus has it.
    pub level: Option<bool>,
}

/// An I/O APIC pin that is an NMI (MADT type 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NmiSource {
    /// Global system interrupt.
    pub gsi: u32,
    /// Polarity; `None` as the bus has it.
    pub active_low: Option<bool>,
    /// Trigger; `None` as the bus has it.
    pub level: Option<bool>,
}

/// A local APIC pin that is an NMI (MADT types 4 and 10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalNmi {
    /// The processor, `None` for all.
    pub acpi_uid: Option<u32>,
    /// 0 or 1.
    pub lint: u8,
    /// Polarity; `None` as the bus has it.
    pub active_low: Option<bool>,
    /// Trigger; `None` as the bus has it.
    pub level: Option<bool>,
}

/// A window onto PCI Express configuration space (MCFG).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct McfgEntry {
    /// Physical address where bus 0 of the segment would be.
    pub address: u64,
    /// PCI segment group.
    pub segment: u16,
    /// First bus in the window.
    pub first_bus: u8,
    /// Last bus in the window.
    pub last_bus: u8,
}

/// The space of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressSpace {
    /// Physical memory.
    Memory,
    /// I/O ports.
    Io,
    /// Configuration space of a device on bus 0.
    PciConfig,
}

/// A register (ACPI generic address structure).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    /// Where.
    pub space: AddressSpace,
    /// Bits.
    pub width: u8,
    /// Address in that space.
    pub address: u64,
}

/// The fixed description table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fadt {
    /// Global system interrupt (or 8259 line) of the system control interrupt.
    pub sci: u16,
    /// Firmware control structure (holds the wake-up vector).
    pub facs: u64,
    /// Power management 1a event block.
    pub pm1a_event: Option<Register>,
    /// Power management 1a control.
    pub pm1a_control: Option<Register>,
    /// Power management 1b control.
    pub pm1b_control: Option<Register>,
    /// The 3.579545 MHz timer.
    pub pm_timer: Option<Register>,
    /// It counts 32 bits instead of 24.
    pub pm_timer_32bit: bool,
    /// Reset register and the value to write.
    pub reset: Option<(Register, u8)>,
    /// CMOS index of the century; 0 when there is none.
    pub century: u8,
    /// The platform says that it has no VGA (IAPC_BOOT_ARCH bit 2).
    pub no_vga: bool,
    /// The platform says that it has no CMOS clock (IAPC_BOOT_ARCH bit 5).
    pub no_cmos_rtc: bool,
    /// Hardware-reduced ACPI: the fixed registers do not exist.
    pub hardware_reduced: bool,
}

/// A processor's proximity domain (SRAT types 0 and 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuAffinity {
    /// Local APIC id.
    pub apic_id: u32,
    /// Proximity domain.
    pub domain: u32,
}

/// A memory range's proximity domain (SRAT type 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryAffinity {
    /// First byte.
    pub start: u64,
    /// Bytes.
    pub length: u64,
    /// Proximity domain.
    pub domain: u32,
    /// May be plugged in later.
    pub hotplug: bool,
}

/// Distances between proximity domains, 10 meaning local.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slit {
    localities: usize,
    matrix: Vec<u8>,
}

impl Slit {
    /// Distance; `None` for domains the table does not know.
    pub fn distance(&self, from: u32, to: u32) -> Option<u8> {
        let (from, to) = (from as usize, to as usize);
        if from >= self.localities || to >= self.localities {
            return None;
        }
        self.matrix.get(from * self.localities + to).copied()
    }
}

/// MPS INTI flags: polarity in bits 0-1, trigger in bits 2-3.
fn inti(flags: u16) -> (Option<bool>, Option<bool>) {
    let choice = |bits| match bits & 3 {
        1 => Some(false),
        3 => Some(true),
        _ => None,
    };
    (choice(flags), choice(flags >> 2))
}

impl Acpi {
    pub(super) fn read_madt(&mut self, t: Bytes<'_>) -> Option<()> {
        self.local_apic_address = t.u32(36)?.into();
        self.has_8259 = t.u32(40)? & 1 != 0;
        for entry in t.from(44).entries() {
            // A short entry is skipped; its neighbours are still good.
            let _ = self.read_madt_entry(entry);
        }
        Some(())
    }

    fn read_madt_entry(&mut self, e: Bytes<'_>) -> Option<()> {
        match e.u8(0)? {
            0 => self.add_processor(e.u8(3)?.into(), e.u8(2)?.into(), e.u32(4)?, 0xff),
            9 => self.add_processor(e.u32(4)?, e.u32(12)?, e.u32(8)?, u32::MAX),
            1 => {
                let entry = IoApicEntry {
                    id: e.u8(2)?,
                    address: e.u32(4)?.into(),
                    gsi_base: e.u32(8)?,
                };
                self.io_apics.push(entry);
            }
            2 => {
                let (active_low, level) = inti(e.u16(8)?);
                let (irq, gsi) = (e.u8(3)?, e.u32(4)?);
                if irq < 16 {
                    self.overrides.push(IsaOverride {
                        irq,
                        gsi,
                        active_low,
                        level,
                    });
                }
            }
            3 => {
                let (active_low, level) = inti(e.u16(2)?);
                self.nmi_sources.push(NmiSource {
                    gsi: e.u32(4)?,
                    active_low,
                    level,
                });
            }
            4 => {
                let uid = e.u8(2)?;
                let (active_low, level) = inti(e.u16(3)?);
                let acpi_uid = (uid != 0xff).then_some(uid.into());
                self.local_nmis.push(LocalNmi {
                    acpi_uid,
                    lint: e.u8(5)?,
                    active_low,
                    level,
                });
            }
            5 => self.local_apic_address = e.u64(4)?,
            10 => {
                let (active_low, level) = inti(e.u16(2)?);
                let uid = e.u32(4)?;
                let acpi_uid = (uid != u32::MAX).then_some(uid);
                self.local_nmis.push(LocalNmi {
                    acpi_uid,
                    lint: e.u8(8)?,
                    active_low,
                    level,
                });
            }
            _ => {}
        }
        Some(())
    }

    fn add_processor(&mut self, apic_id: u32, acpi_uid: u32, flags: u32, nobody: u32) {
        // Firmware lists empty sockets with the broadcast id, and some list a CPU in both forms.
        if apic_id == nobody || self.processors.iter().any(|p| p.apic_id == apic_id) {
            return;
        }
        let (enabled, online_capable) = (flags & 1 != 0, flags & 2 != 0);
        self.processors.push(Processor {
            apic_id,
            acpi_uid,
            enabled,
            online_capable,
        });
    }

    pub(super) fn read_mcfg(&mut self, t: Bytes<'_>) -> Option<()> {
        t.u64(36)?;
        for entry in t.from(44).0.chunks_exact(16).map(Bytes) {
            let window = McfgEntry {
                address: entry.u64(0)?,
                segment: entry.u16(8)?,
                first_bus: entry.u8(10)?,
                last_bus: entry.u8(11)?,
            };
            if window.first_bus <= window.last_bus && window.address != 0 {
                self.mcfg.push(window);
            }
        }
        Some(())
    }

    pub(super) fn read_hpet(&mut self, t: Bytes<'_>) -> Option<()> {
        let (space, address) = (t.u8(40)?, t.u64(44)?);
        if space == 0 && address != 0 {
            self.hpet = Some(address);
        }
        Some(())
    }

    pub(super) fn read_fadt(&mut self, t: Bytes<'_>) -> Option<()> {
        let sci = t.u16(46)?;
        // The oldest table ends at byte 116; what newer ones add may be missing.
        let flags = t.u32(112)?;
        let boot_flags = t.u16(109)?;
        let revision = t.u8(8)?;
        let extended = |offset| t.u64(offset).filter(|&a| a != 0);
        let block = |old: usize, length: usize, new: usize| -> Option<Register> {
            let bytes = t.u8(length)?;
            if bytes == 0 {
                return None;
            }
            generic_address(t.from(new))
                .map(|r| Register {
                    width: bytes.saturating_mul(8).min(32),
                    ..r
                })
                .or_else(|| {
                    let address = u64::from(t.u32(old)?);
                    let register = Register {
                        space: AddressSpace::Io,
                        width: bytes.saturating_mul(8).min(32),
                        address,
                    };
                    (address != 0).then_some(register)
                })
        };
        let reset = generic_address(t.from(116))
            .zip(t.u8(128))
            .filter(|_| flags & 1 << 10 != 0);
        self.fadt = Some(Fadt {
            sci,
            facs: extended(132).unwrap_or_else(|| t.u32(36).unwrap_or(0).into()),
            pm1a_event: block(56, 88, 148),
            pm1a_control: block(64, 89, 172),
            pm1b_control: block(68, 89, 184),
            pm_timer: block(76, 91, 208),
            pm_timer_32bit: flags & 1 << 8 != 0,
            reset,
            century: t.u8(108)?,
            no_vga: revision >= 3 && boot_flags & 1 << 2 != 0,
            no_cmos_rtc: revision >= 4 && boot_flags & 1 << 5 != 0,
            hardware_reduced: flags & 1 << 20 != 0,
        });
        Some(())
    }

    pub(super) fn read_srat(&mut self, t: Bytes<'_>) -> Option<()> {
        t.u64(40)?;
        for e in t.from(48).entries() {
            let _ = self.read_srat_entry(e);
        }
        Some(())
    }

    fn read_srat_entry(&mut self, e: Bytes<'_>) -> Option<()> {
        match e.u8(0)? {
            0 if e.u32(4)? & 1 != 0 => {
                let domain = u32::from_le_bytes([e.u8(2)?, e.u8(9)?, e.u8(10)?, e.u8(11)?]);
                self.cpu_affinity.push(CpuAffinity {
                    apic_id: e.u8(3)?.into(),
                    domain,
                });
            }
            1 if e.u32(28)? & 1 != 0 => {
                let (start, length) = (e.u64(8)?, e.u64(16)?);
                start.checked_add(length)?;
                let (domain, hotplug) = (e.u32(2)?, e.u32(28)? & 2 != 0);
                self.memory_affinity.push(MemoryAffinity {
                    start,
                    length,
                    domain,
                    hotplug,
                });
            }
            2 if e.u32(12)? & 1 != 0 => {
                self.cpu_affinity.push(CpuAffinity {
                    apic_id: e.u32(8)?,
                    domain: e.u32(4)?,
                });
            }
            _ => {}
        }
        Some(())
    }

    pub(super) fn read_slit(&mut self, t: Bytes<'_>) -> Option<()> {
        let localities = usize::try_from(t.u64(36)?).ok()?;
        let matrix = t
            .from(44)
            .0
            .get(..localities.checked_mul(localities)?)?
            .to_vec();
        self.slit = Some(Slit { localities, matrix });
        Some(())
    }
}

/// A generic address structure; `None` when absent, null or in a space the hypervisor does not use.
fn generic_address(t: Bytes<'_>) -> Option<Register> {
    let space = match t.u8(0)? {
        0 => AddressSpace::Memory,
        1 => AddressSpace::Io,
        2 => AddressSpace::PciConfig,
        _ => return None,
    };
    let (width, address) = (t.u8(1)?, t.u64(4)?);
    (address != 0).then_some(Register {
        space,
        width,
        address,
    })
}
