//! A synchronous client of xenstore, for programs in dom0.
//!
//! ```no_run
//! use dom0_tools::xenstore::{Client, Error, Perm, Access};
//! # fn main() -> Result<(), Error> {
//! let store = Client::open()?;
//! let name = store.try_read_string("/local/domain/1/name")?;   // None: no such node
//! store.write("/local/domain/1/name", "demo")?;                // creates missing parents
//! store.set_perms("/local/domain/1/data", &[Perm::new(1, Access::None)])?;
//! for child in store.list("/local/domain")? { println!("{child}"); }
//! store.transaction(|tx| -> Result<(), Error> {                // again from the start on EAGAIN
//!     let n: u32 = tx.try_read_string("/x")?.and_then(|s| s.parse().ok()).unwrap_or(0);
//!     tx.write("/x", (n + 1).to_string())
//! })?;
//! store.watch("/local/domain/1/control", "mine")?;             // the first event comes at once
//! while let Some(event) = store.next_event(None)? { println!("{} {}", event.path, event.token); }
//! # Ok(()) }
//! ```
//!
//! Events arrive between replies and wait in the client's queue: before you sleep on the file
//! descriptor ([`AsFd`]) yourself, take [`Client::queued_event`] until it gives `None`.
//! A client belongs to one thread at a time; threads open their own.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fmt, io};

use hypercall_abi::Errno;
use hypercall_abi::io::xs_wire::XsType;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::wire::{self, Assembler, Message, PAYLOAD_MAX, Perm};

/// Where xenstored listens unless the environment says otherwise.
const RUNDIR: &str = "/var/run/xenstored";
/// The kernel's way to xenstore, wherever that runs.
const DEVICES: [&str; 2] = ["/dev/xen/xenbus", "/proc/xen/xenbus"];

/// Why xenstore did not do what was asked.
#[derive(Debug)]
pub enum Error {
    /// No daemon listens at the socket, and the kernel offers no way either.
    NoDaemon(PathBuf, io::Error),
    /// The connection broke while doing this.
    Io(&'static str, io::Error),
    /// xenstore refused: the operation, the path, and why.
    Refused(&'static str, String, Errno),
    /// The daemon answered something that is not in the protocol.
    Protocol(&'static str),
    /// Longer than a message may be, or with a zero byte where none may be.
    Request(&'static str, String),
}

impl Error {
    /// The error number, where xenstore gave one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused(.., errno) => Some(*errno),
            _ => None,
        }
    }

    /// Whether it says that there is no such node.
    pub fn is_not_found(&self) -> bool {
        self.errno() == Some(Errno::ENOENT)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDaemon(path, error) => write!(
                f,
                "cannot reach xenstored at {}: {error}; is it running?",
                path.display()
            ),
            Self::Io(what, error) => write!(f, "xenstore {what}: {error}"),
            Self::Refused(what, path, errno) => write!(f, "xenstore {what} {path}: {errno}"),
            Self::Protocol(what) => write!(f, "xenstored's answer is not understood: {what}"),
            Self::Request(what, path) => write!(
                f,
                "xenstore {what} {path}: longer than a message may be, or with a zero byte"
            ),
        }
    }
}

impl std::error::Error for Error {}

/// A watch fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What changed, relative if the watch was.
    pub path: String,
    /// The watch's token.
    pub token: String,
}

/// A connection to xenstore.
#[derive(Debug)]
pub struct Client {
    fd: OwnedFd,
    way: Option<Way>,
    state: RefCell<State>,
}

/// How a client came to its connection.
#[derive(Clone, Debug)]
enum Way {
    Socket(PathBuf),
    Device(PathBuf),
}

#[derive(Debug, Default)]
struct State {
    assembler: Assembler,
    events: VecDeque<Event>,
    last_request: u32,
    /// Bytes read beyond the message they came with.
    surplus: Vec<u8>,
}

/// The daemon's socket: `XENSTORED_PATH`, or `socket` in `XENSTORED_RUNDIR`, or the usual place.
pub fn socket_path() -> PathBuf {
    match env::var_os("XENSTORED_PATH") {
        Some(path) => path.into(),
        None => run_directory().join("socket"),
    }
}

/// The daemon's directory: `XENSTORED_RUNDIR` or the usual place.
pub fn run_directory() -> PathBuf {
    env::var_os("XENSTORED_RUNDIR").map_or_else(|| PathBuf::from(RUNDIR), PathBuf::from)
}

