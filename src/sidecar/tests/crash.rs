//! What any loss of power at any moment leaves of a record.

use super::{KIND, found, sidecar};
use crate::io::{Crash, Failure, Moment, SimulatedDisk};
use crate::record::Record;

/// Every loss of power that makes a difference at a moment.
fn crashes(moment: &Moment) -> Vec<Crash> {
    let mut crashes = vec![Crash::Nothing];
    for changes in 0..=moment.pending() {
        let tears = moment.tears(changes).into_iter().chain([0]);
        crashes.extend(tears.map(|bytes| Crash::Prefix { changes, bytes }));
    }
    for mask in 0..1 << moment.units().min(12) {
        crashes.extend([false, true].map(|is_grown| Crash::Subset { mask, is_grown }));
    }
    crashes
}

fn read(disk: &SimulatedDisk) -> Record {
    sidecar(disk).read(KIND, "plan").unwrap()
}

/// Returns the records that losses of power during `work` leave on a disk, each with how often.
fn left_by(
    disk: &SimulatedDisk,
    expected: &[Record],
    work: impl FnOnce(&SimulatedDisk),
) -> Vec<usize> {
    let mut counts = vec![0; expected.len()];
    disk.record();
    work(disk);
    let moments = disk.take_moments();
    assert!(moments.len() > 2);
    for moment in &moments {
        for crash in crashes(moment) {
            let record = read(&moment.crashed(crash));
            let place = expected.iter().position(|expected| *expected == record);
            counts[place.unwrap_or_else(|| panic!("{:?}, {crash:?}: {record:?}", moment.call))] +=
                1;
        }
    }
    counts
}

fn survives_every_crash(disk: &SimulatedDisk, record: &Record) {
    for crash in crashes(&disk.now()) {
        assert_eq!(read(&disk.now().crashed(crash)), *record, "{crash:?}");
    }
}

#[test]
fn the_first_record_is_there_or_is_not() {
    let disk = SimulatedDisk::new();
    let expected = [Record::Absent, found(&[1; 700])];
    let counts = left_by(&disk, &expected, |disk| {
        sidecar(disk).write(KIND, "plan", &[1; 700]).unwrap();
    });
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    survives_every_crash(&disk, &expected[1]);
}

#[test]
fn a_loss_of_power_leaves_the_old_record_or_the_new_one_and_never_a_mixture() {
    for (old, new) in [(700, 700), (2000, 10), (10, 2000)] {
        let (old, new) = (vec![1; old], vec![2; new]);
        let disk = SimulatedDisk::new();
        let records = sidecar(&disk);
        records.write(KIND, "plan", &old).unwrap();
        let expected = [found(&old), found(&new)];
        let counts = left_by(&disk, &expected, |_| records.write(KIND, "plan", &new).unwrap());
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        survives_every_crash(&disk, &expected[1]);
    }
}

#[test]
fn a_removed_record_does_not_come_back() {
    let disk = SimulatedDisk::new();
    let records = sidecar(&disk);
    records.write(KIND, "plan", b"old").unwrap();
    disk.record();
    records.remove(KIND, "plan").unwrap();
    for moment in disk.take_moments() {
        for crash in crashes(&moment) {
            let record = read(&moment.crashed(crash));
            assert!([found(b"old"), Record::Absent].contains(&record), "{record:?}");
        }
    }
    survives_every_crash(&disk, &Record::Absent);
}

#[test]
fn a_record_written_after_a_kill_is_durable_though_its_folder_was_not_yet() {
    let disk = SimulatedDisk::new();
    disk.record();
    sidecar(&disk).write(KIND, "plan", b"old").unwrap();
    for moment in disk.take_moments() {
        let killed = moment.killed();
        sidecar(&killed).write(KIND, "plan", b"new").unwrap();
        survives_every_crash(&killed, &found(b"new"));
    }
}

#[test]
fn a_record_written_after_a_call_that_failed_is_durable() {
    let disk = SimulatedDisk::new();
    sidecar(&disk).write(KIND, "plan", b"old").unwrap();
    for after in 1..=disk.calls() {
        let disk = SimulatedDisk::new();
        let records = sidecar(&disk);
        let kind = std::io::ErrorKind::Other;
        disk.fail(Failure { after, calls: 1, kind, is_partial: true });
        assert!(records.write(KIND, "plan", b"old").is_err(), "call {after}");
        records.write(KIND, "plan", b"new").unwrap();
        survives_every_crash(&disk, &found(b"new"));
    }
}

#[test]
fn a_short_write_is_gone_on_with() {
    let disk = SimulatedDisk::new();
    disk.limit_bytes_per_call(7);
    sidecar(&disk).write(KIND, "plan", &[5; 100]).unwrap();
    survives_every_crash(&disk, &found(&[5; 100]));
}
