//! The events that are stored: the same at every run, each told by its number.
//!
//! Payloads of 200 bytes, streams that are interleaved in time, event ids of version 7 as a busy
//! program makes them. A tenth of the events has the tag `common`, ten of them the tag `rare`.

use std::ops::Range;

use annals::{Commit, EventId, EventStore, ExpectedVersion, NewEvent, StreamId};
use uuid::Uuid;

use super::Outcome;

pub(crate) const PAYLOAD_BYTES: usize = 200;
pub(crate) const EVENTS_PER_COMMIT: u64 = 1000;
/// How many events a process appends before it is killed: nearly a full table in memory.
pub(crate) const LAST_EVENTS: u64 = 60_000;
/// How many events have the tag `rare`.
pub(crate) const RARE_EVENTS: u64 = 10;
/// How many streams are open at the same time: what lies between two events of one stream.
const INTERLEAVED: u64 = 5000;

/// A store's worth of events: a multiple of a thousand, and of the events of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) events: u64,
    pub(crate) events_per_stream: u64,
}

impl Workload {
    pub(crate) fn streams(&self) -> u64 {
        self.events / self.events_per_stream
    }

    pub(crate) fn event(&self, number: u64) -> NewEvent {
        let mut event = NewEvent::with_id(event_id(number), "ItemAdded", payload(number));
        if number.is_multiple_of(10) {
            event = event.tag("common");
            if number.is_multiple_of(self.events / RARE_EVENTS) {
                event = event.tag("rare");
            }
        }
        event
    }

    /// Returns the stream that an event belongs to. Streams are filled in batches, round robin within
    /// each.
    pub(crate) fn stream_of(&self, number: u64) -> u64 {
        let batch = INTERLEAVED * self.events_per_stream;
        let first = number / batch * INTERLEAVED;
        let open = INTERLEAVED.min(self.streams() - first);
        first + number % batch % open
    }

    /// Returns the version that an event gets in its stream.
    pub(crate) fn version_of(&self, number: u64) -> u64 {
        let batch = INTERLEAVED * self.events_per_stream;
        let first = number / batch * INTERLEAVED;
        let open = INTERLEAVED.min(self.streams() - first);
        number % batch / open + 1
    }

    /// Returns the events of a stream, oldest first.
    pub(crate) fn events_of(&self, stream: u64) -> impl Iterator<Item = u64> + use<> {
        let first = stream / INTERLEAVED * INTERLEAVED;
        let open = INTERLEAVED.min(self.streams() - first);
        let start = first * self.events_per_stream + stream - first;
        (0..self.events_per_stream).map(move |event| start + event * open)
    }

    /// Returns a stream that no other question is about, of as many questions as there are streams; those
    /// of questions that follow each other lie far apart.
    pub(crate) fn distinct_stream(&self, question: u64) -> u64 {
        // Prime and larger than any number of streams, so that it shares no factor with one.
        const STEP: u64 = 618_034_069;
        question * STEP % self.streams()
    }

    pub(crate) fn random_stream(&self, question: u64) -> u64 {
        scattered(question) % self.streams()
    }

    pub(crate) fn random_event(&self, question: u64) -> u64 {
        scattered(question) % self.events
    }

    /// Returns the ranges of events that are committed at once.
    pub(crate) fn commits(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        let events = self.events;
        let firsts = (0..events).step_by(usize::try_from(EVENTS_PER_COMMIT).unwrap_or(1));
        firsts.map(move |first| first..events.min(first + EVENTS_PER_COMMIT))
    }

    /// Appends every event, and calls `after` behind each commit.
    pub(crate) fn load(&self, store: &impl EventStore, mut after: impl FnMut()) -> Outcome<()> {
        for numbers in self.commits() {
            let mut commit = Commit::new();
            for number in numbers {
                let stream = stream_id(self.stream_of(number))?;
                commit = commit.append(&stream, ExpectedVersion::Any, vec![self.event(number)]);
            }
            store.commit(commit)?;
            after();
        }
        Ok(())
    }
}

/// Returns a payload that no other event has.
pub(crate) fn payload(number: u64) -> Vec<u8> {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(PAYLOAD_BYTES, 0);
    payload
}

pub(crate) fn stream_id(number: u64) -> Outcome<StreamId> {
    Ok(StreamId::of("Order", Uuid::from_u128(u128::from(scattered(number)) << 64 | 1))?)
}

/// Returns an id of version 7: there are a hundred in a millisecond.
pub(crate) fn event_id(number: u64) -> EventId {
    const START_MILLIS: u64 = 1_700_000_000_000;
    let mut random = [0; 10];
    if let Some(random) = random.first_chunk_mut() {
        *random = scattered(number).to_le_bytes();
    }
    let millis = START_MILLIS + number / 100;
    EventId::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
}

/// Scatters numbers over all numbers. Source: Steele, Lea and Flood, SplitMix64 (2014).
pub(crate) fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
