//! The CMOS clock (Motorola MC146818) and the civil calendar.

use crate::hw;

/// A date and time as the CMOS clock shows it (UTC by convention).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DateTime {
    /// Full year.
    pub year: u32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

impl DateTime {
    /// The date of so many seconds since 1970-01-01 00:00:00 UTC.
    #[must_use]
    pub fn from_unix_seconds(seconds: u64) -> Self {
        let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
        // Eras of 400 years, years that begin in March.
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let (month, carry) = if month < 10 {
            (month + 3, 0)
        } else {
            (month - 9, 1)
        };
        Self {
            year: u32::try_from(era * 400 + year + carry).unwrap_or(u32::MAX),
            month: month as u8,
            day: (day - (153 * ((month + 9) % 12) + 2) / 5 + 1) as u8,
            hour: (second / 3600) as u8,
            minute: (second / 60 % 60) as u8,
            second: (second % 60) as u8,
        }
    }

    /// Seconds since 1970-01-01 00:00:00 UTC; `None` for a date that does not exist or lies before.
    pub fn unix_seconds(&self) -> Option<u64> {
        let leap = self.year.is_multiple_of(4) && !self.year.is_multiple_of(100)
            || self.year.is_multiple_of(400);
        let days_in_month = match self.month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 => 28 + u8::from(leap),
            _ => return None,
        };
        if !(1..=days_in_month).contains(&self.day)
            || self.hour > 23
            || self.minute > 59
            || self.second > 59
        {
            return None;
        }
        // Years that begin in March put the leap day at the end.
        let (month, year) = (u64::from(self.month), u64::from(self.year));
        let (month, year) = if month > 2 {
            (month - 3, year)
        } else {
            (month + 9, year.checked_sub(1)?)
        };
        let day_of_year = (153 * month + 2) / 5 + u64::from(self.day) - 1;
        let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
        let days = days.checked_sub(719_468)?;
        Some(
            days * 86_400
                + u64::from(self.hour) * 3600
                + u64::from(self.minute) * 60
                + u64::from(self.second),
        )
    }
}

const STATUS_A: u8 = 10;
const STATUS_B: u8 = 11;
const UPDATE_IN_PROGRESS: u8 = 0x80;

fn cmos(index: u8) -> u8 {
    // Bit 7 of the index port would block NMIs.
    hw::outb(0x70, index & 0x7f);
    hw::inb(0x71)
}

/// Reads the clock; `century` is the CMOS index of the century (0: none). `None` when it shows nonsense.
pub fn read(century: u8) -> Option<DateTime> {
    let registers = [
        0,
        2,
        4,
        7,
        8,
        9,
        STATUS_B,
        if century == 0 { 9 } else { century },
    ];
    let sample = || {
        // An update lasts 2 ms at most; a clock that is not there floats at 0xff.
        for _ in 0..10_000 {
            if cmos(STATUS_A) & UPDATE_IN_PROGRESS == 0 {
                break;
            }
        }
        registers.map(cmos)
    };
    let mut last = sample();
    for _ in 0..5 {
        let again = sample();
        if again == last {
            return decode(again, century != 0);
        }
        last = again;
    }
    None
}

