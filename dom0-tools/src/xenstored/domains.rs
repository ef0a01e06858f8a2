//! The requests about domains, and what happens when one goes.

use hypercall_abi::Errno;

use crate::xenstore::wire;

use super::connection::{ConnId, Connection};
use super::node::Node;
use super::path;
use super::perms::Who;
use super::platform::Platform;
use super::server::{Answer, Broken, Reply, Server};
use super::watch::{INTRODUCE, RELEASE};

/// A number that stands for the caller's own domain.
const SELF: u32 = 0x7ff0;

impl<P: Platform> Server<P> {
    /// Gives domain 0, or the domain the daemon's kernel runs in, its ring.
    ///
    /// # Errors
    /// What the platform refuses.
    pub fn attach_own(&mut self, domid: u32, port: u32) -> Result<ConnId, Errno> {
        self.platform.attach(domid, port)?;
        Ok(self.open_ring(domid, port))
    }

    /// Makes the connection for a ring that is attached.
    pub(super) fn open_ring(&mut self, domid: u32, port: u32) -> ConnId {
        let who = Who {
            domid,
            privileged: self.is_privileged(domid),
            target: None,
        };
        let conn = self.add_connection(Connection::new(who, Some(domid)));
        let generation = self.generation;
        let domain = self.domains.know(domid, generation);
        domain.conn = Some(conn);
        domain.port = port;
        domain.shutdown = false;
        conn
    }

    pub(super) fn introduce(&mut self, payload: &[u8]) -> Reply {
        let mut parts = wire::strings(payload);
        let (Some(domid), Some(_frame), Some(port)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(Errno::EINVAL);
        };
        let domid = wire::atoi(domid) as u32;
        let port = u32::try_from(wire::atoi(port)).unwrap_or(0);
        if port == 0 {
            return Err(Errno::EINVAL);
        }
        let conn = match self.domains.connected(domid) {
            None => {
                self.platform.attach(domid, port)?;
                let conn = self.open_ring(domid, port);
                self.fire_special(INTRODUCE, domid, true);
                conn
            }
            Some(conn) => {
                self.platform.rebind(domid, port);
                if let Some(domain) = self.domains.get_mut(domid) {
                    domain.port = port;
                }
                conn
            }
        };
        self.close_all_of(conn);
        self.platform.reset_ring(domid);
        Ok(Answer::Ok)
    }

    /// The introduced domain that a payload names; never domain 0.
    fn named_domain(&self, payload: &[u8]) -> Result<u32, Errno> {
        let domid = wire::only_string(payload).ok_or(Errno::EINVAL)?;
        match wire::atoi(domid) as u32 {
            0 => Err(Errno::EINVAL),
            domid if self.domains.connected(domid).is_some() => Ok(domid),
            _ => Err(Errno::ENOENT),
        }
    }

    pub(super) fn release(&mut self, payload: &[u8]) -> Reply {
        let domid = self.named_domain(payload)?;
        self.forget_domain(domid);
        Ok(Answer::Ok)
    }

    pub(super) fn resume(&mut self, payload: &[u8]) -> Reply {
        let domid = self.named_domain(payload)?;
        if let Some(domain) = self.domains.get_mut(domid) {
            domain.shutdown = false;
        }
        Ok(Answer::Ok)
    }

