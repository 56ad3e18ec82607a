//! The store that an import takes events into: the one that is there, or one that is made with the first
//! event that it takes.
//!
//! Invariants:
//!
//! 1. An import that takes nothing makes nothing: no store, no directory, nothing above it.
//! 2. What was there before the import is never removed.
//! 3. A store that is there is opened, and so locked, before the first line is read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use annals::{
    Commit, CommitResult, EventId, EventStore, Events, FileStore, GlobalPosition, GlobalRead,
    MemoryStore, Query, RecordedEvent, StreamId, StreamRead, StreamVersion,
};

/// A store, or the place for one.
#[derive(Debug)]
pub(crate) struct Target {
    path: PathBuf,
    store: OnceLock<FileStore>,
    /// What there is before the store is made.
    nothing: MemoryStore,
    /// The store could not be made.
    failed: AtomicBool,
}

impl Target {
    /// Opens the store at a path, unless there is none and nothing in its place.
    ///
    /// # Errors
    ///
    /// As [`FileStore::open`].
    pub(crate) fn open(path: &Path) -> annals::Result<Self> {
        let store = match is_vacant(path) {
            true => OnceLock::new(),
            false => FileStore::open(path)?.into(),
        };
        let nothing = MemoryStore::new();
        Ok(Self { path: path.to_owned(), store, nothing, failed: AtomicBool::new(false) })
    }

    /// Returns whether the store could not be made, which is no fault of the event that it was to take.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Closes the store, if there is one.
    ///
    /// # Errors
    ///
    /// As [`FileStore::close`].
    pub(crate) fn close(&self) -> annals::Result<()> {
        self.store.get().map_or(Ok(()), FileStore::close)
    }

    fn current(&self) -> &dyn EventStore {
        match self.store.get() {
            Some(store) => store,
            None => &self.nothing,
        }
    }

    /// Makes the store for a commit that it takes.
    fn make_for(&self, commit: Commit) -> annals::Result<CommitResult> {
        // What an empty store refuses, and what adds nothing to it, makes none.
        let result = MemoryStore::new().commit(commit.clone())?;
        if result.appended == 0 {
            return Ok(result);
        }
        let made = is_vacant(&self.path).then(|| Made::at(&self.path));
        let remove = || made.iter().for_each(Made::remove);
        let refused = |error: annals::Error| {
            self.failed.store(true, Ordering::Relaxed);
            error
        };
        let store = match FileStore::open(&self.path) {
            Ok(store) => store,
            Err(error) => {
                // Any other error speaks of what somebody else has put there.
                if matches!(error, annals::Error::Io { .. } | annals::Error::NoSpace { .. }) {
                    remove();
                }
                return Err(refused(error));
            }
        };
        let outcome = store.commit(commit);
        match &outcome {
            // While the store is open, and so nobody else's.
            Err(error) if error.is_rejection() && is_empty(&store) => remove(),
            _ => _ = self.store.set(store),
        }
        outcome.map_err(refused)
    }
}

impl EventStore for Target {
    fn commit(&self, commit: Commit) -> annals::Result<CommitResult> {
        match self.store.get() {
            Some(store) => store.commit(commit),
            None => self.make_for(commit),
        }
    }

    fn read_stream(&self, stream: &StreamId, options: StreamRead) -> annals::Result<Events> {
        self.current().read_stream(stream, options)
    }

    fn read(&self, query: &Query, options: GlobalRead) -> annals::Result<Events> {
        self.current().read(query, options)
    }

    fn stream_version(&self, stream: &StreamId) -> annals::Result<StreamVersion> {
        self.current().stream_version(stream)
    }

    fn event(&self, event_id: EventId) -> annals::Result<Option<RecordedEvent>> {
        self.current().event(event_id)
    }

    fn global_position(&self) -> annals::Result<GlobalPosition> {
        self.current().global_position()
    }
}

/// What is made for a store: directories that were not there, and what is in them.
#[derive(Debug)]
struct Made<'a> {
    path: &'a Path,
    /// The directories that were not there, from the store upward.
    absent: Vec<&'a Path>,
}

impl<'a> Made<'a> {
    fn at(path: &'a Path) -> Self {
        let is_absent = |path: &&Path| {
            let is_missing = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
            !path.as_os_str().is_empty() && path.symlink_metadata().is_err_and(is_missing)
        };
        Self { path, absent: path.ancestors().take_while(is_absent).collect() }
    }

    /// Removes what was made, as far as the system lets it.
    fn remove(&self) {
        for entry in fs::read_dir(self.path).into_iter().flatten().flatten() {
            let _ = match entry.file_type().is_ok_and(|file_type| file_type.is_dir()) {
                true => fs::remove_dir_all(entry.path()),
                false => fs::remove_file(entry.path()),
            };
        }
        for directory in &self.absent {
            let _ = fs::remove_dir(directory);
        }
    }
}

/// Returns whether nothing is at a path, or an empty directory.
fn is_vacant(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

fn is_empty(store: &FileStore) -> bool {
    store.global_position().is_ok_and(|position| position == GlobalPosition::ZERO)
}
