//! Clauses S1 to S4: what a stream is called, and how versions and positions count.

use uuid::Uuid;

use super::material::*;
use super::{Harness, skip};
use crate::clock::Clock;
use crate::error::Error;
use crate::limits::Limits;
use crate::store::{EventStore, ExpectedVersion, Filter, ReadOptions};
use crate::stream::{ActorId, AggregateId, IdRef, StreamId, TenantId};

pub(super) fn s1_the_same_id_under_two_types_is_two_streams(harness: &dyn Harness) {
    let store = open(harness);
    let order = StreamId::new("Order", "7").unwrap();
    let parcel = StreamId::new("Parcel", "7").unwrap();
    store.append(&order, ExpectedVersion::NoStream, events(["a", "b"])).unwrap();
    store.append(&parcel, ExpectedVersion::NoStream, events(["c"])).unwrap();
    assert_eq!(store.stream_version(&order).unwrap().get(), 2);
    assert_eq!(store.stream_version(&parcel).unwrap().get(), 1);
    let read = collected(store.read_stream(&parcel, ReadOptions::new()));
    assert_eq!(read.len(), 1);
    assert_eq!(read[0].payload(), b"c");
    assert!(read[0].is_in(&parcel) && !read[0].is_in(&order));
    assert_eq!(read[0].stream().unwrap(), parcel);
}

pub(super) fn s1_names_that_run_together_the_same_are_different_streams(harness: &dyn Harness) {
    let store = open(harness);
    let names = [("ab", "c"), ("a", "bc"), ("Ab", "c"), ("a", "b:c"), ("a.b", "c"), ("a", "BC")];
    for (index, (aggregate_type, id)) in names.into_iter().enumerate() {
        let stream = StreamId::new(aggregate_type, id).unwrap();
        let payload = event(&index.to_string());
        store.append(&stream, ExpectedVersion::NoStream, vec![payload]).unwrap();
    }
    for (index, (aggregate_type, id)) in names.into_iter().enumerate() {
        let stream = StreamId::new(aggregate_type, id).unwrap();
        let read = store.load_stream(&stream, ReadOptions::new()).unwrap();
        assert_eq!(read.version().get(), 1);
        assert_eq!(read.events()[0].payload(), index.to_string().as_bytes());
    }
}

const UUID: Uuid = Uuid::from_u128(0x0191_f7d2_6a5b_7c3e_8f90_a1b2_c3d4_e5f6);

/// The texts in which programs write one UUID; the first is the canonical one.
fn spellings() -> [String; 6] {
    let (upper, simple_upper) = (format!("{UUID:X}"), format!("{:X}", UUID.simple()));
    let (simple, braced, urn) = (UUID.simple(), UUID.braced(), UUID.urn());
    let others = [simple.to_string(), simple_upper, braced.to_string(), urn.to_string()];
    let [simple, simple_upper, braced, urn] = others;
    [UUID.to_string(), upper, simple, simple_upper, braced, urn]
}

pub(super) fn s2_each_spelling_of_a_uuid_is_an_id_of_its_own(harness: &dyn Harness) {
    let store = open(harness);
    for text in spellings() {
        let stream = StreamId::new("Order", &text).unwrap();
        store.append(&stream, ExpectedVersion::NoStream, vec![event(&text)]).unwrap();
    }
    check_spellings(&store);
    if let Some(store) = harness.reopen(store, Clock::system(), Limits::default()) {
        check_spellings(&store);
    }
}

fn check_spellings(store: &dyn EventStore) {
    for text in spellings() {
        let stream = StreamId::new("Order", &text).unwrap();
        let read = collected(store.read_stream(&stream, ReadOptions::new()));
        assert_eq!(read.len(), 1, "{text}");
        assert_eq!(read[0].aggregate_id().to_string(), text);
        assert_eq!(read[0].payload(), text.as_bytes());
        assert_eq!(store.stream_version(&stream).unwrap().get(), 1);
    }
    let canonical = StreamId::of("Order", UUID).unwrap();
    let read = collected(store.read_stream(&canonical, ReadOptions::new()));
    assert_eq!(read.len(), 1);
    assert!(matches!(read[0].aggregate_id(), IdRef::Uuid(UUID)));
}

pub(super) fn s2_tenants_and_actors_come_back_as_they_went_in(harness: &dyn Harness) {
    let store = open(harness);
    for text in spellings() {
        let (tenant, actor) = (TenantId::new(&text).unwrap(), ActorId::new(&text).unwrap());
        put(&store, "a", vec![event(&text).tenant(tenant).actor(actor)]);
    }
    for text in spellings() {
        let filter = Filter::new().tenant(TenantId::new(&text).unwrap());
        let read = collected(store.read_all(ReadOptions::new().filter(filter)));
        assert_eq!(read.len(), 1, "{text}");
        assert_eq!(read[0].tenant().unwrap().to_string(), text);
        assert_eq!(read[0].actor().unwrap().to_string(), text);
        assert_eq!(read[0].payload(), text.as_bytes());
    }
}

