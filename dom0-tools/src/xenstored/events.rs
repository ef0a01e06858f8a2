//! Telling watches.
//!
//! A watch hears of a node only if its connection may read the node, or the node above it, or
//! could read it before (XSA-115).

use std::rc::Rc;

use hypercall_abi::Errno;
use hypercall_abi::io::xs_wire::XsType;

use crate::xenstore::wire::{self, Message, PAYLOAD_MAX};

use super::connection::{ConnId, Ticket};
use super::node::Node;
use super::path;
use super::perms::Perms;
use super::platform::Platform;
use super::quota::Quota;
use super::server::{Answer, Call, Reply, Server};
use super::tree::{visit_below, visit_upwards};
use super::watch::{INTRODUCE, RELEASE};

impl<P: Platform> Server<P> {
    pub(super) fn watch(&mut self, call: &mut Call, payload: &[u8]) -> Reply {
        let mut parts = wire::strings(payload);
        let (Some(name), Some(token)) = (parts.next(), parts.next()) else {
            return Err(Errno::EINVAL);
        };
        let depth = match (parts.next(), parts.next()) {
            (None, _) => None,
            (Some(depth), None) => Some(parse_depth(depth).ok_or(Errno::EINVAL)?),
            _ => return Err(Errno::EINVAL),
        };
        let (path, relative) = self.watch_path(call.who.domid, name)?;
        if path.starts_with('@') && depth.is_some_and(|depth| depth != 1) {
            return Err(Errno::EINVAL);
        }
        if !call.who.privileged {
            let limit = self.config.quotas.watches as usize;
            if self.watches.of(call.conn).len() >= limit {
                self.refuse(call.who.domid, Quota::Watches, "a watch");
                return Err(Errno::E2BIG);
            }
        }
        self.room(call.who.domid, 64 + path.len() + token.len(), "a watch")?;
        let watch = self
            .watches
            .add(call.conn, &path, token, relative, depth)
            .ok_or(Errno::EEXIST)?;
        self.charge(call.who.domid, watch.charge() as i64);
        // The reply comes first, then an event as if something had changed.
        let reply = Message {
            kind: XsType::WATCH,
            request: call.request,
            transaction: 0,
            payload: b"OK\0".to_vec(),
        };
        self.send_reply(call.conn, &reply, call.ticket.clone());
        self.send_event(
            call.conn,
            watch.shown(&watch.path),
            &watch.token,
            true,
            None,
        );
        Ok(Answer::Sent)
    }

    pub(super) fn unwatch(&mut self, call: &mut Call, payload: &[u8]) -> Reply {
        let mut parts = wire::strings(payload);
        let (Some(name), Some(token)) = (parts.next(), parts.next()) else {
            return Err(Errno::EINVAL);
        };
        let path = path::canonical(name, &path::domain_path(call.who.domid));
        let path = std::str::from_utf8(&path).map_err(|_| Errno::ENOENT)?;
        let watch = self
            .watches
            .remove(call.conn, path, token)
            .ok_or(Errno::ENOENT)?;
        self.charge(call.who.domid, -(watch.charge() as i64));
        Ok(Answer::Ok)
    }

    /// The path of a watch, and the prefix its events leave out.
    pub(super) fn watch_path(
        &self,
        domid: u32,
        name: &[u8],
    ) -> Result<(String, Option<usize>), Errno> {
        if name.first() == Some(&b'@') {
            let text = std::str::from_utf8(name).map_err(|_| Errno::EINVAL)?;
            return if text.len() > path::REL_PATH_MAX {
                Err(Errno::EINVAL)
            } else {
                Ok((text.to_owned(), None))
            };
        }
        let implicit = path::domain_path(domid);
        let relative = (name.first() != Some(&b'/')).then_some(implicit.len());
        let path = path::canonical(name, &implicit);
        let limit = self.config.quotas.path_max as usize;
        let path = path::valid(&path, limit).ok_or(Errno::EINVAL)?;
        Ok((path.to_owned(), relative))
    }

    /// A node was created or changed. `old` are its permissions before, if these changed.
    pub(super) fn fire(
        &mut self,
        path: &str,
        old: Option<&Rc<Perms>>,
        ticket: Option<&Rc<Ticket>>,
    ) {
        if self.watches.is_empty() {
            return;
        }
        let mut visible: Vec<Rc<Perms>> = old.into_iter().cloned().collect();
        if let Some(node) = self.tree.get(path) {
            visible.push(Rc::clone(&node.perms));
            if let Some(above) = self.tree.get(path::parent(path)) {
                visible.push(Rc::clone(&above.perms));
            }
        }
        self.tell(path, false, &visible, ticket);
    }

