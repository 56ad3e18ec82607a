//! What does it cost to load an aggregate, and where does the time go?
//!
//! One account with 1,010 events in a store on disk among others, everything in the page cache. Each
//! figure is the median over the rounds, and all of them are taken in each round, so that they can be
//! compared: reading the events without looking at them, loading without snapshots, decoding and applying
//! events that are in memory, and loading from a snapshot with ten events behind it.
//!
//! Environment: `ANNALS_BENCH_DIR` (where the store is built; the target folder when not set),
//! `ANNALS_BENCH_ROUNDS` (2,000). Without `--bench`, or with `--test`, everything runs once.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measuring program fails by panicking and reports by printing"
)]

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use annals::{
    Aggregate, AggregateId, Codec, DomainEvent, EventStore, ExpectedVersion, FileStore,
    MemorySnapshots, NewEvent, ReadOptions, RecordedEvent, Repository, SnapshotPolicy,
    SnapshotStore, Snapshotted, StreamId,
};
use serde::{Deserialize, Serialize};

/// Events that are in the snapshot, and those behind it.
const EVENTS: usize = 1_000;
const EVENTS_BEHIND: usize = 10;
/// Other streams, written to in between.
const OTHERS: usize = 20;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum AccountEvent {
    Opened { owner: String },
    Deposited { cents: u64, reference: String },
    Withdrawn { cents: u64, reference: String },
}

impl DomainEvent for AccountEvent {
    const AGGREGATE_TYPE: &'static str = "Account";
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Account {
    owner: String,
    cents: u64,
    last_reference: String,
    moves: u64,
}

impl Aggregate for Account {
    type Event = AccountEvent;

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Opened { owner } => self.owner.clone_from(owner),
            AccountEvent::Deposited { cents, reference } => {
                self.cents += cents;
                self.last_reference.clone_from(reference);
                self.moves += 1;
            }
            AccountEvent::Withdrawn { cents, reference } => {
                self.cents -= cents;
                self.last_reference.clone_from(reference);
                self.moves += 1;
            }
        }
    }
}

impl Snapshotted for Account {
    const SNAPSHOT_VERSION: u32 = 1;
}

