//! What a projection makes of events that it handles, of those that fail, and of what is kept.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use annals::{
    AppendResult, Clock, Commit, CommitResult, DeadLetter, Error, EventId, EventStore, Events,
    ExpectedVersion, FileStore, GlobalPosition, GlobalRead, Handled, MemoryStore, NewEvent,
    OnFailure, Projection, ProjectionOptions, ProjectionRunner, Query, QueryItem, Record,
    RecordKind, RecordStore, RecordedEvent, Retries, StreamId, StreamRead, StreamVersion,
    Timestamp, Unusable, limits,
};
use annals::{Claim, Watch, Watcher};

/// What handlers are to do with some positions, shared with the test.
#[derive(Default)]
struct Poison {
    /// Positions that fail.
    fails: Mutex<BTreeSet<u64>>,
    /// The position that panics.
    panics: AtomicU64,
    /// Positions in the order in which they were handed over.
    handed: Mutex<Vec<u64>>,
    flush_fails: AtomicBool,
    /// How many failures there are before everything is well; 0 for no end of them.
    heal_after: AtomicU64,
}

impl Poison {
    fn at(positions: impl IntoIterator<Item = u64>) -> Arc<Self> {
        let poison = Self::default();
        *poison.fails.lock().unwrap() = positions.into_iter().collect();
        Arc::new(poison)
    }

    fn heal(&self) {
        self.fails.lock().unwrap().clear();
    }

    fn handed(&self) -> Vec<u64> {
        std::mem::take(&mut self.handed.lock().unwrap())
    }

    fn meet(&self, event: &RecordedEvent) -> Result<(), String> {
        let position = event.global_position().get();
        self.handed.lock().unwrap().push(position);
        assert_ne!(position, self.panics.load(Ordering::SeqCst), "told to panic");
        if !self.fails.lock().unwrap().contains(&position) {
            return Ok(());
        }
        if self.heal_after.load(Ordering::SeqCst) > 0
            && self.heal_after.fetch_sub(1, Ordering::SeqCst) == 1
        {
            self.heal();
        }
        Err(format!("poison at {position}"))
    }
}

/// Keeps every position that it was handed, also one at which it then fails.
struct Positions(Arc<Poison>);

impl Projection for Positions {
    type State = Vec<u64>;
    type Error = String;

    fn handle(&mut self, state: &mut Vec<u64>, event: &RecordedEvent) -> Result<Handled, String> {
        state.push(event.global_position().get());
        self.0.meet(event)?;
        Ok(if event.event_type() == "Odd" { Handled::Applied } else { Handled::Ignored })
    }

    fn flush(&mut self) -> Result<(), String> {
        match self.0.flush_fails.load(Ordering::SeqCst) {
            true => Err("it can not be flushed".to_owned()),
            false => Ok(()),
        }
    }
}

/// Keeps its state elsewhere, and is interested in odd events only.
struct Elsewhere(Arc<Poison>);

impl Projection for Elsewhere {
    type State = ();
    type Error = String;

    fn handle(&mut self, _: &mut (), event: &RecordedEvent) -> Result<Handled, String> {
        self.0.meet(event)?;
        Ok(Handled::Applied)
    }

    fn query(&self) -> Query {
        QueryItem::new().event_type("Odd").into()
    }
}

fn append(store: &dyn EventStore, count: u64) {
    let stream = StreamId::new("Test", "one").unwrap();
    for _ in 0..count {
        let position = store.global_position().unwrap().next().get();
        let event_type = if position.is_multiple_of(2) { "Even" } else { "Odd" };
        let events = vec![NewEvent::new(event_type, "")];
        let AppendResult { .. } = store.append(&stream, ExpectedVersion::Any, events).unwrap();
    }
}

fn store_of(count: u64) -> MemoryStore {
    let store = MemoryStore::new();
    append(&store, count);
    store
}

/// Tries twice without waiting.
fn options() -> ProjectionOptions {
    let retries = Retries { attempts: 2, first_delay: Duration::ZERO, ..Retries::default() };
    ProjectionOptions::new().retries(retries)
}

fn setting_aside() -> ProjectionOptions {
    options().on_failure(OnFailure::SetAside)
}

