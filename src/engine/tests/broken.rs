//! Commits of which a part does not verify: `verify`, a read, a repair and a salvage name the same
//! positions, those of the events whose bytes were hit, and everything else is read as before, after
//! the repair as well, with the index and without.
//!
//! Every byte of a frame of nine events is changed in turn. `ANNALS_BROKEN_STEP` says how many of them are
//! passed over for each after which a repaired store is checked in every way; with 1 no byte of any
//! store is.

use std::collections::BTreeSet;

use super::forge::open as open_segment;
use super::repair::{COUNT, assert_goes_on_without, but, clock, remove_root};
use super::*;
use crate::engine::{Finding, plan, repair, salvage};
use crate::format::{FRAME_HEADER_BYTES, PackedFrame, Stamp};
use crate::position::StreamVersion;

/// The positions of the commit that is damaged.
const BATCH: RangeInclusive<u64> = 4..=12;

fn append_batch(engine: &MemoryEngine, numbers: RangeInclusive<u64>, payload_bytes: usize) {
    let events = numbers.map(|number| event(number, payload_bytes)).collect();
    append_to(engine, &stream("one"), ExpectedVersion::Any, events).unwrap();
}

fn small_tables(memtable_events: usize) -> EngineOptions {
    EngineOptions { memtable_events, ..options() }
}

/// Returns a closed store of twenty events, in segments that are sealed if the events behind the commit
/// are large, with runs of the index if the tables are small.
fn store(behind_bytes: usize, memtable_events: usize) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let engine = Engine::open(disk.clone(), &small_tables(memtable_events)).unwrap();
    append_all(&engine, 1..=3, 8);
    append_batch(&engine, BATCH, 8);
    append_batch(&engine, 13..=14, behind_bytes);
    append_all(&engine, 15..=COUNT, behind_bytes);
    engine.close().unwrap();
    disk
}

/// Returns stores whose commit is in an active segment, in a sealed one, and indexed.
fn stores() -> [MemoryDisk; 3] {
    [store(8, 65_536), store(SIXTH, 65_536), store(8, 4)]
}

/// Where the events of a frame are, without padding.
fn event_ranges(disk: &MemoryDisk, place: &Place) -> Vec<(u64, std::ops::Range<u64>)> {
    let mut ranges = Vec::new();
    let base = open_segment(disk, place.segment).header().base;
    walk(disk, &mut |frame| {
        if frame.header().first_position.get() == place.first && frame.is_whole() {
            for event in frame.events() {
                let (location, event) = event.unwrap();
                let start = location.distance_from(base);
                let end = start + event.shared().len() as u64;
                ranges.push((event.global_position().get(), start..end));
            }
        }
    });
    ranges
}

/// Returns the positions that findings name as lost.
fn named<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> BTreeSet<u64> {
    let of_one = |finding: &Finding| {
        let first = finding.first_lost.map_or(1, GlobalPosition::get);
        let good = finding.first_good_after.map_or(u64::MAX, GlobalPosition::get);
        if finding.first_lost.is_some() { first..good } else { 0..0 }
    };
    let damage = findings.into_iter().filter(|one| one.severity == Severity::Damage);
    damage.flat_map(of_one).collect()
}

/// Reads everything that can be read, and returns it and the positions that errors name as lost.
fn read_around(engine: &MemoryEngine) -> (Vec<RecordedEvent>, BTreeSet<u64>) {
    let (mut given, mut lost, mut from) = (Vec::new(), BTreeSet::new(), 1);
    loop {
        let (events, error) = read_from(engine, from);
        given.extend(events);
        let Some(error) = error else { return (given, lost) };
        let damage = damage_of(Err::<(), _>(error));
        let (first, good) = (damage.first_lost.unwrap(), damage.first_good_after);
        let good = good.map_or(COUNT + 1, GlobalPosition::get);
        lost.extend(first.get()..good);
        from = good;
    }
}

