//! `xl trigger`, `sysrq`, `dump-core`.

use std::path::PathBuf;
use std::process::ExitCode;

use hypercall_abi::domctl::SendTrigger;

use crate::life::{Error, Tools, dump, find, store};

#[derive(Debug, clap::Args)]
pub(super) struct Trigger {
    domain: String,
    /// nmi, reset, init, power, sleep, s3resume
    trigger: String,
    vcpu: Option<u32>,
}

pub(super) fn trigger(arguments: &Trigger) -> Result<ExitCode, Error> {
    let trigger = match arguments.trigger.as_str() {
        "nmi" => SendTrigger::NMI,
        "reset" => SendTrigger::RESET,
        "init" => SendTrigger::INIT,
        "power" => SendTrigger::POWER,
        "sleep" => SendTrigger::SLEEP,
        "s3resume" => {
            return Err(Error::Other(
                "a PV guest is not in S3: nothing to resume".into(),
            ));
        }
        other => {
            eprintln!("Invalid trigger \"{other}\"");
            return Ok(ExitCode::FAILURE);
        }
    };
    let tools = Tools::open()?;
    let info = find::domain(&tools, &arguments.domain)?;
    tools
        .xen
        .send_trigger(info.domain, trigger, arguments.vcpu.unwrap_or(0))?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, clap::Args)]
pub(super) struct Sysrq {
    domain: String,
    letter: String,
}

pub(super) fn sysrq(arguments: &Sysrq) -> Result<ExitCode, Error> {
    if arguments.letter.len() != 1 {
        eprintln!("Invalid sysrq.\n");
        return Ok(ExitCode::FAILURE);
    }
    let tools = Tools::open()?;
    let info = find::guest(&tools, &arguments.domain)?;
    let path = format!("{}/control/sysrq", store::path(info.domain));
    tools.store.write(&path, &arguments.letter)?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, clap::Args)]
pub(super) struct DumpCore {
    domain: String,
    file: PathBuf,
}

pub(super) fn dump_core(arguments: &DumpCore) -> Result<ExitCode, Error> {
    let tools = Tools::open()?;
    let info = find::guest(&tools, &arguments.domain)?;
    dump::write(&tools.xen, info.domain, &arguments.file)?;
    Ok(ExitCode::SUCCESS)
}
