//! Files of a store that are cut short, missing, exchanged or from elsewhere.

use std::fs;
use std::path::{Path, PathBuf};

use annals::{Error, FileStore};

use crate::child;
use crate::store::{Noticed, Original, append, fast_directory, meant_length, small_segments};

/// A store to be changed: the original in a directory of its own.
struct Changed {
    original: Original,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Changed {
    fn new() -> Self {
        let directory = fast_directory();
        let original = Original::make(directory.path());
        let path = directory.path().join("changed");
        original.write_to(&path);
        Self { original, path, _directory: directory }
    }

    fn again(&self) {
        self.original.write_to(&self.path);
    }

    fn file(&self, file: &Path) -> PathBuf {
        self.path.join(file)
    }

    fn assert_refused(&self, what: &str) {
        let refused = FileStore::open_with(&self.path, small_segments()).unwrap_err();
        let is_typed = matches!(
            refused,
            Error::Damage(_) | Error::NotAStore { .. } | Error::StoreFileMissing { .. }
        );
        assert!(is_typed, "{what}: {refused:?}");
        assert_eq!(self.original.check(&self.path, None), Noticed::Yes, "{what}");
    }
}

#[test]
fn a_file_cut_short_at_any_length_is_noticed_and_loses_nothing_in_silence() {
    let store = Changed::new();
    for (file, bytes) in &store.original.files {
        let bytes = &bytes[..meant_length(file, bytes)];
        let round = [0, 1, 8, 63, 100, 127, 4095, 4096, 4136, 4200, 5000];
        let spread = (1..12).map(|part| bytes.len() * part / 12);
        let near_end =
            [1, 8, 64, 65, 4096].into_iter().filter_map(|less| bytes.len().checked_sub(less));
        for length in round.into_iter().chain(spread).chain(near_end) {
            if length >= bytes.len() {
                continue;
            }
            store.again();
            fs::OpenOptions::new()
                .write(true)
                .open(store.file(file))
                .and_then(|opened| opened.set_len(length as u64))
                .unwrap();
            let noticed = store.original.check(&store.path, Some(file));
            assert_eq!(noticed, Noticed::Yes, "{} at {length}", file.display());
        }
    }
}

#[test]
fn a_segment_that_is_missing_is_named_unless_it_was_a_spare() {
    let store = Changed::new();
    let segments = store.original.segments();
    for (index, segment) in segments.iter().enumerate() {
        store.again();
        fs::remove_file(store.file(segment)).unwrap();
        let noticed = store.original.check(&store.path, None);
        let may_be_spare = index + 1 == segments.len();
        assert!(noticed == Noticed::Yes || may_be_spare, "{}", segment.display());
    }
    store.again();
    fs::remove_dir_all(store.path.join("log")).unwrap();
    store.assert_refused("no log");
}

#[test]
fn segments_that_were_exchanged_or_copied_are_refused() {
    let store = Changed::new();
    let segments = store.original.segments();
    let bytes = |segment: &PathBuf| store.original.files[segment].clone();
    for (first, second) in segments.iter().zip(&segments[1..]) {
        store.again();
        fs::write(store.file(first), bytes(second)).unwrap();
        fs::write(store.file(second), bytes(first)).unwrap();
        store.assert_refused("exchanged");
        store.again();
        fs::write(store.file(first), bytes(second)).unwrap();
        store.assert_refused("copied over");
    }
}

#[test]
fn files_of_another_store_are_refused() {
    let store = Changed::new();
    let other = Changed::new();
    for segment in store.original.segments() {
        store.again();
        let Some(bytes) = other.original.files.get(&segment) else { continue };
        fs::write(store.file(&segment), bytes).unwrap();
        store.assert_refused("a segment of another store");
    }
    store.again();
    fs::write(store.path.join("STORE"), &other.original.files[Path::new("STORE")]).unwrap();
    store.assert_refused("the identity of another store");
}

#[test]
fn a_store_that_lost_its_identity_is_refused_and_nothing_is_written() {
    let store = Changed::new();
    fs::remove_file(store.path.join("STORE")).unwrap();
    let before = crate::store::files_of(&store.path);
    store.assert_refused("no STORE");
    assert!(crate::store::files_of(&store.path) == before);
}

#[test]
fn a_stray_file_among_the_segments_harms_nothing() {
    let store = Changed::new();
    for name in ["notes.txt", "0000000000000002.seg.bak", "2.seg", "0000000000000000.seg"] {
        fs::write(store.path.join("log").join(name), "not a segment").unwrap();
    }
    assert_eq!(store.original.check(&store.path, None), Noticed::No);
    store.again();
    fs::write(store.path.join("log/9999999999999999.seg"), "not a segment").unwrap();
    store.assert_refused("a number far off");
}

#[test]
fn a_file_that_is_cut_short_under_a_positioned_reader_is_an_error_and_no_signal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = FileStore::open(&path).unwrap();
    for number in 1..=20 {
        append(&store, number, vec![7; 3000]).unwrap();
    }
    store.close().unwrap();
    let said = child::run(child::of_this_program("read what is cut short", &path));
    assert_eq!(said, ["damage", "damage", "damage", "not intact"]);
}
