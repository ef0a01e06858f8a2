//! Memory, CPUs and devices of the host, for `xl info`, `xl list -n`, `xl vcpu-list`.

use arch::addr::PAGE_SHIFT;
use arch::pci::Sbdf;
use hypercall_abi::Errno;
use hypercall_abi::sysctl::*;

use crate::control::cpus::{self, Split};
use crate::control::policy::Policy;
use crate::host::host;
use crate::{guest, numa, sched};

/// Highest node number that the interface can name.
const MAX_NODE_ID: u32 = 63;
/// PCI devices answered in one call; the caller comes back for the rest.
const MAX_DEVICES: u32 = 64;

fn nodes() -> u32 {
    (host().mm.buddy.nodes() as u32).max(1)
}

/// `XEN_SYSCTL_physinfo`.
pub(super) fn physinfo() -> SysctlPhysinfo {
    let mm = &host().mm;
    let (threads_per_core, cores_per_socket) = cpus::shape();
    let mut hw_cap = [0; 8];
    for (to, from) in hw_cap.iter_mut().zip(Policy::Host.features()) {
        *to = from;
    }
    SysctlPhysinfo {
        threads_per_core,
        cores_per_socket,
        nr_cpus: cpus::online().count() as u32,
        max_cpu_id: (cpus::present().len() as u32).saturating_sub(1),
        nr_nodes: nodes(),
        max_node_id: MAX_NODE_ID,
        cpu_khz: u32::try_from(arch::clock::tsc_hz() / 1000).unwrap_or(u32::MAX),
        capabilities: XEN_SYSCTL_PHYSCAP_PV
            | XEN_SYSCTL_PHYSCAP_GNTTAB_V1
            | XEN_SYSCTL_PHYSCAP_GNTTAB_V2,
        arch_capabilities: 0,
        pad: 0,
        total_pages: mm.total_pages(),
        // Without what no domain gets: the tools take this for what they can give.
        free_pages: mm.free_pages().saturating_sub(mm.reserve()),
        scrub_pages: mm.dirty_pages(),
        outstanding_pages: mm.buddy.statistics().claimed,
        max_mfn: mm.frames.len().saturating_sub(1),
        hw_cap,
    }
}

/// `XEN_SYSCTL_getcpuinfo`: nanoseconds that each CPU was idle.
pub(super) fn idle_times(mut op: SysctlGetcpuinfo) -> Result<SysctlGetcpuinfo, Errno> {
    let count = op.max_cpus.min(cpus::present().len() as u32);
    for n in 0..count {
        let info = SysctlCpuinfo {
            idletime: sched::idle_time(n as usize).unwrap_or(0),
        };
        guest::write(op.info, n.into(), &info)?;
    }
    op.nr_cpus = count;
    Ok(op)
}

/// `XEN_SYSCTL_availheap`: free bytes at addresses of `min_bitwidth` to `max_bitwidth` bits, on one node or (-1) all.
pub(super) fn available(mut op: SysctlAvailheap) -> SysctlAvailheap {
    let buddy = &host().mm.buddy;
    let pages = match usize::try_from(op.node) {
        Ok(node) if node >= buddy.nodes().max(1) => 0,
        Ok(node) if buddy.nodes() > 1 => buddy.free_on_node(node),
        _ => {
            let up_to = if op.max_bitwidth == 0 {
                buddy.statistics().free
            } else {
                buddy.free_below(op.max_bitwidth)
            };
            let below = match op.min_bitwidth.saturating_sub(1) {
                0..=PAGE_SHIFT => 0,
                bits => buddy.free_below(bits),
            };
            up_to.saturating_sub(below)
        }
    };
    op.avail_bytes = pages << PAGE_SHIFT;
    op
}

/// `XEN_SYSCTL_cputopoinfo`: where each CPU sits. Without an array, how many there are.
pub(super) fn cpu_topology(mut op: SysctlCputopoinfo) -> Result<SysctlCputopoinfo, Errno> {
    let cpus = cpus::present();
    let count = cpus.len() as u32;
    if op.cputopo.is_null() {
        op.num_cpus = count;
        return Ok(op);
    }
    op.num_cpus = op.num_cpus.min(count);
    let split = Split::detect();
    for (n, cpu) in (0..op.num_cpus).zip(&cpus) {
        let place = SysctlCputopo {
            core: split.core(cpu.apic_id),
            socket: split.socket(cpu.apic_id),
            node: numa::of_processor(arch::acpi::get(), cpu.apic_id).into(),
        };
        guest::write(op.cputopo, n.into(), &place)?;
    }
    Ok(op)
}

/// `XEN_SYSCTL_numainfo`: memory of each node and distances between them. Without arrays, how many nodes there are.
pub(super) fn numa_info(mut op: SysctlNumainfo) -> Result<SysctlNumainfo, Errno> {
    let mm = &host().mm;
    let count = nodes();
    if op.meminfo.is_null() && op.distance.is_null() {
        op.num_nodes = count;
        return Ok(op);
    }
    op.num_nodes = op.num_nodes.min(count);
    for from in 0..op.num_nodes {
        if !op.meminfo.is_null() {
            let (size, free) = if count == 1 {
                (mm.frames.len(), mm.free_pages())
            } else {
                let span = numa::span(arch::acpi::get(), from as u8);
                (
                    // What lies beyond was left out (`mem=`).
                    span.map_or(0, |frames| {
                        frames.end.min(mm.frames.len()).saturating_sub(frames.start)
                    }),
                    mm.buddy.free_on_node(from as usize),
                )
            };
            let info = SysctlMeminfo {
                memsize: size << PAGE_SHIFT,
                memfree: free << PAGE_SHIFT,
            };
            guest::write(op.meminfo, from.into(), &info)?;
        }
        if !op.distance.is_null() {
            for to in 0..op.num_nodes {
                let distance: u32 =
                    numa::distance(arch::acpi::get(), from as usize, to as usize).into();
                guest::write(op.distance, (from * op.num_nodes + to).into(), &distance)?;
            }
        }
    }
    Ok(op)
}

/// `XEN_SYSCTL_pcitopoinfo`: the node of each device named. `EINVAL` without arrays.
pub(super) fn pci_topology(mut op: SysctlPcitopoinfo) -> Result<SysctlPcitopoinfo, Errno> {
    if op.devs.is_null() || op.nodes.is_null() {
        return Err(Errno::EINVAL);
    }
    op.num_devs = op.num_devs.min(MAX_DEVICES);
    for i in 0..op.num_devs {
        let device = guest::read(op.devs, i.into())?;
        let node = if Sbdf::new(device.seg, device.bus, device.devfn).exists() {
            XEN_INVALID_NODE_ID
        } else {
            XEN_INVALID_DEV
        };
        guest::write(op.nodes, i.into(), &node)?;
    }
    Ok(op)
}
