//! The terminal of a program that shows a whole screen and reads single keys.

use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::termios::Termios;

use super::terminal;

/// The terminal as such a program needs it, until dropped.
#[derive(Debug)]
pub struct Raw {
    before: Option<(OwnedFd, Termios)>,
}

impl Raw {
    /// Takes the terminal: keys come at once, the screen is another, without a cursor.
    #[must_use]
    pub fn enter() -> Self {
        let own = io::stdin().as_fd().try_clone_to_owned();
        let before = own.and_then(|own| Ok((terminal::make_raw(&own)?, own)));
        // Not there: then nothing is seen of it either.
        let _ = io::stdout().write_all(b"\x1b[?1049h\x1b[?25l");
        Self {
            before: before.ok().map(|(before, own)| (own, before)),
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some((terminal, before)) = &self.before {
            terminal::restore(terminal, before);
        }
        let _ = io::stdout().write_all(b"\x1b[?25h\x1b[?1049l");
        let _ = io::stdout().flush();
    }
}