/// Whether a daemon was there and is not any more.
fn died(error: &Error) -> bool {
    matches!(error, Error::NoDaemon(_, why) if why.kind() == io::ErrorKind::ConnectionRefused)
}

impl Client {
    /// Connects to the daemon's socket, or where there is none through the kernel. A socket where
    /// nobody listens is a daemon that died: through the kernel its answer would be waited for for
    /// ever, by a process that no signal ends.
    ///
    /// # Errors
    /// [`Error::NoDaemon`].
    pub fn open() -> Result<Self, Error> {
        let path = socket_path();
        let refused = match Self::connect(&path) {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        if died(&refused) {
            return Err(refused);
        }
        for device in DEVICES {
            if let Ok(client) = Self::device(Path::new(device)) {
                return Ok(client);
            }
        }
        Err(refused)
    }

    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// [`Error::NoDaemon`].
    pub fn connect(path: &Path) -> Result<Self, Error> {
        match UnixStream::connect(path) {
            Ok(stream) => Ok(Self {
                way: Some(Way::Socket(path.to_owned())),
                ..Self::over(stream.into())
            }),
            Err(error) => Err(Error::NoDaemon(path.to_owned(), error)),
        }
    }

    /// Opens the kernel's device at `path` (`/dev/xen/xenbus`).
    ///
    /// # Errors
    /// [`Error::NoDaemon`].
    pub fn device(path: &Path) -> Result<Self, Error> {
        match OpenOptions::new().read(true).write(true).open(path) {
            Ok(file) => Ok(Self {
                way: Some(Way::Device(path.to_owned())),
                ..Self::over(File::into(file))
            }),
            Err(error) => Err(Error::NoDaemon(path.to_owned(), error)),
        }
    }

    /// A client over an open, blocking stream to a daemon.
    pub fn over(fd: OwnedFd) -> Self {
        Self {
            fd,
            way: None,
            state: RefCell::default(),
        }
    }

    /// The same, but a daemon that does not answer for so long counts as gone: every call fails then.
    ///
    /// # Errors
    /// [`Error::Io`] where the kernel's device is the way, which waits for ever.
    pub fn with_patience(self, patience: Duration) -> Result<Self, Error> {
        for way in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&self.fd, way, Some(patience))
                .map_err(|errno| io_error("set a time limit", errno))?;
        }
        Ok(self)
    }

    /// A connection of its own to the same daemon: events of watches stay with their owners.
    ///
    /// # Errors
    /// [`Error::NoDaemon`].
    pub fn another(&self) -> Result<Self, Error> {
        match &self.way {
            Some(Way::Socket(path)) => Self::connect(path),
            Some(Way::Device(path)) => Self::device(path),
            None => Self::open(),
        }
    }

    /// Operations outside of any transaction, as an object like the one inside.
    fn outside(&self) -> Transaction<'_> {
        Transaction {
            client: self,
            id: 0,
        }
    }

    /// The value of a node.
    ///
    /// # Errors
    /// `ENOENT` without such a node, `EACCES`; see [`Error`].
    pub fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        self.outside().read(path)
    }

    /// The value of a node, or `None` if there is no such node.
    ///
    /// # Errors
    /// As [`Self::read`], but for `ENOENT`.
    pub fn try_read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        self.outside().try_read(path)
    }

    /// The value of a node as text (what is not UTF-8 is replaced).
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_string(&self, path: &str) -> Result<String, Error> {
        self.outside().read_string(path)
    }

    /// The value of a node as text, or `None` if there is no such node.
    ///
    /// # Errors
    /// As [`Self::try_read`].
    pub fn try_read_string(&self, path: &str) -> Result<Option<String>, Error> {
        self.outside().try_read_string(path)
    }

    /// Sets the value of a node, creating it and its missing parents.
    ///
    /// # Errors
    /// `EACCES`, quotas (`ENOSPC`); see [`Error`].
    pub fn write(&self, path: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        self.outside().write(path, value)
    }

    /// Creates a node without a value unless it exists.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn mkdir(&self, path: &str) -> Result<(), Error> {
        self.outside().mkdir(path)
    }

    /// Removes a node and all below it. It need not exist, its parent must.
    ///
    /// # Errors
    /// `ENOENT` without the parent, `EACCES`.
    pub fn rm(&self, path: &str) -> Result<(), Error> {
        self.outside().rm(path)
    }

    /// As [`Self::rm`], but a missing parent is no error.
    ///
    /// # Errors
    /// `EACCES`.
    pub fn rm_if_present(&self, path: &str) -> Result<(), Error> {
        self.outside().rm_if_present(path)
    }

    /// The names of a node's children.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        self.outside().list(path)
    }

    /// The names of a node's children; none if there is no such node.
    ///
    /// # Errors
    /// As [`Self::list`], but for `ENOENT`.
    pub fn try_list(&self, path: &str) -> Result<Vec<String>, Error> {
        self.outside().try_list(path)
    }

    /// Whether there is such a node.
    ///
    /// # Errors
    /// As [`Self::try_read`].
    pub fn exists(&self, path: &str) -> Result<bool, Error> {
        self.outside().exists(path)
    }

    /// The permissions of a node; the first entry names the owner.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn get_perms(&self, path: &str) -> Result<Vec<Perm>, Error> {
        self.outside().get_perms(path)
    }

    /// Replaces the permissions of a node, or of a special watch (`@releaseDomain`).
    ///
    /// # Errors
    /// `ENOENT`, `EACCES`; `EINVAL` without any entry.
    pub fn set_perms(&self, path: &str, perms: &[Perm]) -> Result<(), Error> {
        self.outside().set_perms(path, perms)
    }

    /// Runs `body` in a transaction: all it writes appears at once, or nothing. If somebody
    /// changed what it read in the meantime, it runs again from the start. If it fails, nothing
    /// is written and its error is returned.
    ///
    /// # Errors
    /// What `body` returns; what starting or ending the transaction is refused for.
    pub fn transaction<T, E: From<Error>>(
        &self,
        mut body: impl FnMut(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        loop {
            let transaction = self.begin()?;
            let done = match body(&transaction) {
                Ok(done) => done,
                Err(error) => {
                    // The first error is the one to report.
                    let _ = transaction.end(false);
                    return Err(error);
                }
            };
            if transaction.end(true)? {
                return Ok(done);
            }
        }
    }

    /// Starts a transaction by hand; [`Self::transaction`] is the easier way.
    ///
    /// # Errors
    /// Quotas.
    pub fn begin(&self) -> Result<Transaction<'_>, Error> {
        let what = "transaction start";
        let answer = self.request(what, XsType::TRANSACTION_START, 0, "", b"\0".to_vec())?;
        let id = number(&answer).ok_or(Error::Protocol(what))?;
        Ok(Transaction { client: self, id })
    }

    /// Asks for an event at every change of `path` and below it. The first comes at once.
    ///
    /// # Errors
    /// `EEXIST` if this very watch is there already.
    pub fn watch(&self, path: &str, token: &str) -> Result<(), Error> {
        let payload = payload(&[path, token]);
        self.request("watch", XsType::WATCH, 0, path, payload)
            .map(drop)
    }

    /// Takes a watch away. Events that were under way may still come.
    ///
    /// # Errors
    /// `ENOENT` without such a watch.
    pub fn unwatch(&self, path: &str, token: &str) -> Result<(), Error> {
        let payload = payload(&[path, token]);
        self.request("unwatch", XsType::UNWATCH, 0, path, payload)
            .map(drop)
    }

    /// Takes all watches and transactions of this connection away, and forgets queued events.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn reset_watches(&self) -> Result<(), Error> {
        let what = "reset watches";
        self.request(what, XsType::RESET_WATCHES, 0, "", b"\0".to_vec())?;
        self.state.borrow_mut().events.clear();
        Ok(())
    }

    /// An event that has come already, without looking at the connection.
    pub fn queued_event(&self) -> Option<Event> {
        self.state.borrow_mut().events.pop_front()
    }

    /// The next event; waits for it, at most `timeout`, for ever with `None`. `None` is returned
    /// when the time is over, or a signal came.
    ///
    /// # Errors
    /// [`Error::Io`] if the connection breaks.
    pub fn next_event(&self, timeout: Option<Duration>) -> Result<Option<Event>, Error> {
        let end = timeout.map(|timeout| Instant::now() + timeout);
        loop {
            if let Some(event) = self.queued_event() {
                return Ok(Some(event));
            }
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            if !self.readable(left)? {
                return Ok(None);
            }
            if let Some(message) = self.receive("wait for an event")? {
                self.keep(message)?;
            }
        }
    }

    fn readable(&self, timeout: Option<Duration>) -> Result<bool, Error> {
        if !self.state.borrow().surplus.is_empty() {
            return Ok(true);
        }
        let wait = timeout.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        });
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        match poll(&mut fds, wait.as_ref()) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(errno) => Err(io_error("wait for an event", errno)),
        }
    }

    /// Tells xenstore that a domain has its ring: its page (the machine's or guest's frame
    /// number, which the daemon may ignore for the reserved grant) and its event channel.
    ///
    /// # Errors
    /// What the daemon is refused when it maps the ring and binds the channel.
    pub fn introduce(&self, domid: u32, frame: u64, port: u32) -> Result<(), Error> {
        let (name, frame, port) = (domid.to_string(), frame.to_string(), port.to_string());
        let payload = payload(&[&name, &frame, &port]);
        self.request("introduce domain", XsType::INTRODUCE, 0, &name, payload)
            .map(drop)
    }

    /// Tells xenstore to let a domain go.
    ///
    /// # Errors
    /// `ENOENT` if it was not introduced.
    pub fn release(&self, domid: u32) -> Result<(), Error> {
        let name = domid.to_string();
        let payload = payload(&[&name]);
        self.request("release domain", XsType::RELEASE, 0, &name, payload)
            .map(drop)
    }

    /// Tells xenstore that a domain that was shut down runs again.
    ///
    /// # Errors
    /// `ENOENT` if it was not introduced.
    pub fn resume(&self, domid: u32) -> Result<(), Error> {
        let name = domid.to_string();
        let payload = payload(&[&name]);
        self.request("resume domain", XsType::RESUME, 0, &name, payload)
            .map(drop)
    }

    /// Gives `domid` the rights of `target`, whose device model it is.
    ///
    /// # Errors
    /// `ENOENT` if either was not introduced.
    pub fn set_target(&self, domid: u32, target: u32) -> Result<(), Error> {
        let (name, target) = (domid.to_string(), target.to_string());
        let payload = payload(&[&name, &target]);
        self.request("set target", XsType::SET_TARGET, 0, &name, payload)
            .map(drop)
    }

    /// A domain's place in the tree.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn get_domain_path(&self, domid: u32) -> Result<String, Error> {
        let name = domid.to_string();
        let payload = payload(&[&name]);
        let answer = self.request("domain path", XsType::GET_DOMAIN_PATH, 0, &name, payload)?;
        Ok(text(wire::strings(&answer).next().unwrap_or(&answer)))
    }

    /// Whether a domain was introduced and not released.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn is_domain_introduced(&self, domid: u32) -> Result<bool, Error> {
        let name = domid.to_string();
        let payload = payload(&[&name]);
        let what = "is domain introduced";
        let answer = self.request(what, XsType::IS_DOMAIN_INTRODUCED, 0, &name, payload)?;
        Ok(answer.first() == Some(&b'T'))
    }

    /// A control command and its answer (`help` lists them).
    ///
    /// # Errors
    /// `EINVAL` for what the daemon does not know.
    pub fn control(&self, command: &[&str]) -> Result<String, Error> {
        let name = command.first().copied().unwrap_or_default();
        let answer = self.request("control", XsType::CONTROL, 0, name, payload(command))?;
        Ok(text(answer.strip_suffix(b"\0").unwrap_or(&answer)))
    }

    /// Sends a request and waits for its reply; events that come first are queued.
    fn request(
        &self,
        what: &'static str,
        kind: XsType,
        transaction: u32,
        path: &str,
        payload: Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        if payload.len() > PAYLOAD_MAX || path.contains('\0') {
            return Err(Error::Request(what, path.to_owned()));
        }
        let request = {
            let mut state = self.state.borrow_mut();
            state.last_request = state.last_request.wrapping_add(1);
            state.last_request
        };
        let message = Message {
            kind,
            request,
            transaction,
            payload,
        };
        let bytes = message.to_bytes();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            match rustix::io::write(&self.fd, rest) {
                Ok(written) => rest = rest.get(written..).unwrap_or(&[]),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(io_error(what, errno)),
            }
        }
        loop {
            let Some(reply) = self.receive(what)? else {
                continue;
            };
            if reply.kind == XsType::WATCH_EVENT {
                self.keep(reply)?;
            } else if reply.request != request {
                return Err(Error::Protocol("a reply to something else"));
            } else if reply.kind == XsType::ERROR {
                let errno = wire::error_from_name(&reply.payload);
                return Err(Error::Refused(what, path.to_owned(), errno));
            } else if reply.kind == kind {
                return Ok(reply.payload);
            } else {
                return Err(Error::Protocol("a reply of another kind"));
            }
        }
    }

    fn keep(&self, message: Message) -> Result<(), Error> {
        if message.kind != XsType::WATCH_EVENT {
            return Err(Error::Protocol("a reply to nothing"));
        }
        let mut parts = wire::strings(&message.payload);
        let (Some(path), Some(token)) = (parts.next(), parts.next()) else {
            return Err(Error::Protocol("a watch event"));
        };
        let event = Event {
            path: text(path),
            token: text(token),
        };
        self.state.borrow_mut().events.push_back(event);
        Ok(())
    }

    /// Reads once, unless bytes are left, and gives a message if one is whole.
    fn receive(&self, what: &'static str) -> Result<Option<Message>, Error> {
        let mut state = self.state.borrow_mut();
        let mut bytes = std::mem::take(&mut state.surplus);
        if bytes.is_empty() {
            bytes.resize(wire::HEADER + PAYLOAD_MAX, 0);
            let read = match rustix::io::read(&self.fd, &mut bytes[..]) {
                Ok(0) => return Err(Error::Io(what, io::ErrorKind::UnexpectedEof.into())),
                Ok(read) => read,
                Err(rustix::io::Errno::INTR) => 0,
                Err(errno) => return Err(io_error(what, errno)),
            };
            bytes.truncate(read);
        }
        let mut rest = bytes.as_slice();
        let message = state
            .assembler
            .feed(&mut rest)
            .map_err(|_| Error::Protocol("a message that is too long"))?;
        state.surplus = rest.to_vec();
        Ok(message)
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Operations in a transaction. Dropped without [`Transaction::end`], it stays open until the
/// connection closes.
#[derive(Debug)]
pub struct Transaction<'a> {
    client: &'a Client,
    id: u32,
}

