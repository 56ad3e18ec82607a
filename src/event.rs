//! Events: one to be recorded, and one that has been.
//!
//! A `NewEvent` is plain owned data; its names are checked when it is appended. A `RecordedEvent` is
//! a cheap view of bytes that it shares with whoever read them: cloning it or taking its payload
//! copies nothing. It knows where its parts lie, not how they are laid out on disk; that is the
//! business of `format`.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use crate::encoding;
use crate::error::{Error, Result};
use crate::position::{GlobalPosition, StreamVersion};
use crate::stream::{ActorId, IdRef, StreamId, TenantId};
use crate::timestamp::Timestamp;

/// Text keys and values that travel with an event beside its payload.
pub type Metadata = BTreeMap<String, String>;

/// Separates the tags of one event where they are kept as one text; no tag holds a control
/// character.
pub(crate) const TAG_SEPARATOR: char = '\n';

/// Identifies an event for ever, across retries and stores.
///
/// # Examples
///
/// ```
/// use annals::EventId;
///
/// let id = EventId::generate();
/// assert_eq!(id.as_uuid().get_version_num(), 7);
/// assert_eq!(id.to_string().parse::<EventId>()?, id);
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId(Uuid);

impl EventId {
    /// Returns a new id: a UUID of version 7, which grows with time.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// Wraps a UUID of any version.
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// Returns the UUID.
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for EventId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl std::str::FromStr for EventId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match Uuid::try_parse(text) {
            Ok(uuid) => Ok(Self(uuid)),
            Err(_) => Err(Error::invalid_name("event id", text, "it is not a UUID")),
        }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({})", self.0)
    }
}

/// Says how a payload is encoded; recorded with each event.
///
/// # Examples
///
/// ```
/// use annals::{ContentType, NewEvent};
///
/// let event = NewEvent::new("Renamed", "a new name").content_type(ContentType::Text);
/// assert_eq!(event.payload_content_type(), ContentType::Text);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ContentType {
    /// Bytes that only the application understands.
    #[default]
    Bytes,
    /// UTF-8 text.
    Text,
    /// JSON.
    Json,
    /// bincode 2 with its standard configuration.
    Bincode,
    /// A number this version has no name for, kept as it was recorded.
    Other(u8),
}

/// An event to be recorded.
///
/// Made by [`new`](Self::new) and the methods that set what is optional. The event id is chosen when
/// the event is made, so appending the same value again is recognised as a retry (CONTRACT A3).
/// Names and sizes are checked when it is appended.
///
/// # Examples
///
/// ```
/// use annals::{NewEvent, TenantId};
///
/// let event = NewEvent::new("WorkoutScheduled", r#"{"day":"monday"}"#)
///     .tag("athlete:7")
///     .tenant(TenantId::new("club-1")?)
///     .metadata("source", "mobile");
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[doc(alias = "DomainEvent")]
pub struct NewEvent {
    pub(crate) event_id: EventId,
    pub(crate) event_type: String,
    pub(crate) event_version: u32,
    pub(crate) occurred_at: Option<Timestamp>,
    pub(crate) claimed_version: Option<StreamVersion>,
    pub(crate) tenant: Option<TenantId>,
    pub(crate) actor: Option<ActorId>,
    pub(crate) correlation_id: Option<Uuid>,
    pub(crate) causation_id: Option<Uuid>,
    pub(crate) tags: Vec<String>,
    pub(crate) metadata: Metadata,
    pub(crate) content_type: ContentType,
    pub(crate) payload: Bytes,
}

impl NewEvent {
    /// Makes an event of a type with a payload, and a new event id.
    pub fn new(event_type: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self {
            event_id: EventId::generate(),
            event_type: event_type.into(),
            event_version: 1,
            occurred_at: None,
            claimed_version: None,
            tenant: None,
            actor: None,
            correlation_id: None,
            causation_id: None,
            tags: Vec::new(),
            metadata: Metadata::new(),
            content_type: ContentType::default(),
            payload: payload.into(),
        }
    }

