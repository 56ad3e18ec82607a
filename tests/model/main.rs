//! Does a store behave as a `Vec` would? Random operations on every backend, compared with a model.
//!
//! After each operation the whole store is compared, so that the first difference is the one that is
//! reported. `ANNALS_MODEL_CASES` sets the number of cases, `ANNALS_MODEL_SEED` repeats a run; each
//! run prints its seed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a test fails by panicking, and its numbers are small"
)]

mod model;
mod plan;

use annals::limits::Limits;
use annals::{
    AppendResult, Bound, CheckFailure, Clock, ClockHand, Commit, Difference, Error, EventId,
    EventStore, FailIfMatches, FileStore, Filter, GlobalPosition, MemoryStore, NewEvent,
    OnDuplicate, Options, Query, QueryItem, ReadOptions, RecordedEvent, StreamId, TenantId,
    Timestamp,
};
use proptest::test_runner::{Config, RngSeed, TestRunner};
use uuid::Uuid;

use crate::model::{
    Answer, Failure, Item, Model, Payload, Plain, PlainCommit, PlainQuery, PlainRead, Refusal, Row,
    STREAMS,
};
use crate::plan::{Kind, Step};

#[test]
fn a_memory_store_behaves_as_a_vec() {
    run(3_000, || Memory { store: None });
}

