//! Amounts of memory and the `dom0_mem=` option (Xen docs/misc/xen-command-line, "Size", `dom0_mem`).

/// A number with an optional unit suffix (B, K, M, G, T; without one K), in bytes, and what follows it.
pub fn size(text: &str) -> Option<(u64, &str)> {
    let (digits, radix) = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(hex) => (hex, 16),
        None => (text, 10),
    };
    let end = digits
        .find(|c: char| !c.is_digit(radix))
        .unwrap_or(digits.len());
    let (number, rest) = digits.split_at(end);
    let value = u64::from_str_radix(number, radix).ok()?;
    let (shift, rest) = match rest.as_bytes().first().map(u8::to_ascii_uppercase) {
        Some(b'T') => (40, &rest[1..]),
        Some(b'G') => (30, &rest[1..]),
        Some(b'M') => (20, &rest[1..]),
        Some(b'K') => (10, &rest[1..]),
        Some(b'B') => (0, &rest[1..]),
        // A percentage is a bare number.
        Some(b'%') => (0, rest),
        _ => (10, rest),
    };
    Some((value.checked_mul(1 << shift)?, rest))
}

/// An amount relative to the memory that is available.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Amount {
    /// Bytes.
    pub bytes: u64,
    /// Hundredths of what is available, on top.
    pub percent: u32,
    /// The sum is left to others instead of taken.
    pub minus: bool,
}

impl Amount {
    fn parse(text: &str) -> Option<Self> {
        let mut amount = Self::default();
        let mut text = text;
        if let Some(rest) = text.strip_prefix('-') {
            amount.minus = true;
            text = rest;
        }
        let (value, rest) = size(text)?;
        let rest = match rest.strip_prefix('%') {
            Some(rest) => {
                amount.percent = u32::try_from(value).ok().filter(|&p| p < 100)?;
                return rest.is_empty().then_some(amount);
            }
            None => rest,
        };
        amount.bytes = value;
        match rest.strip_prefix('+') {
            Some(percent) => {
                let value = percent.strip_suffix('%')?.parse().ok();
                amount.percent = value.filter(|&p| p < 100)?;
                Some(amount)
            }
            None => rest.is_empty().then_some(amount),
        }
    }

    /// The amount in pages, of `available` pages.
    pub fn pages(&self, available: u64) -> u64 {
        let share = (u128::from(available) * u128::from(self.percent) / 100) as u64;
        let pages = (self.bytes >> arch::addr::PAGE_SHIFT).saturating_add(share);
        if self.minus {
            available.saturating_sub(pages)
        } else {
            pages
        }
    }
}

/// `dom0_mem=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Dom0Memory {
    /// What dom0 shall have; all but a reserve if not given.
    pub amount: Option<Amount>,
    /// At least this much.
    pub min: Option<Amount>,
    /// At most this much, also later by ballooning.
    pub max: Option<Amount>,
}

/// Pages kept for the hypervisor and its guests' needs when `dom0_mem` names no amount: a sixteenth, up to 128 MiB.
const RESERVE_PAGES: u64 = (128 << 20) >> arch::addr::PAGE_SHIFT;

impl Dom0Memory {
    /// Parses a comma-separated list of `<amount>`, `min:<amount>`, `max:<amount>`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut memory = Self::default();
        for word in text.split(',') {
            let (slot, amount) = if let Some(rest) = word.strip_prefix("min:") {
                (&mut memory.min, rest)
            } else if let Some(rest) = word.strip_prefix("max:") {
                (&mut memory.max, rest)
            } else {
                (&mut memory.amount, word)
            };
            *slot = Some(Amount::parse(amount)?);
        }
        Some(memory)
    }

    /// How many pages dom0 gets of `available`, and the most it may ever have.
    pub fn pages(&self, available: u64) -> (u64, u64) {
        let wanted = self.amount.map_or(0, |a| a.pages(available));
        let wanted = match wanted {
            0 => available - RESERVE_PAGES.min(available / 16),
            pages => pages,
        };
        let max = self.max.map_or(u64::MAX, |a| a.pages(available));
        let min = self.min.map_or(0, |a| a.pages(available));
        // Before `max`, so that a minimum above the maximum does not count.
        (wanted.max(min).min(max).min(available), max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 256;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("512"), Some((512 << 10, "")));
        assert_eq!(size("512M,x"), Some((512 << 20, ",x")));
        assert_eq!(size("0x10g"), Some((16 << 30, "")));
        assert_eq!(size("7B"), Some((7, "")));
        assert_eq!(size("3T"), Some((3 << 40, "")));
        assert_eq!(size(""), None);
        assert_eq!(size("M"), None);
        assert_eq!(size("99999999999T"), None);
    }

    #[test]
    fn dom0_mem_follows_the_documented_rules() {
        let pages = |text: &str| Dom0Memory::parse(text).map(|m| m.pages(4096 * MIB).0);
        assert_eq!(pages("512M"), Some(512 * MIB));
        assert_eq!(pages("-512M"), Some(3584 * MIB));
        assert_eq!(pages("max:1G"), Some(1024 * MIB));
        assert_eq!(pages("512M,max:1G"), Some(512 * MIB));
        assert_eq!(pages("2G,max:1G"), Some(1024 * MIB));
        assert_eq!(pages("min:1G,max:2G,512M"), Some(1024 * MIB));
        assert_eq!(pages("min:2G,max:1G,512M"), Some(1024 * MIB));
        assert_eq!(pages("8G"), Some(4096 * MIB));
        assert_eq!(pages("50%"), Some(2048 * MIB));
        assert_eq!(pages("1G+25%"), Some(2048 * MIB));
        assert_eq!(pages("-25%"), Some(3072 * MIB));
        assert_eq!(pages("-8G"), Some(3968 * MIB));
        assert_eq!(
            Dom0Memory::parse("512M,max:1G").map(|m| m.pages(4096 * MIB).1),
            Some(1024 * MIB)
        );
        // Without an amount, a reserve is left.
        assert_eq!(
            Dom0Memory::default().pages(4096 * MIB),
            (3968 * MIB, u64::MAX)
        );
        assert_eq!(Dom0Memory::default().pages(160 * MIB).0, 150 * MIB);
        for bad in [
            "", "512X", "512M,", "max:", "100%", "5%+1G", "1G+2G", "--1G", "1G+",
        ] {
            assert_eq!(Dom0Memory::parse(bad), None, "{bad}");
        }
    }
}
