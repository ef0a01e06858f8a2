//! Domains: what a guest owns, and the list of all of them.

pub mod crash;
pub mod create;
pub mod destroy;
pub mod vcpu;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, AtomicU64, Ordering};

use arch::frame::RawFrame;
use arch::sync::{Once, RwLock, SpinLock};
use hypercall_abi::Errno;
use hypercall_abi::xen::VmAssistType;

pub use crash::crash;
pub use vcpu::Vcpu;

use crate::{control, event_channel, grant_table, irq, mm, pv, sched, time};

/// The id of a domain that exists (or existed); a guest's claim of an id is `hypercall_abi`'s `DomId`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainId(pub u16);

impl DomainId {
    /// The first domain, which owns the devices.
    pub const DOM0: Self = Self(0);
    /// Ids from here up are reserved by the ABI (`DOMID_FIRST_RESERVED`).
    pub const FIRST_RESERVED: u16 = 0x7ff0;
    /// The owner of device memory and firmware tables (`DOMID_IO`).
    pub const IO: Self = Self(0x7ff1);
    /// The owner of memory shared by the hypervisor itself (`DOMID_XEN`).
    pub const XEN: Self = Self(0x7ff2);
}

/// What kind of guest a domain is. A second kind slots in beside the first.
pub enum Kind {
    /// Paravirtualised: direct paging, trap bouncing.
    Pv(pv::PvDomain),
}

/// Who calls: the vCPU that runs on this CPU and its domain.
#[derive(Clone)]
pub struct Context {
    /// The calling vCPU.
    pub vcpu: Arc<Vcpu>,
    /// Its domain.
    pub domain: Arc<Domain>,
}

static NEXT_UNIQUE_ID: AtomicU64 = AtomicU64::new(1);

/// A guest.
pub struct Domain {
    /// Its id; unique among live domains.
    pub id: DomainId,
    /// What tells it from all others there ever were, whatever their ids.
    pub unique_id: u64,
    /// What kind of guest it is.
    pub kind: Kind,
    /// May manage the host and other domains (dom0).
    pub privileged: bool,
    /// Runs xenstore, as creation said (`XEN_DOMCTL_CDF_xs_domain`): may list domains.
    pub xenstore: AtomicBool,
    /// Serialises life-cycle operations (domctl); see the lock order.
    pub control: SpinLock<Control>,
    /// Its vCPUs, made once by max_vcpus; index is the vCPU id.
    vcpus: Once<Box<[Arc<Vcpu>]>>,
    /// The page shared with the guest for event bits, time and wall clock (public `shared_info`).
    pub shared_info: RawFrame,
    /// Memory accounting and the list of its pages.
    pub mem: mm::DomainMemory,
    /// Event channels.
    pub events: event_channel::DomainEvents,
    /// Grant table and maptrack.
    pub grants: grant_table::GrantTable,
    /// Physical interrupts routed to it, and its rights to ports, MMIO and interrupts.
    pub irqs: irq::DomainIrqs,
    /// Its own CPUID, if the tools gave it one (domctl set_cpu_policy).
    pub cpu_policy: RwLock<Option<Arc<control::DomainPolicy>>>,
    /// How it sees the time-stamp counter (domctl settscinfo); its vCPUs share it.
    pub tsc: Arc<time::VirtualTsc>,
    /// Scheduling parameters common to its vCPUs.
    pub sched: sched::DomainSched,
    /// Paused by the tools or by a crash: a count.
    pub pause_count: AtomicU32,
    /// Being torn down: no new references to its resources are handed out.
    pub dying: AtomicBool,
    /// How far that has come.
    teardown: SpinLock<destroy::Stage>,
    /// The teardown is complete; the domain is in the list only for pages that others still refer to.
    dead: AtomicBool,
    /// Set once by shutdown: the SCHEDOP_shutdown reason.
    pub shutdown: SpinLock<Option<u32>>,
    /// The port that hears of a suspension in place of VIRQ_DOM_EXC (XEN_DOMCTL_subscribe); 0: none.
    pub suspend_port: AtomicU32,
}