/// Asserts that everything that looks at a damaged store names these positions, and that a repair and a
/// salvage give up no others.
fn assert_all_name(disk: &MemoryDisk, lost: &[u64], is_thorough: bool) {
    let expected: BTreeSet<u64> = lost.iter().copied().collect();
    let report = verify(disk.clone()).unwrap();
    assert!(!report.is_intact());
    assert_eq!(named(&report.findings), expected, "{:?}", report.findings);
    assert_eq!(report.events, COUNT - lost.len() as u64);
    let (given, named_by_read) = read_around(&open_read_only(disk));
    assert_are_original(&given);
    assert_eq!(positions(&given), but(lost));
    assert_eq!(named_by_read, expected);
    let planned = plan(disk, &clock()).unwrap().report;
    assert_eq!(named(&planned.given_up), expected, "{planned:?}");
    assert_eq!(planned.lost_positions(), lost.len() as u64);
    let copy = MemoryDisk::new();
    let salvaged = salvage(disk, &copy, &clock()).unwrap();
    assert_eq!(salvaged.given_up, planned.given_up);
    let done = repair(disk, &clock()).unwrap();
    assert_eq!(done.given_up, planned.given_up);
    for disk in [disk, &copy] {
        let report = verify(disk.clone()).unwrap();
        assert!(report.is_intact(), "{:?}", report.findings);
        assert_eq!((report.events, report.lost), (COUNT - lost.len() as u64, lost.len() as u64));
        let engine = open(disk);
        let (given, error) = read_from(&engine, 1);
        assert!(error.is_none(), "{error:?}");
        assert_are_original(&given);
        assert_eq!(positions(&given), but(lost));
        engine.close().unwrap();
        if is_thorough {
            assert_goes_on_without(disk, &but(lost));
        }
    }
}

fn step() -> usize {
    std::env::var("ANNALS_BROKEN_STEP").map_or(41, |step| step.parse().unwrap())
}

/// Returns whether the store that is damaged at an offset is checked in every way.
fn is_thorough(offset: u64) -> bool {
    usize::try_from(offset).unwrap().is_multiple_of(step())
}

#[test]
fn any_byte_of_a_commit_takes_at_most_its_own_event() {
    for (whole, passed_over) in stores().iter().zip([5, 13, 11]) {
        let frame = frame_of(whole, *BATCH.start());
        let events = event_ranges(whole, &frame);
        assert_eq!(events.len(), BATCH.count());
        for offset in (frame.offset..frame.end()).step_by(passed_over.min(step())) {
            let disk = whole.copy();
            flip(&disk, &frame.path, offset);
            let hit = events.iter().filter(|(_, range)| range.contains(&offset));
            let lost: Vec<_> = hit.map(|(position, _)| *position).collect();
            assert_all_name(&disk, &lost, is_thorough(offset));
        }
    }
}

#[test]
fn any_bytes_side_by_side_take_the_events_that_they_are_in() {
    // Of the lengths of a word, a cache line and a sector: over the borders of events and of frames.
    for length in [8, 64, 512] {
        for whole in stores() {
            let frame = frame_of(&whole, *BATCH.start());
            let events = events_in(&whole, frame.segment);
            let start = frame_of(&whole, 1).offset;
            for offset in (start..frame.end()).step_by(97) {
                let disk = whole.copy();
                edit(&disk, &frame.path, |bytes| {
                    let start = usize::try_from(offset).unwrap();
                    bytes[start..start + length].iter_mut().for_each(|byte| *byte ^= 0x15);
                });
                let end = offset + length as u64;
                let is_hit = |(_, range): &&(u64, std::ops::Range<u64>)| {
                    range.start < end && offset < range.end
                };
                let lost: BTreeSet<_> =
                    events.iter().filter(is_hit).map(|(position, _)| *position).collect();
                assert_all_name(&disk, &Vec::from_iter(lost), is_thorough(offset));
            }
        }
    }
}