fn open<'a, S: EventStore + RecordStore>(
    store: &'a S,
    poison: &Arc<Poison>,
    options: ProjectionOptions,
) -> ProjectionRunner<&'a S, Positions> {
    ProjectionRunner::open(store, "positions", Positions(Arc::clone(poison)), options).unwrap()
}

fn state<S: EventStore + RecordStore, P: Projection<State = Vec<u64>>>(
    runner: &ProjectionRunner<S, P>,
) -> Vec<u64> {
    runner.view().read(Clone::clone)
}

fn all_but<const N: usize>(last: u64, missing: [u64; N]) -> Vec<u64> {
    (1..=last).filter(|position| !missing.contains(position)).collect()
}

#[test]
fn what_was_handled_is_kept_and_gone_on_with() {
    let (store, poison) = (store_of(5), Poison::at([]));
    let mut runner = open(&store, &poison, options());
    let progress = runner.catch_up().unwrap();
    assert_eq!((progress.applied, progress.ignored, progress.set_aside), (3, 2, 0));
    assert_eq!((state(&runner), runner.reached().get()), (all_but(5, []), 5));
    assert_eq!(runner.catch_up().unwrap(), Default::default());
    drop(runner);

    append(&store, 2);
    let mut runner = open(&store, &poison, options());
    assert_eq!((state(&runner), runner.view().reached().get()), (all_but(5, []), 5));
    runner.catch_up().unwrap();
    assert_eq!((state(&runner), runner.view().reached().get()), (all_but(7, []), 7));
    assert_eq!(poison.handed(), all_but(7, []));
}

#[test]
fn a_batch_is_kept_before_the_next_one_is_handled() {
    let (store, poison) = (store_of(10), Poison::at([]));
    poison.panics.store(8, Ordering::SeqCst);
    let mut runner = open(&store, &poison, options().batch_events(3));
    assert!(catch_unwind(AssertUnwindSafe(|| runner.catch_up())).is_err());
    assert_eq!(runner.reached().get(), 6);
    drop(runner);
    assert_eq!(state(&open(&store, &poison, options())), all_but(6, []));
}

#[test]
fn a_panic_of_a_handler_leaves_nothing_half_done() {
    let (store, poison) = (store_of(4), Poison::at([]));
    poison.panics.store(3, Ordering::SeqCst);
    let mut runner = open(&store, &poison, options());
    assert!(catch_unwind(AssertUnwindSafe(|| runner.catch_up())).is_err());
    assert!(state(&runner).is_empty(), "others see nothing of it either");
    poison.panics.store(0, Ordering::SeqCst);
    runner.catch_up().unwrap();
    assert_eq!((state(&runner), runner.reached().get()), (all_but(4, []), 4));
}

#[test]
fn a_failing_event_is_tried_again_and_what_its_handler_did_is_undone() {
    let (store, poison) = (store_of(5), Poison::at([3]));
    let retries = Retries { attempts: 4, first_delay: Duration::ZERO, ..Retries::default() };
    let mut runner = open(&store, &poison, ProjectionOptions::new().retries(retries));
    let stopped = runner.catch_up();
    let Err(Error::ProjectionStopped { projection, position, attempts, source }) = stopped else {
        panic!("{stopped:?}")
    };
    assert_eq!((projection.as_str(), position.get(), attempts), ("positions", 3, 4));
    assert_eq!(source.to_string(), "poison at 3");
    assert_eq!((state(&runner), runner.reached().get()), (vec![1, 2], 2));
    // The two before it are handled once more, behind a state without the third.
    let handed = poison.handed();
    assert_eq!(handed.iter().filter(|position| **position == 3).count(), 4, "{handed:?}");
}

#[test]
fn what_a_handler_did_before_it_failed_is_not_seen_by_others() {
    // Taking it back under another lock than the handler's once showed it for a moment.
    let (store, poison) = (&store_of(3), Poison::at([2]));
    let retries = Retries { attempts: 3000, first_delay: Duration::ZERO, ..Retries::default() };
    let mut runner = open(store, &poison, ProjectionOptions::new().retries(retries));
    let view = runner.view();
    thread::scope(|scope| {
        let running = scope.spawn(move || runner.catch_up());
        while !running.is_finished() {
            assert!(!view.read(|state| state.contains(&2)));
        }
        assert!(running.join().unwrap().is_err());
    });
}

