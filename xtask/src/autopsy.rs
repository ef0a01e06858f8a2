//! A machine that stands still, asked why: dom0's kernel for its blocked tasks, the hypervisor for its debug keys, QEMU for
//! the CPUs and their APICs. The answers stay in the run's folder; what matters of them goes into the failure's text, because
//! of a run somewhere else often nothing but its last lines is left.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::qemu::Guest;

/// dom0's console takes Ctrl-O and a letter for a SysRq: log everything, blocked tasks, what each CPU does.
const SYSRQ: &[&str] = &["\x0f8", "\x0fw", "\x0fl"];
/// Three times this, and the serial line leads to the hypervisor, or back.
const SWITCH: &str = "\x01\x01\x01";
/// Debug keys that Xen has, too.
const KEYS: &[&str] = &["d", "r", "q", "e", "i"];

/// An answer has come when there was silence for so long ...
const SILENCE: Duration = Duration::from_secs(2);
/// ... or it goes on and on.
const ENOUGH: Duration = Duration::from_secs(30);

/// Characters that a failure's text takes of it all.
const DIGEST: usize = 1200;

/// Asks the machine of `cpus` CPUs; what stands out.
pub fn of(guest: &mut Guest, cpus: u32) -> String {
    let registers: Vec<String> = (0..3)
        .map(|_| {
            thread::sleep(Duration::from_secs(1));
            ask_qemu(guest, "info registers -a")
        })
        .collect();
    let apics: Vec<String> = (0..cpus)
        .map(|cpu| ask_qemu(guest, &format!("info lapic {cpu}")))
        .collect();
    let from = guest.text().len();
    let blocked = type_all(guest, SYSRQ);
    let _ = guest.type_in(SWITCH);
    type_all(guest, KEYS);
    let _ = guest.type_in(SWITCH);
    let said = guest.text();
    let said = said.get(from..).unwrap_or_default();
    let parts = [
        registers.join("\n----\n"),
        apics.join("\n"),
        said.to_owned(),
    ];
    // It is for people; the failure is told without it.
    let _ = fs::write(guest.folder().join("autopsy"), parts.join("\n====\n"));
    digest(&apics, &blocked)
}

fn ask_qemu(guest: &Guest, question: &str) -> String {
    guest
        .monitor(question)
        .unwrap_or_else(|error| format!("{error:#}\n"))
}

/// Types one after the other and returns what came on the console.
fn type_all(guest: &mut Guest, texts: &[&str]) -> String {
    let from = guest.text().len();
    for text in texts {
        if guest.type_in(text).is_err() {
            break;
        }
        let began = Instant::now();
        let (mut length, mut since) = (0, Instant::now());
        while since.elapsed() < SILENCE && began.elapsed() < ENOUGH {
            let now = guest.text().len();
            if now != length {
                (length, since) = (now, Instant::now());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
    guest.text().get(from..).unwrap_or_default().to_owned()
}

fn digest(apics: &[String], blocked: &str) -> String {
    let mut found: Vec<String> = apics
        .iter()
        .enumerate()
        .filter_map(|(cpu, text)| in_service(text).map(|what| format!("APIC {cpu}: {what}")))
        .collect();
    found.extend(tasks(blocked));
    if found.is_empty() {
        found.push("nothing blocked, no interrupt in service".to_owned());
    }
    let mut text = found.join("; ");
    if let Some((end, _)) = text.char_indices().nth(DIGEST) {
        text.truncate(end);
    }
    text
}

/// The vectors that an APIC holds in service, with those that it holds back for them.
fn in_service(apic: &str) -> Option<String> {
    let vectors = |register: &str| -> Option<String> {
        let line = apic
            .lines()
            .find(|line| line.trim_start().starts_with(register))?;
        let rest = line.trim_start().strip_prefix(register)?;
        let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        (!rest.starts_with("(none)")).then_some(rest)
    };
    let isr = vectors("ISR")?;
    let irr = vectors("IRR").unwrap_or_default();
    Some(format!("ISR {isr} IRR {irr}"))
}

/// Of each task of the kernel's list: its name and where it waits, innermost function first.
fn tasks(blocked: &str) -> Vec<String> {
    /// How each of them waits is no news.
    const USUAL: &[&str] = &["__schedule", "schedule"];
    /// Functions that tell a place.
    const DEPTH: usize = 7;
    let mut tasks: Vec<(String, Vec<String>)> = Vec::new();
    for line in blocked.lines() {
        let text = match line.split_once("] ") {
            Some((time, text)) if time.starts_with('[') => text,
            _ => line,
        };
        if let Some(task) = text.strip_prefix("task:") {
            let name = task.split_whitespace().next().unwrap_or_default();
            tasks.push((name.to_owned(), Vec::new()));
        } else if let Some((function, offset)) = text.trim().split_once('+')
            && offset.starts_with("0x")
            && let Some((_, places)) = tasks.last_mut()
            && places.len() < DEPTH
            && !USUAL.contains(&function)
            && !function.starts_with('?')
        {
            places.push(function.to_owned());
        }
    }
    tasks
        .into_iter()
        .map(|(name, places)| format!("{name} in {}", places.join(" < ")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_named_with_its_place() {
        let log = "[   61.2] sysrq: Show Blocked State\n\
            [   61.2] task:kworker/1:2     state:D stack:0     pid:42    ppid:2      flags:0x00004000\n\
            [   61.2] Call Trace:\n\
            [   61.2]  <TASK>\n\
            [   61.2]  __schedule+0x34d/0x9e0\n\
            [   61.2]  schedule+0x5a/0xd0\n\
            [   61.2]  io_schedule+0x42/0x70\n\
            [   61.2]  ? wake_up+0x1/0x2\n\
            [   61.2]  blkdev_issue_flush+0x8f/0xc0\n\
            [   61.2]  </TASK>\n";
        assert_eq!(
            tasks(log),
            ["kworker/1:2 in io_schedule < blkdev_issue_flush"]
        );
    }

    #[test]
    fn an_interrupt_that_was_never_ended_is_seen() {
        let apic = "dumping local APIC state for CPU 0\n\nISR\t 248 \nIRR\t 248 250 \n";
        assert_eq!(in_service(apic).as_deref(), Some("ISR 248 IRR 248 250"));
        let quiet = "ISR\t (none)\nIRR\t (none)\n";
        assert_eq!(in_service(quiet), None);
        assert_eq!(
            digest(&[quiet.to_owned()], ""),
            "nothing blocked, no interrupt in service"
        );
    }
}
