//! The store: takes requests, queues answers.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use hypercall_abi::Errno;
use hypercall_abi::io::xs_wire::{
    XENSTORE_ERROR_COMM, XENSTORE_ERROR_PROTO, XENSTORE_ERROR_RINGIDX, XsType,
};

use crate::xenstore::wire::{self, Message, PAYLOAD_MAX};

use super::connection::{ConnId, Connection, Ticket};
use super::control::Update;
use super::domain::Domains;
use super::node::Node;
use super::path;
use super::perms::{Perms, Who};
use super::platform::Platform;
use super::quota::{Quota, Quotas};
use super::transaction::Transaction;
use super::tree::Tree;
use super::turns::Turns;
use super::watch::Watches;

/// How the store is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Limits of unprivileged domains.
    pub quotas: Quotas,
    /// A domain beside domain 0 that is privileged.
    pub privileged: u32,
    /// How long an event waits for an unprivileged domain that takes none; for ever if `None`.
    pub event_timeout: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            quotas: Quotas::default(),
            privileged: 0,
            event_timeout: Some(Duration::from_secs(20)),
        }
    }
}

/// Why a ring is not listened to any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// The connection itself.
    Connection,
    /// Its indices make no sense.
    Indices,
    /// A message that is too long.
    Protocol,
}

/// The store.
pub struct Server<P> {
    /// The machine.
    pub platform: P,
    /// Set-up; quotas can be changed while it runs.
    pub config: Config,
    pub(super) tree: Tree,
    /// Counts changes: every version of a node has its own number.
    pub(super) generation: u64,
    pub(super) domains: Domains,
    pub(super) connections: BTreeMap<ConnId, Connection>,
    pub(super) watches: Watches,
    /// Who hears of new domains.
    pub(super) introduce_perms: Rc<Perms>,
    /// Who hears of domains that go.
    pub(super) release_perms: Rc<Perms>,
    /// The time of the current requests.
    pub(super) now: Instant,
    last_connection: u64,
    /// Counts changes beside the tree that a restart must know of.
    other_changes: u64,
    /// Open transactions of all connections.
    pub(super) open_transactions: usize,
    /// Who goes first after conflicts.
    pub(super) turns: Turns,
    /// Connections with something new to deliver.
    dirty: BTreeSet<ConnId>,
    pub(super) update: Option<Update>,
    pub(super) trace: super::control::Trace,
}

/// A request under way.
pub(super) struct Call {
    pub conn: ConnId,
    pub who: Who,
    pub request: u32,
    pub kind: XsType,
    /// The transaction it is in, taken out of the connection meanwhile.
    pub transaction: Option<Box<Transaction>>,
    /// Held by everything it causes, if it is a domain's.
    pub ticket: Option<Rc<Ticket>>,
}

/// What a request comes to.
pub(super) enum Answer {
    /// Done.
    Ok,
    /// Done, with this payload.
    Data(Vec<u8>),
    /// The reply has been queued already.
    Sent,
    /// The reply comes later.
    Later,
}

pub(super) type Reply = Result<Answer, Errno>;

impl<P: Platform> Server<P> {
    /// A store with nothing but what every store begins with.
    pub fn new(platform: P, config: Config, now: Instant) -> Self {
        let mut server = Self {
            platform,
            config,
            tree: Tree::new(0),
            generation: 1,
            domains: Domains::default(),
            connections: BTreeMap::new(),
            watches: Watches::default(),
            introduce_perms: Perms::private(0),
            release_perms: Perms::private(0),
            now,
            last_connection: 0,
            other_changes: 0,
            open_transactions: 0,
            turns: Turns::default(),
            dirty: BTreeSet::new(),
            update: None,
            trace: super::control::Trace::default(),
        };
        server.domains.know(0, 0);
        let root = Perms::private(0);
        server.charge_node("/", 0, &root, 1);
        for path in ["/tool", "/tool/xenstored"] {
            server.put(path, &[], &root);
        }
        server
    }

    /// Says who dom0 is and what its pool is called, as `xen-init-dom0` does: nobody else introduces
    /// it, and stock xl knows no pool without a name.
    pub(super) fn name_own_domain(&mut self) {
        let perms = Perms::private(0);
        for (path, value) in [
            ("/local", ""),
            ("/local/domain", ""),
            ("/local/domain/0", ""),
            ("/local/domain/0/domid", "0"),
            ("/local/domain/0/name", "Domain-0"),
            ("/local/pool", ""),
            ("/local/pool/0", ""),
            ("/local/pool/0/name", "Pool-0"),
        ] {
            if self.tree.get(path).is_none() {
                self.put(path, value.as_bytes(), &perms);
            }
        }
    }

