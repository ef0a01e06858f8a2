//! The command line: that of C xenstored, as far as it makes sense here.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use super::quota::{Quota, Quotas};
use super::server::Config;

/// The daemon that keeps xenstore.
#[derive(Clone, Debug, Parser)]
#[command(name = "xenstored", version, disable_version_flag = true)]
pub struct Options {
    /// Do not talk to the hypervisor: sockets only (for tests).
    #[arg(short = 'D', long)]
    pub no_domain_init: bool,
    /// Write the daemon's process number there.
    #[arg(short = 'F', long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Stay in the foreground.
    #[arg(short = 'N', long)]
    pub no_fork: bool,
    /// Print the daemon's process number.
    #[arg(short = 'P', long)]
    pub output_pid: bool,
    /// Log all messages there.
    #[arg(short = 'T', long, value_name = "FILE")]
    pub trace_file: Option<PathBuf>,
    /// Nodes per domain.
    #[arg(short = 'E', long, value_name = "NUMBER")]
    pub entry_nb: Option<u32>,
    /// Bytes per node.
    #[arg(short = 'S', long, value_name = "BYTES")]
    pub entry_size: Option<u32>,
    /// Watches per domain.
    #[arg(short = 'W', long, value_name = "NUMBER")]
    pub watch_nb: Option<u32>,
    /// Transactions per domain.
    #[arg(short = 't', long, value_name = "NUMBER")]
    pub transaction: Option<u32>,
    /// Permissions per node.
    #[arg(short = 'A', long, value_name = "NUMBER")]
    pub perm_nb: Option<u32>,
    /// Length of a path.
    #[arg(short = 'M', long, value_name = "BYTES")]
    pub path_max: Option<u32>,
    /// A quota by name: transaction-nodes, memory, outstanding.
    #[arg(short = 'Q', long, value_name = "WHAT=NUMBER")]
    pub quota: Vec<String>,
    /// A soft quota by name: memory.
    #[arg(short = 'q', long, value_name = "WHAT=NUMBER")]
    pub quota_soft: Vec<String>,
    /// A time limit by name: watch-event.
    #[arg(short = 'w', long, value_name = "WHAT=SECONDS")]
    pub timeout: Vec<String>,
    /// A domain beside domain 0 that is privileged.
    #[arg(short = 'p', long, value_name = "DOMID")]
    pub priv_domid: Option<u32>,
    /// Begin with an empty store even if a state of this boot was left behind.
    #[arg(long)]
    pub fresh: bool,
    /// Accepted and without effect: the store is in memory, and cannot be corrupt.
    #[arg(short = 'I', long, value_name = "on|off", num_args = 0..=1, hide = true)]
    pub internal_db: Option<Option<String>>,
    /// Accepted and without effect.
    #[arg(short = 'R', long, hide = true)]
    pub no_recovery: bool,
    /// Log to standard error.
    #[arg(short = 'V', long)]
    pub verbose: bool,
    /// Go on from the state that the program before left (live update).
    #[arg(short = 'U', long, hide = true)]
    pub live_update: bool,
}

fn named(text: &str) -> Result<(&str, u32), String> {
    let wrong = || format!("{text}: expected WHAT=NUMBER");
    let (what, value) = text.split_once('=').ok_or_else(wrong)?;
    Ok((what, value.parse().map_err(|_| wrong())?))
}

impl Options {
    /// The set-up that they describe.
    ///
    /// # Errors
    /// A name that is not known or a number that is none, in a sentence.
    pub fn config(&self) -> Result<Config, String> {
        let mut quotas = Quotas::default();
        for (quota, value) in [
            (Quota::Nodes, self.entry_nb),
            (Quota::NodeSize, self.entry_size),
            (Quota::Watches, self.watch_nb),
            (Quota::Transactions, self.transaction),
            (Quota::Permissions, self.perm_nb),
            (Quota::PathMax, self.path_max),
        ] {
            if let Some(value) = value {
                quotas.set(quota, value);
            }
        }
        for text in &self.quota {
            let (what, value) = named(text)?;
            let quota = Quota::named(what.as_bytes()).ok_or(format!("no quota {what}"))?;
            quotas.set(quota, value);
        }
        for text in &self.quota_soft {
            match named(text)? {
                ("memory", value) => quotas.memory_soft = value,
                (what, _) => return Err(format!("no soft quota {what}")),
            }
        }
        let mut config = Config {
            quotas,
            privileged: self.priv_domid.unwrap_or(0),
            ..Config::default()
        };
        for text in &self.timeout {
            match named(text)? {
                ("watch-event", 0) => config.event_timeout = None,
                ("watch-event", value) => {
                    config.event_timeout = Some(Duration::from_secs(value.into()));
                }
                (what, _) => return Err(format!("no time limit {what}")),
            }
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Options {
        let words = std::iter::once("xenstored").chain(line.split_ascii_whitespace());
        Options::try_parse_from(words).unwrap()
    }

    #[test]
    fn limits_from_the_command_line() {
        let options = parse("-N -E 7 -Q memory=5 -q memory=4 -w watch-event=0 --pid-file /x");
        let config = options.config().unwrap();
        assert_eq!(config.quotas.nodes, 7);
        assert_eq!(config.quotas.memory, 5);
        assert_eq!(config.quotas.memory_soft, 4);
        assert_eq!(config.event_timeout, None);
        assert!(parse("-Q what=1").config().is_err());
        assert!(parse("-Q memory=x").config().is_err());
    }
}
