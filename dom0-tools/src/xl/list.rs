//! `xl list`.

use std::fmt::Write as _;

use hypercall_abi::domctl::{
    DomctlGetdomaininfo, XEN_DOMINF_BLOCKED, XEN_DOMINF_DYING, XEN_DOMINF_PAUSED,
    XEN_DOMINF_RUNNING, XEN_DOMINF_SHUTDOWN, XEN_DOMINF_SHUTDOWNMASK, XEN_DOMINF_SHUTDOWNSHIFT,
};

use super::names::Names;
use crate::config::domain::Uuid;
use crate::hypercall::{Error, Interface};
use crate::life::{json, userdata};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[arg(short = 'v', long)]
    verbose: bool,
    /// As JSON, in stock xl's shape.
    #[arg(short = 'l', long)]
    long: bool,
    /// With the cpupools.
    #[arg(short = 'c', long)]
    cpupool: bool,
    /// With security labels: there are none.
    #[arg(short = 'Z', long)]
    context: bool,
    /// With the NUMA nodes that the domain has affinity to.
    #[arg(short = 'n', long)]
    numa: bool,
    domain: Option<String>,
}

/// The list; inside, what is wrong with the domain asked for.
pub(super) fn run(xen: &Interface, arguments: &Arguments) -> Result<Result<String, String>, Error> {
    let all = xen.domains()?;
    let mut names = Names::open();
    let wanted = match &arguments.domain {
        None => all.as_slice(),
        Some(domain) => match names.find(domain, &all) {
            Ok(info) => std::slice::from_ref(info),
            Err(message) => return Ok(Err(message)),
        },
    };
    if arguments.long {
        return Ok(Ok(long(&mut names, wanted)));
    }
    let mut out = header(arguments.verbose);
    for info in wanted {
        out += &line(&names.of(info.domain), info, arguments.verbose);
    }
    Ok(Ok(out))
}

/// `xl claims`: the same with the memory that is set aside.
pub(super) fn claims(xen: &Interface) -> Result<String, Error> {
    let mut names = Names::open();
    let mut out = header(false);
    out.truncate(out.len() - 1);
    out += "  Claimed\n";
    for info in xen.domains()? {
        let mut line = line(&names.of(info.domain), &info, false);
        line.truncate(line.len() - 1);
        let _ = writeln!(out, "{line} {:>5}", mebibytes(info.outstanding_pages));
    }
    Ok(out)
}

/// All that is known of the configurations. The empty line at the end is stock xl's.
fn long(names: &mut Names, wanted: &[DomctlGetdomaininfo]) -> String {
    let mut all = Vec::new();
    for info in wanted {
        let id = Uuid(info.handle);
        let file = userdata::read(info.domain, id, userdata::JSON)
            .ok()
            .flatten();
        let kept = file.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let config = kept.unwrap_or_else(|| {
            let kib = info.tot_pages.saturating_mul(4);
            let name = names.of(info.domain);
            json::of_unknown(info.domain, &name, id, kib, info.nr_online_vcpus)
        });
        all.push(serde_json::json!({ "domid": info.domain.0, "config": config }));
    }
    json::pretty(&serde_json::Value::Array(all)) + "\n"
}

fn header(verbose: bool) -> String {
    let mut out =
        String::from("Name                                        ID   Mem VCPUs\tState\tTime(s)");
    if verbose {
        out += "   UUID                            Reason-Code\tSecurity Label";
    }
    out + "\n"
}

fn line(name: &str, info: &DomctlGetdomaininfo, verbose: bool) -> String {
    let has = |flag: u32| info.flags & flag != 0;
    let mark = |flag: u32, letter: char| if has(flag) { letter } else { '-' };
    let reason = if has(XEN_DOMINF_SHUTDOWN) {
        info.flags >> XEN_DOMINF_SHUTDOWNSHIFT & XEN_DOMINF_SHUTDOWNMASK
    } else {
        0
    };
    let mut out = format!(
        "{name:<40} {:>5} {:>5} {:>5}     {}{}{}{}{}{}  {:>8.1}",
        info.domain.0,
        mebibytes(info.tot_pages.saturating_add(info.outstanding_pages)),
        info.nr_online_vcpus,
        mark(XEN_DOMINF_RUNNING, 'r'),
        mark(XEN_DOMINF_BLOCKED, 'b'),
        mark(XEN_DOMINF_PAUSED, 'p'),
        mark(XEN_DOMINF_SHUTDOWN, 's'),
        reason_letter(reason),
        mark(XEN_DOMINF_DYING, 'd'),
        seconds(info.cpu_time),
    );
    if verbose {
        let _ = write!(out, " {}", uuid(&info.handle));
        let _ = match has(XEN_DOMINF_SHUTDOWN) {
            true => write!(out, " {reason:>8x}"),
            false => write!(out, " {:>8}", "-"),
        };
        // No security labels: there is no Flask.
        let _ = write!(out, " {:>16}", "-");
    }
    out + "\n"
}

/// Power-off (or none), reboot, suspend, crash, watchdog, soft reset.
fn reason_letter(reason: u32) -> char {
    const LETTERS: [char; 6] = ['-', 'r', 's', 'c', 'w', 'S'];
    let letter = LETTERS.get(reason as usize);
    letter.copied().unwrap_or('?')
}

fn mebibytes(pages: u64) -> u64 {
    pages >> 8
}

/// In the precision scripts have always seen, which is single.
pub(super) fn seconds(nanoseconds: u64) -> f64 {
    f64::from(nanoseconds as f32) / 1e9
}

fn uuid(bytes: &[u8; 16]) -> String {
    let mut out = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&index) {
            out.push('-');
        }
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypercall_abi::xen::DomId;

    fn dom0() -> DomctlGetdomaininfo {
        DomctlGetdomaininfo {
            flags: XEN_DOMINF_RUNNING,
            tot_pages: 262_144,
            nr_online_vcpus: 4,
            cpu_time: 12_345_678_901,
            ..Default::default()
        }
    }

    #[test]
    fn the_columns_are_those_of_xl() {
        assert_eq!(
            header(false),
            "Name                                        ID   Mem VCPUs\tState\tTime(s)\n"
        );
        assert_eq!(
            line("Domain-0", &dom0(), false),
            "Domain-0                                     0  1024     4     r-----      12.3\n"
        );
    }

    #[test]
    fn states_and_reasons_have_their_letters() {
        let reason = 3;
        let info = DomctlGetdomaininfo {
            domain: DomId(7),
            flags: XEN_DOMINF_SHUTDOWN
                | XEN_DOMINF_DYING
                | XEN_DOMINF_PAUSED
                | XEN_DOMINF_BLOCKED
                | reason << XEN_DOMINF_SHUTDOWNSHIFT,
            tot_pages: 100,
            outstanding_pages: 156,
            ..Default::default()
        };
        assert_eq!(
            line("(null)", &info, false),
            "(null)                                       7     1     0     -bpscd       0.0\n"
        );
        assert_eq!(reason_letter(1), 'r');
        assert_eq!(reason_letter(5), 'S');
        assert_eq!(reason_letter(6), '?');
    }

    #[test]
    fn verbose_adds_uuid_reason_and_label() {
        assert!(
            header(true).ends_with(
                "Time(s)   UUID                            Reason-Code\tSecurity Label\n"
            )
        );
        let line = line("Domain-0", &dom0(), true);
        assert!(
            line.ends_with("12.3 00000000-0000-0000-0000-000000000000        -                -\n"),
            "{line}"
        );
    }
}