    /// Puts a node into the tree, for set-up and restoring: its parent must exist.
    pub(super) fn put(&mut self, path: &str, value: &[u8], perms: &Rc<Perms>) -> bool {
        let generation = self.next_generation();
        if path == "/" || self.tree.get(path).is_some() {
            let Some(node) = self.tree.get_mut(path) else {
                return false;
            };
            let old = std::mem::replace(&mut node.perms, Rc::clone(perms));
            let old_value = node.value().len();
            node.set_value(value, generation);
            self.charge_node(path, old_value, &old, -1);
            self.charge_node(path, value.len(), perms, 1);
            return true;
        }
        let node = Node::new(path, value, Rc::clone(perms), generation);
        let done = self.tree.insert(path, node, generation);
        if done {
            self.charge_node(path, value.len(), perms, 1);
        }
        done
    }

    /// Charges the owner for a node (`count` 1) or frees that (-1).
    pub(super) fn charge_node(&mut self, path: &str, value: usize, perms: &Perms, count: i64) {
        let bytes = Node::charge(path::leaf(path), value, perms);
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let generation = self.generation;
        self.domains
            .charge(perms.owner(), count, count * bytes, generation);
    }

    /// Charges a domain bytes, or frees them.
    pub(super) fn charge(&mut self, domid: u32, bytes: i64) {
        let generation = self.generation;
        self.domains.charge(domid, 0, bytes, generation);
        self.watch_soft_limit(domid);
    }

    fn watch_soft_limit(&mut self, domid: u32) {
        let limit = self.config.quotas.memory_soft;
        if self.is_privileged(domid) || limit == 0 {
            return;
        }
        let crossed = self
            .domains
            .get_mut(domid)
            .and_then(|domain| domain.cross_soft(limit));
        match crossed {
            Some(true) => self.log(&format!(
                "domain {domid}: above the soft quota memory ({limit} bytes)"
            )),
            Some(false) => self.log(&format!(
                "domain {domid}: below the soft quota memory again"
            )),
            None => {}
        }
    }

    /// A new number for a change.
    pub(super) fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    /// Grows with every change that a restart must know of. Clients of sockets are not among that: they come and go
    /// with every command, and no crash is survived by a socket.
    pub fn version(&self) -> u64 {
        self.generation.wrapping_add(self.other_changes)
    }

    /// Something beside the tree has changed that a restart must know of.
    pub(super) fn note_change(&mut self) {
        self.other_changes += 1;
    }

    /// Whether a request changes such a thing, if it succeeds: what a ring has open, or what is known of a domain.
    fn changes_beside_tree(&self, call: &Call) -> bool {
        match call.kind {
            XsType::WATCH
            | XsType::UNWATCH
            | XsType::RESET_WATCHES
            | XsType::TRANSACTION_START
            | XsType::TRANSACTION_END => {
                let connection = self.connections.get(&call.conn);
                connection.is_some_and(|connection| connection.ring.is_some())
            }
            XsType::INTRODUCE | XsType::RELEASE | XsType::RESUME | XsType::SET_TARGET => true,
            _ => false,
        }
    }

    /// Whether a domain has all rights and no limits.
    pub(super) fn is_privileged(&self, domid: u32) -> bool {
        domid == 0 || domid == self.config.privileged
    }

    /// Sets the time of the requests that follow.
    pub fn set_now(&mut self, now: Instant) {
        self.now = now;
    }

    /// A line for the administrator.
    pub fn log(&mut self, line: &str) {
        self.trace.line(line);
        self.platform.log(line);
    }

    /// Notes that a limit refused something: logged once per burst.
    pub(super) fn refuse(&mut self, domid: u32, quota: Quota, what: &str) {
        let now = self.now;
        let generation = self.generation;
        if self.domains.know(domid, generation).refuse(quota, now) {
            let (name, limit) = (quota.name(), self.config.quotas.get(quota));
            self.log(&format!(
                "domain {domid}: quota {name} ({limit}) refuses {what}"
            ));
        }
    }

