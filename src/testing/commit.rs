//! Clauses C1 to C4: commits to several streams, and conditions.

use super::material::*;
use super::{Harness, skip};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::{NewEvent, RecordedEvent};
use crate::limits::Limits;
use crate::position::GlobalPosition;
use crate::store::{
    CheckFailure, Commit, CommitResult, ExpectedVersion, FailIfMatches, OnDuplicate, Query,
    QueryItem, ReadOptions,
};
use crate::stream::StreamId;

fn to(id: &str, expected: ExpectedVersion, events: Vec<NewEvent>) -> Commit {
    Commit::new().append(&stream(id), expected, events)
}

fn failures(store: &Store, commit: Commit) -> Vec<CheckFailure> {
    match refused(store, |store| store.commit(commit)) {
        Error::CommitRefused { failures } => failures,
        other => panic!("not refused by a check: {other}"),
    }
}

fn version_failure(id: &str, expected: ExpectedVersion, actual: u64) -> CheckFailure {
    CheckFailure::Version { stream: stream(id), expected, actual: actual.into() }
}

fn condition_failure(condition: usize, position: u64, event_type: &str, id: &str) -> CheckFailure {
    CheckFailure::Condition {
        condition,
        global_position: position.into(),
        event_type: event_type.to_owned(),
        stream: stream(id),
    }
}

pub(super) fn c1_a_commit_writes_to_all_its_streams_in_its_order(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "b", events(["0"]));
    let commit = to("a", ExpectedVersion::NoStream, events(["1", "2"]))
        .append(&stream("b"), ExpectedVersion::exact(1), events(["3"]))
        .append(&stream("c"), ExpectedVersion::Any, events(["4"]));
    let result = store.commit(commit).unwrap();
    let of = |index: usize| {
        let append = &result.appends[index];
        let first = append.first_global_position.unwrap().get();
        (append.new_version.get(), first, append.global_position.get(), append.appended)
    };
    assert_eq!([of(0), of(1), of(2)], [(2, 2, 3, 2), (2, 4, 4, 1), (1, 5, 5, 1)]);
    assert_eq!((result.global_position.get(), result.appended, result.replayed), (5, 4, false));
    let written: Vec<_> = all(&store).iter().map(|event| event.payload().to_vec()).collect();
    assert_eq!(written, [b"0", b"1", b"2", b"3", b"4"]);
    let times: Vec<_> = all(&store)[1..].iter().map(RecordedEvent::recorded_at).collect();
    assert!(times.iter().all(|time| *time == times[0]));
}

pub(super) fn c1_nothing_is_written_when_one_stream_is_not_as_expected(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "b", events(["0"]));
    let commit = to("a", ExpectedVersion::NoStream, events(["1"]))
        .append(&stream("b"), ExpectedVersion::NoStream, events(["2"]))
        .append(&stream("c"), ExpectedVersion::Any, events(["3"]));
    let failures = failures(&store, commit);
    assert_eq!(failures, [version_failure("b", ExpectedVersion::NoStream, 1)]);
    assert_eq!((version(&store, "a"), version(&store, "b"), version(&store, "c")), (0, 1, 0));
}

pub(super) fn c1_a_commit_is_there_as_a_whole_after_reopening(harness: &dyn Harness) {
    let store = open(harness);
    let commit = to("a", ExpectedVersion::Any, events(["1", "2"])).append(
        &stream("b"),
        ExpectedVersion::Any,
        events(["3"]),
    );
    let first = store.commit(commit.clone()).unwrap();
    let Some(store) = harness.reopen(store, Clock::system(), Limits::default()) else {
        let name = "c1_a_commit_is_there_as_a_whole_after_reopening";
        return skip(name, "the backend is not durable");
    };
    assert_eq!((payloads(&store, "a"), version(&store, "b")), (vec!["1".into(), "2".into()], 1));
    let again = store.commit(commit).unwrap();
    assert!(again.replayed);
    assert_eq!(again.global_position, first.global_position);
}

