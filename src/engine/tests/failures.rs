//! How commits fail: what the caller is told, what stays readable, and that the store goes on or can
//! be opened again.

use super::*;
use crate::engine::commit_queue::CommitQueue;
use crate::error::PoisonCause;
use crate::format::SEGMENT_OVERHEAD;

fn queue(engine: &MemoryEngine) -> &CommitQueue<MemoryDisk> {
    &engine.writer.as_ref().unwrap().queue
}

fn is_unknown<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::OutcomeUnknown { .. }))
}

fn poison_of<T>(result: Result<T>) -> std::sync::Arc<PoisonCause> {
    match result.map(drop) {
        Err(Error::Poisoned { cause }) => cause,
        other => panic!("expected a poisoned store, got {other:?}"),
    }
}

/// Asserts that a store refuses writes and still reads `count` events.
fn assert_poisoned(engine: &MemoryEngine, count: u64) {
    poison_of(append(engine, count + 1));
    assert_holds(engine, count);
    poison_of(queue(engine).mark());
    poison_of(engine.close());
    assert_holds(engine, count);
}

#[test]
fn a_failed_sync_poisons_the_store_until_it_is_opened_again() {
    // Invariants 1 and 6 of the commit queue, 4 of the appender.
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append(&engine, 1).unwrap();
    disk.fail(Operation::Sync, 1, ErrorKind::Other);
    assert!(is_unknown(&append(&engine, 2)));
    assert_poisoned(&engine, 1);
    let engine = open(&disk);
    let again = append(&engine, 2).unwrap();
    assert!(again.replayed, "the bytes had reached the disk");
    assert_eq!(again.global_position, GlobalPosition::new(2));
    drop(engine);
    assert_goes_on(&disk, 2);
}

#[test]
fn a_failed_write_poisons_the_store_until_it_is_opened_again() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append(&engine, 1).unwrap();
    disk.fail(Operation::Write, 1, ErrorKind::Other);
    assert!(is_unknown(&append(&engine, 2)));
    assert_poisoned(&engine, 1);
    let engine = open(&disk);
    assert!(!append(&engine, 2).unwrap().replayed, "nothing had reached the disk");
    drop(engine);
    assert_goes_on(&disk, 2);
}

#[test]
fn a_write_that_fails_in_the_middle_leaves_a_tail_that_is_cut() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append(&engine, 1).unwrap();
    disk.limit_bytes_per_call(64);
    disk.fail(Operation::Write, 2, ErrorKind::Other);
    assert!(is_unknown(&append(&engine, 2)));
    drop(engine);
    let engine = open(&disk);
    assert_eq!(engine.findings().len(), 1);
    assert!(!append(&engine, 2).unwrap().replayed);
    drop(engine);
    assert_goes_on(&disk, 2);
}

#[test]
fn a_full_device_during_a_write_poisons_like_any_failed_write() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    disk.fail(Operation::Write, 1, ErrorKind::StorageFull);
    assert!(is_unknown(&append(&engine, 1)));
    poison_of(append(&engine, 1));
}

#[test]
fn a_failed_seal_poisons_the_store_until_it_is_opened_again() {
    for operation in [Operation::Write, Operation::Sync] {
        let disk = MemoryDisk::new();
        let engine = open(&disk);
        append_all(&engine, 1..=6, SIXTH);
        wait_until(|| disk.files().contains(&segment_path(2)));
        disk.fail(operation, 1, ErrorKind::Other);
        assert!(is_unknown(&append_sized(&engine, 7, SIXTH)));
        assert_poisoned(&engine, 6);
        assert_goes_on(&disk, 6);
    }
}

#[test]
fn short_and_interrupted_calls_change_nothing() {
    let disk = MemoryDisk::new();
    disk.limit_bytes_per_call(1000);
    let engine = open(&disk);
    for number in 1..=10 {
        disk.fail(Operation::Write, 3, ErrorKind::Interrupted);
        disk.fail(Operation::Read, 2, ErrorKind::Interrupted);
        append_sized(&engine, number, SIXTH).unwrap();
    }
    engine.close().unwrap();
    assert_goes_on(&disk, 10);
}

