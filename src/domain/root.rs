//! An aggregate together with what makes it one of many: its id, its version, and the events that are not
//! saved yet.

use std::ops::Deref;

use super::{Aggregate, IntoEvents};
use crate::event::EventId;
use crate::position::StreamVersion;
use crate::stream::{AggregateId, StreamId, TenantId};

/// One aggregate, as it was loaded and changed since.
///
/// Dereferences to the state. Made by a [`Repository`](crate::Repository), which also saves it. Each event
/// has its id from the moment a command gives it: to save the same root again after a failure is
/// recognised as a retry (CONTRACT A3).
///
/// # Examples
///
/// ```
/// # use annals::{Aggregate, AggregateId, DomainEvent, MemoryStore, Repository};
/// # use serde::{Deserialize, Serialize};
/// #[derive(Debug, Serialize, Deserialize)]
/// enum CounterEvent { Added(u64) }
///
/// # impl DomainEvent for CounterEvent { const AGGREGATE_TYPE: &'static str = "Counter"; }
/// #[derive(Debug, Default)]
/// struct Counter { sum: u64 }
///
/// # #[derive(Debug)]
/// # struct TooMuch;
/// impl Counter {
///     fn add(&self, count: u64) -> Result<CounterEvent, TooMuch> {
///         if count > 9 { Err(TooMuch) } else { Ok(CounterEvent::Added(count)) }
///     }
/// }
/// # impl Aggregate for Counter {
/// #     type Event = CounterEvent;
/// #     fn apply(&mut self, event: &CounterEvent) { let CounterEvent::Added(n) = event; self.sum += n; }
/// # }
///
/// let counters = Repository::<Counter, _>::new(MemoryStore::new());
/// let mut counter = counters.load_or_create(&AggregateId::new("visits")?)?;
/// counter.execute(|it| it.add(2)).unwrap();
/// counter.execute(|it| it.add(3)).unwrap();
/// assert!(counter.execute(|it| it.add(10)).is_err());
/// assert_eq!((counter.sum, counter.version().get(), counter.uncommitted_events().len()), (5, 2, 2));
///
/// counters.save(&mut counter)?;
/// assert_eq!((counter.saved_version().get(), counter.uncommitted_events().len()), (2, 0));
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Root<A: Aggregate> {
    stream: StreamId,
    state: A,
    saved_version: StreamVersion,
    uncommitted: Vec<A::Event>,
    /// One for each uncommitted event.
    event_ids: Vec<EventId>,
    belongs: Belongs,
}

/// To whom a stream belongs, as far as its events tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Belongs {
    /// For whom the aggregate was loaded.
    pub(super) tenant: Option<TenantId>,
    /// Whether the stream holds an event of somebody else.
    pub(super) is_shared: bool,
}

impl<A: Aggregate> Root<A> {
    pub(super) fn new(stream: StreamId, tenant: Option<TenantId>) -> Self {
        Self::at(stream, StreamVersion::ZERO, A::default(), Belongs { tenant, is_shared: false })
    }

    pub(super) fn at(
        stream: StreamId,
        saved_version: StreamVersion,
        state: A,
        belongs: Belongs,
    ) -> Self {
        let (uncommitted, event_ids) = (Vec::new(), Vec::new());
        Self { stream, state, saved_version, uncommitted, event_ids, belongs }
    }

    /// Returns the id within the aggregate type.
    pub fn id(&self) -> &AggregateId {
        self.stream.aggregate_id()
    }

    /// Returns the stream that holds its events.
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// Returns the state.
    pub fn state(&self) -> &A {
        &self.state
    }

    /// Returns the version that the state has, events that are not saved yet included; 0 when nothing
    /// has happened.
    #[doc(alias = "get_next_version")]
    pub fn version(&self) -> StreamVersion {
        self.saved_version.advanced_by(self.uncommitted.len() as u64)
    }

    /// Returns the version that is recorded: the one that saving expects.
    pub fn saved_version(&self) -> StreamVersion {
        self.saved_version
    }

    /// Returns the events that commands gave and that are not saved yet.
    #[doc(alias = "has_uncommitted_events")]
    pub fn uncommitted_events(&self) -> &[A::Event] {
        &self.uncommitted
    }

    /// Gives the state to a command, and applies the events that it gives.
    ///
    /// # Errors
    ///
    /// The rejection of the command; nothing has changed.
    #[doc(alias("raise_event", "_raise_event", "create_event"))]
    pub fn execute<C: IntoEvents<A::Event>, R>(
        &mut self,
        command: impl FnOnce(&A) -> Result<C, R>,
    ) -> Result<(), R> {
        for event in command(&self.state)?.into_events() {
            self.state.apply(&event);
            self.uncommitted.push(event);
            self.event_ids.push(EventId::generate());
        }
        Ok(())
    }

    /// Returns the uncommitted events with their ids.
    pub(super) fn uncommitted(&self) -> impl Iterator<Item = (&A::Event, EventId)> {
        self.uncommitted.iter().zip(self.event_ids.iter().copied())
    }

    /// Gives every uncommitted event an id by its place among them.
    pub(super) fn number_events(&mut self, id: impl Fn(usize) -> EventId) {
        self.event_ids = (0..self.uncommitted.len()).map(id).collect();
    }

    /// Takes note that the uncommitted events are recorded.
    pub(super) fn mark_events_as_committed(&mut self, version: StreamVersion) {
        self.saved_version = version;
        self.uncommitted.clear();
        self.event_ids.clear();
    }

    /// Applies an event that is recorded.
    pub(super) fn replay(&mut self, event: &A::Event, version: StreamVersion) {
        self.state.apply(event);
        self.saved_version = version;
    }

    pub(super) fn belongs(&self) -> &Belongs {
        &self.belongs
    }

    /// Takes note of an event of somebody else.
    pub(super) fn mark_as_shared(&mut self) {
        self.belongs.is_shared = true;
    }
}

impl<A: Aggregate> Deref for Root<A> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.state
    }
}
