//! What a domain's open transactions keep in memory: versions of nodes that are not in the tree any
//! more. Nobody else would be charged for them.

use hypercall_abi::Errno;

use super::node::Node;
use super::path;
use super::platform::Platform;
use super::server::{Call, Server};
use super::tree::visit_below;

/// Bytes by the number of the transaction that is to bear them.
pub(super) type Pinned = Vec<(u32, usize)>;

impl<P: Platform> Server<P> {
    /// What of a node, or with `deep` of all below it too, stays in memory only for the caller's
    /// open transactions once it is replaced. Each of them is charged: any may be the last to end.
    /// A value that was replaced since a transaction began is its already.
    pub(super) fn pinned(&self, call: &Call, path: &str, deep: bool) -> Pinned {
        let (Some(connection), Some(node)) = (
            self.connections
                .get(&call.conn)
                .filter(|_| !call.who.privileged),
            self.tree.get(path),
        ) else {
            return Vec::new();
        };
        let mut pinned = Vec::new();
        for (id, transaction) in &connection.transactions {
            let mut bytes = 0;
            let mut add = |path: &str, node: &Node| {
                let then = transaction.base.get(path);
                if then.is_some_and(|then| then.has_value_of(node)) {
                    bytes += Node::charge(path::leaf(path), node.value().len(), &node.perms);
                }
            };
            if deep {
                visit_below(path, node, &mut add);
            } else {
                add(path, node);
            }
            if bytes > 0 {
                pinned.push((*id, bytes));
            }
        }
        pinned
    }

    /// Whether the caller may be charged that.
    pub(super) fn room_for_pinned(&mut self, call: &Call, pinned: &Pinned) -> Result<(), Errno> {
        let bytes: usize = pinned.iter().map(|(_, bytes)| bytes).sum();
        match bytes {
            0 => Ok(()),
            bytes => self.room(call.who.domid, bytes, "a change beside its transactions"),
        }
    }

    /// Charges it; the ends of the transactions free it.
    pub(super) fn charge_pinned(&mut self, call: &Call, pinned: Pinned) {
        let Some(connection) = self.connections.get_mut(&call.conn) else {
            return;
        };
        let mut charged = 0;
        for (id, bytes) in pinned {
            if let Some(transaction) = connection.transactions.get_mut(&id) {
                transaction.memory += bytes;
                charged += bytes;
            }
        }
        if charged > 0 {
            self.charge(call.who.domid, charged as i64);
        }
    }
}
