//! Base 64 with padding (RFC 4648, section 4): how a payload that is neither JSON nor text stands in
//! a line of JSON.
//!
//! Decoding takes exactly what encoding gives: no white space, no missing padding, no stray bits.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const PADDING: char = '=';

/// Returns how many characters so many bytes are encoded as: four for each three bytes begun.
pub(crate) fn encoded_length(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// Encodes bytes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(encoded_length(bytes.len()));
    for group in bytes.chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, index| {
            bits << 8 | u32::from(group.get(index).copied().unwrap_or_default())
        });
        for index in 0..4 {
            let digit = (bits >> (18 - 6 * index) & 63) as usize;
            let character = ALPHABET.get(digit).map_or(PADDING, |byte| char::from(*byte));
            text.push(if index <= group.len() { character } else { PADDING });
        }
    }
    text
}

/// Decodes what [`encode`] gives; `None` for any other text.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for group in text.as_bytes().chunks(4) {
        let digits = group.iter().take_while(|byte| **byte != b'=').count();
        let mut bits = 0_u32;
        for byte in group.iter().take(digits) {
            bits = bits << 6 | digit(*byte)?;
        }
        let [third, second, first, _] = (bits << (6 * (4 - digits))).to_le_bytes();
        let decoded = [first, second, third];
        bytes.extend(decoded.iter().take(digits.saturating_sub(1)));
    }
    (encode(&bytes) == text).then_some(bytes)
}

fn digit(byte: u8) -> Option<u32> {
    let digit = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(digit.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_standard_are_encoded_and_decoded() {
        let examples = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in examples {
            assert_eq!(encode(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
        }
    }

    #[test]
    fn every_byte_survives_in_every_place() {
        for byte in 0..=u8::MAX {
            for bytes in [vec![byte], vec![0, byte], vec![255, 0, byte], vec![byte; 4]] {
                assert_eq!(decode(&encode(&bytes)), Some(bytes));
            }
        }
    }

    #[test]
    fn text_that_encoding_does_not_give_is_refused() {
        for text in ["Zg", "Zg=", "Zh==", "Z===", "====", "Zg==Zg==", "Zm9v\n", "Zm-_", "é"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
