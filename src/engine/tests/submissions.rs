//! What is submitted becomes durable whether anybody waits or not, and what is acknowledged before it
//! is durable is lost from its end only, and never in silence.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::engine::{Durability, Submission, Work};
use crate::limits::UNATTENDED_BYTES_MAX;
use crate::store::{FailIfMatches, Query, Watch, Watcher};

fn submit_sized(
    engine: &MemoryEngine,
    number: u64,
    payload_bytes: usize,
) -> Result<Submission<MemoryDisk>> {
    let events = vec![event(number, payload_bytes)];
    engine.submit(Commit::new().append(&stream("one"), ExpectedVersion::Any, events))
}

fn submit(engine: &MemoryEngine, number: u64) -> Submission<MemoryDisk> {
    submit_sized(engine, number, 8).unwrap()
}

/// Opens a store that acknowledges commits before they are durable.
fn open_hasty(disk: &MemoryDisk, workers: Workers) -> MemoryEngine {
    let options = EngineOptions { durability: Durability::MayLoseLast, workers, ..options() };
    Engine::open(disk.clone(), &options).unwrap()
}

fn by_hand(disk: &MemoryDisk) -> MemoryEngine {
    Engine::open(disk.clone(), &EngineOptions { workers: Workers::Caller, ..options() }).unwrap()
}

fn is_poisoned<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::Poisoned { .. }))
}

#[test]
fn what_is_submitted_is_written_though_nobody_waits() {
    // Invariant 3 of the commit queue.
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    for number in 1..=20 {
        drop(submit(&engine, number));
    }
    wait_until(|| engine.reader().durable().get() == 20);
    assert_holds(&engine, 20);
}

#[test]
fn what_is_submitted_behind_a_group_is_written_once_that_has_ended() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    let hold = disk.hold(Operation::Sync);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| append(&engine, 1));
        hold.wait_for_a_call();
        drop(submit(&engine, 2));
        drop(hold);
        first.join().unwrap().unwrap();
        wait_until(|| engine.reader().durable().get() == 2);
    });
}

#[test]
fn whoever_waits_for_what_was_submitted_leads_if_nobody_does() {
    let disk = MemoryDisk::new();
    let engine = by_hand(&disk);
    let submitted: Vec<_> = (1..=3).map(|number| submit(&engine, number)).collect();
    assert!(submitted.iter().all(|one| !one.is_done()));
    assert_eq!(engine.reader().durable().get(), 0, "only what is durable is read");
    let mut submitted = submitted.into_iter();
    let result = submitted.next().unwrap().wait().unwrap();
    assert_eq!(result.appends[0].new_version.get(), 1);
    for (version, one) in (2..).zip(submitted) {
        assert!(one.is_done(), "they were one group");
        assert_eq!(one.wait().unwrap().appends[0].new_version.get(), version);
    }
    assert_holds(&engine, 3);
}

#[test]
fn the_writing_thread_is_called_once_there_is_something_to_write() {
    let engine = by_hand(&MemoryDisk::new());
    assert!(!engine.work(Work::Write));
    let submitted = submit(&engine, 1);
    assert!(engine.work(Work::Write));
    assert!(submitted.is_done());
    assert!(!engine.work(Work::Write));
}

#[test]
fn a_condition_may_look_after_a_position_that_is_acknowledged_and_not_durable_yet() {
    // Judged by what is durable alone, the position would be beyond the end of the store.
    let engine = open_hasty(&MemoryDisk::new(), Workers::Caller);
    append(&engine, 1).unwrap();
    let position = append(&engine, 2).unwrap().global_position;
    assert!(position > engine.reader().durable(), "it is only acknowledged");
    let nothing = || FailIfMatches::new(Query::none()).after(position);
    let checked = engine.commit(Commit::new().condition(nothing())).unwrap();
    assert_eq!(checked.global_position, position);
    let position = append(&engine, 3).unwrap().global_position;
    assert!(position > engine.reader().durable());
    let conflicting = Commit::new()
        .append(&stream("one"), ExpectedVersion::NoStream, vec![event(4, 8)])
        .condition(FailIfMatches::new(Query::none()).after(position));
    let refused = engine.commit(conflicting);
    assert!(matches!(refused, Err(Error::CommitRefused { .. })), "{refused:?}");
    let beyond = FailIfMatches::new(Query::none()).after(position.next());
    let refused = engine.commit(Commit::new().condition(beyond));
    assert!(matches!(refused, Err(Error::BeyondEnd { .. })), "{refused:?}");
}

#[test]
fn closing_writes_what_was_submitted() {
    let disk = MemoryDisk::new();
    let engine = by_hand(&disk);
    let submitted = submit(&engine, 1);
    engine.close().unwrap();
    submitted.wait().unwrap();
    assert_goes_on(&disk, 1);
}

#[test]
fn syncing_waits_for_what_is_being_written_and_for_what_gathers() {
    for durability in [Durability::Synced, Durability::MayLoseLast] {
        let disk = MemoryDisk::new();
        let engine =
            Engine::open(disk.clone(), &EngineOptions { durability, ..options() }).unwrap();
        let hold = disk.hold(Operation::Sync);
        std::thread::scope(|scope| {
            drop(submit(&engine, 1));
            hold.wait_for_a_call();
            drop(submit(&engine, 2));
            let synced = scope.spawn(|| {
                engine.sync().unwrap();
                engine.reader().durable().get()
            });
            drop(hold);
            assert_eq!(synced.join().unwrap(), 2);
        });
        engine.sync().unwrap();
    }
}

