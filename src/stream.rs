//! What a stream is called: ids, and the pair of aggregate type and aggregate id.
//!
//! A name that exists is a valid one: every constructor checks the rules of CONTRACT S2, so nothing
//! below has to. The rules for names that are plain text (`check_text`) live here for all.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use crate::error::{Error, Result};
use crate::limits::{AGGREGATE_TYPE_BYTES_MAX, ID_BYTES_MAX};

/// An id that is a UUID or a text; text in the form of a UUID is that UUID.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Id {
    Uuid(Uuid),
    Text(Arc<str>),
}

/// A borrowed id: a UUID or a text.
///
/// # Examples
///
/// ```
/// use annals::{AggregateId, IdRef};
///
/// assert_eq!(AggregateId::new("plan-001")?.as_ref(), IdRef::Text("plan-001"));
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdRef<'a> {
    /// The id is a UUID.
    Uuid(Uuid),
    /// The id is a text that is not the form of a UUID.
    Text(&'a str),
}

impl fmt::Display for IdRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid) => uuid.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl Id {
    fn parse(what: &'static str, text: &str) -> Result<Self> {
        check_text(what, text, ID_BYTES_MAX)?;
        match Uuid::try_parse(text) {
            Ok(uuid) => Ok(Self::Uuid(uuid)),
            Err(_) => Ok(Self::Text(text.into())),
        }
    }

    fn as_ref(&self) -> IdRef<'_> {
        match self {
            Self::Uuid(uuid) => IdRef::Uuid(*uuid),
            Self::Text(text) => IdRef::Text(text),
        }
    }
}

macro_rules! id {
    ($(#[$meta:meta])* $name:ident, $what:literal) => {
        $(#[$meta])*
        ///
        /// A UUID or any text of 1 to 255 bytes without control characters. Text in the form of a
        /// UUID is that UUID, whatever its case and hyphens.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Id);

        impl $name {
            /// Checks and takes an id in text form.
            ///
            /// # Errors
            ///
            /// [`Error::InvalidName`] when the text is empty or holds a control character,
            /// [`Error::Limit`] when it is longer than 255 bytes.
            pub fn new(text: impl AsRef<str>) -> Result<Self> {
                Id::parse($what, text.as_ref()).map(Self)
            }

            /// Returns the id as the UUID or the text that it is.
            pub fn as_ref(&self) -> IdRef<'_> {
                self.0.as_ref()
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(Id::Uuid(uuid))
            }
        }

        impl TryFrom<&str> for $name {
            type Error = Error;

            fn try_from(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                Self::new(text)
            }
        }

        impl TryFrom<IdRef<'_>> for $name {
            type Error = Error;

            fn try_from(id: IdRef<'_>) -> Result<Self> {
                match id {
                    IdRef::Uuid(uuid) => Ok(uuid.into()),
                    IdRef::Text(text) => Self::new(text),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.as_ref().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

id! {
    /// Names an aggregate within its aggregate type.
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::AggregateId;
    ///
    /// let plan = AggregateId::new("plan-001")?;
    /// assert_eq!(plan.to_string(), "plan-001");
    ///
    /// let upper = AggregateId::new("0191F7D2-6A5B-7C3E-8F90-A1B2C3D4E5F6")?;
    /// assert_eq!(upper.to_string(), "0191f7d2-6a5b-7c3e-8f90-a1b2c3d4e5f6");
    /// # Ok::<(), annals::Error>(())
    /// ```
    AggregateId, "aggregate id"
}

id! {
    /// Names the tenant that an event belongs to.
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::TenantId;
    ///
    /// assert_eq!(TenantId::new("acme")?.to_string(), "acme");
    /// assert!(TenantId::new("").is_err());
    /// # Ok::<(), annals::Error>(())
    /// ```
    TenantId, "tenant id"
}

id! {
    /// Names who caused an event: a user, a service, a job.
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::ActorId;
    ///
    /// assert_eq!(ActorId::new("user:42")?.to_string(), "user:42");
    /// # Ok::<(), annals::Error>(())
    /// ```
    ActorId, "actor id"
}

/// A stream: the pair of aggregate type and aggregate id (CONTRACT S1).
///
/// The same id under two types names two independent streams. The text form is `id:Type`, parsed at
/// the last colon.
///
/// # Examples
///
/// ```
/// use annals::StreamId;
///
/// let stream = StreamId::new("TrainingPlan", "plan-001")?;
/// assert_eq!(stream.to_string(), "plan-001:TrainingPlan");
/// assert_eq!("plan-001:TrainingPlan".parse::<StreamId>()?, stream);
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    aggregate_type: Arc<str>,
    aggregate_id: AggregateId,
}

impl StreamId {
    /// Checks and takes an aggregate type and an aggregate id in text form.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] when the type does not match `[A-Za-z0-9_.-]+` or the id is empty or holds
    /// a control character, [`Error::Limit`] when the type is longer than 128 bytes or the id than 255.
    pub fn new(aggregate_type: impl AsRef<str>, aggregate_id: impl AsRef<str>) -> Result<Self> {
        Self::of(aggregate_type, AggregateId::new(aggregate_id)?)
    }

    /// Checks an aggregate type and pairs it with an id, such as a UUID.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] when the type does not match `[A-Za-z0-9_.-]+`, [`Error::Limit`] when it is
    /// longer than 128 bytes.
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::StreamId;
    ///
    /// let stream = StreamId::of("Task", uuid::Uuid::nil())?;
    /// assert_eq!(stream.aggregate_type(), "Task");
    /// # Ok::<(), annals::Error>(())
    /// ```
    pub fn of(aggregate_type: impl AsRef<str>, id: impl Into<AggregateId>) -> Result<Self> {
        let aggregate_type = aggregate_type.as_ref();
        check_aggregate_type(aggregate_type)?;
        Ok(Self { aggregate_type: aggregate_type.into(), aggregate_id: id.into() })
    }

    /// Returns the aggregate type: the category of the stream.
    pub fn aggregate_type(&self) -> &str {
        &self.aggregate_type
    }

    /// Returns the aggregate id.
    pub fn aggregate_id(&self) -> &AggregateId {
        &self.aggregate_id
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.aggregate_id, self.aggregate_type)
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({self})")
    }
}

impl FromStr for StreamId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.rsplit_once(':') {
            Some((id, aggregate_type)) => Self::new(aggregate_type, id),
            None => Err(Error::invalid_name("stream", text, "it has no colon: use id:Type")),
        }
    }
}

/// Checks a text of 1 to `bytes_max` bytes without control characters.
pub(crate) fn check_text(what: &'static str, text: &str, bytes_max: u32) -> Result<()> {
    if text.is_empty() {
        return Err(Error::invalid_name(what, text, "it is empty"));
    }
    if text.len() > bytes_max as usize {
        return Err(Error::Limit { what, limit: bytes_max.into(), actual: text.len() as u64 });
    }
    if !is_plain(text.as_bytes()) && text.chars().any(char::is_control) {
        return Err(Error::invalid_name(what, text, "it holds a control character"));
    }
    Ok(())
}

/// What each byte may be part of: a bit for plain text, one for an aggregate type.
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        let is_in_type = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        #[expect(clippy::indexing_slicing, reason = "a byte has one of 256 values")]
        {
            classes[byte as usize] = if is_in_type { PLAIN | IN_A_TYPE } else { PLAIN };
        }
        byte += 1;
    }
    classes
};
const PLAIN: u8 = 1;
const IN_A_TYPE: u8 = 2;

