//! `./x test`: everything that can fail, counted, with one closing line.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};

use crate::{build, cmd, setup, system_test};

/// Which parts of the test run to do.
#[derive(clap::Args)]
pub struct Options {
    /// Only the checks and tests that need no virtual machine
    #[arg(long)]
    host_only: bool,
    /// Only the system tests
    #[arg(long, conflicts_with = "host_only")]
    system_only: bool,
    /// Only system tests whose names begin with one of these, also those that run on request
    names: Vec<String>,
}

/// What has been counted so far.
#[derive(Default, Debug, PartialEq, Eq)]
pub struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    /// Counts one check and says how it ended.
    pub fn check(&mut self, name: &str, outcome: Result<()>, began: Instant) {
        let seconds = began.elapsed().as_secs_f32();
        match outcome {
            Ok(()) => {
                self.passed += 1;
                println!("ok      {name} ({seconds:.1} s)");
            }
            Err(why) => {
                self.failed += 1;
                println!("FAILED  {name} ({seconds:.1} s): {why:#}");
            }
        }
    }

    /// Prints the closing line, alone on its line.
    pub fn close(&self) -> ExitCode {
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    /// Adds a `test result:` line of the Rust test harness; true if it was one.
    fn add_harness_line(&mut self, line: &str) -> bool {
        let Some(rest) = line.strip_prefix("test result: ") else {
            return false;
        };
        let number = |what: &str| {
            rest.split([';', '.'])
                .filter_map(|part| part.trim().strip_suffix(what))
                .find_map(|number| number.trim().parse::<u64>().ok())
                .unwrap_or(0)
        };
        self.passed += number("passed");
        self.failed += number("failed");
        true
    }
}

/// Runs the tests and prints the closing line.
pub fn run(options: &Options) -> Result<ExitCode> {
    let mut tally = Tally::default();
    let packages = setup::run()?;
    if !options.system_only && options.names.is_empty() {
        host(&packages, &mut tally)?;
    }
    if !options.host_only {
        if build::has_hypervisor() && options.names.is_empty() {
            let began = Instant::now();
            tally.check("build", build::report(), began);
        }
        system_test::run(&packages, &options.names, &mut tally)?;
    }
    Ok(tally.close())
}

/// Format, lints and every test that runs on the host.
fn host(packages: &setup::Packages, tally: &mut Tally) -> Result<()> {
    let mut check = |name: &str, args: &[&str]| {
        let began = Instant::now();
        tally.check(name, cmd::run(cmd::cargo().args(args)), began);
    };
    check("format", &["fmt", "--all", "--check"]);
    check(
        "clippy, host",
        &[
            "clippy",
            "-q",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
    );
    check(
        "clippy, bare metal",
        &[
            "clippy",
            "-q",
            "--release",
            "-p",
            "hypervisor",
            "--target",
            "x86_64-unknown-none",
            "--",
            "-D",
            "warnings",
        ],
    );
    cargo_test(
        tally,
        cmd::cargo()
            .args(["test", "--workspace", "--no-fail-fast"])
            // The kernel loader and the dom0 builder are tried on the real one, too.
            .env("OXEN_TEST_VMLINUZ", packages.kernel()),
    )
}

/// Runs `cargo test`, shows its output and adds its counts. A run that fails without a failed
/// test (it does not compile, a test binary dies) counts as one failure.
fn cargo_test(tally: &mut Tally, command: &mut Command) -> Result<()> {
    let began = Instant::now();
    let line = cmd::describe(command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let mut counted = Tally::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line?;
            counted.add_harness_line(&line);
            // Hundreds of passing tests are not news.
            let passing = line.starts_with("test ") && line.ends_with("... ok");
            if !passing && !line.is_empty() {
                println!("{line}");
            }
        }
    }
    let status = child.wait()?;
    tally.passed += counted.passed;
    tally.failed += counted.failed;
    if !status.success() && counted.failed == 0 {
        tally.check(&line, Err(anyhow::anyhow!("{status}")), began);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harness_lines_are_added_up() {
        let mut tally = Tally::default();
        assert!(!tally.add_harness_line("running 3 tests"));
        assert!(tally.add_harness_line(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s"
        ));
        assert!(tally.add_harness_line(
            "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s"
        ));
        assert_eq!(
            tally,
            Tally {
                passed: 14,
                failed: 3
            }
        );
    }
}
