//! What a damaged, foreign, stale or missing index changes: nothing. The answers to every kind of
//! question are those of the log.

use std::collections::BTreeSet;

use super::answers::{Answers, Asker, answers_up_to, rich_event, stream_of};
use super::*;
use crate::engine::{directory, indexing, walk};
use crate::format::StoreFile;
use crate::index::{Access, COLLIDING_KEY};
use crate::store::{CheckFailure, FailIfMatches, Query, QueryItem};

/// Events of a memtable.
const TABLE_EVENTS: usize = 8;
const EVENTS: u64 = 100;

fn small_tables() -> EngineOptions {
    EngineOptions { memtable_events: TABLE_EVENTS, ..options() }
}

pub(super) fn open_small(disk: &MemoryDisk) -> MemoryEngine {
    Engine::open(disk.clone(), &small_tables()).unwrap()
}

/// Appends the events with these numbers in commits of one to three. Which runs there are after that
/// does not depend on how fast threads are.
pub(super) fn fill(engine: &MemoryEngine, numbers: RangeInclusive<u64>) {
    let mut numbers = numbers.peekable();
    while let Some(first) = numbers.next() {
        let mut commit = Commit::new();
        let size = usize::try_from(first % 3).unwrap();
        for number in [first].into_iter().chain(numbers.by_ref().take(size)) {
            let events = vec![rich_event(number)];
            commit = commit.append(&stream_of(number), ExpectedVersion::Any, events);
        }
        engine.commit(commit).unwrap();
        settle_index(engine);
    }
}

/// Writes and merges everything that the threads of a store would write and merge in time.
pub(super) fn settle_index(engine: &MemoryEngine) {
    let index = engine.reader().index();
    index.write_frozen().unwrap();
    while index.merge_once(crate::index::Pace::Full).unwrap() {}
}

/// Returns a closed store with several runs and segments, and a part of the log that no run covers.
fn filled() -> MemoryDisk {
    let disk = MemoryDisk::new();
    fill_store(&disk);
    disk
}

fn fill_store(disk: &MemoryDisk) {
    let engine = open_small(disk);
    fill(&engine, 1..=EVENTS);
    settle_index(&engine);
    engine.close().unwrap();
    assert!(runs(disk).len() >= 3, "{:?}", runs(disk));
}

pub(super) fn runs(disk: &MemoryDisk) -> Vec<String> {
    disk.files().into_iter().filter(|path| path.starts_with("index/")).collect()
}

fn answers(engine: &MemoryEngine) -> Answers {
    answers_up_to(engine, EVENTS)
}

/// Asks everything, what only a writer is asked included.
fn all_answers(engine: &MemoryEngine) -> Answers {
    let mut asker = Asker { engine, answers: answers(engine) };
    asker.checks(EVENTS);
    asker.answers
}

/// What the log says, without any index.
fn truth(disk: &MemoryDisk) -> Answers {
    let disk = disk.copy();
    runs(&disk).iter().for_each(|path| remove(&disk, path));
    let options = EngineOptions { memtable_events: 65_536, ..options() };
    let engine = Engine::open(disk, &options).unwrap();
    let answers = all_answers(&engine);
    let refused = &answers["refused"];
    assert!(refused.contains("CommitRefused"), "{refused}");
    assert!(answers["again"].contains("replayed: true"), "{}", answers["again"]);
    answers
}

fn assert_same(found: &Answers, truth: &Answers, what: &str) {
    for (question, answer) in found {
        assert_eq!(answer, &truth[question], "{what}: {question}");
    }
}

/// Asserts that a store answers as the log does, open for reading and open for writing.
fn assert_answers(disk: &MemoryDisk, truth: &Answers, what: &str) {
    let read_only = open_read_only(&disk.copy());
    assert_same(&answers(&read_only), truth, &format!("{what}, read-only"));
    let engine = open_small(disk);
    assert_same(&all_answers(&engine), truth, what);
    engine.close().unwrap();
    // A page that no question needed may still be damaged.
    assert!(verify(disk.clone()).unwrap().is_intact(), "{what}");
}

