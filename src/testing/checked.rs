//! A store between the suite and the store under test that believes no result.
//!
//! What a commit returns is compared with what is read back, in every function of the suite that commits. Where
//! no other commit was under way, the numbers must be exactly those that follow what was there before.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Harness;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::{EventId, NewEvent, RecordedEvent};
use crate::limits::Limits;
use crate::position::{GlobalPosition, StreamVersion};
use crate::store::{
    AppendResult, Commit, CommitResult, EventStore, EventStream, Events, ExpectedVersion,
    GlobalRead, Query, ReadOptions, StreamAppend, StreamRead, Watch, Watcher, conflict,
};
use crate::stream::StreamId;

/// Opens the stores of a harness so that their results are checked.
pub(super) struct CheckedHarness<'a>(pub(super) &'a dyn Harness);

impl Harness for CheckedHarness<'_> {
    fn open(&self, clock: Clock, limits: Limits) -> Box<dyn EventStore> {
        Checked::around(self.0.open(clock, limits))
    }

    fn reopen(
        &self,
        store: Box<dyn EventStore>,
        clock: Clock,
        limits: Limits,
    ) -> Option<Box<dyn EventStore>> {
        self.0.reopen(store, clock, limits).map(Checked::around)
    }

    fn damage(
        &self,
        store: Box<dyn EventStore>,
        position: GlobalPosition,
    ) -> Option<Box<dyn EventStore>> {
        self.0.damage(store, position)
    }
}

struct Checked {
    store: Box<dyn EventStore>,
    begun: AtomicU64,
    ended: AtomicU64,
}

/// Of a commit with more events not each one is read back.
const EVENTS_READ_BACK_MAX: usize = 1_000;

/// What was known before a commit.
struct Before {
    position: GlobalPosition,
    /// How many commits had begun, this one not counted; none when another was under way.
    begun: Option<u64>,
}

impl Checked {
    fn around(store: Box<dyn EventStore>) -> Box<dyn EventStore> {
        Box::new(Self { store, begun: AtomicU64::new(0), ended: AtomicU64::new(0) })
    }

    fn begin(&self) -> Result<Before> {
        let ended = self.ended.load(Ordering::SeqCst);
        let begun = self.begun.fetch_add(1, Ordering::SeqCst);
        let position = self.store.global_position()?;
        Ok(Before { position, begun: (begun == ended).then_some(begun) })
    }

    /// Ends a commit; returns the position after it, and whether it was alone from its begin.
    fn end(&self, before: &Before) -> Result<(GlobalPosition, bool)> {
        let position = self.store.global_position()?;
        let begun = self.begun.load(Ordering::SeqCst);
        self.ended.fetch_add(1, Ordering::SeqCst);
        Ok((position, before.begun.is_some_and(|own| own + 1 == begun)))
    }

    fn check(&self, commit: &Commit, result: &CommitResult, before: &Before) -> Result<()> {
        let (after, is_alone) = self.end(before)?;
        let CommitResult { appends, global_position, appended, replayed } = result;
        assert_eq!(appends.len(), commit.appends.len(), "a result for each append: {result:?}");
        let sum: u64 = appends.iter().map(|append| append.appended).sum();
        assert_eq!(*appended, sum, "what was appended is the sum of all appends: {result:?}");
        assert!(!replayed || sum == 0, "a replay appends nothing: {result:?}");
        let mut last = None;
        for (append, result) in commit.appends.iter().zip(appends) {
            let is_replayed = *replayed && !append.events.is_empty();
            assert_eq!(result.replayed, is_replayed, "an append is replayed as its commit is");
            last = self.check_append(append, result, before, after)?.or(last);
        }
        match last {
            Some(last) => assert_eq!(*global_position, last, "the last event is at {last}"),
            None => assert!((before.position..=after).contains(global_position), "{result:?}"),
        }
        if is_alone {
            let written = after.distance_from(before.position);
            assert_eq!(*appended, written, "{written} positions were given out: {result:?}");
            self.check_new(commit, before.position, after)?;
        }
        Ok(())
    }

    /// Compares the result of an append with its events as they are read; returns the position of the last.
    fn check_append(
        &self,
        append: &StreamAppend,
        result: &AppendResult,
        before: &Before,
        after: GlobalPosition,
    ) -> Result<Option<GlobalPosition>> {
        let stream = &append.stream;
        let now = self.store.stream_version(stream)?;
        assert!(result.new_version <= now, "{stream} is at {now}: {result:?}");
        let (Some(first), Some(last)) = (append.events.first(), append.events.last()) else {
            assert_eq!(result.first_global_position, None, "without events there is no first");
            assert!((before.position..=after).contains(&result.global_position), "{result:?}");
            return Ok(None);
        };
        let first = self.recorded(stream, first)?.global_position();
        let last = self.recorded(stream, last)?.global_position();
        assert_eq!(result.first_global_position, Some(first), "the first event is at {first}");
        assert_eq!(result.global_position, last, "the last event is at {last}");
        let mut newest = StreamVersion::ZERO;
        for event in sample(&append.events) {
            newest = newest.max(self.recorded(stream, event)?.stream_version());
        }
        assert!(result.new_version >= newest, "an event has version {newest}: {result:?}");
        if result.appended > 0 {
            assert_eq!(result.new_version, newest, "the newest event has version {newest}");
        }
        let at_version = ReadOptions::new().from(result.new_version).to(result.new_version);
        let found = self.store.read_stream(stream, at_version)?.collect::<Result<Vec<_>>>()?;
        assert_eq!(found.len(), 1, "{stream} has an event of version {}", result.new_version);
        Ok(Some(last))
    }

