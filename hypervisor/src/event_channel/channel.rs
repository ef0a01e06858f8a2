//! One event channel: what a port is bound to.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use arch::sync::SpinLock;
use hypercall_abi::event_channel::EVTCHN_FIFO_PRIORITY_DEFAULT;

use crate::domain::{Domain, DomainId};

/// What a port is bound to (Xen public/event_channel.h, `EVTCHNSTAT_*`).
#[derive(Default)]
pub(super) enum State {
    /// Nothing.
    #[default]
    Free,
    /// Port 0, which is never handed out.
    Reserved,
    /// Waits for `remote` to bind to it.
    Unbound { remote: DomainId },
    /// One end of a channel; the other end is `port` of `remote`, whose state names this one.
    /// The two `Arc`s form a cycle that closing either end breaks; teardown closes all.
    Interdomain { remote: Arc<Domain>, port: u32 },
    /// A physical interrupt.
    Pirq { pirq: u32 },
    /// A virtual interrupt.
    Virq { virq: u32 },
    /// From one vCPU of the domain to another.
    Ipi,
}

impl State {
    /// Whether events can arrive here.
    pub(super) fn is_bound(&self) -> bool {
        !matches!(self, Self::Free | Self::Reserved)
    }
}

/// Who takes the events of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Consumer {
    /// The guest, through its event ABI.
    Guest = 0,
    /// The hypervisor, which waits on behalf of the port's vCPU: an event wakes that vCPU, and the guest neither sees
    /// nor controls the port.
    Hypervisor = 1,
}

/// A port of a domain.
///
/// The state changes only under the domain's event lock *and* the state's own lock, so holding either keeps it.
/// Both ends of an interdomain channel change together, with both locks held: a sender that holds its own end
/// therefore also knows the other end's state. The remaining fields are read by such senders without the far
/// end's lock and are atomic for that reason.
pub(super) struct Channel {
    pub(super) state: SpinLock<State>,
    /// The vCPU that is notified.
    pub(super) vcpu: AtomicU32,
    consumer: AtomicU8,
    /// FIFO: the queue for future events.
    pub(super) priority: AtomicU8,
    /// FIFO: raised while the event array had no page for this port.
    pub(super) pending: AtomicBool,
    /// FIFO: the queue the event was last put on (`fifo::LastQueue`); changes under that queue's lock.
    pub(super) last_queue: AtomicU32,
}

impl Channel {
    pub(super) const fn new(state: State) -> Self {
        Self {
            state: SpinLock::new(state),
            vcpu: AtomicU32::new(0),
            consumer: AtomicU8::new(Consumer::Guest as u8),
            priority: AtomicU8::new(EVTCHN_FIFO_PRIORITY_DEFAULT as u8),
            pending: AtomicBool::new(false),
            last_queue: AtomicU32::new(0),
        }
    }

    pub(super) fn consumer(&self) -> Consumer {
        if self.consumer.load(Ordering::Acquire) == Consumer::Guest as u8 {
            Consumer::Guest
        } else {
            Consumer::Hypervisor
        }
    }

    pub(super) fn set_consumer(&self, consumer: Consumer) {
        self.consumer.store(consumer as u8, Ordering::Release);
    }

    pub(super) fn vcpu(&self) -> u32 {
        self.vcpu.load(Ordering::Acquire)
    }

    /// Binds a free channel; `state` is its locked state.
    pub(super) fn bind(&self, state: &mut State, to: State, vcpu: u32) {
        self.vcpu.store(vcpu, Ordering::Release);
        self.priority
            .store(EVTCHN_FIFO_PRIORITY_DEFAULT as u8, Ordering::Release);
        *state = to;
    }

    /// Makes it free again; `state` is its locked state. Returns the old one, for the caller to drop without locks.
    pub(super) fn free(&self, state: &mut State) -> State {
        self.vcpu.store(0, Ordering::Release);
        self.set_consumer(Consumer::Guest);
        self.pending.store(false, Ordering::SeqCst);
        core::mem::take(state)
    }
}
