//! What is asked of a commit and what comes back: expected versions, conditions, results.

use std::fmt;

use crate::error::{Error, Result};
use crate::escaped::Escaped;
use crate::event::NewEvent;
use crate::position::{GlobalPosition, StreamVersion};
use crate::store::query::Query;
use crate::stream::StreamId;
use crate::timestamp::Timestamp;

/// What the caller expects of a stream before an append (CONTRACT A2).
///
/// The integers of other stores convert: -1 is `Any`, -2 `StreamExists`, 0 `NoStream`, any other
/// that is not negative `Exact`.
///
/// # Examples
///
/// ```
/// use annals::{ExpectedVersion, StreamVersion};
///
/// assert_eq!(ExpectedVersion::try_from(0)?, ExpectedVersion::NoStream);
/// assert_eq!(ExpectedVersion::from(StreamVersion::new(3)), ExpectedVersion::exact(3));
///
/// // And back, as for an error of another store that holds a number.
/// assert_eq!(i64::from(ExpectedVersion::StreamExists), -2);
/// assert_eq!(ExpectedVersion::NoStream.version(), Some(StreamVersion::ZERO));
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[doc(alias = "expected_version")]
pub enum ExpectedVersion {
    /// No check.
    #[doc(alias = "ANY")]
    #[doc(alias = "any_")]
    Any,
    /// The stream has no events.
    #[doc(alias = "NO_STREAM")]
    #[doc(alias = "no_stream")]
    NoStream,
    /// The stream has at least one event.
    #[doc(alias = "STREAM_EXISTS")]
    #[doc(alias = "stream_exists")]
    StreamExists,
    /// The stream is at this version; version 0 means the same as `NoStream`.
    Exact(StreamVersion),
}

impl ExpectedVersion {
    /// Returns `Exact` of a number.
    pub const fn exact(version: u64) -> Self {
        Self::Exact(StreamVersion::new(version))
    }

    /// Returns the version that is expected: 0 for `NoStream`, and `None` for `Any` and `StreamExists`,
    /// which several versions meet.
    pub const fn version(self) -> Option<StreamVersion> {
        match self {
            Self::Any | Self::StreamExists => None,
            Self::NoStream => Some(StreamVersion::ZERO),
            Self::Exact(version) => Some(version),
        }
    }

    /// Tells whether a stream at version `actual` is as expected.
    pub fn is_met_by(self, actual: StreamVersion) -> bool {
        match self {
            Self::Any => true,
            Self::NoStream => actual == StreamVersion::ZERO,
            Self::StreamExists => actual > StreamVersion::ZERO,
            Self::Exact(version) => actual == version,
        }
    }
}

impl From<StreamVersion> for ExpectedVersion {
    fn from(version: StreamVersion) -> Self {
        match version {
            StreamVersion::ZERO => Self::NoStream,
            version => Self::Exact(version),
        }
    }
}

impl TryFrom<i64> for ExpectedVersion {
    type Error = Error;

    fn try_from(number: i64) -> Result<Self> {
        match (number, u64::try_from(number)) {
            (-1, _) => Ok(Self::Any),
            (-2, _) => Ok(Self::StreamExists),
            (_, Ok(version)) => Ok(StreamVersion::new(version).into()),
            _ => {
                let reason = "use -2 (stream exists), -1 (any), 0 (no stream) or a version";
                Err(Error::invalid_name("expected version", &number.to_string(), reason))
            }
        }
    }
}

impl From<ExpectedVersion> for i64 {
    /// Returns the integer of other stores: -1 for `Any`, -2 for `StreamExists`, 0 for `NoStream`, or the
    /// version. A version above `i64::MAX`, which no stream has, gives `i64::MAX`.
    fn from(expected: ExpectedVersion) -> Self {
        match expected {
            ExpectedVersion::Any => -1,
            ExpectedVersion::StreamExists => -2,
            ExpectedVersion::NoStream => 0,
            ExpectedVersion::Exact(version) => Self::try_from(version.get()).unwrap_or(Self::MAX),
        }
    }
}

impl fmt::Display for ExpectedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any version"),
            Self::NoStream => f.write_str("no stream"),
            Self::StreamExists => f.write_str("an existing stream"),
            Self::Exact(version) => write!(f, "version {version}"),
        }
    }
}

/// What happens to an event whose id is already recorded in its stream, when others of its commit
/// are new (CONTRACT A4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDuplicate {
    /// It is left out and the new ones are appended.
    #[default]
    Skip,
    /// The commit is refused with [`Error::DuplicateEvent`].
    Reject,
}

/// Refuses a commit when an event matches a query (CONTRACT C2).
///
/// This is the append condition of a dynamic consistency boundary: read with the query, decide, and
/// commit on condition that nothing that matches was recorded since.
///
/// # Examples
///
/// ```
/// use annals::{FailIfMatches, GlobalPosition, Query, QueryItem};
///
/// let name_taken = Query::from(QueryItem::new().event_type("Registered").tag("name:ada"));
/// let condition = FailIfMatches::new(name_taken).after(GlobalPosition::new(17));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailIfMatches {
    pub(crate) query: Query,
    pub(crate) after: Option<GlobalPosition>,
}

impl FailIfMatches {
    /// Fails if any recorded event matches.
    pub fn new(query: Query) -> Self {
        Self { query, after: None }
    }

