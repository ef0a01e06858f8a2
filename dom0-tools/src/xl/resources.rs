//! `xl mem-set`, `mem-max`, `vcpu-set`, `vcpu-pin`.

use std::process::ExitCode;

use hypercall_abi::domctl::XEN_INVALID_MAX_VCPU_ID;

use crate::config::cpus::Cpus;
use crate::life::{Error, Tools, find, memory, store};

#[derive(Debug, clap::Args)]
pub(super) struct Memory {
    domain: String,
    /// MiB, or with a unit: k, m, g, t.
    size: String,
}

pub(super) fn mem_set(arguments: &Memory) -> Result<ExitCode, Error> {
    change(arguments, memory::set_target)
}

pub(super) fn mem_max(arguments: &Memory) -> Result<ExitCode, Error> {
    change(arguments, memory::set_max)
}

type Change = fn(&Tools, &hypercall_abi::domctl::DomctlGetdomaininfo, u64) -> Result<(), Error>;

fn change(arguments: &Memory, change: Change) -> Result<ExitCode, Error> {
    let Some(kib) = memory::parse_size(&arguments.size) else {
        eprintln!("invalid memory size: {}", arguments.size);
        return Ok(ExitCode::FAILURE);
    };
    let tools = Tools::open()?;
    let info = find::domain(&tools, &arguments.domain)?;
    change(&tools, &info, kib)?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, clap::Args)]
pub(super) struct VcpuSet {
    /// More than the host has processors.
    #[arg(short = 'i', long)]
    ignore_host: bool,
    domain: String,
    count: String,
}

pub(super) fn vcpu_set(arguments: &VcpuSet) -> Result<ExitCode, Error> {
    let count = arguments
        .count
        .parse::<u32>()
        .ok()
        .filter(|count| *count > 0);
    let Some(count) = count else {
        eprintln!("Error: Invalid argument.");
        return Ok(ExitCode::FAILURE);
    };
    let tools = Tools::open()?;
    let info = find::domain(&tools, &arguments.domain)?;
    let host = tools.xen.physinfo()?.nr_cpus;
    if count > host && !arguments.ignore_host && count > info.nr_online_vcpus {
        let text = format!(
            "You are overcommmitting! You have {host} physical CPUs and want {count} vCPUs! Aborting, use --ignore-host to continue"
        );
        return Err(Error::Other(text));
    }
    let most = match info.max_vcpu_id {
        XEN_INVALID_MAX_VCPU_ID => 0,
        last => last + 1,
    };
    if count > most {
        return Err(Error::Other(format!(
            "{count} vCPUs are more than the domain can have, {most} (maxvcpus=)"
        )));
    }
    let cpus = format!("{}/cpu", store::path(info.domain));
    tools
        .store
        .transaction(|tx| -> Result<(), crate::xenstore::Error> {
            for vcpu in 0..most {
                let state = if vcpu < count { "online" } else { "offline" };
                tx.write(&format!("{cpus}/{vcpu}/availability"), state)?;
            }
            Ok(())
        })?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, clap::Args)]
pub(super) struct VcpuPin {
    /// Even against what a guest asked for.
    #[arg(short = 'f', long)]
    force: bool,
    #[arg(short = 'i', long = "ignore-global-affinity-masks")]
    ignore_masks: bool,
    domain: String,
    /// A number, or all.
    vcpu: String,
    /// Processors it may run on; - leaves them as they are.
    hard: String,
    /// Processors it had best run on.
    soft: Option<String>,
}

pub(super) fn vcpu_pin(arguments: &VcpuPin) -> Result<ExitCode, Error> {
    let tools = Tools::open()?;
    let info = find::domain(&tools, &arguments.domain)?;
    let count = tools.xen.physinfo()?.max_cpu_id.saturating_add(1);
    let bits = |list: Option<&str>| -> Result<Option<Vec<u8>>, Error> {
        match list {
            None | Some("-") => Ok(None),
            Some(list) => Ok(Some(Cpus::parse(list, count)?.bits(count))),
        }
    };
    let hard = bits(Some(&arguments.hard))?;
    let soft = bits(arguments.soft.as_deref())?;
    let most = match info.max_vcpu_id {
        XEN_INVALID_MAX_VCPU_ID => 0,
        last => last + 1,
    };
    let vcpus = match arguments.vcpu.as_str() {
        "all" => 0..most,
        number => match number.parse::<u32>() {
            Ok(number) if number < most => number..number + 1,
            _ => {
                eprintln!("Error: Invalid argument {number} as VCPU.");
                return Ok(ExitCode::FAILURE);
            }
        },
    };
    for vcpu in vcpus {
        tools.xen.set_affinity(
            info.domain,
            vcpu,
            hard.as_deref(),
            soft.as_deref(),
            arguments.force,
        )?;
    }
    Ok(ExitCode::SUCCESS)
}