/// Positions that can not be encoded when they end with the second behind the third.
#[derive(Default, Clone, serde::Deserialize)]
struct Fussy(Vec<u64>);

impl serde::Serialize for Fussy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.ends_with(&[3, 2]) {
            true => Err(serde::ser::Error::custom("told to fail")),
            false => serializer.serialize_newtype_struct("Fussy", &self.0),
        }
    }
}

struct FussyPositions(Arc<Poison>);

impl Projection for FussyPositions {
    type State = Fussy;
    type Error = String;

    fn handle(&mut self, state: &mut Fussy, event: &RecordedEvent) -> Result<Handled, String> {
        state.0.push(event.global_position().get());
        self.0.meet(event).map(|()| Handled::Applied)
    }
}

#[test]
fn a_state_that_can_not_be_encoded_is_taken_back_and_nothing_counts_twice() {
    // The letter once stayed in the list, and its event in the state that was kept next.
    let (store, poison) = (store_of(3), Poison::at([2]));
    let projection = FussyPositions(Arc::clone(&poison));
    let mut runner = ProjectionRunner::open(&store, "fussy", projection, setting_aside()).unwrap();
    runner.catch_up().unwrap();
    poison.heal();
    for _ in 0..2 {
        let failed = runner.redrive();
        assert!(matches!(failed, Err(Error::Payload(_))), "{failed:?}");
    }
    append(&store, 1);
    runner.catch_up().unwrap();
    assert_eq!(runner.redrive().unwrap().handled, 1);
    assert_eq!(runner.view().read(|state| state.0.clone()), [1, 3, 4, 2]);
}

#[test]
fn a_letter_that_is_given_up_leaves_nothing_of_an_attempt_that_could_not_be_kept() {
    let (store, poison) = (store_of(3), Poison::at([2]));
    let projection = FussyPositions(Arc::clone(&poison));
    let mut runner = ProjectionRunner::open(&store, "fussy", projection, setting_aside()).unwrap();
    runner.catch_up().unwrap();
    poison.heal();
    assert!(runner.redrive().is_err());
    assert!(runner.give_up(GlobalPosition::new(2)).unwrap());
    append(&store, 1);
    runner.catch_up().unwrap();
    assert_eq!(runner.view().read(|state| state.0.clone()), [1, 3, 4]);
}

#[test]
fn the_attempts_of_each_event_are_counted_from_the_first() {
    let (store, poison) = (store_of(3), Poison::at([1]));
    let retries = Retries { attempts: 3, first_delay: Duration::ZERO, ..Retries::default() };
    let mut runner = open(&store, &poison, ProjectionOptions::new().retries(retries));
    poison.heal_after.store(2, Ordering::SeqCst);
    runner.catch_up().unwrap();
    poison.fails.lock().unwrap().insert(4);
    append(&store, 1);
    poison.handed();
    assert!(matches!(runner.catch_up(), Err(Error::ProjectionStopped { attempts: 3, .. })));
    assert_eq!(poison.handed(), [4, 4, 4]);
}

#[test]
fn what_is_behind_the_last_event_of_interest_is_not_looked_at_again() {
    let (store, poison) = (store_of(2), Poison::at([]));
    let stream = StreamId::new("Test", "two").unwrap();
    let projection = Elsewhere(Arc::clone(&poison));
    let mut runner = ProjectionRunner::open(&store, "mails", projection, options()).unwrap();
    runner.catch_up().unwrap();
    let of_no_interest = vec![NewEvent::new("Even", "")];
    store.append(&stream, ExpectedVersion::Any, of_no_interest).unwrap();
    assert_eq!(runner.catch_up().unwrap(), Default::default());
    assert_eq!(runner.reached().get(), 3);
}

#[test]
fn what_was_read_before_an_event_that_can_not_be_read_is_handled() {
    let (store, poison) = (Troubled::default(), Poison::at([]));
    append(&store, 4);
    store.unreadable.store(3, Ordering::SeqCst);
    let mut runner = open(&store, &poison, options());
    for _ in 0..2 {
        let failed = runner.catch_up();
        assert!(matches!(failed, Err(Error::ReadOnly)), "{failed:?}");
        assert_eq!((state(&runner), runner.reached().get()), (all_but(2, []), 2));
    }
    store.unreadable.store(0, Ordering::SeqCst);
    runner.catch_up().unwrap();
    assert_eq!((state(&runner), poison.handed()), (all_but(4, []), all_but(4, [])));
}

