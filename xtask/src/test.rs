//! `./x test`: everything that can fail, counted, with one closing line.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::process_group::ProcessGroup;
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
    /// What failed, to be repeated at the end: of long runs the end is what people see.
    failures: Vec<String>,
}

impl Tally {
    /// Counts one check and says how it ended.
    pub fn check(&mut self, name: &str, outcome: Result<()>, began: Instant) {
        self.count(
            name,
            outcome,
            format!("{:.1} s", began.elapsed().as_secs_f32()),
        );
    }

    /// The same for what took CPU time of its own.
    pub fn check_using(&mut self, name: &str, outcome: Result<()>, began: Instant, cpu: Duration) {
        let (wall, cpu) = (began.elapsed().as_secs_f32(), cpu.as_secs_f32());
        self.count(name, outcome, format!("{wall:.1} s, CPU {cpu:.1} s"));
    }

    fn count(&mut self, name: &str, outcome: Result<()>, time: String) {
        match outcome {
            Ok(()) => {
                self.passed += 1;
                println!("ok      {name} ({time})");
            }
            Err(why) => {
                self.failed += 1;
                let line = format!("FAILED  {name} ({time}): {why:#}");
                println!("{line}");
                self.failures.push(line);
            }
        }
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.failures.extend(other.failures.iter().cloned());
    }

