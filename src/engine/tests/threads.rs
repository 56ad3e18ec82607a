//! Many threads at once: no lost update, nothing seen before it is durable, nobody left waiting.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::store::{FailIfMatches, Query};

#[test]
fn threads_with_exact_versions_lose_no_update_and_leave_no_gap() {
    const THREADS: u64 = 8;
    const EACH: u64 = 60;
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    let numbers = AtomicU64::new(1);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for round in 0..EACH {
                    let name = stream(&(round % 3).to_string());
                    let number = numbers.fetch_add(1, Ordering::Relaxed);
                    loop {
                        let version = engine.reader().version(&name).unwrap();
                        let new = vec![event(number, 300).claims_version(version.next())];
                        match append_to(&engine, &name, version.into(), new) {
                            Ok(result) => break assert_eq!(result.new_version, version.next()),
                            Err(error) => assert!(error.is_rejection(), "{error}"),
                        }
                    }
                }
            });
        }
    });
    let assert_whole = |engine: &MemoryEngine| {
        let (events, error) = read_from(engine, 1);
        assert!(error.is_none());
        assert_eq!(positions(&events), (1..=THREADS * EACH).collect::<Vec<_>>());
        for name in ["0", "1", "2"] {
            let of_stream = events.iter().filter(|event| event.is_in(&stream(name)));
            let versions: Vec<_> = of_stream.map(|event| event.stream_version().get()).collect();
            assert_eq!(versions, (1..=THREADS * EACH / 3).collect::<Vec<_>>());
        }
    };
    assert_whole(&engine);
    engine.close().unwrap();
    assert_whole(&open(&disk));
}

#[test]
fn an_event_is_seen_only_once_it_is_durable() {
    // Invariant 1 of the reader, 2 of the appender.
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append(&engine, 1).unwrap();
    let hold = disk.hold(Operation::Sync);
    std::thread::scope(|scope| {
        let appended = scope.spawn(|| append(&engine, 2));
        hold.wait_for_a_call();
        wait_for_admitted(&engine, 2);
        assert_holds(&engine, 1);
        assert_eq!(engine.reader().version(&stream("one")).unwrap().get(), 1);
        assert_eq!(engine.reader().event(event_id(2)).unwrap(), None);
        assert_eq!(engine.reader().durable().get(), 1);
        let snapshot = engine.reader().read(&Query::all(), &GlobalRead::new()).unwrap();
        let of_stream = engine.reader().read_stream(&stream("one"), &StreamRead::new()).unwrap();
        drop(hold);
        appended.join().unwrap().unwrap();
        assert_eq!(snapshot.count(), 1, "a read sees what was durable when it began");
        assert_eq!(of_stream.count(), 1);
    });
    assert_holds(&engine, 2);
}

#[test]
fn callers_who_wait_together_share_one_write_and_one_sync() {
    // So nobody waits for more than the group before its own, however many there are.
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    let hold = disk.hold(Operation::Sync);
    std::thread::scope(|scope| {
        let engine = &engine;
        let first = scope.spawn(move || append(engine, 1));
        hold.wait_for_a_call();
        let others: Vec<_> =
            (2..=65).map(|number| scope.spawn(move || append(engine, number))).collect();
        wait_for_admitted(engine, 65);
        let before = (disk.calls(Operation::Write), disk.calls(Operation::Sync));
        drop(hold);
        first.join().unwrap().unwrap();
        for other in others {
            other.join().unwrap().unwrap();
        }
        let after = (disk.calls(Operation::Write), disk.calls(Operation::Sync));
        // The sync that was held back counts after it was let go; a pause may bring a mark.
        assert!(after.0 - before.0 <= 2, "writes");
        assert!(after.1 - before.1 <= 3, "syncs");
    });
    assert_eq!(positions(&read_from(&engine, 1).0), (1..=65).collect::<Vec<_>>());
}

#[test]
fn a_conflict_with_an_event_that_never_became_durable_is_never_told() {
    // Invariant 2 of the commit queue.
    for _ in 0..20 {
        let disk = MemoryDisk::new();
        let engine = open(&disk);
        let hold = disk.hold(Operation::Sync);
        let named = |number| {
            append_to(&engine, &stream("one"), ExpectedVersion::NoStream, vec![event(number, 8)])
        };
        std::thread::scope(|scope| {
            let first = scope.spawn(|| named(1));
            hold.wait_for_a_call();
            let second = scope.spawn(|| named(2));
            let conditional = scope.spawn(|| {
                let none = FailIfMatches::new(Query::category("Test"));
                let new = Commit::new().condition(none);
                engine.commit(new.append(&stream("two"), ExpectedVersion::Any, vec![event(3, 8)]))
            });
            disk.fail(Operation::Sync, 1, ErrorKind::Other);
            drop(hold);
            assert!(matches!(first.join().unwrap(), Err(Error::OutcomeUnknown { .. })));
            let second = second.join().unwrap();
            assert!(matches!(second, Err(Error::Poisoned { .. })), "{second:?}");
            let conditional = conditional.join().unwrap();
            assert!(matches!(conditional, Err(Error::Poisoned { .. })), "{conditional:?}");
        });
    }
}

