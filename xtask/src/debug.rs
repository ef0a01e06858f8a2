//! `./x debug`: gdb on a booting hypervisor, symbols for traces, logs of past runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::{cmd, paths, run};

/// What to look at.
#[derive(clap::Subcommand)]
pub enum Debug {
    /// Start QEMU stopped and say how to attach gdb; further options as for `run`
    Gdb(run::Options),
    /// Add functions and lines to the hypervisor addresses in a log (the newest log by default)
    Symbolize {
        /// Log file
        file: Option<PathBuf>,
    },
    /// Show the console log of a run (the newest by default)
    Log {
        /// Name of the run: a test case, `interactive`, `bench-oxen` ...
        name: Option<String>,
    },
}

const GDB_PORT: u16 = 1234;

/// Does it.
pub fn run(debug: Debug) -> Result<ExitCode> {
    match debug {
        Debug::Gdb(mut options) => {
            options.gdb.get_or_insert(GDB_PORT);
            return run::run(&options);
        }
        Debug::Symbolize { file } => {
            let file = file.map_or_else(|| log_of(None), Ok)?;
            print!("{}", symbolize(&read(&file)?, &addr2line)?);
        }
        Debug::Log { name } => print!("{}", read(&log_of(name.as_deref())?)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The console log of a run.
fn log_of(name: Option<&str>) -> Result<PathBuf> {
    let runs = paths::output().join("runs");
    if let Some(name) = name {
        return Ok(runs.join(name).join("serial.log"));
    }
    fs::read_dir(&runs)
        .ok()
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let log = entry.ok()?.path().join("serial.log");
            Some((fs::metadata(&log).ok()?.modified().ok()?, log))
        })
        .max()
        .map(|(_, log)| log)
        .context("no run has left a log yet")
}

/// What stands at each address, innermost inlined function first.
fn addr2line(addresses: &[u64]) -> Result<BTreeMap<u64, Vec<String>>> {
    let symbols = paths::output().join("oxen-syms");
    if !symbols.exists() {
        bail!("no {}; run ./x build", symbols.display());
    }
    let mut places: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    // As many as safely fit on a command line.
    for chunk in addresses.chunks(1000) {
        let mut command = cmd::command("addr2line");
        command
            .args(["-a", "-f", "-C", "-i", "-p", "-e"])
            .arg(&symbols);
        let text = cmd::output(command.args(chunk.iter().map(|address| format!("{address:#x}"))))?;
        let mut current = Vec::new();
        for line in text.lines() {
            // "0xffff82d080012345: function at file:line", then " (inlined by) ..." lines.
            if let Some((address, place)) = line.split_once(": ")
                && let Some(address) = address
                    .strip_prefix("0x")
                    .and_then(|hex| u64::from_str_radix(hex, 16).ok())
            {
                current = vec![address];
                places.entry(address).or_default().push(place.to_owned());
            } else if let Some(address) = current.first() {
                places
                    .entry(*address)
                    .or_default()
                    .push(line.trim().to_owned());
            }
        }
    }
    Ok(places)
}

type Lookup<'a> = &'a dyn Fn(&[u64]) -> Result<BTreeMap<u64, Vec<String>>>;

/// The log with a line below each line that names code of the hypervisor.
fn symbolize(log: &str, lookup: Lookup) -> Result<String> {
    let mut addresses: Vec<u64> = log.lines().flat_map(addresses_in).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let places = if addresses.is_empty() {
        BTreeMap::new()
    } else {
        lookup(&addresses)?
    };
    let mut text = String::new();
    for line in log.lines() {
        text.push_str(line.trim_end_matches('\r'));
        text.push('\n');
        for address in addresses_in(line) {
            for place in places.get(&address).into_iter().flatten() {
                if !place.starts_with("??") {
                    text.push_str(&format!("        {address:#x}  {place}\n"));
                }
            }
        }
    }
    Ok(text)
}

/// The first GiB of the image's address space (docs/architecture.md).
const IMAGE: std::ops::Range<u64> = 0xffff_82d0_8000_0000..0xffff_82d0_c000_0000;

fn addresses_in(line: &str) -> Vec<u64> {
    line.split(|character: char| {
        !character.is_ascii_hexdigit() && character != 'x' && character != '_'
    })
    .map(|word| word.trim_start_matches("0x").replace('_', ""))
    .filter(|word| word.len() == 16)
    .filter_map(|word| u64::from_str_radix(&word, 16).ok())
    .filter(|address| IMAGE.contains(address))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_image_are_looked_up() {
        assert_eq!(
            addresses_in(
                "RIP e008:[<ffff82d080012345>] 0xffff_82d0_8000_0010 ffff830000000000 dead"
            ),
            [0xffff_82d0_8001_2345, 0xffff_82d0_8000_0010]
        );
    }

    #[test]
    fn places_follow_their_line() {
        let lookup = |addresses: &[u64]| {
            Ok(addresses
                .iter()
                .map(|&address| (address, vec!["panic at main.rs:1".to_owned()]))
                .collect())
        };
        let text = symbolize("a\n  0xffff82d080012345\nb\n", &lookup).unwrap();
        assert_eq!(
            text,
            "a\n  0xffff82d080012345\n        0xffff82d080012345  panic at main.rs:1\nb\n"
        );
    }
}
