//! Holds every disk to the same behaviour; `memory`, `simulated` and `real` hold each to what only it
//! has.

#![forbid(unsafe_code)]

mod memory;
mod real;
mod simulated;

use std::io::ErrorKind;

use crate::io::{
    Disk, DiskFile, MakeDirectory, MemoryDisk, OpenMode, PAGE_BYTES, ReadMode, RealDisk,
    SimulatedDisk, ViewedFile,
};

/// Makes a module of tests for each kind of disk, one test for each behaviour.
macro_rules! on_every_disk {
    ($($behaviour:ident),* $(,)?) => {
        mod in_memory {
            $(#[test] fn $behaviour() { super::$behaviour(&super::MemoryDisk::new()); })*
        }
        mod in_memory_by_short_calls {
            $(#[test] fn $behaviour() {
                let disk = super::MemoryDisk::new();
                disk.limit_bytes_per_call(3);
                super::$behaviour(&disk);
            })*
        }
        mod on_simulated {
            $(#[test] fn $behaviour() { super::$behaviour(&super::SimulatedDisk::new()); })*
        }
        mod on_disk_mapped {
            $(#[test] fn $behaviour() { super::on_real(super::ReadMode::Map, super::$behaviour); })*
        }
        mod on_disk_read {
            $(#[test] fn $behaviour() { super::on_real(super::ReadMode::Read, super::$behaviour); })*
        }
    };
}

on_every_disk![
    what_is_written_is_read_back,
    a_read_beyond_the_end_is_empty,
    a_read_up_to_the_end_is_short,
    a_hole_reads_as_zeros,
    a_new_length_adds_zeros_or_cuts,
    allocation_adds_zeros_and_never_cuts,
    room_that_is_given_back_reads_as_zeros,
    a_new_file_refuses_a_name_that_is_taken,
    an_absent_file_is_not_found,
    a_file_opened_for_reading_takes_no_writes,
    a_rename_replaces,
    a_removed_file_is_gone_and_its_handle_works_on,
    names_are_listed_sorted,
    a_directory_is_made_once_and_opened_again,
    an_absent_directory_is_not_made_unasked,
    a_directory_is_no_file_and_a_file_no_directory,
    a_name_that_is_a_path_is_refused,
    a_second_lock_is_refused_until_the_first_is_dropped,
    locks_of_two_names_are_independent,
    a_view_shows_its_range,
    a_view_shows_a_range_only_whole,
    a_view_outlives_growth_handle_and_name,
    a_view_of_what_was_added_later_is_right,
    a_view_takes_no_more_memory_than_the_file_has,
    a_range_beyond_all_offsets_is_refused,
    syncs_write_out_and_eviction_keep_the_bytes,
];

fn on_real(read_mode: ReadMode, behaviour: impl FnOnce(&RealDisk)) {
    let directory = tempfile::tempdir().unwrap();
    behaviour(&RealDisk::open(directory.path()).unwrap().with_read_mode(read_mode));
}

fn new_file<D: Disk>(disk: &D, name: &str, bytes: &[u8]) -> D::File {
    let file = disk.open(name, OpenMode::CreateNew).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

fn contents(file: &impl DiskFile) -> Vec<u8> {
    let mut buffer = vec![0xEE; usize::try_from(file.len().unwrap()).unwrap() + 1];
    let filled = file.read_up_to(&mut buffer, 0).unwrap();
    buffer.truncate(filled);
    buffer
}

fn kind<T>(outcome: std::io::Result<T>) -> ErrorKind {
    match outcome {
        Ok(_) => panic!("it was to fail"),
        Err(error) => error.kind(),
    }
}

fn what_is_written_is_read_back(disk: &impl Disk) {
    let file = new_file(disk, "file", b"0123456789");
    file.write_all_at(b"abc", 4).unwrap();
    assert_eq!(contents(&file), b"0123abc789");

    let again = disk.open("file", OpenMode::Read).unwrap();
    let mut middle = [0; 4];
    assert_eq!(again.read_up_to(&mut middle, 3).unwrap(), 4);
    assert_eq!(&middle, b"3abc");
}

fn a_read_beyond_the_end_is_empty(disk: &impl Disk) {
    let file = new_file(disk, "file", b"0123");
    assert_eq!(file.read_at(&mut [0; 8], 4).unwrap(), 0);
    assert_eq!(file.read_at(&mut [0; 8], 5000).unwrap(), 0);
}

fn a_read_up_to_the_end_is_short(disk: &impl Disk) {
    let file = new_file(disk, "file", b"01234567");
    let mut buffer = [b'.'; 8];
    assert_eq!(file.read_up_to(&mut buffer, 3).unwrap(), 5);
    assert_eq!(&buffer, b"34567...");
}

fn a_hole_reads_as_zeros(disk: &impl Disk) {
    let file = disk.open("file", OpenMode::CreateNew).unwrap();
    file.write_all_at(b"end", 5).unwrap();
    assert_eq!(contents(&file), b"\0\0\0\0\0end");
}

fn a_new_length_adds_zeros_or_cuts(disk: &impl Disk) {
    let file = new_file(disk, "file", b"0123");
    file.set_len(6).unwrap();
    assert_eq!(contents(&file), b"0123\0\0");
    file.set_len(2).unwrap();
    file.set_len(3).unwrap();
    assert_eq!(contents(&file), b"01\0");
}

fn allocation_adds_zeros_and_never_cuts(disk: &impl Disk) {
    let file = new_file(disk, "file", b"0123");
    match file.allocate(100_000) {
        Err(error) if error.kind() == ErrorKind::Unsupported => return,
        outcome => outcome.unwrap(),
    }
    assert_eq!(file.len().unwrap(), 100_000);
    assert!(file.allocated_bytes().unwrap() >= 100_000);
    assert_eq!(file.read_bytes(0, 6).unwrap(), b"0123\0\0"[..]);

    file.allocate(10).unwrap();
    file.allocate(0).unwrap();
    assert_eq!(file.len().unwrap(), 100_000);
}

fn room_that_is_given_back_reads_as_zeros(disk: &impl Disk) {
    let page = usize::try_from(PAGE_BYTES).unwrap();
    let file = new_file(disk, "file", &vec![b'x'; 4 * page]);
    let before = file.allocated_bytes().unwrap();
    match file.give_back(PAGE_BYTES, 2 * PAGE_BYTES) {
        Err(error) if error.kind() == ErrorKind::Unsupported => return,
        outcome => outcome.unwrap(),
    }
    let zeros = [vec![b'x'; page], vec![0; 2 * page], vec![b'x'; page]].concat();
    assert_eq!(contents(&file), zeros);
    assert!(file.allocated_bytes().unwrap() <= before);
}

fn a_new_file_refuses_a_name_that_is_taken(disk: &impl Disk) {
    let file = new_file(disk, "file", b"0123");
    assert_eq!(kind(disk.open("file", OpenMode::CreateNew)), ErrorKind::AlreadyExists);
    assert_eq!(contents(&file), b"0123");
}

fn an_absent_file_is_not_found(disk: &impl Disk) {
    assert_eq!(kind(disk.open("file", OpenMode::Read)), ErrorKind::NotFound);
    assert_eq!(kind(disk.open("file", OpenMode::Write)), ErrorKind::NotFound);
    assert_eq!(kind(disk.rename("file", "other")), ErrorKind::NotFound);
    assert_eq!(kind(disk.remove("file")), ErrorKind::NotFound);
    assert!(disk.list().unwrap().is_empty());
}

fn a_file_opened_for_reading_takes_no_writes(disk: &impl Disk) {
    new_file(disk, "file", b"0123");
    let file = disk.open("file", OpenMode::Read).unwrap();
    assert!(file.write_at(b"x", 0).is_err());
    assert!(file.set_len(1).is_err());
    assert_eq!(contents(&file), b"0123");
}

fn a_rename_replaces(disk: &impl Disk) {
    new_file(disk, "old", b"old");
    let file = new_file(disk, "new", b"new");
    disk.rename("new", "old").unwrap();
    assert_eq!(disk.list().unwrap(), ["old"]);
    assert_eq!(contents(&disk.open("old", OpenMode::Read).unwrap()), b"new");

    file.write_all_at(b"N", 0).unwrap();
    assert_eq!(contents(&disk.open("old", OpenMode::Read).unwrap()), b"New");
}

fn a_removed_file_is_gone_and_its_handle_works_on(disk: &impl Disk) {
    let file = new_file(disk, "file", b"0123");
    disk.remove("file").unwrap();
    assert!(disk.list().unwrap().is_empty());
    assert_eq!(contents(&file), b"0123");
    new_file(disk, "file", b"other");
    assert_eq!(contents(&file), b"0123");
}

fn names_are_listed_sorted(disk: &impl Disk) {
    for name in ["b", "a.x", "c"] {
        new_file(disk, name, b"");
    }
    let inner = disk.directory("b.d", MakeDirectory::IfAbsent).unwrap();
    new_file(&inner, "inside", b"");
    assert_eq!(disk.list().unwrap(), ["a.x", "b", "b.d", "c"]);
    assert_eq!(inner.list().unwrap(), ["inside"]);
}

fn a_directory_is_made_once_and_opened_again(disk: &impl Disk) {
    let made = disk.directory("log", MakeDirectory::IfAbsent).unwrap();
    new_file(&made, "1", b"one");
    new_file(disk, "1", b"outer");
    for make in [MakeDirectory::IfAbsent, MakeDirectory::Never] {
        let again = disk.directory("log", make).unwrap();
        assert_eq!(contents(&again.open("1", OpenMode::Read).unwrap()), b"one");
        assert_eq!(again.path(), disk.path().join("log"));
    }
    made.sync_dir().unwrap();
}

fn an_absent_directory_is_not_made_unasked(disk: &impl Disk) {
    assert_eq!(kind(disk.directory("log", MakeDirectory::Never)), ErrorKind::NotFound);
    assert!(disk.list().unwrap().is_empty());
}

fn a_directory_is_no_file_and_a_file_no_directory(disk: &impl Disk) {
    disk.directory("log", MakeDirectory::IfAbsent).unwrap();
    new_file(disk, "file", b"");
    for mode in [OpenMode::Read, OpenMode::Write, OpenMode::CreateNew] {
        assert!(disk.open("log", mode).is_err());
    }
    assert!(disk.remove("log").is_err());
    assert!(disk.rename("file", "log").is_err());
    for make in [MakeDirectory::IfAbsent, MakeDirectory::Never] {
        assert_eq!(kind(disk.directory("file", make)), ErrorKind::NotADirectory);
    }
    assert_eq!(disk.list().unwrap(), ["file", "log"]);
}

fn a_name_that_is_a_path_is_refused(disk: &impl Disk) {
    let inner = disk.directory("log", MakeDirectory::IfAbsent).unwrap();
    new_file(disk, "file", b"");
    for name in ["", ".", "..", "../file", "/etc/hosts", "a/b", "a\\b", "c:a", "a\0b"] {
        assert_eq!(kind(inner.open(name, OpenMode::Read)), ErrorKind::InvalidInput);
        assert_eq!(kind(inner.rename(name, "x")), ErrorKind::InvalidInput);
        assert_eq!(kind(inner.rename("x", name)), ErrorKind::InvalidInput);
        assert_eq!(kind(inner.remove(name)), ErrorKind::InvalidInput);
        assert_eq!(kind(inner.lock(name)), ErrorKind::InvalidInput);
        let directory = inner.directory(name, MakeDirectory::IfAbsent);
        assert_eq!(kind(directory), ErrorKind::InvalidInput);
    }
}

fn a_second_lock_is_refused_until_the_first_is_dropped(disk: &impl Disk) {
    let lock = disk.lock("lock").unwrap();
    assert_eq!(kind(disk.lock("lock")), ErrorKind::WouldBlock);
    assert_eq!(kind(disk.clone().lock("lock")), ErrorKind::WouldBlock);
    drop(lock);
    drop(disk.lock("lock").unwrap());
    assert_eq!(disk.list().unwrap(), ["lock"]);
}

fn locks_of_two_names_are_independent(disk: &impl Disk) {
    let inner = disk.directory("inner", MakeDirectory::IfAbsent).unwrap();
    let _first = disk.lock("a").unwrap();
    let _second = disk.lock("b").unwrap();
    let _third = inner.lock("a").unwrap();
}

fn a_view_shows_its_range(disk: &impl Disk) {
    let file = ViewedFile::new(new_file(disk, "file", b"0123456789"));
    for (offset, len, expected) in [(0, 10, "0123456789"), (3, 4, "3456"), (3, 0, "")] {
        assert_eq!(file.bytes(offset, len).unwrap(), expected);
        assert_eq!(&*file.piece(offset, len).unwrap(), expected.as_bytes());
    }
}

fn a_view_shows_a_range_only_whole(disk: &impl Disk) {
    let file = ViewedFile::new(new_file(disk, "file", b"0123456789"));
    let empty = ViewedFile::new(new_file(disk, "empty", b""));
    let ranges = [(0, 11), (8, 5), (10, 5), (5000, 5)].map(|(offset, len)| (&file, offset, len));
    for (file, offset, len) in ranges.into_iter().chain([(&empty, 0, 5)]) {
        assert_eq!(kind(file.bytes(offset, len)), ErrorKind::UnexpectedEof);
        assert_eq!(kind(file.piece(offset, len)), ErrorKind::UnexpectedEof);
    }
    assert!(empty.bytes(0, 0).unwrap().is_empty());
}

fn a_view_outlives_growth_handle_and_name(disk: &impl Disk) {
    let file = ViewedFile::new(new_file(disk, "file", b"0123456789"));
    let view = file.bytes(2, 5).unwrap();
    file.file().set_len(4 << 20).unwrap();
    file.file().write_all_at(b"tail", 3 << 20).unwrap();
    let later = file.bytes(3 << 20, 4).unwrap();
    drop(file);
    disk.remove("file").unwrap();
    assert_eq!(view, b"23456"[..]);
    assert_eq!(later, b"tail"[..]);
}

fn a_view_of_what_was_added_later_is_right(disk: &impl Disk) {
    let file = ViewedFile::new(new_file(disk, "file", b"0123"));
    assert_eq!(file.bytes(0, 4).unwrap(), b"0123"[..]);
    for (offset, len) in [(4, 5), (1 << 20, 2 << 20), (2 << 20, (2 << 20) + 4)] {
        file.file().set_len(len).unwrap();
        file.file().write_all_at(b"x", offset).unwrap();
        assert_eq!(file.bytes(offset, 1).unwrap(), b"x"[..]);
        assert_eq!(file.bytes(0, 5).unwrap(), b"0123x"[..]);
        assert_eq!(&*file.piece(0, 5).unwrap(), b"0123x");
    }
}

fn a_view_takes_no_more_memory_than_the_file_has(disk: &impl Disk) {
    let file = ViewedFile::new(new_file(disk, "file", b"0123456789"));
    assert_eq!(kind(file.bytes(1, usize::MAX)), ErrorKind::UnexpectedEof);
    assert_eq!(kind(file.bytes(u64::MAX, 1 << 40)), ErrorKind::UnexpectedEof);
}

fn a_range_beyond_all_offsets_is_refused(disk: &impl Disk) {
    let file = new_file(disk, "file", b"0123");
    assert!(file.write_all_at(b"x", u64::MAX).is_err());
    assert_eq!(contents(&file), b"0123");
}

fn syncs_write_out_and_eviction_keep_the_bytes(disk: &impl Disk) {
    let file = new_file(disk, "file", b"0123");
    file.begin_write_out(0, 4).unwrap();
    file.write_out(0, 4).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir().unwrap();
    file.evict().unwrap();
    assert_eq!(contents(&file), b"0123");
}
