//! What rot changes: nothing that anybody is given. Every bit of every file of a small store is
//! flipped, every file is cut at every length, sectors are lost, filled with garbage, brought back from
//! the past and taken from elsewhere, and files stand in each other's place.
//!
//! A store is told to be damaged by `verify` at once, by a read when it comes to the place, and by
//! opening where it looks. `ANNALS_ROT_STEP` says how many of the bits, and of the lengths, are passed
//! over for each that is tried: 1 for all of them.

use std::collections::BTreeSet;
use std::ops::Range;

use super::index::settle_index;
use super::*;
use crate::engine::Finding;

/// Just more than the header, so that a store of several segments has few bytes.
const SMALL_SEGMENT_BYTES: u64 = 8192;

const TABLE_EVENTS: usize = 8;
const EVENTS: u64 = 11;

/// Four of these events fill a segment.
const PAYLOAD_BYTES: usize = 800;

const SECTOR_BYTES: usize = 512;

const THREADS: usize = 2;

/// How a store was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Closed.
    Closed,
    /// Killed a while after the last commit, so that a mark stands behind it.
    Marked,
    /// Killed while the last commit was written: nothing vouches for it.
    Unmarked,
}

/// A store to be damaged.
struct Original {
    left: Left,
    disk: MemoryDisk,
    events: Vec<RecordedEvent>,
    frames: Vec<Place>,
    /// What the disk was like after each commit.
    older: Vec<MemoryDisk>,
}

/// What was done to a file: its bytes in this range are not as they were.
#[derive(Debug, Clone)]
struct Harm {
    path: String,
    range: Range<usize>,
}

fn small() -> EngineOptions {
    let (segment_bytes, memtable_events) = (SMALL_SEGMENT_BYTES, TABLE_EVENTS);
    EngineOptions { segment_bytes, memtable_events, ..options() }
}

fn open_small(disk: &MemoryDisk) -> Result<MemoryEngine> {
    Engine::open(disk.clone(), &small())
}

/// Writes a store of sealed segments, an active one, a spare, and a run of the index that ends before
/// the log does; hands on what it was like after each commit.
fn write(disk: &MemoryDisk, mut each: impl FnMut(&MemoryDisk)) -> MemoryEngine {
    let engine = open_small(disk).unwrap();
    for number in 1..=EVENTS {
        append_sized(&engine, number, PAYLOAD_BYTES).unwrap();
        settle_index(&engine);
        each(disk);
    }
    wait_until(|| disk.files().contains(&segment_path(4)));
    // The last rollover is known by then.
    wait_until(|| claimed(disk) == Some(9) && !disk.files().iter().any(|it| it.ends_with(".tmp")));
    engine
}

impl Original {
    fn new(left: Left) -> Self {
        let disk = MemoryDisk::new();
        let mut older = Vec::new();
        let engine = write(&disk, |disk| older.push(disk.copy()));
        let (events, error) = read_from(&engine, 1);
        assert!(error.is_none());
        let disk = match left {
            Left::Closed => {
                engine.close().unwrap();
                disk.copy()
            }
            Left::Marked => {
                engine.writer.as_ref().unwrap().queue.mark().unwrap();
                disk.copy()
            }
            Left::Unmarked => crash(&disk),
        };
        let frames = frames(&disk);
        assert_eq!((frames.last().unwrap().segment, events.len() as u64), (3, EVENTS));
        Self { left, disk, events, frames, older }
    }

    /// Returns the files and how long they are; what lies behind the size of a segment is not looked at.
    fn files(&self) -> Vec<(String, usize)> {
        let length = |path: &String| {
            let length = self.disk.bytes_of(path).unwrap().len();
            match path.ends_with(".seg") {
                true => length.min(usize::try_from(SMALL_SEGMENT_BYTES).unwrap()),
                false => length,
            }
        };
        self.disk.files().into_iter().map(|path| (path.clone(), length(&path))).collect()
    }

    /// Returns the store with the bytes of a file changed, and where they are.
    fn harmed(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) -> (MemoryDisk, Harm) {
        let disk = self.disk.copy();
        edit(&disk, path, change);
        let (before, after) = (self.disk.bytes_of(path).unwrap(), disk.bytes_of(path).unwrap());
        let differs = |offset: &usize| before.get(*offset) != after.get(*offset);
        let length = before.len().max(after.len());
        let start = (0..length).find(differs).unwrap_or(length);
        let end = (0..length).rfind(differs).map_or(start, |last| last + 1);
        (disk, Harm { path: path.to_owned(), range: start..end })
    }

