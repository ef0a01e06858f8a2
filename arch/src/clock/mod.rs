//! Time: a clock that starts at boot and never goes back, the wall clock at that moment, and this CPU's deadline timer.
//!
//! The clock is the time-stamp counter where that is dependable, else the reference counter (HPET or PM timer).

mod calibrate;
mod reference;
pub mod rtc;
mod scale;
mod warp;

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicI8, AtomicU32, AtomicU64, Ordering};

pub use reference::ReferenceKind;
pub use scale::{NANOS, Rate, TscScale, ticks_to_ns};
pub use warp::check_against_peer;

use crate::acpi::Acpi;
use crate::apic::{self, TimerKind};
use crate::hw;
use crate::sync::{Once, SpinLock};
use calibrate::{Counters, Known, Measured};
use reference::Reference;

/// Why there is no clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockError {
    /// None of HPET, PM timer and PIT runs.
    NoReference,
}

impl fmt::Display for ClockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no running HPET, ACPI PM timer or PIT to measure the TSC against")
    }
}

/// What was found out about time on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calibration {
    /// TSC ticks per second.
    pub tsc_hz: u64,
    /// Local APIC timer ticks per second.
    pub apic_hz: u64,
    /// What it was measured against.
    pub reference: ReferenceKind,
    /// The measurement's readings agree within 0.1%.
    pub consistent: bool,
    /// What CPUID (leaves 0x15, 0x16, 0x40000010) says the TSC's rate is.
    pub announced_hz: Option<u64>,
    /// The TSC runs at one rate in all power states (CPUID 0x80000007 or under a hypervisor).
    pub tsc_invariant: bool,
    /// How deadlines are armed.
    pub timer: TimerKind,
}

static CALIBRATION: Once<Calibration> = Once::new();

// The TSC scale, fixed at calibration.
static TSC_BASE: AtomicU64 = AtomicU64::new(0);
static TSC_MUL: AtomicU32 = AtomicU32::new(0);
static TSC_SHIFT: AtomicI8 = AtomicI8::new(0);
static TSC_RATE: AtomicU64 = AtomicU64::new(0);
static APIC_RATE: AtomicU64 = AtomicU64::new(0);

/// The clock is not the TSC but [`PLATFORM`].
static USE_PLATFORM: AtomicBool = AtomicBool::new(false);
static PLATFORM: SpinLock<Option<PlatformClock>> = SpinLock::new(None);

/// A clock from the reference counter, extended beyond its wrap.
struct PlatformClock {
    reference: Reference,
    last: u64,
    /// Nanoseconds at `last`, and the fraction in units of 1/hz.
    ns: u64,
    remainder: u64,
}

impl PlatformClock {
    fn now(&mut self) -> u64 {
        let count = self.reference.read();
        let ticks = count.wrapping_sub(self.last) & self.reference.mask;
        self.last = count;
        let scaled = u128::from(ticks) * u128::from(NANOS) + u128::from(self.remainder);
        let hz = u128::from(self.reference.hz);
        self.remainder = (scaled % hz) as u64;
        self.ns += (scaled / hz) as u64;
        self.ns
    }

    /// The longest time between two readings that loses no wrap.
    fn patience_ns(&self) -> u64 {
        let ticks = self.reference.mask / 2;
        u64::try_from(u128::from(ticks) * u128::from(NANOS) / u128::from(self.reference.hz))
            .unwrap_or(u64::MAX)
    }
}

/// The seconds since 1970 and nanoseconds at clock zero.
static WALLCLOCK: Once<(u64, u32)> = Once::new();

struct MachineCounters(Reference);

impl Counters for MachineCounters {
    fn tsc(&mut self) -> u64 {
        hw::rdtsc_ordered()
    }
    fn reference(&mut self) -> u64 {
        self.0.read()
    }
    fn apic(&mut self) -> u32 {
        apic::calibration_count()
    }
}

fn measure_against(reference: Reference) -> Option<Measured> {
    let known = Known {
        hz: reference.hz,
        mask: reference.mask,
    };
    calibrate::measure(&mut MachineCounters(reference), known)
}

fn measure(acpi: &Acpi, preferred: Option<ReferenceKind>) -> Option<(Reference, Measured)> {
    apic::calibration_start();
    // What was asked for is taken even if its readings agree less than they should.
    if let Some(kind) = preferred
        && let Some(reference) = Reference::candidates(acpi).find(|r| r.kind == kind)
        && let Some(measured) = measure_against(reference)
    {
        return Some((reference, measured));
    }
    let mut inconsistent = None;
    for reference in Reference::candidates(acpi) {
        match measure_against(reference) {
            Some(m) if m.consistent => return Some((reference, m)),
            Some(m) => inconsistent = inconsistent.or(Some((reference, m))),
            None => {}
        }
    }
    inconsistent
}

