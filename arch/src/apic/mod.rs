//! The local APIC, in xAPIC (memory) or x2APIC (MSR) mode behind one interface; Intel SDM 3A chapter 11.
//!
//! Destinations are physical APIC ids everywhere. Without interrupt remapping devices can only reach ids below 255,
//! which `ioapic` and `msi` check.

mod legacy;
mod registers;
mod timer;
pub mod vectors;

use core::fmt;

use registers as reg;
pub use timer::{TimerKind, set_timer_kind, timer_kind};
pub(crate) use timer::{arm, calibration_count, calibration_start, disarm};

use crate::acpi::Acpi;

/// Why the local APIC cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApicError {
    /// CPUID says there is none.
    Absent,
    /// Its registers cannot be mapped.
    Unmappable(u64),
}

impl fmt::Display for ApicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("the processor has no local APIC"),
            Self::Unmappable(at) => {
                write!(f, "the local APIC's registers at {at:#x} cannot be mapped")
            }
        }
    }
}

const APIC_BASE_MSR: u32 = 0x1b;
const BASE_ENABLE: u64 = 1 << 11;
const BASE_X2APIC: u64 = 1 << 10;

/// Masks the 8259s, chooses the mode (x2APIC when the processor has it and `allow_x2apic`, or when firmware left it on)
/// and sets up the boot CPU's APIC.
pub fn init_bsp(acpi: &Acpi, allow_x2apic: bool) -> Result<(), ApicError> {
    let [_, _, ecx, edx] = crate::hw::cpuid(1, 0);
    if cfg!(target_os = "none") && edx & 1 << 9 == 0 {
        return Err(ApicError::Absent);
    }
    legacy::mask_8259(acpi.has_8259);
    let base = crate::hw::rdmsr(APIC_BASE_MSR);
    let capable = ecx & 1 << 21 != 0;
    if base & BASE_X2APIC != 0 || capable && allow_x2apic {
        reg::use_x2apic();
    } else {
        // The register block is where the MSR says; the MADT repeats it.
        let address = base & 0x000f_ffff_ffff_f000;
        reg::use_xapic(address).ok_or(ApicError::Unmappable(address))?;
    }
    init_cpu(acpi);
    Ok(())
}

/// Sets up another CPU's APIC in the mode that the boot CPU chose; called on that CPU.
pub fn init_ap(acpi: &Acpi) {
    init_cpu(acpi);
}

fn init_cpu(acpi: &Acpi) {
    let base = crate::hw::rdmsr(APIC_BASE_MSR);
    let mode = if reg::x2apic() {
        BASE_ENABLE | BASE_X2APIC
    } else {
        BASE_ENABLE
    };
    if base & mode != mode {
        // The way from off to x2APIC leads through xAPIC (SDM 11.12.5).
        if base & BASE_ENABLE == 0 {
            crate::hw::wrmsr(APIC_BASE_MSR, base | BASE_ENABLE);
        }
        crate::hw::wrmsr(APIC_BASE_MSR, base | mode);
    }
    reg::write(reg::TASK_PRIORITY, 0);
    reg::write(
        reg::SPURIOUS,
        u32::from(vectors::SPURIOUS) | reg::SPURIOUS_ENABLE,
    );
    reg::write(reg::LVT_TIMER, reg::LVT_MASKED | u32::from(vectors::TIMER));
    let entries = reg::read(reg::VERSION) >> 16 & 0xff;
    if entries >= 4 {
        reg::write(reg::LVT_PERFORMANCE, reg::LVT_MASKED);
    }
    if entries >= 5 && reg::read(reg::LVT_THERMAL) & reg::LVT_DELIVERY != reg::LVT_SMI {
        reg::write(reg::LVT_THERMAL, reg::LVT_MASKED);
    }
    let me = acpi
        .processors
        .iter()
        .find(|p| p.apic_id == id())
        .map(|p| p.acpi_uid);
    for (pin, register) in [(0, reg::LVT_LINT0), (1, reg::LVT_LINT1)] {
        let nmi = acpi
            .local_nmis
            .iter()
            .find(|n| n.lint == pin && (n.acpi_uid.is_none() || n.acpi_uid == me));
        let value = nmi.map_or(reg::LVT_MASKED, |n| {
            reg::LVT_NMI
                | if n.active_low == Some(true) {
                    reg::LVT_ACTIVE_LOW
                } else {
                    0
                }
        });
        reg::write(register, value);
    }
    reg::write(reg::ERROR_STATUS, 0);
    reg::write(reg::LVT_ERROR, vectors::ERROR.into());
    reg::write(reg::ERROR_STATUS, 0);
    // Whatever was in service when the boot loader left must not block lower vectors for ever.
    for word in (0..8).rev() {
        for _ in 0..reg::read(reg::IN_SERVICE + word).count_ones() {
            reg::write(reg::EOI, 0);
        }
    }
    timer::init_cpu();
}

