//! Snapshots: what they save, and that nothing depends on them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use annals::{
    Aggregate, AggregateId, Claim, Claims, CommandError, Context, Error, EventId, EventStore,
    ExpectedVersion, FileStore, MemorySnapshots, MemoryStore, Record, RecordKind, RecordStore,
    Repository, Root, Snapshot, SnapshotPolicy, SnapshotStore, Snapshotted, StoredSnapshots,
    StreamId, StreamRead, StreamVersion, TenantId,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::account::{Account, AccountEvent, Rejection, Watched};

fn ada() -> AggregateId {
    AggregateId::new("ada").unwrap()
}

fn stream() -> StreamId {
    StreamId::new("Account", "ada").unwrap()
}

fn version(number: u64) -> StreamVersion {
    StreamVersion::new(number)
}

/// Returns a snapshot of nothing.
fn at(number: u64) -> Snapshot {
    Snapshot {
        stream_version: version(number),
        last_event_id: EventId::generate(),
        tenant: None,
        state_type: String::new(),
        schema_version: 1,
        state: Bytes::new(),
    }
}

/// Opens the account and makes deposits of 1, 2, 3 ... up to `count`.
fn fill<S: EventStore>(accounts: &Repository<Account, S>, count: u64) -> Root<Account> {
    let mut account = accounts.execute(&ada(), |it| it.open("Ada")).unwrap();
    for cents in 1..=count {
        account = accounts.execute(&ada(), |it| it.deposit(cents)).unwrap();
    }
    account
}

fn with<S: EventStore>(
    store: S,
    snapshots: impl SnapshotStore + 'static,
    every: u64,
) -> Repository<Account, S> {
    Repository::new(store).snapshots(snapshots, SnapshotPolicy::every(every))
}

/// Returns how the stream was read to load the account, which must be as `account`.
fn reads<S: EventStore>(
    watched: &Watched<S>,
    accounts: &Repository<Account, &Watched<S>>,
    account: &Root<Account>,
) -> Vec<StreamRead> {
    watched.reads.lock().unwrap().clear();
    let loaded = accounts.load(&ada()).unwrap().unwrap();
    assert_eq!((loaded.state(), loaded.version()), (account.state(), account.version()));
    std::mem::take(&mut watched.reads.lock().unwrap())
}

#[test]
fn a_policy_counts_by_crossing() {
    let due =
        |policy: &SnapshotPolicy, before, after| policy.is_due(version(before), version(after));
    let every = SnapshotPolicy::every(10);
    let crossing = [(0, 10), (9, 10), (9, 11), (8, 35), (19, 20)];
    assert!(crossing.iter().all(|(before, after)| due(&every, *before, *after)));
    assert!([(0, 9), (10, 11), (10, 19)].iter().all(|(from, to)| !due(&every, *from, *to)));
    assert!(!due(&SnapshotPolicy::every(0), 0, 100) && !due(&SnapshotPolicy::never(), 0, 100));
    let own = SnapshotPolicy::when(|before, after| before == version(3) && after == version(4));
    assert!(due(&own, 3, 4) && !due(&own, 4, 5));
}

#[test]
fn loading_reads_on_from_the_latest_snapshot() {
    let directory = tempfile::tempdir().unwrap();
    let files = FileStore::open(directory.path().join("store")).unwrap();
    let stored = files.snapshots();
    let in_memory = MemorySnapshots::new();
    let kinds: [(Arc<dyn EventStore>, Arc<dyn SnapshotStore>); 2] =
        [(Arc::new(files), Arc::new(stored)), (Arc::new(MemoryStore::new()), Arc::new(in_memory))];
    for (store, snapshots) in kinds {
        let watched = Watched::new(store);
        let accounts = with(&watched, Arc::clone(&snapshots), 5);
        let account = fill(&accounts, 12);
        let read = reads(&watched, &accounts, &account);
        assert_eq!(read, [StreamRead::new().from(version(10))]);

        // What never takes any still uses them, and what keeps none does without.
        let uses = Repository::new(&watched).snapshots(snapshots, SnapshotPolicy::never());
        fill_more(&uses);
        let account = uses.load(&ada()).unwrap().unwrap();
        assert_eq!(reads(&watched, &uses, &account), [StreamRead::new().from(version(10))]);
        let plain = Repository::<Account, _>::new(&watched);
        assert_eq!(reads(&watched, &plain, &account), [StreamRead::new()]);
    }
}

