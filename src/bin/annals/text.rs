//! An event as one line of text for people: aligned, and safe to show on a terminal.

use annals::{ContentType, RecordedEvent};

use crate::json_line::compact;

const PAYLOAD_CHARACTERS_MAX: usize = 120;

/// Returns position, time, stream and version, event type and the beginning of the payload.
pub(crate) fn event_line(event: &RecordedEvent) -> String {
    let stream = format!("{}:{}", event.aggregate_id(), event.aggregate_type());
    let line = format!(
        "{:>8}  {}  {stream:<32} {:>5}  {:<32}  {}",
        event.global_position(),
        event.occurred_at(),
        event.stream_version(),
        event.event_type(),
        payload(event),
    );
    line.trim_end().to_owned()
}

fn payload(event: &RecordedEvent) -> String {
    let text = std::str::from_utf8(event.payload()).ok();
    match (event.content_type(), text) {
        (ContentType::Json, Some(text)) => shortened(&compact(text)),
        (ContentType::Text, Some(text)) => shortened(text),
        _ if event.payload().is_empty() => String::new(),
        _ => format!("({} bytes)", event.payload().len()),
    }
}

/// Cuts a long text and escapes control characters.
fn shortened(text: &str) -> String {
    let mut characters = text.chars();
    let head = characters.by_ref().take(PAYLOAD_CHARACTERS_MAX);
    let escaped = head.flat_map(|character| {
        let escape = character.is_control().then(|| character.escape_debug());
        let plain = (!character.is_control()).then_some(character);
        escape.into_iter().flatten().chain(plain)
    });
    let mut shown: String = escaped.collect();
    if characters.next().is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_other_text_is_left_alone() {
        assert_eq!(shortened("a\u{1b}[31m \"é\"\n"), "a\\u{1b}[31m \"é\"\\n");
    }

    #[test]
    fn a_long_payload_is_cut() {
        assert_eq!(shortened(&"é".repeat(120)), "é".repeat(120));
        assert_eq!(shortened(&"é".repeat(121)), "é".repeat(120) + "...");
    }
}