/// Asserts that verifying notes a file of the index and nothing else.
fn assert_noted(disk: &MemoryDisk, path: &str, what: &str) {
    let findings = verify(disk.clone()).unwrap().findings;
    let is_noted = findings.iter().any(|one| one.file.to_str() == Some(path));
    assert!(is_noted, "{what}: {findings:?}");
    assert!(findings.iter().all(|one| one.severity == Severity::Note), "{what}: {findings:?}");
}

const PAGE: usize = 4096;

#[test]
fn a_flipped_byte_anywhere_in_a_run_changes_no_answer_and_is_noted() {
    let original = filled();
    let truth = truth(&original);
    for (number, path) in runs(&original).iter().enumerate() {
        let length = original.bytes_of(path).unwrap().len();
        for page in 0..length.div_ceil(PAGE) {
            // Every fourth page of each run, another one in each.
            if page % 4 != number % 4 {
                continue;
            }
            let starts = [page * PAGE + 11 * number % 64, page * PAGE + 300];
            for offset in starts.into_iter().filter(|offset| *offset < length) {
                let what = format!("{path} at {offset}");
                let disk = original.copy();
                flip(&disk, path, offset as u64);
                assert_noted(&disk, path, &what);
                assert_answers(&disk, &truth, &what);
            }
        }
    }
}

#[test]
fn a_run_that_is_cut_short_or_gone_changes_no_answer_and_is_noted() {
    let original = filled();
    let truth = truth(&original);
    for (number, path) in runs(&original).iter().enumerate() {
        let length = original.bytes_of(path).unwrap().len();
        let lengths = [0, 1, PAGE - 1, PAGE, 2 * PAGE, length / 2, length - 4, length - 1];
        for left in lengths.into_iter().skip(number % 3).step_by(3) {
            let what = format!("{path} of {left} bytes");
            let disk = original.copy();
            edit(&disk, path, |bytes| bytes.truncate(left));
            assert_noted(&disk, path, &what);
            assert_answers(&disk, &truth, &what);
        }
        let disk = original.copy();
        remove(&disk, path);
        assert_answers(&disk, &truth, &format!("{path} is gone"));
    }
    let disk = original.copy();
    runs(&disk).iter().for_each(|path| remove(&disk, path));
    assert_answers(&disk, &truth, "all are gone");
}

#[test]
fn opening_merges_the_runs_that_it_makes_again() {
    // A run for each memtable, all open at once, were more files than a process may have.
    let disk = filled();
    runs(&disk).iter().for_each(|path| remove(&disk, path));
    let clock = options().clock;
    let directory = directory::open_or_make(disk.clone(), &clock, SEGMENT_BYTES).unwrap();
    let (index, _) = indexing::open(&directory, Access::Write, 2).unwrap();
    walk(&directory, &index, OpenMode::Write).unwrap();
    // About fifty memtables: three tiers of at most three runs.
    assert!((1..=9).contains(&runs(&disk).len()), "{:?}", runs(&disk));
}

#[test]
fn a_gap_between_runs_is_noted() {
    let disk = filled();
    let runs = runs(&disk);
    for path in &runs[..runs.len() - 1] {
        let disk = disk.copy();
        remove(&disk, path);
        let next = runs.iter().find(|other| *other > path).unwrap();
        assert_noted(&disk, next, path);
    }
}

#[test]
fn runs_in_the_place_of_each_other_change_no_answer_and_are_noted() {
    let original = filled();
    let truth = truth(&original);
    let runs = runs(&original);
    for pair in runs.windows(2) {
        let disk = original.copy();
        disk.set_bytes(&pair[0], original.bytes_of(&pair[1]).unwrap());
        disk.set_bytes(&pair[1], original.bytes_of(&pair[0]).unwrap());
        assert_noted(&disk, &pair[0], "swapped");
        assert_noted(&disk, &pair[1], "swapped");
        assert_answers(&disk, &truth, "swapped");
    }
}

/// Replaces the index of a store with that of another.
fn take_index(disk: &MemoryDisk, from: &MemoryDisk) {
    runs(disk).iter().for_each(|path| remove(disk, path));
    runs(from).iter().for_each(|path| disk.set_bytes(path, from.bytes_of(path).unwrap()));
}

#[test]
fn the_index_of_another_store_changes_no_answer_and_is_noted() {
    let (disk, other) = (filled(), filled());
    let truth = truth(&disk);
    assert_eq!(runs(&disk), runs(&other));
    take_index(&disk, &other);
    assert_noted(&disk, &runs(&disk)[0], "foreign");
    assert_answers(&disk, &truth, "foreign");
}

