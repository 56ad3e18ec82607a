//! Does an aggregate have the same state with snapshots and without, whatever becomes of them?
//!
//! Random commands go through repositories that take no snapshots, some or many, while snapshots are
//! lost, mixed up and damaged. After each step every repository must load the state that a plain value
//! has to which the same commands were given.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annals::{
    Aggregate, AggregateId, EventId, EventStore, FileStore, IntoEvents, MemorySnapshots,
    MemoryStore, Repository, SnapshotPolicy, SnapshotStore, StreamId, StreamVersion,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::account::{Account, AccountEvent, Rejection};

const ACCOUNTS: [&str; 2] = ["ada", "ben"];

/// A command to an account.
#[derive(Debug, Clone, Copy)]
enum Command {
    Open,
    Deposit(u64),
    Withdraw(u64),
    Close,
    EmptyAndClose,
}

impl Command {
    fn decide(self, account: &Account) -> Result<Vec<AccountEvent>, Rejection> {
        match self {
            Self::Open => account.open("Ada").map(IntoEvents::into_events),
            Self::Deposit(cents) => account.deposit(cents).map(IntoEvents::into_events),
            Self::Withdraw(cents) => account.withdraw(cents).map(IntoEvents::into_events),
            Self::Close => account.close().map(IntoEvents::into_events),
            Self::EmptyAndClose => account.empty_and_close(),
        }
    }
}

/// What becomes of the snapshot of an account.
#[derive(Debug, Clone, Copy)]
enum Harm {
    /// It claims another version.
    Version(u64),
    /// It belongs to another history.
    History,
    /// It has another schema.
    Schema,
    /// Its state is cut short.
    Cut(usize),
    /// It is that of the other account.
    Exchanged,
    /// A byte of its file is another one; nothing in memory.
    Byte(usize, u8),
    /// Its file is cut short; nothing in memory.
    FileCut(usize),
    /// Its file is gone; nothing in memory.
    Lost,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A repository gives an account one command after another and saves once.
    Work {
        repository: usize,
        account: usize,
        commands: [Option<Command>; 3],
    },
    Harm {
        account: usize,
        harm: Harm,
    },
}

fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        3 => Just(Command::Open),
        6 => (0..300_u64).prop_map(Command::Deposit),
        3 => (0..300_u64).prop_map(Command::Withdraw),
        1 => Just(Command::Close),
        1 => Just(Command::EmptyAndClose),
    ]
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        (0..20_u64).prop_map(Harm::Version),
        Just(Harm::History),
        Just(Harm::Schema),
        (0..8_usize).prop_map(Harm::Cut),
        Just(Harm::Exchanged),
        (any::<usize>(), 1..=255_u8).prop_map(|(at, change)| Harm::Byte(at, change)),
        any::<usize>().prop_map(Harm::FileCut),
        Just(Harm::Lost),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let commands = [
        command().prop_map(Some).boxed(),
        proptest::option::of(command()).boxed(),
        proptest::option::of(command()).boxed(),
    ];
    let work = (0..4_usize, 0..ACCOUNTS.len(), commands);
    prop_oneof![
        4 => work.prop_map(|(repository, account, commands)| {
            Step::Work { repository, account, commands }
        }),
        1 => (0..ACCOUNTS.len(), harm()).prop_map(|(account, harm)| Step::Harm { account, harm }),
    ]
}

/// Stores and snapshots of one kind.
trait Subject {
    fn store(&self) -> &dyn EventStore;
    fn snapshots(&self) -> Arc<dyn SnapshotStore>;
    /// Brings what was handed over to where it is kept.
    fn settle(&self) {}
    /// Lists the files of snapshots.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

struct Memory(MemoryStore, MemorySnapshots);

impl Subject for Memory {
    fn store(&self) -> &dyn EventStore {
        &self.0
    }

    fn snapshots(&self) -> Arc<dyn SnapshotStore> {
        Arc::new(self.1.clone())
    }
}

struct Files {
    directory: tempfile::TempDir,
    store: FileStore,
    snapshots: annals::StoredSnapshots,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = FileStore::open(directory.path().join("store")).unwrap();
        let snapshots = store.snapshots();
        Self { directory, store, snapshots }
    }
}

impl Subject for Files {
    fn store(&self) -> &dyn EventStore {
        &self.store
    }

    fn snapshots(&self) -> Arc<dyn SnapshotStore> {
        Arc::new(self.snapshots.clone())
    }

    fn settle(&self) {
        self.snapshots.flush().unwrap();
    }

