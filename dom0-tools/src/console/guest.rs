//! The console of one guest: its ring, its log and its viewers.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::log::Log;
use super::ring::{self, Output};
use super::terminal::Terminal;
use super::viewers::Viewer;
use crate::sys::evtchn::Evtchn;
use crate::sys::gntdev::GrantedPage;
use crate::sys::page::SharedPage;

/// So many events are served per [`PERIOD`], then the guest has to wait: a third more than by stock xenconsoled, as whoever
/// is quicker to serve an event finds less output with it.
const ALLOWANCE: u32 = 40;
/// See [`ALLOWANCE`].
const PERIOD: Duration = Duration::from_millis(200);

/// What happens to output that nobody sees and there is no more room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The guest waits.
    Keep,
    /// The oldest is forgotten.
    Discard,
}

/// A console that is served.
#[derive(Debug)]
pub struct Console {
    /// The guest's number.
    pub domid: u32,
    /// The guest's end of the event channel.
    pub remote_port: u32,
    /// Our end of it.
    pub port: u32,
    page: GrantedPage,
    /// What stock viewers open.
    pub terminal: Terminal,
    viewers: Vec<Viewer>,
    /// Output that has not been shown to anybody.
    unseen: VecDeque<u8>,
    limit: usize,
    overflow: Overflow,
    /// The log, if one is kept.
    pub log: Option<Log>,
    events: u32,
    period_end: Instant,
    /// Our end was not enabled again: events wait.
    held: bool,
    told_corrupt: bool,
}

impl Console {
    /// Begins to serve a console whose page and channel are ours now.
    pub fn new(
        domid: u32,
        (remote_port, port): (u32, u32),
        page: GrantedPage,
        terminal: Terminal,
        (limit, overflow): (usize, Overflow),
        log: Option<Log>,
    ) -> Self {
        Self {
            domid,
            remote_port,
            port,
            page,
            terminal,
            viewers: Vec::new(),
            unseen: VecDeque::new(),
            limit,
            overflow,
            log,
            events: 0,
            period_end: Instant::now() + PERIOD,
            held: false,
            told_corrupt: false,
        }
    }

    fn page(&self) -> Option<&SharedPage> {
        self.page.page()
    }

    /// The guest raised an event.
    pub fn event(&mut self, channels: &Evtchn) -> io::Result<()> {
        self.events = self.events.saturating_add(1);
        self.held = true;
        self.collect(channels)?;
        self.let_on(channels, Instant::now())
    }

    /// Lets the guest raise events again if it has not had too many and there is room for more.
    pub fn let_on(&mut self, channels: &Evtchn, now: Instant) -> io::Result<()> {
        if now >= self.period_end {
            self.period_end = now + PERIOD;
            self.events = 0;
        }
        if self.held && self.events < ALLOWANCE && self.has_room() {
            self.held = false;
            channels.enable(self.port)?;
            // What was left in the ring while there was no room for it raises no event again.
            self.collect(channels)?;
        }
        Ok(())
    }

    /// When [`Self::let_on`] should be called even if nothing happens.
    pub fn deadline(&self) -> Option<Instant> {
        (self.held && self.has_room()).then_some(self.period_end)
    }

    fn has_room(&self) -> bool {
        self.overflow == Overflow::Discard || self.unseen.len() < self.limit
    }

    /// Takes what the guest wrote, to the log and to who looks.
    pub fn collect(&mut self, channels: &Evtchn) -> io::Result<()> {
        if !self.has_room() {
            return Ok(());
        }
        let Some(page) = self.page() else {
            return Ok(());
        };
        let bytes = match ring::take_output(page) {
            Output::Bytes(bytes) => bytes,
            Output::Corrupt => {
                if !std::mem::replace(&mut self.told_corrupt, true) {
                    let domid = self.domid;
                    super::daemon::warn(&format!(
                        "domain {domid}: its console ring makes no sense"
                    ));
                }
                return Ok(());
            }
        };
        if bytes.is_empty() {
            return Ok(());
        }
        channels.notify(self.port)?;
        if let Some(log) = &mut self.log
            && let Err(error) = log.write(&bytes)
        {
            super::daemon::warn(&format!("domain {}: log: {error}", self.domid));
        }
        self.show(&bytes);
        Ok(())
    }