    /// Takes a node and all below it out of the tree, and tells.
    pub(super) fn remove(&mut self, path: &str, ticket: Option<&Rc<Ticket>>) {
        let generation = self.next_generation();
        let above = self.tree.get(path::parent(path));
        let above = above.map(|node| Rc::clone(&node.perms));
        let Some(removed) = self.tree.remove(path, generation) else {
            return;
        };
        let mut gone = Vec::new();
        visit_upwards(path, &removed, &mut |path, node| {
            gone.push((path.to_owned(), node.value().len(), Rc::clone(&node.perms)));
        });
        let quiet = self.watches.is_empty();
        for (name, value, perms) in &gone {
            self.charge_node(name, *value, perms, -1);
            if quiet {
                continue;
            }
            let parent = if name == path {
                above.clone()
            } else {
                perms_in(&removed, path, path::parent(name))
            };
            let mut visible = vec![Rc::clone(perms)];
            visible.extend(parent);
            self.tell(name, name != path, &visible, ticket);
        }
    }

    /// As the last part of [`Self::remove`], for what a transaction removed: from the top down.
    pub(super) fn fire_removed_in_transaction(
        &mut self,
        path: &str,
        node: &Node,
        ticket: Option<&Rc<Ticket>>,
    ) {
        if self.watches.is_empty() {
            return;
        }
        let mut gone = Vec::new();
        visit_below(path, node, &mut |path, node| {
            gone.push((path.to_owned(), Rc::clone(&node.perms)));
        });
        for (name, perms) in gone {
            let mut visible = vec![perms];
            if let Some(now) = self.tree.get(&name) {
                visible.push(Rc::clone(&now.perms));
            }
            self.tell(&name, name != path, &visible, ticket);
        }
    }

    fn tell(
        &mut self,
        path: &str,
        exact: bool,
        visible: &[Rc<Perms>],
        ticket: Option<&Rc<Ticket>>,
    ) {
        for watch in self.watches.matching(path, exact) {
            let Some(connection) = self.connections.get(&watch.conn) else {
                continue;
            };
            let who = connection.who;
            let born = |domid| self.domains.born(domid);
            if visible.iter().any(|perms| who.rights(perms, born).read) {
                let shown = watch.shown(path);
                self.send_event(watch.conn, shown, &watch.token, true, ticket);
            }
        }
    }

    /// Something happened to a domain. `plain`: also tell those who do not ask which domain.
    pub(super) fn fire_special(&mut self, name: &str, domid: u32, plain: bool) {
        let perms = match name {
            INTRODUCE => Rc::clone(&self.introduce_perms),
            RELEASE => Rc::clone(&self.release_perms),
            _ => return,
        };
        for (watch, shown) in self.watches.special(name, domid, plain) {
            let Some(connection) = self.connections.get(&watch.conn) else {
                continue;
            };
            let who = connection.who;
            if who.rights(&perms, |domid| self.domains.born(domid)).read {
                self.send_event(watch.conn, &shown, &watch.token, false, None);
            }
        }
    }

    /// Queues an event. One that is too long (XSA-324) or beyond the client's memory is not
    /// sent, and with `once` no second one like it.
    fn send_event(
        &mut self,
        conn: ConnId,
        path: &str,
        token: &[u8],
        once: bool,
        ticket: Option<&Rc<Ticket>>,
    ) {
        let len = path.len() + token.len() + 2;
        let Some(connection) = self.connections.get(&conn) else {
            return;
        };
        if len > PAYLOAD_MAX || connection.ignored {
            return;
        }
        let mut payload = Vec::with_capacity(len);
        payload.extend_from_slice(path.as_bytes());
        payload.push(0);
        payload.extend_from_slice(token);
        payload.push(0);
        let message = Message {
            kind: XsType::WATCH_EVENT,
            request: 0,
            transaction: 0,
            payload,
        };
        let bytes: Rc<[u8]> = message.to_bytes().into();
        if once && connection.has_event(&bytes) {
            return;
        }
        let who = connection.who;
        if self.room(who.domid, bytes.len(), "a watch event").is_err() {
            return;
        }
        let deadline = match self.config.event_timeout {
            Some(timeout) if !who.privileged => self.now.checked_add(timeout),
            _ => None,
        };
        self.trace.message("OUT", conn, &message);
        if let Some(connection) = self.connections.get_mut(&conn) {
            let queued = connection.event(bytes, once, deadline, ticket.cloned());
            self.charge(who.domid, queued as i64);
            self.mark(conn);
        }
    }
}

fn parse_depth(text: &[u8]) -> Option<u16> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The permissions of a node in a part of a tree whose top is at `top`.
fn perms_in(node: &Node, top: &str, name: &str) -> Option<Rc<Perms>> {
    let mut node = node;
    for part in path::parts(name.strip_prefix(top)?) {
        node = node.children.get(part)?;
    }
    Some(Rc::clone(&node.perms))
}
