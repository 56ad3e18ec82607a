//! Writers that would get past the lock: files of a store that are removed or replaced while it is open. A second
//! writer is refused as long as anything of the store is locked, the first one notices at the next rollover, and
//! nothing of another writer is ever written over.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use annals::{Error, FileStore};
use tempfile::TempDir;

use crate::child;
use crate::store::{append, read_from, small_segments};

/// Commits that fill more than two segments.
const SEVERAL_SEGMENTS: u64 = 40;

/// Returns an open store of two events.
fn open_store() -> (TempDir, PathBuf, FileStore) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = FileStore::open_with(&path, small_segments()).unwrap();
    append(&store, 1, vec![1]).unwrap();
    append(&store, 2, vec![2]).unwrap();
    (directory, path, store)
}

/// Appends over a rollover; returns how many were acknowledged and the refusal.
fn append_until_refused(store: &FileStore) -> (u64, Error) {
    for number in 3..3 + SEVERAL_SEGMENTS {
        if let Err(refused) = append(store, number, vec![7; 8_000]) {
            return (number - 3, refused);
        }
    }
    panic!("the writer did not notice");
}

/// Asserts that the store has noticed, says so, and stays that way, for closing too.
fn assert_displaced(store: &FileStore, refused: &Error, name: &str, what: &str) {
    let Error::Poisoned { cause } = refused else { panic!("{refused:?}") };
    assert!(cause.is_displaced());
    let text = refused.to_string();
    assert!(text.contains(name) && text.contains(what), "{text}");
    assert!(!refused.is_rejection());
    assert!(matches!(append(store, 999, vec![1]), Err(Error::Poisoned { .. })));
    assert!(matches!(store.close(), Err(Error::Poisoned { .. })));
}

fn assert_no_second_writer(path: &Path) {
    assert!(matches!(FileStore::open(path), Err(Error::Locked { .. })), "in this process");
    assert_eq!(child::run(child::of_this_program("open", path)), ["locked"], "in another process");
    assert!(FileStore::repair(path).is_err());
}

fn replace_by_a_copy(file: &Path) {
    let copy = file.with_extension("copy");
    fs::copy(file, &copy).unwrap();
    fs::rename(copy, file).unwrap();
}

#[test]
fn without_its_lock_file_a_store_has_no_second_writer_and_the_first_notices() {
    let (_directory, path, store) = open_store();
    fs::remove_file(path.join("LOCK")).unwrap();
    assert_no_second_writer(&path);
    fs::remove_file(path.join("LOCK")).ok();
    let (acknowledged, refused) = append_until_refused(&store);
    assert_displaced(&store, &refused, "LOCK", "removed");
    drop(store);
    let store = FileStore::open(&path).unwrap();
    assert_eq!(read_from(&store, 1).0.len() as u64, 2 + acknowledged);
}

#[test]
fn a_copy_in_the_place_of_a_locked_file_lets_nobody_in_and_is_noticed() {
    for name in ["LOCK", "STORE"] {
        let (_directory, path, store) = open_store();
        replace_by_a_copy(&path.join(name));
        assert_no_second_writer(&path);
        let (acknowledged, refused) = append_until_refused(&store);
        assert_displaced(&store, &refused, name, "replaced");
        drop(store);
        let store = FileStore::open(&path).unwrap();
        assert_eq!(read_from(&store, 1).0.len() as u64, 2 + acknowledged, "{name}");
    }
}

#[test]
fn without_the_file_store_nobody_makes_another_store_and_the_writer_notices() {
    let (_directory, path, store) = open_store();
    fs::remove_file(path.join("STORE")).unwrap();
    assert_eq!(child::run(child::of_this_program("open", &path)).len(), 1);
    assert!(FileStore::open(&path).is_err());
    let (_, refused) = append_until_refused(&store);
    assert_displaced(&store, &refused, "STORE", "removed");
}

#[test]
fn no_store_is_made_in_a_directory_that_was_emptied_under_its_writer() {
    let (_directory, path, store) = open_store();
    for name in ["LOCK", "STORE"] {
        fs::remove_file(path.join(name)).unwrap();
    }
    for name in ["log", "index"] {
        fs::remove_dir_all(path.join(name)).unwrap();
    }
    assert_no_second_writer(&path);
    let (_, refused) = append_until_refused(&store);
    assert_displaced(&store, &refused, "LOCK", "");
    drop(store);
    // The directory is free again.
    let store = FileStore::open(&path).unwrap();
    append(&store, 1, vec![1]).unwrap();
}

