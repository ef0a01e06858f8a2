//! Transactions: isolation, and conflicts only where an answer would be another.

use hypercall_abi::io::xs_wire::XsType;

use crate::xenstored::connection::ConnId;
use crate::xenstored::simulated::Store;

fn again<T>() -> Result<T, String> {
    Err("EAGAIN".to_owned())
}

#[test]
fn nothing_is_seen_before_the_end_and_everything_after() {
    let mut store = Store::new();
    let one = store.tools;
    let other = store.server.connect();
    let tx = store.begin(one).unwrap();
    store.write(one, tx, "/a/b", "x").unwrap();
    assert_eq!(store.read(one, tx, "/a/b").as_deref(), Ok("x"));
    assert!(store.read(other, 0, "/a/b").is_err());
    assert!(store.read(one, 0, "/a/b").is_err());
    store.end(one, tx, true).unwrap();
    assert_eq!(store.read(other, 0, "/a/b").as_deref(), Ok("x"));
    assert!(store.read(one, tx, "/a/b").is_err());
}

#[test]
fn a_transaction_sees_the_tree_as_it_was() {
    let mut store = Store::new();
    let one = store.tools;
    store.write(one, 0, "/a", "old").unwrap();
    let tx = store.begin(one).unwrap();
    store.write(one, 0, "/a", "new").unwrap();
    assert_eq!(store.read(one, tx, "/a").as_deref(), Ok("old"));
    assert_eq!(store.end(one, tx, true), again());
}

#[test]
fn what_is_given_up_leaves_nothing() {
    let mut store = Store::new();
    let one = store.tools;
    let tx = store.begin(one).unwrap();
    store.write(one, tx, "/a", "x").unwrap();
    store.end(one, tx, false).unwrap();
    assert_eq!(store.read(one, 0, "/a"), Err("ENOENT".into()));
    assert_eq!(store.server.check(), 0);
}

#[test]
fn creating_beside_others_is_no_conflict() {
    let mut store = Store::new();
    let one = store.tools;
    store.write(one, 0, "/d", "").unwrap();
    let (a, b) = (store.begin(one).unwrap(), store.begin(one).unwrap());
    store.write(one, a, "/d/a", "1").unwrap();
    store.write(one, b, "/d/b", "2").unwrap();
    store.write(one, 0, "/d/c", "3").unwrap();
    store.end(one, a, true).unwrap();
    store.end(one, b, true).unwrap();
    for (path, value) in [("/d/a", "1"), ("/d/b", "2"), ("/d/c", "3")] {
        assert_eq!(store.read(one, 0, path).as_deref(), Ok(value));
    }
    assert_eq!(store.server.check(), 0);
}

