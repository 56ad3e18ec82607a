//! A projection that is made anew beside the one in use, and takes its place.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use annals::{
    Claim, Commit, CommitResult, Error, EventId, EventStore, Events, ExpectedVersion, FileStore,
    GlobalPosition, GlobalRead, Handled, MemoryStore, NewEvent, Projection, ProjectionOptions,
    ProjectionRunner, Query, Rebuild, Record, RecordKind, RecordStore, RecordedEvent, StreamId,
    StreamRead, StreamVersion,
};

/// Adds a number for every event: a mistake is corrected by another number and another version.
struct Sum<const NUMBER: u64, const VERSION: u32>;

type Wrong = Sum<10, 1>;
type Right = Sum<1, 2>;

impl<const NUMBER: u64, const VERSION: u32> Projection for Sum<NUMBER, VERSION> {
    type State = u64;
    type Error = String;
    const STATE_VERSION: u32 = VERSION;

    fn handle(&mut self, sum: &mut u64, _: &RecordedEvent) -> Result<Handled, String> {
        *sum += NUMBER;
        Ok(Handled::Applied)
    }
}

fn append(store: &dyn EventStore, count: usize) {
    let stream = StreamId::new("Test", "one").unwrap();
    let events = (0..count).map(|_| NewEvent::new("Happened", "")).collect();
    store.append(&stream, ExpectedVersion::Any, events).unwrap();
}

fn options() -> ProjectionOptions {
    ProjectionOptions::new()
}

fn wrong<S: EventStore + RecordStore>(store: S) -> ProjectionRunner<S, Wrong> {
    ProjectionRunner::open(store, "sum", Sum, options()).unwrap()
}

fn right<S: EventStore + RecordStore>(store: S) -> Rebuild<S, Right> {
    Rebuild::open(store, "sum", Sum, options()).unwrap()
}

fn sum<S: EventStore + RecordStore, P: Projection<State = u64>>(
    runner: &ProjectionRunner<S, P>,
) -> u64 {
    runner.view().read(|sum| *sum)
}

#[test]
fn the_one_in_use_goes_on_until_the_new_one_takes_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let store = &FileStore::open(directory.path()).unwrap();
    append(store, 5);
    let mut in_use = wrong(store);
    let (view, stop) = (in_use.view(), in_use.stop_handle());
    thread::scope(|scope| {
        let running = scope.spawn(move || in_use.run().map(|_| in_use));
        let mut rebuild = right(store);
        rebuild.runner().catch_up().unwrap();
        append(store, 2);
        while view.reached().get() < 7 {
            thread::yield_now();
        }
        assert_eq!((view.read(|sum| *sum), sum(rebuild.runner())), (70, 5));
        stop.stop();
        drop(running.join().unwrap().unwrap());
        let runner = rebuild.switch().unwrap();
        assert_eq!((sum(&runner), runner.reached().get()), (7, 7));
    });
    store.close().unwrap();

    let store = FileStore::open(directory.path()).unwrap();
    append(&store, 1);
    let mut runner = ProjectionRunner::open(&store, "sum", Right {}, options()).unwrap();
    assert_eq!(sum(&runner), 7);
    runner.catch_up().unwrap();
    assert_eq!(sum(&runner), 8);
    let left = store.read_record(RecordKind::Rebuild, "sum").unwrap();
    assert_eq!(left, Record::Absent, "nothing of the rebuild is left");
}

#[test]
fn a_switch_is_refused_while_the_one_in_use_is_open() {
    let store = MemoryStore::new();
    append(&store, 3);
    let mut in_use = wrong(&store);
    in_use.catch_up().unwrap();
    let refused = right(&store).switch();
    assert!(matches!(refused.map(drop), Err(Error::Claimed { .. })));
    append(&store, 1);
    in_use.catch_up().unwrap();
    assert_eq!(sum(&in_use), 40, "the one in use is as it was");
    drop(in_use);
    let runner = right(&store).switch().unwrap();
    assert_eq!(sum(&runner), 4);
    let second = ProjectionRunner::open(&store, "sum", Right {}, options());
    assert!(matches!(second.map(drop), Err(Error::Claimed { .. })), "it is in use from now on");
}

