//! `./x run`: dom0's shell on this terminal.

use std::fs;
use std::process::{Command, ExitCode};

use ::tests::{Initramfs, Route, System};
use anyhow::{Context, Result};

use crate::accel::Accelerator;
use crate::machine::{Parts, Plan};
use crate::{paths, setup};

/// What to boot and how.
#[derive(clap::Args)]
pub struct Options {
    /// What dom0's kernel runs on
    #[arg(long, value_enum, default_value = "oxen")]
    on: On,
    /// How the machine boots
    #[arg(long, value_enum, default_value = "bios")]
    boot: Boot,
    /// CPUs of the machine
    #[arg(long, default_value_t = 2)]
    smp: u32,
    /// Memory of the machine in MiB
    #[arg(long, default_value_t = 2048)]
    memory: u32,
    /// CPU model, as in QEMU's -cpu
    #[arg(long)]
    cpu: Option<String>,
    /// Scenario of tests/dom0/scenarios
    #[arg(long, default_value = "shell")]
    scenario: String,
    /// Further arguments of the hypervisor
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    hypervisor_args: String,
    /// Further arguments of dom0's kernel
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    kernel_args: String,
    /// What dom0's userspace holds
    #[arg(long, value_enum, default_value = "own")]
    userspace: Userspace,
    /// Emulate even where KVM works
    #[arg(long)]
    tcg: bool,
    /// Count instructions: repeatable virtual time
    #[arg(long)]
    icount: bool,
    /// QEMU's -d flags (e.g. `int,cpu_reset`), into target/oxen/runs/interactive/qemu-debug.log
    #[arg(long)]
    debug: Option<String>,
    /// Wait for gdb on this port of 127.0.0.1
    #[arg(long)]
    pub gdb: Option<u16>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum On {
    Oxen,
    Xen,
    Linux,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Boot {
    /// SeaBIOS, GRUB 2 from an ISO
    Bios,
    /// OVMF, GRUB 2 from an ISO
    Efi,
    /// GRUB 2 with a menu.lst
    MenuLst,
    /// QEMU's own loader: fastest
    Direct,
    /// The image's PVH note
    Pvh,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Userspace {
    /// Oxen's own tools and what a first guest is made of; none of Xen's tools
    Own,
    /// A shell and little else: boots fastest
    Small,
    /// All of Debian's Xen tools, device drivers, stress-ng
    Full,
    /// Debian's Xen tools, backends, hotplug scripts, and what guests are made of
    Guests,
    /// The same with Debian's QEMU as a backend of disks, and libvirt
    Managers,
}

/// Boots and hands the terminal over.
pub fn run(options: &Options) -> Result<ExitCode> {
    let packages = setup::run()?;
    let system = match options.on {
        On::Oxen => System::Oxen,
        On::Xen => System::Xen,
        On::Linux => System::Linux,
    };
    let route = match options.boot {
        Boot::Bios => Route::Bios,
        Boot::Efi => Route::Efi,
        Boot::MenuLst => Route::MenuLst,
        Boot::Direct => Route::Direct,
        Boot::Pvh => Route::Pvh,
    };
    let flavour = match options.userspace {
        Userspace::Own => Initramfs::Own,
        Userspace::Small => Initramfs::Small,
        Userspace::Full => Initramfs::Full,
        Userspace::Guests => Initramfs::Guests,
        Userspace::Managers => Initramfs::Managers,
    };
    let parts = Parts::prepare(&packages, system, flavour)?;
    let accelerator = if options.tcg || options.icount {
        Accelerator::Tcg
    } else {
        Accelerator::best(&packages)?
    };
    let mut plan = Plan::new(system, route, &options.scenario, accelerator);
    plan.cpus = options.smp;
    plan.memory = options.memory;
    plan.cpu_model.clone_from(&options.cpu);
    plan.hypervisor_args.clone_from(&options.hypervisor_args);
    plan.kernel_args.clone_from(&options.kernel_args);
    plan.icount = options.icount;
    plan.debug.clone_from(&options.debug);
    plan.gdb = options.gdb;
    let folder = paths::output().join("runs/interactive");
    fs::create_dir_all(&folder)?;
    let log = folder.join("serial.log");
    // Ctrl-A belongs to the hypervisor's input switch and Ctrl-] to `xl console`, so QEMU listens to Ctrl-T.
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(plan.arguments(&parts, &folder)?)
        .args(["-echr", "0x14", "-chardev"])
        .arg(format!(
            "stdio,id=serial,mux=on,signal=off,logfile={}",
            log.display()
        ));
    qemu.args(["-serial", "chardev:serial", "-mon", "chardev=serial"]);
    eprintln!(
        "x: Ctrl-T x ends the machine, Ctrl-T c is QEMU's monitor; log in {}",
        log.display()
    );
    if let Some(port) = plan.gdb {
        eprintln!("x: waiting for: gdb target/oxen/oxen-syms -ex 'target remote 127.0.0.1:{port}'");
    }
    let status = qemu.status().context("cannot start qemu-system-x86_64")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
