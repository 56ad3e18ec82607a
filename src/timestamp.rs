//! A moment, in microseconds since 1970-01-01T00:00:00Z.
//!
//! Holds no clock (see `clock`) and knows no time zones: reading local times is the business of
//! whoever has them.

#![forbid(unsafe_code)]

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment in microseconds since the Unix epoch, before it when negative.
///
/// Displayed as RFC 3339 in UTC with six digits of the second. Years before 0 and after 9999, of which RFC 3339
/// does not speak, have a sign and six digits, as in ISO 8601 and ECMA-262: `-000044-03-15T12:00:00.000000Z`.
///
/// # Examples
///
/// ```
/// use annals::Timestamp;
///
/// let moment = Timestamp::from_micros(1_317_422_324_546_000);
/// assert_eq!(moment.to_string(), "2011-09-30T22:38:44.546000Z");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

impl Timestamp {
    /// The earliest moment that can be represented.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest moment that can be represented.
    pub const MAX: Self = Self(i64::MAX);

    /// Wraps a count of microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns the count of microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Returns the moment `duration` later, stopping at the latest.
    #[must_use]
    pub fn later_by(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros_of(duration)))
    }

    /// Returns the moment `duration` earlier, stopping at the earliest.
    #[must_use]
    pub fn earlier_by(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros_of(duration)))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(micros_of(after)),
            Err(before) => Self(micros_of(before.duration()).saturating_neg()),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(MICROS_PER_SECOND);
        let micros = self.0.rem_euclid(MICROS_PER_SECOND);
        let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
        let second = seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        match year {
            0..=9999 => write!(f, "{year:04}")?,
            _ => write!(f, "{year:+07}")?,
        }
        write!(f, "-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
    }
}

fn micros_of(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Turns days since 1970-01-01 into year, month and day of the Gregorian calendar.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_displayed_in_rfc_3339_on_both_sides_of_the_epoch() {
        let shown = |micros| Timestamp::from_micros(micros).to_string();
        assert_eq!(shown(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(shown(-1), "1969-12-31T23:59:59.999999Z");
        assert_eq!(shown(951_782_400_000_000), "2000-02-29T00:00:00.000000Z");
        assert_eq!(shown(1_709_251_199_000_001), "2024-02-29T23:59:59.000001Z");
    }

    /// Years of three digits and of six without a sign were once printed, which nothing reads.
    #[test]
    fn years_that_four_digits_do_not_hold_have_a_sign_and_six() {
        let shown = |micros| Timestamp::from_micros(micros).to_string();
        assert_eq!(shown(-62_167_219_200_000_000), "0000-01-01T00:00:00.000000Z");
        assert_eq!(shown(-62_167_219_200_000_001), "-000001-12-31T23:59:59.999999Z");
        assert_eq!(shown(253_402_300_799_999_999), "9999-12-31T23:59:59.999999Z");
        assert_eq!(shown(253_402_300_800_000_000), "+010000-01-01T00:00:00.000000Z");
        assert_eq!(Timestamp::MIN.to_string(), "-290308-12-21T19:59:05.224192Z");
        assert_eq!(Timestamp::MAX.to_string(), "+294247-01-10T04:00:54.775807Z");
    }

    #[test]
    fn a_moment_before_the_epoch_converts_from_system_time() {
        let before = UNIX_EPOCH - Duration::from_secs(2);
        assert_eq!(Timestamp::from(before).as_micros(), -2_000_000);
    }
}