#[test]
fn several_events_of_a_commit_are_lost_alone() {
    for lost in [vec![4, 12], vec![5, 7, 9, 11], vec![4, 5, 6, 11, 12, 13], BATCH.collect()] {
        for whole in stores() {
            let disk = whole.copy();
            for position in &lost {
                let frame = frame_of(&whole, *position);
                let events = event_ranges(&whole, &frame);
                let (_, range) = events.iter().find(|(own, _)| own == position).unwrap();
                flip(&disk, &frame.path, range.end - 1);
            }
            assert_all_name(&disk, &lost, true);
        }
    }
}

#[test]
fn the_last_commit_of_a_closed_store_is_kept_but_for_the_event_that_was_hit() {
    let whole = MemoryDisk::new();
    let engine = open(&whole);
    append_all(&engine, 1..=11, 8);
    append_batch(&engine, 12..=COUNT, 8);
    engine.close().unwrap();
    let frame = frame_of(&whole, COUNT);
    for (position, range) in event_ranges(&whole, &frame) {
        let disk = whole.copy();
        flip(&disk, &frame.path, range.end - 3);
        assert_all_name(&disk, &[position], true);
    }
}

#[test]
fn a_commit_that_nothing_shows_to_have_been_durable_is_cut_whole() {
    let whole = MemoryDisk::new();
    let engine = open(&whole);
    append_all(&engine, 1..=3, 8);
    append_batch(&engine, BATCH, 8);
    let whole = crash(&whole);
    let frame = frame_of(&whole, 4);
    for offset in (frame.offset..frame.end()).step_by(5) {
        let disk = whole.copy();
        flip(&disk, &frame.path, offset);
        if event_ranges(&whole, &frame).iter().any(|(_, range)| range.contains(&offset)) {
            assert!(!repair(&disk, &clock()).unwrap().is_needed());
            assert_holds(&open(&disk), 3);
        }
    }
}

/// Writes a frame of events behind the log as a group would that is not finished.
fn forge_batch(disk: &MemoryDisk, offset: u64, positions: RangeInclusive<u64>, upto: u64) -> u64 {
    let segment = open_segment(disk, 1);
    let mut frame = PackedFrame::new();
    for position in positions.clone() {
        frame.push(&stream("one"), &event(position, 8)).unwrap();
    }
    let first = GlobalPosition::new(*positions.start());
    frame.place(first, positions.map(StreamVersion::new)).unwrap();
    frame
        .stamp(&Stamp {
            signing: segment.header().signing,
            location: segment.location(offset),
            durable_upto: segment.location(upto),
            recorded_at: Timestamp::from_micros(1_000_000),
            epoch: 1,
        })
        .unwrap();
    let start = usize::try_from(offset).unwrap();
    edit(disk, &segment_path(1), |bytes| {
        bytes[start..start + frame.length()].copy_from_slice(frame.as_bytes());
    });
    offset + frame.length() as u64
}

#[test]
fn a_torn_commit_behind_a_damaged_one_is_not_kept_in_part() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append_all(&engine, 1..=3, 8);
    append_batch(&engine, BATCH, 8);
    let disk = crash(&disk);
    let damaged = frame_of(&disk, 4);
    let torn = damaged.end();
    let whole = forge_batch(&disk, torn, 13..=16, torn);
    forge_batch(&disk, whole, 17..=COUNT, torn);
    let (events, torn_events) =
        (event_ranges(&disk, &damaged), event_ranges(&disk, &frame_of(&disk, 13)));
    flip(&disk, &damaged.path, events[3].1.end - 1);
    flip(&disk, &damaged.path, torn_events[2].1.end - 1);
    // Position 7 was durable and is damaged; 13 to 16 were torn, and are not kept in part.
    assert_all_name(&disk, &[7, 13, 14, 15, 16], true);
}

