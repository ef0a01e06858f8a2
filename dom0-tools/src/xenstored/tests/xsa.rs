//! Advisories about xenstored, by number.

use std::time::{Duration, Instant};

use hypercall_abi::io::xs_wire::XsType;

use crate::xenstore::wire::Message;
use crate::xenstored::ConnId;
use crate::xenstored::ring::guest;
use crate::xenstored::rings::Rings;
use crate::xenstored::simulated::{Store, serve, serve_ring};

fn refused<T>(name: &str) -> Result<T, String> {
    Err(name.to_owned())
}

/// A guest with a directory of its own.
fn with_guest(domid: u32) -> (Store, ConnId) {
    let mut store = Store::new();
    let guest = store.domain(domid);
    own(&mut store, domid);
    (store, guest)
}

fn own(store: &mut Store, domid: u32) {
    let tools = store.tools;
    let path = format!("/local/domain/{domid}");
    store.say(tools, XsType::MKDIR, 0, &[&path]).unwrap();
    store
        .say(tools, XsType::SET_PERMS, 0, &[&path, &format!("n{domid}")])
        .unwrap();
}

/// A node of dom0's that domain 1 may use.
fn grant(store: &mut Store) {
    let tools = store.tools;
    store.write(tools, 0, "/granted", "x").unwrap();
    store
        .say(tools, XsType::SET_PERMS, 0, &["/granted", "n0", "b1"])
        .unwrap();
}

/// One writes a node and takes its replies; nobody else takes anything.
fn write_alone(store: &mut Store, client: ConnId, request: u32, path: &str) {
    let message = Message {
        kind: XsType::WRITE,
        request,
        transaction: 0,
        payload: format!("{path}\0v").into_bytes(),
    };
    store.server.input(client, &message.to_bytes());
    let connection = store.server.connection(client).unwrap();
    let bytes = connection.output().map(<[u8]>::len).sum();
    store.server.delivered(client, bytes);
}

fn usage(store: &Store, domid: u32) -> (i64, i64) {
    let domain = store.server.domains.get(domid).unwrap();
    (domain.nodes, domain.memory)
}

#[test]
fn xsa_115_watch_events_respect_permissions() {
    let (mut store, guest) = with_guest(1);
    let tools = store.tools;
    store.say(guest, XsType::WATCH, 0, &["/", "all"]).unwrap();
    store
        .say(guest, XsType::WATCH, 0, &["@introduceDomain", "i"])
        .unwrap();
    store
        .say(guest, XsType::WATCH, 0, &["@releaseDomain", "r"])
        .unwrap();
    store.heard(guest);
    store.write(tools, 0, "/secret/node", "x").unwrap();
    let tx = store.begin(tools).unwrap();
    store.write(tools, tx, "/secret/other", "x").unwrap();
    store.end(tools, tx, true).unwrap();
    store.say(tools, XsType::RM, 0, &["/secret"]).unwrap();
    store.domain(2);
    store.destroy(2);
    assert!(store.heard(guest).is_empty());
    // What it may read it hears of, also when it loses it or when that goes.
    store.write(tools, 0, "/shared", "x").unwrap();
    store
        .say(tools, XsType::SET_PERMS, 0, &["/shared", "n0", "r1"])
        .unwrap();
    assert_eq!(store.heard(guest), ["/shared"]);
    store
        .say(tools, XsType::SET_PERMS, 0, &["/shared", "n0"])
        .unwrap();
    assert_eq!(store.heard(guest), ["/shared"]);
    store.write(tools, 0, "/shared", "y").unwrap();
    assert!(store.heard(guest).is_empty());
    store
        .say(tools, XsType::SET_PERMS, 0, &["/shared", "r0"])
        .unwrap();
    store.heard(guest);
    store.say(tools, XsType::RM, 0, &["/shared"]).unwrap();
    assert_eq!(store.heard(guest), ["/shared"]);
    // And special events only where it was granted them.
    store
        .say(
            tools,
            XsType::SET_PERMS,
            0,
            &["@introduceDomain", "n0", "r1"],
        )
        .unwrap();
    store.domain(3);
    assert_eq!(store.heard(guest), ["@introduceDomain"]);
}

