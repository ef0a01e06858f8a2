//! The host's free memory in pages, exactly: for scenarios that compare before and after (`xl info` rounds to MiB).
//! `hostpages --all` shows everything that the hypervisor says of its memory, `hostpages --held` the pages that are free or
//! some domain's: what is missing when there are more domains is the hypervisor's, on their behalf.

use anyhow::Result;
use dom0_tools::hypercall::Interface;

fn main() -> Result<()> {
    let interface = Interface::open()?;
    let info = interface.physinfo()?;
    match std::env::args().nth(1).as_deref() {
        Some("--all") => println!("{info:?}"),
        Some("--held") => {
            let domains = interface.domains()?;
            let theirs: u64 = domains.iter().map(|domain| domain.tot_pages).sum();
            println!("{}", info.free_pages + theirs);
        }
        _ => println!("{}", info.free_pages),
    }
    Ok(())
}