    /// Makes an event whose payload is `value` encoded with bincode.
    ///
    /// # Errors
    ///
    /// [`Error::Payload`] when the value can not be encoded.
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::NewEvent;
    ///
    /// let event = NewEvent::bincode("Moved", &(3_u32, 4_u32))?;
    /// # Ok::<(), annals::Error>(())
    /// ```
    pub fn bincode<T: serde::Serialize>(event_type: impl Into<String>, value: &T) -> Result<Self> {
        let payload = encoding::encode(value).map_err(Error::payload)?;
        Ok(Self::new(event_type, payload).content_type(ContentType::Bincode))
    }

    /// Makes an event whose payload is `value` as JSON.
    ///
    /// # Errors
    ///
    /// [`Error::Payload`] when the value can not be encoded.
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::NewEvent;
    ///
    /// let event = NewEvent::json("Moved", &serde_json::json!({ "x": 3, "y": 4 }))?;
    /// # Ok::<(), annals::Error>(())
    /// ```
    #[cfg(feature = "json")]
    pub fn json<T: serde::Serialize>(event_type: impl Into<String>, value: &T) -> Result<Self> {
        let payload = serde_json::to_vec(value).map_err(Error::payload)?;
        Ok(Self::new(event_type, payload).content_type(ContentType::Json))
    }

    /// Sets the event id, such as one derived from the input so that importing twice is harmless.
    #[must_use]
    pub fn id(self, event_id: impl Into<EventId>) -> Self {
        Self { event_id: event_id.into(), ..self }
    }

    /// Sets the version of the payload's schema; 1 when not set.
    #[must_use]
    pub fn event_version(self, event_version: u32) -> Self {
        Self { event_version, ..self }
    }

    /// Sets when the event happened; when not set, that is when it is recorded.
    #[must_use]
    pub fn occurred_at(self, occurred_at: Timestamp) -> Self {
        Self { occurred_at: Some(occurred_at), ..self }
    }

    /// Claims the stream version the event must get; another one is an error (CONTRACT S4).
    #[must_use]
    #[doc(alias = "aggregate_version")]
    pub fn claims_version(self, version: impl Into<StreamVersion>) -> Self {
        Self { claimed_version: Some(version.into()), ..self }
    }

    /// Sets the tenant the event belongs to.
    #[must_use]
    #[doc(alias = "tenant_id")]
    pub fn tenant(self, tenant: impl Into<TenantId>) -> Self {
        Self { tenant: Some(tenant.into()), ..self }
    }

    /// Sets who caused the event.
    #[must_use]
    #[doc(alias = "actor_id")]
    pub fn actor(self, actor: impl Into<ActorId>) -> Self {
        Self { actor: Some(actor.into()), ..self }
    }

    /// Sets the id shared by everything that one request led to.
    #[must_use]
    pub fn correlation_id(self, correlation_id: Uuid) -> Self {
        Self { correlation_id: Some(correlation_id), ..self }
    }

    /// Sets the id of the event or command that directly led to this event.
    #[must_use]
    pub fn causation_id(self, causation_id: Uuid) -> Self {
        Self { causation_id: Some(causation_id), ..self }
    }

    /// Adds a tag: 1 to 255 bytes without control characters, at most 64 an event.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Adds an entry to the metadata, in place of one with the same key.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Sets how the payload is encoded; [`ContentType::Bytes`] when not set.
    #[must_use]
    pub fn content_type(self, content_type: ContentType) -> Self {
        Self { content_type, ..self }
    }

    /// Returns the event id.
    pub fn event_id(&self) -> EventId {
        self.event_id
    }

    /// Returns the event type.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// Returns the payload.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Returns how the payload is encoded.
    pub fn payload_content_type(&self) -> ContentType {
        self.content_type
    }
}

/// Where a part of an event lies within the event's bytes.
pub(crate) type Span = Range<u32>;

/// An id within the event's bytes, or the UUID that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IdSpan {
    Uuid(Uuid),
    Text(Span),
}

