//! Virtual block devices by name and by number (Xen `xen-vbd-interface(7)`).
//!
//! The number is what frontend and backend know a disk by; the name is what people write and
//! what `block-list` prints. Several names may stand for one number (`xvda`, `d0p0`, `51712`).

use std::fmt;

/// Numbers above this bit carry a disk below 2^20 and a partition below 256.
const EXTENDED: u32 = 1 << 28;
const XVD_MAJOR: u32 = 202;
const SD_MAJOR: u32 = 8;
const IDE_MAJORS: [u32; 2] = [3, 22];

/// A virtual device: the name it was given and the number that stands for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualDevice {
    name: String,
    number: u32,
}

/// Why a name is no virtual device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown(String);

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}' is no virtual device: xvda and up, sda to sdp, hda to hdd, each with a partition \
             number if wanted, dNpM, or a number",
            self.0
        )
    }
}

impl std::error::Error for Unknown {}

impl VirtualDevice {
    /// A device by its name; `/dev/` in front is ignored, as old configuration files have it.
    ///
    /// # Errors
    /// [`Unknown`] if no number stands for it.
    pub fn parse(text: &str) -> Result<Self, Unknown> {
        let name = text.strip_prefix("/dev/").unwrap_or(text);
        let number = number_of(name).ok_or_else(|| Unknown(text.to_owned()))?;
        Ok(Self {
            name: name.to_owned(),
            number,
        })
    }

    /// As it was written.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What frontend and backend call it.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }
}

/// The number behind a name.
#[must_use]
pub fn number_of(name: &str) -> Option<u32> {
    if let Some((disk, partition)) = disk_and_partition(name)
        .or_else(|| lettered(name, "xvd", (1 << 20) - 1, 255))
        .filter(|&(disk, partition)| disk < 1 << 20 && partition < 256)
    {
        return Some(if disk <= 15 && partition <= 15 {
            XVD_MAJOR << 8 | disk << 4 | partition
        } else {
            EXTENDED | disk << 8 | partition
        });
    }
    if let Some(number) = plain_number(name) {
        return Some(number);
    }
    if let Some((disk, partition)) = lettered(name, "hd", 3, 63) {
        let major = IDE_MAJORS[usize::from(disk >= 2)];
        return Some(major << 8 | (disk & 1) << 6 | partition);
    }
    let (disk, partition) = lettered(name, "sd", 15, 15)?;
    Some(SD_MAJOR << 8 | disk << 4 | partition)
}

/// The name that Linux gives the device with this number, as `xl block-list` does without one.
#[must_use]
pub fn name_of(number: u32) -> String {
    let (minor, parts) = if number & EXTENDED == 0 {
        (number & 0xff, 16)
    } else {
        (number & !EXTENDED, 256)
    };
    let mut name = String::from("xvd");
    name.push_str(&letters(minor / parts));
    if minor % parts != 0 {
        name.push_str(&(minor % parts).to_string());
    }
    name
}

/// `d<disk>p<partition>`.
fn disk_and_partition(name: &str) -> Option<(u32, u32)> {
    let (disk, partition) = name.strip_prefix('d')?.split_once('p')?;
    Some((plain_number(disk)?, plain_number(partition)?))
}

/// A number as C's `strtoul` with base 0 reads it, positive as an `int`.
fn plain_number(text: &str) -> Option<u32> {
    let digits = |text: &str, radix| {
        // `from_str_radix` would take a sign.
        let all_digits = text.chars().all(|c| c.is_digit(radix));
        (all_digits && !text.is_empty()).then(|| u32::from_str_radix(text, radix).ok())?
    };
    let hexadecimal = text
        .strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .map(|rest| digits(rest, 16));
    let octal = || text.strip_prefix('0').filter(|rest| !rest.is_empty());
    hexadecimal
        .unwrap_or_else(|| match octal() {
            Some(rest) => digits(rest, 8),
            None => digits(text, 10),
        })
        .filter(|&number| i32::try_from(number).is_ok())
}

/// A prefix, a disk in letters and perhaps a partition, each up to its limit.
fn lettered(name: &str, prefix: &str, last_disk: u32, last_part: u32) -> Option<(u32, u32)> {
    let rest = name.strip_prefix(prefix)?;
    let letters = rest.len()
        - rest
            .trim_start_matches(|c: char| c.is_ascii_lowercase())
            .len();
    let (letters, part) = rest.split_at(letters);
    if letters.is_empty() {
        return None;
    }
    let mut disk = 0u32;
    for (place, letter) in letters.bytes().enumerate() {
        // A letter after another counts from the end of the shorter names: z, then aa.
        let carried = if place == 0 { 0 } else { disk.checked_add(1)? };
        disk = carried
            .checked_mul(26)?
            .checked_add(u32::from(letter - b'a'))?;
        if disk > last_disk {
            return None;
        }
    }
    if part.is_empty() {
        return Some((disk, 0));
    }
    if part.starts_with('0') || !part.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let part: u32 = part.parse().ok()?;
    (part <= last_part).then_some((disk, part))
}

/// A disk in letters: 0 is a, 25 is z, 26 is aa.
fn letters(disk: u32) -> String {
    let mut reversed = Vec::new();
    let mut left = Some(disk);
    while let Some(now) = left {
        reversed.push(char::from(b'a' + (now % 26) as u8));
        left = (now / 26).checked_sub(1);
    }
    reversed.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_those_of_the_interface_description() {
        for (name, number) in [
            ("xvda", 51712),
            ("xvda1", 51713),
            ("xvdb", 51728),
            ("xvdp15", 202 << 8 | 15 << 4 | 15),
            ("xvdq", 1 << 28 | 16 << 8),
            ("xvda16", 1 << 28 | 16),
            ("xvdaa", 1 << 28 | 26 << 8),
            ("d0p0", 51712),
            ("d26p3", 1 << 28 | 26 << 8 | 3),
            ("hda", 768),
            ("hdb", 832),
            ("hdc", 5632),
            ("hdd3", 5632 + 64 + 3),
            ("sda", 2048),
            ("sdp15", 8 << 8 | 255),
            ("51712", 51712),
            ("0xca00", 51712),
            ("0145000", 51712),
        ] {
            assert_eq!(number_of(name), Some(number), "{name}");
        }
    }

    #[test]
    fn what_is_no_device_is_refused() {
        for name in [
            "",
            "xvd",
            "xvd1",
            "hde",
            "sdq",
            "sda16",
            "hda64",
            "xvda256",
            "xvda01",
            "xvda-1",
            "xvdA",
            "d1",
            "dp",
            "d1p256",
            "d1048576p0",
            "xvdzzzzzzzzzzz",
            "-1",
            "+5",
            "2147483648",
            "0x",
            "xvda ",
            "vda",
            "fd0",
        ] {
            assert_eq!(number_of(name), None, "{name}");
        }
        let message = VirtualDevice::parse("vda").unwrap_err().to_string();
        assert!(
            message.starts_with("`vda' is no virtual device"),
            "{message}"
        );
        assert_eq!(VirtualDevice::parse("/dev/xvda").unwrap().name(), "xvda");
    }

    proptest! {
        #[test]
        fn numbering_then_naming_gives_the_same_number(disk in 0u32..1 << 20, part in 0u32..256) {
            let number = number_of(&format!("d{disk}p{part}")).unwrap();
            prop_assert_eq!(number_of(&name_of(number)), Some(number));
        }

        #[test]
        fn any_text_is_answered(text in ".*") {
            let _ = number_of(&text);
        }
    }
}
