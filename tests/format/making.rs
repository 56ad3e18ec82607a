//! Makes the fixture of the present format, once.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use annals::{
    ActorId, Clock, Commit, ContentType, EventStore, ExpectedVersion, FileStore, NewEvent, Options,
    StreamId, TenantId, Timestamp,
};
use flate2::{Compression, GzBuilder};
use uuid::Uuid;

use crate::events_of;
use crate::fixture::{EVENTS, Fixture, PACKED, folder};

const FIRST_OPENING: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const SECOND_OPENING: Timestamp = Timestamp::from_micros(1_700_000_100_000_000);

/// The present format, as the name of its fixture.
const NAME: &str = "1-in-order";

/// Two events of this size do not fit into one segment.
const LARGE_BYTES: usize = 40_000;

#[test]
fn the_fixture_of_this_format_is_made_when_asked_for() {
    if std::env::var_os("ANNALS_WRITE_FIXTURE").is_none() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    first_opening(directory.path());
    second_opening(directory.path());
    let store = FileStore::open_read_only(directory.path()).unwrap();
    if fs::exists(folder()).unwrap() && Fixture::all().iter().any(|made| made.name == NAME) {
        return;
    }
    let to = folder().join(NAME);
    pack(directory.path(), &to);
    let described = serde_json::to_string_pretty(&events_of(&store)).unwrap();
    fs::write(to.join(EVENTS), described + "\n").unwrap();
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(0x018b_cfe5_6800_7000_8000_0000_0000_0000 | number)
}

fn task() -> StreamId {
    StreamId::new("Task", "task-1").unwrap()
}

fn plan() -> StreamId {
    StreamId::of("TrainingPlan", id(0xaaaa)).unwrap()
}

fn large(number: u128, byte: u8) -> NewEvent {
    NewEvent::new("Attached", vec![byte; LARGE_BYTES]).id(id(number))
}

fn open(path: &Path, now: Timestamp) -> FileStore {
    let (clock, _hand) = Clock::manual(now);
    FileStore::open_with(path, Options::new().segment_bytes(64 << 10).clock(clock)).unwrap()
}

/// Every part of an event, alone and all together, and a commit to two streams.
fn first_opening(path: &Path) {
    let store = open(path, FIRST_OPENING);
    let append = |stream: &StreamId, events| {
        store.append(stream, ExpectedVersion::Any, events).unwrap();
    };
    append(&task(), vec![NewEvent::new("Created", "tea").id(id(1))]);
    let plain = |number| NewEvent::new("Changed", "").id(id(number));
    append(
        &task(),
        vec![
            plain(2).occurred_at(Timestamp::from_micros(-1)),
            plain(3).event_version(7),
            plain(4).correlation_id(id(0xc0)),
            plain(5).causation_id(id(0xca)),
            plain(6).tenant(TenantId::new("club-1").unwrap()),
            plain(7).tenant(TenantId::from(id(0x7e))),
            plain(8).actor(ActorId::new("tränerin").unwrap()),
            plain(9).actor(ActorId::from(id(0xac))),
            plain(10).tag("athlete:7"),
            plain(11).metadata("source", "mobile"),
        ],
    );
    let kinds = [
        (NewEvent::new("Typed", (0..=255).collect::<Vec<u8>>()), ContentType::Bytes),
        (NewEvent::new("Typed", "grüner Tee"), ContentType::Text),
        (NewEvent::new("Typed", r#"{"day":"monday"}"#), ContentType::Json),
        (NewEvent::bincode("Typed", &(3_u32, "four")).unwrap(), ContentType::Bincode),
        (NewEvent::new("Typed", "a later kind"), ContentType::Other(200)),
    ];
    let kinds = kinds.into_iter().zip(12..);
    append(&plan(), kinds.map(|((event, kind), n)| event.id(id(n)).content_type(kind)).collect());
    let everything = NewEvent::new("WorkoutScheduled", r#"{"day":"friday"}"#)
        .id(id(17))
        .content_type(ContentType::Json)
        .occurred_at(Timestamp::from_micros(1_699_999_999_999_999))
        .event_version(2)
        .correlation_id(id(0xc1))
        .causation_id(id(0xcb))
        .tenant(TenantId::new("club-1").unwrap())
        .actor(ActorId::new("coach:3").unwrap())
        .tag("athlete:7")
        .tag("a tag with spaces")
        .metadata("empty", "")
        .metadata("long", "x".repeat(300))
        .metadata("source", "mobile");
    let commit = Commit::new()
        .append(&plan(), ExpectedVersion::StreamExists, vec![everything])
        .append(&task(), ExpectedVersion::StreamExists, vec![plain(18), plain(19)])
        .append(
            &StreamId::new("Task", "Ä:".repeat(80)).unwrap(),
            ExpectedVersion::NoStream,
            vec![plain(20)],
        );
    store.commit(commit).unwrap();
    append(&task(), vec![large(21, b'a')]);
    append(&task(), vec![large(22, b'b')]);
    store.close().unwrap();
}

/// A close mark in the middle of a segment, a later epoch, and two more sealed segments.
fn second_opening(path: &Path) {
    let store = open(path, SECOND_OPENING);
    for (number, byte) in [(23, b'c'), (24, b'd')] {
        store.append(&plan(), ExpectedVersion::Any, vec![large(number, byte)]).unwrap();
    }
    let last = NewEvent::new("Finished", "").id(id(25));
    store.append(&task(), ExpectedVersion::StreamExists, vec![last]).unwrap();
    store.close().unwrap();
}

/// Packs every file of a store but the lock.
fn pack(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap().to_str().unwrap();
        if entry.is_dir() {
            pack(&entry, &to.join(name));
        } else if name != "LOCK" {
            let packed = File::create(to.join(format!("{name}{PACKED}"))).unwrap();
            let mut packed = GzBuilder::new().write(packed, Compression::best());
            io::copy(&mut File::open(&entry).unwrap(), &mut packed).unwrap();
            packed.finish().unwrap();
        }
    }
}
