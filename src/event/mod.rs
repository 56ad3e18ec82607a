//! Events: what identifies one, one to be recorded, and one that has been.
//!
//! A `NewEvent` is plain owned data; its names are checked when it is appended. A `RecordedEvent` is
//! a cheap view of bytes that it shares with whoever read them. How an event is kept as bytes is said here,
//! once for both; what seals the bytes on a disk is the business of `format`.

#![forbid(unsafe_code)]

mod encoded;
pub(crate) mod layout;
mod new;
mod recorded;

pub use new::NewEvent;
pub use recorded::RecordedEvent;

pub(crate) use encoded::{Encoded, NoEvent, encode};

use std::collections::BTreeMap;
use std::fmt;

use uuid::Uuid;

use crate::encoding;
use crate::error::{Error, Result};

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

impl ContentType {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Bytes => 0,
            Self::Text => 1,
            Self::Json => 2,
            Self::Bincode => 3,
            Self::Other(number) => number,
        }
    }

    pub(crate) const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Bytes,
            1 => Self::Text,
            2 => Self::Json,
            3 => Self::Bincode,
            number => Self::Other(number),
        }
    }
}

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