/// The TSC rate that the processor or an underlying hypervisor announces.
fn announced_hz() -> Option<u64> {
    let [max, ..] = hw::cpuid(0, 0);
    if max >= 0x15 {
        let [denominator, numerator, crystal, _] = hw::cpuid(0x15, 0);
        if denominator != 0 && numerator != 0 && crystal != 0 {
            return Some(u64::from(crystal) * u64::from(numerator) / u64::from(denominator));
        }
    }
    if hw::cpuid(1, 0)[2] & 1 << 31 != 0 && hw::cpuid(0x4000_0000, 0)[0] >= 0x4000_0010 {
        let [khz, ..] = hw::cpuid(0x4000_0010, 0);
        if khz != 0 {
            return Some(u64::from(khz) * 1000);
        }
    }
    if max >= 0x16 {
        let [mhz, ..] = hw::cpuid(0x16, 0);
        return (mhz & 0xffff != 0).then(|| u64::from(mhz & 0xffff) * 1_000_000);
    }
    None
}

fn tsc_invariant() -> bool {
    let [max, ..] = hw::cpuid(0x8000_0000, 0);
    (max >= 0x8000_0007 && hw::cpuid(0x8000_0007, 0)[3] & 1 << 8 != 0)
        || hw::cpuid(1, 0)[2] & 1 << 31 != 0
}

/// Measures the counters, starts the clock at 0 and reads the wall clock. Takes about 2 ms. Once, on the boot CPU, after
/// `apic::init_bsp` and before other CPUs start. `preferred` is the counter of known rate to use, where it is there.
pub fn init(acpi: &Acpi, preferred: Option<ReferenceKind>) -> Result<Calibration, ClockError> {
    let base = hw::rdtsc_ordered();
    let (reference, measured) = measure(acpi, preferred).ok_or(ClockError::NoReference)?;
    let scale = TscScale::new(measured.tsc_hz, base, 0);
    TSC_BASE.store(base, Ordering::Relaxed);
    TSC_MUL.store(scale.mul, Ordering::Relaxed);
    TSC_SHIFT.store(scale.shift, Ordering::Relaxed);
    TSC_RATE.store(Rate::new(measured.tsc_hz).to_bits(), Ordering::Relaxed);
    APIC_RATE.store(Rate::new(measured.apic_hz).to_bits(), Ordering::Relaxed);
    let tsc_invariant = tsc_invariant();
    let deadline_capable = hw::cpuid(1, 0)[2] & 1 << 24 != 0;
    let timer = if deadline_capable && tsc_invariant {
        TimerKind::TscDeadline
    } else {
        TimerKind::OneShot
    };
    apic::set_timer_kind(timer);
    let fadt = acpi.fadt;
    let century = fadt.map_or(0, |f| f.century);
    let date = if fadt.is_some_and(|f| f.no_cmos_rtc) {
        None
    } else {
        rtc::read(century)
    };
    let seconds = date.and_then(|d| d.unix_seconds()).unwrap_or(0);
    let ns = seconds
        .saturating_mul(NANOS)
        .saturating_sub(scale.ns(hw::rdtsc_ordered()));
    WALLCLOCK.call_once(|| (ns / NANOS, (ns % NANOS) as u32));
    // A PIT count ends after 55 ms, so it can calibrate but not be the clock.
    if reference.kind != ReferenceKind::Pit {
        let ns = scale.ns(hw::rdtsc_ordered());
        *PLATFORM.lock() = Some(PlatformClock {
            reference,
            last: reference.read(),
            ns,
            remainder: 0,
        });
    }
    if !tsc_invariant {
        distrust_tsc();
    }
    Ok(*CALIBRATION.call_once(|| Calibration {
        tsc_hz: measured.tsc_hz,
        apic_hz: measured.apic_hz,
        reference: reference.kind,
        consistent: measured.consistent,
        announced_hz: announced_hz(),
        tsc_invariant,
        timer,
    }))
}

/// What [`init`] found out.
pub fn calibration() -> Option<&'static Calibration> {
    CALIBRATION.get()
}

