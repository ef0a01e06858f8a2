//! Disks that need more than the kernel: QEMU serves qcow2, vhd and the like. One process per
//! domain serves all its disks; it finds them, and new ones, in xenstore.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::error::Cause;
use crate::xenstore::Client;

/// Where Debian has it, in order of preference; `OXEN_QEMU` names another.
const PROGRAMS: [&str; 4] = [
    "/usr/libexec/xen-qemu-system-i386",
    "/usr/bin/qemu-system-i386",
    "/usr/bin/qemu-system-x86_64",
    "/usr/lib/xen/bin/qemu-system-i386",
];
const LOGS: &str = "/var/log/xen";
/// It has to load a good deal, perhaps on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
const FAREWELL: Duration = Duration::from_secs(5);

/// Makes sure that a domain has its process, and that this is ready.
///
/// # Errors
/// [`Cause::Target`] without the program; [`Cause::Backend`] with its own last words;
/// [`Cause::Timeout`].
pub fn ensure(store: &Client, domid: u32) -> Result<(), Cause> {
    if running(store, domid)?.is_some() {
        return Ok(());
    }
    let program = program()?;
    let name = store.try_read_string(&format!("/local/domain/{domid}/name"))?;
    let name = name.unwrap_or_else(|| format!("domain-{domid}"));
    let log = Path::new(LOGS).join(format!("qemu-dm-{name}.log"));
    let state = format!("/local/domain/0/device-model/{domid}/state");
    store.rm_if_present(&state)?;
    let mut child = spawn(&program, domid, &name, &log)?;
    store.write(&pid_node(domid), child.id().to_string())?;
    let end = Instant::now() + PATIENCE;
    loop {
        if store.try_read_string(&state)?.as_deref() == Some("running") {
            return Ok(());
        }
        let ended = child
            .try_wait()
            .map_err(|error| Cause::Target(program.clone(), error))?;
        if let Some(status) = ended {
            store.rm_if_present(&pid_node(domid))?;
            let words = last_words(&log).unwrap_or_else(|| format!("it ended with {status}"));
            return Err(Cause::Backend(format!("{}: {words}", program.display())));
        }
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            store.rm_if_present(&pid_node(domid))?;
            let seen = format!("see {}", log.display());
            return Err(Cause::Timeout("starting QEMU", seen));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The process of a domain, if it is alive.
///
/// # Errors
/// Those of xenstore.
pub fn running(store: &Client, domid: u32) -> Result<Option<Pid>, Cause> {
    let pid = store.try_read_string(&pid_node(domid))?;
    let pid = pid.and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?));
    Ok(pid.filter(|pid| is_qemu(*pid) && test_kill_process(*pid).is_ok()))
}

/// Ends the process of a domain and removes its traces.
///
/// # Errors
/// Those of xenstore.
pub fn end(store: &Client, domid: u32) -> Result<(), Cause> {
    if let Some(pid) = running(store, domid)? {
        // That it ended by itself meanwhile is as good.
        let _ = kill_process(pid, Signal::TERM);
        let end = Instant::now() + FAREWELL;
        while is_qemu(pid) && test_kill_process(pid).is_ok() {
            if Instant::now() > end {
                let _ = kill_process(pid, Signal::KILL);
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    store.rm_if_present(&pid_node(domid))?;
    store.rm_if_present(&format!("/local/domain/0/device-model/{domid}"))?;
    Ok(())
}

/// Where libxl has it too; not for the guest to write.
fn pid_node(domid: u32) -> String {
    format!("/local/domain/{domid}/image/device-model-pid")
}

/// The number of a process that ended may have gone to another, and a zombie serves nobody.
fn is_qemu(pid: Pid) -> bool {
    let directory = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let line = fs::read(directory.join("cmdline")).unwrap_or_default();
    let program = line.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(program).contains("qemu")
}

fn program() -> Result<PathBuf, Cause> {
    if let Some(program) = std::env::var_os("OXEN_QEMU") {
        return Ok(program.into());
    }
    let found = PROGRAMS
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists());
    found.ok_or_else(|| {
        Cause::Unsupported(
            "this image needs QEMU, which is not installed (Debian: qemu-system-xen)".to_owned(),
        )
    })
}

fn spawn(program: &Path, domid: u32, name: &str, log: &Path) -> Result<Child, Cause> {
    let broken = |error| Cause::Target(log.to_owned(), error);
    fs::create_dir_all(LOGS).map_err(broken)?;
    let output = File::create(log).map_err(broken)?;
    let errors = output.try_clone().map_err(broken)?;
    let domid = domid.to_string();
    Command::new(program)
        .args(["-xen-domid", &domid, "-xen-attach", "-name", name])
        .args([
            "-machine",
            "xenpv",
            "-m",
            "1",
            "-nodefaults",
            "-no-user-config",
        ])
        .args([
            "-display",
            "none",
            "-monitor",
            "none",
            "-serial",
            "none",
            "-parallel",
            "none",
        ])
        .current_dir("/")
        // A terminal's Ctrl-C is not for it.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .map_err(|error| Cause::Target(program.to_owned(), error))
}

fn last_words(log: &Path) -> Option<String> {
    let text: io::Result<String> = fs::read_to_string(log);
    let text = text.ok()?;
    let line = text.lines().rev().find(|line| !line.trim().is_empty())?;
    Some(line.trim().to_owned())
}
