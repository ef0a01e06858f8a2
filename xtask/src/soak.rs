//! `./x soak N`: boots one after the other, to find what fails rarely.

use std::process::ExitCode;
use std::time::Instant;

use ::tests::{Case, TABLE};
use anyhow::{Context, Result};

use crate::accel::Accelerator;
use crate::test::Tally;
use crate::{setup, system_test};

/// What to boot and how often.
#[derive(clap::Args)]
pub struct Options {
    /// Number of boots
    count: u32,
    /// The case of the table of system tests
    #[arg(long, default_value = "oxen-direct-2")]
    case: String,
    /// Further arguments of the hypervisor
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    hypervisor_args: String,
    /// Further arguments of dom0's kernel, the scenarios' (`oxen.parts=`) among them; the last of a name counts
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    kernel_args: String,
    /// CPUs of the machine, instead of the case's
    #[arg(long)]
    cpus: Option<u32>,
    /// Go on after a failed boot
    #[arg(long)]
    keep_going: bool,
}

/// Boots until the count is reached or, usually, a boot fails; its log stays.
pub fn run(options: &Options) -> Result<ExitCode> {
    let packages = setup::run()?;
    let accelerator = Accelerator::best(&packages)?;
    let mut case: Case = TABLE
        .iter()
        .find(|case| case.name == options.case)
        .cloned()
        .with_context(|| format!("the table of system tests has no {}", options.case))?;
    // For the rest of the process, which is what the table's texts live for.
    let more = |text: &'static str, more: &str| -> &'static str {
        match more {
            "" => text,
            _ => format!("{text} {more}").leak(),
        }
    };
    case.hypervisor_args = more(case.hypervisor_args, &options.hypervisor_args);
    case.kernel_args = more(case.kernel_args, &options.kernel_args);
    case.cpus = options.cpus.unwrap_or(case.cpus);
    let mut tally = Tally::default();
    for number in 1..=options.count {
        let began = Instant::now();
        let (outcome, used) = system_test::run_case(&packages, &case, accelerator);
        let failed = outcome.is_err();
        let name = format!("boot {number} of {}", options.count);
        tally.check_using(&name, outcome, began, used);
        if failed && !options.keep_going {
            break;
        }
    }
    Ok(tally.close())
}
