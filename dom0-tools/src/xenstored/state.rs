//! The whole state as bytes, and back: for live update, and for a restart after a crash.
//!
//! The format is Xen's (`docs/designs/xenstore-migration.md`, version 1; version 2 where a watch
//! has a depth), as C xenstored writes and reads it. Two kinds of records are ours, in the range
//! that readers skip: what it takes to find a domain's ring again without the old descriptors,
//! and the quotas.
//!
//! Open transactions are saved by number only. They go on after the restart on the tree as it is
//! then, and their end is answered with `EAGAIN`, upon which every client tries again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Write};
use std::rc::Rc;

use hypercall_abi::xen::DomId;

use crate::xenstore::wire::{Access, Assembler, HEADER, Message, Perm};

use super::connection::ConnId;
use super::node::Node;
use super::path;
use super::perms::Perms;
use super::platform::Platform;
use super::quota::Quota;
use super::server::Server;
use super::transaction::Transaction;
use super::watch::{INTRODUCE, RELEASE};

const IDENT: &[u8; 8] = b"xenstore";
const END: u32 = 0;
const GLOBAL: u32 = 1;
const CONNECTION: u32 = 2;
const WATCH: u32 = 3;
const TRANSACTION: u32 = 4;
const NODE: u32 = 5;
const WATCH_EXTENDED: u32 = 8;
/// Ours: a domain's number, its end of the event channel, whether it is known to be shut down,
/// and how far its ring was read and written.
const DOMAIN: u32 = 0x4f58_0001;
/// Ours: quotas by name.
const QUOTA: u32 = 0x4f58_0002;
const KIND_RING: u16 = 0;
const KIND_SOCKET: u16 = 1;
const STALE: u8 = 1;
const WRITTEN: u16 = 2;
const UNLIMITED: u16 = 0xffff;

/// Why a state cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not this format, or another byte order or version.
    Format,
    /// It ends too early.
    Truncated,
    /// A record refers to something that is not there, or makes no sense.
    Record(u32),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format => write!(f, "not a state of xenstored that this version reads"),
            Self::Truncated => write!(f, "the state is cut short"),
            Self::Record(kind) => write!(f, "a record of kind {kind:#x} makes no sense"),
        }
    }
}

impl std::error::Error for Error {}

/// Descriptors that survive when the program is replaced.
#[derive(Clone, Debug, Default)]
pub struct Descriptors {
    /// The socket for new clients.
    pub listener: Option<i32>,
    /// The event channel device.
    pub evtchn: Option<i32>,
    /// The clients' sockets.
    pub sockets: BTreeMap<ConnId, i32>,
}

impl Descriptors {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = i32> {
        let own = self.listener.into_iter().chain(self.evtchn);
        own.chain(self.sockets.values().copied())
    }
}

/// Bytes that are gathered before they are written: the nodes of thousands of domains are never in memory twice.
const PIECE: usize = 16 * 1024;

/// The bytes that are not written yet, and where they go.
struct Writer<'a> {
    bytes: Vec<u8>,
    into: &'a mut dyn Write,
    outcome: io::Result<()>,
}

