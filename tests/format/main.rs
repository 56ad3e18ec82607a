//! Are the bytes on disk as published, in every format that was ever released?
//!
//! `fixtures/N` is a store of format N, `N-WHAT` one with what a feature flag added to it, each file packed
//! with gzip, and `events.json` beside it says which events it holds. A released fixture never changes. That
//! of a new format is made by `ANNALS_WRITE_FIXTURE=1 cargo test --test format`, which does nothing where there is one.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod corpus;
mod fixture;
mod making;

use std::fs;
use std::path::{Path, PathBuf};

use annals::{
    Clock, Error, EventStore, ExpectedVersion, FileStore, GlobalPosition, NewEvent, Options,
    ReadOptions, StreamId, StreamVersion, Timestamp,
};
use fixture::{Fixture, described};
use serde_json::Value;

fn events_of(store: &FileStore) -> Vec<Value> {
    let events = store.read_all(ReadOptions::new()).unwrap();
    events.map(|event| described(&event.unwrap())).collect()
}

#[test]
fn there_is_a_fixture_of_every_format() {
    let fixture = Fixture::all().pop().unwrap();
    let directory = fixture.unpacked();
    let store = FileStore::open(directory.path()).unwrap();
    let newest = store.stats().unwrap().format_version;
    let mut versions: Vec<_> = Fixture::all().iter().map(Fixture::version).collect();
    versions.dedup();
    assert_eq!(versions, (1..=newest).collect::<Vec<_>>());
}

