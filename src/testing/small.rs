//! Small stores in memory for the fuzz targets: how they are opened, one to be changed, and everything
//! that can be asked of it.

use std::sync::OnceLock;

use uuid::Uuid;

use crate::clock::Clock;
use crate::engine::{Durability, Engine, EngineOptions, Workers};
use crate::error::{Error, Result};
use crate::event::{EventId, NewEvent, RecordedEvent};
use crate::index::Pace;
use crate::io::MemoryDisk;
use crate::limits::Limits;
use crate::store::{Commit, Events, ExpectedVersion, GlobalRead, Query, QueryItem, StreamRead};
use crate::stream::StreamId;
use crate::timestamp::Timestamp;

pub(super) type MemoryEngine = Engine<MemoryDisk>;

/// Just more than the header of a segment, so that small stores have several.
const SEGMENT_BYTES: u64 = 8192;

const MEMTABLE_EVENTS: usize = 4;

/// Events of the store that is to be changed.
pub(super) const EVENTS: u64 = 18;

const STREAMS: u64 = 3;

pub(super) fn open(disk: &MemoryDisk) -> Result<MemoryEngine> {
    let (clock, _stands_still) = Clock::manual(Timestamp::from_micros(1_000_000));
    let (segment_bytes, memtable_events) = (SEGMENT_BYTES, MEMTABLE_EVENTS);
    let (limits, workers) = (Limits::default(), Workers::Threads);
    let durability = Durability::Synced;
    let options =
        EngineOptions { segment_bytes, limits, clock, memtable_events, workers, durability };
    Engine::open(disk.clone(), &options)
}

pub(super) fn stream(number: u64) -> StreamId {
    StreamId::new("Fuzz", format!("stream-{number}")).unwrap()
}

pub(super) fn event_id(number: u64) -> EventId {
    EventId::from_uuid(Uuid::from_u128(u128::from(number) + 1))
}

/// Returns an event of the store that is to be changed: some are large, so that segments fill.
fn event(number: u64) -> NewEvent {
    let bytes = if number.is_multiple_of(5) { 2500 } else { 10 };
    NewEvent::new(format!("Type{}", number % 2), vec![1; bytes])
        .id(event_id(number))
        .tag(format!("tag-{}", number % 3))
        .metadata("number", number.to_string())
}

/// A store of several segments and runs: as it was closed, and as it was a while before.
pub(super) struct Stores {
    pub(super) closed: MemoryDisk,
    pub(super) killed: MemoryDisk,
    /// What the closed one answers.
    pub(super) answers: Vec<Answer>,
}

/// Returns the stores that are to be changed; copy them first.
pub(super) fn stores() -> &'static Stores {
    static STORES: OnceLock<Stores> = OnceLock::new();
    STORES.get_or_init(|| {
        let disk = MemoryDisk::new();
        let engine = open(&disk).unwrap();
        for number in 1..=EVENTS {
            let expected = ExpectedVersion::exact((number - 1) / STREAMS);
            let name = stream(number % STREAMS);
            engine.commit(Commit::new().append(&name, expected, vec![event(number)])).unwrap();
            settle_index(&engine);
        }
        let killed = disk.copy();
        engine.close().unwrap();
        let answers = ask(&Engine::open_read_only(disk.clone()).unwrap());
        Stores { closed: disk, killed, answers }
    })
}

/// Writes and merges what the threads of a store would write and merge in time.
pub(super) fn settle_index(engine: &MemoryEngine) {
    let index = engine.reader().index();
    index.write_frozen().unwrap();
    while index.merge_once(Pace::Full).unwrap() {}
}

/// What a question was answered: events, and the error that they end with.
pub(super) type Answer = (Vec<RecordedEvent>, Option<Error>);

/// Asks a store everything, forward and backward.
pub(super) fn ask(engine: &MemoryEngine) -> Vec<Answer> {
    let mut answers = Vec::new();
    let item = QueryItem::new;
    let queries = [
        Query::all(),
        Query::none().or(item().event_type("Type1")),
        Query::none().or(item().tag("tag-2").event_type("Type0")).or(item().tag("tag-1")),
    ];
    let reads = [
        GlobalRead::new(),
        GlobalRead::new().backward(),
        GlobalRead::new().after(EVENTS / 3).before(EVENTS - 2).limit(4),
    ];
    for query in &queries {
        answers.extend(reads.iter().map(|read| given(engine.reader().read(query, read))));
    }
    let reads = [StreamRead::new().from(2), StreamRead::new().backward()];
    for number in 0..=STREAMS {
        let name = stream(number);
        answers.extend(reads.iter().map(|read| given(engine.reader().read_stream(&name, read))));
    }
    for number in (0..=EVENTS).step_by(3) {
        answers.push(match engine.reader().event(event_id(number)) {
            Ok(event) => (event.into_iter().collect(), None),
            Err(error) => (Vec::new(), Some(error)),
        });
    }
    answers
}

/// Takes what a read gives, up to its first error.
pub(super) fn given(events: Result<Events>) -> Answer {
    let mut given = Vec::new();
    let events = match events {
        Ok(events) => events,
        Err(error) => return (given, Some(error)),
    };
    for event in events {
        match event {
            Ok(event) => given.push(event),
            Err(error) => return (given, Some(error)),
        }
    }
    (given, None)
}

/// Takes bytes off an input, zeros where it ends.
pub(super) fn take<const WIDTH: usize>(input: &mut &[u8]) -> [u8; WIDTH] {
    let mut taken = [0; WIDTH];
    let own = take_up_to(input, WIDTH);
    taken[..own.len()].copy_from_slice(own);
    taken
}

/// Takes bytes off an input, fewer where it ends.
pub(super) fn take_up_to<'a>(input: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (own, behind) = input.split_at(count.min(input.len()));
    *input = behind;
    own
}

/// Takes a byte off an input, and returns what it picks.
pub(super) fn pick<'a, T>(input: &mut &[u8], from: &'a [T]) -> &'a T {
    let [byte] = take(input);
    &from[usize::from(byte) % from.len()]
}

pub(super) fn hold(
    holds: bool,
    otherwise: impl FnOnce() -> String,
) -> std::result::Result<(), String> {
    match holds {
        true => Ok(()),
        false => Err(otherwise()),
    }
}
