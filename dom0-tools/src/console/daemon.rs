//! The daemon's loop: domains that come and go, events of their consoles, viewers, signals.
//!
//! Nothing here is lost with the process: rings, event channels and names of terminals are in the
//! guests' pages and in xenstore, so a daemon that starts anew takes all consoles over.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hypercall_abi::domctl::XEN_DOMINF_DYING;
use hypercall_abi::grant_table::GNTTAB_RESERVED_CONSOLE;
use hypercall_abi::xen::Virq;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::guest::Console;
pub use super::guest::Overflow;
use super::hypervisor_log::HypervisorLog;
use super::log::Log;
pub use super::log::Style;
use super::terminal::Terminal;
use super::viewers::Viewer;
use crate::hypercall::Interface;
use crate::sys::evtchn::Evtchn;
use crate::sys::gntdev::Gntdev;
use crate::sys::{limits, log};
use crate::xenstore::{self, Client};

/// Output nobody has seen that is kept, if xenstore says nothing else (libxl's default too).
const LIMIT: usize = 1 << 20;
/// No guest's output is worth more.
const MOST: usize = 16 << 20;
/// How often a lost connection to xenstore is tried again.
const RETRY: Duration = Duration::from_secs(1);
const INTRODUCE: &str = "@introduceDomain";
const RELEASE: &str = "@releaseDomain";

/// What the daemon is to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where logs go.
    pub log_directory: PathBuf,
    /// Keep logs of guests, and how.
    pub guests: Option<Style>,
    /// Keep a log of the hypervisor, and how.
    pub hypervisor: Option<Style>,
    /// What happens to output that nobody sees.
    pub overflow: Overflow,
    /// Where viewers connect.
    pub socket: PathBuf,
}

static LOG: Mutex<Option<log::Log>> = Mutex::new(None);

/// Whether messages go to standard error too.
pub fn set_verbose(verbose: bool) {
    with_log(|log| log.stderr = verbose);
}

/// Tells the administrator: the system's log, and standard error if that is wanted.
pub fn warn(message: &str) {
    with_log(|log| log.line(message));
}

fn with_log(then: impl FnOnce(&mut log::Log)) {
    let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    then(log.get_or_insert_with(|| log::Log::quiet("xenconsoled")));
}

/// A connection that has not said yet which console it wants.
#[derive(Debug)]
struct Visitor {
    stream: UnixStream,
    said: Vec<u8>,
}

struct Daemon {
    options: Options,
    xen: Interface,
    channels: Evtchn,
    grants: Gntdev,
    store: Option<Client>,
    consoles: BTreeMap<u32, Console>,
    hypervisor: Option<(HypervisorLog, u32)>,
    listener: UnixListener,
    visitors: Vec<Visitor>,
    hangup: UnixStream,
    end: UnixStream,
}

/// Serves consoles until told to end by a signal. `ready` is called once consoles are served.
///
/// # Errors
/// What keeps it from starting.
pub fn run(options: Options, ready: impl FnOnce()) -> anyhow::Result<()> {
    limits::raise_file_limit();
    let mut daemon = Daemon::start(options)?;
    daemon.enumerate();
    ready();
    while daemon.turn() {}
    // The next daemon makes its own.
    let _ = fs::remove_file(&daemon.options.socket);
    Ok(())
}

impl Daemon {
    fn start(options: Options) -> anyhow::Result<Self> {
        let xen = Interface::open()?;
        let channels = Evtchn::open()?;
        let hypervisor = match options.hypervisor {
            None => None,
            Some(style) => {
                let log = Log::open(&options.log_directory.join("hypervisor.log"), style)?;
                let port = channels.bind_virq(Virq::CON_RING.0)?;
                let mut log = HypervisorLog::new(log);
                // What it said while booting.
                log.catch_up(&xen)?;
                Some((log, port))
            }
        };
        let (hangup, end) = (signal_pipe(&[SIGHUP])?, signal_pipe(&[SIGTERM, SIGINT])?);
        let mut daemon = Self {
            xen,
            channels,
            grants: Gntdev::open()?,
            store: None,
            consoles: BTreeMap::new(),
            hypervisor,
            listener: listen(&options.socket)?,
            visitors: Vec::new(),
            hangup,
            end,
            options,
        };
        daemon.connect()?;
        Ok(daemon)
    }

