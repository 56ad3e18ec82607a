//! An event as the store gives it back: a view of shared bytes.
//!
//! It knows where its parts lie in the bytes, not how they are laid out on disk; that is the business
//! of `format`.

use std::fmt;

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

use super::{
    ContentType, EventId, Metadata, NewEvent, TAG_SEPARATOR, encoded_metadata, joined_tags,
};
use crate::encoding;
use crate::error::{Error, Result};
use crate::position::{GlobalPosition, StreamVersion};
use crate::stream::{AggregateId, IdRef, StreamId};
use crate::timestamp::Timestamp;

/// Where a part of an event lies within the event's bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) length: u32,
}

/// As [`Span`], for what stands before metadata and payload: all that is bounded by 64 KiB.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ShortSpan {
    pub(crate) start: u16,
    pub(crate) length: u16,
}

/// Where an id lies within the event's bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum IdSpan {
    /// The offset of its 16 bytes.
    Uuid(u16),
    Text(ShortSpan),
}

/// Everything about a recorded event that is not in its bytes, and where the rest lies in them.
///
/// Small on purpose: an event is moved several times on its way to whoever reads it.
///
/// Whoever makes one guarantees that the spans lie within the bytes and that those of texts are
/// UTF-8 that keeps the rules of names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventParts {
    pub(crate) global_position: GlobalPosition,
    pub(crate) stream_version: StreamVersion,
    pub(crate) recorded_at: Timestamp,
    pub(crate) occurred_at: Timestamp,
    pub(crate) event_version: u32,
    pub(crate) metadata: Span,
    pub(crate) payload: Span,
    /// The offset of the event id's 16 bytes, as those of the other two.
    pub(crate) event_id: u16,
    pub(crate) correlation_id: Option<u16>,
    pub(crate) causation_id: Option<u16>,
    pub(crate) content_type: ContentType,
    pub(crate) aggregate_type: ShortSpan,
    pub(crate) aggregate_id: IdSpan,
    pub(crate) event_type: ShortSpan,
    pub(crate) tenant: Option<IdSpan>,
    pub(crate) actor: Option<IdSpan>,
    pub(crate) tags: ShortSpan,
}

