//! Where the daemon's lines go: the system log, the kernel's where there is none, and standard
//! error while it has one.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::net::UnixDatagram;

const SYSLOG: &str = "/dev/log";
const KERNEL: &str = "/dev/kmsg";
/// Facility daemon, severity warning (RFC 3164).
const PRIORITY: u32 = 3 * 8 + 4;

/// The log.
#[derive(Debug, Default)]
pub struct Log {
    /// Print to standard error too.
    pub stderr: bool,
    syslog: Option<UnixDatagram>,
    kernel: Option<File>,
}

impl Log {
    /// A log that standard error shows too.
    pub fn on_terminal() -> Self {
        Self {
            stderr: true,
            ..Self::default()
        }
    }

    /// Writes a line. A log that cannot be written is nobody's to hear of.
    pub fn line(&mut self, line: &str) {
        if self.stderr {
            eprintln!("xenstored: {line}");
        }
        if self.syslog_line(line).is_none() && !self.stderr {
            self.kernel_line(line);
        }
    }

    fn syslog_line(&mut self, line: &str) -> Option<()> {
        let text = format!("<{PRIORITY}>xenstored[{}]: {line}", std::process::id());
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
            let _ = kernel.write_all(format!("<{PRIORITY}>xenstored: {line}").as_bytes());
        }
    }
}
