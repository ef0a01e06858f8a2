//! Guests and tools: scenarios whose dom0 has Debian's tools and ours, and what guests are made of.

use ::tests::{Initramfs, Route, System};
use anyhow::{Context, Result, bail};
use std::time::Duration;

use super::system::{free_port, pv_entry, virtual_nanoseconds};
use super::table::Figures;
use crate::accel::Accelerator;
use crate::gdb::Stub;
use crate::machine::{Parts, Plan};
use crate::qemu::{Guest, Patience, Seen};
use crate::setup::Packages;

/// Long steps say nothing meanwhile: eight guests start, a hundred are made.
const PATIENCE: Patience = Patience {
    busy: Duration::from_secs(300),
    idle: Duration::from_secs(1200),
};

/// What the guests' part shows.
pub const ROWS: &[(&str, &str)] = &[
    (
        "create-to-kernel",
        "stock `xl create` to the guest kernel's first instruction",
    ),
    (
        "create-to-userspace",
        "stock `xl create` to the guest's userspace",
    ),
    ("destroy", "stock `xl destroy` of that guest"),
    ("domu-null-system-call", "null system call in a guest"),
    ("domu-page-fault", "anonymous page fault in a guest"),
    ("domu-mprotect-pair", "mprotect, twice, in a guest"),
    ("domu-fork-wait", "fork and wait in a guest"),
    ("domu-vfork-exec-wait", "vfork, exec and wait in a guest"),
    ("domu-pipe-round-trip", "pipe round trip in a guest"),
    ("domu-signal", "signal in a guest"),
    ("domu-timer-wake-up", "timer wake-up in a guest"),
    (
        "event-round-trip",
        "event round trip between guests, one CPU",
    ),
    (
        "event-round-trip-cpus",
        "event round trip between guests, two CPUs",
    ),
    ("grant-map-page", "grant map, a page (32 at a time)"),
    ("grant-unmap-page", "grant unmap, a page (32 at a time)"),
    ("grant-map-unmap-single", "grant map and unmap of one page"),
    ("grant-copy-page", "grant copy, a page (32 at a time)"),
    ("block-read-page", "read 4 KiB of a disk"),
    ("block-write-page", "write 4 KiB of a disk"),
    ("block-read-mib", "read a MiB of a disk"),
    ("block-write-mib", "write a MiB of a disk"),
    ("net-round-trip", "datagram to dom0 and back"),
    ("net-send-mib", "send a MiB to dom0 (TCP)"),
    ("net-receive-mib", "receive a MiB from dom0 (TCP)"),
    (
        "disturbance-0",
        "10^9 instructions of dom0 without a guest: further ones",
    ),
    ("disturbance-1", "the same beside an idle guest"),
    ("disturbance-8", "the same beside 8 idle guests"),
    (
        "busy-1",
        "10^9 instructions with a busy guest: not the guest's",
    ),
    ("busy-8", "the same with 8 busy guests"),
    (
        "domain-memory",
        "memory of a domain in the hypervisor, bytes",
    ),
];

/// What the tools' part shows.
pub const TOOL_ROWS: &[(&str, &str)] = &[
    (
        "create-to-kernel",
        "`xl create` to the guest kernel's first instruction",
    ),
    (
        "create-to-userspace",
        "`xl create` to the guest's userspace",
    ),
    ("destroy", "`xl destroy` of that guest"),
    ("create-paused", "`xl create -p`, small kernel, 128 MiB"),
    ("destroy-paused", "`xl destroy` of it"),
    ("list-1", "`xl list`, one guest"),
    ("list-100", "`xl list`, 100 guests"),
    ("console-kib", "a KiB of a guest's console"),
    ("rss-xenstored", "xenstored with 100 guests, KiB resident"),
    (
        "rss-xenconsoled",
        "xenconsoled with 100 guests, KiB resident",
    ),
    ("rss-xl", "xl that waits for a guest's end, KiB resident"),
];