#[test]
fn a_runner_that_stopped_is_run_again_and_goes_on_with_the_event_that_failed() {
    let (store, poison) = (store_of(5), Poison::at([3]));
    let mut runner = open(&store, &poison, options());
    assert!(runner.catch_up().is_err());
    assert!(runner.catch_up().is_err(), "it stays before the event");
    assert_eq!(runner.reached().get(), 2);
    poison.heal();
    let progress = runner.catch_up().unwrap();
    assert_eq!((progress.applied, progress.ignored), (2, 1));
    assert_eq!((state(&runner), runner.dead_letters().len()), (all_but(5, []), 0));
}

#[test]
fn a_poison_event_ends_in_the_list_and_is_handled_after_a_fix() {
    let directory = tempfile::tempdir().unwrap();
    let poison = Poison::at([3, 4]);
    let (clock, _hand) = Clock::manual(Timestamp::from_micros(42));
    {
        let store = FileStore::open(directory.path()).unwrap();
        append(&store, 6);
        let mut runner = open(&store, &poison, setting_aside().clock(clock));
        let progress = runner.catch_up().unwrap();
        assert_eq!((progress.applied, progress.ignored, progress.set_aside), (2, 2, 2));
        assert_eq!((state(&runner), runner.reached().get()), (all_but(6, [3, 4]), 6));
        store.close().unwrap();
    }
    let store = FileStore::open(directory.path()).unwrap();
    let mut runner = open(&store, &poison, setting_aside());
    let [third, fourth] = runner.dead_letters() else { panic!("{:?}", runner.dead_letters()) };
    assert_eq!((third.position.get(), third.attempts, fourth.position.get()), (3, 2, 4));
    assert_eq!((third.error.as_str(), third.failed_at.as_micros()), ("poison at 3", 42));
    let event = store.event(third.event_id).unwrap().unwrap();
    assert_eq!(event.global_position(), third.position);

    *poison.fails.lock().unwrap() = BTreeSet::from([4]);
    let redriven = runner.redrive().unwrap();
    assert_eq!((redriven.handled, redriven.failed), (1, 1));
    assert_eq!(state(&runner), [1, 2, 5, 6, 3]);
    assert_eq!(runner.dead_letters().len(), 1);
    assert_eq!(
        (runner.dead_letters()[0].position.get(), runner.dead_letters()[0].attempts),
        (4, 3)
    );
    drop(runner);

    poison.heal();
    let mut runner = open(&store, &poison, setting_aside());
    assert_eq!(state(&runner), [1, 2, 5, 6, 3], "state and list are kept together");
    runner.redrive().unwrap();
    assert_eq!((state(&runner), runner.dead_letters().len()), (vec![1, 2, 5, 6, 3, 4], 0));
    assert_eq!(runner.redrive().unwrap(), Default::default());
}

#[test]
fn a_dead_letter_keeps_when_it_failed_first_and_is_read_without_the_projection() {
    // One time was kept, and handling the letter again took the place of the first failure.
    let (store, poison) = (store_of(3), Poison::at([2]));
    let (clock, hand) = Clock::manual(Timestamp::from_micros(42));
    assert_eq!(DeadLetter::list(&store, "positions").unwrap(), []);
    let mut runner = open(&store, &poison, setting_aside().clock(clock));
    runner.catch_up().unwrap();
    let times = |letters: &[DeadLetter]| {
        let [letter] = letters else { panic!("{letters:?}") };
        (letter.first_failed_at.as_micros(), letter.failed_at.as_micros(), letter.attempts)
    };
    assert_eq!(times(runner.dead_letters()), (42, 42, 2));
    for (time, attempts) in [(50, 3), (60, 4)] {
        hand.set(Timestamp::from_micros(time));
        assert_eq!(runner.redrive().unwrap().failed, 1);
        assert_eq!(times(runner.dead_letters()), (42, time, attempts));
        // Read while the runner has the name, also through a trait object.
        let records: &dyn RecordStore = &store;
        assert_eq!(DeadLetter::list(records, "positions").unwrap(), runner.dead_letters());
    }
    drop(runner);
    assert_eq!(times(&DeadLetter::list(&store, "positions").unwrap()), (42, 60, 4));
    assert_eq!(times(open(&store, &poison, setting_aside()).dead_letters()), (42, 60, 4));
    assert_eq!(store.list(RecordKind::Projection).unwrap().names, ["positions"]);
    store.write_record(RecordKind::Projection, "other", b"no state").unwrap();
    assert!(matches!(DeadLetter::list(&store, "other"), Err(Error::Payload(_))));
}

