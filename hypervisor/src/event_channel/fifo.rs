//! The FIFO event ABI: a word per port in pages of the guest's (the event array), and per vCPU 16 queues of linked
//! words, one per priority, whose heads are in the vCPU's control block.
//!
//! Xen public/event_channel.h and the published FIFO design. The word holds PENDING, MASKED, LINKED, BUSY and the
//! next port of the queue. The hypervisor appends: it sets LINKED on the new tail, then writes the port into the
//! old tail's link field if that is still LINKED, or else (the guest has consumed the old tail, the queue is empty)
//! into the head. The guest consumes: it takes the head, clears LINKED and the link field together, and handles the
//! event if it is PENDING and not MASKED. Whatever the guest writes, the hypervisor only follows its own tails.
//!
//! Pages stay referenced, as writable pages of the guest's, until the guest resets its channels or dies.

use core::sync::atomic::{AtomicU32, Ordering};

use arch::addr::{Gfn, PAGE_BYTES};
use arch::cpu::speculation;
use arch::frame::{AtomicFrame, RawFrame};
use arch::sync::SpinLock;
use hypercall_abi::Errno;
use hypercall_abi::event_channel::{
    EVTCHN_2L_NR_CHANNELS, EVTCHN_FIFO_BUSY, EVTCHN_FIFO_LINK_BITS, EVTCHN_FIFO_LINK_MASK,
    EVTCHN_FIFO_LINKED, EVTCHN_FIFO_MASKED, EVTCHN_FIFO_MAX_QUEUES, EVTCHN_FIFO_NR_CHANNELS,
    EVTCHN_FIFO_PENDING, EVTCHN_FIFO_PRIORITY_DEFAULT, EVTCHN_FIFO_PRIORITY_MIN,
    EvtchnFifoControlBlock, EvtchnInitControl,
};

use super::{Channel, Consumer, DomainEvents, Table, boxed, set_pending as raise, two_level};
use crate::domain::{Domain, Vcpu};
use crate::host::host;

pub(super) use super::pin::Pin;

/// Event words per page of the array.
pub(super) const WORDS_PER_PAGE: u32 = (PAGE_BYTES / 4) as u32;
/// Pages of the largest array.
const ARRAY_PAGES: u32 = EVTCHN_FIFO_NR_CHANNELS / WORDS_PER_PAGE;
/// Offset of `head[0]` in the control block; `ready` is at 0.
const HEADS: usize = core::mem::offset_of!(EvtchnFifoControlBlock, head);

const PENDING: u32 = 1 << EVTCHN_FIFO_PENDING;
const MASKED: u32 = 1 << EVTCHN_FIFO_MASKED;
const LINKED: u32 = 1 << EVTCHN_FIFO_LINKED;
const BUSY: u32 = 1 << EVTCHN_FIFO_BUSY;

/// How often a word that the guest keeps changing is tried before the guest is left to its own devices. While it is
/// LINKED and BUSY, a guest that keeps the rules can change it at most four times.
const LINK_TRIES: u32 = 4;
/// How often the queue an event was last on is looked up again because another CPU moved the event meanwhile.
const QUEUE_TRIES: u32 = 64;

/// A vCPU's queues.
pub(super) struct VcpuFifo {
    /// The frame of the control block; published after its offset.
    control: AtomicFrame,
    offset: AtomicU32,
    /// Per priority: the port at the tail, 0 if it is known that nothing is queued.
    queues: [SpinLock<u32>; EVTCHN_FIFO_MAX_QUEUES as usize],
}

impl VcpuFifo {
    pub(super) const fn new() -> Self {
        Self {
            control: AtomicFrame::none(),
            offset: AtomicU32::new(0),
            queues: [const { SpinLock::new(0) }; EVTCHN_FIFO_MAX_QUEUES as usize],
        }
    }

    #[cfg(test)]
    pub(super) fn is_clear(&self) -> bool {
        self.control.load().is_none() && self.queues.iter().all(|q| *q.lock() == 0)
    }

