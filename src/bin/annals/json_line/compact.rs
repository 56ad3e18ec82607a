//! Takes white space out of JSON without touching anything else: numbers keep their digits and
//! objects the order of their keys, which a parsed value would not.

use std::borrow::Cow;

/// Returns valid JSON without the white space between its parts, and so on one line.
pub(crate) fn compact(json: &str) -> Cow<'_, str> {
    if !json.contains(is_white_space) {
        return json.into();
    }
    let (mut within_text, mut escaped) = (false, false);
    let kept = json.chars().filter(|character| {
        let keep = within_text || !is_white_space(*character);
        within_text ^= *character == '"' && !escaped;
        escaped = *character == '\\' && !escaped;
        keep
    });
    kept.collect::<String>().into()
}

/// White space as JSON has it.
fn is_white_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_outside_of_texts_goes() {
        let json =
            " { \"b\\\" \" : [ 1.00 , 2e400 ] ,\n\t\"a\\\\\" : \"x\\\\\\\" y\" , \"é \" : null } ";
        let expected = "{\"b\\\" \":[1.00,2e400],\"a\\\\\":\"x\\\\\\\" y\",\"é \":null}";
        assert_eq!(compact(json), expected);
        assert_eq!(compact(expected), expected);
    }
}