    fn files(&self) -> Vec<PathBuf> {
        files_below(&self.directory.path().join("store/sidecar"))
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] })
        .collect();
    files.sort();
    files
}

#[test]
fn snapshots_in_memory_change_nothing_of_what_is_loaded() {
    run(300, || Memory(MemoryStore::new(), MemorySnapshots::new()));
}

#[test]
fn snapshots_on_disk_change_nothing_of_what_is_loaded() {
    run(40, Files::new);
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

fn run<S: Subject>(cases: u32, subject: impl Fn() -> S) {
    let seed = from_environment("ANNALS_DOMAIN_SEED").unwrap_or_else(rand_seed);
    let cases = from_environment("ANNALS_DOMAIN_CASES").map_or(cases, |it| it.try_into().unwrap());
    eprintln!("ANNALS_DOMAIN_SEED={seed}");
    let rng_seed = RngSeed::Fixed(seed);
    let config = Config { cases, rng_seed, failure_persistence: None, ..Config::default() };
    let steps = proptest::collection::vec(step(), 1..30);
    TestRunner::new(config)
        .run(&steps, |steps| {
            live(&subject(), &steps);
            Ok(())
        })
        .unwrap();
}

fn rand_seed() -> u64 {
    u64::try_from(uuid::Uuid::new_v4().as_u128() >> 64).unwrap()
}

fn live(subject: &impl Subject, steps: &[Step]) {
    let snapshots = subject.snapshots();
    let taking =
        |policy| Repository::new(subject.store()).snapshots(Arc::clone(&snapshots), policy);
    let repositories: [Repository<Account, _>; 4] = [
        Repository::new(subject.store()),
        taking(SnapshotPolicy::every(1)),
        taking(SnapshotPolicy::every(3)),
        taking(SnapshotPolicy::never()),
    ];
    let mut model: BTreeMap<usize, (Account, u64)> = BTreeMap::new();
    for step in steps {
        match *step {
            Step::Work { repository, account, commands } => {
                let (state, version) = model.entry(account).or_default();
                let mut root = repositories[repository].load_or_create(&id(account)).unwrap();
                for command in commands.into_iter().flatten() {
                    let expected = command.decide(state);
                    assert_eq!(root.execute(|it| command.decide(it)), expected.clone().map(|_| ()));
                    for event in expected.into_iter().flatten() {
                        state.apply(&event);
                        *version += 1;
                    }
                }
                repositories[repository].save(&mut root).unwrap();
                assert_eq!((root.state(), root.version().get()), (&*state, *version));
            }
            Step::Harm { account, harm } => do_harm(subject, account, harm),
        }
        for (account, (state, version)) in &model {
            for repository in &repositories {
                let root = repository.load_or_create(&id(*account)).unwrap();
                assert_eq!((root.state(), root.version().get()), (state, *version));
            }
        }
    }
}

fn id(account: usize) -> AggregateId {
    AggregateId::new(ACCOUNTS[account]).unwrap()
}

fn stream(account: usize) -> StreamId {
    StreamId::new("Account", ACCOUNTS[account]).unwrap()
}

fn do_harm(subject: &impl Subject, account: usize, harm: Harm) {
    subject.settle();
    let files = subject.files();
    let file = files.get(account.min(files.len().saturating_sub(1)));
    match (harm, file) {
        (Harm::Byte(at, change), Some(file)) => {
            let mut bytes = fs::read(file).unwrap();
            // It may have been cut to nothing before.
            let at = at % bytes.len().max(1);
            bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= change);
            fs::write(file, bytes).unwrap();
        }
        (Harm::FileCut(length), Some(file)) => {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..length % bytes.len().max(1)]).unwrap();
        }
        (Harm::Lost, Some(file)) => fs::remove_file(file).unwrap(),
        (harm, _) => harm_snapshot(&*subject.snapshots(), account, harm),
    }
}

fn harm_snapshot(snapshots: &dyn SnapshotStore, account: usize, harm: Harm) {
    let (own, other) = (stream(account), stream(1 - account));
    let Some(mut snapshot) = snapshots.load(&own) else { return };
    match harm {
        Harm::Version(version) if snapshot.stream_version.get() != version => {
            snapshot.stream_version = StreamVersion::new(version);
        }
        Harm::History => snapshot.last_event_id = EventId::generate(),
        Harm::Schema => snapshot.schema_version += 1,
        Harm::Cut(length) if length < snapshot.state.len() => {
            snapshot.state = snapshot.state.slice(..length);
        }
        Harm::Exchanged => return snapshots.save(&other, snapshot),
        _ => return,
    }
    snapshots.save(&own, snapshot);
}
