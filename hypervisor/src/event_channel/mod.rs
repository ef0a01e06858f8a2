//! Event channels: a domain's ports, what they are bound to, and how an event reaches a vCPU.
//!
//! Owns the port tables and both event ABIs ([`two_level`] and [`fifo`]). Public interface: Xen
//! public/event_channel.h. Invariants:
//! * Port tables only grow until the domain is gone, so a port that was valid stays valid.
//! * A port's state changes under the domain's event lock and the port's own lock (see `Channel`).
//! * The two ends of an interdomain channel name each other.
//! * `virq_ports` of a vCPU names the port whose state is that VIRQ, and no other does.
//!
//! Lock order: event locks of two domains by domain id; then port locks by (domain id, port); then FIFO queue
//! locks by (vCPU, priority); then the run queue (`sched::kick`). Port locks are inside the locks of `irq`, so
//! that an interrupt can be raised there; event locks are outside them. Nobody raises an event while holding a
//! run queue lock or anything inner to it.

pub mod audit;
mod channel;
pub mod dump;
mod fifo;
mod ops;
mod pin;
#[cfg(test)]
mod tests;
mod two_level;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

use arch::cpu::speculation;
use arch::frame::AtomicFrame;
use arch::sync::{Once, SpinGuard, SpinLock};
use hypercall_abi::Errno;
use hypercall_abi::event_channel::{EVTCHN_2L_NR_CHANNELS, EVTCHN_FIFO_NR_CHANNELS};
use hypercall_abi::xen::{NR_VIRQS, Virq};

pub use channel::Consumer;
use channel::{Channel, State};
pub(crate) use ops::unmask;
pub use ops::{do_event_channel_op, reset};

use crate::domain::{Domain, DomainId, Vcpu};
use crate::host::host;
use crate::preempt::Budget;
use crate::{irq, sched};

/// Ports per bucket: one word of the free map.
const BUCKET: u32 = 64;
/// Buckets per group.
const GROUP: u32 = 64;
/// Groups: enough for every FIFO port.
const GROUPS: usize = (EVTCHN_FIFO_NR_CHANNELS / (BUCKET * GROUP)) as usize;
/// Free ports that are still linked into a FIFO queue and are therefore stepped over, before a new one is preferred.
const BUSY_SKIPS: u32 = 256;
/// Offset of `evtchn_pending_sel` in `vcpu_info`.
const VCPU_INFO_PENDING_SEL: usize = 8;

type Group = Box<[Once<Box<[Channel]>>]>;

/// A domain's event channels.
pub struct DomainEvents {
    /// The event lock: allocation, binding, closing.
    table: SpinLock<Table>,
    groups: [Once<Group>; GROUPS],
    /// Highest port that may be allocated.
    max_port: AtomicU32,
    /// The guest uses the FIFO ABI.
    fifo_active: AtomicBool,
    /// FIFO event array, by page; made at the first use of FIFO.
    fifo_array: Once<Box<[AtomicFrame]>>,
    /// vCPUs inside SCHEDOP_poll.
    pollers: AtomicU32,
    /// Global VIRQs that this domain takes in place of dom0, a bit each.
    global_virqs: AtomicU32,
    /// How often it bound VIRQ_DOM_EXC.
    dom_exc_bindings: AtomicU32,
}

/// What the event lock protects.
struct Table {
    /// A word per bucket, a bit per port: free.
    free: Vec<u64>,
    /// Ports that are neither free nor reserved.
    active: u32,
    /// Those of them that the hypervisor consumes.
    hypervisor: u32,
    /// Where a reset in progress goes on; 0: none is in progress.
    reset_next: u32,
    /// Where teardown goes on, from the highest port down; `None`: not begun.
    destroy_next: Option<u32>,
    /// Pages of the event array in use.
    array_pages: u32,
    /// References to the control blocks and array pages.
    pins: Vec<fifo::Pin>,
}

impl DomainEvents {
    /// Port 0 reserved, the first bucket's other ports free.
    pub fn new() -> Self {
        let this = Self {
            table: SpinLock::new(Table {
                free: Vec::new(),
                active: 0,
                hypervisor: 0,
                reset_next: 0,
                destroy_next: None,
                array_pages: 0,
                pins: Vec::new(),
            }),
            groups: [const { Once::new() }; GROUPS],
            max_port: AtomicU32::new(u32::MAX),
            fifo_active: AtomicBool::new(false),
            fifo_array: Once::new(),
            pollers: AtomicU32::new(0),
            global_virqs: AtomicU32::new(0),
            dom_exc_bindings: AtomicU32::new(0),
        };
        // Without its first bucket the domain cannot even be asked about its ports. If there is no memory for that
        // the first allocation says so.
        let _ = this.add_bucket(&mut this.table.lock());
        this
    }