impl Writer<'_> {
    fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn len16(&mut self, len: usize) {
        self.u16(u16::try_from(len).unwrap_or(u16::MAX));
    }

    fn record(&mut self, kind: u32, body: impl FnOnce(&mut Self)) {
        self.u32(kind);
        let at = self.bytes.len();
        self.u32(0);
        body(self);
        while !self.bytes.len().is_multiple_of(8) {
            self.bytes.push(0);
        }
        let len = u32::try_from(self.bytes.len() - at - 4).unwrap_or(u32::MAX);
        if let Some(field) = self.bytes.get_mut(at..at + 4) {
            field.copy_from_slice(&len.to_le_bytes());
        }
        self.flush_pieces();
    }

    fn flush_pieces(&mut self) {
        if self.bytes.len() >= PIECE {
            self.flush();
        }
    }

    /// Writes what there is; after an error nothing any more.
    fn flush(&mut self) {
        if self.outcome.is_ok() {
            self.outcome = self.into.write_all(&self.bytes);
        }
        self.bytes.clear();
    }

    /// A node's record: there are so many that it is made in a few large pieces.
    fn node(&mut self, path: &str, value: &[u8], perms: &Perms, stale: impl Fn(&Perm) -> bool) {
        const FIXED: usize = 16;
        let entries = perms.entries();
        let len = FIXED + 4 * entries.len() + path.len() + 1 + value.len();
        let padding = len.next_multiple_of(8) - len;
        let short = |len: usize| u16::try_from(len).unwrap_or(u16::MAX);
        let mut fixed = [0; 8 + FIXED];
        let fields = [
            NODE,
            u32::try_from(len + padding).unwrap_or(u32::MAX),
            0,
            0,
            pair(short(path.len() + 1), short(value.len())),
            pair(WRITTEN, short(entries.len())),
        ];
        for (place, field) in fixed.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        self.bytes.reserve(8 + len + padding);
        self.bytes.extend_from_slice(&fixed);
        for (index, entry) in entries.iter().enumerate() {
            let letter = match entry.access {
                Access::None => b'n',
                Access::Read => b'r',
                Access::Write => b'w',
                Access::Both => b'b',
            };
            let void = index > 0 && stale(entry);
            let [low, high] = (entry.domid as u16).to_le_bytes();
            let void = if void { STALE } else { 0 };
            self.bytes.extend_from_slice(&[letter, void, low, high]);
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.bytes.extend_from_slice(value);
        self.bytes
            .extend_from_slice([0; 8].get(..padding).unwrap_or_default());
        self.flush_pieces();
    }
}

/// Two fields of a record that are side by side.
fn pair(first: u16, second: u16) -> u32 {
    u32::from(first) | u32::from(second) << 16
}

/// Everything, as bytes. A live update's reply goes into its connection's queue in the state
/// only: the present process may still have to say that it failed.
///
/// # Errors
/// Those of `into`.
pub fn save<P: Platform>(
    server: &Server<P>,
    descriptors: &Descriptors,
    reply: Option<(ConnId, Message)>,
    into: &mut dyn Write,
) -> io::Result<()> {
    let mut out = Writer {
        bytes: IDENT.to_vec(),
        into,
        outcome: Ok(()),
    };
    let deep = server
        .connections
        .keys()
        .any(|conn| server.watches.of(*conn).iter().any(|w| w.depth.is_some()));
    out.bytes
        .extend_from_slice(&(if deep { 2u32 } else { 1 }).to_be_bytes());
    out.bytes.extend_from_slice(&0u32.to_be_bytes());
    let descriptor = |fd: Option<i32>| fd.unwrap_or(-1) as u32;
    out.record(GLOBAL, |out| {
        out.u32(descriptor(descriptors.listener));
        out.u32(descriptor(descriptors.evtchn));
    });
    out.record(QUOTA, |out| {
        for quota in Quota::ALL {
            out.u32(server.config.quotas.get(quota));
        }
        out.u32(server.config.quotas.memory_soft);
    });
    for (domid, domain) in server.domains.iter() {
        if domain.conn.is_some() {
            out.record(DOMAIN, |out| {
                out.u32(domid);
                out.u32(domain.port);
                out.u32(u32::from(domain.shutdown));
                if let Some(ring) = server.platform.ring(domid) {
                    let (taken, put) = ring.position();
                    out.u32(taken);
                    out.u32(put);
                }
            });
        }
    }
    for (index, (conn, connection)) in server.connections.iter().enumerate() {
        let socket = descriptors.sockets.get(conn).copied();
        if connection.ring.is_none() && socket.is_none() {
            continue;
        }
        let number = index as u32 + 1;
        save_connection(server, &mut out, number, *conn, socket, reply.as_ref());
    }
    let stale = |since: u64, entry: &Perm| {
        let born = server.domains.born(entry.domid);
        born.is_none_or(|born| born > since)
    };
    for (name, perms) in [
        (RELEASE, &server.release_perms),
        (INTRODUCE, &server.introduce_perms),
    ] {
        out.node(name, &[], perms, |entry| stale(perms.since, entry));
    }
    if let Some(root) = server.tree.get("/") {
        save_below(&mut out, &mut String::from("/"), root, &stale);
    }
    out.record(END, |_| {});
    out.flush();
    out.outcome
}