/// Everything about a recorded event that is not in its bytes, and where the rest lies in them.
///
/// Whoever makes one guarantees that the spans lie within the bytes and that those of texts are
/// UTF-8 that keeps the rules of names.
#[derive(Debug, Clone)]
pub(crate) struct EventParts {
    pub(crate) global_position: GlobalPosition,
    pub(crate) stream_version: StreamVersion,
    pub(crate) recorded_at: Timestamp,
    pub(crate) occurred_at: Timestamp,
    pub(crate) event_id: EventId,
    pub(crate) event_version: u32,
    pub(crate) content_type: ContentType,
    pub(crate) correlation_id: Option<Uuid>,
    pub(crate) causation_id: Option<Uuid>,
    pub(crate) aggregate_type: Span,
    pub(crate) aggregate_id: IdSpan,
    pub(crate) event_type: Span,
    pub(crate) tenant: Option<IdSpan>,
    pub(crate) actor: Option<IdSpan>,
    pub(crate) tags: Span,
    pub(crate) metadata: Span,
    pub(crate) payload: Span,
}

/// An event as the store gives it back.
///
/// A view of shared bytes: cloning it and taking its [`payload`](Self::payload) copy nothing, and it
/// stays valid after the store is closed. A small event keeps the block it was read from alive; copy
/// what is to be kept for long.
///
/// # Examples
///
/// ```
/// use annals::{EventStore, ExpectedVersion, MemoryStore, NewEvent, StreamId};
///
/// let store = MemoryStore::new();
/// let stream = StreamId::new("Task", "task-1")?;
/// store.append(&stream, ExpectedVersion::NoStream, vec![NewEvent::new("Created", "tea")])?;
///
/// let event = store.load_stream(&stream, Default::default())?.events()[0].clone();
/// assert_eq!(event.event_type(), "Created");
/// assert_eq!(event.payload(), b"tea");
/// assert_eq!(event.global_position().get(), 1);
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Clone)]
#[doc(alias = "StoredEvent")]
pub struct RecordedEvent {
    bytes: Bytes,
    parts: EventParts,
}

impl RecordedEvent {
    /// Puts a recorded event together; see [`EventParts`] for what the caller guarantees.
    pub(crate) fn from_parts(bytes: Bytes, parts: EventParts) -> Self {
        Self { bytes, parts }
    }

    /// Records an event in memory, in bytes of its own.
    pub(crate) fn from_new(
        event: &NewEvent,
        stream: &StreamId,
        stream_version: StreamVersion,
        global_position: GlobalPosition,
        recorded_at: Timestamp,
    ) -> Result<Self> {
        let mut packing = Packing::default();
        let parts = EventParts {
            global_position,
            stream_version,
            recorded_at,
            occurred_at: event.occurred_at.unwrap_or(recorded_at),
            event_id: event.event_id,
            event_version: event.event_version,
            content_type: event.content_type,
            correlation_id: event.correlation_id,
            causation_id: event.causation_id,
            aggregate_type: packing.add(stream.aggregate_type().as_bytes()),
            aggregate_id: packing.add_id(stream.aggregate_id().as_ref()),
            event_type: packing.add(event.event_type.as_bytes()),
            tenant: event.tenant.as_ref().map(|tenant| packing.add_id(tenant.as_ref())),
            actor: event.actor.as_ref().map(|actor| packing.add_id(actor.as_ref())),
            tags: packing.add(joined_tags(&event.tags).as_bytes()),
            metadata: packing.add(&encoded_metadata(&event.metadata)?),
            payload: packing.add(&event.payload),
        };
        Ok(Self { bytes: packing.0.freeze(), parts })
    }

    /// Returns the event's place in the whole store.
    pub fn global_position(&self) -> GlobalPosition {
        self.parts.global_position
    }

    /// Returns the event's place in its stream.
    #[doc(alias = "aggregate_version")]
    #[doc(alias = "stream_position")]
    pub fn stream_version(&self) -> StreamVersion {
        self.parts.stream_version
    }

    /// Returns when the store recorded the event; never decreases along global positions.
    #[doc(alias = "stored_at")]
    pub fn recorded_at(&self) -> Timestamp {
        self.parts.recorded_at
    }

    /// Returns when the event happened, as its author said; otherwise when it was recorded.
    pub fn occurred_at(&self) -> Timestamp {
        self.parts.occurred_at
    }

