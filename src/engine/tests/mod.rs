//! Attacks the engine on a disk in memory: what opening finds (`cases`, the lettered table of
//! `recovery`), what readers see of a damaged store (`damaged`) and what nobody can know of it
//! (`unknown`), what the tools make of places that the device cannot read (`unreadable`), how commits
//! fail (`failures`), how many threads commit (`threads`) and in which orders they may go on (`interleavings`), what becomes of
//! commits that nobody waits for (`submissions`), what is looked up before their lock (`heads`), what is
//! seen of them before they are durable (`written`: nothing), how segments follow each other
//! (`rollover`), what a stop at any call leaves (`stops`), what a damaged index changes (`index`:
//! nothing), how writing the index fails (`index_failures`), what records beside the log have to do with
//! it (`records`), what is known of a log whose end is gone (`known_end`), what a scan gives and how far a read looks ahead (`scan`), what rot changes (`rot`:
//! nothing that anybody is given), and what a repair makes of every damage (`repair`, `repair_stops`).

#![forbid(unsafe_code)]

mod answers;
mod broken;
mod cases;
mod copies;
mod damaged;
mod failures;
mod forge;
mod heads;
mod index;
mod index_failures;
mod interleavings;
mod known_end;
mod records;
mod repair;
mod repair_stops;
mod rollover;
mod rot;
mod scan;
mod stops;
mod submissions;
mod threads;
mod unknown;
mod unreadable;
mod written;

use std::io::ErrorKind;
use std::ops::RangeInclusive;

use crate::clock::Clock;
use crate::engine::recovery;
use crate::engine::route::{Depth, Route, Walked};
use crate::engine::{Durability, Engine, EngineOptions, Severity, Workers, verify};
use crate::error::{Damage, Error, Result};
use crate::event::{EventId, NewEvent, RecordedEvent};
use crate::format::{Frame, FrameKind};
use crate::io::{Disk, MakeDirectory, MemoryDisk, OpenMode, Operation};
use crate::limits::Limits;
use crate::position::GlobalPosition;
use crate::store::{AppendResult, Commit, ExpectedVersion, GlobalRead, StreamRead};
use crate::stream::StreamId;
use crate::timestamp::Timestamp;

const SEGMENT_BYTES: u64 = 64 << 10;

/// Bytes of a payload of which a segment holds six.
const SIXTH: usize = 10_000;

type MemoryEngine = Engine<MemoryDisk>;

fn options() -> EngineOptions {
    let (clock, _stands_still) = Clock::manual(Timestamp::from_micros(1_000_000));
    EngineOptions {
        segment_bytes: SEGMENT_BYTES,
        limits: Limits::default(),
        clock,
        memtable_events: 65_536,
        workers: Workers::Threads,
        durability: Durability::Synced,
    }
}

fn try_open(disk: &MemoryDisk) -> Result<MemoryEngine> {
    Engine::open(disk.clone(), &options())
}

fn open(disk: &MemoryDisk) -> MemoryEngine {
    try_open(disk).unwrap()
}

fn open_read_only(disk: &MemoryDisk) -> MemoryEngine {
    Engine::open_read_only(disk.clone()).unwrap()
}

fn stream(name: &str) -> StreamId {
    StreamId::new("Test", name).unwrap()
}

/// Returns an event whose payload says which one it is.
fn event(number: u64, payload_bytes: usize) -> NewEvent {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(payload_bytes.max(8), number.to_le_bytes()[0] | 1);
    NewEvent::new("Happened", payload).id(event_id(number))
}

/// Returns the id of an event: two of three are UUIDs v7, later for later numbers.
fn event_id(number: u64) -> EventId {
    let (own, time) = (u128::from(number) + 1, 1_700_000_000_000 + u128::from(number));
    let id = if number.is_multiple_of(3) { own } else { time << 80 | 7 << 76 | 2 << 62 | own };
    EventId::from_uuid(uuid::Uuid::from_u128(id))
}

fn append_to(
    engine: &MemoryEngine,
    stream: &StreamId,
    expected: ExpectedVersion,
    events: Vec<NewEvent>,
) -> Result<AppendResult> {
    let result = engine.commit(Commit::new().append(stream, expected, events))?;
    Ok(result.appends.into_iter().next().unwrap())
}

