//! Where a daemon's lines go: the system log, the kernel's where there is none, and standard error
//! while it has one. Nothing here waits: a log daemon that hangs must not stop others.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::net::UnixDatagram;

const SYSLOG: &str = "/dev/log";
const KERNEL: &str = "/dev/kmsg";
/// Facility daemon, severity warning (RFC 3164).
const PRIORITY: u32 = 3 * 8 + 4;

/// Writes a line to standard error, if that takes it: one that is a file on a full disk must not end
/// the program.
pub fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The log.
#[derive(Debug, Default)]
pub struct Log {
    /// Print to standard error too.
    pub stderr: bool,
    /// The daemon's name.
    name: &'static str,
    syslog: Option<UnixDatagram>,
    kernel: Option<File>,
}

impl Log {
    /// A log that standard error shows too.
    pub fn on_terminal(name: &'static str) -> Self {
        Self {
            stderr: true,
            name,
            ..Self::default()
        }
    }

    /// A log of its own.
    pub fn quiet(name: &'static str) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    /// Writes a line. A log that cannot be written is nobody's to hear of.
    pub fn line(&mut self, line: &str) {
        if self.stderr {
            complain(&format!("{}: {line}", self.name));
        }
        if self.syslog_line(line).is_none() && !self.stderr {
            self.kernel_line(line);
        }
    }

    fn syslog_line(&mut self, line: &str) -> Option<()> {
        let (name, id) = (self.name, std::process::id());
        let text = format!("<{PRIORITY}>{name}[{id}]: {line}");
        for _ in 0..2 {
            if self.syslog.is_none() {
                let socket = UnixDatagram::unbound().ok()?;
                socket.set_nonblocking(true).ok()?;
                socket.connect(SYSLOG).ok()?;
                self.syslog = Some(socket);
            }
            match self.syslog.as_ref()?.send(text.as_bytes()) {
                Ok(_) => return Some(()),
                // A restarted log daemon has a new socket.
                Err(_) => self.syslog = None,
            }
        }
        None
    }

    fn kernel_line(&mut self, line: &str) {
        if self.kernel.is_none() {
            self.kernel = OpenOptions::new().write(true).open(KERNEL).ok();
        }
        if let Some(kernel) = &mut self.kernel {
            let _ = kernel.write_all(format!("<{PRIORITY}>{}: {line}", self.name).as_bytes());
        }
    }
}
