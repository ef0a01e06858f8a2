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
    /// Go on after a failed boot
    #[arg(long)]
    keep_going: bool,
}

/// Boots until the count is reached or, usually, a boot fails; its log stays.
pub fn run(options: &Options) -> Result<ExitCode> {
    let packages = setup::run()?;
    let accelerator = Accelerator::best(&packages)?;
    let case: &Case = TABLE
        .iter()
        .find(|case| case.name == options.case)
        .with_context(|| format!("the table of system tests has no {}", options.case))?;
    let mut tally = Tally::default();
    for number in 1..=options.count {
        let began = Instant::now();
        let (outcome, used) = system_test::run_case(&packages, case, accelerator);
        let failed = outcome.is_err();
        let name = format!("boot {number} of {}", options.count);
        tally.check_using(&name, outcome, began, used);
        if failed && !options.keep_going {
            break;
        }
    }
    Ok(tally.close())
}