#[test]
fn xsa_322_a_new_domain_does_not_inherit_rights_of_its_number() {
    let (mut store, _) = with_guest(1);
    let tools = store.tools;
    grant(&mut store);
    store
        .say(tools, XsType::SET_PERMS, 0, &["@releaseDomain", "n0", "r1"])
        .unwrap();
    store.destroy(1);
    let next = store.domain(1);
    assert_eq!(store.read(next, 0, "/granted"), refused("EACCES"));
    assert_eq!(store.write(next, 0, "/granted", "y"), refused("EACCES"));
    store
        .say(next, XsType::WATCH, 0, &["@releaseDomain", "t"])
        .unwrap();
    store.heard(next);
    store.domain(2);
    store.destroy(2);
    assert!(store.heard(next).is_empty());
    // Setting them again names the new one.
    store
        .say(tools, XsType::SET_PERMS, 0, &["/granted", "n0", "b1"])
        .unwrap();
    assert!(store.read(next, 0, "/granted").is_ok());
}

/// Also when nothing at all changes between the end of one domain and the start of the next.
#[test]
fn xsa_322_a_domain_without_nodes_leaves_no_rights_either() {
    let mut store = Store::new();
    let tools = store.tools;
    store.domain(1);
    store.write(tools, 0, "/granted", "x").unwrap();
    store
        .say(tools, XsType::SET_PERMS, 0, &["/granted", "n0", "b1"])
        .unwrap();
    store.destroy(1);
    let next = store.domain(1);
    assert_eq!(store.read(next, 0, "/granted"), refused("EACCES"));
}

#[test]
fn xsa_324_an_event_that_is_too_long_is_not_sent() {
    let (mut store, guest) = with_guest(1);
    let path = format!("/local/domain/1/{}", "x".repeat(1800));
    store.write(guest, 0, &path, "").unwrap();
    let token = "t".repeat(4096 - path.len() - 2);
    store
        .say(guest, XsType::WATCH, 0, &[&path, &token])
        .unwrap();
    assert_eq!(store.heard(guest).len(), 1);
    // The child's event would be longer than a message.
    store.write(guest, 0, &format!("{path}/child"), "").unwrap();
    assert!(store.heard(guest).is_empty());
    store.write(guest, 0, &path, "still").unwrap();
    assert_eq!(store.heard(guest).len(), 1);
}

#[test]
fn xsa_325_a_bad_client_keeps_nothing_but_its_end_is_noticed() {
    let (mut store, guest) = with_guest(1);
    let tools = store.tools;
    store.say(guest, XsType::WATCH, 0, &["/", "t"]).unwrap();
    store.begin(guest).unwrap();
    let (_, before) = usage(&store, 1);
    let mut header = Message {
        kind: XsType::READ,
        request: 1,
        transaction: 0,
        payload: Vec::new(),
    }
    .header();
    header[12..].copy_from_slice(&5000u32.to_ne_bytes());
    store.server.input(guest, &header);
    assert!(store.server.connection(guest).unwrap().ignored);
    assert!(usage(&store, 1).1 < before);
    assert_eq!(
        store.say(guest, XsType::READ, 0, &["/"]),
        refused("no reply")
    );
    assert_eq!(store.server.open_transactions, 0);
    store
        .say(tools, XsType::WATCH, 0, &["@releaseDomain", "t"])
        .unwrap();
    store.heard(tools);
    store.destroy(1);
    assert_eq!(store.heard(tools), ["@releaseDomain"]);
    assert_eq!(store.server.check(), 0);
}

