//! How long a vCPU was running, waiting, blocked and offline (Xen public/vcpu.h, `vcpu_runstate_info`).

use hypercall_abi::vcpu::{Runstate, VcpuRunstateInfo};

/// A vCPU's present state and the time spent in each. Changed under the vCPU's scheduler lock.
#[derive(Clone, Copy, Debug)]
pub struct RunstateClock {
    state: Runstate,
    since: u64,
    time: [u64; 4],
}

impl RunstateClock {
    /// Offline since boot.
    pub const fn new() -> Self {
        Self {
            state: Runstate::OFFLINE,
            since: 0,
            time: [0; 4],
        }
    }

    /// The present state.
    pub fn state(&self) -> Runstate {
        self.state
    }

    /// Enters a state at `now` (nanoseconds since boot). The times always sum up to the last entry time: nothing is lost when
    /// `now` lies before the last entry because CPUs' clocks differ a little.
    pub fn enter(&mut self, state: Runstate, now: u64) {
        if self.state == state {
            return;
        }
        let now = now.max(self.since);
        if let Some(time) = self.time.get_mut(self.state.0 as usize) {
            *time += now - self.since;
        }
        (self.state, self.since) = (state, now);
    }

    /// As the guest sees it: the time in the present state up to its last entry, which guests add up themselves.
    pub fn snapshot(&self) -> VcpuRunstateInfo {
        VcpuRunstateInfo {
            state: self.state,
            state_entry_time: self.since,
            time: self.time,
            ..VcpuRunstateInfo::default()
        }
    }

    /// The same with the present state's time counted up to `now`.
    pub fn snapshot_at(&self, now: u64) -> VcpuRunstateInfo {
        let mut info = self.snapshot();
        if let Some(time) = info.time.get_mut(self.state.0 as usize) {
            *time += now.saturating_sub(self.since);
        }
        info
    }
}

impl Default for RunstateClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_up() {
        let mut clock = RunstateClock::new();
        clock.enter(Runstate::RUNNABLE, 10);
        clock.enter(Runstate::RUNNING, 15);
        clock.enter(Runstate::RUNNING, 20);
        clock.enter(Runstate::BLOCKED, 14); // another CPU's clock is behind
        clock.enter(Runstate::RUNNABLE, 30);
        let info = clock.snapshot_at(33);
        assert_eq!(info.time, [0, 5 + 3, 15, 10]);
        assert_eq!(info.state_entry_time, 30);
        assert_eq!(info.time.iter().sum::<u64>(), 33);
    }
}
