//! Reading and changing the tree: results and errors as C xenstored's.

use hypercall_abi::io::xs_wire::XsType;

use crate::xenstored::simulated::Store;

fn err<T>(name: &str) -> Result<T, String> {
    Err(name.to_owned())
}

fn list(store: &mut Store, path: &str) -> Vec<String> {
    let conn = store.tools;
    let got = store.say(conn, XsType::DIRECTORY, 0, &[path]).unwrap();
    let text = String::from_utf8(got).unwrap();
    text.split_terminator('\0').map(str::to_owned).collect()
}

#[test]
fn a_new_store_has_what_c_xenstored_has() {
    let mut store = Store::new();
    assert_eq!(list(&mut store, "/"), ["tool"]);
    assert_eq!(list(&mut store, "/tool"), ["xenstored"]);
}

#[test]
fn writing_creates_parents_and_reading_gives_back_any_bytes() {
    let mut store = Store::new();
    let tools = store.tools;
    let got = store.ask(tools, XsType::WRITE, 0, b"/a/b/c\0bin\0ary");
    assert_eq!(got.as_deref(), Ok(&b"OK\0"[..]));
    let got = store.say(tools, XsType::READ, 0, &["/a/b/c"]);
    assert_eq!(got.as_deref(), Ok(&b"bin\0ary"[..]));
    assert_eq!(store.read(tools, 0, "/a/b").as_deref(), Ok(""));
    assert_eq!(list(&mut store, "/a"), ["b"]);
}

#[test]
fn errors_have_the_names_that_c_xenstored_gives() {
    let mut store = Store::new();
    let tools = store.tools;
    assert_eq!(store.read(tools, 0, "/none"), err("ENOENT"));
    assert_eq!(store.read(tools, 0, "/bad path"), err("EINVAL"));
    assert_eq!(store.read(tools, 0, "/a//b"), err("EINVAL"));
    assert_eq!(
        store.say(tools, XsType::READ, 0, &["/a", "b"]),
        err("EINVAL")
    );
    assert_eq!(store.ask(tools, XsType::READ, 0, b"/"), err("EINVAL"));
    assert_eq!(store.ask(tools, XsType::READ, 0, b""), err("EINVAL"));
    assert_eq!(store.say(tools, XsType::RM, 0, &["/"]), err("EINVAL"));
    assert_eq!(
        store.say(tools, XsType::RM, 0, &["/none/below"]),
        err("ENOENT")
    );
    assert!(store.say(tools, XsType::RM, 0, &["/none"]).is_ok());
    assert_eq!(
        store.say(tools, XsType::DIRECTORY, 0, &["/none"]),
        err("ENOENT")
    );
    assert_eq!(store.ask(tools, XsType::WRITE, 0, b"/a"), err("EINVAL"));
    assert_eq!(
        store.say(tools, XsType::SET_PERMS, 0, &["/tool"]),
        err("EINVAL")
    );
    assert_eq!(
        store.say(tools, XsType::SET_PERMS, 0, &["/tool", "x0"]),
        err("EINVAL")
    );
    assert_eq!(
        store.say(tools, XsType::SET_PERMS, 0, &["/tool", "n77"]),
        err("ENOENT")
    );
    assert_eq!(
        store.say(tools, XsType::SET_PERMS, 0, &["@what", "n0"]),
        err("EINVAL")
    );
    assert_eq!(store.say(tools, XsType(99), 0, &["/"]), err("ENOSYS"));
    assert_eq!(
        store.say(tools, XsType::WATCH_EVENT, 0, &["/"]),
        err("ENOSYS")
    );
    assert_eq!(store.say(tools, XsType::READ, 5, &["/"]), err("ENOENT"));
    assert_eq!(
        store.say(tools, XsType::TRANSACTION_END, 0, &["T"]),
        err("ENOENT")
    );
    assert_eq!(
        store.say(tools, XsType::TRANSACTION_END, 0, &["X"]),
        err("EINVAL")
    );
}

#[test]
fn mkdir_keeps_what_is_there() {
    let mut store = Store::new();
    let tools = store.tools;
    store.write(tools, 0, "/a", "x").unwrap();
    store.say(tools, XsType::MKDIR, 0, &["/a"]).unwrap();
    store.say(tools, XsType::MKDIR, 0, &["/b/c"]).unwrap();
    assert_eq!(store.read(tools, 0, "/a").as_deref(), Ok("x"));
    assert_eq!(list(&mut store, "/"), ["tool", "a", "b"]);
}

