//! Watches over a domain from the background: what is configured for its end is done.
//!
//! The process outlives the terminal it was started from. It keeps nothing in memory that is not
//! in xenstore and in the domain's files, so that a lost one can be started again.
//!
//! There is one per domain, and all it does is wait. So it begins as a process of its own, does nothing before the
//! domain stops that is not needed to notice that (what of the program it has never run is not in its memory), and
//! begins anew when it has made the domain's successor.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use hypercall_abi::sched::Shutdown;
use hypercall_abi::xen::DomId;

use super::create::{Plan, create};
use super::wait::{End, Waiter};
use super::{Error, Tools, destroy, dump, find, store};
use crate::config::domain::{Action, Domain, Uuid};

/// The hidden command that is a supervisor.
pub const COMMAND: &str = "supervise-domain";
/// Logs and dumps, as stock xl has them.
const LOGS: &str = "/var/log/xen";
const DUMPS: &str = "/var/lib/xen/dump";
/// A domain that dies sooner after its start is not started again at once.
const SOON: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(2);
/// Between attempts to reach a store daemon that has gone.
const RECONNECT: Duration = Duration::from_secs(1);

/// Starts a supervisor of its own session, with the log as its output.
///
/// # Errors
/// That it does not start.
pub fn start(domain: DomId, name: &str) -> Result<Child, Error> {
    let failed = |error: io::Error| Error::Other(format!("the supervisor does not start: {error}"));
    let _ = std::fs::create_dir_all(LOGS);
    let path = Path::new(LOGS).join(format!("xl-{name}.log"));
    let log = OpenOptions::new().create(true).append(true).open(&path);
    let output = |log: &io::Result<std::fs::File>| match log {
        Ok(file) => file.try_clone().map_or_else(|_| Stdio::null(), Stdio::from),
        Err(_) => Stdio::null(),
    };
    program(domain)
        .map_err(failed)?
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output(&log))
        .stderr(output(&log))
        .spawn()
        .map_err(failed)
}

/// This program as the supervisor of a domain. The name is so that a program of many knows which it is.
fn program(domain: DomId) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg0("xl").args([COMMAND, &domain.0.to_string()]);
    Ok(command)
}

/// The domain whose supervisor the program is to be with these arguments.
pub fn asked_for(arguments: &[OsString]) -> Option<DomId> {
    match arguments {
        [_, command, domain] if command == COMMAND => domain.to_str()?.parse().ok().map(DomId),
        _ => None,
    }
}

fn log(text: &str) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = now.unwrap_or_default().as_secs();
    // A full disk must not end the one who is to restart the domain.
    let _ = writeln!(io::stdout(), "{seconds} {text}");
}

/// The supervisor itself: returns when the domain is gone for good. `anew`: the process does nothing else, and begins
/// anew with each successor of the domain.
///
/// # Errors
/// What keeps it from doing what is configured.
pub fn run(domain: DomId, anew: bool) -> Result<(), Error> {
    // Away from the terminal. A process that leads a group already is not in its way.
    let _ = rustix::process::setsid();
    let (mut tools, mut waiter) = open_or_wait()?;
    let mut domain = domain;
    loop {
        let Some(info) = tools.xen.domain(domain)? else {
            return Ok(());
        };
        let uuid = Uuid(info.handle);
        let kept = Plan::kept(domain, uuid)?;
        log(&format!("waiting for domain {} to stop", domain.0));
        let start = Instant::now();
        let end = loop {
            match waiter.wait(&tools, domain, uuid.0) {
                Ok(end) => break end,
                // The store daemon went away, which is no reason to leave the domain alone.
                Err(Error::Store(error)) => {
                    log(&format!("{error}; waiting for xenstored"));
                    (tools, waiter) = reopen();
                    log("xenstored is there again");
                }
                Err(error) => return Err(error),
            }
        };
        let reason = match end {
            End::Gone => {
                log("the domain was destroyed");
                return Ok(());
            }
            End::Shutdown(reason) => reason,
        };
        // It may have got another name or configuration meanwhile.
        let plan = Plan::of_existing(domain, uuid).or_else(|error| {
            log(&format!("{error}; goes on with the configuration before"));
            Plan::of_kept(domain, uuid, &kept)
        })?;
        let action = action(&plan.config, reason);
        log(&format!(
            "domain {} stopped, reason code {}: {}",
            domain.0,
            reason.0,
            action.name()
        ));
        match act(&mut tools, domain, &plan, action, start)? {
            Some(next) => domain = next,
            None => return Ok(()),
        }
        // Comes back only if it fails, as after an upgrade that removed this program.
        if anew && let Ok(mut program) = program(domain) {
            let error = program.exec();
            log(&format!("goes on as it is: {error}"));
        }
        (tools, waiter) = open_or_wait()?;
    }
}