    /// Holds the events that a commit wrote to having the positions that follow, in its order.
    fn check_new(
        &self,
        commit: &Commit,
        before: GlobalPosition,
        after: GlobalPosition,
    ) -> Result<()> {
        let events = commit.appends.iter().flat_map(|append| &append.events);
        let ids: HashSet<EventId> = events.map(NewEvent::event_id).collect();
        let written = self.store.read_all(ReadOptions::new().after(before).to(after))?;
        let written = written.collect::<Result<Vec<_>>>()?;
        let count = after.distance_from(before);
        assert_eq!(written.len() as u64, count, "{count} events were written");
        for (event, position) in written.iter().zip(1..) {
            assert_eq!(event.global_position(), before.advanced_by(position));
            assert!(ids.contains(&event.event_id()), "{event:?} is not of the commit");
        }
        Ok(())
    }

    fn recorded(&self, stream: &StreamId, new: &NewEvent) -> Result<RecordedEvent> {
        let id = new.event_id();
        let event = self.store.event(id)?;
        let event = event.unwrap_or_else(|| panic!("event {id} was acknowledged and is not there"));
        assert!(event.is_in(stream), "event {id} was appended to {stream}: {event:?}");
        assert_eq!(event.event_id(), id);
        assert!(self.store.event_exists(id)?, "event {id} is there and does not exist");
        assert_eq!((event.event_type(), event.payload()), (new.event_type(), &new.payload()[..]));
        Ok(event)
    }
}

/// Returns the events, or some of very many.
fn sample(events: &[NewEvent]) -> impl Iterator<Item = &NewEvent> {
    let last = events.last().filter(|_| events.len() > EVENTS_READ_BACK_MAX);
    events.iter().step_by(events.len() / EVENTS_READ_BACK_MAX + 1).chain(last)
}

impl EventStore for Checked {
    fn commit(&self, commit: Commit) -> Result<CommitResult> {
        let before = self.begin()?;
        let result = self.store.commit(commit.clone());
        match &result {
            Ok(result) => self.check(&commit, result, &before)?,
            Err(_) => _ = self.end(&before)?,
        }
        result
    }

    fn append(
        &self,
        stream: &StreamId,
        expected: ExpectedVersion,
        events: Vec<NewEvent>,
    ) -> Result<AppendResult> {
        // By turns as a commit, of which an append hands on only the result of its stream.
        if self.begun.load(Ordering::SeqCst).is_multiple_of(2) {
            let commit = Commit::new().append(stream, expected, events);
            return match self.commit(commit) {
                Ok(CommitResult { mut appends, .. }) => Ok(appends.remove(0)),
                Err(Error::CommitRefused { failures }) => Err(conflict(failures)),
                Err(error) => Err(error),
            };
        }
        let before = self.begin()?;
        let result = self.store.append(stream, expected, events.clone());
        match &result {
            Ok(append) => {
                let commit = Commit::new().append(stream, expected, events);
                let AppendResult { global_position, appended, replayed, .. } = *append;
                let appends = vec![append.clone()];
                let result = CommitResult { appends, global_position, appended, replayed };
                self.check(&commit, &result, &before)?;
            }
            Err(error) => {
                self.end(&before)?;
                let is_of_a_commit = matches!(error, Error::CommitRefused { .. });
                assert!(!is_of_a_commit, "a refused append is a conflict: {error}");
            }
        }
        result
    }

    fn read_stream(&self, stream: &StreamId, options: StreamRead) -> Result<Events> {
        self.store.read_stream(stream, options)
    }

    fn read(&self, query: &Query, options: GlobalRead) -> Result<Events> {
        self.store.read(query, options)
    }

    fn stream_version(&self, stream: &StreamId) -> Result<StreamVersion> {
        self.store.stream_version(stream)
    }

    fn event(&self, event_id: EventId) -> Result<Option<RecordedEvent>> {
        self.store.event(event_id)
    }

    fn global_position(&self) -> Result<GlobalPosition> {
        self.store.global_position()
    }

    fn load_stream(&self, stream: &StreamId, options: StreamRead) -> Result<EventStream> {
        self.store.load_stream(stream, options)
    }

    fn read_all(&self, options: GlobalRead) -> Result<Events> {
        self.store.read_all(options)
    }

    fn read_category(&self, aggregate_type: &str, options: GlobalRead) -> Result<Events> {
        self.store.read_category(aggregate_type, options)
    }

    fn event_exists(&self, event_id: EventId) -> Result<bool> {
        self.store.event_exists(event_id)
    }

    fn watch(&self, position: GlobalPosition, watcher: &Watcher) -> Result<Watch> {
        self.store.watch(position, watcher)
    }
}
