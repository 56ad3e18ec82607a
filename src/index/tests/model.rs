//! The whole index against a plain model, whatever happens to it: a map of terms to positions.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::sync::Arc;

use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;
use crate::error::Result;
use crate::index::term::TermList;
use crate::index::{Access, Index, LogSource, Look, Pace, RunCheck};
use crate::io::Operation;

/// Events of a memtable.
const TABLE_EVENTS: usize = 6;
/// Different terms; few, so that lists grow long.
const TERMS: u64 = 9;

/// A frame of the log: for each event its terms.
type Frame = Vec<Vec<u64>>;

/// The log as it would be read again.
#[derive(Clone, Default)]
struct ModelLog {
    frames: Arc<Mutex<Vec<(u64, Frame)>>>,
    /// Sees every frame that is read again.
    watch: Arc<Mutex<Option<Watch>>>,
}

type Watch = Box<dyn FnMut() + Send>;

impl ModelLog {
    fn next(&self) -> u64 {
        self.frames.lock().last().map_or(1, |(first, frame)| first + frame.len() as u64)
    }
}

fn location(number: u64) -> Location {
    Location::new(number * 64)
}

/// The terms of a frame whose first event has a number; each event has an id besides.
fn terms_of(first: u64, frame: &Frame) -> TermList {
    TermList::of((first..).zip(frame).map(|(number, terms)| {
        let hashes = terms.iter().map(|term| TermHash::new(spread(*term)));
        (hashes.chain([id_hash(number)]), id_time(number))
    }))
}

fn id_hash(number: u64) -> TermHash {
    TermHash::new(spread(1_000_000 + number))
}

/// Times that come nearly in order, and now and then an id without one.
fn id_time(number: u64) -> IdTime {
    match number % 17 {
        16 => IdTime::Unknown,
        _ => IdTime::At(10 * number + spread(number) % 40),
    }
}

impl LogSource for ModelLog {
    fn frames(
        &self,
        from: Option<Resume>,
        last: GlobalPosition,
        take: &mut dyn FnMut(&[(GlobalPosition, Location)], &TermList, Resume) -> Result<()>,
    ) -> Result<()> {
        let start = from.map_or(1, |from| from.next_position.get());
        let frames = self.frames.lock().clone();
        let wanted = |first: u64| (start..=last.get()).contains(&first);
        for (first, frame) in frames.into_iter().filter(|(first, _)| wanted(*first)) {
            let next = first + frame.len() as u64;
            let places: Vec<_> =
                (first..next).map(|number| (position(number), location(number))).collect();
            take(&places, &terms_of(first, &frame), resume_before(next))?;
            if let Some(watch) = &mut *self.watch.lock() {
                watch();
            }
        }
        Ok(())
    }
}

/// What happens to an index.
#[derive(Debug, Clone)]
enum Step {
    Append(Frame),
    WriteFrozen,
    Merge,
    /// The nth call of the next step fails, or it and all later ones.
    FailNext(u32, bool),
    /// The process ends without closing.
    Crash,
    /// The process ends, and a file is damaged: which one, where, and how.
    Damage(usize, usize, Harm),
    Close,
}

#[derive(Debug, Clone, Copy)]
enum Harm {
    Flip,
    Cut,
    Remove,
}

fn any_frame() -> impl Strategy<Value = Frame> {
    let terms = prop::collection::btree_set(0..TERMS, 0..4);
    prop::collection::vec(terms.prop_map(|terms| terms.into_iter().collect()), 1..5)
}

fn any_step() -> impl Strategy<Value = Step> {
    let harm = prop_oneof![Just(Harm::Flip), Just(Harm::Cut), Just(Harm::Remove)];
    prop_oneof![
        12 => any_frame().prop_map(Step::Append),
        4 => Just(Step::WriteFrozen),
        4 => Just(Step::Merge),
        3 => (1_u32..40, any::<bool>()).prop_map(|(nth, lasts)| Step::FailNext(nth, lasts)),
        2 => Just(Step::Crash),
        2 => (any::<usize>(), any::<usize>(), harm)
            .prop_map(|(file, offset, harm)| Step::Damage(file, offset, harm)),
        1 => Just(Step::Close),
    ]
}

/// An index beside its model.
struct Pair {
    disk: MemoryDisk,
    log: ModelLog,
    index: Arc<Index<MemoryDisk>>,
}

impl Pair {
    fn new() -> Self {
        let (disk, log) = (MemoryDisk::new(), ModelLog::default());
        let index = Self::open(&disk, &log, Access::Write).unwrap();
        Self { disk, log, index }
    }