    fn control_block(&self) -> Option<(RawFrame, usize)> {
        let frame = self.control.load()?;
        Some((frame, self.offset.load(Ordering::Acquire) as usize))
    }
}

/// A queue of a domain: vCPU and priority. The order is the lock order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Queue {
    vcpu: u32,
    priority: u8,
}

impl Queue {
    /// As kept in `Channel::last_queue`. vCPU ids fit: the ABI has at most 8192 of them.
    fn raw(self) -> u32 {
        self.vcpu << 8 | u32::from(self.priority)
    }

    fn from_raw(raw: u32) -> Self {
        Self {
            vcpu: raw >> 8,
            priority: raw as u8,
        }
    }

    fn of(self, domain: &Domain) -> Option<&SpinLock<u32>> {
        domain
            .vcpus()
            .get(self.vcpu as usize)?
            .events
            .fifo
            .queues
            .get(usize::from(self.priority))
    }
}

/// An event word in a page of the guest's.
#[derive(Clone, Copy)]
struct Word(RawFrame, usize);

impl Word {
    fn get(self) -> u32 {
        self.0.read_u32(self.1)
    }
    /// Sets a bit; true if it was set before.
    fn test_and_set(self, bit: u32) -> bool {
        self.0.fetch_or_u32(self.1, bit) & bit != 0
    }
    fn clear(self, bit: u32) {
        self.0.fetch_and_u32(self.1, !bit);
    }
    fn exchange(self, old: u32, new: u32) -> Result<u32, u32> {
        self.0.cmpxchg_u32(self.1, old, new)
    }
}

/// The word of a port, if the guest has given the array page that holds it.
fn word(domain: &Domain, port: u32) -> Option<Word> {
    let array = domain.events.fifo_array.get()?;
    let frame = speculation::get(array, (port / WORDS_PER_PAGE) as usize)?.load()?;
    Some(Word(frame, (port % WORDS_PER_PAGE) as usize * 4))
}

/// Writes `port` into the link field of a tail word that is still LINKED. False if it is not: the guest has taken
/// the tail off, so the queue is empty and its head has to be written.
fn set_link(tail: Word, port: u32) -> bool {
    let linked = |old: u32| old & !(BUSY | EVTCHN_FIFO_LINK_MASK) | port;
    let mut now = tail.get();
    if now & LINKED == 0 {
        return false;
    }
    if tail.exchange(now, linked(now)).is_ok() {
        return true;
    }
    // The guest changes the word. BUSY keeps it from unmasking, which bounds the changes left to it.
    tail.test_and_set(BUSY);
    now = tail.get();
    for _ in 0..LINK_TRIES {
        if now & LINKED == 0 {
            tail.clear(BUSY);
            return false;
        }
        match tail.exchange(now, linked(now)) {
            Ok(_) => return true,
            Err(found) => now = found,
        }
    }
    // Only a guest that breaks the rules gets here. Its events after this one are its own loss.
    log::debug!(target: "guest", "event word changes too often, port {port} is not linked");
    tail.clear(BUSY);
    true
}

