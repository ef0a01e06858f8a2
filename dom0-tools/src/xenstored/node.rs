//! One node. There are many, so it is packed small: a short name and value are in the node itself, and nodes are kept by
//! value in the directory above (`children`), without an allocation of their own.

use std::rc::Rc;

use super::children::Children;
use super::path;
use super::perms::Perms;

/// One node.
#[derive(Clone, Debug)]
pub struct Node {
    text: Text,
    /// The change in which the value was last set: another number, another value.
    written: u64,
    /// When it was created: the order in which children are listed.
    pub born: u64,
    /// Whose it is, and who may what.
    pub perms: Rc<Perms>,
    /// The nodes below.
    pub children: Children,
}

/// The longest name and value, together, that have room in the node.
const INLINE: usize = 21;

/// The name with the value behind it.
#[derive(Clone, Debug)]
enum Text {
    Inline {
        name: u8,
        len: u8,
        bytes: [u8; INLINE],
    },
    /// One allocation for both, shared by the versions of the node.
    Shared { name: u32, bytes: Rc<[u8]> },
}

impl Text {
    fn new(name: &[u8], value: &[u8]) -> Self {
        let len = name.len() + value.len();
        let mut bytes = [0; INLINE];
        if let Some(room) = bytes.get_mut(..len) {
            let (first, second) = room.split_at_mut(name.len());
            first.copy_from_slice(name);
            second.copy_from_slice(value);
            return Self::Inline {
                name: name.len() as u8,
                len: len as u8,
                bytes,
            };
        }
        Self::Shared {
            name: name.len() as u32,
            bytes: [name, value].concat().into(),
        }
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        let (bytes, name) = match self {
            Self::Inline { name, len, bytes } => {
                (bytes.get(..usize::from(*len)), usize::from(*name))
            }
            Self::Shared { name, bytes } => (Some(&**bytes), *name as usize),
        };
        bytes
            .and_then(|bytes| bytes.split_at_checked(name))
            .unwrap_or_default()
    }
}

/// What a node is taken to occupy beside name, value and permissions, in bytes: with its part of a
/// directory, and of what a change copies beside it.
const OVERHEAD: usize = 112;
/// Of the record that the quota on the size of a node is defined by (C xenstored's): its fixed
/// part, in bytes.
const RECORD: usize = 24;
/// And each permission in it.
const RECORD_PERM: usize = 8;

impl Node {
    /// A node of that path, without children.
    pub fn new(path: &str, value: &[u8], perms: Rc<Perms>, generation: u64) -> Self {
        Self {
            text: Text::new(path::leaf(path).as_bytes(), value),
            written: generation,
            born: generation,
            perms,
            children: Children::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn test(path: &str, mark: u64) -> Self {
        Self::new(path, &[], Perms::private(0), mark)
    }

    /// The last part of its path; the root has none.
    pub fn name(&self) -> &str {
        // It was a string when it came.
        std::str::from_utf8(self.name_bytes()).unwrap_or_default()
    }

    /// As [`Self::name`], which need not be looked at.
    pub fn name_bytes(&self) -> &[u8] {
        self.text.parts().0
    }

    /// Any bytes.
    pub fn value(&self) -> &[u8] {
        self.text.parts().1
    }

    /// Sets the value, in the change of that number.
    pub fn set_value(&mut self, value: &[u8], generation: u64) {
        self.text = Text::new(self.text.parts().0, value);
        self.written = generation;
    }

    /// When value, permissions or list of children last changed.
    pub fn generation(&self) -> u64 {
        let changed = self.written.max(self.children.changed());
        changed.max(self.perms.since)
    }

    /// Whether both have the value that was set in one change.
    pub fn has_value_of(&self, other: &Self) -> bool {
        self.written == other.written
    }

    /// Whether both are one version of one node, with all below it.
    pub fn same(&self, other: &Self) -> bool {
        self.has_value_of(other)
            && self.born == other.born
            && Rc::ptr_eq(&self.perms, &other.perms)
            && self.children.same(&other.children)
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
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thousands of domains have a hundred thousand of them.
    #[test]
    fn a_node_is_small() {
        assert_eq!(size_of::<Node>(), 56);
    }

    #[test]
    fn a_generation_never_comes_again() {
        let mut node = Node::test("/d", 1);
        node.children.insert(Node::test("/d/child", 2), 2);
        node.set_value(b"later", 3);
        assert_eq!(node.generation(), 3);
        node.children.remove("child", 4);
        assert_eq!(node.generation(), 4);
        node.perms = Perms::new(node.perms.entries().to_vec(), 5).unwrap();
        assert_eq!(node.generation(), 5);
    }

    #[test]
    fn names_and_values_of_every_length() {
        for name in [0, 1, 20, 21, 22, 300] {
            for value in [0, 1, 2, 19, 20, 21, 22, 4000] {
                let (name, value) = ("n".repeat(name), vec![b'v'; value]);
                let mut node = Node::test(&format!("/above/{name}"), 1);
                node.set_value(&value, 2);
                assert_eq!(node.name(), name);
                assert_eq!(node.value(), value);
                assert_eq!(node.generation(), 2);
                node.set_value(b"", 3);
                assert_eq!((node.name(), node.value()), (&*name, &b""[..]));
            }
        }
    }
}
