//! `xl help`.

use std::ffi::OsString;
use std::fmt::Write as _;

struct Entry {
    name: &'static str,
    usage: &'static str,
    /// One sentence without its full stop.
    does: &'static str,
    options: &'static [&'static str],
}

const COMMANDS: &[Entry] = &[
    Entry {
        name: "list",
        usage: "[options] [Domain]",
        does: "Shows all domains, or the given one",
        options: &["-v, --verbose           With UUID and the reason of a shutdown"],
    },
    Entry {
        name: "vcpu-list",
        usage: "[Domain, ...]",
        does: "Shows the vCPUs of all domains, or of the given ones",
        options: &[],
    },
    Entry {
        name: "info",
        usage: "[options] [Name]",
        does: "Shows what the host and its hypervisor are; with a name, that value only",
        options: &["-n, --numa              With processors and NUMA nodes"],
    },
    Entry {
        name: "debug-keys",
        usage: "<Keys>",
        does: "Presses debug keys of the hypervisor",
        options: &[],
    },
    Entry {
        name: "dmesg",
        usage: "[-c]",
        does: "Shows the messages of the hypervisor",
        options: &["-c, --clear             Forget them afterwards"],
    },
    Entry {
        name: "console",
        usage: "[options] <Domain>",
        does: "Shows a domain's console here, until Ctrl-]",
        options: &[
            "-t <type>               pv or serial",
            "-n <number>             Which of its consoles",
        ],
    },
    Entry {
        name: "block-attach",
        usage: "<Domain> <disk-spec-component(s)>...",
        does: "Gives a domain a disk",
        options: &[],
    },
    Entry {
        name: "block-list",
        usage: "[options] <Domain(s)>",
        does: "Shows the disks of domains",
        options: &["--json                  As JSON, with images and modes"],
    },
    Entry {
        name: "block-detach",
        usage: "[options] <Domain> <DevId>",
        does: "Takes a disk from a domain",
        options: &["-f, --force             Without asking the guest"],
    },
    Entry {
        name: "network-attach",
        usage: "<Domain> [type=<type>] [mac=<mac>] [bridge=<bridge>] [ip=<ip>] [script=<script>] \
                [vifname=<name>] [rate=<rate>] [mtu=<mtu>]",
        does: "Gives a domain a network interface",
        options: &[],
    },
    Entry {
        name: "network-list",
        usage: "[options] <Domain(s)>",
        does: "Shows the network interfaces of domains",
        options: &["--json                  As JSON, with bridges and addresses"],
    },
    Entry {
        name: "network-detach",
        usage: "[options] <Domain> <DevId|mac>",
        does: "Takes a network interface from a domain",
        options: &["-f, --force             Without asking the guest"],
    },
    Entry {
        name: "cd-insert",
        usage: "<Domain> <VirtualDevice> <path>",
        does: "Puts a medium in a domain's CD drive",
        options: &[],
    },
    Entry {
        name: "cd-eject",
        usage: "<Domain> <VirtualDevice>",
        does: "Empties a domain's CD drive",
        options: &[],
    },
    Entry {
        name: "top",
        usage: "[options]",
        does: "Shows what domains use, over and over",
        options: &[
            "-b, --batch             Lines as they come, as xentop -b",
            "-i, --iterations=<n>    How often",
            "-d, --delay=<seconds>   Time between",
            "-f, --full-name         Names whole, however long",
        ],
    },
    Entry {
        name: "sched-credit",
        usage: "[-d <Domain> [-w WEIGHT|-c CAP]] [-s [-t TSLICE] [-r RATELIMIT] [-m DELAY]] [-p CPUPOOL]",
        does: "Shows or sets shares under the credit scheduler",
        options: &[],
    },
    Entry {
        name: "sched-credit2",
        usage: "[-d <Domain> [-w WEIGHT|-c CAP]] [-s [-r RATELIMIT]] [-p CPUPOOL]",
        does: "Shows or sets shares under the credit2 scheduler",
        options: &[],
    },
    Entry {
        name: "cpupool-create",
        usage: "[options] [<ConfigFile>] [Variable=value ...]",
        does: "Makes a CPU pool",
        options: &["-n, --dryrun            Only show what would be made"],
    },
    Entry {
        name: "cpupool-list",
        usage: "[-c|--cpus] [--json] [<CPU Pool>]",
        does: "Shows the CPU pools of the host",
        options: &["-c, --cpus              With their processors"],
    },
    Entry {
        name: "cpupool-destroy",
        usage: "<CPU Pool>",
        does: "Removes a CPU pool without domains",
        options: &[],
    },
    Entry {
        name: "cpupool-rename",
        usage: "<CPU Pool> <new name>",
        does: "Renames a CPU pool",
        options: &[],
    },
    Entry {
        name: "cpupool-cpu-add",
        usage: "<CPU Pool> <CPU nr>|node:<node nr>",
        does: "Gives a free processor to a CPU pool",
        options: &[],
    },
    Entry {
        name: "cpupool-cpu-remove",
        usage: "<CPU Pool> <CPU nr>|node:<node nr>",
        does: "Takes a processor from a CPU pool",
        options: &[],
    },
    Entry {
        name: "cpupool-migrate",
        usage: "<Domain> <CPU Pool>",
        does: "Moves a domain to a CPU pool",
        options: &[],
    },
];

