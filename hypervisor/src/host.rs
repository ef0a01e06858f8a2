//! All state of the hypervisor that is not per CPU or per domain, in one place.

use alloc::boxed::Box;

use crate::domain::DomainList;
use crate::{console, irq, mm, sched, time};

/// The hypervisor's global state. One instance on the bare machine; on the host one per test thread.
pub struct Host {
    /// Frame table and page allocator.
    pub mm: mm::Memory,
    /// Every domain by its id.
    pub domains: DomainList,
    /// Run queues and scheduling parameters.
    pub sched: sched::Scheduler,
    /// Physical interrupts.
    pub irqs: irq::IrqTable,
    /// Console ring and sinks.
    pub console: console::Console,
    /// Global clock state (wall clock, calibration epoch).
    pub time: time::Clock,
}

impl Host {
    /// No domains, no CPUs, no interrupts yet.
    pub fn new(mm: mm::Memory) -> Self {
        Self {
            mm,
            domains: DomainList::new(),
            sched: sched::Scheduler::new(),
            irqs: irq::IrqTable::default(),
            console: console::Console::default(),
            time: time::Clock::default(),
        }
    }
}

#[cfg(target_os = "none")]
static HOST: arch::sync::Once<Box<Host>> = arch::sync::Once::new();

/// The hypervisor's state. Must not be called before [`install`].
#[cfg(target_os = "none")]
pub fn host() -> &'static Host {
    HOST.get().expect("host() before install()")
}

/// The hypervisor's state, if it is in place (objects of tests may outlive it or do without).
#[cfg(target_os = "none")]
pub fn installed() -> Option<&'static Host> {
    HOST.get().map(|h| &**h)
}

/// Puts the state in place, once, before the first use of [`host`].
#[cfg(target_os = "none")]
pub fn install(host: Host) {
    HOST.call_once(|| Box::new(host));
}

#[cfg(not(target_os = "none"))]
std::thread_local! {
    static HOST: core::cell::Cell<Option<&'static Host>> = const { core::cell::Cell::new(None) };
}

/// Makes another thread's state this thread's too, so that both play CPUs of one machine (with `arch::hosted::adopt`).
#[cfg(not(target_os = "none"))]
pub fn adopt(host: &'static Host) {
    HOST.set(Some(host));
}

/// The state of this test thread's simulated machine.
#[cfg(not(target_os = "none"))]
pub fn host() -> &'static Host {
    HOST.get().expect("host() before install()")
}

/// The state of this test thread's machine, if it has one.
#[cfg(not(target_os = "none"))]
pub fn installed() -> Option<&'static Host> {
    HOST.get()
}

/// Puts a fresh state in place for this thread (leaked: tests are short-lived). May be repeated.
#[cfg(not(target_os = "none"))]
pub fn install(host: Host) {
    HOST.set(Some(Box::leak(Box::new(host))));
}
