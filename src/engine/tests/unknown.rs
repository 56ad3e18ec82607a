//! Answers that may depend on damage which no part of the index covers (CONTRACT R8): each is the error
//! that names it, for every kind of question, and what does not depend on it is answered.

use super::index::settle_index;
use super::*;
use crate::engine::Finding;
use crate::store::{Filter, Query, QueryItem};

/// A store of single commits whose streams take turns, a second apart, in which frames are damaged.
struct Scene {
    disk: MemoryDisk,
    names: Vec<&'static str>,
}

fn second(number: u64) -> Timestamp {
    Timestamp::from_micros(1_000_000 * i64::try_from(number).unwrap())
}

impl Scene {
    /// Commits one event to each of the streams in this order, and closes the store.
    fn of(names: &[&'static str], memtable_events: usize) -> Self {
        let disk = MemoryDisk::new();
        let (clock, hand) = Clock::manual(Timestamp::from_micros(0));
        let options = EngineOptions { clock, memtable_events, ..options() };
        let engine = Engine::open(disk.clone(), &options).unwrap();
        for (number, name) in (1..).zip(names) {
            hand.set(second(number));
            let events = vec![event(number, 8).tag(*name)];
            append_to(&engine, &stream(name), ExpectedVersion::Any, events).unwrap();
            settle_index(&engine);
        }
        engine.close().unwrap();
        Self { disk, names: names.to_vec() }
    }

    /// Damages the frames of these positions.
    fn damaged_at(self, positions: &[u64]) -> Self {
        let places: Vec<_> = positions.iter().map(|it| frame_of(&self.disk, *it)).collect();
        places.iter().for_each(|place| flip(&self.disk, &place.path, place.middle()));
        self
    }

    /// Takes away everything from the frame of a position to the end of the segment, and the place itself:
    /// the device cannot read it, so nobody can tell what stood there.
    fn unreadable_from(self, position: u64) -> Self {
        let place = frame_of(&self.disk, position);
        let end = self.disk.bytes_of(&place.path).unwrap().len() as u64;
        self.disk.lose(&place.path, place.offset / 512 * 512..end);
        self
    }

    fn open(&self) -> MemoryEngine {
        open_read_only(&self.disk)
    }

    /// Returns the positions of the events of a stream.
    fn own(&self, name: &str) -> Vec<u64> {
        (1..).zip(&self.names).filter(|(_, own)| **own == name).map(|(it, _)| it).collect()
    }
}

/// What a read gave, and whether it ended with damage; any other error fails the test.
fn given(events: Result<crate::store::Events>) -> (Vec<u64>, bool) {
    match events {
        Ok(events) => {
            let (events, error) = split(Ok(events));
            assert!(matches!(error, None | Some(Error::Damage(_))), "{error:?}");
            (positions(&events), error.is_some())
        }
        Err(Error::Damage(_)) => (Vec::new(), true),
        Err(error) => panic!("{error:?}"),
    }
}

fn of_stream(engine: &MemoryEngine, name: &str, options: &StreamRead) -> (Vec<u64>, bool) {
    given(engine.reader().read_stream(&stream(name), options))
}

fn of_all(engine: &MemoryEngine, query: &Query, options: &GlobalRead) -> (Vec<u64>, bool) {
    given(engine.reader().read(query, options))
}

fn tagged(tag: &str) -> Query {
    QueryItem::new().tag(tag).into()
}

/// The damage of an answer: it names file, offset and the positions that cannot be read.
fn named<T: std::fmt::Debug>(answer: Result<T>) -> (String, Option<u64>, Option<u64>) {
    let damage = damage_of(answer);
    let number = |position: Option<GlobalPosition>| position.map(GlobalPosition::get);
    assert!(damage.offset > 0, "{damage}");
    let file = damage.file.to_str().unwrap().to_owned();
    (file, number(damage.first_lost), number(damage.first_good_after))
}

#[test]
fn three_events_of_a_stream_of_which_the_last_is_damaged_are_never_two() {
    let engine = Scene::of(&["x", "x", "x"], 65_536).damaged_at(&[3]).open();
    let reader = engine.reader();
    let expected = (segment_path(1), Some(3), Some(4));
    assert_eq!(of_stream(&engine, "x", &StreamRead::new()), (vec![1, 2], true));
    assert_eq!(of_stream(&engine, "x", &StreamRead::new().backward()), (vec![], true));
    assert_eq!(of_stream(&engine, "x", &StreamRead::new().from(3)), (vec![], true));
    assert_eq!(of_stream(&engine, "x", &StreamRead::new().from(7)), (vec![], true));
    assert_eq!(of_stream(&engine, "x", &StreamRead::new().limit(3)), (vec![1, 2], true));
    assert_eq!(named(reader.version(&stream("x"))), expected);
    assert_eq!(named(reader.load_stream(&stream("x"), StreamRead::new())), expected);
    assert_eq!(named(reader.load_stream(&stream("x"), StreamRead::new().to(2))), expected);
    assert_eq!(named(reader.event(event_id(3))), expected);
    assert_eq!(named(reader.event_exists(event_id(3))), expected);
    assert_eq!(named(reader.event_exists(event_id(99))), expected);
    assert_eq!(of_all(&engine, &Query::all(), &GlobalRead::new()), (vec![1, 2], true));
    assert_eq!(of_all(&engine, &Query::category("Test"), &GlobalRead::new()), (vec![1, 2], true));
    assert_eq!(of_all(&engine, &Query::category("None"), &GlobalRead::new()), (vec![], true));
    // What does not depend on it.
    assert_eq!(of_stream(&engine, "x", &StreamRead::new().to(2)), (vec![1, 2], false));
    assert_eq!(of_stream(&engine, "x", &StreamRead::new().limit(2)), (vec![1, 2], false));
    assert_eq!(of_stream(&engine, "x", &StreamRead::new().to(2).backward()), (vec![2, 1], false));
    assert_eq!(reader.event(event_id(2)).unwrap().unwrap().global_position().get(), 2);
    assert!(reader.event_exists(event_id(1)).unwrap());
    assert_eq!(of_all(&engine, &Query::all(), &GlobalRead::new().to(2)), (vec![1, 2], false));
    assert_eq!(of_all(&engine, &Query::none(), &GlobalRead::new()), (vec![], false));
    assert_eq!(reader.global_position().unwrap().get(), 3);
}

#[test]
fn a_stream_that_is_not_known_may_be_what_is_damaged() {
    let engine = Scene::of(&["x", "y", "x"], 65_536).damaged_at(&[2]).open();
    assert_eq!(of_stream(&engine, "y", &StreamRead::new()), (vec![], true));
    assert_eq!(of_stream(&engine, "y", &StreamRead::new().backward()), (vec![], true));
    assert_eq!(of_stream(&engine, "never", &StreamRead::new()), (vec![], true));
    damage_of(engine.reader().version(&stream("y")));
    damage_of(engine.reader().load_stream(&stream("y"), StreamRead::new()));
    // The next version behind it shows that nothing of this stream is lost.
    assert_eq!(of_stream(&engine, "x", &StreamRead::new()), (vec![1, 3], false));
    assert_eq!(of_stream(&engine, "x", &StreamRead::new().backward()), (vec![3, 1], false));
    assert_eq!(engine.reader().version(&stream("x")).unwrap().get(), 2);
}

#[test]
fn a_stream_until_a_time_before_the_damage_does_not_depend_on_it() {
    let engine = Scene::of(&["x", "y", "x", "y", "x"], 65_536).damaged_at(&[5]).open();
    let until = |number| StreamRead::new().filter(Filter::new().recorded_to(second(number)));
    assert_eq!(of_stream(&engine, "x", &until(3)), (vec![1, 3], false));
    assert_eq!(of_stream(&engine, "x", &until(3).backward()), (vec![3, 1], false));
    // The clock may have stood still after the fourth.
    assert_eq!(of_stream(&engine, "x", &until(4)), (vec![1, 3], true));
    let from = |number| StreamRead::new().filter(Filter::new().recorded_from(second(number)));
    assert_eq!(of_stream(&engine, "x", &from(2)), (vec![3], true));
    assert_eq!(of_stream(&engine, "x", &from(9)), (vec![], true));
}

#[test]
fn the_first_events_of_a_stream_are_missed_in_both_directions() {
    let engine = Scene::of(&["x", "x", "x", "y"], 65_536).damaged_at(&[1]).open();
    assert_eq!(of_stream(&engine, "x", &StreamRead::new()), (vec![], true));
    assert_eq!(of_stream(&engine, "x", &StreamRead::new().from(2)), (vec![2, 3], false));
    assert_eq!(of_stream(&engine, "x", &StreamRead::new().backward()), (vec![3, 2], true));
    assert_eq!(of_stream(&engine, "x", &StreamRead::new().from(2).backward()), (vec![3, 2], false));
    assert_eq!(engine.reader().version(&stream("x")).unwrap().get(), 3);
}

/// Asks everything of a store, and compares with what was recorded: an answer without an error is whole,
/// what comes before an error is all that does, and an error is told of nothing but what may depend on
/// damage.
fn check_everything(scene: &Scene, engine: &MemoryEngine, lost: &[u64]) {
    let last = scene.names.len() as u64;
    check_ids(engine, last, lost);
    for name in ["x", "y"] {
        check_stream(engine, name, &scene.own(name), lost);
    }
    let after = lost.iter().max().unwrap() + 1;
    let expected = ((after..=last).collect(), false);
    assert_eq!(of_all(engine, &Query::all(), &GlobalRead::new().from(after)), expected);
    check_times(engine, last, lost);
}

fn check_ids(engine: &MemoryEngine, last: u64, lost: &[u64]) {
    let reader = engine.reader();
    for position in 1..=last {
        let is_lost = lost.contains(&position);
        match reader.event(event_id(position)) {
            Ok(Some(event)) => {
                assert_eq!((event.global_position().get(), is_lost), (position, false));
            }
            answer => assert!(is_lost && matches!(answer, Err(Error::Damage(_))), "{answer:?}"),
        }
        // The index may know that the event exists though it cannot be read.
        match reader.event_exists(event_id(position)) {
            Ok(exists) => assert!(exists),
            Err(error) => assert!(is_lost && matches!(error, Error::Damage(_)), "{error:?}"),
        }
    }
}

fn check_stream(engine: &MemoryEngine, name: &str, own: &[u64], lost: &[u64]) {
    let is_lost = |position: &u64| lost.contains(position);
    let newest = own.iter().rev().find(|it| !is_lost(it)).copied().unwrap_or_default();
    let may_go_on = lost.iter().any(|it| *it > newest);
    match engine.reader().version(&stream(name)) {
        Ok(version) => assert_eq!(version.get(), own.len() as u64),
        Err(error) => assert!(may_go_on && matches!(error, Error::Damage(_)), "{error:?}"),
    }
    for version in 1..=own.len() {
        let wanted = &own[version - 1..];
        let expected: Vec<u64> = wanted.iter().copied().take_while(|it| !is_lost(it)).collect();
        let (found, is_damaged) = of_stream(engine, name, &StreamRead::new().from(version as u64));
        assert_eq!(found, expected, "{name} from {version}");
        let must_fail = wanted.iter().any(is_lost);
        assert!(is_damaged >= must_fail && is_damaged <= (must_fail || may_go_on));
        let wanted: Vec<u64> = own[..version].iter().rev().copied().collect();
        let expected: Vec<u64> = wanted.iter().copied().take_while(|it| !is_lost(it)).collect();
        let options = StreamRead::new().to(version as u64).backward();
        let expected = (expected, wanted.iter().any(is_lost));
        assert_eq!(of_stream(engine, name, &options), expected, "{name} back from {version}");
    }
    let (found, is_damaged) = of_all(engine, &tagged(name), &GlobalRead::new());
    let first_lost = *lost.iter().min().unwrap();
    let before: Vec<u64> = own.iter().copied().take_while(|it| *it < first_lost).collect();
    assert!(found.starts_with(&before) && own.starts_with(&found), "{found:?}");
    assert!(found == own || is_damaged, "{found:?}");
    assert!(is_damaged >= own.iter().any(is_lost));
}

/// Times never decrease, so what can be read beside a lost event bounds when it was recorded.
fn check_times(engine: &MemoryEngine, last: u64, lost: &[u64]) {
    let is_lost = |position: &u64| lost.contains(position);
    for number in 1..=last {
        let options = GlobalRead::new().filter(Filter::new().recorded_to(second(number)));
        let may_be =
            lost.iter().any(|it| *it <= number || (number + 1..*it).all(|it| is_lost(&it)));
        let expected: Vec<u64> = (1..=number).take_while(|it| !is_lost(it)).collect();
        let found = of_all(engine, &Query::all(), &options);
        assert_eq!(found, (expected, may_be), "until {number}");
        let options = GlobalRead::new().filter(Filter::new().recorded_from(second(number)));
        let may_be =
            lost.iter().any(|it| *it >= number || (*it + 1..number).all(|it| is_lost(&it)));
        let first = (1..number).rev().take_while(is_lost).last().unwrap_or(number);
        let expected: Vec<u64> = (first..=last).take_while(|it| !is_lost(it)).collect();
        let found = of_all(engine, &Query::all(), &options);
        assert_eq!(found, (expected, may_be), "from {number}");
    }
}

const TURNS: [&str; 12] = ["x", "y", "x", "x", "y", "x", "y", "y", "x", "x", "y", "x"];

#[test]
fn damage_before_between_and_behind_runs_is_met_by_every_question() {
    // With these tables runs cover all events, the first ten, the first seven, and none.
    for table in [1, 5, 7, 65_536] {
        for lost in [&[1][..], &[3], &[5], &[8], &[11], &[12], &[4, 5], &[2, 9], &[1, 12]] {
            for index in [Index::Kept, Index::Removed] {
                let scene = Scene::of(&TURNS, table).damaged_at(lost);
                if index == Index::Removed {
                    let runs = scene.disk.files();
                    let runs = runs.iter().filter(|path| path.starts_with("index/"));
                    runs.for_each(|path| remove(&scene.disk, path));
                }
                check_everything(&scene, &scene.open(), lost);
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Index {
    Kept,
    Removed,
}

#[test]
fn one_run_that_is_missing_over_damage_leaves_no_answer_short() {
    let whole = Scene::of(&TURNS, 2);
    let runs = whole.disk.files();
    let runs: Vec<_> = runs.iter().filter(|path| path.starts_with("index/")).collect();
    assert!(!runs.is_empty());
    for run in runs {
        for lost in 1..=TURNS.len() as u64 {
            let scene = Scene { disk: whole.disk.copy(), names: TURNS.to_vec() };
            let scene = scene.damaged_at(&[lost]);
            remove(&scene.disk, run);
            check_everything(&scene, &scene.open(), &[lost]);
        }
    }
}

#[test]
fn an_end_of_the_log_that_cannot_be_read_is_an_error_wherever_the_answer_may_lie_in_it() {
    // The frames stand in sectors of their own, so that the first six are all there.
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append_all(&engine, 1..=7, 1000);
    engine.close().unwrap();
    let scene = Scene { disk, names: vec!["one"; 7] }.unreadable_from(7);
    let engine = scene.open();
    let reader = engine.reader();
    let (events, error) = read_from(&engine, 1);
    let known = events.len() as u64;
    assert!((5..=6).contains(&known));
    let damage = damage_of(error.map_or(Ok(()), Err));
    assert_eq!((damage.first_lost.unwrap().get(), damage.first_good_after), (known + 1, None));
    let (all, whole): (Vec<u64>, _) = ((1..=known).collect(), Query::all());
    assert_eq!(of_stream(&engine, "one", &StreamRead::new()), (all.clone(), true));
    assert_eq!(of_stream(&engine, "one", &StreamRead::new().backward()), (vec![], true));
    assert_eq!(of_stream(&engine, "one", &StreamRead::new().to(known)), (all.clone(), false));
    assert_eq!(of_stream(&engine, "two", &StreamRead::new()), (vec![], true));
    assert_eq!(of_all(&engine, &whole, &GlobalRead::new().backward()), (vec![], true));
    assert_eq!(of_all(&engine, &whole, &GlobalRead::new().to(known)), (all.clone(), false));
    assert_eq!(of_all(&engine, &whole, &GlobalRead::new().to(known + 1)), (all, true));
    assert_eq!(of_all(&engine, &whole, &GlobalRead::new().from(50)), (vec![], true));
    assert_eq!(of_all(&engine, &tagged("none"), &GlobalRead::new()), (vec![], true));
    damage_of(reader.version(&stream("one")));
    damage_of(reader.event(event_id(7)));
    damage_of(reader.event_exists(event_id(7)));
    damage_of(reader.global_position());
    assert!(reader.event_exists(event_id(known)).unwrap());
}

#[test]
fn a_footer_that_is_damaged_behind_runs_takes_no_answer_with_it() {
    let disk = MemoryDisk::new();
    let options = EngineOptions { memtable_events: 2, ..options() };
    let engine = Engine::open(disk.clone(), &options).unwrap();
    for number in 1..=16 {
        append_sized(&engine, number, SIXTH).unwrap();
        settle_index(&engine);
    }
    engine.close().unwrap();
    let path = segment_path(1);
    let end = disk.bytes_of(&path).unwrap().len() as u64;
    flip(&disk, &path, end - 20);
    let engine = open_read_only(&disk);
    let is_damage = |finding: &Finding| finding.severity == Severity::Damage;
    assert!(engine.findings().iter().any(is_damage));
    let all: Vec<u64> = (1..=16).collect();
    assert_eq!(of_stream(&engine, "one", &StreamRead::new()), (all.clone(), false));
    assert_eq!(of_all(&engine, &Query::all(), &GlobalRead::new()), (all, false));
    assert_eq!(engine.reader().version(&stream("one")).unwrap().get(), 16);
    assert!(!engine.reader().event_exists(event_id(99)).unwrap());
}

#[test]
fn a_segment_that_is_missing_is_met_by_streams_and_ids() {
    for memtable_events in [2, 65_536] {
        let disk = MemoryDisk::new();
        let options = EngineOptions { memtable_events, ..options() };
        let engine = Engine::open(disk.clone(), &options).unwrap();
        for number in 1..=16 {
            append_sized(&engine, number, SIXTH).unwrap();
            settle_index(&engine);
        }
        engine.close().unwrap();
        let last = frames(&disk).into_iter().filter(|it| it.segment == 2).map(|it| it.first).max();
        let first = frames(&disk).into_iter().find(|it| it.segment == 2).unwrap().first;
        let last = last.unwrap();
        remove(&disk, &segment_path(2));
        let engine = open_read_only(&disk);
        let before: Vec<u64> = (1..first).collect();
        assert_eq!(of_stream(&engine, "one", &StreamRead::new()), (before, true));
        let behind: Vec<u64> = (last + 1..=16).collect();
        let options = StreamRead::new().from(last + 1);
        assert_eq!(of_stream(&engine, "one", &options), (behind.clone(), false));
        let backward: Vec<u64> = behind.into_iter().rev().collect();
        assert_eq!(of_stream(&engine, "one", &StreamRead::new().backward()), (backward, true));
        assert_eq!(engine.reader().version(&stream("one")).unwrap().get(), 16);
        for lost in first..=last {
            let damage = damage_of(engine.reader().event(event_id(lost)));
            assert_eq!(damage.file.to_str(), Some(&*segment_path(2)), "{damage}");
        }
    }
}

#[test]
fn what_a_repair_has_given_up_is_no_error() {
    let scene = Scene::of(&["x", "x", "x", "y", "x"], 65_536).damaged_at(&[3]);
    let (clock, _hand) = Clock::manual(second(100));
    crate::engine::repair(&scene.disk, &clock).unwrap();
    let engine = scene.open();
    assert_eq!(of_stream(&engine, "x", &StreamRead::new()), (vec![1, 2, 5], false));
    assert_eq!(of_stream(&engine, "x", &StreamRead::new().backward()), (vec![5, 2, 1], false));
    assert!(!engine.reader().event_exists(event_id(3)).unwrap());
    assert_eq!(engine.reader().version(&stream("never")).unwrap().get(), 0);
    // And beside what is given up, what is damaged since.
    let place = frame_of(&scene.disk, 5);
    flip(&scene.disk, &place.path, place.middle());
    let engine = scene.open();
    assert_eq!(of_stream(&engine, "x", &StreamRead::new()), (vec![1, 2], true));
    damage_of(engine.reader().version(&stream("x")));
}
