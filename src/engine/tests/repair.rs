//! Repairs: every kind of damage, and what a repaired store then gives and takes.
//!
//! Every repair is held to the same: what verified is still there, with its position and version, in
//! every kind of read; nothing else is; positions go on behind the highest one; the store is intact and
//! says what is lost; and nothing of it changes when it is opened again or its index is made again.

use super::*;
use crate::engine::{RepairReport, plan, repair};
use crate::store::{Filter, Query};

pub(super) fn clock() -> Clock {
    Clock::manual(Timestamp::from_micros(2_000_000)).0
}

/// Returns the paths and contents of all files.
pub(super) fn contents(disk: &MemoryDisk) -> Vec<(String, Vec<u8>)> {
    disk.files().into_iter().map(|path| (path.clone(), disk.bytes_of(&path).unwrap())).collect()
}

/// Repairs a disk after planning it, which must change nothing.
fn repaired(disk: &MemoryDisk) -> RepairReport {
    let before = contents(disk);
    let planned = plan(disk, &clock()).unwrap().report;
    assert!(contents(disk) == before, "planning changes nothing");
    let done = repair(disk, &clock()).unwrap();
    assert_eq!(planned.given_up, done.given_up);
    assert_eq!(planned.steps, done.steps);
    done
}

/// How many positions there are in the store of `store`, and in how many segments.
pub(super) const COUNT: u64 = 20;

/// Returns a closed store of twenty events of one stream in four segments, opened three times.
pub(super) fn store() -> MemoryDisk {
    let disk = MemoryDisk::new();
    for numbers in [1..=7, 8..=13, 14..=COUNT] {
        let engine = open(&disk);
        append_all(&engine, numbers, SIXTH);
        engine.close().unwrap();
    }
    disk
}

/// As [`store`], with an index of small runs.
pub(super) fn indexed_store() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let engine = open_with_small_tables(&disk);
    append_all(&engine, 1..=COUNT, SIXTH);
    engine.close().unwrap();
    disk
}

fn open_with_small_tables(disk: &MemoryDisk) -> MemoryEngine {
    Engine::open(disk.clone(), &EngineOptions { memtable_events: 3, ..options() }).unwrap()
}

pub(super) fn but(lost: &[u64]) -> Vec<u64> {
    (1..=COUNT).filter(|position| !lost.contains(position)).collect()
}

/// Asserts that a store gives the events at these positions in every kind of read, and no others.
fn assert_gives(engine: &MemoryEngine, expected: &[u64]) {
    let reversed: Vec<_> = expected.iter().rev().copied().collect();
    let given = |query: &Query, options: GlobalRead| {
        let (events, error) = split(engine.reader().read(query, &options));
        assert!(error.is_none(), "{error:?}");
        assert_are_original(&events);
        positions(&events)
    };
    for query in [Query::all(), Query::category("Test")] {
        assert_eq!(given(&query, GlobalRead::new()), expected);
        assert_eq!(given(&query, GlobalRead::new().backward()), reversed);
        for from in (1..=COUNT).step_by(6) {
            let behind: Vec<_> = expected.iter().copied().filter(|it| *it >= from).collect();
            assert_eq!(given(&query, GlobalRead::new().from(from)), behind);
            let before: Vec<_> = reversed.iter().copied().filter(|it| *it <= from).collect();
            assert_eq!(given(&query, GlobalRead::new().to(from).backward()), before);
        }
        let all_times = Filter::new()
            .recorded_from(Timestamp::from_micros(0))
            .recorded_to(Timestamp::from_micros(i64::MAX));
        assert_eq!(given(&query, GlobalRead::new().filter(all_times)), expected);
    }
    let stream = |options: StreamRead| {
        let (events, error) = read_stream(engine, &options);
        assert!(error.is_none(), "{error:?}");
        positions(&events)
    };
    assert_eq!(stream(StreamRead::new()), expected);
    assert_eq!(stream(StreamRead::new().backward()), reversed);
    for from in (1..=COUNT).step_by(3) {
        let behind: Vec<_> = expected.iter().copied().filter(|it| *it >= from).collect();
        assert_eq!(stream(StreamRead::new().from(from)), behind, "from {from}");
        let before: Vec<_> = reversed.iter().copied().filter(|it| *it <= from).collect();
        assert_eq!(stream(StreamRead::new().to(from).backward()), before, "to {from}");
    }
    for number in 1..=COUNT {
        let found = engine.reader().event(event_id(number)).unwrap();
        assert_eq!(found.is_some(), expected.contains(&number), "{number}");
    }
}

