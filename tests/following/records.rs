//! Records beside the log behave the same in memory and on disk.

use std::fs;
use std::sync::Arc;

use annals::{
    Checkpoint, Claim, Error, EventStore, FileStore, MemoryStore, Record, RecordKind, RecordStore,
    limits,
};

const KINDS: [RecordKind; 4] =
    [RecordKind::Snapshot, RecordKind::Checkpoint, RecordKind::Projection, RecordKind::Rebuild];

/// Calls a test with a store of every kind.
fn with_every_store(test: impl Fn(&dyn RecordStore)) {
    test(&MemoryStore::new());
    test(&Arc::new(MemoryStore::new()));
    let directory = tempfile::tempdir().unwrap();
    test(&Box::new(FileStore::open(directory.path()).unwrap()));
}

fn content(store: &dyn RecordStore, kind: RecordKind, name: &str) -> Option<Vec<u8>> {
    store.read_record(kind, name).unwrap().content().map(Vec::from)
}

#[test]
fn a_record_is_what_was_written_last_under_its_kind_and_name() {
    with_every_store(|store| {
        for kind in KINDS {
            assert_eq!(store.read_record(kind, "a/../b").unwrap(), Record::Absent);
            for text in ["first", "", "last"] {
                let own = format!("{kind} {text}");
                store.write_record(kind, "a/../b", own.as_bytes()).unwrap();
                assert_eq!(content(store, kind, "a/../b"), Some(own.into_bytes()));
            }
            assert_eq!(content(store, kind, "a"), None);
        }
        store.remove_record(RecordKind::Snapshot, "a/../b").unwrap();
        store.remove_record(RecordKind::Snapshot, "a/../b").unwrap();
        assert_eq!(content(store, RecordKind::Snapshot, "a/../b"), None);
        assert!(content(store, RecordKind::Checkpoint, "a/../b").is_some());
    });
}

#[test]
fn names_and_contents_over_their_limits_are_refused() {
    with_every_store(|store| {
        let long = "n".repeat(usize::try_from(limits::RECORD_NAME_BYTES_MAX).unwrap() + 1);
        let large = vec![0; usize::try_from(limits::RECORD_BYTES_MAX).unwrap() + 1];
        let kind = RecordKind::Snapshot;
        assert!(matches!(store.write_record(kind, "", b""), Err(Error::InvalidName { .. })));
        assert!(matches!(store.write_record(kind, &long, b""), Err(Error::Limit { .. })));
        assert!(matches!(store.write_record(kind, "a", &large), Err(Error::Limit { .. })));
        assert!(matches!(store.read_record(kind, &long), Err(Error::Limit { .. })));
        assert!(matches!(store.remove_record(kind, ""), Err(Error::InvalidName { .. })));
        store.write_record(kind, &long[1..], &large[1..]).unwrap();
        assert_eq!(content(store, kind, &long[1..]).map(|it| it.len()), Some(large.len() - 1));
    });
}

#[test]
fn records_are_listed_by_kind_sorted_and_until_they_are_removed() {
    with_every_store(|store| {
        let names = |kind| {
            let list = store.list(kind).unwrap();
            assert_eq!(list.unusable, []);
            list.names
        };
        assert!(KINDS.iter().all(|kind| names(*kind).is_empty()));
        let longest = "n".repeat(usize::try_from(limits::RECORD_NAME_BYTES_MAX).unwrap());
        for name in ["b", "a/../b", "é", longest.as_str(), "B", "b"] {
            store.write_record(RecordKind::Checkpoint, name, b"content").unwrap();
        }
        store.write_record(RecordKind::Projection, "sum", b"").unwrap();
        let all = ["B", "a/../b", "b", longest.as_str(), "é"];
        assert_eq!(names(RecordKind::Checkpoint), all);
        assert_eq!(names(RecordKind::Projection), ["sum"]);
        assert!(names(RecordKind::Snapshot).is_empty() && names(RecordKind::Rebuild).is_empty());
        store.remove_record(RecordKind::Checkpoint, "b").unwrap();
        assert_eq!(names(RecordKind::Checkpoint), ["B", "a/../b", longest.as_str(), "é"]);
    });
}

