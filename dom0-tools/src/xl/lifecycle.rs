//! `xl destroy`, `shutdown`, `reboot`, `pause`, `unpause`, `autostart`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use hypercall_abi::Errno;
use hypercall_abi::domctl::DomctlGetdomaininfo;
use hypercall_abi::xen::DomId;

use crate::hypercall;
use crate::life::wait::{End, Waiter};
use crate::life::{Error, Tools, destroy, find, store};

/// Domains that start with the machine, in the order of their names.
const AUTOSTART: &str = "/etc/xen/auto";

#[derive(Debug, clap::Args)]
pub(super) struct Destroy {
    /// Even dom0, in stock xl; here it has no meaning.
    #[arg(short = 'f')]
    force: bool,
    domain: String,
}

pub(super) fn destroy(arguments: &Destroy) -> Result<ExitCode, Error> {
    let mut tools = Tools::open()?;
    let info = find::guest(&tools, &arguments.domain)?;
    destroy::destroy(&mut tools, info.domain)?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, clap::Args)]
pub(super) struct Shutdown {
    /// All domains.
    #[arg(short = 'a', long)]
    all: bool,
    /// Wait until they have stopped; twice: until they are gone.
    #[arg(short = 'w', long, action = clap::ArgAction::Count)]
    wait: u8,
    /// Without PV drivers, by an ACPI event: PV guests have drivers.
    #[arg(short = 'F')]
    fallback: bool,
    domain: Option<String>,
}

pub(super) fn shutdown(arguments: &Shutdown) -> Result<ExitCode, Error> {
    ask(arguments, "poweroff", "Shutting down")
}

pub(super) fn reboot(arguments: &Shutdown) -> Result<ExitCode, Error> {
    ask(arguments, "reboot", "Rebooting")
}

fn ask(arguments: &Shutdown, what: &str, doing: &str) -> Result<ExitCode, Error> {
    let tools = Tools::open()?;
    let wanted: Vec<DomctlGetdomaininfo> = match (&arguments.domain, arguments.all) {
        (_, true) => {
            let all = tools.xen.domains()?.into_iter();
            all.filter(|info| info.domain != DomId(0)).collect()
        }
        (Some(domain), false) => vec![find::guest(&tools, domain)?],
        (None, false) => {
            eprintln!("You must specify -a or a domain id.\n");
            return Ok(ExitCode::FAILURE);
        }
    };
    let waiter = match arguments.wait {
        0 => None,
        _ => Some(Waiter::new()?),
    };
    for info in &wanted {
        println!("{doing} domain {}", info.domain.0);
        store::ask(&tools.store, info.domain, what)?;
    }
    let Some(waiter) = waiter else {
        return Ok(ExitCode::SUCCESS);
    };
    println!("Waiting for {} domains", wanted.len());
    for info in &wanted {
        let number = info.domain.0;
        match waiter.wait(&tools, info.domain, info.handle)? {
            End::Gone => println!("Domain {number} has been destroyed"),
            End::Shutdown(reason) => {
                println!(
                    "Domain {number} has been shut down, reason code {}",
                    reason.0
                );
                if arguments.wait > 1 {
                    println!("Domain {number} continue waiting for death");
                    waiter.wait_gone(&tools, info.domain, info.handle)?;
                    println!("Domain {number} has been destroyed");
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, clap::Args)]
pub(super) struct One {
    domain: String,
}

pub(super) fn pause(arguments: &One) -> Result<ExitCode, Error> {
    let tools = Tools::open()?;
    let info = find::guest(&tools, &arguments.domain)?;
    tools.xen.pause_domain(info.domain)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn unpause(arguments: &One) -> Result<ExitCode, Error> {
    let tools = Tools::open()?;
    let info = find::guest(&tools, &arguments.domain)?;
    match tools.xen.unpause_domain(info.domain) {
        // It runs, which is what was asked for.
        Ok(()) | Err(hypercall::Error::Refused(_, Errno::EINVAL)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, clap::Args)]
pub(super) struct Autostart {
    /// Where the configurations are.
    #[arg(long, default_value = AUTOSTART)]
    folder: PathBuf,
}

/// Goes on behind a domain that does not start, and fails in the end.
pub(super) fn autostart(arguments: &Autostart) -> Result<ExitCode, Error> {
    let entries = match std::fs::read_dir(&arguments.folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => {
            return Err(Error::Other(format!(
                "{}: {error}",
                arguments.folder.display()
            )));
        }
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| starts(path));
    files.sort();
    let mut code = ExitCode::SUCCESS;
    for file in files {
        match super::create::plainly(&file) {
            Ok(()) => {}
            // Somebody has started it by hand.
            Err(Error::NameInUse(name, _)) => println!("{name} is running already"),
            Err(error) => {
                eprintln!("xl: {}: {error}", file.display());
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

/// Not what editors and package managers leave.
fn starts(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let left_over = name.starts_with('.')
        || name.ends_with('~')
        || [".bak", ".orig", ".dpkg-old", ".dpkg-dist", ".dpkg-new"]
            .iter()
            .any(|end| name.ends_with(end));
    path.is_file() && !left_over
}
