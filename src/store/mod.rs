//! The contract: what every backend promises to its callers, and the words in which it is asked.
//!
//! Knows no implementation. The numbered clauses that the documentation cites (S1, A3, R7 ...) are
//! listed in `docs/contract.md`; the conformance suite of the feature `testing` holds any backend to
//! them.

#![forbid(unsafe_code)]

mod append;
mod check;
mod claims;
mod decide;
mod first_appends;
mod query;
mod read;
mod records;
mod shared;
mod watch;

pub use append::{
    AppendResult, CheckFailure, Commit, CommitResult, ExpectedVersion, FailIfMatches, OnDuplicate,
};
pub use claims::{Claim, Claims};
pub use query::{Filter, Query, QueryItem};
pub use read::{Bound, Direction, EventStream, Events, GlobalRead, ReadOptions, StreamRead};
pub(crate) use read::{Matching, Source};
pub use records::RecordStore;
pub use watch::{Watch, Watcher};

pub(crate) use append::StreamAppend;
pub(crate) use decide::{Decision, View, Write, decide};
pub(crate) use first_appends::FirstAppends;
pub(crate) use watch::WeakWatcher;

use crate::error::{Error, Result};
use crate::event::{EventId, NewEvent, RecordedEvent};
use crate::limits::Limits;
use crate::position::{GlobalPosition, StreamVersion};
use crate::stream::{StreamId, check_aggregate_type};

/// A store of events.
///
/// Object safe and shared between threads by reference; a reference, a `Box` and an `Arc` of a store are
/// the store. A backend implements the six required methods; the others are made from them. A store that
/// wraps another hands on [`watch`](Self::watch) too, so that who follows it is told and need not ask,
/// and, where it shows a part of the events only, [`event_id_at`](Self::event_id_at).
///
/// # Examples
///
/// ```
/// use annals::{EventStore, ExpectedVersion, MemoryStore, NewEvent, StreamId};
///
/// let store: Box<dyn EventStore> = Box::new(MemoryStore::new());
/// let task = StreamId::new("Task", "task-1")?;
/// let result = store.append(&task, ExpectedVersion::NoStream, vec![NewEvent::new("Created", "tea")])?;
/// assert_eq!(result.new_version.get(), 1);
///
/// for event in store.read_stream(&task, Default::default())? {
///     println!("{}", event?.event_type());
/// }
/// # Ok::<(), annals::Error>(())
/// ```
#[doc(alias(
    "EventAppender",
    "StreamReader",
    "EventLookup",
    "GlobalEventFeed",
    "CategoryQuery",
    "AggregateStore",
    "FullEventStore",
    "SyncEventStoreAdapter"
))]
pub trait EventStore: Send + Sync {
    /// Appends to any number of streams if every expected version and condition holds, or writes
    /// nothing. When it returns `Ok`, the events are recorded, on a durable backend for good.
    ///
    /// # Errors
    ///
    /// [`Error::CommitRefused`] with every check that failed; [`Error::BeyondEnd`] for a condition
    /// that looks only after a position which the store does not have; [`Error::DuplicateEvent`],
    /// [`Error::EventIdTaken`], [`Error::VersionMismatch`], [`Error::Limit`] and
    /// [`Error::InvalidName`] for events that can not be taken; all of these wrote nothing.
    /// [`Error::OutcomeUnknown`] when writing failed.
    fn commit(&self, commit: Commit) -> Result<CommitResult>;

    /// Reads the events of one stream, as they were durable when this was called.
    ///
    /// An absent stream reads as empty.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] or [`Error::Limit`] for a filter with a name that no event can have;
    /// the iterator gives [`Error::Damage`] in place of a damaged event.
    fn read_stream(&self, stream: &StreamId, options: StreamRead) -> Result<Events>;

    /// Reads the events of the whole store that match a query, in global order, as they were
    /// durable when this was called.
    ///
    /// # Errors
    ///
    /// As [`read_stream`](Self::read_stream).
    fn read(&self, query: &Query, options: GlobalRead) -> Result<Events>;

    /// Returns the version of a stream: that of its last event, 0 when there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Damage`] or [`Error::Io`] when its last event can not be read.
    #[doc(alias = "get_stream_version")]
    #[doc(alias("get_current_version", "actual_version"))]
    fn stream_version(&self, stream: &StreamId) -> Result<StreamVersion>;

    /// Returns the event with an id, if it is recorded.
    ///
    /// # Errors
    ///
    /// [`Error::Damage`] or [`Error::Io`] when it can not be read.
    fn event(&self, event_id: EventId) -> Result<Option<RecordedEvent>>;

    /// Returns the position of the last event of the store, 0 when it is empty.
    ///
    /// # Errors
    ///
    /// None of the backends of this crate fails.
    #[doc(alias = "get_global_position")]
    #[doc(alias = "current_position")]
    fn global_position(&self) -> Result<GlobalPosition>;

