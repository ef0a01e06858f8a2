//! `xl uptime`.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use hypercall_abi::xen::DomId;

use crate::config::domain::Uuid;
use crate::life::{Error, Tools, find, store};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[arg(short = 's', long)]
    short: bool,
    domains: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> Result<String, Error> {
    let tools = Tools::open()?;
    let mut wanted = Vec::new();
    for domain in &arguments.domains {
        wanted.push(find::domain(&tools, domain)?);
    }
    if wanted.is_empty() {
        wanted = tools.xen.domains()?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs();
    let mut out = String::new();
    if !arguments.short {
        out += "Name                                ID Uptime\n";
    }
    for info in wanted {
        let name = find::name(&tools, info.domain)?.unwrap_or_else(|| "(null)".into());
        let up = match info.domain {
            DomId(0) => own_uptime(),
            _ => {
                let path = format!("{}/start_time", store::vm_path(Uuid(info.handle)));
                let start = tools.store.try_read_string(&path)?;
                let whole = start.as_deref().and_then(|start| start.split('.').next());
                let start: Option<u64> = whole.and_then(|start| start.parse().ok());
                now.saturating_sub(start.unwrap_or(now))
            }
        };
        if arguments.short {
            let clock = now % 86400;
            let _ = writeln!(
                out,
                " {:02}:{:02}:{:02} up {}, {name} ({})",
                clock / 3600,
                clock / 60 % 60,
                clock % 60,
                text(up, true),
                info.domain.0
            );
        } else {
            let _ = writeln!(out, "{name:<33} {:>4} {}", info.domain.0, text(up, false));
        }
    }
    Ok(out)
}

fn own_uptime() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let whole = text.split('.').next().unwrap_or_default();
    whole.parse().unwrap_or(0)
}

fn text(seconds: u64, short: bool) -> String {
    let days = match seconds / 86400 {
        0 => String::new(),
        1 => "1 day, ".into(),
        days => format!("{days} days, "),
    };
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    match short {
        true => format!("{days}{hours:>2}:{minutes:02}"),
        false => format!("{days}{hours:>2}:{minutes:02}:{:02}", seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_told_apart() {
        assert_eq!(text(59, false), " 0:00:59");
        assert_eq!(text(86400 + 3600, true), "1 day,  1:00");
        assert_eq!(text(3 * 86400 + 12 * 3600 + 61, false), "3 days, 12:01:01");
    }
}