/// Domain state that only life-cycle operations touch.
#[derive(Debug, Default)]
pub struct Control {
    /// The UUID given by the tools ("handle").
    pub handle: [u8; 16],
    /// Nanoseconds the guest's wall clock is set off (domctl settimeoffset), in seconds.
    pub time_offset_seconds: i64,
    /// How often the tools paused the domain (domctl pausedomain); each is also counted in `Domain::pause_count`.
    pub tool_pauses: u32,
    /// Pauses of single vCPUs by a debugger (domctl gdbsx_pausevcpu).
    pub vcpu_pauses: BTreeMap<u32, u32>,
    /// A debugger says that it is attached (domctl setdebugging).
    pub debugged: bool,
    /// A soft reset is under way, and its event channels are being closed.
    pub soft_reset: bool,
    /// What it was told of other domains' changes (domctl get_domain_state).
    pub told: control::Told,
    /// Its virtual NUMA topology (domctl setvnumainfo).
    pub vnuma: Option<Arc<control::Vnuma>>,
}

impl Domain {
    /// A domain without vCPUs and memory. `shared_info` is a zeroed shared page, whose reference becomes the domain's.
    pub fn new(id: DomainId, kind: Kind, privileged: bool, shared_info: RawFrame) -> Arc<Self> {
        Arc::new(Self {
            id,
            unique_id: NEXT_UNIQUE_ID.fetch_add(1, Ordering::Relaxed),
            kind,
            privileged,
            xenstore: AtomicBool::new(false),
            control: SpinLock::new(Control::default()),
            vcpus: Once::new(),
            shared_info,
            mem: mm::DomainMemory::new(),
            events: event_channel::DomainEvents::new(),
            grants: grant_table::GrantTable::new(),
            irqs: irq::DomainIrqs::new(),
            cpu_policy: RwLock::new(None),
            tsc: Arc::default(),
            sched: sched::DomainSched::new(),
            pause_count: AtomicU32::new(0),
            dying: AtomicBool::new(false),
            teardown: SpinLock::new(destroy::Stage::default()),
            dead: AtomicBool::new(false),
            shutdown: SpinLock::new(None),
            suspend_port: AtomicU32::new(0),
        })
    }

    /// Makes the domain's vCPUs 0..count, all down. `EEXIST` if they were made before.
    pub fn create_vcpus(self: &Arc<Self>, count: u32) -> Result<(), Errno> {
        let mut fresh = false;
        self.vcpus.call_once(|| {
            fresh = true;
            (0..count)
                .map(|id| Arc::new(Vcpu::new(self, id)))
                .collect::<Vec<_>>()
                .into_boxed_slice()
        });
        if fresh { Ok(()) } else { Err(Errno::EEXIST) }
    }

    /// All vCPUs in order of their ids; empty before [`Self::create_vcpus`].
    pub fn vcpus(&self) -> &[Arc<Vcpu>] {
        self.vcpus.get().map_or(&[], |v| v)
    }

    /// The vCPU a guest names. `ENOENT` if there is none.
    pub fn vcpu(&self, id: u64) -> Result<&Arc<Vcpu>, Errno> {
        usize::try_from(id)
            .ok()
            .and_then(|i| arch::cpu::speculation::get(self.vcpus(), i))
            .ok_or(Errno::ENOENT)
    }

    /// The PV half. Every domain is PV so far; callers that are PV-only use it.
    pub fn pv(&self) -> &pv::PvDomain {
        match &self.kind {
            Kind::Pv(pv) => pv,
        }
    }

    /// Whether the guest wants updates of its runstate areas marked (`VMASST_TYPE_runstate_update_flag`).
    pub fn runstate_update_flag(&self) -> bool {
        match &self.kind {
            Kind::Pv(pv) => pv.assisted(VmAssistType::RUNSTATE_UPDATE_FLAG.0),
        }
    }