#[test]
fn a_writer_whose_directory_was_removed_leaves_the_store_alone_that_is_made_there() {
    let (_directory, path, old) = open_store();
    fs::remove_dir_all(&path).unwrap();
    let new = FileStore::open_with(&path, small_segments()).unwrap();
    for number in 1..=SEVERAL_SEGMENTS {
        append(&new, number, vec![9; 8_000]).unwrap();
    }
    let (_, refused) = append_until_refused(&old);
    assert_displaced(&old, &refused, "LOCK", "removed");
    drop(old);
    new.close().unwrap();
    assert!(FileStore::verify(&path).unwrap().is_intact());
    assert_eq!(read_from(&FileStore::open(&path).unwrap(), 1).0.len() as u64, SEVERAL_SEGMENTS);
}

/// The fifth row of what was found: the files are removed and the directories kept.
#[test]
fn a_log_whose_files_are_another_store_is_never_written_over() {
    let (directory, path, old) = open_store();
    let elsewhere = directory.path().join("elsewhere");
    let new = FileStore::open_with(&elsewhere, small_segments()).unwrap();
    for number in 1..=SEVERAL_SEGMENTS {
        append(&new, number, vec![9; 8_000]).unwrap();
    }
    new.close().unwrap();
    drop(new);
    for name in ["LOCK", "STORE"] {
        fs::remove_file(path.join(name)).unwrap();
        fs::rename(elsewhere.join(name), path.join(name)).unwrap();
    }
    for segment in fs::read_dir(path.join("log")).unwrap() {
        fs::remove_file(segment.unwrap().path()).unwrap();
    }
    for segment in fs::read_dir(elsewhere.join("log")).unwrap() {
        let segment = segment.unwrap();
        fs::rename(segment.path(), path.join("log").join(segment.file_name())).unwrap();
    }
    let (_, refused) = append_until_refused(&old);
    assert_displaced(&old, &refused, "LOCK", "replaced");
    drop(old);
    assert!(FileStore::verify(&path).unwrap().is_intact());
    assert_eq!(read_from(&FileStore::open(&path).unwrap(), 1).0.len() as u64, SEVERAL_SEGMENTS);
}

/// Returns what a directory holds, or nothing where there is none.
fn names_in(directory: &Path) -> BTreeSet<OsString> {
    fs::read_dir(directory).into_iter().flatten().map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn a_log_or_an_active_segment_that_is_gone_or_another_is_noticed() {
    type Change = fn(&Path);
    let changes: [(&str, &str, Change); 4] = [
        ("log", "removed", |path| fs::remove_dir_all(path.join("log")).unwrap()),
        ("log", "replaced", |path| {
            fs::rename(path.join("log"), path.join("log.old")).unwrap();
            fs::create_dir(path.join("log")).unwrap();
        }),
        ("0000000000000001.seg", "removed", |path| {
            fs::remove_file(path.join("log/0000000000000001.seg")).unwrap();
        }),
        ("0000000000000001.seg", "replaced", |path| {
            replace_by_a_copy(&path.join("log/0000000000000001.seg"));
        }),
    ];
    for (name, what, change) in changes {
        let (_directory, path, store) = open_store();
        change(&path);
        let before = names_in(&path.join("log"));
        assert_no_second_writer(&path);
        let (_, refused) = append_until_refused(&store);
        assert_displaced(&store, &refused, name, what);
        // Nothing was made among what is there now.
        assert_eq!(names_in(&path.join("log")), before, "{name} {what}");
    }
}

#[test]
fn a_store_whose_files_are_gone_does_not_say_that_it_was_closed() {
    let (_directory, path, store) = open_store();
    replace_by_a_copy(&path.join("LOCK"));
    let refused = store.close().unwrap_err();
    assert!(matches!(&refused, Error::Poisoned { cause } if cause.is_displaced()), "{refused:?}");
    drop(store);
    assert_eq!(read_from(&FileStore::open(&path).unwrap(), 1).0.len(), 2);
}

#[test]
fn a_directory_that_is_moved_goes_on_and_another_store_can_be_made_at_its_path() {
    let (directory, path, old) = open_store();
    let moved = directory.path().join("moved");
    fs::rename(&path, &moved).unwrap();
    let new = FileStore::open_with(&path, small_segments()).unwrap();
    for number in 3..=SEVERAL_SEGMENTS {
        append(&old, number, vec![3; 8_000]).unwrap();
        append(&new, number, vec![4; 8_000]).unwrap();
    }
    assert!(matches!(FileStore::open(&moved), Err(Error::Locked { .. })));
    old.close().unwrap();
    new.close().unwrap();
    for (path, events) in [(&moved, SEVERAL_SEGMENTS), (&path, SEVERAL_SEGMENTS - 2)] {
        assert!(FileStore::verify(path).unwrap().is_intact());
        assert_eq!(read_from(&FileStore::open(path).unwrap(), 1).0.len() as u64, events);
    }
}
