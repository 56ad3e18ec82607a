//! Reads one line of JSON as an event to be recorded; a pure function of the line.
//!
//! Fields that are not known are refused, so that a misspelt one is not lost in silence. Each field is
//! first taken as it stands, so that one of the wrong type can be named with its value.

use std::borrow::Cow;
use std::fmt;

use annals::{
    ActorId, ContentType, EventId, Metadata, NewEvent, RecordedEvent, StreamId, TenantId, Timestamp,
};
use bytes::Bytes;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::content_type;
use crate::{base64, moment};

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ParsedLine {
    stream: StreamId,
    event_id: Option<EventId>,
    event_type: String,
    payload: Bytes,
    content_type: ContentType,
    occurred_at: Option<Timestamp>,
    event_version: Option<u32>,
    claimed_version: Option<u64>,
    tenant: Option<TenantId>,
    actor: Option<ActorId>,
    correlation_id: Option<Uuid>,
    causation_id: Option<Uuid>,
    tags: Vec<String>,
    metadata: Metadata,
}

impl ParsedLine {
    pub(crate) fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// Returns the event id that the line gives.
    pub(crate) fn event_id(&self) -> Option<EventId> {
        self.event_id
    }

    /// Returns whether the line says when the event happened.
    pub(crate) fn has_time(&self) -> bool {
        self.occurred_at.is_some()
    }

    /// Makes the event, with an id that is its own or was found for it.
    pub(crate) fn new_event(&self, event_id: EventId) -> NewEvent {
        let mut event = NewEvent::with_id(event_id, &self.event_type, self.payload.clone())
            .content_type(self.content_type)
            .event_version(self.event_version.unwrap_or(1));
        if let Some(time) = self.occurred_at {
            event = event.occurred_at(time);
        }
        if let Some(version) = self.claimed_version {
            event = event.claims_version(version);
        }
        if let Some(tenant) = &self.tenant {
            event = event.tenant(tenant.clone());
        }
        if let Some(actor) = &self.actor {
            event = event.actor(actor.clone());
        }
        if let Some(id) = self.correlation_id {
            event = event.correlation_id(id);
        }
        if let Some(id) = self.causation_id {
            event = event.causation_id(id);
        }
        let event = self.tags.iter().fold(event, NewEvent::tag);
        self.metadata.iter().fold(event, |event, (key, value)| event.metadata(key, value))
    }

    /// Returns the first field by which a recorded event with the same id, type and payload differs.
    pub(crate) fn difference(&self, recorded: &RecordedEvent) -> Option<&'static str> {
        // Without a time an event got one when it was recorded.
        let occurred_at = self.occurred_at.unwrap_or_else(|| recorded.occurred_at());
        let (tenant, actor) = (recorded.tenant(), recorded.actor());
        let same = [
            (recorded.occurred_at() == occurred_at, "occurred_at"),
            (recorded.tags().eq(self.tags.iter().map(String::as_str)), "tags"),
            (tenant == self.tenant.as_ref().map(TenantId::as_ref), "tenant_id"),
            (recorded.metadata().is_ok_and(|own| own == self.metadata), "metadata"),
            (actor == self.actor.as_ref().map(ActorId::as_ref), "actor_id"),
            (recorded.correlation_id() == self.correlation_id, "correlation_id"),
            (recorded.causation_id() == self.causation_id, "causation_id"),
            (recorded.event_version() == self.event_version.unwrap_or(1), "event_version"),
            (recorded.content_type() == self.content_type, "content_type"),
        ];
        same.into_iter().find(|(is_same, _)| !is_same).map(|(_, field)| field)
    }
}

/// Why a line is no event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is a list of JSON, or the beginning of one.
    Array,
    /// It ends within an object.
    Unfinished(String),
    /// Anything else.
    Other(String),
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Other(reason)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Array => "a JSON array, not an object",
            Self::Unfinished(reason) | Self::Other(reason) => reason,
        })
    }
}

/// Reads a line. The refusal says what is wrong with it, and where.
pub(crate) fn parse(line: &[u8]) -> Result<ParsedLine, Refusal> {
    let text = std::str::from_utf8(line).map_err(|error| {
        format!("not UTF-8: byte {} does not belong to a character", error.valid_up_to() + 1)
    })?;
    match text.trim_start().chars().next() {
        Some('{') => {}
        Some('[') => return Err(Refusal::Array),
        _ => return Err("not a JSON object".to_owned().into()),
    }
    let fields: Fields<'_> = serde_json::from_str(text).map_err(|error| match error.is_eof() {
        true => Refusal::Unfinished(explained(&error)),
        false => Refusal::Other(explained(&error)),
    })?;
    fields.into_parsed().map_err(Refusal::Other)
}

