//! `unpack-kernel BZIMAGE FILE`: the kernel that is packed in BZIMAGE. For scenarios that create guests by the hundred with
//! stock xl, which spends most of that on unpacking the same kernel again.

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::{Context, Result};
use dom0_tools::builder::source::Source;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (from, to) = (
        arguments.next().context("BZIMAGE")?,
        arguments.next().context("FILE")?,
    );
    let source = Source::open(Path::new(&from))?;
    io::copy(&mut source.reader()?, &mut File::create(to)?)?;
    Ok(())
}