fn append(engine: &MemoryEngine, number: u64) -> Result<AppendResult> {
    append_sized(engine, number, 8)
}

fn append_sized(engine: &MemoryEngine, number: u64, payload_bytes: usize) -> Result<AppendResult> {
    let events = vec![event(number, payload_bytes)];
    append_to(engine, &stream("one"), ExpectedVersion::Any, events)
}

/// Appends the events with these numbers, one by one.
fn append_all(engine: &MemoryEngine, numbers: RangeInclusive<u64>, payload_bytes: usize) {
    for number in numbers {
        append_sized(engine, number, payload_bytes).unwrap();
    }
}

fn read_from(engine: &MemoryEngine, position: u64) -> (Vec<RecordedEvent>, Option<Error>) {
    split(engine.reader().read(&crate::store::Query::all(), &GlobalRead::new().from(position)))
}

fn read_stream(engine: &MemoryEngine, options: &StreamRead) -> (Vec<RecordedEvent>, Option<Error>) {
    split(engine.reader().read_stream(&stream("one"), options))
}

/// Splits a read into what it gave and the error it ended with.
fn split(events: Result<crate::store::Events>) -> (Vec<RecordedEvent>, Option<Error>) {
    let mut given = Vec::new();
    for event in events.unwrap() {
        match event {
            Ok(event) => given.push(event),
            Err(error) => return (given, Some(error)),
        }
    }
    (given, None)
}

fn positions(events: &[RecordedEvent]) -> Vec<u64> {
    events.iter().map(|event| event.global_position().get()).collect()
}

fn damage_of<T>(result: Result<T>) -> Damage {
    match result.map(drop) {
        Err(Error::Damage(damage)) => *damage,
        other => panic!("expected damage, got {other:?}"),
    }
}

fn segment_path(number: u64) -> String {
    format!("log/{}", crate::segment::name(number))
}

fn edit(disk: &MemoryDisk, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk.bytes_of(path).unwrap();
    change(&mut bytes);
    disk.set_bytes(path, bytes);
}

fn flip(disk: &MemoryDisk, path: &str, offset: u64) {
    edit(disk, path, |bytes| bytes[usize::try_from(offset).unwrap()] ^= 0x40);
}

fn remove(disk: &MemoryDisk, path: &str) {
    let (directory, name) = path.split_once('/').unwrap();
    disk.directory(directory, MakeDirectory::Never).unwrap().remove(name).unwrap();
}

/// Where a frame is and what it is.
#[derive(Debug, Clone)]
struct Place {
    segment: u64,
    path: String,
    offset: u64,
    length: u64,
    kind: FrameKind,
    first: u64,
    events: u64,
    epoch: u32,
}

impl Place {
    fn end(&self) -> u64 {
        self.offset + self.length
    }

    /// Returns whether a position is of an event of the frame.
    fn holds(&self, position: Option<GlobalPosition>) -> bool {
        let own = self.first..self.first + self.events;
        position.is_some_and(|position| own.contains(&position.get()))
    }

    /// An offset in the middle of the frame.
    fn middle(&self) -> u64 {
        self.offset + self.length / 2
    }
}

/// Walks a log as a reader does that may be beside a writer.
fn walk(disk: &MemoryDisk, sink: &mut dyn FnMut(&Frame)) -> Walked<MemoryDisk> {
    let store = crate::engine::directory::open(disk.clone()).unwrap();
    let route = Route {
        disk: &disk.directory("log", MakeDirectory::Never).unwrap(),
        store_id: store.identity.store_id,
        mode: OpenMode::Read,
        depth: Depth::Full,
        from: None,
        last: None,
        holes: &store.holes,
        mended: None,
    };
    let mut sink = |frame: &Frame, _resume| {
        sink(frame);
        Ok(())
    };
    recovery::walk(&route, &mut sink).unwrap()
}