fn event(number: usize) -> AccountEvent {
    let reference = format!("transfer {number} of a certain length");
    match number {
        0 => AccountEvent::Opened { owner: "Ada Lovelace".to_owned() },
        number if number.is_multiple_of(2) => AccountEvent::Withdrawn { cents: 1, reference },
        _ => AccountEvent::Deposited { cents: 250, reference },
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let rounds = match std::env::var("ANNALS_BENCH_ROUNDS") {
        _ if has("--test") || !has("--bench") => 1,
        Ok(rounds) => rounds.parse().unwrap(),
        Err(_) => 2_000,
    };
    let root = std::env::var_os("ANNALS_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    std::fs::create_dir_all(&root).unwrap();
    let directory = tempfile::Builder::new().prefix("rebuild-").tempdir_in(root).unwrap();
    println!("rebuild: {EVENTS} events and {EVENTS_BEHIND} more, {rounds} rounds");
    for (name, codec) in [("bincode", Codec::bincode()), ("json", Codec::json())] {
        let store = FileStore::open(directory.path().join(name)).unwrap();
        measure(name, &store, &codec, rounds);
        store.close().unwrap();
    }
}

/// The account to load, and the ways to load it.
struct Subject<'a> {
    store: &'a FileStore,
    id: AggregateId,
    stream: StreamId,
    codec: Codec<AccountEvent>,
    plain: Repository<Account, &'a FileStore>,
    on_disk: Repository<Account, &'a FileStore>,
    in_memory: Repository<Account, &'a FileStore>,
}

impl<'a> Subject<'a> {
    /// Fills a store: the last of the events is saved by a repository that takes a snapshot then.
    fn build(store: &'a FileStore, codec: &Codec<AccountEvent>) -> Self {
        let id = AggregateId::new("account-1").unwrap();
        let stream = StreamId::of(AccountEvent::AGGREGATE_TYPE, id.clone()).unwrap();
        let (on_disk, in_memory) = (store.snapshots(), MemorySnapshots::new());
        let policy = || SnapshotPolicy::when(|_, after| after.get() == EVENTS as u64);
        let plain = Repository::<Account, _>::new(store).codec(codec.clone());
        let with_disk = plain.clone().snapshots(on_disk.clone(), policy());
        let with_memory = plain.clone().snapshots(in_memory.clone(), policy());

        fill(store, codec, &stream, 0..EVENTS - 1);
        with_disk.execute(&id, |_| Ok::<_, String>(event(EVENTS - 1))).unwrap();
        on_disk.flush().unwrap();
        in_memory.save(&stream, on_disk.load(&stream).unwrap());
        fill(store, codec, &stream, EVENTS..EVENTS + EVENTS_BEHIND);
        let codec = codec.clone();
        Self { store, id, stream, codec, plain, on_disk: with_disk, in_memory: with_memory }
    }

    fn read(&self) {
        let events = self.store.read_stream(&self.stream, ReadOptions::new()).unwrap();
        events.for_each(|event| _ = black_box(event.unwrap()));
    }

    fn load(&self, repository: &Repository<Account, &FileStore>) -> Account {
        repository.load(&self.id).unwrap().unwrap().state().clone()
    }
}

/// Measures in a store, and prints what was measured.
fn measure(name: &str, store: &FileStore, codec: &Codec<AccountEvent>, rounds: usize) {
    let subject = Subject::build(store, codec);
    let whole = subject.load(&subject.plain);
    assert_eq!(subject.load(&subject.on_disk), whole);
    assert_eq!(subject.load(&subject.in_memory), whole);
    let recorded = store.load_stream(&subject.stream, ReadOptions::new()).unwrap();
    let recorded: Vec<RecordedEvent> = recorded.into_iter().collect();
    let decoded: Vec<_> = recorded.iter().map(|event| codec.decode(event).unwrap()).collect();
    let decode = || recorded.iter().for_each(|it| _ = black_box(subject.codec.decode(it).unwrap()));
    let apply = || {
        let mut account = Account::default();
        decoded.iter().for_each(|event| account.apply(event));
        black_box(account);
    };
    let count = recorded.len();
    let mut work: Vec<Work<'_>> = vec![
        ("read, an event", count, Box::new(|| subject.read())),
        ("decode, an event", count, Box::new(decode)),
        ("apply, an event", count, Box::new(apply)),
        ("load, an event", count, load(&subject, &subject.plain)),
        ("load with a snapshot on disk", 1, load(&subject, &subject.on_disk)),
        ("load with a snapshot in memory", 1, load(&subject, &subject.in_memory)),
    ];
    let mut times = vec![Vec::with_capacity(rounds); work.len()];
    for _ in 0..rounds {
        for ((_, _, work), times) in work.iter_mut().zip(&mut times) {
            let start = Instant::now();
            work();
            times.push(start.elapsed());
        }
    }
    for ((what, count, _), times) in work.iter().zip(&mut times) {
        let micros = median(times).as_secs_f64() * 1e6 / *count as f64;
        println!("{name:8} {what:32} {micros:>9.2} us");
    }
}

/// What is measured, for how many events at once, and how it is done.
type Work<'a> = (&'static str, usize, Box<dyn FnMut() + 'a>);

fn load<'a>(
    subject: &'a Subject<'_>,
    repository: &'a Repository<Account, &FileStore>,
) -> Box<dyn FnMut() + 'a> {
    Box::new(|| _ = black_box(repository.load(&subject.id).unwrap()))
}

/// Appends events of the account, and of others in between.
fn fill(
    store: &FileStore,
    codec: &Codec<AccountEvent>,
    stream: &StreamId,
    numbers: std::ops::Range<usize>,
) {
    for number in numbers {
        let encode = || -> Vec<NewEvent> { vec![codec.encode(&event(number)).unwrap()] };
        let mut commit = annals::Commit::new().append(stream, ExpectedVersion::Any, encode());
        for other in 0..OTHERS {
            let other = StreamId::new("Account", format!("other-{other}")).unwrap();
            commit = commit.append(&other, ExpectedVersion::Any, encode());
        }
        store.commit(commit).unwrap();
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
