//! Reads one line of JSON as an event to be recorded; a pure function of the line.
//!
//! Fields that are not known are refused, so that a misspelt one is not lost in silence.

use std::borrow::Cow;
use std::collections::BTreeMap;

use annals::{ActorId, ContentType, EventId, NewEvent, StreamId, TenantId};
use serde::de::{Deserialize, Deserializer, IgnoredAny};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{compact, content_type};
use crate::{base64, moment};

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParsedLine {
    pub(crate) stream: StreamId,
    /// The id that the line gives; without one, that of `event` means nothing.
    pub(crate) event_id: Option<EventId>,
    pub(crate) event: NewEvent,
}

/// Reads a line. The error says what is wrong with it, and where.
pub(crate) fn parse(line: &[u8]) -> Result<ParsedLine, String> {
    let text = std::str::from_utf8(line).map_err(|error| {
        format!("not UTF-8: byte {} does not belong to a character", error.valid_up_to() + 1)
    })?;
    if !text.trim_start().starts_with('{') {
        return Err("not a JSON object".into());
    }
    let fields: Fields<'_> = serde_json::from_str(text).map_err(|error| explained(&error))?;
    fields.into_parsed()
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(borrow)]
    aggregate_type: Cow<'a, str>,
    #[serde(borrow)]
    aggregate_id: Cow<'a, str>,
    event_type: String,
    occurred_at: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    data_base64: Option<String>,
    content_type: Option<String>,
    event_id: Option<String>,
    event_version: Option<u32>,
    tenant_id: Option<String>,
    actor_id: Option<String>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    aggregate_version: Option<u64>,
    #[serde(rename = "global_position")]
    _global_position: Option<IgnoredAny>,
    #[serde(rename = "stream_version")]
    _stream_version: Option<IgnoredAny>,
    #[serde(rename = "recorded_at")]
    _recorded_at: Option<IgnoredAny>,
}

impl Fields<'_> {
    fn into_parsed(self) -> Result<ParsedLine, String> {
        let stream = StreamId::new(&self.aggregate_type, &self.aggregate_id).map_err(shown)?;
        let event_id = self.event_id.as_deref().map(|text| uuid("event_id", text)).transpose()?;
        let event_id = event_id.map(EventId::from_uuid);
        Ok(ParsedLine { stream, event_id, event: self.into_event(event_id)? })
    }

    fn into_event(self, event_id: Option<EventId>) -> Result<NewEvent, String> {
        let (payload, content_type) = self.payload()?;
        let mut event = NewEvent::new(self.event_type, payload).content_type(content_type);
        if let Some(event_id) = event_id {
            event = event.id(event_id);
        }
        if let Some(text) = self.occurred_at {
            let moment = moment::parse(&text).map_err(|error| format!("`occurred_at`: {error}"))?;
            event = event.occurred_at(moment);
        }
        if let Some(version) = self.event_version {
            event = event.event_version(version);
        }
        if let Some(version) = self.aggregate_version {
            event = event.claims_version(version);
        }
        if let Some(tenant) = self.tenant_id {
            event = event.tenant(TenantId::new(tenant).map_err(shown)?);
        }
        if let Some(actor) = self.actor_id {
            event = event.actor(ActorId::new(actor).map_err(shown)?);
        }
        if let Some(text) = self.correlation_id {
            event = event.correlation_id(uuid("correlation_id", &text)?);
        }
        if let Some(text) = self.causation_id {
            event = event.causation_id(uuid("causation_id", &text)?);
        }
        let event = self.tags.into_iter().fold(event, NewEvent::tag);
        let metadata = self.metadata.into_iter();
        Ok(metadata.fold(event, |event, (key, value)| event.metadata(key, value)))
    }

    fn payload(&self) -> Result<(Vec<u8>, ContentType), String> {
        let given = match self.content_type.as_deref() {
            None => None,
            Some(name) => Some(content_type::of_name(name).ok_or_else(|| {
                format!("`content_type`: \"{}\" is not known", name.escape_debug())
            })?),
        };
        match (self.data, &self.data_base64) {
            (Some(_), Some(_)) => Err("both `data` and `data_base64` are given".into()),
            (None, None) => Ok((Vec::new(), given.unwrap_or_default())),
            (None, Some(text)) => match base64::decode(text) {
                Some(payload) => Ok((payload, given.unwrap_or_default())),
                None => Err("`data_base64` is not base 64 with padding".into()),
            },
            (Some(data), None) => payload_of_data(data.get(), given.unwrap_or(ContentType::Json)),
        }
    }
}

fn payload_of_data(
    data: &str,
    content_type: ContentType,
) -> Result<(Vec<u8>, ContentType), String> {
    match content_type {
        ContentType::Json => Ok((compact(data).into_owned().into_bytes(), content_type)),
        ContentType::Text => match serde_json::from_str::<String>(data) {
            Ok(text) => Ok((text.into_bytes(), content_type)),
            Err(_) => Err("`data` is not a text, but its `content_type` is".into()),
        },
        other => {
            let name = content_type::name(other);
            Err(format!("data of content type {name} is given as `data_base64`"))
        }
    }
}

/// Tells `null`, which is a value, from a field that is not there.
fn present<'de, D: Deserializer<'de>>(input: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(input).map(Some)
}

fn uuid(field: &str, text: &str) -> Result<Uuid, String> {
    Uuid::try_parse(text)
        .map_err(|_| format!("`{field}`: \"{}\" is not a UUID", text.escape_debug()))
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map_err`")]
fn shown(error: annals::Error) -> String {
    error.to_string()
}

/// Leaves out the number of the line within the line, which is always 1 and would mislead.
fn explained(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line ") {
        Some((reason, _)) if error.line() > 0 => format!("{reason} at column {}", error.column()),
        _ => text,
    }
}
