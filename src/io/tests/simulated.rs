//! Holds the simulated disk to the faults it stands for: what a crash keeps and loses, and what a
//! failed sync leaves.

use std::collections::BTreeSet;
use std::io::ErrorKind;

use super::{contents, kind, new_file};
use crate::io::{Call, Crash, Disk, DiskFile, Failure, MakeDirectory, OpenMode, SimulatedDisk};

const ONCE: Failure = Failure { after: 1, calls: 1, kind: ErrorKind::Other, is_partial: false };

/// Returns a disk with a durable file of these bytes.
fn disk_with(bytes: &[u8]) -> (SimulatedDisk, <SimulatedDisk as Disk>::File) {
    let disk = SimulatedDisk::new();
    let file = new_file(&disk, "file", bytes);
    file.sync_data().unwrap();
    disk.sync_dir().unwrap();
    (disk, file)
}

fn after(disk: &SimulatedDisk, crash: Crash) -> Vec<u8> {
    disk.now().crashed(crash).bytes_of("file").unwrap()
}

/// Returns what the file holds after every subset of what is pending.
fn after_subsets(disk: &SimulatedDisk, is_grown: bool) -> BTreeSet<Vec<u8>> {
    let masks = 0..1 << disk.now().units();
    masks.map(|mask| after(disk, Crash::Subset { mask, is_grown })).collect()
}

#[test]
fn what_was_not_synced_is_lost_by_a_crash_and_kept_by_a_kill() {
    let (disk, file) = disk_with(b"durable");
    file.write_all_at(b"new", 0).unwrap();
    assert_eq!(contents(&file), b"newable");
    assert_eq!(after(&disk, Crash::Nothing), b"durable");
    let killed = disk.now().killed();
    assert_eq!(killed.bytes_of("file").unwrap(), b"newable");
    assert_eq!(after(&killed, Crash::Nothing), b"durable", "a kill makes nothing durable");
    killed.open("file", OpenMode::Write).unwrap().sync_data().unwrap();
    assert_eq!(after(&killed, Crash::Nothing), b"newable");
}

#[test]
fn a_prefix_of_the_changes_survives_with_the_last_write_torn_at_any_byte() {
    let (disk, file) = disk_with(b"0000");
    file.write_all_at(b"ab", 0).unwrap();
    file.write_all_at(b"c0d", 1).unwrap();
    assert_eq!(disk.now().pending(), 2);
    let torn = |changes, bytes| after(&disk, Crash::Prefix { changes, bytes });
    assert_eq!(torn(0, 1), b"a000");
    assert_eq!(torn(1, 0), b"ab00");
    assert_eq!(torn(1, 1), b"ac00");
    assert_eq!(torn(2, 0), b"ac0d");
    assert_eq!(disk.now().tears(1), [1, 3], "the byte between is the same as before");
    assert!(disk.now().tears(2).is_empty());
}

#[test]
fn any_subset_of_sectors_survives() {
    let (disk, file) = disk_with(&[b'0'; 1024]);
    file.write_all_at(&[b'1'; 600], 300).unwrap();
    let states = after_subsets(&disk, false);
    let shown: BTreeSet<_> = states.iter().map(|it| (it[299], it[300], it[512], it[900])).collect();
    let sector = |first, second| (b'0', first, second, b'0');
    let all = [(b'0', b'0'), (b'0', b'1'), (b'1', b'0'), (b'1', b'1')];
    assert_eq!(shown, all.map(|(first, second)| sector(first, second)).into());
}

#[test]
fn a_file_that_grew_may_keep_its_length_and_lose_its_bytes() {
    let (disk, file) = disk_with(b"ab");
    file.write_all_at(b"cd", 2).unwrap();
    let short: BTreeSet<_> = [b"ab".to_vec(), b"abcd".to_vec()].into();
    assert_eq!(after_subsets(&disk, false), short);
    let grown: BTreeSet<_> = [b"ab\0\0".to_vec(), b"abcd".to_vec()].into();
    assert_eq!(after_subsets(&disk, true), grown);
}

#[test]
fn any_subset_of_names_survives() {
    let (disk, _file) = disk_with(b"bytes");
    new_file(&disk, "new", b"");
    disk.rename("file", "other").unwrap();
    assert_eq!(disk.now().units(), 2);
    let names = |mask| disk.now().crashed(Crash::Subset { mask, is_grown: false }).now().names("");
    let disk_names = |mask| {
        let crashed = disk.now().crashed(Crash::Subset { mask, is_grown: false });
        crashed.list().unwrap()
    };
    assert_eq!(names(0), Vec::<String>::new(), "the root has no name");
    assert_eq!(disk_names(0b00), ["file"]);
    assert_eq!(disk_names(0b01), ["file", "new"]);
    assert_eq!(disk_names(0b10), ["other"]);
    assert_eq!(disk_names(0b11), ["new", "other"]);
    disk.sync_dir().unwrap();
    assert_eq!(disk_names(0), ["new", "other"]);
}

#[test]
fn a_name_that_was_removed_may_come_back_and_replace_nothing() {
    let (disk, _file) = disk_with(b"old");
    disk.remove("file").unwrap();
    let new = new_file(&disk, "file", b"new");
    new.sync_data().unwrap();
    let states: BTreeSet<_> = (0..4)
        .map(|mask| disk.now().crashed(Crash::Subset { mask, is_grown: false }).bytes_of("file"))
        .collect();
    let expected = [None, Some(b"old".to_vec()), Some(b"new".to_vec())];
    assert_eq!(states, expected.into());
}

