//! Kills a process in which four threads commit and two read, and opens what it leaves: everything that
//! was acknowledged or shown is there, commits are whole, and the next process goes on.
//!
//! `ANNALS_CRASH_ROUNDS` says how often; `ANNALS_CRASH_SEED` repeats the kills of a run.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use annals::{
    Commit, EventStore, ExpectedVersion, FileStore, Finding, NewEvent, ReadOptions, RecordedEvent,
    Severity,
};
use uuid::Uuid;

use crate::child;
use crate::store::{read_from, size_from, stream};

const WRITERS: u64 = 4;

/// Rounds after which a new store is taken, so that a round does not get longer and longer.
const ROUNDS_OF_A_STORE: u64 = 10;

/// Which of the two events of a commit one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    First,
    Second,
}

/// Returns an event of a writer's commit: everything about it follows from these.
fn event(writer: u64, number: u64, part: Part) -> NewEvent {
    let id = Uuid::from_u64_pair(writer << 1 | u64::from(part == Part::Second), number);
    let length = usize::try_from((number * 37 + writer) % 2000).unwrap();
    let byte = u8::try_from(number % 251).unwrap() + 1;
    NewEvent::new("Happened", vec![byte; length]).id(id)
}

/// The stream of a writer, to which nobody else writes.
fn own(writer: u64) -> annals::StreamId {
    stream(&format!("writer-{writer}"))
}

/// The commit with a number: an event in the writer's own stream and one in a stream of all.
fn commit(writer: u64, number: u64) -> Commit {
    let expected = ExpectedVersion::exact(number - 1);
    Commit::new().append(&own(writer), expected, vec![event(writer, number, Part::First)]).append(
        &stream("all"),
        ExpectedVersion::Any,
        vec![event(writer, number, Part::Second)],
    )
}

/// The child: writes with several threads and reads with others, and says what it was told and shown.
pub(crate) fn commit_until_killed(path: &Path) {
    let store = child::open(path);
    std::thread::scope(|scope| {
        let store = &store;
        for writer in 0..WRITERS {
            scope.spawn(move || commit_on_and_on(store, writer));
        }
        scope.spawn(|| read_on_and_on(|position| read(store, position)));
        scope.spawn(|| {
            read_on_and_on(|position| {
                let beside = FileStore::open_read_only(path).map_err(|e| format!("{e:?}"))?;
                // A commit that is just being written may look unfinished; nothing may look damaged.
                let is_damage = |found: &&Finding| found.severity == Severity::Damage;
                match beside.findings().iter().find(is_damage) {
                    None => read(&beside, position),
                    Some(found) => Err(format!("{found:?}")),
                }
            });
        });
    });
}

fn read(store: &FileStore, position: u64) -> Result<Vec<RecordedEvent>, String> {
    match read_from(store, position) {
        (events, None) => assert_are_commits(&events, position).map(|()| events),
        (_, Some(error)) => Err(format!("{error:?}")),
    }
}

fn commit_on_and_on(store: &FileStore, writer: u64) {
    for number in store.stream_version(&own(writer)).unwrap().get() + 1.. {
        match store.commit(commit(writer, number)) {
            Ok(_) => child::say(&format!("{writer} {number}")),
            Err(error) => return child::say(&format!("failed: {error:?}")),
        }
    }
}

/// Reads from where the read before ended, and says how far it got.
fn read_on_and_on(read: impl Fn(u64) -> Result<Vec<RecordedEvent>, String>) {
    let mut position = 1;
    loop {
        match read(position) {
            Ok(events) => position += events.len() as u64,
            Err(wrong) => return child::say(&format!("failed: reading from {position}: {wrong}")),
        }
        child::say(&format!("seen {}", position - 1));
    }
}

/// Holds events that were read from a position on to being whole commits, as they were written.
fn assert_are_commits(events: &[RecordedEvent], position: u64) -> Result<(), String> {
    for (position, pair) in (position..).step_by(2).zip(events.chunks(2)) {
        let [first, second] = pair else { return Err(format!("{position} is half a commit")) };
        let (writer, number) = first.event_id().as_uuid().as_u64_pair();
        let is_same = |recorded: &RecordedEvent, position: u64, part: Part| {
            let expected = event(writer >> 1, number, part);
            recorded.global_position().get() == position
                && recorded.event_id() == expected.event_id()
                && recorded.payload() == expected.payload()
        };
        if !is_same(first, position, Part::First) || !is_same(second, position + 1, Part::Second) {
            return Err(format!("{position} is {pair:?}"));
        }
    }
    Ok(())
}

