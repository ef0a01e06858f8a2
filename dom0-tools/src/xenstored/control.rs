//! The control command: looking inside, limits, logs, live update.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hypercall_abi::Errno;

use crate::xenstore::wire::{self, Message};

use super::connection::ConnId;
use super::node::Node;
use super::path;
use super::platform::Platform;
use super::quota::{Quota, Quotas};
use super::server::{Answer, Call, Reply, Server};

/// A command, its parameters as `help` shows them.
const COMMANDS: [(&str, &str); 9] = [
    ("check", ""),
    ("log", "on|off"),
    (
        "live-update",
        "[-c <cmdline>] [-F] [-t <timeout>] <file>\n    Default timeout is 60 seconds.",
    ),
    ("logfile", "<file>"),
    ("memreport", "[<file>]"),
    ("print", "<string>"),
    ("quota", "[set <name> <val>|<domid>]"),
    ("quota-soft", "[set <name> <val>]"),
    ("help", ""),
];

/// A live update in preparation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// Who asked.
    pub conn: ConnId,
    /// The program to become.
    pub binary: PathBuf,
    /// Its command line, if not the present one.
    pub arguments: Option<Vec<String>>,
    /// The request to answer when it is done; set once it is to start.
    pub request: Option<u32>,
}

/// The log of all messages.
#[derive(Debug, Default)]
pub struct Trace {
    path: Option<PathBuf>,
    file: Option<File>,
}

impl Trace {
    /// Sets the file and begins.
    ///
    /// # Errors
    /// If it does not open.
    pub fn open(&mut self, path: &Path) -> std::io::Result<()> {
        self.path = Some(path.to_owned());
        self.reopen()
    }

    /// Begins, or begins anew after the file was moved away.
    ///
    /// # Errors
    /// If it does not open.
    pub fn reopen(&mut self) -> std::io::Result<()> {
        self.file = None;
        if let Some(path) = &self.path {
            let mut options = OpenOptions::new();
            options.append(true).create(true).mode(0o600);
            self.file = Some(options.open(path)?);
        }
        Ok(())
    }

    pub(super) fn line(&mut self, line: &str) {
        if let Some(file) = &mut self.file {
            // Nobody is there to be told of a log that cannot be written.
            let _ = writeln!(file, "{line}");
        }
    }

    pub(super) fn message(&mut self, way: &str, conn: ConnId, message: &Message) {
        if self.file.is_none() {
            return;
        }
        let bytes = message.payload.iter();
        let text: String = bytes
            .map(|&byte| match byte {
                0 => ' ',
                byte if byte.is_ascii_graphic() => char::from(byte),
                _ => '.',
            })
            .collect();
        let (kind, ConnId(conn)) = (wire::kind_name(message.kind), conn);
        self.line(&format!("{way} {conn} {kind} ({text})"));
    }
}

impl<P: Platform> Server<P> {
    pub(super) fn control(&mut self, call: &mut Call, payload: &[u8]) -> Reply {
        let words: Vec<&[u8]> = wire::strings(payload).collect();
        let Some((command, arguments)) = words.split_first() else {
            return Err(Errno::EINVAL);
        };
        match (*command, arguments) {
            (b"check", []) => {
                self.check();
                Ok(Answer::Ok)
            }
            (b"log", [b"on"]) => {
                self.reopen_trace();
                Ok(Answer::Ok)
            }
            (b"log", [b"off"]) => {
                self.trace.file = None;
                Ok(Answer::Ok)
            }
            (b"logfile", [name]) => {
                self.trace.path = Some(file_name(name)?);
                self.reopen_trace();
                Ok(Answer::Ok)
            }
            (b"memreport", []) => {
                let path = self.trace.path.clone().ok_or(Errno::EBADF)?;
                self.memreport(&path)
            }
            (b"memreport", [name]) => self.memreport(&file_name(name)?),
            (b"print", [text]) => {
                let text = String::from_utf8_lossy(text).into_owned();
                self.log(&format!("control: {text}"));
                Ok(Answer::Ok)
            }
            (b"quota", []) => Ok(text_answer(show(&self.config.quotas))),
            (b"quota", [b"set", name, value]) => {
                let value = positive(value)?;
                let quota = Quota::named(name).ok_or(Errno::EINVAL)?;
                self.config.quotas.set(quota, value);
                self.note_change();
                Ok(Answer::Ok)
            }
            (b"quota", [domid]) if *domid != b"set" => self.usage(wire::atoi(domid) as u32),
            (b"quota-soft", []) => Ok(text_answer(format!(
                "Quota settings:\n{:<17}: {:8} {}\n",
                "memory",
                self.config.quotas.memory_soft,
                "Total Xenstore memory per domain (warning level)"
            ))),
            (b"quota-soft", [b"set", b"memory", value]) => {
                self.config.quotas.memory_soft = positive(value)?;
                self.note_change();
                Ok(Answer::Ok)
            }
            (b"help", []) => {
                let lines = COMMANDS.map(|(name, parameters)| format!("{name}\t{parameters}\n"));
                Ok(text_answer(lines.concat()))
            }
            (b"live-update", arguments) => self.live_update(call, arguments),
            _ => Err(Errno::EINVAL),
        }
    }

