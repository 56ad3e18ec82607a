//! An event as one line of text for people, aligned. What is not safe to show is escaped by `output`.

use annals::{ContentType, Escaped, RecordedEvent};

use crate::json_line::compact;

const PAYLOAD_CHARACTERS_MAX: usize = 120;

/// What stands above the columns on a terminal.
pub(crate) const HEADING: &str = "position  occurred at                  stream                           version  event type                        payload";

/// Returns position, time, stream and version, event type and the beginning of the payload.
pub(crate) fn event_line(event: &RecordedEvent) -> String {
    let stream = format!("{}:{}", event.aggregate_id(), event.aggregate_type());
    let line = format!(
        "{:>8}  {}  {stream:<32} {:>7}  {:<32}  {}",
        event.global_position(),
        event.occurred_at(),
        event.stream_version(),
        event.event_type(),
        payload(event.content_type(), event.payload()),
    );
    line.trim_end().to_owned()
}

/// Returns the beginning of a payload that is text, whatever it is labelled as, and else its size.
fn payload(content_type: ContentType, bytes: &[u8]) -> String {
    let is_text = matches!(content_type, ContentType::Json | ContentType::Text);
    let text = std::str::from_utf8(bytes).ok();
    match text.filter(|text| is_text || !text.chars().any(|it| Escaped(it).is_escaped())) {
        Some(json) if content_type == ContentType::Json && is_json(json) => {
            shortened(&compact(json))
        }
        Some(text) => shortened(text),
        None => format!("({})", counted(bytes.len() as u64, "byte")),
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
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
        assert_eq!(payload(ContentType::Json, b"{ \"a\" : 1 }"), "{\"a\":1}");
        assert_eq!(payload(ContentType::Json, b"[1 2]"), "[1 2]");
        assert_eq!(payload(ContentType::Text, b""), "");
    }

    #[test]
    fn one_thing_is_told_in_the_singular() {
        assert_eq!(
            (counted(1, "place"), counted(2, "place")),
            ("1 place".into(), "2 places".into())
        );
    }
}
