//! Memory nodes: firmware's proximity domains (ACPI SRAT, SLIT) as the small numbers that the allocator and the tools use.
//!
//! Nodes are numbered in the order in which the table names their domains, processors first. A machine without the
//! table, or with `numa=off`, is one node.

use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};

use arch::acpi::Acpi;
use arch::addr::PAGE_SHIFT;

/// Most nodes.
pub const MAX_NODES: usize = 64;
/// Distance of a node from itself, by ACPI's convention, and between nodes without a table.
const LOCAL: u8 = 10;
const REMOTE: u8 = 20;

static ENABLED: AtomicBool = AtomicBool::new(true);

/// Whether firmware's description counts (`numa=`).
pub fn configure(enabled: bool) {
    ENABLED.store(enabled, Ordering::Relaxed);
}

/// Proximity domains by node number.
fn domains(acpi: &Acpi) -> Vec<u32> {
    let mut found = Vec::new();
    if !ENABLED.load(Ordering::Relaxed) {
        return found;
    }
    let processors = acpi.cpu_affinity.iter().map(|a| a.domain);
    for domain in processors.chain(acpi.memory_affinity.iter().map(|a| a.domain)) {
        if !found.contains(&domain) && found.len() < MAX_NODES {
            found.push(domain);
        }
    }
    found
}

fn number_of(domains: &[u32], domain: u32) -> Option<u8> {
    let at = domains.iter().position(|&d| d == domain)?;
    u8::try_from(at).ok()
}

/// Frames of each range and their node, for the allocator. Ranges that could only be plugged in later are left out.
pub fn ranges(acpi: &Acpi) -> Vec<(Range<u64>, u8)> {
    let domains = domains(acpi);
    let present = acpi.memory_affinity.iter().filter(|m| !m.hotplug);
    present
        .filter_map(|m| {
            let end = m.start.checked_add(m.length)?;
            let frames = m.start >> PAGE_SHIFT..end.div_ceil(1 << PAGE_SHIFT);
            Some((frames, number_of(&domains, m.domain)?))
        })
        .collect()
}

/// The node of a processor; 0 where nobody said.
pub fn of_processor(acpi: &Acpi, apic_id: u32) -> u8 {
    let affinity = acpi.cpu_affinity.iter().find(|a| a.apic_id == apic_id);
    affinity
        .and_then(|a| number_of(&domains(acpi), a.domain))
        .unwrap_or(0)
}

/// How far it is from node to node.
pub fn distance(acpi: &Acpi, from: usize, to: usize) -> u8 {
    let domains = domains(acpi);
    let told = || {
        let (from, to) = (*domains.get(from)?, *domains.get(to)?);
        acpi.slit.as_ref()?.distance(from, to)
    };
    told().unwrap_or(if from == to { LOCAL } else { REMOTE })
}

/// Frames from a node's first to its last, holes included; none for a node without memory.
pub fn span(acpi: &Acpi, node: u8) -> Option<Range<u64>> {
    let of_node = ranges(acpi).into_iter().filter(|(_, n)| *n == node);
    of_node
        .map(|(range, _)| range)
        .reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))
}

#[cfg(test)]
mod tests {
    use arch::acpi::{CpuAffinity, MemoryAffinity};

    use super::*;

    fn two_nodes() -> Acpi {
        let memory = |start, length, domain, hotplug| MemoryAffinity {
            start,
            length,
            domain,
            hotplug,
        };
        Acpi {
            cpu_affinity: alloc::vec![
                CpuAffinity {
                    apic_id: 0,
                    domain: 7
                },
                CpuAffinity {
                    apic_id: 1,
                    domain: 3
                },
            ],
            memory_affinity: alloc::vec![
                memory(0, 0xa_0000, 7, false),
                memory(0x10_0000, 0x3ff0_0000, 7, false),
                memory(0x4000_0000, 0x4000_0000, 3, false),
                memory(0x1_0000_0000, 0x4000_0000, 3, true),
            ],
            ..Acpi::default()
        }
    }

    #[test]
    fn domains_become_nodes() {
        let acpi = two_nodes();
        assert_eq!(of_processor(&acpi, 1), 1);
        assert_eq!(of_processor(&acpi, 9), 0);
        let ranges = ranges(&acpi);
        assert_eq!(ranges.len(), 3);
        assert_eq!(ranges[2], (0x4_0000..0x8_0000, 1));
        assert_eq!(span(&acpi, 0), Some(0..0x4_0000));
        assert_eq!(span(&acpi, 2), None);
        assert_eq!((distance(&acpi, 0, 0), distance(&acpi, 0, 1)), (10, 20));
        assert!(super::ranges(&Acpi::default()).is_empty());
    }
}
