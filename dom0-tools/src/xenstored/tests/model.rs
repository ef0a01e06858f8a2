//! Random concurrent clients and transactions against a simple model.
//!
//! The model has one flat map from path to node, transactions copy all of it, and a commit asks
//! every question again. What must hold: every reply is the model's; a transaction that is kept
//! would have got the same replies at the moment it is kept (so it is as if it had run then,
//! alone); one that is not kept touched something that others had changed; and the tree is the
//! model's afterwards, with accounts that are right.

use std::collections::BTreeMap;

use hypercall_abi::io::xs_wire::XsType;
use proptest::prelude::*;

use crate::xenstored::ConnId;
use crate::xenstored::path;
use crate::xenstored::simulated::{Got, Store};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    value: Vec<u8>,
    perms: Vec<(char, u32)>,
    born: u64,
}

type Map = BTreeMap<String, Node>;

#[derive(Clone, Debug)]
enum Ask {
    Read(usize),
    Write(usize, u8),
    Mkdir(usize),
    Rm(usize),
    List(usize),
    GetPerms(usize),
    SetPerms(usize, usize),
}

impl Ask {
    fn writes(&self) -> bool {
        !matches!(self, Self::Read(_) | Self::List(_) | Self::GetPerms(_))
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Which client, in its transaction or not.
    Ask(usize, bool, Ask),
    Begin(usize),
    End(usize, bool),
}

const PATHS: [&str; 10] = [
    "/d", "/d/a", "/d/a/x", "/d/b", "/d/b/y", "/e", "/e/f/g", "/o", "/o/p", "/d/a/z",
];
const PERMS: [&[(char, u32)]; 5] = [
    &[('n', 0)],
    &[('r', 0), ('b', 1)],
    &[('n', 1), ('r', 2)],
    &[('b', 2)],
    &[('w', 0), ('n', 1), ('b', 2)],
];
/// The clients' domains; 0 is the toolstack, twice.
const CLIENTS: [u32; 4] = [0, 0, 1, 2];

fn rights(perms: &[(char, u32)], who: u32) -> (bool, bool, bool) {
    if who == 0 || perms[0].1 == who {
        return (true, true, true);
    }
    let letter = perms[1..]
        .iter()
        .find(|p| p.1 == who)
        .unwrap_or(&perms[0])
        .0;
    ("rb".contains(letter), "wb".contains(letter), false)
}

/// What the model answers, changing its map.
fn answer(map: &mut Map, clock: &mut u64, who: u32, ask: &Ask) -> Got {
    let fail = |name: &str| Err(name.to_owned());
    let index = match ask {
        Ask::Read(p) | Ask::Mkdir(p) | Ask::Rm(p) | Ask::List(p) | Ask::GetPerms(p) => p,
        Ask::Write(p, _) | Ask::SetPerms(p, _) => p,
    };
    let path = PATHS[*index];
    // (read, write, owner) that are needed.
    let need = match ask {
        Ask::Read(_) | Ask::List(_) | Ask::GetPerms(_) => (true, false, false),
        Ask::SetPerms(..) => (false, true, true),
        _ => (false, true, false),
    };
    let any = |has: (bool, bool, bool)| (has.0 && need.0) || (has.1 && need.1) || (has.2 && need.2);
    let all =
        |has: (bool, bool, bool)| (has.0 || !need.0) && (has.1 || !need.1) && (has.2 || !need.2);
    let nearest = |map: &Map| {
        let mut above = path::parent(path);
        while !map.contains_key(above) {
            above = path::parent(above);
        }
        above.to_owned()
    };
    if let Some(node) = map.get(path) {
        if !all(rights(&node.perms, who)) {
            return fail("EACCES");
        }
    } else {
        if !any(rights(&map[&nearest(map)].perms, who)) {
            return fail("EACCES");
        }
        match ask {
            Ask::Write(..) | Ask::Mkdir(_) => {}
            Ask::Rm(_) if map.contains_key(path::parent(path)) => return Ok(b"OK\0".to_vec()),
            _ => return fail("ENOENT"),
        }
    }
    *clock += 100;
    match ask {
        Ask::Read(_) => Ok(map[path].value.clone()),
        Ask::GetPerms(_) => {
            let entries = map[path].perms.iter();
            let text: String = entries.map(|(l, d)| format!("{l}{d}\0")).collect();
            Ok(text.into_bytes())
        }
        Ask::List(_) => Ok(list(map, path)),
        Ask::Write(..) | Ask::Mkdir(_) => {
            let value = match ask {
                Ask::Write(_, value) => Some(vec![*value]),
                _ => None,
            };
            let mut missing = Vec::new();
            let mut above = path.to_owned();
            while !map.contains_key(&above) {
                missing.push(above.clone());
                above = path::parent(&above).to_owned();
            }
            let mut perms = map[&above].perms.clone();
            if who != 0 {
                perms[0].1 = who;
            }
            for (n, new) in missing.iter().rev().enumerate() {
                let node = Node {
                    value: Vec::new(),
                    perms: perms.clone(),
                    born: *clock + n as u64,
                };
                map.insert(new.clone(), node);
            }
            if let (Some(value), Some(node)) = (value, map.get_mut(path)) {
                node.value = value;
            }
            Ok(b"OK\0".to_vec())
        }
        Ask::Rm(_) => {
            map.retain(|name, _| path::levels_below(name, path).is_none());
            Ok(b"OK\0".to_vec())
        }
        Ask::SetPerms(_, set) => {
            let node = map.get_mut(path).unwrap();
            if who != 0 && node.perms[0].1 != PERMS[*set][0].1 {
                return fail("EPERM");
            }
            node.perms = PERMS[*set].to_vec();
            Ok(b"OK\0".to_vec())
        }
    }
}

fn list(map: &Map, path: &str) -> Vec<u8> {
    let below = map
        .iter()
        .filter(|(name, _)| path::levels_below(name, path) == Some(1));
    let mut children: Vec<_> = below.collect();
    children.sort_by_key(|(_, node)| node.born);
    let names = children
        .iter()
        .map(|(name, _)| format!("{}\0", path::leaf(name)));
    names.collect::<String>().into_bytes()
}

fn really_ask(store: &mut Store, conn: ConnId, tx: u32, ask: &Ask) -> Got {
    match ask {
        Ask::Read(p) => store.say(conn, XsType::READ, tx, &[PATHS[*p]]),
        Ask::Write(p, v) => {
            let payload = [PATHS[*p].as_bytes(), &[0, *v]].concat();
            store.ask(conn, XsType::WRITE, tx, &payload)
        }
        Ask::Mkdir(p) => store.say(conn, XsType::MKDIR, tx, &[PATHS[*p]]),
        Ask::Rm(p) => store.say(conn, XsType::RM, tx, &[PATHS[*p]]),
        Ask::List(p) => store.say(conn, XsType::DIRECTORY, tx, &[PATHS[*p]]),
        Ask::GetPerms(p) => store.say(conn, XsType::GET_PERMS, tx, &[PATHS[*p]]),
        Ask::SetPerms(p, set) => {
            let entries = PERMS[*set].iter().map(|(l, d)| format!("{l}{d}"));
            let parts: Vec<String> = std::iter::once(PATHS[*p].to_owned())
                .chain(entries)
                .collect();
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            store.say(conn, XsType::SET_PERMS, tx, &parts)
        }
    }
}

struct Open {
    id: u32,
    map: Map,
    /// How often others had written when it began.
    written: u64,
    log: Vec<(Ask, Got)>,
}

struct Both {
    store: Store,
    conns: Vec<ConnId>,
    map: Map,
    clock: u64,
    /// Requests that wrote and were taken: also one that writes what is there already may cost others a new start.
    written: u64,
    open: Vec<Option<Open>>,
}

impl Both {
    fn new() -> Self {
        let mut store = Store::new();
        let conns = vec![
            store.tools,
            store.server.connect(),
            store.domain(1),
            store.domain(2),
        ];
        let mut map = Map::new();
        for (born, path) in ["/", "/tool", "/tool/xenstored"].into_iter().enumerate() {
            let node = Node {
                value: Vec::new(),
                perms: vec![('n', 0)],
                born: born as u64,
            };
            map.insert(path.to_owned(), node);
        }
        let mut both = Self {
            store,
            conns,
            map,
            clock: 1000,
            written: 0,
            open: CLIENTS.iter().map(|_| None).collect(),
        };
        for (path, set) in [(0, 4), (7, 2)] {
            both.step(&Step::Ask(0, false, Ask::Mkdir(path)));
            both.step(&Step::Ask(0, false, Ask::SetPerms(path, set)));
        }
        both
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Begin(client) => {
                if self.open[*client].is_none() {
                    let id = self.store.begin_in_turn(self.conns[*client]).unwrap();
                    self.open[*client] = Some(Open {
                        id,
                        map: self.map.clone(),
                        written: self.written,
                        log: Vec::new(),
                    });
                }
            }
            Step::Ask(client, inside, ask) => {
                let who = CLIENTS[*client];
                let conn = self.conns[*client];
                match &mut self.open[*client] {
                    Some(open) if *inside => {
                        let expected = answer(&mut open.map, &mut self.clock, who, ask);
                        let got = really_ask(&mut self.store, conn, open.id, ask);
                        assert_eq!(got, expected, "{ask:?} of {who} in a transaction");
                        open.log.push((ask.clone(), got));
                    }
                    _ => {
                        let expected = answer(&mut self.map, &mut self.clock, who, ask);
                        let got = really_ask(&mut self.store, conn, 0, ask);
                        assert_eq!(got, expected, "{ask:?} of {who}");
                        self.written += u64::from(got.is_ok() && ask.writes());
                    }
                }
            }
            Step::End(client, keep) => self.end(*client, *keep),
        }
    }