#[test]
fn what_was_read_must_still_be_so() {
    // What the transaction asks, what others do, whether that is a conflict.
    type Step = (XsType, &'static [&'static str]);
    let cases: &[(Step, Step, bool)] = &[
        ((XsType::READ, &["/a"]), (XsType::WRITE, &["/a", "x"]), true),
        ((XsType::READ, &["/a"]), (XsType::RM, &["/a"]), true),
        ((XsType::READ, &["/a"]), (XsType::MKDIR, &["/a/new"]), false),
        (
            (XsType::READ, &["/a"]),
            (XsType::SET_PERMS, &["/a", "r0"]),
            false,
        ),
        (
            (XsType::READ, &["/none"]),
            (XsType::MKDIR, &["/none"]),
            true,
        ),
        (
            (XsType::READ, &["/a"]),
            (XsType::WRITE, &["/b", "x"]),
            false,
        ),
        (
            (XsType::DIRECTORY, &["/a"]),
            (XsType::MKDIR, &["/a/new"]),
            true,
        ),
        (
            (XsType::DIRECTORY, &["/a"]),
            (XsType::WRITE, &["/a", "x"]),
            false,
        ),
        (
            (XsType::DIRECTORY, &["/a"]),
            (XsType::MKDIR, &["/a/c/new"]),
            false,
        ),
        (
            (XsType::GET_PERMS, &["/a"]),
            (XsType::SET_PERMS, &["/a", "r0"]),
            true,
        ),
        (
            (XsType::WRITE, &["/a", "y"]),
            (XsType::WRITE, &["/a", "x"]),
            false,
        ),
        ((XsType::WRITE, &["/a", "y"]), (XsType::RM, &["/a"]), true),
        ((XsType::RM, &["/a"]), (XsType::MKDIR, &["/a/new"]), false),
        ((XsType::RM, &["/none"]), (XsType::MKDIR, &["/none"]), true),
    ];
    for ((kind, asked), (other_kind, done), conflict) in cases {
        let mut store = Store::new();
        let one = store.tools;
        store.write(one, 0, "/a/c", "v").unwrap();
        let tx = store.begin(one).unwrap();
        let _ = store.say(one, *kind, tx, asked);
        store.write(one, tx, "/mine", "w").unwrap();
        store.say(one, *other_kind, 0, done).unwrap();
        let ended = store.end(one, tx, true);
        assert_eq!(ended.is_err(), *conflict, "{asked:?} against {done:?}");
        assert_eq!(store.read(one, 0, "/mine").is_err(), *conflict);
        assert_eq!(store.server.check(), 0);
    }
}

#[test]
fn removing_and_creating_again_in_one_transaction() {
    let mut store = Store::new();
    let one = store.tools;
    store.write(one, 0, "/a/old", "1").unwrap();
    let tx = store.begin(one).unwrap();
    store.say(one, XsType::RM, tx, &["/a"]).unwrap();
    store.write(one, tx, "/a/new", "2").unwrap();
    store.say(one, XsType::RM, tx, &["/a/new"]).unwrap();
    store.write(one, tx, "/a/newer", "3").unwrap();
    store.end(one, tx, true).unwrap();
    assert_eq!(
        store.say(one, XsType::DIRECTORY, 0, &["/a"]).unwrap(),
        b"newer\0"
    );
    assert_eq!(store.server.check(), 0);
}

#[test]
fn limits_hold_at_the_end_too() {
    let mut store = Store::new();
    store.server.config.quotas.nodes = 5;
    let tools = store.tools;
    let guest = store.domain(1);
    store
        .say(tools, XsType::MKDIR, 0, &["/local/domain/1"])
        .unwrap();
    store
        .say(tools, XsType::SET_PERMS, 0, &["/local/domain/1", "n1"])
        .unwrap();
    let (a, b) = (store.begin(guest).unwrap(), store.begin(guest).unwrap());
    for n in 0..3 {
        store.write(guest, a, &format!("a{n}"), "").unwrap();
        store.write(guest, b, &format!("b{n}"), "").unwrap();
    }
    store.end(guest, a, true).unwrap();
    assert_eq!(store.end(guest, b, true), Err("ENOSPC".into()));
    assert_eq!(store.server.check(), 0);
}

#[test]
fn the_number_of_nodes_in_one_is_limited() {
    let mut store = Store::new();
    store.server.config.quotas.transaction_nodes = 10;
    let guest = store.domain(1);
    let tx = store.begin(guest).unwrap();
    let mut refused = None;
    for n in 0..20 {
        let got = store.read(guest, tx, &format!("/none-{n}"));
        if got == Err("ENOSPC".into()) {
            refused.get_or_insert(n);
        }
    }
    assert_eq!(refused, Some(9));
    assert_eq!(store.end(guest, tx, true), Err("ENOMEM".into()));
    assert_eq!(store.server.check(), 0);
}