/// Whether the APICs run in x2APIC mode.
pub fn x2apic() -> bool {
    reg::x2apic()
}

/// This CPU's APIC id.
pub fn id() -> u32 {
    reg::id()
}

/// Ends the interrupt in service with the highest priority on this CPU.
#[inline]
pub fn eoi() {
    #[cfg(not(target_os = "none"))]
    crate::sim::record(crate::sim::Event::Eoi);
    reg::write(reg::EOI, 0);
}

/// Whether a vector is in service on this CPU (delivered, its end not yet reported).
pub fn in_service(vector: u8) -> bool {
    reg::read(reg::IN_SERVICE + u32::from(vector / 32)) & 1 << (vector % 32) != 0
}

/// Ends an interrupt that is in service on this CPU, which takes none just now: the one with the highest priority. It would
/// hold back itself, its class and all below. None is the rule, and costs one read of a register.
#[inline]
pub fn end_leftover() -> Option<u8> {
    // The highest class in service; the task priority is always 0 (SDM 11.8.3.1).
    if reg::read(reg::PROCESSOR_PRIORITY) == 0 {
        return None;
    }
    let vector = highest(|word| reg::read(reg::IN_SERVICE + word))?;
    eoi();
    Some(vector)
}

/// The highest vector in a register of 256 bits.
fn highest(word: impl Fn(u32) -> u32) -> Option<u8> {
    let (number, bits) = (0..8).rev().map(|n| (n, word(n))).find(|&(_, w)| w != 0)?;
    u8::try_from(number * 32 + bits.ilog2()).ok()
}

/// Whether a vector is waiting for this CPU.
pub fn requested(vector: u8) -> bool {
    reg::read(reg::REQUESTED + u32::from(vector / 32)) & 1 << (vector % 32) != 0
}

/// Interrupts another CPU.
pub fn send_ipi(apic_id: u32, vector: u8) {
    #[cfg(not(target_os = "none"))]
    crate::sim::record(crate::sim::Event::Ipi { apic_id, vector });
    reg::command(apic_id, vector.into());
}

/// Resets another CPU (it then waits for [`send_startup`]).
pub fn send_init(apic_id: u32) {
    #[cfg(not(target_os = "none"))]
    crate::sim::record(crate::sim::Event::Init { apic_id });
    reg::command(apic_id, reg::INIT | reg::ASSERT);
}

/// Starts another CPU in real mode at physical address `page << 12`.
pub fn send_startup(apic_id: u32, page: u8) {
    #[cfg(not(target_os = "none"))]
    crate::sim::record(crate::sim::Event::StartUp { apic_id, page });
    reg::command(apic_id, reg::STARTUP | reg::ASSERT | u32::from(page));
}

/// Sends a non-maskable interrupt to one CPU.
pub fn send_nmi(apic_id: u32) {
    #[cfg(not(target_os = "none"))]
    crate::sim::record(crate::sim::Event::Nmi {
        apic_id: Some(apic_id),
    });
    reg::command(apic_id, reg::NMI | reg::ASSERT);
}

/// Sends a non-maskable interrupt to all other CPUs (panic, debug keys).
pub fn broadcast_nmi() {
    #[cfg(not(target_os = "none"))]
    crate::sim::record(crate::sim::Event::Nmi { apic_id: None });
    reg::command(0, reg::NMI | reg::ASSERT | reg::ALL_BUT_SELF);
}

/// Stops all other CPUs for good (they wait for a start-up that nobody sends): before power-off, reset or a panic's dump.
pub fn stop_other_cpus() {
    reg::command(0, reg::INIT | reg::ASSERT | reg::ALL_BUT_SELF);
}

/// Reads and clears the error status (SDM 11.5.3); for the handler of [`vectors::ERROR`].
pub fn take_errors() -> u32 {
    reg::write(reg::ERROR_STATUS, 0);
    reg::read(reg::ERROR_STATUS)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_highest_vector_of_a_register() {
        let highest = |words: [u32; 8]| super::highest(|n| words[n as usize]);
        assert_eq!(highest([0; 8]), None);
        assert_eq!(highest([1, 0, 0, 0, 0, 0, 0, 0]), Some(0));
        assert_eq!(highest([0, 1 << 31 | 1, 0, 0, 0, 0, 0, 0]), Some(63));
        assert_eq!(highest([u32::MAX, 0, 0, 1, 0, 0, 0, 1 << 24]), Some(0xf8));
    }
}
