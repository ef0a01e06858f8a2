//! Watches: who wants to hear of which part of the tree.
//!
//! They are found by path, so an event costs the depth of its path, not the number of watches.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::connection::ConnId;
use super::path;

/// The special watch for new domains.
pub const INTRODUCE: &str = "@introduceDomain";
/// The special watch for domains that shut down, crash or go.
pub const RELEASE: &str = "@releaseDomain";

/// One watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Whose.
    pub conn: ConnId,
    /// Absolute, or special.
    pub path: Rc<str>,
    /// The client's own word, repeated in events.
    pub token: Rc<[u8]>,
    /// Bytes of the connection's own prefix, if the client gave a relative path: events then
    /// leave it out.
    pub relative: Option<usize>,
    /// How many levels below the path count; all if `None`. For special watches: whether the
    /// domain is named in the event.
    pub depth: Option<u16>,
    /// The order of registration.
    order: u64,
}

impl Watch {
    /// The path of an event as this watch's owner expects it.
    pub fn shown<'a>(&self, path: &'a str) -> &'a str {
        let Some(prefix) = self.relative else {
            return path;
        };
        let rest = path.get(prefix..).unwrap_or("");
        rest.strip_prefix('/').unwrap_or(rest)
    }

    /// What its owner's memory is charged, in bytes.
    pub fn charge(&self) -> usize {
        64 + self.path.len() + self.token.len()
    }
}

/// All watches.
#[derive(Debug, Default)]
pub struct Watches {
    at: HashMap<Rc<str>, Vec<Rc<Watch>>>,
    of: BTreeMap<ConnId, Vec<Rc<Watch>>>,
    registered: u64,
}

impl Watches {
    /// Adds one; `None` if the connection has this very path and token already.
    pub fn add(
        &mut self,
        conn: ConnId,
        path: &str,
        token: &[u8],
        relative: Option<usize>,
        depth: Option<u16>,
    ) -> Option<Rc<Watch>> {
        if self.find(conn, path, token).is_some() {
            return None;
        }
        self.registered += 1;
        let shared = self.at.get_key_value(path);
        let path = shared.map_or_else(|| path.into(), |(path, _)| path.clone());
        let watch = Rc::new(Watch {
            conn,
            path: Rc::clone(&path),
            token: token.into(),
            relative,
            depth,
            order: self.registered,
        });
        self.at.entry(path).or_default().push(Rc::clone(&watch));
        self.of.entry(conn).or_default().push(Rc::clone(&watch));
        Some(watch)
    }

    fn find(&self, conn: ConnId, path: &str, token: &[u8]) -> Option<&Rc<Watch>> {
        self.at
            .get(path)?
            .iter()
            .find(|watch| watch.conn == conn && *watch.token == *token)
    }

    /// Takes one away.
    pub fn remove(&mut self, conn: ConnId, path: &str, token: &[u8]) -> Option<Rc<Watch>> {
        let watch = Rc::clone(self.find(conn, path, token)?);
        self.forget(&watch);
        if let Some(own) = self.of.get_mut(&conn) {
            own.retain(|other| other.order != watch.order);
        }
        Some(watch)
    }

    fn forget(&mut self, watch: &Watch) {
        if let Some(here) = self.at.get_mut(&watch.path) {
            here.retain(|other| other.order != watch.order);
            if here.is_empty() {
                self.at.remove(&watch.path);
            }
        }
    }

    /// Takes all of a connection away, and gives them.
    pub fn remove_all(&mut self, conn: ConnId) -> Vec<Rc<Watch>> {
        let own = self.of.remove(&conn).unwrap_or_default();
        for watch in &own {
            self.forget(watch);
        }
        own
    }

