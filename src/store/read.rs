//! How much is read, from where and in which order; and what reads give back.

use std::iter::FusedIterator;

use crate::error::Result;
use crate::event::RecordedEvent;
use crate::position::{GlobalPosition, StreamVersion};
use crate::store::query::Filter;
use crate::stream::{AggregateId, StreamId};

/// The order of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[doc(alias = "ReadDirection")]
pub enum Direction {
    /// Oldest first.
    #[default]
    #[doc(alias = "FORWARD")]
    Forward,
    /// Newest first.
    #[doc(alias = "BACKWARD")]
    Backward,
}

/// How much of a stream is read; its bounds are stream versions.
#[doc(alias = "StreamReadOptions")]
pub type StreamRead = ReadOptions<StreamVersion>;

/// How much of the whole store is read; its bounds are global positions.
#[doc(alias("FeedReadOptions", "CategoryReadOptions"))]
pub type GlobalRead = ReadOptions<GlobalPosition>;

/// How much is read and in which order; everything, oldest first, when nothing is set.
///
/// Bounds mean the same in both directions, and the limit applies last (CONTRACT R2).
///
/// # Examples
///
/// ```
/// use annals::{Direction, Filter, GlobalPosition, ReadOptions};
///
/// let newest_ten = ReadOptions::<GlobalPosition>::new().backward().limit(10);
/// let page = ReadOptions::<GlobalPosition>::new()
///     .after(GlobalPosition::new(100))
///     .limit(50)
///     .filter(Filter::new().event_type("Paid"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions<P = GlobalPosition> {
    direction: Direction,
    from: Option<P>,
    to: Option<P>,
    limit: Option<u64>,
    filter: Filter,
    /// Set when the exclusive bounds exclude everything.
    empty: bool,
}

impl<P> Default for ReadOptions<P> {
    fn default() -> Self {
        Self {
            direction: Direction::Forward,
            from: None,
            to: None,
            limit: None,
            filter: Filter::new(),
            empty: false,
        }
    }
}

impl<P> ReadOptions<P> {
    /// Reads everything, oldest first.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads newest first.
    #[must_use]
    pub fn backward(self) -> Self {
        self.direction(Direction::Backward)
    }

    /// Sets the order.
    #[must_use]
    pub fn direction(self, direction: Direction) -> Self {
        Self { direction, ..self }
    }

    /// Returns at most `count` events, counted after filtering; 0 reads nothing.
    #[must_use]
    pub fn limit(self, count: u64) -> Self {
        Self { limit: Some(count), ..self }
    }

    /// Returns only events that pass the filter.
    #[must_use]
    pub fn filter(self, filter: Filter) -> Self {
        Self { filter, ..self }
    }

    pub(crate) fn order(&self) -> Direction {
        self.direction
    }

    pub(crate) fn count_max(&self) -> Option<u64> {
        self.limit
    }

    pub(crate) fn passing(&self) -> &Filter {
        &self.filter
    }
}

/// What a read is bounded by: a stream version or a global position.
pub trait Bound: Copy + Ord + sealed::Sealed {
    /// Before the first.
    const ZERO: Self;
    /// The first.
    const FIRST: Self;
    /// The largest that can be represented.
    const MAX: Self;
    /// Returns the one after this, stopping at the largest.
    #[must_use]
    fn next(self) -> Self;
    /// Returns the one before this; the one before 0 is 0.
    #[must_use]
    fn previous(self) -> Self;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! bound {
    ($bound:ident) => {
        impl sealed::Sealed for $bound {}

        impl Bound for $bound {
            const ZERO: Self = Self::ZERO;
            const FIRST: Self = Self::FIRST;
            const MAX: Self = Self::MAX;

            fn next(self) -> Self {
                self.next()
            }

            fn previous(self) -> Self {
                self.previous()
            }
        }
    };
}

bound!(GlobalPosition);
bound!(StreamVersion);

impl<P: Bound> ReadOptions<P> {
    /// Starts at this one, itself included; the later of several such bounds holds.
    #[must_use]
    #[doc(alias = "from_version")]
    #[doc(alias = "from_position")]
    pub fn from(self, bound: impl Into<P>) -> Self {
        let bound = bound.into();
        Self { from: Some(self.from.map_or(bound, |other| other.max(bound))), ..self }
    }

