//! Does an engine hand out what it was given? Every field of every event, and what it must refuse.
//!
//! What an event must be follows from the number in its payload (see `workload`). None of this is
//! timed.

use std::collections::HashMap;

use uuid::Uuid;

use crate::engines::{Engine, Refused, Seen, Times};
use crate::workload::{EVENTS_PER_STREAM, Stream, Workload};

/// A lane that no work appends to.
const LANE: u64 = 1 << 20;

/// Reads the whole store, which must hold `events` events with contiguous positions and versions.
pub fn scan(engine: &dyn Engine, times: Times, workload: Workload, events: u64) {
    let mut versions: HashMap<(String, Uuid), u64> = HashMap::new();
    let (mut position, mut recorded_at) = (0, 0);
    engine.scan(&mut |seen| {
        event(workload, seen);
        position += 1;
        assert_eq!(seen.position, position, "positions are contiguous");
        assert!(seen.recorded_at > 0, "the time of recording is there");
        let decreases = times == Times::Ordered && seen.recorded_at < recorded_at;
        assert!(!decreases, "the time of recording never decreases");
        recorded_at = seen.recorded_at;
        let version =
            versions.entry((seen.aggregate_type.to_owned(), seen.aggregate_id)).or_default();
        *version += 1;
        assert_eq!(seen.version, *version, "versions are contiguous");
    });
    assert_eq!(position, events, "the store holds what was acknowledged, and no more");
}

/// Loads a stream, which must be whole, and asks for its version and one of its ids.
pub fn load(engine: &dyn Engine, workload: Workload, stream: Stream) {
    let (mut version, mut position, mut id) = (0, 0, None);
    engine.load_stream(stream, &mut |seen| {
        event(workload, seen);
        version += 1;
        assert_eq!(seen.version, version, "a stream is loaded in order");
        assert!(seen.position > position, "positions grow along a stream");
        assert_eq!(seen.aggregate_id, stream.aggregate_id, "of one stream only");
        (position, id) = (seen.position, Some(seen.id));
    });
    assert_eq!(version, EVENTS_PER_STREAM, "a stream is loaded whole");
    assert_eq!(engine.stream_version(stream), version);
    assert!(engine.event_exists(id.unwrap()));
}

/// Attempts what must be refused: a version that is not the stream's, an id that is taken, and an
/// id twice in one commit.
pub fn refusals(engine: &dyn Engine, workload: Workload) {
    let mut append = workload.append_to_lane(LANE, 0, 1);
    append.expected = 1;
    assert_eq!(engine.append(vec![append]), Err(Refused::Version), "there is no such stream");

    let stream = workload.stream(0);
    let mut append = workload.append_to_lane(LANE, 0, 1);
    (append.stream, append.expected) = (stream, EVENTS_PER_STREAM - 1);
    assert_eq!(engine.append(vec![append]), Err(Refused::Version), "the stream is further on");

    let mut append = workload.append_to_lane(LANE, 0, 2);
    append.events[1].id = workload.event_id(0);
    assert_eq!(engine.append(vec![append]), Err(Refused::EventId), "another event has this id");

    let mut append = workload.append_to_lane(LANE, 0, 2);
    append.events[1].id = append.events[0].id;
    assert_eq!(engine.append(vec![append]), Err(Refused::EventId), "the id is there twice");

    let absent = workload.append_to_lane(LANE, 0, 1);
    assert_eq!(engine.stream_version(absent.stream), 0, "a refusal writes nothing");
    assert!(!engine.event_exists(absent.events[0].id), "a refusal writes nothing");
    assert!(!engine.event_exists(workload.absent_id(0)));
}

/// Compares every field but position and time of recording.
fn event(workload: Workload, seen: &Seen<'_>) {
    let number = u64::from_le_bytes(seen.payload[..8].try_into().unwrap());
    let (stream, version) = workload.place(number);
    let expected = workload.event(number);
    let expected = (
        (version, expected.occurred_at, expected.id),
        (stream.aggregate_type, stream.aggregate_id, expected.event_type),
        expected.payload.as_slice(),
    );
    let seen = (
        (seen.version, seen.occurred_at, seen.id),
        (seen.aggregate_type, seen.aggregate_id, seen.event_type),
        seen.payload,
    );
    assert_eq!(seen, expected);
}
