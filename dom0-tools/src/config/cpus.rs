//! Lists of processors: `all`, `0-3,5,^2`.

/// A set of processor numbers, below [`MOST`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpus(Vec<u8>);

/// Far beyond any machine that Xen runs on.
pub const MOST: u32 = 4096;

impl Cpus {
    /// Parses a list; `count` is how many processors `all` means.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, count: u32) -> Result<Self, String> {
        let mut set = Self::default();
        let mut excluded = Self::default();
        for part in text.split(',').map(str::trim) {
            let (part, into) = match part.strip_prefix('^') {
                Some(part) => (part, &mut excluded),
                None => (part, &mut set),
            };
            if part == "all" || part == "any" {
                into.add(0, count.saturating_sub(1))?;
                continue;
            }
            if part.starts_with("node") {
                return Err(format!(
                    "\"{part}\": NUMA nodes are not understood here: name processors"
                ));
            }
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| {
                let number = text
                    .trim()
                    .parse::<u32>()
                    .ok()
                    .filter(|number| *number < MOST);
                number.ok_or_else(|| format!("\"{part}\" is no processor"))
            };
            into.add(number(first)?, number(last)?)?;
        }
        for (byte, excluded) in set.0.iter_mut().zip(&excluded.0) {
            *byte &= !excluded;
        }
        if set.is_empty() {
            return Err("no processor is left".into());
        }
        Ok(set)
    }

    fn add(&mut self, first: u32, last: u32) -> Result<(), String> {
        if first > last {
            return Err(format!("{first}-{last} goes backwards"));
        }
        for cpu in first..=last {
            let byte = (cpu / 8) as usize;
            if self.0.len() <= byte {
                self.0.resize(byte + 1, 0);
            }
            self.0[byte] |= 1 << (cpu % 8);
        }
        Ok(())
    }

    /// Whether none is in it.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }

    /// Bit by bit, at least as many as `count`.
    pub fn bits(&self, count: u32) -> Vec<u8> {
        let mut bits = self.0.clone();
        bits.resize(bits.len().max(count.div_ceil(8) as usize), 0);
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_exceptions() {
        let bits = |text| Cpus::parse(text, 4).map(|cpus| cpus.bits(8)[0]);
        assert_eq!(bits("all"), Ok(0b1111));
        assert_eq!(bits("0-2,^1"), Ok(0b101));
        assert_eq!(bits("7"), Ok(0b1000_0000));
        assert_eq!(bits("all,^0"), Ok(0b1110));
        assert!(bits("3-1").is_err());
        assert!(bits("x").is_err());
        assert!(bits("1,^1").is_err());
        assert!(bits("5000").is_err());
        assert!(bits("").is_err());
    }
}