#[test]
fn a_file_store_behaves_as_a_vec() {
    run(600, || Files { directory: tempfile::tempdir().unwrap(), store: None });
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

fn run<S: Subject>(cases: u64, subject: impl Fn() -> S) {
    let random = Uuid::new_v4().as_u64_pair().0;
    let seed = from_environment("ANNALS_MODEL_SEED").unwrap_or(random);
    let cases = from_environment("ANNALS_MODEL_CASES").unwrap_or(cases);
    eprintln!("ANNALS_MODEL_SEED={seed}, {cases} cases");
    let config = Config {
        cases: cases.try_into().unwrap(),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    };
    let result = TestRunner::new(config).run(&plan::steps(), |steps| {
        Session::new(subject()).run(&steps);
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("ANNALS_MODEL_SEED={seed}: {failure}"));
}

/// A backend as the model test uses it.
trait Subject {
    /// Opens the store, or closes it and opens it again.
    fn open(&mut self, clock: &Clock);
    fn store(&self) -> &dyn EventStore;
}

struct Memory {
    store: Option<MemoryStore>,
}

impl Subject for Memory {
    fn open(&mut self, clock: &Clock) {
        self.store.get_or_insert_with(|| MemoryStore::with(clock.clone(), Limits::default()));
    }

    fn store(&self) -> &dyn EventStore {
        self.store.as_ref().unwrap()
    }
}

struct Files {
    directory: tempfile::TempDir,
    store: Option<FileStore>,
}

impl Subject for Files {
    fn open(&mut self, clock: &Clock) {
        if let Some(store) = self.store.take() {
            store.close().unwrap();
        }
        let options =
            Options::new().segment_bytes(64 << 10).clock(clock.clone()).memtable_events(7);
        let path = self.directory.path().join("store");
        self.store = Some(FileStore::open_with(path, options).unwrap());
    }

    fn store(&self) -> &dyn EventStore {
        self.store.as_ref().unwrap()
    }
}

/// A store and its model, side by side.
struct Session<S> {
    subject: S,
    model: Model,
    made: u128,
    clock: Clock,
    hand: ClockHand,
}

impl<S: Subject> Session<S> {
    fn new(mut subject: S) -> Self {
        let (clock, hand) = Clock::manual(moment(0));
        subject.open(&clock);
        Self { subject, model: Model::default(), made: 0, clock, hand }
    }

    fn run(mut self, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Commit(appends, conditions, reject) => {
                    let (model, made) = (&self.model, &mut self.made);
                    let plain = plan::concrete(appends, conditions, *reject, model, made);
                    self.commit(&plain);
                }
                Step::Read(kind, read) => self.read(kind, read),
                Step::Clock(seconds) => {
                    let now = self.model.turn_clock(*seconds);
                    self.hand.set(moment(now));
                }
                Step::Reopen => self.subject.open(&self.clock),
            }
            self.compare();
        }
    }

    fn commit(&mut self, plain: &PlainCommit) {
        let expected = self.model.commit(plain);
        let result = self.subject.store().commit(commit_of(plain));
        match result {
            Ok(result) => {
                let answers: Vec<_> = result.appends.iter().map(answer).collect();
                assert_eq!(Ok(&answers), expected.as_ref(), "{plain:?}");
                let appended: u64 = result.appends.iter().map(|append| append.appended).sum();
                assert_eq!(result.appended, appended);
                assert_eq!(result.replayed, answers.iter().any(|(.., replayed)| *replayed));
                if appended > 0 {
                    self.model.recorded_at(self.newest_time(), appended as usize);
                }
            }
            Err(error) => assert_eq!(Err(refusal(&error)), expected, "{plain:?}: {error}"),
        }
    }

    /// The time of the newest event, in seconds.
    fn newest_time(&self) -> i64 {
        let newest = ReadOptions::new().backward().limit(1);
        let event = self.subject.store().read_all(newest).unwrap().next().unwrap().unwrap();
        seconds(event.recorded_at())
    }

    fn read(&self, kind: &Kind, plain: &PlainRead) {
        let store = self.subject.store();
        let (expected, events) = match kind {
            Kind::Stream(stream) => (
                self.model.read(|row| (row.stream == *stream).then_some(row.version), plain),
                store.read_stream(&stream_id(*stream), options(plain)),
            ),
            Kind::All => {
                (self.model.read(|row| Some(row.position), plain), store.read_all(options(plain)))
            }
            Kind::Category(stream) => {
                let category = STREAMS[*stream].0;
                let own = |row: &Row| STREAMS[row.stream].0 == category;
                let expected = self.model.read(|row| own(row).then_some(row.position), plain);
                (expected, store.read_category(category, options(plain)))
            }
            Kind::Query(query) => {
                let own = |row: &Row| model::matches(query, row).then_some(row.position);
                (self.model.read(own, plain), store.read(&query_of(query), options(plain)))
            }
        };
        let read = events.unwrap().map(|event| event.unwrap().global_position().get());
        assert_eq!(read.collect::<Vec<_>>(), expected, "{kind:?} {plain:?}");
        if let Kind::Stream(stream) = kind {
            let loaded = store.load_stream(&stream_id(*stream), options(plain)).unwrap();
            assert_eq!(loaded.events().len(), expected.len());
            assert_eq!(loaded.version().get(), self.model.version(*stream));
        }
    }

    /// Compares everything there is.
    fn compare(&self) {
        let store = self.subject.store();
        assert_eq!(store.global_position().unwrap().get(), self.model.position());
        let read = store.read_all(ReadOptions::new()).unwrap().map(|event| event.unwrap());
        let rows: Vec<_> = read.map(|event| self.row(&event)).collect();
        assert_eq!(rows, self.model.rows);
        for stream in 0..STREAMS.len() {
            let version = store.stream_version(&stream_id(stream)).unwrap();
            assert_eq!(version.get(), self.model.version(stream));
        }
        for id in (1..=self.made).filter(|id| id % 5 == self.made % 5) {
            let found = store.event(event_id(id)).unwrap().map(|event| self.row(&event));
            assert_eq!(found.as_ref(), self.model.event(id));
        }
    }

    /// A recorded event as the model knows it; what was not given is taken from the model.
    fn row(&self, event: &RecordedEvent) -> Row {
        let id = event.event_id().as_uuid().as_u128();
        let known = self.model.event(id).unwrap_or_else(|| panic!("a phantom event: {event:?}"));
        let stream = STREAMS.iter().enumerate().position(|(at, _)| event.is_in(&stream_id(at)));
        let text = |text: &str, known: &'static str| {
            assert_eq!(text, known);
            known
        };
        let occurred = seconds(event.occurred_at());
        let given = known.event.occurred;
        assert_eq!(occurred, given.unwrap_or(known.committed));
        let tags: Vec<_> = event.tags().collect();
        assert_eq!(tags, known.event.tags);
        let tenant = event.tenant().map(|tenant| tenant.to_string());
        assert_eq!(tenant.as_deref(), known.event.tenant);
        Row {
            stream: stream.unwrap(),
            version: event.stream_version().get(),
            position: event.global_position().get(),
            recorded: seconds(event.recorded_at()),
            committed: known.committed,
            event: Plain {
                id,
                event_type: text(event.event_type(), known.event.event_type),
                payload: Payload(String::from_utf8(event.payload().to_vec()).unwrap()),
                correlation: event.correlation_id().map(|id| id.as_u128()),
                ..known.event.clone()
            },
        }
    }
}

fn moment(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_700_000_000 + seconds) * 1_000_000)
}

/// The seconds of a [`moment`].
fn seconds(time: Timestamp) -> i64 {
    (time.as_micros() - moment(0).as_micros()) / 1_000_000
}

fn event_id(id: u128) -> EventId {
    EventId::from_uuid(Uuid::from_u128(id))
}

fn stream_id(stream: usize) -> StreamId {
    StreamId::new(STREAMS[stream].0, STREAMS[stream].1).unwrap()
}

fn stream_index(stream: &StreamId) -> usize {
    (0..STREAMS.len()).find(|index| stream_id(*index) == *stream).unwrap()
}

fn commit_of(plain: &PlainCommit) -> Commit {
    let mut commit = Commit::new();
    for append in &plain.appends {
        let events = append.events.iter().map(new_event).collect();
        commit = commit.append(&stream_id(append.stream), append.expected, events);
    }
    for (query, after) in &plain.conditions {
        let condition = FailIfMatches::new(query_of(query));
        let after = after.map(GlobalPosition::new);
        commit = commit.condition(match after {
            Some(after) => condition.after(after),
            None => condition,
        });
    }
    if plain.reject { commit.on_duplicate(OnDuplicate::Reject) } else { commit }
}

