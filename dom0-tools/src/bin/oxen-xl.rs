//! `xl`: the administrator's command line. Named apart from the stock one, which tests of the
//! hypervisor run beside it, until it has all its commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    dom0_tools::xl::main(std::env::args_os())
}