/// What a child was told and shown before it was killed.
#[derive(Debug, Default)]
struct Told {
    /// The last commit of each writer.
    commits: BTreeMap<u64, u64>,
    /// The last position that a reader saw.
    seen: u64,
}

/// Runs a child until so many commits were acknowledged, and kills it.
fn told_before_kill(path: &Path, commits: usize, round: &str) -> Told {
    let mut process = child::of_this_program("commit", path).spawn().unwrap();
    let mut told = Told::default();
    let mut count = 0;
    let output = BufReader::new(process.stdout.take().unwrap());
    for line in output.split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        let said = child::said(&line).unwrap_or_default();
        assert!(!said.starts_with("failed"), "{round}: {said}");
        // The last line may have been cut off by the kill: it names less than was said.
        match said.split_once(' ').map(|(what, number)| (what, number.parse::<u64>())) {
            Some(("seen", Ok(position))) => told.seen = told.seen.max(position),
            Some((writer, Ok(number))) => {
                let last = told.commits.entry(writer.parse().unwrap()).or_default();
                *last = number.max(*last);
                count += 1;
            }
            _ => {}
        }
        if count == commits {
            // On Unix this is SIGKILL. What the child had said before is still read.
            process.kill().unwrap();
        }
    }
    process.wait().unwrap();
    assert!(count >= commits, "{round}: the child ended by itself after {count} commits");
    told
}

fn assert_whole(store: &FileStore, told: &Told, round: &str) {
    let (events, error) = read_from(store, 1);
    assert!(error.is_none(), "{round}: {error:?}");
    assert_are_commits(&events, 1).unwrap_or_else(|wrong| panic!("{round}: {wrong}"));
    assert!(events.len() as u64 >= told.seen, "{round}: {told:?}, {} are there", events.len());
    let mut count = 0;
    for writer in 0..WRITERS {
        let loaded = store.load_stream(&own(writer), ReadOptions::new()).unwrap();
        let version = loaded.version().get();
        let last = told.commits.get(&writer).copied().unwrap_or_default();
        assert!([last, last + 1].contains(&version), "{round}: {version}, told {told:?}");
        count += loaded.events().len();
        for (number, recorded) in (1..).zip(loaded.events()) {
            assert_eq!(recorded.stream_version().get(), number, "{round}");
            let expected = event(writer, number, Part::First);
            assert_eq!(recorded.event_id(), expected.event_id(), "{round}");
        }
    }
    let of_all = store.load_stream(&stream("all"), ReadOptions::new()).unwrap();
    assert_eq!((count, count), (of_all.events().len(), events.len() / 2), "{round}");
}

/// Starts a child on a store, kills it after so many commits, and holds what it leaves to what it said.
fn kill_once(path: &Path, commits: usize, round: &str) {
    let before = match FileStore::open_read_only(path) {
        Ok(store) => store.global_position().unwrap().get(),
        Err(_) => 0,
    };
    let mut told = told_before_kill(path, commits, round);
    told.seen = told.seen.max(before);
    assert!(FileStore::verify(path).unwrap().is_intact(), "{round}");
    let store = child::open(path);
    for writer in 0..WRITERS {
        let version = store.stream_version(&own(writer)).unwrap().get();
        // A writer that was not told anything in this round is where it was before.
        told.commits.entry(writer).or_insert(version);
    }
    assert_whole(&store, &told, round);
    for writer in 0..WRITERS {
        let next = store.stream_version(&own(writer)).unwrap().get() + 1;
        assert!(!store.commit(commit(writer, next)).unwrap().replayed, "{round}");
        told.commits.insert(writer, next);
    }
    assert_whole(&store, &told, round);
    store.close().unwrap();
}

#[test]
fn a_process_that_is_killed_loses_no_acknowledged_event() {
    let directory = tempfile::tempdir().unwrap();
    let seed = size_from("ANNALS_CRASH_SEED", Uuid::new_v4().as_u64_pair().1);
    let mut state = seed;
    for round in 0..size_from("ANNALS_CRASH_ROUNDS", 12) {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let commits = 1 + usize::try_from((state >> 33) % 300).unwrap();
        let path = directory.path().join((round / ROUNDS_OF_A_STORE).to_string());
        kill_once(&path, commits, &format!("ANNALS_CRASH_SEED={seed}, round {round}"));
    }
}
