//! The host's CPUs as the control interface names them: dense numbers, the boot CPU first, then the enabled ones in the
//! order of the firmware's table - the order in which they are started.

use alloc::vec::Vec;

use crate::host::host;

/// A CPU that is present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Local APIC id.
    pub apic_id: u32,
    /// What ACPI calls it.
    pub acpi_id: u32,
}

/// Every present CPU by number; at least the boot CPU.
pub fn present() -> Vec<Cpu> {
    let boot = arch::apic::id();
    let mut cpus: Vec<Cpu> = arch::acpi::get()
        .processors
        .iter()
        .filter(|p| p.enabled)
        .map(|p| Cpu {
            apic_id: p.apic_id,
            acpi_id: p.acpi_uid,
        })
        .collect();
    if let Some(at) = cpus.iter().position(|c| c.apic_id == boot) {
        if let Some(head) = cpus.get_mut(..=at) {
            head.rotate_right(1);
        }
    } else {
        cpus.insert(
            0,
            Cpu {
                apic_id: boot,
                acpi_id: 0,
            },
        );
    }
    cpus
}

/// The CPU with this number, if it is present.
pub fn get(number: u32) -> Option<Cpu> {
    present().get(usize::try_from(number).ok()?).copied()
}

/// Whether a CPU runs guests.
pub fn is_online(number: u32) -> bool {
    usize::try_from(number).is_ok_and(|n| host().sched.online().contains(n))
}
