//! `xl info`.

use std::fmt::Write as _;

use hypercall_abi::domctl::Scheduler;
use hypercall_abi::physdev::PhysdevPciDevice;
use hypercall_abi::sysctl::{
    SysctlCputopo, SysctlMeminfo, SysctlPhysinfo, XEN_INVALID_CORE_ID, XEN_INVALID_DEV,
    XEN_INVALID_MEM_SZ, XEN_INVALID_NODE_ID, XEN_SYSCTL_PHYSCAP_DIRECTIO,
    XEN_SYSCTL_PHYSCAP_GNTTAB_V1, XEN_SYSCTL_PHYSCAP_GNTTAB_V2, XEN_SYSCTL_PHYSCAP_HAP,
    XEN_SYSCTL_PHYSCAP_HVM, XEN_SYSCTL_PHYSCAP_IOMMU_HAP_PT_SHARE, XEN_SYSCTL_PHYSCAP_PV,
    XEN_SYSCTL_PHYSCAP_SHADOW, XEN_SYSCTL_PHYSCAP_VMTRACE, XEN_SYSCTL_PHYSCAP_VPMU,
};

use crate::hypercall::{Error, Interface, Version};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[arg(short = 'n', long)]
    numa: bool,
    /// Print the value of this line only.
    name: Option<String>,
}

/// What the running kernel of dom0 calls itself.
struct Node {
    host: String,
    release: String,
    version: String,
    machine: String,
}

struct Machine {
    physical: SysctlPhysinfo,
    sharing_freed: u64,
    sharing_used: u64,
    free_cpus: u32,
}

pub(super) fn run(xen: &Interface, arguments: &Arguments) -> Result<String, Error> {
    let physical = xen.physinfo()?;
    let (sharing_freed, sharing_used) = xen.sharing()?;
    let cpus = physical.max_cpu_id.saturating_add(1);
    let machine = Machine {
        physical,
        sharing_freed,
        sharing_used,
        free_cpus: xen.free_cpus(cpus)?,
    };
    let version = xen.version()?;
    let mut out = node_lines(&node()) + &machine_lines(&machine, version.page_size);
    if arguments.numa {
        out += &topology_lines(&xen.cpu_topology(cpus)?);
        let functions = pci_functions();
        out += &device_lines(&functions, &xen.pci_topology(&functions)?);
        let (memory, distances) = xen.numa(physical.max_node_id.saturating_add(1))?;
        out += &numa_lines(&memory, &distances);
    }
    out += &xen_lines(&version, xen.scheduler()?);
    out += "xend_config_format     : 4\n";
    Ok(match &arguments.name {
        Some(name) if !arguments.numa => only(&out, name),
        _ => out,
    })
}

fn node() -> Node {
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    Node {
        host: text(uname.nodename()),
        release: text(uname.release()),
        version: text(uname.version()),
        machine: text(uname.machine()),
    }
}

/// The values of the lines whose name begins so.
fn only(all: &str, name: &str) -> String {
    let lines = all.lines().filter(|line| line.starts_with(name));
    let values = lines.filter_map(|line| line.split_once(':')?.1.strip_prefix(' '));
    values.map(|value| format!("{value}\n")).collect()
}

fn field(out: &mut String, name: &str, value: impl std::fmt::Display) {
    let _ = writeln!(out, "{name:<23}: {value}");
}

fn node_lines(node: &Node) -> String {
    let mut out = String::new();
    field(&mut out, "host", &node.host);
    field(&mut out, "release", &node.release);
    field(&mut out, "version", &node.version);
    field(&mut out, "machine", &node.machine);
    out
}

