//! The tree of nodes: persistent, so that a copy costs nothing and a change costs its path.
//!
//! Cloning a [`Tree`] shares all nodes. A change copies the nodes from the root down to the
//! changed one, but only those that another tree shares: without an open transaction everything
//! is changed in place. Depth is bounded by the length of paths, so recursion is.

use std::rc::Rc;

use super::children::Children;
use super::path;
use super::perms::Perms;

/// One node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Any bytes.
    pub value: Rc<[u8]>,
    /// Whose it is, and who may what.
    pub perms: Rc<Perms>,
    /// When value, permissions or list of children last changed.
    pub generation: u64,
    /// When it was created: the order in which children are listed.
    pub born: u64,
    /// The nodes below.
    pub children: Children,
}

/// What a node is taken to occupy beside name, value and permissions, in bytes.
const OVERHEAD: usize = 112;
/// Of the record that the quota on the size of a node is defined by (C xenstored's): its fixed
/// part, in bytes.
const RECORD: usize = 24;
/// And each permission in it.
const RECORD_PERM: usize = 8;

impl Node {
    /// A node without children.
    pub fn new(value: Rc<[u8]>, perms: Rc<Perms>, generation: u64) -> Self {
        Self {
            value,
            perms,
            generation,
            born: generation,
            children: Children::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn test(mark: u64) -> Self {
        Self::new([].into(), Perms::private(0), mark)
    }

    /// What the quota on the size of a node counts, in bytes, if it had this value, so many
    /// permissions and so long a list of children.
    pub fn record_size(value: usize, perms: usize, names: usize) -> usize {
        RECORD + value + perms * RECORD_PERM + names
    }

    /// What the owner's memory is charged for a node, in bytes.
    pub fn charge(name: &str, value: usize, perms: &Perms) -> usize {
        OVERHEAD + name.len() + value + perms.entries().len() * RECORD_PERM
    }

    /// Names of the children as the protocol lists them: in the order of creation, each with a
    /// zero byte.
    pub fn list(&self) -> Vec<u8> {
        self.children.list()
    }
}

/// A version of the whole tree.
#[derive(Clone, Debug)]
pub struct Tree {
    root: Rc<Node>,
}

impl Tree {
    /// A tree of the root alone, which domain `owner` owns.
    pub fn new(owner: u32) -> Self {
        Self {
            root: Rc::new(Node::new([].into(), Perms::private(owner), 0)),
        }
    }

    /// Whether both are the same version.
    pub fn same(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.root, &other.root)
    }

    /// The node of that path. Holding on to a copy of it makes the next change copy the node.
    pub fn get(&self, path: &str) -> Option<&Rc<Node>> {
        let mut node = &self.root;
        for part in path::parts(path) {
            node = node.children.get(part)?;
        }
        Some(node)
    }

    /// The node of that path, to change.
    pub fn get_mut(&mut self, path: &str) -> Option<&mut Node> {
        let mut node = Rc::make_mut(&mut self.root);
        for part in path::parts(path) {
            node = Rc::make_mut(node.children.get_mut(part)?);
        }
        Some(node)
    }

    /// Puts a node in place below its parent, which must exist and counts as changed in
    /// `generation`. Gives `false` if it does not.
    pub fn insert(&mut self, path: &str, node: Node, generation: u64) -> bool {
        if self.get(path::parent(path)).is_none() || path == "/" {
            return false;
        }
        match self.get_mut(path::parent(path)) {
            Some(parent) => {
                parent.generation = generation;
                parent.children.insert(path::leaf(path), Rc::new(node));
                true
            }
            None => false,
        }
    }

    /// Takes a node and all below it out; its parent counts as changed in `generation`.
    pub fn remove(&mut self, path: &str, generation: u64) -> Option<Rc<Node>> {
        self.get(path)?;
        let parent = self.get_mut(path::parent(path))?;
        let removed = parent.children.remove(path::leaf(path))?;
        parent.generation = generation;
        Some(removed)
    }

    /// Calls `visit` for every node, parents first, children in the order of their names.
    pub fn visit(&self, visit: &mut impl FnMut(&str, &Node)) {
        visit_below("/", &self.root, visit);
    }
}

/// As [`Tree::visit`], for a part of a tree.
pub fn visit_below(path: &str, node: &Node, visit: &mut impl FnMut(&str, &Node)) {
    visit(path, node);
    for child in node.children.iter() {
        visit_below(&path::child(path, &child.name), &child.node, visit);
    }
}

/// As [`visit_below`], children first.
pub fn visit_upwards(path: &str, node: &Node, visit: &mut impl FnMut(&str, &Node)) {
    let mut children: Vec<_> = node.children.iter().collect();
    children.sort_by_key(|child| child.node.born);
    for child in children {
        visit_upwards(&path::child(path, &child.name), &child.node, visit);
    }
    visit(path, node);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(tree: &mut Tree, path: &str, generation: u64) {
        assert!(
            tree.insert(path, Node::test(generation), generation),
            "{path}"
        );
    }

    #[test]
    fn children_are_listed_in_the_order_of_creation() {
        let mut tree = Tree::new(0);
        for (generation, name) in ["/c", "/a", "/b"].iter().enumerate() {
            put(&mut tree, name, generation as u64);
        }
        assert_eq!(tree.get("/").unwrap().list(), b"c\0a\0b\0");
        tree.remove("/a", 5);
        assert_eq!(tree.get("/").unwrap().list(), b"c\0b\0");
        assert_eq!(tree.get("/").unwrap().generation, 5);
    }

    #[test]
    fn a_change_shares_everything_beside_its_path() {
        let mut tree = Tree::new(0);
        for path in ["/a", "/a/b", "/a/c", "/d"] {
            put(&mut tree, path, 1);
        }
        let before = tree.clone();
        tree.get_mut("/a/b").unwrap().value = (*b"new").into();
        assert_eq!(&*before.get("/a/b").unwrap().value, b"");
        assert_eq!(&*tree.get("/a/b").unwrap().value, b"new");
        for shared in ["/a/c", "/d"] {
            assert!(Rc::ptr_eq(
                tree.get(shared).unwrap(),
                before.get(shared).unwrap()
            ));
        }
        assert!(!tree.same(&before));
    }

    #[test]
    fn without_a_copy_nothing_moves() {
        let mut tree = Tree::new(0);
        put(&mut tree, "/a", 1);
        let place = Rc::as_ptr(tree.get("/a").unwrap());
        tree.get_mut("/a").unwrap().value = (*b"x").into();
        assert_eq!(Rc::as_ptr(tree.get("/a").unwrap()), place);
    }

    #[test]
    fn the_root_stays_and_orphans_are_refused() {
        let mut tree = Tree::new(0);
        assert!(tree.remove("/", 1).is_none());
        assert!(!tree.insert("/", Node::test(1), 1));
        assert!(!tree.insert("/no/parent", Node::test(1), 1));
        assert!(tree.get("/no").is_none());
    }

    /// XSA-418: the deepest tree that paths allow is walked and dropped.
    #[test]
    fn xsa_418_deep_trees_do_not_exhaust_the_stack() {
        let mut tree = Tree::new(0);
        let mut path = String::new();
        for _ in 0..1600 {
            path.push_str("/a");
            put(&mut tree, &path, 1);
        }
        let mut count = 0;
        tree.visit(&mut |_, _| count += 1);
        assert_eq!(count, 1601);
        let removed = tree.remove("/a", 2).unwrap();
        visit_upwards("/a", &removed, &mut |_, _| count -= 1);
        assert_eq!(count, 1);
    }
}
