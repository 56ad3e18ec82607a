//! A store in memory: the shortest implementation of the contract, for tests and for trying things.
//!
//! Owns lists of recorded events and nothing else; what a commit comes to is decided by
//! `store::decide`. A list only ever grows, and a read knows from its start how far it goes: so it
//! needs the lock of its list for one event at a time, and never sees what is appended later.
//!
//! Invariants:
//!
//! 1. The event at index `n` of `all` has position `n + 1`, and at index `n` of its stream's list
//!    version `n + 1`.
//! 2. Lists grow only while the state is locked for writing: whoever holds it for reading sees whole
//!    commits.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use crate::clock::Clock;
use crate::engine::Watchers;
use crate::error::{Error, Result};
use crate::event::{EventId, RecordedEvent};
use crate::limits::Limits;
use crate::position::{GlobalPosition, StreamVersion};
use crate::record::{Record, RecordKind, RecordList, check_content, check_name};
use crate::store::{
    Claim, Claims, Commit, CommitResult, Decision, Direction, EventStore, Events, FirstAppends,
    GlobalRead, Query, ReadOptions, RecordStore, StreamRead, View, Watch, Watcher, Write, decide,
};
use crate::stream::{AggregateId, StreamId};
use crate::timestamp::Timestamp;

/// A store in memory: the whole contract but for durability.
///
/// Streams and event ids are looked up; queries and conditions scan. Memory grows with what is
/// recorded.
///
/// # Examples
///
/// ```
/// use annals::{EventStore, ExpectedVersion, MemoryStore, NewEvent, StreamId};
///
/// let store = MemoryStore::new();
/// let task = StreamId::new("Task", "task-1")?;
/// store.append(&task, ExpectedVersion::NoStream, vec![NewEvent::new("Created", "tea")])?;
/// assert_eq!(store.event_count(), 1);
/// # Ok::<(), annals::Error>(())
/// ```
#[derive(Debug, Default)]
#[doc(alias = "InMemoryEventStore")]
pub struct MemoryStore {
    state: RwLock<State>,
    records: RwLock<BTreeMap<(RecordKind, String), Bytes>>,
    hasher: RandomState,
    claims: Claims,
    watchers: Watchers,
    clock: Clock,
    limits: Limits,
}

type List = Arc<RwLock<Vec<RecordedEvent>>>;

#[derive(Debug, Default)]
struct State {
    all: List,
    streams: HashMap<StreamId, List>,
    ids: HashMap<EventId, RecordedEvent>,
}

impl MemoryStore {
    /// Returns an empty store with the system's clock and the default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns an empty store with a clock and limits of its own.
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::{Clock, MemoryStore, Timestamp, limits::Limits};
    ///
    /// let (clock, _hand) = Clock::manual(Timestamp::from_micros(0));
    /// let limits = Limits { payload_bytes_max: 4096, ..Limits::default() };
    /// let store = MemoryStore::with(clock, limits);
    /// ```
    pub fn with(clock: Clock, limits: Limits) -> Self {
        Self { clock, limits: limits.capped(), ..Self::default() }
    }

    /// Returns all events, collected, in global order.
    #[doc(alias = "get_all_events")]
    pub fn all_events(&self) -> Vec<RecordedEvent> {
        let state = self.state.read();
        let events = state.all.read();
        events.clone()
    }

    /// Returns the number of events.
    #[doc(alias = "get_event_count")]
    pub fn event_count(&self) -> u64 {
        self.state.read().global_position().get()
    }

    /// Returns the aggregate ids that have events, each once, in order of first appearance.
    #[doc(alias = "get_aggregate_ids")]
    pub fn aggregate_ids(&self) -> Vec<AggregateId> {
        let mut seen = HashSet::new();
        let mut events = self.all_events();
        events.retain(|event| event.stream_version() == StreamVersion::FIRST);
        let ids = events.iter().filter_map(|event| event.aggregate_id().try_into().ok());
        ids.filter(|id: &AggregateId| seen.insert(id.clone())).collect()
    }

    /// Forgets everything, as if the store were new: positions start again at 1, and records are gone.
    /// A read that is going on is not disturbed; a subscription waits for positions that come again.
    pub fn clear(&self) {
        *self.state.write() = State::default();
        self.records.write().clear();
    }
}

impl EventStore for MemoryStore {
    fn commit(&self, mut commit: Commit) -> Result<CommitResult> {
        commit.check(&self.limits)?;
        let mut state = self.state.write();
        let view = CommitView { state: &state, commit: &commit };
        let hashes = commit.appends.iter().map(|append| self.hasher.hash_one(&append.stream));
        let firsts = FirstAppends::of(&commit, hashes)?;
        let Decision { writes, result } = decide(&commit, &firsts, &view)?;
        let now = self.clock.now();
        let recorded_at = now.max(state.recorded_until());
        if now < recorded_at {
            commit.occurs_at(now);
        }
        let events = writes.iter().map(|write| record(&commit, *write, recorded_at));
        for (stream, event) in events.collect::<Result<Vec<_>>>()? {
            state.add(stream, event);
        }
        drop(state);
        self.watchers.call_all();
        Ok(result)
    }

    fn read_stream(&self, stream: &StreamId, options: StreamRead) -> Result<Events> {
        options.passing().check()?;
        let state = self.state.read();
        let Some(list) = state.streams.get(stream) else {
            return Ok(Events::empty());
        };
        let range = options.range(state.version(stream));
        let range = range.map(|(first, last)| (first.get(), last.get()));
        Ok(events(list, range, Query::all(), &options))
    }