#[test]
fn a_commit_that_was_given_up_in_part_is_damaged_again() {
    for whole in stores() {
        let frame = frame_of(&whole, 4);
        let events = event_ranges(&whole, &frame);
        for (position, range) in &events {
            let disk = whole.copy();
            flip(&disk, &frame.path, events[4].1.start + 70);
            repair(&disk, &clock()).unwrap();
            if *position == 8 {
                continue;
            }
            flip(&disk, &frame.path, range.start + 5);
            let report = verify(disk.clone()).unwrap();
            assert_eq!(named(&report.findings), BTreeSet::from([*position]), "{report:?}");
            let done = repair(&disk, &clock()).unwrap();
            assert_eq!(named(&done.given_up), BTreeSet::from([*position]), "{done:?}");
            assert_goes_on_without(&disk, &but(&[8, *position]));
        }
    }
}

#[test]
fn what_was_given_up_in_part_is_there_again_without_the_list() {
    for whole in stores() {
        let disk = whole.copy();
        let frame = frame_of(&whole, 4);
        let (_, range) = &event_ranges(&whole, &frame)[3];
        flip(&disk, &frame.path, range.start + 70);
        repair(&disk, &clock()).unwrap();
        open(&disk).close().unwrap();
        flip(&disk, &frame.path, range.start + 70);
        remove_root(&disk, "LOST");
        // The index was made without the event.
        let runs = disk.files().into_iter().filter(|path| path.starts_with("index/"));
        runs.for_each(|path| remove(&disk, &path));
        assert_goes_on_without(&disk, &but(&[]));
    }
}

#[test]
fn a_repair_by_event_that_stopped_anywhere_is_done_again() {
    let whole = store(8, 4);
    let frame = frame_of(&whole, 4);
    let events = event_ranges(&whole, &frame);
    flip(&whole, &frame.path, events[0].1.start + 70);
    flip(&whole, &frame.path, events[5].1.start + 4);
    for nth in 1.. {
        let disk = whole.copy();
        disk.stop_at(nth);
        let stopped = repair(&disk, &clock());
        let was_met = !disk.is_to_fail();
        disk.mend();
        if let Ok(engine) = try_open(&disk.copy()) {
            assert_eq!(positions(&read_around(&engine).0), but(&[4, 9]), "call {nth}");
        }
        repair(&disk, &clock()).unwrap();
        assert_goes_on_without(&disk, &but(&[4, 9]));
        if !was_met {
            stopped.unwrap();
            break;
        }
    }
}

#[test]
fn a_damaged_frame_header_of_an_indexed_commit_hides_no_event() {
    let whole = store(8, 4);
    let frame = frame_of(&whole, 4);
    for bit in 0..FRAME_HEADER_BYTES as u64 * 8 {
        let disk = whole.copy();
        let offset = usize::try_from(frame.offset + bit / 8).unwrap();
        edit(&disk, &frame.path, |bytes| bytes[offset] ^= 1 << (bit % 8));
        let (given, lost) = read_around(&open_read_only(&disk));
        assert_eq!((positions(&given), lost.len()), (but(&[]), 0), "bit {bit}");
        assert_are_original(&given);
        // Damage that comes while the store is open is met by no event either.
        let open_before = whole.copy();
        let engine = open_read_only(&open_before);
        edit(&open_before, &frame.path, |bytes| bytes[offset] ^= 1 << (bit % 8));
        let (given, lost) = read_around(&engine);
        assert_eq!((positions(&given), lost.len()), (but(&[]), 0), "bit {bit}");
    }
}

/// Where the events of a segment are, with their positions.
fn events_in(disk: &MemoryDisk, segment: u64) -> Vec<(u64, std::ops::Range<u64>)> {
    let own = frames(disk).into_iter().filter(|frame| frame.segment == segment && frame.events > 0);
    own.flat_map(|frame| event_ranges(disk, &frame)).collect()
}

