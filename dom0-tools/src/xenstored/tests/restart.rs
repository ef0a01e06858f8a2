//! Saving and restoring the whole state.

use std::time::Instant;

use hypercall_abi::io::xs_wire::XsType;

use crate::xenstored::ring::guest;
use crate::xenstored::server::{Config, Server};
use crate::xenstored::simulated::{Store, serve_ring};
use crate::xenstored::state::{self, Descriptors};

/// The store after a restart. Socket connections are gone.
fn restarted(mut old: Store) -> Store {
    let bytes = old.save();
    let machine = std::mem::take(&mut old.server.platform);
    let mut new = Store::new();
    new.server = Server::new(machine, Config::default(), Instant::now());
    state::restore(&mut new.server, &bytes, false).unwrap();
    new.tools = new.server.connect();
    assert_eq!(new.server.check(), 0);
    // The same again: nothing is lost in the format.
    let again = new.save();
    assert_eq!(bytes.len(), again.len());
    new
}

fn store() -> Store {
    let mut store = Store::new();
    let tools = store.tools;
    let guest = store.domain(1);
    store.domain(2);
    for path in ["/z", "/a", "/m/deep/er"] {
        store.write(tools, 0, path, "value").unwrap();
    }
    store
        .say(tools, XsType::MKDIR, 0, &["/local/domain/1"])
        .unwrap();
    store
        .say(
            tools,
            XsType::SET_PERMS,
            0,
            &["/local/domain/1", "n1", "r2"],
        )
        .unwrap();
    store
        .say(tools, XsType::SET_PERMS, 0, &["@releaseDomain", "n0", "r1"])
        .unwrap();
    store.write(guest, 0, "own", "mine").unwrap();
    store
        .say(guest, XsType::WATCH, 0, &["own", "relative"])
        .unwrap();
    store
        .say(guest, XsType::WATCH, 0, &["@releaseDomain", "special"])
        .unwrap();
    store.server.config.quotas.nodes = 123;
    store
}