/// Makes a port pending and, unless it is masked or linked already, appends it to its queue. Returns whether it was
/// not pending before, and whether the vCPU must be told.
pub(super) fn set_pending(
    domain: &Domain,
    vcpu: &Vcpu,
    port: u32,
    channel: &Channel,
) -> (bool, bool) {
    let word = match word(domain, port) {
        Some(word) => word,
        None => {
            // Kept until the guest adds the page. It may be doing so right now: then either it sees this flag, or
            // this sees the page.
            channel.pending.store(true, Ordering::SeqCst);
            match word(domain, port) {
                Some(word) if channel.pending.swap(false, Ordering::SeqCst) => word,
                _ => return (false, false),
            }
        }
    };
    let queue = Queue {
        vcpu: vcpu.id,
        priority: channel.priority.load(Ordering::Acquire) & 15,
    };
    let Some(lock) = queue.of(domain) else {
        return (false, false);
    };

    // Both the queue the event goes to and the one it was last on are locked before PENDING is set, so that no
    // guest is woken by an event that it cannot find yet.
    let mut tries = 0;
    let (mut tail, mut last_tail) = loop {
        let last = Queue::from_raw(channel.last_queue.load(Ordering::Acquire));
        let last_lock = (last != queue).then(|| last.of(domain)).flatten();
        let pair = match last_lock {
            None => (lock.lock(), None),
            Some(other) if queue < last => {
                let tail = lock.lock();
                (tail, Some(other.lock()))
            }
            Some(other) => {
                let other = other.lock();
                (lock.lock(), Some(other))
            }
        };
        if last.raw() == channel.last_queue.load(Ordering::Acquire) {
            break pair;
        }
        drop(pair);
        tries += 1;
        if tries == QUEUE_TRIES {
            log::debug!(target: "guest", "d{} port {port}: event lost, its queue changes too often", domain.id.0);
            return (false, false);
        }
    };

    let fresh = !word.test_and_set(PENDING);
    let Some((control, offset)) = vcpu.events.fifo.control_block() else {
        // Nowhere to queue it. The guest is to keep events of such a vCPU masked; when it unmasks them later, the
        // pending bit gets them queued.
        return (fresh, false);
    };
    if word.get() & MASKED != 0 || word.test_and_set(LINKED) {
        return (fresh, false);
    }
    // If the event was a tail and is not linked any more, its old queue is empty; that tail must not be appended to,
    // now that the word is linked again.
    match &mut last_tail {
        Some(last) if **last == port => **last = 0,
        None if *tail == port => *tail = 0,
        _ => {}
    }
    channel.last_queue.store(queue.raw(), Ordering::Release);
    drop(last_tail.take());

    let appended = *tail != 0
        && super::fifo::word(domain, *tail).is_some_and(|tail_word| set_link(tail_word, port));
    let head = offset + HEADS + usize::from(queue.priority) * 4;
    if !appended {
        control.write_u32(head, port);
    }
    *tail = port;
    drop(tail);
    // The head is visible before the queue is announced as ready.
    let ready = 1 << queue.priority;
    let tell = !appended && control.fetch_or_u32(offset, ready) & ready == 0;
    (fresh, tell)
}

/// Unmasks a port; the guest does this itself unless an event is pending.
pub(super) fn unmask(domain: &Domain, port: u32, channel: &Channel) {
    if let Some(word) = word(domain, port) {
        word.clear(MASKED);
        if word.get() & PENDING != 0 {
            raise(domain, channel.vcpu(), port, channel);
        }
    }
}

/// The guest unlinks the word when it gets there, and ignores it because it is not pending.
pub(super) fn clear_pending(domain: &Domain, port: u32) {
    if let Some(word) = word(domain, port) {
        word.clear(PENDING);
    }
}

pub(super) fn is_pending(domain: &Domain, port: u32) -> bool {
    word(domain, port).is_some_and(|w| w.get() & PENDING != 0)
}

pub(super) fn is_masked(domain: &Domain, port: u32) -> bool {
    word(domain, port).is_none_or(|w| w.get() & MASKED != 0)
}

/// Whether a closed port is still linked in a queue and cannot be bound anew. Never under the 2-level ABI.
pub(super) fn is_busy(domain: &Domain, port: u32) -> bool {
    domain.events.uses_fifo() && word(domain, port).is_some_and(|w| w.get() & LINKED != 0)
}

/// EVTCHNOP_set_priority. `EINVAL` beyond the last priority. Applies from the next event on.
pub(super) fn set_priority(channel: &Channel, priority: u32) -> Result<(), Errno> {
    if priority > EVTCHN_FIFO_PRIORITY_MIN {
        return Err(Errno::EINVAL);
    }
    channel.priority.store(priority as u8, Ordering::Release);
    Ok(())
}

