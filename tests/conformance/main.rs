//! Does every backend keep the contract? Runs the suite of `annals::testing` on each of them.
//!
//! A harness opens its stores in a directory of its own that goes with it. Damage is done to the
//! bytes of a payload, wherever the backend keeps them: nothing here knows the format.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use annals::limits::Limits;
use annals::testing::Harness;
use annals::{
    Clock, EventStore, FileStore, GlobalPosition, MemoryStore, Options, ReadOptions, RecordStore,
};
use tempfile::TempDir;

struct Memory;

impl Harness for Memory {
    fn open(&self, clock: Clock, limits: Limits) -> Box<dyn EventStore> {
        Box::new(MemoryStore::with(clock, limits))
    }

    fn open_records(&self) -> Option<Box<dyn RecordStore>> {
        Some(Box::new(MemoryStore::new()))
    }
}

/// Stores on disk, each in a directory of its own within one that goes with the harness.
struct Files {
    directory: TempDir,
    opened: RefCell<Vec<PathBuf>>,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory, opened: RefCell::default() }
    }

    fn latest(&self) -> PathBuf {
        self.opened.borrow().last().unwrap().clone()
    }
}

impl Harness for Files {
    fn open(&self, clock: Clock, limits: Limits) -> Box<dyn EventStore> {
        let name = format!("store-{}", self.opened.borrow().len());
        self.opened.borrow_mut().push(self.directory.path().join(name));
        let options = Options::new().clock(clock).limits(limits);
        Box::new(FileStore::open_with(self.latest(), options).unwrap())
    }

    fn open_records(&self) -> Option<Box<dyn RecordStore>> {
        Some(Box::new(FileStore::open(self.directory.path().join("records")).unwrap()))
    }

    fn reopen(
        &self,
        store: Box<dyn EventStore>,
        clock: Clock,
        limits: Limits,
    ) -> Option<Box<dyn EventStore>> {
        drop(store);
        let options = Options::new().clock(clock).limits(limits);
        Some(Box::new(FileStore::open_with(self.latest(), options).unwrap()))
    }

    fn damage(
        &self,
        store: Box<dyn EventStore>,
        position: GlobalPosition,
    ) -> Option<Box<dyn EventStore>> {
        let mut read = store.read_all(ReadOptions::new().from(position).limit(1)).unwrap();
        let payload = read.next().unwrap().unwrap().payload().to_vec();
        drop((read, store));
        let damaged = files(&self.latest()).iter().any(|file| flip(file, &payload));
        assert!(damaged, "no file holds the payload of event {position}");
        Some(Box::new(FileStore::open_read_only(self.latest()).unwrap()))
    }
}

/// All files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Flips one bit of the first place of a file that holds `bytes`; tells whether there is one.
fn flip(file: &Path, bytes: &[u8]) -> bool {
    let mut content = fs::read(file).unwrap();
    let Some(place) = content.windows(bytes.len()).position(|window| window == bytes) else {
        return false;
    };
    if let Some(byte) = content.get_mut(place) {
        *byte ^= 1;
    }
    fs::write(file, content).unwrap();
    true
}

mod memory {
    use annals::{ExpectedVersion, NewEvent, Record, RecordKind, RecordStore, StreamId};

    use super::{EventStore, MemoryStore};

    annals::conformance!(super::Memory);

    #[test]
    fn memory_answers_what_only_it_is_asked_and_is_empty_when_cleared() {
        let store = MemoryStore::new();
        let names = [("Task", "b"), ("Task", "a"), ("Plan", "a"), ("Task", "b")];
        for (aggregate_type, id) in names {
            let stream = StreamId::new(aggregate_type, id).unwrap();
            let event = NewEvent::new("Noted", id.to_owned());
            store.append(&stream, ExpectedVersion::Any, vec![event]).unwrap();
        }
        let read: Vec<_> = store.read_all(super::ReadOptions::new()).unwrap().collect();
        let read: Vec<_> = read.into_iter().map(Result::unwrap).collect();
        assert_eq!(store.all_events(), read);
        assert_eq!(store.event_count(), 4);
        let ids: Vec<_> = store.aggregate_ids().iter().map(ToString::to_string).collect();
        assert_eq!(ids, ["b", "a"], "each once, in the order of their first events");
        store.clear();
        assert_eq!((store.event_count(), store.all_events().len()), (0, 0));
        assert!(store.aggregate_ids().is_empty() && store.global_position().unwrap().get() == 0);
    }

    #[test]
    fn memory_keeps_records_until_they_are_removed() {
        let store = MemoryStore::new();
        let read = || store.read_record(RecordKind::Checkpoint, "mailer").unwrap();
        assert!(matches!(read(), Record::Absent));
        for content in ["1", "2"] {
            store.write_record(RecordKind::Checkpoint, "mailer", content.as_bytes()).unwrap();
            assert!(matches!(read(), Record::Found(found) if found == content));
        }
        store.remove_record(RecordKind::Checkpoint, "mailer").unwrap();
        assert!(matches!(read(), Record::Absent));
    }
}

mod file {
    annals::conformance!(super::Files::new());
}