/// Asserts everything that is to hold of a repaired store that has the events at `expected`.
pub(super) fn assert_goes_on_without(disk: &MemoryDisk, expected: &[u64]) {
    let again = repair(disk, &clock()).unwrap();
    assert!(!again.is_needed(), "{again:?}");
    assert_gives(&open_read_only(disk), expected);
    let engine = open(disk);
    assert!(engine.findings().iter().all(|finding| finding.severity != Severity::Damage));
    let version = engine.reader().version(&stream("one")).unwrap().get();
    assert_eq!(version, expected.last().copied().unwrap_or_default());
    assert_gives(&engine, expected);
    let highest = engine.reader().durable().get();
    assert!(highest >= COUNT, "{highest}");
    let first = append(&engine, COUNT + 100).unwrap();
    assert_eq!(first.global_position.get(), highest + 1);
    assert_eq!(first.new_version.get(), version + 1);
    append_all(&engine, COUNT + 101..=COUNT + 110, SIXTH);
    engine.close().unwrap();
    assert_intact(disk, &engine);
    let original = |engine: &MemoryEngine| {
        let to = GlobalRead::new().to(COUNT);
        let (events, error) = split(engine.reader().read(&Query::all(), &to));
        assert!(error.is_none(), "{error:?}");
        positions(&events)
    };
    let all = positions(&read_from(&engine, 1).0);
    for open in [open, open_with_small_tables] {
        let engine = open(disk);
        assert_eq!(original(&engine), expected);
        assert_eq!(positions(&read_from(&engine, 1).0), all);
    }
    for path in disk.files().into_iter().filter(|path| path.starts_with("index/")) {
        remove(disk, &path);
    }
    for open in [open_with_small_tables, open_read_only] {
        let engine = open(disk);
        assert_eq!(original(&engine), expected);
        assert_eq!(positions(&read_from(&engine, 1).0), all);
        assert_eq!(positions(&read_stream(&engine, &StreamRead::new()).0), all);
    }
    assert_intact(disk, &engine);
}

fn assert_intact(disk: &MemoryDisk, engine: &MemoryEngine) {
    let report = verify(disk.clone()).unwrap();
    assert!(report.is_intact(), "{:?}", report.findings);
    assert_eq!(report.lost, engine.reader().holes().lost_count());
    let holes = report.findings.iter().filter(|it| it.severity == Severity::Repaired).count();
    assert_eq!(holes, engine.reader().holes().iter().count());
    let last = engine.reader().durable().get();
    assert_eq!(report.events + report.lost, last);
}

/// Damages a store of each kind, repairs it, and asserts that these positions are lost and no others.
fn assert_loses(lost: &[u64], damage: impl Fn(&MemoryDisk)) -> RepairReport {
    let mut report = None;
    for disk in [store(), indexed_store()] {
        damage(&disk);
        damage_of(try_open_without_index(&disk));
        let done = repaired(&disk);
        assert_goes_on_without(&disk, &but(lost));
        report.get_or_insert(done);
    }
    report.unwrap()
}

#[test]
fn a_healthy_store_is_left_as_it_is() {
    for disk in [store(), indexed_store(), crashed_after(&[8, 8]), closed_after(&[])] {
        let before = contents(&disk);
        assert!(!repair(&disk, &clock()).unwrap().is_needed());
        assert!(contents(&disk) == before);
    }
}

#[test]
fn a_torn_commit_is_no_business_of_a_repair() {
    let disk = crashed_after(&[8, SIXTH]);
    let last = frame_of(&disk, 2);
    edit(&disk, &last.path, |bytes| zero(bytes, last.middle(), last.end()));
    assert!(!repair(&disk, &clock()).unwrap().is_needed());
    assert_holds(&open(&disk), 1);
}

