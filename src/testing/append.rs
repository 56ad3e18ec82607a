//! Clauses A1 and A2 and A7 to A10: atomic and durable appends, expected versions, limits, time and
//! threads. What becomes of known ids is in `results`.

use std::collections::HashSet;
use std::time::Duration;

use super::material::*;
use super::{Harness, skip};
use crate::clock::Clock;
use crate::error::Error;
use crate::event::{ContentType, NewEvent, RecordedEvent};
use crate::limits::{Limits, TAGS_MAX};
use crate::position::StreamVersion;
use crate::store::{ExpectedVersion, Filter, ReadOptions};
use crate::stream::{ActorId, IdRef, TenantId};
use crate::timestamp::Timestamp;

pub(super) fn a1_an_append_is_whole_and_readable_when_it_returns(harness: &dyn Harness) {
    let store = open(harness);
    let batch = events(["1", "2", "3"]);
    let result = put(&store, "a", batch.clone());
    assert_eq!((result.appended, result.replayed), (3, false));
    assert_eq!(result.new_version.get(), 3);
    assert_eq!(result.first_global_position.unwrap().get(), 1);
    assert_eq!(result.global_position.get(), 3);
    assert_eq!(payloads(&store, "a"), ["1", "2", "3"]);
    for (new, recorded) in batch.iter().zip(all(&store)) {
        assert_eq!(store.event(new.event_id()).unwrap(), Some(recorded));
    }
}

pub(super) fn a1_a_refused_batch_leaves_none_of_its_events(harness: &dyn Harness) {
    let store = open(harness);
    let batch = vec![event("good"), event("bad").claims_version(7), event("good")];
    let ids: Vec<_> = batch.iter().map(NewEvent::event_id).collect();
    refused(&store, |store| store.append(&stream("a"), ExpectedVersion::Any, batch));
    assert!(ids.iter().all(|id| !store.event_exists(*id).unwrap()));
    assert_eq!(version(&store, "a"), 0);
}

pub(super) fn a1_what_was_appended_is_there_after_reopening(harness: &dyn Harness) {
    let (clock, _hand) = Clock::manual(at(0));
    let store = harness.open(clock.clone(), Limits::default());
    let mut made = Vec::new();
    for number in 0..50 {
        let new = event(&"p".repeat(number * 97)).tag(format!("n:{number}"));
        made.push(new.event_id());
        put(&store, &format!("s{}", number % 7), vec![new.metadata("number", number.to_string())]);
    }
    let before = all(&store);
    let Some(store) = harness.reopen(store, clock, Limits::default()) else {
        return skip("a1_what_was_appended_is_there_after_reopening", "the backend is not durable");
    };
    assert_eq!(all(&store), before);
    assert_eq!(position(&store), 50);
    assert_eq!(version(&store, "s0"), 8);
    for (id, recorded) in made.into_iter().zip(before) {
        assert_eq!(store.event(id).unwrap(), Some(recorded));
    }
}

pub(super) fn a1_every_field_comes_back_as_it_was_given(harness: &dyn Harness) {
    let (clock, _hand) = Clock::manual(at(5));
    let store = harness.open(clock, Limits::default());
    let uuid = uuid::Uuid::from_u128;
    let full = NewEvent::new("Paid", vec![0_u8, 255, 10, 0])
        .id(uuid(1))
        .event_version(u32::MAX)
        .occurred_at(Timestamp::from_micros(-1))
        .tenant(TenantId::new("acme").unwrap())
        .actor(ActorId::from(uuid(2)))
        .correlation_id(uuid(3))
        .causation_id(uuid(4))
        .tag("b")
        .tag("a:1")
        .metadata("source", "")
        .metadata("", "é")
        .content_type(ContentType::Other(200));
    put(&store, "a", vec![full, NewEvent::new("Paid", "")]);
    let [full, bare] = <[_; 2]>::try_from(all(&store)).unwrap();
    assert_eq!(
        (full.event_id(), full.event_type(), full.event_version()),
        (id_of(1), "Paid", u32::MAX)
    );
    assert_eq!((full.occurred_at().as_micros(), full.recorded_at()), (-1, at(5)));
    assert_eq!(full.tenant(), Some(IdRef::Text("acme")));
    assert_eq!(full.actor(), Some(IdRef::Uuid(uuid(2))));
    assert_eq!((full.correlation_id(), full.causation_id()), (Some(uuid(3)), Some(uuid(4))));
    assert_eq!(full.tags().collect::<Vec<_>>(), ["b", "a:1"]);
    assert_eq!(
        full.metadata().unwrap().into_iter().collect::<Vec<_>>(),
        [(String::new(), "é".to_owned()), ("source".to_owned(), String::new())]
    );
    assert_eq!(full.content_type(), ContentType::Other(200));
    assert_eq!(full.payload(), [0, 255, 10, 0]);
    assert_eq!(full.payload_bytes(), full.payload());
    assert_eq!((bare.occurred_at(), bare.event_version()), (at(5), 1));
    assert!(bare.tenant().is_none() && bare.actor().is_none() && bare.tags().next().is_none());
    assert!(bare.correlation_id().is_none() && bare.causation_id().is_none());
    assert!(bare.metadata().unwrap().is_empty() && bare.payload().is_empty());
}

