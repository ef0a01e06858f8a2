//! The requests that read and change the tree.
//!
//! What is refused, and with which error, is as in C xenstored 4.17.

use std::rc::Rc;

use hypercall_abi::Errno;

use crate::xenstore::wire::{self, PAYLOAD_MAX, Perm};

use super::node::Node;
use super::path;
use super::perms::{Perms, Rights};
use super::platform::Platform;
use super::quota::Quota;
use super::server::{Answer, Call, Reply, Server};
use super::transaction::{Seen, Transaction};
use super::tree::visit_below;
use super::watch::{INTRODUCE, RELEASE};

/// A node that the caller may ask for, whether it exists or not.
struct Place {
    path: String,
    exists: bool,
}

/// What a transaction that touches one more node is charged at most, beside the path.
const TOUCH_CHARGE: usize = 128;

impl<P: Platform> Server<P> {
    /// The node as the caller sees it: in its transaction, or as it is.
    fn look<'a>(&'a self, call: &'a Call, path: &str) -> Option<&'a Node> {
        match &call.transaction {
            Some(transaction) => transaction.work.get(path),
            None => self.tree.get(path),
        }
    }

    fn rights(&self, call: &Call, perms: &Perms) -> Rights {
        call.who.rights(perms, |domid| self.domains.born(domid))
    }

    /// Notes that the answer depends on a node.
    fn see(&mut self, call: &mut Call, path: &str, seen: Seen) -> Result<(), Errno> {
        let Some(transaction) = &mut call.transaction else {
            return Ok(());
        };
        if !call.who.privileged && !transaction.knows(path) {
            let domid = call.who.domid;
            let limit = self.config.quotas.transaction_nodes;
            let outcome = if transaction.len() >= limit as usize {
                self.refuse(domid, Quota::TransactionNodes, "a transaction");
                Err(Errno::ENOSPC)
            } else {
                self.room(domid, TOUCH_CHARGE + path.len(), "a transaction")
            };
            if outcome.is_err() {
                transaction.failed = true;
                return outcome;
            }
        }
        transaction.see(path, seen);
        Ok(())
    }

    /// The error to show for a node: what is so may be told only to those who may see, or
    /// whatever they asked for, its nearest parent that exists.
    fn shown_error(
        &mut self,
        call: &mut Call,
        name: &str,
        errno: Errno,
        need: Rights,
    ) -> Result<Errno, Errno> {
        if call.who.privileged {
            return Ok(errno);
        }
        let mut above = name;
        loop {
            above = path::parent(above);
            self.see(call, above, Seen::PERMS)?;
            if let Some(node) = self.look(call, above) {
                let rights = self.rights(call, &node.perms);
                return Ok(if rights.touch(need) {
                    errno
                } else {
                    Errno::EACCES
                });
            }
            if above == "/" {
                return Ok(Errno::EACCES);
            }
        }
    }

    /// Finds a node for a caller who needs these rights on it, or who may know that it does not
    /// exist.
    fn place(
        &mut self,
        call: &mut Call,
        name: &[u8],
        need: Rights,
        seen: Seen,
    ) -> Result<Place, Errno> {
        let name = path::canonical(name, &path::domain_path(call.who.domid));
        let limit = self.config.quotas.path_max as usize;
        let Some(path) = path::valid(&name, limit) else {
            if !call.who.privileged && path::valid(&name, usize::MAX).is_some() {
                self.refuse(call.who.domid, Quota::PathMax, wire::kind_name(call.kind));
            }
            let text = String::from_utf8_lossy(&name);
            return Err(self.shown_error(call, &text, Errno::EINVAL, need)?);
        };
        let seen = if call.who.privileged {
            seen
        } else {
            seen.and(Seen::PERMS)
        };
        self.see(call, path, seen)?;
        let path = path.to_owned();
        let allowed = self
            .look(call, &path)
            .map(|node| self.rights(call, &node.perms).cover(need));
        match allowed {
            Some(true) => Ok(Place { path, exists: true }),
            Some(false) => Err(self.shown_error(call, &path, Errno::EACCES, need)?),
            None => match self.shown_error(call, &path, Errno::ENOENT, need)? {
                Errno::ENOENT => Ok(Place {
                    path,
                    exists: false,
                }),
                errno => Err(errno),
            },
        }
    }

