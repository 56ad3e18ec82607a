//! Writes a recorded event as one line of JSON that can be imported again.

use annals::{ContentType, Metadata, RecordedEvent, Result};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{compact, content_type};
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
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_base64: Option<String>,
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
        let plain_json = event.content_type() == ContentType::Json && data.is_some();
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

/// Returns JSON as JSON and text as text, if that is what the payload holds.
fn readable_payload(event: &RecordedEvent) -> Option<Box<RawValue>> {
    let text = std::str::from_utf8(event.payload()).ok()?;
    let json = match event.content_type() {
        ContentType::Json => compact(text).into_owned(),
        ContentType::Text => serde_json::to_string(text).ok()?,
        _ => return None,
    };
    RawValue::from_string(json).ok()
}