    /// Returns the positions that may be gone without a trace: those of the last frames, if none is left
    /// behind them that vouches for what was there. After a close all are known.
    fn excused(&self, harm: &Harm) -> BTreeSet<u64> {
        if self.left == Left::Closed {
            return BTreeSet::new();
        }
        let is_harmed = |frame: &&Place| {
            let (start, end) = (harm.range.start as u64, harm.range.end as u64);
            frame.path == harm.path && start < frame.end() && frame.offset < end
        };
        let last = self.frames.iter().rev().take_while(is_harmed);
        last.flat_map(|frame| frame.first..frame.first + frame.events).collect()
    }

    /// Tells whether the last frame is harmed: without it a store looks as it did a while before.
    fn reaches_end(&self, harm: &Harm) -> bool {
        let last = self.frames.last().unwrap();
        last.path == harm.path
            && last.offset < harm.range.end as u64
            && (harm.range.start as u64) < last.end()
    }

    /// Holds a damaged store to the promises, however it is opened. Tells whether `verify` noticed.
    fn check(&self, disk: &MemoryDisk, harm: &Harm) -> bool {
        let excused = self.excused(harm);
        let is_noticed = self.check_verify(disk, harm);
        let read_only = opened(Engine::open_read_only(disk.clone()), harm);
        let read = read_only.map(|engine| self.check_reads(&engine, &excused, harm));
        let written = opened(open_small(disk), harm)
            .map(|engine| self.check_writer(disk, &engine, &excused, harm));
        if harm.path.starts_with("index/") {
            let all = Some((1..=EVENTS).collect());
            assert!(read == all && written == all, "{harm:?}: {read:?} {written:?}");
        }
        is_noticed
    }

    fn check_verify(&self, disk: &MemoryDisk, harm: &Harm) -> bool {
        match verify(disk.clone()) {
            Ok(report) => {
                let is_named = |finding: &Finding| finding.file.to_str() == Some(&harm.path);
                let is_noticed = report.findings.iter().any(is_named);
                assert!(is_noticed || report.findings.is_empty(), "{harm:?}: {report:?}");
                is_noticed
            }
            Err(error) => opened::<()>(Err(error), harm).is_none(),
        }
    }

    /// Reads everything in every way; returns what was given and the errors in between.
    fn check_reads(
        &self,
        engine: &MemoryEngine,
        excused: &BTreeSet<u64>,
        harm: &Harm,
    ) -> BTreeSet<u64> {
        let (mut given, mut named) = (BTreeSet::new(), excused.clone());
        for finding in engine.findings().iter().filter(|one| one.severity == Severity::Damage) {
            let first_good = finding.first_good_after.map_or(EVENTS + 1, GlobalPosition::get);
            named.extend(finding.first_lost.map_or(first_good, GlobalPosition::get)..first_good);
        }
        let mut position = 1;
        while position <= EVENTS {
            let (events, error) = read_from(engine, position);
            self.assert_are_original(&events, harm);
            given.extend(positions(&events));
            let Some(error) = error else {
                self.assert_none_missing(position..=EVENTS, &events, excused, harm);
                break;
            };
            let Error::Damage(damage) = &error else { panic!("{harm:?}: {error:?}") };
            let first_good = damage.first_good_after.map_or(EVENTS + 1, GlobalPosition::get);
            let first_lost = damage.first_lost.map_or(first_good, GlobalPosition::get);
            assert!(first_good > position, "{harm:?}: from {position} on {damage:?}");
            named.extend(first_lost..first_good);
            position = first_good;
        }
        let known = |position: &u64| given.contains(position) || named.contains(position);
        assert!((1..=EVENTS).all(|position| known(&position)), "{harm:?}: {given:?} {named:?}");
        self.check_query(engine, excused, harm);
        self.check_stream(engine, &given, excused, harm);
        self.check_ids(engine, &given, excused, harm);
        given
    }

