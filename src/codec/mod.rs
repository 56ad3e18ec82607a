//! Typed events: from an enum of a domain to payloads and back, whatever their age.
//!
//! An enum that serde can serialize is all that is asked for: the name of a variant is the event
//! type, what the variant holds is the payload. How a payload is encoded and the version of its schema
//! are recorded with each event, so that a codec reads what any other wrote before. Knows
//! events, and nothing of aggregates.

#![forbid(unsafe_code)]

mod payload;
mod registry;
mod upcast;
mod variant;

pub use registry::Registry;
pub use upcast::Upcasters;

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{DecodeFailure, Error, Result};
use crate::event::{ContentType, NewEvent, RecordedEvent};

/// The events of one aggregate type: an enum in serde's own representation.
///
/// The name of a variant is the event type that is recorded, and what it holds is the payload. So
/// variants may change places, and one that is renamed in the code keeps its recorded name with
/// `#[serde(rename = "...")]`, or takes both with `#[serde(alias = "...")]`.
///
/// With bincode, which writes neither names nor types, the fields of a variant are part of its
/// schema in their order, and so are the variants of an enum that is held in a field, which go by their
/// number: see [`upcasters`](Self::upcasters) for how to change them. Attributes of serde that leave fields
/// out (`skip_serializing_if`, `flatten`, ...) need JSON.
///
/// An event type that no variant has is [`DecodeFailure::UnknownEventType`] and stops the load of its aggregate.
/// A variant marked `#[serde(other)]` takes such events instead, whatever their payload, content type and schema
/// version. A [`Registry`] does not use that variant: it knows only the names that are spelled out.
///
/// # Examples
///
/// ```
/// use annals::DomainEvent;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum TaskEvent {
///     TaskCreated { title: String },
///     TaskCompleted,
/// }
///
/// impl DomainEvent for TaskEvent {
///     const AGGREGATE_TYPE: &'static str = "Task";
/// }
/// ```
pub trait DomainEvent: Serialize + DeserializeOwned {
    /// The type of the aggregates whose events these are: `[A-Za-z0-9_.-]{1,128}`.
    const AGGREGATE_TYPE: &'static str;

    /// Returns the functions that bring the payloads of old events to the schema of today; none when not
    /// overridden. They also say which schema version is recorded with new events.
    fn upcasters() -> Upcasters {
        Upcasters::new()
    }

    /// Returns the tags to record with the event, by which queries find it; none when not overridden.
    fn tags(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Makes events to be recorded of the events of a domain, and those again of recorded ones.
///
/// # Examples
///
/// ```
/// use annals::{Codec, DomainEvent, EventStore, ExpectedVersion, MemoryStore, StreamId};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// enum TaskEvent {
///     TaskCreated { title: String },
///     TaskCompleted,
/// }
///
/// impl DomainEvent for TaskEvent {
///     const AGGREGATE_TYPE: &'static str = "Task";
/// }
///
/// let (store, codec) = (MemoryStore::new(), Codec::<TaskEvent>::bincode());
/// let task = StreamId::new(TaskEvent::AGGREGATE_TYPE, "task-1")?;
/// store.append(&task, ExpectedVersion::NoStream, vec![codec.encode(&TaskEvent::TaskCompleted)?])?;
///
/// for event in store.read_stream(&task, Default::default())? {
///     let event = event?;
///     assert_eq!(event.event_type(), "TaskCompleted");
///     assert_eq!(codec.decode(&event)?, TaskEvent::TaskCompleted);
/// }
/// # Ok::<(), annals::Error>(())
/// ```
pub struct Codec<E> {
    writes: ContentType,
    upcasters: Upcasters,
    event: PhantomData<fn() -> E>,
}

impl<E: DomainEvent> Codec<E> {
    /// Writes payloads with bincode, and reads those of every codec.
    pub fn bincode() -> Self {
        Self::writing(ContentType::Bincode)
    }

    /// Writes payloads as JSON, and reads those of every codec.
    #[cfg(feature = "json")]
    pub fn json() -> Self {
        Self::writing(ContentType::Json)
    }

    fn writing(writes: ContentType) -> Self {
        Self { writes, upcasters: E::upcasters(), event: PhantomData }
    }

    /// Makes an event to be recorded: with its event type, schema version, tags, payload and content
    /// type, and a new event id.
    ///
    /// The payload is decoded again before it is returned, so that nothing is recorded that could never
    /// be loaded, such as a field that serde leaves out where bincode misses it.
    ///
    /// # Errors
    ///
    /// [`Error::Payload`] when serde or the encoding can not represent it, and when there is an upcaster for an
    /// event type that no variant has: the events it was meant for would get a wrong schema version.
    pub fn encode(&self, event: &E) -> Result<NewEvent> {
        self.upcasters.check(variant::names::<E>()).map_err(Error::Payload)?;
        let content = variant::Content::of(event);
        let payload = payload::encode(&content, self.writes).map_err(Error::Payload)?;
        let event_type = content.name();
        decode_content::<E>(event_type, &payload, self.writes).map_err(Error::payload)?;
        let new = NewEvent::new(event_type, payload)
            .event_version(self.upcasters.newest_version(event_type))
            .content_type(self.writes);
        Ok(event.tags().into_iter().fold(new, NewEvent::tag))
    }

    /// Makes an event of the domain of a recorded one, whichever encoding and schema version it was
    /// recorded with.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`] with what is missing.
    pub fn decode(&self, event: &RecordedEvent) -> Result<E> {
        self.try_decode(event).map_err(|cause| Error::decode(event, cause))
    }

    fn try_decode(&self, event: &RecordedEvent) -> Result<E, DecodeFailure> {
        let actual = event.aggregate_type();
        if actual != E::AGGREGATE_TYPE {
            let (actual, expected) = (actual.to_owned(), E::AGGREGATE_TYPE);
            return Err(DecodeFailure::AggregateType { actual, expected });
        }
        self.decode_own(event).or_else(|failure| match variant::by_name::<E>(event.event_type()) {
            variant::ByName::Known => Err(failure),
            variant::ByName::Other(event) => Ok(event),
            variant::ByName::Unknown(names) => {
                let known = names.iter().map(|name| (*name).to_owned()).collect();
                Err(DecodeFailure::UnknownEventType { known })
            }
        })
    }

    /// Decodes an event of this aggregate type.
    fn decode_own(&self, event: &RecordedEvent) -> Result<E, DecodeFailure> {
        let (event_type, version) = (event.event_type(), event.event_version());
        let (payload, content_type) = (event.payload(), event.content_type());
        let upcasted = self.upcasters.upcast(event_type, version, payload, content_type)?;
        decode_content(event_type, upcasted.as_deref().unwrap_or(payload), content_type)
    }
}

impl<E: DomainEvent> Default for Codec<E> {
    fn default() -> Self {
        Self::bincode()
    }
}

impl<E> Clone for Codec<E> {
    fn clone(&self) -> Self {
        Self { writes: self.writes, upcasters: self.upcasters.clone(), event: PhantomData }
    }
}

impl<E> fmt::Debug for Codec<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { writes, upcasters, .. } = self;
        f.debug_struct("Codec").field("writes", writes).field("upcasters", upcasters).finish()
    }
}

fn decode_content<E: DomainEvent>(
    event_type: &str,
    payload: &[u8],
    content_type: ContentType,
) -> Result<E, DecodeFailure> {
    payload::decode_seed(variant::ContentSeed::new(event_type), payload, content_type)
}
