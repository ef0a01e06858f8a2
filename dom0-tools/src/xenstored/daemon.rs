//! The program: sockets, rings, signals, and the loop that serves them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead as _, IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Parser as _;
use rustix::event::{Timespec, epoll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::sys::log::Log;
use crate::sys::{file, limits};
use crate::xenstore::client;

use super::connection::ConnId;
use super::control::{Update, update_reply};
use super::options::Options;
use super::platform::Platform as _;
use super::rings::{self, Rings};
use super::server::Server;
use super::state::{self, Descriptors};
use super::xen::{self, Xen};

/// Tells a child that it is the daemon: its standard output goes to the one who waits for it.
const CHILD: &str = "XENSTORED_DAEMON";
/// Names in the run directory.
const SOCKET: &str = "socket";
const SOCKET_READ_ONLY: &str = "socket_ro";
const STATE: &str = "state";
const STATE_NEW: &str = "state.new";
/// Where C xenstored leaves its state for a live update, if it is the one that becomes us.
const STATE_OF_C: &str = "/var/lib/xenstored/state_dump";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What is waited for, beside connections.
const LISTENER: u64 = 0;
const EVTCHN: u64 = 1;
const SIGNALS: u64 = 2;
/// Connections have their number and this.
const CONNECTIONS: u64 = 16;
/// Bytes read from a socket at a time.
const CHUNK: usize = 16 * 1024;
/// Pieces written to a socket at a time.
const PIECES: usize = 32;
/// A socket's client that takes nothing is let go at this many bytes.
const BACKLOG_MAX: usize = 64 << 20;
/// The state is saved when nothing has changed for the first, and after the second at the latest.
const QUIET: Duration = Duration::from_millis(50);
const LATEST: Duration = Duration::from_millis(500);
/// How long new clients are not listened to when there are no descriptors for them.
const DEAF: Duration = Duration::from_secs(1);
/// Saving takes at most one part in so many of the time, however often guests change something.
const SHARE: u32 = 20;

/// Runs the daemon.
pub fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = if options.no_fork || options.live_update || std::env::var_os(CHILD).is_some() {
        serve(&options)
    } else {
        detach(&options)
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xenstored: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Starts the daemon in the background and waits until it serves.
fn detach(options: &Options) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| format!("own program: {error}"))?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(CHILD, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start the daemon: {error}"))?;
    let mut ready = String::new();
    if let Some(output) = child.stdout.take() {
        let _ = io::BufReader::new(output).read_line(&mut ready);
    }
    if ready.is_empty() {
        // It has said why on the standard error that it shares with us.
        return Err("the daemon did not start".into());
    }
    if options.output_pid {
        print!("{ready}");
    }
    Ok(())
}

/// Lets go of the terminal and of whoever waits.
fn settle() -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot become a daemon: {error}");
    // Fails only for the leader of a process group, which a child is not.
    let _ = rustix::process::setsid();
    std::env::set_current_dir("/").map_err(failed)?;
    println!("{}", std::process::id());
    let null = fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(failed)?;
    rustix::stdio::dup2_stdin(&null).map_err(|errno| failed(errno.into()))?;
    rustix::stdio::dup2_stdout(&null).map_err(|errno| failed(errno.into()))?;
    rustix::stdio::dup2_stderr(&null).map_err(|errno| failed(errno.into()))?;
    Ok(())
}

