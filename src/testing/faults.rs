//! Does the suite refuse a store that breaks the contract?
//!
//! Each fault is seeded into a store in memory that is right otherwise, and stands with the function of the suite
//! that refuses it. Some show only in every third commit, so that a function has to look at more than one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Harness, run};
use crate::backend::memory::MemoryStore;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::{EventId, NewEvent, RecordedEvent};
use crate::limits::Limits;
use crate::position::{GlobalPosition, StreamVersion};
use crate::store::{
    AppendResult, CheckFailure, Commit, CommitResult, Direction, EventStore, Events,
    ExpectedVersion, Filter, GlobalRead, OnDuplicate, Query, ReadOptions, StreamRead, Watch,
    Watcher,
};
use crate::stream::StreamId;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    // What a commit returns, in every third one.
    GlobalPosition,
    GlobalPositionOfTheCommit,
    GlobalPositionOfAnAppend,
    FirstGlobalPosition,
    NewVersion,
    Appended,
    AppendedToAStream,
    Replayed,
    AppendMissing,
    // What a commit does.
    LastEventLost,
    DuplicatesDropped,
    RejectIgnored,
    VersionsIgnored,
    ClaimsIgnored,
    ConditionsIgnored,
    LastConditionIgnored,
    PositionOfConditionsIgnored,
    IdsFolded,
    TagsLost,
    TenantLost,
    RefusalBurnsAPosition,
    // What a refusal says.
    FailuresIncomplete,
    ActualVersionWrong,
    MatchNamesAnotherPosition,
    // What a read gives.
    LimitOneTooMany,
    BackwardIsForward,
    FilterIgnored,
    FilterOfStreamsIgnored,
    LastEventHidden,
    CategoryLeaks,
    QueryIgnored,
    RecordedAtDecreases,
    OccurredAtIsRecordedAt,
    NotFoundById,
    ExistsAlways,
    ExistsNever,
    VersionOfAnAbsentStream,
    VersionIsTheCount,
    PositionLags,
    // Whom a store calls.
    WatcherNeverCalled,
    WatcherCalledAtOnce,
    WaitsThoughThereIsMore,
    MoreThoughThereIsNone,
}

