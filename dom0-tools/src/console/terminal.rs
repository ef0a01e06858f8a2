//! Pseudo terminals: what stock tools open to see a guest's console.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// More unread than this, and nobody is reading.
const UNREAD: u64 = 2048;

/// A terminal, of which we hold both ends: the far one so that it stays when viewers go.
#[derive(Debug)]
pub struct Terminal {
    master: File,
    slave: File,
    path: String,
}

impl Terminal {
    /// Makes one that passes all bytes as they are.
    ///
    /// # Errors
    /// What the kernel refuses.
    pub fn open() -> io::Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = ptsname(&master, Vec::new())?;
        let path = path.to_string_lossy().into_owned();
        let flags = OFlags::NOCTTY | OFlags::NONBLOCK;
        let slave = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(flags.bits().cast_signed())
            .open(&path)?;
        make_raw(&slave)?;
        rustix::fs::fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK)?;
        Ok(Self {
            master: master.into(),
            slave,
            path,
        })
    }

    /// Where viewers open it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What a viewer typed; nothing if nobody did.
    ///
    /// # Errors
    /// A broken terminal.
    pub fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        nothing_if_blocked((&self.master).read(bytes))
    }

    /// Shows bytes, as many as fit, and says how many.
    ///
    /// # Errors
    /// A broken terminal.
    pub fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        nothing_if_blocked((&self.master).write(bytes))
    }

    /// Whether a viewer seems to read, or has nothing to read.
    pub fn is_read(&self) -> bool {
        rustix::io::ioctl_fionread(&self.slave).is_ok_and(|unread| unread < UNREAD)
    }

    /// Takes back what was shown and not seen.
    pub fn take_back(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = (&self.slave).read(&mut bytes) {
            all.extend_from_slice(&bytes[..read]);
        }
        all
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}

fn nothing_if_blocked(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
        other => other,
    }
}

/// Has a terminal pass every byte as it is, and gives what it did before.
///
/// # Errors
/// If it is no terminal.
pub fn make_raw(terminal: impl AsFd) -> io::Result<rustix::termios::Termios> {
    let before = tcgetattr(&terminal)?;
    let mut raw = before.clone();
    raw.make_raw();
    tcsetattr(&terminal, OptionalActions::Now, &raw)?;
    Ok(before)
}

/// Has a terminal do again what it did.
pub fn restore(terminal: &OwnedFd, before: &rustix::termios::Termios) {
    // There is nothing to be done about a terminal that went away.
    let _ = tcsetattr(terminal, OptionalActions::Now, before);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pass_as_they_are_and_can_be_taken_back() {
        let terminal = Terminal::open().unwrap();
        assert!(terminal.is_read());
        assert_eq!(terminal.write(b"\x03one\r\ntwo\n").unwrap(), 10);
        assert_eq!(terminal.take_back(), b"\x03one\r\ntwo\n");
        assert_eq!(terminal.take_back(), b"");
        let viewer = File::options()
            .read(true)
            .write(true)
            .open(terminal.path())
            .unwrap();
        (&viewer).write_all(b"typed\r").unwrap();
        drop(viewer);
        let mut bytes = [0; 16];
        assert_eq!(terminal.read(&mut bytes).unwrap(), 6);
        assert_eq!(&bytes[..6], b"typed\r");
        assert_eq!(terminal.read(&mut bytes).unwrap(), 0);
        // The kernel may still be throwing away what the viewer left unread: fill it up until it stays full.
        let full = (0..1000).any(|_| {
            while terminal.write(&[b'x'; 1000]).unwrap() > 0 {}
            std::thread::sleep(std::time::Duration::from_millis(1));
            !terminal.is_read()
        });
        assert!(full);
    }
}
