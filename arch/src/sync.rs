//! Locks. Interrupts are off throughout the hypervisor, so there is one kind; a spinner keeps serving TLB
//! shootdowns for its CPU (see docs/architecture.md, execution model).

use spin::relax::RelaxStrategy;

/// What a waiting CPU does between two looks at a lock.
pub struct Service;

impl RelaxStrategy for Service {
    #[inline]
    fn relax() {
        core::hint::spin_loop();
        service();
    }
}

#[cfg(target_os = "none")]
fn service() {
    // The bare backend's shootdown mailbox is served here.
    crate::tlb::service_pending();
}

#[cfg(not(target_os = "none"))]
fn service() {
    std::thread::yield_now();
}

/// Mutual exclusion, fair (ticket).
pub type SpinLock<T> = spin::mutex::TicketMutex<T, Service>;
/// Guard of a [`SpinLock`].
pub type SpinGuard<'a, T> = spin::mutex::ticket::TicketMutexGuard<'a, T, Service>;
/// Many readers or one writer.
pub type RwLock<T> = spin::rwlock::RwLock<T, Service>;
/// Written once, then read without locking.
pub type Once<T> = spin::once::Once<T, Service>;