#[test]
fn a_dead_letter_is_given_up_only_when_that_is_said() {
    let (store, poison) = (store_of(3), Poison::at([2]));
    let mut runner = open(&store, &poison, setting_aside());
    runner.catch_up().unwrap();
    assert!(!runner.give_up(GlobalPosition::new(1)).unwrap());
    assert_eq!(runner.dead_letters().len(), 1);
    assert!(runner.give_up(GlobalPosition::new(2)).unwrap());
    drop(runner);
    let runner = open(&store, &poison, setting_aside());
    assert_eq!((runner.dead_letters().len(), state(&runner)), (0, vec![1, 3]));
}

#[test]
fn a_full_list_of_dead_letters_stops_the_runner() {
    let most = limits::DEAD_LETTERS_MAX as u64;
    let (store, poison) = (store_of(most + 2), Poison::at(1..=most + 1));
    let mut runner = open(&store, &poison, setting_aside().retries(Retries::none()));
    let full = runner.catch_up();
    assert!(matches!(full, Err(Error::Limit { limit: 256, actual: 257, .. })), "{full:?}");
    assert_eq!((runner.dead_letters().len() as u64, runner.reached().get()), (most, most));
    poison.heal();
    assert_eq!(runner.redrive().unwrap().handled, most);
    runner.catch_up().unwrap();
    assert_eq!(runner.view().read(Vec::len) as u64, most + 2);
}

#[test]
fn a_long_text_of_an_error_is_cut_between_two_characters() {
    struct Wordy;
    impl Projection for Wordy {
        type State = ();
        type Error = String;
        fn handle(&mut self, _: &mut (), _: &RecordedEvent) -> Result<Handled, String> {
            Err(format!("x{}", "ä".repeat(2000)))
        }
    }
    let store = store_of(1);
    let mut runner = ProjectionRunner::open(&store, "wordy", Wordy, setting_aside()).unwrap();
    runner.catch_up().unwrap();
    assert_eq!(runner.dead_letters()[0].error, format!("x{}", "ä".repeat(511)));
}

#[test]
fn where_the_state_is_elsewhere_no_event_is_handled_again_without_need() {
    let (store, poison) = (store_of(9), Poison::at([5]));
    let projection = Elsewhere(Arc::clone(&poison));
    let mut runner = ProjectionRunner::open(&store, "mails", projection, options()).unwrap();
    assert!(runner.catch_up().is_err());
    assert_eq!((poison.handed(), runner.reached().get()), (vec![1, 3, 5, 5], 4));
    poison.heal();
    let progress = runner.catch_up().unwrap();
    assert_eq!((poison.handed(), progress.applied), (vec![5, 7, 9], 3));
}

#[test]
fn what_is_of_no_interest_moves_the_position_too() {
    let (store, poison) = (store_of(10), Poison::at([]));
    let projection = Elsewhere(Arc::clone(&poison));
    let mut runner = ProjectionRunner::open(&store, "mails", projection, options()).unwrap();
    runner.catch_up().unwrap();
    assert_eq!((poison.handed(), runner.reached().get()), (vec![1, 3, 5, 7, 9], 10));
    for (last, handed) in [(11, vec![11]), (12, vec![])] {
        append(&store, 1);
        runner.catch_up().unwrap();
        assert_eq!((poison.handed(), runner.reached().get()), (handed, last));
    }
}

#[test]
fn the_attempts_of_each_event_are_counted_by_themselves() {
    /// Fails at every event the first time.
    struct Flaky(u64);
    impl Projection for Flaky {
        type State = u64;
        type Error = String;
        fn handle(&mut self, count: &mut u64, event: &RecordedEvent) -> Result<Handled, String> {
            if std::mem::replace(&mut self.0, event.global_position().get()) < self.0 {
                return Err("not yet".to_owned());
            }
            *count += 1;
            Ok(Handled::Applied)
        }
    }
    let store = store_of(5);
    let options = options().batch_events(1);
    let mut runner = ProjectionRunner::open(&store, "flaky", Flaky(0), options).unwrap();
    runner.catch_up().unwrap();
    assert_eq!(runner.view().read(|count| *count), 5);
}