/// Returns copies of a store as it grew.
fn stages() -> Vec<MemoryDisk> {
    let disk = MemoryDisk::new();
    let mut stages = Vec::new();
    for last in [20, 45, 70, EVENTS] {
        let engine = open_small(&disk);
        let first = engine.reader().durable().get() + 1;
        fill(&engine, first..=last);
        settle_index(&engine);
        engine.close().unwrap();
        stages.push(disk.copy());
    }
    stages
}

#[test]
fn an_older_index_changes_no_answer() {
    let stages = stages();
    let truth = truth(&stages[3]);
    for older in &stages[..3] {
        let disk = stages[3].copy();
        take_index(&disk, older);
        assert_answers(&disk, &truth, "older");
        // Both at once: what was merged since lies beside what it was merged from.
        let disk = stages[3].copy();
        runs(older).iter().for_each(|path| disk.set_bytes(path, older.bytes_of(path).unwrap()));
        assert_answers(&disk, &truth, "both");
    }
}

#[test]
fn an_index_that_is_newer_than_the_log_tells_of_a_loss_and_without_it_the_log_is_whole() {
    let stages = stages();
    for (older, last) in stages[..3].iter().zip([20, 45, 70]) {
        let without = older.copy();
        runs(&without).iter().for_each(|path| remove(&without, path));
        let truth = answers_up_to(&open_read_only(&without), last);
        let disk = older.copy();
        take_index(&disk, &stages[3]);
        let damage = damage_of(Engine::open(disk.clone(), &options()));
        assert_eq!(damage.first_lost, Some(GlobalPosition::new(last + 1)));
        assert!(damage.reason.contains(runs(&disk).last().unwrap()), "{damage}");
        assert!(!verify(disk.clone()).unwrap().is_intact());
        runs(&disk).iter().for_each(|path| remove(&disk, path));
        let engine = open_small(&disk);
        assert_eq!(answers_up_to(&engine, last), truth);
        drop(engine);
        assert_eq!(verify(disk).unwrap().findings, []);
    }
}

#[test]
fn an_index_of_events_that_the_log_has_replaced_by_others_changes_no_answer() {
    let stages = stages();
    let disk = stages[0].copy();
    let engine = open_small(&disk);
    fill(&engine, 1021..=1120);
    settle_index(&engine);
    engine.close().unwrap();
    let truth = truth_of_any(&disk);
    take_index(&disk, &stages[3]);
    let read_only = open_read_only(&disk.copy());
    assert_eq!(answers_up_to(&read_only, 120), truth);
    assert_eq!(answers_up_to(&open_small(&disk), 120), truth);
}

fn truth_of_any(disk: &MemoryDisk) -> Answers {
    let disk = disk.copy();
    runs(&disk).iter().for_each(|path| remove(&disk, path));
    answers_up_to(&open_read_only(&disk), 120)
}

#[test]
fn damage_to_the_index_while_the_store_is_open_is_mended_and_answered_right() {
    let original = filled();
    let truth = truth(&original);
    type Harm = fn(&mut Vec<u8>);
    let harms: [(&str, Harm); 5] = [
        ("locations", |bytes| bytes[PAGE..2 * PAGE].fill(0x55)),
        ("all but the header", |bytes| bytes[PAGE..].fill(0)),
        ("every page", |bytes| bytes.chunks_mut(PAGE).skip(1).for_each(|page| page[9] ^= 1)),
        ("cut", |bytes| bytes.truncate(PAGE + 100)),
        ("emptied", Vec::clear),
    ];
    for (what, harm) in harms {
        for is_writable in [true, false] {
            let disk = original.copy();
            // Only pages that were not looked at yet are checked, so nothing is asked before.
            let engine = if is_writable { open_small(&disk) } else { open_read_only(&disk) };
            runs(&disk).iter().for_each(|path| edit(&disk, path, harm));
            assert_same(&answers(&engine), &truth, what);
            if is_writable {
                assert_same(&all_answers(&engine), &truth, what);
                engine.close().unwrap();
                drop(engine);
                assert_answers(&disk, &truth, what);
            }
        }
    }
}