#[test]
fn a_failed_sync_forgets_and_the_next_one_does_not_make_up_for_it() {
    let (disk, file) = disk_with(b"old");
    file.write_all_at(b"new", 0).unwrap();
    disk.fail(ONCE);
    assert_eq!(kind(file.sync_data()), ErrorKind::Other);
    file.sync_data().unwrap();
    assert_eq!(contents(&file), b"new", "the cache shows what the disk has not");
    assert_eq!(after(&disk, Crash::Nothing), b"old");
    file.write_all_at(b"N", 0).unwrap();
    file.sync_data().unwrap();
    assert_eq!(contents(&file), b"New");
    assert_eq!(after(&disk, Crash::Nothing), b"Nld");
    file.evict().unwrap();
    assert_eq!(contents(&file), b"Nld");
}

#[test]
fn a_cache_that_is_held_is_not_dropped_before_it_is_let_go() {
    let (disk, file) = disk_with(b"old");
    file.write_all_at(b"new", 0).unwrap();
    disk.fail(ONCE);
    assert!(file.sync_data().is_err());
    disk.hold_cache(2);
    file.evict().unwrap();
    file.evict().unwrap();
    assert_eq!(contents(&file), b"new");
    file.evict().unwrap();
    assert_eq!(contents(&file), b"old");
}

#[test]
fn eviction_keeps_what_is_still_to_be_written() {
    let (disk, file) = disk_with(b"old");
    file.write_all_at(b"n", 0).unwrap();
    disk.fail(ONCE);
    assert!(file.sync_data().is_err());
    file.write_all_at(b"w", 2).unwrap();
    file.evict().unwrap();
    assert_eq!(contents(&file), b"olw");
}

#[test]
fn zeros_that_the_device_lost_give_back_what_stood_there() {
    let (disk, file) = disk_with(&[b'x'; 1024]);
    file.write_all_at(&[0; 1024], 0).unwrap();
    file.sync_data().unwrap();
    file.write_all_at(b"y", 0).unwrap();
    file.sync_data().unwrap();
    let given_back = |seed| {
        let (kept_of_8, is_grown) = (0, false);
        after(&disk, Crash::Scattered { seed, kept_of_8, is_grown, gives_back: true })
    };
    let states: BTreeSet<_> = (0..20).map(|seed| given_back(seed)[512]).collect();
    assert_eq!(states, [0, b'x'].into());
    assert!((0..20).all(|seed| given_back(seed)[0] == b'y'), "what was written since stays");
    assert_eq!(after(&disk, Crash::Nothing)[512], 0);
}

#[test]
fn a_scattered_crash_keeps_any_part_and_follows_from_its_seed() {
    let (disk, file) = disk_with(&[b'0'; 512]);
    file.write_all_at(&[b'1'; 512], 0).unwrap();
    file.write_all_at(&[b'2'; 512], 0).unwrap();
    let crash = |seed| {
        let (kept_of_8, is_grown, gives_back) = (6, false, false);
        Crash::Scattered { seed, kept_of_8, is_grown, gives_back }
    };
    let states: BTreeSet<_> = (0..100).map(|seed| after(&disk, crash(seed))[0]).collect();
    assert_eq!(states, [b'0', b'1', b'2'].into());
    assert!((0..100).all(|seed| after(&disk, crash(seed)) == after(&disk, crash(seed))));
}

#[test]
fn every_call_that_changes_something_is_a_moment_and_can_fail() {
    let disk = SimulatedDisk::new();
    disk.record();
    let inner = disk.directory("inner", MakeDirectory::IfAbsent).unwrap();
    let file = new_file(&inner, "a", b"bytes");
    file.allocate(100).unwrap();
    file.give_back(0, 100).unwrap();
    file.set_len(50).unwrap();
    file.begin_write_out(0, 50).unwrap();
    file.write_out(0, 50).unwrap();
    file.sync_data().unwrap();
    inner.rename("a", "b").unwrap();
    inner.remove("b").unwrap();
    inner.sync_dir().unwrap();
    drop(inner.lock("lock").unwrap());
    let calls: Vec<_> = disk.take_moments().iter().map(|moment| moment.call).collect();
    let expected = [
        Call::MakeDirectory,
        Call::SyncDirectory,
        Call::Create,
        Call::Write,
        Call::Allocate,
        Call::GiveBack,
        Call::SetLen,
        Call::BeginWriteOut,
        Call::WriteOut,
        Call::Sync,
        Call::Rename,
        Call::Remove,
        Call::SyncDirectory,
        Call::Lock,
    ];
    assert_eq!(calls, expected);
    assert_eq!(disk.calls(), expected.len() as u64);
    disk.fail(Failure { after: 2, calls: 2, ..ONCE });
    assert!(inner.sync_dir().is_ok());
    assert!(inner.sync_dir().is_err() && inner.sync_dir().is_err());
    assert!(inner.sync_dir().is_ok());
}

#[test]
fn a_write_that_fails_may_have_written_its_first_half() {
    let (disk, file) = disk_with(b"0000");
    disk.fail(Failure { is_partial: true, ..ONCE });
    assert_eq!(kind(file.write_all_at(b"1111", 0)), ErrorKind::Other);
    assert_eq!(contents(&file), b"1100");
}

#[test]
fn what_an_earlier_life_does_later_does_not_reach_the_next() {
    let (disk, file) = disk_with(b"0");
    let _lock = disk.lock("LOCK").unwrap();
    let killed = disk.now().killed();
    file.write_all_at(b"1", 0).unwrap();
    assert_eq!(killed.bytes_of("file").unwrap(), b"0");
    assert!(killed.lock("LOCK").is_ok(), "a lock ends with the life of who held it");
}