/// Returns all frames of an undamaged log.
fn frames(disk: &MemoryDisk) -> Vec<Place> {
    let mut found = Vec::new();
    let walked = walk(disk, &mut |frame| found.push((frame.location(), *frame.header())));
    assert_eq!(walked.damage, []);
    let place = |(location, header): &(_, crate::format::FrameHeader)| {
        let segments = walked.segments.iter();
        let segment = segments.rev().find(|segment| segment.header().base <= *location).unwrap();
        let number = segment.header().number;
        Place {
            segment: number,
            path: segment_path(number),
            offset: segment.offset(*location),
            length: header.length.into(),
            kind: header.kind(),
            first: header.first_position.get(),
            events: header.event_count.into(),
            epoch: header.epoch,
        }
    };
    found.iter().map(place).collect()
}

/// Returns the frame that holds a position.
fn frame_of(disk: &MemoryDisk, position: u64) -> Place {
    let holds = |frame: &Place| (frame.first..frame.first + frame.events).contains(&position);
    frames(disk).into_iter().find(holds).unwrap()
}

/// Returns what a crash leaves after single commits of events of these sizes, numbered from 1:
/// nothing stands behind the last commit.
fn crashed_after(payload_bytes: &[usize]) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    for (number, bytes) in (1..).zip(payload_bytes) {
        append_sized(&engine, number, *bytes).unwrap();
    }
    crash(&disk)
}

/// Returns what a crash now leaves, without the mark that a pause may have brought.
fn crash(disk: &MemoryDisk) -> MemoryDisk {
    let disk = disk.copy();
    while let Some(mark) = frames(&disk).last().filter(|last| last.kind != FrameKind::Commit) {
        edit(&disk, &mark.path, |bytes| zero(bytes, mark.offset, mark.end()));
    }
    disk
}

/// Returns a store that was closed after single commits of events of these sizes.
fn closed_after(payload_bytes: &[usize]) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    for (number, bytes) in (1..).zip(payload_bytes) {
        append_sized(&engine, number, *bytes).unwrap();
    }
    engine.close().unwrap();
    disk
}

fn zero(bytes: &mut [u8], start: u64, end: u64) {
    bytes[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()].fill(0);
}

/// Asserts that a store holds the events 1 to `count` of `event`, that opening has nothing to say,
/// and that the next append gets the next position.
fn assert_goes_on(disk: &MemoryDisk, count: u64) {
    let engine = open(disk);
    assert_eq!(engine.findings(), []);
    assert_holds(&engine, count);
    let result = append(&engine, count + 1).unwrap();
    assert_eq!(result.global_position, GlobalPosition::new(count + 1));
    engine.close().unwrap();
    assert_eq!(verify(disk.clone()).unwrap().findings, []);
}

/// Asserts that a store holds the events 1 to `count` of `event` and no others.
fn assert_holds(engine: &MemoryEngine, count: u64) {
    let (events, error) = read_from(engine, 1);
    assert!(error.is_none(), "{error:?}");
    assert_eq!(positions(&events), (1..=count).collect::<Vec<_>>());
    assert_are_original(&events);
    assert_eq!(read_stream(engine, &StreamRead::new()).0, events);
}

fn assert_are_original(events: &[RecordedEvent]) {
    for recorded in events {
        let number = recorded.global_position().get();
        assert_eq!(recorded.event_id(), event_id(number));
        assert_eq!(recorded.payload(), event(number, recorded.payload().len()).payload());
        assert_eq!(recorded.stream_version().get(), number);
    }
}

/// Only what never comes takes as long, however busy the machine is.
const WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(600);

/// Waits for something that another thread brings about.
fn wait_until(mut is_so: impl FnMut() -> bool) {
    let stopwatch = crate::clock::Stopwatch::start();
    while !is_so() {
        assert!(stopwatch.elapsed() < WAIT_MAX, "this never comes");
        std::thread::yield_now();
    }
}

/// Returns what `END` says comes next, if it can be used.
fn claimed(disk: &MemoryDisk) -> Option<u64> {
    let log = disk.directory("log", MakeDirectory::Never).unwrap();
    let claim = crate::engine::known_end::claim_of_any_store(&log).ok()?;
    claim.map(|claim| claim.next_position.get())
}

/// Waits until this many events have been admitted, durable or not.
fn wait_for_admitted(engine: &MemoryEngine, position: u64) {
    let queue = &engine.writer.as_ref().unwrap().queue;
    wait_until(|| queue.newest().get() >= position);
}
