//! Permissions of a node, and what they give whom.

use std::rc::Rc;

use crate::xenstore::wire::{Access, Perm};

/// A node's permissions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Perms {
    /// The first names the owner, and everybody's access who is not named later. Never empty.
    entries: Vec<Perm>,
    /// The generation in which they were set. An entry names the domain that had the number
    /// then: a domain born later has no part in it.
    pub since: u64,
}

impl Perms {
    /// A set; `None` without an entry.
    pub fn new(entries: Vec<Perm>, since: u64) -> Option<Rc<Self>> {
        (!entries.is_empty()).then(|| Rc::new(Self { entries, since }))
    }

    /// Only the owner and privileged domains have access.
    pub fn private(owner: u32) -> Rc<Self> {
        let entries = vec![Perm::new(owner, Access::None)];
        Rc::new(Self { entries, since: 0 })
    }

    /// All entries.
    pub fn entries(&self) -> &[Perm] {
        &self.entries
    }

    /// The owner.
    pub fn owner(&self) -> u32 {
        self.entries.first().map_or(0, |first| first.domid)
    }

    /// The same for another owner.
    pub fn owned_by(&self, owner: u32) -> Rc<Self> {
        let mut changed = self.clone();
        if let Some(first) = changed.entries.first_mut() {
            first.domid = owner;
        }
        Rc::new(changed)
    }

    /// The same without a domain that is gone; what it owned goes to `heir`.
    pub fn without(&self, domid: u32, heir: u32) -> Rc<Self> {
        let mut entries = self.entries.clone();
        let mut first = true;
        entries.retain_mut(|entry| {
            let keep = first || entry.domid != domid;
            if first && entry.domid == domid {
                entry.domid = heir;
            }
            first = false;
            keep
        });
        Rc::new(Self {
            entries,
            since: self.since,
        })
    }
}

/// What somebody may do with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Rights {
    /// See value, children, permissions.
    pub read: bool,
    /// Change the value, create children, remove.
    pub write: bool,
    /// Change the permissions.
    pub owner: bool,
}

impl Rights {
    /// Everything.
    pub const ALL: Self = Self {
        read: true,
        write: true,
        owner: true,
    };
    /// Reading.
    pub const READ: Self = Self {
        read: true,
        write: false,
        owner: false,
    };
    /// Writing.
    pub const WRITE: Self = Self {
        read: false,
        write: true,
        owner: false,
    };
    /// What changing permissions needs.
    pub const OWN: Self = Self {
        read: false,
        write: true,
        owner: true,
    };

    /// Whether all of `needed` are among these.
    pub fn cover(self, needed: Self) -> bool {
        (self.read || !needed.read)
            && (self.write || !needed.write)
            && (self.owner || !needed.owner)
    }

    /// Whether any of `wanted` is among these.
    pub fn touch(self, wanted: Self) -> bool {
        (self.read && wanted.read) || (self.write && wanted.write) || (self.owner && wanted.owner)
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who {
    /// The domain; sockets are domain 0.
    pub domid: u32,
    /// Sockets, domain 0 and the one that was named privileged.
    pub privileged: bool,
    /// The domain whose rights this one has too.
    pub target: Option<u32>,
}

impl Who {
    fn is(self, domid: u32) -> bool {
        self.domid == domid || self.target == Some(domid)
    }

    /// What `perms` give. `born` tells in which generation a living domain was first heard of.
    pub fn rights(self, perms: &Perms, born: impl Fn(u32) -> Option<u64>) -> Rights {
        if self.privileged || self.is(perms.owner()) {
            return Rights::ALL;
        }
        let access = perms
            .entries
            .iter()
            .skip(1)
            .find(|entry| {
                self.is(entry.domid) && born(entry.domid).is_some_and(|born| born <= perms.since)
            })
            .or(perms.entries.first())
            .map_or(Access::None, |entry| entry.access);
        Rights {
            read: access.reads(),
            write: access.writes(),
            owner: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(domid: u32) -> Who {
        Who {
            domid,
            privileged: false,
            target: None,
        }
    }

    fn perms(text: &[&str]) -> Rc<Perms> {
        let entries = text.iter().map(|t| Perm::parse(t.as_bytes()).unwrap());
        Perms::new(entries.collect(), 10).unwrap()
    }

    #[test]
    fn the_first_entry_is_owner_and_default() {
        let perms = perms(&["r1", "n2", "b3"]);
        let rights = |domid| who(domid).rights(&perms, |_| Some(0));
        assert_eq!(rights(1), Rights::ALL);
        assert_eq!(rights(2), Rights::default());
        assert!(rights(3).read && rights(3).write && !rights(3).owner);
        assert_eq!(rights(4), Rights::READ);
    }

    #[test]
    fn a_target_gives_its_rights() {
        let perms = perms(&["n1", "w2"]);
        let as_target = |target| Who {
            target: Some(target),
            ..who(9)
        };
        assert_eq!(as_target(1).rights(&perms, |_| Some(0)), Rights::ALL);
        assert_eq!(as_target(2).rights(&perms, |_| Some(0)), Rights::WRITE);
    }

    /// XSA-322 and XSA-417: an entry does not pass to the next domain of that number.
    #[test]
    fn xsa_417_entry_older_than_the_domain_is_void() {
        let perms = perms(&["n1", "b2"]);
        assert!(who(2).rights(&perms, |_| Some(10)).read);
        assert_eq!(who(2).rights(&perms, |_| Some(11)), Rights::default());
        assert_eq!(who(2).rights(&perms, |_| None), Rights::default());
    }

    #[test]
    fn who_is_gone_leaves_the_set() {
        let perms = perms(&["n5", "r2", "b5"]);
        let left = perms.without(5, 0);
        let text: Vec<_> = left.entries().iter().map(Perm::to_string).collect();
        assert_eq!(text, ["n0", "r2"]);
    }
}