fn fill_more<S: EventStore>(accounts: &Repository<Account, S>) {
    for _ in 0..10 {
        accounts.execute(&ada(), |it| it.deposit(1)).unwrap();
    }
}

#[test]
fn whatever_is_wrong_with_a_snapshot_the_events_are_replayed() {
    let watched = Watched::new(MemoryStore::new());
    let snapshots = MemorySnapshots::new();
    let accounts = with(&watched, snapshots.clone(), 5);
    let account = fill(&accounts, 12);
    let good = snapshots.load(&stream()).unwrap();
    let event_at = |number: u64| watched.store.all_events()[number as usize - 1].event_id();
    let cut = good.state.slice(..good.state.len() - 1);
    let longer = Bytes::from([&good.state[..], b"\0"].concat());
    let wrong = [
        ("of another schema", Snapshot { schema_version: 2, ..good.clone() }),
        ("of another type", Snapshot { state_type: "Account".to_owned(), ..good.clone() }),
        (
            "of another tenant",
            Snapshot { tenant: Some(TenantId::new("acme").unwrap()), ..good.clone() },
        ),
        (
            "of a version that is not there",
            Snapshot { stream_version: version(14), ..good.clone() },
        ),
        (
            "of no version",
            Snapshot { stream_version: version(0), last_event_id: event_at(1), ..good.clone() },
        ),
        ("of another version", Snapshot { stream_version: version(9), ..good.clone() }),
        ("of another history", Snapshot { last_event_id: EventId::generate(), ..good.clone() }),
        ("of another event", Snapshot { last_event_id: event_at(9), ..good.clone() }),
        ("cut short", Snapshot { state: cut, ..good.clone() }),
        ("too long", Snapshot { state: longer, ..good.clone() }),
        ("empty", Snapshot { state: Bytes::new(), ..good.clone() }),
    ];
    for (what, snapshot) in wrong {
        snapshots.save(&stream(), snapshot);
        let read = reads(&watched, &accounts, &account);
        assert_eq!(read.last(), Some(&StreamRead::new()), "a snapshot {what} was used");
    }
    snapshots.save(&stream(), good);
    assert_eq!(reads(&watched, &accounts, &account).len(), 1, "the good one is used again");
}

#[test]
fn a_record_that_is_no_snapshot_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path().join("store")).unwrap();
    let snapshots = store.snapshots();
    let watched = Watched::new(&store);
    let accounts = with(&watched, snapshots.clone(), 5);
    let account = fill(&accounts, 12);
    snapshots.flush().unwrap();
    let (kind, name) = (RecordKind::Snapshot, stream().to_string());
    let good = store.read_record(kind, &name).unwrap().content().unwrap();

    let mut of_the_future = good.to_vec();
    of_the_future[0] = 2;
    for content in [&b""[..], b"something else", &good[..good.len() - 1], &of_the_future] {
        store.write_record(kind, &name, content).unwrap();
        assert_eq!(reads(&watched, &accounts, &account), [StreamRead::new()]);
    }
    store.remove_record(kind, &name).unwrap();
    assert_eq!(reads(&watched, &accounts, &account), [StreamRead::new()]);
    store.write_record(kind, &name, &good).unwrap();
    assert_eq!(reads(&watched, &accounts, &account), [StreamRead::new().from(version(10))]);
}

