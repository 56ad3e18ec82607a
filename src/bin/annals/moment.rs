//! Moments in text: RFC 3339 with an offset, as in files and on the command line.
//!
//! `jiff` knows the years from -9999 to 9999 and forms of time that are not in RFC 3339. A store knows
//! every moment that 64 bits of microseconds hold, and prints those of other years with a sign and six digits
//! (ECMA-262, "Expanded Years"). So what has the usual form is read here, for every year, and the rest by `jiff`.

use annals::Timestamp;

const MICROS_PER_SECOND: i128 = 1_000_000;
const NANOS_PER_MICRO: i128 = 1_000;

/// Reads a moment; what is finer than a microsecond is cut off, toward the past.
///
/// A text without an offset is refused: it names no moment.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    if let Some(micros) = usual(text) {
        let micros = i64::try_from(micros).map_err(|_| out_of_range());
        return micros.map(Timestamp::from_micros);
    }
    match text.parse::<jiff::Timestamp>() {
        Ok(moment) => {
            let micros = moment.as_nanosecond().div_euclid(NANOS_PER_MICRO);
            i64::try_from(micros).map(Timestamp::from_micros).map_err(|_| out_of_range())
        }
        Err(error) => Err(format!("not a time in RFC 3339 with an offset: {error}")),
    }
}

fn out_of_range() -> String {
    format!("a store holds no time before {} and none after {}", Timestamp::MIN, Timestamp::MAX)
}

/// Reads the usual form, `±YYYYYY-MM-DDTHH:MM:SS.ffffff±HH:MM` with four digits and no sign for years of
/// four digits, as microseconds since 1970; none for any other form and for what is no time.
fn usual(text: &str) -> Option<i128> {
    let mut rest = Rest(text.as_bytes());
    let year = rest.year()?;
    let month = rest.behind(b'-')?.digits(2)?;
    let day = rest.behind(b'-')?.digits(2)?;
    rest.one_of(b"Tt ")?;
    let hour = rest.digits(2)?;
    let minute = rest.behind(b':')?.digits(2)?;
    let second = rest.behind(b':')?.digits(2)?;
    let micros = rest.fraction()?;
    let offset_minutes = rest.offset()?;
    let is_time = hour < 24 && minute < 60 && second <= 60;
    let is_date = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    if !rest.0.is_empty() || !is_time || !is_date {
        return None;
    }
    // A leap second is the second before it.
    let second_of_day = (hour * 60 + minute - offset_minutes) * 60 + second.min(59);
    let seconds =
        i128::from(days_from_civil(year, month, day)) * 86_400 + i128::from(second_of_day);
    Some(seconds * MICROS_PER_SECOND + i128::from(micros))
}

/// What of a text is still to be read.
#[derive(Debug)]
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn one_of(&mut self, allowed: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        allowed.contains(first).then(|| self.0 = rest)?;
        Some(*first)
    }

    fn behind(&mut self, byte: u8) -> Option<&mut Self> {
        self.one_of(&[byte])?;
        Some(self)
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        (0..count).try_fold(0, |number, _| Some(number * 10 + self.digit()?))
    }

    fn digit(&mut self) -> Option<i64> {
        self.one_of(b"0123456789").map(|digit| i64::from(digit - b'0'))
    }

    fn year(&mut self) -> Option<i64> {
        match self.one_of(b"+-") {
            None => self.digits(4),
            Some(sign) => match (sign, self.digits(6)?) {
                // There is one year 0, and it has no sign or a plus.
                (b'-', 0) => None,
                (b'-', year) => Some(-year),
                (_, year) => Some(year),
            },
        }
    }

    /// Reads digits of a second, if there are any, and drops those beyond the sixth.
    fn fraction(&mut self) -> Option<i64> {
        if self.one_of(b".,").is_none() {
            return Some(0);
        }
        let mut micros = self.digit()? * 100_000;
        let mut scale = 10_000;
        while let Some(digit) = self.digit() {
            micros += digit * scale;
            scale /= 10;
        }
        Some(micros)
    }

    /// Reads an offset in minutes.
    fn offset(&mut self) -> Option<i64> {
        let sign = match self.one_of(b"Zz+-")? {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(0),
        };
        let (hours, minutes) = (self.digits(2)?, self.behind(b':')?.digits(2)?);
        (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
    }
}

