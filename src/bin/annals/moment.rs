//! Moments in text: RFC 3339 with an offset, as in files and on the command line.

use annals::Timestamp;

/// Reads a moment; what is finer than a microsecond is cut off.
///
/// A text without an offset is refused: it names no moment.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    match text.parse::<jiff::Timestamp>() {
        Ok(moment) => Ok(Timestamp::from_micros(moment.as_microsecond())),
        Err(error) => Err(format!("not a time in RFC 3339 with an offset: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_the_same_under_any_offset() {
        let moment = parse("2011-10-01T00:38:44.546+02:00").unwrap();
        assert_eq!(moment.to_string(), "2011-09-30T22:38:44.546000Z");
        assert_eq!(parse("2011-09-30T22:38:44.546Z").unwrap(), moment);
    }

    #[test]
    fn a_time_without_an_offset_is_refused() {
        assert!(parse("2011-10-01T00:38:44").is_err());
        assert!(parse("yesterday").is_err());
        assert!(parse("").is_err());
    }

    #[test]
    fn the_text_of_a_recorded_moment_is_read_back_as_that_moment() {
        for micros in [0, -1, 1_317_422_324_546_001, -62_135_596_800_000_000] {
            let moment = Timestamp::from_micros(micros);
            assert_eq!(parse(&moment.to_string()), Ok(moment));
        }
    }
}
