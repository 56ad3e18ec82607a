//! Copies of a store by a program that passes over files whose length and time it knows already, as rsync
//! does: whenever it ran, once it has run after the end the copy is whole.
//!
//! All times count as equal here, which is the worst that whole seconds can do. What the program sees is what the
//! disk shows after any call.

use std::collections::BTreeMap;

use super::*;
use crate::engine::Work;
use crate::io::{Moment, SimulatedDisk};

/// Small, so that a few commits fill one.
const SMALL_SEGMENT_BYTES: u64 = 8192;

const PAYLOAD_BYTES: usize = 800;

type Files = BTreeMap<String, Vec<u8>>;

fn open_on(disk: &SimulatedDisk) -> Engine<SimulatedDisk> {
    let options = EngineOptions {
        segment_bytes: SMALL_SEGMENT_BYTES,
        memtable_events: 4,
        workers: Workers::Caller,
        ..options()
    };
    Engine::open(disk.clone(), &options).unwrap()
}

fn append_on(engine: &Engine<SimulatedDisk>, number: u64) {
    let events = vec![event(number, PAYLOAD_BYTES)];
    engine.commit(Commit::new().append(&stream("one"), ExpectedVersion::Any, events)).unwrap();
    for work in [Work::Prepare, Work::Freeze, Work::Merge] {
        engine.work(work);
    }
}

/// What the disk showed after every call of a history of rollovers, closes, reopenings and a kill, and how
/// many events there are at its end.
fn history() -> (Vec<Moment>, u64) {
    let mut disk = SimulatedDisk::new();
    let mut moments = Vec::new();
    let lives = [(1..=2, true), (3..=9, true), (10..=10, true), (11..=15, false), (16..=17, true)];
    for (numbers, is_closed) in lives.clone() {
        disk.record();
        let engine = open_on(&disk);
        numbers.for_each(|number| append_on(&engine, number));
        if is_closed {
            engine.close().unwrap();
        }
        moments.extend(disk.take_moments());
        disk = disk.now().killed();
    }
    (moments, *lives[lives.len() - 1].0.end())
}

fn files_at(moment: &Moment) -> Files {
    let within = |folder: &'static str| {
        moment.names(folder).into_iter().map(move |name| format!("{folder}/{name}"))
    };
    let paths = ["log", "index", "cut"].into_iter().flat_map(within);
    let paths = paths.chain(["STORE".to_owned(), "LOST".to_owned()]);
    paths.filter_map(|path| Some((path.clone(), moment.bytes_of(&path)?))).collect()
}

/// Copies what is absent or has another length.
fn copy_over(copy: &mut Files, source: &Files) {
    for (path, bytes) in source {
        if copy.get(path).is_none_or(|own| own.len() != bytes.len()) {
            copy.insert(path.clone(), bytes.clone());
        }
    }
}

fn on_disk(files: &Files) -> MemoryDisk {
    let disk = MemoryDisk::new();
    for folder in ["log", "index", "cut"] {
        disk.directory(folder, MakeDirectory::IfAbsent).unwrap();
    }
    files.iter().for_each(|(path, bytes)| disk.set_bytes(path, bytes.clone()));
    disk
}

#[test]
fn a_copy_that_was_begun_at_any_call_is_whole_after_a_copy_at_the_end() {
    // Segments kept length and second while they were filled: a half of one stayed a half for ever.
    let (moments, count) = history();
    let all: Vec<_> = moments.iter().map(files_at).collect();
    let end = all.last().unwrap();
    for (number, begun) in all.iter().enumerate() {
        let mut copy = begun.clone();
        // Once more in between.
        copy_over(&mut copy, &all[(number + all.len()) / 2]);
        copy_over(&mut copy, end);
        let disk = on_disk(&copy);
        let report = verify(disk.clone()).unwrap();
        assert!(report.is_intact(), "begun after call {number}: {:?}", report.findings);
        assert_eq!(report.events, count, "begun after call {number}");
        let given = positions(&read_from(&open_read_only(&disk), 1).0);
        assert_eq!(given, (1..=count).collect::<Vec<_>>(), "begun after call {number}");
    }
}

#[test]
fn what_stands_behind_a_segment_is_noted_by_verify_and_changes_nothing_else() {
    let disk = closed_after(&[8, 8]);
    edit(&disk, &segment_path(1), |bytes| *bytes.last_mut().unwrap() = 7);
    let findings = verify(disk.clone()).unwrap().findings;
    let [note] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!((note.severity, note.offset), (Severity::Note, SEGMENT_BYTES + 7), "{note}");
    assert_eq!(open(&disk).findings(), []);
    assert_holds(&open_read_only(&disk), 2);
}

#[test]
fn a_file_is_longer_each_time_when_what_is_in_it_is_settled() {
    let disk = SimulatedDisk::new();
    let length = |number: u64| disk.bytes_of(&segment_path(number)).unwrap().len() as u64;
    open_on(&disk).close().unwrap();
    assert_eq!(length(1), SMALL_SEGMENT_BYTES, "nothing was written");
    let mut before = length(1);
    for number in 1..=3 {
        let engine = open_on(&disk);
        append_on(&engine, number);
        engine.close().unwrap();
        drop(engine);
        assert!(length(1) > before, "{number}");
        before = length(1);
        open_on(&disk).close().unwrap();
        assert_eq!(length(1), before, "nothing was written");
    }
    let engine = open_on(&disk);
    (4..=8).for_each(|number| append_on(&engine, number));
    assert!(length(1) > before, "it was sealed");
    let killed = disk.now().killed();
    let before = killed.bytes_of(&segment_path(2)).unwrap().len();
    let _engine = open_on(&killed);
    assert!(killed.bytes_of(&segment_path(2)).unwrap().len() > before, "it was not closed");
}