    /// Appends events to one stream: a [`commit`](Self::commit) of one append.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] when the stream is not at the expected version; otherwise as `commit`.
    #[doc(alias = "append_events")]
    fn append(
        &self,
        stream: &StreamId,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> Result<AppendResult> {
        match self.commit(Commit::new().append(stream, expected, events)) {
            Ok(CommitResult { mut appends, .. }) => appends.pop().ok_or(Error::Internal {
                invariant: "the result of a commit has one entry for each of its appends",
            }),
            Err(Error::CommitRefused { failures }) => Err(conflict(failures)),
            Err(error) => Err(error),
        }
    }

    /// Loads a stream: its events, collected, and its version.
    ///
    /// # Errors
    ///
    /// As [`read_stream`](Self::read_stream), and what its iterator gives.
    #[doc(alias = "get_events")]
    #[doc(alias("collect", "aggregate_events"))]
    fn load_stream(&self, stream: &StreamId, options: StreamRead) -> Result<EventStream> {
        let version = self.stream_version(stream)?;
        let events = self.read_stream(stream, options.to(version))?.collect::<Result<_>>()?;
        Ok(EventStream::new(stream.clone(), events, version))
    }

    /// Reads the events of the whole store, in global order.
    ///
    /// # Errors
    ///
    /// As [`read_stream`](Self::read_stream).
    fn read_all(&self, options: GlobalRead) -> Result<Events> {
        self.read(&Query::all(), options)
    }

    /// Reads the events of one aggregate type, in global order.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] for a name that is no aggregate type; otherwise as
    /// [`read_stream`](Self::read_stream).
    #[doc(alias = "get_events_by_type")]
    fn read_category(&self, aggregate_type: &str, options: GlobalRead) -> Result<Events> {
        check_aggregate_type(aggregate_type)?;
        self.read(&Query::category(aggregate_type), options)
    }

    /// Tells whether an event id is recorded.
    ///
    /// # Errors
    ///
    /// As [`event`](Self::event).
    fn event_exists(&self, event_id: EventId) -> Result<bool> {
        Ok(self.event(event_id)?.is_some())
    }

    /// Returns the id of the event at a position; `None` for position 0, beyond the end of the store, and
    /// where the event is lost and a repair has given it up.
    ///
    /// A follower keeps it with the position that it has reached, and compares it when it continues: a
    /// store that was restored from a backup has other events at the same positions (CONTRACT F5). It is
    /// the id of the event whoever may see it, so a store that shows a part of the events of another one
    /// asks that one.
    ///
    /// # Errors
    ///
    /// As [`event`](Self::event).
    ///
    /// # Examples
    ///
    /// ```
    /// # use annals::{EventStore, ExpectedVersion, GlobalPosition, MemoryStore, NewEvent, StreamId};
    /// # let store = MemoryStore::new();
    /// # let task = StreamId::new("Task", "task-1")?;
    /// let created = NewEvent::new("Created", "tea");
    /// let id = created.event_id();
    /// store.append(&task, ExpectedVersion::Any, vec![created])?;
    /// assert_eq!(store.event_id_at(GlobalPosition::new(1))?, Some(id));
    /// assert_eq!(store.event_id_at(GlobalPosition::new(2))?, None);
    /// # Ok::<(), annals::Error>(())
    /// ```
    fn event_id_at(&self, position: GlobalPosition) -> Result<Option<EventId>> {
        if position == GlobalPosition::ZERO {
            return Ok(None);
        }
        let there = GlobalRead::new().from(position).to(position);
        let event = self.read(&Query::all(), there)?.next().transpose()?;
        Ok(event.map(|event| event.event_id()))
    }

    /// Has a watcher called once, as soon as there may be a durable event beyond a position or the
    /// store is closed. [`Subscription`](crate::Subscription) is made of this and of
    /// [`read`](Self::read).
    ///
    /// A store that does not override this calls nobody: who follows it asks again and again, and does not
    /// end when it is closed.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when no event beyond the position will ever come: the store is closed, or open
    /// for reading only.
    fn watch(&self, position: GlobalPosition, watcher: &Watcher) -> Result<Watch> {
        let _ = (position, watcher);
        Ok(Watch::Unwatched)
    }
}

impl Commit {
    /// Refuses what no backend takes: invalid names, and sizes over the limits (CONTRACT A8).
    pub(crate) fn check(&self, limits: &Limits) -> Result<()> {
        check::commit(self, limits)
    }
}

/// Turns the refusal of a single append into the error that is named after it.
pub(crate) fn conflict(failures: Vec<CheckFailure>) -> Error {
    match <[CheckFailure; 1]>::try_from(failures) {
        Ok([CheckFailure::Version { stream, expected, actual }]) => {
            Error::Conflict { stream, expected, actual }
        }
        Ok(other) => Error::CommitRefused { failures: other.into() },
        Err(failures) => Error::CommitRefused { failures },
    }
}