#[test]
fn a_rebuild_goes_on_where_it_ended_and_only_one_is_made_at_a_time() {
    let store = MemoryStore::new();
    append(&store, 3);
    let mut rebuild = right(&store);
    rebuild.runner().catch_up().unwrap();
    let second = Rebuild::open(&store, "sum", Right {}, options());
    assert!(matches!(second.map(drop), Err(Error::Claimed { .. })));
    drop(rebuild);
    append(&store, 1);
    let mut rebuild = right(&store);
    assert_eq!((sum(rebuild.runner()), rebuild.runner().reached().get()), (3, 3));
    assert_eq!(rebuild.runner().catch_up().unwrap().applied, 1);
    assert_eq!(sum(rebuild.runner()), 4);
}

#[test]
fn a_rebuild_that_can_not_be_gone_on_with_begins_anew() {
    let store = MemoryStore::new();
    append(&store, 3);
    right(&store).runner().catch_up().unwrap();
    let mut other = Rebuild::open(&store, "sum", Sum::<2, 3>, options()).unwrap();
    assert_eq!(other.runner().reached().get(), 0, "of another version");
    other.runner().catch_up().unwrap();
    assert_eq!(sum(other.runner()), 6);
    drop(other);
    store.write_record(RecordKind::Rebuild, "sum", b"no state").unwrap();
    assert_eq!(right(&store).runner().reached().get(), 0, "can not be decoded");

    right(&store).runner().catch_up().unwrap();
    let kept = store.read_record(RecordKind::Rebuild, "sum").unwrap().content().unwrap();
    let behind = MemoryStore::new();
    behind.write_record(RecordKind::Rebuild, "sum", &kept).unwrap();
    assert_eq!(right(&behind).runner().reached().get(), 0, "ahead of the log");
}

#[test]
fn a_new_version_is_made_without_the_old_one() {
    let store = MemoryStore::new();
    append(&store, 3);
    wrong(&store).catch_up().unwrap();
    let refused = ProjectionRunner::open(&store, "sum", Right {}, options());
    assert!(matches!(refused.map(drop), Err(Error::StateVersion { .. })));
    assert_eq!(sum(&right(&store).switch().unwrap()), 3);
    let refused = ProjectionRunner::open(&store, "sum", Wrong {}, options());
    assert!(matches!(refused.map(drop), Err(Error::StateVersion { found: 2, .. })));
}

#[test]
fn what_a_switch_left_that_was_killed_before_its_end_is_not_gone_on_with() {
    // The next rebuild once went on with it, without the events before it.
    let store = MemoryStore::new();
    append(&store, 3);
    let mut rebuild = right(&store);
    rebuild.runner().catch_up().unwrap();
    let left = store.read_record(RecordKind::Rebuild, "sum").unwrap().content().unwrap();
    drop(rebuild.switch().unwrap());
    store.write_record(RecordKind::Rebuild, "sum", &left).unwrap();
    append(&store, 1);
    ProjectionRunner::open(&store, "sum", Right {}, options()).unwrap().catch_up().unwrap();

    let mut rebuild = right(&store);
    assert_eq!((sum(rebuild.runner()), rebuild.runner().reached().get()), (0, 0));
    rebuild.runner().catch_up().unwrap();
    drop(rebuild);
    assert_eq!(right(&store).runner().reached().get(), 4, "its own is gone on with");
}

#[test]
fn a_rebuild_whose_state_is_another_type_begins_anew() {
    // It could once not be opened any more.
    struct Pairs;
    impl Projection for Pairs {
        type State = (u64, u64);
        type Error = String;
        const STATE_VERSION: u32 = 2;
        fn handle(&mut self, _: &mut (u64, u64), _: &RecordedEvent) -> Result<Handled, String> {
            Ok(Handled::Applied)
        }
    }
    let store = MemoryStore::new();
    append(&store, 3);
    right(&store).runner().catch_up().unwrap();
    let mut pairs = Rebuild::open(&store, "sum", Pairs, options()).unwrap();
    assert_eq!(pairs.runner().reached().get(), 0);
}