const FAULTS: &[(Fault, &str)] = &[
    (Fault::GlobalPosition, "a2_any_checks_nothing"),
    (Fault::GlobalPositionOfTheCommit, "a2_any_checks_nothing"),
    (Fault::GlobalPositionOfTheCommit, "s3_versions_and_positions_count_from_one_without_gaps"),
    (
        Fault::GlobalPositionOfTheCommit,
        "a9_recorded_times_never_decrease_when_the_clock_steps_back",
    ),
    (Fault::GlobalPositionOfTheCommit, "c4_readers_see_no_part_of_a_commit_without_the_rest"),
    (Fault::GlobalPositionOfTheCommit, "f3_a_subscriber_that_never_asks_holds_up_no_append"),
    (Fault::GlobalPositionOfAnAppend, "a2_any_checks_nothing"),
    (Fault::FirstGlobalPosition, "a2_any_checks_nothing"),
    (Fault::NewVersion, "a2_any_checks_nothing"),
    (Fault::Appended, "a2_any_checks_nothing"),
    (Fault::AppendedToAStream, "a2_any_checks_nothing"),
    (Fault::Replayed, "a2_any_checks_nothing"),
    (Fault::AppendMissing, "c4_readers_see_no_part_of_a_commit_without_the_rest"),
    (Fault::LastEventLost, "a1_an_append_is_whole_and_readable_when_it_returns"),
    (Fault::DuplicatesDropped, "a5_an_id_with_another_type_or_payload_is_an_error"),
    (Fault::RejectIgnored, "a4_reject_refuses_a_batch_with_a_known_event"),
    (Fault::VersionsIgnored, "a2_exact_is_the_version_the_stream_has"),
    (Fault::ClaimsIgnored, "s4_a_claimed_version_that_is_wrong_is_an_error"),
    (Fault::ConditionsIgnored, "c2_a_query_matches_by_type_tags_and_category"),
    (Fault::LastConditionIgnored, "c2_each_condition_has_its_own_position"),
    (Fault::PositionOfConditionsIgnored, "c2_each_condition_has_its_own_position"),
    (Fault::IdsFolded, "s1_names_that_run_together_the_same_are_different_streams"),
    (Fault::TagsLost, "a1_every_field_comes_back_as_it_was_given"),
    (Fault::TenantLost, "a1_every_field_comes_back_as_it_was_given"),
    (Fault::RefusalBurnsAPosition, "s3_a_refused_append_burns_no_number"),
    (Fault::FailuresIncomplete, "c3_a_refusal_names_every_check_that_failed"),
    (Fault::ActualVersionWrong, "a2_no_stream_is_for_a_stream_without_events"),
    (Fault::MatchNamesAnotherPosition, "c2_a_query_matches_by_type_tags_and_category"),
    (Fault::LimitOneTooMany, "r2_bounds_and_limit_of_the_whole_store_count_positions"),
    (Fault::BackwardIsForward, "r2_bounds_and_limit_of_a_stream_count_versions"),
    (Fault::FilterIgnored, "r3_types_tags_and_categories_filter_every_kind_of_read"),
    (Fault::FilterOfStreamsIgnored, "r3_types_tags_and_categories_filter_every_kind_of_read"),
    (Fault::LastEventHidden, "a1_an_append_is_whole_and_readable_when_it_returns"),
    (Fault::CategoryLeaks, "r4_a_category_is_read_in_global_order"),
    (Fault::QueryIgnored, "r4_a_query_is_read_in_global_order_and_each_event_once"),
    (Fault::RecordedAtDecreases, "a9_recorded_times_never_decrease_when_the_clock_steps_back"),
    (Fault::OccurredAtIsRecordedAt, "a9_the_time_an_event_happened_is_not_touched"),
    (Fault::NotFoundById, "a1_an_append_is_whole_and_readable_when_it_returns"),
    (Fault::ExistsAlways, "a1_a_refused_batch_leaves_none_of_its_events"),
    (Fault::ExistsNever, "a1_an_append_is_whole_and_readable_when_it_returns"),
    (Fault::VersionOfAnAbsentStream, "r5_an_absent_stream_reads_as_empty"),
    (Fault::VersionIsTheCount, "r5_the_version_of_a_loaded_stream_is_not_the_count"),
    (Fault::PositionLags, "s3_versions_and_positions_count_from_one_without_gaps"),
    (Fault::WatcherNeverCalled, "f1_a_watcher_is_called_for_the_next_event_and_not_before"),
    (Fault::WatcherCalledAtOnce, "f1_a_watcher_is_called_for_the_next_event_and_not_before"),
    (Fault::WaitsThoughThereIsMore, "f1_a_watcher_is_called_for_the_next_event_and_not_before"),
    (Fault::MoreThoughThereIsNone, "f1_a_watcher_is_called_for_the_next_event_and_not_before"),
];

struct Faults(Option<Fault>);

impl Harness for Faults {
    fn open(&self, clock: Clock, limits: Limits) -> Box<dyn EventStore> {
        let store = MemoryStore::with(clock, limits);
        Box::new(Faulty { store, fault: self.0, commits: AtomicU64::new(0) })
    }
}

struct Faulty {
    store: MemoryStore,
    fault: Option<Fault>,
    commits: AtomicU64,
}

impl Faulty {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// Changes what is to be committed.
    fn spoil(&self, commit: &mut Commit) -> Result<()> {
        for append in &mut commit.appends {
            match self.fault {
                Some(Fault::LastEventLost) => drop(append.events.pop()),
                Some(Fault::VersionsIgnored) => append.expected = ExpectedVersion::Any,
                Some(Fault::IdsFolded) => {
                    let (of, id) = (append.stream.aggregate_type(), append.stream.aggregate_id());
                    append.stream = StreamId::new(of, id.to_string().to_lowercase())?;
                }
                _ => {}
            }
            for event in &mut append.events {
                match self.fault {
                    Some(Fault::ClaimsIgnored) => event.claimed_version = None,
                    Some(Fault::TagsLost) => event.tags.clear(),
                    Some(Fault::TenantLost) => event.tenant = None,
                    Some(Fault::OccurredAtIsRecordedAt) => event.occurred_at = None,
                    _ => {}
                }
            }
        }
        match self.fault {
            Some(Fault::RejectIgnored) => commit.on_duplicate = OnDuplicate::default(),
            Some(Fault::ConditionsIgnored) => commit.conditions.clear(),
            Some(Fault::LastConditionIgnored) => drop(commit.conditions.pop()),
            Some(Fault::PositionOfConditionsIgnored) => {
                commit.conditions.iter_mut().for_each(|condition| condition.after = None);
            }
            _ => {}
        }
        Ok(())
    }