#[test]
fn a_conflict_with_an_event_on_its_way_is_told_once_it_is_durable() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    let hold = disk.hold(Operation::Sync);
    let named = |number| {
        append_to(&engine, &stream("one"), ExpectedVersion::NoStream, vec![event(number, 8)])
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| named(1));
        hold.wait_for_a_call();
        let second = scope.spawn(|| named(2));
        let twin = scope.spawn(|| named(1));
        drop(hold);
        assert!(first.join().unwrap().is_ok_and(|result| result.new_version.get() == 1));
        let second = second.join().unwrap();
        assert!(
            matches!(&second, Err(Error::CommitRefused { failures }) if failures.len() == 1),
            "{second:?}"
        );
        let twin = twin.join().unwrap().unwrap();
        assert!(twin.replayed, "the same event twice at once is one event");
    });
    assert_holds(&engine, 1);
}

#[test]
fn an_event_that_comes_again_while_it_is_on_its_way_is_recorded_once() {
    const TWINS: usize = 4;
    for _ in 0..20 {
        let disk = MemoryDisk::new();
        let engine = open(&disk);
        let hold = disk.hold(Operation::Sync);
        let barrier = std::sync::Barrier::new(TWINS + 1);
        std::thread::scope(|scope| {
            let first = scope.spawn(|| append(&engine, 1));
            hold.wait_for_a_call();
            let twin = || {
                barrier.wait();
                append(&engine, 1)
            };
            let twins: Vec<_> = (0..TWINS).map(|_| scope.spawn(twin)).collect();
            barrier.wait();
            (0..50).for_each(|_| std::thread::yield_now());
            drop(hold);
            assert!(!first.join().unwrap().unwrap().replayed);
            for twin in twins {
                assert!(twin.join().unwrap().unwrap().replayed);
            }
        });
        assert_holds(&engine, 1);
    }
}

#[test]
fn a_later_commit_of_the_same_group_sees_an_earlier_one() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    let hold = disk.hold(Operation::Sync);
    std::thread::scope(|scope| {
        let engine = &engine;
        let exact = move |number: u64| {
            let events = vec![event(number, 8)];
            append_to(engine, &stream("one"), ExpectedVersion::exact(number - 1), events)
        };
        let mut callers = vec![scope.spawn(move || exact(1))];
        hold.wait_for_a_call();
        for number in 2..=5 {
            callers.push(scope.spawn(move || exact(number)));
            wait_for_admitted(engine, number);
        }
        drop(hold);
        for (number, caller) in (1..).zip(callers) {
            assert_eq!(caller.join().unwrap().unwrap().new_version.get(), number);
        }
    });
    assert_holds(&engine, 5);
}

#[test]
fn closing_while_others_append_acknowledges_what_is_there_and_refuses_the_rest() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    let acknowledged = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..6_u64 {
            let (engine, acknowledged) = (&engine, &acknowledged);
            scope.spawn(move || {
                for number in 0.. {
                    let name = stream(&thread.to_string());
                    let new = vec![event(thread * 1_000_000 + number, 8)];
                    match append_to(engine, &name, ExpectedVersion::exact(number), new) {
                        Ok(_) => drop(acknowledged.fetch_add(1, Ordering::SeqCst)),
                        Err(Error::Closed) => return,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        wait_until(|| acknowledged.load(Ordering::SeqCst) > 100);
        engine.close().unwrap();
    });
    let engine = open(&disk);
    assert_eq!(engine.findings(), []);
    let (events, error) = read_from(&engine, 1);
    assert!(error.is_none());
    assert_eq!(events.len() as u64, acknowledged.load(Ordering::SeqCst));
}

#[test]
fn readers_and_writers_go_on_side_by_side_over_many_segments() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    let is_done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_done.load(Ordering::Acquire) {
                    let durable = engine.reader().durable().get();
                    let (events, error) = read_from(&engine, durable.saturating_sub(5).max(1));
                    assert!(error.is_none(), "{error:?}");
                    assert!(
                        events.last().is_none_or(|last| last.global_position().get() >= durable)
                    );
                    assert_are_original(&events);
                }
            });
        }
        append_all(&engine, 1..=60, SIXTH);
        is_done.store(true, Ordering::Release);
    });
    engine.close().unwrap();
    assert_goes_on(&disk, 60);
}
