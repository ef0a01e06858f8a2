//! `xenconsoled`: serves the consoles of guests. Takes the options of Xen's daemon of this name.

use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use clap::{Parser, ValueEnum};
use dom0_tools::console::daemon::{self, Options, Overflow, Style};

/// Says in the environment that this is the daemon itself, whose parent waits.
const DETACHED: &str = "OXEN_CONSOLED_DETACHED";

/// Serves the consoles of guests.
#[derive(Debug, Parser)]
#[command(name = "xenconsoled", version)]
struct Arguments {
    /// Tell more, on standard error too.
    #[arg(short, long)]
    verbose: bool,
    /// Stay in the foreground.
    #[arg(short, long)]
    interactive: bool,
    /// Of what a log is kept.
    #[arg(short, long, value_enum, default_value_t = Whose::None)]
    log: Whose,
    /// Where logs are kept.
    #[arg(long, default_value = "/var/log/xen/console")]
    log_dir: PathBuf,
    /// Bytes after which a log is put aside (as .1 to .5) and begun anew; 0: never.
    #[arg(long, default_value_t = 8 << 20)]
    log_limit: u64,
    /// Where the process's number is written.
    #[arg(long, default_value = "/run/xen/xenconsoled.pid")]
    pid_file: PathBuf,
    /// In which logs lines begin with the time.
    #[arg(short, long, value_enum, default_value_t = Whose::None)]
    timestamp: Whose,
    /// What happens to output that nobody reads and there is no more room for.
    #[arg(short, long, value_enum, default_value_t = OverflowData::Discard)]
    overflow_data: OverflowData,
    /// Write escape characters to logs as dots.
    #[arg(short = 'e', long)]
    replace_escape: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Whose {
    None,
    Guest,
    Hv,
    All,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OverflowData {
    Keep,
    Discard,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = if arguments.interactive || std::env::var_os(DETACHED).is_some() {
        serve(&arguments)
    } else {
        detach()
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xenconsoled: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &Arguments) -> anyhow::Result<()> {
    daemon::set_verbose(arguments.verbose || arguments.interactive);
    let style = |of: Whose| {
        let within = |choice: Whose| choice == of || choice == Whose::All;
        within(arguments.log).then(|| Style {
            timestamps: within(arguments.timestamp),
            replace_escape: arguments.replace_escape,
            limit: arguments.log_limit,
        })
    };
    let options = Options {
        log_directory: arguments.log_dir.clone(),
        guests: style(Whose::Guest),
        hypervisor: style(Whose::Hv),
        overflow: match arguments.overflow_data {
            OverflowData::Keep => Overflow::Keep,
            OverflowData::Discard => Overflow::Discard,
        },
        socket: dom0_tools::console::SOCKET.into(),
    };
    if let Some(directory) = arguments.pid_file.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(&arguments.pid_file, format!("{}\n", std::process::id()))?;
    let done = daemon::run(options, || {
        // To the parent, if one waits.
        if !arguments.interactive {
            let _ = std::io::stdout()
                .write_all(b"+")
                .and_then(|()| std::io::stdout().flush());
        }
    });
    let _ = std::fs::remove_file(&arguments.pid_file);
    done
}

/// Starts the daemon and returns when it serves.
fn detach() -> anyhow::Result<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(DETACHED, "1")
        .current_dir("/")
        // The terminal's signals are not for it.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut word = [0];
    let Some(mut stdout) = child.stdout.take() else {
        anyhow::bail!("no word from the daemon");
    };
    if stdout.read(&mut word)? == 1 {
        return Ok(());
    }
    // It has said why.
    let status = child.wait()?;
    anyhow::bail!("did not start ({status})");
}
