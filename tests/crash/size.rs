//! How much of the disk a store takes up.

use std::fs;
use std::path::Path;

use annals::{EventStore, ExpectedVersion, FileStore, NewEvent, StreamId};

/// Bytes of everything in a directory, the directories themselves included.
fn bytes_of(path: &Path) -> u64 {
    let metadata = fs::symlink_metadata(path).unwrap();
    let within = match metadata.is_dir() {
        true => fs::read_dir(path).unwrap().map(|entry| bytes_of(&entry.unwrap().path())).sum(),
        false => 0,
    };
    within + metadata.len()
}

/// Twice: while the store is open, the next segment may have been made ready.
#[test]
fn a_store_with_ten_events_takes_at_most_one_mebibyte() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = FileStore::open(&path).unwrap();
    let stream = StreamId::new("Small", "1").unwrap();
    for _ in 0..10 {
        let events = vec![NewEvent::new("Happened", vec![7; 200])];
        store.append(&stream, ExpectedVersion::Any, events).unwrap();
    }
    let open = bytes_of(&path);
    store.close().unwrap();
    let closed = bytes_of(&path);
    for bytes in [open, closed] {
        assert!((10 * 200..=1 << 20).contains(&bytes), "{bytes} bytes");
    }
}