#[test]
fn a_flush_that_fails_keeps_nothing_and_the_events_are_handled_again() {
    let (store, poison) = (store_of(3), Poison::at([]));
    poison.flush_fails.store(true, Ordering::SeqCst);
    let mut runner = open(&store, &poison, options());
    let failed = runner.catch_up();
    assert!(matches!(failed, Err(Error::ProjectionStopped { .. })), "{failed:?}");
    assert_eq!((state(&runner), runner.reached().get()), (vec![], 0));
    poison.flush_fails.store(false, Ordering::SeqCst);
    runner.catch_up().unwrap();
    assert_eq!((state(&runner), poison.handed()), (all_but(3, []), vec![1, 2, 3, 1, 2, 3]));
}

#[test]
fn a_run_handles_what_comes_and_ends_when_it_is_stopped() {
    let (store, poison) = (&store_of(1), Poison::at([]));
    let mut runner = open(store, &poison, options());
    let (view, stop) = (runner.view(), runner.stop_handle());
    thread::scope(|scope| {
        let running = scope.spawn(move || runner.run().map(|progress| (progress, runner)));
        append(store, 3);
        while view.reached().get() < 4 {
            thread::yield_now();
        }
        stop.stop();
        let (progress, mut runner) = running.join().unwrap().unwrap();
        assert_eq!(progress.applied + progress.ignored, 4);
        append(store, 1);
        runner.catch_up().unwrap();
        assert_eq!(state(&runner), all_but(5, []));
    });
}

#[test]
fn a_run_ends_when_the_store_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    let poison = Poison::at([]);
    append(&store, 2);
    let mut runner = open(&store, &poison, options());
    let view = runner.view();
    thread::scope(|scope| {
        let running = scope.spawn(move || runner.run());
        while view.reached().get() < 2 {
            thread::yield_now();
        }
        store.close().unwrap();
        running.join().unwrap().unwrap();
    });
}

#[test]
fn waiting_for_another_attempt_ends_when_it_is_stopped() {
    let (store, poison) = (&store_of(3), Poison::at([2]));
    let forever = Duration::from_secs(1 << 30);
    let retries = Retries { attempts: 3, first_delay: forever, longest_delay: forever };
    let mut runner = open(store, &poison, options().retries(retries));
    let (view, stop) = (runner.view(), runner.stop_handle());
    thread::scope(|scope| {
        let running = scope.spawn(move || runner.run().map(|_| runner));
        while view.reached().get() < 1 {
            thread::yield_now();
        }
        stop.stop();
        let mut runner = running.join().unwrap().unwrap();
        assert_eq!(runner.reached().get(), 1);
        poison.heal();
        runner.catch_up().unwrap();
        assert_eq!(state(&runner), all_but(3, []));
    });
}

#[test]
fn one_runner_at_a_time_has_a_name() {
    let (store, poison) = (store_of(0), Poison::at([]));
    let first = open(&store, &poison, options());
    let projection = || Positions(Arc::clone(&poison));
    let second = ProjectionRunner::open(&store, "positions", projection(), options());
    assert!(matches!(second.map(drop), Err(Error::Claimed { .. })));
    ProjectionRunner::open(&store, "others", projection(), options()).unwrap();
    drop(first);
    ProjectionRunner::open(&store, "positions", projection(), options()).unwrap();
}