pub(super) fn c1_a_commit_that_only_checks_writes_nothing(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "a", events(["1"]));
    let checks = to("a", ExpectedVersion::exact(1), Vec::new())
        .append(&stream("b"), ExpectedVersion::NoStream, Vec::new())
        .condition(FailIfMatches::new(QueryItem::new().event_type("Lost").into()));
    let result = store.commit(checks).unwrap();
    assert_eq!((result.appended, result.replayed), (0, false));
    assert_eq!(result.global_position.get(), 1);
    assert_eq!(result.appends.len(), 2);
    assert_eq!(position(&store), 1);
}

/// Four events: 1 and 3 in stream a, 2 in b, 4 in the parcel a.
fn four(harness: &dyn Harness) -> Store {
    let store = open(harness);
    put(&store, "a", vec![NewEvent::new("Opened", "1").tag("x").tag("y")]);
    put(&store, "b", vec![NewEvent::new("Opened", "2").tag("x")]);
    put(&store, "a", vec![NewEvent::new("Closed", "3").tag("y")]);
    let parcel = StreamId::new("Parcel", "a").unwrap();
    store.append(&parcel, ExpectedVersion::Any, vec![NewEvent::new("Sent", "4")]).unwrap();
    store
}

/// Tries a condition that stands alone; gives the position of the match that refuses it.
fn first_match(store: &Store, condition: FailIfMatches) -> Option<u64> {
    match store.commit(Commit::new().condition(condition)) {
        Ok(_) => None,
        Err(Error::CommitRefused { failures }) => match &failures[..] {
            [CheckFailure::Condition { condition: 0, global_position, .. }] => {
                Some(global_position.get())
            }
            _ => panic!("not one condition: {failures:?}"),
        },
        Err(other) => panic!("not refused by a check: {other}"),
    }
}

pub(super) fn c2_a_query_matches_by_type_tags_and_category(harness: &dyn Harness) {
    let store = four(harness);
    let matches = |item: QueryItem| first_match(&store, FailIfMatches::new(item.into()));
    let item = QueryItem::new;
    assert_eq!(matches(item()), Some(1));
    assert_eq!(matches(item().event_type("Closed")), Some(3));
    assert_eq!(matches(item().event_type("Sent").event_type("Closed")), Some(3));
    assert_eq!(matches(item().event_type("closed")), None);
    assert_eq!(matches(item().tag("x")), Some(1));
    assert_eq!(matches(item().tag("y").tag("x")), Some(1));
    assert_eq!(matches(item().tag("x").tag("z")), None);
    assert_eq!(matches(item().tag("x").event_type("Closed")), None);
    assert_eq!(matches(item().category("Parcel")), Some(4));
    assert_eq!(matches(item().category("Parcel").category("Order").event_type("Closed")), Some(3));
    assert_eq!(matches(item().category("Parcel").tag("x")), None);
}

pub(super) fn c2_any_item_of_a_query_matches(harness: &dyn Harness) {
    let store = four(harness);
    let matches = |query: Query| first_match(&store, FailIfMatches::new(query));
    assert_eq!(matches(Query::all()), Some(1));
    assert_eq!(matches(Query::none()), None);
    let absent = QueryItem::new().tag("absent");
    assert_eq!(
        matches(Query::from(absent.clone()).or(QueryItem::new().event_type("Sent"))),
        Some(4)
    );
    let either = Query::from(QueryItem::new().event_type("Sent")).or(QueryItem::new().tag("y"));
    assert_eq!(matches(either.or(absent)), Some(1));
}

pub(super) fn c2_each_condition_has_its_own_position(harness: &dyn Harness) {
    let store = four(harness);
    let tagged = |tag: &str| FailIfMatches::new(QueryItem::new().tag(tag).into());
    for (after, expected) in [(0, Some(1)), (1, Some(2)), (2, None), (4, None)] {
        let after = GlobalPosition::new(after);
        assert_eq!(first_match(&store, tagged("x").after(after)), expected, "after {after}");
    }
    let commit = |first: u64, second: u64| {
        to("c", ExpectedVersion::Any, events(["5"]))
            .condition(tagged("x").after(first.into()))
            .condition(tagged("y").after(second.into()))
    };
    assert_eq!(failures(&store, commit(2, 2)), [condition_failure(1, 3, "Closed", "a")]);
    assert_eq!(failures(&store, commit(1, 3)), [condition_failure(0, 2, "Opened", "b")]);
    store.commit(commit(2, 3)).unwrap();
}