    /// Returns the event id.
    pub fn event_id(&self) -> EventId {
        self.parts.event_id
    }

    /// Returns the event type.
    pub fn event_type(&self) -> &str {
        self.text(&self.parts.event_type)
    }

    /// Returns the version of the payload's schema.
    pub fn event_version(&self) -> u32 {
        self.parts.event_version
    }

    /// Returns the stream as a value of its own; to compare without a copy use
    /// [`is_in`](Self::is_in).
    #[doc(alias = "stream_id")]
    pub fn stream(&self) -> Result<StreamId> {
        StreamId::of(
            self.aggregate_type(),
            crate::stream::AggregateId::try_from(self.aggregate_id())?,
        )
    }

    /// Tells whether the event belongs to `stream`.
    pub fn is_in(&self, stream: &StreamId) -> bool {
        self.aggregate_id() == stream.aggregate_id().as_ref()
            && self.aggregate_type() == stream.aggregate_type()
    }

    /// Returns the aggregate type.
    pub fn aggregate_type(&self) -> &str {
        self.text(&self.parts.aggregate_type)
    }

    /// Returns the aggregate id.
    pub fn aggregate_id(&self) -> IdRef<'_> {
        self.id(&self.parts.aggregate_id)
    }

    /// Returns the tenant the event belongs to, if any.
    #[doc(alias = "tenant_id")]
    pub fn tenant(&self) -> Option<IdRef<'_>> {
        self.parts.tenant.as_ref().map(|tenant| self.id(tenant))
    }

    /// Returns who caused the event, if recorded.
    #[doc(alias = "actor_id")]
    pub fn actor(&self) -> Option<IdRef<'_>> {
        self.parts.actor.as_ref().map(|actor| self.id(actor))
    }

    /// Returns the id shared by everything that one request led to, if recorded.
    pub fn correlation_id(&self) -> Option<Uuid> {
        self.parts.correlation_id
    }

    /// Returns the id of what directly led to this event, if recorded.
    pub fn causation_id(&self) -> Option<Uuid> {
        self.parts.causation_id
    }

    /// Iterates over the tags, in the order in which they were given.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.text(&self.parts.tags).split(TAG_SEPARATOR).filter(|tag| !tag.is_empty())
    }

    /// Tells whether the event has a tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags().any(|own| own == tag)
    }

    /// Decodes the metadata.
    ///
    /// # Errors
    ///
    /// [`Error::Payload`] when the recorded bytes are no metadata, which only a faulty writer can
    /// bring about.
    pub fn metadata(&self) -> Result<Metadata> {
        match self.slice(&self.parts.metadata) {
            [] => Ok(Metadata::new()),
            bytes => encoding::decode(bytes).map_err(Error::payload),
        }
    }

    /// Returns how the payload is encoded.
    pub fn content_type(&self) -> ContentType {
        self.parts.content_type
    }

    /// Returns the payload.
    pub fn payload(&self) -> &[u8] {
        self.slice(&self.parts.payload)
    }

    /// Returns the payload as shared bytes, without a copy.
    pub fn payload_bytes(&self) -> Bytes {
        let Span { start, end } = self.parts.payload;
        self.bytes.slice(start as usize..end as usize)
    }

    /// Decodes a payload that was made by [`NewEvent::bincode`].
    ///
    /// # Errors
    ///
    /// [`Error::Payload`] when the bytes are no value of this type.
    ///
    /// # Examples
    ///
    /// ```
    /// # use annals::{EventStore, ExpectedVersion, MemoryStore, NewEvent, StreamId};
    /// # let store = MemoryStore::new();
    /// # let stream = StreamId::new("Robot", "1")?;
    /// let moved = NewEvent::bincode("Moved", &(3_u32, 4_u32))?;
    /// store.append(&stream, ExpectedVersion::Any, vec![moved])?;
    /// for event in store.read_stream(&stream, Default::default())? {
    ///     assert_eq!(event?.decode_bincode::<(u32, u32)>()?, (3, 4));
    /// }
    /// # Ok::<(), annals::Error>(())
    /// ```
    pub fn decode_bincode<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        encoding::decode(self.payload()).map_err(Error::payload)
    }

    /// Decodes a payload that is JSON.
    ///
    /// # Errors
    ///
    /// [`Error::Payload`] when the bytes are no JSON of this type.
    ///
    /// # Examples
    ///
    /// ```
    /// # use annals::{EventStore, ExpectedVersion, MemoryStore, NewEvent, StreamId};
    /// # let store = MemoryStore::new();
    /// # let stream = StreamId::new("Robot", "1")?;
    /// let moved = NewEvent::json("Moved", &serde_json::json!({ "x": 3 }))?;
    /// store.append(&stream, ExpectedVersion::Any, vec![moved])?;
    /// for event in store.read_stream(&stream, Default::default())? {
    ///     assert_eq!(event?.decode_json::<serde_json::Value>()?["x"], 3);
    /// }
    /// # Ok::<(), annals::Error>(())
    /// ```
    #[cfg(feature = "json")]
    pub fn decode_json<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T> {
        serde_json::from_slice(self.payload()).map_err(Error::payload)
    }

    fn slice(&self, span: &Span) -> &[u8] {
        self.bytes.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    fn text(&self, span: &Span) -> &str {
        std::str::from_utf8(self.slice(span)).unwrap_or_default()
    }

    fn id<'a>(&'a self, span: &'a IdSpan) -> IdRef<'a> {
        match span {
            IdSpan::Uuid(uuid) => IdRef::Uuid(*uuid),
            IdSpan::Text(span) => IdRef::Text(self.text(span)),
        }
    }
}

