//! What is looked up of streams and events before the lock of the commit queue: it holds nobody up,
//! it is never outdated, and it shows nothing that is not visible yet.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{Scope, ScopedJoinHandle};

use super::index::{colliding, fill, open_small, settle_index};
use super::*;

/// The number of an event whose id may be in any run.
const ANYWHERE: u64 = 6000;

/// Returns the number of an event whose id is later than those of every run.
fn late(number: u64) -> u64 {
    ANYWHERE + 1 + 3 * number
}

/// Opens a store whose streams are all in runs, and appends to `known`.
fn with_runs() -> (MemoryDisk, MemoryEngine) {
    let disk = MemoryDisk::new();
    let engine = open_small(&disk);
    fill(&engine, 1..=60);
    settle_index(&engine);
    engine.close().unwrap();
    drop(engine);
    let engine = open(&disk);
    append_any(&engine, "known", late(0)).unwrap();
    (disk, engine)
}

fn append_any(engine: &MemoryEngine, name: &str, number: u64) -> Result<AppendResult> {
    append_to(engine, &stream(name), ExpectedVersion::Any, vec![event(number, 8)])
}

fn version_of(engine: &MemoryEngine, name: &str) -> u64 {
    engine.reader().version(&stream(name)).unwrap().get()
}

/// Starts an append to `known` and waits until it is done, though others are held up.
fn append_meanwhile<'scope>(
    scope: &'scope Scope<'scope, '_>,
    engine: &'scope MemoryEngine,
    number: u64,
) -> AppendResult {
    let appended: ScopedJoinHandle<'_, _> =
        scope.spawn(move || append_any(engine, "known", number));
    wait_until(|| appended.is_finished());
    appended.join().unwrap().unwrap()
}

#[test]
fn an_append_that_waits_for_the_disk_to_find_its_stream_holds_up_no_other() {
    let (disk, engine) = with_runs();
    let before = version_of(&open_read_only(&disk.copy()), "one");
    std::thread::scope(|scope| {
        let hold = disk.hold(Operation::Read);
        let slow = scope.spawn(|| append_any(&engine, "one", late(9)));
        hold.wait_for_a_call();
        for number in 1..=3 {
            let result = append_meanwhile(scope, &engine, late(number));
            assert_eq!(result.new_version.get(), 1 + number);
        }
        assert!(!slow.is_finished());
        drop(hold);
        assert_eq!(slow.join().unwrap().unwrap().new_version.get(), before + 1);
    });
}

#[test]
fn an_append_that_waits_for_the_disk_to_find_its_event_holds_up_no_other() {
    let (disk, engine) = with_runs();
    std::thread::scope(|scope| {
        let hold = disk.hold(Operation::Read);
        let slow = scope.spawn(|| append_any(&engine, "known", ANYWHERE));
        hold.wait_for_a_call();
        assert_eq!(append_meanwhile(scope, &engine, late(1)).new_version.get(), 2);
        assert!(!slow.is_finished());
        drop(hold);
        assert_eq!(slow.join().unwrap().unwrap().new_version.get(), 3);
    });
}

/// Returns a commit that expects version 1 of `known` and, looking up another stream behind it,
/// waits for the disk.
fn expecting_version_1() -> Commit {
    Commit::new()
        .append(&stream("known"), ExpectedVersion::exact(1), vec![event(late(8), 8)])
        .append(&stream("one"), ExpectedVersion::Any, vec![event(late(9), 8)])
}

fn assert_refused_at_version_2(result: Result<crate::store::CommitResult>) {
    let Err(Error::CommitRefused { failures }) = result else { panic!("{result:?}") };
    let shown = failures[0].to_string();
    assert!(failures.len() == 1 && shown.contains('2'), "{shown}");
}

#[test]
fn a_version_that_was_found_before_another_append_is_not_believed() {
    let (disk, engine) = with_runs();
    std::thread::scope(|scope| {
        let hold = disk.hold(Operation::Read);
        let slow = scope.spawn(|| engine.commit(expecting_version_1()));
        hold.wait_for_a_call();
        append_meanwhile(scope, &engine, late(1));
        drop(hold);
        assert_refused_at_version_2(slow.join().unwrap());
    });
    assert_eq!(version_of(&engine, "known"), 2);
}

#[test]
fn a_version_that_was_found_before_another_append_became_durable_is_not_believed() {
    let (disk, engine) = with_runs();
    let newest = engine.reader().durable();
    std::thread::scope(|scope| {
        let reads = disk.hold(Operation::Read);
        let slow = scope.spawn(|| engine.commit(expecting_version_1()));
        reads.wait_for_a_call();
        let syncs = disk.hold(Operation::Sync);
        let other = scope.spawn(|| append_any(&engine, "known", late(1)));
        wait_for_admitted(&engine, newest.next().get());
        drop(reads);
        (0..50).for_each(|_| std::thread::yield_now());
        drop(syncs);
        assert_eq!(other.join().unwrap().unwrap().new_version.get(), 2);
        assert_refused_at_version_2(slow.join().unwrap());
    });
}

