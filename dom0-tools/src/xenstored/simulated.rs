//! A machine that is not there: domains and rings for tests, models and fuzzers.

use std::collections::BTreeMap;
use std::time::Instant;

use hypercall_abi::Errno;
use hypercall_abi::io::xs_wire::XsType;

use crate::xenstore::wire::{Assembler, Message};

use super::connection::ConnId;
use super::platform::{DomainState, Platform};
use super::ring::{Page, Ring, guest};
use super::rings::{self, Rings};
use super::server::{Config, Server};

/// Domains and their rings.
#[derive(Debug, Default)]
pub struct Machine {
    /// Those that exist.
    pub domains: BTreeMap<u32, DomainState>,
    /// Rings that are mapped.
    pub rings: BTreeMap<u32, Ring<Page>>,
    /// What was logged.
    pub log: Vec<String>,
}

impl Platform for Machine {
    type Page = Page;

    fn domain(&mut self, domid: u32) -> Option<DomainState> {
        self.domains.get(&domid).copied()
    }

    fn attach(&mut self, domid: u32, _port: u32) -> Result<(), Errno> {
        if !self.domains.contains_key(&domid) {
            return Err(Errno::EINVAL);
        }
        self.rings.insert(domid, Ring::new(Page::default()));
        Ok(())
    }

    fn reattach(&mut self, domid: u32, _local: Option<u32>, port: u32) -> Result<(), Errno> {
        // The page is the domain's: it is as it was.
        if self.rings.contains_key(&domid) {
            return Ok(());
        }
        self.attach(domid, port)
    }

    fn ring(&self, domid: u32) -> Option<&Ring<Page>> {
        self.rings.get(&domid)
    }

    fn notify(&mut self, _domid: u32) {}

    fn local_port(&self, domid: u32) -> u32 {
        domid + 1
    }

    fn rebind(&mut self, _domid: u32, _port: u32) {}

    fn detach(&mut self, domid: u32) {
        self.rings.remove(&domid);
    }

    fn reset_ring(&mut self, domid: u32) {
        if let Some(ring) = self.rings.get(&domid) {
            ring.reset();
            ring.acknowledge_reconnect();
        }
    }

    fn ring_error(&mut self, domid: u32, error: u32) {
        if let Some(ring) = self.rings.get(&domid) {
            ring.set_error(error);
        }
    }

    fn log(&mut self, line: &str) {
        self.log.push(line.to_owned());
    }
}

/// A store on such a machine, and what its clients have got.
pub struct Store {
    /// The store.
    pub server: Server<Machine>,
    /// The toolstack's connection.
    pub tools: ConnId,
    /// Events that came, by connection: path and token.
    pub events: BTreeMap<ConnId, Vec<(String, String)>>,
    streams: BTreeMap<ConnId, Assembler>,
    requests: u32,
}

/// A reply's payload, or the name of the error.
pub type Got = Result<Vec<u8>, String>;

impl Store {
    /// A store with the usual limits.
    pub fn new() -> Self {
        Self::with(Config::default())
    }

    /// A store.
    pub fn with(config: Config) -> Self {
        let mut machine = Machine::default();
        machine.domains.insert(0, DomainState::default());
        let mut server = Server::new(machine, config, Instant::now());
        let tools = server.connect();
        Self {
            server,
            tools,
            events: BTreeMap::new(),
            streams: BTreeMap::new(),
            requests: 0,
        }
    }

    /// Makes a domain and introduces it.
    pub fn domain(&mut self, domid: u32) -> ConnId {
        let domains = &mut self.server.platform.domains;
        domains.insert(domid, DomainState::default());
        let payload = format!("{domid}\0{}\0{}\0", 1, 1);
        let tools = self.tools;
        // Of interest only where it fails, which the caller sees.
        let _ = self.ask(tools, XsType::INTRODUCE, 0, payload.as_bytes());
        self.server.ring_of(domid).unwrap_or(ConnId(0))
    }

    /// Ends a domain.
    pub fn destroy(&mut self, domid: u32) {
        self.server.platform.domains.remove(&domid);
        self.server.domains_changed();
        self.collect();
    }