    /// Limits the ports of the domain to `0..=max` (XEN_DOMCTL_createdomain `max_evtchn_port`).
    pub fn set_max_port(&self, max: u32) {
        self.max_port.store(max, Ordering::Release);
    }

    /// Whether the guest uses the FIFO ABI.
    pub fn uses_fifo(&self) -> bool {
        self.fifo_active.load(Ordering::SeqCst)
    }

    /// Ports that the present ABI can express.
    fn abi_ports(&self) -> u32 {
        if self.uses_fifo() {
            EVTCHN_FIFO_NR_CHANNELS
        } else {
            EVTCHN_2L_NR_CHANNELS
        }
    }

    /// The channel behind a port that a guest names. `EINVAL` if the port was never valid.
    fn channel(&self, port: u32) -> Result<&Channel, Errno> {
        // The other two indices are below their lengths by their arithmetic.
        speculation::get(&self.groups, (port / (BUCKET * GROUP)) as usize)
            .and_then(Once::get)
            .and_then(|group| group.get((port / BUCKET % GROUP) as usize))
            .and_then(Once::get)
            .and_then(|bucket| bucket.get((port % BUCKET) as usize))
            .ok_or(Errno::EINVAL)
    }

    /// Adds the next bucket of ports. `ENOMEM`, or `ENOSPC` if there are all.
    fn add_bucket(&self, table: &mut Table) -> Result<(), Errno> {
        let n = table.free.len() as u32;
        let slot = self.groups.get((n / GROUP) as usize).ok_or(Errno::ENOSPC)?;
        if slot.get().is_none() {
            let group = boxed(GROUP, |_| Once::new())?;
            slot.call_once(|| group);
        }
        table.free.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let bucket = boxed(BUCKET, |i| {
            let reserved = n == 0 && i == 0;
            Channel::new(if reserved {
                State::Reserved
            } else {
                State::Free
            })
        })?;
        let place = slot
            .get()
            .and_then(|group| group.get((n % GROUP) as usize))
            .ok_or(Errno::ENOSPC)?;
        // Publishing comes last: whoever sees the bucket sees all of it.
        place.call_once(|| bucket);
        table.free.push(if n == 0 { !1 } else { !0 });
        Ok(())
    }

    /// Ports in buckets that exist.
    fn valid_ports(table: &Table) -> u32 {
        table.free.len() as u32 * BUCKET
    }
}

impl Default for DomainEvents {
    fn default() -> Self {
        Self::new()
    }
}

/// A boxed slice made without aborting when memory is short.
fn boxed<T>(len: u32, make: impl FnMut(u32) -> T) -> Result<Box<[T]>, Errno> {
    let mut items = Vec::new();
    items
        .try_reserve_exact(len as usize)
        .map_err(|_| Errno::ENOMEM)?;
    items.extend((0..len).map(make));
    Ok(items.into_boxed_slice())
}

