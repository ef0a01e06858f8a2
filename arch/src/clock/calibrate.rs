//! Measuring the time-stamp counter (and the local APIC timer) against a counter of known rate.
//!
//! A reading is a reference value between two TSC values; of several tries the tightest pair counts, so that an
//! emulator's or SMI's pause between the accesses does no harm. A series of readings must lie on one line; if they do
//! not, a longer series is taken.

use super::scale::NANOS;

/// What is measured and against what; a trait so that tests can supply a jittery machine.
pub(super) trait Counters {
    /// The time-stamp counter.
    fn tsc(&mut self) -> u64;
    /// The reference, already masked.
    fn reference(&mut self) -> u64;
    /// The APIC timer's count, falling.
    fn apic(&mut self) -> u32;
}

/// The reference's properties.
#[derive(Clone, Copy)]
pub(super) struct Known {
    pub hz: u64,
    pub mask: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    /// Midpoint of the bracket.
    tsc: u64,
    /// Half the bracket: how far off `tsc` can be.
    uncertainty: u64,
    reference: u64,
    apic: u32,
}

/// A measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Measured {
    /// TSC ticks per second.
    pub tsc_hz: u64,
    /// APIC timer ticks per second, undivided.
    pub apic_hz: u64,
    /// Every reading fits the result within 0.1%.
    pub consistent: bool,
}

/// Readings in a series.
const READINGS: usize = 9;
/// Tries for one reading.
const TRIES: usize = 6;
/// Time from first to last reading of the first series, in nanoseconds; doubled for each further one.
const SPAN_NS: u64 = 2_000_000;
/// Series before an inconsistent result is taken.
const SERIES: u32 = 4;
/// A reference that stops while it is waited for ends the measurement.
const MAX_POLLS: u64 = 20_000_000;

/// Looks for the reference's next tick before a value is taken in the middle of one.
const EDGE_LOOKS: usize = 64;

fn read(counters: &mut impl Counters, known: Known) -> Reading {
    let mut best = Reading {
        uncertainty: u64::MAX,
        ..Reading::default()
    };
    for _ in 0..TRIES {
        let mut low = counters.tsc();
        let last = counters.reference();
        for _ in 0..EDGE_LOOKS {
            let before = counters.tsc();
            let reference = counters.reference();
            let after = counters.tsc();
            let ticks = reference.wrapping_sub(last) & known.mask;
            if ticks == 0 {
                low = before;
                continue;
            }
            // A slow counter's tick happened since the last look; a fast one's just now.
            let (from, width) = if ticks == 1 {
                (low, after.wrapping_sub(low))
            } else {
                (before, after.wrapping_sub(before))
            };
            if width / 2 < best.uncertainty {
                let apic = counters.apic();
                best = Reading {
                    tsc: from.wrapping_add(width / 2),
                    uncertainty: width / 2,
                    reference,
                    apic,
                };
            }
            break;
        }
    }
    if best.uncertainty == u64::MAX {
        // It stands still: whoever waits for it notices.
        best = Reading {
            tsc: counters.tsc(),
            uncertainty: 0,
            reference: counters.reference(),
            apic: counters.apic(),
        };
    }
    best
}

/// Ticks per second of something that advanced by `ticks` while the reference advanced by `reference`.
fn rate(ticks: u64, reference: u64, known: Known) -> u64 {
    (u128::from(ticks) * u128::from(known.hz))
        .checked_div(reference.into())
        .unwrap_or(0) as u64
}

/// Measures. `None` when the reference stops or the TSC does not advance.
pub(super) fn measure(counters: &mut impl Counters, known: Known) -> Option<Measured> {
    let mut result = None;
    for series in 0..SERIES {
        // The PIT's count ends after 54 ms; the longest series stays below.
        let step = (known.hz * (SPAN_NS << series) / NANOS / (READINGS as u64 - 1)).max(2);
        let readings = take_series(counters, known, step)?;
        let measured = evaluate(&readings, known)?;
        result = Some(measured);
        if measured.consistent {
            break;
        }
    }
    result
}

fn take_series(
    counters: &mut impl Counters,
    known: Known,
    step: u64,
) -> Option<[Reading; READINGS]> {
    let mut readings = [Reading::default(); READINGS];
    for n in 0..READINGS {
        if n > 0 {
            let from = readings[n - 1].reference;
            let mut polls = 0;
            while counters.reference().wrapping_sub(from) & known.mask < step {
                polls += 1;
                if polls > MAX_POLLS {
                    return None;
                }
            }
        }
        readings[n] = read(counters, known);
    }
    Some(readings)
}