#[test]
fn a_sealed_segment_whose_end_is_damaged_loses_only_what_was_hit() {
    let whole = store(SIXTH, 65_536);
    let events = events_in(&whole, 1);
    let (last, range) = events.last().unwrap();
    let path = segment_path(1);
    let footer = whole.bytes_of(&path).unwrap().len() as u64 - 64;
    for has_footer in [true, false] {
        for (hit, lost) in [(range.end - 1, vec![*last]), (range.start - 3, vec![])] {
            let disk = whole.copy();
            flip(&disk, &path, hit);
            if !has_footer {
                edit(&disk, &path, |bytes| zero(bytes, footer, footer + 64));
            }
            assert_all_name(&disk, &lost, true);
        }
    }
}

#[test]
fn a_sealed_segment_that_was_cut_short_keeps_the_events_before_the_cut() {
    let whole = store(SIXTH, 65_536);
    let events = events_in(&whole, 1);
    let batch = frame_of(&whole, 4);
    for cut in (batch.offset..batch.end()).step_by(33) {
        let disk = whole.copy();
        edit(&disk, &batch.path, |bytes| bytes.truncate(usize::try_from(cut).unwrap()));
        let is_cut = |range: &std::ops::Range<u64>| range.end.next_multiple_of(8) > cut;
        let lost = events.iter().filter(|(_, range)| is_cut(range));
        let lost: Vec<_> = lost.map(|(position, _)| *position).collect();
        assert_all_name(&disk, &lost, is_thorough(cut));
    }
}

#[test]
fn a_sector_that_can_not_be_read_takes_only_the_events_in_it() {
    // The system reads and caches many sectors as one; everything in them was given up.
    for whole in stores() {
        let frame = frame_of(&whole, 4);
        let events = events_in(&whole, frame.segment);
        for sector in (4096..frame.end()).step_by(512) {
            let disk = whole.copy();
            disk.lose(&frame.path, sector..sector + 512);
            let is_hit =
                |range: &std::ops::Range<u64>| range.start < sector + 512 && sector < range.end;
            let lost = events.iter().filter(|(_, range)| is_hit(range));
            let lost: Vec<_> = lost.map(|(position, _)| *position).collect();
            let copy = MemoryDisk::new();
            let salvaged = salvage(&disk, &copy, &clock()).unwrap();
            assert_eq!(salvaged.lost_positions(), lost.len() as u64);
            assert_goes_on_without(&copy, &but(&lost));
            assert_eq!(repair(&disk, &clock()).unwrap().given_up, salvaged.given_up);
            assert_goes_on_without(&disk, &but(&lost));
        }
    }
}

#[test]
fn an_event_beside_a_sector_that_can_not_be_read_is_read() {
    for whole in stores() {
        let engine = open(&whole);
        let frame = frame_of(&whole, 4);
        let sector = frame.middle() / 512 * 512;
        let events = events_in(&whole, frame.segment);
        whole.lose(&frame.path, sector..sector + 512);
        // An event is looked at by its header first, so one that reaches into the sector is lost.
        let is_hit = |range: &std::ops::Range<u64>| {
            range.start < sector + 512 && sector < range.end.max(range.start + 64)
        };
        let lost: Vec<_> = events.iter().filter(|(_, range)| is_hit(range)).collect();
        assert!(!lost.is_empty() && lost.len() < 8, "{lost:?}");
        let (first, last) = (lost[0].0, lost[lost.len() - 1].0);
        let (before, error) = read_from(&engine, 1);
        assert_eq!(positions(&before), (1..first).collect::<Vec<_>>());
        assert!(matches!(error, Some(Error::Read { .. })), "{error:?}");
        let (behind, error) = read_from(&engine, last + 1);
        assert_eq!(positions(&behind), (last + 1..=COUNT).collect::<Vec<_>>());
        assert!(error.is_none(), "{error:?}");
        for number in (1..=COUNT).filter(|number| !(first..=last).contains(number)) {
            assert!(engine.reader().event(event_id(number)).unwrap().is_some(), "{number}");
        }
    }
}