/// Says that nothing matches, looking only after a position.
fn nothing_after(position: u64) -> FailIfMatches {
    FailIfMatches::new(Query::none()).after(position.into())
}

fn beyond_end(store: &Store, commit: Commit) -> (u64, u64) {
    match refused(store, |store| store.commit(commit)) {
        Error::BeyondEnd { position, end } => (position.get(), end.get()),
        other => panic!("not refused for its position: {other}"),
    }
}

pub(super) fn c2_a_position_beyond_the_end_is_refused(harness: &dyn Harness) {
    let store = open(harness);
    store.commit(Commit::new().condition(nothing_after(0))).unwrap();
    assert_eq!(beyond_end(&store, Commit::new().condition(nothing_after(1))), (1, 0));
    for by in [1, 2, 1000, u64::MAX] {
        let end = position(&store);
        let at_end = to("a", ExpectedVersion::Any, events(["1"])).condition(nothing_after(end));
        store.commit(at_end).unwrap();
        let (end, after) = (end + 1, (end + 1).saturating_add(by));
        let beyond = to("a", ExpectedVersion::Any, events(["2"]))
            .condition(nothing_after(end))
            .condition(nothing_after(after))
            .condition(nothing_after(0));
        assert_eq!(beyond_end(&store, beyond), (after, end));
        let alone = Commit::new().condition(FailIfMatches::new(Query::all()).after(after.into()));
        if after > end + 1 {
            assert_eq!(beyond_end(&store, alone), (after, end + 1));
        }
    }
}

pub(super) fn c2_a_position_beyond_the_end_comes_after_a_retry_and_before_the_checks(
    harness: &dyn Harness,
) {
    let store = open(harness);
    let batch = events(["1", "2"]);
    put(&store, "a", batch.clone());
    let retry = to("a", ExpectedVersion::NoStream, batch.clone()).condition(nothing_after(99));
    assert!(store.commit(retry).unwrap().replayed);
    let impostor = NewEvent::new("Noted", "another").id(batch[0].event_id());
    let taken = to("a", ExpectedVersion::Any, vec![impostor]).condition(nothing_after(99));
    let taken = refused(&store, |store| store.commit(taken));
    assert!(matches!(taken, Error::EventIdTaken { .. }), "{taken}");
    let conflicting = to("a", ExpectedVersion::NoStream, events(["3"]))
        .condition(FailIfMatches::new(Query::all()))
        .condition(nothing_after(99))
        .on_duplicate(OnDuplicate::Reject);
    assert_eq!(beyond_end(&store, conflicting), (99, 3));
}

pub(super) fn c2_a_commit_does_not_match_its_own_conditions(harness: &dyn Harness) {
    let store = open(harness);
    let commit = || {
        to("a", ExpectedVersion::Any, vec![event("1").tag("name:ada")])
            .condition(FailIfMatches::new(QueryItem::new().tag("name:ada").into()))
    };
    store.commit(commit()).unwrap();
    assert_eq!(failures(&store, commit()), [condition_failure(0, 1, "Noted", "a")]);
}

