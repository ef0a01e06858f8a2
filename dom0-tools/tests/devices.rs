//! Devices over a xenstored of their own, with a backend in a driver domain that this test plays.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dom0_tools::devices::{Device, DiskSpec, Kind, disk};
use dom0_tools::xenstore::Client;

const PROGRAM: &str = env!("CARGO_BIN_EXE_xenstored");
const PATIENCE: Duration = Duration::from_secs(60);
const BACKEND: &str = "/local/domain/5/backend/vbd/7/51712";
const TROUBLES: &str = "/local/domain/5/error/backend/vbd/7/51712";
const INITIALISING: &str = "1";
const WAITING: &str = "2";
const CLOSING: &str = "5";
const CLOSED: &str = "6";

/// A daemon in a directory of its own; both end with it.
struct Daemon {
    directory: PathBuf,
    child: Child,
}

impl Daemon {
    fn start(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("oxen-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let child = Command::new(PROGRAM)
            .args(["--no-fork", "--no-domain-init"])
            .env("XENSTORED_RUNDIR", &directory)
            .env_remove("XENSTORED_PATH")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { directory, child }
    }

    fn client(&self) -> Client {
        let end = Instant::now() + PATIENCE;
        loop {
            match Client::connect(&self.directory.join("socket")) {
                Ok(client) => return client,
                Err(error) if Instant::now() > end => panic!("{error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Waits until the backend is told to be in a state.
fn told(store: &Client, state: &str) {
    let end = Instant::now() + PATIENCE;
    let path = format!("{BACKEND}/state");
    while store.try_read_string(&path).unwrap().as_deref() != Some(state) {
        assert!(Instant::now() < end, "never told to be in state {state}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Attaches the disk, the backend doing as `answer` says.
fn attach(
    daemon: &Daemon,
    answer: impl FnOnce(&Client) + Send,
) -> Result<Device, dom0_tools::devices::Error> {
    let spec = DiskSpec::parse("backend=5,vdev=xvda,target=/dev/null").unwrap();
    let store = daemon.client();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let backend = daemon.client();
            told(&backend, INITIALISING);
            answer(&backend);
        });
        disk::attach(&store, 7, &spec).inspect_err(|error| eprintln!("{error}"))
    })
}

fn ready(backend: &Client) {
    backend.write(&format!("{BACKEND}/state"), WAITING).unwrap();
}

/// Attaching takes a lock where only root may.
fn may_attach() -> bool {
    std::fs::create_dir_all("/run/xen").is_ok()
}

/// A guest can have its backend complain of what it wrote. That keeps nobody from taking the
/// device away by force, nor from attaching another.
#[test]
fn a_complaint_that_a_guest_made_does_not_keep_its_device() {
    if !may_attach() {
        return;
    }
    let daemon = Daemon::start("complaint");
    let store = daemon.client();
    let device = attach(&daemon, ready).unwrap();
    let complaint = format!("{TROUBLES}/error");
    store.write(&complaint, "2 reading the protocol").unwrap();
    let (started, took) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let backend = daemon.client();
            told(&backend, CLOSING);
            std::thread::sleep(Duration::from_millis(300));
            backend.write(&format!("{BACKEND}/state"), CLOSED).unwrap();
        });
        let started = Instant::now();
        disk::detach(&store, &device, true).unwrap();
        (started, started.elapsed())
    });
    assert!(took >= Duration::from_millis(300), "{started:?} {took:?}");
    for path in [&device.frontend(), &device.tools(), BACKEND, TROUBLES] {
        assert!(!store.exists(path).unwrap(), "{path}");
    }
    assert_eq!(Device::list(&store, 7, Kind::Vbd).unwrap(), []);

    // One that somebody else left, too.
    store.write(&complaint, "2 old words").unwrap();
    attach(&daemon, ready).unwrap();
    assert!(!store.exists(&complaint).unwrap());
}

/// The kernel's disk backend goes when its frontend's node has gone, and says that it has closed only if it had been
/// asked by then.
#[test]
fn a_backend_is_asked_to_close_before_its_frontend_is_gone() {
    if !may_attach() {
        return;
    }
    let daemon = Daemon::start("order");
    let store = daemon.client();
    let device = attach(&daemon, ready).unwrap();
    let (listens, ready_to_go) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let backend = daemon.client();
            backend.watch(&device.frontend(), "frontend").unwrap();
            listens.send(()).unwrap();
            let end = Instant::now() + PATIENCE;
            while backend.exists(&device.frontend()).unwrap() {
                assert!(Instant::now() < end, "the frontend stays");
                backend.next_event(Some(PATIENCE)).unwrap();
            }
            let state = format!("{BACKEND}/state");
            assert_eq!(backend.read_string(&state).unwrap(), CLOSING);
            backend.write(&state, CLOSED).unwrap();
        });
        ready_to_go.recv().unwrap();
        disk::detach(&store, &device, true).unwrap();
    });
    assert!(!store.exists(BACKEND).unwrap());
}

#[test]
fn what_a_guest_has_its_backend_say_does_nothing_to_a_terminal() {
    if !may_attach() {
        return;
    }
    let daemon = Daemon::start("escapes");
    let error = attach(&daemon, |backend| {
        let complaint = format!("{TROUBLES}/error");
        backend.write(&complaint, "2 \x1b[2Jcleared\x07").unwrap();
        backend.write(&format!("{BACKEND}/state"), CLOSING).unwrap();
        told(backend, CLOSING);
        backend.write(&format!("{BACKEND}/state"), CLOSED).unwrap();
    });
    let words = error.unwrap_err().to_string();
    assert!(words.ends_with("2 ?[2Jcleared?"), "{words:?}");
}

/// What is checked is still so when the device is entered.
#[test]
fn of_two_who_attach_one_device_at_once_one_is_refused() {
    if !may_attach() {
        return;
    }
    let daemon = Daemon::start("twice");
    let spec = DiskSpec::parse("backend=5,vdev=xvda,target=/dev/null").unwrap();
    let both = std::thread::scope(|scope| {
        let attach = || disk::attach(&daemon.client(), 7, &spec);
        let threads = [scope.spawn(attach), scope.spawn(attach)];
        let backend = daemon.client();
        told(&backend, INITIALISING);
        // Time for the other to come in between.
        std::thread::sleep(Duration::from_millis(200));
        ready(&backend);
        threads.map(|thread| thread.join().unwrap())
    });
    let attached = both.iter().filter(|done| done.is_ok()).count();
    assert_eq!(attached, 1, "{both:?}");
    let store = daemon.client();
    assert!(store.exists(BACKEND).unwrap(), "the other took it away");
}
