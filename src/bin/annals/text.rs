//! An event as one line of text for people, aligned. What is not safe to show is escaped by `output`.

use annals::{ContentType, Escaped, RecordedEvent};

const PAYLOAD_CHARACTERS_MAX: usize = 120;

/// Columns of a terminal for the name of a stream, and for an event type.
const NAME_COLUMNS: usize = 32;

/// What stands above the columns on a terminal.
pub(crate) const HEADING: &str = "position  occurred at                  stream                           version  event type                        payload";

/// Returns position, time, stream and version, event type and the beginning of the payload.
pub(crate) fn event_line(event: &RecordedEvent) -> String {
    let stream = format!("{}:{}", event.aggregate_id(), event.aggregate_type());
    let line = format!(
        "{:>8}  {}  {} {:>7}  {}  {}",
        event.global_position(),
        event.occurred_at(),
        filled(&stream, NAME_COLUMNS),
        event.stream_version(),
        filled(event.event_type(), NAME_COLUMNS),
        payload(event.content_type(), event.payload()),
    );
    line.trim_end().to_owned()
}

/// Returns a text as it is shown, filled with spaces up to so many columns of a terminal.
fn filled(text: &str, columns: usize) -> String {
    let mut shown = Escaped(text).to_string();
    let taken: usize = shown.chars().map(|it| if is_wide(it) { 2 } else { 1 }).sum();
    shown.extend(std::iter::repeat_n(' ', columns.saturating_sub(taken)));
    shown
}

/// Returns whether a character takes two columns: those of the scripts of East Asia and pictures.
///
/// Source: the blocks that are wide throughout in `EastAsianWidth.txt` of Unicode 16.
fn is_wide(character: char) -> bool {
    matches!(
        character,
        '\u{1100}'..='\u{115f}'
            | '\u{2e80}'..='\u{303e}'
            | '\u{3041}'..='\u{a4cf}'
            | '\u{ac00}'..='\u{d7a3}'
            | '\u{f900}'..='\u{faff}'
            | '\u{fe30}'..='\u{fe6f}'
            | '\u{ff01}'..='\u{ff60}'
            | '\u{ffe0}'..='\u{ffe6}'
            | '\u{1f300}'..='\u{1f64f}'
            | '\u{1f900}'..='\u{1f9ff}'
            | '\u{20000}'..='\u{3fffd}'
    )
}

/// Returns the beginning of a payload that is text, whatever it is labelled as, and else its size.
fn payload(content_type: ContentType, bytes: &[u8]) -> String {
    let is_text = matches!(content_type, ContentType::Json | ContentType::Text);
    let text = std::str::from_utf8(bytes).ok();
    match text.filter(|text| is_text || !text.chars().any(|it| Escaped(it).is_escaped())) {
        Some(json) if content_type == ContentType::Json => shortened(&on_one_line(json)),
        Some(text) => shortened(text),
        None => format!("({})", counted(bytes.len() as u64, "byte")),
    }
}

/// Returns JSON of several lines on one. No text in JSON holds a line break, so none is changed.
fn on_one_line(json: &str) -> String {
    json.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

/// Cuts a long text.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(PAYLOAD_CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Returns a number of things in words: `1 event`, `2 events`.
pub(crate) fn counted(count: u64, thing: &str) -> String {
    match count {
        1 => format!("1 {thing}"),
        count => format!("{count} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_payload_is_cut() {
        assert_eq!(shortened(&"é".repeat(120)), "é".repeat(120));
        assert_eq!(shortened(&"é".repeat(121)), "é".repeat(120) + "...");
    }

    #[test]
    fn a_payload_that_is_text_is_shown_whatever_it_is_called() {
        assert_eq!(payload(ContentType::Bytes, "monday é".as_bytes()), "monday é");
        assert_eq!(payload(ContentType::Bincode, b"\x06monday"), "(7 bytes)");
        assert_eq!(payload(ContentType::Bytes, b"\xff"), "(1 byte)");
        assert_eq!(payload(ContentType::Json, b"{\n  \"a  b\": 1\r\n}\n"), "{ \"a  b\": 1 }");
        assert_eq!(payload(ContentType::Json, b"[1 2]"), "[1 2]");
        assert_eq!(payload(ContentType::Text, b""), "");
    }

    #[test]
    fn a_text_is_filled_up_to_the_columns_that_it_is_seen_to_take() {
        assert_eq!(filled("ab", 4), "ab  ");
        assert_eq!(filled("日本", 6), "日本  ");
        assert_eq!(filled("a\u{202e}", 10), "a\\u{202e} ");
        assert_eq!(filled("abc", 2), "abc");
    }

    #[test]
    fn one_thing_is_told_in_the_singular() {
        assert_eq!(
            (counted(1, "place"), counted(2, "place")),
            ("1 place".into(), "2 places".into())
        );
    }
}
