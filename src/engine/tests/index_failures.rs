//! How writing the index fails: no answer changes, nothing is lost, and nothing is refused that has
//! room.

use super::answers::answers_up_to;
use super::index::{fill, open_small, runs, settle_index};
use super::*;

/// Events of a memtable of `open_small`.
const TABLE_EVENTS: u64 = 8;

fn is_no_space<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::NoSpace { .. }))
}

fn append_all(engine: &MemoryEngine, numbers: RangeInclusive<u64>) {
    for number in numbers {
        append(engine, number).unwrap();
    }
}

/// Lets every run fail that is written from now on, and nothing of the log.
fn refuse_runs(disk: &MemoryDisk) {
    disk.break_down(Operation::Remove, ErrorKind::StorageFull);
}

#[test]
fn without_room_for_a_run_appends_go_on_until_both_memtables_are_full() {
    let disk = MemoryDisk::new();
    let engine = open_small(&disk);
    refuse_runs(&disk);
    append_all(&engine, 1..=2 * TABLE_EVENTS);
    for _ in 0..3 {
        assert!(is_no_space(&append(&engine, 2 * TABLE_EVENTS + 1)));
        assert_holds(&engine, 2 * TABLE_EVENTS);
        let version = engine.reader().version(&stream("one")).unwrap();
        assert_eq!(version.get(), 2 * TABLE_EVENTS);
    }
    disk.mend();
    append_all(&engine, 2 * TABLE_EVENTS + 1..=50);
    assert_holds(&engine, 50);
    engine.close().unwrap();
    assert_goes_on(&disk, 50);
}

#[test]
fn a_run_that_could_once_not_be_written_refuses_no_append_later() {
    // The failure was kept and given to the next append that needed room, though there was some.
    let disk = MemoryDisk::new();
    let engine = open_small(&disk);
    refuse_runs(&disk);
    append_all(&engine, 1..=TABLE_EVENTS + 1);
    wait_until(|| disk.calls(Operation::Remove) > 0);
    assert!(engine.reader().index().write_frozen().is_err());
    disk.mend();
    append_all(&engine, TABLE_EVENTS + 2..=40);
    assert_holds(&engine, 40);
}

#[test]
fn a_store_without_room_for_runs_closes_and_opens_with_everything() {
    let disk = MemoryDisk::new();
    let engine = open_small(&disk);
    refuse_runs(&disk);
    append_all(&engine, 1..=2 * TABLE_EVENTS);
    engine.close().unwrap();
    assert_eq!(runs(&disk), Vec::<String>::new());
    assert_holds(&open_read_only(&disk), 2 * TABLE_EVENTS);
    disk.mend();
    assert_goes_on(&disk, 2 * TABLE_EVENTS);
}

#[test]
fn appends_do_not_wait_for_a_background_thread_that_is_held_up() {
    // An append waited for the thread to write a memtable, and the thread could wait for the group
    // of that append to take its watermark.
    let disk = MemoryDisk::new();
    let engine = open_small(&disk);
    let hold = disk.hold(Operation::Allocate);
    for number in 1..=4 {
        append_sized(&engine, number, SIXTH).unwrap();
    }
    hold.wait_for_a_call();
    append_all(&engine, 5..=5 * TABLE_EVENTS);
    assert_holds(&engine, 5 * TABLE_EVENTS);
    drop(hold);
    engine.close().unwrap();
    assert_goes_on(&disk, 5 * TABLE_EVENTS);
}

#[test]
fn a_panic_of_the_thread_that_writes_a_run_holds_no_append_up() {
    let disk = MemoryDisk::new();
    let engine = open_small(&disk);
    disk.panic_at(Operation::Remove);
    append_all(&engine, 1..=TABLE_EVENTS + 1);
    wait_until(|| !disk.is_to_fail());
    append_all(&engine, TABLE_EVENTS + 2..=50);
    assert_holds(&engine, 50);
    engine.close().unwrap();
    assert_goes_on(&disk, 50);
}

