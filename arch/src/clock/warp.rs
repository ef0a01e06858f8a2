//! Whether the time-stamp counters of two CPUs agree: each must never read less than the other read before.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::hw;
use crate::sync::SpinLock;

static LAST: SpinLock<u64> = SpinLock::new(0);
static WORST: AtomicU64 = AtomicU64::new(0);
static ARRIVED: AtomicU32 = AtomicU32::new(0);
static LEFT: AtomicU32 = AtomicU32::new(0);

/// Comparisons that each CPU makes.
const ROUNDS: u32 = 200;
/// Looks for the other CPU before giving up.
const PATIENCE: u32 = 50_000_000;

/// Compares this CPU's counter with that of another CPU that calls this at the same time; exactly two take part.
/// Returns the largest step back seen, in ticks: 0 when they agree, `None` when the other CPU did not come.
pub fn check_against_peer() -> Option<u64> {
    ARRIVED.fetch_add(1, Ordering::SeqCst);
    if !wait_for_pair(&ARRIVED) {
        ARRIVED.store(0, Ordering::SeqCst);
        return None;
    }
    for _ in 0..ROUNDS {
        let mut last = LAST.lock();
        let now = hw::rdtsc_ordered();
        if now < *last {
            WORST.fetch_max(*last - now, Ordering::SeqCst);
        }
        *last = now.max(*last);
        drop(last);
        core::hint::spin_loop();
    }
    LEFT.fetch_add(1, Ordering::SeqCst);
    wait_for_pair(&LEFT);
    let worst = WORST.load(Ordering::SeqCst);
    // The second to read the result clears the counters for the next pair.
    if LEFT.fetch_add(1, Ordering::SeqCst) == 3 {
        WORST.store(0, Ordering::SeqCst);
        *LAST.lock() = 0;
        ARRIVED.store(0, Ordering::SeqCst);
        LEFT.store(0, Ordering::SeqCst);
    }
    Some(worst)
}

fn wait_for_pair(counter: &AtomicU32) -> bool {
    for _ in 0..PATIENCE {
        if counter.load(Ordering::SeqCst) >= 2 {
            return true;
        }
        core::hint::spin_loop();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_agreeing_counters() {
        let other = std::thread::spawn(check_against_peer);
        assert_eq!(check_against_peer(), Some(0));
        assert_eq!(other.join().unwrap(), Some(0));
        let other = std::thread::spawn(check_against_peer);
        assert_eq!(
            (check_against_peer(), other.join().unwrap()),
            (Some(0), Some(0))
        );
    }
}
