//! Transactions: a version of the tree of one's own, and what must still hold to keep it.
//!
//! A transaction works on a copy (which shares everything, see `tree`). For each node it notes
//! which of its aspects an answer depended on, and what it changed. At the end, every noted
//! aspect is compared between the tree as it was at the start and the tree as it is: only if
//! one differs would an answer have been another, and only then must the client try again.
//! Then the changes are made to the tree as it is. So a transaction costs what it touched, and
//! two transactions that create nodes in one directory do not disturb each other.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use super::node::Node;
use super::path;
use super::tree::Tree;

/// What of a node an answer depended on. That it exists, or does not, is always part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Seen {
    /// The value.
    pub value: bool,
    /// The permissions.
    pub perms: bool,
    /// The list of children.
    pub children: bool,
}

impl Seen {
    /// Only whether it exists.
    pub const EXISTENCE: Self = Self {
        value: false,
        perms: false,
        children: false,
    };
    /// The value.
    pub const VALUE: Self = Self {
        value: true,
        perms: false,
        children: false,
    };
    /// The permissions.
    pub const PERMS: Self = Self {
        value: false,
        perms: true,
        children: false,
    };
    /// The list of children.
    pub const CHILDREN: Self = Self {
        value: false,
        perms: false,
        children: true,
    };

    /// These and others.
    pub fn and(self, other: Self) -> Self {
        Self {
            value: self.value || other.value,
            perms: self.perms || other.perms,
            children: self.children || other.children,
        }
    }

    /// Whether what was seen in one tree is still so in the other.
    fn holds(self, path: &str, then: &Tree, now: &Tree) -> bool {
        let (then, now) = match (then.get(path), now.get(path)) {
            (None, None) => return true,
            (Some(then), Some(now)) => (then, now),
            _ => return false,
        };
        if then.same(now) {
            return true;
        }
        (!self.value || then.value() == now.value())
            && (!self.perms || then.perms == now.perms)
            && (!self.children || same_children(then, now))
    }
}

fn identity(node: &Node) -> (&[u8], u64) {
    (node.name_bytes(), node.born)
}

fn same_children(then: &Node, now: &Node) -> bool {
    let (then, now) = (&then.children, &now.children);
    then.same(now)
        || then.names_len() == now.names_len()
            && then.iter().map(identity).eq(now.iter().map(identity))
}

/// What a transaction did with a node.
#[derive(Clone, Debug, Default)]
pub struct Touch {
    /// What it saw before it changed it.
    pub seen: Option<Seen>,
    /// It removed the node as it was at the start, and all below.
    pub removed: bool,
    /// It created the node.
    pub created: bool,
    /// It set the value.
    pub value: bool,
    /// It set the permissions.
    pub perms: bool,
    /// Watches are to hear of it.
    pub fires: bool,
}

impl Touch {
    fn changes(&self) -> bool {
        self.removed || self.created || self.value || self.perms
    }
}

/// An open transaction.
#[derive(Debug)]
pub struct Transaction {
    /// What the client calls it.
    pub id: u32,
    /// The tree at the start.
    pub base: Tree,
    /// The tree as the transaction sees it.
    pub work: Tree,
    touched: HashMap<Rc<str>, Touch>,
    /// The paths in the order in which they were first touched: that of the events.
    order: Vec<Rc<str>>,
    /// Something in it failed half-way for want of a quota: it cannot be kept (`ENOMEM`).
    pub failed: bool,
    /// It was open when the daemon was restarted: it cannot be kept (`EAGAIN`).
    pub stale: bool,
    /// Nodes it created less those it removed, of its own domain.
    pub growth: i64,
    /// Bytes its domain's memory is charged for it.
    pub memory: usize,
    /// When it began.
    pub started: Instant,
}

/// What a touched path costs beside its name, in bytes.
const TOUCH: usize = 96;

impl Transaction {
    /// A transaction on the tree as it is.
    pub fn new(id: u32, tree: &Tree, started: Instant) -> Self {
        Self {
            id,
            base: tree.clone(),
            work: tree.clone(),
            touched: HashMap::new(),
            order: Vec::new(),
            failed: false,
            stale: false,
            growth: 0,
            memory: TOUCH,
            started,
        }
    }

    /// How many nodes it has touched.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether it has touched nothing.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Whether it has touched that node.
    pub fn knows(&self, path: &str) -> bool {
        self.touched.contains_key(path)
    }

