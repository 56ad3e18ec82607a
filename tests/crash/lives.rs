//! Lives of a store whose calls to the system fail: a child opens it, commits, reads and closes, and
//! says what it was told; the parent then holds what is on the disk to that.
//!
//! Every commit follows from its number. Some write to two streams, and one in four is large, so
//! that segments follow each other; the memtable is so small that runs are written and merged.

use std::ops::RangeInclusive;
use std::path::Path;

use annals::{
    Commit, Error, EventStore, ExpectedVersion, FileStore, NewEvent, Options, ReadOptions, Reading,
    RecordedEvent,
};
use uuid::Uuid;

use crate::child::say;
use crate::store::{read_from, small_segments, stream};

/// Commits of one life.
const COMMITS: u64 = 12;

/// How often one commit, or one opening, is tried: the failure may be over.
const TRIES: u32 = 3;

/// How these stores are opened.
pub(crate) fn options() -> Options {
    small_segments().memtable_events(4)
}

/// Returns the events of a commit, each with the name of its stream.
fn events_of(number: u64) -> Vec<(&'static str, NewEvent)> {
    let own = if number.is_multiple_of(2) { "even" } else { "odd" };
    let names = [own, "shared", "shared"];
    let event = |(index, name): (u64, &'static str)| {
        let mut payload = format!("{index} of {number}").into_bytes();
        if number.is_multiple_of(4) && index == 0 {
            payload.resize(15_000, 4);
        }
        (name, NewEvent::new("Happened", payload).id(Uuid::from_u64_pair(number, index + 1)))
    };
    let count = 1 + usize::try_from(number % 3).unwrap();
    (0..).zip(names).take(count).map(event).collect()
}

/// Returns the commit with a number, counted from 1.
pub(crate) fn commit(number: u64) -> Commit {
    let before = (number - 1) / 2;
    events_of(number).into_iter().fold(Commit::new(), |commit, (name, event)| {
        let expected = match name {
            "shared" => ExpectedVersion::Any,
            _ => ExpectedVersion::exact(before),
        };
        commit.append(&stream(name), expected, vec![event])
    })
}

/// The child: two lives, of which the second begins where the first ended.
pub(crate) fn live(path: &Path, reading: Reading) {
    for life in 0..2 {
        if live_once(path, reading, life * COMMITS + 1..=(life + 1) * COMMITS).is_none() {
            break;
        }
    }
    say("ended");
}

/// Commits what is to be committed; `None` when the system does not let it.
fn live_once(path: &Path, reading: Reading, numbers: RangeInclusive<u64>) -> Option<()> {
    let mut store = open(path, reading)?;
    for number in numbers {
        store = commit_surely(store, path, reading, number)?;
        if number.is_multiple_of(3) {
            read(&store);
        }
    }
    tell(store.close());
    Some(())
}

fn open(path: &Path, reading: Reading) -> Option<FileStore> {
    (0..TRIES).find_map(|_| tell(FileStore::open_with(path, options().reading(reading))))
}

/// Tries to commit, and opens the store again where it is told to.
fn commit_surely(
    mut store: FileStore,
    path: &Path,
    reading: Reading,
    number: u64,
) -> Option<FileStore> {
    for _ in 0..TRIES {
        match store.commit(commit(number)) {
            Ok(_) => {
                say(&format!("acknowledged {number}"));
                return Some(store);
            }
            Err(error) => {
                let is_over =
                    matches!(error, Error::OutcomeUnknown { .. } | Error::Poisoned { .. });
                tell::<()>(Err(error));
                if is_over {
                    drop(store);
                    store = open(path, reading)?;
                }
            }
        }
    }
    None
}

fn read(store: &FileStore) {
    let (events, error) = read_from(store, 1);
    let is_whole = error.is_none();
    tell(error.map_or(Ok(()), Err));
    match whole_commits(&events) {
        Ok(count) if is_whole => say(&format!("seen {count}")),
        Ok(_) | Err(Wrong::Part) if !is_whole => {}
        wrong => say(&format!("wrong: {wrong:?}")),
    }
    for name in ["even", "odd", "shared"] {
        let Some(loaded) = tell(store.load_stream(&stream(name), ReadOptions::new())) else {
            continue;
        };
        let expected = events.iter().filter(|event| event.is_in(&stream(name)));
        if is_whole && !loaded.events().iter().eq(expected) {
            say(&format!("wrong: the stream {name} is not what was read of the whole"));
        }
    }
}