fn evaluate(readings: &[Reading; READINGS], known: Known) -> Option<Measured> {
    // The tightest reading of each half is the most trustworthy end of the line.
    let (early, late) = readings.split_at(READINGS / 2);
    let first = early.iter().take(2).min_by_key(|r| r.uncertainty)?;
    let last = late.iter().rev().take(2).min_by_key(|r| r.uncertainty)?;
    let reference = last.reference.wrapping_sub(first.reference) & known.mask;
    let tsc_hz = rate(last.tsc.wrapping_sub(first.tsc), reference, known);
    let apic_hz = rate(first.apic.wrapping_sub(last.apic).into(), reference, known);
    if tsc_hz == 0 {
        return None;
    }
    let consistent = readings.iter().all(|r| {
        let elapsed = r.reference.wrapping_sub(readings[0].reference) & known.mask;
        let expected = (u128::from(elapsed) * u128::from(tsc_hz) / u128::from(known.hz)) as i128;
        let found = i128::from(r.tsc.wrapping_sub(readings[0].tsc));
        let span = i128::from(tsc_hz) * i128::from(SPAN_NS) / i128::from(NANOS);
        // 0.1% of the span, what the brackets leave open, and one tick of the reference.
        let slack = span / 1000
            + i128::from(r.uncertainty + readings[0].uncertainty)
            + i128::from(2 * tsc_hz.div_ceil(known.hz));
        (found - expected).abs() <= slack
    });
    Some(Measured {
        tsc_hz,
        apic_hz,
        consistent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine whose accesses take time, now and then a lot.
    struct Jittery {
        now_ns: u64,
        step: u64,
        seed: u64,
        /// One access in so many is delayed.
        delay_every: u64,
        delay_ns: u64,
        tsc_hz: u64,
        known: Known,
        stopped: bool,
    }
    impl Jittery {
        fn new(tsc_hz: u64, hz: u64, mask: u64) -> Self {
            let known = Known { hz, mask };
            Self {
                now_ns: 12_345,
                step: 700,
                seed: 1,
                delay_every: 0,
                delay_ns: 0,
                tsc_hz,
                known,
                stopped: false,
            }
        }
        fn measure(&mut self) -> Option<Measured> {
            let known = self.known;
            measure(self, known)
        }
        fn pass(&mut self) -> u128 {
            self.seed = self
                .seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            self.now_ns += self.step / 2 + (self.seed >> 33) % self.step;
            if self.delay_every != 0 && (self.seed >> 40).is_multiple_of(self.delay_every) {
                self.now_ns += self.delay_ns;
            }
            self.now_ns.into()
        }
    }
    impl Counters for Jittery {
        fn tsc(&mut self) -> u64 {
            (self.pass() * u128::from(self.tsc_hz) / u128::from(NANOS)) as u64
        }
        fn reference(&mut self) -> u64 {
            let ns = self.pass();
            if self.stopped {
                5
            } else {
                (ns * u128::from(self.known.hz) / u128::from(NANOS)) as u64 & self.known.mask
            }
        }
        fn apic(&mut self) -> u32 {
            u32::MAX - (self.pass() / 4) as u32
        }
    }

    fn within(found: u64, wanted: u64, per_million: u64) {
        assert!(
            found.abs_diff(wanted) <= wanted / 1_000_000 * per_million,
            "{found} instead of {wanted}"
        );
    }

    #[test]
    fn every_reference_gives_the_rate() {
        for (hz, mask, ppm) in [
            (100_000_000, u64::MAX, 400),
            (14_318_180, 0xffff_ffff, 400),
            (3_579_545, 0xff_ffff, 400),
            (1_193_182, 0xffff, 400),
        ] {
            for tsc_hz in [1_000_000_000, 2_394_230_000, 4_700_000_000] {
                let mut machine = Jittery::new(tsc_hz, hz, mask);
                let m = machine.measure().unwrap();
                assert!(m.consistent);
                within(m.tsc_hz, tsc_hz, ppm);
                within(m.apic_hz, 250_000_000, 3000);
                assert!(machine.now_ns < 4_000_000, "took {} ns", machine.now_ns);
            }
        }
    }

    #[test]
    fn pauses_between_accesses_do_no_harm() {
        let mut machine = Jittery::new(2_000_000_000, 3_579_545, 0xff_ffff);
        (machine.delay_every, machine.delay_ns) = (20, 300_000);
        let m = machine.measure().unwrap();
        within(m.tsc_hz, 2_000_000_000, 1000);
    }

    #[test]
    fn a_reference_that_stops_is_no_reference() {
        let mut machine = Jittery::new(2_000_000_000, 1_193_182, 0xffff);
        machine.stopped = true;
        assert_eq!(machine.measure(), None);
        let mut machine = Jittery::new(0, 1_193_182, 0xffff);
        assert_eq!(machine.measure(), None);
    }
}