    fn end(&mut self, client: usize, keep: bool) {
        let Some(open) = self.open[client].take() else {
            return;
        };
        let ended = self.store.end(self.conns[client], open.id, keep);
        if !keep {
            assert!(ended.is_ok());
            return;
        }
        let mut replayed = self.map.clone();
        let mut same = true;
        for (ask, reply) in &open.log {
            let now = answer(&mut replayed, &mut self.clock, CLIENTS[client], ask);
            same &= now == *reply;
        }
        match ended {
            Ok(_) => {
                assert!(
                    same,
                    "kept, though an answer would be another: {:?}",
                    open.log
                );
                self.map = replayed;
                self.written += u64::from(open.log.iter().any(|(ask, _)| ask.writes()));
            }
            Err(error) => {
                assert_eq!(error, "EAGAIN");
                assert_ne!(open.written, self.written, "told to try again for nothing");
            }
        }
    }

    fn compare(&mut self) {
        let mut real = BTreeMap::new();
        self.store.server.tree.visit(&mut |path, node| {
            let entries = node.perms.entries();
            let perms: Vec<String> = entries.iter().map(ToString::to_string).collect();
            real.insert(
                path.to_owned(),
                (node.value().to_vec(), perms, node.children.list()),
            );
        });
        let model: BTreeMap<_, _> = self
            .map
            .iter()
            .map(|(path, node)| {
                let perms: Vec<String> =
                    node.perms.iter().map(|(l, d)| format!("{l}{d}")).collect();
                let children = list(&self.map, path);
                (path.clone(), (node.value.clone(), perms, children))
            })
            .collect();
        assert_eq!(real, model);
        assert_eq!(self.store.server.check(), 0);
    }
}

fn ask() -> impl Strategy<Value = Ask> {
    let path = 0..PATHS.len();
    prop_oneof![
        3 => path.clone().prop_map(Ask::Read),
        4 => (path.clone(), b'a'..b'f').prop_map(|(p, v)| Ask::Write(p, v)),
        1 => path.clone().prop_map(Ask::Mkdir),
        2 => path.clone().prop_map(Ask::Rm),
        2 => path.clone().prop_map(Ask::List),
        1 => path.clone().prop_map(Ask::GetPerms),
        2 => (path, 0..PERMS.len()).prop_map(|(p, s)| Ask::SetPerms(p, s)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS.len();
    prop_oneof![
        2 => client.clone().prop_map(Step::Begin),
        10 => (client.clone(), any::<bool>(), ask()).prop_map(|(c, i, a)| Step::Ask(c, i, a)),
        2 => (client, prop::bool::weighted(0.9)).prop_map(|(c, k)| Step::End(c, k)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_store_is_the_model(steps in prop::collection::vec(step(), 1..120)) {
        let mut both = Both::new();
        for step in &steps {
            both.step(step);
        }
        both.compare();
        for client in 0..CLIENTS.len() {
            both.end(client, true);
        }
        both.compare();
    }
}
