//! Costs of single operations, for `./x bench`: runs as a program of dom0, on a hypervisor or not.
//!
//! Under QEMU's `-icount shift=0` the time stamp counter counts executed instructions, the
//! hypervisor's included, so the figures do not depend on the host. Prints one line per
//! operation: `@@ bench NAME TICKS`. Other words than none: `now` prints the counter and ends,
//! `time FILE COMMAND...` runs a command and writes the counter before it and how long it took to a
//! file, `disk PATH`, `serve`, `network HOST`, `console` and `disturbance` measure what `devices` says.

mod devices;
mod sys;

use std::io;
use std::process::{Command, ExitCode};

use sys::{Mapping, Pid};

/// Ticks per operation: the least of a few rounds, because interrupts only ever add.
fn measure(count: u64, mut operation: impl FnMut() -> io::Result<()>) -> io::Result<u64> {
    const ROUNDS: usize = 5;
    let mut best = u64::MAX;
    // The first round warms caches and is not counted.
    for round in 0..=ROUNDS {
        let began = sys::ticks();
        for _ in 0..count {
            operation()?;
        }
        let ticks = sys::ticks().wrapping_sub(began);
        if round > 0 {
            best = best.min(ticks / count.max(1));
        }
    }
    Ok(best)
}

fn null_system_call() -> io::Result<u64> {
    measure(20_000, || {
        sys::getppid();
        Ok(())
    })
}

fn page_fault() -> io::Result<u64> {
    const PAGES: usize = 2048;
    let ticks = measure(1, || {
        let mapping = Mapping::anonymous(PAGES)?;
        for page in 0..PAGES {
            mapping.touch(page);
        }
        Ok(())
    })?;
    // Making and dropping the mapping is part of it, as in any program's life.
    Ok(ticks / PAGES as u64)
}

fn mprotect_pair() -> io::Result<u64> {
    let mapping = Mapping::anonymous(1)?;
    mapping.touch(0);
    measure(5_000, || {
        mapping.protect(false)?;
        mapping.protect(true)?;
        mapping.touch(0);
        Ok(())
    })
}

fn fork_wait() -> io::Result<u64> {
    measure(50, || sys::fork(|| 0)?.wait())
}

fn fork_exec() -> io::Result<u64> {
    measure(30, || {
        sys::vfork_exec(c"/proc/self/exe", c"nothing")?.wait()
    })
}

fn pipe_round_trip() -> io::Result<u64> {
    let (mine, theirs) = (sys::pipe()?, sys::pipe()?);
    let child: Pid = sys::fork(|| {
        let mut byte = [0];
        while sys::read(mine.reader, &mut byte).is_ok() && byte != [0] {
            if sys::write(theirs.writer, &byte).is_err() {
                return 1;
            }
        }
        0
    })?;
    let ticks = measure(2_000, || {
        sys::write(mine.writer, &[1])?;
        sys::read(theirs.reader, &mut [0])
    })?;
    sys::write(mine.writer, &[0])?;
    child.wait()?;
    Ok(ticks)
}

fn signal() -> io::Result<u64> {
    sys::ignore_usr1_in_a_handler()?;
    measure(5_000, sys::signal_self)
}

fn timer_wake_up() -> io::Result<u64> {
    const SLEEP_NANOSECONDS: u32 = 100_000;
    sys::no_timer_slack()?;
    let ticks = measure(200, || sys::sleep(SLEEP_NANOSECONDS))?;
    // One tick is one nanosecond of virtual time: what remains is the way to sleep and back.
    Ok(ticks.saturating_sub(u64::from(SLEEP_NANOSECONDS)))
}

fn null_hypercall() -> io::Result<u64> {
    let privcmd = sys::open(c"/dev/xen/privcmd")?;
    measure(5_000, || sys::hypercall_xen_version(privcmd))
}

fn event_to_self() -> io::Result<u64> {
    let device = sys::open(c"/dev/xen/evtchn")?;
    let receiver = sys::evtchn_bind_unbound(device, 0)?;
    let sender = sys::evtchn_bind_interdomain(device, 0, receiver)?;
    sys::evtchn_drain(device)?;
    measure(2_000, || {
        sys::evtchn_notify(device, sender)?;
        let mut port = [0; 4];
        sys::read(device, &mut port)?;
        // Writing a port unmasks it again.
        sys::write(device, &port)
    })
}

type Benchmark = (&'static str, fn() -> io::Result<u64>);

const EVERYWHERE: &[Benchmark] = &[
    ("null-system-call", null_system_call),
    ("page-fault", page_fault),
    ("mprotect-pair", mprotect_pair),
    ("fork-wait", fork_wait),
    ("vfork-exec-wait", fork_exec),
    ("pipe-round-trip", pipe_round_trip),
    ("signal", signal),
    ("timer-wake-up", timer_wake_up),
];

const ON_A_HYPERVISOR: &[Benchmark] = &[
    ("null-hypercall", null_hypercall),
    ("event-channel-to-self", event_to_self),
];

/// Prints one figure, or why there is none.
fn figure(name: &str, run: impl FnOnce() -> io::Result<u64>) {
    match run() {
        Ok(ticks) => println!("@@ bench {name} {ticks}"),
        Err(error) => println!("@@ FAIL bench {name}: {error}"),
    }
}

/// Runs a command and writes when it began and how long it took to a file.
fn time(file: &str, command: &[String]) -> io::Result<ExitCode> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| io::Error::other("no command"))?;
    let mut command = Command::new(program);
    command.args(arguments);
    let began = sys::ticks();
    let status = command.status()?;
    let took = sys::ticks().wrapping_sub(began);
    std::fs::write(file, format!("{began} {took}\n"))?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn run(words: &[String]) -> io::Result<ExitCode> {
    let texts: Vec<&str> = words.iter().map(String::as_str).collect();
    match texts.as_slice() {
        ["now"] => println!("@@ ticks {}", sys::ticks()),
        ["nothing"] => {}
        ["time", file, ..] => return time(file, words.get(2..).unwrap_or_default()),
        ["disk", path] => devices::disk(path)?,
        ["serve"] => devices::serve()?,
        ["network", host] => devices::network(host)?,
        ["console"] => figure("console-kib", devices::console),
        ["disturbance"] => figure("disturbance", devices::disturbance),
        [] => {
            // dom0's; guests have the one without the other.
            let hypervisor = std::path::Path::new("/dev/xen/evtchn").exists();
            let second = if hypervisor { ON_A_HYPERVISOR } else { &[] };
            for (name, run) in EVERYWHERE.iter().chain(second) {
                figure(name, run);
            }
        }
        _ => return Err(io::Error::other(format!("what is {words:?}?"))),
    }
    Ok(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    run(&words).unwrap_or_else(|error| {
        println!("@@ FAIL microbench {}: {error}", words.join(" "));
        ExitCode::FAILURE
    })
}