fn machine_lines(machine: &Machine, page_size: u64) -> String {
    let info = &machine.physical;
    let mut out = String::new();
    field(&mut out, "nr_cpus", info.nr_cpus);
    field(&mut out, "max_cpu_id", info.max_cpu_id);
    field(&mut out, "nr_nodes", info.nr_nodes);
    field(&mut out, "cores_per_socket", info.cores_per_socket);
    field(&mut out, "threads_per_core", info.threads_per_core);
    let (mhz, rest) = (info.cpu_khz / 1000, info.cpu_khz % 1000);
    field(&mut out, "cpu_mhz", format_args!("{mhz}.{rest:03}"));
    let caps = info.hw_cap.map(|word| format!("{word:08x}"));
    field(&mut out, "hw_caps", caps.join(":"));
    // Each name brings its own space.
    let _ = writeln!(out, "{:<23}:{}", "virt_caps", virt_caps(info.capabilities));
    let per_mib = ((1 << 20) / page_size.max(1)).max(1);
    let free = info.free_pages.saturating_sub(info.outstanding_pages);
    field(&mut out, "total_memory", info.total_pages / per_mib);
    field(&mut out, "free_memory", free / per_mib);
    let (freed, used) = (machine.sharing_freed, machine.sharing_used);
    field(&mut out, "sharing_freed_memory", freed / per_mib);
    field(&mut out, "sharing_used_memory", used / per_mib);
    field(
        &mut out,
        "outstanding_claims",
        info.outstanding_pages / per_mib,
    );
    field(&mut out, "free_cpus", machine.free_cpus);
    out
}

fn virt_caps(capabilities: u32) -> String {
    const DIRECT: u32 = XEN_SYSCTL_PHYSCAP_DIRECTIO;
    // All bits of the first column are needed.
    const NAMES: [(u32, &str); 11] = [
        (XEN_SYSCTL_PHYSCAP_PV, " pv"),
        (XEN_SYSCTL_PHYSCAP_HVM, " hvm"),
        (XEN_SYSCTL_PHYSCAP_HVM | DIRECT, " hvm_directio"),
        (XEN_SYSCTL_PHYSCAP_PV | DIRECT, " pv_directio"),
        (XEN_SYSCTL_PHYSCAP_HAP, " hap"),
        (XEN_SYSCTL_PHYSCAP_SHADOW, " shadow"),
        (XEN_SYSCTL_PHYSCAP_IOMMU_HAP_PT_SHARE, " iommu_hap_pt_share"),
        (XEN_SYSCTL_PHYSCAP_VMTRACE, " vmtrace"),
        (XEN_SYSCTL_PHYSCAP_VPMU, " vpmu"),
        (XEN_SYSCTL_PHYSCAP_GNTTAB_V1, " gnttab-v1"),
        (XEN_SYSCTL_PHYSCAP_GNTTAB_V2, " gnttab-v2"),
    ];
    let present = NAMES
        .iter()
        .filter(|(bits, _)| capabilities & bits == *bits);
    present.map(|(_, name)| *name).collect()
}

fn topology_lines(cpus: &[SysctlCputopo]) -> String {
    let mut out = String::from("cpu_topology           :\ncpu:    core    socket     node\n");
    for (index, cpu) in cpus.iter().enumerate() {
        if cpu.core != XEN_INVALID_CORE_ID {
            let (core, socket, node) = (cpu.core, cpu.socket, cpu.node);
            let _ = writeln!(
                out,
                "{index:>3}:    {core:>4}     {socket:>4}     {node:>4}"
            );
        }
    }
    out
}

/// The PCI functions that dom0's kernel knows, in the order of their addresses.
fn pci_functions() -> Vec<PhysdevPciDevice> {
    let entries = std::fs::read_dir("/sys/bus/pci/devices");
    let mut names: Vec<String> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names.iter().filter_map(|name| pci_function(name)).collect()
}

/// `0000:00:1f.2`.
fn pci_function(name: &str) -> Option<PhysdevPciDevice> {
    let (segment, rest) = name.split_once(':')?;
    let (bus, rest) = rest.split_once(':')?;
    let (device, function) = rest.split_once('.')?;
    let device = u8::from_str_radix(device, 16).ok().filter(|d| *d < 32)?;
    let function = u8::from_str_radix(function, 16).ok().filter(|f| *f < 8)?;
    Some(PhysdevPciDevice {
        seg: u16::from_str_radix(segment, 16).ok()?,
        bus: u8::from_str_radix(bus, 16).ok()?,
        devfn: device << 3 | function,
    })
}