/// Uses the reference counter as the clock from now on, because the TSC turned out to be unstable or to differ between
/// CPUs. False when there is no reference that could be a clock (the TSC stays). To be called before guests run.
pub fn distrust_tsc() -> bool {
    let mut platform = PLATFORM.lock();
    let Some(clock) = platform.as_mut() else {
        return false;
    };
    if !USE_PLATFORM.load(Ordering::Relaxed) {
        // Go on where the TSC clock is, not behind it.
        clock.now();
        clock.ns = clock.ns.max(current_scale().ns(hw::rdtsc_ordered()));
        USE_PLATFORM.store(true, Ordering::Release);
        if apic::timer_kind() == TimerKind::TscDeadline {
            apic::set_timer_kind(TimerKind::OneShot);
        }
    }
    true
}

/// Whether the TSC is the clock. If it is not, guests' time information must be refreshed at least every second, because
/// [`tsc_scale`] is then only an approximation from the present moment.
pub fn tsc_stable() -> bool {
    !USE_PLATFORM.load(Ordering::Relaxed)
}

#[inline]
fn current_scale() -> TscScale {
    TscScale {
        tsc_base: TSC_BASE.load(Ordering::Relaxed),
        ns_base: 0,
        mul: TSC_MUL.load(Ordering::Relaxed),
        shift: TSC_SHIFT.load(Ordering::Relaxed),
    }
}

/// Nanoseconds since boot; the same on all CPUs, never going back.
#[inline]
pub fn now() -> u64 {
    #[cfg(not(target_os = "none"))]
    return crate::sim::now();
    #[cfg(target_os = "none")]
    {
        if USE_PLATFORM.load(Ordering::Relaxed)
            && let Some(clock) = PLATFORM.lock().as_mut()
        {
            return clock.now();
        }
        current_scale().ns(hw::rdtsc_ordered())
    }
}

/// How guests get from the TSC to [`now`] on this CPU.
pub fn tsc_scale() -> TscScale {
    if cfg!(not(target_os = "none")) {
        return TscScale::new(NANOS, 0, 0);
    }
    let scale = current_scale();
    if tsc_stable() {
        scale
    } else {
        TscScale {
            tsc_base: hw::rdtsc_ordered(),
            ns_base: now(),
            ..scale
        }
    }
}

/// TSC ticks per second.
pub fn tsc_hz() -> u64 {
    CALIBRATION.get().map_or(NANOS, |c| c.tsc_hz)
}

/// Seconds and nanoseconds since 1970 (UTC) at the moment when [`now`] was 0, from the CMOS clock; (0, 0) when the machine
/// has none.
pub fn wallclock_at_boot() -> (u64, u32) {
    WALLCLOCK.get().copied().unwrap_or((0, 0))
}

/// Arms this CPU's timer to interrupt (vector `apic::vectors::TIMER`) at `deadline`, nanoseconds since boot, or disarms
/// it. A deadline in the past interrupts at once. The interrupt may come early (the count is limited), never much
/// late: the handler looks at [`now`] and arms again.
pub fn set_deadline(deadline: Option<u64>) {
    #[cfg(not(target_os = "none"))]
    crate::sim::record(crate::sim::Event::Deadline { ns: deadline });
    // A clock from a narrow counter must be read before it wraps.
    let deadline = if tsc_stable() {
        deadline
    } else {
        let limit = PLATFORM
            .lock()
            .as_ref()
            .map_or(u64::MAX, |p| p.ns.saturating_add(p.patience_ns()));
        Some(deadline.unwrap_or(u64::MAX).min(limit))
    };
    let Some(deadline) = deadline else {
        return apic::disarm();
    };
    let ahead = deadline.saturating_sub(now());
    match apic::timer_kind() {
        TimerKind::TscDeadline => {
            let ticks = Rate::from_bits(TSC_RATE.load(Ordering::Relaxed)).ticks(ahead);
            apic::arm(hw::rdtsc().saturating_add(ticks), 0);
        }
        TimerKind::OneShot => {
            let ticks = Rate::from_bits(APIC_RATE.load(Ordering::Relaxed)).ticks(ahead);
            apic::arm(0, u32::try_from(ticks).unwrap_or(u32::MAX));
        }
    }
}

/// Busily waits; for start-up sequences of other CPUs and devices.
pub fn delay(ns: u64) {
    if cfg!(not(target_os = "none")) {
        return;
    }
    if CALIBRATION.get().is_none() {
        // A failure at an early moment is about to restart the machine: no processor's counter runs at above 8 GHz.
        let begun = hw::rdtsc();
        while hw::rdtsc().wrapping_sub(begun) < ns.saturating_mul(8) {
            core::hint::spin_loop();
        }
        return;
    }
    let end = now().saturating_add(ns);
    while now() < end {
        core::hint::spin_loop();
    }
}
