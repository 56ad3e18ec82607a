//! Runs as a set of files: which count, which are removed, and which are merged next.

use std::io::ErrorKind;

use super::*;
use crate::error::{Error, Result};
use crate::index::run::name;
use crate::index::runs::{Access, Look, due, newest, open_runs, remove_superseded};
use crate::io::Operation;

fn contents(first: u64, last: u64) -> Contents {
    let count = u32::try_from(last - first + 1).unwrap();
    Contents {
        first,
        locations: (first..=last).map(|number| number * 64).collect(),
        lists: [(spread(1), (0..count).collect())].into(),
    }
}

fn write(disk: &MemoryDisk, intervals: &[(u64, u64)]) {
    intervals.iter().for_each(|(first, last)| drop(contents(*first, *last).write(disk)));
}

fn file(first: u64, last: u64) -> String {
    name(position(first), position(last))
}

/// Opens the runs of a log that ends before `next`, and returns what they cover.
fn opened_until(disk: &MemoryDisk, access: Access, next: u64) -> Vec<(u64, u64)> {
    let is_current =
        |resume: &Resume, _: Look| -> Result<bool> { Ok(resume.next_position.get() <= next) };
    let runs = open_runs(disk, STORE, &is_current).unwrap();
    if access == Access::Write {
        let kept: Vec<_> = runs.iter().map(|run| run.name()).collect();
        remove_superseded(disk, &kept).unwrap();
    }
    runs.iter().map(|run| (run.interval().0.get(), run.interval().1.get())).collect()
}

fn opened(disk: &MemoryDisk) -> Vec<(u64, u64)> {
    opened_until(disk, Access::Write, u64::MAX)
}

/// One was passed over once, with every event after it.
#[test]
fn an_event_that_does_not_follow_the_one_before_is_refused_by_a_memtable() {
    let table = Contents::of([(7, vec![0, 1])]).table();
    let entry = |number: u64| Entry {
        position: position(number),
        location: Location::new(640),
        terms: EventTerms { hashes: &[], id_time: IdTime::Unknown },
    };
    for number in [1, 2, 4, u64::from(u32::MAX) + 2, u64::MAX - 1] {
        let added = table.add([entry(number)], resume_before(4));
        assert!(matches!(added, Err(Error::Internal { .. })), "position {number}");
    }
    table.add([entry(3)], resume_before(4)).unwrap();
    assert_eq!((table.len(), table.last_position()), (3, position(3)));
}

#[test]
fn the_widest_run_counts_and_what_it_supersedes_is_removed() {
    let disk = MemoryDisk::new();
    write(&disk, &[(1, 10), (11, 20), (1, 20), (21, 30), (21, 25), (26, 30), (31, 31)]);
    let all = files(&disk);
    assert_eq!(opened_until(&disk, Access::Read, u64::MAX), [(1, 20), (21, 30), (31, 31)]);
    assert_eq!(files(&disk), all, "a reader removes nothing");
    assert_eq!(opened(&disk), [(1, 20), (21, 30), (31, 31)]);
    assert_eq!(files(&disk), [file(1, 20), file(21, 30), file(31, 31)].into());
}

#[test]
fn unfinished_runs_are_removed_and_other_files_are_left_alone() {
    let disk = MemoryDisk::new();
    write(&disk, &[(1, 10)]);
    let foreign = ["notes.txt", "1-2.run", "x.tmp"];
    foreign.iter().for_each(|name| disk.set_bytes(name, b"kept".to_vec()));
    disk.set_bytes(&format!("{}.tmp", file(11, 20)), vec![0; 100]);
    assert_eq!(opened(&disk), [(1, 10)]);
    let kept = foreign.iter().map(|name| (*name).to_owned()).chain([file(1, 10)]).collect();
    assert_eq!(files(&disk), kept);
}

#[test]
fn a_run_that_can_not_be_used_is_dropped_and_a_narrower_one_takes_its_place() {
    type Damage = fn(&MemoryDisk, &str);
    let damages: [(&str, Damage); 6] = [
        ("short", |disk, path| {
            let mut bytes = disk.bytes_of(path).unwrap();
            bytes.pop();
            disk.set_bytes(path, bytes);
        }),
        ("longer", |disk, path| {
            let mut bytes = disk.bytes_of(path).unwrap();
            bytes.push(0);
            disk.set_bytes(path, bytes);
        }),
        ("empty", |disk, path| disk.set_bytes(path, Vec::new())),
        ("zeros", |disk, path| disk.set_bytes(path, vec![0; 30_000])),
        ("of another interval", |disk, path| {
            let other = disk.bytes_of(&file(1, 10)).unwrap();
            disk.set_bytes(path, other);
        }),
        ("of another store", |disk, path| {
            let other = MemoryDisk::new();
            write_table(&other, Uuid::from_u128(8), &contents(1, 20).table()).unwrap();
            disk.set_bytes(path, other.bytes_of(path).unwrap());
        }),
    ];
    for (what, damage) in damages {
        let disk = MemoryDisk::new();
        write(&disk, &[(1, 10), (1, 20), (21, 30)]);
        damage(&disk, &file(1, 20));
        assert_eq!(opened(&disk), [(1, 10), (21, 30)], "{what}");
        assert_eq!(files(&disk), [file(1, 10), file(21, 30)].into(), "{what}");
    }
}

