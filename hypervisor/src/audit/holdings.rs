//! What the hypervisor holds for domains, as numbers: those of dom0 alone are the same before guests and after them.
//!
//! Debug key `k` says them on one line. Scenarios compare two such lines, so nothing that changes by itself is among them.

use core::fmt;

use crate::host::host;
use crate::time::Timer;
use crate::{event_channel, grant_table, irq, time};

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Domains in the list, the dead among them that others keep there.
    pub domains: u64,
    /// Their vCPUs.
    pub vcpus: u64,
    /// Their pages.
    pub pages: u64,
    /// Pages of RAM that nobody has.
    pub free: u64,
    /// Pages of RAM that are promised to claims.
    pub claimed: u64,
    /// Bound ports.
    pub ports: u64,
    /// Frames of grant tables.
    pub grant_frames: u64,
    /// Grants that somebody uses.
    pub grants: u64,
    /// Handles that stand for a mapping.
    pub mappings: u64,
    /// Physical interrupts that domains have.
    pub pirqs: u64,
    /// Armed timers of other vCPUs than dom0's, whose own come and go, and of watchdogs.
    pub timers: u64,
    /// Objects in the kernel heap, and the pages that it has.
    pub heap: (u64, u64),
}

impl Holdings {
    /// What is held now. Exact on a quiet machine.
    pub fn now() -> Self {
        let buddy = host().mm.buddy.statistics();
        let mut all = Self {
            free: buddy.free,
            claimed: buddy.claimed,
            timers: time::count(|timer| match timer {
                Timer::Vcpu(vcpu, _) => vcpu.try_domain().is_none_or(|d| !d.is_hardware()),
                Timer::Watchdog(..) => true,
                Timer::Call(..) => false,
            }),
            heap: (arch::heap::objects_in_use(), arch::heap::pages_in_use()),
            ..Self::default()
        };
        host().domains.for_each(|d| {
            all.domains += 1;
            all.vcpus += d.vcpus().len() as u64;
            all.pages += d.mem.tot_pages();
            all.ports += event_channel::audit::ports(d);
            all.grant_frames += u64::from(d.grants.frames().0);
            all.grants += grant_table::audit::grants_in_use(d);
            all.mappings += grant_table::audit::mappings(d);
            all.pirqs += irq::pirqs(d);
        });
        all
    }
}

impl fmt::Display for Holdings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} domains, {} vCPUs, {} pages; {} pages free, {} claimed; {} ports; {} grant frames, {} grants in use, \
             {} mappings; {} pirqs; {} timers; heap: {} objects, {} pages",
            self.domains,
            self.vcpus,
            self.pages,
            self.free,
            self.claimed,
            self.ports,
            self.grant_frames,
            self.grants,
            self.mappings,
            self.pirqs,
            self.timers,
            self.heap.0,
            self.heap.1
        )
    }
}

/// The debug key.
pub fn report() {
    log::info!("held: {}", Holdings::now());
}
