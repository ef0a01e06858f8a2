//! `xenstore-bench`: operations per second, transaction conflicts and memory of whichever
//! xenstored runs. It measures, it does not judge.
//!
//! `xenstore-bench [quick|full] [MILLISECONDS] [PID]`: how long every figure is taken, whose memory is
//! shown. One line per figure: `NAME VALUE UNIT`.

use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dom0_tools::xenstore::{Client, Error};

/// Everything is below this node, and goes with it.
const ROOT: &str = "/bench";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let full = words.first().is_some_and(|word| word == "full");
    let number = |at: usize| words.get(at).and_then(|word| word.parse().ok());
    let time = Duration::from_millis(number(1).unwrap_or(if full { 3000 } else { 500 }));
    match run(full, time, number(2)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xenstore-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(full: bool, time: Duration, pid: Option<u64>) -> Result<(), Error> {
    let store = Client::open()?;
    store.rm_if_present(ROOT)?;
    let clients: &[usize] = if full { &[1, 10, 100] } else { &[1, 10] };
    for &count in clients {
        measure("read", count, time, |store, own, _| {
            store.read(own).map(drop)
        })?;
        measure("write", count, time, |store, own, n| {
            store.write(own, n.to_string())
        })?;
        measure("transaction", count, time, transaction)?;
        contended(count, time)?;
    }
    let domains = if full { 1000 } else { 100 };
    let start = Instant::now();
    let mut nodes = 0;
    for domain in 0..domains {
        nodes += populate(&store, domain)?;
    }
    let rate = f64::from(nodes) / start.elapsed().as_secs_f64();
    println!("create-{domains}-domains {rate:.0} nodes/s");
    if let Some(kib) = resident(pid) {
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

/// Clients that count in the same node: what the others change makes a transaction start again.
fn contended(clients: usize, time: Duration) -> Result<(), Error> {
    let (tries, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let node = format!("{ROOT}/counter");
    measure("contended", clients, time, |store, _, _| {
        store.transaction(|tx| {
            tries.fetch_add(1, Ordering::Relaxed);
            let count: u64 = tx
                .try_read_string(&node)?
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
            tx.write(&node, (count + 1).to_string())
        })?;
        done.fetch_add(1, Ordering::Relaxed);
        Ok(())
    })?;
    let (tries, done) = (tries.into_inner(), done.into_inner());
    let counted = Client::open()?.read_string(&node)?;
    Client::open()?.rm_if_present(&node)?;
    if counted != done.to_string() {
        return Err(Error::Protocol("a transaction was lost or done twice"));
    }
    let conflicts = tries.saturating_sub(done) * 1000 / done.max(1);
    println!("conflicts-{clients} {conflicts} per-1000");
    Ok(())
}

/// Clients that do the same for a time, each with a node of its own.
fn measure(
    name: &str,
    clients: usize,
    time: Duration,
    operation: impl Fn(&Client, &str, u64) -> Result<(), Error> + Sync,
) -> Result<(), Error> {
    let done = AtomicU64::new(0);
    let own = |client: usize| format!("{ROOT}/client/{client}");
    // Before any of them begins.
    let store = Client::open()?;
    let stores: Vec<Client> = (0..clients)
        .map(|client| {
            store.write(&own(client), "0")?;
            Client::open()
        })
        .collect::<Result<_, _>>()?;
    let ready = Barrier::new(clients + 1);
    let one = |client: usize, store: Client| -> Result<(), Error> {
        let own = own(client);
        ready.wait();
        let end = Instant::now() + time;
        let mut count = 0;
        while Instant::now() < end {
            operation(&store, &own, count)?;
            count += 1;
        }
        done.fetch_add(count, Ordering::Relaxed);
        Ok(())
    };
    let elapsed = thread::scope(|scope| {
        let one = &one;
        let threads: Vec<_> = (0..clients)
            .zip(stores)
            .map(|(client, store)| scope.spawn(move || one(client, store)))
            .collect();
        ready.wait();
        let began = Instant::now();
        for thread in threads {
            match thread.join() {
                Ok(outcome) => outcome?,
                Err(_) => return Err(Error::Protocol("a client of the benchmark failed")),
            }
        }
        Ok(began.elapsed())
    })?;
    let rate = done.load(Ordering::Relaxed) as f64 / elapsed.as_secs_f64();
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

/// The resident memory in KiB of that process, or of one with a daemon's name.
fn resident(pid: Option<u64>) -> Option<u64> {
    let field = |status: &str, name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_ascii_whitespace().nth(1).map(str::to_owned)
    };
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let wanted = match pid {
            Some(pid) => entry.file_name().to_str() == Some(&pid.to_string()),
            None => field(&status, "Name:")
                .is_some_and(|name| name == "xenstored" || name == "oxenstored"),
        };
        if wanted {
            return field(&status, "VmRSS:")?.parse().ok();
        }
    }
    None
}
