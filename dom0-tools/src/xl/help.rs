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
        name: "create",
        usage: "<ConfigFile> [options] [key=value ...]",
        does: "Creates a domain from a configuration file and starts it",
        options: &[
            "-c                      Show its console, and end with it",
            "-p                      Leave it paused",
            "-n, --dryrun            Show what the configuration says as JSON, create nothing",
            "-q, --quiet             No messages but errors",
            "-e                      Do not watch over it in the background",
            "-F                      Watch over it in the foreground",
            "-d                      Show the configuration as JSON, then create",
            "-f, --defconfig=FILE    The configuration file",
            "key=value               Takes the place of what the file says",
        ],
    },
    Entry {
        name: "destroy",
        usage: "<Domain>",
        does: "Ends a domain at once",
        options: &[],
    },
    Entry {
        name: "shutdown",
        usage: "[options] <-a|Domain>",
        does: "Asks a domain's kernel to power off",
        options: &[
            "-a, --all               All domains",
            "-w, --wait              Wait until it has; -ww: until it is gone",
        ],
    },
    Entry {
        name: "reboot",
        usage: "[options] <-a|Domain>",
        does: "Asks a domain's kernel to reboot",
        options: &[
            "-a, --all               All domains",
            "-w, --wait              Wait until it has stopped",
        ],
    },
    Entry {
        name: "pause",
        usage: "<Domain>",
        does: "Stops a domain's vCPUs",
        options: &[],
    },
    Entry {
        name: "unpause",
        usage: "<Domain>",
        does: "Lets a paused domain run",
        options: &[],
    },
    Entry {
        name: "autostart",
        usage: "[--folder=/etc/xen/auto]",
        does: "Creates every domain whose configuration is in a folder, unless it runs",
        options: &[],
    },
    Entry {
        name: "domid",
        usage: "<DomainName>",
        does: "Shows a domain's number",
        options: &[],
    },
    Entry {
        name: "domname",
        usage: "<DomainId>",
        does: "Shows a domain's name",
        options: &[],
    },
    Entry {
        name: "rename",
        usage: "<Domain> <NewDomainName>",
        does: "Gives a domain another name",
        options: &[],
    },
    Entry {
        name: "config-update",
        usage: "<Domain> <ConfigFile> [-d] [key=value ...]",
        does: "Replaces the configuration that a domain has when it starts again",
        options: &["-d                      Show it as JSON"],
    },
    Entry {
        name: "mem-set",
        usage: "<Domain> <MemMB['b'[bytes]|'k'[KB]|'m'[MB]|'g'[GB]|'t'[TB]]>",
        does: "Changes the memory of a running domain",
        options: &[],
    },
    Entry {
        name: "mem-max",
        usage: "<Domain> <MemMB['b'[bytes]|'k'[KB]|'m'[MB]|'g'[GB]|'t'[TB]]>",
        does: "Changes the most memory that a domain may have",
        options: &[],
    },
    Entry {
        name: "vcpu-set",
        usage: "[options] <Domain> <vCPUs>",
        does: "Changes how many vCPUs a running domain uses",
        options: &["-i, --ignore-host       Even more than the host has processors"],
    },
    Entry {
        name: "vcpu-pin",
        usage: "[options] <Domain> <vCPU|all> <Hard affinity|-|all> [<Soft affinity|-|all>]",
        does: "Changes on which processors a vCPU runs",
        options: &["-f, --force             Even against what dom0's vCPUs were pinned to"],
    },
    Entry {
        name: "uptime",
        usage: "[-s] [Domain ...]",
        does: "Shows since when domains run",
        options: &["-s, --short             Without seconds, with the time"],
    },
    Entry {
        name: "trigger",
        usage: "<Domain> <nmi|reset|init|power|sleep> [<vCPU>]",
        does: "Sends a trigger to a domain",
        options: &[],
    },
    Entry {
        name: "sysrq",
        usage: "<Domain> <letter>",
        does: "Presses the magic SysRq key in a domain",
        options: &[],
    },
    Entry {
        name: "dump-core",
        usage: "<Domain> <filename>",
        does: "Writes a domain's memory to a file",
        options: &[],
    },
    Entry {
        name: "claims",
        usage: "",
        does: "Shows the domains and the memory set aside for them",
        options: &[],
    },
    Entry {
        name: "list",
        usage: "[options] [Domain]",
        does: "Shows all domains, or the given one",
        options: &[
            "-l, --long              The configurations, as JSON",
            "-v, --verbose           With UUID and the reason of a shutdown",
        ],
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
        name: "completion",
        usage: "<bash|zsh|fish|elvish|powershell>",
        does: "Writes a shell's completion of these commands",
        options: &[],
    },
    Entry {
        name: "man",
        usage: "<Directory>",
        does: "Writes manual pages of these commands",
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

/// What a command does, in a sentence.
pub(super) fn sentence(name: &str) -> Option<&'static str> {
    COMMANDS
        .iter()
        .find(|entry| entry.name == name)
        .map(|entry| entry.does)
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