/// Nodes in the order of creation, so that they are listed in the same order afterwards.
fn save_below(
    out: &mut Writer<'_>,
    path: &mut String,
    node: &Node,
    stale: &impl Fn(u64, &Perm) -> bool,
) {
    let since = node.perms.since;
    out.node(path, node.value(), &node.perms, |entry| stale(since, entry));
    let above = path.len();
    for child in node.children.by_age() {
        if above > 1 {
            path.push('/');
        }
        path.push_str(child.name());
        save_below(out, path, child, stale);
        path.truncate(above);
    }
}

fn save_connection<P: Platform>(
    server: &Server<P>,
    out: &mut Writer<'_>,
    number: u32,
    conn: ConnId,
    socket: Option<i32>,
    reply: Option<&(ConnId, Message)>,
) {
    let Some(connection) = server.connections.get(&conn) else {
        return;
    };
    let input = connection.input.partial();
    let partial = connection.partial_output();
    let mut output: Vec<u8> = connection.output().flatten().copied().collect();
    if let Some((_, reply)) = reply.filter(|(asked, _)| *asked == conn) {
        output.extend_from_slice(&reply.to_bytes());
    }
    out.record(CONNECTION, |out| {
        out.u32(number);
        match (connection.ring, socket) {
            (Some(domid), _) => {
                out.u16(KIND_RING);
                out.u16(0);
                out.u16(domid as u16);
                let target = connection.who.target.map(|target| target as u16);
                out.u16(target.unwrap_or(DomId::INVALID.0));
                out.u32(server.platform.local_port(domid));
            }
            (None, fd) => {
                out.u16(KIND_SOCKET);
                out.u16(0);
                out.u32(fd.unwrap_or(-1) as u32);
                out.u32(0);
            }
        }
        out.len16(input.len());
        out.len16(partial);
        out.u32(output.len() as u32);
        out.bytes.extend_from_slice(&input);
        out.bytes.extend_from_slice(&output);
    });
    for watch in server.watches.of(conn) {
        let path = watch.shown(&watch.path);
        let kind = watch.depth.map_or(WATCH, |_| WATCH_EXTENDED);
        out.record(kind, |out| {
            out.u32(number);
            out.len16(path.len() + 1);
            out.len16(watch.token.len() + 1);
            if let Some(depth) = watch.depth {
                out.u16(depth);
                out.u16(0);
            }
            out.bytes.extend_from_slice(path.as_bytes());
            out.bytes.push(0);
            out.bytes.extend_from_slice(&watch.token);
            out.bytes.push(0);
        });
    }
    for id in connection.transactions.keys() {
        out.record(TRANSACTION, |out| {
            out.u32(number);
            out.u32(*id);
        });
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        if len > self.0.len() {
            return Err(Error::Truncated);
        }
        let (now, later) = self.0.split_at(len);
        self.0 = later;
        Ok(now)
    }

    fn u8(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?.first().copied().unwrap_or(0))
    }

    fn u16(&mut self) -> Result<u16, Error> {
        let bytes = self.take(2)?.try_into().map_err(|_| Error::Truncated)?;
        Ok(u16::from_le_bytes(bytes))
    }

    fn u32(&mut self) -> Result<u32, Error> {
        let bytes = self.take(4)?.try_into().map_err(|_| Error::Truncated)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// A string with its zero byte, as long as was said.
    fn string(&mut self, len: usize, kind: u32) -> Result<&'a [u8], Error> {
        let bytes = self.take(len)?;
        bytes.strip_suffix(&[0]).ok_or(Error::Record(kind))
    }

    fn header(&mut self) -> Result<(), Error> {
        let ident = self.take(8)?;
        let version = self.take(4)?;
        let flags = self.take(4)?;
        let known = version == 1u32.to_be_bytes() || version == 2u32.to_be_bytes();
        if ident != IDENT || !known || flags != [0; 4] {
            return Err(Error::Format);
        }
        Ok(())
    }

    fn record(&mut self) -> Result<(u32, Reader<'a>), Error> {
        let kind = self.u32()?;
        let len = self.u32()? as usize;
        Ok((kind, Reader(self.take(len)?)))
    }
}

