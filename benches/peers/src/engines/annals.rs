//! annals: a `FileStore` with its defaults.
//!
//! Nothing is built on it: expected versions, ids, positions and durability are its contract. A bulk
//! load acknowledges a commit once it is checked and has its positions; a thread of the store writes
//! and syncs behind it, and the load ends when everything is durable.

use std::path::Path;

use annals::{
    Commit, Durability, Error, EventId, EventStore, ExpectedVersion, FileStore, IdRef, NewEvent,
    Options, ReadOptions, RecordedEvent, StreamId, StreamVersion, Timestamp,
};
use uuid::Uuid;

use super::{Engine, Purpose, Refused, Seen};
use crate::workload::{Append, Event, Stream};

pub(super) const SETTINGS: &str = "defaults (bulk load: Durability::MayLoseLast, which syncs all the while, and sync() at the end)";

pub(super) struct Annals(FileStore);

impl Annals {
    pub(super) fn open(directory: &Path, purpose: Purpose) -> Self {
        let durability = match purpose {
            Purpose::Work => Durability::Synced,
            Purpose::BulkLoad => Durability::MayLoseLast,
        };
        Self(FileStore::open_with(directory, Options::new().durability(durability)).unwrap())
    }
}

impl Engine for Annals {
    fn append(&self, commit: Vec<Append>) -> Result<(), Refused> {
        let appended = commit.into_iter().fold(Commit::new(), |commit, append| {
            let expected = ExpectedVersion::from(StreamVersion::new(append.expected));
            let events = append.events.into_iter().map(new_event).collect();
            commit.append(&stream_id(append.stream), expected, events)
        });
        match self.0.commit(appended) {
            Ok(_) => Ok(()),
            Err(Error::CommitRefused { .. } | Error::Conflict { .. }) => Err(Refused::Version),
            Err(Error::EventIdTaken { .. } | Error::DuplicateEvent { .. }) => Err(Refused::EventId),
            Err(error) => panic!("{error}"),
        }
    }

    fn sync(&self) {
        self.0.sync().unwrap();
    }

    fn load_stream(&self, stream: Stream, visit: &mut dyn FnMut(&Seen<'_>)) {
        let loaded = self.0.load_stream(&stream_id(stream), ReadOptions::new()).unwrap();
        loaded.events().iter().for_each(|event| visit(&seen(event)));
    }

    fn scan(&self, visit: &mut dyn FnMut(&Seen<'_>)) {
        let mut events = self.0.read_all(ReadOptions::new()).unwrap();
        while let Some(event) = events.advance().unwrap() {
            visit(&seen(event));
        }
    }

    fn stream_version(&self, stream: Stream) -> u64 {
        self.0.stream_version(&stream_id(stream)).unwrap().get()
    }

    fn event_exists(&self, id: Uuid) -> bool {
        self.0.event_exists(EventId::from_uuid(id)).unwrap()
    }

    fn close(self: Box<Self>) {
        self.0.close().unwrap();
    }
}

fn stream_id(stream: Stream) -> StreamId {
    StreamId::of(stream.aggregate_type, stream.aggregate_id).unwrap()
}

fn new_event(event: Event) -> NewEvent {
    NewEvent::with_id(EventId::from_uuid(event.id), event.event_type, event.payload)
        .occurred_at(Timestamp::from_micros(event.occurred_at))
}

fn seen(event: &RecordedEvent) -> Seen<'_> {
    let IdRef::Uuid(aggregate_id) = event.aggregate_id() else { panic!("the id is no UUID") };
    Seen {
        position: event.global_position().get(),
        version: event.stream_version().get(),
        recorded_at: event.recorded_at().as_micros(),
        occurred_at: event.occurred_at().as_micros(),
        id: event.event_id().as_uuid(),
        aggregate_type: event.aggregate_type(),
        aggregate_id,
        event_type: event.event_type(),
        payload: event.payload(),
    }
}
