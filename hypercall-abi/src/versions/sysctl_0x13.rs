//! sysctl 0x13 (Xen 4.14 and 4.15) and 0x14 (Xen 4.16): physinfo without the architecture's capabilities.
//!
//! Xen 4.14 to 4.16 public/sysctl.h.

use super::with_front;
use crate::macros::abi_structs;
use crate::sysctl::*;

/// Capabilities that 4.15 has names for.
const CAPABILITIES: u32 = XEN_SYSCTL_PHYSCAP_VMTRACE | (XEN_SYSCTL_PHYSCAP_VMTRACE - 1);

abi_structs! {
    /// `struct xen_sysctl_physinfo`.
    pub struct Physinfo0x13: "struct xen_sysctl_physinfo", size 104 {
        0 => threads_per_core: u32,
        4 => cores_per_socket: u32,
        8 => nr_cpus: u32,
        12 => max_cpu_id: u32,
        16 => nr_nodes: u32,
        20 => max_node_id: u32,
        24 => cpu_khz: u32,
        28 => capabilities: u32,
        32 => total_pages: u64,
        40 => free_pages: u64,
        48 => scrub_pages: u64,
        56 => outstanding_pages: u64,
        64 => max_mfn: u64,
        72 => hw_cap: [u32; 8],
    }
}

fn physinfo(p: &SysctlPhysinfo, known: u32) -> SysctlU {
    with_front(&Physinfo0x13 {
        threads_per_core: p.threads_per_core,
        cores_per_socket: p.cores_per_socket,
        nr_cpus: p.nr_cpus,
        max_cpu_id: p.max_cpu_id,
        nr_nodes: p.nr_nodes,
        max_node_id: p.max_node_id,
        cpu_khz: p.cpu_khz,
        capabilities: p.capabilities & known,
        total_pages: p.total_pages,
        free_pages: p.free_pages,
        scrub_pages: p.scrub_pages,
        outstanding_pages: p.outstanding_pages,
        max_mfn: p.max_mfn,
        hw_cap: p.hw_cap,
    })
}

pub(super) fn reply(cmd: SysctlCmd, answer: &SysctlU) -> SysctlU {
    match cmd {
        SysctlCmd::PHYSINFO => physinfo(&answer.physinfo(), CAPABILITIES),
        _ => *answer,
    }
}

/// 0x14: every capability of the canonical version has a name.
pub(super) fn reply_0x14(cmd: SysctlCmd, answer: &SysctlU) -> SysctlU {
    match cmd {
        SysctlCmd::PHYSINFO => physinfo(&answer.physinfo(), u32::MAX),
        _ => *answer,
    }
}
