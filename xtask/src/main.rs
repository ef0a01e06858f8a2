//! The chores behind `./x`: building, running, testing and measuring Oxen.
//!
//! Each module is one chore or one tool that the chores share; nothing here is part of the
//! hypervisor. Everything that a chore makes is under `target/oxen`, everything that it downloads
//! is in the cache folder (`$OXEN_CACHE`, else `~/.cache/oxen`).

mod cmd;
mod paths;
mod test;

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
    /// Run all tests; the last line is `N passed, N failed`
    Test(test::Options),
}

fn main() -> Result<std::process::ExitCode> {
    match Cli::parse().chore {
        Chore::Test(options) => test::run(&options),
    }
}
