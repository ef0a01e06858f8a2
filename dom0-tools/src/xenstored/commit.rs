//! Keeping a transaction.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use hypercall_abi::Errno;

use super::node::Node;
use super::path;
use super::perms::Perms;
use super::platform::Platform;
use super::quota::Quota;
use super::server::{Call, Server};
use super::transaction::Transaction;
use super::tree::{Tree, visit_below};

/// What a commit changes of what domains are charged.
#[derive(Default)]
struct Ledger(BTreeMap<u32, (i64, i64)>);

impl Ledger {
    fn node(&mut self, path: &str, value: usize, perms: &Perms, count: i64) {
        let bytes = Node::charge(path::leaf(path), value, perms) as i64;
        let entry = self.0.entry(perms.owner()).or_default();
        entry.0 += count;
        entry.1 += count * bytes;
    }
}

/// The tree with a transaction's changes in it, and what that takes.
struct Outcome {
    tree: Tree,
    ledger: Ledger,
    /// The nodes that went, by path, with all below them.
    removed: HashMap<Rc<str>, Node>,
}

impl<P: Platform> Server<P> {
    /// Keeps a transaction: all of it, or nothing.
    ///
    /// # Errors
    /// `EAGAIN` if an answer in it would be another now; `ENOSPC` if a domain would own too
    /// much; `ENOMEM` if something in it failed.
    pub(super) fn commit(
        &mut self,
        call: &mut Call,
        transaction: &Transaction,
    ) -> Result<(), Errno> {
        if transaction.stale {
            return Err(Errno::EAGAIN);
        }
        if transaction.failed {
            return Err(Errno::ENOMEM);
        }
        if !transaction.holds(&self.tree) {
            return Err(Errno::EAGAIN);
        }
        let outcome = self.apply(transaction);
        if !call.who.privileged {
            self.check_ledger(call, &outcome.ledger)?;
        }
        let mut pinned = Vec::new();
        for (path, touch) in transaction.changes() {
            if touch.removed || touch.value {
                pinned.extend(self.pinned(call, path, touch.removed));
            }
        }
        self.room_for_pinned(call, &pinned)?;
        self.charge_pinned(call, pinned);
        let generation = self.generation;
        for (domid, (nodes, bytes)) in &outcome.ledger.0 {
            self.domains.charge(*domid, *nodes, *bytes, generation);
        }
        if !transaction.changes().is_empty() && self.open_transactions > 1 {
            self.debit(call);
        }
        self.tree = outcome.tree;
        for path in transaction.events() {
            let old = transaction
                .base
                .get(&path)
                .map(|node| Rc::clone(&node.perms));
            if let Some(node) = outcome.removed.get(&path) {
                self.fire_removed_in_transaction(&path, node, call.ticket.as_ref());
            } else {
                self.fire(&path, old.as_ref(), call.ticket.as_ref());
            }
        }
        Ok(())
    }

    fn check_ledger(&mut self, call: &Call, ledger: &Ledger) -> Result<(), Errno> {
        for (domid, (nodes, _)) in &ledger.0 {
            let owned = self.domains.get(*domid).map_or(0, |domain| domain.nodes);
            let limit = i64::from(self.config.quotas.nodes);
            if *nodes > 0 && !self.is_privileged(*domid) && owned + nodes > limit {
                self.refuse(*domid, Quota::Nodes, "a transaction");
                return Err(Errno::ENOSPC);
            }
        }
        let more = ledger.0.get(&call.who.domid).map_or(0, |(_, bytes)| *bytes);
        if more > 0 {
            self.room(call.who.domid, more as usize, "a transaction")?;
        }
        Ok(())
    }

    fn apply(&mut self, transaction: &Transaction) -> Outcome {
        let mut outcome = Outcome {
            tree: self.tree.clone(),
            ledger: Ledger::default(),
            removed: HashMap::new(),
        };
        let mut created = Vec::new();
        for (path, touch) in transaction.changes() {
            let generation = self.next_generation();
            let tree = &mut outcome.tree;
            if touch.removed
                && let Some(node) = tree.remove(path, generation)
            {
                visit_below(path, &node, &mut |path, node| {
                    outcome
                        .ledger
                        .node(path, node.value().len(), &node.perms, -1);
                });
                outcome.removed.insert(Rc::clone(path), node);
            }
            let Some(wanted) = transaction.work.get(path) else {
                continue;
            };
            if touch.created && tree.get(path).is_none() {
                let perms = Rc::clone(&wanted.perms);
                let node = Node::new(path, wanted.value(), perms, generation);
                if tree.insert(path, node, generation) {
                    let value = wanted.value().len();
                    outcome.ledger.node(path, value, &wanted.perms, 1);
                    created.push((wanted.born, Rc::clone(path)));
                }
                continue;
            }
            if !(touch.value || touch.perms || touch.created) {
                continue;
            }
            if let Some(node) = tree.get_mut(path) {
                outcome
                    .ledger
                    .node(path, node.value().len(), &node.perms, -1);
                if touch.value || touch.created {
                    node.set_value(wanted.value(), generation);
                }
                if touch.perms {
                    node.perms = Rc::clone(&wanted.perms);
                }
                outcome
                    .ledger
                    .node(path, node.value().len(), &node.perms, 1);
            }
        }
        // Children are listed in the order in which the transaction created them, behind those
        // that others created in the meantime.
        created.sort();
        for (_, path) in created {
            let born = self.next_generation();
            if let Some(node) = outcome.tree.get_mut(&path) {
                node.born = born;
            }
        }
        outcome
    }
}