    fn reopen_trace(&mut self) {
        if let Err(error) = self.trace.reopen() {
            self.platform.log(&format!("trace file: {error}"));
        }
    }

    /// Opens the log of all messages, or opens it anew (`SIGHUP`).
    pub fn trace_to(&mut self, path: Option<&Path>) {
        match path {
            Some(path) => {
                self.trace.path = Some(path.to_owned());
                self.reopen_trace();
            }
            None if self.trace.file.is_some() => self.reopen_trace(),
            None => {}
        }
    }

    fn usage(&mut self, domid: u32) -> Reply {
        let domain = self.domains.get(domid).ok_or(Errno::ENOENT)?;
        let (nodes, memory) = (domain.nodes, domain.memory);
        let outstanding = domain.outstanding.get();
        let (watches, transactions) = match domain.conn {
            Some(conn) => (
                self.watches.of(conn).len(),
                self.connections
                    .get(&conn)
                    .map_or(0, |c| c.transactions.len()),
            ),
            None => (0, 0),
        };
        let line = |name: &str, value: i64| format!("{name:<16}: {value:8}\n");
        Ok(text_answer(
            [
                format!("Domain {domid}:\n"),
                line("nodes", nodes),
                line("watches", watches as i64),
                line("transactions", transactions as i64),
                line("outstanding", i64::from(outstanding)),
                line("memory", memory),
            ]
            .concat(),
        ))
    }

