//! Paths that are no store, stores of others and of newer versions, and directories that do not let
//! a store work: each has its own error, and nothing is written.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use annals::{Error, EventStore, FileStore, Options};
use tempfile::TempDir;

use crate::child;
use crate::store::{append, files_of, read_from};

/// The user that a child becomes when this one may do everything.
const NOBODY: u32 = 65534;

/// Returns a directory with a closed store of two events in it.
fn closed() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = FileStore::open(&path).unwrap();
    append(&store, 1, vec![1]).unwrap();
    append(&store, 2, vec![2]).unwrap();
    store.close().unwrap();
    (directory, path)
}

/// Asserts that every kind of opening is refused, and that nothing was written.
fn assert_all_refused(path: &Path, is_expected: impl Fn(&Error) -> bool) {
    let before = path.is_dir().then(|| files_of(path));
    let refusals = [
        FileStore::open(path).map(drop),
        FileStore::open_read_only(path).map(drop),
        FileStore::verify(path).map(drop),
    ];
    for refusal in refusals {
        let error = refusal.unwrap_err();
        assert!(is_expected(&error), "{error:?}");
    }
    assert!(path.is_dir().then(|| files_of(path)) == before);
}

#[test]
fn a_path_that_is_a_file_is_no_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "a file").unwrap();
    assert_all_refused(&path, |error| matches!(error, Error::NotADirectory { .. }));
    assert_eq!(fs::read(&path).unwrap(), b"a file");
}

#[test]
fn a_path_below_a_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "a file").unwrap();
    let below = directory.path().join("file/store");
    assert!(matches!(FileStore::open(below), Err(Error::NotADirectory { .. })));
}

#[test]
fn a_directory_that_holds_something_else_is_no_store() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("letter.txt"), "dear").unwrap();
    assert_all_refused(
        directory.path(),
        |error| matches!(error, Error::NotAStore { found, .. } if found == "letter.txt"),
    );
}

#[test]
fn a_path_without_a_store_is_missing_for_readers() {
    let directory = tempfile::tempdir().unwrap();
    for path in [directory.path().to_owned(), directory.path().join("none")] {
        assert!(matches!(FileStore::open_read_only(&path), Err(Error::Missing { .. })));
        assert!(matches!(FileStore::verify(&path), Err(Error::Missing { .. })));
    }
    assert_eq!(files_of(directory.path()).len(), 0);
}

/// Once `STORE` was missing, the message was to choose an empty directory.
#[test]
fn a_store_whose_own_file_is_missing_is_told_as_such_and_repaired() {
    let (_directory, path) = closed();
    fs::remove_file(path.join("STORE")).unwrap();
    fs::write(path.join("note.txt"), "beside the log").unwrap();
    assert_all_refused(
        &path,
        |error| matches!(error, Error::StoreFileMissing { path: named } if *named == path),
    );
    let message = FileStore::open(&path).unwrap_err().to_string();
    assert!(message.contains("STORE is missing") && message.contains("repair"), "{message}");
    FileStore::repair(&path).unwrap();
    assert_eq!(read_from(&FileStore::open(&path).unwrap(), 1).0.len(), 2);
}

#[test]
fn a_log_of_other_files_is_no_store() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("log"), "a file").unwrap();
    assert_all_refused(directory.path(), |error| matches!(error, Error::NotAStore { .. }));
    fs::remove_file(directory.path().join("log")).unwrap();
    fs::create_dir(directory.path().join("log")).unwrap();
    fs::write(directory.path().join("log/0000000000000001.seg"), "no segment").unwrap();
    assert_all_refused(directory.path(), |error| matches!(error, Error::NotAStore { .. }));
}

