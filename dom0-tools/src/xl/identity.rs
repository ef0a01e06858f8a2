//! `xl domid`, `domname`, `rename`, `config-update`.

use std::path::PathBuf;
use std::process::ExitCode;

use hypercall_abi::xen::DomId;

use crate::config::domain::{Uuid, check_name};
use crate::life::create::quoted;
use crate::life::{Error, Tools, find, json, store, userdata};

#[derive(Debug, clap::Args)]
pub(super) struct Domid {
    name: String,
}

pub(super) fn domid(arguments: &Domid) -> Result<ExitCode, Error> {
    let tools = Tools::open()?;
    for info in tools.xen.domains()? {
        if find::name(&tools, info.domain)?.as_ref() == Some(&arguments.name) {
            println!("{}", info.domain.0);
            return Ok(ExitCode::SUCCESS);
        }
    }
    eprintln!(
        "Can't get domid of domain name '{}', maybe this domain does not exist.",
        arguments.name
    );
    Ok(ExitCode::FAILURE)
}

#[derive(Debug, clap::Args)]
pub(super) struct Domname {
    domain: String,
}

pub(super) fn domname(arguments: &Domname) -> Result<ExitCode, Error> {
    let Ok(number) = arguments.domain.parse() else {
        eprintln!("Invalid domain id.\n");
        return Ok(ExitCode::FAILURE);
    };
    let tools = Tools::open()?;
    match find::name(&tools, DomId(number))? {
        Some(name) if tools.xen.domain(DomId(number))?.is_some() => {
            println!("{name}");
            Ok(ExitCode::SUCCESS)
        }
        _ => {
            eprintln!(
                "Can't get domain name of domain id '{number}', maybe this domain does not exist."
            );
            Ok(ExitCode::FAILURE)
        }
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Rename {
    domain: String,
    new_name: String,
}

pub(super) fn rename(arguments: &Rename) -> Result<ExitCode, Error> {
    let tools = Tools::open()?;
    let new = &arguments.new_name;
    check_name(new)?;
    let info = find::guest(&tools, &arguments.domain)?;
    let node = format!("{}/name", store::path(info.domain));
    if tools.store.try_read_string(&node)?.as_ref() == Some(new) {
        return Ok(ExitCode::SUCCESS);
    }
    find::check_free(&tools, new)?;
    let uuid = Uuid(info.handle);
    tools
        .store
        .transaction(|tx| -> Result<(), crate::xenstore::Error> {
            tx.write(&node, new)?;
            tx.write(&format!("{}/name", store::vm_path(uuid)), new)
        })?;
    // What restarts it, and what stock tools read, must know, too.
    let failed = |error| Error::Other(format!("files in /var/lib/xen: {error}"));
    if let Some(mut text) = userdata::read(info.domain, uuid, userdata::TEXT).map_err(failed)? {
        text.extend_from_slice(format!("\nname = {}\n", quoted(new)).as_bytes());
        userdata::write(info.domain, uuid, userdata::TEXT, &text).map_err(failed)?;
    }
    if let Some(bytes) = userdata::read(info.domain, uuid, userdata::JSON).map_err(failed)?
        && let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(&bytes)
    {
        value["c_info"]["name"] = new.as_str().into();
        let text = json::pretty(&value);
        userdata::write(info.domain, uuid, userdata::JSON, text.as_bytes()).map_err(failed)?;
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, clap::Args)]
pub(super) struct ConfigUpdate {
    #[arg(short = 'd')]
    debug: bool,
    #[arg(short = 'f', long = "defconfig")]
    file: Option<PathBuf>,
    domain: String,
    words: Vec<String>,
}

/// Takes effect when the domain is started again.
pub(super) fn config_update(arguments: &ConfigUpdate) -> Result<ExitCode, Error> {
    let (overrides, files): (Vec<String>, Vec<String>) = arguments
        .words
        .iter()
        .cloned()
        .partition(|word| word.contains('='));
    let file = arguments
        .file
        .clone()
        .or_else(|| files.first().map(Into::into));
    let tools = Tools::open()?;
    let info = find::guest(&tools, &arguments.domain)?;
    let Some(file) = file else {
        eprintln!("xl config-update: which configuration file?");
        return Ok(ExitCode::from(super::USAGE));
    };
    let uuid = Uuid(info.handle);
    let mut overrides = overrides;
    // Its identity does not change.
    overrides.push(format!("uuid=\"{uuid}\""));
    let (plan, warnings) = super::create::read(&file, &overrides)?;
    for warning in warnings {
        eprintln!("xl: warning: {warning}");
    }
    let config = json::pretty(&json::config(&plan.config, uuid));
    if arguments.debug {
        print!("{config}");
    }
    let write = |user, text: &str| userdata::write(info.domain, uuid, user, text.as_bytes());
    write(userdata::TEXT, &plan.text)
        .and_then(|()| write(userdata::JSON, &config))
        .map_err(|error| Error::Other(format!("files in /var/lib/xen: {error}")))?;
    Ok(ExitCode::SUCCESS)
}