#[test]
fn a_damaged_commit_anywhere_is_lost_alone() {
    for position in [1, 2, 6, 7, 12, 13, 19, COUNT] {
        let damage = |disk: &MemoryDisk| {
            let frame = frame_of(disk, position);
            flip(disk, &frame.path, frame.middle());
        };
        let report = assert_loses(&[position], damage);
        assert_eq!(report.lost_positions(), 1);
        let [part] = report.given_up.as_slice() else { panic!("{report:?}") };
        assert_eq!(part.first_lost, Some(GlobalPosition::new(position)));
        assert_eq!(part.first_good_after, Some(GlobalPosition::new(position + 1)));
    }
}

#[test]
fn several_damaged_commits_are_lost_and_those_between_them_are_not() {
    let lost = [2, 3, 6, 8, 12, 13, 19];
    assert_loses(&lost, |disk| {
        let frames: Vec<_> = lost.iter().map(|position| frame_of(disk, *position)).collect();
        for frame in frames {
            flip(disk, &frame.path, frame.middle());
        }
    });
}

#[test]
fn a_damaged_mark_loses_no_position() {
    let marks = |disk: &MemoryDisk| {
        frames(disk).into_iter().filter(|frame| frame.kind != FrameKind::Commit)
    };
    // The last mark of a log has nothing behind it that shows that it had been durable.
    for number in 0..marks(&store()).count() - 1 {
        let disk = store();
        let mark = marks(&disk).nth(number).unwrap();
        flip(&disk, &mark.path, mark.middle());
        assert_eq!(repaired(&disk).lost_positions(), 0);
        assert_goes_on_without(&disk, &but(&[]));
    }
}

#[test]
fn a_damaged_header_is_written_anew_and_loses_nothing() {
    for segment in 1..=4 {
        for offset in [0, 17, 33, 41, 49, 57, 70, 4095] {
            let disk = store();
            let path = segment_path(segment);
            let before = disk.bytes_of(&path).unwrap();
            flip(&disk, &path, offset);
            let damaged = disk.bytes_of(&path).unwrap();
            let report = repaired(&disk);
            assert_eq!(report.given_up, [], "segment {segment}, offset {offset}");
            let kept = disk.bytes_of(&format!("cut/{segment:016}-0000000000-0.bin")).unwrap();
            assert_eq!(kept, damaged[..4096]);
            assert_eq!(disk.bytes_of(&path).unwrap()[4096..], before[4096..]);
            assert_goes_on_without(&disk, &but(&[]));
        }
    }
}

#[test]
fn a_header_that_is_gone_is_told_from_its_frames() {
    for segment in 1..=4 {
        assert_loses(&[], |disk| {
            edit(disk, &segment_path(segment), |bytes| bytes[..4096].fill(0));
        });
        assert_loses(&[], |disk| {
            edit(disk, &segment_path(segment), |bytes| bytes[..4096].fill(0x77));
        });
    }
}

pub(super) fn positions_in(disk: &MemoryDisk, segment: u64) -> Vec<u64> {
    let own = frames(disk).into_iter().filter(|frame| frame.segment == segment && frame.events > 0);
    own.map(|frame| frame.first).collect()
}

#[test]
fn a_segment_that_is_missing_is_lost_alone() {
    for segment in 1..=3 {
        for disk in [store(), indexed_store()] {
            let lost = positions_in(&disk, segment);
            remove(&disk, &segment_path(segment));
            repaired(&disk);
            assert_goes_on_without(&disk, &but(&lost));
        }
    }
}

#[test]
fn segments_that_are_missing_side_by_side_are_lost_together() {
    let disk = store();
    let lost = [positions_in(&disk, 2), positions_in(&disk, 3)].concat();
    remove(&disk, &segment_path(2));
    remove(&disk, &segment_path(3));
    repaired(&disk);
    assert_goes_on_without(&disk, &but(&lost));
}

#[test]
fn a_log_whose_end_is_missing_goes_on_behind_every_position_that_can_have_been() {
    for disk in [store(), indexed_store()] {
        let lost = positions_in(&disk, 4);
        let spare = segment_path(5);
        if disk.files().contains(&spare) {
            remove(&disk, &spare);
        }
        remove(&disk, &segment_path(4));
        let report = repaired(&disk);
        assert!(report.lost_positions() >= lost.len() as u64);
        assert_goes_on_without(&disk, &but(&lost));
    }
}