#[test]
fn a_snapshot_on_disk_has_the_bytes_that_it_is_published_with() {
    let store = Arc::new(MemoryStore::new());
    let snapshots = StoredSnapshots::new(Arc::clone(&store) as Arc<dyn RecordStore>);
    let snapshot = Snapshot {
        stream_version: version(300),
        last_event_id: EventId::from_uuid(uuid::Uuid::from_u128(7)),
        tenant: Some(TenantId::new("acme").unwrap()),
        state_type: "bank::Account".to_owned(),
        schema_version: 2,
        state: Bytes::from_static(b"state"),
    };
    snapshots.save(&stream(), snapshot.clone());
    snapshots.flush().unwrap();
    let content = store.read_record(RecordKind::Snapshot, "ada:Account").unwrap().content();
    let golden = b"\x01\xfb\x2c\x01\x07\x01\x04acme\x0dbank::Account\x02\x05state";
    assert_eq!(content.as_deref(), Some(&golden[..]));
    assert_eq!(StoredSnapshots::new(store).load(&stream()), Some(snapshot));
}

/// Keeps records only once it is let.
#[derive(Default)]
struct Gated {
    store: MemoryStore,
    gate: Mutex<Gate>,
    changed: Condvar,
    fails: AtomicBool,
}

#[derive(Default)]
struct Gate {
    is_open: bool,
    /// How many writes have come to it.
    arrivals: u32,
}

impl Gated {
    fn open(&self) {
        self.gate.lock().unwrap().is_open = true;
        self.changed.notify_all();
    }

    fn wait_for_an_arrival(&self) {
        let gate = self.gate.lock().unwrap();
        drop(self.changed.wait_while(gate, |gate| gate.arrivals == 0).unwrap());
    }
}

/// Opens the gate when a test ends, so that one that fails does not wait for the writer.
struct OpensAtLast<'a>(&'a Gated);

impl Drop for OpensAtLast<'_> {
    fn drop(&mut self) {
        self.0.open();
    }
}

impl RecordStore for Gated {
    fn write_record(&self, kind: RecordKind, name: &str, content: &[u8]) -> annals::Result<()> {
        let mut gate = self.gate.lock().unwrap();
        gate.arrivals += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(gate, |gate| !gate.is_open).unwrap());
        if self.fails.load(Ordering::SeqCst) {
            return Err(Error::ReadOnly);
        }
        self.store.write_record(kind, name, content)
    }

    fn read_record(&self, kind: RecordKind, name: &str) -> annals::Result<Record> {
        self.store.read_record(kind, name)
    }

    fn remove_record(&self, kind: RecordKind, name: &str) -> annals::Result<()> {
        self.store.remove_record(kind, name)
    }

    fn claim(&self, kind: RecordKind, name: &str) -> annals::Result<Claim> {
        self.store.claim(kind, name)
    }
}

#[test]
fn a_device_that_stands_still_holds_up_no_save_and_takes_no_memory() {
    let gated = Arc::new(Gated::default());
    let snapshots = StoredSnapshots::new(Arc::clone(&gated) as Arc<dyn RecordStore>);
    let watched = Watched::new(MemoryStore::new());
    let accounts = with(&watched, snapshots.clone(), 1);
    let _opens = OpensAtLast(&gated);
    let account = fill(&accounts, 200);
    // It is found although nothing could be written yet.
    assert_eq!(reads(&watched, &accounts, &account), [StreamRead::new().from(version(201))]);
    for number in 0..200 {
        let id = AggregateId::new(format!("other-{number}")).unwrap();
        accounts.execute(&id, |it| it.open("Ben")).unwrap();
    }
    assert!(format!("{snapshots:?}").contains("waiting: 64"), "{snapshots:?}");
    assert_eq!(gated.read_record(RecordKind::Snapshot, "ada:Account").unwrap(), Record::Absent);

    gated.open();
    snapshots.flush().unwrap();
    assert_eq!(reads(&watched, &accounts, &account), [StreamRead::new().from(version(201))]);
    let last = gated.read_record(RecordKind::Snapshot, "other-199:Account").unwrap();
    assert_eq!(last, Record::Absent, "too many waited");
    let written = gated.read_record(RecordKind::Snapshot, "ada:Account").unwrap();
    assert!(matches!(written, Record::Found(_)));
}