impl Table {
    /// Takes the lowest free port and counts it as active. The caller binds it or gives it back
    /// ([`Self::give_back`]). `EINVAL` for a dying domain, `ENOSPC` at its limit, `ENOMEM`.
    fn allocate<'a>(&mut self, domain: &'a Domain) -> Result<(u32, &'a Channel), Errno> {
        if domain.is_dying() {
            return Err(Errno::EINVAL);
        }
        let events = &domain.events;
        let limit = events
            .abi_ports()
            .min(events.max_port.load(Ordering::Acquire).saturating_add(1));
        let mut skips = 0;
        let mut found = None;
        'search: for (i, &word) in self.free.iter().enumerate() {
            let mut word = word;
            while word != 0 {
                let port = i as u32 * BUCKET + word.trailing_zeros();
                if port >= limit {
                    return Err(Errno::ENOSPC);
                }
                // A closed port may still be linked in the guest's queue; it cannot be reused before it is consumed.
                if !fifo::is_busy(domain, port) {
                    found = Some(port);
                    break 'search;
                }
                word &= word - 1;
                skips += 1;
                if skips == BUSY_SKIPS {
                    break 'search;
                }
            }
        }
        let port = match found {
            Some(port) => port,
            None => {
                let port = DomainEvents::valid_ports(self);
                if port >= limit {
                    return Err(Errno::ENOSPC);
                }
                host().mm.may_grow()?;
                events.add_bucket(self)?;
                // A new bucket's first port could be linked only by a guest that tricks itself.
                if fifo::is_busy(domain, port) {
                    return Err(Errno::EBUSY);
                }
                port
            }
        };
        let channel = events.channel(port)?;
        self.mark(port, false);
        self.active += 1;
        Ok((port, channel))
    }

    /// Makes an allocated port free again.
    fn give_back(&mut self, port: u32) {
        self.mark(port, true);
        self.active -= 1;
    }

    fn mark(&mut self, port: u32, free: bool) {
        if let Some(word) = self.free.get_mut((port / BUCKET) as usize) {
            let bit = 1 << (port % BUCKET);
            *word = if free { *word | bit } else { *word & !bit };
        }
    }
}

/// A vCPU's event state.
pub struct VcpuEvents {
    /// The port each VIRQ is bound to; 0: none. Changes under the domain's event lock.
    virq_ports: [AtomicU32; NR_VIRQS as usize],
    /// What SCHEDOP_poll waits for ([`NOT_POLLING`], [`POLLING_ANY`] or a port).
    polling: AtomicI64,
    /// FIFO queues and control block.
    fifo: fifo::VcpuFifo,
}

/// [`VcpuEvents::polling`]: not in SCHEDOP_poll.
const NOT_POLLING: i64 = -2;
/// [`VcpuEvents::polling`]: any event may be the awaited one.
const POLLING_ANY: i64 = -1;

impl VcpuEvents {
    /// Nothing bound.
    pub const fn new() -> Self {
        Self {
            virq_ports: [const { AtomicU32::new(0) }; NR_VIRQS as usize],
            polling: AtomicI64::new(NOT_POLLING),
            fifo: fifo::VcpuFifo::new(),
        }
    }
}

impl Default for VcpuEvents {
    fn default() -> Self {
        Self::new()
    }
}

/// Event locks of one or two domains, taken in order of their ids.
struct Locked<'a> {
    near: SpinGuard<'a, Table>,
    /// Held only; `None` if both are the same domain.
    _far: Option<SpinGuard<'a, Table>>,
}

fn lock_both<'a>(near: &'a Domain, far: &'a Domain) -> Locked<'a> {
    match near.id.cmp(&far.id) {
        core::cmp::Ordering::Equal => Locked {
            near: near.events.table.lock(),
            _far: None,
        },
        core::cmp::Ordering::Less => {
            let near = near.events.table.lock();
            let _far = Some(far.events.table.lock());
            Locked { near, _far }
        }
        core::cmp::Ordering::Greater => {
            let _far = Some(far.events.table.lock());
            let near = near.events.table.lock();
            Locked { near, _far }
        }
    }
}

/// Runs `f` on the locked states of two different ports, locking in order of (domain, port).
fn with_states<R>(
    (d1, p1, c1): (DomainId, u32, &Channel),
    (d2, p2, c2): (DomainId, u32, &Channel),
    f: impl FnOnce(&mut State, &mut State) -> R,
) -> R {
    if (d1, p1) < (d2, p2) {
        let mut s1 = c1.state.lock();
        let mut s2 = c2.state.lock();
        f(&mut s1, &mut s2)
    } else {
        let mut s2 = c2.state.lock();
        let mut s1 = c1.state.lock();
        f(&mut s1, &mut s2)
    }
}

/// Whether one port per domain, not per vCPU, takes this VIRQ (Xen public/xen.h).
const fn virq_is_global(virq: u32) -> bool {
    !matches!(
        Virq(virq),
        Virq::TIMER | Virq::DEBUG | Virq::XENOPROF | Virq::XENPMU
    )
}

// --- delivery -----------------------------------------------------------------------------------------------------

/// Tells a vCPU to look at its events, unless it was told already.
fn upcall(vcpu: &Arc<Vcpu>) {
    if vcpu.set_upcall_pending() {
        sched::kick(vcpu);
    }
}