pub(super) fn a2_exact_is_the_version_the_stream_has(harness: &dyn Harness) {
    let store = open(harness);
    store.append(&stream("a"), ExpectedVersion::exact(0), events(["1", "2"])).unwrap();
    store.append(&stream("a"), ExpectedVersion::exact(2), events(["3"])).unwrap();
    for wrong in [0, 1, 2, 4, u64::MAX] {
        conflicts(&store, "a", ExpectedVersion::exact(wrong), 3);
    }
    conflicts(&store, "absent", ExpectedVersion::exact(1), 0);
    assert_eq!(payloads(&store, "a"), ["1", "2", "3"]);
}

pub(super) fn a2_no_stream_is_for_a_stream_without_events(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "other", events(["x"]));
    store.append(&stream("a"), ExpectedVersion::NoStream, Vec::new()).unwrap();
    store.append(&stream("a"), ExpectedVersion::NoStream, events(["1"])).unwrap();
    conflicts(&store, "a", ExpectedVersion::NoStream, 1);
}

pub(super) fn a2_stream_exists_is_for_a_stream_with_events(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "other", events(["x"]));
    conflicts(&store, "a", ExpectedVersion::StreamExists, 0);
    put(&store, "a", events(["1"]));
    store.append(&stream("a"), ExpectedVersion::StreamExists, events(["2"])).unwrap();
    assert_eq!(version(&store, "a"), 2);
}

pub(super) fn a2_any_checks_nothing(harness: &dyn Harness) {
    let store = open(harness);
    for expected in 1..=3 {
        assert_eq!(put(&store, "a", events(["x"])).new_version.get(), expected);
    }
}

pub(super) fn a7_an_empty_batch_checks_the_version_and_writes_nothing(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "other", events(["x"]));
    put(&store, "a", events(["1", "2"]));
    for (id, expected, version) in [
        ("a", ExpectedVersion::Any, 2),
        ("a", ExpectedVersion::exact(2), 2),
        ("a", ExpectedVersion::StreamExists, 2),
        ("absent", ExpectedVersion::Any, 0),
        ("absent", ExpectedVersion::NoStream, 0),
    ] {
        let result = store.append(&stream(id), expected, Vec::new()).unwrap();
        assert_eq!(result.new_version.get(), version);
        assert_eq!((result.appended, result.replayed), (0, false));
        assert_eq!(result.first_global_position, None);
        assert_eq!(result.global_position.get(), 3);
    }
    assert_eq!((position(&store), version(&store, "absent")), (3, 0));
    conflicts(&store, "a", ExpectedVersion::exact(1), 2);
}

/// Holds a store with these limits to taking `fits` and refusing `over`.
fn limit(harness: &dyn Harness, limits: Limits, fits: Vec<NewEvent>, over: Vec<NewEvent>) {
    let store = harness.open(Clock::system(), limits);
    let count = fits.len() as u64;
    store.append(&stream("a"), ExpectedVersion::NoStream, fits).unwrap();
    let error = refused(&store, |store| store.append(&stream("a"), ExpectedVersion::Any, over));
    match error {
        Error::Limit { limit, actual, .. } => assert_eq!(actual, limit + 1, "{error}"),
        _ => panic!("not a limit: {error}"),
    }
    assert_eq!(version(&store, "a"), count);
}

pub(super) fn a8_a_payload_at_its_limit_is_taken_and_one_over_refused(harness: &dyn Harness) {
    let of = |bytes: usize| vec![NewEvent::new("Noted", vec![7_u8; bytes])];
    let limits = Limits { payload_bytes_max: 4096, ..Limits::default() };
    limit(harness, limits, of(4096), of(4097));
    limit(harness, Limits::default(), of(16 << 20), of((16 << 20) + 1));
}

pub(super) fn a8_a_commit_of_too_many_events_is_refused(harness: &dyn Harness) {
    let of = |count: usize| (0..count).map(|_| event("")).collect::<Vec<_>>();
    let limits = Limits { commit_events_max: 10, ..Limits::default() };
    limit(harness, limits, of(10), of(11));
    limit(harness, Limits::default(), of(65_535), of(65_536));
}

