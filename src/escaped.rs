//! Texts made safe to show: what a terminal acts on, reorders or hides is written as an escape.
//!
//! Names, payloads and paths come from elsewhere and end up in messages. A control character among them
//! can move the cursor, a bidirectional one can swap what is read, and one without width can make two
//! names look alike. Which characters these are is a matter of Unicode: those of the categories Cc, Cf,
//! Cs, Co, Cn, Zl and Zp, and those with the property `Default_Ignorable_Code_Point`.

#![forbid(unsafe_code)]

use std::fmt::{self, Write};

/// Displays a value with every character escaped that could disturb a terminal or deceive a reader:
/// control, bidirectional, invisible and unassigned characters become `\n`, `\u{202e}` and the like.
///
/// All other text stays as it is, quotes and backslashes too, so it is for people to read and not to be
/// parsed. The messages of [`Error`](crate::Error) and [`Finding`](crate::Finding) show paths and names so.
///
/// # Examples
///
/// ```
/// use annals::Escaped;
///
/// assert_eq!(Escaped("plan\u{1b}[31m \u{202e}7").to_string(), "plan\\u{1b}[31m \\u{202e}7");
/// assert_eq!(Escaped("\"Zoë\" 日本").to_string(), "\"Zoë\" 日本");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Escaped<T>(
    /// What is displayed.
    pub T,
);

impl Escaped<char> {
    /// Returns whether the character is displayed as an escape.
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::Escaped;
    ///
    /// assert!(Escaped('\u{200b}').is_escaped() && !Escaped('é').is_escaped());
    /// ```
    pub fn is_escaped(self) -> bool {
        is_escaped(self.0)
    }
}

impl<T: fmt::Display> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

/// Escapes what is written to it.
struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain_from = 0;
        for (at, character) in text.char_indices().filter(|(_, it)| is_escaped(*it)) {
            self.0.write_str(text.get(plain_from..at).unwrap_or_default())?;
            match character {
                '\n' | '\r' | '\t' | '\0' => write!(self.0, "{}", character.escape_debug())?,
                _ => write!(self.0, "{}", character.escape_unicode())?,
            }
            plain_from = at + character.len_utf8();
        }
        self.0.write_str(text.get(plain_from..).unwrap_or_default())
    }
}

/// Returns whether a character is not one to be seen.
fn is_escaped(character: char) -> bool {
    match character {
        ' '..='~' => false,
        // Spaces of other widths (Zs) are seen; the standard library escapes them.
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            false
        }
        _ => is_ignorable(character) || is_unprintable(character),
    }
}

/// Returns whether a character is of a category that is not printed. The standard library knows them all: it
/// escapes those, and what extends the character before it, which is printed with that.
fn is_unprintable(character: char) -> bool {
    let mut bytes = [b'a'; 5];
    let length = 1 + bytes.get_mut(1..).map_or(0, |rest| character.encode_utf8(rest).len());
    let text = bytes.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.is_some_and(|text| text.escape_debug().nth(1) == Some('\\'))
}

/// Returns whether a character has the property `Default_Ignorable_Code_Point`: it is shown as nothing.
///
/// Source: `DerivedCoreProperties.txt` of Unicode 16.
fn is_ignorable(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every character of the categories Cc, Cf, Zl and Zp of Unicode 16, as ranges.
    const FORMATS: &[(u32, u32)] = &[
        (0x0, 0x1f),
        (0x7f, 0x9f),
        (0xad, 0xad),
        (0x600, 0x605),
        (0x61c, 0x61c),
        (0x6dd, 0x6dd),
        (0x70f, 0x70f),
        (0x890, 0x891),
        (0x8e2, 0x8e2),
        (0x180e, 0x180e),
        (0x200b, 0x200f),
        (0x2028, 0x202e),
        (0x2060, 0x2064),
        (0x2066, 0x206f),
        (0xfeff, 0xfeff),
        (0xfff9, 0xfffb),
        (0x110bd, 0x110bd),
        (0x110cd, 0x110cd),
        (0x13430, 0x1343f),
        (0x1bca0, 0x1bca3),
        (0x1d173, 0x1d17a),
        (0xe0001, 0xe0001),
        (0xe0020, 0xe007f),
    ];

    #[test]
    fn control_bidirectional_and_invisible_characters_are_escaped() {
        let characters = FORMATS.iter().flat_map(|(first, last)| *first..=*last);
        for character in characters.filter_map(char::from_u32) {
            let shown = Escaped(format!("a{character}b")).to_string();
            assert!(shown.starts_with("a\\") && shown.ends_with('b'), "{shown:?}");
            assert!(shown.is_ascii(), "{shown:?}");
        }
        for hidden in ['\u{34f}', '\u{3164}', '\u{fe0f}', '\u{e0100}', '\u{e000}', '\u{10ffff}'] {
            assert!(is_escaped(hidden), "{hidden:?}");
        }
    }

    #[test]
    fn text_of_any_script_stays_as_it_is() {
        for text in
            ["", "a \"b\" 'c' \\n", "Zoë e\u{301}", "日本\u{3000}語", "שלום", "نص", "🙂", "₹ ½"]
        {
            assert_eq!(Escaped(text).to_string(), text);
        }
    }

    #[test]
    fn an_escape_names_the_character() {
        assert_eq!(Escaped("\u{1b}[31m\r\n\0").to_string(), "\\u{1b}[31m\\r\\n\\0");
        assert_eq!(Escaped("a\u{202e}gpj").to_string(), "a\\u{202e}gpj");
    }
}