#[test]
fn a_full_device_is_a_rejection_and_the_store_goes_on_once_there_is_room() {
    // Invariant 5 of the commit queue: no position is burnt.
    for operation in [Operation::Open, Operation::Allocate, Operation::Rename] {
        let disk = MemoryDisk::new();
        let engine = open(&disk);
        disk.break_down(operation, ErrorKind::StorageFull);
        let mut number = 1;
        let refused = loop {
            match append_sized(&engine, number, SIXTH) {
                Ok(_) => number += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, Error::NoSpace { .. }), "{operation:?}: {refused}");
        let refused = append_sized(&engine, number, SIXTH);
        assert!(matches!(refused, Err(Error::NoSpace { .. })));
        assert_holds(&engine, number - 1);
        disk.mend();
        let result = append_sized(&engine, number, SIXTH).unwrap();
        assert_eq!(result.global_position.get(), number);
        assert!(!result.replayed);
        engine.close().unwrap();
        assert_goes_on(&disk, number);
    }
}

#[test]
fn a_full_device_rejects_everybody_who_waits_and_all_may_try_again() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append_all(&engine, 1..=6, SIXTH);
    wait_until(|| disk.files().contains(&segment_path(2)));
    let hold = disk.hold(Operation::Sync);
    std::thread::scope(|scope| {
        let append = |number: u64| {
            let name = stream(&number.to_string());
            let events = vec![event(number, 60_000)];
            append_to(&engine, &name, ExpectedVersion::NoStream, events)
        };
        let first = scope.spawn(move || append(7));
        hold.wait_for_a_call();
        // One spare is there, and room for no other: the first frame fits into it, the others do not.
        let others: Vec<_> = (8..=11).map(|number| scope.spawn(move || append(number))).collect();
        wait_for_admitted(&engine, 11);
        disk.break_down(Operation::Allocate, ErrorKind::StorageFull);
        drop(hold);
        first.join().unwrap().unwrap();
        for other in others {
            let result = other.join().unwrap();
            assert!(matches!(result, Err(Error::NoSpace { .. })), "{result:?}");
        }
        assert_eq!(engine.reader().durable().get(), 7);
        disk.mend();
        let positions: Vec<_> =
            (8..=11).map(|number| append(number).unwrap().global_position.get()).collect();
        assert_eq!(positions, [8, 9, 10, 11]);
    });
    engine.close().unwrap();
    assert_eq!(verify(disk).unwrap().findings, []);
}

#[test]
fn a_panic_of_the_leader_wakes_everybody_with_an_error() {
    // Invariant 4 of the commit queue. A mark that a pause brings would be synced by another thread.
    let disk = MemoryDisk::new();
    let no_marks = EngineOptions { workers: Workers::Caller, ..options() };
    let engine = Engine::open(disk.clone(), &no_marks).unwrap();
    append(&engine, 1).unwrap();
    let hold = disk.hold(Operation::Sync);
    std::thread::scope(|scope| {
        let engine = &engine;
        let leader = scope.spawn(|| append(engine, 2));
        hold.wait_for_a_call();
        let followers: Vec<_> =
            (3..=6).map(|number| scope.spawn(move || append(engine, number))).collect();
        wait_for_admitted(engine, 6);
        // Somebody who only waits for an id to become durable.
        let onlooker = scope.spawn(|| append(engine, 2));
        disk.panic_at(Operation::Sync);
        drop(hold);
        assert!(leader.join().is_err(), "the panic goes on in its own thread");
        for follower in followers {
            poison_of(follower.join().unwrap());
        }
        poison_of(onlooker.join().unwrap());
    });
    assert_poisoned(&engine, 1);
    assert_goes_on(&disk, 2);
}

#[test]
fn a_panic_while_a_segment_is_prepared_ahead_keeps_nobody_waiting() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    disk.panic_at(Operation::Rename);
    append_all(&engine, 1..=4, SIXTH);
    wait_until(|| !disk.is_to_fail());
    append_all(&engine, 5..=20, SIXTH);
    engine.close().unwrap();
    assert_goes_on(&disk, 20);
}

