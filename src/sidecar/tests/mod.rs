//! Holds records to what is promised: what is written is read back, what is not the record is none
//! (`crash`: also after any loss of power), and nothing else of the directory is touched.

#![forbid(unsafe_code)]
#![allow(clippy::cast_possible_truncation, reason = "records of a test are small")]

mod crash;

use std::io::ErrorKind;
use std::thread;

use uuid::Uuid;

use crate::error::Error;
use crate::format::RecordFile;
use crate::io::{Call, Disk, MemoryDisk, Operation, SimulatedDisk};
use crate::limits::{RECORD_BYTES_MAX, RECORD_NAME_BYTES_MAX};
use crate::record::{Record, RecordKind, Unusable, UnusableRecord};
use crate::sidecar::{FileName, SIDECAR, Sidecar, Writing};

const STORE_ID: Uuid = Uuid::from_u128(7);
const KEY: [u8; 16] = [3; 16];
const KIND: RecordKind = RecordKind::Snapshot;

fn sidecar<D: Disk>(disk: &D) -> Sidecar<D> {
    Sidecar::new(disk.clone(), STORE_ID, KEY, Writing::Allowed)
}

fn found(content: &[u8]) -> Record {
    Record::Found(content.to_vec().into())
}

/// Returns the path of a record's file from the root of the disk.
fn path(kind: RecordKind, name: &str) -> String {
    let file_name = FileName::of(&KEY, name);
    format!("{SIDECAR}/{kind}/{}/{}", file_name.folder(), file_name.name())
}

/// Returns a disk with one record, and what is told of it when its file has other bytes.
fn with_bytes(change: impl FnOnce(&mut Vec<u8>)) -> Record {
    let disk = MemoryDisk::new();
    let records = sidecar(&disk);
    records.write(KIND, "plan", b"content").unwrap();
    let path = path(KIND, "plan");
    let mut bytes = disk.bytes_of(&path).unwrap();
    change(&mut bytes);
    disk.set_bytes(&path, bytes);
    records.read(KIND, "plan").unwrap()
}

#[test]
fn what_was_written_last_is_read_back_also_by_another_opening() {
    let disk = MemoryDisk::new();
    let records = sidecar(&disk);
    for content in [&b"first"[..], b"", b"the third is longer"] {
        records.write(KIND, "plan", content).unwrap();
        assert_eq!(records.read(KIND, "plan").unwrap(), found(content));
        assert_eq!(sidecar(&disk).read(KIND, "plan").unwrap(), found(content));
    }
    assert_eq!(disk.files(), [path(KIND, "plan")], "nothing else is left");
}

#[test]
fn kinds_and_names_are_told_apart() {
    let disk = MemoryDisk::new();
    let records = sidecar(&disk);
    for kind in RecordKind::ALL {
        for name in ["a", "b"] {
            records.write(kind, name, format!("{kind} {name}").as_bytes()).unwrap();
        }
    }
    for kind in RecordKind::ALL {
        for name in ["a", "b"] {
            let content = format!("{kind} {name}");
            assert_eq!(records.read(kind, name).unwrap(), found(content.as_bytes()));
        }
        assert_eq!(records.read(kind, "c").unwrap(), Record::Absent);
    }
    assert_eq!(records.sizes().unwrap().records, 8);
}

#[test]
fn a_removed_record_is_absent_and_removing_nothing_is_no_error() {
    let disk = MemoryDisk::new();
    let records = sidecar(&disk);
    records.remove(KIND, "plan").unwrap();
    assert!(disk.list().unwrap().is_empty(), "no folder is made for that");
    records.write(KIND, "plan", b"content").unwrap();
    records.remove(KIND, "plan").unwrap();
    records.remove(KIND, "plan").unwrap();
    assert_eq!(records.read(KIND, "plan").unwrap(), Record::Absent);
}

#[test]
fn no_name_leaves_the_folder_and_any_text_is_a_name() {
    let disk = MemoryDisk::new();
    let records = sidecar(&disk);
    let longest = "n".repeat(RECORD_NAME_BYTES_MAX as usize);
    let names =
        ["../../STORE", "/etc/passwd", "..", ".", "a/b\\c:d", "\0", "\u{1f4a9}", "CON", &longest];
    for name in names {
        records.write(KIND, name, name.as_bytes()).unwrap();
        assert_eq!(records.read(KIND, name).unwrap(), found(name.as_bytes()));
    }
    let is_inside = |file: &String| {
        let parts: Vec<_> = file.split('/').collect();
        parts.len() == 4 && parts[..2] == [SIDECAR, "snapshot"] && parts[3].starts_with(parts[2])
    };
    assert!(disk.files().iter().all(is_inside), "{:?}", disk.files());
    assert_eq!(disk.files().len(), names.len());
}