/// Makes the port pending for a vCPU. The port is bound and the guest consumes it; a lock that keeps it so is held
/// (its own, the far end's, or the domain's event lock).
fn set_pending(domain: &Domain, vcpu_id: u32, port: u32, channel: &Channel) {
    let Ok(vcpu) = domain.vcpu(vcpu_id.into()) else {
        return;
    };
    let mut fresh = false;
    let mut tell = false;
    if !domain.events.uses_fifo() {
        (fresh, tell) = two_level::set_pending(domain, vcpu, port);
    }
    // Looked at (again) after the bit is set: the guest may have switched to FIFO meanwhile, and whether that
    // switch carried this event over is unknown. Twice is harmless, lost is not.
    if domain.events.uses_fifo() {
        let (f, t) = fifo::set_pending(domain, vcpu, port, channel);
        fresh |= f;
        tell |= t;
    }
    if tell {
        upcall(vcpu);
    }
    if fresh {
        wake_pollers(domain, port);
    }
}

fn clear_pending(domain: &Domain, port: u32) {
    if domain.events.uses_fifo() {
        fifo::clear_pending(domain, port);
    } else {
        two_level::clear_pending(domain, port);
    }
}

fn is_pending(domain: &Domain, port: u32) -> bool {
    if domain.events.uses_fifo() {
        fifo::is_pending(domain, port)
    } else {
        two_level::is_pending(domain, port)
    }
}

fn is_masked(domain: &Domain, port: u32) -> bool {
    if domain.events.uses_fifo() {
        fifo::is_masked(domain, port)
    } else {
        two_level::is_masked(domain, port)
    }
}

/// Sends an event through one of the domain's ports, as EVTCHNOP_send does.
///
/// `EINVAL` if the port is not an unbound, interdomain or IPI port of the guest's.
pub fn send(domain: &Domain, port: u32) -> Result<(), Errno> {
    let channel = domain.events.channel(port)?;
    let state = channel.state.lock();
    if channel.consumer() != Consumer::Guest {
        return Err(Errno::EINVAL);
    }
    match &*state {
        State::Interdomain { remote, port } => {
            deliver_remote(remote, *port);
            Ok(())
        }
        State::Ipi => {
            set_pending(domain, channel.vcpu(), port, channel);
            Ok(())
        }
        // Nobody listens yet.
        State::Unbound { .. } => Ok(()),
        State::Free | State::Reserved | State::Pirq { .. } | State::Virq { .. } => {
            Err(Errno::EINVAL)
        }
    }
}

