//! `xl cpupool-list`, `cpupool-create` and the others about CPU pools.

use std::fs;

use hypercall_abi::domctl::Scheduler;

use super::devices::{Failure, shown};
use super::names::Names;
use crate::hypercall::Interface;
use crate::hypercall::pools::Pool;
use crate::xenstore::Client;

#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// The processors of each.
    #[arg(short, long)]
    cpus: bool,
    #[arg(long)]
    json: bool,
    pool: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Create {
    #[arg(short = 'f', long = "defconfig")]
    file: Option<String>,
    #[arg(short = 'n', long)]
    dryrun: bool,
    /// A file, or `key=value`.
    words: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct One {
    pool: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct Rename {
    pool: String,
    name: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct Processor {
    pool: String,
    /// A number, a range, or `node:NUMBER`.
    cpu: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct Migrate {
    domain: String,
    pool: String,
}

/// A pool's name, which only xenstore knows.
pub(super) fn name_of(pool: u32) -> String {
    let stored = || {
        Client::open()
            .ok()?
            .try_read_string(&format!("/local/pool/{pool}/name"))
            .ok()?
    };
    stored().unwrap_or_else(|| format!("Pool-{pool}"))
}

fn all(xen: &Interface) -> Result<Vec<Pool>, Failure> {
    Ok(xen.pools(xen.physinfo()?.max_cpu_id.saturating_add(1))?)
}

/// The pool that is meant by a name or number.
pub(super) fn find_pool(xen: &Interface, wanted: &str) -> Result<Pool, Failure> {
    let number = wanted.parse::<u32>();
    let found = all(xen)?
        .into_iter()
        .find(|pool| Ok(pool.id) == number || name_of(pool.id) == wanted);
    found.ok_or_else(|| format!("unknown cpupool '{wanted}'").into())
}

fn scheduler_name(scheduler: Scheduler) -> &'static str {
    match scheduler {
        Scheduler::CREDIT => "credit",
        Scheduler::CREDIT2 => "credit2",
        Scheduler::ARINC653 => "arinc653",
        Scheduler::RTDS => "rtds",
        Scheduler::NULL => "null",
        _ => "unknown",
    }
}

fn scheduler_of(name: &str) -> Option<Scheduler> {
    let known = [
        Scheduler::CREDIT,
        Scheduler::CREDIT2,
        Scheduler::RTDS,
        Scheduler::NULL,
    ];
    known
        .into_iter()
        .find(|scheduler| scheduler_name(*scheduler) == name)
}

pub(super) fn list(arguments: &List) -> Result<String, Failure> {
    let xen = Interface::open()?;
    let pools = match &arguments.pool {
        Some(name) => match find_pool(&xen, name) {
            Ok(pool) => vec![pool],
            Err(_) => return Err(format!("Pool '{name}' does not exist").into()),
        },
        None => all(&xen)?,
    };
    if arguments.json {
        let described: Vec<serde_json::Value> = pools
            .iter()
            .map(|pool| {
                serde_json::json!({
                    "poolid": pool.id,
                    "pool_name": name_of(pool.id),
                    "sched": scheduler_name(pool.scheduler),
                    "n_dom": pool.domains,
                    "cpumap": pool.cpus,
                })
            })
            .collect();
        return Ok(shown(&described.into()) + "\n");
    }
    let mut out = table_header(arguments.cpus);
    for pool in pools {
        out += &line(&name_of(pool.id), &pool, arguments.cpus);
    }
    Ok(out)
}

fn table_header(cpus: bool) -> String {
    let rest = if cpus {
        "CPU list"
    } else {
        "CPUs   Sched     Active   Domain count"
    };
    format!("{:<19}{rest}\n", "Name")
}

fn line(name: &str, pool: &Pool, cpus: bool) -> String {
    if cpus {
        let numbers: Vec<String> = pool.cpus.iter().map(u32::to_string).collect();
        return format!("{name:<19}{}\n", numbers.join(","));
    }
    let (count, scheduler) = (pool.cpus.len(), scheduler_name(pool.scheduler));
    format!(
        "{name:<19}{count:>3} {scheduler:>9}       y       {:>4}\n",
        pool.domains
    )
}

pub(super) fn create(arguments: &Create, dry: bool) -> Result<String, Failure> {
    let mut text = String::new();
    let mut words = arguments.words.as_slice();
    let mut file = arguments.file.as_deref();
    if file.is_none()
        && let [first, rest @ ..] = words
        && !first.contains('=')
    {
        file = Some(first);
        words = rest;
    }
    if let Some(file) = file {
        text = fs::read_to_string(file)
            .map_err(|error| format!("Failed to read config file: {file}: {error}"))?;
    }
    for word in words {
        text += &format!("\n{word}");
    }
    let setting = |key: &str| setting(&text, key);
    let name = setting("name").ok_or_else(|| "Missing cpupool name!".to_owned())?;
    let xen = Interface::open()?;
    if find_pool(&xen, &name).is_ok() {
        return Err(format!("Pool name \"{name}\" already exists").into());
    }
    let scheduler = match setting("sched") {
        Some(name) => scheduler_of(&name).ok_or_else(|| "Unknown scheduler".to_owned())?,
        None => xen.scheduler()?,
    };
    let taken: Vec<u32> = all(&xen)?.into_iter().flat_map(|pool| pool.cpus).collect();
    let known = xen.physinfo()?.max_cpu_id.saturating_add(1);
    let free: Vec<u32> = (0..known).filter(|cpu| !taken.contains(cpu)).collect();
    let cpus = match setting("cpus") {
        Some(list) => numbers(&list)?,
        None => free.first().copied().into_iter().collect(),
    };
    if let Some(cpu) = cpus.iter().find(|cpu| !free.contains(cpu)) {
        return Err(format!("cpu {cpu} illegal or not free").into());
    }
    if cpus.is_empty() {
        return Err("no free cpu found".to_owned().into());
    }
    let summary = format!(
        "Using config file \"{}\"\ncpupool name:   {name}\nscheduler:      {}\nnumber of cpus: {}\n",
        file.unwrap_or("command line"),
        scheduler_name(scheduler),
        cpus.len()
    );
    if !dry && !arguments.dryrun {
        let pool = xen.create_pool(scheduler)?;
        let filled = cpus.iter().try_for_each(|cpu| xen.add_to_pool(pool, *cpu));
        let stored = filled
            .map_err(Failure::from)
            .and_then(|()| Ok(Client::open()?.write(&format!("/local/pool/{pool}/name"), &name)?));
        if let Err(error) = stored {
            // Nothing is left of it.
            let _ = empty(&xen, pool);
            return Err(error);
        }
    }
    Ok(summary)
}

/// The value of a `key = value` line, without quotes; lists keep their brackets.
fn setting(text: &str, key: &str) -> Option<String> {
    let mut values = text.lines().filter_map(|line| {
        let (name, value) = line.split('#').next()?.split_once('=')?;
        (name.trim() == key).then(|| value.trim().trim_matches(['"', '\'', ';']).to_owned())
    });
    values.next_back()
}

/// Numbers and ranges: `0-2,5`, `["0","1"]`.
fn numbers(list: &str) -> Result<Vec<u32>, Failure> {
    let wrong = || Failure::from(format!("`{list}' is no list of processors"));
    let mut found = Vec::new();
    for part in list.trim_matches(['[', ']']).split(',') {
        let part = part.trim().trim_matches(['"', '\'']);
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u32>().map_err(|_| wrong());
        let (first, last) = (number(first)?, number(last)?);
        if last >= 4096 || first > last {
            return Err(wrong());
        }
        found.extend(first..=last);
    }
    Ok(found)
}

fn empty(xen: &Interface, pool: u32) -> Result<(), Failure> {
    for cpu in all(xen)?
        .into_iter()
        .filter(|known| known.id == pool)
        .flat_map(|pool| pool.cpus)
    {
        xen.take_from_pool(pool, cpu)?;
    }
    Ok(xen.destroy_pool(pool)?)
}

pub(super) fn destroy(arguments: &One) -> Result<String, Failure> {
    let xen = Interface::open()?;
    let pool = find_pool(&xen, &arguments.pool)?;
    if pool.domains > 0 || pool.id == 0 {
        let name = &arguments.pool;
        return Err(format!("Can't destroy cpupool '{name}': domains are in it").into());
    }
    empty(&xen, pool.id)?;
    Client::open()?.rm_if_present(&format!("/local/pool/{}", pool.id))?;
    Ok(String::new())
}

pub(super) fn rename(arguments: &Rename) -> Result<String, Failure> {
    let pool = find_pool(&Interface::open()?, &arguments.pool)?;
    Client::open()?.write(&format!("/local/pool/{}/name", pool.id), &arguments.name)?;
    Ok(String::new())
}

pub(super) fn processor(arguments: &Processor, add: bool) -> Result<String, Failure> {
    let xen = Interface::open()?;
    let pool = find_pool(&xen, &arguments.pool)?.id;
    let cpus = match arguments.cpu.strip_prefix("node:") {
        Some(node) => {
            let wrong = |_| format!("`{node}' is no number of a node");
            let node: u32 = node.parse().map_err(wrong)?;
            let known = xen.physinfo()?.max_cpu_id.saturating_add(1);
            let places = xen.cpu_topology(known)?;
            let on_node = places
                .iter()
                .enumerate()
                .filter(|(_, place)| place.node == node);
            on_node
                .filter_map(|(cpu, _)| u32::try_from(cpu).ok())
                .collect()
        }
        None => numbers(&arguments.cpu)?,
    };
    for cpu in cpus {
        if add {
            xen.add_to_pool(pool, cpu)?;
        } else {
            xen.take_from_pool(pool, cpu)?;
        }
    }
    Ok(String::new())
}

pub(super) fn migrate(arguments: &Migrate) -> Result<String, Failure> {
    let xen = Interface::open()?;
    let domains = xen.domains()?;
    let domain = Names::open().find(&arguments.domain, &domains)?.domain;
    xen.move_to_pool(find_pool(&xen, &arguments.pool)?.id, domain)?;
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_xl() {
        let pool = Pool {
            id: 0,
            scheduler: Scheduler::CREDIT2,
            domains: 3,
            cpus: vec![0, 1],
        };
        assert_eq!(
            table_header(false),
            "Name               CPUs   Sched     Active   Domain count\n"
        );
        assert_eq!(
            line("Pool-0", &pool, false),
            "Pool-0               2   credit2       y          3\n"
        );
        assert_eq!(line("Pool-0", &pool, true), "Pool-0             0,1\n");
    }

    #[test]
    fn settings_and_lists_are_read() {
        let text = "name = \"fast\" # a pool\nsched='credit'\ncpus = [\"1\", \"3-4\"]\nname=other";
        assert_eq!(setting(text, "name").as_deref(), Some("other"));
        assert_eq!(setting(text, "sched").as_deref(), Some("credit"));
        assert_eq!(numbers(&setting(text, "cpus").unwrap()).unwrap(), [1, 3, 4]);
        for list in ["", "x", "3-1", "0-99999999"] {
            assert!(numbers(list).is_err(), "{list}");
        }
    }
}
