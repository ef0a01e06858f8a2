//! The time-stamp counter as a domain sees it (Xen docs/man/xen-tscmode): the processor's own, or an emulated one, which runs
//! at the domain's rate from where it was when the domain was saved. No two reads of that one, on whatever vCPU, give the
//! same value or go back.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arch::cpu::Cpuid;
use arch::sync::SpinLock;
use hypercall_abi::Errno;
use hypercall_abi::domctl::DomctlTscInfo;

use super::clock::{TscScale, now, tsc_stable};

/// Modes: the processor's if that has the domain's rate, always emulated, never emulated.
const DEFAULT: u32 = 0;
const ALWAYS: u32 = 1;
const NEVER: u32 = 2;
/// CR4.TSD: outside of ring 0, reading the counter faults.
const CR4_TSD: u64 = 1 << 2;
const NANOS: u64 = 1_000_000_000;
/// Ticks of a counter of 1 kHz take so many nanoseconds.
const NS_PER_KHZ: u64 = 1_000_000;

/// A domain's counter.
#[derive(Debug)]
pub struct VirtualTsc {
    emulated: AtomicBool,
    setting: SpinLock<Setting>,
    /// System time of the last emulated read.
    last: AtomicU64,
}

/// What the tools set.
#[derive(Clone, Copy, Debug)]
struct Setting {
    mode: u32,
    /// Its rate; 0: this host's.
    khz: u32,
    /// How often the domain was set up: at creation, and after each migration.
    incarnation: u32,
    /// System time at which the counter was 0, in nanoseconds since boot; before that in two's complement.
    zero: u64,
}

fn host_khz() -> u32 {
    u32::try_from(arch::clock::tsc_hz() / 1000).unwrap_or(u32::MAX)
}

impl Setting {
    fn khz(&self) -> u32 {
        if self.khz == 0 { host_khz() } else { self.khz }
    }

    /// The counter at a system time.
    fn at(&self, system_time: u64) -> u64 {
        let khz = u64::from(self.khz());
        let ticks = |ns: u64| {
            let rest = ns % NS_PER_KHZ * khz / NS_PER_KHZ;
            (ns / NS_PER_KHZ).wrapping_mul(khz).wrapping_add(rest)
        };
        let since = system_time.wrapping_sub(self.zero) as i64;
        if since < 0 {
            ticks(since.unsigned_abs()).wrapping_neg()
        } else {
            ticks(since.unsigned_abs())
        }
    }

    fn scale(&self, tsc: u64, system_time: u64) -> TscScale {
        TscScale::new(u64::from(self.khz()).max(1) * 1000, tsc, system_time)
    }
}

impl VirtualTsc {
    /// As a new domain has it: the processor's.
    pub const fn new() -> Self {
        Self {
            emulated: AtomicBool::new(false),
            setting: SpinLock::new(Setting {
                mode: DEFAULT,
                khz: 0,
                incarnation: 1,
                zero: 0,
            }),
            last: AtomicU64::new(0),
        }
    }

    /// Sets it up (domctl settscinfo): no vCPU of the domain runs. `EINVAL` for unknown modes.
    pub fn set(&self, op: &DomctlTscInfo) -> Result<(), Errno> {
        let mut setting = self.setting.lock();
        let mut new = Setting {
            mode: op.tsc_mode,
            incarnation: op.incarnation.wrapping_add(1),
            ..*setting
        };
        let emulated = match op.tsc_mode {
            NEVER => false,
            DEFAULT | ALWAYS => {
                new.khz = op.gtsc_khz;
                new.zero = now().wrapping_sub(op.elapsed_nsec);
                op.tsc_mode == ALWAYS || new.khz() != host_khz()
            }
            _ => return Err(Errno::EINVAL),
        };
        *setting = new;
        self.emulated.store(emulated, Ordering::Release);
        Ok(())
    }

    /// What another host needs to go on with it (domctl gettscinfo): nanoseconds since the counter was 0, and its rate; 0
    /// and 0 where the mode says never to emulate.
    pub fn info(&self) -> DomctlTscInfo {
        let setting = *self.setting.lock();
        let elapsed = if self.emulated() {
            (now().wrapping_sub(setting.zero) as i64).max(0) as u64
        } else {
            setting.scale(0, 0).ns(arch::cpu::rdtsc())
        };
        let (elapsed_nsec, gtsc_khz) = match setting.mode {
            NEVER => (0, 0),
            _ => (elapsed, setting.khz()),
        };
        DomctlTscInfo {
            tsc_mode: setting.mode,
            gtsc_khz,
            incarnation: setting.incarnation,
            elapsed_nsec,
            ..DomctlTscInfo::default()
        }
    }

    /// Whether reads of the counter must fault and be answered by [`Self::read`].
    #[inline]
    pub fn emulated(&self) -> bool {
        self.emulated.load(Ordering::Relaxed)
    }