/// Whether [`send`] would take this port of the domain's. `EINVAL` if not.
pub fn can_notify(domain: &Domain, port: u32) -> Result<(), Errno> {
    let channel = domain.events.channel(port)?;
    let state = channel.state.lock();
    match *state {
        State::Interdomain { .. } | State::Unbound { .. }
            if channel.consumer() == Consumer::Guest =>
        {
            Ok(())
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Delivers to the far end of an interdomain channel whose near end is locked.
fn deliver_remote(remote: &Domain, port: u32) {
    let Ok(channel) = remote.events.channel(port) else {
        return;
    };
    match channel.consumer() {
        Consumer::Guest => set_pending(remote, channel.vcpu(), port, channel),
        Consumer::Hypervisor => {
            if let Ok(vcpu) = remote.vcpu(channel.vcpu().into()) {
                sched::wake(vcpu);
            }
        }
    }
}

/// Raises a per-vCPU VIRQ (timer, debug ...) on a vCPU. Nothing happens if the guest has not bound it.
pub fn send_virq(vcpu: &Vcpu, virq: Virq) {
    debug_assert!(!virq_is_global(virq.0));
    // A timer may expire while the last one who knows the domain lets go of it.
    if let Some(domain) = vcpu.try_domain() {
        raise_virq(&domain, vcpu, virq);
    }
}

/// Raises a global VIRQ (console, domain exception ...) in one domain.
pub fn send_domain_virq(domain: &Domain, virq: Virq) {
    debug_assert!(virq_is_global(virq.0));
    if let Some(vcpu) = domain.vcpus().first() {
        raise_virq(domain, vcpu, virq);
    }
}

/// Raises a global VIRQ in the domain that handles it: dom0 or the one named to [`set_global_virq_handler`].
pub fn send_global_virq(virq: Virq) {
    let handler = 1u32.checked_shl(virq.0).unwrap_or(0);
    let mut taken = false;
    host().domains.for_each(|d| {
        if !taken && d.events.global_virqs.load(Ordering::Acquire) & handler != 0 {
            taken = true;
            send_domain_virq(d, virq);
        }
    });
    if !taken && let Ok(dom0) = host().domains.get(DomainId::DOM0) {
        send_domain_virq(&dom0, virq);
    }
}

/// Makes `domain` the one that handles a global VIRQ (XEN_DOMCTL_set_virq_handler). `EINVAL` if the VIRQ does not
/// exist or is per vCPU.
pub fn set_global_virq_handler(domain: &Domain, virq: u32) -> Result<(), Errno> {
    if virq >= NR_VIRQS || !virq_is_global(virq) {
        return Err(Errno::EINVAL);
    }
    host().domains.for_each(|d| {
        d.events
            .global_virqs
            .fetch_and(!(1 << virq), Ordering::SeqCst);
    });
    domain
        .events
        .global_virqs
        .fetch_or(1 << virq, Ordering::SeqCst);
    Ok(())
}

/// Which binding of VIRQ_DOM_EXC a domain has in force, if it is the one that handles it.
pub fn dom_exc_binding(domain: &Domain) -> Option<u32> {
    let bit = 1u32 << Virq::DOM_EXC.0;
    let handles = |d: &Domain| d.events.global_virqs.load(Ordering::Acquire) & bit != 0;
    let mut others = false;
    host()
        .domains
        .for_each(|d| others |= d.id != domain.id && handles(d));
    let holder = domain.vcpus().first()?;
    let port = holder.events.virq_ports.get(Virq::DOM_EXC.0 as usize)?;
    let bound = port.load(Ordering::Acquire) != 0;
    let handler = handles(domain) || domain.id == DomainId::DOM0 && !others;
    (bound && handler).then(|| domain.events.dom_exc_bindings.load(Ordering::Acquire))
}

/// `holder` is the vCPU whose table has the binding: the vCPU itself, or vCPU 0 for a global VIRQ.
fn raise_virq(domain: &Domain, holder: &Vcpu, virq: Virq) {
    let Some(port) = holder.events.virq_ports.get(virq.0 as usize) else {
        return;
    };
    let port = port.load(Ordering::Acquire);
    if port == 0 {
        return;
    }
    if let Ok(channel) = domain.events.channel(port) {
        // The port may have been closed and bound to something else since it was looked up.
        let state = channel.state.lock();
        let vcpu = channel.vcpu();
        if matches!(*state, State::Virq { virq: v } if v == virq.0)
            && (virq_is_global(virq.0) || vcpu == holder.id)
        {
            set_pending(domain, vcpu, port, channel);
        }
    }
}

/// Whether the guest has bound this VIRQ (of this vCPU, if it is per vCPU).
pub fn virq_bound(vcpu: &Vcpu, virq: Virq) -> bool {
    let bound = |v: &Vcpu| {
        v.events
            .virq_ports
            .get(virq.0 as usize)
            .is_some_and(|p| p.load(Ordering::Acquire) != 0)
    };
    if virq_is_global(virq.0) {
        vcpu.try_domain()
            .is_some_and(|d| d.vcpus().first().is_some_and(|v| bound(v)))
    } else {
        bound(vcpu)
    }
}

/// Raises the event of a physical interrupt on the port that [`irq::bind_pirq`] was told. May be called with a
/// pirq's lock held. Returns false, and does nothing, if the port is not bound to an interrupt (any more).
pub fn send_pirq(domain: &Domain, port: u32) -> bool {
    let Ok(channel) = domain.events.channel(port) else {
        return false;
    };
    let state = channel.state.lock();
    if matches!(*state, State::Pirq { .. }) {
        set_pending(domain, channel.vcpu(), port, channel);
        true
    } else {
        false
    }
}

/// Whether a port that a guest polls is pending (SCHEDOP_poll). `EINVAL` if it is not one of its bound ports.
pub fn poll(domain: &Domain, port: u32) -> Result<bool, Errno> {
    let channel = domain.events.channel(port)?;
    let state = channel.state.lock();
    if channel.consumer() != Consumer::Guest || !state.is_bound() {
        return Err(Errno::EINVAL);
    }
    Ok(is_pending(domain, port))
}

/// Whether the guest masks a port, for those who dump state. Unbound ports count as masked.
pub fn port_masked(domain: &Domain, port: u32) -> bool {
    domain.events.channel(port).map_or(true, |channel| {
        let state = channel.state.lock();
        !state.is_bound() || is_masked(domain, port)
    })
}

/// SCHEDOP_poll, first step: from here on any event that arrives wakes the vCPU. The caller marks the vCPU as
/// blocked before this, looks at its ports with [`poll`] after it, and ends with [`stop_polling`] whatever happens
/// (`sched::wake` does so for a vCPU it unblocks).
pub fn start_polling(vcpu: &Vcpu) {
    if vcpu.events.polling.swap(POLLING_ANY, Ordering::SeqCst) == NOT_POLLING {
        vcpu.domain().events.pollers.fetch_add(1, Ordering::SeqCst);
    }
}

/// SCHEDOP_poll of one port only: other ports' events need not wake the vCPU. Between [`start_polling`] and
/// [`stop_polling`].
pub fn narrow_polling(vcpu: &Vcpu, port: u32) {
    // If an event ended the poll meanwhile, it has ended.
    let _ = vcpu.events.polling.compare_exchange(
        POLLING_ANY,
        port.into(),
        Ordering::SeqCst,
        Ordering::SeqCst,
    );
}

/// Ends a poll. True if the vCPU was polling.
pub fn stop_polling(vcpu: &Vcpu) -> bool {
    let polling = vcpu.events.polling.swap(NOT_POLLING, Ordering::SeqCst) != NOT_POLLING;
    // Where the domain is gone, nobody counts its pollers.
    if polling && let Some(domain) = vcpu.try_domain() {
        domain.events.pollers.fetch_sub(1, Ordering::SeqCst);
    }
    polling
}

/// Wakes vCPUs that poll for this port or for several.
fn wake_pollers(domain: &Domain, port: u32) {
    if domain.events.pollers.load(Ordering::SeqCst) == 0 {
        return;
    }
    for vcpu in domain.vcpus() {
        let polling = &vcpu.events.polling;
        let now = polling.load(Ordering::SeqCst);
        if (now == POLLING_ANY || now == i64::from(port))
            && polling
                .compare_exchange(now, NOT_POLLING, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
        {
            domain.events.pollers.fetch_sub(1, Ordering::SeqCst);
            sched::wake(vcpu);
        }
    }
}

/// The vCPU's `vcpu_info` lies elsewhere now (VCPUOP_register_vcpu_info): events may have been recorded in the old
/// place only, so everything counts as pending in the new one and the guest looks for itself.
pub fn vcpu_info_moved(vcpu: &Arc<Vcpu>) {
    if let Some(slot) = vcpu.info.get() {
        slot.frame
            .write_u64(slot.offset + VCPU_INFO_PENDING_SEL, u64::MAX);
    }
    vcpu.set_upcall_pending();
    sched::kick(vcpu);
}

// --- ports of the hypervisor's own --------------------------------------------------------------------------------

/// Allocates a port of `domain`, for `remote` to bind to, whose events wake `vcpu` inside the hypervisor and which
/// the guest cannot touch. Errors as EVTCHNOP_alloc_unbound.
pub fn alloc_for_hypervisor(domain: &Domain, vcpu: u32, remote: DomainId) -> Result<u32, Errno> {
    domain.vcpu(vcpu.into())?;
    let mut table = domain.events.table.lock();
    let (port, channel) = table.allocate(domain)?;
    table.hypervisor += 1;
    let mut state = channel.state.lock();
    channel.set_consumer(Consumer::Hypervisor);
    channel.bind(&mut state, State::Unbound { remote }, vcpu);
    Ok(port)
}

/// Closes a port from [`alloc_for_hypervisor`].
pub fn free_for_hypervisor(domain: &Domain, port: u32) {
    // A port that teardown closed first is no error.
    let _ = close(domain, port, false);
}

/// Notifies the far end of a port from [`alloc_for_hypervisor`].
pub fn notify_from_hypervisor(domain: &Domain, port: u32) {
    if let Ok(channel) = domain.events.channel(port)
        && let State::Interdomain { remote, port } = &*channel.state.lock()
    {
        deliver_remote(remote, *port);
    }
}

// --- closing ------------------------------------------------------------------------------------------------------

/// Closes a port. `EINVAL` if it is not bound, or if a guest asks for a port that the hypervisor consumes.
fn close(domain: &Domain, port: u32, by_guest: bool) -> Result<(), Errno> {
    let channel = domain.events.channel(port)?;
    let mut far: Option<Arc<Domain>> = None;
    // What the port was bound to; dropped after all locks are released, since it may be a domain's last reference.
    let _old = loop {
        let mut locked = lock_both(domain, far.as_deref().unwrap_or(domain));
        if by_guest && channel.consumer() != Consumer::Guest {
            return Err(Errno::EINVAL);
        }
        let remote = match &*channel.state.lock() {
            State::Free | State::Reserved => return Err(Errno::EINVAL),
            State::Interdomain { remote, port } => Some((remote.clone(), *port)),
            _ => None,
        };
        let Some((remote, remote_port)) = remote else {
            break release(domain, &mut locked.near, port, channel);
        };
        // The other domain's lock may have to come first, and it is known only now: look again under both.
        let held = match &far {
            Some(d) => Arc::ptr_eq(d, &remote),
            None => remote.id == domain.id,
        };
        if !held {
            if far.is_some() {
                // Closed and bound anew while nothing was locked: the port that was meant is closed.
                return Err(Errno::EINVAL);
            }
            drop(locked);
            far = Some(remote);
            continue;
        }
        let remote_channel = remote.events.channel(remote_port)?;
        let old = with_states(
            (domain.id, port, channel),
            (remote.id, remote_port, remote_channel),
            |near, other| {
                clear(domain, port, channel);
                let peer = core::mem::replace(other, State::Unbound { remote: domain.id });
                (release_locked(&mut locked.near, port, channel, near), peer)
            },
        );
        drop(locked);
        drop(old.1);
        break old.0;
    };
    Ok(())
}

/// Clears the pending state of a port that is about to be freed, so that it is not there at the next binding.
fn clear(domain: &Domain, port: u32, channel: &Channel) {
    if channel.consumer() == Consumer::Guest {
        clear_pending(domain, port);
    }
}

/// Undoes what a bound port that is not interdomain hangs on to, and frees it.
fn release(domain: &Domain, table: &mut Table, port: u32, channel: &Channel) -> State {
    // The event lock keeps the state; the port's own lock is not held across calls into `irq`.
    let (pirq, virq) = match &*channel.state.lock() {
        State::Pirq { pirq } => (Some(*pirq), None),
        State::Virq { virq } => (None, Some(*virq)),
        _ => (None, None),
    };
    if let Some(pirq) = pirq {
        irq::unbind_pirq(domain, pirq);
    }
    if let Some(virq) = virq {
        let holder = if virq_is_global(virq) {
            0
        } else {
            channel.vcpu()
        };
        if let Ok(vcpu) = domain.vcpu(holder.into())
            && let Some(slot) = vcpu.events.virq_ports.get(virq as usize)
        {
            slot.store(0, Ordering::Release);
        }
    }
    let mut state = channel.state.lock();
    clear(domain, port, channel);
    release_locked(table, port, channel, &mut state)
}

fn release_locked(table: &mut Table, port: u32, channel: &Channel, state: &mut State) -> State {
    if channel.consumer() == Consumer::Hypervisor {
        table.hypervisor -= 1;
    }
    table.give_back(port);
    channel.free(state)
}

/// Closes every port of a dying domain and lets go of its FIFO pages. Returns true when all is done, false to be
/// called again.
pub fn destroy(domain: &Domain, budget: &Budget) -> bool {
    debug_assert!(domain.is_dying());
    let mut port = {
        let mut table = domain.events.table.lock();
        let top = DomainEvents::valid_ports(&table);
        *table.destroy_next.get_or_insert(top)
    };
    // No allocation succeeds any more: each looks at `dying` under the lock that was just held.
    while port > 1 {
        port -= 1;
        let _ = close(domain, port, false);
        if budget.spend(1) {
            domain.events.table.lock().destroy_next = Some(port);
            return port <= 1 && finish_destroy(domain);
        }
    }
    domain.events.table.lock().destroy_next = Some(port);
    finish_destroy(domain)
}

fn finish_destroy(domain: &Domain) -> bool {
    domain.events.global_virqs.store(0, Ordering::SeqCst);
    fifo::leave(domain, &mut domain.events.table.lock());
    true
}