    /// A request and its reply.
    pub fn ask(&mut self, conn: ConnId, kind: XsType, transaction: u32, payload: &[u8]) -> Got {
        self.requests += 1;
        let message = Message {
            kind,
            request: self.requests,
            transaction,
            payload: payload.to_vec(),
        };
        self.server.input(conn, &message.to_bytes());
        let replies = self.collect();
        let mine = replies
            .into_iter()
            .find(|(from, reply)| *from == conn && reply.request == self.requests);
        match mine {
            None => Err("no reply".into()),
            Some((_, reply)) if reply.kind == XsType::ERROR => {
                let name = reply.payload.strip_suffix(&[0]).unwrap_or(&reply.payload);
                Err(String::from_utf8_lossy(name).into_owned())
            }
            Some((_, reply)) => Ok(reply.payload),
        }
    }

    /// As [`Self::ask`], with strings for a payload.
    pub fn say(&mut self, conn: ConnId, kind: XsType, transaction: u32, parts: &[&str]) -> Got {
        let payload: String = parts.iter().map(|part| format!("{part}\0")).collect();
        self.ask(conn, kind, transaction, payload.as_bytes())
    }

    /// Begins a transaction.
    pub fn begin(&mut self, conn: ConnId) -> Result<u32, String> {
        let got = self.say(conn, XsType::TRANSACTION_START, 0, &[""])?;
        number(&got)
    }

    /// Begins one, and lets time pass until it is the client's turn.
    pub fn begin_in_turn(&mut self, conn: ConnId) -> Result<u32, String> {
        let begun = self.begin(conn);
        let Some(wait) = self.server.tick().filter(|_| begun.is_err()) else {
            return begun;
        };
        let later = self.server.now + wait;
        self.server.set_now(later);
        self.server.expire();
        let replies = self.collect();
        let mine = replies.iter().find(|(from, _)| *from == conn);
        mine.map_or(begun, |(_, reply)| number(&reply.payload))
    }

    /// Ends one.
    pub fn end(&mut self, conn: ConnId, transaction: u32, keep: bool) -> Got {
        let word = if keep { "T" } else { "F" };
        self.say(conn, XsType::TRANSACTION_END, transaction, &[word])
    }

    /// Writes a value.
    pub fn write(&mut self, conn: ConnId, transaction: u32, path: &str, value: &str) -> Got {
        let payload = format!("{path}\0{value}");
        self.ask(conn, XsType::WRITE, transaction, payload.as_bytes())
    }

    /// Reads a value.
    pub fn read(&mut self, conn: ConnId, transaction: u32, path: &str) -> Result<String, String> {
        let got = self.say(conn, XsType::READ, transaction, &[path])?;
        Ok(String::from_utf8_lossy(&got).into_owned())
    }

    /// Delivers everything that waits. Gives the replies; events are kept.
    pub fn collect(&mut self) -> Vec<(ConnId, Message)> {
        let mut replies = Vec::new();
        for conn in self.server.take_dirty() {
            let Some(connection) = self.server.connection(conn) else {
                continue;
            };
            let bytes: Vec<u8> = connection.output().flatten().copied().collect();
            self.server.delivered(conn, bytes.len());
            let mut rest = bytes.as_slice();
            let stream = self.streams.entry(conn).or_default();
            while let Ok(Some(message)) = stream.feed(&mut rest) {
                if message.kind == XsType::WATCH_EVENT {
                    let text = String::from_utf8_lossy(&message.payload).into_owned();
                    let mut parts = text.split('\0').map(str::to_owned);
                    let event = (
                        parts.next().unwrap_or_default(),
                        parts.next().unwrap_or_default(),
                    );
                    self.events.entry(conn).or_default().push(event);
                } else {
                    replies.push((conn, message));
                }
            }
        }
        replies
    }

    /// The paths of the events that a connection has got since the last time.
    pub fn heard(&mut self, conn: ConnId) -> Vec<String> {
        let events = self.events.remove(&conn).unwrap_or_default();
        events.into_iter().map(|(path, _)| path).collect()
    }
}

/// What a transaction is called, from the reply to its start.
fn number(payload: &[u8]) -> Result<u32, String> {
    let text = String::from_utf8_lossy(payload).into_owned();
    text.trim_end_matches('\0').parse().map_err(|_| text)
}

#[cfg(test)]
impl Store {
    /// Its state, as bytes.
    pub fn save(&self) -> Vec<u8> {
        self.save_with(&super::state::Descriptors::default())
    }