/// A copy inside of the store once was made there, and so changed the store.
#[test]
fn a_salvage_into_the_store_itself_is_refused_and_makes_nothing() {
    let (directory, path) = closed();
    let before = files_of(&path);
    for inside in ["inside", "log/deep/er", "index/../inside", "new/../../copy", "."] {
        let to = path.join(inside);
        for refused in [FileStore::plan_salvage(&path, &to), FileStore::salvage(&path, &to)] {
            let error = refused.unwrap_err();
            let is_told = matches!(error, Error::InsideStore { .. } | Error::StoreExists { .. });
            assert!(is_told, "{inside}: {error}");
        }
        assert!(files_of(&path) == before && !path.join("new").exists(), "{inside}");
    }
    FileStore::salvage(&path, directory.path().join("copy")).unwrap();
    let again = FileStore::salvage(&path, directory.path().join("copy")).unwrap_err();
    assert!(matches!(again, Error::StoreExists { .. }), "{again}");
}

#[cfg(unix)]
#[test]
fn a_path_that_leads_nowhere_or_is_closed_is_told_as_such() {
    let (directory, path) = closed();
    let link = directory.path().join("link");
    symlink(directory.path().join("nothing"), &link).unwrap();
    for refused in [FileStore::open(&link), FileStore::open_read_only(&link)] {
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("symbolic link"), "{message}");
    }
    let below = FileStore::open(path.join("STORE/below")).unwrap_err();
    assert!(matches!(below, Error::NotADirectory { path: named } if named == path.join("STORE")));
    // Nothing can be made in a file system of the kernel's own, which is not that no store is there.
    if Path::new("/proc/self").exists() {
        let error = FileStore::open("/proc/annals-store").unwrap_err();
        assert!(matches!(error, Error::Io { operation: "make", .. }), "{error}");
    }
}

/// Readers once told of half of the disk, since the segment prepared ahead was known to writers only.
#[test]
fn a_reader_and_a_writer_measure_all_that_is_on_the_disk() {
    let (_directory, path) = closed();
    let store = FileStore::open(&path).unwrap();
    for number in 3..=20 {
        append(&store, number, vec![1; 20_000]).unwrap();
    }
    store.close().unwrap();
    let measured = store.stats().unwrap();
    drop(store);
    fs::create_dir_all(path.join("cut")).unwrap();
    fs::write(path.join("cut/kept.bin"), vec![7; 100_000]).unwrap();
    let reader = FileStore::open_read_only(&path).unwrap().stats().unwrap();
    assert_eq!(reader.segments, measured.segments);
    assert_eq!(reader.segments, FileStore::verify(&path).unwrap().segments);
    assert_eq!(reader.disk_bytes, measured.disk_bytes);
    assert_eq!(reader.disk_bytes, taken(&path.join("log")));
    assert_eq!(reader.total_bytes, taken(&path));
    assert!(reader.total_bytes >= measured.total_bytes + 100_000);
}

/// The bytes that the files below a directory take up on the disk.
fn taken(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let files = files_of(directory).into_keys();
    files.map(|file| fs::metadata(directory.join(file)).unwrap().blocks() * 512).sum()
}

#[test]
fn a_store_is_open_for_writing_once_in_one_process_and_in_two() {
    let (_directory, path) = closed();
    let store = FileStore::open(&path).unwrap();
    assert!(matches!(FileStore::open(&path), Err(Error::Locked { .. })));
    assert_eq!(child::run(child::of_this_program("open", &path)), ["locked"]);
    append(&store, 3, vec![3]).unwrap();
    drop(store);
    assert_eq!(child::run(child::of_this_program("open", &path)), ["opened"]);
    assert_eq!(read_from(&FileStore::open(&path).unwrap(), 1).0.len(), 3);
}

#[test]
fn readers_beside_a_writer_see_what_is_durable_when_they_open() {
    let (_directory, path) = closed();
    let store = FileStore::open(&path).unwrap();
    for number in 3..=20 {
        append(&store, number, vec![1; 20_000]).unwrap();
        let reader = FileStore::open_read_only(&path).unwrap();
        assert_eq!(reader.findings(), []);
        assert_eq!(read_from(&reader, 1).0.len() as u64, number);
        assert!(FileStore::verify(&path).unwrap().is_intact());
        assert!(matches!(append(&reader, 100, vec![1]), Err(Error::ReadOnly)));
    }
    assert_eq!(child::run(child::of_this_program("read beside", &path)), ["20"]);
    assert_eq!(store.global_position().unwrap().get(), 20);
}

