//! `xl top`: what domains use, over and over; `-b` in the columns of `xentop -b`.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use hypercall_abi::domctl::{
    DomctlGetdomaininfo, XEN_DOMINF_BLOCKED, XEN_DOMINF_DYING, XEN_DOMINF_PAUSED,
    XEN_DOMINF_RUNNING, XEN_DOMINF_SHUTDOWN, XEN_DOMINF_SHUTDOWNMASK, XEN_DOMINF_SHUTDOWNSHIFT,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::devices::Failure;
use super::names::Names;
use crate::console::keys;
use crate::hypercall::Interface;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Lines as they come, for scripts.
    #[arg(short, long)]
    batch: bool,
    /// How often; for ever if not given.
    #[arg(short, long)]
    iterations: Option<u32>,
    /// Seconds between.
    #[arg(short, long, default_value_t = 3)]
    delay: u64,
    /// Names whole, however long.
    #[arg(short, long)]
    full_name: bool,
}

/// Width and header of each column.
const COLUMNS: [(usize, &str); 19] = [
    (10, "NAME"),
    (6, "STATE"),
    (10, "CPU(sec)"),
    (6, "CPU(%)"),
    (10, "MEM(k)"),
    (6, "MEM(%)"),
    (10, "MAXMEM(k)"),
    (9, "MAXMEM(%)"),
    (5, "VCPUS"),
    (4, "NETS"),
    (8, "NETTX(k)"),
    (8, "NETRX(k)"),
    (4, "VBDS"),
    (8, "VBD_OO"),
    (8, "VBD_RD"),
    (8, "VBD_WR"),
    (10, "VBD_RSECT"),
    (10, "VBD_WSECT"),
    (4, "SSID"),
];
/// Shut down by a crash.
const CRASHED: u32 = 3;
const PAGE_KIB: u64 = 4;

/// What is known of a domain at one time.
#[derive(Clone, Debug, Default)]
struct Sample {
    name: String,
    info: DomctlGetdomaininfo,
    /// Interfaces, and bytes that they sent and got, as the host counts them.
    nets: (u32, u64, u64),
    /// Disks, and their statistics: waits for requests, reads, writes, sectors read and written.
    disks: (u32, [u64; 5]),
}

struct Snapshot {
    taken: Instant,
    total_kib: u64,
    free_kib: u64,
    cpus: u32,
    mhz: u32,
    domains: Vec<Sample>,
}

pub(super) fn run(arguments: &Arguments) -> Result<String, Failure> {
    let xen = Interface::open()?;
    let screen = !arguments.batch && io::stdout().is_terminal() && io::stdin().is_terminal();
    let _raw = screen.then(keys::Raw::enter);
    let mut before: Option<Snapshot> = None;
    let mut left = arguments.iterations;
    let mut sort = 0;
    while left != Some(0) {
        let now = take(&xen)?;
        let table = table(&now, before.as_ref(), arguments.full_name, sort);
        let text = if screen {
            // Home, each line to its end, then all below.
            let lines = summary(&now) + &table + "\nSort: s   Quit: q\n";
            format!("\x1b[H{}\x1b[J", lines.replace('\n', "\x1b[K\r\n"))
        } else {
            table
        };
        let mut out = io::stdout().lock();
        if out
            .write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .is_err()
        {
            // The reader has seen enough.
            break;
        }
        drop(out);
        before = Some(now);
        left = left.map(|left| left - 1);
        if left == Some(0) {
            break;
        }
        match wait(screen, Duration::from_secs(arguments.delay)) {
            Some(b'q' | b'Q' | 0x1b | 3) => break,
            Some(b's' | b'S') => sort = (sort + 1) % 3,
            _ => {}
        }
    }
    Ok(String::new())
}

/// Waits, with a screen for a key too.
fn wait(screen: bool, time: Duration) -> Option<u8> {
    if !screen {
        std::thread::sleep(time);
        return None;
    }
    let stdin = io::stdin();
    let time = Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: 0,
    };
    let mut fds = [PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN)];
    if !poll(&mut fds, Some(&time)).is_ok_and(|ready| ready > 0) {
        return None;
    }
    let mut key = [0];
    match rustix::io::read(&stdin, &mut key) {
        Ok(1) => Some(key[0]),
        // Nobody is there to quit.
        _ => Some(b'q'),
    }
}