#[test]
fn segments_that_were_exchanged_are_given_up_and_stay_where_they_are() {
    let disk = store();
    let lost = [positions_in(&disk, 2), positions_in(&disk, 3)].concat();
    let (two, three) =
        (disk.bytes_of(&segment_path(2)).unwrap(), disk.bytes_of(&segment_path(3)).unwrap());
    disk.set_bytes(&segment_path(2), three.clone());
    disk.set_bytes(&segment_path(3), two.clone());
    repaired(&disk);
    assert_goes_on_without(&disk, &but(&lost));
    assert_eq!(disk.bytes_of(&segment_path(2)).unwrap(), three);
    // Put right and without the list, everything is there again.
    for (segment, bytes) in [(2, two), (3, three)] {
        disk.set_bytes(&segment_path(segment), bytes);
    }
    remove_root(&disk, "LOST");
    let (events, error) = read_from(&open_read_only(&disk), 1);
    assert!(error.is_none());
    assert_eq!(positions(&events)[..20], but(&[]));
}

pub(super) fn remove_root(disk: &MemoryDisk, name: &str) {
    Disk::remove(disk, name).unwrap();
}

#[test]
fn a_segment_of_another_store_or_place_is_given_up() {
    for foreign in [store().bytes_of(&segment_path(2)), store().bytes_of(&segment_path(1))] {
        let disk = store();
        let lost = positions_in(&disk, 2);
        disk.set_bytes(&segment_path(2), foreign.unwrap());
        repaired(&disk);
        assert_goes_on_without(&disk, &but(&lost));
    }
    let disk = store();
    let lost = positions_in(&disk, 2);
    disk.set_bytes(&segment_path(2), disk.bytes_of(&segment_path(1)).unwrap());
    repaired(&disk);
    assert_goes_on_without(&disk, &but(&lost));
}

#[test]
fn a_damaged_footer_loses_nothing() {
    for segment in 1..=3 {
        for offset in [0, 17, 33, 60] {
            let disk = store();
            let path = segment_path(segment);
            let footer = disk.bytes_of(&path).unwrap().len() as u64 - 64;
            flip(&disk, &path, footer + offset);
            assert_eq!(repaired(&disk).lost_positions(), 0);
            assert_goes_on_without(&disk, &but(&[]));
        }
        assert_loses(&[], |disk| {
            edit(disk, &segment_path(segment), |bytes| {
                let footer = bytes.len() - 64;
                bytes[footer..].fill(0);
            });
        });
    }
}

#[test]
fn a_sector_that_can_not_be_read_is_given_up_with_its_commit_and_never_read_again() {
    for position in [1, 4, 6, 7, 19] {
        let disk = store();
        let frame = frame_of(&disk, position);
        let sector = frame.middle() / 512 * 512;
        disk.lose(&frame.path, sector..sector + 512);
        assert!(matches!(try_open_without_index(&disk), Err(Error::Read { .. })));
        repaired(&disk);
        assert_goes_on_without(&disk, &but(&[position]));
    }
}

fn try_open_without_index(disk: &MemoryDisk) -> Result<()> {
    let disk = disk.copy();
    for path in disk.files().into_iter().filter(|path| path.starts_with("index/")) {
        remove(&disk, &path);
    }
    try_open(&disk).map(drop)
}

#[test]
fn a_footer_that_can_not_be_read_loses_nothing() {
    for segment in 1..=3 {
        let disk = store();
        let path = segment_path(segment);
        let length = disk.bytes_of(&path).unwrap().len() as u64;
        disk.lose(&path, length - 64..length);
        assert_eq!(repaired(&disk).lost_positions(), 0);
        assert_goes_on_without(&disk, &but(&[]));
    }
}

#[test]
fn the_end_of_a_log_that_can_not_be_read_is_given_up_and_the_log_goes_on_in_the_next_segment() {
    let disk = store();
    let last = frame_of(&disk, COUNT);
    let end = disk.bytes_of(&last.path).unwrap().len() as u64;
    disk.lose(&last.path, last.offset.next_multiple_of(512)..end);
    let report = repaired(&disk);
    assert!(report.given_up[0].what.contains("can have been"), "{report:?}");
    assert_goes_on_without(&disk, &but(&[COUNT]));
}

