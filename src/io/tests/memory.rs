//! Holds the disk in memory to failing as it is told to, and the loops of the trait to going on.

use std::io::ErrorKind;

use super::{contents, kind, new_file};
use crate::io::{Disk, DiskFile, MakeDirectory, MemoryDisk, OpenMode, Operation};

#[test]
fn the_nth_next_call_fails_once_and_changes_nothing() {
    let disk = MemoryDisk::new();
    let file = new_file(&disk, "file", b"0123");
    disk.fail(Operation::Write, 2, ErrorKind::StorageFull);
    disk.fail(Operation::Write, 3, ErrorKind::PermissionDenied);
    file.write_all_at(b"a", 0).unwrap();
    assert_eq!(kind(file.write_all_at(b"b", 0)), ErrorKind::StorageFull);
    assert_eq!(kind(file.write_all_at(b"c", 0)), ErrorKind::PermissionDenied);
    assert_eq!(contents(&file), b"a123");
    file.write_all_at(b"d", 0).unwrap();
    assert_eq!(contents(&file), b"d123");
}

#[test]
fn every_operation_can_fail() {
    let disk = MemoryDisk::new();
    let file = new_file(&disk, "file", b"0123");
    let failed = |operation, call: &dyn Fn() -> std::io::Result<()>| {
        disk.fail(operation, 1, ErrorKind::Deadlock);
        assert_eq!(kind(call()), ErrorKind::Deadlock, "{operation:?}");
    };
    failed(Operation::Directory, &|| disk.directory("a", MakeDirectory::IfAbsent).map(drop));
    failed(Operation::List, &|| disk.list().map(drop));
    failed(Operation::Open, &|| disk.open("new", OpenMode::CreateNew).map(drop));
    failed(Operation::Rename, &|| disk.rename("file", "other"));
    failed(Operation::Remove, &|| disk.remove("file"));
    failed(Operation::SyncDir, &|| disk.sync_dir());
    failed(Operation::Lock, &|| disk.lock("lock").map(drop));
    failed(Operation::Len, &|| file.len().map(drop));
    failed(Operation::Read, &|| file.read_bytes(0, 1).map(drop));
    failed(Operation::Write, &|| file.write_all_at(b"x", 0));
    failed(Operation::SetLen, &|| file.set_len(0));
    failed(Operation::Allocate, &|| file.allocate(100));
    failed(Operation::GiveBack, &|| file.give_back(0, 1));
    failed(Operation::Sync, &|| file.sync_data());
    failed(Operation::WriteOut, &|| file.write_out(0, 1));
    failed(Operation::BeginWriteOut, &|| file.begin_write_out(0, 1));
    failed(Operation::Evict, &|| file.evict());
    assert_eq!(disk.list().unwrap(), ["file"]);
    assert_eq!(contents(&file), b"0123");
}

#[test]
fn calls_are_counted_with_those_that_fail() {
    let disk = MemoryDisk::new();
    let file = new_file(&disk, "file", b"0123");
    disk.fail(Operation::Sync, 1, ErrorKind::Other);
    assert_eq!(kind(file.sync_data()), ErrorKind::Other);
    file.sync_data().unwrap();
    assert_eq!(disk.calls(Operation::Sync), 2);
    assert_eq!(disk.calls(Operation::Write), 1);
    assert_eq!(disk.calls(Operation::Rename), 0);
}

#[test]
fn an_interrupted_read_or_write_goes_on() {
    let disk = MemoryDisk::new();
    disk.limit_bytes_per_call(2);
    let file = disk.open("file", OpenMode::CreateNew).unwrap();
    disk.fail(Operation::Write, 2, ErrorKind::Interrupted);
    file.write_all_at(b"01234", 0).unwrap();
    disk.fail(Operation::Read, 2, ErrorKind::Interrupted);
    assert_eq!(contents(&file), b"01234");
    assert_eq!(disk.calls(Operation::Write), 4);
}