#[test]
fn a_snapshot_that_can_not_be_written_fails_no_save() {
    let gated = Arc::new(Gated::default());
    gated.fails.store(true, Ordering::SeqCst);
    gated.open();
    let snapshots = StoredSnapshots::new(Arc::clone(&gated) as Arc<dyn RecordStore>);
    let watched = Watched::new(MemoryStore::new());
    let accounts = with(&watched, snapshots.clone(), 1);
    let account = fill(&accounts, 3);
    assert!(matches!(snapshots.flush(), Err(Error::ReadOnly)));
    snapshots.flush().unwrap();
    assert_eq!(reads(&watched, &accounts, &account), [StreamRead::new()]);
}

#[test]
fn an_older_snapshot_does_not_take_the_place_of_a_newer_one_that_waits() {
    let gated = Arc::new(Gated::default());
    let snapshots = StoredSnapshots::new(Arc::clone(&gated) as Arc<dyn RecordStore>);
    let _opens = OpensAtLast(&gated);
    let found = || snapshots.load(&stream()).unwrap().stream_version.get();
    snapshots.save(&stream(), at(1));
    gated.wait_for_an_arrival();
    assert_eq!(found(), 1, "it is found while it is being written");
    for number in [5, 3] {
        snapshots.save(&stream(), at(number));
    }
    assert_eq!(found(), 5);
    snapshots.save(&stream(), at(6));
    assert_eq!(found(), 6);
    gated.open();
    snapshots.flush().unwrap();
    assert_eq!(found(), 6);
}

#[test]
fn what_was_handed_over_is_written_before_the_last_handle_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path().join("store")).unwrap();
    let snapshots = store.snapshots();
    fill(&with(&store, snapshots.clone(), 5), 12);
    drop(snapshots);
    let name = stream().to_string();
    assert!(store.read_record(RecordKind::Snapshot, &name).unwrap().content().is_some());

    let late = store.snapshots();
    store.close().unwrap();
    late.save(&stream(), at(1));
    assert!(matches!(late.flush(), Err(Error::Closed)));
}

#[test]
fn a_writer_that_panics_is_waited_for_by_nobody_and_told_of() {
    /// Fails first, then panics.
    #[derive(Default)]
    struct Panicking(AtomicBool);
    impl RecordStore for Panicking {
        fn write_record(&self, _: RecordKind, _: &str, _: &[u8]) -> annals::Result<()> {
            match self.0.swap(true, Ordering::SeqCst) {
                false => Err(Error::ReadOnly),
                true => panic!("the test says so"),
            }
        }
        fn read_record(&self, _: RecordKind, _: &str) -> annals::Result<Record> {
            Ok(Record::Absent)
        }
        fn remove_record(&self, _: RecordKind, _: &str) -> annals::Result<()> {
            Ok(())
        }
        fn claim(&self, kind: RecordKind, name: &str) -> annals::Result<Claim> {
            Claims::default().claim(kind, name)
        }
    }
    let snapshots = StoredSnapshots::new(Arc::new(Panicking::default()));
    let accounts = with(MemoryStore::new(), snapshots.clone(), 1);
    snapshots.save(&StreamId::new("Account", "grace").unwrap(), at(1));
    // Whoever asks is told, of the snapshot that was under way and of what comes later.
    fill(&accounts, 0);
    assert!(snapshots.flush().unwrap_err().to_string().contains("panicked"));
    snapshots.flush().unwrap();
    fill_more(&accounts);
    assert!(snapshots.flush().unwrap_err().to_string().contains("panicked"));
    assert_eq!(accounts.load(&ada()).unwrap().unwrap().version(), version(11));
}