/// Requests are not taken from a ring while too many are under way, and those of others go on.
#[test]
fn xsa_326_requests_in_flight_are_limited() {
    let (mut store, guest) = with_guest(1);
    let other = store.domain(2);
    own(&mut store, 2);
    let message = Message {
        kind: XsType::DIRECTORY,
        request: 1,
        transaction: 0,
        payload: b"/local/domain/1\0".to_vec(),
    };
    store.write(guest, 0, &"x".repeat(1000), "").unwrap();
    let bytes = message.to_bytes();
    // It sends and sends, and takes no reply.
    for _ in 0..200 {
        let ring = store.server.platform.rings.get(&1).unwrap();
        guest::send(ring.memory(), &bytes);
        serve_ring(&mut store, 1);
    }
    let outstanding = store.server.domains.get(1).unwrap().outstanding.get();
    assert!(outstanding <= 20, "{outstanding}");
    let log = store.server.platform.log.join("\n");
    assert!(
        log.contains("domain 1: quota outstanding (20) refuses"),
        "{log}"
    );
    store.write(other, 0, "a", "b").unwrap();
    // When it takes its replies, it is served again.
    for _ in 0..100 {
        let ring = store.server.platform.rings.get(&1).unwrap();
        guest::receive(ring.memory());
        serve_ring(&mut store, 1);
    }
    assert_eq!(store.server.domains.get(1).unwrap().outstanding.get(), 0);
}

/// Events that a domain causes for one that takes none count as under way, but not for ever.
#[test]
fn xsa_326_events_for_others_count_until_delivered_or_given_up() {
    let (mut store, guest) = with_guest(1);
    let slow = store.domain(2);
    let tools = store.tools;
    store
        .say(
            tools,
            XsType::SET_PERMS,
            0,
            &["/local/domain/1", "n1", "r2"],
        )
        .unwrap();
    store
        .say(slow, XsType::WATCH, 0, &["/local/domain/1", "t"])
        .unwrap();
    let start = Instant::now();
    store.server.set_now(start);
    for n in 0..20 {
        // Its own replies are delivered, the other's events are not.
        write_alone(&mut store, guest, n, &format!("n{n}"));
    }
    assert_eq!(store.server.may_take(guest), 0);
    store.server.set_now(start + Duration::from_secs(21));
    store.server.expire();
    assert!(store.server.may_take(guest) > 0);
    assert_eq!(store.server.check(), 0);
}

/// One domain's patience with another ends without anything else that happens: the rings are asked
/// before the daemon sleeps.
#[test]
fn xsa_326_a_domain_that_is_held_back_goes_on_when_events_are_given_up() {
    let (mut store, guest) = with_guest(1);
    let slow = store.domain(2);
    let tools = store.tools;
    let shared = ["/local/domain/1", "n1", "r2"];
    store.say(tools, XsType::SET_PERMS, 0, &shared).unwrap();
    store
        .say(slow, XsType::WATCH, 0, &["/local/domain/1", "t"])
        .unwrap();
    let start = Instant::now();
    store.server.set_now(start);
    let mut rings = Rings::default();
    // More than may be outstanding, and than the slow one's ring has room for.
    for n in 0..60 {
        let message = Message {
            kind: XsType::WRITE,
            request: n,
            transaction: 0,
            payload: format!("n{n}\0v").into_bytes(),
        };
        let ring = store.server.platform.rings.get(&1).unwrap();
        guest::receive(ring.memory());
        guest::send(ring.memory(), &message.to_bytes());
        serve(&mut store, &mut rings, &[1]);
    }
    let waits = |store: &Store| {
        let ring = store.server.platform.rings.get(&1).unwrap();
        ring.has_requests()
    };
    assert!(waits(&store) && store.server.may_take(guest) == 0);
    assert!(!rings.ready(&mut store.server));
    store.server.set_now(start + Duration::from_secs(21));
    store.server.expire();
    assert!(rings.ready(&mut store.server));
    serve(&mut store, &mut rings, &[]);
    assert!(!waits(&store));
    assert_eq!(store.server.check(), 0);
}

