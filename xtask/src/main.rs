//! The chores behind `./x`: building, running, testing and measuring Oxen.
//!
//! Each module is one chore or one tool that the chores share; nothing here is part of the
//! hypervisor. Everything that a chore makes is under `target/oxen`, everything that it downloads
//! is in the cache folder (`$OXEN_CACHE`, else `~/.cache/oxen`).

mod accel;
mod autopsy;
mod bench;
mod build;
mod build_info;
mod cmd;
mod cpio;
mod debug;
mod gdb;
mod guest_image;
mod initramfs;
mod iso;
mod machine;
mod paths;
mod process_group;
mod pvh;
mod qemu;
mod run;
mod setup;
mod soak;
mod symbol_table;
mod system_test;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "x", about = "The one entry to every chore of Oxen", version)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Install and download what is missing; the other chores do it by themselves
    Setup,
    /// Build the hypervisor: target/oxen/oxen.elf and oxen.gz
    Build,
    /// Boot Debian's stock kernel as dom0 in QEMU and end in its shell
    Run(run::Options),
    /// Measure native Linux, stock Xen and Oxen side by side
    Bench(bench::Options),
    /// Look into a running or failed hypervisor
    #[command(subcommand)]
    Debug(debug::Debug),
    /// Boot many times, to find what fails rarely
    Soak(soak::Options),
    /// Run all tests; the last line is `N passed, N failed`
    Test(test::Options),
}

fn main() -> ExitCode {
    perform(Cli::parse().chore).unwrap_or_else(|error| {
        eprintln!("x: {error:#}");
        ExitCode::FAILURE
    })
}

fn perform(chore: Chore) -> Result<ExitCode> {
    match chore {
        Chore::Setup => setup::run().map(|_| ExitCode::SUCCESS),
        Chore::Build => build::report().map(|()| ExitCode::SUCCESS),
        Chore::Run(options) => run::run(&options),
        Chore::Bench(options) => bench::run(&options),
        Chore::Debug(what) => debug::run(what),
        Chore::Soak(options) => soak::run(&options),
        Chore::Test(options) => test::run(&options),
    }
}