#[test]
fn a_record_that_can_not_be_used_is_listed_as_such_and_hides_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    let kind = RecordKind::Checkpoint;
    for name in ["one", "two", "three"] {
        store.write_record(kind, name, name.as_bytes()).unwrap();
    }
    let folder = directory.path().join("sidecar").join("checkpoint");
    let files = fs::read_dir(folder).unwrap().flat_map(|it| fs::read_dir(it.unwrap().path()));
    let files: Vec<_> = files.flatten().map(|file| file.unwrap().path()).collect();
    let holds = |file: &&std::path::PathBuf, name: &str| {
        fs::read(file).unwrap().windows(name.len()).any(|window| window == name.as_bytes())
    };
    let damaged = files.iter().find(|file| holds(file, "twotwo")).unwrap();
    let mut bytes = fs::read(damaged).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(damaged, &bytes).unwrap();
    for store in [&store, &FileStore::open_read_only(directory.path()).unwrap()] {
        let list = store.list(kind).unwrap();
        assert_eq!(list.names, ["one", "three"]);
        let [unusable] = &list.unusable[..] else { panic!("{list:?}") };
        assert_eq!((&unusable.file, unusable.why.as_str()), (damaged, "it is damaged"));
    }
    store.remove_record(kind, "two").unwrap();
    assert_eq!(store.list(kind).unwrap().unusable, [], "its name removes it all the same");
    store.close().unwrap();
    assert_eq!(store.list(kind).unwrap().names, ["one", "three"], "a closed store still lists");
}

#[test]
fn what_follows_a_store_is_listed_by_its_name() {
    let store = MemoryStore::new();
    let mut checkpoint = Checkpoint::load(&store, "mailer").unwrap();
    checkpoint.save(0.into()).unwrap();
    assert_eq!(store.list(RecordKind::Checkpoint).unwrap().names, ["mailer"]);
    checkpoint.remove().unwrap();
    assert!(store.list(RecordKind::Checkpoint).unwrap().names.is_empty());
}

/// Hands on what a store of records had to before it could list them.
struct Wrapper(MemoryStore);

impl RecordStore for Wrapper {
    fn write_record(&self, kind: RecordKind, name: &str, content: &[u8]) -> annals::Result<()> {
        self.0.write_record(kind, name, content)
    }

    fn read_record(&self, kind: RecordKind, name: &str) -> annals::Result<Record> {
        self.0.read_record(kind, name)
    }

    fn remove_record(&self, kind: RecordKind, name: &str) -> annals::Result<()> {
        self.0.remove_record(kind, name)
    }

    fn claim(&self, kind: RecordKind, name: &str) -> annals::Result<Claim> {
        self.0.claim(kind, name)
    }
}

#[test]
fn a_store_that_can_not_list_says_so_and_never_that_there_is_nothing() {
    let wrapper: Box<dyn RecordStore> = Box::new(Wrapper(MemoryStore::new()));
    wrapper.write_record(RecordKind::Checkpoint, "mailer", b"").unwrap();
    let refused = wrapper.list(RecordKind::Checkpoint);
    assert!(matches!(refused, Err(Error::Unsupported { .. })), "{refused:?}");
}

#[test]
fn a_name_is_claimed_by_one_at_a_time() {
    with_every_store(|store| {
        let claim: Claim = store.claim(RecordKind::Projection, "counts").unwrap();
        let other = store.claim(RecordKind::Rebuild, "counts").unwrap();
        let refused = store.claim(RecordKind::Projection, "counts");
        assert!(
            matches!(&refused, Err(Error::Claimed { name, .. }) if name == "counts"),
            "{refused:?}"
        );
        drop((claim, other));
        assert!(store.claim(RecordKind::Projection, "counts").is_ok());
    });
}

#[test]
fn records_are_there_after_reopening_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    for number in 0..20 {
        store.write_record(RecordKind::Snapshot, &number.to_string(), &[7; 100]).unwrap();
    }
    assert_eq!(store.global_position().unwrap().get(), 0, "nothing of this is an event");
    store.close().unwrap();
    let closed = store.write_record(RecordKind::Snapshot, "1", b"");
    assert!(matches!(closed, Err(Error::Closed)), "{closed:?}");

    let store = FileStore::open_read_only(directory.path()).unwrap();
    assert_eq!(content(&store, RecordKind::Snapshot, "19"), Some(vec![7; 100]));
    let refused = store.write_record(RecordKind::Snapshot, "1", b"");
    assert!(matches!(refused, Err(Error::ReadOnly)), "{refused:?}");
    let stats = store.stats().unwrap();
    assert_eq!(stats.records, 20);
    assert!(stats.record_bytes > 2_000);
    assert!(FileStore::verify(directory.path()).unwrap().findings.is_empty());
}

#[test]
fn a_folder_that_somebody_removed_is_made_again() {
    // Writing failed once until the store was opened again.
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    for content in ["first", "last"] {
        store.write_record(RecordKind::Snapshot, "1", content.as_bytes()).unwrap();
        assert_eq!(content_of(&store), Some(content.as_bytes().to_vec()));
        fs::remove_dir_all(directory.path().join("sidecar")).unwrap();
        assert_eq!(content_of(&store), None);
    }
}

fn content_of(store: &FileStore) -> Option<Vec<u8>> {
    content(store, RecordKind::Snapshot, "1")
}
