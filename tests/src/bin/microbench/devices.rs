//! What a guest's devices cost: its disk without caches, its network as programs see it.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::thread;
use std::time::Duration;

use crate::sys::{self, Mapping};
use crate::{figure, measure};

const PAGE: u64 = 4096;
const MIB: u64 = 1 << 20;
/// Far less than the disk has.
const DISK_MIB: u64 = 8;

/// Reads and writes a disk past the page cache: one page at a time, and a MiB at a time.
pub fn disk(path: &str) -> io::Result<()> {
    let disk = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)?;
    let disk = disk.as_raw_fd();
    let buffer = Mapping::anonymous((MIB / PAGE) as usize)?;
    buffer.touch(0);
    let mut page = 0;
    let mut next = || {
        page = (page + 1) % (DISK_MIB * MIB / PAGE);
        page * PAGE
    };
    figure("block-write-page", || {
        measure(100, || buffer.write_to(disk, PAGE, next()))
    });
    figure("block-read-page", || {
        measure(100, || buffer.read_from(disk, PAGE, next()))
    });
    let mut piece = 0;
    let mut next = || {
        piece = (piece + 1) % DISK_MIB;
        piece * MIB
    };
    figure("block-write-mib", || {
        measure(DISK_MIB, || buffer.write_to(disk, MIB, next()))
    });
    figure("block-read-mib", || {
        measure(DISK_MIB, || buffer.read_from(disk, MIB, next()))
    });
    Ok(())
}

const ECHO: u16 = 7;
const SINK: u16 = 9;
const SOURCE: u16 = 19;
/// What one round sends.
const NETWORK_MIB: u64 = 16;

/// Answers datagrams; takes and sends streams; for ever.
pub fn serve() -> io::Result<()> {
    let echo = UdpSocket::bind(("0.0.0.0", ECHO))?;
    let sink = TcpListener::bind(("0.0.0.0", SINK))?;
    let source = TcpListener::bind(("0.0.0.0", SOURCE))?;
    thread::spawn(move || {
        for stream in sink.incoming() {
            let _ = stream.and_then(take_all);
        }
    });
    thread::spawn(move || {
        for stream in source.incoming() {
            let _ = stream.and_then(send_all);
        }
    });
    let mut datagram = [0; 64];
    loop {
        let (length, from) = echo.recv_from(&mut datagram)?;
        echo.send_to(&datagram[..length], from)?;
    }
}

fn send_all(mut stream: TcpStream) -> io::Result<()> {
    let piece = [0; 65536];
    for _ in 0..NETWORK_MIB * MIB / piece.len() as u64 {
        stream.write_all(&piece)?;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    // Until the other side has everything.
    stream.read(&mut [0]).map(drop)
}

fn take_all(mut stream: TcpStream) -> io::Result<()> {
    let mut piece = [0; 65536];
    while stream.read(&mut piece)? > 0 {}
    Ok(())
}

/// Round trips to, and streams to and from, the server at that address.
pub fn network(host: &str) -> io::Result<()> {
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.connect((host, ECHO))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut datagram = [0; 64];
    figure("net-round-trip", || {
        measure(300, || {
            socket.send(&[1; 64])?;
            socket.recv(&mut datagram).map(drop)
        })
    });
    let per_mib = |ticks: u64| ticks / NETWORK_MIB;
    figure("net-send-mib", || {
        measure(1, || send_all(TcpStream::connect((host, SINK))?)).map(per_mib)
    });
    figure("net-receive-mib", || {
        measure(1, || take_all(TcpStream::connect((host, SOURCE))?)).map(per_mib)
    });
    Ok(())
}

/// What a KiB on the standard output costs, which is a guest's console.
pub fn console() -> io::Result<u64> {
    // Many times what a console daemon takes at once before it lets the guest wait.
    const KIB: usize = 512;
    const LINE: usize = 64;
    let line = [b'x'; LINE - 1];
    let ticks = measure(1, || {
        let mut out = io::stdout().lock();
        for _ in 0..KIB * 1024 / LINE {
            out.write_all(&line)?;
            out.write_all(b"\n")?;
        }
        out.flush()
    })?;
    Ok(ticks / KIB as u64)
}

/// How long a fixed amount of work takes when others want the CPU too: ticks beyond it, for a billion instructions. The
/// middle one of several, because what dom0 itself does every ten seconds falls into one of them.
pub fn disturbance() -> io::Result<u64> {
    const WORK: u64 = 1_000_000_000;
    let mut samples = [0; 5];
    for sample in &mut samples {
        let began = sys::ticks();
        sys::execute(WORK);
        *sample = sys::ticks().wrapping_sub(began).saturating_sub(WORK);
    }
    samples.sort_unstable();
    Ok(samples[samples.len() / 2])
}
