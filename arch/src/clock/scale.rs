//! Fixed-point conversions between counter ticks and nanoseconds.

/// Nanoseconds in a second.
pub const NANOS: u64 = 1_000_000_000;

/// From time-stamp counter to nanoseconds as guests compute it (Xen public/xen.h, `vcpu_time_info`):
/// `ns_base + (((tsc - tsc_base) << shift) * mul >> 32)`, a negative shift meaning to the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TscScale {
    /// Counter value at `ns_base`.
    pub tsc_base: u64,
    /// Nanoseconds since boot at `tsc_base`.
    pub ns_base: u64,
    /// Multiplier, a fraction of 2^32.
    pub mul: u32,
    /// Shift applied to the ticks first.
    pub shift: i8,
}

impl TscScale {
    /// The scale of a counter of `hz` ticks a second. `hz` must not be 0; rates are meaningful up to 2^63 Hz.
    pub fn new(hz: u64, tsc_base: u64, ns_base: u64) -> Self {
        let (mul, shift) = factors(hz);
        Self {
            tsc_base,
            ns_base,
            mul,
            shift,
        }
    }

    /// Nanoseconds since boot at counter value `tsc`. A value before the base counts as the base.
    #[inline]
    pub fn ns(&self, tsc: u64) -> u64 {
        // Counters of different CPUs may differ by less than an access takes; time must not jump by 2^64.
        let ticks = tsc.wrapping_sub(self.tsc_base);
        if ticks > i64::MAX as u64 {
            return self.ns_base;
        }
        self.ns_base
            .wrapping_add(ticks_to_ns(ticks, self.mul, self.shift))
    }
}

/// `(ticks << shift) * mul >> 32` with the intermediate product in full width.
#[inline]
pub fn ticks_to_ns(ticks: u64, mul: u32, shift: i8) -> u64 {
    let shifted = if shift < 0 {
        ticks.checked_shr(shift.unsigned_abs().into()).unwrap_or(0)
    } else {
        ticks.checked_shl(shift.unsigned_abs().into()).unwrap_or(0)
    };
    ((u128::from(shifted) * u128::from(mul)) >> 32) as u64
}

/// Multiplier and shift for `hz` ticks a second; the multiplier has its top bit set, so precision is 31 bits.
fn factors(hz: u64) -> (u32, i8) {
    let mut shift = 0_i8;
    let mut rate = hz.max(1);
    // mul = 2^32 * NANOS / rate must be in 2^31..2^32: rate in NANOS+1 ..= 2*NANOS.
    while rate > 2 * NANOS {
        rate >>= 1;
        shift -= 1;
    }
    while rate <= NANOS {
        rate <<= 1;
        shift += 1;
    }
    // Bits shifted out above are put back: divide by the real rate in wide arithmetic.
    let numerator = u128::from(NANOS) << 32;
    let exact = if shift < 0 {
        (numerator << shift.unsigned_abs()) / u128::from(hz)
    } else {
        (numerator >> shift.unsigned_abs()) / u128::from(hz.max(1))
    };
    (u32::try_from(exact).unwrap_or(u32::MAX), shift)
}

/// From nanoseconds to ticks of one rate, without a division in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Ticks per nanosecond, times 2^32.
    per_ns: u64,
}

impl Rate {
    /// For a counter of `hz` ticks a second (below 4 EHz).
    pub const fn new(hz: u64) -> Self {
        Self {
            per_ns: ((hz as u128) << 32).div_ceil(NANOS as u128) as u64,
        }
    }
    /// The raw factor, to store it in one word.
    pub const fn to_bits(self) -> u64 {
        self.per_ns
    }
    /// From [`Self::to_bits`].
    pub const fn from_bits(bits: u64) -> Self {
        Self { per_ns: bits }
    }
    /// Ticks in `ns` nanoseconds, rounded up, saturating.
    pub fn ticks(self, ns: u64) -> u64 {
        let wide = (u128::from(ns) * u128::from(self.per_ns)).div_ceil(1 << 32);
        u64::try_from(wide).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_keep_their_precision_at_every_rate() {
        for hz in [
            1,
            1000,
            32_768,
            3_579_545,
            NANOS - 1,
            NANOS,
            NANOS + 1,
            2_399_987_654,
            2 * NANOS,
            5_200_000_001,
            1 << 40,
        ] {
            let (mul, shift) = factors(hz);
            assert!(mul >= 1 << 31, "{hz}: {mul:#x} {shift}");
            let hour = hz * 3600;
            let ns = ticks_to_ns(hour, mul, shift);
            let error = ns.abs_diff(3600 * NANOS);
            assert!(
                error <= (3600 * NANOS) >> 30,
                "{hz} Hz is off by {error} ns an hour"
            );
        }
    }

    #[test]
    fn one_gigahertz_is_the_identity() {
        let s = TscScale::new(NANOS, 1000, 50);
        assert_eq!(s.shift, 1);
        assert_eq!(
            (s.ns(1000), s.ns(1001), s.ns(1_000_001_000)),
            (50, 51, NANOS + 50)
        );
    }

    #[test]
    fn no_jump_at_the_base_and_no_overflow_far_from_it() {
        let s = TscScale::new(3_000_000_000, 10_000, 7);
        assert_eq!(s.ns(9_990), 7);
        // Half a century at 3 GHz.
        let century = 50 * 365 * 86_400_u64;
        let ns = s.ns(10_000 + century * 3_000_000_000);
        assert!(ns.abs_diff(century * NANOS) < 5 * NANOS);
        assert_eq!(ticks_to_ns(u64::MAX, u32::MAX, 0), 0xffff_fffe_ffff_ffff);
        assert_eq!(ticks_to_ns(u64::MAX, u32::MAX, -64), 0);
        assert_eq!(ticks_to_ns(1, u32::MAX, 64), 0);
    }

    #[test]
    fn rates_round_up_and_saturate() {
        let r = Rate::new(2_400_000_000);
        assert_eq!(
            (r.ticks(0), r.ticks(1), r.ticks(1_000_000)),
            (0, 3, 2_400_001)
        );
        assert_eq!(Rate::from_bits(r.to_bits()), r);
        assert_eq!(r.ticks(u64::MAX), u64::MAX);
        assert_eq!(Rate::new(1000).ticks(1_000_001), 2);
    }

    proptest::proptest! {
        #[test]
        fn there_and_back(hz in 1_000_000_u64..10_000_000_000, ns in 0_u64..1 << 50) {
            let ticks = Rate::new(hz).ticks(ns);
            let (mul, shift) = factors(hz);
            let back = ticks_to_ns(ticks, mul, shift);
            let slack = (ns >> 22) + 2 * NANOS / hz + 2;
            proptest::prop_assert!(back.abs_diff(ns) <= slack, "{} {}", back, ns);
        }
        #[test]
        fn time_never_goes_back(hz in 1_000_000_u64..10_000_000_000, a in 0_u64..1 << 62, d in 0_u64..1 << 40) {
            let s = TscScale::new(hz, 5, 0);
            proptest::prop_assert!(s.ns(a + d) >= s.ns(a));
        }
    }
}
