//! The commands about guests' devices, consoles and shares of processors, and what they share.

use std::fmt;
use std::process::ExitCode;

use hypercall_abi::domctl::Scheduler;
use serde_json::Value;

use super::names::Names;
use super::{block, manual, network, pools, sched, top};
use crate::console::client::{self, Which};
use crate::devices::{self, Device, Kind};
use crate::hypercall::{self, Interface};
use crate::xenstore::{self, Client};

/// One of these commands.
#[derive(Debug, clap::Subcommand)]
#[command(disable_help_flag = true)]
pub(super) enum Command {
    BlockAttach(block::Attach),
    BlockList(List),
    BlockDetach(Detach),
    NetworkAttach(network::Attach),
    NetworkList(List),
    NetworkDetach(Detach),
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

/// Of which domains devices are shown.
#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[arg(required = true)]
    domains: Vec<String>,
    #[arg(long)]
    json: bool,
}

/// Which device goes.
#[derive(Debug, clap::Args)]
pub(super) struct Detach {
    /// Without asking the guest.
    #[arg(short, long)]
    pub(super) force: bool,
    pub(super) domain: String,
    /// As people call it: a disk's name in the guest, an interface's number or MAC address.
    pub(super) device: String,
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

/// A device in a list.
pub(super) struct Listed<'a> {
    store: &'a Client,
    pub(super) device: &'a Device,
}

impl Listed<'_> {
    /// A number of the frontend's, as the guest has it; -1 for none, as libxl has it.
    pub(super) fn front(&self, name: &str) -> Result<i64, xenstore::Error> {
        let path = format!("{}/{name}", self.device.frontend());
        let text = self.store.try_read_string(&path)?;
        Ok(text.and_then(|text| text.trim().parse().ok()).unwrap_or(-1))
    }

    /// What the tools know of it.
    pub(super) fn known(&self, name: &str) -> Result<Option<String>, xenstore::Error> {
        let path = format!("{}/{name}", self.device.tools());
        self.store.try_read_string(&path)
    }
}

/// `block-list` and `network-list`: a head and a line for each device, or all of them described.
pub(super) fn list(
    arguments: &List,
    kind: Kind,
    head: String,
    domain: impl Fn(&str) -> Result<Option<u32>, Failure>,
    show: impl Fn(&Listed<'_>) -> Result<(String, Value), Failure>,
) -> Result<String, Failure> {
    let store = Client::open()?;
    let (mut lines, mut described) = (head, Vec::new());
    for wanted in &arguments.domains {
        let Some(domid) = domain(wanted)? else {
            continue;
        };
        for device in &Device::list(&store, domid, kind)? {
            let listed = Listed {
                store: &store,
                device,
            };
            let (line, value) = show(&listed)?;
            lines += &line;
            described.push(value);
        }
    }
    Ok(match arguments.json {
        true => shown(&Value::from(described)) + "\n",
        false => lines,
    })
}

/// As people read it.
pub(super) fn shown(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