fn serve(options: &Options) -> Result<(), String> {
    limits::raise_file_limit();
    let mut daemon = Daemon::start(options)?;
    if let Some(path) = &options.pid_file {
        let text = format!("{}\n", std::process::id());
        fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if options.no_fork {
        if options.output_pid {
            println!("{}", std::process::id());
        }
    } else if !options.live_update {
        settle()?;
    }
    daemon.server.platform.log.stderr = options.no_fork || options.verbose;
    daemon.run()
}

struct Daemon {
    server: Server<Xen>,
    epoll: OwnedFd,
    listener: UnixListener,
    signals: UnixStream,
    sockets: BTreeMap<ConnId, Socket>,
    rings: Rings,
    directory: PathBuf,
    /// Since when something is not saved, and when that last changed.
    unsaved: Option<(Instant, Instant)>,
    saved_generation: u64,
    /// For how long nothing must have changed before the state is saved again.
    pause: Duration,
    /// Since when new clients are not listened to, for want of descriptors.
    deaf: Option<Instant>,
    stop: bool,
    /// What is read from sockets: kept, for it would be cleared each time.
    input: Box<[u8]>,
}

struct Socket {
    stream: UnixStream,
    /// Waits until it can be written.
    blocked: bool,
}

fn boot_id() -> String {
    fs::read_to_string(BOOT_ID).unwrap_or_default()
}

impl Daemon {
    fn start(options: &Options) -> Result<Self, String> {
        let config = options.config()?;
        let directory = client::run_directory();
        fs::create_dir_all(&directory).map_err(|e| format!("{}: {e}", directory.display()))?;
        let log = Log::on_terminal("xenstored");
        let now = Instant::now();

        // A live update's state names descriptors; one that was left behind names none of ours.
        let live = if options.live_update {
            Some(live_state(&directory)?)
        } else {
            None
        };
        let descriptors = match &live {
            Some(bytes) => state::descriptors(bytes).map_err(|e| format!("live update: {e}"))?,
            None => Descriptors::default(),
        };
        let mut ours = xen::adopt(descriptors.all());
        let mut take = |fd: Option<i32>| fd.and_then(|fd| ours.remove(&fd));
        let (listener, evtchn) = (take(descriptors.listener), take(descriptors.evtchn));
        let xen = if options.no_domain_init {
            Xen::none(log)
        } else {
            Xen::open(log, evtchn)?
        };
        let mut server = Server::new(xen, config.clone(), now);
        let mut inherited = BTreeMap::new();
        if let Some(bytes) = &live {
            let sockets = state::restore(&mut server, bytes, true)
                .map_err(|error| format!("live update: {error}"))?;
            let sockets = sockets.into_iter();
            inherited = sockets.map(|(conn, fd)| (conn, ours.remove(&fd))).collect();
            server.log("live-update: state read");
        } else if let Some(bytes) = left_state(&directory, options.fresh) {
            match state::restore(&mut server, &bytes, false) {
                Ok(_) => server.log("restarted: goes on from the state that was left"),
                Err(error) => {
                    let log = std::mem::take(&mut server.platform.log);
                    let xen = if options.no_domain_init {
                        Xen::none(log)
                    } else {
                        drop(server);
                        Xen::open(log, None)?
                    };
                    server = Server::new(xen, config, now);
                    server.log(&format!("the state that was left is of no use: {error}"));
                }
            }
        }
        if !options.no_domain_init && server.ring_of(0).is_none() {
            let port = server.platform.own_port()?;
            server
                .attach_own(0, port)
                .map_err(|errno| format!("our own kernel's ring: {errno}"))?;
            server.name_own_domain();
            server.platform.notify(0);
        }
        server.trace_to(options.trace_file.as_deref());
        let listener = match listener {
            Some(fd) => UnixListener::from(fd),
            None => listen(&directory)?,
        };
        let daemon = Self::around(server, listener, directory, inherited);
        daemon.map_err(|error| format!("cannot wait for clients: {error}"))
    }

    fn around(
        server: Server<Xen>,
        listener: UnixListener,
        directory: PathBuf,
        inherited: BTreeMap<ConnId, Option<OwnedFd>>,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wait = |fd: &dyn AsFd, what: u64| {
            let data = epoll::EventData::new_u64(what);
            epoll::add(&epoll, fd.as_fd(), data, epoll::EventFlags::IN)
        };
        wait(&listener, LISTENER)?;
        if let Some(evtchn) = server.platform.evtchn() {
            wait(evtchn, EVTCHN)?;
        }
        let (signals, raised) = UnixStream::pair()?;
        signals.set_nonblocking(true)?;
        wait(&signals, SIGNALS)?;
        let raised = OwnedFd::from(raised);
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            signal_pipe(signal, &raised)?;
        }
        let mut daemon = Self {
            server,
            epoll,
            listener,
            signals,
            sockets: BTreeMap::new(),
            rings: Rings::default(),
            directory,
            unsaved: None,
            saved_generation: 0,
            pause: QUIET,
            deaf: None,
            stop: false,
            input: vec![0; CHUNK].into(),
        };
        for (conn, fd) in inherited {
            match fd {
                Some(fd) => daemon.add_socket(conn, UnixStream::from(fd))?,
                None => daemon.server.disconnect(conn),
            }
        }
        // Whatever came while nobody looked.
        let connections = daemon.server.connections();
        let domains: Vec<u32> = connections.filter_map(|(_, c)| c.ring).collect();
        daemon.server.domains_changed();
        for domid in &domains {
            daemon.server.platform.notify(*domid);
        }
        daemon.rings.wake(domains);
        Ok(daemon)
    }

    fn run(&mut self) -> Result<(), String> {
        let mut buffer = [MaybeUninit::<epoll::Event>::uninit(); 64];
        // A live update's answer, and what else its forerunner had not sent: nobody may be there to wake us for it.
        self.rings.serve(&mut self.server);
        self.deliver();
        while !self.stop {
            let timeout = self.timeout();
            let ready = match epoll::wait(&self.epoll, &mut buffer, timeout.as_ref()) {
                Ok((ready, _)) => ready.iter().map(|e| (e.data.u64(), e.flags)).collect(),
                Err(rustix::io::Errno::INTR) => Vec::new(),
                Err(errno) => return Err(format!("waiting for events: {errno}")),
            };
            self.server.set_now(Instant::now());
            for (what, flags) in ready {
                match what {
                    LISTENER => self.accept(),
                    EVTCHN => self.take_events()?,
                    SIGNALS => self.take_signals(),
                    what => self.socket_ready(ConnId(what - CONNECTIONS), flags),
                }
            }
            if self.deaf.is_some_and(|since| since.elapsed() >= DEAF) {
                self.listen_again();
            }
            self.server.expire();
            self.rings.serve(&mut self.server);
            self.deliver();
            if let Some(update) = self.server.take_update() {
                self.live_update(&update);
                self.deliver();
            }
            self.save_if_due();
        }
        self.save();
        Ok(())
    }

    /// How long nothing need be done unless something happens.
    fn timeout(&mut self) -> Option<Timespec> {
        let ready = self.rings.ready(&mut self.server);
        let mut least = self.server.tick();
        let mut at_most = |time: Duration| least = Some(least.map_or(time, |t| t.min(time)));
        if ready {
            at_most(Duration::ZERO);
        }
        if self.unsaved.is_some() {
            at_most(self.pause);
        }
        if self.deaf.is_some() {
            at_most(DEAF);
        }
        least.map(|time| Timespec {
            tv_sec: time.as_secs() as i64,
            tv_nsec: i64::from(time.subsec_nanos()),
        })
    }

    fn accept(&mut self) {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    let conn = self.server.connect();
                    if self.add_socket(conn, stream).is_err() {
                        self.server.disconnect(conn);
                    }
                }
                Err(error) if retry(&error) => return,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    // Those who wait stay in the queue, which would wake us for ever.
                    let why = format!("no new clients for now: {error}");
                    self.server.log(&why);
                    let _ = epoll::delete(&self.epoll, &self.listener);
                    self.deaf = Some(Instant::now());
                    return;
                }
            }
        }
    }

    /// Listens to new clients again, when a descriptor was freed or some time has passed.
    fn listen_again(&mut self) {
        let data = epoll::EventData::new_u64(LISTENER);
        let added = epoll::add(&self.epoll, &self.listener, data, epoll::EventFlags::IN);
        self.deaf = added.err().map(|_| Instant::now());
    }

    fn add_socket(&mut self, conn: ConnId, stream: UnixStream) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        rustix::io::fcntl_setfd(&stream, rustix::io::FdFlags::CLOEXEC)?;
        let data = epoll::EventData::new_u64(conn.0 + CONNECTIONS);
        epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN)?;
        let socket = Socket {
            stream,
            blocked: false,
        };
        self.sockets.insert(conn, socket);
        Ok(())
    }

    fn close(&mut self, conn: ConnId) {
        if let Some(socket) = self.sockets.remove(&conn) {
            let _ = epoll::delete(&self.epoll, &socket.stream);
        }
        self.server.disconnect(conn);
        if self.deaf.is_some() {
            self.listen_again();
        }
    }

    fn socket_ready(&mut self, conn: ConnId, flags: epoll::EventFlags) {
        if flags.contains(epoll::EventFlags::OUT) {
            self.write_socket(conn);
        }
        let readable = epoll::EventFlags::IN | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        if flags.intersects(readable) {
            self.read_socket(conn);
        }
    }

    fn read_socket(&mut self, conn: ConnId) {
        let Some(socket) = self.sockets.get_mut(&conn) else {
            return;
        };
        match socket.stream.read(&mut self.input) {
            Ok(0) => self.close(conn),
            Ok(read) => {
                let bytes = self.input.get(..read).unwrap_or(&[]);
                self.server.input(conn, bytes);
                if self.server.connection(conn).is_none() {
                    self.close(conn);
                }
            }
            Err(error) if retry(&error) => {}
            Err(_) => self.close(conn),
        }
    }

    fn write_socket(&mut self, conn: ConnId) {
        loop {
            let Some(connection) = self.server.connection(conn) else {
                self.close(conn);
                return;
            };
            let Some(socket) = self.sockets.get_mut(&conn) else {
                return;
            };
            let pieces: Vec<IoSlice<'_>> =
                connection.output().take(PIECES).map(IoSlice::new).collect();
            if pieces.is_empty() {
                break;
            }
            let all: usize = pieces.iter().map(|piece| piece.len()).sum();
            match socket.stream.write_vectored(&pieces) {
                Ok(written) => {
                    self.server.delivered(conn, written);
                    if written < all {
                        break;
                    }
                }
                Err(error) if retry(&error) => break,
                Err(_) => {
                    self.close(conn);
                    return;
                }
            }
        }
        let left = self.server.connection(conn).map_or(0, |c| c.queued());
        if left > BACKLOG_MAX {
            self.server.log("a client that takes nothing is let go");
            self.close(conn);
            return;
        }
        if let Some(socket) = self.sockets.get_mut(&conn)
            && socket.blocked != (left > 0)
        {
            socket.blocked = left > 0;
            let mut flags = epoll::EventFlags::IN;
            flags.set(epoll::EventFlags::OUT, left > 0);
            let data = epoll::EventData::new_u64(conn.0 + CONNECTIONS);
            let _ = epoll::modify(&self.epoll, &socket.stream, data, flags);
        }
    }

    fn take_events(&mut self) -> Result<(), String> {
        let events = self.server.platform.take_events();
        let (domains, changed) = events.map_err(|error| format!("event channels: {error}"))?;
        self.rings.wake(domains);
        if changed {
            self.server.domains_changed();
        }
        Ok(())
    }

    fn deliver(&mut self) {
        for conn in self.server.take_dirty() {
            match self.server.connection(conn).map(|c| c.ring) {
                Some(Some(domid)) => rings::write(&mut self.server, domid, conn),
                Some(None) => self.write_socket(conn),
                None => {}
            }
        }
    }

    fn take_signals(&mut self) {
        let mut bytes = [0; 64];
        let read = self.signals.read(&mut bytes).unwrap_or(0);
        for byte in bytes.iter().take(read) {
            match i32::from(*byte) {
                SIGHUP => self.server.trace_to(None),
                _ => self.stop = true,
            }
        }
    }

    /// Notes changes, and saves them when it is time.
    fn save_if_due(&mut self) {
        let now = Instant::now();
        let generation = self.server.version();
        if generation != self.saved_generation {
            self.saved_generation = generation;
            let first = self.unsaved.map_or(now, |(first, _)| first);
            self.unsaved = Some((first, now));
        }
        if let Some((first, last)) = self.unsaved
            && (now - last >= self.pause || now - first >= self.pause.max(LATEST))
        {
            self.save();
        }
    }

    /// Leaves the state where a restarted daemon finds it.
    fn save(&mut self) {
        self.unsaved = None;
        let began = Instant::now();
        let (path, new) = (self.directory.join(STATE), self.directory.join(STATE_NEW));
        let saved = file::replace(&path, &new, |file| {
            file.write_all(boot_id().as_bytes())?;
            file.write_all(&[0])?;
            state::save(&self.server, &Descriptors::default(), None, file)
        });
        if let Err(error) = saved {
            self.server.log(&format!("cannot save the state: {error}"));
        }
        self.pause = pause_after(began.elapsed());
    }

    /// Becomes another program that goes on with everything. Comes back only if that fails.
    fn live_update(&mut self, update: &Update) {
        // The C library hands what is no program to a shell, and with it this process.
        if let Err(error) = is_program(&update.binary) {
            let why = format!("Error activating new binary: {error}");
            self.server.fail_update(update, &why);
            return;
        }
        // A state knows nobody who waits for a turn.
        self.server.release_held();
        let descriptors = Descriptors {
            listener: Some(self.listener.as_raw_fd()),
            evtchn: self.server.platform.evtchn_fd(),
            sockets: self
                .sockets
                .iter()
                .map(|(conn, socket)| (*conn, socket.stream.as_raw_fd()))
                .collect(),
        };
        let reply = (update.conn, update_reply(update, "OK"));
        let path = live_path(&self.directory);
        let saved = file::replace(&path, &path.with_extension("new"), |file| {
            state::save(&self.server, &descriptors, Some(reply), file)
        });
        if let Err(error) = saved {
            self.server
                .fail_update(update, &format!("{}: {error}", path.display()));
            return;
        }
        self.inherit(true);
        self.server.platform.unbind_virq();
        let mut command = Command::new(&update.binary);
        match &update.arguments {
            Some(words) => command.args(words),
            None => command.args(std::env::args_os().skip(1)),
        };
        if !command
            .get_args()
            .any(|word| word == "-U" || word == "--live-update")
        {
            command.arg("-U");
        }
        command.env_remove(CHILD);
        let error = command.exec();
        self.inherit(false);
        if let Err(error) = self.server.platform.bind_virq() {
            self.server.log(&format!("live-update: {error}"));
        }
        let _ = fs::remove_file(&path);
        let why = format!("Error activating new binary: {error}");
        self.server.fail_update(update, &why);
    }

    /// Whether descriptors outlive the program.
    fn inherit(&self, yes: bool) {
        let flags = if yes {
            rustix::io::FdFlags::empty()
        } else {
            rustix::io::FdFlags::CLOEXEC
        };
        let _ = rustix::io::fcntl_setfd(&self.listener, flags);
        for socket in self.sockets.values() {
            let _ = rustix::io::fcntl_setfd(&socket.stream, flags);
        }
        if let Some(evtchn) = self.server.platform.evtchn() {
            let _ = rustix::io::fcntl_setfd(evtchn, flags);
        }
    }
}

