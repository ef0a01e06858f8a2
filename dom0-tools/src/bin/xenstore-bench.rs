//! `xenstore-bench`: operations per second, transaction conflicts and memory of whichever
//! xenstored runs. It measures, it does not judge.
//!
//! `xenstore-bench [quick|full]`. One line per figure: `NAME VALUE UNIT`.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dom0_tools::xenstore::{Client, Error};

/// Everything is below this node, and goes with it.
const ROOT: &str = "/bench";

fn main() -> ExitCode {
    let full = std::env::args().nth(1).as_deref() == Some("full");
    match run(full) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xenstore-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(full: bool) -> Result<(), Error> {
    let store = Client::open()?;
    store.rm_if_present(ROOT)?;
    let time = Duration::from_millis(if full { 3000 } else { 500 });
    let clients: &[usize] = if full { &[1, 10, 100] } else { &[1, 10] };
    for &count in clients {
        measure("read", count, time, |store, own, _| {
            store.read(own).map(drop)
        })?;
        measure("write", count, time, |store, own, n| {
            store.write(own, n.to_string())
        })?;
        measure("transaction", count, time, transaction)?;
    }
    let domains = if full { 1000 } else { 100 };
    let start = Instant::now();
    let mut nodes = 0;
    for domain in 0..domains {
        nodes += populate(&store, domain)?;
    }
    let rate = f64::from(nodes) / start.elapsed().as_secs_f64();
    println!("create-{domains}-domains {rate:.0} nodes/s");
    if let Some(kib) = resident() {
        println!("resident-{domains}-domains {kib} KiB");
    }
    measure("read-among-many", 1, time, |store, _, n| {
        let path = format!("{ROOT}/domain/{}/device/vbd/0/state", n % domains as u64);
        store.read(&path).map(drop)
    })?;
    measure("list-of-domains", 1, time, |store, _, _| {
        store.list(&format!("{ROOT}/domain")).map(drop)
    })?;
    measure("transaction-among-many", 10, time, transaction)?;
    store.rm_if_present(ROOT)
}

/// What a toolstack does: reads a few nodes and creates some below a directory that others use.
fn transaction(store: &Client, own: &str, n: u64) -> Result<(), Error> {
    store.transaction(|tx| {
        tx.try_read(own)?;
        tx.write(&format!("{own}/a/{}", n % 8), "1")?;
        tx.write(&format!("{own}/b"), "2")
    })
}

/// Clients that do the same for a time, each with a node of its own.
fn measure(
    name: &str,
    clients: usize,
    time: Duration,
    operation: impl Fn(&Client, &str, u64) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let done = AtomicU64::new(0);
    let end = Instant::now() + time;
    let one = |client: usize| -> Result<(), Error> {
        let store = Client::open()?;
        let own = format!("{ROOT}/client/{client}");
        store.write(&own, "0")?;
        let mut count = 0;
        while Instant::now() < end {
            operation(&store, &own, count)?;
            count += 1;
        }
        done.fetch_add(count, Ordering::Relaxed);
        Ok(())
    };
    thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> = (0..clients)
            .map(|client| scope.spawn(move || one(client)))
            .collect();
        for thread in threads {
            match thread.join() {
                Ok(outcome) => outcome?,
                Err(_) => return Err(Error::Protocol("a client of the benchmark failed")),
            }
        }
        Ok(())
    })?;
    let rate = done.load(Ordering::Relaxed) as f64 / time.as_secs_f64();
    println!("{name}-{clients} {rate:.0} ops/s");
    Ok(())
}

/// The nodes of a domain with a disk and a network card, about as xl makes them.
fn populate(store: &Client, domain: u32) -> Result<u32, Error> {
    let base = format!("{ROOT}/domain/{domain}");
    let nodes = [
        ("name", format!("guest-{domain}")),
        ("domid", domain.to_string()),
        ("memory/target", "131072".to_owned()),
        ("memory/static-max", "131072".to_owned()),
        ("console/ring-ref", "12345".to_owned()),
        ("console/port", "2".to_owned()),
        ("console/type", "xenconsoled".to_owned()),
        ("control/shutdown", String::new()),
        ("cpu/0/availability", "online".to_owned()),
        ("store/port", "1".to_owned()),
        (
            "device/vbd/0/backend",
            "/local/domain/0/backend/vbd/1/0".to_owned(),
        ),
        ("device/vbd/0/backend-id", "0".to_owned()),
        ("device/vbd/0/state", "4".to_owned()),
        ("device/vbd/0/virtual-device", "51712".to_owned()),
        ("device/vbd/0/device-type", "disk".to_owned()),
        (
            "device/vif/0/backend",
            "/local/domain/0/backend/vif/1/0".to_owned(),
        ),
        ("device/vif/0/backend-id", "0".to_owned()),
        ("device/vif/0/state", "4".to_owned()),
        ("device/vif/0/handle", "0".to_owned()),
        ("device/vif/0/mac", "00:16:3e:00:00:01".to_owned()),
    ];
    store.transaction(|tx| {
        for (name, value) in &nodes {
            tx.write(&format!("{base}/{name}"), value)?;
        }
        Ok::<(), Error>(())
    })?;
    Ok(nodes.len() as u32)
}

/// The daemon's resident memory in KiB, found by its name.
fn resident() -> Option<u64> {
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_ascii_whitespace().nth(1).map(str::to_owned)
        };
        if field("Name:").is_some_and(|name| name == "xenstored" || name == "oxenstored") {
            return field("VmRSS:")?.parse().ok();
        }
    }
    None
}