    /// Prints the closing line, alone on its line.
    pub fn close(&self) -> ExitCode {
        if !self.failures.is_empty() {
            println!("What failed:");
        }
        for failure in &self.failures {
            println!("{failure}");
        }
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
    let everything = options.names.is_empty();
    let with_host = everything && !options.system_only;
    if options.host_only {
        if with_host {
            lints(&mut tally);
            host(&packages, &mut tally);
        }
        return Ok(tally.close());
    }
    // Beside the build, which keeps one processor busy most of the time. Lints have a folder of their own for what they
    // build, so that neither waits for the other.
    let linted = with_host.then(|| {
        thread::spawn(|| {
            let mut tally = Tally::default();
            lints(&mut tally);
            tally
        })
    });
    if build::has_hypervisor() && everything {
        let began = Instant::now();
        // The programs, too: the first machine would wait for them, and cargo for itself.
        let built = build::report()
            .and_then(|()| build::guest_programs())
            .and_then(|_| build::bare_guests());
        tally.check("build", built.map(drop), began);
    }
    // Compilers and tests seldom keep every processor busy, so the first machines run beside them.
    let beside = linted.map(|linted| {
        let packages = &packages;
        move || {
            let mut tally = Tally::default();
            host(packages, &mut tally);
            match linted.join() {
                Ok(counted) => tally.add(&counted),
                Err(panic) => std::panic::resume_unwind(panic),
            }
            tally
        }
    });
    system_test::run(&packages, &options.names, &mut tally, beside)?;
    Ok(tally.close())
}

/// Format and lints.
fn lints(tally: &mut Tally) {
    let target = crate::paths::root().join("target/lints");
    let mut check = |name: &str, args: &[&str]| {
        let began = Instant::now();
        let mut cargo = cmd::cargo();
        cargo.args(args).env("CARGO_TARGET_DIR", &target);
        tally.check(name, cmd::run(&mut cargo), began);
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
}

/// Every test that runs on the host.
fn host(packages: &setup::Packages, tally: &mut Tally) {
    let mut build = cmd::cargo();
    build.args(["test", "--workspace", "--no-run", "-q"]);
    let began = Instant::now();
    if let Err(why) = cmd::run(&mut build) {
        tally.check("the tests compile", Err(why), began);
        return;
    }
    let ran = cargo_test(
        tally,
        cmd::cargo()
            .args(["test", "--workspace", "--no-fail-fast"])
            // The kernel loader and the dom0 builder are tried on the real one, too.
            .env("OXEN_TEST_VMLINUZ", packages.kernel()),
        SILENCE,
    );
    if let Err(why) = ran {
        tally.check("the tests run", Err(why), began);
    }
}

/// A test program that says nothing for so long hangs. The harness itself names a test after a minute.
const SILENCE: Duration = Duration::from_secs(300);

/// What a running `cargo test` is about, from its own lines: to name what hangs.
#[derive(Default)]
struct Progress {
    program: String,
    /// Tests that the harness has called slow and that have not ended.
    slow: Vec<String>,
}

impl Progress {
    fn note(&mut self, line: &str) {
        if let Some(program) = line.trim_start().strip_prefix("Running ") {
            self.program = program.to_owned();
            self.slow.clear();
        } else if let Some(program) = line.trim_start().strip_prefix("Doc-tests ") {
            self.program = format!("doc-tests {program}");
            self.slow.clear();
        } else if let Some(rest) = line.strip_prefix("test ") {
            if let Some((name, _)) = rest.split_once(" has been running for over") {
                self.slow.push(name.to_owned());
            } else if let Some((name, _)) = rest.rsplit_once(" ... ") {
                self.slow.retain(|slow| slow != name);
            }
        }
    }

    fn describe(&self) -> String {
        match self.slow.as_slice() {
            [] => self.program.clone(),
            slow => format!("{} in {}", slow.join(", "), self.program),
        }
    }
}

/// Runs `cargo test`, shows its output and adds its counts. A run that fails without a failed
/// test (it does not compile, a test binary dies) counts as one failure; so does one that stands still, which is ended.
fn cargo_test(tally: &mut Tally, command: &mut Command, silence: Duration) -> Result<()> {
    let began = Instant::now();
    let line = cmd::describe(command);
    // The test programs below cargo are to end with it.
    let mut group = ProcessGroup::spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
        .with_context(|| format!("cannot start `{line}`"))?;
    let (sender, lines) = mpsc::channel();
    let forward = |stream: Box<dyn Read + Send>| {
        let sender = sender.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
    };
    if let Some(stream) = group.child.stdout.take() {
        forward(Box::new(stream));
    }
    if let Some(stream) = group.child.stderr.take() {
        forward(Box::new(stream));
    }
    drop(sender);
    let mut counted = Tally::default();
    let mut progress = Progress::default();
    let mut hangs = None;
    loop {
        let line = match lines.recv_timeout(silence) {
            Ok(line) => line,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                hangs = Some(progress.describe());
                group.kill();
                break;
            }
        };
        progress.note(&line);
        counted.add_harness_line(&line);
        if line.starts_with("test ") && line.ends_with("... FAILED") {
            counted.failures.push(line.clone());
        }
        // Hundreds of passing tests are not news.
        let passing = line.starts_with("test ") && line.ends_with("... ok");
        if !passing && !line.is_empty() {
            println!("{line}");
        }
    }
    let status = group.wait()?;
    tally.add(&counted);
    if let Some(what) = hangs {
        let why = anyhow::anyhow!("hangs: nothing for {} s", silence.as_secs());
        tally.check(&what, Err(why), began);
    } else if !status.success() && counted.failed == 0 {
        tally.check(&line, Err(anyhow::anyhow!("{status}")), began);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_still_is_ended_and_named() {
        let mut tally = Tally::default();
        let script = "echo 'Running unittests src/lib.rs' >&2; sleep 1; \
             echo 'test a::b has been running for over 60 seconds'; sleep 600";
        let mut command = Command::new("sh");
        let began = Instant::now();
        cargo_test(
            &mut tally,
            command.args(["-c", script]),
            Duration::from_secs(3),
        )
        .unwrap();
        assert!(began.elapsed() < Duration::from_secs(60));
        assert_eq!((tally.passed, tally.failed), (0, 1));
    }

    #[test]
    fn a_slow_test_is_forgotten_when_it_ends() {
        let mut progress = Progress::default();
        for line in [
            "     Running unittests src/lib.rs (target/x)",
            "test a has been running for over 60 seconds",
            "test b has been running for over 60 seconds",
            "test a ... ok",
        ] {
            progress.note(line);
        }
        assert_eq!(progress.describe(), "b in unittests src/lib.rs (target/x)");
    }

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
                failed: 3,
                ..Tally::default()
            }
        );
    }
}
