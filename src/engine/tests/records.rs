//! Records beside the log: they change nothing of the log, are checked with it, and end with the store.

use super::{append, edit, open, open_read_only, positions, read_from};
use crate::clock::Clock;
use crate::engine::{Severity, repair, verify};
use crate::error::Error;
use crate::io::{Disk, MemoryDisk};
use crate::record::{Record, RecordKind};
use crate::sidecar::{Sidecar, Writing};

const KIND: RecordKind = RecordKind::Checkpoint;

/// Returns a disk with a closed store of one event and one record, and the path of the record.
fn with_a_record() -> (MemoryDisk, String) {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append(&engine, 1).unwrap();
    engine.sidecar().write(KIND, "mailer", b"1").unwrap();
    engine.close().unwrap();
    let is_record = |path: &String| path.starts_with("sidecar/");
    let path = disk.files().into_iter().find(is_record).unwrap();
    (disk, path)
}

#[test]
fn a_store_without_records_has_no_folder_for_them() {
    let disk = MemoryDisk::new();
    let engine = open(&disk);
    append(&engine, 1).unwrap();
    assert_eq!(engine.sidecar().read(KIND, "mailer").unwrap(), Record::Absent);
    assert_eq!(engine.sizes().unwrap().records.records, 0);
    engine.close().unwrap();
    assert!(verify(disk.clone()).unwrap().findings.is_empty());
    assert!(disk.files().iter().all(|path| !path.starts_with("sidecar/")));
}

#[test]
fn a_store_with_records_opens_verifies_and_counts_them() {
    let (disk, _) = with_a_record();
    let report = verify(disk.clone()).unwrap();
    assert_eq!((report.events, report.findings), (1, Vec::new()));
    for engine in [open_read_only(&disk), open(&disk)] {
        assert_eq!(engine.findings(), []);
        assert_eq!(engine.sidecar().read(KIND, "mailer").unwrap().content().unwrap(), "1");
        let sizes = engine.sizes().unwrap().records;
        assert!(sizes.records == 1 && sizes.disk_bytes > 1);
        assert_eq!(positions(&read_from(&engine, 1).0), [1]);
    }
}

#[test]
fn a_damaged_record_is_a_note_of_verify_and_no_damage() {
    let (disk, path) = with_a_record();
    edit(&disk, &path, |bytes| bytes[20] ^= 1);
    let report = verify(disk.clone()).unwrap();
    assert!(report.is_intact());
    let [finding] = &report.findings[..] else { panic!("{:?}", report.findings) };
    assert_eq!((finding.severity, finding.file.to_str()), (Severity::Note, Some(path.as_str())));
    assert_eq!(finding.what, "record: it is damaged; it is not used");
    let engine = open(&disk);
    assert!(matches!(engine.sidecar().read(KIND, "mailer").unwrap(), Record::Unusable(_)));
}

#[test]
fn records_are_not_written_by_a_reader_or_after_closing() {
    let (disk, _) = with_a_record();
    let reading = open_read_only(&disk);
    assert!(matches!(reading.sidecar().write(KIND, "mailer", b"2"), Err(Error::ReadOnly)));
    let engine = open(&disk);
    engine.close().unwrap();
    assert!(matches!(engine.sidecar().write(KIND, "mailer", b"2"), Err(Error::Closed)));
}

#[test]
fn a_record_of_another_store_is_not_taken() {
    let (disk, path) = with_a_record();
    let (other, other_path) = with_a_record();
    // The name of a file depends on the key of its store.
    assert_ne!(path, other_path);
    other.set_bytes(&other_path, disk.bytes_of(&path).unwrap());
    assert!(matches!(open(&other).sidecar().read(KIND, "mailer").unwrap(), Record::Unusable(_)));
}

/// Files of records are named by a key that stands in `STORE`: a repair that wrote `STORE` anew, with another
/// key, once left all of them behind, so that a checkpoint began at the first event again.
#[test]
fn records_are_found_again_after_a_repair_has_written_the_identity_anew() {
    let (disk, path) = with_a_record();
    let store_id = open(&disk).identity().store_id;
    Disk::remove(&disk, "STORE").unwrap();
    // A repair that ended before it wrote the identity has named them by a key that nobody knows.
    Sidecar::new(disk.clone(), store_id, [9; 16], Writing::Allowed).name_by_key().unwrap();
    assert!(disk.bytes_of(&path).is_err());
    repair(&disk, &Clock::system()).unwrap();
    let engine = open(&disk);
    assert_eq!(engine.sidecar().read(KIND, "mailer").unwrap().content().unwrap(), "1");
    engine.close().unwrap();
    assert_eq!(engine.sizes().unwrap().records.records, 1);
    assert_eq!(verify(disk).unwrap().findings, []);
}
