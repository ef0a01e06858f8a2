//! Sets of processors as ranges.

/// The first `bits` bits of `map`: `0-2,5`; `all` and `none` if so.
pub(super) fn ranges(map: &[u8], bits: u32) -> String {
    let is_set = |bit: u32| {
        let byte = map.get((bit / 8) as usize).copied().unwrap_or(0);
        byte & (1 << (bit % 8)) != 0
    };
    let mut parts = Vec::new();
    let mut bit = 0;
    while bit < bits {
        if !is_set(bit) {
            bit += 1;
            continue;
        }
        let first = bit;
        while bit < bits && is_set(bit) {
            bit += 1;
        }
        let last = bit - 1;
        if first == 0 && bit == bits {
            return "all".into();
        }
        parts.push(if last > first {
            format!("{first}-{last}")
        } else {
            first.to_string()
        });
    }
    if parts.is_empty() {
        return "none".into();
    }
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_singles_and_the_two_words() {
        assert_eq!(ranges(&[0b0010_0111], 8), "0-2,5");
        assert_eq!(ranges(&[0b1000_0000, 0b1], 9), "7-8");
        assert_eq!(ranges(&[0xff, 0xff], 4), "all");
        assert_eq!(ranges(&[0xf0], 4), "none");
        assert_eq!(ranges(&[0b1], 1), "all");
        assert_eq!(ranges(&[0b10], 2), "1");
        assert_eq!(ranges(&[], 3), "none");
    }
}
