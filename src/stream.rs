//! What a stream is called: ids, and the pair of aggregate type and aggregate id.
//!
//! A name that exists is a valid one: every constructor checks the rules of CONTRACT S2, so nothing
//! below has to. The rules for names that are plain text (`check_text`) live here for all.
//!
//! An id is its text. The canonical text of a UUID is held and kept as 16 bytes, and no other text is, so
//! each id has one form and two ids are equal exactly when their texts are.

#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use smol_str::SmolStr;
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::error::{Error, Result};
use crate::escaped::Escaped;
use crate::limits::{AGGREGATE_TYPE_BYTES_MAX, ID_BYTES_MAX};

/// An id: a text, of which the canonical ones of UUIDs are held as UUIDs. No `Text` is one of those.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Id {
    Uuid(Uuid),
    Text(SmolStr),
}

/// A borrowed id: a UUID or any other text.
///
/// Compared, ordered and hashed as its text, byte by byte: a UUID is its canonical text, which is 36
/// characters in lower case with hyphens.
///
/// # Examples
///
/// ```
/// use annals::{AggregateId, IdRef};
/// use uuid::Uuid;
///
/// assert_eq!(AggregateId::new("plan-001")?.as_ref(), IdRef::Text("plan-001"));
///
/// let uuid = Uuid::from_u128(0x0191_f7d2_6a5b_7c3e_8f90_a1b2_c3d4_e5f6);
/// let canonical = AggregateId::new("0191f7d2-6a5b-7c3e-8f90-a1b2c3d4e5f6")?;
/// assert_eq!(canonical.as_ref(), IdRef::Uuid(uuid));
///
/// let digits = AggregateId::new("0191f7d26a5b7c3e8f90a1b2c3d4e5f6")?;
/// assert_eq!(digits.as_ref(), IdRef::Text("0191f7d26a5b7c3e8f90a1b2c3d4e5f6"));
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub enum IdRef<'a> {
    /// The id is the canonical text of this UUID.
    Uuid(Uuid),
    /// The id is any other text, other spellings of a UUID among them.
    Text(&'a str),
}

impl IdRef<'_> {
    /// Calls `take` with the text of the id as bytes.
    fn with_text<T>(&self, take: impl FnOnce(&[u8]) -> T) -> T {
        match self {
            Self::Uuid(uuid) => take(canonical(*uuid, &mut [0; Hyphenated::LENGTH])),
            Self::Text(text) => take(text.as_bytes()),
        }
    }
}

impl PartialEq for IdRef<'_> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Uuid(own), Self::Uuid(other)) => own == other,
            (Self::Text(own), Self::Text(other)) => own == other,
            (Self::Uuid(uuid), Self::Text(text)) | (Self::Text(text), Self::Uuid(uuid)) => {
                canonical_uuid(text.as_bytes()) == Some(*uuid)
            }
        }
    }
}

impl Eq for IdRef<'_> {}

impl PartialOrd for IdRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for IdRef<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.with_text(|own| other.with_text(|other| own.cmp(other)))
    }
}

impl Hash for IdRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.with_text(|text| text.hash(state));
    }
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
        match canonical_uuid(text.as_bytes()) {
            Some(uuid) => Ok(Self::Uuid(uuid)),
            None => Ok(Self::Text(text.into())),
        }
    }

    fn as_ref(&self) -> IdRef<'_> {
        match self {
            Self::Uuid(uuid) => IdRef::Uuid(*uuid),
            Self::Text(text) => IdRef::Text(text),
        }
    }
}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Id {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_ref().cmp(&other.as_ref())
    }
}