/// The fields of a line as they stand in it.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(borrow)]
    aggregate_type: Option<&'a RawValue>,
    aggregate_id: Option<&'a RawValue>,
    event_type: Option<&'a RawValue>,
    occurred_at: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    data_base64: Option<&'a RawValue>,
    content_type: Option<&'a RawValue>,
    event_id: Option<&'a RawValue>,
    event_version: Option<&'a RawValue>,
    tenant_id: Option<&'a RawValue>,
    actor_id: Option<&'a RawValue>,
    correlation_id: Option<&'a RawValue>,
    causation_id: Option<&'a RawValue>,
    tags: Option<&'a RawValue>,
    metadata: Option<&'a RawValue>,
    aggregate_version: Option<&'a RawValue>,
    #[serde(rename = "global_position")]
    _global_position: Option<IgnoredAny>,
    #[serde(rename = "stream_version")]
    _stream_version: Option<IgnoredAny>,
    #[serde(rename = "recorded_at")]
    _recorded_at: Option<IgnoredAny>,
}

impl Fields<'_> {
    fn into_parsed(self) -> Result<ParsedLine, String> {
        let aggregate_type = required("aggregate_type", self.aggregate_type)?;
        let aggregate_id = required("aggregate_id", self.aggregate_id)?;
        let event_type = required("event_type", self.event_type)?.into_owned();
        let time = |text: Cow<'_, str>| {
            moment::parse(&text).map_err(|error| format!("`occurred_at`: {error}"))
        };
        let (payload, content_type) = self.payload()?;
        Ok(ParsedLine {
            stream: StreamId::new(&aggregate_type, &aggregate_id).map_err(said)?,
            event_id: uuid("event_id", self.event_id)?.map(EventId::from_uuid),
            event_type,
            payload: payload.into(),
            content_type,
            occurred_at: text("occurred_at", self.occurred_at)?.map(time).transpose()?,
            event_version: number("event_version", self.event_version, u32::MAX.into())?,
            claimed_version: number("aggregate_version", self.aggregate_version, u64::MAX)?,
            tenant: text("tenant_id", self.tenant_id)?
                .map(TenantId::new)
                .transpose()
                .map_err(said)?,
            actor: text("actor_id", self.actor_id)?.map(ActorId::new).transpose().map_err(said)?,
            correlation_id: uuid("correlation_id", self.correlation_id)?,
            causation_id: uuid("causation_id", self.causation_id)?,
            tags: self.tags()?,
            metadata: self.metadata()?,
        })
    }

    fn tags(&self) -> Result<Vec<String>, String> {
        let Some(list) = self.tags else { return Ok(Vec::new()) };
        let tags: Vec<&RawValue> = serde_json::from_str(list.get())
            .map_err(|_| unexpected("tags", list, "a list of texts"))?;
        let tags = tags.into_iter().map(|tag| text("tags", present_value(tag)));
        tags.filter_map(Result::transpose).map(|tag| tag.map(Cow::into_owned)).collect()
    }

    fn metadata(&self) -> Result<Metadata, String> {
        let mut metadata = Metadata::new();
        let Some(object) = self.metadata else { return Ok(metadata) };
        let Entries(entries) = serde_json::from_str(object.get())
            .map_err(|_| unexpected("metadata", object, "an object of texts"))?;
        for (key, value) in entries {
            let field = format!("metadata.{}", key.escape_debug());
            let Some(value) = text(&field, present_value(value))? else { continue };
            if metadata.insert(key, value.into_owned()).is_some() {
                return Err(format!("`{field}` is given twice"));
            }
        }
        Ok(metadata)
    }

    fn payload(&self) -> Result<(Vec<u8>, ContentType), String> {
        let given = self.content_type.map(content_type_of).transpose()?;
        let packed = text("data_base64", self.data_base64)?;
        // `null` is JSON where JSON is expected, and else nothing.
        let may_be_null = packed.is_none() && matches!(given, None | Some(ContentType::Json));
        let data = self.data.filter(|data| may_be_null || data.get() != "null");
        match (data, packed) {
            (Some(_), Some(_)) => Err("both `data` and `data_base64` are given".into()),
            (None, None) => Ok((Vec::new(), given.unwrap_or_default())),
            (None, Some(text)) => match base64::decode(&text) {
                Some(payload) => Ok((payload, given.unwrap_or_default())),
                None => Err("`data_base64` is not base 64 with padding".into()),
            },
            (Some(data), None) => payload_of_data(data, given.unwrap_or(ContentType::Json)),
        }
    }
}