    /// Bits that CR4 must have besides the guest's own while a vCPU runs.
    #[inline]
    pub fn cr4(&self) -> u64 {
        if self.emulated() { CR4_TSD } else { 0 }
    }

    /// What the guest reads.
    pub fn read(&self) -> u64 {
        if !self.emulated() {
            return arch::cpu::rdtsc();
        }
        let now = now();
        let next = |last: u64| now.max(last.wrapping_add(1));
        let relaxed = Ordering::Relaxed;
        let last = self.last.fetch_update(relaxed, relaxed, |l| Some(next(l)));
        let time = last.map_or(now, next);
        self.setting.lock().at(time)
    }

    /// How guests get from an emulated counter to the time. It begins anew every second: the factor is rounded.
    pub fn scale(&self) -> Option<TscScale> {
        if !self.emulated() {
            return None;
        }
        let setting = *self.setting.lock();
        let base = now() / NANOS * NANOS;
        Some(setting.scale(setting.at(base), base))
    }

    /// The hypervisor's CPUID leaf about it (public arch-x86/cpuid.h, leaf 3).
    pub fn leaf(&self, subleaf: u32) -> Cpuid {
        let setting = *self.setting.lock();
        match subleaf {
            0 => {
                let rdtscp = arch::cpu::cpuid(0x8000_0001, 0).edx >> 27 & 1;
                let emulated = u32::from(self.emulated());
                Cpuid {
                    eax: emulated | u32::from(tsc_stable()) << 1 | rdtscp << 2,
                    ebx: setting.mode,
                    ecx: setting.khz(),
                    edx: setting.incarnation,
                }
            }
            1 => {
                let scale = setting.scale(0, 0);
                // What is emulated is offset already.
                let zero = if self.emulated() { 0 } else { setting.zero };
                Cpuid {
                    eax: zero as u32,
                    ebx: (zero >> 32) as u32,
                    ecx: scale.mul,
                    edx: i32::from(scale.shift) as u32,
                }
            }
            2 => Cpuid {
                eax: host_khz(),
                ..Cpuid::default()
            },
            _ => Cpuid::default(),
        }
    }
}

impl Default for VirtualTsc {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(tsc_mode: u32, gtsc_khz: u32, elapsed_nsec: u64) -> DomctlTscInfo {
        DomctlTscInfo {
            tsc_mode,
            gtsc_khz,
            elapsed_nsec,
            ..DomctlTscInfo::default()
        }
    }

    #[test]
    fn it_goes_on_where_it_was_at_its_own_rate() {
        arch::hosted::reset(1);
        arch::sim::set_now(7 * NANOS);
        let tsc = VirtualTsc::new();
        // Saved after a second and a half at 3 GHz.
        let elapsed = NANOS * 3 / 2;
        tsc.set(&setting(DEFAULT, 3_000_000, elapsed)).expect("set");
        assert!(tsc.emulated());
        assert_eq!(tsc.cr4(), CR4_TSD);
        assert_eq!(tsc.read(), 4_500_000_000);
        arch::sim::set_now(8 * NANOS);
        assert_eq!(tsc.read(), 7_500_000_000);
        assert_eq!(tsc.info().elapsed_nsec, elapsed + NANOS);
        // The time that the guest computes is the system's.
        let scale = tsc.scale().expect("emulated");
        assert!(scale.ns(tsc.read()).abs_diff(8 * NANOS + 1) <= 1);
        arch::sim::set_now(8 * NANOS + 900_000_000);
        assert!(scale.ns(tsc.read()).abs_diff(8 * NANOS + 900_000_000) <= 1);
    }

    #[test]
    fn no_two_reads_are_alike_or_go_back() {
        arch::hosted::reset(1);
        arch::sim::set_now(NANOS);
        let tsc = VirtualTsc::new();
        tsc.set(&setting(ALWAYS, 2_000_000, 0)).expect("set");
        let mut last = tsc.read();
        for step in [0, 0, 1, 0, 5, 1_000] {
            arch::sim::set_now(NANOS + step);
            let next = tsc.read();
            assert!(next > last, "{step}");
            last = next;
        }
    }

    #[test]
    fn whatever_the_tools_say_is_no_reason_to_panic() {
        arch::hosted::reset(1);
        let tsc = VirtualTsc::new();
        for khz in [1, 7, u32::MAX] {
            for elapsed in [0, 1, 1 << 63, i64::MAX as u64, u64::MAX] {
                tsc.set(&setting(ALWAYS, khz, elapsed)).expect("set");
                let _ = (tsc.read(), tsc.info(), tsc.scale());
                let _ = [0, 1, 2, 3].map(|n| tsc.leaf(n));
            }
        }
        assert_eq!(tsc.set(&setting(3, 0, 0)), Err(Errno::EINVAL));
    }
}