#[test]
fn relative_paths_are_below_the_callers_domain() {
    let mut store = Store::new();
    let tools = store.tools;
    let guest = store.domain(3);
    store.write(tools, 0, "x", "tools").unwrap();
    assert_eq!(
        store.read(tools, 0, "/local/domain/0/x").as_deref(),
        Ok("tools")
    );
    store
        .say(tools, XsType::MKDIR, 0, &["/local/domain/3"])
        .unwrap();
    store
        .say(tools, XsType::SET_PERMS, 0, &["/local/domain/3", "n3"])
        .unwrap();
    store.write(guest, 0, "x", "guest").unwrap();
    assert_eq!(
        store.read(tools, 0, "/local/domain/3/x").as_deref(),
        Ok("guest")
    );
}

#[test]
fn permissions_are_inherited_and_creators_own() {
    let mut store = Store::new();
    let tools = store.tools;
    let guest = store.domain(1);
    store.domain(2);
    store.say(tools, XsType::MKDIR, 0, &["/d"]).unwrap();
    store
        .say(tools, XsType::SET_PERMS, 0, &["/d", "w0", "r2", "b1"])
        .unwrap();
    store.write(tools, 0, "/d/tools", "").unwrap();
    store.write(guest, 0, "/d/guest/below", "").unwrap();
    let perms = |store: &mut Store, path: &str| {
        let got = store.say(tools, XsType::GET_PERMS, 0, &[path]).unwrap();
        String::from_utf8(got).unwrap().replace('\0', " ")
    };
    assert_eq!(perms(&mut store, "/d/tools"), "w0 r2 b1 ");
    assert_eq!(perms(&mut store, "/d/guest"), "w1 r2 b1 ");
    assert_eq!(perms(&mut store, "/d/guest/below"), "w1 r2 b1 ");
}

#[test]
fn what_a_guest_may_not_see_it_does_not_learn_of() {
    let mut store = Store::new();
    let tools = store.tools;
    let guest = store.domain(1);
    store.write(tools, 0, "/hidden/node", "secret").unwrap();
    store.write(tools, 0, "/open/node", "secret").unwrap();
    store
        .say(tools, XsType::SET_PERMS, 0, &["/open", "r0"])
        .unwrap();
    assert_eq!(store.read(guest, 0, "/hidden/node"), err("EACCES"));
    assert_eq!(store.read(guest, 0, "/hidden/none"), err("EACCES"));
    assert_eq!(store.read(guest, 0, "/open/node"), err("EACCES"));
    assert_eq!(store.read(guest, 0, "/open/none"), err("ENOENT"));
    assert_eq!(store.read(guest, 0, "/open/bad path"), err("EINVAL"));
    assert_eq!(store.write(guest, 0, "/open/new", ""), err("EACCES"));
    assert_eq!(
        store.say(guest, XsType::RM, 0, &["/open/none"]),
        err("EACCES")
    );
    assert_eq!(
        store.say(guest, XsType::CONTROL, 0, &["help"]),
        err("EACCES")
    );
    let introduce = store.say(guest, XsType::INTRODUCE, 0, &["1", "1", "1"]);
    assert_eq!(introduce, err("EACCES"));
}

#[test]
fn long_lists_come_in_parts() {
    let mut store = Store::new();
    let tools = store.tools;
    let mut expected = Vec::new();
    for n in 0..500 {
        let name = format!("child-with-a-name-{n}");
        store.write(tools, 0, &format!("/d/{name}"), "").unwrap();
        expected.extend_from_slice(name.as_bytes());
        expected.push(0);
    }
    assert_eq!(
        store.say(tools, XsType::DIRECTORY, 0, &["/d"]),
        err("E2BIG")
    );
    let mut names = Vec::new();
    let mut generation = None;
    loop {
        let offset = names.len().to_string();
        let got = store
            .say(tools, XsType::DIRECTORY_PART, 0, &["/d", &offset])
            .unwrap();
        assert!(got.len() <= 4096);
        let end = got.iter().position(|byte| *byte == 0).unwrap();
        let now = got[..end].to_vec();
        assert_eq!(*generation.get_or_insert(now.clone()), now);
        let part = &got[end + 1..];
        if part == b"\0" || part.ends_with(b"\0\0") {
            names.extend_from_slice(&part[..part.len() - 1]);
            break;
        }
        names.extend_from_slice(part);
    }
    assert_eq!(names, expected);
    // Beyond the end, and for nonsense: an empty rest.
    for offset in ["99999999", "-1"] {
        let got = store
            .say(tools, XsType::DIRECTORY_PART, 0, &["/d", offset])
            .unwrap();
        assert!(got.ends_with(b"\0\0"));
    }
}
