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

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::workload::Append;

    const WORKLOAD: Workload = Workload { seed: 3, events: 400 };
    const CHANGED: u64 = 57;

    /// Hands out what it should but for one event, and refuses nothing.
    struct Lax {
        change: fn(&mut Seen<'_>),
    }

    impl Lax {
        fn hand_out(&self, number: u64, visit: &mut dyn FnMut(&Seen<'_>)) {
            let (stream, version) = WORKLOAD.place(number);
            let event = WORKLOAD.event(number);
            let mut seen = Seen {
                position: number + 1,
                version,
                recorded_at: 1000 + number as i64,
                occurred_at: event.occurred_at,
                id: event.id,
                aggregate_type: stream.aggregate_type,
                aggregate_id: stream.aggregate_id,
                event_type: event.event_type,
                payload: &event.payload,
            };
            if number == CHANGED {
                (self.change)(&mut seen);
            }
            visit(&seen);
        }
    }

    impl Engine for Lax {
        fn append(&self, _commit: Vec<Append>) -> Result<(), Refused> {
            Ok(())
        }

        fn sync(&self) {}

        fn load_stream(&self, stream: Stream, visit: &mut dyn FnMut(&Seen<'_>)) {
            let numbers = (0..WORKLOAD.events).filter(|number| WORKLOAD.place(*number).0 == stream);
            numbers.for_each(|number| self.hand_out(number, visit));
        }

        fn scan(&self, visit: &mut dyn FnMut(&Seen<'_>)) {
            (0..WORKLOAD.events).for_each(|number| self.hand_out(number, visit));
        }

        fn stream_version(&self, _stream: Stream) -> u64 {
            EVENTS_PER_STREAM
        }

        fn event_exists(&self, _id: Uuid) -> bool {
            true
        }

        fn close(self: Box<Self>) {}
    }

    fn scans(change: fn(&mut Seen<'_>), events: u64) -> bool {
        let engine = Lax { change };
        catch_unwind(AssertUnwindSafe(|| scan(&engine, Times::Ordered, WORKLOAD, events))).is_ok()
    }

    fn loads(change: fn(&mut Seen<'_>)) -> bool {
        let (engine, stream) = (Lax { change }, WORKLOAD.place(CHANGED).0);
        catch_unwind(AssertUnwindSafe(|| load(&engine, WORKLOAD, stream))).is_ok()
    }

    #[test]
    fn a_change_of_any_field_is_noticed_by_a_scan_and_by_a_load() {
        const CHANGES: [fn(&mut Seen<'_>); 7] = [
            |seen| seen.version += 1,
            |seen| seen.occurred_at += 1,
            |seen| seen.id = WORKLOAD.absent_id(CHANGED),
            |seen| seen.aggregate_type = "Invoice",
            |seen| seen.aggregate_id = WORKLOAD.stream(4).aggregate_id,
            |seen| seen.event_type = "Other",
            |seen| seen.payload = &seen.payload[..199],
        ];
        assert!(scans(|_| {}, WORKLOAD.events) && loads(|_| {}));
        for (index, change) in CHANGES.into_iter().enumerate() {
            assert!(!scans(change, WORKLOAD.events) && !loads(change), "change {index}");
        }
    }

    #[test]
    fn a_gap_a_lost_event_and_a_wrong_time_are_noticed_by_a_scan() {
        assert!(!scans(|seen| seen.position += 1, WORKLOAD.events));
        assert!(!scans(|seen| seen.recorded_at = 0, WORKLOAD.events));
        assert!(!scans(|seen| seen.recorded_at -= 2, WORKLOAD.events));
        assert!(!scans(|_| {}, WORKLOAD.events + 1));
    }

    #[test]
    fn an_engine_that_refuses_nothing_is_noticed() {
        let engine = Lax { change: |_| {} };
        assert!(catch_unwind(AssertUnwindSafe(|| refusals(&engine, WORKLOAD))).is_err());
    }
}
