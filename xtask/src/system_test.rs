//! Running the table of system tests and judging the console of each boot.

use std::fs;
use std::time::{Duration, Instant};

use ::tests::{Action, Case, End, Input, Kernel, TABLE, When};
use anyhow::{Context, Result, bail};

use crate::accel::Accelerator;
use crate::machine::{Parts, Plan};
use crate::paths;
use crate::qemu::{self, Guest, Seen};
use crate::setup::Packages;
use crate::test::Tally;

/// What no boot may show: complaints of kernels and hypervisors.
const COMPLAINTS: &[&str] = &[
    "@@ FAIL",
    "Kernel panic",
    "BUG:",
    "Oops:",
    "WARNING: CPU",
    "Call Trace:",
    "rcu: INFO",
    "soft lockup",
    "Panic on CPU",
    "panicked at",
    "FATAL TRAP",
];

/// Runs the cases whose names begin with one of the filters; without filters those of every run.
pub fn run(packages: &Packages, filters: &[String], tally: &mut Tally) -> Result<()> {
    let accelerator = Accelerator::best(packages)?;
    let wanted = |case: &&Case| match filters {
        [] => case.when == When::Always,
        _ => filters
            .iter()
            .any(|filter| case.name.starts_with(filter.as_str())),
    };
    for case in TABLE.iter().filter(wanted) {
        let began = Instant::now();
        let (outcome, used) = run_case(packages, case, accelerator);
        tally.check_using(&format!("system {}", case.name), outcome, began, used);
    }
    Ok(())
}

/// Puts what the case demands in the place of the stock kernel.
fn replace_kernel(parts: &mut Parts, kernel: Kernel) -> Result<()> {
    let folder = paths::output();
    let stock = |parts: &Parts| -> Result<Vec<u8>> {
        Ok(fs::read(parts.kernel.as_ref().context("a stock kernel")?)?)
    };
    parts.kernel = match kernel {
        Kernel::Stock => return Ok(()),
        Kernel::Missing => None,
        Kernel::Truncated => {
            let image = stock(parts)?;
            let file = folder.join("truncated-kernel");
            fs::write(&file, image.get(..image.len() / 2).unwrap_or_default())?;
            Some(file)
        }
        Kernel::Text => {
            let file = folder.join("text-for-kernel");
            fs::write(&file, "This is no kernel.\n".repeat(1000))?;
            Some(file)
        }
    };
    Ok(())
}

fn plan_of(case: &Case, accelerator: Accelerator) -> Plan {
    let mut plan = Plan::new(case.system, case.route, case.scenario, accelerator);
    plan.cpus = case.cpus;
    plan.memory = case.memory;
    if accelerator == Accelerator::Tcg {
        plan.cpu_model = case.cpu_model.map(str::to_owned);
    }
    plan.hypervisor_args = case.hypervisor_args.to_owned();
    plan.kernel_args = case.kernel_args.to_owned();
    plan.devices = case.devices.to_vec();
    plan
}

/// One boot of one case; how it ended and the CPU time that the machine took.
pub fn run_case(
    packages: &Packages,
    case: &Case,
    accelerator: Accelerator,
) -> (Result<()>, Duration) {
    let mut guest = match start(packages, case, accelerator) {
        Ok(guest) => guest,
        Err(error) => return (Err(error), Duration::ZERO),
    };
    let outcome = watch(&mut guest, case);
    let log = guest.folder().join("serial.log");
    let outcome = outcome.map_err(|error| error.context(format!("see {}", log.display())));
    (outcome, guest.used())
}

/// Builds what the case needs and switches the machine on.
fn start(packages: &Packages, case: &Case, accelerator: Accelerator) -> Result<Guest> {
    let mut parts = Parts::prepare(packages, case.system, case.initramfs)?;
    replace_kernel(&mut parts, case.kernel)?;
    let plan = plan_of(case, accelerator);
    Guest::start(&plan, &parts, case.name)
}

fn watch(guest: &mut Guest, case: &Case) -> Result<()> {
    for Action { after, input } in case.actions {
        if guest.wait(after, qemu::USUAL)? == Seen::Ended {
            break;
        }
        match input {
            Input::Monitor(command) => drop(guest.monitor(command)?),
            Input::Serial(text) => guest.type_in(text)?,
        }
    }
    match case.end {
        End::PowerOff => {
            guest.wait_end(qemu::USUAL)?;
            judge(&guest.text(), case)
        }
        End::Refusal | End::Crash => {
            // A refusal comes at once; a crash may come after a whole boot.
            let patience = match case.end {
                End::Crash => qemu::USUAL,
                _ => qemu::SHORT,
            };
            for text in case.expect {
                if guest.wait(text, patience)? == Seen::Ended {
                    break;
                }
            }
            judge(&guest.text(), case)
        }
    }
}

/// Whether a console log shows what the case demands and nothing that it forbids.
fn judge(log: &str, case: &Case) -> Result<()> {
    for line in log.lines() {
        let complaints = match case.end {
            End::Crash => &[],
            _ => COMPLAINTS,
        };
        let mut forbidden = complaints.iter().chain(case.forbid);
        if forbidden.any(|text| line.contains(text)) {
            bail!("the console shows: {line}");
        }
    }
    for text in case.expect {
        if !log.contains(text) {
            bail!("the console does not show: {text}");
        }
    }
    let end = format!("@@ end {} 0 failures", case.scenario);
    if case.end == End::PowerOff && !log.contains(&end) {
        bail!(
            "the machine ended before the scenario did; last line: {}",
            log.lines().last().unwrap_or("")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case() -> Case {
        Case {
            name: "x",
            expect: &["@@ cpus 2"],
            ..::tests::BASE
        }
    }

    #[test]
    fn a_complete_log_passes() {
        judge("@@ cpus 2\n@@ end boot 0 failures\n", &case()).unwrap();
    }

    #[test]
    fn missing_lines_complaints_and_early_ends_fail() {
        for log in [
            "@@ end boot 0 failures\n",
            "@@ cpus 2\n",
            "@@ cpus 2\nBUG: unable to handle page fault\n@@ end boot 0 failures\n",
            "@@ cpus 2\n@@ FAIL x\n@@ end boot 1 failures\n",
        ] {
            assert!(judge(log, &case()).is_err(), "{log}");
        }
    }
}
