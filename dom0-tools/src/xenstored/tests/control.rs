//! The control command and the logs of refusals.

use std::time::{Duration, Instant};

use hypercall_abi::io::xs_wire::XsType;

use crate::xenstored::simulated::Store;

fn control(store: &mut Store, words: &[&str]) -> Result<String, String> {
    let tools = store.tools;
    let got = store.say(tools, XsType::CONTROL, 0, words)?;
    Ok(String::from_utf8(got)
        .unwrap()
        .trim_end_matches('\0')
        .to_owned())
}

#[test]
fn quotas_are_shown_and_set() {
    let mut store = Store::new();
    let text = control(&mut store, &["quota"]).unwrap();
    assert!(text.starts_with("Quota settings:\nnodes            :     1000 Nodes per domain\n"));
    control(&mut store, &["quota", "set", "nodes", "7"]).unwrap();
    control(&mut store, &["quota-soft", "set", "memory", "9"]).unwrap();
    assert_eq!(store.server.config.quotas.nodes, 7);
    assert_eq!(store.server.config.quotas.memory_soft, 9);
    let text = control(&mut store, &["quota", "0"]).unwrap();
    assert!(
        text.starts_with("Domain 0:\nnodes           :        3\n"),
        "{text}"
    );
    for bad in [
        &["quota", "set", "nodes", "0"][..],
        &["quota", "set", "what", "1"],
        &["quota", "set", "nodes"],
        &["nonsense"],
        &["check", "x"],
        &["log", "maybe"],
        &[],
    ] {
        assert_eq!(control(&mut store, bad), Err("EINVAL".into()), "{bad:?}");
    }
    assert_eq!(control(&mut store, &["quota", "55"]), Err("ENOENT".into()));
    assert!(
        control(&mut store, &["help"])
            .unwrap()
            .contains("quota-soft\t[set")
    );
    assert_eq!(control(&mut store, &["check"]).as_deref(), Ok("OK"));
    control(&mut store, &["print", "hello"]).unwrap();
    assert_eq!(store.server.platform.log.last().unwrap(), "control: hello");
}

#[test]
fn live_update_has_its_own_protocol() {
    let mut store = Store::new();
    let update =
        |store: &mut Store, words: &[&str]| control(store, &[&["live-update"], words].concat());
    assert_eq!(
        update(&mut store, &["-s"]).unwrap(),
        "Not in live-update session."
    );
    assert_eq!(
        update(&mut store, &["-a"]).unwrap(),
        "No live-update session active."
    );
    assert_eq!(
        update(&mut store, &["-f", "/none"]).unwrap(),
        "File not accessible."
    );
    assert_eq!(update(&mut store, &["-f", "/bin/sh"]).unwrap(), "OK");
    assert_eq!(
        update(&mut store, &["-f", "/bin/sh"]).unwrap(),
        "live-update session already active."
    );
    assert_eq!(update(&mut store, &["-c", "-N -V"]).unwrap(), "OK");
    assert!(store.server.take_update().is_none());
    assert_eq!(
        update(&mut store, &["-s", "-t", "5", "-F"]),
        Err("no reply".into())
    );
    let ready = store.server.take_update().unwrap();
    assert_eq!(
        ready.arguments.as_deref(),
        Some(&["-N".into(), "-V".into()][..])
    );
    store.server.fail_update(&ready, "it did not work");
    let replies = store.collect();
    assert_eq!(replies[0].1.payload, b"it did not work\0");
}

#[test]
fn a_refusal_names_domain_and_quota_once_per_burst() {
    let mut store = Store::new();
    store.server.config.quotas.watches = 2;
    let guest = store.domain(4);
    let start = Instant::now();
    let mut refused = 0;
    for n in 0..20 {
        store.server.set_now(start + Duration::from_millis(n * 100));
        let token = n.to_string();
        let got = store.say(guest, XsType::WATCH, 0, &["/", &token]);
        refused += usize::from(got == Err("E2BIG".into()));
    }
    assert_eq!(refused, 18);
    let log = &store.server.platform.log;
    assert_eq!(
        log.as_slice(),
        ["domain 4: quota watches (2) refuses a watch"]
    );
}