    /// Opens the index and adds what no run covers, as the engine does.
    fn open(disk: &MemoryDisk, log: &ModelLog, access: Access) -> Result<Arc<Index<MemoryDisk>>> {
        let next = log.next();
        let is_current = |resume: &Resume, _: Look| Ok(resume.next_position.get() <= next);
        let index = Index::open(Some(disk.clone()), access, STORE, TABLE_EVENTS, &is_current)?;
        index.set_log(log.clone());
        index.fill_gaps(&|_, _| false)?;
        let start = index.resume();
        log.frames(start, GlobalPosition::MAX, &mut |places, terms, resume| {
            if index.make_room(places.len())? {
                drop(index.write_frozen());
                drop(index.merge_once(Pace::Full));
            }
            let entries = places.iter().zip(terms.iter());
            let entry = |((position, location), terms): (&(_, _), _)| Entry {
                position: *position,
                location: *location,
                terms,
            };
            index.add(entries.map(entry), resume).unwrap();
            Ok(())
        })?;
        Ok(Arc::new(index))
    }

    fn reopen(&mut self) {
        self.disk.mend();
        self.disk = self.disk.copy();
        self.index = Self::open(&self.disk, &self.log, Access::Write).unwrap();
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Append(frame) => self.append(frame),
            Step::WriteFrozen => drop(self.index.write_frozen()),
            Step::Merge => drop(self.index.merge_once(Pace::Full)),
            Step::FailNext(nth, true) => return self.disk.stop_at(nth),
            Step::FailNext(nth, false) => return self.disk.fail_any(nth, ErrorKind::StorageFull),
            Step::Crash => self.reopen(),
            Step::Damage(file, offset, harm) => {
                self.disk = self.disk.copy();
                self.damage(file, offset, harm);
                self.reopen();
            }
            Step::Close => {
                drop(self.index.close(GlobalPosition::MAX));
                self.reopen();
            }
        }
        self.disk.mend();
    }

    /// Adds a frame; one that finds no room is refused and is not in the log.
    fn append(&mut self, frame: Frame) {
        if self.index.make_room(frame.len()).is_err() {
            return;
        }
        let first = self.log.next();
        let next = first + frame.len() as u64;
        let terms = terms_of(first, &frame);
        let entries = (first..next).zip(terms.iter()).map(|(number, terms)| Entry {
            position: position(number),
            location: location(number),
            terms,
        });
        self.index.add(entries, resume_before(next)).unwrap();
        self.log.frames.lock().push((first, frame));
    }

    fn damage(&self, file: usize, offset: usize, harm: Harm) {
        let files = self.disk.files();
        if files.is_empty() {
            return;
        }
        let path = &files[file % files.len()];
        let mut bytes = self.disk.bytes_of(path).unwrap();
        let offset = offset % bytes.len().max(1);
        match harm {
            Harm::Flip if bytes.is_empty() => return,
            Harm::Flip => bytes[offset] ^= 1,
            Harm::Cut => bytes.truncate(offset),
            Harm::Remove => return self.disk.remove(path).unwrap(),
        }
        self.disk.set_bytes(path, bytes);
    }

    /// Asserts that an index answers every question as the model does.
    fn assert_agrees(&self, index: &Arc<Index<MemoryDisk>>) {
        let last = self.log.next() - 1;
        for number in 0..=last + 1 {
            let wanted = (1..=last).contains(&number).then(|| location(number));
            assert_eq!(index.locate(position(number)).unwrap(), wanted);
            let is_there = wanted.map(|_| position(number));
            let found = |time| index.postings(id_hash(number), time).first_from(position(1));
            assert_eq!(found(Some(id_time(number))).unwrap(), is_there, "id {number}");
            assert_eq!(found(None).unwrap(), is_there);
        }
        for term in 0..TERMS + 1 {
            let log = self.log.frames.lock();
            let events = log.iter().flat_map(|(first, frame)| (*first..).zip(frame));
            let has_term = events.filter(|(_, terms)| terms.contains(&term));
            let list: Vec<u64> = has_term.map(|(number, _)| number).collect();
            drop(log);
            let mut postings = index.postings(TermHash::new(spread(term)), None);
            let number =
                |found: Result<Option<GlobalPosition>>| found.unwrap().map(GlobalPosition::get);
            for asked in 0..=last + 1 {
                let may_have = index.may_have_from(TermHash::new(spread(term)), position(asked));
                assert!(may_have || list.last().is_none_or(|last| *last < asked));
                assert!(!may_have || asked <= last);
                let from = list.partition_point(|one| *one < asked);
                let to = list.partition_point(|one| *one <= asked);
                let found = number(postings.first_from(position(asked)));
                assert_eq!(found, list.get(from).copied(), "term {term} from {asked}");
                let mut some = VecDeque::new();
                let found = number(postings.some_from(position(asked), &mut some));
                assert_eq!(found, list.get(from).copied(), "term {term} from {asked}");
                let behind =
                    list.get(from + 1..).unwrap_or_default().iter().map(|one| position(*one));
                assert!(
                    some.iter().copied().eq(behind.take(some.len())),
                    "term {term} behind {asked}"
                );
                let found = number(postings.last_to(position(asked)));
                let wanted = to.checked_sub(1).map(|to| list[to]);
                assert_eq!(found, wanted, "term {term} to {asked}");
            }
            for rank in 0..=list.len() {
                let found = number(postings.at_rank(rank as u64));
                assert_eq!(found, list.get(rank).copied(), "term {term} rank {rank}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn the_index_answers_as_a_map_does_whatever_happens_to_it(
        steps in prop::collection::vec(any_step(), 1..60)
    ) {
        let mut pair = Pair::new();
        for (number, step) in (1..).zip(steps) {
            pair.take(step);
            if number % 10 == 0 {
                pair.disk.mend();
                pair.assert_agrees(&pair.index);
            }
        }
        pair.disk.mend();
        pair.assert_agrees(&pair.index);
        let reader = Pair::open(&pair.disk.copy(), &pair.log, Access::Read).unwrap();
        pair.assert_agrees(&reader);
        pair.reopen();
        pair.assert_agrees(&pair.index);
    }
}

fn filled(count: u64) -> Pair {
    let mut pair = Pair::new();
    for number in 0..count {
        pair.append(vec![vec![number % TERMS]]);
        pair.index.write_frozen().unwrap();
        while pair.index.merge_once(Pace::Full).unwrap() {}
    }
    pair
}

#[test]
fn an_index_that_is_made_again_never_has_many_runs() {
    // 500 events are 84 memtables: with a fan-out of four, four tiers of at most three runs, and what
    // is being merged. All of them at once would be more files than a process may have open.
    let pair = filled(500);
    let all = pair.disk.files();
    for removed in [&all[..], &all[..1], &all[1..2], &all[..all.len() - 1]] {
        let disk = pair.disk.copy();
        removed.iter().for_each(|path| disk.remove(path).unwrap());
        let watched = disk.clone();
        let most = Arc::new(Mutex::new(0));
        let seen = Arc::clone(&most);
        *pair.log.watch.lock() = Some(Box::new(move || {
            let mut most = seen.lock();
            *most = watched.files().len().max(*most);
        }));
        let index = Pair::open(&disk, &pair.log, Access::Write).unwrap();
        pair.assert_agrees(&index);
        assert!((1..=20).contains(&*most.lock()), "{} runs", most.lock());
    }
}

#[test]
fn a_damaged_run_is_made_again_as_one_run_of_the_same_name() {
    let mut pair = filled(400);
    pair.reopen();
    let before = files(&pair.disk);
    for path in &before {
        let mut bytes = pair.disk.bytes_of(path).unwrap();
        let page = bytes.len() / 2;
        bytes[4096..page.max(8192)].fill(0xa5);
        pair.disk.set_bytes(path, bytes);
    }
    pair.assert_agrees(&pair.index);
    assert_eq!(files(&pair.disk), before);
    let writes = pair.disk.calls(Operation::Write);
    pair.assert_agrees(&pair.index);
    assert_eq!(pair.disk.calls(Operation::Write), writes, "nothing is made again twice");
}

#[test]
fn whoever_reads_on_after_closing_writes_nothing() {
    let mut pair = filled(100);
    pair.reopen();
    pair.index.close(GlobalPosition::MAX).unwrap();
    for path in files(&pair.disk) {
        let mut bytes = pair.disk.bytes_of(&path).unwrap();
        bytes[4096..8192].fill(0xa5);
        pair.disk.set_bytes(&path, bytes);
    }
    let count = |disk: &MemoryDisk| {
        let changing = [Operation::Write, Operation::Remove, Operation::Rename];
        changing.map(|operation| disk.calls(operation))
    };
    let before = count(&pair.disk);
    pair.assert_agrees(&pair.index);
    assert_eq!(count(&pair.disk), before);
}

#[test]
fn postings_taken_before_a_merge_answer_after_it_though_its_runs_are_gone() {
    let mut pair = Pair::new();
    for number in 0..100 {
        pair.append(vec![vec![number % 3]]);
        pair.index.write_frozen().unwrap();
    }
    let mut postings = pair.index.postings(TermHash::new(spread(1)), None);
    assert_eq!(postings.first_from(position(1)).unwrap(), Some(position(2)));
    let before = files(&pair.disk);
    while pair.index.merge_once(Pace::Full).unwrap() {}
    assert!(before.difference(&files(&pair.disk)).count() > 10);
    let given: Vec<u64> =
        (0..33).map(|rank| postings.at_rank(rank).unwrap().unwrap().get()).collect();
    assert_eq!(given, (0..33).map(|rank| 2 + 3 * rank).collect::<Vec<_>>());
}

/// Damages every page behind the header of runs.
fn ruin<'a>(disk: &MemoryDisk, paths: impl Iterator<Item = &'a String>) {
    for path in paths {
        let mut bytes = disk.bytes_of(path).unwrap();
        bytes[4096..].fill(0xa5);
        disk.set_bytes(path, bytes);
    }
}

#[test]
fn a_look_up_of_an_id_touches_no_run_of_other_times() {
    let mut pair = filled(383);
    pair.reopen();
    let all = files(&pair.disk);
    assert!(all.len() >= 5, "{all:?}");
    let contents =
        |disk: &MemoryDisk| all.iter().map(|path| disk.bytes_of(path).unwrap()).collect::<Vec<_>>();
    // Every seventeenth id tells no time and is looked for everywhere.
    for number in (1..=378_u64).step_by(7).filter(|number| number % 17 != 16) {
        let disk = pair.disk.copy();
        let index = Pair::open(&disk, &pair.log, Access::Write).unwrap();
        let holds = |path: &&String| {
            let (first, last) = crate::index::run::interval_of(path).unwrap();
            // Times are out of order by less than four events.
            let (from, to) = (number.saturating_sub(4), number + 4);
            first <= position(to) && position(from) <= last
        };
        ruin(&disk, all.iter().filter(|path| !holds(path)));
        let before = contents(&disk);
        let mut postings = index.postings(id_hash(number), Some(id_time(number)));
        assert_eq!(postings.first_from(position(1)).unwrap(), Some(position(number)));
        assert!(contents(&disk) == before, "nothing had to be made again for {number}");
    }
    let index = Pair::open(&pair.disk, &pair.log, Access::Write).unwrap();
    ruin(&pair.disk, all.iter());
    let before = contents(&pair.disk);
    for time in [0, 9, 1_000_000] {
        let mut postings = index.postings(id_hash(500), Some(IdTime::At(time)));
        assert_eq!(postings.first_from(position(1)).unwrap(), None);
    }
    assert!(contents(&pair.disk) == before);
    let mut postings = index.postings(id_hash(16), Some(IdTime::Unknown));
    assert_eq!(postings.first_from(position(1)).unwrap(), Some(position(16)));
    assert!(contents(&pair.disk) != before, "an id without a time is looked for in every run");
}

#[test]
fn a_run_whose_id_times_are_not_those_of_its_events_is_noted() {
    let pair = filled(60);
    let check = |id_time: &dyn Fn(u64) -> IdTime| {
        let mut check = RunCheck::open(&pair.disk, STORE, &|_: &Resume, _: Look| Ok(true)).unwrap();
        for (first, frame) in &*pair.log.frames.lock() {
            for (number, terms) in (*first..).zip(terms_of(*first, frame).iter()) {
                let terms = EventTerms { id_time: id_time(number), ..terms };
                check.event(position(number), location(number), terms);
            }
        }
        check.finish(&|_, _| false)
    };
    assert_eq!(check(&id_time), []);
    let first_is_earlier = |number| if number == 1 { IdTime::At(1) } else { id_time(number) };
    let [(_, fault)] = &check(&first_is_earlier)[..] else { panic!("one run is wrong") };
    assert!(fault.contains("id times"), "{fault}");
    assert!(!check(&|_| IdTime::Unknown).is_empty());
}

#[test]
fn whether_an_event_since_has_a_term_is_known_of_memtables_and_read_of_no_run() {
    let mut pair = filled(12);
    for number in 12..25 {
        // The first of two memtables is frozen and not written.
        pair.append(vec![vec![number % 3]]);
    }
    let calls = |disk: &MemoryDisk| disk.calls(Operation::Read);
    let before = calls(&pair.disk);
    let may_have =
        |term, from| pair.index.may_have_from(TermHash::new(spread(term)), position(from));
    // The runs end with position 12 or behind it; the last three events have the positions 23 to
    // 25.
    assert_eq!([0, 1, 2].map(|term| may_have(term, 23)), [true, true, true]);
    assert_eq!([0, 1, 2].map(|term| may_have(term, 24)), [true, false, true]);
    assert_eq!([0, 1, 2].map(|term| may_have(term, 25)), [true, false, false]);
    assert_eq!([0, 1, 2, 7].map(|term| may_have(term, 26)), [false; 4]);
    assert!(may_have(7, 1), "it may be in a run");
    assert_eq!(calls(&pair.disk), before);
}