    pub(super) fn set_target(&mut self, payload: &[u8]) -> Reply {
        let mut parts = wire::strings(payload);
        let (Some(domid), Some(target)) = (parts.next(), parts.next()) else {
            return Err(Errno::EINVAL);
        };
        let (domid, target) = (wire::atoi(domid) as u32, wire::atoi(target) as u32);
        let conn = self.domains.connected(domid).ok_or(Errno::ENOENT)?;
        self.domains.connected(target).ok_or(Errno::ENOENT)?;
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.who.target = Some(target);
        }
        Ok(Answer::Ok)
    }

    pub(super) fn is_domain_introduced(&mut self, payload: &[u8]) -> Reply {
        let domid = wire::only_string(payload).ok_or(Errno::EINVAL)?;
        let domid = wire::atoi(domid) as u32;
        let known = domid == SELF || self.domains.connected(domid).is_some();
        let answer: &[u8] = if known { b"T\0" } else { b"F\0" };
        Ok(Answer::Data(answer.to_vec()))
    }

    pub(super) fn get_domain_path(&mut self, payload: &[u8]) -> Reply {
        let domid = wire::only_string(payload).ok_or(Errno::EINVAL)?;
        let mut path = path::domain_path(wire::atoi(domid) as u32);
        path.push('\0');
        Ok(Answer::Data(path.into_bytes()))
    }

    /// Makes a domain that the hypervisor knows known here too.
    pub(super) fn know_if_alive(&mut self, domid: u32) {
        if self.domains.get(domid).is_none() && self.platform.domain(domid).is_some() {
            let generation = self.generation;
            self.domains.know(domid, generation);
        }
    }

    /// A domain may have shut down, crashed or gone: looks at all of them.
    pub fn domains_changed(&mut self) {
        let mut shut_down = Vec::new();
        let mut gone = false;
        for domid in self.domains.ids() {
            if domid == 0 {
                continue;
            }
            let state = self.platform.domain(domid);
            let Some(domain) = self.domains.get_mut(domid) else {
                continue;
            };
            match (state, domain.conn.is_some()) {
                (Some(state), true) => {
                    if state.shutdown && !domain.shutdown {
                        domain.shutdown = true;
                        shut_down.push(domid);
                    }
                    if !state.dying {
                        continue;
                    }
                }
                (Some(_), false) => continue,
                (None, _) => {}
            }
            gone |= domain.conn.is_some();
            self.forget_domain(domid);
        }
        if !shut_down.is_empty() {
            self.note_change();
        }
        // One event for all, unless those that went have made one already.
        let mut plain = !gone;
        for domid in shut_down {
            self.fire_special(RELEASE, domid, plain);
            plain = false;
        }
    }

    /// Lets a domain go: its connection, its nodes, its part in permissions (XSA-322).
    pub(super) fn forget_domain(&mut self, domid: u32) {
        let Some(domain) = self.domains.get(domid) else {
            return;
        };
        let (conn, owns) = (domain.conn, domain.nodes != 0);
        if let Some(conn) = conn {
            self.disconnect(conn);
        }
        if owns {
            self.remove_owned(domid);
        }
        let heir = self.config.privileged;
        self.introduce_perms = self.introduce_perms.without(domid, heir);
        self.release_perms = self.release_perms.without(domid, heir);
        for connection in self.connections.values_mut() {
            if connection.who.target == Some(domid) {
                connection.who.target = None;
            }
        }
        // The next domain of that number is born in another generation than any permission of
        // this one's (XSA-322, XSA-417), even if nothing changes in between.
        self.next_generation();
        self.domains.remove(domid);
        if conn.is_some() {
            self.platform.detach(domid);
            self.fire_special(RELEASE, domid, true);
        }
    }

    /// Removes what a domain owned, with all below it. The root only changes hands.
    fn remove_owned(&mut self, domid: u32) {
        let Some(root) = self.tree.get("/") else {
            return;
        };
        let root = root.clone();
        if root.perms.owner() == domid {
            let heir = root.perms.owned_by(self.config.privileged);
            self.put("/", root.value(), &heir);
        }
        let mut owned = Vec::new();
        for child in root.children.iter() {
            collect_owned(&path::child("/", child.name()), child, domid, &mut owned);
        }
        // So that what is removed is changed in place.
        drop(root);
        for path in owned {
            self.remove(&path, None);
        }
    }

    /// A ring that could not be attached again after a restart: the domain stays known, so that
    /// its end is noticed.
    pub(super) fn ring_lost(&mut self, conn: ConnId) {
        self.ignore(conn, Broken::Connection);
    }
}

/// The topmost nodes that a domain owns.
fn collect_owned(path: &str, node: &Node, domid: u32, owned: &mut Vec<String>) {
    if node.perms.owner() == domid {
        owned.push(path.to_owned());
        return;
    }
    for child in node.children.iter() {
        collect_owned(&path::child(path, child.name()), child, domid, owned);
    }
}
