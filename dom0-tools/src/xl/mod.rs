//! `xl`. A file per command: the call on top, the formatting below, which knows no hypervisor.
//!
//! What is printed is, byte for byte, what `xl` of Xen 4.17 prints: scripts parse it.

mod bitmap;
mod block;
mod create;
mod debug_keys;
mod devices;
mod dmesg;
mod help;
mod identity;
mod info;
mod lifecycle;
mod list;
mod manual;
mod names;
mod network;
mod poke;
mod pools;
mod resources;
mod sched;
mod top;
mod uptime;
mod vcpu_list;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::hypercall::Interface;
use crate::life::{self, supervise};

/// Wrong usage of a command; the exit code scripts know.
const USAGE: u8 = 2;

#[derive(Debug, Parser)]
#[command(
    name = "xl",
    disable_help_flag = true,
    disable_help_subcommand = true,
    infer_subcommands = true
)]
struct Arguments {
    /// Log more; like the options below but `-N` taken for compatibility, and without effect.
    #[arg(short = 'v', action = clap::ArgAction::Count)]
    verbose: u8,
    /// Say what would be done, and do nothing. Commands that cannot are refused.
    #[arg(short = 'N')]
    dry_run: bool,
    #[arg(short = 'f')]
    force: bool,
    #[arg(short = 't')]
    carriage_returns: bool,
    #[arg(short = 'T')]
    timestamps: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[command(disable_help_flag = true)]
enum Command {
    Info(info::Arguments),
    List(list::Arguments),
    VcpuList(vcpu_list::Arguments),
    Dmesg(dmesg::Arguments),
    DebugKeys(debug_keys::Arguments),
    Create(create::Arguments),
    Destroy(lifecycle::Destroy),
    Shutdown(lifecycle::Shutdown),
    Reboot(lifecycle::Shutdown),
    Pause(lifecycle::One),
    Unpause(lifecycle::One),
    Autostart(lifecycle::Autostart),
    Domid(identity::Domid),
    Domname(identity::Domname),
    Rename(identity::Rename),
    ConfigUpdate(identity::ConfigUpdate),
    MemSet(resources::Memory),
    MemMax(resources::Memory),
    VcpuSet(resources::VcpuSet),
    VcpuPin(resources::VcpuPin),
    Uptime(uptime::Arguments),
    Trigger(poke::Trigger),
    Sysrq(poke::Sysrq),
    DumpCore(poke::DumpCore),
    Claims,
    #[command(flatten)]
    Devices(devices::Command),
    Help {
        command: Option<String>,
    },
}

/// Runs the command of these arguments, the program's name first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // Waits for days, and so is asked for before all that reads arguments comes into memory.
    if let Some(domain) = supervise::asked_for(&arguments) {
        let done = supervise::run(domain, true);
        return done.map_or_else(|error| fail(&error.to_string()), |()| ExitCode::SUCCESS);
    }
    if let Some(command) = help::asked_for(&arguments) {
        return finish(&help::of(Some(&command)));
    }
    match Arguments::try_parse_from(&arguments) {
        Ok(parsed) if parsed.dry_run && !implements_dry_run(&parsed.command) => {
            eprintln!("command does not implement -N (dryrun) option");
            ExitCode::FAILURE
        }
        Ok(parsed) => run(&parsed.command, parsed.dry_run),
        Err(error) => refuse(&error),
    }
}

/// Whether `-N` keeps a command from doing anything; reading is refused as well, as by stock xl.
fn implements_dry_run(command: &Command) -> bool {
    match command {
        Command::Create(_) => true,
        Command::Devices(command) => devices::implements_dry_run(command),
        _ => false,
    }
}

fn run(command: &Command, dry: bool) -> ExitCode {
    if let Some(done) = about_domains(command, dry) {
        return done.unwrap_or_else(|error| fail(&error.to_string()));
    }
    let done = match command {
        Command::Claims => Interface::open().and_then(|xen| list::claims(&xen)),
        Command::Devices(command) => return devices::run(command, dry),
        Command::Help { command } => Ok(help::of(command.as_deref())),
        Command::DebugKeys(arguments) => {
            Interface::open().and_then(|xen| debug_keys::run(&xen, arguments))
        }
        Command::Info(arguments) => Interface::open().and_then(|xen| info::run(&xen, arguments)),
        Command::Dmesg(arguments) => {
            // May be large, and the tail matters if it breaks off: written as it comes.
            return match Interface::open().and_then(|xen| dmesg::run(&xen, arguments)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(&error.to_string()),
            };
        }
        Command::List(arguments) => {
            let found = Interface::open().and_then(|xen| list::run(&xen, arguments));
            return found.map_or_else(|error| fail(&error.to_string()), whole);
        }
        Command::VcpuList(arguments) => {
            let found = Interface::open().and_then(|xen| vcpu_list::run(&xen, arguments));
            return found.map_or_else(|error| fail(&error.to_string()), whole);
        }
        // All others were looked at before.
        _ => Ok(help::of(None)),
    };
    done.map_or_else(|error| fail(&error.to_string()), |text| finish(&text))
}

