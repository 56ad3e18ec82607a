//! What keeps a recorded event from being read as an event of the domain, and in what two events differ.

use std::fmt;

use super::Source;
use crate::escaped::Escaped;
use crate::event::ContentType;

/// Why a recorded event can not be read as an event of the domain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeFailure {
    /// The event belongs to an aggregate of another type.
    ///
    /// What to do: read only events of the type that is expected, or decode with a
    /// [`Registry`](crate::Registry) that knows all that is read.
    #[error("it belongs to an aggregate of type {actual}, and {expected} is expected")]
    AggregateType {
        /// The aggregate type of the event.
        actual: String,
        /// The aggregate type whose events are read.
        expected: &'static str,
    },
    /// No event of this type is known.
    ///
    /// What to do: add it to those of the domain; one that was renamed takes its old name with
    /// `#[serde(alias = "...")]`.
    #[error("the event type is not known; known are {}", Escaped(known.join(", ")))]
    UnknownEventType {
        /// The event types that are known.
        known: Vec<String>,
    },
    /// No upcaster leads on from an old version of the schema.
    ///
    /// What to do: add the upcaster from `version`.
    #[error("there is no upcaster from schema version {version} to {}", version + 1)]
    MissingUpcaster {
        /// The version from which nothing leads on.
        version: u32,
    },
    /// The event was recorded with a schema that is newer than the newest known.
    ///
    /// What to do: read it with the version of the program that recorded it, or a later one.
    #[error("the newest schema version known is {newest_known}")]
    NewerSchema {
        /// The newest version that is known.
        newest_known: u32,
    },
    /// The payload is encoded in a way that is not known here.
    ///
    /// What to do: read payloads that only the application understands with
    /// [`RecordedEvent::payload`](crate::RecordedEvent::payload); those as JSON need the feature `json`.
    #[error("its payload is {0:?}")]
    ContentType(ContentType),
    /// The payload is no value of the type that is expected.
    ///
    /// What to do: see what has changed in the type since the event was recorded, and bridge it with an
    /// upcaster.
    #[error("{0}")]
    Payload(#[source] Source),
}

/// In what two events with the same id differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Difference {
    /// They are in different streams.
    Stream,
    /// They have different event types.
    EventType,
    /// They have different payloads.
    Payload,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream => "stream",
            Self::EventType => "event type",
            Self::Payload => "payload",
        })
    }
}