/// `nodes` are the functions'.
fn device_lines(functions: &[PhysdevPciDevice], nodes: &[u32]) -> String {
    let mut out = String::from("device topology        :\ndevice           node\n");
    let known = functions.iter().zip(nodes);
    let mut known = known
        .filter(|(_, node)| ![XEN_INVALID_NODE_ID, XEN_INVALID_DEV].contains(node))
        .peekable();
    if known.peek().is_none() {
        out += "No device topology data available\n";
    }
    for (PhysdevPciDevice { seg, bus, devfn }, node) in known {
        let (device, function) = (devfn >> 3, devfn & 7);
        let _ = writeln!(
            out,
            "{seg:04x}:{bus:02x}:{device:02x}.{function:x}      {node}"
        );
    }
    out
}

/// `distances` has a row for each node.
fn numa_lines(nodes: &[SysctlMeminfo], distances: &[u32]) -> String {
    let mut out =
        String::from("numa_info              :\nnode:    memsize    memfree    distances\n");
    let rows = distances.chunks(nodes.len().max(1));
    for ((index, node), row) in nodes.iter().enumerate().zip(rows) {
        if node.memsize != u64::from(XEN_INVALID_MEM_SZ) {
            let (size, free) = (node.memsize >> 20, node.memfree >> 20);
            let row: Vec<String> = row.iter().map(u32::to_string).collect();
            let row = row.join(",");
            let _ = writeln!(out, "{index:>4}:    {size:>6}     {free:>6}      {row}");
        }
    }
    out
}

fn xen_lines(version: &Version, scheduler: Scheduler) -> String {
    let (major, minor, extra) = (version.major, version.minor, &version.extra);
    let id: String = version
        .build_id
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut out = String::new();
    field(&mut out, "xen_major", major);
    field(&mut out, "xen_minor", minor);
    field(&mut out, "xen_extra", extra);
    field(
        &mut out,
        "xen_version",
        format_args!("{major}.{minor}{extra}"),
    );
    field(&mut out, "xen_caps", &version.capabilities);
    field(&mut out, "xen_scheduler", scheduler_name(scheduler));
    field(&mut out, "xen_pagesize", version.page_size);
    let start = version.virt_start;
    field(
        &mut out,
        "platform_params",
        format_args!("virt_start=0x{start:x}"),
    );
    field(&mut out, "xen_changeset", &version.changeset);
    field(&mut out, "xen_commandline", &version.command_line);
    field(&mut out, "cc_compiler", &version.compiler);
    field(&mut out, "cc_compile_by", &version.compile_by);
    field(&mut out, "cc_compile_domain", &version.compile_domain);
    field(&mut out, "cc_compile_date", &version.compile_date);
    field(&mut out, "build_id", id);
    out
}