impl Transaction<'_> {
    /// See [`Client::read`].
    ///
    /// # Errors
    /// As there.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        self.ask("read", XsType::READ, path, payload(&[path]))
    }

    /// See [`Client::try_read`].
    ///
    /// # Errors
    /// As there.
    pub fn try_read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        absent_is_none(self.read(path))
    }

    /// See [`Client::read_string`].
    ///
    /// # Errors
    /// As there.
    pub fn read_string(&self, path: &str) -> Result<String, Error> {
        self.read(path).map(|value| text(&value))
    }

    /// See [`Client::try_read_string`].
    ///
    /// # Errors
    /// As there.
    pub fn try_read_string(&self, path: &str) -> Result<Option<String>, Error> {
        absent_is_none(self.read_string(path))
    }

    /// See [`Client::write`].
    ///
    /// # Errors
    /// As there.
    pub fn write(&self, path: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        let mut payload = payload(&[path]);
        payload.extend_from_slice(value.as_ref());
        self.ask("write", XsType::WRITE, path, payload).map(drop)
    }

    /// See [`Client::mkdir`].
    ///
    /// # Errors
    /// As there.
    pub fn mkdir(&self, path: &str) -> Result<(), Error> {
        self.ask("mkdir", XsType::MKDIR, path, payload(&[path]))
            .map(drop)
    }

    /// See [`Client::rm`].
    ///
    /// # Errors
    /// As there.
    pub fn rm(&self, path: &str) -> Result<(), Error> {
        self.ask("rm", XsType::RM, path, payload(&[path])).map(drop)
    }

    /// See [`Client::rm_if_present`].
    ///
    /// # Errors
    /// As there.
    pub fn rm_if_present(&self, path: &str) -> Result<(), Error> {
        absent_is_none(self.rm(path)).map(drop)
    }

    /// See [`Client::list`].
    ///
    /// # Errors
    /// As there.
    pub fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        match self.ask("directory", XsType::DIRECTORY, path, payload(&[path])) {
            Ok(names) => Ok(wire::strings(&names).map(text).collect()),
            Err(error) if error.errno() == Some(Errno::E2BIG) => self.list_in_parts(path),
            Err(error) => Err(error),
        }
    }

    /// A list longer than a message: from the start again whenever the node has changed.
    fn list_in_parts(&self, path: &str) -> Result<Vec<String>, Error> {
        let what = "directory part";
        let mut generation = Vec::new();
        let mut names = Vec::new();
        loop {
            let offset = names.len().to_string();
            let payload = payload(&[path, &offset]);
            let answer = self.ask(what, XsType::DIRECTORY_PART, path, payload)?;
            let mut parts = wire::strings(&answer);
            let now = parts.next().ok_or(Error::Protocol(what))?;
            if generation != now {
                generation = now.to_vec();
                if !names.is_empty() {
                    names.clear();
                    continue;
                }
            }
            let part = parts.rest();
            // An empty string marks the end of the list.
            if part == b"\0" || part.ends_with(b"\0\0") {
                names.extend_from_slice(part.strip_suffix(b"\0").unwrap_or(part));
                return Ok(wire::strings(&names).map(text).collect());
            }
            if part.is_empty() {
                return Err(Error::Protocol(what));
            }
            names.extend_from_slice(part);
        }
    }

    /// See [`Client::try_list`].
    ///
    /// # Errors
    /// As there.
    pub fn try_list(&self, path: &str) -> Result<Vec<String>, Error> {
        absent_is_none(self.list(path)).map(Option::unwrap_or_default)
    }

    /// See [`Client::exists`].
    ///
    /// # Errors
    /// As there.
    pub fn exists(&self, path: &str) -> Result<bool, Error> {
        Ok(self.try_read(path)?.is_some())
    }

    /// See [`Client::get_perms`].
    ///
    /// # Errors
    /// As there.
    pub fn get_perms(&self, path: &str) -> Result<Vec<Perm>, Error> {
        let what = "get permissions";
        let answer = self.ask(what, XsType::GET_PERMS, path, payload(&[path]))?;
        wire::strings(&answer)
            .map(|entry| Perm::parse(entry).ok_or(Error::Protocol(what)))
            .collect()
    }

    /// See [`Client::set_perms`].
    ///
    /// # Errors
    /// As there.
    pub fn set_perms(&self, path: &str, perms: &[Perm]) -> Result<(), Error> {
        let mut payload = payload(&[path]);
        for perm in perms {
            payload.extend_from_slice(perm.to_string().as_bytes());
            payload.push(0);
        }
        self.ask("set permissions", XsType::SET_PERMS, path, payload)
            .map(drop)
    }

    /// Ends the transaction. `false`: somebody changed what it read, so nothing was written.
    ///
    /// # Errors
    /// What the daemon refuses, `EAGAIN` excepted.
    pub fn end(self, commit: bool) -> Result<bool, Error> {
        let word = if commit { "T" } else { "F" };
        let what = "transaction end";
        match self.ask(what, XsType::TRANSACTION_END, "", payload(&[word])) {
            Ok(_) => Ok(true),
            Err(error) if error.errno() == Some(Errno::EAGAIN) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn ask(
        &self,
        what: &'static str,
        kind: XsType,
        path: &str,
        payload: Vec<u8>,
    ) -> Result<Vec<u8>, Error> {
        self.client.request(what, kind, self.id, path, payload)
    }
}

fn absent_is_none<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Strings, each with its zero byte.
fn payload(parts: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend_from_slice(part.as_bytes());
        bytes.push(0);
    }
    bytes
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn number(answer: &[u8]) -> Option<u32> {
    let digits = wire::strings(answer).next().unwrap_or(answer);
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn io_error(what: &'static str, errno: rustix::io::Errno) -> Error {
    Error::Io(what, io::Error::from_raw_os_error(errno.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_socket_where_nobody_listens_is_a_daemon_that_died() {
        let path = std::env::temp_dir().join(format!("oxen-died-{}", std::process::id()));
        assert!(!died(&Client::connect(&path).unwrap_err()), "never there");
        drop(UnixListener::bind(&path).unwrap());
        let error = Client::connect(&path).unwrap_err();
        std::fs::remove_file(&path).unwrap();
        assert!(died(&error), "{error}");
        assert!(error.to_string().contains("is it running?"), "{error}");
    }
}