#[test]
fn reads_are_right_while_memtables_are_frozen_written_and_merged() {
    let disk = MemoryDisk::new();
    let engine = open_small(&disk);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let durable = engine.reader().durable().get();
                    let version = engine.reader().version(&stream("one")).unwrap().get();
                    let events = read_stream(&engine, &StreamRead::new().backward().limit(20)).0;
                    assert!(version >= durable, "{version} of {durable}");
                    let versions = events.iter().map(|event| event.stream_version().get());
                    let newest = events.first().map_or(0, |event| event.stream_version().get());
                    assert!(newest >= durable);
                    assert!(versions.eq((1..=newest).rev().take(20)));
                    if durable > 0 {
                        assert!(engine.reader().event(event_id(durable)).unwrap().is_some());
                    }
                    if durable >= 400 {
                        return;
                    }
                }
            });
        }
        append_all(&engine, 1..=400);
    });
    assert_holds(&engine, 400);
}

const EVENTS_BEFORE: u64 = 40;
const EVENTS_AFTER: u64 = 62;

/// Returns a store with a gap between its runs and events that none covers.
fn with_a_gap() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let engine = open_small(&disk);
    fill(&engine, 1..=EVENTS_BEFORE);
    settle_index(&engine);
    drop(engine);
    remove(&disk, &runs(&disk)[0]);
    disk
}

/// Opens the store, which fills the gap, appends, freezes, merges and closes, as far as it goes.
/// Returns how many events were acknowledged.
fn live(disk: &MemoryDisk) -> u64 {
    let Ok(engine) = Engine::open(disk.clone(), &EngineOptions { memtable_events: 4, ..options() })
    else {
        return EVENTS_BEFORE;
    };
    let mut acknowledged = EVENTS_BEFORE;
    for number in EVENTS_BEFORE + 1..=EVENTS_AFTER {
        let appended = append_to(
            &engine,
            &stream(if number % 2 == 0 { "one" } else { "s2" }),
            ExpectedVersion::Any,
            vec![event(number, 8).tag("even").tag(format!("seldom-{}", number / 9))],
        );
        // A refusal for want of room is no end; a poisoned store refuses everything.
        acknowledged += u64::from(appended.is_ok());
        drop(engine.reader().index().write_frozen());
        drop(engine.reader().index().merge_once(crate::index::Pace::Full));
    }
    drop(engine.close());
    acknowledged
}

/// Lives once for each way to fail, and asserts that the next opening answers as the log does.
fn assert_survives(start: &MemoryDisk, fail: impl Fn(&MemoryDisk), what: &str) -> bool {
    let disk = start.copy();
    fail(&disk);
    let acknowledged = live(&disk);
    let was_met = !disk.is_to_fail();
    disk.mend();
    let disk = disk.copy();
    let without = disk.copy();
    runs(&without).iter().for_each(|path| remove(&without, path));
    let truth = answers_up_to(&open_read_only(&without), EVENTS_AFTER);
    assert_eq!(answers_up_to(&open_read_only(&disk), EVENTS_AFTER), truth, "{what}, read-only");
    let engine = open_small(&disk);
    let there = engine.reader().durable().get();
    assert!(there >= acknowledged, "{what}: {there} of {acknowledged}");
    assert_eq!(answers_up_to(&engine, EVENTS_AFTER), truth, "{what}");
    drop(engine);
    assert_eq!(verify(disk).unwrap().findings, [], "{what}");
    was_met
}

#[test]
fn a_stop_at_any_call_of_freezing_merging_and_filling_gaps_changes_no_answer() {
    let start = with_a_gap();
    // A prime, so that every kind of call is met.
    for nth in (1..).step_by(STOPS_APART) {
        let stop = |disk: &MemoryDisk| disk.stop_at(nth);
        if !assert_survives(&start, stop, &format!("stop at call {nth}")) {
            assert!(nth > 1000);
            return;
        }
    }
}

const STOPS_APART: usize = 131;

#[test]
fn a_failure_of_any_call_of_freezing_merging_and_filling_gaps_changes_no_answer() {
    use Operation::{Open, Remove, Rename, SetLen, Sync, SyncDir, Write, WriteOut};
    let start = with_a_gap();
    for operation in [Open, Remove, Rename, SetLen, Sync, SyncDir, Write, WriteOut] {
        for nth in (1..).step_by(FAILURES_APART) {
            let fail = |disk: &MemoryDisk| disk.fail(operation, nth, ErrorKind::StorageFull);
            if !assert_survives(&start, fail, &format!("failure of {operation:?} {nth}")) {
                break;
            }
        }
    }
}

const FAILURES_APART: usize = 23;