pub(super) fn c2_of_threads_that_claim_one_name_one_succeeds(harness: &dyn Harness) {
    let store = open(harness);
    let claim = |thread: usize| {
        let id = format!("user-{thread}");
        let commit = to(&id, ExpectedVersion::NoStream, vec![event("1").tag("name:ada")])
            .condition(FailIfMatches::new(QueryItem::new().tag("name:ada").into()));
        store.commit(commit)
    };
    let results: Vec<Result<CommitResult>> = std::thread::scope(|scope| {
        let claim = &claim;
        let threads: Vec<_> = (0..8).map(|thread| scope.spawn(move || claim(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(results.iter().flat_map(|result| result.as_ref().err()).all(Error::is_conflict));
    assert_eq!(position(&store), 1);
}

pub(super) fn c3_a_refusal_names_every_check_that_failed(harness: &dyn Harness) {
    let store = four(harness);
    let typed = |name: &str| FailIfMatches::new(QueryItem::new().event_type(name).into());
    let commit = to("a", ExpectedVersion::exact(1), events(["5"]))
        .append(&stream("b"), ExpectedVersion::exact(1), events(["6"]))
        .append(&stream("c"), ExpectedVersion::StreamExists, Vec::new())
        .append(&stream("b"), ExpectedVersion::NoStream, events(["7"]))
        .condition(typed("Opened"))
        .condition(typed("Lost"))
        .condition(typed("Opened").after(1.into()))
        .condition(typed("Closed"));
    let expected = [
        version_failure("a", ExpectedVersion::exact(1), 2),
        version_failure("c", ExpectedVersion::StreamExists, 0),
        version_failure("b", ExpectedVersion::NoStream, 2),
        condition_failure(0, 1, "Opened", "a"),
        condition_failure(2, 2, "Opened", "b"),
        condition_failure(3, 3, "Closed", "a"),
    ];
    assert_eq!(failures(&store, commit), expected);
}

pub(super) fn c3_a_commit_of_one_stream_is_refused_by_the_same_error(harness: &dyn Harness) {
    let store = four(harness);
    let commit = to("a", ExpectedVersion::NoStream, events(["5"]));
    let expected = [version_failure("a", ExpectedVersion::NoStream, 2)];
    assert_eq!(failures(&store, commit), expected);
}

pub(super) fn c4_appends_to_one_stream_see_each_other(harness: &dyn Harness) {
    let store = open(harness);
    let commit = to("a", ExpectedVersion::NoStream, events(["1", "2"]))
        .append(&stream("b"), ExpectedVersion::NoStream, events(["3"]))
        .append(&stream("a"), ExpectedVersion::exact(2), events(["4"]))
        .append(&stream("a"), ExpectedVersion::StreamExists, vec![event("5").claims_version(4)]);
    let first = store.commit(commit.clone()).unwrap();
    let versions = |result: &CommitResult| {
        result.appends.iter().map(|append| append.new_version.get()).collect::<Vec<_>>()
    };
    assert_eq!(versions(&first), [2, 1, 3, 4]);
    assert_eq!(payloads(&store, "a"), ["1", "2", "4", "5"]);
    let again = store.commit(commit).unwrap();
    assert!(again.replayed);
    assert_eq!(versions(&again), versions(&first));
    let stale = to("c", ExpectedVersion::NoStream, events(["6"])).append(
        &stream("c"),
        ExpectedVersion::NoStream,
        events(["7"]),
    );
    assert_eq!(failures(&store, stale), [version_failure("c", ExpectedVersion::NoStream, 1)]);
}

pub(super) fn c4_a_retried_commit_returns_the_original_result(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "b", events(["0"]));
    let commit = to("a", ExpectedVersion::NoStream, events(["1", "2"])).append(
        &stream("b"),
        ExpectedVersion::exact(1),
        events(["3"]),
    );
    let first = store.commit(commit.clone()).unwrap();
    put(&store, "a", events(["4"]));
    put(&store, "b", events(["5"]));
    let again = store.commit(commit).unwrap();
    assert!(again.replayed && again.appended == 0);
    assert_eq!(again.global_position, first.global_position);
    for (again, first) in again.appends.iter().zip(&first.appends) {
        assert!(again.replayed);
        assert_eq!(again.new_version, first.new_version);
        assert_eq!(again.global_position, first.global_position);
        assert_eq!(again.first_global_position, first.first_global_position);
    }
}

pub(super) fn c4_a_retry_of_which_a_part_is_new_is_checked(harness: &dyn Harness) {
    let store = open(harness);
    let known = events(["1", "2"]);
    put(&store, "a", known.clone());
    let commit = |expected| {
        to("a", expected, known.clone()).append(
            &stream("b"),
            ExpectedVersion::NoStream,
            vec![event("3").id(id_of(3))],
        )
    };
    let refusal = failures(&store, commit(ExpectedVersion::NoStream));
    assert_eq!(refusal, [version_failure("a", ExpectedVersion::NoStream, 2)]);
    let rejecting = commit(ExpectedVersion::Any).on_duplicate(OnDuplicate::Reject);
    let error = refused(&store, |store| store.commit(rejecting));
    assert!(matches!(error, Error::DuplicateEvent { .. }), "{error}");
    let result = store.commit(commit(ExpectedVersion::exact(2))).unwrap();
    assert_eq!((result.appended, result.replayed), (1, false));
    assert_eq!(result.appends[0].appended, 0);
    assert_eq!(result.appends[0].new_version.get(), 2);
    assert_eq!(payloads(&store, "b"), ["3"]);
}

pub(super) fn c4_ids_repeated_across_the_appends_of_a_commit_follow_a6(harness: &dyn Harness) {
    let store = open(harness);
    let twice = event("1");
    let commit = to("a", ExpectedVersion::NoStream, vec![twice.clone(), event("2")]).append(
        &stream("a"),
        ExpectedVersion::exact(2),
        vec![twice, event("3")],
    );
    let first = store.commit(commit.clone()).unwrap();
    assert_eq!((first.appended, first.appends[1].new_version.get()), (3, 3));
    assert_eq!(payloads(&store, "a"), ["1", "2", "3"]);
    let again = store.commit(commit).unwrap();
    assert!(again.replayed);
    assert_eq!(again.appends[1].new_version, first.appends[1].new_version);
}

pub(super) fn c4_skipped_events_do_not_count_for_later_appends(harness: &dyn Harness) {
    let store = open(harness);
    let known = event("1");
    put(&store, "a", vec![known.clone()]);
    let commit = |expected| {
        to("a", ExpectedVersion::exact(1), vec![known.clone(), event("2")]).append(
            &stream("a"),
            ExpectedVersion::exact(expected),
            events(["3"]),
        )
    };
    let refusal = failures(&store, commit(3));
    assert_eq!(refusal, [version_failure("a", ExpectedVersion::exact(3), 2)]);
    let result = store.commit(commit(2)).unwrap();
    assert_eq!((result.appended, result.appends[1].new_version.get()), (2, 3));
    assert_eq!(payloads(&store, "a"), ["1", "2", "3"]);
}

pub(super) fn c4_an_empty_commit_does_nothing(harness: &dyn Harness) {
    let store = open(harness);
    for positions in 0..2 {
        let result = store.commit(Commit::new()).unwrap();
        assert_eq!((result.appended, result.replayed), (0, false));
        assert_eq!((result.appends.len(), result.global_position.get()), (0, positions));
        put(&store, "a", events(["x"]));
    }
}

pub(super) fn c4_the_limits_of_a_commit_count_all_its_streams(harness: &dyn Harness) {
    let limits = Limits { commit_events_max: 3, ..Limits::default() };
    let store = harness.open(Clock::system(), limits);
    let commit = |count| {
        to("a", ExpectedVersion::Any, events(["1", "2"])).append(
            &stream("b"),
            ExpectedVersion::Any,
            (0..count).map(|_| event("x")).collect(),
        )
    };
    store.commit(commit(1)).unwrap();
    let error = refused(&store, |store| store.commit(commit(2)));
    assert!(matches!(error, Error::Limit { limit: 3, actual: 4, .. }), "{error}");
}

pub(super) fn c4_readers_see_no_part_of_a_commit_without_the_rest(harness: &dyn Harness) {
    const COMMITS: u64 = 60;
    let store = open(harness);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..COMMITS {
                let commit = to("a", ExpectedVersion::Any, events(["x", "x"])).append(
                    &stream("b"),
                    ExpectedVersion::Any,
                    events(["x"]),
                );
                store.commit(commit).unwrap();
            }
        });
        while !writer.is_finished() {
            let read = positions(&store, ReadOptions::new());
            assert_eq!(read.len() % 3, 0, "a part of a commit was read");
            assert_eq!(read, (1..=read.len() as u64).collect::<Vec<_>>());
            assert_eq!(version(&store, "a") % 2, 0);
        }
    });
    assert_eq!(position(&store), COMMITS * 3);
}