impl fmt::Debug for RecordedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedEvent")
            .field("global_position", &self.global_position())
            .field("aggregate_type", &self.aggregate_type())
            .field("aggregate_id", &self.aggregate_id())
            .field("stream_version", &self.stream_version())
            .field("event_type", &self.event_type())
            .field("event_id", &self.event_id())
            .field("recorded_at", &self.recorded_at())
            .field("payload_bytes", &self.payload().len())
            .finish_non_exhaustive()
    }
}

/// Equal when every field is, payload included.
impl PartialEq for RecordedEvent {
    fn eq(&self, other: &Self) -> bool {
        let identity = |event: &Self| {
            let parts = &event.parts;
            (parts.global_position, parts.stream_version, parts.recorded_at, parts.occurred_at)
        };
        let origin = |event: &Self| {
            let parts = &event.parts;
            (parts.event_id, parts.event_version, parts.correlation_id, parts.causation_id)
        };
        identity(self) == identity(other)
            && origin(self) == origin(other)
            && self.content_type() == other.content_type()
            && self.aggregate_type() == other.aggregate_type()
            && self.aggregate_id() == other.aggregate_id()
            && self.event_type() == other.event_type()
            && self.tenant() == other.tenant()
            && self.actor() == other.actor()
            && self.text(&self.parts.tags) == other.text(&other.parts.tags)
            && self.slice(&self.parts.metadata) == other.slice(&other.parts.metadata)
            && self.payload() == other.payload()
    }
}

impl Eq for RecordedEvent {}

/// Joins tags into the one text in which they are kept.
pub(crate) fn joined_tags(tags: &[String]) -> String {
    tags.join("\n")
}

/// Encodes metadata; an empty map takes no bytes.
pub(crate) fn encoded_metadata(metadata: &Metadata) -> Result<Vec<u8>> {
    match metadata.is_empty() {
        true => Ok(Vec::new()),
        false => encoding::encode(metadata).map_err(Error::payload),
    }
}

/// Packs the variable parts of an event into one buffer.
#[derive(Default)]
struct Packing(BytesMut);

impl Packing {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "an event is smaller than a commit, whose limit is 64 MiB"
    )]
    fn add(&mut self, bytes: &[u8]) -> Span {
        let start = self.0.len() as u32;
        self.0.extend_from_slice(bytes);
        start..self.0.len() as u32
    }

    fn add_id(&mut self, id: IdRef<'_>) -> IdSpan {
        match id {
            IdRef::Uuid(uuid) => IdSpan::Uuid(uuid),
            IdRef::Text(text) => IdSpan::Text(self.add(text.as_bytes())),
        }
    }
}