fn payload_of_data(
    data: &RawValue,
    content_type: ContentType,
) -> Result<(Vec<u8>, ContentType), String> {
    match content_type {
        ContentType::Json => Ok((data.get().as_bytes().to_vec(), content_type)),
        ContentType::Text => match text("data", Some(data)) {
            Ok(text) => Ok((text.unwrap_or_default().into_owned().into_bytes(), content_type)),
            Err(reason) => Err(format!("{reason}, as its `content_type` says")),
        },
        other => {
            let name = content_type::name(other);
            Err(format!("data of content type {name} is given as `data_base64`"))
        }
    }
}

fn content_type_of(value: &RawValue) -> Result<ContentType, String> {
    let name = match serde_json::from_str::<u8>(value.get()) {
        Ok(number) => number.to_string(),
        Err(_) => text("content_type", Some(value))?.unwrap_or_default().into_owned(),
    };
    content_type::of_name(&name).ok_or_else(|| {
        format!(
            "`content_type`: \"{}\" is not known; it is `json`, `text`, `bytes`, `bincode` or a number of at \
             most 255",
            name.escape_debug()
        )
    })
}

/// The entries of an object, those that are there twice included.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct EntriesVisitor;

        impl<'de> Visitor<'de> for EntriesVisitor {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        input.deserialize_map(EntriesVisitor)
    }
}

/// A text, borrowed where it stands in the line without escapes.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Tells `null`, which is a value, from a field that is not there.
fn present<'de, D: Deserializer<'de>>(input: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(input).map(Some)
}

/// Returns a value unless it is `null`.
fn present_value(value: &RawValue) -> Option<&RawValue> {
    Some(value).filter(|value| value.get() != "null")
}

fn required<'a>(field: &str, value: Option<&'a RawValue>) -> Result<Cow<'a, str>, String> {
    text(field, value)?.ok_or_else(|| format!("`{field}` is missing"))
}

fn text<'a>(field: &str, value: Option<&'a RawValue>) -> Result<Option<Cow<'a, str>>, String> {
    let Some(value) = value else { return Ok(None) };
    match serde_json::from_str(value.get()) {
        Ok(Text(text)) => Ok(Some(text)),
        Err(error) if value.get().starts_with('"') => {
            Err(format!("`{field}`: {}", explained(&error)))
        }
        Err(_) => Err(unexpected(field, value, "a text")),
    }
}

fn number<T: DeserializeOwned>(
    field: &str,
    value: Option<&RawValue>,
    most: u64,
) -> Result<Option<T>, String> {
    let Some(value) = value else { return Ok(None) };
    match serde_json::from_str(value.get()) {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(unexpected(field, value, &format!("a number from 0 to {most}"))),
    }
}

fn uuid(field: &str, value: Option<&RawValue>) -> Result<Option<Uuid>, String> {
    let Some(text) = text(field, value)? else { return Ok(None) };
    match Uuid::try_parse(&text) {
        Ok(uuid) => Ok(Some(uuid)),
        Err(_) => Err(format!("`{field}`: \"{}\" is not a UUID", text.escape_debug())),
    }
}

/// Says that a field has a value of the wrong type.
fn unexpected(field: &str, value: &RawValue, expected: &str) -> String {
    const CHARACTERS_SHOWN_MAX: usize = 40;
    let mut characters = value.get().chars();
    let shown: String = characters.by_ref().take(CHARACTERS_SHOWN_MAX).flat_map(shown).collect();
    let more = if characters.next().is_some() { "..." } else { "" };
    format!("`{field}: {shown}{more}`: expected {expected}")
}

/// Escapes a character that is not to be seen, but not what is an escape in JSON already.
fn shown(character: char) -> impl Iterator<Item = char> {
    let is_seen = matches!(character, '"' | '\'' | '\\');
    let escaped = (!is_seen).then(|| character.escape_debug());
    escaped.into_iter().flatten().chain(is_seen.then_some(character))
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map_err`")]
fn said(error: annals::Error) -> String {
    error.to_string()
}

/// Leaves out the number of the line within the line, which is always 1 and would mislead, and the list of
/// every field that is known.
fn explained(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let (reason, column) = match text.rsplit_once(" at line ") {
        Some((reason, _)) if error.line() > 0 => (reason, format!(" at column {}", error.column())),
        _ => (text.as_str(), String::new()),
    };
    match reason.split_once(", expected one of ") {
        Some((reason, _)) => {
            format!("{reason}{column}; `annals import --help` lists those there are")
        }
        None => format!("{reason}{column}"),
    }
}