    /// The notes about a node, new if need be.
    pub fn touch(&mut self, path: &str) -> &mut Touch {
        if !self.touched.contains_key(path) {
            let path: Rc<str> = path.into();
            self.memory += TOUCH + path.len();
            self.order.push(Rc::clone(&path));
            self.touched.insert(path, Touch::default());
        }
        // The entry is there by now; `or_default` saves a branch that cannot be taken.
        self.touched.entry(path.into()).or_default()
    }

    /// Notes that an answer depends on a node.
    pub fn see(&mut self, path: &str, seen: Seen) {
        let touch = self.touch(path);
        if touch.created || touch.removed {
            // The answer is the transaction's own doing.
            return;
        }
        let new = Seen {
            value: seen.value && !touch.value,
            perms: seen.perms && !touch.perms,
            children: seen.children,
        };
        touch.seen = Some(touch.seen.map_or(new, |old| old.and(new)));
    }

    /// Whether every answer that was given would be given on the tree as it is.
    pub fn holds(&self, now: &Tree) -> bool {
        self.base.same(now)
            || self.touched.iter().all(|(path, touch)| {
                touch
                    .seen
                    .is_none_or(|seen| seen.holds(path, &self.base, now))
            })
    }

    /// What it changed, parents before children.
    pub fn changes(&self) -> Vec<(&Rc<str>, &Touch)> {
        let mut all: Vec<_> = self
            .touched
            .iter()
            .filter(|(_, touch)| touch.changes())
            .collect();
        all.sort_by(|(a, _), (b, _)| path::parts(a).cmp(path::parts(b)));
        all
    }

    /// The paths that watches are to hear of, in order.
    pub fn events(&self) -> Vec<Rc<str>> {
        let fires = |path: &&Rc<str>| self.touched.get(*path).is_some_and(|touch| touch.fires);
        self.order.iter().filter(fires).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xenstored::perms::Perms;

    fn tree(paths: &[&str]) -> Tree {
        let mut tree = Tree::new(0);
        for (n, path) in paths.iter().enumerate() {
            assert!(tree.insert(path, Node::test(path, n as u64), n as u64));
        }
        tree
    }

    fn seeing(tree: &Tree, path: &str, seen: Seen) -> Transaction {
        let mut transaction = Transaction::new(1, tree, Instant::now());
        transaction.see(path, seen);
        transaction
    }

    #[test]
    fn only_the_seen_aspect_matters() {
        let before = tree(&["/a", "/a/b"]);
        let mut value = before.clone();
        value.get_mut("/a").unwrap().set_value(b"x", 99);
        let mut perms = before.clone();
        perms.get_mut("/a").unwrap().perms = Perms::private(7);
        let mut child = before.clone();
        child.insert("/a/c", Node::test("/a/c", 9), 9);
        let mut gone = before.clone();
        gone.remove("/a", 9);
        for (seen, broken) in [
            (Seen::EXISTENCE, [false, false, false]),
            (Seen::VALUE, [true, false, false]),
            (Seen::PERMS, [false, true, false]),
            (Seen::CHILDREN, [false, false, true]),
        ] {
            let transaction = seeing(&before, "/a", seen);
            let now = [&value, &perms, &child].map(|now| !transaction.holds(now));
            assert_eq!(now, broken, "{seen:?}");
            assert!(!transaction.holds(&gone));
            assert!(transaction.holds(&before));
        }
    }

    #[test]
    fn absence_is_seen_too() {
        let before = tree(&[]);
        let after = tree(&["/a"]);
        assert!(!seeing(&before, "/a", Seen::EXISTENCE).holds(&after));
        assert!(seeing(&before, "/b", Seen::EXISTENCE).holds(&after));
    }

    #[test]
    fn what_the_transaction_did_itself_is_not_seen() {
        let before = tree(&["/a"]);
        let mut after = before.clone();
        after.get_mut("/a").unwrap().set_value(b"x", 99);
        let mut transaction = Transaction::new(1, &before, Instant::now());
        transaction.touch("/a").value = true;
        transaction.see("/a", Seen::VALUE);
        assert!(transaction.holds(&after));
    }

    #[test]
    fn changes_come_parents_first() {
        let mut transaction = Transaction::new(1, &tree(&[]), Instant::now());
        for path in ["/a/b", "/a-b", "/a", "/seen"] {
            transaction.touch(path).created = path != "/seen";
        }
        let changes = transaction.changes();
        let paths: Vec<&str> = changes.iter().map(|(path, _)| path.as_ref()).collect();
        assert_eq!(paths, ["/a", "/a/b", "/a-b"]);
    }
}