/// The descriptors that a state names, without whose sockets are whose: needed before the rest can be
/// restored.
///
/// # Errors
/// See [`Error`]; also if it names one twice.
pub fn descriptors(bytes: &[u8]) -> Result<Descriptors, Error> {
    let mut reader = Reader(bytes);
    reader.header()?;
    let mut descriptors = Descriptors::default();
    let mut all = BTreeSet::new();
    let mut fd = |kind: u32, value: u32| match value as i32 {
        fd if fd < 0 => Ok(None),
        fd if all.insert(fd) => Ok(Some(fd)),
        _ => Err(Error::Record(kind)),
    };
    loop {
        match reader.record()? {
            (GLOBAL, mut body) => {
                descriptors.listener = fd(GLOBAL, body.u32()?)?;
                descriptors.evtchn = fd(GLOBAL, body.u32()?)?;
            }
            (CONNECTION, mut body) => {
                let number = body.u32()?;
                if body.u16()? == KIND_SOCKET {
                    body.u16()?;
                    if let Some(fd) = fd(CONNECTION, body.u32()?)? {
                        descriptors.sockets.insert(ConnId(number.into()), fd);
                    }
                }
            }
            (END, _) => return Ok(descriptors),
            _ => {}
        }
    }
}

/// What is known of a ring before its connection is restored.
#[derive(Clone, Copy, Default)]
struct Ring {
    remote: u32,
    shutdown: bool,
    /// How far it was read and written.
    position: Option<(u32, u32)>,
}