#[test]
fn a_switch_that_is_stopped_before_the_end_leaves_the_one_in_use() {
    let store = MemoryStore::new();
    append(&store, 3);
    wrong(&store).catch_up().unwrap();
    let mut rebuild = right(&store);
    rebuild.runner().stop_handle().stop();
    let stopped = rebuild.switch().map(drop);
    assert!(matches!(stopped, Err(Error::ProjectionStopped { .. })), "{stopped:?}");
    assert_eq!(sum(&wrong(&store)), 30);
    assert_eq!(sum(&right(&store).switch().unwrap()), 3);
}

#[test]
fn a_rebuild_that_was_discarded_begins_anew() {
    let store = MemoryStore::new();
    append(&store, 3);
    let mut rebuild = right(&store);
    rebuild.runner().catch_up().unwrap();
    rebuild.discard().unwrap();
    assert_eq!(store.read_record(RecordKind::Rebuild, "sum").unwrap(), Record::Absent);
    assert_eq!(right(&store).runner().reached().get(), 0);
}

/// A store whose process ends after so many changes of records.
struct Mortal<'a> {
    store: &'a MemoryStore,
    changes_left: AtomicU64,
}

impl Mortal<'_> {
    fn change(&self, change: impl FnOnce() -> annals::Result<()>) -> annals::Result<()> {
        let left = self.changes_left.load(Ordering::SeqCst).checked_sub(1).ok_or(Error::Closed)?;
        self.changes_left.store(left, Ordering::SeqCst);
        change()
    }
}

impl EventStore for Mortal<'_> {
    fn commit(&self, commit: Commit) -> annals::Result<CommitResult> {
        self.store.commit(commit)
    }

    fn read_stream(&self, stream: &StreamId, options: StreamRead) -> annals::Result<Events> {
        self.store.read_stream(stream, options)
    }

    fn read(&self, query: &Query, options: GlobalRead) -> annals::Result<Events> {
        self.store.read(query, options)
    }

    fn stream_version(&self, stream: &StreamId) -> annals::Result<StreamVersion> {
        self.store.stream_version(stream)
    }

    fn event(&self, event_id: EventId) -> annals::Result<Option<RecordedEvent>> {
        self.store.event(event_id)
    }

    fn global_position(&self) -> annals::Result<GlobalPosition> {
        self.store.global_position()
    }
}

impl RecordStore for Mortal<'_> {
    fn write_record(&self, kind: RecordKind, name: &str, content: &[u8]) -> annals::Result<()> {
        self.change(|| self.store.write_record(kind, name, content))
    }

    fn read_record(&self, kind: RecordKind, name: &str) -> annals::Result<Record> {
        self.store.read_record(kind, name)
    }

    fn remove_record(&self, kind: RecordKind, name: &str) -> annals::Result<()> {
        self.change(|| self.store.remove_record(kind, name))
    }

    fn claim(&self, kind: RecordKind, name: &str) -> annals::Result<Claim> {
        self.store.claim(kind, name)
    }
}

#[test]
fn a_kill_between_any_two_steps_of_a_switch_leaves_the_old_one_or_the_new_one() {
    let mut replaced = Vec::new();
    for changes in 0.. {
        let store = MemoryStore::new();
        append(&store, 3);
        wrong(&store).catch_up().unwrap();
        let mortal = Mortal { store: &store, changes_left: changes.into() };
        let switched = right(&mortal).switch().map(drop);

        let in_use = ProjectionRunner::open(&store, "sum", Right {}, options());
        match in_use {
            Ok(mut runner) => {
                assert_eq!((sum(&runner), runner.reached().get()), (3, 3));
                append(&store, 1);
                runner.catch_up().unwrap();
                assert_eq!(sum(&runner), 4);
                drop(runner);
                assert_eq!(right(&store).runner().reached().get(), 0, "that one is done");
                replaced.push(changes);
            }
            Err(Error::StateVersion { .. }) => {
                assert_eq!(sum(&wrong(&store)), 30);
                append(&store, 1);
                assert_eq!(sum(&right(&store).switch().unwrap()), 4);
            }
            Err(error) => panic!("{error}"),
        }
        if switched.is_ok() {
            break;
        }
    }
    assert_eq!(replaced, [2, 3], "kept, replaced, removed");
}
