//! The tree of nodes: persistent, so that a copy costs nothing and a change costs its path.
//!
//! Cloning a [`Tree`] shares all nodes. A change copies the nodes from the root down to the
//! changed one, but only those that another tree shares: without an open transaction everything
//! is changed in place. Depth is bounded by the length of paths, so recursion is.

use super::node::Node;
use super::path;
use super::perms::Perms;

/// A version of the whole tree.
#[derive(Clone, Debug)]
pub struct Tree {
    root: Node,
}

impl Tree {
    /// A tree of the root alone, which domain `owner` owns.
    pub fn new(owner: u32) -> Self {
        Self {
            root: Node::new("/", &[], Perms::private(owner), 0),
        }
    }

    /// Whether both are the same version.
    pub fn same(&self, other: &Self) -> bool {
        self.root.same(&other.root)
    }

    /// The node of that path. Holding on to a copy of it makes the next change below it copy.
    pub fn get(&self, path: &str) -> Option<&Node> {
        let mut node = &self.root;
        for part in path::parts(path) {
            node = node.children.get(part)?;
        }
        Some(node)
    }

    /// The node of that path, to change.
    pub fn get_mut(&mut self, path: &str) -> Option<&mut Node> {
        let mut node = &mut self.root;
        for part in path::parts(path) {
            node = node.children.get_mut(part)?;
        }
        Some(node)
    }

    /// Puts the node of that path in place below its parent, which must exist and counts as changed in
    /// `generation`. Gives `false` if it does not.
    pub fn insert(&mut self, path: &str, node: Node, generation: u64) -> bool {
        if self.get(path::parent(path)).is_none() || path == "/" {
            return false;
        }
        match self.get_mut(path::parent(path)) {
            Some(parent) => {
                parent.children.insert(node, generation);
                true
            }
            None => false,
        }
    }

    /// Takes a node and all below it out; its parent counts as changed in `generation`.
    pub fn remove(&mut self, path: &str, generation: u64) -> Option<Node> {
        self.get(path)?;
        let parent = self.get_mut(path::parent(path))?;
        parent.children.remove(path::leaf(path), generation)
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
        visit_below(&path::child(path, child.name()), child, visit);
    }
}

/// As [`visit_below`], children first.
pub fn visit_upwards(path: &str, node: &Node, visit: &mut impl FnMut(&str, &Node)) {
    for child in node.children.by_age() {
        visit_upwards(&path::child(path, child.name()), child, visit);
    }
    visit(path, node);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(tree: &mut Tree, path: &str, generation: u64) {
        assert!(
            tree.insert(path, Node::test(path, generation), generation),
            "{path}"
        );
    }

    #[test]
    fn children_are_listed_in_the_order_of_creation() {
        let mut tree = Tree::new(0);
        for (generation, name) in ["/c", "/a", "/b"].iter().enumerate() {
            put(&mut tree, name, generation as u64);
        }
        assert_eq!(tree.get("/").unwrap().children.list(), b"c\0a\0b\0");
        tree.remove("/a", 5);
        assert_eq!(tree.get("/").unwrap().children.list(), b"c\0b\0");
        assert_eq!(tree.get("/").unwrap().generation(), 5);
    }

    #[test]
    fn a_change_shares_everything_beside_its_path() {
        let mut tree = Tree::new(0);
        for path in ["/a", "/a/b", "/a/c", "/a/c/e", "/d", "/d/f"] {
            put(&mut tree, path, 1);
        }
        let before = tree.clone();
        tree.get_mut("/a/b").unwrap().set_value(b"new", 2);
        assert_eq!(before.get("/a/b").unwrap().value(), b"");
        assert_eq!(tree.get("/a/b").unwrap().value(), b"new");
        for shared in ["/a/c", "/d"] {
            assert!(tree.get(shared).unwrap().same(before.get(shared).unwrap()));
        }
        assert!(!tree.same(&before));
    }

    #[test]
    fn without_a_copy_nothing_moves() {
        let mut tree = Tree::new(0);
        put(&mut tree, "/a", 1);
        let place: *const Node = tree.get("/a").unwrap();
        tree.get_mut("/a").unwrap().set_value(b"x", 2);
        assert!(std::ptr::eq(tree.get("/a").unwrap(), place));
    }

    #[test]
    fn the_root_stays_and_orphans_are_refused() {
        let mut tree = Tree::new(0);
        assert!(tree.remove("/", 1).is_none());
        assert!(!tree.insert("/", Node::test("/no", 1), 1));
        assert!(!tree.insert("/no/parent", Node::test("/no", 1), 1));
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
