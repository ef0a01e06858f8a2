//! Domains: introduced, shut down, gone.

use hypercall_abi::io::xs_wire::XsType;

use crate::xenstored::platform::DomainState;
use crate::xenstored::simulated::Store;

fn own_directory(store: &mut Store, domid: u32) {
    let tools = store.tools;
    let path = format!("/local/domain/{domid}");
    store.say(tools, XsType::MKDIR, 0, &[&path]).unwrap();
    let owner = format!("n{domid}");
    store
        .say(tools, XsType::SET_PERMS, 0, &[&path, &owner])
        .unwrap();
}

#[test]
fn dom0_and_its_pool_have_names_and_keep_those_they_got() {
    let mut store = Store::new();
    let tools = store.tools;
    store.server.name_own_domain();
    let pool = "/local/pool/0/name";
    let named = |store: &mut Store, path| store.read(tools, 0, path).unwrap();
    assert_eq!(named(&mut store, "/local/domain/0/name"), "Domain-0");
    assert_eq!(named(&mut store, pool), "Pool-0");
    store.write(tools, 0, pool, "all").unwrap();
    store.server.name_own_domain();
    assert_eq!(named(&mut store, pool), "all");
}

#[test]
fn a_domain_comes_and_goes() {
    let mut store = Store::new();
    let tools = store.tools;
    store
        .say(tools, XsType::WATCH, 0, &["@introduceDomain", "i"])
        .unwrap();
    store
        .say(tools, XsType::WATCH, 0, &["@releaseDomain", "r"])
        .unwrap();
    store
        .say(tools, XsType::WATCH, 0, &["@releaseDomain", "d", "1"])
        .unwrap();
    store.heard(tools);
    let asked = |store: &mut Store, domid: &str| {
        let got = store.say(tools, XsType::IS_DOMAIN_INTRODUCED, 0, &[domid]);
        got.unwrap()
    };
    assert_eq!(asked(&mut store, "1"), b"F\0");
    assert_eq!(asked(&mut store, "32752"), b"T\0");
    store.domain(1);
    assert_eq!(store.heard(tools), ["@introduceDomain"]);
    assert_eq!(asked(&mut store, "1"), b"T\0");

    let shut = DomainState {
        shutdown: true,
        dying: false,
    };
    store.server.platform.domains.insert(1, shut);
    for expected in [2, 0] {
        // The second look has nothing new to tell.
        store.server.domains_changed();
        store.collect();
        assert_eq!(store.heard(tools).len(), expected);
    }
    store.say(tools, XsType::RESUME, 0, &["1"]).unwrap();
    store.server.domains_changed();
    store.collect();
    assert_eq!(store.heard(tools), ["@releaseDomain", "@releaseDomain/1"]);
    store.destroy(1);
    assert_eq!(store.heard(tools), ["@releaseDomain", "@releaseDomain/1"]);
    assert_eq!(asked(&mut store, "1"), b"F\0");
    assert!(store.server.platform.rings.is_empty());
}

#[test]
fn its_nodes_go_with_it_and_watches_hear_of_them() {
    let mut store = Store::new();
    let tools = store.tools;
    let guest = store.domain(1);
    own_directory(&mut store, 1);
    store.write(guest, 0, "a/b", "").unwrap();
    store.write(tools, 0, "/elsewhere/of1", "").unwrap();
    store
        .say(tools, XsType::SET_PERMS, 0, &["/elsewhere/of1", "n1"])
        .unwrap();
    store
        .say(tools, XsType::WATCH, 0, &["/elsewhere", "t"])
        .unwrap();
    store.heard(tools);
    store.destroy(1);
    assert_eq!(store.heard(tools), ["/elsewhere/of1"]);
    assert_eq!(
        store.read(tools, 0, "/local/domain/1"),
        Err("ENOENT".into())
    );
    assert_eq!(store.read(tools, 0, "/elsewhere").as_deref(), Ok(""));
    assert_eq!(store.server.check(), 0);
}

#[test]
fn errors_of_the_requests_about_domains() {
    let mut store = Store::new();
    let tools = store.tools;
    let refused = |store: &mut Store, kind: XsType, parts: &[&str], error: &str| {
        assert_eq!(
            store.say(tools, kind, 0, parts),
            Err(error.into()),
            "{parts:?}"
        );
    };
    refused(&mut store, XsType::INTRODUCE, &["1", "1"], "EINVAL");
    refused(&mut store, XsType::INTRODUCE, &["1", "1", "0"], "EINVAL");
    refused(&mut store, XsType::INTRODUCE, &["1", "1", "-5"], "EINVAL");
    refused(&mut store, XsType::INTRODUCE, &["99", "1", "1"], "EINVAL");
    refused(&mut store, XsType::RELEASE, &["0"], "EINVAL");
    refused(&mut store, XsType::RELEASE, &["1"], "ENOENT");
    refused(&mut store, XsType::RESUME, &["1"], "ENOENT");
    refused(&mut store, XsType::SET_TARGET, &["1", "2"], "ENOENT");
    let path = store
        .say(tools, XsType::GET_DOMAIN_PATH, 0, &["7"])
        .unwrap();
    assert_eq!(path, b"/local/domain/7\0");
}

#[test]
fn a_device_model_has_its_targets_rights_until_that_is_gone() {
    let mut store = Store::new();
    let tools = store.tools;
    let model = store.domain(2);
    store.domain(1);
    own_directory(&mut store, 1);
    let path = "/local/domain/1/x";
    assert!(store.write(model, 0, path, "").is_err());
    store
        .say(tools, XsType::SET_TARGET, 0, &["2", "1"])
        .unwrap();
    store.write(model, 0, path, "").unwrap();
    store.destroy(1);
    // The number's next holder is nobody's target.
    store.domain(1);
    own_directory(&mut store, 1);
    assert!(store.write(model, 0, path, "").is_err());
}

#[test]
fn permissions_may_be_set_before_a_domain_is_introduced() {
    let mut store = Store::new();
    let tools = store.tools;
    store
        .server
        .platform
        .domains
        .insert(5, DomainState::default());
    own_directory(&mut store, 5);
    store.write(tools, 0, "/shared", "v").unwrap();
    store
        .say(tools, XsType::SET_PERMS, 0, &["/shared", "n0", "r5"])
        .unwrap();
    let guest = store.domain(5);
    assert_eq!(store.read(guest, 0, "/shared").as_deref(), Ok("v"));
    store.write(guest, 0, "own", "").unwrap();
}

#[test]
fn introducing_again_resets_the_connection() {
    let mut store = Store::new();
    let tools = store.tools;
    let guest = store.domain(1);
    store.say(guest, XsType::WATCH, 0, &["/", "t"]).unwrap();
    store.begin(guest).unwrap();
    store
        .say(tools, XsType::INTRODUCE, 0, &["1", "1", "2"])
        .unwrap();
    assert_eq!(store.server.ring_of(1), Some(guest));
    store.say(guest, XsType::WATCH, 0, &["/", "t"]).unwrap();
    assert_eq!(store.server.check(), 0);
}
