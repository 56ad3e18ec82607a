//! What the functions of the suite are written with: stores, streams, events, and looks at a store.

use std::time::Duration;

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::{EventId, NewEvent, RecordedEvent};
use crate::limits::Limits;
use crate::position::GlobalPosition;
use crate::store::{
    AppendResult, EventStore, Events, ExpectedVersion, GlobalRead, ReadOptions, StreamRead,
};
use crate::stream::StreamId;
use crate::testing::Harness;
use crate::timestamp::Timestamp;

pub(super) type Store = Box<dyn EventStore>;

pub(super) fn open(harness: &dyn Harness) -> Store {
    harness.open(Clock::system(), Limits::default())
}

/// The moment `seconds` after the one at which manual clocks of the suite start.
pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000).later_by(Duration::from_secs(seconds))
}

pub(super) fn stream(id: &str) -> StreamId {
    StreamId::new("Order", id).unwrap()
}

pub(super) fn event(payload: &str) -> NewEvent {
    NewEvent::new("Noted", payload.to_owned())
}

pub(super) fn events<const N: usize>(payloads: [&str; N]) -> Vec<NewEvent> {
    payloads.into_iter().map(event).collect()
}

/// Appends whatever the version is.
pub(super) fn put(store: &Store, id: &str, events: Vec<NewEvent>) -> AppendResult {
    store.append(&stream(id), ExpectedVersion::Any, events).unwrap()
}

pub(super) fn collected(events: Result<Events>) -> Vec<RecordedEvent> {
    events.unwrap().collect::<Result<_>>().unwrap()
}

pub(super) fn all(store: &Store) -> Vec<RecordedEvent> {
    collected(store.read_all(ReadOptions::new()))
}

pub(super) fn positions(store: &Store, options: GlobalRead) -> Vec<u64> {
    numbers(&collected(store.read_all(options)))
}

pub(super) fn numbers(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.global_position().get()).collect()
}

pub(super) fn versions(store: &Store, id: &str, options: StreamRead) -> Vec<u64> {
    let events = collected(store.read_stream(&stream(id), options));
    events.iter().map(|event| event.stream_version().get()).collect()
}

pub(super) fn payloads(store: &Store, id: &str) -> Vec<String> {
    let events = collected(store.read_stream(&stream(id), ReadOptions::new()));
    events.iter().map(|event| String::from_utf8(event.payload().to_vec()).unwrap()).collect()
}

pub(super) fn version(store: &Store, id: &str) -> u64 {
    store.stream_version(&stream(id)).unwrap().get()
}

pub(super) fn position(store: &Store) -> u64 {
    store.global_position().unwrap().get()
}

pub(super) fn id_of(number: u128) -> EventId {
    EventId::from_uuid(uuid::Uuid::from_u128(number))
}

/// Runs what must be refused, and holds the store to having written nothing and to going on.
pub(super) fn refused<T: std::fmt::Debug>(
    store: &Store,
    attempt: impl FnOnce(&Store) -> Result<T>,
) -> Error {
    let before = all(store);
    let error = attempt(store).unwrap_err();
    assert!(error.is_rejection(), "not a rejection: {error}");
    assert_eq!(all(store), before, "written by what was refused with: {error}");
    let next = put(store, "goes on", vec![event("after a rejection")]);
    let expected = GlobalPosition::new(before.len() as u64 + 1);
    assert_eq!(next.global_position, expected, "a position was burnt by: {error}");
    error
}

/// Holds an append to conflicting, with these versions.
pub(super) fn conflicts(store: &Store, id: &str, expected: ExpectedVersion, version: u64) {
    for batch in [events(["refused", "as a whole"]), Vec::new()] {
        let stream = stream(id);
        let error = refused(store, |store| store.append(&stream, expected, batch));
        match error {
            Error::Conflict { stream: named, expected: wanted, actual } => {
                assert_eq!((named, wanted, actual.get()), (stream, expected, version));
            }
            other => panic!("not a conflict: {other}"),
        }
        assert!(error_is_conflict(store, id, expected));
    }
}

fn error_is_conflict(store: &Store, id: &str, expected: ExpectedVersion) -> bool {
    store.append(&stream(id), expected, Vec::new()).unwrap_err().is_conflict()
}
