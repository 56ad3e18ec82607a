//! What a stop at any call leaves: a store that was being made, recovered, or written to.

use super::*;

/// More calls than any of these openings makes.
const CALLS_MAX: u32 = 500;

/// Opens a store with one failure to come, for every call that it could meet, and hands each disk on
/// once the failure was met.
fn for_every_failing_call(
    start: &MemoryDisk,
    fail: impl Fn(&MemoryDisk, u32),
    check: impl Fn(&MemoryDisk),
) {
    for nth in 1..CALLS_MAX {
        let disk = start.copy();
        fail(&disk, nth);
        let opened = try_open(&disk);
        let was_met = !disk.is_to_fail();
        if let Err(error) = &opened {
            assert!(was_met, "call {nth}: {error}");
            assert!(
                matches!(error, Error::Io { .. } | Error::NoSpace { .. } | Error::Read { .. }),
                "call {nth}: {error:?}"
            );
        }
        drop(opened);
        disk.mend();
        check(&disk);
        if !was_met {
            return;
        }
    }
    panic!("opening makes more than {CALLS_MAX} calls");
}

#[test]
fn a_store_whose_making_stopped_anywhere_is_made_by_the_next_opening() {
    let stop = |disk: &MemoryDisk, nth| disk.stop_at(nth);
    for_every_failing_call(&MemoryDisk::new(), stop, |disk| {
        assert!(matches!(
            Engine::open_read_only(disk.clone()).map(drop),
            Ok(()) | Err(Error::Missing { .. })
        ));
        assert_goes_on(disk, 0);
    });
}

#[test]
fn a_store_whose_making_failed_anywhere_is_made_by_the_next_opening() {
    for kind in [ErrorKind::Other, ErrorKind::StorageFull, ErrorKind::PermissionDenied] {
        let fail = |disk: &MemoryDisk, nth| disk.fail_any(nth, kind);
        for_every_failing_call(&MemoryDisk::new(), fail, |disk| assert_goes_on(disk, 0));
    }
}

/// Returns a store with a commit that was torn and a spare.
fn torn() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append_all(&engine, 1..=5, SIXTH);
    wait_until(|| disk.files().contains(&segment_path(2)));
    let disk = crash(&disk);
    let last = frame_of(&disk, 5);
    edit(&disk, &last.path, |bytes| zero(bytes, last.middle(), last.end()));
    disk
}

/// Asserts that the four whole commits are there and the torn one is kept aside.
fn assert_recovers(disk: &MemoryDisk, torn: &MemoryDisk) {
    let last = frame_of(torn, 4);
    let engine = open(disk);
    assert_holds(&engine, 4);
    drop(engine);
    let kept: Vec<_> = disk.files().into_iter().filter(|path| path.starts_with("cut/")).collect();
    let tail = &torn.bytes_of(&last.path).unwrap()[usize::try_from(last.end()).unwrap()..];
    let is_whole = |path: &String| {
        let bytes = disk.bytes_of(path).unwrap();
        bytes.len() > SIXTH / 2 && tail.starts_with(&bytes)
    };
    assert!(kept.iter().any(is_whole), "{kept:?}");
    assert_goes_on(disk, 4);
}

#[test]
fn a_recovery_that_stopped_anywhere_is_finished_by_the_next_opening() {
    let torn = torn();
    let stop = |disk: &MemoryDisk, nth| disk.stop_at(nth);
    for_every_failing_call(&torn, stop, |disk| assert_recovers(disk, &torn));
}

#[test]
fn a_recovery_that_failed_anywhere_is_finished_by_the_next_opening() {
    let torn = torn();
    let fail = |disk: &MemoryDisk, nth| disk.fail_any(nth, ErrorKind::StorageFull);
    for_every_failing_call(&torn, fail, |disk| assert_recovers(disk, &torn));
}

#[test]
fn a_recovery_that_wrote_half_of_a_call_is_finished_by_the_next_opening() {
    let torn = torn();
    let stop = |disk: &MemoryDisk, nth| {
        disk.limit_bytes_per_call(3000);
        disk.stop_at(nth);
    };
    for_every_failing_call(&torn, stop, |disk| assert_recovers(disk, &torn));
}

/// Appends until the first failure, and returns how many appends were acknowledged.
fn append_until_failure(disk: &MemoryDisk, most: u64) -> u64 {
    let Ok(engine) = try_open(disk) else { return 0 };
    let acknowledged = |number: &u64| append_sized(&engine, *number, SIXTH).is_ok();
    (1..=most).take_while(acknowledged).count() as u64
}

#[test]
fn a_stop_at_any_call_keeps_every_acknowledged_commit() {
    for nth in 1.. {
        let disk = MemoryDisk::new();
        disk.limit_bytes_per_call(7000);
        disk.stop_at(nth);
        let acknowledged = append_until_failure(&disk, 13);
        let was_met = !disk.is_to_fail();
        disk.mend();
        let engine = open(&disk);
        let there = engine.reader().durable().get();
        assert!([acknowledged, acknowledged + 1].contains(&there), "call {nth}");
        assert_holds(&engine, there);
        drop(engine);
        assert_goes_on(&disk, there);
        if !was_met {
            return assert_eq!(acknowledged, 13);
        }
    }
}

#[test]
fn a_failure_of_any_call_keeps_every_acknowledged_commit_and_loses_no_room() {
    for nth in 1.. {
        let disk = MemoryDisk::new();
        disk.fail_any(nth, ErrorKind::StorageFull);
        let acknowledged = append_until_failure(&disk, 13);
        let was_met = !disk.is_to_fail();
        disk.mend();
        let engine = open(&disk);
        let there = engine.reader().durable().get();
        assert!([acknowledged, acknowledged + 1].contains(&there), "call {nth}");
        drop(engine);
        assert_goes_on(&disk, there);
        if !was_met {
            return assert_eq!(acknowledged, 13);
        }
    }
}

#[test]
fn what_an_interrupted_preparation_left_is_removed_by_the_next_opening() {
    let disk = closed_after(&[8]);
    for path in ["log/0000000000000002.tmp", "STORE.tmp"] {
        disk.set_bytes(path, vec![7; 100]);
    }
    assert_goes_on(&disk, 1);
    assert!(!disk.files().iter().any(|path| path.ends_with(".tmp")));
}
