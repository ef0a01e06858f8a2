//! The daemon as a program, over its socket and without a hypervisor: start, clients, live update
//! to itself, death and return.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dom0_tools::xenstore::{Access, Client, Error, Perm};

const PROGRAM: &str = env!("CARGO_BIN_EXE_xenstored");
const PATIENCE: Duration = Duration::from_secs(60);

/// A daemon in a directory of its own; both end with it.
struct Daemon {
    directory: PathBuf,
    child: Child,
}

impl Daemon {
    fn start(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("oxen-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let child = run(&directory);
        Self { directory, child }
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("socket")
    }

    fn client(&self) -> Client {
        let end = Instant::now() + PATIENCE;
        loop {
            match Client::connect(&self.socket()) {
                Ok(client) => return client,
                Err(error) if Instant::now() > end => panic!("{error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Kills it the hard way, and starts another.
    fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = run(&self.directory);
    }

    fn wait_for_state(&self, from: Option<std::time::SystemTime>) {
        let end = Instant::now() + PATIENCE;
        while self.saved() == from {
            assert!(Instant::now() < end, "no state is saved");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn saved(&self) -> Option<std::time::SystemTime> {
        let metadata = self.directory.join("state").metadata();
        metadata.and_then(|metadata| metadata.modified()).ok()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn run(directory: &Path) -> Child {
    Command::new(PROGRAM)
        .args(["--no-fork", "--no-domain-init"])
        .env("XENSTORED_RUNDIR", directory)
        .env_remove("XENSTORED_PATH")
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn clients_over_the_socket() {
    let daemon = Daemon::start("clients");
    let (one, other) = (daemon.client(), daemon.client());
    one.write("/a/b", b"\0any\xff").unwrap();
    assert_eq!(other.read("/a/b").unwrap(), b"\0any\xff");
    assert_eq!(one.try_read("/none").unwrap(), None);
    assert!(one.read("/none").unwrap_err().is_not_found());
    assert_eq!(one.list("/a").unwrap(), ["b"]);
    assert!(one.exists("/a").unwrap() && !one.exists("/c").unwrap());
    let perms = [Perm::new(0, Access::Read)];
    one.set_perms("/a", &perms).unwrap();
    assert_eq!(other.get_perms("/a").unwrap(), perms);
    assert_eq!(one.get_domain_path(5).unwrap(), "/local/domain/5");
    assert!(!one.is_domain_introduced(5).unwrap());
    assert!(one.control(&["help"]).unwrap().contains("live-update"));

    other.watch("/a", "token").unwrap();
    let event = |client: &Client| client.next_event(Some(PATIENCE)).unwrap().unwrap();
    assert_eq!(event(&other).path, "/a");
    one.rm("/a/b").unwrap();
    let removed = event(&other);
    assert_eq!(
        (removed.path.as_str(), removed.token.as_str()),
        ("/a/b", "token")
    );
    assert_eq!(other.next_event(Some(Duration::ZERO)).unwrap(), None);
    other.unwatch("/a", "token").unwrap();

    // More children than one message lists.
    let names: Vec<String> = (0..800).map(|n| format!("child-{n:06}")).collect();
    one.transaction(|tx| {
        names
            .iter()
            .try_for_each(|name| tx.mkdir(&format!("/many/{name}")))
    })
    .unwrap();
    assert_eq!(other.list("/many").unwrap(), names);
    other.rm_if_present("/many").unwrap();
    other.rm_if_present("/none/at/all").unwrap();
}

#[test]
fn transactions_of_many_clients_lose_nothing() {
    let daemon = Daemon::start("counting");
    daemon.client().write("/count", "0").unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let client = daemon.client();
                for _ in 0..100 {
                    client
                        .transaction(|tx| -> Result<(), Error> {
                            let count: u32 = tx.read_string("/count")?.parse().unwrap();
                            tx.write("/count", (count + 1).to_string())
                        })
                        .unwrap();
                }
            });
        }
    });
    assert_eq!(daemon.client().read_string("/count").unwrap(), "400");
}

/// Time of a processor that a process has used, in ticks.
fn ticks(child: &Child) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn without_descriptors_new_clients_wait_and_old_ones_are_served() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let daemon = Daemon::start("descriptors");
    let first = daemon.client();
    first.write("/a", "b").unwrap();
    let few = Rlimit {
        current: Some(24),
        maximum: Some(24),
    };
    prlimit(Some(Pid::from_child(&daemon.child)), Resource::Nofile, few).unwrap();
    let many: Vec<Client> = (0..40).map(|_| daemon.client()).collect();
    let before = ticks(&daemon.child);
    std::thread::sleep(Duration::from_secs(1));
    let used = ticks(&daemon.child) - before;
    assert!(used < 30, "{used} ticks of a second without anything to do");
    assert_eq!(first.read_string("/a").unwrap(), "b");
    drop(many);
    assert_eq!(daemon.client().read_string("/a").unwrap(), "b");
}

#[test]
fn a_live_update_keeps_connections_watches_and_transactions() {
    let daemon = Daemon::start("update");
    let (one, other) = (daemon.client(), daemon.client());
    one.write("/kept", "value").unwrap();
    other.watch("/kept", "token").unwrap();
    other.next_event(Some(PATIENCE)).unwrap().unwrap();
    let open = other.begin().unwrap();
    open.write("/half", "x").unwrap();

    assert_eq!(one.control(&["live-update", "-f", PROGRAM]).unwrap(), "OK");
    assert_eq!(
        one.control(&["live-update", "-s", "-t", "60"]).unwrap(),
        "OK"
    );
    assert_eq!(one.read_string("/kept").unwrap(), "value");
    one.write("/kept", "new").unwrap();
    let event = other.next_event(Some(PATIENCE)).unwrap().unwrap();
    assert_eq!(event.path, "/kept");
    assert!(!open.end(true).unwrap(), "to be tried again");
    assert!(!one.exists("/half").unwrap());
    assert_eq!(one.control(&["check"]).unwrap(), "OK");

    // One that fails changes nothing.
    let text = daemon.directory.join("not-a-program");
    std::fs::write(&text, "text").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&text, mode).unwrap();
    let text = text.to_str().unwrap().to_owned();
    assert_eq!(one.control(&["live-update", "-f", &text]).unwrap(), "OK");
    let failed = one.control(&["live-update", "-s"]).unwrap();
    assert!(
        failed.starts_with("Error activating new binary"),
        "{failed}"
    );
    assert_eq!(other.read_string("/kept").unwrap(), "new");
}

#[test]
fn killed_it_goes_on_from_what_it_saved() {
    let mut daemon = Daemon::start("killed");
    let client = daemon.client();
    let before = daemon.saved();
    client.write("/kept/deep", "value").unwrap();
    client
        .set_perms("/kept", &[Perm::new(0, Access::Both)])
        .unwrap();
    daemon.wait_for_state(before);
    // What is still on its way to the file is there soon.
    std::thread::sleep(Duration::from_secs(1));
    daemon.kill_and_restart();
    let client = daemon.client();
    assert_eq!(client.read_string("/kept/deep").unwrap(), "value");
    let perms = client.get_perms("/kept").unwrap();
    assert_eq!(perms, [Perm::new(0, Access::Both)]);
}