#[test]
fn what_is_over_a_limit_is_refused_and_nothing_is_written() {
    let disk = MemoryDisk::new();
    let records = sidecar(&disk);
    let long = "n".repeat(RECORD_NAME_BYTES_MAX as usize + 1);
    assert!(matches!(records.write(KIND, "", b""), Err(Error::InvalidName { .. })));
    assert!(matches!(records.write(KIND, &long, b""), Err(Error::Limit { limit: 512, .. })));
    assert!(matches!(records.read(KIND, ""), Err(Error::InvalidName { .. })));
    assert!(matches!(records.read(KIND, &long), Err(Error::Limit { .. })));
    assert!(matches!(records.remove(KIND, &long), Err(Error::Limit { .. })));
    let large = vec![0; RECORD_BYTES_MAX as usize + 1];
    let refused = records.write(KIND, "plan", &large);
    assert!(matches!(refused, Err(Error::Limit { limit: 0x0100_0000, .. })));
    assert!(disk.list().unwrap().is_empty());

    records.write(KIND, "plan", &large[1..]).unwrap();
    assert_eq!(records.read(KIND, "plan").unwrap(), found(&large[1..]));
}

#[test]
fn every_flipped_bit_and_every_truncation_reads_as_no_record() {
    let length = RecordFile::encode(STORE_ID, KIND, "plan", b"content").len();
    for bit in 0..length * 8 {
        let read = with_bytes(|bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        assert!(matches!(read, Record::Unusable(_)), "bit {bit}: {read:?}");
    }
    for kept in 0..length {
        let read = with_bytes(|bytes| bytes.truncate(kept));
        assert_eq!(read, Record::Unusable(Unusable::Cut), "{kept} bytes");
    }
    let longer = with_bytes(|bytes| bytes.push(0));
    assert_eq!(longer, Record::Unusable(Unusable::Damaged));
}

#[test]
fn the_reader_learns_why_a_record_can_not_be_used() {
    let flipped = with_bytes(|bytes| bytes[50] ^= 1);
    assert_eq!(flipped, Record::Unusable(Unusable::Damaged));
    assert_eq!(with_bytes(Vec::clear), Record::Unusable(Unusable::Cut));
    let other_store = RecordFile::encode(Uuid::from_u128(8), KIND, "plan", b"content");
    let other_kind = RecordFile::encode(STORE_ID, RecordKind::Checkpoint, "plan", b"content");
    let other_name = RecordFile::encode(STORE_ID, KIND, "plane", b"content");
    for foreign in [other_store, other_kind, other_name] {
        let read = with_bytes(|bytes| *bytes = foreign);
        assert_eq!(read, Record::Unusable(Unusable::Foreign));
    }
    let newer = with_bytes(|bytes| {
        bytes[8] = 2;
        let end = bytes.len() - 4;
        let crc = crc32fast::hash(&bytes[..end]);
        bytes[end..].copy_from_slice(&crc.to_le_bytes());
    });
    assert_eq!(newer, Record::Unusable(Unusable::Newer));
}

#[test]
fn checking_finds_every_record_that_can_not_be_used_and_no_other() {
    let disk = MemoryDisk::new();
    let records = sidecar(&disk);
    for number in 0..40 {
        records.write(KIND, &format!("plan {number}"), b"content").unwrap();
    }
    assert_eq!(records.check().unwrap(), []);
    let copied = disk.bytes_of(&path(KIND, "plan 1")).unwrap();
    disk.set_bytes(&path(KIND, "plan 2"), copied.clone());
    disk.set_bytes(&path(KIND, "plan 3"), copied[..60].to_vec());
    disk.lose(&path(KIND, "plan 4"), 0..8);
    let mut unusable = records.check().unwrap();
    let mut expected = vec![
        UnusableRecord { file: path(KIND, "plan 2").into(), why: Unusable::Foreign.to_string() },
        UnusableRecord { file: path(KIND, "plan 3").into(), why: Unusable::Cut.to_string() },
    ];
    expected.sort_by(|one, other| one.file.cmp(&other.file));
    let list = records.list(KIND).unwrap();
    assert_eq!(list.unusable, unusable, "a list says the same");
    let usable = (0..40).filter(|number| !(2..=4).contains(number));
    let mut names: Vec<_> = usable.map(|number| format!("plan {number}")).collect();
    names.sort();
    assert_eq!(list.names, names);
    let unreadable = unusable.extract_if(.., |it| it.why.starts_with("it can not be read"));
    let unreadable: Vec<_> = unreadable.map(|it| it.file).collect();
    assert_eq!(unreadable, [std::path::PathBuf::from(path(KIND, "plan 4"))]);
    assert_eq!(unusable, expected);
    assert_eq!(records.sizes().unwrap().records, 40);
}

#[test]
fn names_that_no_record_has_are_not_looked_at() {
    let disk = MemoryDisk::new();
    let records = sidecar(&disk);
    records.write(KIND, "plan", b"content").unwrap();
    let own = path(KIND, "plan");
    let folder = own.rsplit_once('/').unwrap().0;
    for stray in ["x.rec", "README", &format!("{}.rec", "g".repeat(32)), &"0".repeat(32)] {
        disk.set_bytes(&format!("{folder}/{stray}"), b"stray".to_vec());
    }
    disk.set_bytes(&format!("{SIDECAR}/snapshot/zz"), b"stray".to_vec());
    disk.set_bytes(&own.replace(".rec", ".tmp"), b"unfinished".to_vec());
    assert_eq!(records.check().unwrap(), []);
    assert_eq!(records.sizes().unwrap().records, 1);
    records.write(KIND, "plan", b"new").unwrap();
    assert_eq!(records.read(KIND, "plan").unwrap(), found(b"new"));
    assert!(disk.bytes_of(&own.replace(".rec", ".tmp")).is_err(), "the unfinished one is replaced");
}

#[test]
fn a_call_that_fails_leaves_the_record_that_was_there() {
    let failing = [
        Operation::Directory,
        Operation::Open,
        Operation::Write,
        Operation::Sync,
        Operation::Rename,
    ];
    for operation in failing {
        let disk = MemoryDisk::new();
        let records = sidecar(&disk);
        records.write(KIND, "plan", b"old").unwrap();
        disk.fail(operation, 1, ErrorKind::Other);
        let written = records.write(KIND, "plan", b"new");
        assert!(matches!(written, Err(Error::Io { .. })), "{operation:?}");
        assert_eq!(records.read(KIND, "plan").unwrap(), found(b"old"), "{operation:?}");
        assert_eq!(disk.files(), [path(KIND, "plan")], "{operation:?} leaves nothing behind");
        records.write(KIND, "plan", b"new").unwrap();
        assert_eq!(records.read(KIND, "plan").unwrap(), found(b"new"));
    }
    let disk = MemoryDisk::new();
    let records = sidecar(&disk);
    disk.fail(Operation::SyncDir, 1, ErrorKind::Other);
    assert!(records.write(KIND, "plan", b"new").is_err(), "it may not be durable");
    disk.fail(Operation::Write, 1, ErrorKind::StorageFull);
    assert!(matches!(records.write(KIND, "plan", b"new"), Err(Error::NoSpace { .. })));
}

#[test]
fn what_the_device_can_not_read_is_an_error_and_not_a_missing_record() {
    let disk = MemoryDisk::new();
    let records = sidecar(&disk);
    records.write(KIND, "plan", b"content").unwrap();
    disk.lose(&path(KIND, "plan"), 0..8);
    assert!(matches!(records.read(KIND, "plan"), Err(Error::Read { .. })));
    disk.fail(Operation::Open, 1, ErrorKind::PermissionDenied);
    assert!(matches!(records.read(KIND, "plan"), Err(Error::Io { .. })));
}

#[test]
fn nothing_is_written_after_closing_or_when_opened_for_reading() {
    let disk = MemoryDisk::new();
    let records = sidecar(&disk);
    records.write(KIND, "plan", b"content").unwrap();
    records.close();
    assert!(matches!(records.write(KIND, "plan", b"new"), Err(Error::Closed)));
    assert!(matches!(records.remove(KIND, "plan"), Err(Error::Closed)));
    assert_eq!(records.read(KIND, "plan").unwrap(), found(b"content"));
    let reading = Sidecar::new(disk.clone(), STORE_ID, KEY, Writing::ReadOnly);
    assert!(matches!(reading.write(KIND, "plan", b"new"), Err(Error::ReadOnly)));
    assert!(matches!(reading.remove(KIND, "plan"), Err(Error::ReadOnly)));
    assert_eq!(reading.read(KIND, "plan").unwrap(), found(b"content"));
}

#[test]
fn the_folders_are_made_durable_once_by_every_opening() {
    let disk = SimulatedDisk::new();
    let syncs = |records: &Sidecar<SimulatedDisk>| {
        disk.record();
        records.write(KIND, "plan", b"content").unwrap();
        let moments = disk.take_moments();
        moments.iter().filter(|moment| moment.call == Call::SyncDirectory).count()
    };
    let (first, second) = (sidecar(&disk), sidecar(&disk));
    assert_eq!((syncs(&first), syncs(&first), syncs(&second)), (4, 1, 4));
}

#[test]
fn writers_of_one_record_and_of_many_do_not_mix_their_bytes() {
    let disk = MemoryDisk::new();
    let records = sidecar(&disk);
    let write = |writer: u8| {
        for round in 0..50 {
            records.write(KIND, "shared", &[writer; 100]).unwrap();
            records.write(KIND, &format!("{writer} {round}"), &[writer; 10]).unwrap();
        }
    };
    thread::scope(|scope| {
        for writer in 1..=4 {
            scope.spawn(move || write(writer));
        }
    });
    let shared = records.read(KIND, "shared").unwrap().content().unwrap();
    assert!(shared.len() == 100 && shared.iter().all(|byte| *byte == shared[0]));
    assert_eq!(records.sizes().unwrap().records, 201);
    assert_eq!(records.check().unwrap(), []);
}

#[test]
fn many_records_are_spread_over_folders() {
    let names = (0..10_000).map(|number| FileName::of(&KEY, &format!("id-{number}:Order")));
    let mut counts = [0_usize; 256];
    for name in names {
        counts[usize::from_str_radix(name.folder(), 16).unwrap()] += 1;
    }
    assert!(counts.iter().all(|count| (1..100).contains(count)), "{counts:?}");
}