#[test]
fn an_interrupted_sync_is_not_tried_again() {
    let disk = MemoryDisk::new();
    let file = new_file(&disk, "file", b"0123");
    disk.fail(Operation::Sync, 1, ErrorKind::Interrupted);
    assert_eq!(kind(file.sync_data()), ErrorKind::Interrupted);
    assert_eq!(disk.calls(Operation::Sync), 1);
}

#[test]
fn a_write_that_takes_nothing_is_an_error() {
    let disk = MemoryDisk::new();
    let file = disk.open("file", OpenMode::CreateNew).unwrap();
    disk.limit_bytes_per_call(0);
    assert_eq!(kind(file.write_all_at(b"01234", 0)), ErrorKind::WriteZero);
}

#[test]
fn a_test_reaches_the_bytes_of_every_file_in_memory() {
    let disk = MemoryDisk::new();
    let log = disk.directory("log", MakeDirectory::IfAbsent).unwrap();
    let file = new_file(&log, "1", b"0123");
    disk.set_bytes("log/1", b"damaged".into());
    assert_eq!(contents(&file), b"damaged");
    disk.set_bytes("2", b"new".into());
    assert_eq!(disk.bytes_of("2").unwrap(), b"new");
    assert_eq!(kind(disk.bytes_of("3")), ErrorKind::NotFound);
    assert_eq!(disk.files(), ["2", "log/1"]);
}

#[test]
fn a_disk_that_stopped_fails_every_call_until_it_is_mended() {
    let disk = MemoryDisk::new();
    disk.stop_at(3);
    let file = new_file(&disk, "file", b"0123");
    assert!(disk.list().is_err(), "the third call");
    assert_eq!(kind(file.sync_data()), ErrorKind::Other);
    assert!(!disk.is_to_fail());
    disk.mend();
    assert_eq!(disk.list().unwrap(), ["file"]);
}

#[test]
fn a_call_that_is_held_back_goes_on_when_it_is_let_go() {
    let disk = MemoryDisk::new();
    let file = new_file(&disk, "file", b"0123");
    std::thread::scope(|scope| {
        let hold = disk.hold(Operation::Sync);
        let synced = scope.spawn(|| file.sync_data());
        hold.wait_for_a_call();
        assert_eq!(contents(&file), b"0123", "other calls go on");
        assert_eq!(disk.calls(Operation::Sync), 0);
        drop(hold);
        synced.join().unwrap().unwrap();
    });
    assert_eq!(disk.calls(Operation::Sync), 1);
}

#[test]
fn a_copy_is_a_disk_of_its_own() {
    let disk = MemoryDisk::new();
    let log = disk.directory("log", MakeDirectory::IfAbsent).unwrap();
    let file = new_file(&log, "1", b"0123");
    let copy = disk.copy();
    file.write_all_at(b"changed", 0).unwrap();
    assert_eq!(copy.bytes_of("log/1").unwrap(), b"0123");
    assert!(copy.directory("log", MakeDirectory::Never).is_ok());
}

#[test]
fn one_sector_makes_all_that_is_cached_with_it_unreadable_until_the_file_is_read_finely() {
    let disk = MemoryDisk::new();
    let file = disk.open("1", OpenMode::CreateNew).unwrap();
    file.write_all_at(&[7; 200_000], 0).unwrap();
    disk.lose("1", 70_000..70_001);
    for (offset, is_cached_with_it) in
        [(0, false), (65_536, true), (131_071, true), (131_072, false)]
    {
        let own = disk.open("1", OpenMode::Read).unwrap();
        let mut byte = [0];
        assert_eq!(own.read_at(&mut byte, offset).is_err(), is_cached_with_it, "{offset}");
        assert_eq!(own.read_up_to(&mut byte, offset).unwrap(), 1);
        assert_eq!(own.read_at(&mut byte, offset).unwrap(), 1);
        assert!(own.read_up_to(&mut byte, 70_000).is_err());
        assert_eq!(own.read_up_to(&mut byte, 70_001).unwrap(), 1);
    }
}
