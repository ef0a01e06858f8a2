//! The watchdog (options `watchdog`, `watchdog_timeout=`): a CPU that does not come back to its timers for too long is
//! stuck in the hypervisor, and the machine stops with a trace of where.
//!
//! Xen has each CPU interrupt itself by NMI from a performance counter. Emulators and many virtual machines have none,
//! so here every CPU counts its own timer's ticks and looks at the count of the next CPU, in a ring. One that stands
//! still gets an NMI and reports itself; if it does not even do that, its neighbour reports it. What this cannot see is a
//! machine of which all CPUs are stuck at once, nor the only CPU of a machine.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use arch::entry::TrapFrame;
use arch::percpu::{MAX_CPUS, cpu_id};

use arch::clock::NANOS;

use super::{Timer, arm, now};
use crate::host::host;

/// Seconds after which a CPU counts as stuck; 0: no watchdog.
static TIMEOUT: AtomicU32 = AtomicU32::new(0);
/// Ticks of each CPU.
static BEATS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
/// CPUs that are asked to say where they are.
static ASKED: [AtomicBool; MAX_CPUS] = [const { AtomicBool::new(false) }; MAX_CPUS];
/// What each CPU saw of its neighbour.
static SEEN: [Seen; MAX_CPUS] = [const { Seen::new() }; MAX_CPUS];

/// A neighbour as it was when its count last moved. Touched by one CPU only.
struct Seen {
    cpu: AtomicU64,
    beats: AtomicU64,
    /// How often the observer itself had ticked then.
    since: AtomicU64,
}

/// What to think of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Alive,
    /// For too long without a tick: ask it.
    Stuck,
    /// It was asked and did not answer.
    Gone,
}

impl Seen {
    const fn new() -> Self {
        Self {
            cpu: AtomicU64::new(u64::MAX),
            beats: AtomicU64::new(0),
            since: AtomicU64::new(0),
        }
    }

    /// CPU `cpu` has ticked `beats` times, the observer `mine` times; `timeout` in ticks, which are seconds. It is the
    /// observer's ticks that count and not the time: when the whole machine stood still (its host was busy, or it slept),
    /// no CPU is to blame.
    fn judge(&self, cpu: u64, beats: u64, mine: u64, timeout: u64) -> Verdict {
        let another = self.cpu.swap(cpu, Ordering::Relaxed) != cpu;
        if self.beats.swap(beats, Ordering::Relaxed) != beats || another {
            self.since.store(mine, Ordering::Relaxed);
            return Verdict::Alive;
        }
        let silent = mine.saturating_sub(self.since.load(Ordering::Relaxed));
        match silent {
            _ if silent < timeout => Verdict::Alive,
            _ if silent < timeout.saturating_add(2) => Verdict::Stuck,
            _ => Verdict::Gone,
        }
    }
}

/// Switches it on for all CPUs that come into service from now on.
pub fn configure(seconds: Option<u32>) {
    TIMEOUT.store(seconds.unwrap_or(0), Ordering::Relaxed);
    if let Some(seconds) = seconds {
        log::info!("watchdog: CPUs watch each other, {seconds} s");
    }
}

/// This CPU takes part, if there is a watchdog.
pub fn start_here() {
    if TIMEOUT.load(Ordering::Relaxed) != 0 {
        arm(now().saturating_add(NANOS), Timer::Call(tick, 0));
    }
}

/// Once a second. The argument is that of a timer's call and means nothing.
fn tick(_: u64) {
    let me = cpu_id();
    let Some(own) = BEATS.get(me) else { return };
    let mine = own.fetch_add(1, Ordering::Relaxed) + 1;
    start_here();
    let online = host().sched.online();
    let next = online.iter().find(|&cpu| cpu > me).or(online.first());
    let Some(next) = next.filter(|&cpu| cpu != me) else {
        return;
    };
    let (Some(seen), Some(beats)) = (SEEN.get(me), BEATS.get(next)) else {
        return;
    };
    let seconds = TIMEOUT.load(Ordering::Relaxed);
    let beats = beats.load(Ordering::Relaxed);
    match seen.judge(next as u64, beats, mine, u64::from(seconds)) {
        Verdict::Alive => {}
        Verdict::Stuck => {
            if let (Some(asked), Some(apic_id)) = (ASKED.get(next), host().sched.apic_id(next)) {
                asked.store(true, Ordering::SeqCst);
                arch::apic::send_nmi(apic_id);
            }
        }
        Verdict::Gone => panic!("watchdog: CPU {next} is stuck and does not answer"),
    }
}

/// An NMI came: perhaps the watchdog asks where this CPU is stuck.
pub fn nmi(frame: &TrapFrame) {
    if ASKED
        .get(cpu_id())
        .is_some_and(|asked| asked.swap(false, Ordering::SeqCst))
    {
        panic!(
            "watchdog: CPU {} did not come back for {} s{}",
            cpu_id(),
            TIMEOUT.load(Ordering::Relaxed),
            arch::backtrace::Trace::of(frame.rip, frame.rbp)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_noticed_once_it_is_long_enough() {
        let seen = Seen::new();
        assert_eq!(seen.judge(1, 0, 10, 5), Verdict::Alive);
        assert_eq!(seen.judge(1, 0, 14, 5), Verdict::Alive);
        assert_eq!(seen.judge(1, 1, 15, 5), Verdict::Alive);
        assert_eq!(seen.judge(1, 1, 19, 5), Verdict::Alive);
        assert_eq!(seen.judge(1, 1, 20, 5), Verdict::Stuck);
        assert_eq!(seen.judge(1, 1, 21, 5), Verdict::Stuck);
        assert_eq!(seen.judge(1, 1, 22, 5), Verdict::Gone);
        // A neighbour that is new in service is not the one before.
        assert_eq!(seen.judge(2, 1, 23, 5), Verdict::Alive);
        assert_eq!(seen.judge(2, 2, 99, 5), Verdict::Alive);
    }

    /// However long that took, an observer that ticked once has seen one tick missing at most.
    #[test]
    fn a_machine_that_stood_still_as_a_whole_has_no_stuck_cpu() {
        let seen = Seen::new();
        assert_eq!(seen.judge(1, 7, 7, 5), Verdict::Alive);
        assert_eq!(seen.judge(1, 7, 8, 5), Verdict::Alive);
        assert_eq!(seen.judge(1, 8, 9, 5), Verdict::Alive);
    }
}