/// Sets the version of a structure and makes the checksum behind it right again.
fn set_version(file: &Path, version: u32, checked: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..checked]);
    bytes[checked..checked + 4].copy_from_slice(&crc.to_le_bytes());
    fs::write(file, bytes).unwrap();
}

#[test]
fn a_newer_format_is_refused_by_name_and_nothing_is_written() {
    for (file, checked) in [("STORE", 124), ("log/0000000000000001.seg", 4092)] {
        let (_directory, path) = closed();
        set_version(&path.join(file), 2, checked);
        assert_all_refused(&path, |error| {
            matches!(error, Error::Incompatible { file: named, found, supported }
                if named.ends_with(file) && found == "version 2" && supported == "version 1")
        });
        set_version(&path.join(file), 1, checked);
        assert_eq!(read_from(&FileStore::open(&path).unwrap(), 1).0.len(), 2);
    }
}

#[test]
fn a_link_is_not_followed_out_of_the_store() {
    let (directory, path) = closed();
    let elsewhere = directory.path().join("elsewhere");
    fs::rename(path.join("log"), &elsewhere).unwrap();
    symlink(&elsewhere, path.join("log")).unwrap();
    assert!(matches!(FileStore::open(&path), Err(Error::Io { .. })));
    assert!(matches!(FileStore::open_read_only(&path), Err(Error::Io { .. })));

    let (directory, path) = closed();
    let segment = path.join("log/0000000000000001.seg");
    let elsewhere = directory.path().join("elsewhere.seg");
    fs::rename(&segment, &elsewhere).unwrap();
    symlink(&elsewhere, &segment).unwrap();
    let before = fs::read(&elsewhere).unwrap();
    assert!(matches!(FileStore::open(&path), Err(Error::Io { .. })));
    assert!(fs::read(&elsewhere).unwrap() == before);
}

#[test]
fn files_of_a_store_are_for_their_owner_only() {
    let (_directory, path) = closed();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join("log"))), (0o700, 0o700));
    for file in files_of(&path).keys() {
        assert_eq!(mode(&path.join(file)), 0o600, "{}", file.display());
    }
}

/// Runs a task as a user that may not do everything, with a copy of this program it can reach. Another
/// program copies it: a child that another test starts meanwhile would inherit the open copy of this one, and
/// until it has closed that the system starts no program from it.
fn as_nobody(directory: &Path, task: &str, store: &Path) -> Option<Vec<String>> {
    let program = directory.join("program");
    let own = std::env::current_exe().unwrap();
    assert!(Command::new("cp").arg(own).arg(&program).status().unwrap().success());
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = child::command(&program, task, store);
    command.uid(NOBODY).gid(NOBODY);
    command.output().ok()?;
    Some(child::run(command))
}

#[test]
fn a_directory_that_may_not_be_written_or_read_is_an_error_of_the_system() {
    let (directory, path) = closed();
    let refused = Some(vec!["io PermissionDenied".to_owned()]);
    let Some(opened) = as_nobody(directory.path(), "open", &path) else {
        return eprintln!(
            "skipped: a_directory_that_may_not_be_written: no other user is to be had"
        );
    };
    assert_eq!(Some(opened), refused, "the store of another user");
    assert_eq!(as_nobody(directory.path(), "open read-only", &path), refused);

    let read_only = directory.path().join("read-only");
    fs::create_dir(&read_only).unwrap();
    fs::set_permissions(&read_only, fs::Permissions::from_mode(0o555)).unwrap();
    assert_eq!(as_nobody(directory.path(), "open", &read_only), refused);
    assert_eq!(as_nobody(directory.path(), "open", &read_only.join("store")), refused);
    assert_eq!(files_of(&read_only).len(), 0);
}

#[test]
fn a_size_of_segments_that_can_not_be_is_refused_before_anything_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    for bytes in [0, 1, 4096, (64 << 10) + 1, (4 << 30) + 4096] {
        let refused = FileStore::open_with(&path, Options::new().segment_bytes(bytes));
        assert!(matches!(refused, Err(Error::InvalidOption { option: "segment_bytes", .. })));
    }
    assert!(!path.exists());
}
