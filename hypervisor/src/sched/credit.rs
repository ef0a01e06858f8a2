//! Credits and caps: how much CPU time a vCPU may claim compared with others. Arithmetic only.
//!
//! A vCPU burns credits while it runs, the faster the smaller its weight. Who has most runs next. When the best
//! candidate has none left a new epoch begins: everyone gets the same amount, up to a maximum, so that sleepers
//! cannot save up. Epochs are counted for the whole host, which makes credits comparable between run queues, and are
//! granted lazily ([`Account::catch_up`]), so that an epoch costs nothing for vCPUs that sleep.

/// What an epoch grants, and the most a vCPU can hold: nanoseconds of running at [`DEFAULT_WEIGHT`].
pub const EPOCH_CREDIT: i64 = 10_000_000;
/// The weight of a domain nobody gave another (Xen's default).
pub const DEFAULT_WEIGHT: u16 = 256;
/// A vCPU runs at least this long before a better one preempts it, in nanoseconds, unless its pool says otherwise.
pub const RATELIMIT: u64 = 1_000_000;
/// The shortest slice whatever the limit says, in nanoseconds: no timer is armed for less.
pub const MIN_SLICE: u64 = 100_000;
/// The longest slice while others wait, in nanoseconds.
pub const MAX_SLICE: u64 = 10_000_000;
/// Debt beyond what this much running costs is forgiven, in nanoseconds: who ran alone for long is not starved when
/// company arrives.
pub const MAX_DEBT_TIME: u64 = 80_000_000;
/// What a vCPU gets that has its CPU for itself and no credit left: enough for one preemption, so that it is not ahead
/// of those who had no need to run meanwhile.
pub const ALONE_CREDIT: i64 = RATELIMIT as i64;
/// A waiting vCPU moves to another CPU's queue when it has this much more credit than what runs there.
pub const MIGRATE_RESIST: i64 = EPOCH_CREDIT / 4;
/// Period over which a cap is enforced, in nanoseconds.
pub const CAP_PERIOD: u64 = 10_000_000;
/// The smallest claim on a capped domain's budget: below it the domain waits for the next period, in nanoseconds.
pub const CAP_MIN_CLAIM: u64 = 100_000;

/// Credits that `ran` nanoseconds cost at a weight.
pub fn cost(ran: u64, weight: u16) -> i64 {
    let cost = u128::from(ran) * u128::from(DEFAULT_WEIGHT) / u128::from(weight.max(1));
    i64::try_from(cost).unwrap_or(i64::MAX)
}

/// How long `credit` lasts at a weight, in nanoseconds; 0 if there is none.
pub fn lasts(credit: i64, weight: u16) -> u64 {
    u64::try_from(credit)
        .unwrap_or(0)
        .saturating_mul(u64::from(weight))
        / u64::from(DEFAULT_WEIGHT)
}

/// A vCPU's credits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// Credits as of [`Self::epoch`].
    pub credit: i64,
    /// The last epoch whose grant is contained.
    pub epoch: u64,
}

impl Account {
    /// A full account.
    pub const fn new() -> Self {
        Self {
            credit: EPOCH_CREDIT,
            epoch: 0,
        }
    }

    /// Adds the grants of the epochs up to `epoch`.
    pub fn catch_up(&mut self, epoch: u64) {
        let missed = epoch.saturating_sub(self.epoch);
        if missed > 0 {
            let missed = i64::try_from(missed).unwrap_or(i64::MAX);
            self.credit = self
                .credit
                .saturating_add(missed.saturating_mul(EPOCH_CREDIT))
                .min(EPOCH_CREDIT);
            self.epoch = epoch;
        }
    }

    /// Takes what `ran` nanoseconds cost.
    pub fn burn(&mut self, ran: u64, weight: u16) {
        let floor = -cost(MAX_DEBT_TIME, weight);
        self.credit = self.credit.saturating_sub(cost(ran, weight)).max(floor);
    }

    /// Takes what `ran` nanoseconds cost while nobody else wanted the CPU: that is no debt.
    pub fn burn_alone(&mut self, ran: u64, weight: u16) {
        let floor = self.credit.min(0);
        self.credit = self.credit.saturating_sub(cost(ran, weight)).max(floor);
    }
}

impl Default for Account {
    fn default() -> Self {
        Self::new()
    }
}

