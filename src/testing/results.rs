//! Clauses A3 to A6: what becomes of event ids that are known already.

use super::material::*;
use super::{Harness, skip};
use crate::clock::Clock;
use crate::error::{Difference, Error};
use crate::event::NewEvent;
use crate::limits::Limits;
use crate::store::{
    AppendResult, Commit, ExpectedVersion, FailIfMatches, OnDuplicate, Query, QueryItem,
    ReadOptions,
};
use crate::stream::StreamId;

const EXPECTATIONS: [ExpectedVersion; 5] = [
    ExpectedVersion::Any,
    ExpectedVersion::NoStream,
    ExpectedVersion::StreamExists,
    ExpectedVersion::exact(0),
    ExpectedVersion::exact(77),
];

/// Holds the result of a retry to being that of the first attempt.
fn replays(again: &AppendResult, first: &AppendResult) {
    assert!(again.replayed && !first.replayed);
    assert_eq!(again.appended, 0);
    assert_eq!(again.new_version, first.new_version);
    assert_eq!(again.global_position, first.global_position);
    assert_eq!(again.first_global_position, first.first_global_position);
}

pub(super) fn a3_a_retried_append_returns_the_original_result(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "a", events(["before"]));
    let batch = events(["1", "2", "3"]);
    let exact = ExpectedVersion::exact(1);
    let first = store.append(&stream("a"), exact, batch.clone()).unwrap();
    replays(&store.append(&stream("a"), exact, batch.clone()).unwrap(), &first);
    for expected in EXPECTATIONS {
        replays(&store.append(&stream("a"), expected, batch.clone()).unwrap(), &first);
    }
    assert_eq!((position(&store), version(&store, "a")), (4, 4));
}

pub(super) fn a3_a_retry_is_recognised_after_other_appends(harness: &dyn Harness) {
    let store = open(harness);
    let batch = events(["1", "2"]);
    let first = store.append(&stream("a"), ExpectedVersion::NoStream, batch.clone()).unwrap();
    put(&store, "a", events(["3", "4"]));
    put(&store, "b", events(["5"]));
    for expected in EXPECTATIONS {
        replays(&store.append(&stream("a"), expected, batch.clone()).unwrap(), &first);
    }
    assert_eq!(payloads(&store, "a"), ["1", "2", "3", "4"]);
}

pub(super) fn a3_a_retry_is_recognised_after_reopening(harness: &dyn Harness) {
    let store = open(harness);
    let batch = events(["1", "2"]);
    let first = put(&store, "a", batch.clone());
    put(&store, "a", events(["3"]));
    let Some(store) = harness.reopen(store, Clock::system(), Limits::default()) else {
        let name = "a3_a_retry_is_recognised_after_reopening";
        return skip(name, "the backend is not durable");
    };
    replays(&store.append(&stream("a"), ExpectedVersion::NoStream, batch).unwrap(), &first);
}

pub(super) fn a3_a_part_of_what_is_recorded_is_a_retry_too(harness: &dyn Harness) {
    let store = open(harness);
    let batch = events(["1", "2", "3"]);
    put(&store, "a", batch[..2].to_vec());
    put(&store, "b", events(["between"]));
    put(&store, "a", batch[2..].to_vec());
    let across =
        store.append(&stream("a"), ExpectedVersion::NoStream, batch[1..].to_vec()).unwrap();
    assert!(across.replayed);
    assert_eq!(across.new_version.get(), 3);
    assert_eq!(across.first_global_position.unwrap().get(), 2);
    assert_eq!(across.global_position.get(), 4);
}

pub(super) fn a3_known_ids_in_another_order_are_no_retry(harness: &dyn Harness) {
    let store = open(harness);
    let batch = events(["1", "2", "3"]);
    put(&store, "a", batch.clone());
    let [one, two, three] = <[NewEvent; 3]>::try_from(batch).unwrap();
    for other in [vec![two.clone(), one.clone()], vec![one.clone(), three.clone()]] {
        let no_stream = ExpectedVersion::NoStream;
        let again = other.clone();
        let error = refused(&store, |store| store.append(&stream("a"), no_stream, again));
        assert!(matches!(error, Error::Conflict { .. }), "{error}");
        let result = put(&store, "a", other);
        assert_eq!((result.replayed, result.appended, result.new_version.get()), (false, 0, 3));
    }
    assert_eq!(payloads(&store, "a"), ["1", "2", "3"]);
}

pub(super) fn a3_only_type_and_payload_tell_a_retry_from_another_event(harness: &dyn Harness) {
    let store = open(harness);
    let original = event("1").tag("t").metadata("k", "v").occurred_at(at(0));
    let first = put(&store, "a", vec![original.clone()]);
    let varied = event("1").id(original.event_id()).occurred_at(at(9)).event_version(4);
    replays(&put(&store, "a", vec![varied]), &first);
    let read = &all(&store)[0];
    assert!(read.has_tag("t"));
    assert_eq!((read.occurred_at(), read.event_version()), (at(0), 1));
}

