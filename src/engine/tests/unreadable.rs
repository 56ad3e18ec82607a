//! Places that the device cannot give back: the tools that are there for damage read and never map, go on
//! behind each place, and name all of them; a reader gives what is beside them.

use super::index::settle_index;
use super::*;
use crate::engine::{Finding, plan, plan_salvage, repair, salvage};
use crate::store::Query;

const EVENTS: u64 = 20;

/// Returns a closed store of several segments, with several runs of the index.
fn filled() -> MemoryDisk {
    let disk = MemoryDisk::new();
    let options = EngineOptions { memtable_events: 3, ..options() };
    let engine = Engine::open(disk.clone(), &options).unwrap();
    for number in 1..=EVENTS {
        append_sized(&engine, number, SIXTH).unwrap();
        settle_index(&engine);
    }
    engine.close().unwrap();
    disk
}

fn runs(disk: &MemoryDisk) -> Vec<String> {
    disk.files().into_iter().filter(|path| path.starts_with("index/")).collect()
}

/// Lets the device give back nothing of the sectors that hold the middle of a frame.
fn lose_middle(disk: &MemoryDisk, frame: &Place) {
    let start = frame.middle() / 512 * 512;
    disk.lose(&frame.path, start..start + 512);
}

fn damaged(findings: &[Finding]) -> Vec<(String, u64)> {
    let is_damage = |finding: &&Finding| finding.severity == Severity::Damage;
    let place = |it: &Finding| (it.file.to_str().unwrap().to_owned(), it.offset);
    findings.iter().filter(is_damage).map(place).collect()
}

#[test]
fn no_tool_for_damage_ever_asks_for_a_map() {
    let (clock, _hand) = Clock::manual(Timestamp::from_micros(0));
    let maps = |disk: &MemoryDisk| disk.calls(Operation::Map);
    for is_damaged in [false, true] {
        let disk = filled().copy();
        if is_damaged {
            let frame = frame_of(&disk, 9);
            lose_middle(&disk, &frame);
            runs(&disk).iter().for_each(|run| disk.lose(run, 4096..8192));
        }
        let copy = MemoryDisk::new();
        let _report = verify(disk.clone()).unwrap();
        plan(&disk, &clock).unwrap();
        plan_salvage(&disk, &clock).unwrap();
        salvage(&disk, &copy, &clock).unwrap();
        repair(&disk, &clock).unwrap();
        assert_eq!((maps(&disk), maps(&copy)), (0, 0));
        // A reader maps what it looks at, and opening looks at nothing in that way.
        let engine = open_read_only(&disk);
        assert_eq!(maps(&disk), 0);
        let (events, error) = read_stream(&engine, &StreamRead::new());
        assert!(events.len() as u64 >= EVENTS - 1 && error.is_none() && maps(&disk) > 0);
    }
}

#[test]
fn an_index_run_that_cannot_be_read_costs_no_answer() {
    let disk = filled();
    let runs = runs(&disk);
    assert!(runs.len() > 1);
    for run in &runs {
        let length = disk.bytes_of(run).unwrap().len() as u64;
        for start in (0..length).step_by(4096) {
            let disk = disk.copy();
            disk.lose(run, start..start + 4096);
            let engine = open_read_only(&disk);
            assert_eq!(engine.findings(), []);
            assert_holds(&engine, EVENTS);
        }
    }
}

#[test]
fn verify_goes_on_behind_what_it_cannot_read_and_names_every_place() {
    let disk = filled();
    let unreadable = [2, 8, 15].map(|position| frame_of(&disk, position));
    let flipped = frame_of(&disk, 11);
    flip(&disk, &flipped.path, flipped.middle());
    unreadable.iter().for_each(|frame| lose_middle(&disk, frame));
    let run = runs(&disk).into_iter().next().unwrap();
    disk.lose(&run, 4096..8192);
    let report = verify(disk.clone()).unwrap();
    assert!(!report.is_intact());
    let mut expected: Vec<_> =
        unreadable.iter().chain([&flipped]).map(|it| (it.path.clone(), it.offset)).collect();
    expected.sort();
    assert_eq!(damaged(&report.findings), expected);
    let is_run = |finding: &Finding| finding.file.to_str() == Some(&*run);
    assert!(report.findings.iter().any(is_run), "{:?}", report.findings);
    assert_eq!(report.events, EVENTS - 4);
}

#[test]
fn verify_names_headers_and_footers_that_it_cannot_read() {
    let disk = filled();
    let end = disk.bytes_of(&segment_path(2)).unwrap().len() as u64;
    disk.lose(&segment_path(1), 0..512);
    disk.lose(&segment_path(2), end - 512..end);
    let files: Vec<_> =
        damaged(&verify(disk).unwrap().findings).into_iter().map(|(file, _)| file).collect();
    assert!(files.contains(&segment_path(1)) && files.contains(&segment_path(2)), "{files:?}");
}

#[test]
fn a_reader_gives_what_is_beside_a_place_that_cannot_be_read() {
    for keeps_index in [true, false] {
        for lost in 1..=EVENTS {
            let disk = filled();
            let frame = frame_of(&disk, lost);
            lose_middle(&disk, &frame);
            if !keeps_index {
                runs(&disk).iter().for_each(|run| remove(&disk, run));
            }
            let engine = open_read_only(&disk);
            let is_named = |error: Option<Error>| match error {
                Some(Error::Damage(damage)) => damage.file.to_str() == Some(&*frame.path),
                Some(Error::Read { path, .. }) => path.to_str() == Some(&*frame.path),
                _ => false,
            };
            let (before, after): (Vec<u64>, Vec<u64>) =
                ((1..lost).collect(), (lost + 1..=EVENTS).collect());
            let (events, error) = read_from(&engine, 1);
            assert_eq!((positions(&events), is_named(error)), (before.clone(), true), "{lost}");
            let (events, error) = read_from(&engine, lost + 1);
            assert_eq!((positions(&events), error.is_none()), (after.clone(), true), "{lost}");
            let (events, error) = read_stream(&engine, &StreamRead::new());
            assert_eq!((positions(&events), is_named(error)), (before, true), "{lost}");
            let (events, error) = read_stream(&engine, &StreamRead::new().from(lost + 1));
            let may_go_on = lost == EVENTS;
            assert_eq!((positions(&events), error.is_some()), (after, may_go_on), "{lost}");
            assert!(is_named(engine.reader().event(event_id(lost)).err()), "{lost}");
            let query = Query::category("Test");
            let (_, error) = split(engine.reader().read(&query, &GlobalRead::new()));
            assert!(is_named(error), "{lost}");
        }
    }
}