/// How long to wait after a save that took so long.
fn pause_after(price: Duration) -> Duration {
    (price * SHARE).max(QUIET)
}

/// Whether the kernel itself can run that file.
fn is_program(path: &Path) -> io::Result<()> {
    let mut magic = [0; 4];
    fs::File::open(path)?.read_exact(&mut magic)?;
    if magic == *b"\x7fELF" || magic.starts_with(b"#!") {
        Ok(())
    } else {
        Err(io::Error::other("neither an ELF file nor a script"))
    }
}

fn retry(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// Sends a signal's number through a socket when it comes.
fn signal_pipe(signal: i32, into: &OwnedFd) -> io::Result<()> {
    let into = UnixStream::from(into.try_clone()?);
    into.set_nonblocking(true)?;
    signal_hook::low_level::pipe::register(signal, into).map(drop)
}

/// Makes the socket, replacing what a daemon before left.
fn listen(directory: &Path) -> Result<UnixListener, String> {
    let path = client::socket_path();
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    if UnixStream::connect(&path).is_ok() {
        return Err(format!(
            "{}: another xenstored serves there",
            path.display()
        ));
    }
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path).map_err(failed)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let read_only = directory.join(SOCKET_READ_ONLY);
    let _ = fs::remove_file(&read_only);
    // For programs older than the end of read-only connections.
    let _ = symlink(SOCKET, read_only);
    Ok(listener)
}

fn live_path(directory: &Path) -> PathBuf {
    directory.join("state_dump")
}

/// The state of the program that we were before.
fn live_state(directory: &Path) -> Result<Vec<u8>, String> {
    for path in [live_path(directory), PathBuf::from(STATE_OF_C)] {
        if let Ok(bytes) = fs::read(&path) {
            let _ = fs::remove_file(&path);
            return Ok(bytes);
        }
    }
    Err("live update: no state was left".into())
}

/// The state that a daemon left in this boot.
fn left_state(directory: &Path, fresh: bool) -> Option<Vec<u8>> {
    let path = directory.join(STATE);
    let mut prefix = boot_id().into_bytes();
    prefix.push(0);
    let mut file = fs::File::open(&path).ok()?;
    let mut found = vec![0; prefix.len()];
    file.read_exact(&mut found).ok()?;
    if fresh || found != prefix {
        return None;
    }
    let mut state = Vec::new();
    file.read_to_end(&mut state).ok()?;
    Some(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saving_takes_a_small_part_of_the_time() {
        assert_eq!(pause_after(Duration::from_micros(10)), QUIET);
        assert_eq!(
            pause_after(Duration::from_millis(60)),
            Duration::from_millis(1200)
        );
    }
}
