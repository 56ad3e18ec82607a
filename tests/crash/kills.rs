//! Kills a process that appends with several threads, and opens what it leaves: every acknowledged
//! event is there, without a gap, and the next process goes on.
//!
//! `ANNALS_CRASH_ROUNDS` says how often; `ANNALS_CRASH_SEED` repeats the kills of a run.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use annals::{EventStore, ExpectedVersion, FileStore, NewEvent, ReadOptions};
use uuid::Uuid;

use crate::child;
use crate::store::{read_from, size_from, stream};

const THREADS: u64 = 4;

/// Returns the event of a thread's stream with a version: everything about it follows from these.
fn event(thread: u64, version: u64) -> NewEvent {
    let id = Uuid::from_u64_pair(thread + 1, version);
    let length = usize::try_from(version * 37 % 3000).unwrap();
    NewEvent::new("Happened", vec![id.as_bytes()[15] | 1; length]).id(id)
}

fn stream_of(thread: u64) -> annals::StreamId {
    stream(&format!("thread-{thread}"))
}

/// The child: appends with several threads and says what was acknowledged.
pub(crate) fn append_until_killed(path: &Path) {
    let store = child::open(path);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                let name = stream_of(thread);
                for version in store.stream_version(&name).unwrap().get() + 1.. {
                    let expected = ExpectedVersion::exact(version - 1);
                    let result = store.append(&name, expected, vec![event(thread, version)]);
                    assert_eq!(result.unwrap().new_version.get(), version);
                    child::say(&format!("{thread} {version}"));
                }
            });
        }
    });
}

/// Runs a child until it said so many lines, kills it, and returns the last version that each thread
/// was told.
fn acknowledged_before_kill(path: &Path, lines: usize) -> BTreeMap<u64, u64> {
    let mut process = child::of_this_program("append", path).spawn().unwrap();
    let mut acknowledged = BTreeMap::new();
    let mut count = 0;
    let output = BufReader::new(process.stdout.take().unwrap());
    for line in output.split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        // The last line may have been cut off by the kill.
        let mut words = child::said(&line).unwrap_or_default().split(' ');
        if let (Some(Ok(thread)), Some(Ok(version))) =
            (words.next().map(str::parse::<u64>), words.next().map(str::parse::<u64>))
        {
            acknowledged.insert(thread, version);
            count += 1;
        }
        if count == lines {
            // On Unix this is SIGKILL. What the child had said before is still read.
            process.kill().unwrap();
        }
    }
    process.wait().unwrap();
    assert!(count >= lines, "the child ended by itself after {count} lines");
    acknowledged
}

fn assert_whole(store: &FileStore, acknowledged: &BTreeMap<u64, u64>, round: &str) {
    let (events, error) = read_from(store, 1);
    assert!(error.is_none(), "{round}: {error:?}");
    for (position, event) in (1..).zip(&events) {
        assert_eq!(event.global_position().get(), position, "{round}");
    }
    let mut count = 0;
    for thread in 0..THREADS {
        let loaded = store.load_stream(&stream_of(thread), ReadOptions::new()).unwrap();
        let told = acknowledged.get(&thread).copied().unwrap_or_default();
        assert!(loaded.version().get() >= told, "{round}: {told} was acknowledged");
        count += loaded.events().len();
        for (version, recorded) in (1..).zip(loaded.events()) {
            let original = event(thread, version);
            assert_eq!(recorded.stream_version().get(), version, "{round}");
            assert_eq!(recorded.event_id(), original.event_id(), "{round}");
            assert_eq!(recorded.payload(), original.payload(), "{round}");
        }
    }
    assert_eq!(count, events.len(), "{round}");
}

#[test]
fn a_process_that_is_killed_loses_no_acknowledged_event() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let seed = size_from("ANNALS_CRASH_SEED", Uuid::new_v4().as_u64_pair().1);
    let mut state = seed;
    for round in 0..size_from("ANNALS_CRASH_ROUNDS", 12) {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let lines = 1 + usize::try_from((state >> 33) % 300).unwrap();
        let round = format!("ANNALS_CRASH_SEED={seed}, round {round}");
        let mut acknowledged = acknowledged_before_kill(&path, lines);
        assert!(FileStore::verify(&path).unwrap().is_intact(), "{round}");
        let store = child::open(&path);
        assert_whole(&store, &acknowledged, &round);
        for thread in 0..THREADS {
            let version = store.stream_version(&stream_of(thread)).unwrap().get() + 1;
            let expected = ExpectedVersion::exact(version - 1);
            let result = store.append(&stream_of(thread), expected, vec![event(thread, version)]);
            assert!(!result.unwrap().replayed, "{round}");
            acknowledged.insert(thread, version);
        }
        assert_whole(&store, &acknowledged, &round);
        store.close().unwrap();
    }
}
