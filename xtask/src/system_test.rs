//! Running the table of system tests and judging the console of each boot.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use ::tests::{Action, Case, End, Input, Kernel, TABLE, When};
use anyhow::{Context, Result, bail};

use crate::accel::Accelerator;
use crate::autopsy;
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

/// What a boot gets over, but people want to know of.
const REMARKABLE: &[&str] = &["was in service though"];

/// Runs the cases whose names begin with one of the filters; without filters those of every run. `beside` has the place of
/// one machine as long as it runs.
pub fn run(
    packages: &Packages,
    filters: &[String],
    tally: &mut Tally,
    beside: Option<impl FnOnce() -> Tally + Send>,
) -> Result<()> {
    let accelerator = Accelerator::best(packages)?;
    let wanted = |case: &&Case| match filters {
        [] => case.when == When::Always,
        _ => filters
            .iter()
            .any(|filter| case.name.starts_with(filter.as_str())),
    };
    let cases: Vec<&Case> = TABLE.iter().filter(wanted).collect();
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let places = Places::new(cpus.min(SIDE_BY_SIDE), memory()? / 4 * 3);
    let next = AtomicUsize::new(0);
    let (sender, ended) = mpsc::channel();
    thread::scope(|scope| {
        let beside = beside.map(|work| {
            let place = places.take(0);
            scope.spawn(move || {
                let _place = place;
                work()
            })
        });
        for _ in 0..places.most {
            let (sender, next, places, cases) = (sender.clone(), &next, &places, &cases);
            scope.spawn(move || {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let _place = places.take(u64::from(case.memory));
                    let began = Instant::now();
                    let (outcome, used) = run_case(packages, case, accelerator);
                    let _ = sender.send((case, outcome, used, began));
                }
            });
        }
        drop(sender);
        for (case, outcome, used, began) in ended {
            let name = format!("system {}", case.name);
            tally.check_using(&name, outcome, began, used);
        }
        if let Some(beside) = beside {
            match beside.join() {
                Ok(counted) => tally.add(&counted),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    Ok(())
}

/// So many machines at most run at the same time, on a host with as many CPUs: a row seldom keeps more than one busy.
const SIDE_BY_SIDE: usize = 2;

/// Memory of the host, MiB.
fn memory() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(kibibytes.context("/proc/meminfo has no MemTotal")? >> 10)
}

/// Room for machines that run at the same time.
struct Places {
    /// Machines.
    most: usize,
    /// Memory of all of them, MiB.
    memory: u64,
    taken: Mutex<Taken>,
    freed: Condvar,
}

#[derive(Default)]
struct Taken {
    machines: usize,
    memory: u64,
}

/// A place in use.
struct Place<'a> {
    places: &'a Places,
    memory: u64,
}

impl Places {
    fn new(most: usize, memory: u64) -> Self {
        Self {
            most,
            memory,
            taken: Mutex::default(),
            freed: Condvar::new(),
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until there is room for one more with so much memory; alone it always has room.
    fn take(&self, memory: u64) -> Place<'_> {
        let full = |taken: &mut Taken| {
            taken.machines > 0
                && (taken.machines >= self.most || taken.memory + memory > self.memory)
        };
        let mut taken = self
            .freed
            .wait_while(self.taken(), full)
            .unwrap_or_else(PoisonError::into_inner);
        taken.machines += 1;
        taken.memory += memory;
        drop(taken);
        Place {
            places: self,
            memory,
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.machines -= 1;
        taken.memory -= self.memory;
        drop(taken);
        self.places.freed.notify_all();
    }
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
    if accelerator != Accelerator::Kvm {
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
    for line in guest
        .text()
        .lines()
        .filter(|line| REMARKABLE.iter().any(|text| line.contains(text)))
    {
        println!("note    system {}: {line}", case.name);
    }
    let log = guest.folder().join("serial.log");
    let outcome = outcome.map_err(|error| {
        // What refused to boot has said why.
        let error = match case.end {
            End::PowerOff if guest.runs() => {
                error.context(format!("[{}]", autopsy::of(&mut guest, case.cpus)))
            }
            _ => error,
        };
        error.context(format!("see {}", log.display()))
    });
    (outcome, guest.used())
}

/// Builds what the case needs and switches the machine on. One at a time, because they share what is built.
fn start(packages: &Packages, case: &Case, accelerator: Accelerator) -> Result<Guest> {
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
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
            judge(&guest.text(), case).with_context(|| guest.how_it_ended())
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
    fn machines_run_side_by_side_where_there_is_room_and_alone_where_not() {
        let places = Places::new(2, 3000);
        let seen = Mutex::new((0, Vec::new()));
        thread::scope(|scope| {
            for memory in [1000, 1500, 2000, 5000, 1000, 500] {
                let (places, seen) = (&places, &seen);
                scope.spawn(move || {
                    let _place = places.take(memory);
                    let taken = places.taken();
                    let together = (taken.machines, taken.memory);
                    drop(taken);
                    seen.lock().unwrap().1.push(together);
                    thread::sleep(Duration::from_millis(20));
                    seen.lock().unwrap().0 += 1;
                });
            }
        });
        let (ended, together) = seen.into_inner().unwrap();
        assert_eq!(ended, 6);
        for (machines, memory) in together {
            assert!(machines == 1 || machines == 2 && memory <= 3000);
        }
        let taken = places.taken();
        assert_eq!((taken.machines, taken.memory), (0, 0));
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
