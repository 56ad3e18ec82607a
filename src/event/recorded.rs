//! An event as the store gives it back: a view of shared bytes.

use std::fmt;

use bytes::{Buf, Bytes};
use uuid::Uuid;

use super::encoded::{Encoded, as_text, encode};
use super::layout::{EVENT_GLOBAL_POSITION, EVENT_RECORDED_AT, EVENT_STREAM_VERSION};
use super::{ContentType, EventId, Metadata, NewEvent, TAG_SEPARATOR};
use crate::encoding;
use crate::error::{Error, Result};
use crate::position::{GlobalPosition, StreamVersion};
use crate::stream::{AggregateId, IdRef, StreamId};
use crate::timestamp::Timestamp;

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
#[doc(alias = "EventEnvelope")]
pub struct RecordedEvent(Bytes);

const _: () = assert!(size_of::<RecordedEvent>() == size_of::<Bytes>(), "moved as cheaply");

impl RecordedEvent {
    /// Takes the bytes of an event that has been checked, and verified where it comes from a disk.
    #[inline]
    pub(crate) fn of(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Returns what stands for an event where there is none.
    pub(crate) const fn blank() -> Self {
        Self(Bytes::new())
    }

    /// Returns the bytes that it shares: the event is at their beginning, and they may go on behind it.
    #[inline]
    pub(crate) fn shared(&self) -> &Bytes {
        &self.0
    }

    /// Goes on in the shared bytes to what is so many bytes behind, or to their end.
    #[inline]
    pub(crate) fn skip(&mut self, bytes: usize) {
        self.0.advance(bytes.min(self.0.len()));
    }

    /// Records an event in memory, in bytes of its own.
    pub(crate) fn from_new(
        event: &NewEvent,
        stream: &StreamId,
        stream_version: StreamVersion,
        global_position: GlobalPosition,
        recorded_at: Timestamp,
    ) -> Result<Self> {
        let mut bytes = Vec::new();
        encode(&mut bytes, stream, event)?;
        EVENT_STREAM_VERSION.put(&mut bytes, stream_version.get());
        EVENT_GLOBAL_POSITION.put(&mut bytes, global_position.get());
        EVENT_RECORDED_AT.put(&mut bytes, recorded_at.as_micros().cast_unsigned());
        Ok(Self(bytes.into()))
    }

    #[inline]
    fn parts(&self) -> Encoded<'_> {
        Encoded(&self.0)
    }

    /// Returns the event's place in the whole store.
    #[inline]
    pub fn global_position(&self) -> GlobalPosition {
        self.parts().global_position()
    }

    /// Returns the event's place in its stream.
    #[doc(alias = "aggregate_version")]
    #[doc(alias = "stream_position")]
    #[inline]
    pub fn stream_version(&self) -> StreamVersion {
        self.parts().stream_version()
    }

    /// Returns when the store recorded the event; never decreases along global positions.
    #[doc(alias = "stored_at")]
    #[inline]
    pub fn recorded_at(&self) -> Timestamp {
        self.parts().recorded_at()
    }

    /// Returns when the event happened, as its author said; otherwise the time of the store's clock at its
    /// commit, which is when it was recorded unless the clock had stepped back.
    #[inline]
    pub fn occurred_at(&self) -> Timestamp {
        self.parts().occurred_at()
    }

    /// Returns the event id.
    #[inline]
    pub fn event_id(&self) -> EventId {
        EventId::from_uuid(self.parts().event_id())
    }

    /// Returns the event type.
    #[inline]
    pub fn event_type(&self) -> &str {
        as_text(self.parts().event_type())
    }

    /// Returns the version of the payload's schema.
    #[inline]
    pub fn event_version(&self) -> u32 {
        self.parts().event_version()
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
        self.parts().is_in(stream)
    }

    /// Returns the aggregate type.
    #[inline]
    #[doc(alias = "category")]
    pub fn aggregate_type(&self) -> &str {
        as_text(self.parts().aggregate_type())
    }

    /// Returns the aggregate id.
    #[inline]
    pub fn aggregate_id(&self) -> IdRef<'_> {
        self.parts().aggregate_id()
    }

    /// Returns the tenant the event belongs to, if any.
    #[doc(alias = "tenant_id")]
    #[inline]
    pub fn tenant(&self) -> Option<IdRef<'_>> {
        self.parts().tenant()
    }

    /// Returns who caused the event, if recorded.
    #[doc(alias = "actor_id")]
    #[inline]
    pub fn actor(&self) -> Option<IdRef<'_>> {
        self.parts().actor()
    }

    /// Returns the id shared by everything that one request led to, if recorded.
    #[inline]
    pub fn correlation_id(&self) -> Option<Uuid> {
        self.parts().correlation_id()
    }

    /// Returns the id of what directly led to this event, if recorded.
    #[inline]
    pub fn causation_id(&self) -> Option<Uuid> {
        self.parts().causation_id()
    }

    /// Iterates over the tags, in the order in which they were given.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        as_text(self.parts().tags()).split(TAG_SEPARATOR).filter(|tag| !tag.is_empty())
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
        match self.parts().metadata() {
            [] => Ok(Metadata::new()),
            bytes => encoding::decode(bytes).map_err(Error::payload),
        }
    }

    /// Returns how the payload is encoded.
    #[inline]
    pub fn content_type(&self) -> ContentType {
        self.parts().content_type()
    }

    /// Returns the payload.
    #[inline]
    pub fn payload(&self) -> &[u8] {
        self.parts().payload()
    }

    /// Returns the payload as shared bytes, without a copy.
    pub fn payload_bytes(&self) -> Bytes {
        self.0.slice_ref(self.payload())
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
        let (own, other) = (self.parts(), other.parts());
        let place = |event: Encoded<'_>| {
            (event.global_position(), event.stream_version(), event.recorded_at())
        };
        let origin = |event: Encoded<'_>| {
            let ids = (event.event_id(), event.correlation_id(), event.causation_id());
            (ids, event.occurred_at(), event.event_version(), event.content_type())
        };
        place(own) == place(other)
            && origin(own) == origin(other)
            && own.aggregate_type() == other.aggregate_type()
            && own.aggregate_id() == other.aggregate_id()
            && own.event_type() == other.event_type()
            && own.tenant() == other.tenant()
            && own.actor() == other.actor()
            && own.tags() == other.tags()
            && own.metadata() == other.metadata()
            && own.payload() == other.payload()
    }
}

impl Eq for RecordedEvent {}