#[test]
fn what_was_kept_of_another_version_is_not_taken() {
    struct Newer;
    impl Projection for Newer {
        type State = Vec<u64>;
        type Error = String;
        const STATE_VERSION: u32 = 2;
        fn handle(&mut self, _: &mut Vec<u64>, _: &RecordedEvent) -> Result<Handled, String> {
            Ok(Handled::Ignored)
        }
    }
    let (store, poison) = (store_of(3), Poison::at([]));
    open(&store, &poison, options()).catch_up().unwrap();
    let refused = ProjectionRunner::open(&store, "positions", Newer, options()).map(drop);
    let Err(Error::StateVersion { projection, found, expected }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((projection.as_str(), found, expected), ("positions", 1, 2));
    assert_eq!(state(&open(&store, &poison, options())), all_but(3, []));
}

#[test]
fn what_was_kept_ahead_of_the_log_is_refused() {
    let (store, poison) = (store_of(3), Poison::at([]));
    open(&store, &poison, options()).catch_up().unwrap();
    let kept = store.read_record(RecordKind::Projection, "positions").unwrap().content().unwrap();
    let restored = store_of(2);
    restored.write_record(RecordKind::Projection, "positions", &kept).unwrap();
    let projection = Positions(Arc::clone(&poison));
    let refused = ProjectionRunner::open(&restored, "positions", projection, options());
    assert!(matches!(refused.map(drop), Err(Error::HistoryChanged { found: None, .. })));
}

/// A store in memory of which writing records can fail, and whose records can be unusable.
#[derive(Default)]
struct Troubled {
    store: MemoryStore,
    no_space: AtomicBool,
    unusable: AtomicBool,
    /// The position of an event that can not be read.
    unreadable: AtomicU64,
}

impl EventStore for Troubled {
    fn commit(&self, commit: Commit) -> annals::Result<CommitResult> {
        self.store.commit(commit)
    }

    fn read_stream(&self, stream: &StreamId, options: StreamRead) -> annals::Result<Events> {
        self.store.read_stream(stream, options)
    }

    fn read(&self, query: &Query, options: GlobalRead) -> annals::Result<Events> {
        let unreadable = self.unreadable.load(Ordering::SeqCst);
        let readable = move |event: RecordedEvent| match event.global_position().get() {
            position if position == unreadable => Err(Error::ReadOnly),
            _ => Ok(event),
        };
        let events = self.store.read(query, options)?;
        Ok(Events::new(events.map(move |event| event.and_then(readable))))
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

    fn watch(&self, position: GlobalPosition, watcher: &Watcher) -> annals::Result<Watch> {
        self.store.watch(position, watcher)
    }
}

impl RecordStore for Troubled {
    fn write_record(&self, kind: RecordKind, name: &str, content: &[u8]) -> annals::Result<()> {
        match self.no_space.load(Ordering::SeqCst) {
            true => Err(Error::Limit { what: "a test", limit: 0, actual: 1 }),
            false => self.store.write_record(kind, name, content),
        }
    }

    fn read_record(&self, kind: RecordKind, name: &str) -> annals::Result<Record> {
        match self.unusable.load(Ordering::SeqCst) {
            true => Ok(Record::Unusable(Unusable::Damaged)),
            false => self.store.read_record(kind, name),
        }
    }

    fn remove_record(&self, kind: RecordKind, name: &str) -> annals::Result<()> {
        self.store.remove_record(kind, name)
    }

    fn claim(&self, kind: RecordKind, name: &str) -> annals::Result<Claim> {
        self.store.claim(kind, name)
    }
}

#[test]
fn what_can_not_be_kept_is_undone_and_handled_again() {
    let (store, poison) = (Troubled::default(), Poison::at([2]));
    append(&store, 3);
    let mut runner = open(&store, &poison, setting_aside());
    store.no_space.store(true, Ordering::SeqCst);
    assert!(matches!(runner.catch_up(), Err(Error::Limit { .. })));
    assert_eq!((state(&runner), runner.reached().get()), (vec![], 0));
    store.no_space.store(false, Ordering::SeqCst);
    runner.catch_up().unwrap();
    assert_eq!((state(&runner), runner.dead_letters().len()), (vec![1, 3], 1));

    poison.heal();
    store.no_space.store(true, Ordering::SeqCst);
    assert!(runner.redrive().is_err());
    assert_eq!((state(&runner), runner.dead_letters().len()), (vec![1, 3], 1));
    store.no_space.store(false, Ordering::SeqCst);
    runner.redrive().unwrap();
    assert_eq!((state(&runner), runner.dead_letters().len()), (vec![1, 3, 2], 0));
}

#[test]
fn a_record_that_can_not_be_used_is_not_taken_for_none() {
    let (store, poison) = (Troubled::default(), Poison::at([]));
    store.unusable.store(true, Ordering::SeqCst);
    let projection = Positions(Arc::clone(&poison));
    let refused = ProjectionRunner::open(&store, "positions", projection, options());
    assert!(matches!(refused.map(drop), Err(Error::RecordUnusable { .. })));
}
