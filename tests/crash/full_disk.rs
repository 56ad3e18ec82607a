//! A device that is full, and has room again.

use std::fs;
use std::os::unix::fs::FileExt;

use annals::{Error, EventStore, FileStore};

use crate::disks::{Journal, SmallDisk, make_room};
use crate::lives;
use crate::store::{append, read_from, small_segments};

/// Commits of one of these tests: more than any of the disks has room for.
const COMMITS: u64 = 400;

#[test]
fn a_full_device_has_its_own_error_and_the_store_goes_on_once_there_is_room() {
    let Some(disk) = SmallDisk::in_memory("2m") else {
        return eprintln!(
            "skipped: a_full_device_has_its_own_error: no file system can be mounted"
        );
    };
    let path = disk.path().join("store");
    let store = FileStore::open_with(&path, small_segments()).unwrap();
    append(&store, 1, vec![1; 10_000]).unwrap();
    let filler = disk.fill_but(100_000);
    let mut number = 2;
    let refused = loop {
        match append(&store, number, vec![1; 10_000]) {
            Ok(position) => assert_eq!(position.get(), number),
            Err(error) => break error,
        }
        number += 1;
    };
    assert!(matches!(refused, Error::NoSpace { .. }), "{refused:?}");
    let (events, error) = read_from(&store, 1);
    assert!(error.is_none());
    assert_eq!(events.len() as u64, number - 1, "everything before is there");
    make_room(&filler);
    assert_eq!(append(&store, number, vec![1; 10_000]).unwrap().get(), number);
    store.close().unwrap();
    let store = FileStore::open(&path).unwrap();
    assert_eq!(store.findings(), []);
    assert_eq!(read_from(&store, 1).0.len() as u64, number);
}

#[test]
fn a_device_without_room_for_a_store_is_said_to_be_full_and_a_store_can_be_made_later() {
    let Some(disk) = SmallDisk::in_memory("1m") else {
        return eprintln!("skipped: a_device_without_room: no file system can be mounted");
    };
    let filler = disk.fill_but(32_768);
    let path = disk.path().join("store");
    let refused = FileStore::open_with(&path, small_segments()).unwrap_err();
    assert!(matches!(refused, Error::NoSpace { .. }), "{refused:?}");
    make_room(&filler);
    let store = FileStore::open_with(&path, small_segments()).unwrap();
    append(&store, 1, vec![1]).unwrap();
}

/// Commits until the store takes no more; returns the last number that was acknowledged.
fn commit_until_refused(store: &FileStore, first: u64) -> (u64, Error) {
    for number in first..COMMITS {
        if let Err(refused) = store.commit(lives::commit(number)) {
            return (number - 1, refused);
        }
    }
    panic!("the disk is not small");
}

/// Holds a store on a full disk to going on for readers, and to its errors.
fn assert_is_readable(store: &FileStore, acknowledged: u64, refused: &Error) {
    assert_eq!(lives::check_events(store), Ok(acknowledged), "after {refused}");
    match refused {
        Error::NoSpace { .. } => {}
        // A device fails, or a file system whose device failed takes no more writes.
        Error::Io { .. } => {}
        Error::OutcomeUnknown { .. } => {
            let again = store.commit(lives::commit(acknowledged + 1));
            assert!(matches!(again, Err(Error::Poisoned { .. })), "{again:?} after {refused}");
        }
        refused => panic!("{refused:?}"),
    }
}

#[test]
fn a_full_ext4_loses_nothing_wherever_it_becomes_full_and_is_usable_once_there_is_room() {
    let Some(disk) = SmallDisk::ext4(8 << 20) else {
        return eprintln!("skipped: a_full_ext4: no file system can be made and mounted");
    };
    let path = disk.path().join("store");
    for room in [0, 4, 8, 16, 24, 32, 48, 64, 72, 96, 128, 160, 200, 256, 300, 512] {
        let store = FileStore::open_with(&path, lives::options()).unwrap();
        store.commit(lives::commit(1)).unwrap();
        let filler = disk.fill_but(room << 10);
        let (acknowledged, refused) = commit_until_refused(&store, 2);
        assert_is_readable(&store, acknowledged, &refused);
        drop(store);
        // While the disk is full the store can be opened, or says that it is full.
        match FileStore::open_with(&path, lives::options()) {
            Ok(store) => assert_eq!(lives::check_events(&store), Ok(acknowledged), "{room}"),
            Err(Error::NoSpace { .. }) => {}
            Err(error) => panic!("{room}: {error:?}"),
        }
        make_room(&filler);
        lives::check(&path, acknowledged).unwrap_or_else(|wrong| panic!("{room}: {wrong}"));
        fs::remove_dir_all(&path).unwrap();
    }
}

/// The device of the next test must not lie itself: what it did not take, it must not have taken.
#[test]
fn a_thin_disk_says_which_writes_it_did_not_take() {
    let piece = vec![7; 5 * 4096];
    for really in ["3m", "3076k", "3080k", "3084k", "3088k"] {
        let Some(mut disk) = SmallDisk::thin(32 << 20, really, Journal::None) else {
            return eprintln!("skipped: a_thin_disk_says: no file system can be made and mounted");
        };
        let path = disk.path().join("file");
        let file = fs::File::create(&path).unwrap();
        let take = |offset: &u64| {
            file.write_all_at(&piece, *offset).and_then(|()| file.sync_data()).is_ok()
        };
        let taken: Vec<u64> = (0..).step_by(piece.len()).take_while(take).collect();
        assert!((50..200).contains(&taken.len()), "{} pieces", taken.len());
        drop(file);
        disk.thicken();
        disk.mount_again();
        let content = fs::read(&path).unwrap();
        let whole = content.chunks(piece.len()).take_while(|&content| content == piece).count();
        assert!(whole >= taken.len(), "{really}: {whole} of {} are there", taken.len());
    }
}

/// Fills a store on a thin disk, lets the device have room, and holds the store to what it acknowledged;
/// to `in_the_air` commits less at the end, which the file system lost in saying that it has them.
fn fill_a_thin_disk(really: &str, journal: Journal, in_the_air: u64) {
    let Some(mut disk) = SmallDisk::thin(32 << 20, really, journal) else {
        return eprintln!("skipped: a_thin_disk, {journal:?}: no file system can be mounted");
    };
    let path = disk.path().join("store");
    let store = FileStore::open_with(&path, lives::options()).unwrap();
    let (acknowledged, refused) = commit_until_refused(&store, 1);
    assert_is_readable(&store, acknowledged, &refused);
    drop(store);
    disk.thicken();
    let mut told = acknowledged;
    if journal == Journal::None {
        // What the cache shows now is not what the device has.
        lives::check(&path, told).unwrap();
        told += 1;
    }
    disk.mount_again();
    let checked = match lives::check(&path, told) {
        Err(_) if in_the_air > 0 => lives::check(&path, told - in_the_air),
        checked => checked,
    };
    checked.unwrap();
}

#[test]
fn a_thin_disk_that_fails_and_then_says_ok_loses_nothing_that_was_acknowledged() {
    fill_a_thin_disk("10m", Journal::Whole, 0);
    fill_a_thin_disk("3m", Journal::None, 0);
}

/// Linux 6.18 can answer `fdatasync` with success although the journal of the file system has failed:
/// `docs/durability.md`, "What Linux 6.18 says and has not done".
#[test]
fn a_file_system_whose_journal_fails_loses_the_last_sync_at_most() {
    fill_a_thin_disk("3m", Journal::Thin, 1);
}