/// Restores everything into a new store. `same` says whether the descriptors in the state are
/// this process's (live update); otherwise sockets are gone and event channels are bound anew.
/// Gives the clients' sockets.
///
/// # Errors
/// See [`Error`]; the store is of no use then.
pub fn restore<P: Platform>(
    server: &mut Server<P>,
    bytes: &[u8],
    same: bool,
) -> Result<BTreeMap<ConnId, i32>, Error> {
    let mut reader = Reader(bytes);
    reader.header()?;
    let mut sockets = BTreeMap::new();
    let mut known = BTreeMap::new();
    let mut rings: BTreeMap<u32, Ring> = BTreeMap::new();
    let mut targets = Vec::new();
    let mut transactions = Vec::new();
    server.remove("/tool", None);
    loop {
        let (kind, mut body) = reader.record()?;
        match kind {
            END => break,
            QUOTA => {
                for quota in Quota::ALL {
                    server.config.quotas.set(quota, body.u32()?);
                }
                server.config.quotas.memory_soft = body.u32()?;
            }
            DOMAIN => {
                let domid = body.u32()?;
                let remote = body.u32()?;
                let shutdown = body.u32()? != 0;
                // States of earlier versions end here, but for what fills the record up.
                let position = match body.0.len() {
                    0..8 => None,
                    _ => Some((body.u32()?, body.u32()?)),
                };
                let ring = Ring {
                    remote,
                    shutdown,
                    position,
                };
                rings.insert(domid, ring);
            }
            CONNECTION => {
                let number = body.u32()?;
                let socket = body.u16()? == KIND_SOCKET;
                body.u16()?;
                let mut since = None;
                let conn = if socket {
                    let fd = body.u32()? as i32;
                    body.u32()?;
                    if !same || fd < 0 {
                        continue;
                    }
                    let conn = server.connect();
                    sockets.insert(conn, fd);
                    conn
                } else {
                    let domid = u32::from(body.u16()?);
                    let target = body.u16()?;
                    let local = body.u32()?;
                    let ring = rings.get(&domid).copied().unwrap_or_default();
                    since = ring.position.filter(|_| !same);
                    let conn = restore_ring(server, domid, same.then_some(local), ring);
                    if target != DomId::INVALID.0 {
                        targets.push((conn, u32::from(target)));
                    }
                    conn
                };
                known.insert(number, conn);
                restore_data(server, conn, since, &mut body)?;
            }
            WATCH | WATCH_EXTENDED => {
                let number = body.u32()?;
                let (path, token) = (body.u16()?, body.u16()?);
                let depth = if kind == WATCH_EXTENDED {
                    let depth = body.u16()?;
                    body.u16()?;
                    Some(depth).filter(|depth| *depth != UNLIMITED)
                } else {
                    None
                };
                let path = body.string(path.into(), kind)?;
                let token = body.string(token.into(), kind)?;
                if let Some(conn) = known.get(&number) {
                    server.restore_watch(*conn, path, token, depth);
                }
            }
            TRANSACTION => {
                let (number, id) = (body.u32()?, body.u32()?);
                transactions.extend(known.get(&number).map(|conn| (*conn, id)));
            }
            NODE => restore_node(server, &mut body)?,
            _ => {}
        }
    }
    // On the tree, which comes last.
    for (conn, id) in transactions {
        server.restore_transaction(conn, id);
    }
    for (conn, target) in targets {
        if server.domains.connected(target).is_some()
            && let Some(connection) = server.connections.get_mut(&conn)
        {
            connection.who.target = Some(target);
        }
    }
    Ok(sockets)
}

fn restore_ring<P: Platform>(
    server: &mut Server<P>,
    domid: u32,
    local: Option<u32>,
    ring: Ring,
) -> ConnId {
    let attached = server.platform.reattach(domid, local, ring.remote);
    let conn = server.open_ring(domid, ring.remote);
    if let Some(domain) = server.domains.get_mut(domid) {
        domain.shutdown = ring.shutdown;
    }
    if let Err(errno) = attached {
        server.log(&format!(
            "domain {domid}: its ring is not there any more: {errno}"
        ));
        server.ring_lost(conn);
    }
    conn
}

/// `since` is how far the ring was read and written when the state was saved, if more may have been
/// since.
fn restore_data<P: Platform>(
    server: &mut Server<P>,
    conn: ConnId,
    since: Option<(u32, u32)>,
    body: &mut Reader<'_>,
) -> Result<(), Error> {
    let (input, _partial, output) = (body.u16()?, body.u16()?, body.u32()?);
    let mut input = body.take(input.into())?.to_vec();
    let mut output = body.take(output as usize)?.to_vec();
    // Anything that is a whole message by now is not what the format says.
    if input.len() > HEADER + crate::xenstore::wire::PAYLOAD_MAX {
        return Err(Error::Record(CONNECTION));
    }
    let ring = server.connections.get(&conn).and_then(|c| c.ring);
    if let (Some(ring), Some((taken, put))) = (ring.and_then(|r| server.platform.ring(r)), since) {
        let delivered = ring.position().1.wrapping_sub(put) as usize;
        output = output.get(delivered..).unwrap_or_default().to_vec();
        input = rest_of(input, ring.taken_since(taken));
    }
    if let Some(connection) = server.connections.get_mut(&conn)
        && !output.is_empty()
        && !connection.ignored
    {
        let domid = connection.who.domid;
        let bytes = connection.requeue(output);
        server.charge(domid, bytes as i64);
        server.mark(conn);
    }
    server.input(conn, &input);
    Ok(())
}