/// Versions of nodes that only a domain's open transactions keep are its to pay for.
#[test]
fn xsa_326_what_open_transactions_keep_is_charged() {
    let (mut store, guest) = with_guest(1);
    let value = "x".repeat(1000);
    let names: Vec<String> = (0..300).map(|n| format!("n{n}")).collect();
    for name in &names {
        store.write(guest, 0, name, &value).unwrap();
    }
    let (_, plain) = usage(&store, 1);
    let tx = store.begin(guest).unwrap();
    for _ in 0..3 {
        // Only the first time displaces what the transaction keeps.
        store.write(guest, 0, "n0", &value).unwrap();
    }
    let (_, one) = usage(&store, 1);
    assert!((1000..3000).contains(&(one - plain)), "{plain} {one}");
    // In another transaction, and with all below, too.
    let other = store.begin(guest).unwrap();
    store.write(guest, other, "n1", &value).unwrap();
    store.end(guest, other, true).unwrap();
    store.say(guest, XsType::RM, 0, &["n2"]).unwrap();
    let (_, three) = usage(&store, 1);
    assert!((1000..3000).contains(&(three - one)), "{one} {three}");
    assert_eq!(store.server.check(), 0);
    store.end(guest, tx, false).unwrap();
    assert!(usage(&store, 1).1 <= plain);
    assert_eq!(store.server.check(), 0);

    // Ten transactions do not make ten times the memory of one domain.
    let mut refused = None;
    for _ in 0..10 {
        store.begin(guest).unwrap();
        for name in names.iter().skip(3) {
            if let Err(error) = store.write(guest, 0, name, &value) {
                refused = Some(error);
            }
        }
    }
    assert_eq!(refused.as_deref(), Some("ENOMEM"));
    assert!(usage(&store, 1).1 < i64::from(store.server.config.quotas.memory));
    assert_eq!(store.server.check(), 0);
    store.say(guest, XsType::RESET_WATCHES, 0, &[""]).unwrap();
    assert!(usage(&store, 1).1 <= plain);
    assert_eq!(store.server.check(), 0);
}

#[test]
fn xsa_330_reset_watches_frees_them() {
    let (mut store, guest) = with_guest(1);
    let before = usage(&store, 1);
    for _ in 0..5 {
        for n in 0..128 {
            store
                .say(guest, XsType::WATCH, 0, &["/", &n.to_string()])
                .unwrap();
        }
        let more = store.say(guest, XsType::WATCH, 0, &["/", "more"]);
        assert_eq!(more, refused("E2BIG"));
        store.say(guest, XsType::RESET_WATCHES, 0, &[""]).unwrap();
        assert_eq!(usage(&store, 1), before);
        assert!(store.server.watches.is_empty());
    }
}

#[test]
fn xsa_352_a_guest_cannot_give_its_nodes_away() {
    let (mut store, guest) = with_guest(1);
    store.domain(2);
    store.write(guest, 0, "mine", "").unwrap();
    let given = store.say(guest, XsType::SET_PERMS, 0, &["mine", "n2"]);
    assert_eq!(given, refused("EPERM"));
    let given = store.say(guest, XsType::SET_PERMS, 0, &["mine", "n0"]);
    assert_eq!(given, refused("EPERM"));
    store
        .say(guest, XsType::SET_PERMS, 0, &["mine", "n1", "b2"])
        .unwrap();
    assert_eq!(usage(&store, 2).0, 0);
}

#[test]
fn xsa_353_the_root_is_protected_as_every_node() {
    let (mut store, guest) = with_guest(1);
    let set = store.say(guest, XsType::SET_PERMS, 0, &["/", "n1"]);
    assert_eq!(set, refused("EACCES"));
    assert_eq!(store.write(guest, 0, "/", "x"), refused("EACCES"));
    assert_eq!(store.say(guest, XsType::RM, 0, &["/"]), refused("EACCES"));
    assert_eq!(store.write(guest, 0, "/new", "x"), refused("EACCES"));
    // One whom it belonged to leaves it behind, with all that others have in it.
    let tools = store.tools;
    store
        .say(tools, XsType::SET_PERMS, 0, &["/", "n1"])
        .unwrap();
    store.destroy(1);
    assert!(store.read(tools, 0, "/tool").is_ok());
    let perms = store.say(tools, XsType::GET_PERMS, 0, &["/"]).unwrap();
    assert_eq!(perms, b"n0\0");
    assert_eq!(store.server.check(), 0);
}

