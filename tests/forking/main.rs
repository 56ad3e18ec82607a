//! What does a process do with a store that it inherits by a fork? It refuses to write, touches no file, and
//! harms nothing: the parent goes on, and its lock holds.
//!
//! Each test forks this program within a test, whose threads are not in the child: locks that they hold at that
//! moment are held there for ever. The child says by its exit status what it saw. One that hangs is ended by an
//! alarm.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(unsafe_code, reason = "a fork is unsafe: the child has one thread and all the memory")]

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use annals::{
    Commit, Error, EventStore, ExpectedVersion, FileStore, NewEvent, Options, ReadOptions,
    RecordKind, RecordStore, StreamId,
};
use tempfile::TempDir;

/// Seconds after which a child hangs.
const ALARM_SECONDS: u32 = 30;

/// Runs `work` in a forked process, and returns whether it ended with `true`, without a panic and in time.
fn in_a_fork(work: impl FnOnce() -> bool) -> bool {
    // SAFETY: The child has only this thread. What it runs takes locks of the standard library and of the
    // allocator, which the system's own fork leaves free, and it ends without running exit handlers.
    match unsafe { libc::fork() } {
        -1 => panic!("the system does not fork"),
        0 => {
            // SAFETY: The call takes a number.
            unsafe { libc::alarm(ALARM_SECONDS) };
            let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or(false);
            // SAFETY: The call takes a number, and ends the process.
            unsafe { libc::_exit(if outcome { 0 } else { 1 }) }
        }
        child => {
            let mut status = 0;
            // SAFETY: The pointer is that of a variable that outlives the call.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
        }
    }
}

fn stream() -> StreamId {
    StreamId::new("Test", "one").unwrap()
}

fn append(store: &FileStore) -> annals::Result<()> {
    let events = vec![NewEvent::new("Happened", vec![1; 5_000])];
    store.append(&stream(), ExpectedVersion::Any, events).map(drop)
}

fn is_forked<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Forked { .. }))
}

fn options() -> Options {
    Options::new().segment_bytes(64 << 10)
}

struct Parent {
    _directory: TempDir,
    path: PathBuf,
    store: FileStore,
    events: u64,
}

impl Parent {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let store = FileStore::open_with(&path, options()).unwrap();
        let mut parent = Self { _directory: directory, path, store, events: 0 };
        parent.append(2);
        parent
    }

    fn append(&mut self, count: u64) {
        for _ in 0..count {
            append(&self.store).unwrap();
            self.events += 1;
        }
    }

    /// Goes on after the fork, and finds everything that was acknowledged.
    fn goes_on(mut self) {
        assert!(matches!(FileStore::open(&self.path), Err(Error::Locked { .. })), "the lock holds");
        self.append(40);
        self.store.close().unwrap();
        assert!(FileStore::verify(&self.path).unwrap().is_intact());
        let store = FileStore::open(&self.path).unwrap();
        assert!(store.findings().is_empty(), "{:?}", store.findings());
        let events = store.read_all(ReadOptions::new()).unwrap().map(Result::unwrap);
        assert_eq!(events.count() as u64, self.events);
    }
}

/// Returns the length of every file. Nothing that the parent's threads still do changes one while the log is
/// short.
fn files_of(path: &Path) -> BTreeMap<PathBuf, u64> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let metadata = entry.metadata().unwrap();
        match metadata.is_dir() {
            true => files.extend(files_of(&entry.path())),
            false => _ = files.insert(entry.path(), metadata.len()),
        }
    }
    files
}

