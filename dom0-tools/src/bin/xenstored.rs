//! `xenstored`: the daemon that keeps xenstore.

use std::process::ExitCode;

fn main() -> ExitCode {
    dom0_tools::xenstored::daemon::main()
}
