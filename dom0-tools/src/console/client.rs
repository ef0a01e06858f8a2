//! `xl console`: a guest's console on this terminal.
//!
//! Our own daemon is asked through its socket, so that several viewers may share a console. Where
//! it does not run, the terminal that xenstore names is opened, as stock tools do.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::termios::{Termios, isatty};

use super::{escape, terminal};
use crate::xenstore::{self, Client};

/// A console may come up a moment after its domain.
const PATIENCE: Duration = Duration::from_secs(5);
/// A daemon that is there takes every domain on, but perhaps has much to do.
const LONG_PATIENCE: Duration = Duration::from_secs(60);
/// What a guest said last comes within this time, once it is gone.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Which of a domain's consoles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Which {
    /// The domain.
    pub domid: u32,
    /// Its consoles are numbered from 0.
    pub number: u32,
    /// The emulated serial line instead.
    pub serial: bool,
}

/// Why there is no console.
#[derive(Debug)]
pub enum Error {
    /// xenstore did not do what was asked.
    Store(xenstore::Error),
    /// The domain has no such console, or nobody serves it.
    Absent(Which),
    /// The connection or terminal broke.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(f),
            Self::Absent(which) => write!(
                f,
                "domain {} has no console {}, or xenconsoled does not run",
                which.domid, which.number
            ),
            Self::Io(error) => write!(f, "console: {error}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<xenstore::Error> for Error {
    fn from(error: xenstore::Error) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<rustix::io::Errno> for Error {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Io(errno.into())
    }
}

impl Which {
    /// Where xenstore names the console's terminal.
    fn node(&self) -> String {
        let Self {
            domid,
            number,
            serial,
        } = self;
        match (serial, number) {
            (true, _) => format!("/local/domain/{domid}/serial/{number}/tty"),
            (false, 0) => format!("/local/domain/{domid}/console/tty"),
            (false, _) => format!("/local/domain/{domid}/device/console/{number}/tty"),
        }
    }
}

/// Shows a console until the guest is gone or the user leaves with Ctrl-].
///
/// # Errors
/// See [`Error`].
pub fn attach(which: Which) -> Result<(), Error> {
    attach_then(which, || {})
}

/// As [`attach`]; `shown` is called when the connection stands, before anything is shown.
///
/// # Errors
/// See [`Error`].
pub fn attach_then(which: Which, shown: impl FnOnce()) -> Result<(), Error> {
    let store = Client::open()?;
    store.watch(&which.node(), "tty")?;
    let mut connection = connect(&store, which, PATIENCE)?.ok_or(Error::Absent(which))?;
    shown();
    let keyboard = Keyboard::open()?;
    loop {
        match pass(&store, which, &connection, &keyboard)? {
            Outcome::Left => return Ok(()),
            Outcome::Broken => {}
        }
        // The guest is gone, or the daemon was started anew.
        match connect(&store, which, PATIENCE)? {
            Some(again) => connection = again,
            None => return Ok(()),
        }
    }
}

enum Outcome {
    Left,
    Broken,
}

/// The way to a console, within some time; `None` if there is none, or the domain is gone.
fn connect(store: &Client, which: Which, patience: Duration) -> Result<Option<OwnedFd>, Error> {
    let start = Instant::now();
    loop {
        if which.number == 0
            && !which.serial
            && let Some(stream) = ask_daemon(which.domid)
        {
            return Ok(Some(stream.into()));
        }
        // Our daemon's terminal is for others: it is asked until it has taken the domain on.
        let ours = UnixStream::connect(super::SOCKET).is_ok();
        let path = store.try_read_string(&which.node())?;
        if let Some(path) = path.filter(|path| !path.is_empty())
            && !(ours && which.number == 0)
            && let Ok(file) = open_terminal(&path)
        {
            return Ok(Some(file));
        }
        let patience = if ours {
            patience.max(LONG_PATIENCE)
        } else {
            patience
        };
        let left = (start + patience).saturating_duration_since(Instant::now());
        let alive = store.exists(&format!("/local/domain/{}", which.domid))?;
        if left.is_zero() || !alive {
            return Ok(None);
        }
        store.next_event(Some(left.min(Duration::from_millis(100))))?;
    }
}

/// Whether a path is that of a pseudo terminal, the only thing that a daemon names there. The node
/// may be a guest's, for consoles other than the first.
fn is_terminal_path(path: &str) -> bool {
    let number = path.strip_prefix("/dev/pts/").unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

fn open_terminal(path: &str) -> io::Result<OwnedFd> {
    if !is_terminal_path(path) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NOCTTY.bits().cast_signed())
        .open(path)?;
    terminal::make_raw(&file)?;
    Ok(file.into())
}

fn ask_daemon(domid: u32) -> Option<UnixStream> {
    let mut stream = UnixStream::connect(super::SOCKET).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(format!("{domid}\n").as_bytes()).ok()?;
    let mut answer = [0];
    stream.read_exact(&mut answer).ok()?;
    stream.set_read_timeout(None).ok()?;
    (answer == *b"+").then_some(stream)
}

/// Passes bytes both ways until one side ends.
fn pass(
    store: &Client,
    which: Which,
    connection: &OwnedFd,
    keyboard: &Keyboard,
) -> Result<Outcome, Error> {
    let stdin = io::stdin();
    let mut bytes = [0; 4096];
    loop {
        let mut fds = vec![
            PollFd::new(connection, PollFlags::IN),
            PollFd::from_borrowed_fd(store.as_fd(), PollFlags::IN),
        ];
        if keyboard.is_used() {
            fds.push(PollFd::from_borrowed_fd(stdin.as_fd(), PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let happened: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let at = |index: usize| happened.get(index).copied().unwrap_or(false);
        if at(0) {
            match rustix::io::read(connection, &mut bytes) {
                Ok(0) | Err(rustix::io::Errno::IO) => return Ok(Outcome::Broken),
                Ok(read) => show(&bytes[..read])?,
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
                Err(_) => return Ok(Outcome::Broken),
            }
        }
        if at(2) {
            let read = match rustix::io::read(&stdin, &mut bytes) {
                Ok(0) => return Ok(Outcome::Left),
                Ok(read) => read,
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => 0,
                Err(errno) => return Err(errno.into()),
            };
            let (typed, left) = escape::split(&bytes[..read]);
            if write_all(connection, typed).is_err() {
                return Ok(Outcome::Broken);
            }
            if left {
                return Ok(Outcome::Left);
            }
        }
        if at(1) && store.next_event(Some(Duration::ZERO))?.is_some() {
            // The terminal is another, or none; the first event only says that we watch.
            let alive = store.exists(&which.node())?;
            if !alive {
                last_words(connection, LAST_WORDS)?;
                return Ok(Outcome::Broken);
            }
        }
    }
}

fn show(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Shows what is still under way from a guest that is gone: until the daemon lets us go, or says
/// nothing for a while.
fn last_words(connection: &OwnedFd, silence: Duration) -> Result<(), Error> {
    pass_on_rest(connection, silence, show)
}

fn pass_on_rest(
    connection: &OwnedFd,
    silence: Duration,
    mut show: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), Error> {
    let mut bytes = [0; 4096];
    let silence = Timespec {
        tv_sec: i64::try_from(silence.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(silence.subsec_nanos()),
    };
    loop {
        let mut fds = [PollFd::new(connection, PollFlags::IN)];
        match poll(&mut fds, Some(&silence)) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(errno.into()),
        }
        match rustix::io::read(connection, &mut bytes) {
            Ok(0) => return Ok(()),
            Ok(read) => show(&bytes[..read])?,
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {}
            // A terminal whose other end is closed.
            Err(_) => return Ok(()),
        }
    }
}

fn write_all(fd: &OwnedFd, mut bytes: &[u8]) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// The user's keyboard, whose every key goes to the guest; as it was when this is dropped. What is
/// no terminal is not read: scripts have their own business there.
struct Keyboard {
    terminal: Option<(OwnedFd, Termios)>,
}

impl Keyboard {
    fn open() -> Result<Self, Error> {
        let stdin = io::stdin();
        if !isatty(&stdin) || !isatty(io::stdout()) {
            return Ok(Self { terminal: None });
        }
        let own = stdin.as_fd().try_clone_to_owned()?;
        let before = terminal::make_raw(&own)?;
        Ok(Self {
            terminal: Some((own, before)),
        })
    }

    fn is_used(&self) -> bool {
        self.terminal.is_some()
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        if let Some((terminal, before)) = &self.terminal {
            terminal::restore(terminal, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_said_last_is_shown_whole() {
        let (mut far, near) = UnixStream::pair().unwrap();
        let near = OwnedFd::from(near);
        // More than is read at once.
        let words = vec![b'x'; 3 * 4096 + 5];
        far.write_all(&words).unwrap();
        let mut seen = Vec::new();
        let mut see = |bytes: &[u8]| {
            seen.extend_from_slice(bytes);
            Ok(())
        };
        // The daemon keeps the connection: silence ends it.
        pass_on_rest(&near, Duration::from_millis(1), &mut see).unwrap();
        far.write_all(b"end").unwrap();
        drop(far);
        pass_on_rest(&near, Duration::from_secs(600), &mut see).unwrap();
        assert_eq!(seen, [words.as_slice(), b"end"].concat());
    }

    #[test]
    fn only_pseudo_terminals_are_opened() {
        assert!(is_terminal_path("/dev/pts/0") && is_terminal_path("/dev/pts/123"));
        for path in [
            "/dev/pts/",
            "/dev/pts/../sda",
            "/dev/sda",
            "",
            "/dev/pts/1/x",
        ] {
            assert!(!is_terminal_path(path), "{path}");
        }
    }
}