/// Returns the paths of the segments of a store, in order.
fn segments(store: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(store.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> =
        entries.filter(|it| it.extension() == Some("seg".as_ref())).collect();
    segments.sort();
    segments
}

/// Returns the feature flags of the segments of a store, in order.
fn segment_flags(store: &Path) -> Vec<u32> {
    let flags =
        |path| u32::from_le_bytes(fs::read::<&PathBuf>(path).unwrap()[12..16].try_into().unwrap());
    segments(store).iter().map(flags).collect()
}

#[test]
fn there_is_a_fixture_with_each_feature_of_a_segment() {
    let flags = Fixture::all()
        .iter()
        .map(|fixture| segment_flags(fixture.unpacked().path()))
        .collect::<Vec<_>>();
    assert_eq!(flags, [[0; 5], [1; 5]]);
}

/// Appends an event too large for the rest of the active segment and for one that was made ahead.
fn append_large(store: &FileStore) {
    let large = NewEvent::new("Attached", vec![b'x'; 300_000]);
    store.append(&StreamId::new("Later", "2").unwrap(), ExpectedVersion::Any, vec![large]).unwrap();
}

#[test]
fn a_store_of_every_format_goes_on_in_segments_of_this_one() {
    for fixture in Fixture::all() {
        let directory = fixture.unpacked();
        let before = segment_flags(directory.path());
        let store = FileStore::open(directory.path()).unwrap();
        append_large(&store);
        store.close().unwrap();

        let flags = segment_flags(directory.path());
        assert!(flags.starts_with(&before) && flags.len() > before.len());
        assert_eq!(flags[before.len()..], vec![1; flags.len() - before.len()]);
        assert!(FileStore::verify(directory.path()).unwrap().is_intact());
        let store = FileStore::open(directory.path()).unwrap();
        let mut events = events_of(&store);
        assert_eq!(events.pop().unwrap()["payload"]["count"], 300_000);
        assert_eq!(events, fixture.events());
    }
}

#[test]
fn a_lost_header_of_a_segment_of_every_format_is_told_from_what_follows() {
    for fixture in Fixture::all() {
        // The fifth was made ahead and holds nothing.
        for number in 0..4 {
            let directory = fixture.unpacked();
            let path = &segments(directory.path())[number];
            let written = fs::read(path).unwrap();
            let mut bytes = written.clone();
            bytes[..4096].fill(0);
            fs::write(path, bytes).unwrap();
            FileStore::repair(directory.path()).unwrap();
            let store = FileStore::open(directory.path()).unwrap();
            assert_eq!(store.findings(), []);
            assert_eq!(events_of(&store), fixture.events(), "{} {number}", fixture.name);
            assert_eq!(fs::read(path).unwrap()[12..16], written[12..16]);
        }
    }
}

#[test]
fn a_store_of_every_format_is_read_beside_no_writer() {
    for fixture in Fixture::all() {
        let directory = fixture.unpacked();
        let store = FileStore::open_read_only(directory.path()).unwrap();
        assert_eq!(store.findings(), []);
        assert_eq!(events_of(&store), fixture.events());
    }
}

#[test]
fn a_store_of_every_format_verifies() {
    for fixture in Fixture::all() {
        let directory = fixture.unpacked();
        let report = FileStore::verify(directory.path()).unwrap();
        assert_eq!(report.findings, []);
        assert_eq!(report.events, fixture.events().len() as u64);
        assert!(report.segments > 2, "some segments of the fixture are sealed");
    }
}

#[test]
fn a_store_of_every_format_goes_on_where_it_ended() {
    for fixture in Fixture::all() {
        let directory = fixture.unpacked();
        let store = FileStore::open(directory.path()).unwrap();
        assert_eq!(store.findings(), []);
        assert_eq!(events_of(&store), fixture.events());

        let last = store.global_position().unwrap();
        let stream = StreamId::new("Later", "1").unwrap();
        let added = NewEvent::new("Added", "by a later version");
        let result = store.append(&stream, ExpectedVersion::NoStream, vec![added]).unwrap();
        assert_eq!(result.global_position, last.next());
        store.close().unwrap();

        let store = FileStore::open(directory.path()).unwrap();
        let mut events = events_of(&store);
        assert_eq!(events.pop().unwrap()["payload"]["text"], "by a later version");
        assert_eq!(events, fixture.events());
    }
}

#[test]
fn streams_and_event_ids_of_every_format_are_found() {
    for fixture in Fixture::all() {
        let directory = fixture.unpacked();
        let store = FileStore::open_read_only(directory.path()).unwrap();
        for expected in fixture.events() {
            let id = expected["event_id"].as_str().unwrap().parse().unwrap();
            let event = store.event(id).unwrap().unwrap();
            assert_eq!(described(&event), expected);
            let stream = event.stream().unwrap();
            let read = store.load_stream(&stream, Default::default()).unwrap();
            assert!(read.events().contains(&event));
        }
    }
}

#[test]
fn recorded_times_of_every_format_are_not_undercut() {
    for fixture in Fixture::all() {
        let directory = fixture.unpacked();
        let (clock, _hand) = Clock::manual(Timestamp::MIN);
        let store = FileStore::open_with(directory.path(), Options::new().clock(clock)).unwrap();
        let newest = fixture.events().last().unwrap()["recorded_at"].as_i64().unwrap();
        let stream = StreamId::new("Later", "1").unwrap();
        let events = vec![NewEvent::new("Added", "")];
        store.append(&stream, ExpectedVersion::Exact(StreamVersion::ZERO), events).unwrap();
        let added = store.read_all(ReadOptions::new()).unwrap().last().unwrap().unwrap();
        assert_eq!(added.recorded_at().as_micros(), newest);
        assert!(added.global_position() > GlobalPosition::FIRST);
    }
}

#[test]
fn a_wrong_feature_flag_of_a_damaged_header_costs_no_event_even_behind_a_damaged_mark() {
    for fixture in Fixture::all() {
        let directory = fixture.unpacked();
        let path = &segments(directory.path())[0];
        let mut bytes = fs::read(path).unwrap();
        // The flag, and the first frame: a watermark.
        (bytes[12], bytes[4096]) = (bytes[12] ^ 1, bytes[4096] ^ 1);
        fs::write(path, bytes).unwrap();
        FileStore::repair(directory.path()).unwrap();
        let store = FileStore::open(directory.path()).unwrap();
        assert_eq!(events_of(&store), fixture.events(), "{}", fixture.name);
    }
}

/// Rewrites the file `STORE`, finishes its checksum as `docs/format.md` says, and opens the store.
fn with_store_file(change: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
    let directory = Fixture::all().pop().unwrap().unpacked();
    let path = directory.path().join("STORE");
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 4);
    change(&mut bytes);
    let crc = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    FileStore::open(directory.path())?.close()
}

#[test]
fn a_store_of_a_newer_format_is_refused_as_such() {
    assert!(with_store_file(|_| {}).is_ok());
    let newer = with_store_file(|bytes| bytes[8] += 1);
    assert!(matches!(newer, Err(Error::Incompatible { .. })), "{newer:?}");
    let feature = with_store_file(|bytes| bytes[15] = 0x80);
    assert!(matches!(feature, Err(Error::Incompatible { .. })), "{feature:?}");
}

/// Only one byte more than the length of version 1 was read once, so that a longer file of a newer
/// format looked damaged.
#[test]
fn a_longer_store_file_of_a_newer_format_is_refused_as_such() {
    for length in [129, 1000, 4092] {
        let newer = with_store_file(|bytes| {
            bytes[8] += 1;
            bytes.resize(length, 7);
        });
        assert!(matches!(newer, Err(Error::Incompatible { .. })), "{length}: {newer:?}");
    }
    let longer = with_store_file(|bytes| bytes.resize(200, 0));
    assert!(matches!(longer, Err(Error::Damage(_))), "{longer:?}");
}