/// The commands that make, change and end domains; `None` for the others.
fn about_domains(command: &Command, dry: bool) -> Option<Result<ExitCode, life::Error>> {
    Some(match command {
        Command::Create(arguments) => create::run(arguments, dry),
        Command::Destroy(arguments) => lifecycle::destroy(arguments),
        Command::Shutdown(arguments) => lifecycle::shutdown(arguments),
        Command::Reboot(arguments) => lifecycle::reboot(arguments),
        Command::Pause(arguments) => lifecycle::pause(arguments),
        Command::Unpause(arguments) => lifecycle::unpause(arguments),
        Command::Autostart(arguments) => lifecycle::autostart(arguments),
        Command::Domid(arguments) => identity::domid(arguments),
        Command::Domname(arguments) => identity::domname(arguments),
        Command::Rename(arguments) => identity::rename(arguments),
        Command::ConfigUpdate(arguments) => identity::config_update(arguments),
        Command::MemSet(arguments) => resources::mem_set(arguments),
        Command::MemMax(arguments) => resources::mem_max(arguments),
        Command::VcpuSet(arguments) => resources::vcpu_set(arguments),
        Command::VcpuPin(arguments) => resources::vcpu_pin(arguments),
        Command::Trigger(arguments) => poke::trigger(arguments),
        Command::Sysrq(arguments) => poke::sysrq(arguments),
        Command::DumpCore(arguments) => poke::dump_core(arguments),
        Command::Uptime(arguments) => uptime::run(arguments).map(|text| finish(&text)),
        _ => return None,
    })
}

/// The output of a command, or what is wrong with the domain it was given.
fn whole(outcome: Result<String, String>) -> ExitCode {
    outcome.map_or_else(|message| fail(&message), |text| finish(&text))
}

fn finish(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    // A reader that went away (`xl list | head -1`) is no failure of ours, but an exit code of 0
    // must mean that all was written.
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("xl: {message}");
    ExitCode::FAILURE
}

fn refuse(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            finish(&help::of(None));
            ExitCode::FAILURE
        }
        ErrorKind::InvalidSubcommand => {
            eprintln!("command not implemented");
            ExitCode::FAILURE
        }
        _ => {
            // The first line says it; the rest is clap's idea of help.
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            eprintln!("xl: {}", line.trim_start_matches("error: "));
            ExitCode::from(USAGE)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' '))
    }

    #[test]
    fn commands_may_be_shortened_to_what_is_unique() {
        assert!(matches!(parse("xl li").unwrap().command, Command::List(_)));
        let parsed = parse("xl -vv vcpu-list 0 guest").unwrap();
        assert!(matches!(parsed.command, Command::VcpuList(_)));
        let error = parse("xl de").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidSubcommand);
    }

    #[test]
    fn exit_codes_tell_usage_from_failure() {
        let code = |line: &str| main(line.split(' ').map(OsString::from));
        assert_eq!(code("xl"), ExitCode::from(1));
        assert_eq!(code("xl nonsense"), ExitCode::from(1));
        assert_eq!(code("xl dmesg --nonsense"), ExitCode::from(2));
        assert_eq!(code("xl debug-keys"), ExitCode::from(2));
        assert_eq!(code("xl sysrq guest word"), ExitCode::from(1));
        // A file that cannot be read is no error in it.
        assert_eq!(code("xl create -n /nowhere.cfg"), ExitCode::from(3));
        assert_eq!(code("xl help"), ExitCode::SUCCESS);
        assert_eq!(code("xl list -h"), ExitCode::SUCCESS);
    }

    #[test]
    fn a_dry_run_does_nothing_whatever_the_command() {
        let dry = |line: &str| implements_dry_run(&parse(line).unwrap().command);
        for line in ["xl create f", "xl block-attach 1 x", "xl cpupool-create f"] {
            assert!(dry(line), "{line}");
        }
        for line in [
            "xl destroy guest",
            "xl shutdown -a",
            "xl block-detach 1 xvda",
        ] {
            assert!(!dry(line), "{line}");
        }
        let code = |line: &str| main(line.split(' ').map(OsString::from));
        assert_eq!(code("xl -N destroy guest"), ExitCode::FAILURE);
        // Beyond reading it, nothing happens to a configuration.
        let file = std::env::temp_dir().join(format!("oxen-dry-{}.cfg", std::process::id()));
        std::fs::write(&file, "name='dry'\nkernel='/nowhere'\nmemory=64").unwrap();
        let line = format!("xl -N create -q {}", file.display());
        assert_eq!(code(&line), ExitCode::SUCCESS);
        std::fs::remove_file(&file).unwrap();
    }
}