#[test]
fn a_mark_that_was_refused_for_lack_of_space_is_written_later() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    // The first segment is full to its last byte, so that the mark needs another.
    disk.break_down(Operation::Allocate, ErrorKind::StorageFull);
    fill_segment(&engine);
    let refused = queue(&engine).mark();
    assert!(matches!(refused, Err(Error::NoSpace { .. })), "{refused:?}");
    disk.mend();
    engine.close().unwrap();
    assert_eq!(frames(&disk).last().unwrap().kind, FrameKind::Closed);
}

/// Fills the first segment to its last byte.
fn fill_segment(engine: &MemoryEngine) {
    let log_bytes = || engine.sizes().unwrap().log_bytes;
    append_sized(engine, 1, 8).unwrap();
    let before = log_bytes();
    append_sized(engine, 2, 30_000).unwrap();
    // Sizes are multiples of eight, and so is what a frame takes beside its payload.
    let beside_the_payload = log_bytes() - before - 30_000;
    let room = SEGMENT_BYTES - SEGMENT_OVERHEAD - log_bytes();
    append_sized(engine, 3, usize::try_from(room - beside_the_payload).unwrap()).unwrap();
    assert_eq!(log_bytes(), SEGMENT_BYTES - SEGMENT_OVERHEAD);
}

#[test]
fn a_clean_close_leaves_nothing_to_cut_and_nothing_to_say() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append(&engine, 1).unwrap();
    engine.close().unwrap();
    assert_ne!(frames(&disk).last().unwrap().kind, FrameKind::Commit, "the commit has a witness");
    assert_eq!(verify(disk.clone()).unwrap().findings, []);
    assert_goes_on(&disk, 1);
    assert!(!disk.files().iter().any(|path| path.starts_with("cut")));
}

#[test]
fn a_store_that_is_dropped_is_closed_all_the_same() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append(&engine, 1).unwrap();
    drop(engine);
    assert_ne!(frames(&disk).last().unwrap().kind, FrameKind::Commit);
    assert_goes_on(&disk, 1);
}

#[test]
fn a_store_is_closed_once_and_refuses_commits_afterwards() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append(&engine, 1).unwrap();
    engine.close().unwrap();
    let before = disk.bytes_of(&segment_path(1)).unwrap();
    engine.close().unwrap();
    assert!(matches!(append(&engine, 2), Err(Error::Closed)));
    assert_holds(&engine, 1);
    drop(engine);
    assert!(disk.bytes_of(&segment_path(1)).unwrap() == before);
}

#[test]
fn a_store_that_could_not_be_marked_is_given_back_all_the_same() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append(&engine, 1).unwrap();
    disk.break_down(Operation::Write, ErrorKind::Other);
    assert!(engine.close().is_err());
    disk.mend();
    assert_goes_on(&disk, 1);
}

#[test]
fn a_second_writer_is_refused_until_the_first_is_closed() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append(&engine, 1).unwrap();
    assert!(matches!(try_open(&disk), Err(Error::Locked { .. })));
    assert_holds(&open_read_only(&disk), 1);
    drop(engine);
    assert_goes_on(&disk, 1);
}

#[test]
fn opening_makes_the_log_durable_and_drops_the_cache_before_it_believes_it() {
    let disk = closed_after(&[8]);
    for operation in [Operation::Sync, Operation::Evict] {
        disk.fail(operation, 1, ErrorKind::Other);
        assert!(matches!(try_open(&disk), Err(Error::Io { .. })), "{operation:?}");
        disk.fail(operation, 1, ErrorKind::Other);
        let refused = Engine::open_read_only(disk.clone());
        assert!(matches!(refused, Err(Error::Io { .. })), "{operation:?}");
    }
    let failed_read = |nth| {
        disk.fail(Operation::Read, nth, ErrorKind::Other);
        let refused = try_open(&disk).map(drop);
        disk.mend();
        refused
    };
    assert!(matches!(failed_read(4), Err(Error::Read { .. })), "never the end of the log");
    // The third is of what is known of the log's end, which hinders nothing.
    assert!((1..20).all(|nth| failed_read(nth).is_err() || nth == 3 || nth > 6));
    assert_goes_on(&disk, 1);
}

#[test]
fn the_epoch_grows_with_every_opening_that_writes() {
    let disk = MemoryDisk::new();
    for number in 1..=3 {
        let engine = open(&disk);
        append(&engine, number).unwrap();
    }
    let epochs: Vec<_> = (1..=3).map(|position| frame_of(&disk, position).epoch).collect();
    assert_eq!(epochs, [1, 2, 3]);
}