pub(super) fn a3_a_retry_comes_before_conditions_that_its_own_events_match(harness: &dyn Harness) {
    let store = open(harness);
    let unique = || FailIfMatches::new(QueryItem::new().tag("name:ada").into());
    let commit = Commit::new()
        .append(&stream("a"), ExpectedVersion::NoStream, vec![event("1").tag("name:ada")])
        .condition(unique())
        .condition(FailIfMatches::new(Query::all()));
    let first = store.commit(commit.clone()).unwrap();
    let again = store.commit(commit).unwrap();
    assert!(again.replayed && !first.replayed);
    assert_eq!(again.global_position, first.global_position);
    replays(&again.appends[0], &first.appends[0]);
    let other = Commit::new()
        .append(&stream("b"), ExpectedVersion::Any, vec![event("2").tag("name:ada")])
        .condition(unique());
    refused(&store, |store| store.commit(other));
}

pub(super) fn a3_a_wrong_claim_is_an_error_in_a_retry_too(harness: &dyn Harness) {
    let store = open(harness);
    let original = event("1");
    put(&store, "a", vec![original.clone()]);
    let claiming = vec![original.claims_version(2)];
    let error = refused(&store, |store| store.append(&stream("a"), ExpectedVersion::Any, claiming));
    assert!(matches!(error, Error::VersionMismatch { .. }), "{error}");
}

pub(super) fn a4_known_events_are_skipped_and_new_ones_appended_in_order(harness: &dyn Harness) {
    let store = open(harness);
    let batch = events(["1", "2", "3", "4", "5"]);
    let pick = |indices: &[usize]| indices.iter().map(|index| batch[*index].clone()).collect();
    put(&store, "a", pick(&[1, 3]));
    let result = put(&store, "a", pick(&[0, 1, 2, 3, 4]));
    assert_eq!((result.appended, result.replayed), (3, false));
    assert_eq!(result.new_version.get(), 5);
    assert_eq!(result.first_global_position.unwrap().get(), 3);
    assert_eq!(result.global_position.get(), 5);
    assert_eq!(payloads(&store, "a"), ["2", "4", "1", "3", "5"]);
    let ends_known = store
        .append(&stream("a"), ExpectedVersion::exact(5), vec![event("6"), batch[0].clone()])
        .unwrap();
    assert_eq!((ends_known.new_version.get(), ends_known.appended), (6, 1));
    assert_eq!(ends_known.first_global_position.unwrap().get(), 6);
    assert_eq!(ends_known.global_position.get(), 3);
}

pub(super) fn a4_skipping_comes_after_the_expected_version(harness: &dyn Harness) {
    let store = open(harness);
    let mut batch = events(["1"]);
    store.append(&stream("a"), ExpectedVersion::NoStream, batch.clone()).unwrap();
    batch.push(event("2"));
    for wrong in [ExpectedVersion::NoStream, ExpectedVersion::exact(2)] {
        let attempt = batch.clone();
        let error = refused(&store, |store| store.append(&stream("a"), wrong, attempt));
        assert!(matches!(error, Error::Conflict { .. }), "{error}");
    }
    store.append(&stream("a"), ExpectedVersion::exact(1), batch).unwrap();
    assert_eq!(payloads(&store, "a"), ["1", "2"]);
}

pub(super) fn a4_reject_refuses_a_batch_with_a_known_event(harness: &dyn Harness) {
    let store = open(harness);
    let known = event("2");
    put(&store, "other", events(["1"]));
    put(&store, "a", vec![known.clone()]);
    let reject = |expected, events| {
        Commit::new().append(&stream("a"), expected, events).on_duplicate(OnDuplicate::Reject)
    };
    let mixed = vec![event("3"), known.clone()];
    let attempt = reject(ExpectedVersion::Any, mixed.clone());
    let error = refused(&store, |store| store.commit(attempt));
    let Error::DuplicateEvent { event_id, stream: named, global_position } = error else {
        panic!("not a duplicate: {error}");
    };
    assert_eq!((event_id, named), (known.event_id(), stream("a")));
    assert_eq!(global_position.unwrap().get(), 2);
    assert!(!store.event_exists(mixed[0].event_id()).unwrap());
    let attempt = reject(ExpectedVersion::NoStream, mixed);
    let error = refused(&store, |store| store.commit(attempt));
    assert!(matches!(error, Error::CommitRefused { .. }), "A2 comes first: {error}");
}

pub(super) fn a4_a_whole_retry_is_a_success_under_reject_too(harness: &dyn Harness) {
    let store = open(harness);
    let commit = Commit::new()
        .append(&stream("a"), ExpectedVersion::NoStream, events(["1", "2"]))
        .on_duplicate(OnDuplicate::Reject);
    let first = store.commit(commit.clone()).unwrap();
    replays(&store.commit(commit).unwrap().appends[0], &first.appends[0]);
}

