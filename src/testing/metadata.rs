//! The decoder of metadata, with arbitrary bytes.
//!
//! The fuzz target `metadata` feeds [`check`] with any input. What is held, besides that nothing panics
//! and that no length is believed before its bytes are there: what is accepted and written again reads
//! the same.

use crate::encoding;
use crate::event::Metadata;
use crate::testing::bytes::Verdict;

/// Decodes an input and checks what is to hold.
///
/// # Errors
///
/// What does not hold, as a sentence.
///
/// # Examples
///
/// ```
/// use annals::testing::bytes::Verdict;
/// use annals::testing::metadata::check;
///
/// assert_eq!(check(&[1, 1, b'k', 1, b'v']), Ok(Verdict::Accepted));
/// assert_eq!(check(&[253, 255, 255, 255, 255, 255, 255, 255, 0]), Ok(Verdict::Refused));
/// ```
pub fn check(input: &[u8]) -> Result<Verdict, String> {
    let Ok(metadata) = encoding::decode::<Metadata>(input) else { return Ok(Verdict::Refused) };
    let again = encoding::encode(&metadata).map_err(|error| error.to_string())?;
    match encoding::decode::<Metadata>(&again) {
        Ok(decoded) if decoded == metadata => Ok(Verdict::Accepted),
        other => Err(format!("written again it is {other:?}")),
    }
}

/// Inputs to begin with, each accepted, with a name.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let long = "v".repeat(300);
    let of = |entries: &[(&str, &str)]| {
        let owned = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        encoding::encode(&owned.collect::<Metadata>()).unwrap()
    };
    vec![
        ("none", of(&[])),
        ("two", of(&[("source", "mobile"), ("user", "7")])),
        ("long", of(&[("key", &long)])),
    ]
}