    /// A node that must exist, with these rights on it.
    fn node<'a>(
        &'a mut self,
        call: &'a mut Call,
        name: &[u8],
        need: Rights,
        seen: Seen,
    ) -> Result<&'a Node, Errno> {
        let place = self.place(call, name, need, seen)?;
        self.look(call, &place.path).ok_or(Errno::ENOENT)
    }

    pub(super) fn read(&mut self, call: &mut Call, payload: &[u8]) -> Reply {
        let name = wire::only_string(payload).ok_or(Errno::EINVAL)?;
        let node = self.node(call, name, Rights::READ, Seen::VALUE)?;
        Ok(Answer::Data(node.value().to_vec()))
    }

    pub(super) fn directory(&mut self, call: &mut Call, payload: &[u8]) -> Reply {
        let name = wire::only_string(payload).ok_or(Errno::EINVAL)?;
        let node = self.node(call, name, Rights::READ, Seen::CHILDREN)?;
        if node.children.names_len() > PAYLOAD_MAX {
            return Err(Errno::E2BIG);
        }
        Ok(Answer::Data(node.children.list()))
    }

    pub(super) fn directory_part(&mut self, call: &mut Call, payload: &[u8]) -> Reply {
        let mut parts = wire::strings(payload);
        let (Some(name), Some(offset), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Errno::EINVAL);
        };
        let seen = Seen::CHILDREN.and(Seen::VALUE).and(Seen::PERMS);
        let node = self.node(call, name, Rights::READ, seen)?;
        let offset = usize::try_from(wire::atoi(offset)).unwrap_or(usize::MAX);
        let list = node.children.list();
        let mut answer = node.generation().to_string().into_bytes();
        answer.push(0);
        let room = PAYLOAD_MAX.saturating_sub(answer.len() + 1);
        let rest = list.get(offset..).unwrap_or(&[]);
        let mut taken = 0;
        for name in wire::strings(rest) {
            if taken + name.len() >= room {
                break;
            }
            taken += name.len() + 1;
        }
        answer.extend_from_slice(rest.get(..taken).unwrap_or(&[]));
        if taken == rest.len() {
            answer.push(0);
        }
        Ok(Answer::Data(answer))
    }

    pub(super) fn get_perms(&mut self, call: &mut Call, payload: &[u8]) -> Reply {
        let name = wire::only_string(payload).ok_or(Errno::EINVAL)?;
        let node = self.node(call, name, Rights::READ, Seen::PERMS)?;
        let mut answer = Vec::new();
        for entry in node.perms.entries() {
            answer.extend_from_slice(entry.to_string().as_bytes());
            answer.push(0);
        }
        Ok(Answer::Data(answer))
    }

    pub(super) fn write(&mut self, call: &mut Call, payload: &[u8]) -> Reply {
        let mut parts = wire::strings(payload);
        let name = parts.next().ok_or(Errno::EINVAL)?;
        let value = parts.rest();
        let place = self.place(call, name, Rights::WRITE, Seen::EXISTENCE)?;
        if place.exists {
            self.set_value(call, &place.path, value)?;
        } else {
            self.create(call, &place.path, value)?;
        }
        self.changed(call, &place.path, None);
        Ok(Answer::Ok)
    }

    pub(super) fn mkdir(&mut self, call: &mut Call, payload: &[u8]) -> Reply {
        let name = wire::only_string(payload).ok_or(Errno::EINVAL)?;
        let place = self.place(call, name, Rights::WRITE, Seen::EXISTENCE)?;
        if !place.exists {
            self.create(call, &place.path, &[])?;
            self.changed(call, &place.path, None);
        }
        Ok(Answer::Ok)
    }

    /// Watches are to hear of a change: at once, or when the transaction is kept.
    fn changed(&mut self, call: &mut Call, path: &str, old: Option<&Rc<Perms>>) {
        match &mut call.transaction {
            Some(transaction) => transaction.touch(path).fires = true,
            None => {
                self.debit(call);
                self.fire(path, old, call.ticket.as_ref());
            }
        }
    }

    /// A change beside others' transactions costs credit (XSA-206).
    pub(super) fn debit(&mut self, call: &Call) {
        if call.who.privileged || self.open_transactions == 0 {
            return;
        }
        let now = self.now;
        if self.domains.debit(call.who.domid, now) {
            let domid = call.who.domid;
            self.refuse(
                domid,
                Quota::Transactions,
                "so many writes beside transactions",
            );
        }
    }

    /// Refuses on behalf of a limit; the transaction cannot be kept then.
    fn refuse_call(&mut self, call: &mut Call, quota: Quota, path: &str) -> Errno {
        let what = format!("{} {path}", wire::kind_name(call.kind));
        self.refuse(call.who.domid, quota, &what);
        if let Some(transaction) = &mut call.transaction {
            transaction.failed = true;
        }
        Errno::ENOSPC
    }

    /// Whether the owner, and the caller, may be charged more.
    fn check_memory(&mut self, call: &mut Call, owner: u32, bytes: usize) -> Result<(), Errno> {
        if call.who.privileged {
            return Ok(());
        }
        let what = wire::kind_name(call.kind);
        let charged = if call.transaction.is_some() {
            call.who.domid
        } else {
            owner
        };
        let outcome = self.room(charged, bytes, what);
        if let (Err(_), Some(transaction)) = (&outcome, &mut call.transaction) {
            transaction.failed = true;
        }
        outcome
    }

    fn check_size(&mut self, call: &mut Call, size: usize, path: &str) -> Result<(), Errno> {
        if !call.who.privileged && size >= self.config.quotas.node_size as usize {
            return Err(self.refuse_call(call, Quota::NodeSize, path));
        }
        Ok(())
    }

    fn set_value(&mut self, call: &mut Call, path: &str, value: &[u8]) -> Result<(), Errno> {
        let node = self.look(call, path).ok_or(Errno::ENOENT)?;
        let perms = Rc::clone(&node.perms);
        let (old, names) = (node.value().len(), node.children.names_len());
        let size = Node::record_size(value.len(), perms.entries().len(), names);
        self.check_size(call, size, path)?;
        let growth = value.len().saturating_sub(old);
        if growth > 0 {
            self.check_memory(call, perms.owner(), growth)?;
        }
        let pinned = match call.transaction {
            Some(_) => Vec::new(),
            None => self.pinned(call, path, false),
        };
        self.room_for_pinned(call, &pinned)?;
        let generation = self.next_generation();
        let tree = match &mut call.transaction {
            Some(transaction) => {
                transaction.touch(path).value = true;
                transaction.memory += growth;
                &mut transaction.work
            }
            None => {
                self.charge_pinned(call, pinned);
                self.charge(perms.owner(), value.len() as i64 - old as i64);
                &mut self.tree
            }
        };
        if let Some(node) = tree.get_mut(path) {
            node.set_value(value, generation);
        }
        Ok(())
    }

    /// Creates a node and the parents it misses.
    fn create(&mut self, call: &mut Call, path: &str, value: &[u8]) -> Result<(), Errno> {
        // From the node up: what is to be created.
        let mut missing = vec![path];
        let (above, perms) = loop {
            let lowest = missing.last().copied().unwrap_or(path);
            let above = path::parent(lowest);
            self.see(call, above, Seen::PERMS)?;
            match self.look(call, above) {
                Some(node) => break (above, Rc::clone(&node.perms)),
                None if above == "/" => return Err(Errno::ENOENT),
                None => missing.push(above),
            }
        };
        let (domid, privileged) = (call.who.domid, call.who.privileged);
        let perms = if privileged || perms.owner() == domid {
            perms
        } else {
            perms.owned_by(domid)
        };
        let count = missing.len() as i64;
        if !privileged {
            self.check_creation(call, above, &missing, &perms, value)?;
        }
        let bytes: usize = missing
            .iter()
            .map(|new| Node::charge(path::leaf(new), 0, &perms))
            .sum::<usize>()
            + value.len();
        self.check_memory(call, perms.owner(), bytes)?;

        for new in missing.iter().rev() {
            let value = if *new == path { value } else { &[] };
            let generation = self.next_generation();
            let node = Node::new(new, value, Rc::clone(&perms), generation);
            match &mut call.transaction {
                Some(transaction) => {
                    transaction.touch(new).created = true;
                    transaction.work.insert(new, node, generation);
                }
                None => {
                    self.tree.insert(new, node, generation);
                    self.charge_node(new, value.len(), &perms, 1);
                }
            }
        }
        if let Some(transaction) = &mut call.transaction {
            transaction.memory += bytes;
            if perms.owner() == domid {
                transaction.growth += count;
            }
        }
        Ok(())
    }

    /// The limits of a domain that creates nodes.
    fn check_creation(
        &mut self,
        call: &mut Call,
        above: &str,
        missing: &[&str],
        perms: &Perms,
        value: &[u8],
    ) -> Result<(), Errno> {
        let domid = call.who.domid;
        let path = missing.first().copied().unwrap_or(above);
        let growth = call.transaction.as_ref().map_or(0, |t| t.growth);
        let owned = self.domains.get(domid).map_or(0, |domain| domain.nodes);
        let after = owned + growth.max(0) + missing.len() as i64;
        if after > i64::from(self.config.quotas.nodes) {
            return Err(self.refuse_call(call, Quota::Nodes, path));
        }
        let mut below = 0;
        for new in missing {
            let value = if *new == path { value.len() } else { 0 };
            let size = Node::record_size(value, perms.entries().len(), below);
            self.check_size(call, size, new)?;
            below = path::leaf(new).len() + 1;
        }
        let parent = self.look(call, above).ok_or(Errno::ENOENT)?;
        let names = parent.children.names_len() + below;
        let perms = parent.perms.entries().len();
        let size = Node::record_size(parent.value().len(), perms, names);
        self.check_size(call, size, above)
    }

    pub(super) fn rm(&mut self, call: &mut Call, payload: &[u8]) -> Reply {
        let name = wire::only_string(payload).ok_or(Errno::EINVAL)?;
        let Place { path, exists } = self.place(call, name, Rights::WRITE, Seen::EXISTENCE)?;
        if !exists {
            let above = path::parent(&path);
            self.see(call, above, Seen::EXISTENCE)?;
            return match self.look(call, above) {
                Some(_) => Ok(Answer::Ok),
                None => Err(Errno::ENOENT),
            };
        }
        if path == "/" {
            return Err(Errno::EINVAL);
        }
        let Some(transaction) = &mut call.transaction else {
            let pinned = self.pinned(call, &path, true);
            self.room_for_pinned(call, &pinned)?;
            self.charge_pinned(call, pinned);
            self.debit(call);
            self.remove(&path, call.ticket.as_ref());
            return Ok(Answer::Ok);
        };
        let generation = self.generation + 1;
        self.generation = generation;
        if let Some(removed) = transaction.work.remove(&path, generation) {
            let mut own = 0;
            visit_below(&path, &removed, &mut |_, node| {
                own += i64::from(node.perms.owner() == call.who.domid);
            });
            transaction.growth -= own;
        }
        let touch = transaction.touch(&path);
        touch.removed |= !touch.created;
        touch.created = false;
        touch.value = false;
        touch.perms = false;
        touch.fires = true;
        Ok(Answer::Ok)
    }

    pub(super) fn set_perms(&mut self, call: &mut Call, payload: &[u8]) -> Reply {
        let mut parts = wire::strings(payload);
        let name = parts.next().ok_or(Errno::EINVAL)?;
        let count = parts.clone().count();
        if count == 0 {
            return Err(Errno::EINVAL);
        }
        if !call.who.privileged && count > self.config.quotas.permissions as usize {
            self.refuse(call.who.domid, Quota::Permissions, "a set of permissions");
            return Err(Errno::ENOSPC);
        }
        let entries: Option<Vec<Perm>> = parts.map(Perm::parse).collect();
        let entries = entries.ok_or(Errno::EINVAL)?;
        for entry in &entries {
            self.know_if_alive(entry.domid);
        }
        let owner = entries.first().map_or(0, |first| first.domid);
        if self.domains.get(owner).is_none() {
            return Err(Errno::ENOENT);
        }
        let generation = self.next_generation();
        let perms = Perms::new(entries, generation).ok_or(Errno::EINVAL)?;
        if name.first() == Some(&b'@') {
            self.set_special_perms(call, name, perms)?;
            return Ok(Answer::Ok);
        }
        let seen = Seen::EXISTENCE;
        let place = self.place(call, name, Rights::OWN, seen)?;
        let node = self.look(call, &place.path).ok_or(Errno::ENOENT)?;
        let old = Rc::clone(&node.perms);
        // XSA-352: only privileged domains give nodes away.
        if !call.who.privileged && old.owner() != owner {
            return Err(Errno::EPERM);
        }
        let (value, names) = (node.value().len(), node.children.names_len());
        let size = Node::record_size(value, perms.entries().len(), names);
        self.check_size(call, size, &place.path)?;
        let tree = match &mut call.transaction {
            Some(transaction) => {
                transaction.touch(&place.path).perms = true;
                &mut transaction.work
            }
            None => {
                self.charge_node(&place.path, value, &old, -1);
                self.charge_node(&place.path, value, &perms, 1);
                &mut self.tree
            }
        };
        if let Some(node) = tree.get_mut(&place.path) {
            node.perms = perms;
        }
        self.changed(call, &place.path, Some(&old));
        Ok(Answer::Ok)
    }

    fn set_special_perms(
        &mut self,
        call: &Call,
        name: &[u8],
        perms: Rc<Perms>,
    ) -> Result<(), Errno> {
        let old = match name {
            name if name == RELEASE.as_bytes() => &self.release_perms,
            name if name == INTRODUCE.as_bytes() => &self.introduce_perms,
            _ => return Err(Errno::EINVAL),
        };
        if !self.rights(call, old).cover(Rights::OWN) {
            return Err(Errno::EACCES);
        }
        self.note_change();
        if name == RELEASE.as_bytes() {
            self.release_perms = perms;
        } else {
            self.introduce_perms = perms;
        }
        Ok(())
    }

    pub(super) fn transaction_start(&mut self, call: &mut Call) -> Reply {
        if call.transaction.is_some() {
            return Err(Errno::EBUSY);
        }
        let limit = self.config.quotas.transactions as usize;
        let domid = call.who.domid;
        let connection = self.connections.get(&call.conn).ok_or(Errno::EIO)?;
        if !call.who.privileged && connection.transactions.len() >= limit {
            self.refuse(domid, Quota::Transactions, "a transaction");
            return Err(Errno::ENOSPC);
        }
        let (tree, now) = (self.tree.clone(), self.now);
        let connection = self.connections.get_mut(&call.conn).ok_or(Errno::EIO)?;
        let id = connection.new_transaction_id();
        let transaction = Box::new(Transaction::new(id, &tree, now));
        let memory = transaction.memory;
        connection.transactions.insert(id, transaction);
        self.open_transactions += 1;
        self.charge(domid, memory as i64);
        Ok(Answer::Data(format!("{id}\0").into_bytes()))
    }

    pub(super) fn transaction_end(&mut self, call: &mut Call, payload: &[u8]) -> Reply {
        let keep = match wire::only_string(payload) {
            Some(b"T") => true,
            Some(b"F") => false,
            _ => return Err(Errno::EINVAL),
        };
        let transaction = call.transaction.take().ok_or(Errno::ENOENT)?;
        let memory = transaction.memory as i64;
        let outcome = if keep {
            self.commit(call, &transaction)
        } else {
            Ok(())
        };
        self.open_transactions = self.open_transactions.saturating_sub(1);
        self.charge(call.who.domid, -memory);
        let conflict = outcome == Err(Errno::EAGAIN);
        if let Some(connection) = self.connections.get_mut(&call.conn) {
            connection.met_conflict = conflict && connection.ring.is_none();
        }
        if !conflict {
            self.turns.done(call.conn);
        }
        outcome.map(|()| Answer::Ok)
    }

    pub(super) fn reset_watches(&mut self, call: &mut Call) -> Reply {
        // The transaction it may be in ends with the others.
        if let Some(transaction) = call.transaction.take() {
            self.open_transactions = self.open_transactions.saturating_sub(1);
            self.charge(call.who.domid, -(transaction.memory as i64));
        }
        self.reset_watches_of(call.conn);
        Ok(Answer::Ok)
    }
}