/// Holds an append of an event that takes the id of `original` to an error that says how they
/// differ.
fn taken(store: &Store, into: &StreamId, impostor: NewEvent, how: Difference) {
    for expected in EXPECTATIONS {
        for batch in [vec![impostor.clone()], vec![event("new"), impostor.clone()]] {
            let new = batch[0].event_id();
            let error = refused(store, |store| store.append(into, expected, batch));
            let Error::EventIdTaken { event_id, stream: holder, global_position, difference } =
                error
            else {
                panic!("not taken: {error}");
            };
            assert_eq!((event_id, difference), (impostor.event_id(), how));
            assert_eq!((holder, global_position.unwrap().get()), (stream("a"), 2));
            assert!(new == impostor.event_id() || !store.event_exists(new).unwrap());
        }
    }
}

pub(super) fn a5_an_id_of_another_stream_is_an_error(harness: &dyn Harness) {
    let store = open(harness);
    let original = event("2");
    put(&store, "a", vec![event("1"), original.clone()]);
    taken(&store, &stream("b"), original.clone(), Difference::Stream);
    let same_id = StreamId::new("Parcel", "a").unwrap();
    taken(&store, &same_id, original, Difference::Stream);
}

pub(super) fn a5_an_id_with_another_type_or_payload_is_an_error(harness: &dyn Harness) {
    let store = open(harness);
    let original = event("2");
    let id = original.event_id();
    put(&store, "a", vec![event("1"), original]);
    let renamed = NewEvent::new("Renamed", "2").id(id);
    taken(&store, &stream("a"), renamed, Difference::EventType);
    for payload in ["", "2 ", "3"] {
        taken(&store, &stream("a"), event(payload).id(id), Difference::Payload);
    }
    assert_eq!(payloads(&store, "a"), ["1", "2"]);
}

pub(super) fn a5_a_taken_id_comes_before_a_conflict_in_a_commit(harness: &dyn Harness) {
    let store = open(harness);
    let original = event("1");
    put(&store, "a", vec![original.clone()]);
    let commit = Commit::new()
        .append(&stream("a"), ExpectedVersion::exact(9), events(["x"]))
        .append(&stream("b"), ExpectedVersion::exact(9), vec![original])
        .condition(FailIfMatches::new(Query::all()));
    let error = refused(&store, |store| store.commit(commit));
    assert!(matches!(error, Error::EventIdTaken { .. }), "{error}");
}

pub(super) fn a6_an_event_twice_in_a_batch_is_recorded_once(harness: &dyn Harness) {
    let store = open(harness);
    let twice = event("1");
    let batch = vec![twice.clone(), event("2"), twice];
    let first = store.append(&stream("a"), ExpectedVersion::NoStream, batch.clone()).unwrap();
    assert_eq!((first.appended, first.new_version.get()), (2, 2));
    assert_eq!(payloads(&store, "a"), ["1", "2"]);
    replays(&put(&store, "a", batch), &first);
    assert_eq!(position(&store), 2);
}

pub(super) fn a6_an_event_twice_in_a_batch_is_refused_under_reject(harness: &dyn Harness) {
    let store = open(harness);
    let twice = event("1");
    let commit = Commit::new()
        .append(&stream("a"), ExpectedVersion::Any, vec![twice.clone(), twice.clone()])
        .on_duplicate(OnDuplicate::Reject);
    let error = refused(&store, |store| store.commit(commit.clone()));
    let Error::DuplicateEvent { event_id, global_position, .. } = error else {
        panic!("not a duplicate: {error}");
    };
    assert_eq!((event_id, global_position), (twice.event_id(), None));
    put(&store, "a", vec![twice]);
    let error = refused(&store, |store| store.commit(commit));
    assert!(matches!(error, Error::DuplicateEvent { .. }), "{error}");
}

pub(super) fn a6_two_events_with_one_id_in_a_batch_are_an_error(harness: &dyn Harness) {
    let store = open(harness);
    let one = event("1");
    let id = one.event_id();
    let others = [
        (event("2").id(id), Difference::Payload),
        (NewEvent::new("Renamed", "1").id(id), Difference::EventType),
    ];
    for (other, how) in others {
        let batch = vec![one.clone(), other];
        let error =
            refused(&store, |store| store.append(&stream("a"), ExpectedVersion::Any, batch));
        let Error::EventIdTaken { event_id, global_position, difference, .. } = error else {
            panic!("not taken: {error}");
        };
        assert_eq!((event_id, global_position, difference), (id, None, how));
    }
    let commit = Commit::new()
        .append(&stream("a"), ExpectedVersion::Any, vec![one.clone()])
        .append(&stream("b"), ExpectedVersion::Any, vec![one]);
    let error = refused(&store, |store| store.commit(commit));
    assert!(matches!(error, Error::EventIdTaken { difference: Difference::Stream, .. }), "{error}");
    assert!(collected(store.read_stream(&stream("a"), ReadOptions::new())).is_empty());
    let known = event("1");
    let position = put(&store, "a", vec![known.clone()]).global_position;
    let batch = vec![known.clone(), event("2").id(known.event_id())];
    let error = refused(&store, |store| store.append(&stream("a"), ExpectedVersion::Any, batch));
    let Error::EventIdTaken { global_position, difference, .. } = error else {
        panic!("not taken: {error}");
    };
    assert_eq!((global_position, difference), (Some(position), Difference::Payload));
}
