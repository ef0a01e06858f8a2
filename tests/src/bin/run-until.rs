//! `run-until DOMID MILLISECONDS`: lets a paused domain run, returns when it has used that much CPU time and prints the
//! milliseconds that it has used. For scenarios that end guests in the midst of something: asking costs a hypercall, where
//! a process of `xl` would take as long as what is to be interrupted.
//!
//! It also returns when the domain uses no more, for example because it has booted and waits.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use dom0_tools::hypercall::Interface;
use hypercall_abi::xen::DomId;

const PAUSE: Duration = Duration::from_millis(20);
/// So often in a row without CPU time means that it waits.
const IDLE: u32 = 75;
/// What a waiting domain may use between two looks.
const LITTLE: u64 = 1;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |what| -> Result<u64> {
        let text = arguments.next().context(what)?;
        text.parse().with_context(|| format!("{what}: {text}"))
    };
    let domain = DomId(number("DOMID")?.try_into().context("DOMID")?);
    let end = number("MILLISECONDS")?;
    let interface = Interface::open()?;
    let used = || -> Result<u64> {
        let info = interface.domain(domain)?.context("no such domain")?;
        Ok(info.cpu_time / 1_000_000)
    };
    interface.unpause_domain(domain)?;
    let (mut now, mut idle) = (used()?, 0);
    while now < end && idle < IDLE {
        sleep(PAUSE);
        let before = std::mem::replace(&mut now, used()?);
        idle = if now - before > LITTLE { 0 } else { idle + 1 };
    }
    println!("{now}");
    Ok(())
}
