//! `xl dmesg`.

use std::io::Write as _;

use crate::hypercall::{Error, Interface};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[arg(short = 'c', long)]
    clear: bool,
}

pub(super) fn run(xen: &Interface, arguments: &Arguments) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    let mut index = 0;
    loop {
        let (part, next) = xen.read_console(index, arguments.clear)?;
        if part.is_empty() || out.write_all(&printable(part)).is_err() {
            let _ = out.flush();
            return Ok(());
        }
        index = next;
    }
}

/// Without the zero bytes of a ring that has not been filled yet.
fn printable(mut part: Vec<u8>) -> Vec<u8> {
    part.retain(|byte| *byte != 0);
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeroes_are_not_text() {
        assert_eq!(
            printable(b"(XEN) a\n\0\0(XEN) b\n".to_vec()),
            b"(XEN) a\n(XEN) b\n"
        );
    }
}
