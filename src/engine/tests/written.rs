//! What has been written and is not durable yet: it is indexed while the device is at work, shown to
//! nobody, and forgotten where the sync fails. What was written before is freed meanwhile.

use std::sync::Arc;

use bytes::Bytes;

use super::index::colliding;
use super::*;
use crate::format::SEGMENT_FOOTER_BYTES;
use crate::io::PAGE_BYTES;
use crate::position::StreamVersion;
use crate::store::{Query, QueryItem};

/// Opens a store that only syncs what is committed, and appends event 1 to `one`.
fn with_one(disk: &MemoryDisk) -> MemoryEngine {
    let options = EngineOptions { workers: Workers::Caller, segment_bytes: 4 << 20, ..options() };
    let engine = Engine::open(disk.clone(), &options).unwrap();
    append(&engine, 1).unwrap();
    engine
}

/// Returns empty disks: one, and one on which streams share hashes, so that little is known of them
/// without asking the index.
fn disks() -> [MemoryDisk; 2] {
    [MemoryDisk::new(), colliding()]
}

/// Returns a commit of events from 2 on, all but the last two to `one`, and one each to two others.
fn commit(count: u64) -> Commit {
    let of_one = (2..count).map(|number| event(number, 8)).collect();
    let to = |commit: Commit, name: &str, number: u64| {
        let events = vec![event(number, 8).tag("marked")];
        commit.append(&stream(name), ExpectedVersion::NoStream, events)
    };
    let commit = Commit::new().append(&stream("one"), ExpectedVersion::Any, of_one);
    to(to(commit, "two", count), "three", count + 1)
}

fn is_indexed(engine: &MemoryEngine, position: u64) -> bool {
    let position = GlobalPosition::new(position);
    engine.reader().index().locate(position).unwrap().is_some()
}

/// Asks for everything in every way, and expects only so many events.
fn assert_shows(engine: &MemoryEngine, count: u64) {
    let reader = engine.reader();
    let of_query = |query: &Query, options: GlobalRead| {
        let (events, error) = split(reader.read(query, &options));
        assert!(error.is_none(), "{error:?}");
        positions(&events)
    };
    let all: Vec<_> = (1..=count).collect();
    let reversed: Vec<_> = (1..=count).rev().collect();
    let happened = Query::none().or(QueryItem::new().event_type("Happened"));
    for query in [Query::all(), happened, Query::category("Test")] {
        assert_eq!(of_query(&query, GlobalRead::new()), all, "{query:?}");
        assert_eq!(of_query(&query, GlobalRead::new().backward()), reversed, "{query:?}");
        let first = reader.first_match(&query, GlobalPosition::new(count + 1)).unwrap();
        assert!(first.is_none(), "{query:?}");
    }
    let of_another = u64::from(count > 1);
    let marked = Query::none().or(QueryItem::new().tag("marked"));
    assert_eq!(of_query(&marked, GlobalRead::new()).len() as u64, 2 * of_another);
    let versions = [("one", count - 2 * of_another), ("two", of_another), ("three", of_another)];
    for (name, version) in versions {
        let name = stream(name);
        assert_eq!(reader.version(&name).unwrap().get(), version);
        let loaded = reader.load_stream(&name, StreamRead::new()).unwrap();
        assert_eq!((loaded.version().get(), loaded.events().len() as u64), (version, version));
        for options in [StreamRead::new(), StreamRead::new().backward()] {
            for last in [1, 2, 3, u64::MAX] {
                let options = options.clone().to(StreamVersion::new(last));
                let (events, error) = split(reader.read_stream(&name, &options));
                assert!(error.is_none(), "{error:?}");
                assert_eq!(events.len() as u64, version.min(last));
            }
        }
    }
    for number in 1..=5 {
        assert_eq!(reader.event_exists(event_id(number)).unwrap(), number <= count);
        assert_eq!(reader.event(event_id(number)).unwrap().is_some(), number <= count);
    }
}

#[test]
fn what_is_not_durable_yet_is_indexed_and_shown_to_nobody() {
    for disk in disks() {
        let engine = with_one(&disk);
        std::thread::scope(|scope| {
            let hold = disk.hold(Operation::Sync);
            let appended = scope.spawn(|| engine.commit(commit(4)));
            hold.wait_for_a_call();
            assert!(is_indexed(&engine, 5) && !is_indexed(&engine, 6), "the device is at work");
            assert_shows(&engine, 1);
            drop(hold);
            appended.join().unwrap().unwrap();
        });
        assert_shows(&engine, 5);
    }
}