    /// Looks only at events after a position, which the store must have: one beyond its end comes from
    /// another history, and the commit is refused with
    /// [`Error::BeyondEnd`]. Position 0 looks at all events.
    #[must_use]
    pub fn after(self, position: GlobalPosition) -> Self {
        Self { after: Some(position), ..self }
    }

    /// Returns the first position that is looked at.
    pub(crate) fn first_position(&self) -> GlobalPosition {
        self.after.unwrap_or_default().next()
    }
}

/// The events that a commit appends to one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamAppend {
    pub(crate) stream: StreamId,
    pub(crate) expected: ExpectedVersion,
    pub(crate) events: Vec<NewEvent>,
}

/// Appends to any number of streams, and conditions, of which all hold or nothing is written
/// (CONTRACT C1).
///
/// # Examples
///
/// ```
/// use annals::{Commit, EventStore, ExpectedVersion, MemoryStore, NewEvent, StreamId};
///
/// let store = MemoryStore::new();
/// let (from, to) = (StreamId::new("Account", "a")?, StreamId::new("Account", "b")?);
/// let result = store.commit(
///     Commit::new()
///         .append(&from, ExpectedVersion::Any, vec![NewEvent::new("Withdrawn", "5")])
///         .append(&to, ExpectedVersion::NoStream, vec![NewEvent::new("Deposited", "5")]),
/// )?;
/// assert_eq!(result.appends.len(), 2);
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Commit {
    pub(crate) appends: Vec<StreamAppend>,
    pub(crate) conditions: Vec<FailIfMatches>,
    pub(crate) on_duplicate: OnDuplicate,
}

impl Commit {
    /// Returns a commit that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an append; several to one stream see each other in their order. Without events only the
    /// expected version is checked.
    #[must_use]
    pub fn append(
        mut self,
        stream: &StreamId,
        expected: impl Into<ExpectedVersion>,
        events: Vec<NewEvent>,
    ) -> Self {
        let (stream, expected) = (stream.clone(), expected.into());
        self.appends.push(StreamAppend { stream, expected, events });
        self
    }

    /// Adds a condition.
    #[must_use]
    pub fn condition(mut self, condition: FailIfMatches) -> Self {
        self.conditions.push(condition);
        self
    }

    /// Says what happens to events that are already recorded; [`OnDuplicate::Skip`] when not set.
    #[must_use]
    pub fn on_duplicate(self, on_duplicate: OnDuplicate) -> Self {
        Self { on_duplicate, ..self }
    }
}

impl Commit {
    /// Gives the events that have no time of their own the time of the clock, where it is not the time
    /// that is recorded with them.
    pub(crate) fn occurs_at(&mut self, now: Timestamp) {
        for event in self.appends.iter_mut().flat_map(|append| &mut append.events) {
            event.occurred_at.get_or_insert(now);
        }
    }
}

/// Where the events of one append ended up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[doc(alias("success", "successful", "conflicted"))]
pub struct AppendResult {
    /// The stream's version after the append; for a replay, after the original one.
    pub new_version: StreamVersion,
    /// The position of the batch's last event; the store's global position when it has none.
    pub global_position: GlobalPosition,
    /// The position of the batch's first event, as recorded now or earlier; `None` when it has none.
    pub first_global_position: Option<GlobalPosition>,
    /// How many events were written now.
    pub appended: u64,
    /// Whether the whole batch had been recorded before, and this is its original result.
    pub replayed: bool,
}

/// Where the events of a commit ended up.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommitResult {
    /// The results of the appends, in the order of the commit.
    pub appends: Vec<AppendResult>,
    /// The position of the commit's last event; the store's global position when it has none.
    pub global_position: GlobalPosition,
    /// How many events were written now.
    pub appended: u64,
    /// Whether the whole commit had been recorded before, and this is its original result.
    pub replayed: bool,
}

/// A check of a commit that failed (CONTRACT C3).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CheckFailure {
    /// A stream was not at its expected version.
    Version {
        /// The stream.
        stream: StreamId,
        /// What the commit expected.
        expected: ExpectedVersion,
        /// The version the stream has.
        actual: StreamVersion,
    },
    /// An event matched a condition.
    Condition {
        /// Which of the commit's conditions, from 0.
        condition: usize,
        /// The first event that matched.
        global_position: GlobalPosition,
        /// Its type.
        event_type: String,
        /// Its stream.
        stream: StreamId,
    },
}

impl fmt::Display for CheckFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { stream, expected, actual } => {
                let stream = Escaped(stream);
                write!(f, "stream {stream} was expected to be {expected}, but is at {actual}")
            }
            Self::Condition { condition, global_position, event_type, stream } => {
                let (event_type, stream) = (Escaped(event_type), Escaped(stream));
                write!(
                    f,
                    "condition {condition} is matched by event {global_position}, {event_type} of {stream}"
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expected_version_turns_into_the_number_that_it_came_from() {
        // A conflict's `expected` could not be turned into a number at all.
        for number in [-2, -1, 0, 1, 3, i64::MAX] {
            let expected = ExpectedVersion::try_from(number).unwrap();
            assert_eq!(i64::from(expected), number);
            let version = u64::try_from(number).ok().map(StreamVersion::new);
            assert_eq!(expected.version(), version, "{expected}");
        }
        assert_eq!(i64::from(ExpectedVersion::exact(0)), 0);
        assert_eq!(ExpectedVersion::exact(0).version(), Some(StreamVersion::ZERO));
        assert_eq!(i64::from(ExpectedVersion::exact(u64::MAX)), i64::MAX);
        assert!(ExpectedVersion::try_from(-3).is_err());
    }
}