/// Returns the classes that all bytes are of: without a branch for each, since every event that is
/// read is asked.
fn common_classes(bytes: &[u8]) -> u8 {
    let class = |byte: &u8| CLASSES.get(usize::from(*byte)).copied().unwrap_or_default();
    bytes.iter().fold(PLAIN | IN_A_TYPE, |common, byte| common & class(byte))
}

/// Tells whether bytes are characters of ASCII that can be printed, as those of nearly every name are.
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    common_classes(bytes) & PLAIN != 0
}

/// Checks an aggregate type: `[A-Za-z0-9_.-]{1,128}`.
pub(crate) fn check_aggregate_type(text: &str) -> Result<()> {
    check_text("aggregate type", text, AGGREGATE_TYPE_BYTES_MAX)?;
    match is_aggregate_type(text.as_bytes()) {
        true => Ok(()),
        false => {
            let reason = "only letters, digits, `_`, `.` and `-` of ASCII are allowed";
            Err(Error::invalid_name("aggregate type", text, reason))
        }
    }
}

/// Tells whether bytes are an aggregate type.
pub(crate) fn is_aggregate_type(bytes: &[u8]) -> bool {
    let all_allowed = common_classes(bytes) & IN_A_TYPE != 0;
    all_allowed && (1..=AGGREGATE_TYPE_BYTES_MAX as usize).contains(&bytes.len())
}

/// Shortens a rejected name for an error message, escaping what would disturb a terminal.
pub(crate) fn shown(text: &str) -> String {
    const CHARACTERS_SHOWN_MAX: usize = 64;
    let mut characters = text.chars();
    let head: String = characters.by_ref().take(CHARACTERS_SHOWN_MAX).collect();
    let tail: Cow<'_, str> = if characters.next().is_some() { "...".into() } else { "".into() };
    format!("{}{tail}", head.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_255_bytes_is_taken_and_one_more_refused() {
        assert!(AggregateId::new("é".repeat(127) + "x").is_ok());
        let refused = AggregateId::new("x".repeat(256)).unwrap_err();
        assert!(matches!(refused, Error::Limit { what: "aggregate id", limit: 255, actual: 256 }));
    }

    #[test]
    fn an_id_with_a_control_character_is_refused_and_the_message_escapes_it() {
        let message = AggregateId::new("a\nb").unwrap_err().to_string();
        assert!(message.contains("a\\nb"), "{message}");
    }

    #[test]
    fn a_stream_is_parsed_at_its_last_colon() {
        let stream: StreamId = "urn:plan:1:Task".parse().unwrap();
        assert_eq!(stream.aggregate_type(), "Task");
        assert_eq!(stream.aggregate_id().to_string(), "urn:plan:1");
        assert!("plan".parse::<StreamId>().is_err());
        assert!("plan:Ta sk".parse::<StreamId>().is_err());
    }
}
