//! `xl`: the administrator's command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    dom0_tools::xl::main(std::env::args_os())
}
