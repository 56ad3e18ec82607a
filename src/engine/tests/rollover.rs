//! How segments follow each other, and the largest commits there are.

use super::*;
use crate::engine::rotation::Rotation;
use crate::format::{Location, SEGMENT_FOOTER_BYTES, SegmentHeader, Signing};
use crate::io::PAGE_BYTES;
use crate::limits::{COMMIT_BYTES_MAX, COMMIT_EVENTS_MAX, DOUBLED_SEGMENT_BYTES_MAX};
use crate::segment::Preallocation;

fn commit_of(payloads: &[usize], first: u64) -> Commit {
    let events = (first..).zip(payloads).map(|(number, bytes)| event(number, *bytes)).collect();
    Commit::new().append(&stream("one"), ExpectedVersion::Any, events)
}

#[test]
fn a_commit_larger_than_the_spare_gets_a_segment_of_its_size() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append_all(&engine, 1..=4, SIXTH);
    wait_until(|| disk.files().contains(&segment_path(2)));
    append_sized(&engine, 5, 300_000).unwrap();
    append_sized(&engine, 6, 8).unwrap();
    let large = frame_of(&disk, 5);
    assert_eq!(large.segment, 3, "the spare is sealed without a frame");
    assert_holds(&engine, 6);
    engine.close().unwrap();
    assert_goes_on(&disk, 6);
}

#[test]
fn a_first_commit_larger_than_the_first_segment_is_taken() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append_sized(&engine, 1, 200_000).unwrap();
    assert_holds(&engine, 1);
    engine.close().unwrap();
    assert_goes_on(&disk, 1);
}

#[test]
fn a_commit_of_nearly_its_limit_is_taken_and_one_over_it_is_refused() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    let sixteenth = COMMIT_BYTES_MAX as usize / 16;
    // What surrounds the payloads takes about two kilobytes.
    let mut payloads = [sixteenth; 16];
    payloads[15] -= 4096;
    engine.commit(commit_of(&payloads, 1)).unwrap();
    payloads[15] += 4096;
    let refused = engine.commit(commit_of(&payloads, 17));
    assert!(matches!(refused, Err(Error::Limit { what: "bytes of a commit", .. })));
    append(&engine, 17).unwrap();
    engine.close().unwrap();
    let engine = open(&disk);
    assert_eq!(engine.findings(), []);
    assert_holds(&engine, 17);
}

#[test]
fn a_commit_of_one_event_too_many_is_refused_and_one_of_the_most_is_taken() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    let most = u64::from(COMMIT_EVENTS_MAX);
    let commit = |count: u64| {
        let events = (1..=count).map(|number| event(number, 8)).collect();
        Commit::new().append(&stream("one"), ExpectedVersion::NoStream, events)
    };
    let refused = engine.commit(commit(most + 1));
    assert!(matches!(refused, Err(Error::Limit { what: "events of a commit", .. })));
    let result = engine.commit(commit(most)).unwrap();
    assert_eq!(result.global_position.get(), most);
    engine.close().unwrap();
    let engine = open(&disk);
    assert_eq!(engine.reader().durable().get(), most);
    assert_eq!(append(&engine, most + 1).unwrap().new_version.get(), most + 1);
}

#[test]
fn a_group_that_spans_segments_is_written_in_parts() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    let hold = disk.hold(Operation::Sync);
    std::thread::scope(|scope| {
        let engine = &engine;
        let write = move |number: u64| append_sized(engine, number, 20_000);
        let mut callers = vec![scope.spawn(move || write(1))];
        hold.wait_for_a_call();
        for number in 2..=10 {
            callers.push(scope.spawn(move || write(number)));
            wait_for_admitted(engine, number);
        }
        drop(hold);
        for (number, caller) in (1..).zip(callers) {
            assert_eq!(caller.join().unwrap().unwrap().global_position.get(), number);
        }
    });
    assert!(frame_of(&disk, 10).segment >= 4);
    assert_holds(&engine, 10);
    engine.close().unwrap();
    assert_goes_on(&disk, 10);
}

#[test]
fn the_spare_of_one_run_is_used_by_the_next() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append_all(&engine, 1..=4, SIXTH);
    wait_until(|| disk.files().contains(&segment_path(2)));
    drop(engine);
    let spare = disk.bytes_of(&segment_path(2)).unwrap();
    let engine = open(&disk);
    append_all(&engine, 5..=7, SIXTH);
    assert_eq!(frame_of(&disk, 7).segment, 2);
    assert_eq!(disk.bytes_of(&segment_path(2)).unwrap()[..4096], spare[..4096]);
}

#[test]
fn zeros_that_are_written_ahead_do_not_stay_in_the_cache() {
    // What a test can see of it is the call: a system that caches them in large pieces would write a
    // whole one out for every commit.
    let disk = MemoryDisk::new();
    drop(open(&disk));
    let making_and_opening = disk.calls(Operation::Evict);
    drop(open(&disk));
    let opening = disk.calls(Operation::Evict) - making_and_opening;
    assert_eq!(making_and_opening, opening + 1);
}

