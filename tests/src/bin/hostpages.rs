//! The host's free memory in pages, exactly: for scenarios that compare before and after (`xl info` rounds to MiB).
//! `hostpages --all` shows everything that the hypervisor says of its memory.

use anyhow::Result;
use dom0_tools::hypercall::Interface;

fn main() -> Result<()> {
    let info = Interface::open()?.physinfo()?;
    if std::env::args().any(|word| word == "--all") {
        println!("{info:?}");
    } else {
        println!("{}", info.free_pages);
    }
    Ok(())
}