fn days_of(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns the days from 1970-01-01 to a day of the Gregorian calendar.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> i64 {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).as_micros()
    }

    #[test]
    fn a_moment_is_the_same_under_any_offset() {
        let moment = parse("2011-10-01T00:38:44.546+02:00").unwrap();
        assert_eq!(moment.to_string(), "2011-09-30T22:38:44.546000Z");
        for text in [
            "2011-09-30T22:38:44.546Z",
            "2011-09-30t22:38:44.546z",
            "2011-09-30 22:38:44.546Z",
            "2011-10-01T04:08:44.546+05:30",
            "2011-09-30T12:38:44.546-10:00",
            "+002011-09-30T22:38:44.546Z",
        ] {
            assert_eq!(parse(text), Ok(moment), "{text}");
        }
    }

    #[test]
    fn a_time_without_an_offset_is_refused_and_so_is_what_is_no_time() {
        for text in [
            "2011-10-01T00:38:44",
            "yesterday",
            "",
            "2011-02-29T00:00:00Z",
            "2011-13-01T00:00:00Z",
            "2011-00-01T00:00:00Z",
            "2011-10-01T24:00:00Z",
            "2011-10-01T00:60:00Z",
            "2011-10-01T00:00:61Z",
            "2011-10-01T00:00:00.Z",
            "2011-10-01T00:00:00Zx",
            "-000000-01-01T00:00:00Z",
            "+10000-01-01T00:00:00Z",
            "10000-01-01T00:00:00Z",
            "+294248-01-01T00:00:00Z",
            "-999999-01-01T00:00:00Z",
            "+294247-01-10T04:00:54.775808Z",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let error = parse("+294248-01-01T00:00:00Z").unwrap_err();
        assert!(error.contains("+294247-01-10T04:00:54.775807Z"), "{error}");
    }

    #[test]
    fn the_text_of_every_moment_is_read_back_as_that_moment() {
        let year_zero = micros("0000-01-01T00:00:00Z");
        let year_ten_thousand = micros("+010000-01-01T00:00:00Z");
        let mut all = vec![0, -1, 1_317_422_324_546_001, -62_135_596_800_000_000];
        for edge in [i64::MIN, year_zero, year_ten_thousand, 253_402_207_200_000_000, i64::MAX] {
            all.extend((-2..=2).filter_map(|step| edge.checked_add(step)));
        }
        // Steps of a day and a bit over some years around each century.
        all.extend((-1_200..1_200).map(|step| step * 7_741_433_123_457));
        for micros in all {
            let moment = Timestamp::from_micros(micros);
            assert_eq!(parse(&moment.to_string()), Ok(moment), "{moment}");
        }
    }

    #[test]
    fn what_is_finer_than_a_microsecond_is_cut_off_toward_the_past_on_both_sides_of_1970() {
        assert_eq!(micros("1970-01-01T00:00:00.9999999Z"), 999_999);
        assert_eq!(micros("1969-12-31T23:59:59.9999999Z"), -1);
        assert_eq!(micros("1969-12-31T23:59:59.9999991Z"), -1);
        assert_eq!(micros("1969-12-31T23:59:59.000000999Z"), -1_000_000);
        assert_eq!(micros("1969-12-31T23:59:58.1234567891234Z"), -1_876_544);
        // By `jiff`, which takes forms that are not in RFC 3339.
        assert_eq!(micros("1969-12-31T235959.9999999+0000"), -1);
    }

    #[test]
    fn a_leap_second_is_the_second_before_it() {
        assert_eq!(micros("2016-12-31T23:59:60Z"), micros("2016-12-31T23:59:59Z"));
        assert_eq!(micros("2016-12-31T23:59:60.5Z"), micros("2016-12-31T23:59:59.5Z"));
    }

    #[test]
    fn this_reader_and_jiff_agree_where_both_read() {
        for text in [
            "2000-02-29T12:30:15.25Z",
            "1900-03-01T00:00:00+00:01",
            "1600-02-29T23:59:59-23:59",
            "0000-02-29T00:00:00Z",
            "9999-12-29T00:00:00Z",
            "-000001-12-31T23:59:59Z",
            "-009998-01-02T03:04:05.678901Z",
        ] {
            let expected = text.parse::<jiff::Timestamp>().unwrap().as_microsecond();
            assert_eq!(usual(text), Some(expected.into()), "{text}");
        }
    }
}