#[test]
fn a_store_whose_index_is_removed_while_it_is_open_goes_on() {
    let disk = filled();
    let truth = truth(&disk);
    let engine = open_small(&disk);
    runs(&disk).iter().for_each(|path| remove(&disk, path));
    assert_same(&all_answers(&engine), &truth, "removed");
    fill(&engine, EVENTS + 1..=EVENTS + 60);
    settle_index(&engine);
    engine.close().unwrap();
    let engine = open_small(&disk);
    assert_eq!(positions(&read_from(&engine, 1).0), (1..=EVENTS + 60).collect::<Vec<_>>());
    drop(engine);
    assert_eq!(verify(disk).unwrap().findings, []);
}

#[test]
fn damage_of_the_log_is_refused_every_time_though_runs_were_written_on_the_way() {
    let original = filled();
    let without = original.copy();
    runs(&without).iter().for_each(|path| remove(&without, path));
    let first_gone = original.copy();
    remove(&first_gone, &runs(&original)[0]);
    for start in [without, first_gone] {
        for position in [3, 11, 20] {
            let disk = start.copy();
            let frame = frame_of(&original, position);
            flip(&disk, &frame.path, frame.middle());
            let mut lost = BTreeSet::new();
            for attempt in 0..3 {
                let opened = Engine::open(disk.clone(), &small_tables());
                let damage = damage_of(opened);
                lost.extend(damage.first_lost.map(GlobalPosition::get));
                assert!((frame.offset..frame.end()).contains(&damage.offset), "attempt {attempt}");
                assert!(frame.holds(damage.first_lost), "attempt {attempt}: {damage:?}");
            }
            assert_eq!(lost.len(), 1);
            assert_reads_around(&disk, lost.pop_first().unwrap());
        }
    }
}

/// Asserts that a store that is open for reading gives what is before and behind a damaged event, and
/// that no kind of read passes over it in silence.
fn assert_reads_around(disk: &MemoryDisk, lost: u64) {
    let engine = open_read_only(disk);
    assert_eq!(engine.findings().len(), 1);
    let behind = lost + 1;
    let tag = Query::none().or(QueryItem::new().tag("no such tag"));
    for query in [Query::all(), Query::category("Test"), tag] {
        let read = |from: u64| split(engine.reader().read(&query, &GlobalRead::new().from(from)));
        let (events, error) = read(1);
        assert!(positions(&events).iter().all(|one| *one < lost));
        assert!(matches!(error, Some(Error::Damage(_))), "{query:?}");
        let (rest, error) = read(behind);
        assert!(error.is_none() && rest.iter().all(|event| query.matches(event)));
    }
    let given = |from| positions(&read_from(&engine, from).0);
    assert_eq!(given(1), (1..lost).collect::<Vec<_>>());
    assert_eq!(given(behind), (behind..=EVENTS).collect::<Vec<_>>());
}

#[test]
fn a_run_that_can_not_be_made_again_from_a_damaged_log_hides_nothing() {
    // Opened for reading while both are whole; a question then meets a damaged run and a damaged log.
    for open in [open_small, open_read_only] {
        let disk = filled();
        let engine = open(&disk);
        let frame = frame_of(&disk, 20);
        runs(&disk).iter().for_each(|path| edit(&disk, path, |bytes| bytes[PAGE..].fill(0)));
        flip(&disk, &frame.path, frame.middle());
        let damage = damage_of(engine.reader().event(event_id(10)));
        assert!(frame.holds(damage.first_lost), "{damage:?}");
        let query = Query::none().or(QueryItem::new().tag("seldom-2"));
        let answer = engine.reader().read(&query, &GlobalRead::new()).unwrap().next();
        assert!(matches!(answer, Some(Err(Error::Damage(_)))), "{answer:?}");
    }
}

#[test]
fn a_damaged_mark_is_refused_every_time_though_runs_were_written_on_the_way() {
    let disk = MemoryDisk::new();
    for first in [1, 41] {
        let engine = open_small(&disk);
        fill(&engine, first..=first + 39);
        engine.close().unwrap();
    }
    runs(&disk).iter().for_each(|path| remove(&disk, path));
    let marks = frames(&disk);
    let mark = marks.iter().find(|it| it.kind != FrameKind::Commit && it.first > 1).unwrap();
    flip(&disk, &mark.path, mark.middle());
    for _ in 0..3 {
        let opened = Engine::open(disk.clone(), &small_tables());
        assert_eq!(damage_of(opened).offset, mark.offset);
    }
}