#[test]
fn a_state_that_was_decided_elsewhere_is_no_snapshot() {
    let snapshots = MemorySnapshots::new();
    let request = uuid::Uuid::now_v7();
    let watched = Watched::meddled(MemoryStore::new(), 1, move |store| {
        let others = Repository::<Account, _>::new(store);
        others.execute(&ada(), |it| it.open("Ada")).unwrap();
        others.execute_once(request, &ada(), |it| it.deposit(5)).unwrap();
    });
    let accounts = with(&watched, snapshots.clone(), 1);
    let deposit = |_: &Account| Ok::<_, Rejection>(AccountEvent::Deposited { cents: 5 });
    let account = accounts.execute_once(request, &ada(), deposit).unwrap();
    assert_eq!((account.owner.as_deref(), account.cents), (Some("Ada"), 5));
    assert_eq!(snapshots.load(&stream()), None);
}

/// Another view of the events of an account, whose encoded state could be taken for that of many.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Moves {
    numbers: Vec<u64>,
}

impl Aggregate for Moves {
    type Event = AccountEvent;

    fn apply(&mut self, event: &AccountEvent) {
        if let AccountEvent::Deposited { cents } = event {
            self.numbers.resize(usize::try_from(*cents).unwrap(), 0);
        }
    }
}

impl Snapshotted for Moves {
    const SNAPSHOT_VERSION: u32 = 1;
}

/// The same bytes, with another meaning.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sums {
    numbers: Vec<u64>,
}

impl Aggregate for Sums {
    type Event = AccountEvent;

    fn apply(&mut self, event: &AccountEvent) {
        if let AccountEvent::Deposited { cents } = event {
            self.numbers.push(self.numbers.last().unwrap_or(&0) + cents);
        }
    }
}

impl Snapshotted for Sums {
    const SNAPSHOT_VERSION: u32 = 1;
}

#[test]
fn a_snapshot_of_another_type_that_is_made_of_the_same_events_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path().join("store")).unwrap();
    let snapshots = store.snapshots();
    let moves =
        Repository::<Moves, _>::new(&store).snapshots(snapshots.clone(), SnapshotPolicy::every(1));
    let sums = Repository::<Sums, _>::new(&store).snapshots(snapshots, SnapshotPolicy::every(1));
    for cents in [3, 4] {
        let deposit = |_: &Moves| Ok::<_, Rejection>(AccountEvent::Deposited { cents });
        moves.execute(&ada(), deposit).unwrap();
    }
    assert_eq!(sums.load(&ada()).unwrap().unwrap().numbers, [3, 7]);
    assert_eq!(moves.load(&ada()).unwrap().unwrap().numbers, [0; 4]);
}

#[test]
fn a_state_that_takes_up_more_memory_than_bytes_comes_out_of_its_snapshot() {
    let watched = Watched::new(MemoryStore::new());
    let moves = Repository::<Moves, _>::new(&watched)
        .snapshots(MemorySnapshots::new(), SnapshotPolicy::every(1));
    let many = |_: &Moves| Ok::<_, Rejection>(AccountEvent::Deposited { cents: 3 << 20 });
    moves.execute(&ada(), many).unwrap();
    watched.reads.lock().unwrap().clear();
    assert_eq!(moves.load(&ada()).unwrap().unwrap().numbers.len(), 3 << 20);
    assert_eq!(*watched.reads.lock().unwrap(), [StreamRead::new().from(version(1))]);
}

#[test]
fn no_snapshot_is_taken_of_what_a_crash_may_still_take() {
    let snapshots = MemorySnapshots::new();
    let watched = Watched::new(MemoryStore::new());
    let accounts = with(&watched, snapshots.clone(), 1);
    let durable = watched.store.global_position().unwrap();
    *watched.durable.lock().unwrap() = Some(durable);
    accounts.execute(&ada(), |it| it.open("Ada")).unwrap();
    assert_eq!(snapshots.load(&stream()), None);
    *watched.durable.lock().unwrap() = None;
    accounts.execute(&ada(), |it| it.deposit(1)).unwrap();
    assert_eq!(snapshots.load(&stream()).unwrap().stream_version, version(2));
}