    /// Changes the result of every third commit.
    fn spoil_result(&self, result: &mut CommitResult) {
        let number = self.commits.fetch_add(1, Ordering::Relaxed) + 1;
        if !number.is_multiple_of(3) {
            return;
        }
        match (self.fault, result.appends.first_mut()) {
            (Some(Fault::GlobalPosition), _) => {
                result.global_position = result.global_position.next();
                // An append hands on only that of its stream.
                if let [append] = &mut result.appends[..] {
                    append.global_position = append.global_position.next();
                }
            }
            (Some(Fault::GlobalPositionOfTheCommit), _) => {
                result.global_position = result.global_position.next();
            }
            (Some(Fault::GlobalPositionOfAnAppend), Some(append)) => {
                append.global_position = append.global_position.previous();
            }
            (Some(Fault::FirstGlobalPosition), Some(append)) => {
                append.first_global_position =
                    append.first_global_position.map(GlobalPosition::next);
            }
            (Some(Fault::NewVersion), Some(append)) => {
                append.new_version = append.new_version.next();
            }
            (Some(Fault::Appended), Some(append)) => {
                append.appended += 1;
                result.appended += 1;
            }
            (Some(Fault::AppendedToAStream), Some(append)) => append.appended += 1,
            (Some(Fault::Replayed), Some(append)) => {
                append.replayed = !append.replayed;
                result.replayed = !result.replayed;
            }
            (Some(Fault::AppendMissing), _) => drop(result.appends.pop()),
            _ => {}
        }
    }