pub(super) fn s2_real_and_odd_ids_come_back_as_they_went_in(harness: &dyn Harness) {
    let store = open(harness);
    let (longest, wide) = ("x".repeat(255), "é".repeat(127));
    let ids = [
        "plan-001",
        "173688",
        " ",
        " a ",
        "a:b:c",
        "../../etc/passwd",
        "a\\b/c",
        "nul",
        "*",
        "\"'",
        "%00",
        "ﬁ",
        "e\u{301}",
        "é",
        "\u{feff}",
        "\u{202e}",
        "日本語",
        "🦀",
        "0",
        "-1",
        &longest,
        &wide,
    ];
    for id in ids {
        let stream = StreamId::new("Order", id).unwrap();
        store.append(&stream, ExpectedVersion::NoStream, vec![event(id)]).unwrap();
    }
    for id in ids {
        let stream = StreamId::new("Order", id).unwrap();
        let read = store.load_stream(&stream, ReadOptions::new()).unwrap();
        assert_eq!(read.version().get(), 1, "{id:?}");
        assert_eq!(read.events()[0].aggregate_id(), IdRef::Text(id));
        assert_eq!(read.events()[0].payload(), id.as_bytes());
        assert_eq!(stream.to_string().parse::<StreamId>().unwrap(), stream);
    }
}

pub(super) fn s2_the_longest_aggregate_type_is_taken_and_the_rules_hold(harness: &dyn Harness) {
    let store = open(harness);
    let longest = "T".repeat(128);
    for name in ["a", "A.b_c-9", "---", "0", longest.as_str()] {
        let stream = StreamId::new(name, "1").unwrap();
        store.append(&stream, ExpectedVersion::NoStream, events(["a"])).unwrap();
        let read = collected(store.read_category(name, ReadOptions::new()));
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].aggregate_type(), name);
    }
    for name in ["", "a b", "a:b", "é", "a\n", "a/b"] {
        assert!(matches!(StreamId::new(name, "1"), Err(Error::InvalidName { .. })), "{name:?}");
    }
    assert!(matches!(StreamId::new("T".repeat(129), "1"), Err(Error::Limit { actual: 129, .. })));
    for id in ["", "a\0", "a\nb", "\u{7f}", "\u{85}"] {
        assert!(matches!(AggregateId::new(id), Err(Error::InvalidName { .. })), "{id:?}");
    }
    assert!(matches!(AggregateId::new("x".repeat(256)), Err(Error::Limit { actual: 256, .. })));
}

pub(super) fn s3_versions_and_positions_count_from_one_without_gaps(harness: &dyn Harness) {
    let store = open(harness);
    assert_eq!((position(&store), version(&store, "a")), (0, 0));
    let mut counts = [0_u64; 3];
    for step in 0..60_u64 {
        let which = usize::try_from(step * step % 3).unwrap();
        let size = usize::try_from(step % 4).unwrap();
        let batch = (0..size).map(|_| event("x")).collect::<Vec<_>>();
        counts[which] += size as u64;
        let result = put(&store, ["a", "b", "c"][which], batch);
        assert_eq!(result.new_version.get(), counts[which]);
        assert_eq!(result.global_position.get(), counts.iter().sum::<u64>());
    }
    let read = all(&store);
    assert_eq!(numbers(&read), (1..=counts.iter().sum()).collect::<Vec<_>>());
    for (id, count) in ["a", "b", "c"].into_iter().zip(counts) {
        assert_eq!(versions(&store, id, ReadOptions::new()), (1..=count).collect::<Vec<_>>());
        assert_eq!(version(&store, id), count);
    }
}

pub(super) fn s3_a_refused_append_burns_no_number(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "a", events(["1"]));
    for _ in 0..5 {
        refused(&store, |store| {
            store.append(&stream("a"), ExpectedVersion::NoStream, events(["x", "y"]))
        });
    }
    assert_eq!(put(&store, "a", events(["2"])).new_version.get(), 2);
    assert_eq!(numbers(&all(&store)), (1..=7).collect::<Vec<_>>());
}

pub(super) fn s3_numbers_go_on_after_reopening(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "a", events(["1", "2"]));
    let Some(store) = harness.reopen(store, Clock::system(), Limits::default()) else {
        return skip("s3_numbers_go_on_after_reopening", "the backend is not durable");
    };
    let result = put(&store, "a", events(["3"]));
    assert_eq!((result.new_version.get(), result.global_position.get()), (3, 3));
}

pub(super) fn s4_a_claimed_version_that_is_right_is_taken(harness: &dyn Harness) {
    let store = open(harness);
    let batch = vec![event("1").claims_version(1), event("2"), event("3").claims_version(3)];
    put(&store, "a", batch.clone());
    assert!(put(&store, "a", batch).replayed);
    put(&store, "a", vec![event("4").claims_version(4)]);
    assert_eq!(version(&store, "a"), 4);
}

pub(super) fn s4_a_claimed_version_that_is_wrong_is_an_error(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "a", events(["1"]));
    for wrong in [0, 1, 3, u64::MAX] {
        let claiming = event("claims").claims_version(wrong);
        let id = claiming.event_id();
        let batch = vec![claiming, event("goes with it")];
        let error =
            refused(&store, |store| store.append(&stream("a"), ExpectedVersion::Any, batch));
        let Error::VersionMismatch { stream: named, event_id, claimed, assigned } = error else {
            panic!("not a mismatch: {error}");
        };
        assert_eq!((named, event_id), (stream("a"), id));
        assert_eq!((claimed.get(), assigned.get()), (wrong, 2));
        assert!(!store.event_exists(id).unwrap());
    }
}

pub(super) fn s4_a_conflict_is_reported_before_a_wrong_claim(harness: &dyn Harness) {
    let store = open(harness);
    let batch = vec![event("1").claims_version(9)];
    let exact = ExpectedVersion::exact(4);
    let error = refused(&store, |store| store.append(&stream("a"), exact, batch));
    assert!(matches!(error, Error::Conflict { .. }), "{error}");
}