pub(super) fn a8_a_commit_of_too_many_bytes_is_refused(harness: &dyn Harness) {
    let limits = Limits { commit_bytes_max: 64 << 10, ..Limits::default() };
    let store = harness.open(Clock::system(), limits);
    let of = |bytes: usize| vec![NewEvent::new("Noted", vec![7_u8; bytes])];
    put(&store, "a", of(60 << 10));
    let mut halves = of(32 << 10);
    halves.extend(of((32 << 10) + 1));
    let error = refused(&store, |store| store.append(&stream("a"), ExpectedVersion::Any, halves));
    let Error::Limit { limit, actual, .. } = error else { panic!("not a limit: {error}") };
    assert_eq!(limit, 64 << 10);
    assert!(actual > limit);
}

pub(super) fn a8_tags_are_limited_in_number_and_length(harness: &dyn Harness) {
    let of = |count: u32| {
        let tagged = (0..count).fold(event("x"), |event, number| event.tag(format!("t{number}")));
        vec![tagged]
    };
    limit(harness, Limits::default(), of(TAGS_MAX), of(TAGS_MAX + 1));
    limit(harness, Limits { tags_max: 2, ..Limits::default() }, of(2), of(3));
    let long = |bytes: usize| vec![event("x").tag("t".repeat(bytes))];
    limit(harness, Limits::default(), long(255), long(256));
}

pub(super) fn a8_event_types_and_metadata_are_limited(harness: &dyn Harness) {
    let named = |bytes: usize| vec![NewEvent::new("T".repeat(bytes), "x")];
    limit(harness, Limits::default(), named(255), named(256));
    let store = open(harness);
    let noted = |bytes: usize| vec![event("x").metadata("k", "v".repeat(bytes))];
    put(&store, "a", noted(60 << 10));
    let over = noted(64 << 10);
    let error = refused(&store, |store| store.append(&stream("a"), ExpectedVersion::Any, over));
    assert!(matches!(error, Error::Limit { limit: 65_536, .. }), "{error}");
}

pub(super) fn a8_limits_are_lowered_but_never_raised(harness: &dyn Harness) {
    let raised = Limits { tags_max: u32::MAX, payload_bytes_max: u32::MAX, ..Limits::default() };
    let store = harness.open(Clock::system(), raised);
    let tagged = (0..65).fold(event("x"), |event, number| event.tag(format!("t{number}")));
    let append = |store: &Store| store.append(&stream("a"), ExpectedVersion::Any, vec![tagged]);
    assert!(matches!(refused(&store, append), Error::Limit { limit: 64, actual: 65, .. }));
}

pub(super) fn a8_limits_come_before_everything_else(harness: &dyn Harness) {
    let store = open(harness);
    let over = vec![NewEvent::new("T".repeat(256), "x")];
    let exact = ExpectedVersion::exact(9);
    let error = refused(&store, |store| store.append(&stream("a"), exact, over));
    assert!(matches!(error, Error::Limit { .. }), "{error}");
}

pub(super) fn a9_recorded_times_never_decrease_when_the_clock_steps_back(harness: &dyn Harness) {
    let (clock, hand) = Clock::manual(at(10));
    let store = harness.open(clock, Limits::default());
    for (seconds, recorded) in [(10, 10), (5, 10), (0, 10), (11, 11), (10, 11), (20, 20)] {
        hand.set(at(seconds));
        let result = put(&store, &format!("s{seconds}"), events(["x"]));
        let newest = ReadOptions::new().from(result.global_position);
        assert_eq!(collected(store.read_all(newest))[0].recorded_at(), at(recorded));
    }
    assert!(all(&store).is_sorted_by_key(RecordedEvent::recorded_at));
}

pub(super) fn a9_recorded_times_never_decrease_across_reopening(harness: &dyn Harness) {
    let (clock, hand) = Clock::manual(at(10));
    let store = harness.open(clock.clone(), Limits::default());
    put(&store, "a", events(["1"]));
    hand.set(at(3));
    let Some(store) = harness.reopen(store, clock, Limits::default()) else {
        let name = "a9_recorded_times_never_decrease_across_reopening";
        return skip(name, "the backend is not durable");
    };
    put(&store, "a", events(["2"]));
    let times: Vec<_> = all(&store).iter().map(RecordedEvent::recorded_at).collect();
    assert_eq!(times, [at(10), at(10)]);
}

pub(super) fn a9_the_events_of_a_commit_share_their_time(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "a", (0..200).map(|_| event("x")).collect());
    let times: HashSet<_> = all(&store).iter().map(RecordedEvent::recorded_at).collect();
    assert_eq!(times.len(), 1);
}

pub(super) fn a9_the_time_an_event_happened_is_not_touched(harness: &dyn Harness) {
    let (clock, _hand) = Clock::manual(at(10));
    let store = harness.open(clock, Limits::default());
    let times = [Timestamp::MIN, at(3), at(99), Timestamp::MAX, Timestamp::from_micros(0)];
    put(&store, "a", times.map(|time| event("x").occurred_at(time)).to_vec());
    assert_eq!(all(&store).iter().map(RecordedEvent::occurred_at).collect::<Vec<_>>(), times);
}