fn take(xen: &Interface) -> Result<Snapshot, Failure> {
    let host = xen.physinfo()?;
    let mut names = Names::open();
    let mut domains = Vec::new();
    for info in xen.domains()? {
        domains.push(Sample {
            name: names.of(info.domain),
            nets: nets(info.domain.0, Path::new("/sys/class/net")),
            disks: disks(info.domain.0, Path::new("/sys/bus/xen-backend/devices")),
            info,
        });
    }
    Ok(Snapshot {
        taken: Instant::now(),
        total_kib: host.total_pages * PAGE_KIB,
        free_kib: host.free_pages * PAGE_KIB,
        cpus: host.nr_cpus,
        mhz: host.cpu_khz / 1000,
        domains,
    })
}

fn number(path: &Path) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// The directories below `base` whose names begin so.
fn named(base: &Path, prefix: &str) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    let is_ours = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(prefix);
    entries
        .filter(|entry| is_ours(&entry.file_name()))
        .map(|entry| entry.path())
        .collect()
}

fn nets(domain: u16, base: &Path) -> (u32, u64, u64) {
    let found = named(base, &format!("vif{domain}."));
    let sum = |what: &str| {
        found
            .iter()
            .map(|path| number(&path.join("statistics").join(what)))
            .sum()
    };
    (found.len() as u32, sum("tx_bytes"), sum("rx_bytes"))
}

fn disks(domain: u16, base: &Path) -> (u32, [u64; 5]) {
    let found = named(base, &format!("vbd-{domain}-"));
    let sum = |what: &str| {
        found
            .iter()
            .map(|path| number(&path.join("statistics").join(what)))
            .sum()
    };
    let statistics = ["oo_req", "rd_req", "wr_req", "rd_sect", "wr_sect"].map(sum);
    (found.len() as u32, statistics)
}

fn summary(now: &Snapshot) -> String {
    let count = |letter: char| {
        now.domains
            .iter()
            .filter(|sample| state(&sample.info).contains(letter))
            .count()
    };
    format!(
        "{} domains: {} running, {} blocked, {} paused, {} crashed, {} dying, {} shutdown \n\
         Mem: {}k total, {}k used, {}k free    CPUs: {} @ {}MHz\n",
        now.domains.len(),
        count('r'),
        count('b'),
        count('p'),
        count('c'),
        count('d'),
        count('s'),
        now.total_kib,
        now.total_kib.saturating_sub(now.free_kib),
        now.free_kib,
        now.cpus,
        now.mhz
    )
}

fn state(info: &DomctlGetdomaininfo) -> String {
    let has = |flag: u32| info.flags & flag != 0;
    let reason = info.flags >> XEN_DOMINF_SHUTDOWNSHIFT & XEN_DOMINF_SHUTDOWNMASK;
    let crashed = has(XEN_DOMINF_SHUTDOWN) && reason == CRASHED;
    let marks = [
        (has(XEN_DOMINF_DYING), 'd'),
        (has(XEN_DOMINF_SHUTDOWN) && !crashed, 's'),
        (has(XEN_DOMINF_BLOCKED), 'b'),
        (crashed, 'c'),
        (has(XEN_DOMINF_PAUSED), 'p'),
        (has(XEN_DOMINF_RUNNING), 'r'),
    ];
    marks
        .iter()
        .map(|(is, letter)| if *is { *letter } else { '-' })
        .collect()
}

