//! A log whose end is gone: zeroed, cut back to an older state, or without its last segments. What a clean
//! close, a rollover and a run know of the end is held against it, however the store is opened, and no
//! position is given out twice.

use super::repair::{clock, contents};
use super::*;
use crate::engine::known_end::{END, claim_of_any_store};
use crate::engine::{Finding, Work, plan, repair};
use crate::format::EndFile;

const END_PATH: &str = "log/END";

/// What is left that knows how far the log had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Witness {
    Both,
    EndOnly,
    RunsOnly,
}

const WITNESSES: [Witness; 3] = [Witness::Both, Witness::EndOnly, Witness::RunsOnly];

fn remove_index(disk: &MemoryDisk) {
    disk.files().iter().filter(|path| path.starts_with("index/")).for_each(|it| remove(disk, it));
}

impl Witness {
    fn leave(self, disk: &MemoryDisk) {
        if self == Self::EndOnly {
            remove_index(disk);
        }
        if self == Self::RunsOnly {
            remove(disk, END_PATH);
        }
    }
}

fn with_small_tables() -> EngineOptions {
    EngineOptions { memtable_events: 3, workers: Workers::Caller, ..options() }
}

fn open_by_hand(disk: &MemoryDisk) -> MemoryEngine {
    Engine::open(disk.clone(), &with_small_tables()).unwrap()
}

fn work(engine: &MemoryEngine) {
    for work in [Work::Prepare, Work::Freeze, Work::Merge] {
        engine.work(work);
    }
}

/// Appends small events one by one, with a run for every three.
fn fill(engine: &MemoryEngine, numbers: RangeInclusive<u64>, payload_bytes: usize) {
    for number in numbers {
        append_sized(engine, number, payload_bytes).unwrap();
        work(engine);
    }
}

fn findings_of_damage(findings: &[Finding]) -> Vec<Finding> {
    findings.iter().filter(|one| one.severity == Severity::Damage).cloned().collect()
}

/// Holds a store whose log ends behind `left` events, though `known` had been durable, to all promises: it is
/// refused for writing and not changed, it is damage for every reader, and a repair names the loss and
/// never gives the positions out again.
fn assert_loss_is_told(disk: &MemoryDisk, left: u64, known: u64, what: &str) {
    let before = contents(disk);
    let damage = damage_of(try_open(disk));
    assert_eq!(damage.first_lost, Some(GlobalPosition::new(left + 1)), "{what}: {damage}");
    let told = [format!("ends at position {left},"), format!("up to position {known} ")];
    assert!(told.iter().all(|part| damage.reason.contains(part)), "{what}: {damage}");
    let is_named = ["END", ".run"].iter().any(|name| damage.reason.contains(name));
    assert!(is_named, "{what}: {damage}");
    assert!(contents(disk) == before, "{what}: a refusal changes nothing");

    let engine = open_read_only(disk);
    let found = findings_of_damage(engine.findings());
    assert_eq!(found.len(), 1, "{what}: {found:?}");
    assert_eq!(found[0].first_lost, Some(GlobalPosition::new(left + 1)), "{what}");
    assert_eq!(found[0].first_good_after, None, "{what}");
    assert!(engine.findings().iter().all(|one| !one.what.contains("not finished")), "{what}");
    assert_eq!(positions(&read_from(&engine, 1).0), (1..=left).collect::<Vec<_>>(), "{what}");
    let report = verify(disk.clone()).unwrap();
    assert!(!report.is_intact(), "{what}");
    assert_eq!(report.events, left, "{what}");
    assert!(contents(disk) == before, "{what}: looking changes nothing");
    assert_repair_accepts(disk, left, known, what);
}

/// Repairs a store, and holds it to going on with positions that were never given out.
fn assert_repair_accepts(disk: &MemoryDisk, left: u64, known: u64, what: &str) {
    let mut disk = disk.copy();
    let planned = plan(&disk, &clock()).unwrap().report;
    let done = repair(&disk, &clock()).unwrap();
    assert_eq!(planned.given_up, done.given_up, "{what}");
    let [given_up] = &done.given_up[..] else { panic!("{what}: {done:?}") };
    assert_eq!(given_up.first_lost, Some(GlobalPosition::new(left + 1)), "{what}");
    assert!(given_up.first_good_after.unwrap().get() > known, "{what}: {given_up}");
    let mut last = known;
    for number in [known + 1, known + 2] {
        assert!(!repair(&disk, &clock()).unwrap().is_needed(), "{what}: a second repair");
        let engine = open_by_hand(&disk);
        assert_eq!(findings_of_damage(engine.findings()), [], "{what}");
        let result = append(&engine, number).unwrap();
        assert!(result.global_position.get() > last, "{what}: {result:?} after {last}");
        last = result.global_position.get();
        // Once killed and once closed.
        if number > known + 1 {
            engine.close().unwrap();
        }
        let survivor = disk.copy();
        assert!(verify(survivor.clone()).unwrap().is_intact(), "{what}");
        let kept = positions(&read_from(&open_read_only(&survivor), 1).0);
        let before: Vec<_> = kept.iter().copied().filter(|position| *position <= known).collect();
        assert_eq!(before, (1..=left).collect::<Vec<_>>(), "{what}");
        assert_eq!(kept.last().copied(), Some(last), "{what}");
        disk = survivor;
    }
}