    /// The same with these descriptors.
    pub fn save_with(&self, descriptors: &super::state::Descriptors) -> Vec<u8> {
        let mut bytes = Vec::new();
        super::state::save(&self.server, descriptors, None, &mut bytes).unwrap();
        bytes
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

/// Bytes of a fuzzer as messages of several clients, as they come over sockets and rings. Nothing
/// may panic, and the accounts must be right afterwards.
pub fn fuzz_protocol(data: &[u8]) {
    let mut store = Store::new();
    let clients = [store.tools, store.domain(1), store.domain(2)];
    let tools = store.tools;
    let _ = store.write(tools, 0, "/local/domain/1/data", "");
    let grant = ["/local/domain/1/data", "n1", "b2"];
    let _ = store.say(tools, XsType::SET_PERMS, 0, &grant);
    let mut rest = data;
    while let Some((&control, after)) = rest.split_first() {
        rest = after;
        let client = clients.get(usize::from(control) % 3).copied();
        let client = client.unwrap_or(tools);
        let take = usize::from(rest.first().copied().unwrap_or(0)).min(rest.len());
        let (piece, later) = rest.split_at(take);
        rest = later;
        if control & 0x80 != 0 {
            // Raw bytes: headers of all kinds.
            store.server.input(client, piece);
        } else {
            // A well-formed message of a fuzzed kind.
            let message = Message {
                kind: XsType(u32::from(control >> 2) % 24),
                request: 1,
                transaction: u32::from(piece.first().copied().unwrap_or(0) & 3),
                payload: piece.get(1..).unwrap_or(&[]).to_vec(),
            };
            // Commands that open files are not for fuzzers.
            if message.kind != XsType::CONTROL {
                store.server.input(client, &message.to_bytes());
            }
        }
        if control & 0x40 != 0 {
            store.collect();
        }
    }
    assert_eq!(store.server.check(), 0, "accounts");
    store.destroy(1);
    store.destroy(2);
    assert_eq!(
        store.server.check(),
        0,
        "accounts after the domains are gone"
    );
}

/// Bytes of a fuzzer as what a hostile domain does with its ring.
pub fn fuzz_ring(data: &[u8]) {
    let mut store = Store::new();
    store.domain(1);
    let other = store.domain(2);
    let tools = store.tools;
    let _ = store.write(tools, 0, "/local/domain/2", "");
    let _ = store.say(tools, XsType::SET_PERMS, 0, &["/local/domain/2", "n2"]);
    let mut rest = data;
    while let [what, size, after @ ..] = rest {
        let (piece, later) = after.split_at(usize::from(*size).min(after.len()));
        rest = later;
        let Some(ring) = store.server.platform.rings.get(&1) else {
            break;
        };
        match what % 4 {
            0 => {
                let mut bytes = [0; 4];
                for (to, from) in bytes.iter_mut().zip(piece) {
                    *to = *from;
                }
                let index = guest::INDICES[usize::from(what / 4) % 4];
                guest::scribble(ring.memory(), index, u32::from_ne_bytes(bytes));
            }
            1 => {
                guest::receive(ring.memory());
            }
            _ => {
                guest::send(ring.memory(), piece);
            }
        }
        serve_ring(&mut store, 1);
    }
    let _ = store.write(other, 0, "data", "alive");
    assert_eq!(store.read(other, 0, "data").as_deref(), Ok("alive"));
    assert_eq!(store.server.check(), 0, "accounts");
}

/// Bytes of a fuzzer as a saved state.
pub fn fuzz_state(data: &[u8]) {
    let mut store = Store::new();
    // The header alone is hard to guess.
    let mut bytes = b"xenstore\0\0\0\x02\0\0\0\0".to_vec();
    bytes.extend_from_slice(data);
    let _ = super::state::descriptors(&bytes);
    if super::state::restore(&mut store.server, &bytes, false).is_ok() {
        assert_eq!(store.server.check(), 0, "accounts");
    }
}

/// What the daemon does when these domains raise events, until there is nothing more to do.
pub fn serve(store: &mut Store, rings: &mut Rings, domains: &[u32]) {
    rings.wake(domains.iter().copied());
    while rings.ready(&mut store.server) {
        rings.serve(&mut store.server);
        deliver(store);
    }
}

/// What the daemon does with one ring when its domain raises an event.
pub fn serve_ring(store: &mut Store, domid: u32) {
    serve(store, &mut Rings::default(), &[domid]);
    // Also without anything new: there may be room again.
    if let Some(conn) = store.server.ring_of(domid) {
        rings::write(&mut store.server, domid, conn);
    }
}

fn deliver(store: &mut Store) {
    for conn in store.server.take_dirty() {
        if let Some(Some(domid)) = store.server.connection(conn).map(|c| c.ring) {
            rings::write(&mut store.server, domid, conn);
        }
    }
}
