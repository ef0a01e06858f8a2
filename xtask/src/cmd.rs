//! Running other programs and saying clearly which one failed.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::paths;

/// A command in the root of the repository, with no standard input.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(paths::root()).stdin(Stdio::null());
    command
}

/// Cargo with the toolchain that `./x` has found.
pub fn cargo() -> Command {
    // `./x` names it in words, e.g. "rustup run 1.96.0 cargo".
    let words = std::env::var("OXEN_CARGO").unwrap_or_else(|_| "cargo".into());
    let mut words = words.split_whitespace();
    let mut cargo = command(words.next().unwrap_or("cargo"));
    cargo.args(words);
    // What `cargo run` set for xtask itself must not reach the packages built now.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") {
            cargo.env_remove(name);
        }
    }
    cargo.env_remove("CARGO_MANIFEST_DIR");
    cargo
}

/// The compiler that [`cargo`] uses.
pub fn rustc() -> Command {
    if let Some(program) = std::env::var_os("RUSTC") {
        return command(program);
    }
    let words = std::env::var("OXEN_CARGO").unwrap_or_else(|_| "cargo".into());
    let mut words: Vec<&str> = words.split_whitespace().collect();
    // "rustup run 1.96.0 cargo" becomes "rustup run 1.96.0 rustc".
    words.pop();
    words.push("rustc");
    let mut rustc = command(words[0]);
    rustc.args(&words[1..]);
    rustc
}

/// The command as a person would type it, for messages.
pub fn describe(command: &Command) -> String {
    let mut line = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    for arg in command.get_args() {
        line.push(' ');
        line.push_str(&arg.to_string_lossy());
    }
    line
}

/// Run to the end; an unsuccessful exit is an error that names the command.
pub fn run(command: &mut Command) -> Result<()> {
    let line = describe(command);
    let status = command
        .status()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed: {status}");
    }
    Ok(())
}

/// Run to the end and return what it printed; an unsuccessful exit is an error with its messages.
pub fn output(command: &mut Command) -> Result<String> {
    let line = describe(command);
    let output = command
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    if !output.status.success() {
        let messages = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{line}` failed: {}\n{}",
            output.status,
            messages.trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