#[test]
fn xsa_414_a_failed_create_leaves_the_accounts_right() {
    let (mut store, guest) = with_guest(1);
    store.server.config.quotas.nodes = 4;
    let before = usage(&store, 1);
    assert_eq!(store.write(guest, 0, "a/b/c/d/e", ""), refused("ENOSPC"));
    assert_eq!(usage(&store, 1), before);
    let large = "x".repeat(2500);
    assert_eq!(store.write(guest, 0, "a/b", &large), refused("ENOSPC"));
    assert_eq!(usage(&store, 1), before);
    assert_eq!(store.read(guest, 0, "a"), refused("ENOENT"));
    store.write(guest, 0, "a/b/c", "").unwrap();
    assert_eq!(store.server.check(), 0);
}

#[test]
fn xsa_415_a_failed_create_fails_its_transaction() {
    let (mut store, guest) = with_guest(1);
    store.server.config.quotas.nodes = 4;
    let before = usage(&store, 1);
    let tx = store.begin(guest).unwrap();
    assert_eq!(store.write(guest, tx, "a/b/c/d/e", ""), refused("ENOSPC"));
    store.write(guest, tx, "f", "").unwrap();
    assert_eq!(store.end(guest, tx, true), refused("ENOMEM"));
    assert_eq!(usage(&store, 1), before);
    assert_eq!(store.server.check(), 0);
}

#[test]
fn xsa_416_a_guest_that_never_reads_holds_bounded_memory() {
    let (mut store, guest) = with_guest(1);
    let tools = store.tools;
    store.server.config.quotas.memory = 100_000;
    store
        .say(guest, XsType::WATCH, 0, &["/local/domain/1", "t"])
        .unwrap();
    // Nobody delivers anything to it while the toolstack changes its nodes.
    for n in 0..5000 {
        write_alone(&mut store, tools, n, &format!("/local/domain/1/dir/{n}"));
    }
    assert!(store.server.connection(guest).unwrap().queued() < 100_000);
    let log = store.server.platform.log.join("\n");
    assert!(
        log.contains("domain 1: quota memory (100000) refuses a watch event"),
        "{log}"
    );
    assert_eq!(store.server.check(), 0);
}

#[test]
fn xsa_417_permissions_do_not_pass_through_restored_states_either() {
    let (mut store, _) = with_guest(1);
    grant(&mut store);
    store.destroy(1);
    store.domain(1);
    let bytes = store.save();
    let mut new = Store::new();
    new.server.platform = std::mem::take(&mut store.server.platform);
    crate::xenstored::state::restore(&mut new.server, &bytes, false).unwrap();
    let next = new.server.ring_of(1).unwrap();
    assert_eq!(new.read(next, 0, "/granted"), refused("EACCES"));
}

/// The deepest path a guest can make is created, walked and removed.
#[test]
fn xsa_418_deep_trees_of_a_guest() {
    let (mut store, guest) = with_guest(1);
    let deep = "a/".repeat(990);
    let deep = deep.trim_end_matches('/');
    store.write(guest, 0, deep, "").unwrap();
    assert_eq!(usage(&store, 1).0, 991);
    assert_eq!(store.server.check(), 0);
    store.destroy(1);
    assert_eq!(store.server.check(), 0);
}

/// Nodes of a dead domain below another's are removed, and the other's accounts are right.
#[test]
fn xsa_419_nodes_of_domains_that_are_gone_are_removed() {
    let (mut store, guest) = with_guest(1);
    let tools = store.tools;
    let other = store.domain(2);
    store
        .say(
            tools,
            XsType::SET_PERMS,
            0,
            &["/local/domain/1", "n1", "b2"],
        )
        .unwrap();
    store.write(other, 0, "/local/domain/1/of2", "").unwrap();
    store.write(guest, 0, "of1", "").unwrap();
    assert_eq!(usage(&store, 2).0, 1);
    store.destroy(1);
    assert_eq!(usage(&store, 2).0, 0);
    assert_eq!(store.server.check(), 0);
}

#[test]
fn xsa_420_sizes_are_unsigned_and_bounded() {
    for size in [4097u32, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        let (mut store, guest) = with_guest(1);
        let mut header = [0; 16];
        header[..4].copy_from_slice(&2u32.to_ne_bytes());
        header[12..].copy_from_slice(&size.to_ne_bytes());
        store.server.input(guest, &header);
        assert!(store.server.connection(guest).unwrap().ignored, "{size}");
        assert!(store.server.connection(store.tools).is_some());
    }
}