/// The command whose help these arguments ask for with `-h` or `--help`.
pub(super) fn asked_for(arguments: &[OsString]) -> Option<String> {
    let words: Vec<&str> = arguments
        .iter()
        .skip(1)
        .filter_map(|word| word.to_str())
        .collect();
    let command = words.iter().position(|word| !word.starts_with('-'))?;
    let rest = words[command + 1..]
        .iter()
        .take_while(|word| **word != "--");
    let mut asks = rest.filter(|word| ["-h", "--help"].contains(word));
    asks.next().map(|_| words[command].to_owned())
}

/// The help of a command, or the list of all.
pub(super) fn of(command: Option<&str>) -> String {
    let mut out = String::new();
    match command {
        None | Some("help") => {
            out += "Usage xl [-vfNtT] <subcommand> [args]\n\nxl full list of subcommands:\n\n";
            for entry in COMMANDS {
                let _ = writeln!(out, " {:<19} {}", entry.name, entry.does);
            }
        }
        Some(name) => match find(name) {
            Some(entry) => {
                let _ = write!(
                    out,
                    "Usage: xl [-vtT] {} {}\n\n{}.\n\n",
                    entry.name, entry.usage, entry.does
                );
                if !entry.options.is_empty() {
                    let _ = writeln!(out, "Options:\n\n{}", entry.options.join("\n"));
                }
            }
            None => {
                let _ = writeln!(out, "command \"{name}\" not implemented");
            }
        },
    }
    out
}

/// By name, or by a beginning that only one has.
fn find(name: &str) -> Option<&'static Entry> {
    if let Some(entry) = COMMANDS.iter().find(|entry| entry.name == name) {
        return Some(entry);
    }
    let mut found = COMMANDS.iter().filter(|entry| entry.name.starts_with(name));
    found.next().filter(|_| found.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_all_or_explains_one() {
        assert!(of(None).starts_with("Usage xl [-vfNtT] <subcommand> [args]\n\n"));
        assert!(of(None).contains("\n vcpu-list           Shows"));
        assert!(of(Some("dmesg")).starts_with("Usage: xl [-vtT] dmesg [-c]\n\n"));
        assert_eq!(of(Some("x")), "command \"x\" not implemented\n");
    }

    #[test]
    fn help_is_asked_for_behind_the_command() {
        let ask = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            asked_for(&words)
        };
        assert_eq!(ask("xl -v list -h").as_deref(), Some("list"));
        assert_eq!(ask("xl list"), None);
        assert_eq!(ask("xl debug-keys -- -h"), None);
    }
}