/// Takes so many bytes, then its disk is full.
struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0 == 0 {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_large_state_is_written_in_pieces_and_whole() {
    let mut old = store();
    let tools = old.tools;
    for n in 0..2000 {
        let path = format!("/many/{n}");
        old.write(tools, 0, &path, &"v".repeat(n % 50)).unwrap();
    }
    let len = old.save().len();
    assert!(len > 64 * 1024);
    for room in [0, 20_000, len - 1] {
        let saved = state::save(&old.server, &Descriptors::default(), None, &mut Full(room));
        assert_eq!(
            saved.unwrap_err().kind(),
            std::io::ErrorKind::StorageFull,
            "{room}"
        );
    }
    let mut new = restarted(old);
    let tools = new.tools;
    for n in [0, 777, 1999] {
        let value = new.read(tools, 0, &format!("/many/{n}")).unwrap();
        assert_eq!(value.len(), n % 50);
    }
}

#[test]
fn clients_that_only_look_are_nothing_to_save() {
    let mut store = store();
    let guest = store.domain(3);
    let saved = store.server.version();
    let tools = store.server.connect();
    store.read(tools, 0, "/z").unwrap();
    store
        .say(tools, XsType::WATCH, 0, &["/z", "token"])
        .unwrap();
    let transaction = store.begin(tools).unwrap();
    store.read(tools, transaction, "/z").unwrap();
    store.end(tools, transaction, true).unwrap();
    store.server.disconnect(tools);
    assert_eq!(store.server.version(), saved);
    let mut last = saved;
    let mut changed = |store: &Store| {
        let now = store.server.version();
        now != std::mem::replace(&mut last, now)
    };
    store
        .say(guest, XsType::WATCH, 0, &["/z", "token"])
        .unwrap();
    assert!(changed(&store), "a guest's watch");
    store
        .say(guest, XsType::UNWATCH, 0, &["/z", "token"])
        .unwrap();
    assert!(changed(&store), "its end");
    let transaction = store.begin(guest).unwrap();
    assert!(changed(&store), "a guest's transaction");
    store.end(guest, transaction, false).unwrap();
    assert!(changed(&store), "its end");
    store.domain(4);
    assert!(changed(&store), "a domain");
    // What tools change beside the tree, over sockets as they do.
    let tools = store.tools;
    for (what, kind, parts) in [
        (
            "a quota",
            XsType::CONTROL,
            &["quota", "set", "watches", "77"][..],
        ),
        (
            "a warning level",
            XsType::CONTROL,
            &["quota-soft", "set", "memory", "7777"],
        ),
        (
            "who hears of new domains",
            XsType::SET_PERMS,
            &["@introduceDomain", "n0", "r3"],
        ),
        ("a target", XsType::SET_TARGET, &["3", "4"]),
        ("a resumed domain", XsType::RESUME, &["3"]),
        ("another port", XsType::INTRODUCE, &["3", "1", "9"]),
    ] {
        store.say(tools, kind, 0, parts).unwrap();
        assert!(changed(&store), "{what}");
    }
    let state = store.server.platform.domains.get_mut(&3).unwrap();
    state.shutdown = true;
    store.server.domains_changed();
    assert!(changed(&store), "a domain that shut down");
    store.server.domains_changed();
    assert!(!changed(&store), "nothing new");
}

#[test]
fn a_guest_does_not_notice() {
    let old = store();
    let mut new = restarted(old);
    let tools = new.tools;
    let guest = new.server.ring_of(1).unwrap();
    let other = new.server.ring_of(2).unwrap();
    let names = new.say(tools, XsType::DIRECTORY, 0, &["/"]).unwrap();
    assert_eq!(names, b"tool\0z\0a\0m\0local\0");
    assert_eq!(new.read(tools, 0, "/m/deep/er").as_deref(), Ok("value"));
    assert_eq!(new.read(guest, 0, "own").as_deref(), Ok("mine"));
    assert_eq!(
        new.read(other, 0, "/local/domain/1/own").as_deref(),
        Ok("mine")
    );
    assert_eq!(new.server.config.quotas.nodes, 123);
    new.write(tools, 0, "/local/domain/1/own", "changed")
        .unwrap();
    assert_eq!(new.heard(guest), ["own"]);
    new.destroy(2);
    assert_eq!(new.heard(guest), ["@releaseDomain"]);
}

#[test]
fn an_open_transaction_is_told_to_try_again() {
    let mut old = store();
    let guest = old.server.ring_of(1).unwrap();
    let tx = old.begin(guest).unwrap();
    old.write(guest, tx, "half", "done").unwrap();
    let mut new = restarted(old);
    let guest = new.server.ring_of(1).unwrap();
    new.write(guest, tx, "other", "half").unwrap();
    assert_eq!(new.end(guest, tx, true), Err("EAGAIN".into()));
    assert!(new.read(guest, 0, "half").is_err());
    let tx = new.begin(guest).unwrap();
    new.write(guest, tx, "half", "again").unwrap();
    new.end(guest, tx, true).unwrap();
}

#[test]
fn half_a_request_and_undelivered_replies_go_over() {
    let mut old = store();
    let guest = old.server.ring_of(1).unwrap();
    let message = crate::xenstore::wire::Message {
        kind: XsType::READ,
        request: 5,
        transaction: 0,
        payload: b"own\0".to_vec(),
    };
    let bytes = message.to_bytes();
    old.server.input(guest, &bytes);
    old.server.delivered(guest, 3);
    old.server.input(guest, &bytes[..18]);
    let mut new = restarted(old);
    let guest = new.server.ring_of(1).unwrap();
    new.server.input(guest, &bytes[18..]);
    let output: Vec<u8> = new
        .server
        .connection(guest)
        .unwrap()
        .output()
        .flatten()
        .copied()
        .collect();
    // The rest of one reply and the whole of the other: 2 * (16 + 4) - 3.
    assert_eq!(output.len(), 37);
    assert!(output.ends_with(b"mine"));
}

/// The store as it goes on from a state that was saved before these bytes came and went.
fn killed_after(bytes: &[u8], mut old: Store) -> Store {
    let machine = std::mem::take(&mut old.server.platform);
    let mut new = Store::new();
    new.server = Server::new(machine, Config::default(), Instant::now());
    state::restore(&mut new.server, bytes, false).unwrap();
    assert_eq!(new.server.check(), 0);
    new
}

/// What a guest sends, and what it finds in its ring when that was served.
fn through_the_ring(store: &mut Store, bytes: &[u8]) -> Vec<u8> {
    let memory = |store: &Store| {
        store
            .server
            .platform
            .rings
            .get(&1)
            .unwrap()
            .memory()
            .clone()
    };
    guest::send(&memory(store), bytes);
    serve_ring(store, 1);
    guest::receive(&memory(store))
}

#[test]
fn what_went_through_a_ring_since_the_state_was_saved_goes_through_once() {
    let read = crate::xenstore::wire::Message {
        kind: XsType::READ,
        request: 5,
        transaction: 0,
        payload: b"own\0".to_vec(),
    };
    let request = read.to_bytes();
    // Half a request is saved; then it is answered, and half of another has come.
    let mut old = store();
    assert!(through_the_ring(&mut old, &request[..18]).is_empty());
    let bytes = old.save();
    let reply = through_the_ring(&mut old, &request[18..]);
    assert!(reply.ends_with(b"mine"));
    assert!(through_the_ring(&mut old, &request[..7]).is_empty());
    let mut new = killed_after(&bytes, old);
    assert!(through_the_ring(&mut new, &[]).is_empty());
    assert_eq!(through_the_ring(&mut new, &request[7..]), reply);

    // A reply that is saved is delivered in part.
    let mut old = store();
    let guest = old.server.ring_of(1).unwrap();
    old.server.input(guest, &request);
    let bytes = old.save();
    let ring = old.server.platform.rings.get(&1).unwrap();
    ring.put(&reply[..9]).unwrap();
    let mut new = killed_after(&bytes, old);
    assert_eq!(through_the_ring(&mut new, &[]), reply);
    assert_eq!(through_the_ring(&mut new, &request), reply);
}

#[test]
fn a_descriptor_that_is_named_twice_is_refused() {
    let names = |evtchn| Descriptors {
        listener: Some(7),
        evtchn: Some(evtchn),
        ..Descriptors::default()
    };
    let store = store();
    let read = |evtchn| state::descriptors(&store.save_with(&names(evtchn)));
    assert_eq!(read(8).unwrap().all().collect::<Vec<_>>(), [7, 8]);
    assert_eq!(read(7).unwrap_err(), state::Error::Record(1));
}

#[test]
fn nonsense_is_refused() {
    let bytes = store().save();
    for end in 0..bytes.len() {
        let mut new = Store::new();
        assert!(state::restore(&mut new.server, &bytes[..end], false).is_err());
        assert!(state::descriptors(&bytes[..end]).is_err());
    }
    let mut seed = 1u64;
    for _ in 0..2000 {
        let mut broken = bytes.clone();
        for _ in 0..4 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
            let at = (seed >> 33) as usize % broken.len();
            broken[at] = (seed >> 20) as u8;
        }
        let mut new = Store::new();
        // Whatever it says, it says it without a panic, and the accounts are right.
        if state::restore(&mut new.server, &broken, false).is_ok() {
            assert_eq!(new.server.check(), 0);
        }
    }
}