    fn read(&self, query: &Query, options: GlobalRead) -> Result<Events> {
        query.check()?;
        options.passing().check()?;
        let state = self.state.read();
        let range = options.range(state.global_position());
        let range = range.map(|(first, last)| (first.get(), last.get()));
        Ok(events(&state.all, range, query.clone(), &options))
    }

    fn stream_version(&self, stream: &StreamId) -> Result<StreamVersion> {
        Ok(self.state.read().version(stream))
    }

    fn event(&self, event_id: EventId) -> Result<Option<RecordedEvent>> {
        Ok(self.state.read().ids.get(&event_id).cloned())
    }

    fn global_position(&self) -> Result<GlobalPosition> {
        Ok(self.state.read().global_position())
    }

    fn watch(&self, position: GlobalPosition, watcher: &Watcher) -> Result<Watch> {
        self.watchers.watch(watcher, || self.state.read().global_position() > position)
    }
}

impl RecordStore for MemoryStore {
    fn write_record(&self, kind: RecordKind, name: &str, content: &[u8]) -> Result<()> {
        check_name(name)?;
        check_content(content)?;
        self.records.write().insert((kind, name.to_owned()), Bytes::copy_from_slice(content));
        Ok(())
    }

    fn read_record(&self, kind: RecordKind, name: &str) -> Result<Record> {
        check_name(name)?;
        let records = self.records.read();
        let content = records.get(&(kind, name.to_owned()));
        Ok(content.map_or(Record::Absent, |content| Record::Found(content.clone())))
    }

    fn remove_record(&self, kind: RecordKind, name: &str) -> Result<()> {
        check_name(name)?;
        self.records.write().remove(&(kind, name.to_owned()));
        Ok(())
    }

    fn list(&self, kind: RecordKind) -> Result<RecordList> {
        let records = self.records.read();
        let names = records.keys().filter(|(own, _)| *own == kind).map(|(_, name)| name.clone());
        Ok(RecordList::new(names.collect(), Vec::new()))
    }

    fn claim(&self, kind: RecordKind, name: &str) -> Result<Claim> {
        self.claims.claim(kind, name)
    }
}

/// The state, for the decision on a commit.
struct CommitView<'a> {
    state: &'a State,
    commit: &'a Commit,
}

impl View for CommitView<'_> {
    fn version(&self, append: usize) -> Result<StreamVersion> {
        match self.commit.appends.get(append) {
            Some(append) => Ok(self.state.version(&append.stream)),
            None => Err(Error::Internal { invariant: "a decision asks of appends of its commit" }),
        }
    }

    fn event(&self, event_id: EventId) -> Result<Option<RecordedEvent>> {
        Ok(self.state.ids.get(&event_id).cloned())
    }

    fn first_match(&self, query: &Query, first: GlobalPosition) -> Result<Option<RecordedEvent>> {
        let all = self.state.all.read();
        let mut events = all.iter().skip(index(first.get()));
        Ok(events.find(|event| query.matches(event)).cloned())
    }

    fn global_position(&self) -> GlobalPosition {
        self.state.global_position()
    }
}

impl State {
    fn version(&self, stream: &StreamId) -> StreamVersion {
        let count = self.streams.get(stream).map_or(0, |list| list.read().len());
        StreamVersion::new(count as u64)
    }

    fn global_position(&self) -> GlobalPosition {
        GlobalPosition::new(self.all.read().len() as u64)
    }

    fn add(&mut self, stream: &StreamId, event: RecordedEvent) {
        self.ids.insert(event.event_id(), event.clone());
        self.streams.entry(stream.clone()).or_default().write().push(event.clone());
        self.all.write().push(event);
    }

    fn recorded_until(&self) -> Timestamp {
        self.all.read().last().map_or(Timestamp::MIN, RecordedEvent::recorded_at)
    }
}

#[expect(clippy::indexing_slicing, reason = "a decision names only events of its commit")]
fn record(commit: &Commit, write: Write, now: Timestamp) -> Result<(&StreamId, RecordedEvent)> {
    let append = &commit.appends[write.append];
    let (version, position) = (write.stream_version, write.global_position);
    let new = &append.events[write.event];
    let event = RecordedEvent::from_new(new, &append.stream, version, position, now)?;
    Ok((&append.stream, event))
}

/// Reads the events of a list from the first to the last number, both counted from 1 and included.
fn events<P>(
    list: &List,
    range: Option<(u64, u64)>,
    query: Query,
    options: &ReadOptions<P>,
) -> Events {
    let (first, end) = range.map_or((0, 0), |(first, last)| (index(first), index(last) + 1));
    let forward = options.order() == Direction::Forward;
    let mut indices = first..end;
    let next = move || if forward { indices.next() } else { indices.next_back() };
    let (list, filter) = (Arc::clone(list), options.passing().clone());
    let passes = move |event: &&RecordedEvent| query.matches(event) && filter.matches(event);
    let matching = std::iter::from_fn(next)
        .filter_map(move |index| list.read().get(index).filter(&passes).cloned());
    let limit = options.count_max().map_or(usize::MAX, saturated);
    Events::new(matching.take(limit).map(Ok))
}

/// Returns the index of the event with a position or version.
fn index(number: u64) -> usize {
    saturated(number.saturating_sub(1))
}

fn saturated(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