#[test]
fn a_run_that_the_system_does_not_let_be_opened_is_an_error_and_is_not_removed() {
    // Any failure counted as a run that can not be used, and a writer removed it.
    let disk = MemoryDisk::new();
    write(&disk, &[(1, 10), (11, 20)]);
    let all = files(&disk);
    let current = |_: &Resume, _: Look| -> Result<bool> { Ok(true) };
    // Too many open files has no kind of its own.
    for kind in [ErrorKind::Other, ErrorKind::OutOfMemory, ErrorKind::PermissionDenied] {
        for (operation, nth) in [(Operation::Open, 1), (Operation::Open, 2), (Operation::Len, 1)] {
            disk.fail(operation, nth, kind);
            let opened = open_runs(&disk, STORE, &current).map(|runs| runs.len());
            assert!(
                matches!(&opened, Err(Error::Io { source, .. }) if source.kind() == kind),
                "{operation:?} {nth}: {opened:?}"
            );
            assert_eq!(files(&disk), all);
        }
    }
    assert_eq!(opened(&disk), [(1, 10), (11, 20)]);
}

#[test]
fn a_run_whose_bytes_can_not_be_read_is_dropped() {
    for nth in 1..=2 {
        let disk = MemoryDisk::new();
        write(&disk, &[(1, 10), (11, 20)]);
        disk.fail(Operation::Read, nth, ErrorKind::Other);
        assert_eq!(opened(&disk), [(11, 20)], "read {nth}");
        assert_eq!(files(&disk), [file(11, 20)].into());
    }
    let disk = MemoryDisk::new();
    write(&disk, &[(1, 10)]);
    disk.fail(Operation::Read, 1, ErrorKind::OutOfMemory);
    let opened = open_runs(&disk, STORE, &|_: &Resume, _: Look| Ok(true));
    assert!(matches!(opened, Err(Error::Io { .. })));
    assert_eq!(files(&disk), [file(1, 10)].into());
}

#[test]
fn a_run_that_is_merged_away_while_a_reader_opens_it_is_no_error() {
    let disk = MemoryDisk::new();
    write(&disk, &[(1, 10), (11, 20)]);
    disk.fail(Operation::Open, 1, ErrorKind::NotFound);
    assert_eq!(opened_until(&disk, Access::Read, u64::MAX), [(11, 20)]);
}

#[test]
fn a_run_that_ends_at_a_frame_that_the_log_does_not_have_is_dropped() {
    let disk = MemoryDisk::new();
    write(&disk, &[(1, 10), (11, 20), (1, 20), (21, 30)]);
    assert_eq!(opened_until(&disk, Access::Read, 16), [(1, 10)]);
    assert_eq!(opened_until(&disk, Access::Write, 16), [(1, 10)]);
    assert_eq!(files(&disk), [file(1, 10)].into());
}

#[test]
fn opening_removes_no_run_and_the_newest_that_is_sound_tells_how_far_the_log_had_come() {
    let disk = MemoryDisk::new();
    write(&disk, &[(1, 10), (11, 20), (1, 20), (21, 30)]);
    let all = files(&disk);
    let none = |_: &Resume, _: Look| -> Result<bool> { Ok(false) };
    assert_eq!(open_runs(&disk, STORE, &none).unwrap().len(), 0);
    assert_eq!(files(&disk), all, "they may be all that tells of a loss");
    let told = |disk: &MemoryDisk| {
        let newest = newest(disk, STORE).unwrap();
        newest.map(|(name, resume)| (name, resume.next_position.get()))
    };
    assert_eq!(told(&disk), Some((file(21, 30), 31)));
    let mut bytes = disk.bytes_of(&file(21, 30)).unwrap();
    bytes[60] ^= 1;
    disk.set_bytes(&file(21, 30), bytes);
    let second = told(&disk).unwrap();
    assert!(second == (file(1, 20), 21) || second == (file(11, 20), 21), "{second:?}");
    let other = MemoryDisk::new();
    write_table(&other, Uuid::from_u128(8), &contents(1, 40).table()).unwrap();
    assert_eq!(newest(&other, STORE).unwrap(), None, "it is of another store");
    disk.fail(Operation::Open, 1, ErrorKind::PermissionDenied);
    assert!(matches!(newest(&disk, STORE), Err(Error::Io { .. })));
}

/// Adds runs of these sizes one by one, merging what is due, and returns the most there ever were.
fn most_runs(sizes: impl Iterator<Item = u64>, table_events_max: usize) -> (usize, Vec<u64>) {
    let mut runs: Vec<u64> = Vec::new();
    let mut most = 0;
    for size in sizes {
        runs.push(size);
        most = most.max(runs.len());
        while let Some(start) = due(&runs, table_events_max) {
            assert!(runs.len() - start > 1, "a merge of one run goes on for ever");
            let merged = runs.split_off(start).iter().sum();
            runs.push(merged);
        }
    }
    (most, runs)
}

#[test]
fn a_thousand_million_events_lie_in_few_runs() {
    let (most, _) = most_runs(std::iter::repeat_n(65_536, 15_259), 65_536);
    assert!(most <= 24, "{most}");
    // Memtables that commits of many events left half empty, and small runs of short sessions.
    let uneven = (0..30_000).map(|number| 1024 + spread(number) % 64_512);
    let (most, _) = most_runs(uneven, 65_536);
    assert!(most <= 32, "{most}");
    let (most, _) = most_runs(std::iter::repeat_n(1024, 20_000), 65_536);
    assert!(most <= 24, "{most}");
}

#[test]
fn a_run_never_covers_more_events_than_its_postings_can_count() {
    let (most, runs) = most_runs(std::iter::repeat_n(1 << 22, 5000), 1 << 22);
    assert!(runs.iter().all(|events| *events < u64::from(u32::MAX)));
    assert_eq!(runs.iter().sum::<u64>(), 5000 << 22);
    assert!(most <= 40, "{most}");
}
