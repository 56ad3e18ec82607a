//! The layout of events in an engine that keeps keys and values, and the checks before a write.
//!
//! Three tables: `events` by global position, the rows; `streams` by stream and version, the
//! positions; `ids` by event id, the positions. Numbers in keys are big-endian, so that they sort.
//! Engines that answer a point question better than one for the last key of a range keep a fourth,
//! `heads`: the version of each stream.

use std::collections::{HashMap, HashSet};
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use super::{Refused, Seen};
use crate::workload::{Append, Event, Stream};

/// The bytes of a row before its names: version, two times, two ids and the lengths of the names.
const ROW_HEAD_BYTES: usize = 8 + 8 + 8 + 16 + 16 + 2;

/// The tables of one engine within one transaction that writes.
pub(super) trait Tables {
    /// Whether what was put is seen by the questions that follow.
    const SEES_ITS_OWN: bool;

    fn version(&mut self, stream: &[u8]) -> u64;
    fn has_id(&mut self, id: &[u8; 16]) -> bool;
    fn put(&mut self, put: &Put<'_>);
}

/// One event in the form of its keys and values.
pub(super) struct Put<'a> {
    pub(super) position: u64,
    pub(super) version: u64,
    pub(super) stream: &'a [u8],
    pub(super) id: &'a [u8; 16],
    pub(super) row: &'a [u8],
}

impl Put<'_> {
    /// The key of the table `streams`.
    pub(super) fn stream_key(&self) -> Vec<u8> {
        [self.stream, &self.version.to_be_bytes()].concat()
    }
}

/// Checks a commit and puts its events, from the position after `last` on. Returns the last position.
///
/// After a refusal the transaction must be given up.
pub(super) fn append<T: Tables>(
    tables: &mut T,
    commit: &[Append],
    last: u64,
) -> Result<u64, Refused> {
    let recorded_at = now();
    let mut staged = Staged::default();
    let (mut position, mut row) = (last, Vec::new());
    for append in commit {
        let stream = stream_key(append.stream);
        let mut version = match staged.versions.get(&stream) {
            Some(version) => *version,
            None => tables.version(&stream),
        };
        if version != append.expected {
            return Err(Refused::Version);
        }
        for event in &append.events {
            let id = event.id.as_bytes();
            if tables.has_id(id) || !T::SEES_ITS_OWN && !staged.ids.insert(event.id) {
                return Err(Refused::EventId);
            }
            (position, version) = (position + 1, version + 1);
            row.clear();
            encode(&mut row, append.stream, version, recorded_at, event);
            tables.put(&Put { position, version, stream: &stream, id, row: &row });
        }
        if !T::SEES_ITS_OWN && commit.len() > 1 {
            staged.versions.insert(stream, version);
        }
    }
    Ok(position)
}

/// What a commit has put that its own questions do not see.
#[derive(Default)]
struct Staged {
    versions: HashMap<Vec<u8>, u64>,
    ids: HashSet<Uuid>,
}

/// The name of a stream in keys: no name is the beginning of another.
pub(super) fn stream_key(stream: Stream) -> Vec<u8> {
    let mut key = Vec::with_capacity(17 + stream.aggregate_type.len());
    key.extend_from_slice(stream.aggregate_id.as_bytes());
    key.push(stream.aggregate_type.len() as u8);
    key.extend_from_slice(stream.aggregate_type.as_bytes());
    key
}

/// The first and the last key that the stream can have in the table `streams`.
pub(super) fn stream_range(stream: &[u8]) -> (Vec<u8>, Vec<u8>) {
    ([stream, &[0; 8]].concat(), [stream, &[0xFF; 8]].concat())
}

/// The version at the end of a key of the table `streams`.
pub(super) fn version_of(key: &[u8]) -> u64 {
    u64::from_be_bytes(key[key.len() - 8..].try_into().unwrap())
}

pub(super) fn number(bytes: &[u8]) -> u64 {
    u64::from_be_bytes(bytes.try_into().unwrap())
}

/// Puts a row behind what is there.
pub(super) fn encode(
    row: &mut Vec<u8>,
    stream: Stream,
    version: u64,
    recorded_at: i64,
    event: &Event,
) {
    row.extend_from_slice(&version.to_le_bytes());
    row.extend_from_slice(&recorded_at.to_le_bytes());
    row.extend_from_slice(&event.occurred_at.to_le_bytes());
    row.extend_from_slice(event.id.as_bytes());
    row.extend_from_slice(stream.aggregate_id.as_bytes());
    row.push(stream.aggregate_type.len() as u8);
    row.push(event.event_type.len() as u8);
    row.extend_from_slice(stream.aggregate_type.as_bytes());
    row.extend_from_slice(event.event_type.as_bytes());
    row.extend_from_slice(&event.payload);
}

pub(super) fn decode(position: u64, row: &[u8]) -> Seen<'_> {
    let (head, rest) = row.split_at(ROW_HEAD_BYTES);
    let word = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
    let uuid = |at: usize| Uuid::from_bytes(head[at..at + 16].try_into().unwrap());
    let (aggregate_type, rest) = rest.split_at(head[56].into());
    let (event_type, payload) = rest.split_at(head[57].into());
    Seen {
        position,
        version: word(0),
        recorded_at: word(8) as i64,
        occurred_at: word(16) as i64,
        id: uuid(24),
        aggregate_type: str::from_utf8(aggregate_type).unwrap(),
        aggregate_id: uuid(40),
        event_type: str::from_utf8(event_type).unwrap(),
        payload,
    }
}

/// Returns the time in microseconds since 1970.
pub(super) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64
}
