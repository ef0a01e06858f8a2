//! The host's CPUs as the control interface names them: those in service by their numbers, then the rest of the enabled
//! ones in the order of the firmware's table. Where they sit: package and core, from their APIC ids.

use alloc::vec::Vec;

use arch::cpu::cpuid;

use crate::host::host;
use crate::sched::CpuMask;

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
    let processors = &arch::acpi::get().processors;
    let acpi_id = |apic_id| {
        processors
            .iter()
            .find(|p| p.apic_id == apic_id)
            .map_or(apic_id, |p| p.acpi_uid)
    };
    let sched = &host().sched;
    let mut cpus: Vec<Cpu> = (0..)
        .map_while(|n| sched.apic_id(n))
        .map(|apic_id| Cpu {
            apic_id,
            acpi_id: acpi_id(apic_id),
        })
        .collect();
    if cpus.is_empty() {
        let apic_id = arch::apic::id();
        cpus.push(Cpu {
            apic_id,
            acpi_id: acpi_id(apic_id),
        });
    }
    let started = cpus.len();
    for p in processors.iter().filter(|p| p.enabled) {
        if !cpus.iter().take(started).any(|c| c.apic_id == p.apic_id) {
            cpus.push(Cpu {
                apic_id: p.apic_id,
                acpi_id: p.acpi_uid,
            });
        }
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

/// CPUs that run guests.
pub fn online() -> CpuMask {
    host().sched.online()
}

/// How an APIC id splits: bits for the thread within its core, bits for both within the package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    thread_bits: u32,
    package_bits: u32,
}

impl Split {
    /// This host's (SDM 2A, leaf 0xb; for older processors leaves 1, 4, 0x80000008; APM 3, E.4.7).
    pub fn detect() -> Self {
        let max = cpuid(0, 0).eax;
        if max >= 0xb && cpuid(0xb, 0).ebx != 0 {
            let thread_bits = cpuid(0xb, 0).eax & 0x1f;
            let next = cpuid(0xb, 1);
            let package_bits = if next.ecx >> 8 & 0xff == 2 {
                next.eax & 0x1f
            } else {
                thread_bits
            };
            return Self::new(thread_bits, package_bits);
        }
        let leaf1 = cpuid(1, 0);
        if leaf1.edx & 1 << 28 == 0 {
            return Self::new(0, 0);
        }
        let logical = leaf1.ebx >> 16 & 0xff;
        let cores = if cpuid(0x8000_0000, 0).eax >= 0x8000_0008 && cpuid(0x8000_0008, 0).ecx != 0 {
            (cpuid(0x8000_0008, 0).ecx & 0xff) + 1
        } else if max >= 4 {
            (cpuid(4, 0).eax >> 26 & 0x3f) + 1
        } else {
            1
        };
        let bits = |n: u32| n.max(1).next_power_of_two().trailing_zeros();
        let package_bits = bits(logical.max(cores));
        Self::new(package_bits.saturating_sub(bits(cores)), package_bits)
    }

    /// At most all 32 bits, the package's at least the core's.
    fn new(thread_bits: u32, package_bits: u32) -> Self {
        let thread_bits = thread_bits.min(31);
        Self {
            thread_bits,
            package_bits: package_bits.clamp(thread_bits, 31),
        }
    }

    /// Whether it is the first thread of its core.
    pub fn is_first_thread(self, apic_id: u32) -> bool {
        self.thread(apic_id) == 0
    }

    /// Core within the package.
    pub fn core(self, apic_id: u32) -> u32 {
        (apic_id & !(u32::MAX << self.package_bits)) >> self.thread_bits
    }

    /// Thread within the core.
    pub fn thread(self, apic_id: u32) -> u32 {
        apic_id & !(u32::MAX << self.thread_bits)
    }

    /// Package.
    pub fn socket(self, apic_id: u32) -> u32 {
        apic_id >> self.package_bits
    }
}

/// Threads per core and cores per package that are in service, as counted at CPU 0.
pub fn shape() -> (u32, u32) {
    let split = Split::detect();
    let cpus = present();
    let Some(first) = cpus.first() else {
        return (1, 1);
    };
    let in_service = cpus
        .iter()
        .enumerate()
        .filter(|(n, _)| online().contains(*n))
        .map(|(_, c)| c.apic_id);
    let (mut threads, mut in_package) = (0, 0);
    for id in in_service {
        if split.socket(id) == split.socket(first.apic_id) {
            in_package += 1;
            threads += u32::from(split.core(id) == split.core(first.apic_id));
        }
    }
    let threads = threads.max(1);
    (threads, (in_package / threads).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apic_ids_split_into_package_core_and_thread() {
        let split = Split::new(1, 4);
        assert_eq!((split.core(0x17), split.socket(0x17)), (3, 1));
        let flat = Split::new(0, 0);
        assert_eq!((flat.core(5), flat.socket(5)), (0, 5));
        let silly = Split::new(99, 3);
        assert_eq!(silly.socket(u32::MAX), 1);
    }
}