    /// Ends at this one, itself included; the earlier of several such bounds holds.
    #[must_use]
    #[doc(alias = "to_version")]
    pub fn to(self, bound: impl Into<P>) -> Self {
        let bound = bound.into();
        Self { to: Some(self.to.map_or(bound, |other| other.min(bound))), ..self }
    }

    /// Starts behind this one, itself excluded.
    #[must_use]
    pub fn after(self, bound: impl Into<P>) -> Self {
        let bound = bound.into();
        let empty = self.empty || bound == P::MAX;
        Self { empty, ..self.from(bound.next()) }
    }

    /// Ends before this one, itself excluded.
    #[must_use]
    pub fn before(self, bound: impl Into<P>) -> Self {
        let bound = bound.into();
        let empty = self.empty || bound == P::ZERO;
        Self { empty, ..self.to(bound.previous()) }
    }

    /// Tells whether nothing is left out and the oldest comes first.
    pub(crate) fn is_whole(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the first and the last that are read, both included and the last at most
    /// `newest`; `None` when that is nothing.
    pub(crate) fn range(&self, newest: P) -> Option<(P, P)> {
        let first = self.from.unwrap_or(P::FIRST).max(P::FIRST);
        let last = self.to.unwrap_or(newest).min(newest);
        (!self.empty && self.limit != Some(0) && first <= last).then_some((first, last))
    }
}

/// The events of a read, one by one.
///
/// Lazy: memory does not grow with the length of what is read. It owns what it needs, so it may
/// outlive the call and move to another thread. After an error it ends; what lies behind a damaged
/// event is read by asking from there (CONTRACT R8).
///
/// As an iterator it hands events out to keep; [`advance`](Self::advance) lends them.
pub struct Events {
    source: Box<dyn Source>,
    /// How many may follow; 0 once it has ended.
    left: u64,
}

/// Gives the events of a read, to keep or lent; not asked again after an error or its end.
pub(crate) trait Source: Iterator<Item = Result<RecordedEvent>> + Send {
    /// Goes on to the next event, which is lent until the next call; `None` at the end.
    fn advance(&mut self) -> Option<Result<()>>;

    /// Returns the event that is lent.
    fn lent(&self) -> &RecordedEvent;
}

impl Events {
    /// Wraps the iterator of a backend; it is not asked again after an error or its end.
    pub fn new(events: impl Iterator<Item = Result<RecordedEvent>> + Send + 'static) -> Self {
        Self::of(Owned { events, lent: RecordedEvent::blank() })
    }

    pub(crate) fn of(source: impl Source + 'static) -> Self {
        Self { source: Box::new(source), left: u64::MAX }
    }

    /// Ends after so many events.
    pub(crate) fn limited_to(self, count_max: Option<u64>) -> Self {
        Self { left: self.left.min(count_max.unwrap_or(u64::MAX)), ..self }
    }

    /// Returns a read of nothing.
    pub fn empty() -> Self {
        Self::new(std::iter::empty())
    }