#[test]
fn a_retry_of_what_was_submitted_waits_for_it_and_is_recognised() {
    let engine = by_hand(&MemoryDisk::new());
    let first = submit(&engine, 1);
    let again = submit(&engine, 1);
    assert!(first.is_done() && again.is_done());
    assert!(again.wait().unwrap().replayed);
    assert!(!first.wait().unwrap().replayed);
}

#[test]
fn a_later_commit_sees_what_was_submitted() {
    let engine = by_hand(&MemoryDisk::new());
    drop(submit(&engine, 1));
    let second = ExpectedVersion::exact(1);
    append_to(&engine, &stream("one"), second, vec![event(2, 8)]).unwrap();
    assert_holds(&engine, 2);
}

#[test]
fn what_is_submitted_is_held_back_before_memory_grows() {
    const PAYLOAD: usize = 256 << 10;
    let most = (UNATTENDED_BYTES_MAX / PAYLOAD) as u64 + 2;
    let disk = MemoryDisk::new();
    let engine = by_hand(&disk);
    drop(submit(&engine, 1));
    let hold = disk.hold(Operation::Sync);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| engine.work(Work::Write));
        hold.wait_for_a_call();
        let submitting = scope.spawn(|| {
            for number in 2..=4 * most {
                drop(submit_sized(&engine, number, PAYLOAD).unwrap());
            }
        });
        let queue = &engine.writer.as_ref().unwrap().queue;
        // Who is held back looks on.
        wait_until(|| queue.gathering().1 == 1);
        assert!(queue.newest().get() <= most, "{} events are in memory", queue.newest());
        drop(hold);
        assert!(writing.join().unwrap());
        submitting.join().unwrap();
    });
    engine.sync().unwrap();
    assert_eq!(engine.reader().durable().get(), 4 * most);
}

#[test]
fn a_failed_sync_is_told_to_whoever_waits_for_what_was_submitted() {
    let disk = MemoryDisk::new();
    let engine = by_hand(&disk);
    let submitted = [submit(&engine, 1), submit(&engine, 2)];
    disk.fail(Operation::Sync, 1, ErrorKind::Other);
    for one in submitted {
        assert!(matches!(one.wait(), Err(Error::OutcomeUnknown { .. })));
    }
    assert!(is_poisoned(&submit_sized(&engine, 3, 8)));
    assert!(is_poisoned(&engine.sync()));
}

/// Fills a segment, so that the next event needs another one, for which there is no room.
fn fill_segment(disk: &MemoryDisk, engine: &MemoryEngine) {
    append_all(engine, 1..=6, SIXTH);
    engine.sync().unwrap();
    disk.break_down(Operation::Allocate, ErrorKind::StorageFull);
}

#[test]
fn a_full_device_rejects_what_was_submitted_and_the_store_goes_on() {
    let disk = MemoryDisk::new();
    let engine = by_hand(&disk);
    fill_segment(&disk, &engine);
    let submitted = submit_sized(&engine, 7, SIXTH).unwrap();
    assert!(matches!(submitted.wait(), Err(Error::NoSpace { .. })));
    disk.mend();
    submit_sized(&engine, 7, SIXTH).unwrap().wait().unwrap();
    assert_holds(&engine, 7);
}

#[test]
fn a_hasty_store_acknowledges_at_once_and_shows_what_is_durable() {
    let disk = MemoryDisk::new();
    let engine = open_hasty(&disk, Workers::Caller);
    for version in 1..=5 {
        let result = append(&engine, version).unwrap();
        assert_eq!(result.new_version.get(), version);
    }
    assert_eq!(engine.reader().durable().get(), 0);
    assert_goes_on(&crash(&disk), 0);
    engine.sync().unwrap();
    assert_holds(&engine, 5);
    assert_goes_on(&crash(&disk), 5);
}

#[test]
fn who_follows_a_hasty_store_is_called_when_something_is_durable_and_not_before() {
    let engine = open_hasty(&MemoryDisk::new(), Workers::Caller);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let watcher = Watcher::new(move || _ = counted.fetch_add(1, Ordering::SeqCst));
    let watch = || engine.reader().watch(GlobalPosition::ZERO, &watcher).unwrap();
    assert_eq!(watch(), Watch::Waiting);
    append(&engine, 1).unwrap();
    assert_eq!((calls.load(Ordering::SeqCst), watch()), (0, Watch::Waiting));
    assert!(engine.work(Work::Write));
    assert_eq!((calls.load(Ordering::SeqCst), watch()), (1, Watch::Beyond));
}

#[test]
fn a_hasty_store_says_that_it_lost_what_it_had_acknowledged() {
    for operation in [Operation::Write, Operation::Sync] {
        let disk = MemoryDisk::new();
        let engine = open_hasty(&disk, Workers::Threads);
        append(&engine, 1).unwrap();
        engine.sync().unwrap();
        disk.break_down(operation, ErrorKind::Other);
        append(&engine, 2).unwrap();
        assert!(is_poisoned(&engine.sync()));
        assert!(is_poisoned(&append(&engine, 3)));
        assert!(is_poisoned(&engine.close()));
        assert_holds(&engine, 1);
    }
}

#[test]
fn a_hasty_store_does_not_go_on_where_a_full_device_rejected_what_it_had_acknowledged() {
    // Invariant 6 of the commit queue.
    let disk = MemoryDisk::new();
    let engine = open_hasty(&disk, Workers::Caller);
    fill_segment(&disk, &engine);
    append_sized(&engine, 7, SIXTH).unwrap();
    assert!(is_poisoned(&engine.sync()));
    disk.mend();
    assert!(is_poisoned(&append_sized(&engine, 8, SIXTH)));
    drop(engine);
    assert_goes_on(&disk, 6);
}
