//! Which I/O ports a domain may touch: a sorted list of ranges.

use alloc::vec::Vec;

/// Ranges of ports, first and last inclusive, sorted, apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortSet(Vec<(u16, u16)>);

impl PortSet {
    /// No ports.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Whether all ports of `first..=last` are in the set.
    pub fn contains(&self, first: u16, last: u16) -> bool {
        let at = self.0.partition_point(|r| r.1 < first);
        self.0.get(at).is_some_and(|r| r.0 <= first && last <= r.1)
    }

    /// Adds `first..=last`. Nothing happens if `first > last`.
    pub fn insert(&mut self, first: u16, last: u16) {
        if first > last {
            return;
        }
        let (mut low, mut high) = (first, last);
        self.0.retain(|&(a, b)| {
            // Ranges that touch are merged.
            let apart = u32::from(b) + 1 < u32::from(first) || u32::from(last) + 1 < u32::from(a);
            if !apart {
                low = low.min(a);
                high = high.max(b);
            }
            apart
        });
        let at = self.0.partition_point(|r| r.0 < low);
        self.0.insert(at, (low, high));
    }

    /// Takes `first..=last` out.
    pub fn remove(&mut self, first: u16, last: u16) {
        if first > last {
            return;
        }
        let mut rest = Vec::with_capacity(self.0.len() + 1);
        for &(a, b) in &self.0 {
            if b < first || last < a {
                rest.push((a, b));
                continue;
            }
            if a < first {
                rest.push((a, first - 1));
            }
            if b > last {
                rest.push((last + 1, b));
            }
        }
        self.0 = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn behaves_like_a_set_of_numbers(steps in proptest::collection::vec((proptest::bool::ANY, 0_u16..64, 0_u16..64), 0..40)) {
            let shift = |n: u16| if n >= 60 { n + (u16::MAX - 63) } else { n };
            let (mut set, mut model) = (PortSet::new(), std::collections::BTreeSet::new());
            for (add, a, b) in steps {
                if add { set.insert(shift(a), shift(b)) } else { set.remove(shift(a), shift(b)) }
                for n in a..=b {
                    if add { model.insert(shift(n)); } else { model.remove(&shift(n)); }
                }
                // The range between the two clusters follows its neighbours only when spanned.
                if a < 60 && b >= 60 {
                    for n in 60..=shift(60) - 1 {
                        if add { model.insert(n); } else { model.remove(&n); }
                    }
                }
                for n in (0..64).map(shift) {
                    proptest::prop_assert_eq!(set.contains(n, n), model.contains(&n));
                }
                for pair in set.0.windows(2) {
                    proptest::prop_assert!(u32::from(pair[0].1) + 1 < u32::from(pair[1].0));
                }
            }
        }
    }

    #[test]
    fn the_last_port() {
        let mut set = PortSet::new();
        set.insert(0, u16::MAX);
        set.remove(u16::MAX, u16::MAX);
        assert!(set.contains(0, u16::MAX - 1) && !set.contains(u16::MAX, u16::MAX));
        set.remove(0, 0);
        assert!(!set.contains(0, 1) && set.contains(1, 2));
    }
}
