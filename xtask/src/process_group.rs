//! Programs with everything that they start, so that all of it can be ended: when it hangs, and when `./x` itself is told
//! to end (Ctrl-C reaches only the terminal's foreground group, a CI's time limit only `./x`).

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::{io, thread};

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// Groups that run now.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

fn running() -> MutexGuard<'static, Vec<Pid>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A program that runs in a process group of its own.
pub struct ProcessGroup {
    /// The program.
    pub child: Child,
    id: Pid,
}

impl ProcessGroup {
    /// Starts a program. From now on signals that end this process end the groups first.
    pub fn spawn(command: &mut Command) -> io::Result<Self> {
        static WATCH: Once = Once::new();
        let mut watched = Ok(());
        WATCH.call_once(|| watched = watch());
        watched?;
        // A signal between the start and the note would miss the group: whoever handles it waits for the lock.
        let mut running = running();
        let child = command.process_group(0).spawn()?;
        let id = Pid::from_child(&child);
        running.push(id);
        Ok(Self { child, id })
    }

    /// Kills the program and whatever it started. Those who left the group are not met.
    pub fn kill(&self) {
        let _ = kill_process_group(self.id, Signal::KILL);
    }

    /// Waits for the program's end.
    pub fn wait(mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        running().retain(|id| *id != self.id);
    }
}

/// Starts the thread that handles signals.
fn watch() -> io::Result<()> {
    let heeded = [SIGINT, SIGTERM, SIGHUP]
        .into_iter()
        .filter(|s| !ignored(*s));
    let mut signals = Signals::new(heeded)?;
    thread::spawn(move || {
        for signal in &mut signals {
            // Kept, so that nothing starts any more.
            let running = running();
            for group in running.iter() {
                let _ = kill_process_group(*group, Signal::KILL);
            }
            let _ = emulate_default_handler(signal);
        }
    });
    Ok(())
}

/// Whether whoever started this process wants it to survive a signal (`nohup`, a script's background job).
fn ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0);
    mask >> (signal - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};
    use std::os::unix::process::ExitStatusExt;
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    use rustix::process::kill_process;

    use super::*;

    #[test]
    fn who_is_told_to_end_takes_the_group_along() {
        let began = Instant::now();
        let mut one = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "--nocapture"])
            .arg("process_group::tests::one_with_a_group")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(one.stdout.take().unwrap());
        let mut line = String::new();
        while !line.ends_with("started\n") {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "it ended early");
        }
        kill_process(Pid::from_child(&one), Signal::TERM).unwrap();
        assert_eq!(one.wait().unwrap().signal(), Some(SIGTERM));
        // The shell and its child hold the other end until they are gone.
        output.read_to_end(&mut Vec::new()).unwrap();
        assert!(began.elapsed() < Duration::from_secs(60));
    }

    #[test]
    #[ignore = "started by the test above"]
    fn one_with_a_group() {
        let script = "sleep 300 & echo started; wait";
        let group = ProcessGroup::spawn(Command::new("sh").args(["-c", script])).unwrap();
        group.wait().unwrap();
    }
}
