//! Writes a recorded event as one line of JSON that can be imported again.

use annals::{ContentType, Escaped, Metadata, RecordedEvent, Result};
use serde::Serialize;
use serde_json::value::RawValue;

use super::content_type;
use crate::base64;

/// The fields of a line; what an event does not have is left out.
#[derive(Debug, Serialize)]
pub(crate) struct PrintedEvent<'a> {
    aggregate_type: &'a str,
    aggregate_id: String,
    event_type: &'a str,
    event_version: u32,
    occurred_at: String,
    event_id: String,
    global_position: u64,
    stream_version: u64,
    recorded_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causation_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<&'a str>,
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    metadata: Metadata,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Readable<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
}

/// A payload that stands in the line as what it is.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Readable<'a> {
    /// Byte for byte.
    Json(&'a RawValue),
    Text(&'a str),
}

impl<'a> PrintedEvent<'a> {
    /// Takes the fields from an event.
    ///
    /// # Errors
    ///
    /// [`annals::Error::Payload`] when the metadata can not be decoded.
    pub(crate) fn new(event: &'a RecordedEvent) -> Result<Self> {
        let data = readable_payload(event);
        let data_base64 = data.is_none().then(|| base64::encode(event.payload()));
        let plain_json = matches!(data, Some(Readable::Json(_)));
        Ok(Self {
            aggregate_type: event.aggregate_type(),
            aggregate_id: event.aggregate_id().to_string(),
            event_type: event.event_type(),
            event_version: event.event_version(),
            occurred_at: event.occurred_at().to_string(),
            event_id: event.event_id().to_string(),
            global_position: event.global_position().get(),
            stream_version: event.stream_version().get(),
            recorded_at: event.recorded_at().to_string(),
            tenant_id: event.tenant().map(|id| id.to_string()),
            actor_id: event.actor().map(|id| id.to_string()),
            correlation_id: event.correlation_id().map(|id| id.to_string()),
            causation_id: event.causation_id().map(|id| id.to_string()),
            tags: event.tags().collect(),
            metadata: event.metadata()?,
            content_type: (!plain_json).then(|| content_type::name(event.content_type())),
            data,
            data_base64,
        })
    }
}

/// Returns JSON as JSON and text as text, if that is what the payload holds and how it can stand in a line.
fn readable_payload(event: &RecordedEvent) -> Option<Readable<'_>> {
    let text = std::str::from_utf8(event.payload()).ok()?;
    match event.content_type() {
        ContentType::Json => json_of_one_line(text).map(Readable::Json),
        ContentType::Text => (written_bytes(text) <= base64::encoded_length(text.len()))
            .then_some(Readable::Text(text)),
        _ => None,
    }
}

/// Returns how many bytes a text takes in a line, its quotes included: `output` writes an escape for every
/// character that is not to be seen.
fn written_bytes(text: &str) -> usize {
    let of = |character: char| match character {
        '"' | '\\' | '\u{8}' | '\u{c}' | '\n' | '\r' | '\t' => 2,
        '\0'..='\u{1f}' => 6,
        ' '..='~' => 1,
        _ if Escaped(character).is_escaped() => 6 * character.len_utf16(),
        _ => character.len_utf8(),
    };
    2 + text.chars().map(of).sum::<usize>()
}

/// Returns a text as the JSON that it is, unless it goes over several lines, or is more or less than JSON.
fn json_of_one_line(text: &str) -> Option<&RawValue> {
    if text.contains(['\n', '\r']) {
        return None;
    }
    let value: &RawValue = serde_json::from_str(text).ok()?;
    // Without the white space around it.
    (value.get().len() == text.len()).then_some(value)
}