macro_rules! id {
    ($(#[$meta:meta])* $name:ident, $what:literal) => {
        $(#[$meta])*
        ///
        /// Any text of 1 to 255 bytes without control characters, compared byte by byte and given back
        /// exactly as it was given. A UUID is its canonical text: 36 characters in lower case with
        /// hyphens. The same UUID in upper case, without hyphens or in braces is another id.
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

            /// Returns the id as a UUID if it is the canonical text of one, else as text.
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
    /// assert_eq!(upper.to_string(), "0191F7D2-6A5B-7C3E-8F90-A1B2C3D4E5F6");
    /// assert_ne!(upper, AggregateId::new("0191f7d2-6a5b-7c3e-8f90-a1b2c3d4e5f6")?);
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
#[doc(alias("render", "parse"))]
pub struct StreamId {
    aggregate_type: SmolStr,
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
    #[doc(alias = "category")]
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

/// Reads the canonical text of a UUID: 36 characters in lower case with hyphens. No other text is one.
#[inline]
pub(crate) fn canonical_uuid(text: &[u8]) -> Option<Uuid> {
    let text: &[u8; Hyphenated::LENGTH] = text.try_into().ok()?;
    let uuid = Uuid::try_parse_ascii(text).ok()?;
    (canonical(uuid, &mut [0; Hyphenated::LENGTH]) == text).then_some(uuid)
}

/// Writes the canonical text of a UUID.
fn canonical(uuid: Uuid, place: &mut [u8; Hyphenated::LENGTH]) -> &[u8] {
    uuid.hyphenated().encode_lower(place).as_bytes()
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

/// Tells whether bytes are characters of ASCII that can be printed, as those of nearly every name are.
#[inline]
pub(crate) fn is_plain(bytes: &[u8]) -> bool {
    all_words(bytes, |word| each_is(word_within(word, b' ', b'~')) && is_ascii(word))
}

/// As [`is_plain`], of lines.
#[inline]
pub(crate) fn are_plain_lines(bytes: &[u8]) -> bool {
    all_words(bytes, |word| {
        each_is(word_within(word, b' ', b'~') | word_within(word, b'\n', b'\n')) && is_ascii(word)
    })
}

/// Tells whether something holds for all bytes, asked for eight at once: every event that is read is asked.
/// What holds for a hyphen has to.
#[inline(always)]
fn all_words(bytes: &[u8], holds: impl Fn(u64) -> bool) -> bool {
    let Some(last) = bytes.last_chunk() else { return holds(padded(bytes)) };
    // Not a fold: most names are one word and a last one that overlaps it.
    for word in bytes.as_chunks().0 {
        if !holds(u64::from_le_bytes(*word)) {
            return false;
        }
    }
    holds(u64::from_le_bytes(*last))
}

/// Returns a word of fewer than eight bytes, each at least once, and of hyphens.
#[inline]
fn padded(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32
        }
        _ => bytes.iter().fold(each_byte(b'-'), |word, byte| word << 8 | u64::from(*byte)),
    }
}

const UPPER_BITS: u64 = each_byte(0x80);

const fn each_byte(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

#[inline]
const fn is_ascii(word: u64) -> bool {
    word & UPPER_BITS == 0
}

/// Sets the upper bit of each byte from `first` to `last` of a word of ASCII.
///
/// Source: "Bit Twiddling Hacks" by Sean Eron Anderson, "Determine if a word has a byte between m and n": no byte
/// carries into the next.
#[inline]
const fn word_within(word: u64, first: u8, last: u8) -> u64 {
    let from_first = (word | UPPER_BITS).wrapping_sub(each_byte(first));
    let behind_last = word.wrapping_add(each_byte(0x7f - last));
    from_first & !behind_last
}

#[inline]
const fn each_is(within: u64) -> bool {
    within & UPPER_BITS == UPPER_BITS
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
#[inline]
pub(crate) fn is_aggregate_type(bytes: &[u8]) -> bool {
    let is_allowed = |word: u64| {
        let letters = word_within(word | each_byte(b'a' - b'A'), b'a', b'z');
        let digits = word_within(word, b'0', b'9');
        let signs = word_within(word, b'-', b'.') | word_within(word, b'_', b'_');
        each_is(letters | digits | signs) && is_ascii(word)
    };
    (1..=AGGREGATE_TYPE_BYTES_MAX as usize).contains(&bytes.len()) && all_words(bytes, is_allowed)
}

/// Shortens a rejected name for an error message, escaping what would disturb a terminal.
pub(crate) fn shown(text: &str) -> String {
    const CHARACTERS_SHOWN_MAX: usize = 64;
    let mut characters = text.chars();
    let head: String = characters.by_ref().take(CHARACTERS_SHOWN_MAX).collect();
    let tail: Cow<'_, str> = if characters.next().is_some() { "...".into() } else { "".into() };
    format!("{}{tail}", Escaped(head.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_counts_wherever_it_stands() {
        let in_a_type = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        for (length, byte) in (1..=25).flat_map(|length| (0..=u8::MAX).map(move |b| (length, b))) {
            for at in 0..length {
                let mut name = vec![b'x'; length];
                name[at] = byte;
                let is_printed = (b' '..=b'~').contains(&byte);
                assert_eq!(is_plain(&name), is_printed, "{byte} at {at} of {length}");
                let is_in_line = is_printed || byte == b'\n';
                assert_eq!(are_plain_lines(&name), is_in_line, "{byte} at {at} of {length}");
                assert_eq!(is_aggregate_type(&name), in_a_type(byte), "{byte} at {at} of {length}");
            }
        }
        assert!(is_plain(b"") && !is_aggregate_type(b""));
        assert!(is_aggregate_type(&[b'x'; 128]) && !is_aggregate_type(&[b'x'; 129]));
    }

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

    /// The canonical text of a UUID and others that a parser of UUIDs reads, or nearly reads, as the same.
    const SPELLINGS: [&str; 12] = [
        "0191f7d2-6a5b-7c3e-8f90-a1b2c3d4e5f6",
        "0191F7D2-6A5B-7C3E-8F90-A1B2C3D4E5F6",
        "0191f7d2-6a5b-7c3e-8f90-a1b2c3d4e5F6",
        "0191f7d26a5b7c3e8f90a1b2c3d4e5f6",
        "0191F7D26A5B7C3E8F90A1B2C3D4E5F6",
        "{0191f7d2-6a5b-7c3e-8f90-a1b2c3d4e5f6}",
        "{0191f7d26a5b7c3e8f90a1b2c3d4e5f6}",
        "urn:uuid:0191f7d2-6a5b-7c3e-8f90-a1b2c3d4e5f6",
        "URN:UUID:0191f7d2-6a5b-7c3e-8f90-a1b2c3d4e5f6",
        " 0191f7d2-6a5b-7c3e-8f90-a1b2c3d4e5f6",
        "0191f7d26a5b-7c3e-8f90-a1b2-c3d4e5f6",
        "0191f7d2-6a5b-7c3e-8f90-a1b2c3d4e5é",
    ];

    const UUID: Uuid = Uuid::from_u128(0x0191_f7d2_6a5b_7c3e_8f90_a1b2_c3d4_e5f6);

    #[test]
    fn every_text_is_an_id_of_its_own_and_only_the_canonical_one_is_a_uuid() {
        for (index, text) in SPELLINGS.into_iter().enumerate() {
            let (id, is_canonical) = (AggregateId::new(text).unwrap(), index == 0);
            assert_eq!(id.to_string(), text);
            assert_eq!(matches!(id.as_ref(), IdRef::Uuid(UUID)), is_canonical, "{text}");
            assert_eq!(id == AggregateId::from(UUID), is_canonical, "{text}");
            assert_eq!(AggregateId::try_from(id.as_ref()).unwrap(), id);
            assert_eq!(TenantId::new(text).unwrap().to_string(), text);
            assert_eq!(ActorId::new(text).unwrap().to_string(), text);
            let stream = StreamId::new("Task", text).unwrap();
            assert_eq!(stream.to_string(), format!("{text}:Task"));
            assert_eq!(stream.to_string().parse::<StreamId>().unwrap(), stream);
        }
    }

    #[test]
    fn ids_are_compared_and_ordered_as_their_texts_in_every_form() {
        use std::hash::BuildHasher;

        let texts = [SPELLINGS[0], SPELLINGS[1], SPELLINGS[3], "0", "1", "a", "é"];
        let mut ids: Vec<_> =
            texts.iter().map(|text| (text.to_string(), IdRef::Text(text))).collect();
        let uuids = [UUID, Uuid::max(), Uuid::nil()];
        ids.extend(uuids.map(|uuid| (uuid.to_string(), IdRef::Uuid(uuid))));
        let hasher = std::hash::RandomState::new();
        let owned = |id: &IdRef<'_>| AggregateId::try_from(*id).unwrap();
        for ((text, id), (other_text, other)) in
            ids.iter().flat_map(|one| ids.iter().map(move |other| (one, other)))
        {
            assert_eq!(id.cmp(other), text.cmp(other_text), "{id:?} {other:?}");
            assert_eq!(id == other, text == other_text, "{id:?} {other:?}");
            assert_eq!(owned(id).cmp(&owned(other)), text.cmp(other_text), "{id:?} {other:?}");
            assert_eq!(owned(id) == owned(other), text == other_text, "{id:?} {other:?}");
            let is_one_hash = hasher.hash_one(id) == hasher.hash_one(other);
            assert!(id != other || is_one_hash, "{id:?} {other:?}");
        }
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
