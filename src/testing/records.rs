//! Clauses K1 to K4: the records beside the events.

use super::{Harness, skip};
use crate::error::Error;
use crate::record::{Record, RecordKind};
use crate::store::RecordStore;

fn with_records(harness: &dyn Harness, name: &str, check: impl FnOnce(&dyn RecordStore)) {
    match harness.open_records() {
        Some(store) => check(&*store),
        None => skip(name, "the backend keeps no records"),
    }
}

fn found(store: &dyn RecordStore, kind: RecordKind, name: &str) -> Option<Vec<u8>> {
    match store.read_record(kind, name).unwrap() {
        Record::Found(content) => Some(content.to_vec()),
        Record::Absent => None,
        Record::Unusable(why) => panic!("{kind} \"{name}\": {why}"),
    }
}

fn names(store: &dyn RecordStore, kind: RecordKind) -> Vec<String> {
    let list = store.list(kind).unwrap();
    assert_eq!(list.unusable, []);
    list.names
}

pub(super) fn k1_a_record_is_what_was_written_last_under_its_kind_and_name(harness: &dyn Harness) {
    with_records(harness, "K1", |store| {
        for kind in RecordKind::ALL {
            for content in ["first", "", "last"] {
                let own = format!("{kind} {content}");
                store.write_record(kind, "a/../b", own.as_bytes()).unwrap();
                assert_eq!(found(store, kind, "a/../b"), Some(own.into_bytes()));
            }
            assert_eq!(found(store, kind, "a"), None);
        }
        let refused = store.write_record(RecordKind::Snapshot, "", b"");
        assert!(matches!(refused, Err(Error::InvalidName { .. })), "{refused:?}");
    });
}

pub(super) fn k2_a_removed_record_is_absent(harness: &dyn Harness) {
    with_records(harness, "K2", |store| {
        store.write_record(RecordKind::Checkpoint, "mailer", b"17").unwrap();
        store.write_record(RecordKind::Projection, "mailer", b"17").unwrap();
        for _ in 0..2 {
            store.remove_record(RecordKind::Checkpoint, "mailer").unwrap();
            assert_eq!(found(store, RecordKind::Checkpoint, "mailer"), None);
        }
        assert!(found(store, RecordKind::Projection, "mailer").is_some());
    });
}

pub(super) fn k3_records_are_listed_by_kind_and_sorted(harness: &dyn Harness) {
    with_records(harness, "K3", |store| {
        assert!(RecordKind::ALL.iter().all(|kind| names(store, *kind).is_empty()));
        let written = ["b", "a:Task", "\u{e9}", "B", "a b", "b"];
        for name in written {
            store.write_record(RecordKind::Snapshot, name, b"content").unwrap();
        }
        store.write_record(RecordKind::Rebuild, "sum", b"").unwrap();
        let sorted = ["B", "a b", "a:Task", "b", "\u{e9}"];
        assert_eq!(names(store, RecordKind::Snapshot), sorted);
        assert_eq!(names(store, RecordKind::Rebuild), ["sum"]);
        assert!(names(store, RecordKind::Checkpoint).is_empty());
        assert!(names(store, RecordKind::Projection).is_empty());
        for name in names(store, RecordKind::Snapshot) {
            assert!(found(store, RecordKind::Snapshot, &name).is_some());
            store.remove_record(RecordKind::Snapshot, &name).unwrap();
        }
        assert!(names(store, RecordKind::Snapshot).is_empty());
    });
}

pub(super) fn k4_a_name_is_claimed_by_one_at_a_time(harness: &dyn Harness) {
    with_records(harness, "K4", |store| {
        let claim = store.claim(RecordKind::Projection, "sum").unwrap();
        let refused = store.claim(RecordKind::Projection, "sum").map(drop);
        assert!(matches!(refused, Err(Error::Claimed { .. })), "{refused:?}");
        drop(store.claim(RecordKind::Rebuild, "sum").unwrap());
        drop(claim);
        drop(store.claim(RecordKind::Projection, "sum").unwrap());
    });
}