/// How many epochs must begin for a vCPU with this credit to have some again.
pub fn epochs_needed(credit: i64) -> u64 {
    if credit > 0 {
        0
    } else {
        credit.unsigned_abs() / EPOCH_CREDIT as u64 + 1
    }
}

/// A domain's cap: percent of one pCPU, shared by its vCPUs; none when 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cap {
    percent: u16,
    left: i64,
    period_end: u64,
}

impl Cap {
    /// No cap.
    pub const fn new() -> Self {
        Self {
            percent: 0,
            left: 0,
            period_end: 0,
        }
    }

    /// Percent of one pCPU; 0 for none.
    pub fn percent(&self) -> u16 {
        self.percent
    }

    /// Changes the cap; the period in hand ends.
    pub fn set(&mut self, percent: u16) {
        *self = Self {
            percent,
            left: 0,
            period_end: 0,
        };
    }

    fn budget(&self) -> i64 {
        i64::from(self.percent) * (CAP_PERIOD as i64 / 100)
    }

    fn refill(&mut self, now: u64) {
        if now < self.period_end {
            return;
        }
        let periods = (now - self.period_end) / CAP_PERIOD + 1;
        let fresh = self
            .budget()
            .saturating_mul(i64::try_from(periods).unwrap_or(i64::MAX));
        self.left = self.left.saturating_add(fresh).min(self.budget());
        self.period_end = self
            .period_end
            .saturating_add(periods.saturating_mul(CAP_PERIOD));
    }

    /// Claims up to `want` nanoseconds of running. `Err` holds the time from which it is worth asking again.
    pub fn claim(&mut self, now: u64, want: u64) -> Result<u64, u64> {
        if self.percent == 0 {
            return Ok(want);
        }
        self.refill(now);
        // A cap below CAP_MIN_CLAIM per period saves up over several periods.
        if self.left < (CAP_MIN_CLAIM as i64).min(self.budget()) {
            return Err(self.period_end);
        }
        let granted = want.min(self.left.unsigned_abs());
        self.left -= granted as i64;
        Ok(granted)
    }

    /// Settles a claim: of `granted` nanoseconds `used` were run (possibly more).
    pub fn settle(&mut self, granted: u64, used: u64) {
        if self.percent != 0 {
            let unused = i64::try_from(granted).unwrap_or(i64::MAX)
                - i64::try_from(used).unwrap_or(i64::MAX);
            self.left = self.left.saturating_add(unused).min(self.budget());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn weight_divides_cost() {
        assert_eq!(cost(1000, 256), 1000);
        assert_eq!(cost(1000, 512), 500);
        assert_eq!(cost(1000, 128), 2000);
        assert_eq!(lasts(500, 512), 1000);
        assert_eq!(lasts(-5, 512), 0);
        // A weight of zero cannot be set, but must not divide by zero either.
        assert_eq!(cost(1, 0), 256);
    }

    #[test]
    fn sleepers_do_not_save_up() {
        let mut account = Account::new();
        account.catch_up(1_000_000);
        assert_eq!(account.credit, EPOCH_CREDIT);
        account.burn(u64::MAX, 1);
        account.catch_up(u64::MAX);
        assert_eq!(account.credit, EPOCH_CREDIT);
    }

    #[test]
    fn debt_is_bounded() {
        let mut account = Account::new();
        account.burn(3_600_000_000_000, DEFAULT_WEIGHT);
        assert_eq!(account.credit, -(MAX_DEBT_TIME as i64));
        account.catch_up(account.epoch + epochs_needed(account.credit));
        assert!(account.credit > 0);
    }

    proptest! {
        #[test]
        fn a_capped_domain_never_exceeds_its_share(
            percent in 1u16..400,
            steps in proptest::collection::vec((1u64..5_000_000, 1u64..20_000_000), 1..400),
        ) {
            let mut cap = Cap::new();
            cap.set(percent);
            let (mut now, mut used) = (CAP_PERIOD, 0);
            for (wait, want) in steps {
                match cap.claim(now, want) {
                    Ok(granted) => {
                        // A share above 100% needs several vCPUs; one claim at a time is the lower bound here.
                        let run = granted.min(want);
                        cap.settle(granted, run);
                        used += run;
                        now += run.min(wait);
                    }
                    Err(until) => {
                        prop_assert!(until > now);
                        now = until;
                    }
                }
            }
            let periods = now / CAP_PERIOD + 1;
            prop_assert!(used <= periods * u64::from(percent) * (CAP_PERIOD / 100));
        }
    }
}
