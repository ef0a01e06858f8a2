//! What a pCPU does when nobody can run on it: clears freed memory, then sleeps, in a state as deep as the time until its
//! next timer is worth.
//!
//! A pCPU that sleeps in MWAIT watches its word of pending work, so setting a bit there wakes it and no interrupt is
//! needed: it says so in [`WATCHING`] before it looks at the word a last time, and whoever sets a bit looks at
//! [`WATCHING`] afterwards, so that one of the two notices.

use core::sync::atomic::Ordering;

use arch::sync::Once;

use crate::host::host;
use crate::options::Options;
use crate::percpu::PerCpu;
use crate::sched::cpumask::AtomicCpuMask;
use crate::time;

/// pCPUs that a write to their word of pending work wakes.
static WATCHING: AtomicCpuMask = AtomicCpuMask::new();

/// One way to sleep: its C-state, the MWAIT hint, and the shortest sleep (ns) it is worth entering for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    number: u8,
    hint: u32,
    worth: u64,
}

/// The states to choose from, the shallowest first; none: HLT.
static STATES: Once<alloc::vec::Vec<State>> = Once::new();

/// Sleeps shorter than this stay in C1; each state beyond needs four times as much. Without tables per model these
/// are rules of thumb: C6 of the last ten years' processors pays off within a few hundred microseconds.
const WORTH: u64 = 50_000;

/// Chooses how idle pCPUs sleep. Once, at boot.
pub fn configure(options: &Options) {
    let features = arch::cpu::features();
    // Below another hypervisor, HLT lets it give the CPU to others, while MWAIT is trapped or spins.
    let wanted = options.mwait_idle.unwrap_or(!features.hypervised);
    let states = if options.cpuidle && wanted && options.max_cstate > 0 {
        choose(&arch::cpu::mwait_states(), options.max_cstate)
    } else {
        alloc::vec::Vec::new()
    };
    match states.last() {
        None => log::info!("idle CPUs halt"),
        Some(deepest) => log::info!(
            "idle CPUs wait by MWAIT, {} state(s), the deepest C{}",
            states.len(),
            deepest.number
        ),
    }
    STATES.call_once(|| states);
}

fn choose(found: &[Option<(u8, u32)>], max_cstate: u32) -> alloc::vec::Vec<State> {
    let allowed = found.iter().flatten();
    allowed
        .filter(|(number, _)| u32::from(*number) <= max_cstate)
        .enumerate()
        .map(|(rank, &(number, hint))| State {
            number,
            hint,
            worth: match rank {
                0 => 0,
                _ => WORTH << (2 * (rank - 1)),
            },
        })
        .collect()
}

/// The deepest state that a sleep of `ns` is worth.
fn for_sleep(states: &[State], ns: u64) -> Option<State> {
    states.iter().rev().find(|s| s.worth <= ns).copied()
}

/// Whether setting a bit of a pCPU's pending work is enough to wake it. To be asked after the bit was set.
pub(super) fn watches(cpu: usize) -> bool {
    core::sync::atomic::fence(Ordering::SeqCst);
    WATCHING.load().contains(cpu)
}

/// Sleeps until something is pending on this pCPU.
pub fn idle(cpu: &PerCpu) {
    let states = STATES.get().map_or(&[][..], |states| states);
    while cpu.pending.load(Ordering::SeqCst) == 0 {
        if host().mm.scrub_some() {
            arch::cpu::interrupt_window();
            continue;
        }
        if crate::irq::end_leftover(cpu) {
            continue;
        }
        if states.is_empty() {
            arch::cpu::wait_for_interrupt();
            continue;
        }
        let until = cpu.timers.next().unwrap_or(u64::MAX);
        let sleep = until.saturating_sub(time::now());
        match for_sleep(states, sleep) {
            None => arch::cpu::wait_for_interrupt(),
            Some(state) => {
                WATCHING.set(cpu.id);
                core::sync::atomic::fence(Ordering::SeqCst);
                arch::cpu::mwait(&cpu.pending, 0, state.hint);
                WATCHING.take(cpu.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deeper_states_for_longer_sleeps() {
        let found = [
            Some((1, 0)),
            None,
            Some((3, 0x20)),
            None,
            None,
            Some((6, 0x50)),
            None,
        ];
        let states = choose(&found, u32::MAX);
        let hint = |ns| for_sleep(&states, ns).map(|s| s.hint);
        assert_eq!(hint(0), Some(0));
        assert_eq!(hint(WORTH), Some(0x20));
        assert_eq!(hint(4 * WORTH), Some(0x50));
        assert_eq!(hint(u64::MAX), Some(0x50));
        let states = choose(&found, 1);
        assert_eq!(for_sleep(&states, u64::MAX).map(|s| s.hint), Some(0));
        assert_eq!(for_sleep(&[], u64::MAX), None);
        assert!(choose(&[None; 7], 7).is_empty());
    }
}