    fn show(&mut self, bytes: &[u8]) {
        if self.viewers.is_empty() {
            self.unseen.extend(bytes);
            self.flush();
            if self.overflow == Overflow::Discard {
                let excess = self.unseen.len().saturating_sub(self.limit);
                self.unseen.drain(..excess);
            }
            return;
        }
        self.viewers.retain_mut(|viewer| viewer.show(bytes));
        if self.terminal.is_read() {
            // A stock viewer beside ours; what does not fit it does not see.
            let _ = self.terminal.write(bytes);
        }
        self.forget_if_alone();
    }

    /// Shows the terminal what it has room for.
    pub fn flush(&mut self) {
        while !self.unseen.is_empty() {
            match self.terminal.write(self.unseen.as_slices().0) {
                Ok(written @ 1..) => drop(self.unseen.drain(..written)),
                _ => break,
            }
        }
    }

    /// Adds a viewer. The first sees what nobody has seen.
    pub fn add(&mut self, mut viewer: Viewer) {
        if self.viewers.is_empty() {
            let mut bytes = self.terminal.take_back();
            bytes.extend(self.unseen.drain(..));
            if !viewer.show(&bytes) {
                return;
            }
        }
        self.viewers.push(viewer);
    }

    /// What the last viewer saw is not shown to the next.
    fn forget_if_alone(&mut self) {
        if self.viewers.is_empty() {
            self.terminal.take_back();
        }
    }

    /// What to wait for: on the terminal, then on each viewer.
    pub fn interests(&self) -> impl Iterator<Item = (rustix::fd::BorrowedFd<'_>, PollFlags)> {
        let room = self.page().is_some_and(|page| ring::input_room(page) > 0);
        let mut terminal = PollFlags::empty();
        terminal.set(PollFlags::IN, room);
        terminal.set(PollFlags::OUT, !self.unseen.is_empty());
        let viewers = self.viewers.iter().map(move |viewer| {
            use rustix::fd::AsFd as _;
            (viewer.as_fd(), viewer.interest(room))
        });
        use rustix::fd::AsFd as _;
        std::iter::once((self.terminal.as_fd(), terminal)).chain(viewers)
    }

    /// Something is to be done on the terminal (the first) or viewers.
    pub fn ready(&mut self, channels: &Evtchn, ready: &[PollFlags]) -> io::Result<()> {
        let (Some(terminal), viewers) = (ready.first(), ready.get(1..).unwrap_or_default()) else {
            return Ok(());
        };
        if terminal.contains(PollFlags::OUT) {
            self.flush();
        }
        if terminal.contains(PollFlags::IN) {
            let mut bytes = [0; 1024];
            let most = self.room().min(bytes.len());
            let typed = self.terminal.read(&mut bytes[..most]).unwrap_or(0);
            self.type_in(channels, &bytes[..typed])?;
        }
        let had_viewers = !self.viewers.is_empty();
        let mut alive = Vec::with_capacity(self.viewers.len());
        for (at, mut viewer) in std::mem::take(&mut self.viewers).into_iter().enumerate() {
            let happened = viewers.get(at).copied().unwrap_or(PollFlags::empty());
            let mut stays = !happened.contains(PollFlags::OUT) || viewer.flush();
            if happened.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                // With a full ring this only finds out whether the viewer is still there.
                match viewer.typed(self.room().clamp(1, 1024)) {
                    Some(typed) => self.type_in(channels, &typed)?,
                    None => stays = false,
                }
            }
            if stays {
                alive.push(viewer);
            }
        }
        self.viewers = alive;
        if had_viewers {
            self.forget_if_alone();
        }
        Ok(())
    }

    fn room(&self) -> usize {
        self.page().map_or(0, ring::input_room)
    }

    /// Passes on what was typed, as much as there is room for.
    pub fn type_in(&mut self, channels: &Evtchn, bytes: &[u8]) -> io::Result<()> {
        let put = self.page().map_or(0, |page| ring::put_input(page, bytes));
        if put > 0 {
            channels.notify(self.port)?;
        }
        Ok(())
    }

    /// The guest is gone: its last words are passed on.
    pub fn close(mut self, channels: &Evtchn) {
        // The channel may be gone with the guest; the page is still ours.
        let _ = self.collect(channels);
        for viewer in std::mem::take(&mut self.viewers) {
            viewer.farewell();
        }
        let _ = channels.unbind(self.port);
    }
}