/// Interprets second, minute, hour, day, month, year, status B and century registers.
fn decode(raw: [u8; 8], has_century: bool) -> Option<DateTime> {
    let [second, minute, hour, day, month, year, status, century] = raw;
    let binary = status & 4 != 0;
    let number = |value: u8| {
        if binary {
            Some(value)
        } else {
            (value & 0xf < 10 && value >> 4 < 10).then(|| (value >> 4) * 10 + (value & 0xf))
        }
    };
    let hour = if status & 2 != 0 {
        number(hour)?
    } else {
        let twelve = number(hour & 0x7f)?;
        if !(1..=12).contains(&twelve) {
            return None;
        }
        twelve % 12 + if hour & 0x80 != 0 { 12 } else { 0 }
    };
    let short_year = u32::from(number(year)?);
    let year = match number(century).filter(|c| has_century && (19..=99).contains(c)) {
        Some(century) => u32::from(century) * 100 + short_year,
        None if short_year < 70 => 2000 + short_year,
        None => 1900 + short_year,
    };
    let date = DateTime {
        year,
        month: number(month)?,
        day: number(day)?,
        hour,
        minute: number(minute)?,
        second: number(second)?,
    };
    date.unix_seconds().map(|_| date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_seconds_are_inverse() {
        for days in (0..200_000).step_by(13) {
            let seconds = days * 86_400 + days % 86_399;
            let date = DateTime::from_unix_seconds(seconds);
            assert_eq!(date.unix_seconds(), Some(seconds), "{date:?}");
        }
        let leap = DateTime::from_unix_seconds(951_782_400);
        assert_eq!((leap.year, leap.month, leap.day), (2000, 2, 29));
    }

    fn at(year: u32, month: u8, day: u8, hour: u8, minute: u8, second: u8) -> Option<u64> {
        DateTime {
            year,
            month,
            day,
            hour,
            minute,
            second,
        }
        .unix_seconds()
    }

    #[test]
    fn known_instants() {
        assert_eq!(at(1970, 1, 1, 0, 0, 0), Some(0));
        assert_eq!(at(1999, 12, 31, 23, 59, 59), Some(946_684_799));
        assert_eq!(at(2000, 2, 29, 12, 0, 0), Some(951_825_600));
        assert_eq!(at(2026, 11, 21, 3, 0, 0), Some(1_795_230_000));
        assert_eq!(at(2038, 1, 19, 3, 14, 8), Some(1 << 31));
        assert_eq!(at(2100, 3, 1, 0, 0, 0), Some(4_107_542_400));
    }

    #[test]
    fn consecutive_days_over_four_centuries() {
        let mut expected = 0;
        for year in 1970..2400 {
            for month in 1..=12 {
                for day in 1..=31 {
                    if let Some(seconds) = at(year, month, day, 0, 0, 0) {
                        assert_eq!(seconds, expected, "{year}-{month}-{day}");
                        expected += 86_400;
                    }
                }
            }
        }
    }

    #[test]
    fn impossible_dates() {
        for (y, m, d) in [
            (1969, 12, 31),
            (2023, 2, 29),
            (2100, 2, 29),
            (2024, 0, 1),
            (2024, 13, 1),
            (2024, 4, 31),
            (2024, 1, 0),
            (0, 1, 1),
        ] {
            assert_eq!(at(y, m, d, 0, 0, 0), None, "{y}-{m}-{d}");
        }
        assert_eq!(at(2024, 1, 1, 24, 0, 0), None);
        assert_eq!(at(2024, 1, 1, 0, 60, 0), None);
    }

    #[test]
    fn cmos_encodings() {
        let bcd = decode([0x59, 0x30, 0x23, 0x21, 0x11, 0x26, 2, 0x20], true).unwrap();
        assert_eq!(
            (
                bcd.year, bcd.month, bcd.day, bcd.hour, bcd.minute, bcd.second
            ),
            (2026, 11, 21, 23, 30, 59)
        );
        let binary = decode([59, 30, 0x80 | 12, 21, 11, 26, 4, 0], false).unwrap();
        assert_eq!((binary.year, binary.hour), (2026, 12));
        assert_eq!(
            decode([0, 0, 0x12, 1, 1, 0x99, 0, 0], false).unwrap().hour,
            0
        );
        assert_eq!(
            decode([0, 0, 0x12, 1, 1, 0x99, 0, 0], false).unwrap().year,
            1999
        );
        assert_eq!(decode([0xff; 8], true), None);
        assert_eq!(decode([0x1a, 0, 0, 1, 1, 0, 2, 0x20], true), None);
        assert_eq!(decode([0, 0, 0x13, 1, 1, 0, 0, 0x20], true), None);
    }
}