const EVENTS: u64 = 60;

/// Returns a store of small events in one segment, closed, with runs that cover them all.
fn closed_store() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let engine = open_by_hand(&disk);
    fill(&engine, 1..=EVENTS, 100);
    engine.close().unwrap();
    assert_eq!(claimed(&disk), Some(EVENTS + 1));
    disk
}

#[test]
fn a_log_that_is_zeroed_from_any_sector_on_after_a_clean_close_is_damage() {
    // Opening believed it, said at most that a commit was not finished, and gave positions out again.
    let original = closed_store();
    let frames = frames(&original);
    let path = segment_path(1);
    let length = original.bytes_of(&path).unwrap().len() as u64;
    let end = frames.last().unwrap().end();
    for witness in WITNESSES {
        for start in (4096..end).step_by(512) {
            let disk = original.copy();
            witness.leave(&disk);
            edit(&disk, &path, |bytes| zero(bytes, start, length));
            let whole = frames.iter().filter(|frame| frame.end() <= start);
            let left: u64 = whole.map(|frame| frame.events).sum();
            let what = format!("{witness:?}, zeros from {start}");
            match left < EVENTS {
                true => assert_loss_is_told(&disk, left, EVENTS, &what),
                false => assert_goes_on_at(&disk, EVENTS),
            }
        }
    }
}

/// Asserts that a store holds so many events and goes on with the next.
fn assert_goes_on_at(disk: &MemoryDisk, count: u64) {
    let engine = open_by_hand(disk);
    assert_eq!(positions(&read_from(&engine, 1).0), (1..=count).collect::<Vec<_>>());
    let next = append(&engine, count + 1).unwrap();
    assert_eq!(next.global_position.get(), count + 1);
    engine.close().unwrap();
    assert!(verify(disk.clone()).unwrap().is_intact());
}

#[test]
fn a_segment_that_is_put_back_to_an_older_state_after_the_close_is_damage() {
    let disk = MemoryDisk::new();
    let engine = open_by_hand(&disk);
    fill(&engine, 1..=237, 8);
    let older = disk.bytes_of(&segment_path(1)).unwrap();
    fill(&engine, 238..=300, 8);
    engine.close().unwrap();
    for witness in WITNESSES {
        let disk = disk.copy();
        witness.leave(&disk);
        disk.set_bytes(&segment_path(1), older.clone());
        assert_loss_is_told(&disk, 237, 300, &format!("{witness:?}, put back"));
    }
}

/// Returns a store of events that fill four segments, killed, and what it was before each append.
fn rolled_over() -> (MemoryDisk, Vec<MemoryDisk>) {
    let disk = MemoryDisk::new();
    let engine = open_by_hand(&disk);
    let mut before = Vec::new();
    for number in 1..=20 {
        before.push(disk.copy());
        fill(&engine, number..=number, SIXTH);
    }
    (disk.copy(), before)
}

#[test]
fn last_segments_that_are_put_back_or_gone_across_a_rollover_are_damage() {
    let (disk, before) = rolled_over();
    let first_in_fourth = frames(&disk).iter().find(|frame| frame.segment == 4).unwrap().first;
    assert_eq!(claimed(&disk), Some(first_in_fourth), "a rollover is known");
    // The third segment as it was before its last commit, and nothing behind it.
    let older = &before[usize::try_from(first_in_fourth).unwrap() - 2];
    for witness in WITNESSES {
        let disk = disk.copy();
        witness.leave(&disk);
        disk.set_bytes(&segment_path(3), older.bytes_of(&segment_path(3)).unwrap());
        remove(&disk, &segment_path(4));
        // The last run may cover fewer than the segments that are gone had.
        let known = match witness {
            Witness::EndOnly => first_in_fourth - 1,
            _ => (first_in_fourth - 1).max(newest_run_of(&disk)),
        };
        assert_loss_is_told(&disk, first_in_fourth - 2, known, &format!("{witness:?}, gone"));
    }
}

/// Returns the last position that a run covers.
fn newest_run_of(disk: &MemoryDisk) -> u64 {
    let index = disk.directory("index", MakeDirectory::Never).unwrap();
    let store = crate::engine::directory::open(disk.clone()).unwrap();
    let newest = crate::index::newest(&index, store.identity.store_id).unwrap();
    newest.map_or(0, |(_, resume)| resume.next_position.previous().get())
}

