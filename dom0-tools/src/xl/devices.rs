//! The commands about guests' devices, consoles and shares of processors, and what they share.

use std::fmt;
use std::process::ExitCode;

use hypercall_abi::domctl::Scheduler;
use serde_json::Value;

use super::names::Names;
use super::{block, manual, network, pools, sched, top};
use crate::console::client::{self, Which};
use crate::devices::{self, Device};
use crate::hypercall::{self, Interface};
use crate::xenstore::{self, Client};

/// One of these commands.
#[derive(Debug, clap::Subcommand)]
#[command(disable_help_flag = true)]
pub(super) enum Command {
    BlockAttach(block::Attach),
    BlockList(block::List),
    BlockDetach(block::Detach),
    NetworkAttach(network::Attach),
    NetworkList(network::List),
    NetworkDetach(network::Detach),
    CdInsert(block::Insert),
    CdEject(block::Eject),
    Console(Console),
    CpupoolList(pools::List),
    CpupoolCreate(pools::Create),
    CpupoolDestroy(pools::One),
    CpupoolRename(pools::Rename),
    CpupoolCpuAdd(pools::Processor),
    CpupoolCpuRemove(pools::Processor),
    CpupoolMigrate(pools::Migrate),
    SchedCredit(sched::Arguments),
    #[command(name = "sched-credit2")]
    SchedCredit2(sched::Arguments),
    Top(top::Arguments),
    Completion(manual::Completion),
    Man(manual::Manual),
}

#[derive(Debug, clap::Args)]
pub(super) struct Console {
    #[arg(short = 't', default_value = "pv", value_parser = ["pv", "serial", "vuart"])]
    kind: String,
    #[arg(short = 'n', default_value_t = 0)]
    number: u32,
    domain: String,
}

/// What went wrong, in a line.
#[derive(Debug)]
pub(super) struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Failure {
    fn from(words: String) -> Self {
        Self(words)
    }
}

macro_rules! failures {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self(error.to_string())
            }
        }
    )*};
}
failures!(
    devices::Error,
    devices::SpecError,
    xenstore::Error,
    hypercall::Error,
    client::Error
);

/// Whether a command can say what it would do.
pub(super) fn implements_dry_run(command: &Command) -> bool {
    matches!(
        command,
        Command::BlockAttach(_) | Command::NetworkAttach(_) | Command::CpupoolCreate(_)
    )
}

/// Runs a command; `dry` ones only say what they would do.
pub(super) fn run(command: &Command, dry: bool) -> ExitCode {
    let done = match command {
        Command::BlockAttach(arguments) => block::attach(arguments, dry),
        Command::BlockList(arguments) => block::list(arguments),
        Command::BlockDetach(arguments) => block::detach(arguments),
        Command::NetworkAttach(arguments) => network::attach(arguments, dry),
        Command::NetworkList(arguments) => network::list(arguments),
        Command::NetworkDetach(arguments) => network::detach(arguments),
        Command::CdInsert(arguments) => block::insert(arguments),
        Command::CdEject(arguments) => block::eject(arguments),
        Command::Console(arguments) => console(arguments),
        Command::CpupoolList(arguments) => pools::list(arguments),
        Command::CpupoolCreate(arguments) => pools::create(arguments, dry),
        Command::CpupoolDestroy(arguments) => pools::destroy(arguments),
        Command::CpupoolRename(arguments) => pools::rename(arguments),
        Command::CpupoolCpuAdd(arguments) => pools::processor(arguments, true),
        Command::CpupoolCpuRemove(arguments) => pools::processor(arguments, false),
        Command::CpupoolMigrate(arguments) => pools::migrate(arguments),
        Command::SchedCredit(arguments) => sched::run(arguments, Scheduler::CREDIT),
        Command::SchedCredit2(arguments) => sched::run(arguments, Scheduler::CREDIT2),
        Command::Top(arguments) => top::run(arguments),
        Command::Completion(arguments) => Ok(manual::completion(arguments)),
        Command::Man(arguments) => manual::manual(arguments),
    };
    match done {
        Ok(text) => super::finish(&text),
        Err(error) => super::fail(&error.to_string()),
    }
}

fn console(arguments: &Console) -> Result<String, Failure> {
    let domid = domain(&arguments.domain)?;
    if domid == 0 {
        return Err("domain 0 has no console of this kind".to_owned().into());
    }
    client::attach(Which {
        domid,
        number: arguments.number,
        serial: arguments.kind == "serial",
    })?;
    Ok(String::new())
}

/// The number of the domain meant by a name or number.
pub(super) fn domain(wanted: &str) -> Result<u32, Failure> {
    let all = Interface::open()?.domains()?;
    let found = Names::open().find(wanted, &all)?;
    Ok(u32::from(found.domain.0))
}

/// The state of a device's frontend; -1 for none, as libxl has it.
pub(super) fn state_of(store: &Client, device: &Device) -> Result<i64, xenstore::Error> {
    number_at(store, &format!("{}/state", device.frontend()))
}

/// The number at a path; -1 if there is none.
pub(super) fn number_at(store: &Client, path: &str) -> Result<i64, xenstore::Error> {
    let text = store.try_read_string(path)?;
    Ok(text.and_then(|text| text.trim().parse().ok()).unwrap_or(-1))
}

/// As people read it.
pub(super) fn shown(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