    /// Whether a domain may be charged so many bytes more.
    pub(super) fn room(&mut self, domid: u32, bytes: usize, what: &str) -> Result<(), Errno> {
        let limit = self.config.quotas.memory;
        if self.is_privileged(domid) || limit == 0 {
            return Ok(());
        }
        let used = self.domains.get(domid).map_or(0, |domain| domain.memory);
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        if used.saturating_add(bytes) < i64::from(limit) {
            return Ok(());
        }
        self.refuse(domid, Quota::Memory, what);
        Err(Errno::ENOMEM)
    }

    /// A client came in over a socket.
    pub fn connect(&mut self) -> ConnId {
        let who = Who {
            domid: 0,
            privileged: true,
            target: None,
        };
        self.add_connection(Connection::new(who, None))
    }

    pub(super) fn add_connection(&mut self, connection: Connection) -> ConnId {
        self.last_connection += 1;
        let conn = ConnId(self.last_connection);
        self.connections.insert(conn, connection);
        conn
    }

    /// A client is gone; of a domain only its connection is.
    pub fn disconnect(&mut self, conn: ConnId) {
        self.close_all_of(conn);
        self.connections.remove(&conn);
        self.turns.forget(conn);
        self.dirty.remove(&conn);
        if self
            .update
            .as_ref()
            .is_some_and(|update| update.conn == conn)
        {
            self.update = None;
        }
    }

    /// Ends a connection's watches and transactions and forgets what waits.
    pub(super) fn close_all_of(&mut self, conn: ConnId) {
        self.reset_watches_of(conn);
        if let Some(connection) = self.connections.get_mut(&conn) {
            let freed = connection.clear();
            let domid = connection.who.domid;
            self.charge(domid, -(freed as i64));
        }
    }

    /// Ends a connection's watches and transactions.
    pub(super) fn reset_watches_of(&mut self, conn: ConnId) {
        self.turns.done(conn);
        let watches = self.watches.remove_all(conn);
        let mut freed: usize = watches.iter().map(|watch| watch.charge()).sum();
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        let domid = connection.who.domid;
        let transactions = std::mem::take(&mut connection.transactions);
        self.open_transactions = self.open_transactions.saturating_sub(transactions.len());
        freed += transactions.values().map(|t| t.memory).sum::<usize>();
        self.charge(domid, -(freed as i64));
    }