/// What has come of a request that is not whole, when `taken` came after `input`. Requests that were
/// whole by then were answered, or are lost.
fn rest_of(input: Vec<u8>, taken: Option<Vec<u8>>) -> Vec<u8> {
    let Some(taken) = taken else {
        // It cannot be told where the stream stands. Between two requests is the most likely.
        return Vec::new();
    };
    let stream = [input, taken].concat();
    let (mut rest, mut assembler) = (stream.as_slice(), Assembler::default());
    loop {
        match assembler.feed(&mut rest) {
            Ok(Some(_)) => {}
            Ok(None) => return assembler.partial(),
            Err(_) => return Vec::new(),
        }
    }
}

fn restore_node<P: Platform>(server: &mut Server<P>, body: &mut Reader<'_>) -> Result<(), Error> {
    let (conn, transaction) = (body.u32()?, body.u32()?);
    let (path_len, value_len) = (body.u16()?, body.u16()?);
    let _access = body.u16()?;
    let count = body.u16()?;
    let mut entries = Vec::new();
    for index in 0..count {
        let access = match body.u8()? {
            b'n' => Access::None,
            b'r' => Access::Read,
            b'w' => Access::Write,
            b'b' => Access::Both,
            _ => return Err(Error::Record(NODE)),
        };
        let stale = body.u8()? & STALE != 0;
        let domid = u32::from(body.u16()?);
        if index == 0 || !stale {
            entries.push(Perm::new(domid, access));
        }
    }
    let path = body.string(path_len.into(), NODE)?;
    let value = body.take(value_len.into())?;
    if conn != 0 || transaction != 0 {
        // A node of an open transaction, which will be told to try again.
        return Ok(());
    }
    for entry in &entries {
        server.know_if_alive(entry.domid);
    }
    let since = server.next_generation();
    let perms = Perms::new(entries, since).ok_or(Error::Record(NODE))?;
    match path {
        path if path == RELEASE.as_bytes() => server.release_perms = perms,
        path if path == INTRODUCE.as_bytes() => server.introduce_perms = perms,
        path => {
            let path = path::valid(path, usize::MAX).ok_or(Error::Record(NODE))?;
            let perms = server.shared_perms(path, perms);
            if !server.put(path, value, &perms) {
                return Err(Error::Record(NODE));
            }
        }
    }
    Ok(())
}

impl<P: Platform> Server<P> {
    /// The parent's permissions, if a node has the same: most have.
    fn shared_perms(&self, path: &str, perms: Rc<Perms>) -> Rc<Perms> {
        match self.tree.get(path::parent(path)) {
            Some(parent) if parent.perms.entries() == perms.entries() => Rc::clone(&parent.perms),
            _ => perms,
        }
    }

    fn restore_watch(&mut self, conn: ConnId, name: &[u8], token: &[u8], depth: Option<u16>) {
        let Some(connection) = self.connections.get(&conn) else {
            return;
        };
        let (domid, ignored) = (connection.who.domid, connection.ignored);
        let Ok((path, relative)) = self.watch_path(domid, name) else {
            return;
        };
        if ignored {
            return;
        }
        if let Some(watch) = self.watches.add(conn, &path, token, relative, depth) {
            self.charge(domid, watch.charge() as i64);
        }
    }

    fn restore_transaction(&mut self, conn: ConnId, id: u32) {
        let mut transaction = Transaction::new(id, &self.tree, self.now);
        transaction.stale = true;
        let memory = transaction.memory;
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        if connection.ignored || connection.transactions.contains_key(&id) {
            return;
        }
        let domid = connection.who.domid;
        connection.transactions.insert(id, Box::new(transaction));
        self.open_transactions += 1;
        self.charge(domid, memory as i64);
    }
}