#[test]
fn every_way_of_writing_is_refused_in_a_fork_and_touches_no_file() {
    let parent = Parent::new();
    let in_flight = parent.store.submit(commit()).unwrap();
    parent.store.sync().unwrap();
    parent.store.write_record(RecordKind::Checkpoint, "kept", b"1").unwrap();
    let before = files_of(&parent.path);
    let store = &parent.store;
    assert!(in_a_fork(|| {
        is_forked(&append(store))
            && is_forked(&store.commit(commit()))
            && is_forked(&store.submit(commit()).map(drop))
            && in_flight.is_done()
            && is_forked(&in_flight.wait())
            && is_forked(&store.sync())
            && is_forked(&store.write_record(RecordKind::Checkpoint, "kept", b"2"))
            && is_forked(&store.remove_record(RecordKind::Checkpoint, "kept"))
            && is_forked(&store.close())
    }));
    assert_eq!(files_of(&parent.path), before);
    assert_eq!(
        parent.store.read_record(RecordKind::Checkpoint, "kept").unwrap().content().as_deref(),
        Some(&b"1"[..])
    );
    Parent { events: parent.events + 1, ..parent }.goes_on();
}

fn commit() -> Commit {
    Commit::new().append(&stream(), ExpectedVersion::Any, vec![NewEvent::new("Happened", "x")])
}

#[test]
fn a_store_that_is_dropped_in_a_fork_changes_nothing() {
    let parent = Parent::new();
    let before = files_of(&parent.path);
    // The child has a copy of everything: what is dropped there is there no more, and here it is.
    let store = std::mem::ManuallyDrop::new(&parent.store);
    assert!(in_a_fork(|| {
        // SAFETY: The child never uses the store again; it ends before the parent's value would be dropped.
        drop(unsafe { std::ptr::read(*store) });
        true
    }));
    assert_eq!(files_of(&parent.path), before);
    parent.goes_on();
}

#[test]
fn a_fork_of_a_fork_is_refused_as_well_and_a_store_of_its_own_works_in_each() {
    let parent = Parent::new();
    let (store, own) = (&parent.store, parent.path.with_extension("own"));
    assert!(in_a_fork(|| {
        let mine = FileStore::open_with(&own, options()).unwrap();
        append(&mine).unwrap();
        let inner = in_a_fork(|| is_forked(&append(store)) && is_forked(&append(&mine)));
        append(&mine).unwrap();
        inner && is_forked(&append(store)) && mine.close().is_ok()
    }));
    let own = FileStore::open(&own).unwrap();
    assert_eq!(own.global_position().unwrap().get(), 2);
    parent.goes_on();
}

#[test]
fn snapshots_in_a_fork_neither_hang_nor_are_written() {
    let parent = Parent::new();
    let snapshots = parent.store.snapshots();
    assert!(in_a_fork(move || {
        let is_refused = is_forked(&snapshots.flush());
        drop(snapshots);
        is_refused
    }));
    parent.goes_on();
}

#[test]
fn a_fork_amid_appends_of_other_threads_hangs_nowhere() {
    let parent = Parent::new();
    let (store, ends) = (&parent.store, AtomicBool::new(false));
    let appended: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let mut count = 0;
                    while !ends.load(Ordering::Relaxed) {
                        append(store).unwrap();
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        for _ in 0..20 {
            assert!(in_a_fork(|| is_forked(&append(store)) && is_forked(&store.close())));
        }
        ends.store(true, Ordering::Relaxed);
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    Parent { events: parent.events + appended, ..parent }.goes_on();
}

#[test]
fn a_fork_that_lives_on_does_not_keep_the_lock_of_a_store_that_was_closed() {
    let parent = Parent::new();
    let (path, store) = (parent.path.clone(), &parent.store);
    let (mut ended, mut end) = std::io::pipe().unwrap();
    // SAFETY: As in `in_a_fork`; the child only waits for the end of the pipe.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(end);
        let _waits = std::io::Read::read(&mut ended, &mut [0]);
        // SAFETY: The call takes a number, and ends the process.
        unsafe { libc::_exit(0) };
    }
    store.close().unwrap();
    let again = FileStore::open(&path);
    std::io::Write::write_all(&mut end, &[1]).unwrap();
    let mut status = 0;
    // SAFETY: The pointer is that of a variable that outlives the call.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(again.unwrap().global_position().unwrap().get(), parent.events);
}