    /// Asserts that an answer without an error holds every position of a range that must be there.
    fn assert_none_missing(
        &self,
        range: RangeInclusive<u64>,
        events: &[RecordedEvent],
        excused: &BTreeSet<u64>,
        harm: &Harm,
    ) {
        let there: BTreeSet<u64> = positions(events).into_iter().collect();
        let missing: Vec<u64> =
            range.filter(|it| !there.contains(it) && !excused.contains(it)).collect();
        assert_eq!(missing, Vec::<u64>::new(), "{harm:?}: missing without an error");
    }

    fn check_query(&self, engine: &MemoryEngine, excused: &BTreeSet<u64>, harm: &Harm) {
        for options in [GlobalRead::new(), GlobalRead::new().backward()] {
            let query = crate::store::Query::category("Test");
            let (events, error) = split(engine.reader().read(&query, &options));
            self.assert_are_original(&events, harm);
            match error {
                None => self.assert_none_missing(1..=EVENTS, &events, excused, harm),
                Some(error) => assert_is_damage(&error, harm),
            }
        }
    }

    /// All events are of one stream, so a version is a position.
    fn check_stream(
        &self,
        engine: &MemoryEngine,
        given: &BTreeSet<u64>,
        excused: &BTreeSet<u64>,
        harm: &Harm,
    ) {
        for (options, is_forward) in
            [(StreamRead::new(), true), (StreamRead::new().backward(), false)]
        {
            let (events, error) = read_stream(engine, &options);
            self.assert_are_original(&events, harm);
            let there = positions(&events);
            let from_first = (1..).take(there.len()).eq(there.iter().copied());
            let follows = there.windows(2).all(|pair| pair[0] == pair[1] + 1);
            assert!(if is_forward { from_first } else { follows }, "{harm:?}: {there:?}");
            match error {
                None => self.assert_none_missing(1..=EVENTS, &events, excused, harm),
                Some(error) => assert_is_damage(&error, harm),
            }
        }
        match engine.reader().version(&stream("one")) {
            Ok(version) => {
                let missing = (version.get() + 1..=EVENTS).find(|it| !excused.contains(it));
                assert_eq!(missing, None, "{harm:?}: the version is {version}");
            }
            Err(error) => assert_is_damage(&error, harm),
        }
        // What is behind a damaged event is read by asking from there.
        for version in given {
            let (events, error) = read_stream(engine, &StreamRead::new().from(*version).limit(1));
            assert!(error.is_none(), "{harm:?}: from {version} on {error:?}");
            assert_eq!(positions(&events), [*version], "{harm:?}");
        }
    }

    fn check_ids(
        &self,
        engine: &MemoryEngine,
        given: &BTreeSet<u64>,
        excused: &BTreeSet<u64>,
        harm: &Harm,
    ) {
        for number in 1..=EVENTS {
            let (is_given, is_excused) = (given.contains(&number), excused.contains(&number));
            match engine.reader().event(event_id(number)) {
                Ok(Some(event)) => self.assert_are_original(&[event], harm),
                Ok(None) if is_excused && !is_given => {}
                Err(error) if !is_given => assert_is_damage(&error, harm),
                other => panic!("{harm:?}: {number} by its id is {other:?}"),
            }
            match engine.reader().event_exists(event_id(number)) {
                Ok(true) => {}
                Ok(false) if is_excused && !is_given => {}
                Err(error) if !is_given => assert_is_damage(&error, harm),
                other => panic!("{harm:?}: that {number} exists is {other:?}"),
            }
        }
    }

    fn assert_are_original(&self, events: &[RecordedEvent], harm: &Harm) {
        for event in events {
            let index = usize::try_from(event.global_position().get() - 1).unwrap();
            assert_eq!(Some(event), self.events.get(index), "{harm:?}: made up or changed");
        }
    }

    /// Holds a store that takes writes to having lost nothing in silence, now and after it was closed.
    fn check_writer(
        &self,
        disk: &MemoryDisk,
        engine: &MemoryEngine,
        excused: &BTreeSet<u64>,
        harm: &Harm,
    ) -> BTreeSet<u64> {
        let given = self.check_reads(engine, excused, harm);
        let last =
            EVENTS - excused.iter().filter(|position| !given.contains(position)).count() as u64;
        match append_sized(engine, EVENTS + 1, PAYLOAD_BYTES) {
            Ok(result) => assert_eq!(result.global_position.get(), last + 1, "{harm:?}"),
            Err(error) => assert!(matches!(error, Error::Damage(_)), "{harm:?}: {error:?}"),
        }
        let _may_be_refused = engine.close();
        let is_whole = (1..=last).all(|position| given.contains(&position));
        let is_intact = verify(disk.clone()).is_ok_and(|report| report.is_intact());
        assert!(is_whole || !is_intact, "{harm:?}: hidden by opening; {given:?} are there");
        given
    }
}

