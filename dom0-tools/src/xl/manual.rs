//! `xl completion` and `xl man`: what shells and `man` are to know of the commands.

use std::fs;
use std::path::PathBuf;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::devices::Failure;
use super::help;

#[derive(Debug, clap::Args)]
pub(super) struct Completion {
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(super) struct Manual {
    /// Where the pages are written: `xl.1` and `xl-COMMAND.1`.
    directory: PathBuf,
}

/// The commands, each with the sentence of its help.
fn described() -> clap::Command {
    let mut whole = super::Arguments::command().about("Manages the domains of this host");
    let names: Vec<String> = whole
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .collect();
    for name in names {
        if let Some(does) = help::sentence(&name) {
            whole = whole.mut_subcommand(&name, |command| command.about(does));
        }
    }
    whole
}

/// A script for a shell, on standard output.
pub(super) fn completion(arguments: &Completion) -> String {
    let mut out = Vec::new();
    clap_complete::generate(arguments.shell, &mut described(), "xl", &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Writes the manual's pages.
pub(super) fn manual(arguments: &Manual) -> Result<String, Failure> {
    let broken = |error: std::io::Error| {
        Failure::from(format!("{}: {error}", arguments.directory.display()))
    };
    fs::create_dir_all(&arguments.directory).map_err(broken)?;
    clap_mangen::generate_to(
        described().disable_help_subcommand(true),
        &arguments.directory,
    )
    .map_err(broken)?;
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_and_pages_know_the_commands() {
        let script = completion(&Completion { shell: Shell::Bash });
        assert!(script.contains("block-attach") && script.contains("_xl()"));
        let directory = std::env::temp_dir().join(format!("oxen-man-{}", std::process::id()));
        manual(&Manual {
            directory: directory.clone(),
        })
        .unwrap();
        let page = fs::read_to_string(directory.join("xl-block-list.1")).unwrap();
        assert!(page.contains("Shows the disks of domains"), "{page}");
        fs::remove_dir_all(directory).unwrap();
    }
}