fn open() -> Result<(Tools, Waiter), Error> {
    Ok((Tools::open()?, Waiter::new()?))
}

/// The same, even if the store daemon is away just now.
fn open_or_wait() -> Result<(Tools, Waiter), Error> {
    match open() {
        Err(Error::Store(error)) => {
            log(&format!("{error}; waiting for xenstored"));
            Ok(reopen())
        }
        opened => opened,
    }
}

/// New connections, as soon as somebody serves them.
fn reopen() -> (Tools, Waiter) {
    loop {
        match open() {
            Ok(opened) => return opened,
            Err(_) => std::thread::sleep(RECONNECT),
        }
    }
}

fn action(config: &Domain, reason: Shutdown) -> Action {
    match reason {
        Shutdown::POWEROFF => config.on_poweroff,
        Shutdown::REBOOT => config.on_reboot,
        Shutdown::WATCHDOG => config.on_watchdog,
        Shutdown::SOFT_RESET => config.on_soft_reset,
        // Somebody saves it, and will end it.
        Shutdown::SUSPEND => Action::Preserve,
        // A crash, or a reason that is not known yet.
        _ => config.on_crash,
    }
}

/// Does what is configured; the domain to watch next, if there is one.
fn act(
    tools: &mut Tools,
    domain: DomId,
    plan: &Plan,
    action: Action,
    start: Instant,
) -> Result<Option<DomId>, Error> {
    if matches!(action, Action::CoredumpDestroy | Action::CoredumpRestart) {
        let path = Path::new(DUMPS).join(format!("{}-{}.core", plan.config.name, domain.0));
        let _ = std::fs::create_dir_all(DUMPS);
        match dump::write(&tools.xen, domain, &path) {
            Ok(()) => log(&format!("its memory is in {}", path.display())),
            // The rest is to be done all the same.
            Err(error) => log(&format!("no dump: {error}")),
        }
    }
    match action {
        Action::Preserve => return Ok(None),
        Action::Destroy | Action::CoredumpDestroy => {
            destroy::destroy(tools, domain)?;
            return Ok(None);
        }
        // A PV guest cannot start over in place.
        Action::Restart | Action::CoredumpRestart | Action::SoftReset => {
            destroy::destroy(tools, domain)?;
        }
        Action::RenameRestart => set_aside(tools, domain, &plan.config.name)?,
    }
    if start.elapsed() < SOON {
        std::thread::sleep(PAUSE);
    }
    let next = create(tools, plan, &Arc::new(AtomicBool::new(false)))?;
    tools.xen.unpause_domain(next)?;
    Ok(Some(next))
}

/// Gives a stopped domain another name and identity, and takes its devices, which its successor
/// needs.
fn set_aside(tools: &mut Tools, domain: DomId, name: &str) -> Result<(), Error> {
    crate::devices::release_all(&mut tools.store, u32::from(domain.0))?;
    let mut number = 1;
    let new = loop {
        let new = format!("{name}-{number}");
        match find::check_free(tools, &new) {
            Ok(()) => break new,
            Err(Error::NameInUse(..)) => number += 1,
            Err(error) => return Err(error),
        }
    };
    let uuid = Uuid::random().map_err(|error| Error::Other(error.to_string()))?;
    let old = tools.xen.domain(domain)?.map(|info| Uuid(info.handle));
    tools.xen.set_domain_handle(domain, uuid.0)?;
    tools
        .store
        .write(&format!("{}/name", store::path(domain)), &new)?;
    tools
        .store
        .write(&format!("{}/vm", store::path(domain)), store::vm_path(uuid))?;
    if let Some(old) = old {
        let _ = super::userdata::remove(domain, old);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_arguments_ask_for_a_supervisor() {
        let asked = |arguments: &[&str]| {
            let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
            asked_for(&arguments)
        };
        assert_eq!(asked(&["xl", COMMAND, "7"]), Some(DomId(7)));
        for other in [
            &["xl", COMMAND][..],
            &["xl", COMMAND, "7", "8"],
            &["xl", COMMAND, "guest"],
            &["xl", COMMAND, "70000"],
            &["xl", "list", "7"],
        ] {
            assert_eq!(asked(other), None, "{other:?}");
        }
    }
}