#[test]
fn an_event_that_was_new_until_another_thread_recorded_it_is_recorded_once() {
    let (disk, engine) = with_runs();
    std::thread::scope(|scope| {
        let hold = disk.hold(Operation::Read);
        let slow = scope.spawn(|| {
            let events = vec![event(late(1), 8), event(ANYWHERE, 8)];
            append_to(&engine, &stream("known"), ExpectedVersion::Any, events)
        });
        hold.wait_for_a_call();
        append_meanwhile(scope, &engine, late(1));
        drop(hold);
        let result = slow.join().unwrap().unwrap();
        assert_eq!((result.appended, result.new_version.get()), (1, 3));
    });
    let known = engine.reader().read_stream(&stream("known"), &StreamRead::new());
    let ids: Vec<_> = split(known).0.iter().map(RecordedEvent::event_id).collect();
    assert_eq!(ids, [event_id(late(0)), event_id(late(1)), event_id(ANYWHERE)]);
}

#[test]
fn a_stream_of_which_a_commit_writes_nothing_keeps_its_version() {
    let (_disk, engine) = with_runs();
    let commit = Commit::new()
        .append(&stream("known"), ExpectedVersion::Any, vec![event(late(0), 8)])
        .append(&stream("new"), ExpectedVersion::Any, vec![event(late(1), 8), event(late(2), 8)]);
    assert_eq!(engine.commit(commit).unwrap().appended, 2);
    assert_eq!((version_of(&engine, "known"), version_of(&engine, "new")), (1, 2));
    append_any(&engine, "known", late(3)).unwrap();
    assert_eq!(version_of(&engine, "known"), 2);
}

#[test]
fn a_version_that_was_asked_for_once_is_not_read_from_the_disk_again() {
    let (disk, engine) = with_runs();
    let versions: Vec<_> =
        ["one", "s2", "absent", "known"].map(|it| version_of(&engine, it)).into();
    assert!(versions[0] > 1 && versions[1] > 0 && versions[2] == 0);
    let reads = disk.calls(Operation::Read);
    let again: Vec<_> = ["one", "s2", "absent", "known"].map(|it| version_of(&engine, it)).into();
    assert_eq!((again, disk.calls(Operation::Read)), (versions, reads));
}

#[test]
fn a_group_that_fails_changes_no_version() {
    let (disk, engine) = with_runs();
    disk.fail(Operation::Sync, 1, ErrorKind::Other);
    assert!(append_any(&engine, "known", late(1)).is_err());
    assert_eq!(version_of(&engine, "known"), 1);
}

#[test]
fn an_event_is_not_visible_before_the_version_of_its_stream_is_known() {
    let (disk, engine) = with_runs();
    let newest = engine.reader().durable();
    std::thread::scope(|scope| {
        let hold = disk.hold(Operation::Sync);
        let appended = scope.spawn(|| append_any(&engine, "known", late(1)));
        // A sync may also be that of a mark; what is admitted has looked its stream up.
        wait_for_admitted(&engine, newest.next().get());
        let pause = engine.reader().pause_head(&stream("known"));
        drop(hold);
        let is_indexed = || engine.reader().index().locate(newest.next()).unwrap().is_some();
        wait_until(is_indexed);
        for _ in 0..1000 {
            assert_eq!(engine.reader().durable(), newest);
            std::thread::yield_now();
        }
        drop(pause);
        appended.join().unwrap().unwrap();
    });
    assert_eq!(engine.reader().durable(), newest.next());
}

/// Streams of the stress, each of one writer.
const WRITERS: usize = 3;
const EACH: u64 = 120;

#[test]
fn versions_are_right_while_streams_take_each_others_place() {
    // The colliding key leaves two slots for all streams.
    let disk = colliding();
    let engine = open_small(&disk);
    let acknowledged: [AtomicU64; WRITERS] = Default::default();
    let name = |writer: usize| format!("stress-{writer}");
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (engine, acknowledged) = (&engine, &acknowledged);
            scope.spawn(move || {
                for version in 0..EACH {
                    let number = writer as u64 * 10_000 + version;
                    let expected = ExpectedVersion::exact(version);
                    let events = vec![event(number, 8)];
                    append_to(engine, &stream(&name(writer)), expected, events).unwrap();
                    acknowledged[writer].store(version + 1, Ordering::Release);
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                let mut seen = [0; WRITERS];
                while seen != [EACH; WRITERS] {
                    for (writer, seen) in seen.iter_mut().enumerate() {
                        let least = acknowledged[writer].load(Ordering::Acquire).max(*seen);
                        let version = version_of(&engine, &name(writer));
                        assert!(version >= least, "{version}, and it had been {least}");
                        let newest = StreamRead::new().backward().limit(1);
                        let events = engine.reader().read_stream(&stream(&name(writer)), &newest);
                        let events = split(events).0;
                        let visible = events.first().map_or(0, |it| it.stream_version().get());
                        assert!(visible >= version, "{version} is not visible yet");
                        *seen = version;
                    }
                }
            });
        }
    });
}