fn scheduler_name(scheduler: Scheduler) -> &'static str {
    match scheduler {
        Scheduler::CREDIT => "credit",
        Scheduler::CREDIT2 => "credit2",
        Scheduler::ARINC653 => "arinc653",
        Scheduler::RTDS => "rtds",
        Scheduler::NULL => "null",
        _ => "(null)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            physical: SysctlPhysinfo {
                nr_cpus: 4,
                max_cpu_id: 3,
                nr_nodes: 1,
                cores_per_socket: 4,
                threads_per_core: 1,
                cpu_khz: 2_500_042,
                capabilities: XEN_SYSCTL_PHYSCAP_PV
                    | XEN_SYSCTL_PHYSCAP_HVM
                    | XEN_SYSCTL_PHYSCAP_GNTTAB_V1,
                total_pages: 524_288,
                free_pages: 1024,
                outstanding_pages: 256,
                hw_cap: [0x178b_fbff, 0xf6f8_3203, 0, 0, 0, 0, 0, 0x100],
                ..Default::default()
            },
            sharing_freed: 0,
            sharing_used: 0,
            free_cpus: 0,
        }
    }

    #[test]
    fn devices_have_the_nodes_that_are_known() {
        let function = pci_function("0000:03:1f.2").unwrap();
        assert_eq!((function.seg, function.bus, function.devfn), (0, 3, 0xfa));
        for wrong in [
            "",
            "0000:03:20.0",
            "0000:03:1f",
            "x:03:1f.2",
            "0000:03:1f.8",
        ] {
            assert!(pci_function(wrong).is_none(), "{wrong}");
        }
        let other = pci_function("0001:00:00.0").unwrap();
        assert_eq!(
            device_lines(&[function, other], &[1, XEN_INVALID_NODE_ID]),
            "device topology        :\ndevice           node\n0000:03:1f.2      1\n"
        );
        assert!(
            device_lines(&[other], &[XEN_INVALID_DEV])
                .ends_with("No device topology data available\n")
        );
    }

    #[test]
    fn the_machine_prints_as_xl_has_it() {
        assert_eq!(
            machine_lines(&machine(), 4096),
            "\
nr_cpus                : 4
max_cpu_id             : 3
nr_nodes               : 1
cores_per_socket       : 4
threads_per_core       : 1
cpu_mhz                : 2500.042
hw_caps                : 178bfbff:f6f83203:00000000:00000000:00000000:00000000:00000000:00000100
virt_caps              : pv hvm gnttab-v1
total_memory           : 2048
free_memory            : 3
sharing_freed_memory   : 0
sharing_used_memory    : 0
outstanding_claims     : 1
free_cpus              : 0
"
        );
    }

    #[test]
    fn the_hypervisor_prints_as_xl_has_it() {
        let version = Version {
            major: 4,
            minor: 17,
            extra: ".7".into(),
            capabilities: "xen-3.0-x86_64 ".into(),
            page_size: 4096,
            virt_start: 0xffff_8000_0000_0000,
            build_id: vec![0xab, 0x01],
            ..Default::default()
        };
        assert_eq!(
            xen_lines(&version, Scheduler::CREDIT2),
            [
                "xen_major              : 4",
                "xen_minor              : 17",
                "xen_extra              : .7",
                "xen_version            : 4.17.7",
                "xen_caps               : xen-3.0-x86_64 ",
                "xen_scheduler          : credit2",
                "xen_pagesize           : 4096",
                "platform_params        : virt_start=0xffff800000000000",
                "xen_changeset          : ",
                "xen_commandline        : ",
                "cc_compiler            : ",
                "cc_compile_by          : ",
                "cc_compile_domain      : ",
                "cc_compile_date        : ",
                "build_id               : ab01",
                "",
            ]
            .join("\n")
        );
    }

    #[test]
    fn direct_io_counts_for_the_guest_types_there_are() {
        let pv = XEN_SYSCTL_PHYSCAP_PV | XEN_SYSCTL_PHYSCAP_DIRECTIO;
        assert_eq!(virt_caps(pv), " pv pv_directio");
        assert_eq!(virt_caps(XEN_SYSCTL_PHYSCAP_DIRECTIO), "");
    }

    #[test]
    fn one_value_can_be_asked_for() {
        let all = machine_lines(&machine(), 4096);
        assert_eq!(only(&all, "free_memory"), "3\n");
        assert_eq!(only(&all, "virt_caps"), "pv hvm gnttab-v1\n");
        assert_eq!(only(&all, "nr_"), "4\n1\n");
        assert_eq!(only(&all, "nothing"), "");
    }

    #[test]
    fn topology_leaves_out_absent_processors() {
        let absent = SysctlCputopo {
            core: XEN_INVALID_CORE_ID,
            ..Default::default()
        };
        let cpus = [SysctlCputopo::default(), absent];
        assert_eq!(
            topology_lines(&cpus),
            "cpu_topology           :\ncpu:    core    socket     node\n  \
             0:       0        0        0\n"
        );
        let node = SysctlMeminfo {
            memsize: 2 << 30,
            memfree: 1 << 30,
        };
        assert_eq!(
            numa_lines(&[node, node], &[10, 20, 20, 10]),
            "numa_info              :\nnode:    memsize    memfree    distances\n   \
             0:      2048       1024      10,20\n   1:      2048       1024      20,10\n"
        );
    }
}