#[test]
fn xsa_421_a_transaction_is_kept_whole_or_not_at_all() {
    let (mut store, guest) = with_guest(1);
    store.server.config.quotas.nodes = 10;
    let before = usage(&store, 1);
    let txs: Vec<u32> = (0..4).map(|_| store.begin(guest).unwrap()).collect();
    for (n, tx) in txs.iter().enumerate() {
        for node in 0..4 {
            store
                .write(guest, *tx, &format!("t{n}/{node}"), "")
                .unwrap();
        }
    }
    let kept: Vec<bool> = txs
        .iter()
        .map(|tx| store.end(guest, *tx, true).is_ok())
        .collect();
    assert_eq!(kept, [true, false, false, false]);
    assert_eq!(usage(&store, 1).0, before.0 + 5);
    assert_eq!(store.read(guest, 0, "t1"), refused("ENOENT"));
    assert_eq!(store.server.check(), 0);
}

#[test]
fn xsa_425_a_guest_that_reconnects_in_the_middle_of_things() {
    let (mut store, guest) = with_guest(1);
    let tools = store.tools;
    let tx = store.begin(guest).unwrap();
    store.write(guest, tx, "a", "").unwrap();
    store.say(guest, XsType::WATCH, 0, &["/", "t"]).unwrap();
    store.server.input(guest, &[1, 2, 3]);
    store
        .say(tools, XsType::INTRODUCE, 0, &["1", "1", "3"])
        .unwrap();
    assert_eq!(store.end(guest, tx, true), refused("ENOENT"));
    assert!(store.server.watches.is_empty());
    store.write(guest, 0, "a", "").unwrap();
    assert_eq!(store.server.check(), 0);
    // Nor does it matter that it was told off before.
    store.server.input(guest, &[0xff; 16]);
    store
        .say(tools, XsType::INTRODUCE, 0, &["1", "1", "3"])
        .unwrap();
    assert_eq!(store.server.check(), 0);
}

#[test]
fn xsa_481_malformed_names_are_refused_everywhere() {
    let (mut store, guest) = with_guest(1);
    let tools = store.tools;
    for name in [
        "",
        "@",
        "@x",
        "//",
        "/a/",
        "a//b",
        "/\u{fc}",
        "@releaseDomain/",
        "..",
        "/@x/",
    ] {
        for client in [guest, tools] {
            for kind in 0..24 {
                let kind = XsType(kind);
                if kind == XsType::CONTROL {
                    continue;
                }
                let _ = store.say(client, kind, 0, &[name]);
                let _ = store.say(client, kind, 0, &[name, name]);
                let _ = store.ask(client, kind, 0, name.as_bytes());
                let tx = store.begin(client).unwrap();
                let _ = store.say(client, kind, tx, &[name, "n1"]);
                let _ = store.end(client, tx, true);
                store.collect();
            }
        }
    }
    assert_eq!(store.server.check(), 0);
}

#[test]
fn xsa_483_a_new_domain_begins_with_fresh_accounts() {
    let (mut store, guest) = with_guest(1);
    for n in 0..100 {
        store.write(guest, 0, &n.to_string(), "value").unwrap();
        store
            .say(guest, XsType::WATCH, 0, &["/", &n.to_string()])
            .unwrap();
    }
    store.begin(guest).unwrap();
    store.destroy(1);
    store.domain(1);
    assert_eq!(usage(&store, 1), (0, 0));
    assert_eq!(store.server.open_transactions, 0);
    assert_eq!(store.server.check(), 0);
}

#[test]
fn xsa_484_reset_inside_a_transaction_ends_it() {
    let (mut store, guest) = with_guest(1);
    let (one, other) = (store.begin(guest).unwrap(), store.begin(guest).unwrap());
    store.write(guest, one, "a", "").unwrap();
    store.say(guest, XsType::RESET_WATCHES, one, &[""]).unwrap();
    for tx in [one, other] {
        assert_eq!(store.end(guest, tx, true), refused("ENOENT"));
    }
    assert_eq!(store.server.open_transactions, 0);
    assert_eq!(store.server.check(), 0);
}