#[test]
fn recorded_times_never_decrease_across_openings() {
    let disk = MemoryDisk::new();
    append(&open(&disk), 1).unwrap();
    let (clock, _stands_still) = Clock::manual(Timestamp::from_micros(5));
    let engine = Engine::open(disk.clone(), &EngineOptions { clock, ..options() }).unwrap();
    append(&engine, 2).unwrap();
    let (events, _) = read_from(&engine, 1);
    assert_eq!(events[1].recorded_at(), events[0].recorded_at());
    drop(engine);
    assert_goes_on(&disk, 2);
}

#[test]
fn a_pause_brings_a_mark_that_vouches_for_the_last_commit() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append(&engine, 1).unwrap();
    // One mark begins the epoch.
    wait_until(|| frames(&disk).len() == 3);
    assert_eq!(frames(&disk)[2].kind, FrameKind::Watermark);
    let commit = frame_of(&disk, 1);
    let copy = disk.copy();
    flip(&copy, &commit.path, commit.middle());
    assert_eq!(damage_of(try_open(&copy)).first_lost, Some(GlobalPosition::new(1)));
    queue(&engine).mark().unwrap();
    engine.close().unwrap();
    assert_eq!(frames(&disk).len(), 3, "one mark is enough");
}

#[test]
fn a_store_that_crashed_gets_its_mark_when_it_is_opened_again() {
    let disk = crashed_after(&[8]);
    let _engine = open(&disk);
    wait_until(|| frames(&disk).len() == 3);
    assert_eq!(frames(&disk)[2].kind, FrameKind::Watermark);
}

#[test]
fn every_single_commit_is_one_write_and_one_sync_and_nothing_else() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    let all = [
        Operation::Directory,
        Operation::List,
        Operation::Open,
        Operation::Rename,
        Operation::Remove,
        Operation::SyncDir,
        Operation::Lock,
        Operation::Len,
        Operation::SetLen,
        Operation::Allocate,
        Operation::WriteOut,
        Operation::BeginWriteOut,
        Operation::Evict,
    ];
    let calls = |operations: &[Operation]| -> u64 {
        operations.iter().map(|operation| disk.calls(*operation)).sum()
    };
    let before = (calls(&[Operation::Write]), calls(&[Operation::Sync]), calls(&all));
    for number in 1..=100 {
        let name = stream(&number.to_string());
        append_to(&engine, &name, ExpectedVersion::Any, vec![event(number, 8)]).unwrap();
    }
    engine.close().unwrap();
    let after = (calls(&[Operation::Write]), calls(&[Operation::Sync]), calls(&all));
    // The mark at the end, and one for every pause that a busy machine brought, are frames as well.
    let frames = frames(&disk.copy()).len() as u64;
    assert!(frames > 100);
    // Closing writes down where the log ends, and lets the file of its segment grow.
    let closing = (1, 2, 6);
    let expected = (frames + closing.0, frames + closing.1, closing.2);
    assert_eq!((after.0 - before.0, after.1 - before.1, after.2 - before.2), expected);
}

#[test]
fn an_opening_reads_behind_the_end_once_and_keeps_none_of_it_in_the_cache() {
    let disk = MemoryDisk::new();
    let options = EngineOptions { workers: Workers::Caller, segment_bytes: 4 << 20, ..options() };
    let engine = Engine::open(disk.clone(), &options).unwrap();
    // Until the active segment is large.
    (1..=70).for_each(|number| {
        let events = vec![event(number, 60_000)];
        append_to(&engine, &stream("one"), ExpectedVersion::Any, events).unwrap();
    });
    engine.close().unwrap();
    let reads = || disk.calls(Operation::Read);
    let before = (reads(), disk.calls(Operation::Evict));
    drop(Engine::open(disk.clone(), &options).unwrap());
    // What is known of the end, headers and footers, the frames, a MiB of zeros and one piece more. To look for the end of the
    // bytes once more would take two.
    assert_eq!(reads() - before.0, 31);
    // Three segments before anything is read, and the active one behind it.
    assert_eq!(disk.calls(Operation::Evict) - before.1, 4);
}
