//! Stores in the state that a benchmark asks for: settled, closed, or left by a process that was killed.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use annals::{EventStore, ExpectedVersion, FileStore, NewEvent, StreamId};

use super::Outcome;
use super::plan::Plan;
use super::workload::{EVENTS_PER_COMMIT, PAYLOAD_BYTES, Workload};

/// Makes a store of a workload, settled and closed.
pub(crate) fn make_loaded(plan: &Plan, path: &Path, workload: Workload) -> Outcome<()> {
    let store = FileStore::open(path)?;
    workload.load(&store, || ())?;
    store.close()?;
    settle(plan, path)
}

/// Returns how many bytes of the log an event of a store takes.
pub(crate) fn bytes_per_event(store: &FileStore) -> Outcome<usize> {
    let stats = store.stats()?;
    Ok(usize::try_from(stats.log_bytes / stats.events.max(1))?)
}

/// Lets the merges that are due come to their end, and closes the store.
pub(crate) fn settle(plan: &Plan, path: &Path) -> Outcome<()> {
    let store = FileStore::open(path)?;
    wait_until_merged(plan, path)?;
    Ok(store.close()?)
}

/// Waits until the index of a store that is open has not changed for a while: a merge reads what it
/// is to write first.
pub(crate) fn wait_until_merged(plan: &Plan, path: &Path) -> Outcome<()> {
    let quiet = plan.size(Duration::from_secs(15), Duration::from_millis(100));
    let mut before = index_files(path)?;
    let mut since = Instant::now();
    while since.elapsed() < quiet {
        std::thread::sleep(Duration::from_millis(100));
        let now = index_files(path)?;
        if now != before {
            (before, since) = (now, Instant::now());
        }
    }
    Ok(())
}

/// The names and sizes of what is in the index.
fn index_files(path: &Path) -> Outcome<Vec<(OsString, u64)>> {
    let entries = fs::read_dir(path.join("index"))?.flatten();
    let sized = |entry: fs::DirEntry| {
        let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
        (entry.file_name(), bytes)
    };
    let mut files: Vec<_> = entries.map(sized).collect();
    files.sort_unstable();
    Ok(files)
}

/// Tells whether a run is being written.
pub(crate) fn is_merging(path: &Path) -> Outcome<bool> {
    let mut entries = fs::read_dir(path.join("index"))?.flatten();
    Ok(entries.any(|entry| entry.path().extension().is_some_and(|end| end == "tmp")))
}

/// Opens a store and closes it, and returns how long opening took.
pub(crate) fn time_to_open(path: &Path) -> Outcome<Duration> {
    let start = Instant::now();
    let store = FileStore::open(path)?;
    let time = start.elapsed();
    store.close()?;
    Ok(time)
}

const APPEND_AND_DIE: &str = "--append-and-die";

/// Lets a process of this program append so many events to a store and be killed: for a program that
/// calls [`die_if_asked`] first.
pub(crate) fn append_and_die(path: &Path, events: u64) -> Outcome<()> {
    let mut child = Command::new(std::env::current_exe()?);
    let status = child.arg(APPEND_AND_DIE).arg(path).arg(events.to_string()).status()?;
    if status.code().is_some() {
        return Err(format!("the process was to be killed: {status}").into());
    }
    Ok(())
}

/// Does what [`append_and_die`] asked of this process, if it did.
pub(crate) fn die_if_asked() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, mode, path, events] = arguments.as_slice() else { return Ok(()) };
    if mode != APPEND_AND_DIE {
        return Ok(());
    }
    let store = FileStore::open(path)?;
    let stream = StreamId::new("Dying", uuid::Uuid::new_v4().to_string())?;
    let mut left: u64 = events.parse()?;
    while left > 0 {
        let count = left.min(EVENTS_PER_COMMIT);
        let events = (0..count).map(|_| NewEvent::new("Last", vec![7; PAYLOAD_BYTES]));
        store.append(&stream, ExpectedVersion::Any, events.collect())?;
        left -= count;
    }
    let own = std::process::id().to_string();
    let _no_such_program = Command::new("kill").args(["-9", &own]).status();
    std::process::abort();
}
