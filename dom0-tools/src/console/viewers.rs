//! Viewers of a console that came through the socket. They share it: all see the same, and all may
//! type. One that does not read is dropped, and holds nobody up.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::PollFlags;

/// What a viewer may be behind before it is dropped.
const BEHIND: usize = 1 << 20;
const MOMENT: Duration = Duration::from_millis(500);

/// A viewer of one console.
#[derive(Debug)]
pub struct Viewer {
    stream: UnixStream,
    /// Not sent yet.
    unsent: VecDeque<u8>,
}

impl Viewer {
    /// A viewer over a connection.
    ///
    /// # Errors
    /// If the connection cannot be set up.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            unsent: VecDeque::new(),
        })
    }

    /// Shows bytes, now or when there is room. `false`: it is gone or too far behind.
    pub fn show(&mut self, bytes: &[u8]) -> bool {
        self.unsent.extend(bytes);
        self.flush() && self.unsent.len() <= BEHIND
    }

    /// Sends what is not sent. `false`: the viewer is gone.
    pub fn flush(&mut self) -> bool {
        while !self.unsent.is_empty() {
            match (&self.stream).write(self.unsent.as_slices().0) {
                Ok(0) => return false,
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(error) => return is_passing(&error),
            }
        }
        true
    }

    /// Sends what is left, as far as the viewer takes it within a moment, and lets it go.
    pub fn farewell(mut self) {
        let unsent = self.unsent.make_contiguous();
        let waits = self
            .stream
            .set_nonblocking(false)
            .and_then(|()| self.stream.set_write_timeout(Some(MOMENT)));
        if waits.is_ok() {
            // One that went already misses nothing.
            let _ = self.stream.write_all(unsent);
        }
    }

    /// What it typed; `None` if it is gone.
    pub fn typed(&mut self, most: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; most];
        match (&self.stream).read(&mut bytes) {
            Ok(0) if most > 0 => None,
            Ok(read) => {
                bytes.truncate(read);
                Some(bytes)
            }
            Err(error) => is_passing(&error).then(Vec::new),
        }
    }

    /// What to wait for on it.
    pub fn interest(&self, may_type: bool) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, may_type);
        flags.set(PollFlags::OUT, !self.unsent.is_empty());
        flags
    }
}

impl AsFd for Viewer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_sees_and_types_and_is_dropped_when_it_does_not_read() {
        let (mut far, near) = UnixStream::pair().unwrap();
        let mut viewer = Viewer::new(near).unwrap();
        assert!(viewer.show(b"hello"));
        let mut bytes = [0; 5];
        far.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"hello");
        assert_eq!(viewer.typed(10), Some(Vec::new()));
        far.write_all(b"typed").unwrap();
        assert_eq!(viewer.typed(10).as_deref(), Some(&b"typed"[..]));
        let mut shown = 0;
        while viewer.show(&[0; 1 << 16]) {
            shown += 1;
            assert!(shown < 1000);
        }
        assert!(viewer.interest(true).contains(PollFlags::OUT));
        drop(far);
        assert_eq!(viewer.typed(10), None);
    }
}