#[test]
fn segments_that_are_zeroed_or_gone_across_a_rollover_never_have_their_positions_given_out_again() {
    let (original, _) = rolled_over();
    for witness in WITNESSES {
        for first in 2..=4 {
            for is_gone in [false, true] {
                let disk = original.copy();
                witness.leave(&disk);
                let left =
                    frames(&original).iter().find(|it| it.segment == first).unwrap().first - 1;
                for number in first..=4 {
                    match is_gone {
                        true => remove(&disk, &segment_path(number)),
                        false => edit(&disk, &segment_path(number), |bytes| bytes.fill(0)),
                    }
                }
                let what = format!("{witness:?}, from segment {first} on, gone: {is_gone}");
                let damage = damage_of(try_open(&disk));
                assert_eq!(damage.first_lost, Some(GlobalPosition::new(left + 1)), "{what}");
                assert_repair_accepts(&disk, left, 20, &what);
            }
        }
    }
}

#[test]
fn an_older_known_end_after_an_unclean_stop_proves_its_own_position_and_no_more() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append_all(&engine, 1..=5, 8);
    engine.close().unwrap();
    let engine = open(&disk);
    append_all(&engine, 6..=8, 8);
    let disk = crash(&disk);
    assert_eq!(claimed(&disk), Some(6));
    for lost in 1..=8 {
        let disk = disk.copy();
        let frame = frame_of(&disk, lost);
        edit(&disk, &frame.path, |bytes| {
            let length = bytes.len() as u64;
            zero(bytes, frame.offset, length);
        });
        match lost <= 5 {
            true => assert_loss_is_told(&disk, lost - 1, 5, &format!("from {lost} on")),
            // Nothing is left that knows of it: docs/durability.md says so.
            false => assert_goes_on_at(&disk, lost - 1),
        }
    }
}

#[test]
fn two_unclean_stops_in_a_row_are_survived_with_and_without_the_index() {
    for has_index in [true, false] {
        let forget_index = |disk: &MemoryDisk| {
            if !has_index {
                remove_index(disk);
            }
        };
        let disk = MemoryDisk::new();
        let engine = open_by_hand(&disk);
        fill(&engine, 1..=7, 100);
        let torn = {
            append_sized(&engine, 8, 100).unwrap();
            let disk = disk.copy();
            let frame = frame_of(&disk, 8);
            edit(&disk, &frame.path, |bytes| zero(bytes, frame.middle(), frame.end()));
            disk
        };
        forget_index(&torn);
        let engine = open_by_hand(&torn);
        assert_holds(&engine, 7);
        assert_eq!(engine.findings().len(), 1, "{:?}", engine.findings());
        fill(&engine, 8..=10, 100);
        let killed = torn.copy();
        forget_index(&killed);
        let engine = open_by_hand(&killed);
        assert_eq!(engine.findings(), [], "index: {has_index}");
        assert_holds(&engine, 10);
        fill(&engine, 11..=12, 100);
        engine.close().unwrap();
        assert_eq!(verify(killed.clone()).unwrap().findings, []);
        assert_goes_on(&killed, 12);
    }
}