    /// Changes an error, or makes a success of it.
    fn spoil_error(&self, commit: &Commit, error: Error) -> Result<CommitResult> {
        let mut error = error;
        if self.has(Fault::RefusalBurnsAPosition) {
            let stream = StreamId::new("Order", "burnt")?;
            self.store.append(&stream, ExpectedVersion::Any, vec![NewEvent::new("Burnt", "")])?;
        }
        match (&mut error, self.fault) {
            (Error::EventIdTaken { .. }, Some(Fault::DuplicatesDropped)) => {
                let (new_version, global_position) =
                    (StreamVersion::FIRST, self.store.global_position()?);
                let append = AppendResult {
                    new_version,
                    global_position,
                    first_global_position: None,
                    appended: 0,
                    replayed: false,
                };
                let appends = vec![append; commit.appends.len()];
                return Ok(CommitResult { appends, global_position, appended: 0, replayed: false });
            }
            (Error::CommitRefused { failures }, Some(Fault::FailuresIncomplete)) => {
                failures.truncate(failures.len().saturating_sub(1).max(1));
            }
            (Error::CommitRefused { failures }, Some(fault)) => {
                for failure in failures {
                    match (failure, fault) {
                        (CheckFailure::Version { actual, .. }, Fault::ActualVersionWrong) => {
                            *actual = actual.next();
                        }
                        (
                            CheckFailure::Condition { global_position, .. },
                            Fault::MatchNamesAnotherPosition,
                        ) => *global_position = global_position.next(),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        Err(error)
    }

    fn options<P: crate::store::Bound>(
        &self,
        options: ReadOptions<P>,
        filters_are_ignored: bool,
    ) -> ReadOptions<P> {
        match (self.fault, options.count_max()) {
            (Some(Fault::LimitOneTooMany), Some(limit)) => options.limit(limit.saturating_add(1)),
            (Some(Fault::BackwardIsForward), _) => options.direction(Direction::Forward),
            _ if filters_are_ignored => options.filter(Filter::new()),
            _ => options,
        }
    }

    fn events(&self, events: Events) -> Events {
        match self.fault {
            Some(Fault::RecordedAtDecreases) => Events::new(events.map(|event| earlier(&event?))),
            Some(Fault::LastEventHidden) => {
                let mut events: Vec<_> = events.collect();
                events.pop();
                Events::new(events.into_iter())
            }
            _ => events,
        }
    }
}

/// Returns an event that was recorded the earlier the later it stands.
fn earlier(event: &RecordedEvent) -> Result<RecordedEvent> {
    let new = NewEvent::new(event.event_type(), event.payload_bytes())
        .id(event.event_id())
        .occurred_at(event.occurred_at());
    let position = event.global_position();
    let by = Duration::from_secs(position.get() * 60);
    let recorded_at = event.recorded_at().earlier_by(by);
    let version = event.stream_version();
    RecordedEvent::from_new(&new, &event.stream()?, version, position, recorded_at)
}

impl EventStore for Faulty {
    fn commit(&self, mut commit: Commit) -> Result<CommitResult> {
        self.spoil(&mut commit)?;
        match self.store.commit(commit.clone()) {
            Ok(mut result) => {
                self.spoil_result(&mut result);
                Ok(result)
            }
            Err(error) => self.spoil_error(&commit, error),
        }
    }

    fn read_stream(&self, stream: &StreamId, options: StreamRead) -> Result<Events> {
        let options = self.options(options, self.has(Fault::FilterOfStreamsIgnored));
        Ok(self.events(self.store.read_stream(stream, options)?))
    }

    fn read(&self, query: &Query, options: GlobalRead) -> Result<Events> {
        let options = self.options(options, self.has(Fault::FilterIgnored));
        let all = Query::all();
        let query = if self.has(Fault::QueryIgnored) { &all } else { query };
        Ok(self.events(self.store.read(query, options)?))
    }

    fn read_category(&self, aggregate_type: &str, options: GlobalRead) -> Result<Events> {
        match self.has(Fault::CategoryLeaks) {
            true => self.read_all(options),
            false => self.events_of(aggregate_type, options),
        }
    }

    fn load_stream(
        &self,
        stream: &StreamId,
        options: StreamRead,
    ) -> Result<crate::store::EventStream> {
        let loaded = self.store.load_stream(stream, options)?;
        match self.has(Fault::VersionIsTheCount) {
            true => {
                let events = loaded.events().to_vec();
                let count = StreamVersion::new(events.len() as u64);
                Ok(crate::store::EventStream::new(stream.clone(), events, count))
            }
            false => Ok(loaded),
        }
    }

    fn stream_version(&self, stream: &StreamId) -> Result<StreamVersion> {
        match self.store.stream_version(stream)? {
            StreamVersion::ZERO if self.has(Fault::VersionOfAnAbsentStream) => {
                Ok(StreamVersion::FIRST)
            }
            version => Ok(version),
        }
    }

    fn event(&self, event_id: EventId) -> Result<Option<RecordedEvent>> {
        match self.has(Fault::NotFoundById) {
            true => Ok(None),
            false => self.store.event(event_id),
        }
    }

    fn event_exists(&self, event_id: EventId) -> Result<bool> {
        match self.fault {
            Some(Fault::ExistsAlways) => Ok(true),
            Some(Fault::ExistsNever) => Ok(false),
            _ => self.store.event_exists(event_id),
        }
    }

    fn global_position(&self) -> Result<GlobalPosition> {
        let position = self.store.global_position()?;
        Ok(if self.has(Fault::PositionLags) { position.previous() } else { position })
    }

    fn watch(&self, position: GlobalPosition, watcher: &Watcher) -> Result<Watch> {
        let nobody = Watcher::new(|| {});
        match self.fault {
            Some(Fault::WatcherNeverCalled) => self.store.watch(position, &nobody),
            Some(Fault::WatcherCalledAtOnce) => {
                watcher.call();
                self.store.watch(position, watcher)
            }
            Some(Fault::WaitsThoughThereIsMore) => {
                self.store.watch(position, watcher).map(|_| Watch::Waiting)
            }
            Some(Fault::MoreThoughThereIsNone) => {
                self.store.watch(position, watcher).map(|_| Watch::Beyond)
            }
            _ => self.store.watch(position, watcher),
        }
    }
}

impl Faulty {
    fn events_of(&self, aggregate_type: &str, options: GlobalRead) -> Result<Events> {
        let options = self.options(options, self.has(Fault::FilterIgnored));
        Ok(self.events(self.store.read_category(aggregate_type, options)?))
    }
}

#[test]
fn every_seeded_fault_is_refused_by_its_function() {
    let passes = |fault: Option<Fault>, name: &str| {
        catch_unwind(AssertUnwindSafe(|| run(name, &Faults(fault)))).is_ok()
    };
    for (fault, name) in FAULTS {
        assert!(passes(None, name), "{name} refuses a store without a fault");
        assert!(!passes(Some(*fault), name), "{name} lets {fault:?} pass");
    }
}