/// Says which kind of error came, if one did: `error` for what the failing calls may lead to.
fn tell<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(done) => return Some(done),
        Err(
            error @ (Error::Io { .. }
            | Error::NoSpace { .. }
            | Error::Read { .. }
            | Error::OutcomeUnknown { .. }
            | Error::Poisoned { .. }),
        ) => say(&format!("error: {error}")),
        Err(error) => say(&format!("wrong: {error:?}")),
    }
    None
}

/// Why events are not those of whole commits.
#[derive(Debug)]
enum Wrong {
    /// The last commit lacks events.
    Part,
    /// An event is not what was written at its place.
    Other,
}

/// Returns of how many commits these are the events: all of them, from the first one on.
fn whole_commits(events: &[RecordedEvent]) -> Result<u64, Wrong> {
    let mut rest = events.iter().zip(1_u64..).peekable();
    let mut number = 0;
    while rest.peek().is_some() {
        number += 1;
        for (name, expected) in events_of(number) {
            let (event, position) = rest.next().ok_or(Wrong::Part)?;
            let is_same = event.event_id() == expected.event_id()
                && event.payload() == expected.payload()
                && event.global_position().get() == position
                && event.is_in(&stream(name));
            if !is_same {
                return Err(Wrong::Other);
            }
        }
    }
    Ok(number)
}

/// Returns how many commits a child was told of, or shown.
pub(crate) fn told(said: &[String]) -> u64 {
    let number_of = |line: &String| {
        let shown = line.strip_prefix("acknowledged ").or_else(|| line.strip_prefix("seen "));
        shown.and_then(|number| number.parse::<u64>().ok())
    };
    said.iter().filter_map(number_of).max().unwrap_or_default()
}

/// Holds what is left of a store to so many commits, of which somebody was told: nothing of them is
/// lost, commits are whole, and the store goes on.
pub(crate) fn check(path: &Path, told: u64) -> Result<(), String> {
    if told > 0 {
        let report = FileStore::verify(path).map_err(|error| format!("{error:?}"))?;
        hold(report.is_intact(), || format!("{report:?}"))?;
    }
    let store = FileStore::open_with(path, options());
    let store = store.map_err(|error| format!("{error:?}"))?;
    let there = check_events(&store)?;
    hold([told, told + 1].contains(&there), || format!("{there} are there, {told} were told"))?;
    store.commit(commit(there + 1)).map_err(|error| format!("{error:?}"))?;
    store.close().map_err(|error| format!("{error:?}"))?;
    let report = FileStore::verify(path).map_err(|error| format!("{error:?}"))?;
    hold(report.is_intact(), || format!("{report:?}"))
}

/// Returns how many commits a store holds, whichever way it is asked.
pub(crate) fn check_events(store: &FileStore) -> Result<u64, String> {
    let (events, error) = read_from(store, 1);
    hold(error.is_none(), || format!("{error:?}"))?;
    let count = whole_commits(&events).map_err(|wrong| format!("{wrong:?}"))?;
    let mut in_streams = 0;
    for name in ["even", "odd", "shared"] {
        let loaded = store.load_stream(&stream(name), ReadOptions::new());
        in_streams += loaded.map_err(|error| format!("{error:?}"))?.events().len();
    }
    hold(in_streams == events.len(), || format!("{in_streams} are in streams"))?;
    for event in &events {
        let found = store.event(event.event_id()).map_err(|error| format!("{error:?}"))?;
        hold(found.as_ref() == Some(event), || format!("by its id it is {found:?}"))?;
    }
    Ok(count)
}

fn hold(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    match holds {
        true => Ok(()),
        false => Err(otherwise()),
    }
}