/// Returns the frame with the last event of a run.
fn frame_at_the_end_of(disk: &MemoryDisk, run: &str) -> Place {
    let (_, last) = run.trim_end_matches(".run").rsplit_once('-').unwrap();
    let last: u64 = last.parse().unwrap();
    let is_it = |it: &Place| it.events > 0 && it.first + it.events > last;
    frames(disk).into_iter().find(is_it).unwrap()
}

/// Damages the last event of a frame.
fn damage_end(disk: &MemoryDisk, frame: &Place) {
    edit(disk, &frame.path, |bytes| bytes[usize::try_from(frame.end()).unwrap() - 16] ^= 0x40);
}

#[test]
fn damage_in_the_frame_where_the_newest_run_ends_is_found_by_opening() {
    let disk = filled();
    let frame = frame_at_the_end_of(&disk, &runs(&disk).pop().unwrap());
    damage_end(&disk, &frame);
    let damage = damage_of(Engine::open(disk.clone(), &small_tables()));
    assert!((frame.offset..frame.end()).contains(&damage.offset));
    assert_eq!(damage.first_lost.unwrap().get(), frame.first + frame.events - 1);
}

#[test]
fn damage_in_the_frame_where_an_earlier_run_ends_is_found_by_reading() {
    let disk = filled();
    let before = runs(&disk);
    assert!(before.len() > 1);
    let frame = frame_at_the_end_of(&disk, &before[0]);
    damage_end(&disk, &frame);
    let engine = open_small(&disk);
    assert_eq!(runs(&disk), before);
    let last = GlobalPosition::new(frame.first + frame.events - 1);
    let damage = damage_of(engine.reader().event_at(last).map(drop));
    assert_eq!((damage.first_lost, damage.file), (Some(last), frame.path.into()));
}

/// Gives a new store a key with which many terms share a hash.
pub(super) fn colliding() -> MemoryDisk {
    let disk = MemoryDisk::new();
    drop(open_small(&disk));
    edit(&disk, "STORE", |bytes| {
        let identity = StoreFile::decode(bytes).unwrap();
        *bytes = StoreFile { hash_key: COLLIDING_KEY, ..identity }.encode();
    });
    disk
}

#[test]
fn terms_that_share_a_hash_change_no_answer() {
    let plain = filled();
    let wanted = all_answers(&open_small(&plain.copy()));
    let disk = colliding();
    fill_store(&disk);
    assert_answers(&disk, &wanted, "colliding");
    let without = disk.copy();
    runs(&without).iter().for_each(|path| remove(&without, path));
    assert_answers(&without, &wanted, "colliding, made again");
    // As few as four hashes for all terms: each run has at most four lists.
    let engine = open_small(&disk);
    let result =
        append_to(&engine, &stream("new"), ExpectedVersion::NoStream, vec![event(7000, 8)]);
    assert_eq!(result.unwrap().new_version.get(), 1);
    let refused =
        append_to(&engine, &stream("one"), ExpectedVersion::NoStream, vec![event(7001, 8)]);
    assert!(refused.is_err_and(|error| error.is_rejection()));
}

#[test]
fn a_condition_reports_the_first_match_though_hashes_are_shared() {
    let disk = colliding();
    fill_store(&disk);
    let engine = open_small(&disk);
    let query = Query::none().or(QueryItem::new().tag("seldom-3"));
    let commit = Commit::new()
        .append(&stream("new"), ExpectedVersion::NoStream, vec![event(7000, 8)])
        .condition(FailIfMatches::new(query.clone()));
    match engine.commit(commit) {
        Err(Error::CommitRefused { failures }) => assert!(matches!(
            failures.as_slice(),
            [CheckFailure::Condition { global_position, .. }] if global_position.get() == 27
        )),
        other => panic!("the condition does not hold: {other:?}"),
    }
    let commit = Commit::new()
        .append(&stream("new"), ExpectedVersion::NoStream, vec![event(7000, 8)])
        .condition(FailIfMatches::new(query).after(35.into()));
    engine.commit(commit).unwrap();
}