const _: () = assert!(size_of::<RecordedEvent>() <= 128, "two cache lines");

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
            event_version: event.event_version,
            content_type: event.content_type,
            event_id: packing.add_uuid(event.event_id.as_uuid()),
            correlation_id: event.correlation_id.map(|id| packing.add_uuid(id)),
            causation_id: event.causation_id.map(|id| packing.add_uuid(id)),
            aggregate_type: packing.add_short(stream.aggregate_type().as_bytes()),
            aggregate_id: packing.add_id(stream.aggregate_id().as_ref()),
            event_type: packing.add_short(event.event_type.as_bytes()),
            tenant: event.tenant.as_ref().map(|tenant| packing.add_id(tenant.as_ref())),
            actor: event.actor.as_ref().map(|actor| packing.add_id(actor.as_ref())),
            tags: packing.add_short(joined_tags(&event.tags).as_bytes()),
            metadata: packing.add(&encoded_metadata(&event.metadata)?),
            payload: packing.add(&event.payload),
        };
        Ok(Self { bytes: packing.0.freeze(), parts })
    }

    /// Returns the event's place in the whole store.
    #[inline]
    pub fn global_position(&self) -> GlobalPosition {
        self.parts.global_position
    }

    /// Returns the event's place in its stream.
    #[doc(alias = "aggregate_version")]
    #[doc(alias = "stream_position")]
    #[inline]
    pub fn stream_version(&self) -> StreamVersion {
        self.parts.stream_version
    }

    /// Returns when the store recorded the event; never decreases along global positions.
    #[doc(alias = "stored_at")]
    #[inline]
    pub fn recorded_at(&self) -> Timestamp {
        self.parts.recorded_at
    }

    /// Returns when the event happened, as its author said; otherwise when it was recorded.
    #[inline]
    pub fn occurred_at(&self) -> Timestamp {
        self.parts.occurred_at
    }

    /// Returns the event id.
    #[inline]
    pub fn event_id(&self) -> EventId {
        EventId::from_uuid(self.uuid(self.parts.event_id))
    }

    /// Returns the event type.
    #[inline]
    pub fn event_type(&self) -> &str {
        self.text(self.parts.event_type)
    }

    /// Returns the version of the payload's schema.
    #[inline]
    pub fn event_version(&self) -> u32 {
        self.parts.event_version
    }

    /// Returns the stream as a value of its own; to compare without a copy use
    /// [`is_in`](Self::is_in).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] when the recorded names break the rules for names, which only a faulty
    /// writer can bring about.
    #[doc(alias = "stream_id")]
    pub fn stream(&self) -> Result<StreamId> {
        StreamId::of(self.aggregate_type(), AggregateId::try_from(self.aggregate_id())?)
    }

    /// Tells whether the event belongs to `stream`.
    #[inline]
    pub fn is_in(&self, stream: &StreamId) -> bool {
        let is_id = match (self.parts.aggregate_id, stream.aggregate_id().as_ref()) {
            (IdSpan::Uuid(start), IdRef::Uuid(uuid)) => self.uuid(start) == uuid,
            (IdSpan::Text(span), IdRef::Text(text)) => self.short(span) == text.as_bytes(),
            _ => false,
        };
        is_id && self.short(self.parts.aggregate_type) == stream.aggregate_type().as_bytes()
    }

    /// Returns the aggregate type.
    #[inline]
    pub fn aggregate_type(&self) -> &str {
        self.text(self.parts.aggregate_type)
    }

    /// Returns the aggregate id.
    #[inline]
    pub fn aggregate_id(&self) -> IdRef<'_> {
        self.id(self.parts.aggregate_id)
    }

    /// Returns the tenant the event belongs to, if any.
    #[doc(alias = "tenant_id")]
    #[inline]
    pub fn tenant(&self) -> Option<IdRef<'_>> {
        self.parts.tenant.map(|tenant| self.id(tenant))
    }

    /// Returns who caused the event, if recorded.
    #[doc(alias = "actor_id")]
    #[inline]
    pub fn actor(&self) -> Option<IdRef<'_>> {
        self.parts.actor.map(|actor| self.id(actor))
    }

    /// Returns the id shared by everything that one request led to, if recorded.
    #[inline]
    pub fn correlation_id(&self) -> Option<Uuid> {
        self.parts.correlation_id.map(|start| self.uuid(start))
    }

    /// Returns the id of what directly led to this event, if recorded.
    #[inline]
    pub fn causation_id(&self) -> Option<Uuid> {
        self.parts.causation_id.map(|start| self.uuid(start))
    }

    /// Iterates over the tags, in the order in which they were given.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        self.text(self.parts.tags).split(TAG_SEPARATOR).filter(|tag| !tag.is_empty())
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
        match self.long(self.parts.metadata) {
            [] => Ok(Metadata::new()),
            bytes => encoding::decode(bytes).map_err(Error::payload),
        }
    }

    /// Returns how the payload is encoded.
    #[inline]
    pub fn content_type(&self) -> ContentType {
        self.parts.content_type
    }

    /// Returns the payload.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        self.long(self.parts.payload)
    }

    /// Returns the payload as shared bytes, without a copy.
    pub fn payload_bytes(&self) -> Bytes {
        self.bytes.slice_ref(self.payload())
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

    #[inline]
    fn slice(&self, start: usize, length: usize) -> &[u8] {
        let rest = self.bytes.get(start..).unwrap_or_default();
        rest.get(..length).unwrap_or_default()
    }

    #[inline]
    fn long(&self, span: Span) -> &[u8] {
        self.slice(span.start as usize, span.length as usize)
    }

    #[inline]
    fn short(&self, span: ShortSpan) -> &[u8] {
        self.slice(span.start.into(), span.length.into())
    }

    #[inline]
    fn text(&self, span: ShortSpan) -> &str {
        std::str::from_utf8(self.short(span)).unwrap_or_default()
    }

    #[inline]
    fn uuid(&self, start: u16) -> Uuid {
        let bytes = self.bytes.get(start.into()..).and_then(<[u8]>::first_chunk);
        Uuid::from_bytes(bytes.copied().unwrap_or_default())
    }

    #[inline]
    fn id(&self, id: IdSpan) -> IdRef<'_> {
        match id {
            IdSpan::Uuid(start) => IdRef::Uuid(self.uuid(start)),
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
            let ids = (event.event_id(), event.correlation_id(), event.causation_id());
            (ids, event.event_version())
        };
        identity(self) == identity(other)
            && origin(self) == origin(other)
            && self.content_type() == other.content_type()
            && self.aggregate_type() == other.aggregate_type()
            && self.aggregate_id() == other.aggregate_id()
            && self.event_type() == other.event_type()
            && self.tenant() == other.tenant()
            && self.actor() == other.actor()
            && self.text(self.parts.tags) == other.text(other.parts.tags)
            && self.long(self.parts.metadata) == other.long(other.parts.metadata)
            && self.payload() == other.payload()
    }
}

impl Eq for RecordedEvent {}

/// Packs the parts of an event into one buffer: first what is short.
#[derive(Default)]
struct Packing(BytesMut);

#[expect(
    clippy::cast_possible_truncation,
    reason = "names, ids and tags together are smaller than 64 KiB, and an event is smaller than a \
              commit, whose limit is 64 MiB"
)]
impl Packing {
    fn add(&mut self, bytes: &[u8]) -> Span {
        let start = self.0.len() as u32;
        self.0.extend_from_slice(bytes);
        Span { start, length: bytes.len() as u32 }
    }

    fn add_short(&mut self, bytes: &[u8]) -> ShortSpan {
        let Span { start, length } = self.add(bytes);
        ShortSpan { start: start as u16, length: length as u16 }
    }

    fn add_uuid(&mut self, uuid: Uuid) -> u16 {
        self.add_short(uuid.as_bytes()).start
    }

    fn add_id(&mut self, id: IdRef<'_>) -> IdSpan {
        match id {
            IdRef::Uuid(uuid) => IdSpan::Uuid(self.add_uuid(uuid)),
            IdRef::Text(text) => IdSpan::Text(self.add_short(text.as_bytes())),
        }
    }
}