    /// Whether it runs xenstore.
    pub fn is_xenstore(&self) -> bool {
        self.xenstore.load(Ordering::Relaxed)
    }

    /// Whether it is being torn down.
    pub fn is_dying(&self) -> bool {
        self.dying.load(Ordering::Acquire)
    }

    /// Whether its teardown is complete: only pages that others refer to keep it in the list.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    /// Whether its end is the host's: it drives the devices.
    pub fn is_hardware(&self) -> bool {
        self.id == DomainId::DOM0
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        // The last one who could write events and time there is gone.
        mm::free_shared_info(self.shared_info.mfn());
    }
}

/// Every domain by id.
#[derive(Default)]
pub struct DomainList {
    domains: RwLock<BTreeMap<u16, Arc<Domain>>>,
    /// The id that was given last without being asked for.
    last_id: AtomicU16,
}

impl DomainList {
    /// An empty list.
    pub const fn new() -> Self {
        Self {
            domains: RwLock::new(BTreeMap::new()),
            last_id: AtomicU16::new(0),
        }
    }

    /// The domain with this id. `ESRCH` if there is none.
    pub fn get(&self, id: DomainId) -> Result<Arc<Domain>, Errno> {
        self.domains.read().get(&id.0).cloned().ok_or(Errno::ESRCH)
    }

    /// An id for a new domain: the one wanted if that is an ordinary one (`EEXIST` if it is taken), else the next free one
    /// after those given before (`ENOMEM` if there is none). It stays free until [`Self::insert`].
    pub fn claim_id(&self, wanted: u16) -> Result<DomainId, Errno> {
        let domains = self.domains.read();
        let ordinary = 1..DomainId::FIRST_RESERVED;
        if ordinary.contains(&wanted) {
            return if domains.contains_key(&wanted) {
                Err(Errno::EEXIST)
            } else {
                Ok(DomainId(wanted))
            };
        }
        let last = self.last_id.load(Ordering::Relaxed);
        let id = (last + 1..ordinary.end)
            .chain(1..=last)
            .find(|id| !domains.contains_key(id))
            .ok_or(Errno::ENOMEM)?;
        self.last_id.store(id, Ordering::Relaxed);
        Ok(DomainId(id))
    }

    /// Adds a domain. `EEXIST` if the id is taken.
    pub fn insert(&self, domain: Arc<Domain>) -> Result<(), Errno> {
        let mut list = self.domains.write();
        if list.contains_key(&domain.id.0) {
            return Err(Errno::EEXIST);
        }
        list.insert(domain.id.0, domain);
        Ok(())
    }

    /// Takes a domain out.
    pub fn remove(&self, id: DomainId) -> Option<Arc<Domain>> {
        self.domains.write().remove(&id.0)
    }

    /// Takes this very domain out, not another that has its id by now. False if it is not there.
    pub fn remove_this(&self, domain: &Arc<Domain>) -> bool {
        let mut list = self.domains.write();
        let there = list
            .get(&domain.id.0)
            .is_some_and(|d| Arc::ptr_eq(d, domain));
        if there {
            // The caller has a reference, so nothing is freed under the lock.
            list.remove(&domain.id.0);
        }
        there
    }

    /// The first domain whose id is at least `from`, for iteration without holding the list.
    pub fn next(&self, from: u16) -> Option<Arc<Domain>> {
        self.domains
            .read()
            .range(from..)
            .next()
            .map(|(_, d)| d.clone())
    }

    /// Calls `f` on every domain in order of ids, without holding the list meanwhile.
    pub fn for_each(&self, mut f: impl FnMut(&Arc<Domain>)) {
        let mut from = 0;
        while let Some(d) = self.next(from) {
            f(&d);
            from = d.id.0 + 1;
        }
    }
}