    /// Those of a connection, in the order of registration.
    pub fn of(&self, conn: ConnId) -> &[Rc<Watch>] {
        self.of.get(&conn).map_or(&[], Vec::as_slice)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.of.values().map(Vec::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.at.is_empty()
    }

    /// Those that a change of `path` concerns: with `exact` only those of this very path, else
    /// also those above it, as deep as they look. By connection, then in the order of
    /// registration.
    pub fn matching(&self, path: &str, exact: bool) -> Vec<Rc<Watch>> {
        let mut hits = Vec::new();
        if self.at.is_empty() {
            return hits;
        }
        hits.extend(self.at.get(path).into_iter().flatten().cloned());
        if !exact {
            let mut above = path;
            let mut levels = 0usize;
            while above != "/" {
                above = path::parent(above);
                levels += 1;
                let here = self.at.get(above).into_iter().flatten();
                let deep = |watch: &&Rc<Watch>| {
                    watch.depth.is_none_or(|depth| usize::from(depth) >= levels)
                };
                hits.extend(here.filter(deep).cloned());
            }
        }
        hits.sort_by_key(|watch| (watch.conn, watch.order));
        hits
    }

    /// Those on a special name, for an event about `domain`: each with the name to send.
    /// `plain` says whether those that do not ask for the domain's number are among them.
    pub fn special(&self, name: &str, domain: u32, plain: bool) -> Vec<(Rc<Watch>, String)> {
        let numbered = format!("{name}/{domain}");
        let mut hits = Vec::new();
        for watch in self.at.get(name).into_iter().flatten() {
            if watch.depth.is_some() {
                hits.push((Rc::clone(watch), numbered.clone()));
            } else if plain {
                hits.push((Rc::clone(watch), name.to_owned()));
            }
        }
        for watch in self.at.get(numbered.as_str()).into_iter().flatten() {
            hits.push((Rc::clone(watch), numbered.clone()));
        }
        hits.sort_by_key(|(watch, _)| (watch.conn, watch.order));
        hits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn(n: u64) -> ConnId {
        ConnId(n)
    }

    fn tokens(hits: &[Rc<Watch>]) -> Vec<&str> {
        hits.iter()
            .map(|watch| std::str::from_utf8(&watch.token).unwrap())
            .collect()
    }

    #[test]
    fn a_change_concerns_watches_at_and_above_it() {
        let mut watches = Watches::default();
        watches.add(conn(2), "/a", b"second", None, None).unwrap();
        watches.add(conn(1), "/", b"root", None, None).unwrap();
        watches.add(conn(1), "/a/b", b"below", None, None).unwrap();
        watches.add(conn(1), "/ab", b"beside", None, None).unwrap();
        assert_eq!(tokens(&watches.matching("/a", false)), ["root", "second"]);
        assert_eq!(tokens(&watches.matching("/a", true)), ["second"]);
        let below = watches.matching("/a/b/c", false);
        assert_eq!(tokens(&below), ["root", "below", "second"]);
        assert!(watches.matching("/a/b/c", true).is_empty());
    }

    #[test]
    fn depth_limits_how_far_below_a_watch_looks() {
        let mut watches = Watches::default();
        watches.add(conn(1), "/a", b"0", None, Some(0)).unwrap();
        watches.add(conn(1), "/a", b"1", None, Some(1)).unwrap();
        assert_eq!(tokens(&watches.matching("/a", false)), ["0", "1"]);
        assert_eq!(tokens(&watches.matching("/a/b", false)), ["1"]);
        assert!(watches.matching("/a/b/c", false).is_empty());
    }

    #[test]
    fn twice_the_same_is_refused_and_removal_is_complete() {
        let mut watches = Watches::default();
        watches.add(conn(1), "/a", b"t", None, None).unwrap();
        assert!(watches.add(conn(1), "/a", b"t", None, None).is_none());
        assert!(watches.add(conn(2), "/a", b"t", None, None).is_some());
        assert!(watches.remove(conn(1), "/a", b"u").is_none());
        assert!(watches.remove(conn(1), "/a", b"t").is_some());
        assert_eq!(watches.remove_all(conn(2)).len(), 1);
        assert!(watches.is_empty());
    }

    #[test]
    fn relative_watches_see_relative_paths() {
        let mut watches = Watches::default();
        let prefix = "/local/domain/3".len();
        let path = "/local/domain/3/a";
        let watch = watches.add(conn(1), path, b"t", Some(prefix), None);
        let watch = watch.unwrap();
        assert_eq!(watch.shown("/local/domain/3/a/b"), "a/b");
        assert_eq!(watch.shown("/local/domain/3"), "");
        assert_eq!(watch.shown("/x"), "");
    }

    #[test]
    fn special_watches_can_ask_for_the_domain() {
        let mut watches = Watches::default();
        watches.add(conn(1), RELEASE, b"any", None, None).unwrap();
        watches
            .add(conn(1), RELEASE, b"which", None, Some(1))
            .unwrap();
        watches
            .add(conn(1), "@releaseDomain/7", b"seven", None, None)
            .unwrap();
        let names = |hits: Vec<(Rc<Watch>, String)>| -> Vec<String> {
            hits.into_iter().map(|(_, name)| name).collect()
        };
        let seven = names(watches.special(RELEASE, 7, true));
        assert_eq!(
            seven,
            ["@releaseDomain", "@releaseDomain/7", "@releaseDomain/7"]
        );
        assert_eq!(
            names(watches.special(RELEASE, 8, false)),
            ["@releaseDomain/8"]
        );
    }
}