fn new_event(plain: &Plain) -> NewEvent {
    let mut event = NewEvent::new(plain.event_type, plain.payload.0.clone()).id(event_id(plain.id));
    for tag in &plain.tags {
        event = event.tag(*tag);
    }
    if let Some(tenant) = plain.tenant {
        event = event.tenant(TenantId::new(tenant).unwrap());
    }
    if let Some(correlation) = plain.correlation {
        event = event.correlation_id(Uuid::from_u128(correlation));
    }
    if let Some(occurred) = plain.occurred {
        event = event.occurred_at(moment(occurred));
    }
    match plain.claimed {
        Some(claimed) => event.claims_version(claimed),
        None => event,
    }
}

fn query_of(query: &PlainQuery) -> Query {
    match query {
        None => Query::all(),
        Some(items) => items.iter().map(item_of).collect(),
    }
}

fn item_of(item: &Item) -> QueryItem {
    let typed = item.types.iter().fold(QueryItem::new(), |item, name| item.event_type(*name));
    let tagged = item.tags.iter().fold(typed, |item, tag| item.tag(*tag));
    item.categories.iter().fold(tagged, |item, category| item.category(*category))
}

fn options<P: Bound + From<u64>>(plain: &PlainRead) -> ReadOptions<P> {
    let mut options = ReadOptions::new().direction(plain.direction).filter(filter_of(plain));
    options = plain.from.map_or(options.clone(), |from| options.from(from));
    options = plain.to.map_or(options.clone(), |to| options.to(to));
    options = plain.after.map_or(options.clone(), |after| options.after(after));
    options = plain.before.map_or(options.clone(), |before| options.before(before));
    plain.limit.map_or(options.clone(), |limit| options.limit(limit))
}

fn filter_of(plain: &PlainRead) -> Filter {
    let PlainRead { filter: plain, .. } = plain;
    let item = &plain.item;
    let mut filter = item.types.iter().fold(Filter::new(), |filter, name| filter.event_type(*name));
    filter = item.tags.iter().fold(filter, |filter, tag| filter.tag(*tag));
    filter = item.categories.iter().fold(filter, |filter, name| filter.aggregate_type(*name));
    if let Some(tenant) = plain.tenant {
        filter = filter.tenant(TenantId::new(tenant).unwrap());
    }
    if let Some(correlation) = plain.correlation {
        filter = filter.correlation_id(Uuid::from_u128(correlation));
    }
    let bounds = [plain.occurred.0, plain.occurred.1, plain.recorded.0, plain.recorded.1];
    let setters =
        [Filter::occurred_from, Filter::occurred_to, Filter::recorded_from, Filter::recorded_to];
    for (bound, set) in bounds.into_iter().zip(setters) {
        filter = bound.map_or(filter.clone(), |bound| set(filter, moment(bound)));
    }
    filter
}

fn answer(result: &AppendResult) -> Answer {
    (
        result.new_version.get(),
        result.first_global_position.map(GlobalPosition::get),
        result.global_position.get(),
        result.appended,
        result.replayed,
    )
}

fn refusal(error: &Error) -> Refusal {
    assert!(error.is_rejection(), "not a rejection: {error}");
    let number = |id: &EventId| id.as_uuid().as_u128();
    match error {
        Error::EventIdTaken { event_id, stream, global_position, difference } => {
            let how = match difference {
                Difference::Stream => "stream",
                Difference::EventType => "event type",
                Difference::Payload => "payload",
                other => panic!("unknown difference: {other}"),
            };
            let position = global_position.map(GlobalPosition::get);
            Refusal::Taken(number(event_id), stream_index(stream), position, how)
        }
        Error::CommitRefused { failures } => {
            Refusal::Checks(failures.iter().map(check_failure).collect())
        }
        Error::BeyondEnd { position, end } => Refusal::BeyondEnd(position.get(), end.get()),
        Error::DuplicateEvent { event_id, global_position, .. } => {
            Refusal::Duplicate(number(event_id), global_position.map(GlobalPosition::get))
        }
        Error::VersionMismatch { event_id, claimed, assigned, .. } => {
            Refusal::Claim(number(event_id), claimed.get(), assigned.get())
        }
        other => panic!("unexpected error: {other}"),
    }
}

fn check_failure(failure: &CheckFailure) -> Failure {
    match failure {
        CheckFailure::Version { stream, expected, actual } => {
            Failure::Version(stream_index(stream), *expected, actual.get())
        }
        CheckFailure::Condition { condition, global_position, .. } => {
            Failure::Condition(*condition, global_position.get())
        }
        other => panic!("unknown failure: {other}"),
    }
}