    /// Goes on to the next event and lends it until the next call; `None` at the end.
    ///
    /// In a read of the whole store, oldest first, what is only looked at costs less so: nothing is counted that
    /// would keep its bytes. Other reads cost the same. The event can be cloned to be kept.
    ///
    /// # Errors
    ///
    /// Those of the iterator's items; it has ended then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use annals::{EventStore, ExpectedVersion, MemoryStore, NewEvent, ReadOptions, StreamId};
    /// # let store = MemoryStore::new();
    /// # let stream = StreamId::new("Task", "task-1")?;
    /// # store.append(&stream, ExpectedVersion::Any, vec![NewEvent::new("Created", "tea")])?;
    /// let mut payload_bytes = 0;
    /// let mut events = store.read_all(ReadOptions::new())?;
    /// while let Some(event) = events.advance()? {
    ///     payload_bytes += event.payload().len();
    /// }
    /// assert_eq!(payload_bytes, 3);
    /// # Ok::<(), annals::Error>(())
    /// ```
    pub fn advance(&mut self) -> Result<Option<&RecordedEvent>> {
        if self.left == 0 {
            return Ok(None);
        }
        match self.source.advance() {
            Some(Ok(())) => {
                self.left -= 1;
                Ok(Some(self.source.lent()))
            }
            ended => {
                self.left = 0;
                ended.transpose().map(|_| None)
            }
        }
    }
}

impl Iterator for Events {
    type Item = Result<RecordedEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let next = self.source.next();
        self.left = if matches!(next, Some(Ok(_))) { self.left - 1 } else { 0 };
        next
    }
}

/// Lends the events of an iterator that hands them out.
struct Owned<I> {
    events: I,
    lent: RecordedEvent,
}

impl<I: Iterator<Item = Result<RecordedEvent>>> Iterator for Owned<I> {
    type Item = Result<RecordedEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        self.events.next()
    }
}

impl<I: Iterator<Item = Result<RecordedEvent>> + Send> Source for Owned<I> {
    fn advance(&mut self) -> Option<Result<()>> {
        let next = self.events.next()?;
        Some(next.map(|event| self.lent = event))
    }

    fn lent(&self) -> &RecordedEvent {
        &self.lent
    }
}

/// Those events of a source that match; errors as well.
pub(crate) struct Matching<S, F> {
    pub(crate) source: S,
    pub(crate) matches: F,
}

impl<S: Source, F: Fn(&RecordedEvent) -> bool + Send> Iterator for Matching<S, F> {
    type Item = Result<RecordedEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().map(|found| found.map(|()| self.source.lent().clone()))
    }
}

impl<S: Source, F: Fn(&RecordedEvent) -> bool + Send> Source for Matching<S, F> {
    fn advance(&mut self) -> Option<Result<()>> {
        loop {
            match self.source.advance() {
                Some(Ok(())) if !(self.matches)(self.source.lent()) => {}
                found => return found,
            }
        }
    }

    fn lent(&self) -> &RecordedEvent {
        self.source.lent()
    }
}

impl FusedIterator for Events {}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events(..)")
    }
}

/// The events of one stream, collected: memory grows with their number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventStream {
    stream: StreamId,
    events: Vec<RecordedEvent>,
    version: StreamVersion,
}

impl EventStream {
    /// Puts together what a backend read.
    pub fn new(stream: StreamId, events: Vec<RecordedEvent>, version: StreamVersion) -> Self {
        Self { stream, events, version }
    }

    /// Returns the stream's name.
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// Returns the aggregate id.
    pub fn aggregate_id(&self) -> &AggregateId {
        self.stream.aggregate_id()
    }

    /// Returns the aggregate type.
    pub fn aggregate_type(&self) -> &str {
        self.stream.aggregate_type()
    }

    /// Returns the events that were read, in the order asked for.
    pub fn events(&self) -> &[RecordedEvent] {
        &self.events
    }

    /// Returns the stream's version, which is not the count of events when only some were asked for;
    /// 0 for an absent stream.
    pub fn version(&self) -> StreamVersion {
        self.version
    }

    /// Tells whether no event was read.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Returns the newest of the events that were read.
    pub fn latest_event(&self) -> Option<&RecordedEvent> {
        self.events.iter().max_by_key(|event| event.stream_version())
    }
}

impl IntoIterator for EventStream {
    type Item = RecordedEvent;
    type IntoIter = std::vec::IntoIter<RecordedEvent>;

    fn into_iter(self) -> Self::IntoIter {
        self.events.into_iter()
    }
}