fn assert_is_damage(error: &Error, harm: &Harm) {
    assert!(matches!(error, Error::Damage(_)), "{harm:?}: {error:?}");
}

/// Holds an opening that was refused to naming what was harmed.
fn opened<T>(opened: Result<T>, harm: &Harm) -> Option<T> {
    let error = match opened {
        Ok(opened) => return Some(opened),
        Err(error) => error,
    };
    let named = match &error {
        Error::Damage(damage) => &damage.file,
        Error::Incompatible { file, .. } => file,
        Error::NotAStore { path, .. }
        | Error::StoreFileMissing { path }
        | Error::Missing { path } => path,
        error => panic!("{harm:?}: {error:?}"),
    };
    assert!(Some(&*harm.path) == named.to_str() || harm.path == "STORE", "{harm:?}: {error}");
    None
}

/// Runs a check of every item on several threads, and returns the items of which it did not hold.
fn failing<I: Clone + Sync + Send>(items: &[I], check: impl Fn(&I) -> bool + Sync) -> Vec<I> {
    let check = &check;
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let mine = items.iter().skip(thread).step_by(THREADS);
                scope.spawn(move || mine.filter(|item| !check(item)).cloned().collect::<Vec<_>>())
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// Returns how many are passed over for each that is tried.
fn step(default: usize) -> usize {
    std::env::var("ANNALS_ROT_STEP").map_or(default, |step| step.parse().unwrap())
}

fn flip_every_bit(left: Left) {
    let original = Original::new(left);
    let files = original.files();
    let bits = |(path, length): &(String, usize)| {
        let path = path.clone();
        (0..length * 8).map(move |bit| (path.clone(), bit))
    };
    let bits: Vec<_> = files.iter().flat_map(bits).step_by(step(2003)).collect();
    let unnoticed = failing(&bits, |(path, bit)| {
        let (disk, harm) = original.harmed(path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        original.check(&disk, &harm)
    });
    assert!(unnoticed.is_empty(), "{:?}, {} bits: {unnoticed:?}", original.left, bits.len());
}

#[test]
fn no_flipped_bit_of_a_closed_store_goes_unnoticed_or_changes_what_is_read() {
    flip_every_bit(Left::Closed);
}

#[test]
fn no_flipped_bit_of_a_store_that_was_killed_goes_unnoticed_or_changes_what_is_read() {
    flip_every_bit(Left::Marked);
}

#[test]
fn no_flipped_bit_of_a_store_that_was_killed_in_a_commit_cuts_another_one() {
    flip_every_bit(Left::Unmarked);
}

/// Cuts every file at every length.
fn cut_at_every_length(left: Left) {
    let original = Original::new(left);
    let files = original.files();
    let lengths = |(path, length): &(String, usize)| {
        (0..*length).map(|short| (path.clone(), short)).collect()
    };
    let lengths: Vec<_> = files.iter().flat_map::<Vec<_>, _>(lengths).step_by(step(397)).collect();
    let unnoticed = failing(&lengths, |(path, short)| {
        let (disk, harm) = original.harmed(path, |bytes| bytes.truncate(*short));
        original.check(&disk, &harm)
    });
    assert!(unnoticed.is_empty(), "{:?}, {} lengths: {unnoticed:?}", left, lengths.len());
}

#[test]
fn no_file_of_a_closed_store_is_cut_short_unnoticed() {
    cut_at_every_length(Left::Closed);
}

#[test]
fn no_file_of_a_store_that_was_killed_is_cut_short_unnoticed() {
    cut_at_every_length(Left::Unmarked);
}

#[test]
fn a_segment_that_ends_before_the_frame_where_a_run_ends_is_damage() {
    // The run of the first eight events ends in the second segment: the place was looked at behind the
    // end of the file.
    let original = Original::new(Left::Closed);
    for length in [0, 4096, 4100, 4104] {
        let (disk, harm) = original.harmed(&segment_path(2), |bytes| bytes.truncate(length));
        assert!(original.check(&disk, &harm), "{length}");
    }
}

/// What a sector holds instead of what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sector {
    Zeros,
    Garbage,
    /// What stands this many sectors behind.
    Behind(usize),
    /// What stands there in another file of the store, counted from this one.
    OfOther(usize),
    /// What stands there in another store.
    Foreign,
    /// What stood there after so many commits.
    Old(u64),
}

impl Sector {
    fn all() -> Vec<Self> {
        let mut all = vec![Self::Zeros, Self::Garbage, Self::Foreign];
        all.extend([1, 2, 7].map(Self::Behind));
        all.extend([1, 2, 3].map(Self::OfOther));
        all.extend((1..=EVENTS).map(Self::Old));
        all
    }

    /// Returns what a sector of a file holds, if there is such a thing.
    fn bytes(self, own: &Original, other: &Original, path: &str, start: usize) -> Option<Vec<u8>> {
        let sector = |disk: &MemoryDisk, path: &str, start: usize| {
            let bytes = disk.bytes_of(path).ok()?;
            bytes.get(start..start + SECTOR_BYTES).map(<[u8]>::to_vec)
        };
        let files = own.disk.files();
        let number = files.iter().position(|file| file == path)?;
        match self {
            Self::Zeros => Some(vec![0; SECTOR_BYTES]),
            Self::Garbage => {
                let word = |place: usize| (start + place).wrapping_mul(0x9e37_79b9) >> 7;
                Some((0..SECTOR_BYTES).map(|place| word(place).to_le_bytes()[0]).collect())
            }
            Self::Behind(sectors) => sector(&own.disk, path, start + sectors * SECTOR_BYTES),
            Self::OfOther(away) => sector(&own.disk, &files[(number + away) % files.len()], start),
            Self::Foreign => sector(&other.disk, path, start),
            Self::Old(commits) => {
                let older = usize::try_from(commits - 1).unwrap();
                sector(own.older.get(older)?, path, start)
            }
        }
    }
}

/// Replaces every sector of every file by something else.
fn replace_every_sector(left: Left) {
    let original = Original::new(left);
    let other = Original::new(left);
    let mut harms = Vec::new();
    for (path, length) in original.files() {
        let starts = (0..length / SECTOR_BYTES).map(|sector| sector * SECTOR_BYTES);
        harms.extend(
            starts
                .flat_map(|start| Sector::all().into_iter().map(move |sector| (start, sector)))
                .map(|(start, sector)| (path.clone(), start, sector)),
        );
    }
    let harms: Vec<_> = harms.into_iter().step_by(step(23)).collect();
    let unnoticed = failing(&harms, |(path, start, sector)| {
        let Some(bytes) = sector.bytes(&original, &other, path, *start) else { return true };
        let (disk, harm) = original.harmed(path, |file| {
            file[*start..start + SECTOR_BYTES].copy_from_slice(&bytes);
        });
        harm.range.is_empty() || original.check(&disk, &harm) || original.reaches_end(&harm)
    });
    assert!(unnoticed.is_empty(), "{left:?}, {} sectors: {unnoticed:?}", harms.len());
}

#[test]
fn no_sector_of_a_closed_store_is_replaced_unnoticed() {
    replace_every_sector(Left::Closed);
}

#[test]
fn no_sector_of_a_store_that_was_killed_is_replaced_unnoticed() {
    replace_every_sector(Left::Unmarked);
}

#[test]
fn a_segment_in_the_place_of_another_is_refused_and_nothing_is_made_up() {
    let original = Original::new(Left::Closed);
    // The fourth is the spare, and there is no fifth.
    for (from, to) in (1..=4).flat_map(|from| (1..=5).map(move |to| (from, to))) {
        if from == to {
            continue;
        }
        let bytes = original.disk.bytes_of(&segment_path(from)).unwrap();
        let disk = original.disk.copy();
        let harm = Harm { path: segment_path(to), range: 0..bytes.len() };
        disk.set_bytes(&segment_path(to), bytes);
        assert!(original.check(&disk, &harm), "{from} in the place of {to}");
    }
}