    fn memreport(&mut self, path: &Path) -> Reply {
        let mut text = String::from("xenstored memory, bytes charged:\n");
        for (domid, domain) in self.domains.iter() {
            text += &format!(
                "domain {domid}: {} bytes, {} nodes\n",
                domain.memory, domain.nodes
            );
        }
        let (mut queued, mut transactions) = (0, 0);
        for connection in self.connections.values() {
            queued += connection.queued();
            transactions += connection
                .transactions
                .values()
                .map(|t| t.memory)
                .sum::<usize>();
        }
        text += &format!(
            "connections: {}, queued {queued}; transactions: {}, {transactions}; watches: {}\n",
            self.connections.len(),
            self.open_transactions,
            self.watches.len()
        );
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        let written = options
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()));
        written.map(|()| Answer::Ok).map_err(|_| Errno::EBADF)
    }

    /// Counts again what domains own; says and mends what is wrong. Gives the number of
    /// domains with a wrong count: anything but 0 is a bug of ours.
    pub fn check(&mut self) -> usize {
        let mut nodes: BTreeMap<u32, i64> = BTreeMap::new();
        let mut bytes: BTreeMap<u32, i64> = BTreeMap::new();
        self.tree.visit(&mut |path, node| {
            let owner = node.perms.owner();
            *nodes.entry(owner).or_default() += 1;
            let charge = Node::charge(path::leaf(path), node.value().len(), &node.perms);
            *bytes.entry(owner).or_default() += charge as i64;
        });
        for (conn, connection) in &self.connections {
            let watches = self.watches.of(*conn).iter().map(|watch| watch.charge());
            let transactions = connection.transactions.values().map(|t| t.memory);
            let sum = watches.chain(transactions).sum::<usize>() + connection.queued();
            *bytes.entry(connection.who.domid).or_default() += sum as i64;
        }
        let mut wrong = Vec::new();
        for domid in self.domains.ids() {
            let nodes = nodes.remove(&domid).unwrap_or(0);
            let bytes = bytes.remove(&domid).unwrap_or(0);
            let Some(domain) = self.domains.get_mut(domid) else {
                continue;
            };
            if (domain.nodes, domain.memory) != (nodes, bytes) {
                wrong.push(format!(
                    "check: domain {domid} is charged {} nodes and {} bytes, has {nodes} and {bytes}",
                    domain.nodes, domain.memory
                ));
                (domain.nodes, domain.memory) = (nodes, bytes);
            }
        }
        for (domid, count) in nodes {
            wrong.push(format!(
                "check: {count} nodes of domain {domid}, which is not known"
            ));
        }
        for line in &wrong {
            self.log(line);
        }
        wrong.len()
    }

    fn live_update(&mut self, call: &Call, arguments: &[&[u8]]) -> Reply {
        let answer = |text: &str| Ok(text_answer(text.to_owned()));
        let own = self.update.as_ref().is_some_and(|u| u.conn == call.conn);
        match arguments {
            [b"-a"] => match self.update.take() {
                Some(_) => answer("OK"),
                None => answer("No live-update session active."),
            },
            [b"-f", name] => {
                let binary = file_name(name)?;
                let Ok(metadata) = binary.metadata() else {
                    return answer("File not accessible.");
                };
                if metadata.permissions().mode() & 0o111 == 0 {
                    return answer("File not executable.");
                }
                if self.update.is_some() {
                    return answer("live-update session already active.");
                }
                self.log(&format!("live-update: binary {}", binary.display()));
                self.update = Some(Update {
                    conn: call.conn,
                    binary,
                    arguments: None,
                    request: None,
                });
                answer("OK")
            }
            [b"-c", line] if own => {
                let line = String::from_utf8_lossy(line).into_owned();
                let words = line.split_ascii_whitespace().map(str::to_owned).collect();
                if let Some(update) = &mut self.update {
                    update.arguments = Some(words);
                }
                answer("OK")
            }
            // Timeout and force concern open transactions. These are no obstacle here: they
            // are carried over, and end with EAGAIN.
            [b"-s", rest @ ..] => {
                let mut rest = rest.iter();
                while let Some(word) = rest.next() {
                    match *word {
                        b"-F" => {}
                        b"-t" if rest.next().is_some() => {}
                        _ => return Err(Errno::EINVAL),
                    }
                }
                match &mut self.update {
                    Some(update) if own => {
                        update.request = Some(call.request);
                        Ok(Answer::Later)
                    }
                    _ => answer("Not in live-update session."),
                }
            }
            [b"-c", _] => answer("Not in live-update session."),
            _ => Err(Errno::EINVAL),
        }
    }

    /// A live update that is to start now.
    pub fn take_update(&mut self) -> Option<Update> {
        let ready = self.update.as_ref()?.request.is_some();
        if ready { self.update.take() } else { None }
    }

    /// Answers a live update that did not work.
    pub fn fail_update(&mut self, update: &Update, why: &str) {
        self.log(&format!("live-update: {why}"));
        let reply = update_reply(update, why);
        self.send_reply(update.conn, &reply, None);
    }
}

/// The answer to a live update.
pub(super) fn update_reply(update: &Update, text: &str) -> Message {
    Message {
        kind: hypercall_abi::io::xs_wire::XsType::CONTROL,
        request: update.request.unwrap_or(0),
        transaction: 0,
        payload: [text.as_bytes(), &[0]].concat(),
    }
}

fn text_answer(mut text: String) -> Answer {
    text.push('\0');
    Answer::Data(text.into_bytes())
}

fn file_name(name: &[u8]) -> Result<PathBuf, Errno> {
    let name = std::str::from_utf8(name).map_err(|_| Errno::EINVAL)?;
    Ok(PathBuf::from(name))
}

fn positive(text: &[u8]) -> Result<u32, Errno> {
    match u32::try_from(wire::atoi(text)) {
        Ok(0) | Err(_) => Err(Errno::EINVAL),
        Ok(value) => Ok(value),
    }
}

fn show(quotas: &Quotas) -> String {
    let mut text = String::from("Quota settings:\n");
    for quota in Quota::ALL {
        text += &format!(
            "{:<17}: {:8} {}\n",
            quota.name(),
            quotas.get(quota),
            quota.description()
        );
    }
    text
}
