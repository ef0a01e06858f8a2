//! `xl create`, and the hidden command that watches over what it made.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hypercall_abi::xen::DomId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::life::create::{Plan, create};
use crate::life::{Error, Tools, destroy, json, supervise};

/// Nothing was made; the exit code scripts know.
const NOT_CREATED: u8 = 3;
/// Where files without a directory are looked for, too, as `xm` did.
const FOLDER: &str = "/etc/xen";

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Show the console, and end with it.
    #[arg(short = 'c')]
    console: bool,
    /// Leave it paused.
    #[arg(short = 'p')]
    paused: bool,
    /// Say what would be made, and make nothing.
    #[arg(short = 'n', long = "dryrun")]
    dry_run: bool,
    #[arg(short = 'q', long)]
    quiet: bool,
    /// Do not watch over it.
    #[arg(short = 'e')]
    unwatched: bool,
    /// Watch over it in the foreground.
    #[arg(short = 'F')]
    foreground: bool,
    /// As -n, but make it, too.
    #[arg(short = 'd')]
    debug: bool,
    /// Taken for compatibility; a PV guest has no such display.
    #[arg(short = 'V', long = "vncviewer")]
    viewer: bool,
    #[arg(short = 'A', long = "vncviewer-autopass")]
    viewer_password: bool,
    #[arg(short = 'i', long = "ignore-global-affinity-masks")]
    ignore_masks: bool,
    #[arg(short = 'f', long = "defconfig")]
    file: Option<PathBuf>,
    /// The file, and settings behind it.
    words: Vec<String>,
}

/// `dry`: as with `-n`.
pub(super) fn run(arguments: &Arguments, dry: bool) -> Result<ExitCode, Error> {
    let mut file = arguments.file.clone();
    let mut overrides = Vec::new();
    for word in &arguments.words {
        if word.contains('=') {
            overrides.push(word.clone());
        } else if file.is_none() {
            file = Some(word.into());
        } else {
            eprintln!("xl: create takes one file, and key=value settings; what is \"{word}\"?");
            return Ok(ExitCode::from(super::USAGE));
        }
    }
    let file = file.unwrap_or_else(|| "/dev/null".into());
    match start(&file, &overrides, arguments, dry) {
        // As stock xl: 1 for the configuration, 3 for what came of it.
        Err(error @ Error::Config(_)) => Err(error),
        Err(error) => {
            eprintln!("xl: {error}");
            Ok(ExitCode::from(NOT_CREATED))
        }
        done => done,
    }
}

/// Makes the domain of a file with plain options, for `xl autostart`.
pub(super) fn plainly(file: &Path) -> Result<(), Error> {
    let arguments = Arguments {
        console: false,
        paused: false,
        dry_run: false,
        quiet: false,
        unwatched: false,
        foreground: false,
        debug: false,
        viewer: false,
        viewer_password: false,
        ignore_masks: false,
        file: None,
        words: Vec::new(),
    };
    start(file, &[], &arguments, false).map(drop)
}

fn start(
    file: &Path,
    overrides: &[String],
    arguments: &Arguments,
    dry: bool,
) -> Result<ExitCode, Error> {
    let dry = dry || arguments.dry_run;
    let (plan, warnings) = read(file, overrides)?;
    if !arguments.quiet {
        println!("Parsing config from {}", file.display());
        for warning in &warnings {
            eprintln!("xl: warning: {warning}");
        }
    }
    if dry || arguments.debug {
        print!("{}", json::pretty(&json::config(&plan.config, plan.uuid)));
        if dry {
            return Ok(ExitCode::SUCCESS);
        }
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    // Once the domain runs, signals end the one who watches over it as they end any program.
    let runs = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register_conditional_default(signal, runs.clone())
            .and_then(|_| signal_hook::flag::register(signal, interrupted.clone()))
            .map_err(|error| Error::Other(format!("signals: {error}")))?;
    }
    let mut tools = Tools::open()?;
    let domain = create(&mut tools, &plan, &interrupted)?;
    match go(&tools, domain, &plan, arguments, &runs) {
        Ok(code) => Ok(code),
        Err(error) => {
            // Made, but of no use.
            if let Err(second) = destroy::destroy(&mut tools, domain) {
                eprintln!("xl: while taking the domain back: {second}");
            }
            Err(error)
        }
    }
}

/// Reads a configuration and completes it.
pub(super) fn read(
    file: &Path,
    overrides: &[String],
) -> Result<(Plan, Vec<crate::config::Error>), Error> {
    let bytes = std::fs::read(file).or_else(|error| {
        let elsewhere = Path::new(FOLDER).join(file);
        let is_name = file.components().count() == 1;
        let other = std::fs::read(elsewhere).ok().filter(|_| is_name);
        other.ok_or(error)
    });
    // No error of the configuration: the exit code is another.
    let cannot = |error| Error::Other(format!("{}: cannot read it: {error}", file.display()));
    let text = String::from_utf8_lossy(&bytes.map_err(cannot)?).into_owned();
    let mut warnings = Vec::new();
    let plan = Plan::new(file, &text, overrides, &mut warnings)?;
    Ok((plan, warnings))
}

/// From a made domain to one that runs, watched over and shown as wanted.
fn go(
    tools: &Tools,
    domain: DomId,
    plan: &Plan,
    arguments: &Arguments,
    runs: &AtomicBool,
) -> Result<ExitCode, Error> {
    if !arguments.unwatched && !arguments.foreground {
        supervise::start(domain, &plan.config.name)?;
    }
    let mut console = None;
    if arguments.console {
        let failed = |error| Error::Other(format!("the console does not start: {error}"));
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        std::os::unix::process::CommandExt::arg0(&mut command, "xl");
        command.args(["console", &domain.0.to_string()]);
        console = Some(command.spawn().map_err(failed)?);
    }
    if !arguments.paused {
        tools.xen.unpause_domain(domain)?;
    }
    if arguments.foreground {
        runs.store(true, Ordering::Relaxed);
        if let Err(error) = supervise::run(domain, false) {
            // The domain lives, and may do well without.
            eprintln!(
                "xl: nobody watches over domain {} any more: {error}",
                domain.0
            );
            return Ok(ExitCode::FAILURE);
        }
    }
    if let Some(mut console) = console {
        // However it ended: the domain lives.
        let _ = console.wait();
    }
    Ok(ExitCode::SUCCESS)
}
