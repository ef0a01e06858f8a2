//! One pCPU's run queue: who waits, in order of credits. Knows no hardware, no locks and no vCPUs.

use alloc::vec::Vec;

use super::cpumask::CpuMask;
use super::credit::{self, Account};

/// Somebody who waits for a pCPU.
#[derive(Clone, Debug)]
pub struct Entry<T> {
    /// Who.
    pub task: T,
    /// Names this stay in a queue; unique on the host, so that a remembered stay is never taken for a later one.
    pub ticket: u64,
    /// Credits.
    pub account: Account,
    /// Where it may run.
    pub hard: CpuMask,
    /// Where it likes to run.
    pub soft: CpuMask,
}

/// What runs on the pCPU, as others see it when they choose where to queue.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// Credits when it started to run.
    pub account: Account,
    /// Its weight.
    pub weight: u16,
    /// When it started, in nanoseconds since boot.
    pub since: u64,
}

impl Running {
    /// Its account if it stopped now.
    pub fn account_at(&self, now: u64, epoch: u64) -> Account {
        let mut account = self.account;
        account.burn(now.saturating_sub(self.since), self.weight);
        account.catch_up(epoch);
        account
    }
}

/// A run queue. Invariant: entries lie in descending order of credits, first come first among equals.
#[derive(Debug)]
pub struct RunQueue<T> {
    waiting: Vec<Entry<T>>,
    /// Out of a capped domain's budget until the given time.
    parked: Vec<(u64, Entry<T>)>,
    /// The epoch that the accounts in `waiting` contain.
    epoch: u64,
    /// What runs.
    pub running: Option<Running>,
    /// The CPU will look at this queue again by itself (its slice timer is armed).
    pub watched: bool,
}

impl<T> RunQueue<T> {
    /// Nobody waits.
    pub const fn new() -> Self {
        Self {
            waiting: Vec::new(),
            parked: Vec::new(),
            epoch: 0,
            running: None,
            watched: false,
        }
    }

    /// How many wait and could run.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Grants everybody the epochs up to `epoch`. The order stays: all get the same, and a maximum only makes equals.
    pub fn catch_up(&mut self, epoch: u64) {
        if epoch != self.epoch {
            self.waiting
                .iter_mut()
                .for_each(|e| e.account.catch_up(epoch));
            self.epoch = epoch;
        }
    }

    /// Adds somebody behind those with the same credits. True if it is now the first.
    pub fn insert(&mut self, mut entry: Entry<T>) -> bool {
        entry.account.catch_up(self.epoch);
        let at = self
            .waiting
            .partition_point(|e| e.account.credit >= entry.account.credit);
        self.waiting.insert(at, entry);
        at == 0
    }

    /// Adds somebody who may not run before `until`.
    pub fn park(&mut self, until: u64, entry: Entry<T>) {
        self.parked.push((until, entry));
    }

    /// Lets those in whose time has come; returns when the next one's does.
    pub fn unpark(&mut self, now: u64) -> Option<u64> {
        let mut i = 0;
        while i < self.parked.len() {
            if self.parked[i].0 <= now {
                let (_, entry) = self.parked.swap_remove(i);
                self.insert(entry);
            } else {
                i += 1;
            }
        }
        self.parked.iter().map(|(until, _)| *until).min()
    }

    /// Takes out the stay with this ticket.
    pub fn remove(&mut self, ticket: u64) -> Option<Entry<T>> {
        if let Some(i) = self.waiting.iter().position(|e| e.ticket == ticket) {
            return Some(self.waiting.remove(i));
        }
        let i = self.parked.iter().position(|(_, e)| e.ticket == ticket)?;
        Some(self.parked.swap_remove(i).1)
    }

    /// The best who waits and satisfies `eligible`.
    pub fn best(&self, eligible: impl Fn(&Entry<T>) -> bool) -> Option<&Entry<T>> {
        self.waiting.iter().find(|e| eligible(e))
    }

    /// Takes out the best who satisfies `eligible`.
    pub fn take_best(&mut self, eligible: impl Fn(&Entry<T>) -> bool) -> Option<Entry<T>> {
        let i = self.waiting.iter().position(eligible)?;
        Some(self.waiting.remove(i))
    }

    /// Everybody here, parked or not.
    pub fn iter(&self) -> impl Iterator<Item = &Entry<T>> {
        self.waiting
            .iter()
            .chain(self.parked.iter().map(|(_, e)| e))
    }

    /// Whether somebody with these credits should have the CPU rather than what runs.
    pub fn preempts(&self, account: &Account, now: u64, epoch: u64) -> bool {
        let mut account = *account;
        account.catch_up(epoch);
        self.running
            .is_none_or(|r| account.credit > r.account_at(now, epoch).credit)
    }
}

impl<T> Default for RunQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// How long somebody with `mine` may run before somebody with `next` should: until the credits meet, within limits.
pub fn slice(mine: &Account, weight: u16, next: &Account, limits: Limits) -> u64 {
    let least = limits.ratelimit.max(credit::MIN_SLICE);
    credit::lasts(mine.credit.saturating_sub(next.credit), weight)
        .clamp(least, limits.slice.max(least))
}

/// A pCPU's times, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A vCPU runs at least this long before a better one preempts it.
    pub ratelimit: u64,
    /// The longest slice while others wait.
    pub slice: u64,
}