/// A machine and a scenario.
pub struct Boot<'a> {
    system: System,
    scenario: &'a str,
    words: &'a str,
    cpus: u32,
    memory: u32,
    /// How many guest kernels the scenario wants timed.
    kernels: u32,
}

impl<'a> Boot<'a> {
    /// Guests and tools on one CPU; `words` choose.
    pub fn guests(system: System, words: &'a str) -> Self {
        // The last one counts, as everywhere on a kernel's command line.
        let with_kernel = words
            .split(' ')
            .filter_map(|word| word.strip_prefix("oxen.bench="))
            .next_back()
            .is_some_and(|chosen| {
                chosen
                    .split('+')
                    .any(|part| part == "guests" || part == "tools")
            });
        Self {
            system,
            scenario: "bench-guests",
            words,
            cpus: 1,
            memory: 3072,
            kernels: u32::from(with_kernel),
        }
    }

    /// Two guests on a CPU each.
    pub fn cpus(system: System) -> Self {
        Self {
            scenario: "bench-cpus",
            words: "",
            cpus: 2,
            // Half of it is dom0's, whose userspace has the guests' kernels.
            memory: 2048,
            kernels: 0,
            ..Self::guests(system, "")
        }
    }

    /// Daemons that keep xenstore, one after the other.
    pub fn xenstored(system: System) -> Self {
        Self {
            scenario: "bench-xenstored",
            cpus: 1,
            ..Self::cpus(system)
        }
    }
}

/// Boots and collects figures.
pub fn measure(packages: &Packages, boot: &Boot<'_>) -> Result<Figures> {
    let parts = Parts::prepare(packages, boot.system, Initramfs::Guests)?;
    let mut plan = Plan::new(boot.system, Route::Direct, boot.scenario, Accelerator::Tcg);
    plan.memory = boot.memory;
    plan.cpus = boot.cpus;
    plan.icount = true;
    plan.kernel_args = boot.words.to_owned();
    if boot.system == System::Xen {
        plan.hypervisor_args = "cpuidle=0".to_owned();
    }
    if boot.cpus > 1 {
        // The instructions of both CPUs are counted one after the other; dom0 has only one of them.
        plan.hypervisor_args.push_str(" dom0_max_vcpus=1");
    }
    let port = free_port()?;
    plan.gdb = Some(port);
    let ours = if boot.words.contains("ours") {
        "-ours"
    } else {
        ""
    };
    let name = format!("{}-{:?}{ours}", boot.scenario, boot.system).to_lowercase();
    let mut machine = Guest::start(&plan, &parts, &name)?;
    Stub::connect(port)?.detach()?;

    let mut figures = Figures::new();
    let await_text = |machine: &mut Guest, text: &str| -> Result<()> {
        if machine.wait(text, PATIENCE)? == Seen::Ended {
            let log = machine.folder().join("serial.log");
            bail!("the machine ended early, see {}", log.display());
        }
        Ok(())
    };
    let mut entries = Vec::new();
    for _ in 0..boot.kernels {
        await_text(&mut machine, "@@ press enter: a guest's kernel comes")?;
        let mut stub = Stub::connect(port)?;
        machine.type_in("\n")?;
        stub.run_to(pv_entry(&packages.cloud_kernel())?)?;
        entries.push(virtual_nanoseconds(&machine)?);
        stub.detach()?;
    }
    await_text(
        &mut machine,
        &format!("@@ end {} 0 failures", boot.scenario),
    )?;
    let mut entries = entries.into_iter();
    for line in machine.text().lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |word: &str| {
            word.parse::<u64>()
                .with_context(|| format!("no number in: {line}"))
        };
        match words.as_slice() {
            ["@@", "bench", name, value] => {
                figures.insert((*name).to_owned(), number(value)?);
            }
            ["@@", "store", daemon, name, value] => {
                figures.insert(format!("{daemon} {name}"), number(value)?);
            }
            ["@@", "began", name, ticks] => {
                if let Some(entry) = entries.next() {
                    figures.insert((*name).to_owned(), entry.saturating_sub(number(ticks)?));
                }
            }
            _ => {}
        }
    }
    Ok(figures)
}
