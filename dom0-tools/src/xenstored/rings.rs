//! Which rings have something to do, and doing it: in turns, so that no domain keeps others from
//! being served.

use std::collections::BTreeSet;

use super::connection::ConnId;
use super::platform::Platform;
use super::server::{Broken, Server};

/// Bytes taken from a ring at a time.
const CHUNK: usize = 4096;
/// Pieces (headers and payloads) taken from one ring before others get their turn: 16 messages.
const TURN: usize = 32;

/// The rings to look at.
#[derive(Debug, Default)]
pub struct Rings {
    /// Those in which something may be to do.
    active: BTreeSet<u32>,
    /// Those with requests that are not taken yet, because the domain has too much under way.
    held_back: BTreeSet<u32>,
}

impl Rings {
    /// Something may be to do in these domains' rings.
    pub fn wake(&mut self, domains: impl IntoIterator<Item = u32>) {
        self.active.extend(domains);
    }

    /// Whether a ring has something that can be done now. To be asked before sleeping: whatever
    /// freed a domain that was held back (a delivery, the end of another's patience, time), it is
    /// found here.
    pub fn ready<P: Platform>(&mut self, server: &mut Server<P>) -> bool {
        for domid in std::mem::take(&mut self.held_back) {
            match server.ring_of(domid) {
                Some(conn) if server.may_take(conn) > 0 => self.active.insert(domid),
                Some(_) => self.held_back.insert(domid),
                None => false,
            };
        }
        !self.active.is_empty()
    }

    /// Gives rings what they are owed and takes requests from them, from each one turn.
    pub fn serve<P: Platform>(&mut self, server: &mut Server<P>) {
        for domid in std::mem::take(&mut self.active) {
            let Some(conn) = server.ring_of(domid) else {
                continue;
            };
            write(server, domid, conn);
            if self.read(server, domid, conn) {
                self.active.insert(domid);
            }
        }
    }

    /// Says whether more could be taken at once.
    fn read<P: Platform>(&mut self, server: &mut Server<P>, domid: u32, conn: ConnId) -> bool {
        let mut bytes = [0; CHUNK];
        let mut taken = false;
        let mut more = false;
        for _ in 0..TURN {
            let waits = |server: &Server<P>| {
                let ring = server.platform.ring(domid);
                ring.is_some_and(|ring| ring.has_requests())
            };
            if !waits(server) {
                more = false;
                break;
            }
            let wants = server.may_take(conn).min(bytes.len());
            if wants == 0 {
                self.held_back.insert(domid);
                more = false;
                break;
            }
            let piece = bytes.get_mut(..wants).unwrap_or(&mut []);
            match server.platform.ring(domid).map(|ring| ring.take(piece)) {
                None | Some(Ok(0)) => break,
                Some(Ok(count)) => {
                    taken = true;
                    more = true;
                    server.input(conn, piece.get(..count).unwrap_or(&[]));
                }
                Some(Err(_)) => {
                    server.ignore(conn, Broken::Indices);
                    return false;
                }
            }
        }
        if taken {
            server.platform.notify(domid);
        }
        more
    }
}

/// Gives a ring what its domain is owed, as far as there is room.
pub fn write<P: Platform>(server: &mut Server<P>, domid: u32, conn: ConnId) {
    let mut written = false;
    loop {
        let Some(connection) = server.connection(conn) else {
            return;
        };
        let Some(piece) = connection.output().next() else {
            break;
        };
        let wanted = piece.len();
        match server.platform.ring(domid).map(|ring| ring.put(piece)) {
            None | Some(Ok(0)) => break,
            Some(Ok(count)) => {
                written = true;
                server.delivered(conn, count);
                if count < wanted {
                    break;
                }
            }
            Some(Err(_)) => {
                server.ignore(conn, Broken::Indices);
                return;
            }
        }
    }
    if written {
        server.platform.notify(domid);
    }
}