#[test]
fn zeros_are_written_ahead_of_small_writes_and_not_of_large_ones() {
    // Writes a little more than half of a segment, so that the next one is prepared and not yet needed.
    let is_zeroed = |writes: u64, payload_bytes: usize| {
        let disk = MemoryDisk::new();
        let options = EngineOptions { segment_bytes: 1 << 20, ..options() };
        let engine = Engine::open(disk.clone(), &options).unwrap();
        let evicted = disk.calls(Operation::Evict);
        append_all(&engine, 1..=writes, payload_bytes);
        wait_until(|| disk.files().contains(&segment_path(2)));
        disk.calls(Operation::Evict) > evicted
    };
    assert!(is_zeroed(160, 1_000));
    assert!(is_zeroed(2, 100_000));
    assert!(!is_zeroed(1, 150_000));
}

#[test]
fn a_segment_that_is_made_at_a_rollover_is_filled_with_zeros_for_small_writes_and_not_for_large_ones()
 {
    // All of them were only allocated, whatever was written: file systems take back a sync of such blocks.
    let zeros_written = |writes: u64, payload_bytes: usize| {
        let disk = MemoryDisk::new();
        let options =
            EngineOptions { segment_bytes: 1 << 20, workers: Workers::Caller, ..options() };
        // Nothing is prepared ahead: nobody does that work.
        let engine = Engine::open(disk.clone(), &options).unwrap();
        let before = disk.calls(Operation::WriteOut);
        append_all(&engine, 1..=writes, payload_bytes);
        assert!(disk.files().contains(&segment_path(2)));
        disk.calls(Operation::WriteOut) > before
    };
    assert!(zeros_written(300, 1_000));
    assert!(zeros_written(4, 100_000));
    assert!(!zeros_written(3, 150_000));
}

#[test]
fn a_segment_that_a_commit_waits_for_is_filled_with_few_zeros() {
    let disk = MemoryDisk::new();
    let id = uuid::Uuid::from_u128(1);
    let rotation = Rotation::new(disk.clone(), id, 64 << 20, None, None);
    let (number, base) = (9, Location::new(8 << 30));
    let signing = Signing::new(1);
    let active = SegmentHeader { store_id: id, number, signing, base, size: 64 << 20 };
    let next = |frame_bytes, preallocation| {
        let next = rotation.next(&active, frame_bytes, preallocation).unwrap();
        let size = next.header().size;
        disk.remove(&crate::segment::name(10)).unwrap();
        size
    };
    assert_eq!(next(100, Preallocation::Zeros), DOUBLED_SEGMENT_BYTES_MAX);
    assert_eq!(next(100, Preallocation::Space), 64 << 20);
    assert!(next(6 << 20, Preallocation::Zeros) > 6 << 20);
}

#[test]
fn the_unused_room_of_a_sealed_segment_is_given_back_and_nothing_else() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append_all(&engine, 1..=5, SIXTH);
    let used = frame_of(&disk, 5);
    assert_eq!(used.segment, 1);
    let used_end = usize::try_from(used.end()).unwrap();
    let size = usize::try_from(SEGMENT_BYTES).unwrap();
    // Marks where the room begins and where it ends, of which only whole pages can be given back.
    let mark = |bytes: &mut Vec<u8>| {
        let end = size - SEGMENT_FOOTER_BYTES;
        bytes[used_end..end].fill(0xee);
    };
    edit(&disk, &segment_path(1), mark);
    append_sized(&engine, 6, 5 * SIXTH).unwrap();
    append_sized(&engine, 7, SIXTH).unwrap();
    let page = usize::try_from(PAGE_BYTES).unwrap();
    let first_page = used_end.next_multiple_of(page);
    // All of a range is given back at once.
    wait_until(|| disk.bytes_of(&segment_path(1)).unwrap()[first_page] == 0);
    let bytes = disk.bytes_of(&segment_path(1)).unwrap();
    // A checksum in the footer can have the byte of the mark.
    let (last_page, end) = (size - page, size - SEGMENT_FOOTER_BYTES);
    let marked: Vec<_> = (used_end..end).filter(|at| bytes[*at] == 0xee).collect();
    let kept = (used_end..first_page).chain(last_page..end);
    assert_eq!(marked, kept.collect::<Vec<_>>());
    assert_holds(&engine, 7);
    assert_eq!(disk.calls(Operation::GiveBack), 1);
}

#[test]
fn a_file_system_that_takes_no_room_back_is_no_error() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    disk.break_down(Operation::GiveBack, ErrorKind::Unsupported);
    append_all(&engine, 1..=10, 25_000);
    wait_until(|| disk.calls(Operation::GiveBack) > 0);
    append_all(&engine, 11..=30, 25_000);
    assert_holds(&engine, 30);
    engine.close().unwrap();
    assert_goes_on(&disk, 30);
}