#[test]
fn a_file_cut_short_anywhere_is_repaired_and_keeps_what_is_left() {
    for segment in 1..=4 {
        let whole = store();
        let path = segment_path(segment);
        let length = whole.bytes_of(&path).unwrap().len();
        for kept in [0, 100, 4096, 5000, 20_000, 40_000, length - 1] {
            let disk = whole.copy();
            edit(&disk, &path, |bytes| bytes.truncate(kept));
            let is_left = |frame: &Place| frame.path != path || frame.end() <= kept as u64;
            let left: Vec<_> = frames(&whole)
                .into_iter()
                .filter(|frame| frame.events > 0 && is_left(frame))
                .map(|frame| frame.first)
                .collect();
            repaired(&disk);
            assert_goes_on_without(&disk, &left);
        }
    }
}

#[test]
fn a_damaged_identity_is_told_by_the_segments() {
    let whole = indexed_store();
    for offset in 0..128 {
        let disk = whole.copy();
        flip(&disk, "STORE", offset);
        let damaged = disk.bytes_of("STORE").unwrap();
        let report = repair(&disk, &clock());
        if matches!(report, Err(Error::Incompatible { .. })) {
            continue;
        }
        assert_eq!(report.unwrap().given_up, []);
        assert_eq!(disk.bytes_of("cut/STORE-0.bin").unwrap(), damaged);
        assert_gives(&open(&disk), &but(&[]));
    }
    let disk = indexed_store();
    remove_root(&disk, "STORE");
    repaired(&disk);
    assert_goes_on_without(&disk, &but(&[]));
}

#[test]
fn lock_and_index_need_no_repair() {
    let disk = indexed_store();
    disk.set_bytes("LOCK", vec![1, 2, 3]);
    for path in disk.files().into_iter().filter(|path| path.starts_with("index/")) {
        flip(&disk, &path, 5000);
    }
    let before = contents(&disk);
    assert!(!repair(&disk, &clock()).unwrap().is_needed());
    assert!(contents(&disk) == before);
    assert_goes_on_without(&disk, &but(&[]));
}

/// Returns a store in which two commits were given up.
pub(super) fn with_holes() -> MemoryDisk {
    let disk = indexed_store();
    for position in [5, 12] {
        let frame = frame_of(&indexed_store(), position);
        flip(&disk, &frame.path, frame.middle());
    }
    repaired(&disk);
    disk
}

#[test]
fn a_damaged_list_of_holes_is_made_anew() {
    let whole = with_holes();
    let good = whole.bytes_of("LOST").unwrap();
    for offset in 0..good.len() as u64 {
        let disk = whole.copy();
        flip(&disk, "LOST", offset);
        assert!(damage_of(try_open(&disk)).file.ends_with("LOST"));
        repaired(&disk);
        assert_eq!(disk.bytes_of("LOST").unwrap(), good);
    }
    let disk = whole.copy();
    remove_root(&disk, "LOST");
    damage_of(try_open(&disk));
    repaired(&disk);
    assert_goes_on_without(&disk, &but(&[5, 12]));
}

#[test]
fn a_store_is_repaired_again_when_more_of_it_is_damaged() {
    let (whole, sound) = (with_holes(), indexed_store());
    for second in [1, 4, 6, 11, 13, COUNT] {
        let disk = whole.copy();
        let frame = frame_of(&sound, second);
        flip(&disk, &frame.path, frame.middle());
        repaired(&disk);
        assert_goes_on_without(&disk, &but(&[5, 12, second]));
    }
    let disk = with_holes();
    let lost = [positions_in(&indexed_store(), 1), vec![12]].concat();
    remove(&disk, &segment_path(1));
    repaired(&disk);
    assert_goes_on_without(&disk, &but(&lost));
}

#[test]
fn what_is_there_again_when_the_list_is_made_anew_is_found_in_every_way() {
    // The runs of the index were made without the commits that were lost, and stayed.
    let disk = with_holes();
    open_with_small_tables(&disk).close().unwrap();
    for position in [5, 12] {
        let frame = frame_of(&indexed_store(), position);
        flip(&disk, &frame.path, frame.middle());
    }
    flip(&disk, "LOST", 50);
    assert_eq!(repaired(&disk).given_up, []);
    assert_goes_on_without(&disk, &but(&[]));
}
