//! The host's free memory in pages, exactly, and what leaks would show in: for scenarios that
//! compare before and after. `xl info` rounds to MiB.

use anyhow::Result;
use dom0_tools::hypercall::Interface;

fn main() -> Result<()> {
    let info = Interface::open()?.physinfo()?;
    println!("{}", info.free_pages);
    Ok(())
}