#[test]
fn what_did_not_become_durable_is_never_shown_nor_written_into_the_index() {
    const COUNT: u64 = 2000;
    let index_files =
        |disk: &MemoryDisk| disk.files().iter().filter(|path| path.starts_with("index/")).count();
    for (disk, fails) in [(MemoryDisk::new(), false), (MemoryDisk::new(), true)] {
        let engine = with_one(&disk);
        if fails {
            disk.fail(Operation::Sync, 1, ErrorKind::Other);
        }
        let result = engine.commit(commit(COUNT));
        assert_eq!(result.is_err(), fails, "{result:?}");
        assert!(is_indexed(&engine, COUNT + 1));
        if fails {
            assert_shows(&engine, 1);
        }
        assert_eq!(engine.close().is_err(), fails);
        assert_eq!(index_files(&disk), usize::from(!fails), "so many are worth a run");
        assert_eq!(engine.reader().durable().get(), if fails { 1 } else { COUNT + 1 });
    }
}

#[test]
fn a_failure_to_begin_writing_out_counts_as_a_failed_sync() {
    let disk = MemoryDisk::new();
    let engine = with_one(&disk);
    disk.fail(Operation::BeginWriteOut, 1, ErrorKind::Other);
    let result = engine.commit(commit(4));
    assert!(matches!(result, Err(Error::OutcomeUnknown { .. })), "{result:?}");
    assert!(matches!(append(&engine, 9), Err(Error::Poisoned { .. })));
    assert_shows(&engine, 1);
}

#[test]
fn the_device_begins_with_several_events_before_they_are_synced_and_is_not_called_for_one() {
    let disk = MemoryDisk::new();
    let engine = with_one(&disk);
    let begun = disk.calls(Operation::BeginWriteOut);
    append(&engine, 9).unwrap();
    assert_eq!(disk.calls(Operation::BeginWriteOut), begun);
    engine.commit(commit(4)).unwrap();
    assert_eq!(disk.calls(Operation::BeginWriteOut), begun + 1);
}

#[test]
fn what_a_lone_caller_committed_is_freed_while_the_next_commit_is_synced() {
    let disk = MemoryDisk::new();
    let engine = with_one(&disk);
    let payload = Arc::new([7; 8]);
    let events = vec![NewEvent::new("Happened", Bytes::from_owner(Shared(Arc::clone(&payload))))];
    append_to(&engine, &stream("one"), ExpectedVersion::Any, events).unwrap();
    assert_eq!(Arc::strong_count(&payload), 2, "its caller does not wait for that");
    std::thread::scope(|scope| {
        let hold = disk.hold(Operation::Sync);
        let next = scope.spawn(|| append(&engine, 9));
        hold.wait_for_a_call();
        assert_eq!(Arc::strong_count(&payload), 1);
        drop(hold);
        next.join().unwrap().unwrap();
    });
}

#[test]
fn a_payload_that_panics_when_it_is_freed_does_not_poison_the_store() {
    let disk = MemoryDisk::new();
    let engine = with_one(&disk);
    let events = vec![NewEvent::new("Happened", Bytes::from_owner(Reluctant))];
    append_to(&engine, &stream("one"), ExpectedVersion::Any, events).unwrap();
    append(&engine, 8).unwrap();
    append(&engine, 9).unwrap();
    assert_eq!(engine.reader().durable().get(), 4);
}

/// Bytes that panic when they are freed.
struct Reluctant;

impl AsRef<[u8]> for Reluctant {
    fn as_ref(&self) -> &[u8] {
        b"reluctant"
    }
}

impl Drop for Reluctant {
    fn drop(&mut self) {
        panic!("not now");
    }
}

/// Bytes of which can be asked whether they were freed.
struct Shared(Arc<[u8; 8]>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &*self.0
    }
}

#[test]
fn a_write_that_goes_on_to_another_page_fills_that_with_zeros_and_no_other_does() {
    const MARK: u8 = 0xee;
    let page = usize::try_from(PAGE_BYTES).unwrap();
    let (disk, path) = (MemoryDisk::new(), segment_path(1));
    let engine = with_one(&disk);
    let written_to = || {
        let bytes = disk.bytes_of(&path).unwrap();
        bytes.iter().rposition(|byte| *byte != MARK).unwrap() + 1
    };
    let mut bytes = disk.bytes_of(&path).unwrap();
    let room = bytes.len() - SEGMENT_FOOTER_BYTES;
    let behind_data = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes[behind_data..].fill(MARK);
    disk.set_bytes(&path, bytes);

    let append = |number: u64, payload_bytes: usize| {
        let events = vec![event(number, payload_bytes)];
        engine.commit(Commit::new().append(&stream("one"), ExpectedVersion::Any, events)).unwrap();
        written_to()
    };
    let (second, third) = (append(2, 8), append(3, 8));
    assert!((second + 1..2 * page).contains(&third), "within the page");
    let small = third - second;
    // So many bytes of payload let a frame that begins at the one offset end at the other.
    let between = |start: usize, end: usize| 8 + (end - start) - small;
    assert_eq!(append(4, between(third, 2 * page)), 2 * page);
    assert_eq!(append(5, 8), 3 * page, "from the beginning of the next");
    let fifth = 2 * page + small;
    assert_eq!(append(6, between(fifth, 4 * page + 8)), 5 * page, "to one behind it");
    assert_eq!(append(7, between(4 * page + 8, room - 8)), room, "and never where the footer goes");
}