    fn connect(&mut self) -> Result<(), xenstore::Error> {
        let store = Client::open()?;
        store.watch(INTRODUCE, "domains")?;
        store.watch(RELEASE, "domains")?;
        for domid in self.consoles.keys() {
            watch_domain(&store, *domid)?;
        }
        self.store = Some(store);
        Ok(())
    }

    /// Takes new domains on and lets those go that are gone.
    fn enumerate(&mut self) {
        let domains = match self.xen.domains() {
            Ok(domains) => domains,
            Err(error) => return warn(&format!("list of domains: {error}")),
        };
        let alive: Vec<u32> = domains
            .iter()
            .filter(|info| info.flags & XEN_DOMINF_DYING == 0)
            .map(|info| u32::from(info.domain.0))
            .filter(|domid| *domid != 0)
            .collect();
        let known: Vec<u32> = self.consoles.keys().copied().collect();
        for domid in known {
            if !alive.contains(&domid) {
                self.forget(domid);
            }
        }
        for domid in alive {
            if self.consoles.contains_key(&domid) {
                continue;
            }
            if let Some(store) = &self.store
                // A watch that is there already is as good as a new one.
                && let Err(error) = watch_domain(store, domid)
                && error.errno() != Some(hypercall_abi::Errno::EEXIST)
            {
                warn(&format!("domain {domid}: {error}"));
            }
            self.take_on(domid);
        }
    }

    fn forget(&mut self, domid: u32) {
        if let Some(console) = self.consoles.remove(&domid) {
            console.close(&self.channels);
        }
        if let Some(store) = &self.store {
            // A dead domain's watch may have gone with its nodes.
            let _ = store.unwatch(&directory(domid), &domid.to_string());
        }
    }

    fn take_on(&mut self, domid: u32) {
        match self.try_take_on(domid) {
            Ok(()) => {}
            Err(error) => warn(&format!("domain {domid}: its console: {error}")),
        }
    }

