//! What every engine is given: events that can be made again from their numbers alone.
//!
//! The same for all engines and in every run of the same seed. An event carries its number in its
//! payload, so that whoever reads one can compute what each of its fields must be (see `verify`).
//!
//! - Events below `Workload::events` fill the store: streams of a hundred events, interleaved as in the
//!   benchmarks of the crate.
//! - Every other event belongs to a lane: the stream of one thread that appends.

use uuid::{Builder, Uuid};

use crate::shared::workload::{self as shared, PAYLOAD_BYTES, scattered};

pub const EVENTS_PER_STREAM: u64 = 100;
const LANE_SHIFT: u32 = 40;
/// The first moment of the workload, and the first of all lanes, which write to a store that is full.
const START_MILLIS: u64 = 1_700_000_000_000;
const LANES_START_MILLIS: u64 = START_MILLIS + 1_000_000_000;
const EVENT_TYPES: [&str; 4] = ["ItemAdded", "ItemRemoved", "OrderPlaced", "OrderPaid"];

/// The name of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stream {
    pub aggregate_type: &'static str,
    pub aggregate_id: Uuid,
}

/// An event as a program hands it to a store.
#[derive(Debug)]
pub struct Event {
    pub id: Uuid,
    pub event_type: &'static str,
    /// In microseconds since 1970.
    pub occurred_at: i64,
    pub payload: Vec<u8>,
}

/// Events for one stream, on condition that it is at a version.
#[derive(Debug)]
pub struct Append {
    pub stream: Stream,
    pub expected: u64,
    pub events: Vec<Event>,
}

/// All events there are, as a function of the seed.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    pub seed: u64,
    /// How many events fill the store: a multiple of `EVENTS_PER_STREAM`.
    pub events: u64,
}

impl Workload {
    pub fn streams(self) -> u64 {
        self.events / EVENTS_PER_STREAM
    }

    /// Returns the number of an event of a lane, counting both from 0.
    pub fn in_lane(lane: u64, event: u64) -> u64 {
        (lane + 1) << LANE_SHIFT | event
    }

    /// Returns the stream of an event and the version it gets there.
    pub fn place(self, number: u64) -> (Stream, u64) {
        let lane = number >> LANE_SHIFT;
        if lane > 0 {
            return (self.lane(lane - 1), (number & ((1 << LANE_SHIFT) - 1)) + 1);
        }
        let filled = shared::Workload { events: self.events, events_per_stream: EVENTS_PER_STREAM };
        (self.stream(filled.stream_of(number)), filled.version_of(number))
    }

    /// Returns a stream of the store; from `streams()` on it is one that the store does not have.
    pub fn stream(self, number: u64) -> Stream {
        Stream { aggregate_type: "Order", aggregate_id: self.random_uuid(number) }
    }

    fn lane(self, lane: u64) -> Stream {
        Stream { aggregate_type: "Lane", aggregate_id: self.random_uuid(lane | 1 << 63) }
    }

    pub fn event(self, number: u64) -> Event {
        let millis = millis_of(number);
        Event {
            id: self.event_id(number),
            event_type: EVENT_TYPES[(self.random(number) % 4) as usize],
            occurred_at: (millis * 1000 + number % 1000) as i64,
            payload: self.payload(number),
        }
    }

    /// Returns a UUID of version 7, as a busy program makes them: a hundred in a millisecond.
    pub fn event_id(self, number: u64) -> Uuid {
        self.time_ordered(millis_of(number), self.random(number))
    }

    /// Returns an id that no event has, of the same time as one that an event has.
    pub fn absent_id(self, number: u64) -> Uuid {
        self.time_ordered(millis_of(number), !self.random(number))
    }

    fn time_ordered(self, millis: u64, random: u64) -> Uuid {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&random.to_le_bytes());
        Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid()
    }

    /// The number, then what no engine can compress.
    fn payload(self, number: u64) -> Vec<u8> {
        let mut payload = Vec::with_capacity(PAYLOAD_BYTES);
        payload.extend_from_slice(&number.to_le_bytes());
        let mut state = self.random(number);
        while payload.len() < PAYLOAD_BYTES {
            state = scattered(state);
            payload.extend_from_slice(&state.to_le_bytes());
        }
        payload
    }

    fn random_uuid(self, number: u64) -> Uuid {
        let high = self.random(number);
        let bits = u128::from(high) << 64 | u128::from(scattered(high));
        Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
    }

    /// Returns a random number, the same at every call.
    pub fn random(self, number: u64) -> u64 {
        scattered(number ^ scattered(self.seed))
    }

    /// Returns the commits that fill the store, in order.
    pub fn commits(self, events_per_commit: u64) -> impl Iterator<Item = Vec<Append>> {
        (0..self.events).step_by(events_per_commit as usize).map(move |first| {
            let numbers = first..(first + events_per_commit).min(self.events);
            numbers.map(|number| self.append(number)).collect()
        })
    }

    /// Returns an append of one event.
    pub fn append(self, number: u64) -> Append {
        let (stream, version) = self.place(number);
        Append { stream, expected: version - 1, events: vec![self.event(number)] }
    }

    /// Returns an append of several events of a lane.
    pub fn append_to_lane(self, lane: u64, first: u64, events: u64) -> Append {
        let numbers = first..first + events;
        let events = numbers.map(|event| self.event(Self::in_lane(lane, event))).collect();
        Append { stream: self.lane(lane), expected: first, events }
    }
}

fn millis_of(number: u64) -> u64 {
    match number >> LANE_SHIFT {
        0 => START_MILLIS + number / 100,
        _ => LANES_START_MILLIS + (number & ((1 << LANE_SHIFT) - 1)) / 10,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    #[test]
    fn every_stream_gets_its_versions_in_order_and_every_event_an_id_of_its_own() {
        // More streams than are open at a time.
        let workload = Workload { seed: 1, events: 520_000 };
        let mut versions: HashMap<Stream, u64> = HashMap::new();
        let mut ids = HashSet::new();
        for number in (0..workload.events).chain((0..100).map(|event| Workload::in_lane(7, event)))
        {
            let (stream, version) = workload.place(number);
            let last = versions.entry(stream).or_default();
            *last += 1;
            assert_eq!(version, *last);
            assert!(ids.insert(workload.event_id(number)));
            assert!(!ids.contains(&workload.absent_id(number)));
        }
        assert_eq!(versions.len() as u64, workload.streams() + 1);
        assert!(versions.values().all(|version| *version == EVENTS_PER_STREAM));
    }
}