#[test]
fn a_snapshot_that_does_not_know_its_tenant_is_not_believed() {
    let snapshots = MemorySnapshots::new();
    let store = MemoryStore::new();
    let acme = Context::new().tenant(TenantId::new("acme").unwrap());
    fill(&with(&store, snapshots.clone(), 1).context(acme), 3);
    let forgetful = Snapshot { tenant: None, ..snapshots.load(&stream()).unwrap() };
    snapshots.save(&stream(), forgetful);
    let refused = with(&store, snapshots, 1).execute(&ada(), |it| it.deposit(1));
    assert!(matches!(refused, Err(CommandError::Store(Error::OtherTenant { .. }))), "{refused:?}");
}

#[test]
fn a_snapshot_shows_nothing_to_another_tenant() {
    let snapshots = MemorySnapshots::new();
    let store = MemoryStore::new();
    let of = |name: &str| {
        let context = Context::new().tenant(TenantId::new(name).unwrap());
        with(&store, snapshots.clone(), 1).context(context)
    };
    let account = fill(&of("acme"), 3);
    let tenant = snapshots.load(&stream()).unwrap().tenant;
    assert_eq!(tenant, Some(TenantId::new("acme").unwrap()));
    assert!(of("other").load(&ada()).unwrap().is_none());
    let refused = of("other").execute(&ada(), |it| it.open("Ben"));
    assert!(matches!(refused, Err(CommandError::Store(Error::OtherTenant { .. }))), "{refused:?}");

    let all = with(&store, snapshots.clone(), 1);
    assert_eq!(all.load(&ada()).unwrap().unwrap().state(), account.state());
    let refused = all.execute(&ada(), |it| it.deposit(1));
    assert!(matches!(refused, Err(CommandError::Store(Error::OtherTenant { .. }))), "{refused:?}");
    assert_eq!(of("acme").execute(&ada(), |it| it.deposit(1)).unwrap().version().get(), 5);
}

#[test]
fn a_mixed_stream_behind_a_snapshot_is_still_noticed() {
    let snapshots = MemorySnapshots::new();
    let store = MemoryStore::new();
    let context = Context::new().tenant(TenantId::new("acme").unwrap());
    let accounts = with(&store, snapshots, 2).context(context);
    fill(&accounts, 3);
    let foreign = annals::Codec::bincode().encode(&AccountEvent::Closed).unwrap();
    store.append(&stream(), ExpectedVersion::Any, vec![foreign]).unwrap();
    let account = accounts.load(&ada()).unwrap().unwrap();
    assert_eq!((account.owner.as_deref(), account.version().get()), (Some("Ada"), 4));
    assert!(accounts.execute(&ada(), |it| it.deposit(1)).is_err());
}

#[test]
fn a_snapshot_is_listed_by_its_stream_and_removed_also_while_it_waits() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    let snapshots = store.snapshots();
    let other = StreamId::new("Account", "ben").unwrap();
    snapshots.save(&stream(), at(1));
    snapshots.save(&other, at(1));
    snapshots.flush().unwrap();
    let names = || store.list(RecordKind::Snapshot).unwrap().names;
    assert_eq!(names(), ["ada:Account", "ben:Account"]);
    snapshots.remove(&stream()).unwrap();
    snapshots.remove(&stream()).unwrap();
    assert_eq!(names(), ["ben:Account"]);
    assert!(snapshots.load(&stream()).is_none() && snapshots.load(&other).is_some());

    // Whether it waits, is being written or is written: what is removed does not come back.
    for number in 1..=200 {
        snapshots.save(&stream(), at(number));
        snapshots.remove(&stream()).unwrap();
        assert!(snapshots.load(&stream()).is_none());
    }
    snapshots.flush().unwrap();
    assert_eq!(names(), ["ben:Account"]);
}