    /// Serves a domain's console if xenstore says where it is. If it moved, it is taken on anew.
    fn try_take_on(&mut self, domid: u32) -> anyhow::Result<()> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        let base = directory(domid);
        let number = |name: &str| -> Result<Option<u64>, xenstore::Error> {
            let text = store.try_read_string(&format!("{base}/{name}"))?;
            Ok(text.and_then(|text| text.trim().parse().ok()))
        };
        let (Some(_), Some(port)) = (number("ring-ref")?, number("port")?) else {
            return Ok(());
        };
        let port = u32::try_from(port)?;
        let kind = store.try_read_string(&format!("{base}/type"))?;
        if kind.is_some_and(|kind| kind != "xenconsoled") {
            return Ok(());
        }
        if self
            .consoles
            .get(&domid)
            .is_some_and(|known| known.remote_port == port)
        {
            return Ok(());
        }
        let limit = number("limit")?.and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.filter(|limit| *limit > 0).unwrap_or(LIMIT).min(MOST);
        // The old channel goes first: the guest has only one.
        let previous = self.consoles.remove(&domid);
        let terminal = match previous {
            Some(previous) => {
                let _ = self.channels.unbind(previous.port);
                previous.terminal
            }
            None => Terminal::open()?,
        };
        let page = self.grants.map(domid, GNTTAB_RESERVED_CONSOLE)?;
        let local = self.channels.bind_interdomain(domid, port)?;
        let log = self.log_of(store, domid);
        store.write(&format!("{base}/tty"), terminal.path())?;
        let room = (limit, self.options.overflow);
        let mut console = Console::new(domid, (port, local), page, terminal, room, log);
        // What it said before anybody listened.
        console.collect(&self.channels)?;
        self.consoles.insert(domid, console);
        Ok(())
    }

    fn log_of(&self, store: &Client, domid: u32) -> Option<Log> {
        let style = self.options.guests?;
        let name = store.try_read_string(&format!("/local/domain/{domid}/name"));
        let name = name.ok().flatten().filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(|| format!("domain-{domid}"));
        let file = format!("guest-{}.log", name.replace('/', "_"));
        Log::open(&self.options.log_directory.join(file), style)
            .inspect_err(|error| warn(&format!("domain {domid}: log: {error}")))
            .ok()
    }

    /// Waits for something to happen and does what is to be done. `false`: the end.
    fn turn(&mut self) -> bool {
        let now = Instant::now();
        for console in self.consoles.values_mut() {
            if console.let_on(&self.channels, now).is_err() {
                warn(&format!(
                    "domain {}: its event channel is lost",
                    console.domid
                ));
            }
        }
        let ready = match self.wait(now) {
            Ok(ready) => ready,
            Err(rustix::io::Errno::INTR) => return true,
            Err(errno) => {
                warn(&format!("waiting: {errno}"));
                return false;
            }
        };
        if ready.end {
            return false;
        }
        if ready.hangup {
            drain(&self.hangup);
            self.reopen_logs();
        }
        let mut rest = ready.consoles.as_slice();
        for console in self.consoles.values_mut() {
            let count = console.interests().count();
            let (own, others) = rest.split_at(count.min(rest.len()));
            rest = others;
            if own.iter().any(|flags| !flags.is_empty())
                && let Err(error) = console.ready(&self.channels, own)
            {
                warn(&format!("domain {}: {error}", console.domid));
            }
        }
        // After the viewers, whose number this may change.
        if ready.channels {
            self.serve_events();
        }
        self.hear_visitors();
        if ready.listener {
            self.receive();
        }
        self.serve_store();
        true
    }

    fn wait(&self, now: Instant) -> rustix::io::Result<Ready> {
        let mut fds = vec![
            PollFd::new(&self.end, PollFlags::IN),
            PollFd::new(&self.hangup, PollFlags::IN),
            PollFd::new(&self.channels, PollFlags::IN),
            PollFd::new(&self.listener, PollFlags::IN),
        ];
        let fixed = fds.len();
        for console in self.consoles.values() {
            let interests = console.interests();
            fds.extend(interests.map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)));
        }
        let consoles_end = fds.len();
        let visitors = self.visitors.iter();
        fds.extend(visitors.map(|visitor| PollFd::new(&visitor.stream, PollFlags::IN)));
        let mut deadline = self.consoles.values().filter_map(Console::deadline).min();
        match &self.store {
            Some(store) => fds.push(PollFd::from_borrowed_fd(store.as_fd(), PollFlags::IN)),
            None => deadline = Some(deadline.unwrap_or(now + RETRY).min(now + RETRY)),
        }
        let timeout = deadline.map(|deadline| {
            // Never before the time.
            let left = deadline.saturating_duration_since(now) + Duration::from_millis(1);
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        poll(&mut fds, timeout.as_ref())?;
        let happened: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        let at = |index: usize| happened.get(index).is_some_and(|flags| !flags.is_empty());
        Ok(Ready {
            end: at(0),
            hangup: at(1),
            channels: at(2),
            listener: at(3),
            consoles: happened
                .get(fixed..consoles_end)
                .unwrap_or_default()
                .to_vec(),
        })
    }

    fn serve_events(&mut self) {
        let ports = match self.channels.pending() {
            Ok(ports) => ports,
            Err(error) => return warn(&format!("event channels: {error}")),
        };
        for port in ports {
            if let Some((log, virq)) = &mut self.hypervisor
                && port == *virq
            {
                if let Err(error) = log.catch_up(&self.xen) {
                    warn(&format!("the hypervisor's log: {error}"));
                }
                let _ = self.channels.enable(port);
                continue;
            }
            let console = self
                .consoles
                .values_mut()
                .find(|console| console.port == port);
            if let Some(console) = console
                && let Err(error) = console.event(&self.channels)
            {
                warn(&format!("domain {}: {error}", console.domid));
            }
        }
    }

    fn serve_store(&mut self) {
        if self.store.is_none() {
            if self.connect().is_err() {
                return;
            }
            self.enumerate();
        }
        loop {
            let Some(store) = &self.store else {
                return;
            };
            let event = match store.next_event(Some(Duration::ZERO)) {
                Ok(Some(event)) => event,
                Ok(None) => return,
                Err(error) => {
                    warn(&format!("{error}; consoles go on without it"));
                    self.store = None;
                    return;
                }
            };
            match event.token.parse::<u32>() {
                Ok(domid) => self.take_on_if_alive(domid),
                Err(_) => self.enumerate(),
            }
        }
    }

    /// Events of domains that are gone come late.
    fn take_on_if_alive(&mut self, domid: u32) {
        let exists = self
            .store
            .as_ref()
            .is_some_and(|store| store.exists(&directory(domid)).unwrap_or(false));
        if exists {
            self.take_on(domid);
        }
    }

    fn receive(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if stream.set_nonblocking(true).is_ok() {
                self.visitors.push(Visitor {
                    stream,
                    said: Vec::new(),
                });
            }
        }
        self.hear_visitors();
    }

    /// Visitors say which console they want, on a line.
    fn hear_visitors(&mut self) {
        const LONGEST: usize = 32;
        for mut visitor in std::mem::take(&mut self.visitors) {
            let mut bytes = [0; LONGEST];
            match visitor.stream.read(&mut bytes) {
                Ok(0) => continue,
                Ok(read) => visitor.said.extend_from_slice(&bytes[..read]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.visitors.push(visitor);
                    continue;
                }
                Err(_) => continue,
            }
            let Some(end) = visitor.said.iter().position(|&byte| byte == b'\n') else {
                if visitor.said.len() <= LONGEST {
                    self.visitors.push(visitor);
                }
                continue;
            };
            let wanted = String::from_utf8_lossy(&visitor.said[..end]).into_owned();
            let typed = visitor.said.split_off(end + 1);
            let console = wanted
                .parse()
                .ok()
                .and_then(|domid: u32| self.consoles.get_mut(&domid));
            let answer: &[u8] = if console.is_some() { b"+" } else { b"-" };
            if visitor.stream.write_all(answer).is_err() {
                continue;
            }
            if let (Some(console), Ok(viewer)) = (console, Viewer::new(visitor.stream)) {
                console.add(viewer);
                let _ = console.type_in(&self.channels, &typed);
            }
        }
    }

    fn reopen_logs(&mut self) {
        let guests = self
            .consoles
            .values_mut()
            .filter_map(|console| console.log.as_mut());
        let own = self.hypervisor.as_mut().map(|(log, _)| &mut log.log);
        for log in guests.chain(own) {
            if let Err(error) = log.reopen() {
                warn(&format!("log: {error}"));
            }
        }
    }
}

/// Who has something to do.
struct Ready {
    end: bool,
    hangup: bool,
    channels: bool,
    listener: bool,
    /// In the order of [`Console::interests`] of all consoles.
    consoles: Vec<PollFlags>,
}

fn directory(domid: u32) -> String {
    format!("/local/domain/{domid}/console")
}

fn watch_domain(store: &Client, domid: u32) -> Result<(), xenstore::Error> {
    store.watch(&directory(domid), &domid.to_string())
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    // That of a daemon that is gone; that of one that runs is in use by nobody else either, as it
    // would hold the guests' channels.
    let _ = fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A stream that becomes readable with any of these signals.
fn signal_pipe(signals: &[i32]) -> io::Result<UnixStream> {
    let (near, far) = UnixStream::pair()?;
    near.set_nonblocking(true)?;
    for signal in signals {
        signal_hook::low_level::pipe::register(*signal, far.try_clone()?)?;
    }
    Ok(near)
}

fn drain(mut stream: &UnixStream) {
    let mut bytes = [0; 64];
    while stream.read(&mut bytes).is_ok_and(|read| read > 0) {}
}