    /// A client broke the protocol: nothing more is taken from it. A ring stays attached, so
    /// that the end of its domain is still noticed.
    pub fn ignore(&mut self, conn: ConnId, why: Broken) {
        let Some(ring) = self.connections.get(&conn).map(|c| c.ring) else {
            return;
        };
        let Some(domid) = ring else {
            self.disconnect(conn);
            return;
        };
        self.note_change();
        self.close_all_of(conn);
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.ignored = true;
        }
        let (code, text) = match why {
            Broken::Connection => (XENSTORE_ERROR_COMM, "its ring cannot be reached"),
            Broken::Indices => (
                XENSTORE_ERROR_RINGIDX,
                "the indices of its ring are corrupt",
            ),
            Broken::Protocol => (XENSTORE_ERROR_PROTO, "it sent a message that is too long"),
        };
        self.platform.ring_error(domid, code);
        self.log(&format!("domain {domid}: not listened to any more: {text}"));
    }

    /// Bytes came from a client.
    pub fn input(&mut self, conn: ConnId, bytes: &[u8]) {
        self.feed(conn, bytes);
        self.give_turns();
    }

    fn feed(&mut self, conn: ConnId, mut bytes: &[u8]) {
        loop {
            let Some(connection) = self.connections.get_mut(&conn) else {
                return;
            };
            if connection.ignored {
                return;
            }
            if connection.held.is_some() {
                connection.behind_held.extend_from_slice(bytes);
                return;
            }
            match connection.input.feed(&mut bytes) {
                Ok(Some(message)) => self.take(conn, message),
                Ok(None) => return,
                Err(_) => {
                    self.ignore(conn, Broken::Protocol);
                    return;
                }
            }
            if bytes.is_empty() {
                return;
            }
        }
    }

    /// How many bytes of a domain's ring may be taken now: 0 while it has too much under way.
    pub fn may_take(&mut self, conn: ConnId) -> usize {
        let Some(connection) = self.connections.get(&conn) else {
            return 0;
        };
        if connection.ignored {
            return 0;
        }
        let wants = connection.input.wants();
        if connection.who.privileged {
            return wants;
        }
        let domid = connection.who.domid;
        let now = self.now;
        self.domains.earn(domid, now);
        let quotas = &self.config.quotas;
        let (requests, memory) = (quotas.outstanding, quotas.memory);
        let Some(domain) = self.domains.get(domid) else {
            return wants;
        };
        if domain.in_debt() {
            return 0;
        }
        if domain.outstanding.get() >= requests {
            self.refuse(domid, Quota::Outstanding, "further requests for now");
            return 0;
        }
        if memory != 0 && domain.memory >= i64::from(memory) {
            self.refuse(domid, Quota::Memory, "further requests for now");
            return 0;
        }
        wants
    }

    /// One request.
    pub fn request(&mut self, conn: ConnId, message: Message) {
        self.take(conn, message);
        self.give_turns();
    }

    /// Answers a request, or holds it back until it is its turn.
    fn take(&mut self, conn: ConnId, message: Message) {
        let now = self.now;
        if message.kind == XsType::TRANSACTION_START
            && let Some(connection) = self.connections.get_mut(&conn)
            && connection.met_conflict
            && !self.turns.ask(conn, now)
        {
            connection.held = Some(message);
        } else {
            self.answer(conn, message);
        }
    }

    /// Goes on with those whose turn it is.
    fn give_turns(&mut self) {
        while let Some(conn) = self.turns.next(self.now) {
            self.go_on(conn);
        }
    }

    /// Goes on with all that wait for their turn.
    pub fn release_held(&mut self) {
        while let Some(conn) = self.turns.release() {
            self.go_on(conn);
        }
    }

    fn go_on(&mut self, conn: ConnId) {
        let held = self.connections.get_mut(&conn).and_then(|connection| {
            let behind = std::mem::take(&mut connection.behind_held);
            connection.held.take().map(|message| (message, behind))
        });
        match held {
            Some((message, behind)) => {
                self.answer(conn, message);
                self.feed(conn, &behind);
            }
            None => self.turns.done(conn),
        }
    }

    fn answer(&mut self, conn: ConnId, message: Message) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        let who = connection.who;
        let kind = message.kind;
        self.trace.message("IN", conn, &message);
        let ticket = match (who.privileged, self.domains.get(who.domid)) {
            (false, Some(domain)) => Some(Ticket::new(&domain.outstanding)),
            _ => None,
        };
        let mut call = Call {
            conn,
            who,
            request: message.request,
            kind,
            transaction: None,
            ticket: ticket.clone(),
        };
        let outcome = self.admit(&mut call, message.transaction).and_then(|()| {
            let before = call.transaction.as_ref().map_or(0, |t| t.memory);
            let outcome = self.serve(&mut call, &message.payload);
            if let Some(transaction) = call.transaction.take() {
                let more = transaction.memory as i64 - before as i64;
                if more != 0 {
                    self.charge(who.domid, more);
                }
                if let Some(connection) = self.connections.get_mut(&conn) {
                    connection.transactions.insert(transaction.id, transaction);
                }
            }
            outcome
        });
        let (kind, payload) = match outcome {
            Ok(Answer::Ok) => (kind, b"OK\0".to_vec()),
            Ok(Answer::Data(data)) if data.len() <= PAYLOAD_MAX => (kind, data),
            Ok(Answer::Data(_)) => error_reply(Errno::E2BIG),
            Ok(Answer::Sent | Answer::Later) => return,
            Err(errno) => error_reply(errno),
        };
        let reply = Message {
            kind,
            request: message.request,
            transaction: message.transaction,
            payload,
        };
        self.send_reply(conn, &reply, ticket);
    }

    pub(super) fn send_reply(&mut self, conn: ConnId, reply: &Message, ticket: Option<Rc<Ticket>>) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        let bytes = connection.reply(reply, ticket);
        let domid = connection.who.domid;
        self.trace.message("OUT", conn, reply);
        self.charge(domid, bytes as i64);
        self.mark(conn);
    }

    /// Whether the request may be made at all; takes its transaction out of the connection.
    fn admit(&mut self, call: &mut Call, transaction: u32) -> Result<(), Errno> {
        let (privileged, ignores_transaction) = match call.kind {
            XsType::CONTROL
            | XsType::INTRODUCE
            | XsType::RELEASE
            | XsType::IS_DOMAIN_INTRODUCED
            | XsType::RESUME
            | XsType::SET_TARGET => (true, false),
            XsType::WATCH | XsType::UNWATCH => (false, true),
            XsType::DIRECTORY
            | XsType::READ
            | XsType::GET_PERMS
            | XsType::TRANSACTION_START
            | XsType::TRANSACTION_END
            | XsType::GET_DOMAIN_PATH
            | XsType::WRITE
            | XsType::MKDIR
            | XsType::RM
            | XsType::SET_PERMS
            | XsType::RESET_WATCHES
            | XsType::DIRECTORY_PART => (false, false),
            _ => return Err(Errno::ENOSYS),
        };
        if privileged && !call.who.privileged {
            return Err(Errno::EACCES);
        }
        if transaction != 0 && !ignores_transaction {
            let connection = self.connections.get_mut(&call.conn).ok_or(Errno::ENOENT)?;
            let taken = connection.transactions.remove(&transaction);
            call.transaction = Some(taken.ok_or(Errno::ENOENT)?);
        }
        Ok(())
    }

    fn serve(&mut self, call: &mut Call, payload: &[u8]) -> Reply {
        if self.changes_beside_tree(call) {
            self.note_change();
        }
        match call.kind {
            XsType::DIRECTORY => self.directory(call, payload),
            XsType::DIRECTORY_PART => self.directory_part(call, payload),
            XsType::READ => self.read(call, payload),
            XsType::WRITE => self.write(call, payload),
            XsType::MKDIR => self.mkdir(call, payload),
            XsType::RM => self.rm(call, payload),
            XsType::GET_PERMS => self.get_perms(call, payload),
            XsType::SET_PERMS => self.set_perms(call, payload),
            XsType::WATCH => self.watch(call, payload),
            XsType::UNWATCH => self.unwatch(call, payload),
            XsType::RESET_WATCHES => self.reset_watches(call),
            XsType::TRANSACTION_START => self.transaction_start(call),
            XsType::TRANSACTION_END => self.transaction_end(call, payload),
            XsType::INTRODUCE => self.introduce(payload),
            XsType::RELEASE => self.release(payload),
            XsType::RESUME => self.resume(payload),
            XsType::SET_TARGET => self.set_target(payload),
            XsType::IS_DOMAIN_INTRODUCED => self.is_domain_introduced(payload),
            XsType::GET_DOMAIN_PATH => self.get_domain_path(payload),
            XsType::CONTROL => self.control(call, payload),
            _ => Err(Errno::ENOSYS),
        }
    }

    /// Something new is to be delivered to that connection.
    pub(super) fn mark(&mut self, conn: ConnId) {
        self.dirty.insert(conn);
    }

    /// The connections for which something new was queued since the last time.
    pub fn take_dirty(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.dirty).into_iter().collect()
    }

    /// What a connection is owed.
    pub fn connection(&self, conn: ConnId) -> Option<&Connection> {
        self.connections.get(&conn)
    }

    /// The ring connection of a domain.
    pub fn ring_of(&self, domid: u32) -> Option<ConnId> {
        self.domains.connected(domid)
    }

    /// All connections.
    pub fn connections(&self) -> impl Iterator<Item = (ConnId, &Connection)> {
        self.connections.iter().map(|(conn, c)| (*conn, c))
    }

    /// So many bytes were delivered to a client.
    pub fn delivered(&mut self, conn: ConnId, bytes: usize) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        let freed = connection.delivered(bytes);
        let domid = connection.who.domid;
        if freed > 0 {
            self.charge(domid, -(freed as i64));
        }
    }

    /// Gives up events that were not taken in time.
    pub fn expire(&mut self) {
        let now = self.now;
        self.give_turns();
        self.domains.earn_debts(now);
        let mut freed = Vec::new();
        for connection in self.connections.values_mut() {
            if connection.has_deadline() {
                freed.push((connection.who.domid, connection.expire(now)));
            }
        }
        for (domid, bytes) in freed {
            if bytes > 0 {
                self.charge(domid, -(bytes as i64));
            }
        }
    }

    /// When [`Self::expire`], and reading rings again, is due at the latest.
    pub fn tick(&self) -> Option<Duration> {
        if self.domains.any_in_debt() {
            return Some(Duration::from_millis(10));
        }
        let waiting = self.connections.values().any(Connection::has_deadline);
        let events = waiting.then(|| Duration::from_millis(500));
        self.turns.tick().or(events)
    }
}

fn error_reply(errno: Errno) -> (XsType, Vec<u8>) {
    let mut payload = wire::error_name(errno).as_bytes().to_vec();
    payload.push(0);
    (XsType::ERROR, payload)
}