#[test]
fn a_known_end_that_is_absent_damaged_foreign_or_newer_proves_nothing_and_hinders_nothing() {
    let original = closed_store();
    let other = closed_store();
    let newer = |bytes: &mut Vec<u8>| {
        bytes[8] = 2;
        let crc = crc32fast::hash(&bytes[..124]);
        bytes[124..].copy_from_slice(&crc.to_le_bytes());
    };
    let foreign = other.bytes_of(END_PATH).unwrap();
    type Change<'a> = &'a dyn Fn(&mut Vec<u8>);
    let changes: [(&str, Change<'_>); 6] = [
        ("a bit", &|bytes| bytes[33] ^= 4),
        ("empty", &|bytes| bytes.clear()),
        ("zeros", &|bytes| bytes.fill(0)),
        ("long", &|bytes| bytes.resize(10_000, 7)),
        ("foreign", &|bytes| bytes.clone_from(&foreign)),
        ("newer", &newer),
    ];
    for (what, change) in changes {
        let disk = original.copy();
        edit(&disk, END_PATH, |bytes| change(bytes));
        let findings = verify(disk.clone()).unwrap().findings;
        let [note] = &findings[..] else { panic!("{what}: {findings:?}") };
        assert_eq!((note.severity, note.file.to_str()), (Severity::Note, Some(END_PATH)), "{what}");
        let engine = open_by_hand(&disk);
        assert_eq!(engine.findings().len(), 1, "{what}");
        assert_holds(&engine, EVENTS);
        append(&engine, EVENTS + 1).unwrap();
        engine.close().unwrap();
        assert_eq!(claimed(&disk), Some(EVENTS + 2), "{what}: the next close writes it again");
        assert_eq!(verify(disk.clone()).unwrap().findings, [], "{what}");
    }
    let disk = original.copy();
    remove(&disk, END_PATH);
    assert_eq!(verify(disk.clone()).unwrap().findings, []);
    assert_goes_on(&disk, EVENTS);
    assert_eq!(claimed(&disk), Some(EVENTS + 2));
}

#[test]
fn a_known_end_of_another_history_is_noted() {
    let disk = closed_store();
    let log = disk.directory("log", MakeDirectory::Never).unwrap();
    let claim = claim_of_any_store(&log).unwrap().unwrap();
    crate::engine::known_end::write(&log, &EndFile { last_frame_crc: 1, ..claim }).unwrap();
    let findings = verify(disk).unwrap().findings;
    let [note] = &findings[..] else { panic!("{findings:?}") };
    assert!(note.severity == Severity::Note && note.what.contains("another history"), "{note}");
}

#[test]
fn an_older_copy_of_log_and_index_put_back_opens_and_what_is_newer_beside_them_proves_nothing() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append_all(&engine, 1..=10, 8);
    let copies: Vec<_> = ["log/", "index/", "STORE"]
        .iter()
        .flat_map(|part| disk.files().into_iter().filter(move |path| path.starts_with(part)))
        .map(|path| (path.clone(), disk.bytes_of(&path).unwrap()))
        .collect();
    assert!(copies.iter().any(|(path, _)| path == END_PATH), "END is there from the beginning");
    append_all(&engine, 11..=15, 8);
    engine.sidecar().write(crate::record::RecordKind::Checkpoint, "mailer", b"15").unwrap();
    engine.close().unwrap();
    for (path, bytes) in copies {
        disk.set_bytes(&path, bytes);
    }
    assert_goes_on_at(&disk, 10);
}

#[test]
fn an_older_log_beside_the_newer_index_is_damage_and_opens_without_the_index() {
    let disk = MemoryDisk::new();
    let engine = open_by_hand(&disk);
    fill(&engine, 1..=10, 8);
    let older: Vec<_> = [segment_path(1), END_PATH.to_owned()]
        .map(|path| (path.clone(), disk.bytes_of(&path).unwrap()))
        .into();
    fill(&engine, 11..=30, 8);
    engine.close().unwrap();
    older.into_iter().for_each(|(path, bytes)| disk.set_bytes(&path, bytes));
    let damage = damage_of(try_open(&disk));
    assert!(damage.reason.contains(".run says so"), "{damage}");
    remove_index(&disk);
    assert_goes_on_at(&disk, 10);
}

#[test]
fn a_repair_of_a_lost_end_that_stopped_anywhere_never_forgets_how_far_the_log_had_come() {
    let original = closed_store();
    let frame = frame_of(&original, 41);
    edit(&original, &frame.path, |bytes| {
        let length = bytes.len() as u64;
        zero(bytes, frame.offset, length);
    });
    for witness in WITNESSES {
        witness.leave(&original.copy());
        for nth in 1.. {
            let disk = original.copy();
            witness.leave(&disk);
            disk.stop_at(nth);
            let stopped = repair(&disk, &clock());
            disk.mend();
            let disk = disk.copy();
            let what = format!("{witness:?}, stopped at call {nth}");
            if repair(&disk, &clock()).unwrap().is_needed() {
                assert!(stopped.is_err(), "{what}");
            }
            let engine = open_by_hand(&disk);
            let result = append(&engine, EVENTS + 1).unwrap();
            assert!(result.global_position.get() > EVENTS, "{what}: {result:?}");
            if stopped.is_ok() {
                break;
            }
        }
    }
}

#[test]
fn a_close_writes_the_known_end_once_and_only_if_there_is_something_new() {
    let disk = closed_store();
    let written = disk.bytes_of(END_PATH).unwrap();
    let renames = disk.calls(Operation::Rename);
    let engine = open_by_hand(&disk);
    engine.close().unwrap();
    assert_eq!(disk.calls(Operation::Rename), renames, "nothing was written");
    assert_eq!(disk.bytes_of(END_PATH).unwrap(), written);
    assert!(!disk.files().iter().any(|path| path.ends_with(&format!("{END}.tmp"))));
}

#[test]
fn a_close_that_can_not_write_the_known_end_loses_nothing_else() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append_all(&engine, 1..=3, 8);
    disk.break_down(Operation::Rename, ErrorKind::StorageFull);
    engine.close().unwrap();
    disk.mend();
    assert_eq!(claimed(&disk), Some(1), "the older one is still there");
    assert_goes_on(&disk, 3);
    assert_eq!(claimed(&disk), Some(5));
}