/// The table: by number, by processor time or by memory.
fn table(now: &Snapshot, before: Option<&Snapshot>, full_name: bool, sort: u32) -> String {
    let mut widths = COLUMNS.map(|(width, _)| width);
    let rows: Vec<(&Sample, [String; 19])> = now
        .domains
        .iter()
        .map(|sample| (sample, row(sample, now, before)))
        .collect();
    for (column, width) in widths.iter_mut().enumerate() {
        // Names are cut, the other columns grow.
        if column > 0 || full_name {
            let longest = rows
                .iter()
                .map(|(_, row)| row[column].chars().count())
                .max();
            *width = (*width).max(longest.unwrap_or(0));
        }
    }
    let mut rows = rows;
    match sort {
        1 => rows.sort_by_key(|(sample, _)| std::cmp::Reverse(sample.info.cpu_time)),
        2 => rows.sort_by_key(|(sample, _)| std::cmp::Reverse(sample.info.tot_pages)),
        _ => rows.sort_by_key(|(sample, _)| sample.info.domain.0),
    }
    let mut out = String::new();
    let headers = COLUMNS.map(|(_, header)| header.to_owned());
    for row in std::iter::once(&headers).chain(rows.iter().map(|(_, row)| row)) {
        for (column, (text, width)) in row.iter().zip(widths).enumerate() {
            let gap = if column == 0 { "" } else { " " };
            let _ = write!(out, "{gap}{text:>width$.width$}");
        }
        out.push('\n');
    }
    out
}

fn row(sample: &Sample, now: &Snapshot, before: Option<&Snapshot>) -> [String; 19] {
    let info = &sample.info;
    let earlier = before.and_then(|before| {
        let same = before
            .domains
            .iter()
            .find(|old| old.info.domain == info.domain)?;
        Some((
            same.info.cpu_time,
            now.taken.duration_since(before.taken).as_secs_f64(),
        ))
    });
    let percent = match earlier {
        Some((time, seconds)) if seconds > 0.0 => {
            info.cpu_time.saturating_sub(time) as f64 / 1e7 / seconds
        }
        _ => 0.0,
    };
    let part = |kib: u64| kib as f64 / now.total_kib.max(1) as f64 * 100.0;
    let memory = info.tot_pages.saturating_mul(PAGE_KIB);
    // A domain without a limit has the largest number for one, more or less.
    let limited = info.max_pages < 1 << 40;
    let most = info.max_pages.saturating_mul(PAGE_KIB);
    let (nets, sent, got) = sample.nets;
    let (disks, [waits, reads, writes, sectors_read, sectors_written]) = sample.disks;
    [
        sample.name.clone(),
        state(info),
        (info.cpu_time / 1_000_000_000).to_string(),
        format!("{percent:.1}"),
        memory.to_string(),
        format!("{:.1}", part(memory)),
        if limited {
            most.to_string()
        } else {
            "no limit".to_owned()
        },
        if limited {
            format!("{:.1}", part(most))
        } else {
            "n/a".to_owned()
        },
        info.nr_online_vcpus.to_string(),
        nets.to_string(),
        (sent / 1024).to_string(),
        (got / 1024).to_string(),
        disks.to_string(),
        waits.to_string(),
        reads.to_string(),
        writes.to_string(),
        sectors_read.to_string(),
        sectors_written.to_string(),
        info.ssidref.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypercall_abi::xen::DomId;

    #[test]
    fn the_table_is_that_of_xentop() {
        let info = DomctlGetdomaininfo {
            domain: DomId(1),
            flags: XEN_DOMINF_BLOCKED,
            tot_pages: 32768,
            max_pages: 33024,
            cpu_time: 5_200_000_000,
            nr_online_vcpus: 1,
            ..Default::default()
        };
        let sample = Sample {
            name: "a-guest-with-a-name".to_owned(),
            info,
            ..Default::default()
        };
        let now = Snapshot {
            taken: Instant::now(),
            total_kib: 2_097_152,
            free_kib: 0,
            cpus: 2,
            mhz: 2000,
            domains: vec![sample],
        };
        let expected = "      NAME  STATE   CPU(sec) CPU(%)     MEM(k) MEM(%)  MAXMEM(k) MAXMEM(%) VCPUS NETS \
                        NETTX(k) NETRX(k) VBDS   VBD_OO   VBD_RD   VBD_WR  VBD_RSECT  VBD_WSECT SSID\n\
                        a-guest-wi --b---          5    0.0     131072    6.2     132096       6.3     1    0 \
                        \u{20}      0        0    0        0        0        0          0          0    0\n";
        assert_eq!(table(&now, None, false, 0), expected);
        assert!(table(&now, None, true, 1).contains("\na-guest-with-a-name --b---"));
        assert!(summary(&now).starts_with("1 domains: 0 running, 1 blocked, "));
    }
}
