//! MAC addresses of virtual network interfaces.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};

/// The vendor part that belongs to Xen guests.
pub const XEN_OUI: [u8; 3] = [0x00, 0x16, 0x3e];

/// A MAC address that an interface may bear: neither a group's nor nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac([u8; 6]);

/// Why a text is no address for an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Not six numbers of up to two hexadecimal digits between colons.
    Shape(String),
    /// A group (multicast or broadcast) address: its first number is odd.
    Group(String),
    /// All zero.
    Zero,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shape(text) => write!(
                f,
                "`{text}' is no MAC address: six pairs of hexadecimal digits between colons, as in \
                 00:16:3e:12:34:56"
            ),
            Self::Group(text) => write!(
                f,
                "`{text}' is a multicast address, which no interface can bear: its first pair must \
                 be even, as in 00:16:3e:12:34:56"
            ),
            Self::Zero => write!(f, "a MAC address of all zeros is nobody's"),
        }
    }
}

impl std::error::Error for Unfit {}

impl Mac {
    /// Reads an address, in upper or lower case.
    ///
    /// # Errors
    /// [`Unfit`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Unfit> {
        let shape = || Unfit::Shape(text.to_owned());
        let mut bytes = [0u8; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or_else(shape)?;
            let digits = part.bytes().all(|c| c.is_ascii_hexdigit());
            if !digits || part.len() > 2 {
                return Err(shape());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| shape())?;
        }
        if parts.next().is_some() {
            return Err(shape());
        }
        if bytes == [0; 6] {
            return Err(Unfit::Zero);
        }
        if bytes[0] & 1 != 0 {
            return Err(Unfit::Group(text.to_owned()));
        }
        Ok(Self(bytes))
    }

    /// A random address in Xen's own range.
    ///
    /// # Errors
    /// Those of reading the kernel's random numbers.
    pub fn generate() -> io::Result<Self> {
        let mut random = [0u8; 3];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        Ok(Self::of_xen(random))
    }

    /// An address in Xen's range; the upper half of the range is left to administrators.
    #[must_use]
    pub fn of_xen([high, middle, low]: [u8; 3]) -> Self {
        let [a, b, c] = XEN_OUI;
        Self([a, b, c, high & 0x7f, middle, low])
    }

    /// Its six bytes, as they go over the wire.
    #[must_use]
    pub fn bytes(self) -> [u8; 6] {
        self.0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_read_in_any_case_and_printed_in_one() {
        let mac = Mac::parse("00:16:3E:74:3d:6").unwrap();
        assert_eq!(mac.to_string(), "00:16:3e:74:3d:06");
    }

    #[test]
    fn unfit_addresses_are_refused_with_the_reason() {
        for text in [
            "",
            "1",
            "00:16:3e:00:00",
            "00:16:3e:00:00:00:00",
            "00:16:3e:00:00:+1",
            "00:16:3e:00:00:",
        ] {
            assert!(matches!(Mac::parse(text), Err(Unfit::Shape(_))), "{text}");
        }
        assert!(matches!(
            Mac::parse("01:00:5e:00:00:01"),
            Err(Unfit::Group(_))
        ));
        assert_eq!(Mac::parse("0:0:0:0:0:0"), Err(Unfit::Zero));
    }

    #[test]
    fn generated_addresses_are_xens_and_differ() {
        let (one, other) = (Mac::generate().unwrap(), Mac::generate().unwrap());
        assert_eq!(one.bytes()[..3], XEN_OUI);
        assert!(one.bytes()[3] < 0x80);
        assert_ne!(one, other);
    }

    proptest! {
        #[test]
        fn printing_then_reading_is_the_same(bytes in any::<[u8; 3]>()) {
            let mac = Mac::of_xen(bytes);
            prop_assert_eq!(Mac::parse(&mac.to_string()), Ok(mac));
        }

        #[test]
        fn any_text_is_answered(text in ".*") {
            let _ = Mac::parse(&text);
        }
    }
}
