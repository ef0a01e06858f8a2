//! `xl debug-keys`.

use crate::hypercall::{Error, Interface};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    keys: String,
}

pub(super) fn run(xen: &Interface, arguments: &Arguments) -> Result<String, Error> {
    xen.debug_keys(arguments.keys.as_bytes())?;
    Ok(String::new())
}
