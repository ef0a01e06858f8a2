//! Whose turn it is after a conflict.
//!
//! Of transactions that want the same nodes at the same time one is kept and all others are done again, so many clients
//! that try at once do most of their work in vain. A tool in dom0 whose transaction met a conflict waits with its next
//! one until those are done that met one before it: one at a time they succeed at the first try, most often.
//!
//! It is an order among those who trust each other, and a loose one: domains' rings have no part in it, neither is what
//! they do delayed nor do they delay others; nobody's transaction counts less because it was begun out of turn; and
//! nobody waits for long ([`TURN`], [`PATIENCE`]), whatever the others do.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::connection::ConnId;

/// How long a turn is at most: whoever has it may have lost interest.
const TURN: Duration = Duration::from_millis(20);
/// How long a client waits for its turn at most.
const PATIENCE: Duration = Duration::from_millis(200);

/// The order.
#[derive(Debug, Default)]
pub struct Turns {
    /// Who has the turn, and since when.
    holder: Option<(ConnId, Instant)>,
    /// Who waits, and since when.
    waiting: VecDeque<(ConnId, Instant)>,
}

impl Turns {
    /// Whether this client, which met a conflict, may begin a transaction now. It has the turn then; otherwise it is in the
    /// queue.
    pub fn ask(&mut self, conn: ConnId, now: Instant) -> bool {
        let has_it = self.holder.is_some_and(|(holder, _)| holder == conn);
        if has_it || self.waiting.is_empty() && self.is_free(now) {
            self.holder = Some((conn, now));
            return true;
        }
        self.waiting.push_back((conn, now));
        false
    }

    /// Whether nobody has the turn, or has had it for long enough.
    fn is_free(&self, now: Instant) -> bool {
        let since = self.holder.map(|(_, since)| since);
        since.is_none_or(|since| now.duration_since(since) >= TURN)
    }

    /// A client's transaction was kept or given up, or the client is gone: its turn is over.
    pub fn done(&mut self, conn: ConnId) {
        if self.holder.is_some_and(|(holder, _)| holder == conn) {
            self.holder = None;
        }
    }

    /// A client is gone.
    pub fn forget(&mut self, conn: ConnId) {
        self.done(conn);
        self.waiting.retain(|(waiting, _)| *waiting != conn);
    }

    /// The next one that may go on, taken out of the queue.
    pub fn next(&mut self, now: Instant) -> Option<ConnId> {
        let &(first, since) = self.waiting.front()?;
        if self.is_free(now) {
            self.holder = Some((first, now));
        } else if now.duration_since(since) < PATIENCE {
            return None;
        }
        self.waiting.pop_front();
        Some(first)
    }

    /// The next one, whether or not it may go on by the order; for when everybody has to.
    pub fn release(&mut self) -> Option<ConnId> {
        self.holder = None;
        self.waiting.pop_front().map(|(conn, _)| conn)
    }

    /// When [`Self::next`] is to be asked again at the latest.
    pub fn tick(&self) -> Option<Duration> {
        (!self.waiting.is_empty()).then_some(TURN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ConnId = ConnId(1);
    const B: ConnId = ConnId(2);
    const C: ConnId = ConnId(3);

    #[test]
    fn one_after_the_other() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        assert!(turns.ask(A, now) && !turns.ask(B, now) && !turns.ask(C, now));
        // Once more, after another conflict.
        assert!(turns.ask(A, now));
        assert_eq!(turns.next(now), None);
        turns.done(A);
        // A newcomer does not overtake.
        assert!(!turns.ask(A, now));
        assert_eq!(turns.next(now), Some(B));
        turns.done(C);
        assert_eq!(turns.next(now), None);
        turns.done(B);
        assert_eq!(turns.next(now), Some(C));
        turns.forget(A);
        turns.forget(C);
        assert_eq!((turns.next(now), turns.tick()), (None, None));
    }

    #[test]
    fn whoever_does_not_come_back_loses_the_turn() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        assert!(turns.ask(A, now) && !turns.ask(B, now));
        assert_eq!(turns.tick(), Some(TURN));
        assert_eq!(turns.next(now + TURN), Some(B));
        assert!(turns.ask(C, now + 2 * TURN));
    }

    #[test]
    fn nobody_waits_for_ever_behind_others_turns() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        assert!(turns.ask(A, now) && !turns.ask(B, now));
        let mut time = now;
        while time < now + PATIENCE {
            assert_eq!(turns.next(time), None);
            time += TURN / 2;
            // A keeps its turn by conflict after conflict.
            assert!(turns.ask(A, time));
        }
        assert_eq!(turns.next(time), Some(B));
        assert!(turns.ask(A, time), "B has gone on, but out of turn");
    }

    #[test]
    fn all_are_let_go() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        assert!(turns.ask(A, now) && !turns.ask(B, now) && !turns.ask(C, now));
        assert_eq!(
            [turns.release(), turns.release(), turns.release()],
            [Some(B), Some(C), None]
        );
    }
}