pub(super) fn a9_an_event_without_a_time_occurs_at_that_of_the_clock(harness: &dyn Harness) {
    // After one commit in a far future, later events once occurred there as well.
    let future = at(3_000_000_000);
    let (clock, hand) = Clock::manual(future);
    let mut store = harness.open(clock.clone(), Limits::default());
    put(&store, "a", events(["in the future"]));
    let times = |store: &Store| {
        let newest = collected(store.read_all(ReadOptions::new().backward().limit(1)));
        (newest[0].recorded_at(), newest[0].occurred_at())
    };
    assert_eq!(times(&store), (future, future));
    for seconds in [5, 7, 6] {
        hand.set(at(seconds));
        put(&store, "a", events(["now"]));
        assert_eq!(times(&store), (future, at(seconds)));
        let now = Filter::new().occurred_from(at(seconds)).occurred_to(at(seconds));
        let found = collected(store.read_stream(&stream("a"), ReadOptions::new().filter(now)));
        assert_eq!(found.len(), 1);
        put(&store, "a", vec![event("then").occurred_at(at(2)), event("now")]);
        let both = collected(store.read_all(ReadOptions::new().backward().limit(2)));
        assert_eq!((both[1].occurred_at(), both[0].occurred_at()), (at(2), at(seconds)));
        let retried = NewEvent::new("Noted", "now").id(both[0].event_id());
        assert!(put(&store, "a", vec![retried]).replayed, "a time tells no events apart");
        let before = all(&store);
        store = match harness.reopen(store, clock.clone(), Limits::default()) {
            Some(store) => store,
            None => return skip("A9 after reopening", "the backend is not durable"),
        };
        assert_eq!(all(&store), before);
    }
    hand.set(future.later_by(Duration::from_secs(1)));
    put(&store, "a", events(["later"]));
    let later = future.later_by(Duration::from_secs(1));
    assert_eq!(times(&store), (later, later));
}

pub(super) fn a10_threads_with_exact_versions_lose_no_update(harness: &dyn Harness) {
    const THREADS: u64 = 8;
    const UPDATES: u64 = 25;
    let store = open(harness);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                (0..UPDATES)
                    .for_each(|update| increment(store, &format!("c{}", (thread + update) % 3)));
            });
        }
    });
    let counted: u64 = (0..3).map(|id| version(&store, &format!("c{id}"))).sum();
    assert_eq!(counted, THREADS * UPDATES);
    assert_eq!(numbers(&all(&store)), (1..=counted).collect::<Vec<_>>());
    for id in ["c0", "c1", "c2"] {
        let expected: Vec<_> = (1..=version(&store, id)).map(|count| count.to_string()).collect();
        assert_eq!(payloads(&store, id), expected);
    }
}

/// Appends the next count to a stream, as often as it takes.
fn increment(store: &Store, id: &str) {
    loop {
        let loaded = store.load_stream(&stream(id), ReadOptions::new()).unwrap();
        let next = loaded.version().next();
        assert_eq!(loaded.events().len() as u64, loaded.version().get());
        match store.append(&stream(id), loaded.version().into(), vec![event(&next.to_string())]) {
            Ok(result) => return assert_eq!(result.new_version, next),
            Err(Error::Conflict { actual, .. }) => assert!(actual > loaded.version()),
            Err(other) => panic!("neither success nor conflict: {other}"),
        }
    }
}

pub(super) fn a10_of_many_that_expect_no_stream_one_succeeds(harness: &dyn Harness) {
    let store = open(harness);
    for round in 0..10 {
        let id = format!("r{round}");
        let wins: usize = std::thread::scope(|scope| {
            let attempt = || store.append(&stream(&id), ExpectedVersion::NoStream, events(["x"]));
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(attempt)).collect();
            threads.into_iter().map(|thread| usize::from(thread.join().unwrap().is_ok())).sum()
        });
        assert_eq!((wins, version(&store, &id)), (1, 1));
    }
}

pub(super) fn a10_the_same_batch_from_many_threads_is_recorded_once(harness: &dyn Harness) {
    let store = open(harness);
    let batch = events(["1", "2", "3"]);
    let results: Vec<_> = std::thread::scope(|scope| {
        let attempt = || store.append(&stream("a"), ExpectedVersion::NoStream, batch.clone());
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(attempt)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
    });
    assert_eq!(results.iter().filter(|result| !result.replayed).count(), 1);
    assert!(results.iter().all(|result| result.new_version == StreamVersion::new(3)));
    assert_eq!(position(&store), 3);
}