/// EVTCHNOP_init_control: gives a vCPU its control block; the first one switches the domain to FIFO.
///
/// `ENOENT`: no such vCPU. `EINVAL`: the block is unaligned, crosses a page, is there already, or the frame is not
/// a page that the guest may write. `ENOMEM`.
pub(super) fn init_control(domain: &Domain, op: &mut EvtchnInitControl) -> Result<(), Errno> {
    op.link_bits = EVTCHN_FIFO_LINK_BITS as u8;
    let vcpu = domain.vcpu(op.vcpu.into())?;
    let offset = op.offset as usize;
    if offset > PAGE_BYTES - size_of::<EvtchnFifoControlBlock>() || !offset.is_multiple_of(8) {
        return Err(Errno::EINVAL);
    }
    let events = &domain.events;
    let mut table = events.table.lock();
    if domain.is_dying() {
        return Err(Errno::EINVAL);
    }
    if vcpu.events.fifo.control.load().is_some() {
        return Err(Errno::EINVAL);
    }
    if events.fifo_array.get().is_none() {
        host().mm.may_grow()?;
        let array = boxed(ARRAY_PAGES, |_| AtomicFrame::none())?;
        events.fifo_array.call_once(|| array);
    }
    table.pins.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    let pin = Pin::new(domain, Gfn::new(op.control_gfn))?;
    vcpu.events.fifo.offset.store(op.offset, Ordering::Release);
    vcpu.events.fifo.control.store(Some(pin.frame()));
    table.pins.push(pin);
    if !events.uses_fifo() {
        events.fifo_active.store(true, Ordering::SeqCst);
        carry_over(domain, &table);
    }
    Ok(())
}

/// Keeps what was pending under the 2-level ABI until the event array is there.
fn carry_over(domain: &Domain, table: &Table) {
    for port in 1..DomainEvents::valid_ports(table).min(EVTCHN_2L_NR_CHANNELS) {
        if let Ok(channel) = domain.events.channel(port) {
            if two_level::is_pending(domain, port) {
                channel.pending.store(true, Ordering::SeqCst);
            }
            channel
                .priority
                .store(EVTCHN_FIFO_PRIORITY_DEFAULT as u8, Ordering::Release);
        }
    }
}

/// EVTCHNOP_expand_array: adds the next page of event words.
///
/// `EOPNOTSUPP` before the first control block, `ENOSPC` if the array is complete, `EINVAL` if the frame is not a
/// page that the guest may write, `ENOMEM`.
pub(super) fn expand_array(domain: &Domain, gfn: Gfn) -> Result<(), Errno> {
    let events = &domain.events;
    let mut table = events.table.lock();
    if domain.is_dying() {
        return Err(Errno::EINVAL);
    }
    if !events.uses_fifo() {
        return Err(Errno::EOPNOTSUPP);
    }
    let slot = events
        .fifo_array
        .get()
        .and_then(|array| array.get(table.array_pages as usize))
        .ok_or(Errno::ENOSPC)?;
    table.pins.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    let pin = Pin::new(domain, gfn)?;
    slot.store(Some(pin.frame()));
    table.pins.push(pin);
    let first = table.array_pages * WORDS_PER_PAGE;
    table.array_pages += 1;

    // Raise what arrived while the page was missing.
    let end = (first + WORDS_PER_PAGE).min(DomainEvents::valid_ports(&table));
    for port in first.max(1)..end {
        if let Ok(channel) = events.channel(port) {
            let state = channel.state.lock();
            if channel.pending.swap(false, Ordering::SeqCst)
                && state.is_bound()
                && channel.consumer() == Consumer::Guest
            {
                raise(domain, channel.vcpu(), port, channel);
            }
        }
    }
    Ok(())
}

/// Goes back to the 2-level ABI and lets go of all pages. No port that the guest consumes is bound, so nobody is
/// using the pages.
pub(super) fn leave(domain: &Domain, table: &mut Table) {
    let events = &domain.events;
    events.fifo_active.store(false, Ordering::SeqCst);
    for vcpu in domain.vcpus() {
        vcpu.events.fifo.control.store(None);
        for queue in &vcpu.events.fifo.queues {
            *queue.lock() = 0;
        }
    }
    for slot in events.fifo_array.get().into_iter().flatten() {
        slot.store(None);
    }
    table.array_pages = 0;
    table.pins.clear();
}
