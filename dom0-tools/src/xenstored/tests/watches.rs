//! Watches: which events, to whom, in which order.

use hypercall_abi::io::xs_wire::XsType;

use crate::xenstored::simulated::Store;

fn watching(path: &str) -> Store {
    let mut store = Store::new();
    let tools = store.tools;
    store
        .say(tools, XsType::WATCH, 0, &[path, "token"])
        .unwrap();
    assert_eq!(store.heard(tools), [path]);
    store
}

#[test]
fn every_kind_of_change_fires() {
    let mut store = watching("/a");
    let tools = store.tools;
    store.write(tools, 0, "/a/b/c", "").unwrap();
    assert_eq!(store.heard(tools), ["/a/b/c"]);
    store.write(tools, 0, "/a/b/c", "x").unwrap();
    assert_eq!(store.heard(tools), ["/a/b/c"]);
    store.say(tools, XsType::MKDIR, 0, &["/a/d"]).unwrap();
    assert_eq!(store.heard(tools), ["/a/d"]);
    store.say(tools, XsType::MKDIR, 0, &["/a/d"]).unwrap();
    store.write(tools, 0, "/ab", "").unwrap();
    assert!(store.heard(tools).is_empty());
    store
        .say(tools, XsType::SET_PERMS, 0, &["/a/d", "r0"])
        .unwrap();
    assert_eq!(store.heard(tools), ["/a/d"]);
    store.say(tools, XsType::RM, 0, &["/a/b"]).unwrap();
    assert_eq!(store.heard(tools), ["/a/b"]);
}

#[test]
fn a_watch_below_what_is_removed_fires_with_its_own_path() {
    let mut store = watching("/a/b/c");
    let tools = store.tools;
    store.write(tools, 0, "/a/b/c", "").unwrap();
    store.write(tools, 0, "/a/b/c/d", "").unwrap();
    store.heard(tools);
    store.say(tools, XsType::RM, 0, &["/a"]).unwrap();
    assert_eq!(store.heard(tools), ["/a/b/c"]);
}

#[test]
fn children_fire_before_parents_when_removed() {
    let mut store = watching("/a");
    let tools = store.tools;
    store
        .say(tools, XsType::WATCH, 0, &["/a/b", "below"])
        .unwrap();
    store.write(tools, 0, "/a/b", "").unwrap();
    store.heard(tools);
    store.say(tools, XsType::RM, 0, &["/a"]).unwrap();
    assert_eq!(store.heard(tools), ["/a/b", "/a"]);
}

#[test]
fn a_transactions_events_come_with_its_end() {
    let mut store = watching("/");
    let tools = store.tools;
    store.write(tools, 0, "/old/x", "").unwrap();
    store.heard(tools);
    let tx = store.begin(tools).unwrap();
    for path in ["/b", "/a", "/b"] {
        store.write(tools, tx, path, "").unwrap();
    }
    store.say(tools, XsType::RM, tx, &["/old"]).unwrap();
    store.write(tools, tx, "/temporary", "").unwrap();
    store.say(tools, XsType::RM, tx, &["/temporary"]).unwrap();
    assert!(store.heard(tools).is_empty());
    store.end(tools, tx, true).unwrap();
    assert_eq!(store.heard(tools), ["/b", "/a", "/old"]);
}

#[test]
fn unwatch_needs_the_same_path_and_token() {
    let mut store = watching("/a");
    let tools = store.tools;
    let unwatch = |store: &mut Store, path: &str, token: &str| {
        store.say(tools, XsType::UNWATCH, 0, &[path, token])
    };
    assert_eq!(unwatch(&mut store, "/a", "other"), Err("ENOENT".into()));
    let twice = store.say(tools, XsType::WATCH, 0, &["/a", "token"]);
    assert_eq!(twice, Err("EEXIST".into()));
    unwatch(&mut store, "/a", "token").unwrap();
    store.write(tools, 0, "/a", "").unwrap();
    assert!(store.heard(tools).is_empty());
    assert_eq!(
        store.say(tools, XsType::WATCH, 0, &["/a"]),
        Err("EINVAL".into())
    );
    assert_eq!(
        store.say(tools, XsType::WATCH, 0, &["/a b", "t"]),
        Err("EINVAL".into())
    );
}

#[test]
fn depth_is_a_third_string() {
    let mut store = Store::new();
    let tools = store.tools;
    store
        .say(tools, XsType::WATCH, 0, &["/a", "t", "1"])
        .unwrap();
    store.heard(tools);
    store.write(tools, 0, "/a/b/c", "").unwrap();
    assert!(store.heard(tools).is_empty());
    store.write(tools, 0, "/a/b", "").unwrap();
    assert_eq!(store.heard(tools), ["/a/b"]);
    for bad in ["x", "-1", "99999"] {
        let got = store.say(tools, XsType::WATCH, 0, &["/a", "u", bad]);
        assert_eq!(got, Err("EINVAL".into()));
    }
    let special = store.say(tools, XsType::WATCH, 0, &["@releaseDomain", "t", "2"]);
    assert_eq!(special, Err("EINVAL".into()));
}

#[test]
fn relative_watches_report_relative_paths() {
    let mut store = Store::new();
    let tools = store.tools;
    let guest = store.domain(1);
    store
        .say(tools, XsType::MKDIR, 0, &["/local/domain/1"])
        .unwrap();
    store
        .say(tools, XsType::SET_PERMS, 0, &["/local/domain/1", "n1"])
        .unwrap();
    store
        .say(guest, XsType::WATCH, 0, &["device", "t"])
        .unwrap();
    store
        .write(tools, 0, "/local/domain/1/device/vbd", "")
        .unwrap();
    assert_eq!(store.heard(guest), ["device", "device/vbd"]);
}

#[test]
fn the_same_event_waits_only_once() {
    let mut store = watching("/a");
    let tools = store.tools;
    let other = store.server.connect();
    store.say(other, XsType::WATCH, 0, &["/a", "slow"]).unwrap();
    store.heard(other);
    // Requests without delivering anything in between.
    for n in 0..5 {
        let message = crate::xenstore::wire::Message {
            kind: XsType::WRITE,
            request: n,
            transaction: 0,
            payload: b"/a\0x".to_vec(),
        };
        store.server.input(tools, &message.to_bytes());
    }
    store.collect();
    assert_eq!(store.heard(other), ["/a"]);
}
