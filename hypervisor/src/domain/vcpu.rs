//! Virtual CPUs.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use arch::addr::Mfn;
use arch::frame::{AtomicPlace, RawFrame};
use arch::sync::SpinLock;

use crate::domain::Domain;
use crate::{event_channel, pv, sched, time};

/// What a vCPU has besides what all kinds of guest share.
pub enum VcpuKind {
    /// Paravirtualised.
    Pv(pv::PvVcpu),
}

/// Where a vCPU's `vcpu_info` lies now: a frame and an offset, moved by VCPUOP_register_vcpu_info.
#[derive(Clone, Copy)]
pub struct VcpuInfoSlot {
    /// The frame; the slot's owner keeps a reference and a writable type on it unless it is the shared_info page.
    pub frame: RawFrame,
    /// Byte offset of the 64-byte `vcpu_info` in it.
    pub offset: usize,
}

impl VcpuInfoSlot {
    /// The slot that vCPU `id` has unless it registers another: shared_info holds the first 32 vCPUs' vcpu_info, 64 bytes
    /// each, at its start.
    pub fn shared(domain: &Domain, id: u32) -> Option<Self> {
        (id < 32).then(|| Self {
            frame: domain.shared_info,
            offset: id as usize * 64,
        })
    }
}

/// The slot in force: read on every way in and out of the guest, exchanged once or twice in a vCPU's life. Who exchanges
/// it raises all events again (`event_channel::vcpu_info_moved`), so a writer that still used the old one loses nothing.
#[derive(Debug)]
pub struct InfoSlot(AtomicPlace);

impl InfoSlot {
    /// Holds `slot`.
    pub fn new(slot: Option<VcpuInfoSlot>) -> Self {
        let this = Self(AtomicPlace::none());
        this.set(slot);
        this
    }

    /// The slot.
    #[inline]
    pub fn get(&self) -> Option<VcpuInfoSlot> {
        self.0
            .load()
            .map(|(frame, offset)| VcpuInfoSlot { frame, offset })
    }

    /// Exchanges the slot.
    pub fn set(&self, slot: Option<VcpuInfoSlot>) {
        self.0.store(slot.map(|s| (s.frame, s.offset)));
    }
}

/// A virtual CPU.
pub struct Vcpu {
    /// Its number within its domain.
    pub id: u32,
    domain: Weak<Domain>,
    /// What only its kind has.
    pub kind: VcpuKind,
    /// Where the guest looks for events and time. Public `vcpu_info`; none until the guest's first 32 vCPUs' default or a registration.
    pub info: InfoSlot,
    /// The frame of a registered `vcpu_info`: holds a reference and a writable type; set once.
    pub info_page: SpinLock<Option<Mfn>>,
    /// Down (VCPUOP_down, or never brought up): does not run and takes no events.
    pub down: AtomicBool,
    /// VCPUOP_initialise was done.
    pub initialised: AtomicBool,
    /// Pauses by the tools or the hypervisor: a count.
    pub pause_count: AtomicU32,
    /// Event-channel state (FIFO control block, poll set).
    pub events: event_channel::VcpuEvents,
    /// Scheduler state.
    pub sched: sched::VcpuSched,
    /// Timers, runstate, time areas.
    pub time: time::VcpuTime,
    /// Its domain's time-stamp counter.
    pub tsc: Arc<time::VirtualTsc>,
}

impl Vcpu {
    /// A vCPU that is down and not initialised.
    pub fn new(domain: &Arc<Domain>, id: u32) -> Self {
        let kind = match &domain.kind {
            crate::domain::Kind::Pv(_) => VcpuKind::Pv(pv::PvVcpu::new()),
        };
        let info = VcpuInfoSlot::shared(domain, id);
        Self {
            id,
            domain: Arc::downgrade(domain),
            kind,
            info: InfoSlot::new(info),
            info_page: SpinLock::new(None),
            down: AtomicBool::new(true),
            initialised: AtomicBool::new(false),
            pause_count: AtomicU32::new(0),
            events: event_channel::VcpuEvents::new(),
            sched: sched::VcpuSched::new(),
            time: time::VcpuTime::new(),
            tsc: domain.tsc.clone(),
        }
    }

    /// Its domain.
    ///
    /// # Panics
    /// If the domain is gone: whoever holds a vCPU also holds its domain (a hypervisor bug otherwise).
    pub fn domain(&self) -> Arc<Domain> {
        self.domain
            .upgrade()
            .expect("a vCPU does not outlive its domain")
    }

    /// Its domain, unless that is being freed.
    pub fn try_domain(&self) -> Option<Arc<Domain>> {
        self.domain.upgrade()
    }

    /// The PV half.
    pub fn pv(&self) -> &pv::PvVcpu {
        match &self.kind {
            VcpuKind::Pv(pv) => pv,
        }
    }

    /// Whether it may run: up and not paused.
    pub fn runnable(&self) -> bool {
        !self.down.load(Ordering::Acquire) && self.pause_count.load(Ordering::Acquire) == 0
    }

    /// Sets `evtchn_upcall_pending` (vcpu_info byte 0); true if it was clear before.
    pub fn set_upcall_pending(&self) -> bool {
        let slot = self.info.get();
        slot.is_some_and(|s| s.frame.fetch_or_u8(s.offset, 1) == 0)
    }

    /// Whether an upcall is pending and not masked (bytes 0 and 1 of vcpu_info).
    pub fn upcall_deliverable(&self) -> bool {
        let slot = self.info.get();
        slot.is_some_and(|s| {
            s.frame.read_u8(s.offset) & 1 != 0 && s.frame.read_u8(s.offset + 1) & 1 == 0
        })
    }

    /// Whether something is to be delivered that ends waiting for events: an upcall, a virtual NMI.
    pub fn has_news(&self) -> bool {
        self.upcall_deliverable()
            || match &self.kind {
                VcpuKind::Pv(pv) => pv.nmi_deliverable(),
            }
    }

    /// Whether an upcall is pending, masked or not.
    pub fn upcall_pending(&self) -> bool {
        let slot = self.info.get();
        slot.is_some_and(|s| s.frame.read_u8(s.offset) & 1 != 0)
    }

    /// Whether the guest masks upcalls (its virtual interrupt flag is off).
    pub fn upcall_masked(&self) -> bool {
        let slot = self.info.get();
        slot.is_none_or(|s| s.frame.read_u8(s.offset + 1) & 1 != 0)
    }

    /// Masks or unmasks upcalls.
    pub fn set_upcall_mask(&self, masked: bool) {
        if let Some(s) = self.info.get() {
            s.frame.write_u8(s.offset + 1, masked.into());
        }
    }
}