#[test]
fn several_at_a_time_but_not_more_than_the_limit_and_not_nested() {
    let mut store = Store::new();
    let guest = store.domain(1);
    let all: Vec<u32> = (0..10).map(|_| store.begin(guest).unwrap()).collect();
    assert_eq!(store.begin(guest), Err("ENOSPC".into()));
    let nested = store.say(guest, XsType::TRANSACTION_START, all[0], &[""]);
    assert_eq!(nested, Err("EBUSY".into()));
    store.say(guest, XsType::RESET_WATCHES, 0, &[""]).unwrap();
    assert!(store.begin(guest).is_ok());
    assert_eq!(store.server.check(), 0);
}

/// Three clients of which the last two have just met a conflict.
fn after_a_conflict() -> (Store, [ConnId; 3]) {
    let mut store = Store::new();
    let clients = [store.tools, store.server.connect(), store.server.connect()];
    let open = clients.map(|client| {
        let tx = store.begin(client).unwrap();
        assert!(store.read(client, tx, "/n").is_err());
        store.write(client, tx, "/n", "first").unwrap();
        tx
    });
    store.end(clients[0], open[0], true).unwrap();
    assert_eq!(store.end(clients[1], open[1], true), again());
    assert_eq!(store.end(clients[2], open[2], true), again());
    (store, clients)
}

#[test]
fn after_a_conflict_it_goes_by_turns() {
    let (mut store, [first, second, third]) = after_a_conflict();
    let tx = store.begin(second).unwrap();
    // The third is answered when the second is done; what comes behind waits with it.
    assert_eq!(store.begin(third), Err("no reply".into()));
    assert_eq!(store.read(third, 0, "/n"), Err("no reply".into()));
    // Who met none is not held up.
    let other = store.begin(first).unwrap();
    store.end(first, other, false).unwrap();
    assert_eq!(store.read(second, tx, "/n").as_deref(), Ok("first"));
    store.write(second, tx, "/n", "second").unwrap();
    store.end(second, tx, true).unwrap();
    // It was its second one, and sees what the second has done.
    assert_eq!(store.read(third, 2, "/n").as_deref(), Ok("second"));
    store.write(third, 2, "/n", "third").unwrap();
    store.end(third, 2, true).unwrap();
    assert_eq!(store.server.check(), 0);
}

#[test]
fn a_turn_ends_with_its_client_or_after_a_while() {
    let (mut store, [_, second, third]) = after_a_conflict();
    store.begin(second).unwrap();
    assert_eq!(store.begin(third), Err("no reply".into()));
    let wait = store.server.tick().unwrap();
    let later = store.server.now + wait;
    store.server.set_now(later);
    store.server.expire();
    assert_eq!(store.read(third, 2, "/n").as_deref(), Ok("first"));

    let (mut store, [_, second, third]) = after_a_conflict();
    store.begin(second).unwrap();
    assert_eq!(store.begin(third), Err("no reply".into()));
    store.server.disconnect(second);
    store.server.expire();
    assert_eq!(store.read(third, 2, "/n").as_deref(), Ok("first"));
}

#[test]
fn domains_have_no_part_in_turns() {
    let mut store = Store::new();
    let tools = store.tools;
    let guest = store.domain(5);
    store.write(tools, 0, "/local/domain/5", "").unwrap();
    store
        .say(tools, XsType::SET_PERMS, 0, &["/local/domain/5", "n5"])
        .unwrap();
    let clients = [tools, guest, store.server.connect()];
    let open = clients.map(|client| {
        let tx = store.begin(client).unwrap();
        assert!(store.read(client, tx, "/local/domain/5/n").is_err());
        store.write(client, tx, "/local/domain/5/n", "x").unwrap();
        tx
    });
    store.end(tools, open[0], true).unwrap();
    assert_eq!(store.end(guest, open[1], true), again());
    assert_eq!(store.end(clients[2], open[2], true), again());
    // The guest's open transaction is nothing that a tool waits for, nor the other way round.
    store.begin(guest).unwrap();
    store.begin(clients[2]).unwrap();
    store.begin(guest).unwrap();
}
