//! The end of a domain: its resources are given back in bounded steps, in an order in which nothing is used after it
//! went, and the domain leaves the list with its last page.
//!
//! Once `dying` is set nothing new is handed out: every allocation looks at it under the lock that the teardown takes
//! later. What other domains hold of it (mapped pages, used grants) they keep; the id is free again only when that is
//! gone, so nobody's claim on the old domain can ever mean the next one.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use hypercall_abi::xen::Virq;

use super::Domain;
use crate::host::host;
use crate::preempt::{Budget, UNITS};
use crate::{event_channel, grant_table, irq, mm, pv, sched};

/// How far a teardown has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Not begun.
    #[default]
    Alive,
    /// Its vCPUs are being stopped.
    Stopping,
    /// What it mapped of other domains' grants goes.
    Mappings,
    /// Its event channels are closed.
    Channels,
    /// Page tables and other references of the vCPUs from this one on go.
    Vcpus(usize),
    /// Its pages go.
    Memory,
    /// All is done.
    Done,
}

/// How often a call looks whether the vCPUs have stopped before it lets others have their turn.
const LOOKS: u32 = 20_000;

/// Takes a domain's resources away as far as the budget goes. True when all is done, false to be called again.
pub fn destroy(domain: &Arc<Domain>, budget: &Budget) -> bool {
    // Another CPU may be at it.
    let Some(mut stage) = domain.teardown.try_lock() else {
        return false;
    };
    loop {
        *stage = match *stage {
            Stage::Alive => {
                sched::domain_pause_nosync(domain);
                domain.dying.store(true, Ordering::SeqCst);
                let _ = host().mm.claim(domain, 0);
                Stage::Stopping
            }
            Stage::Stopping if !stopped(domain) => return false,
            Stage::Stopping => Stage::Mappings,
            Stage::Mappings if !grant_table::release_mappings(domain, budget) => return false,
            Stage::Mappings => Stage::Channels,
            Stage::Channels if !event_channel::destroy(domain, budget) => return false,
            Stage::Channels => {
                sched::stop_watchdogs(domain);
                irq::teardown(domain);
                Stage::Vcpus(0)
            }
            Stage::Vcpus(next) => match domain.vcpus().get(next) {
                Some(vcpu) => {
                    sched::forget(vcpu);
                    pv::init::release_vcpu(domain, vcpu);
                    sched::release_vcpu_info(vcpu);
                    let _ = budget.spend(UNITS / 8);
                    Stage::Vcpus(next + 1)
                }
                None => Stage::Memory,
            },
            Stage::Memory if !mm::relinquish(domain, budget) => return false,
            Stage::Memory => {
                grant_table::destroy(domain);
                domain.dead.store(true, Ordering::SeqCst);
                event_channel::send_global_virq(Virq::DOM_EXC);
                reap(domain);
                Stage::Done
            }
            Stage::Done => return true,
        };
        if budget.exhausted() && *stage != Stage::Done {
            return false;
        }
    }
}

/// Whether no vCPU's registers are on a CPU any more. Waits a little.
pub fn stopped(domain: &Domain) -> bool {
    domain.vcpus().iter().all(|vcpu| {
        (0..LOOKS).any(|_| {
            let there = sched::is_descheduled(vcpu);
            if !there {
                // A waiting CPU serves shootdowns, or the other one might wait for this one.
                <arch::sync::Service as spin::RelaxStrategy>::relax();
            }
            there
        })
    })
}

/// Takes a dead domain out of the list once nobody refers to a page of its any more; called whenever that may have
/// become true. dom0's tools hear of it.
pub fn reap(domain: &Arc<Domain>) {
    let gone = domain.dead.load(Ordering::SeqCst)
        && domain.mem.tot_pages() == 0
        && host().domains.remove_this(domain);
    if gone {
        // Its id may be used anew from here on, so what is left of the page must not bear it.
        mm::disown(domain.shared_info.mfn());
        event_channel::send_global_virq(Virq::DOM_EXC);
    }
}
