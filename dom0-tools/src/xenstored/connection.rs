//! Connections: what a client is owed and has open.

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::rc::Rc;
use std::time::Instant;

use crate::xenstore::wire::{Assembler, Message};

use super::perms::Who;
use super::transaction::Transaction;

/// Names a connection; increases from one to the next, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// A request of a domain that is not done with: its reply, and every event that it caused for
/// others, hold one. While it lives it counts as outstanding.
#[derive(Debug)]
pub struct Ticket(Rc<Cell<u32>>);

impl Ticket {
    /// Counts one more in `counter` until dropped.
    pub fn new(counter: &Rc<Cell<u32>>) -> Rc<Self> {
        counter.set(counter.get().saturating_add(1));
        Rc::new(Self(Rc::clone(counter)))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// A message on its way to the client.
#[derive(Debug)]
struct Outgoing {
    /// Header and payload.
    bytes: Rc<[u8]>,
    event: bool,
    /// When an event is given up that the client does not take.
    deadline: Option<Instant>,
    /// Held until the message is delivered.
    _ticket: Option<Rc<Ticket>>,
}

/// One client.
#[derive(Debug)]
pub struct Connection {
    /// Who it is.
    pub who: Who,
    /// The domain whose ring it is; sockets have none.
    pub ring: Option<u32>,
    /// What has come of a request that is not whole.
    pub input: Assembler,
    /// Open transactions.
    pub transactions: BTreeMap<u32, Box<Transaction>>,
    last_transaction: u32,
    /// It broke the protocol: nothing more is taken from it or given to it.
    pub ignored: bool,
    /// A socket's last transaction met a conflict; see `turns`.
    pub met_conflict: bool,
    /// The start of a transaction that waits for its turn ...
    pub held: Option<Message>,
    /// ... and what came behind it.
    pub behind_held: Vec<u8>,
    out: VecDeque<Outgoing>,
    /// How much of the first message has been delivered.
    sent: usize,
    /// Events in `out`: the same need not be said twice.
    events: HashSet<Rc<[u8]>>,
    queued: usize,
    /// Messages in `out` that have a deadline.
    deadlines: usize,
}

impl Connection {
    /// A connection with nothing open.
    pub fn new(who: Who, ring: Option<u32>) -> Self {
        Self {
            who,
            ring,
            input: Assembler::default(),
            transactions: BTreeMap::new(),
            last_transaction: 0,
            ignored: false,
            met_conflict: false,
            held: None,
            behind_held: Vec::new(),
            out: VecDeque::new(),
            sent: 0,
            events: HashSet::new(),
            queued: 0,
            deadlines: 0,
        }
    }

    /// A number that no open transaction has.
    pub fn new_transaction_id(&mut self) -> u32 {
        loop {
            self.last_transaction = self.last_transaction.wrapping_add(1);
            let id = self.last_transaction;
            if id != 0 && !self.transactions.contains_key(&id) {
                return id;
            }
        }
    }

    /// Queues a reply. Gives the bytes it adds to what the client's memory is charged.
    pub fn reply(&mut self, message: &Message, ticket: Option<Rc<Ticket>>) -> usize {
        self.push(message.to_bytes().into(), false, None, ticket)
    }

    /// Queues bytes that were saved, part of a message perhaps.
    pub fn requeue(&mut self, bytes: Vec<u8>) -> usize {
        self.push(bytes.into(), false, None, None)
    }

    /// Whether this very event waits already.
    pub fn has_event(&self, bytes: &[u8]) -> bool {
        self.events.contains(bytes)
    }

    /// Queues an event; `once` keeps a second one like it from being queued.
    pub fn event(
        &mut self,
        bytes: Rc<[u8]>,
        once: bool,
        deadline: Option<Instant>,
        ticket: Option<Rc<Ticket>>,
    ) -> usize {
        if once {
            self.events.insert(Rc::clone(&bytes));
        }
        self.push(bytes, true, deadline, ticket)
    }

    fn push(
        &mut self,
        bytes: Rc<[u8]>,
        event: bool,
        deadline: Option<Instant>,
        ticket: Option<Rc<Ticket>>,
    ) -> usize {
        let len = bytes.len();
        self.queued += len;
        self.deadlines += usize::from(deadline.is_some());
        self.out.push_back(Outgoing {
            bytes,
            event,
            deadline,
            _ticket: ticket,
        });
        len
    }

    /// Bytes queued.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// What waits, message by message; the first without what has been delivered of it.
    pub fn output(&self) -> impl Iterator<Item = &[u8]> {
        let sent = self.sent;
        self.out.iter().enumerate().map(move |(index, message)| {
            let from = if index == 0 { sent } else { 0 };
            message.bytes.get(from..).unwrap_or(&[])
        })
    }

    /// How much of the first message is still to be delivered, if that has begun.
    pub fn partial_output(&self) -> usize {
        match self.out.front() {
            Some(first) if self.sent > 0 => first.bytes.len().saturating_sub(self.sent),
            _ => 0,
        }
    }

    /// Notes that `bytes` bytes were delivered. Gives how many the client's memory is charged
    /// less.
    pub fn delivered(&mut self, bytes: usize) -> usize {
        let mut freed = 0;
        self.sent += bytes;
        while let Some(first) = self.out.front() {
            if self.sent < first.bytes.len() {
                break;
            }
            self.sent -= first.bytes.len();
            freed += self.pop_front();
        }
        freed
    }

    fn pop_front(&mut self) -> usize {
        let Some(first) = self.out.pop_front() else {
            return 0;
        };
        if first.event {
            self.events.remove(&first.bytes);
        }
        self.deadlines -= usize::from(first.deadline.is_some());
        self.queued = self.queued.saturating_sub(first.bytes.len());
        first.bytes.len()
    }

    /// Gives up events that the client has not taken in time. Gives the bytes freed.
    pub fn expire(&mut self, now: Instant) -> usize {
        let begun = self.sent > 0;
        let (mut freed, mut index) = (0, 0);
        let (events, deadlines) = (&mut self.events, &mut self.deadlines);
        self.out.retain(|message| {
            let first = index == 0;
            index += 1;
            let late = message.deadline.is_some_and(|deadline| deadline <= now);
            let keep = !late || (first && begun);
            if !keep {
                events.remove(&message.bytes);
                *deadlines -= 1;
                freed += message.bytes.len();
            }
            keep
        });
        self.queued = self.queued.saturating_sub(freed);
        freed
    }

    /// Whether an event waits that may be given up later.
    pub fn has_deadline(&self) -> bool {
        self.deadlines > 0
    }

    /// Forgets all that waits and what has come of a request. Gives the bytes freed.
    pub fn clear(&mut self) -> usize {
        let freed = self.queued;
        self.out.clear();
        self.events.clear();
        self.sent = 0;
        self.queued = 0;
        self.deadlines = 0;
        self.input = Assembler::default();
        self.held = None;
        self.behind_held = Vec::new();
        freed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn connection() -> Connection {
        let who = Who {
            domid: 1,
            privileged: false,
            target: None,
        };
        Connection::new(who, Some(1))
    }

    fn event(connection: &mut Connection, text: &[u8], deadline: Option<Instant>) -> usize {
        connection.event(text.into(), true, deadline, None)
    }

    #[test]
    fn what_is_delivered_leaves_the_queue_in_pieces() {
        let mut connection = connection();
        event(&mut connection, b"first", None);
        event(&mut connection, b"second", None);
        assert_eq!(connection.queued(), 11);
        assert_eq!(connection.delivered(3), 0);
        assert_eq!(connection.partial_output(), 2);
        let left: Vec<_> = connection.output().collect();
        assert_eq!(left, [&b"st"[..], b"second"]);
        assert_eq!(connection.delivered(8), 11);
        assert!(connection.output().next().is_none() && connection.queued() == 0);
        assert!(!connection.has_event(b"first"));
    }

    #[test]
    fn a_ticket_counts_until_all_that_hold_it_are_done() {
        let counter = Rc::new(Cell::new(0));
        let ticket = Ticket::new(&counter);
        let mut one = connection();
        one.event((*b"x").into(), true, None, Some(Rc::clone(&ticket)));
        drop(ticket);
        assert_eq!(counter.get(), 1);
        one.delivered(1);
        assert_eq!(counter.get(), 0);
    }

    /// XSA-326: what a client does not take does not hold others up for ever.
    #[test]
    fn xsa_326_events_not_taken_are_given_up() {
        let mut connection = connection();
        let now = Instant::now();
        let soon = now + Duration::from_secs(20);
        event(&mut connection, b"begun", Some(soon));
        event(&mut connection, b"late", Some(soon));
        event(&mut connection, b"stays", None);
        connection.delivered(1);
        assert!(connection.has_deadline());
        assert_eq!(connection.expire(now), 0);
        assert_eq!(connection.expire(soon), 4);
        assert!(!connection.has_event(b"late") && connection.has_event(b"begun"));
        let left: Vec<_> = connection.output().collect();
        assert_eq!(left, [&b"egun"[..], b"stays"]);
    }

    #[test]
    fn transaction_numbers_are_not_zero_and_not_in_use() {
        let mut connection = connection();
        connection.last_transaction = u32::MAX;
        assert_eq!(connection.new_transaction_id(), 1);
    }
}
