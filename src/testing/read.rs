//! Clauses R1 to R8: what reads give back, in which order, within which bounds.

use super::material::*;
use super::{Harness, skip};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::event::{NewEvent, RecordedEvent};
use crate::limits::Limits;
use crate::position::{GlobalPosition, StreamVersion};
use crate::store::{Direction, Events, ExpectedVersion, Filter, Query, QueryItem, ReadOptions};
use crate::stream::{StreamId, TenantId};
use crate::timestamp::Timestamp;

/// Ten events, odd positions in stream a, even ones in b.
fn ten(harness: &dyn Harness) -> Store {
    let store = open(harness);
    for number in 1..=10 {
        put(&store, ["b", "a"][number % 2], vec![event(&number.to_string())]);
    }
    store
}

pub(super) fn r1_a_read_does_not_see_what_is_appended_later(harness: &dyn Harness) {
    let store = ten(harness);
    let mut whole = store.read_all(ReadOptions::new()).unwrap();
    let mut backward = store.read_all(ReadOptions::new().backward()).unwrap();
    let of_stream = store.read_stream(&stream("a"), ReadOptions::new()).unwrap();
    let of_category = store.read_category("Order", ReadOptions::new()).unwrap();
    let absent = store.read_stream(&stream("new"), ReadOptions::new()).unwrap();
    assert_eq!(whole.next().unwrap().unwrap().global_position().get(), 1);
    assert_eq!(backward.next().unwrap().unwrap().global_position().get(), 10);
    for id in ["a", "b", "new"] {
        put(&store, id, events(["later"]));
    }
    assert_eq!((whole.count(), backward.count()), (9, 9));
    assert_eq!((of_stream.count(), of_category.count(), absent.count()), (5, 10, 0));
}

pub(super) fn r1_a_read_under_way_does_not_hold_up_appends(harness: &dyn Harness) {
    let store = ten(harness);
    let mut seen = 0_u64;
    for read in store.read_all(ReadOptions::new()).unwrap() {
        let (read, next) = (read.unwrap(), put(&store, "c", events(["x"])));
        seen += 1;
        assert_eq!(next.global_position.get(), 10 + seen);
        assert_eq!(read.global_position().get(), seen);
        assert_eq!(store.event(read.event_id()).unwrap(), Some(read));
    }
    assert_eq!((seen, position(&store)), (10, 20));
}

pub(super) fn r1_a_read_outlives_its_store_handle_and_moves_to_a_thread(harness: &dyn Harness) {
    let store = ten(harness);
    let read = store.read_all(ReadOptions::new()).unwrap();
    let read = std::thread::spawn(move || read.collect::<Result<Vec<_>>>()).join().unwrap();
    assert_eq!(numbers(&read.unwrap()), (1..=10).collect::<Vec<_>>());
}

/// The numbers from 1 to 5 within bounds, each of them optional.
fn within(from: Option<u64>, to: Option<u64>, after: Option<u64>, before: Option<u64>) -> Vec<u64> {
    let fits = |number: &u64| {
        from.is_none_or(|from| from <= *number)
            && to.is_none_or(|to| *number <= to)
            && after.is_none_or(|after| after < *number)
            && before.is_none_or(|before| *number < before)
    };
    (1..=5).filter(fits).collect()
}

macro_rules! holds_bounds {
    ($new:expr, $read:expr) => {
        let bounds = [None, Some(0), Some(1), Some(2), Some(4), Some(5), Some(6), Some(u64::MAX)];
        for from in bounds {
            for to in bounds {
                for (after, before) in [(None, None), (from, to), (to, from), (Some(1), Some(5))] {
                    for limit in [None, Some(0), Some(1), Some(2), Some(u64::MAX)] {
                        for direction in [Direction::Forward, Direction::Backward] {
                            let mut options = $new.direction(direction);
                            options = from.map_or(options.clone(), |from| options.from(from));
                            options = to.map_or(options.clone(), |to| options.to(to));
                            options = after.map_or(options.clone(), |after| options.after(after));
                            options = before.map_or(options.clone(), |end| options.before(end));
                            options = limit.map_or(options.clone(), |limit| options.limit(limit));
                            let mut expected = within(from, to, after, before);
                            if direction == Direction::Backward {
                                expected.reverse();
                            }
                            let most = limit.unwrap_or(u64::MAX).min(5);
                            expected.truncate(usize::try_from(most).unwrap());
                            let said = format!("{options:?}");
                            assert_eq!($read(options), expected, "{said}");
                        }
                    }
                }
            }
        }
    };
}

pub(super) fn r2_bounds_and_limit_of_a_stream_count_versions(harness: &dyn Harness) {
    let store = ten(harness);
    holds_bounds!(ReadOptions::<StreamVersion>::new(), |options| versions(&store, "b", options));
}

pub(super) fn r2_bounds_and_limit_of_the_whole_store_count_positions(harness: &dyn Harness) {
    let store = open(harness);
    for id in ["a", "b", "a", "c", "b"] {
        put(&store, id, events(["x"]));
    }
    holds_bounds!(ReadOptions::<GlobalPosition>::new(), |options| positions(&store, options));
    holds_bounds!(ReadOptions::<GlobalPosition>::new(), |options| numbers(&collected(
        store.read_category("Order", options)
    )));
}

pub(super) fn r2_the_limit_counts_what_passes_the_filter(harness: &dyn Harness) {
    let store = open(harness);
    for number in 1..=9 {
        let event_type = if number % 3 == 0 { "Third" } else { "Other" };
        put(&store, "a", vec![NewEvent::new(event_type, "x")]);
    }
    let third = || ReadOptions::new().filter(Filter::new().event_type("Third")).limit(2);
    assert_eq!(positions(&store, third()), [3, 6]);
    assert_eq!(positions(&store, third().backward()), [9, 6]);
    assert_eq!(positions(&store, third().before(9).backward()), [6, 3]);
    let third = ReadOptions::new().filter(Filter::new().event_type("Third")).limit(1).after(3);
    assert_eq!(versions(&store, "a", third), [6]);
}

pub(super) fn r2_pages_put_together_are_the_whole(harness: &dyn Harness) {
    let store = ten(harness);
    for size in 1..=4 {
        let (mut forward, mut backward) = (Vec::new(), Vec::new());
        // More pages than there are events, so that a store that repeats a page fails and not hangs.
        for _ in 0..12 {
            let last = forward.last().copied().unwrap_or(0);
            forward.extend(positions(&store, ReadOptions::new().after(last).limit(size)));
            let last = backward.last().copied().unwrap_or(u64::MAX);
            let page = ReadOptions::new().backward().before(last).limit(size);
            backward.extend(positions(&store, page));
        }
        assert_eq!(forward, (1..=10).collect::<Vec<_>>());
        assert_eq!(backward, (1..=10).rev().collect::<Vec<_>>());
    }
}

/// Holds every kind of read to giving the events at `expected` for a filter.
fn filtered(store: &Store, filter: Filter, expected: &[u64]) {
    let options = || ReadOptions::new().filter(filter.clone());
    assert_eq!(positions(store, options()), expected, "{filter:?}");
    let reversed: Vec<_> = expected.iter().rev().copied().collect();
    assert_eq!(positions(store, options().backward()), reversed, "{filter:?} backward");
    let everything = QueryItem::new().into();
    assert_eq!(numbers(&collected(store.read(&everything, options()))), expected, "{filter:?}");
    for name in ["Order", "Parcel"] {
        let kept = |event: &RecordedEvent| event.aggregate_type() == name;
        let whole = collected(store.read_all(options()));
        let own: Vec<_> = whole.iter().filter(|event| kept(event)).cloned().collect();
        assert_eq!(collected(store.read_category(name, options())), own, "{filter:?} in {name}");
        let stream = StreamId::new(name, "1").unwrap();
        let options = || ReadOptions::new().filter(filter.clone());
        assert_eq!(collected(store.read_stream(&stream, options())), own, "{filter:?} in {stream}");
        let loaded = store.load_stream(&stream, options()).unwrap();
        assert_eq!(loaded.events(), own);
        assert_eq!(loaded.version().get(), 3, "filters do not change the version");
    }
}

/// Six events in two streams, recorded at seconds 10, 20 to 60, that differ in everything.
fn six(harness: &dyn Harness) -> Store {
    let (clock, hand) = Clock::manual(at(0));
    let store = harness.open(clock, Limits::default());
    let tenant = |name: &str| TenantId::new(name).unwrap();
    let new = |event_type: &str| NewEvent::new(event_type, "x");
    let correlation = uuid::Uuid::from_u128;
    let six = [
        new("Opened").tag("x").tenant(tenant("acme")).occurred_at(at(60)),
        new("Opened").tag("x").tag("y").tenant(tenant("umbrella")).occurred_at(at(50)),
        new("Closed").tag("y").correlation_id(correlation(7)).occurred_at(at(40)),
        new("Closed").tenant(tenant("acme")).correlation_id(correlation(8)).occurred_at(at(30)),
        new("Sent").tag("xy").tenant(tenant("ACME")).occurred_at(at(20)),
        new("Sent").tag("x").correlation_id(correlation(7)).tenant(tenant("acme")),
    ];
    for (event, second) in six.into_iter().zip([10, 20, 30, 40, 50, 60]) {
        hand.set(at(second));
        let name = if second % 20 == 0 { "Parcel" } else { "Order" };
        let stream = StreamId::new(name, "1").unwrap();
        store.append(&stream, ExpectedVersion::Any, vec![event]).unwrap();
    }
    store
}

pub(super) fn r3_types_tags_and_categories_filter_every_kind_of_read(harness: &dyn Harness) {
    let store = six(harness);
    let filter = Filter::new;
    filtered(&store, filter(), &[1, 2, 3, 4, 5, 6]);
    filtered(&store, filter().event_type("Opened"), &[1, 2]);
    filtered(&store, filter().event_type("Opened").event_type("Sent"), &[1, 2, 5, 6]);
    filtered(&store, filter().event_type("opened"), &[]);
    filtered(&store, filter().tag("x"), &[1, 2, 6]);
    filtered(&store, filter().tag("x").tag("y"), &[2]);
    filtered(&store, filter().tag("xy"), &[5]);
    filtered(&store, filter().tag("z"), &[]);
    filtered(&store, filter().aggregate_type("Parcel"), &[2, 4, 6]);
    filtered(
        &store,
        filter().aggregate_type("Parcel").aggregate_type("Order"),
        &[1, 2, 3, 4, 5, 6],
    );
}

pub(super) fn r3_events_without_a_tenant_never_match_a_tenant_filter(harness: &dyn Harness) {
    let store = six(harness);
    let tenant = |name: &str| Filter::new().tenant(TenantId::new(name).unwrap());
    filtered(&store, tenant("acme"), &[1, 4, 6]);
    filtered(&store, tenant("ACME"), &[5]);
    filtered(&store, tenant("nobody"), &[]);
    filtered(&store, Filter::new().tenant(uuid::Uuid::nil()), &[]);
}

pub(super) fn r3_bounds_of_time_are_inclusive_instants(harness: &dyn Harness) {
    let store = six(harness);
    let filter = Filter::new;
    let micro = std::time::Duration::from_micros(1);
    filtered(&store, filter().recorded_from(at(30)), &[3, 4, 5, 6]);
    filtered(&store, filter().recorded_from(at(30).later_by(micro)), &[4, 5, 6]);
    filtered(&store, filter().recorded_to(at(30)), &[1, 2, 3]);
    filtered(&store, filter().recorded_to(at(30).earlier_by(micro)), &[1, 2]);
    filtered(&store, filter().recorded_from(at(20)).recorded_to(at(20)), &[2]);
    filtered(&store, filter().recorded_from(at(30)).recorded_to(at(20)), &[]);
    filtered(&store, filter().occurred_from(at(40)), &[1, 2, 3, 6]);
    filtered(&store, filter().occurred_to(at(40)), &[3, 4, 5]);
    filtered(&store, filter().occurred_from(at(30)).occurred_to(at(40)), &[3, 4]);
    filtered(&store, filter().occurred_to(at(20).earlier_by(micro)), &[]);
    let ever = filter().recorded_from(Timestamp::MIN).recorded_to(Timestamp::MAX);
    filtered(&store, ever.occurred_from(Timestamp::MIN), &[1, 2, 3, 4, 5, 6]);
}

pub(super) fn r3_filters_combine_with_and(harness: &dyn Harness) {
    let store = six(harness);
    let acme = || Filter::new().tenant(TenantId::new("acme").unwrap());
    let correlation = uuid::Uuid::from_u128;
    filtered(&store, Filter::new().correlation_id(correlation(7)), &[3, 6]);
    filtered(&store, Filter::new().correlation_id(correlation(9)), &[]);
    filtered(&store, acme().correlation_id(correlation(7)), &[6]);
    filtered(&store, acme().tag("x"), &[1, 6]);
    filtered(&store, acme().tag("x").event_type("Sent"), &[6]);
    filtered(&store, acme().tag("x").recorded_to(at(59)), &[1]);
    filtered(&store, acme().aggregate_type("Order").event_type("Sent"), &[]);
}

pub(super) fn r4_a_category_is_read_in_global_order(harness: &dyn Harness) {
    let store = open(harness);
    let mut expected = Vec::new();
    for number in 1..=30_u64 {
        let name = ["Order", "Parcel", "Ord"][usize::try_from(number * number % 3).unwrap()];
        let stream = StreamId::new(name, (number % 4).to_string()).unwrap();
        store.append(&stream, ExpectedVersion::Any, events(["x"])).unwrap();
        if name == "Parcel" {
            expected.push(number);
        }
    }
    let read = |options| numbers(&collected(store.read_category("Parcel", options)));
    assert_eq!(read(ReadOptions::new()), expected);
    expected.reverse();
    assert_eq!(read(ReadOptions::new().backward()), expected);
    assert_eq!(read(ReadOptions::new().backward().limit(3)), expected[..3]);
    assert!(collected(store.read_category("Absent", ReadOptions::new())).is_empty());
}

pub(super) fn r4_a_query_is_read_in_global_order_and_each_event_once(harness: &dyn Harness) {
    let store = six(harness);
    let read = |query: &Query, options| numbers(&collected(store.read(query, options)));
    let item = QueryItem::new;
    let either = Query::from(item().tag("x")).or(item().event_type("Opened").category("Parcel"));
    assert_eq!(read(&either, ReadOptions::new()), [1, 2, 6]);
    assert_eq!(read(&either, ReadOptions::new().backward().limit(2)), [6, 2]);
    let three =
        Query::from(item().event_type("Sent")).or(item().tag("y")).or(item().tag("x").tag("y"));
    assert_eq!(read(&three, ReadOptions::new()), [2, 3, 5, 6]);
    assert_eq!(read(&three, ReadOptions::new().after(3).to(5)), [5]);
    let closed = ReadOptions::new().filter(Filter::new().event_type("Closed"));
    assert_eq!(read(&three, closed), [3]);
    assert_eq!(read(&Query::none(), ReadOptions::new()), [0_u64; 0]);
    assert_eq!(read(&Query::all(), ReadOptions::new()), [1, 2, 3, 4, 5, 6]);
}

pub(super) fn r4_what_is_indexed_is_the_same_after_reopening(harness: &dyn Harness) {
    let store = six(harness);
    let query = Query::from(QueryItem::new().tag("x")).or(QueryItem::new().event_type("Closed"));
    let Some(store) = harness.reopen(store, Clock::system(), Limits::default()) else {
        let name = "r4_what_is_indexed_is_the_same_after_reopening";
        return skip(name, "the backend is not durable");
    };
    assert_eq!(numbers(&collected(store.read(&query, ReadOptions::new()))), [1, 2, 3, 4, 6]);
    filtered(&store, Filter::new().tenant(TenantId::new("acme").unwrap()), &[1, 4, 6]);
}

pub(super) fn r5_an_absent_stream_reads_as_empty(harness: &dyn Harness) {
    let store = ten(harness);
    let absent = StreamId::new("Parcel", "a").unwrap();
    assert_eq!(store.stream_version(&absent).unwrap().get(), 0);
    assert!(collected(store.read_stream(&absent, ReadOptions::new())).is_empty());
    assert!(collected(store.read_stream(&absent, ReadOptions::new().backward())).is_empty());
    let loaded = store.load_stream(&absent, ReadOptions::new()).unwrap();
    assert!(loaded.is_empty() && loaded.latest_event().is_none());
    assert_eq!((loaded.version().get(), loaded.stream()), (0, &absent));
    assert!(!store.event_exists(id_of(404)).unwrap());
    assert_eq!(store.event(id_of(404)).unwrap(), None);
}

pub(super) fn r5_the_version_of_a_loaded_stream_is_not_the_count(harness: &dyn Harness) {
    let store = ten(harness);
    let load = |options| store.load_stream(&stream("b"), options).unwrap();
    for (options, count, latest) in [
        (ReadOptions::new(), 5, Some(5)),
        (ReadOptions::new().to(2), 2, Some(2)),
        (ReadOptions::new().from(4), 2, Some(5)),
        (ReadOptions::new().from(2).to(3).backward(), 2, Some(3)),
        (ReadOptions::new().limit(1), 1, Some(1)),
        (ReadOptions::new().limit(0), 0, None),
        (ReadOptions::new().after(5), 0, None),
        (ReadOptions::new().filter(Filter::new().tag("absent")), 0, None),
    ] {
        let loaded = load(options);
        assert_eq!((loaded.version().get(), loaded.events().len()), (5, count));
        let newest = loaded.latest_event().map(|event| event.stream_version().get());
        assert_eq!(newest, latest);
    }
    assert_eq!(load(ReadOptions::new()).aggregate_id().to_string(), "b");
    assert_eq!(load(ReadOptions::new()).aggregate_type(), "Order");
}

pub(super) fn r6_a_read_that_is_dropped_early_costs_nothing_more(harness: &dyn Harness) {
    let store = ten(harness);
    let mut reads: Vec<_> = (0..100).map(|_| store.read_all(ReadOptions::new()).unwrap()).collect();
    for read in &mut reads {
        assert_eq!(read.next().unwrap().unwrap().global_position().get(), 1);
    }
    put(&store, "a", events(["x"]));
    drop(reads);
    let mut read = store.read_all(ReadOptions::new().limit(1)).unwrap();
    assert!(read.next().is_some());
    assert!(read.next().is_none() && read.next().is_none());
}

pub(super) fn r6_interleaved_reads_do_not_disturb_each_other(harness: &dyn Harness) {
    let store = ten(harness);
    let forward = store.read_all(ReadOptions::new()).unwrap();
    let backward = store.read_all(ReadOptions::new().backward()).unwrap();
    for (one, other) in forward.zip(backward) {
        let sum = one.unwrap().global_position().get() + other.unwrap().global_position().get();
        assert_eq!(sum, 11);
    }
}

pub(super) fn r6_events_that_are_lent_are_those_that_are_handed_out(harness: &dyn Harness) {
    let store = ten(harness);
    put(&store, "c", (11..=19).map(|number| event(&"long ".repeat(number * number))).collect());
    put(&store, "a", events(["20", "21"]));
    let options = ReadOptions::<GlobalPosition>::new;
    let passing = || options().filter(Filter::new().occurred_from(at(0)).recorded_from(at(0)));
    let reads: [&dyn Fn() -> Events; 6] = [
        &|| store.read_all(options()).unwrap(),
        &|| store.read_all(options().backward()).unwrap(),
        &|| store.read_all(options().after(3).limit(11)).unwrap(),
        &|| store.read_all(passing().limit(14)).unwrap(),
        &|| store.read_stream(&stream("c"), ReadOptions::new()).unwrap(),
        &|| store.read_category("Order", options()).unwrap(),
    ];
    for read in reads {
        let kept: Vec<_> = read().collect::<Result<_>>().unwrap();
        assert!(kept.len() > 8, "the read is worth comparing");
        for lent_of_three in 1..=3 {
            let mut events = read();
            let mut seen = Vec::new();
            for number in 0.. {
                let next = match number % 3 < lent_of_three {
                    true => events.advance().unwrap().cloned(),
                    false => events.next().transpose().unwrap(),
                };
                let Some(event) = next else { break };
                assert_eq!(event.payload_bytes(), event.payload());
                seen.push(event);
            }
            assert_eq!(seen, kept, "{lent_of_three} of three are lent");
            assert!(events.advance().unwrap().is_none() && events.next().is_none());
        }
    }
}

pub(super) fn r7_the_store_is_shown_as_it_was_at_a_time(harness: &dyn Harness) {
    let (clock, hand) = Clock::manual(at(0));
    let store = harness.open(clock, Limits::default());
    for number in 0..40_u64 {
        hand.set(at(if number % 10 == 9 { 0 } else { number / 4 * 10 }));
        put(&store, &format!("s{}", number % 3), events(["x"]));
    }
    let times: Vec<_> = all(&store).iter().map(RecordedEvent::recorded_at).collect();
    for seconds in (0..=100).step_by(5) {
        let until = |time: &&Timestamp| **time <= at(seconds);
        let count = times.iter().filter(until).count() as u64;
        let as_of = ReadOptions::new().filter(Filter::new().as_of(at(seconds)));
        assert_eq!(positions(&store, as_of.clone()), (1..=count).collect::<Vec<_>>());
        let newest = positions(&store, as_of.backward().limit(1));
        assert_eq!(newest, Vec::from_iter((count > 0).then_some(count)));
        let before = times.iter().filter(|time| **time < at(seconds)).count() as u64;
        let since = ReadOptions::new().filter(Filter::new().recorded_from(at(seconds)));
        assert_eq!(positions(&store, since), (before + 1..=40).collect::<Vec<_>>());
    }
}

pub(super) fn r8_a_damaged_event_is_an_error_at_its_place(harness: &dyn Harness) {
    let store = open(harness);
    for number in 1..=9 {
        let payload = format!("payload number {number} of this store");
        put(&store, ["a", "b", "c"][number % 3], vec![event(&payload)]);
    }
    let Some(store) = harness.damage(store, GlobalPosition::new(5)) else {
        let name = "r8_a_damaged_event_is_an_error_at_its_place";
        return skip(name, "the harness can not damage an event");
    };
    let mut read = store.read_all(ReadOptions::new()).unwrap();
    for expected in 1..=4 {
        assert_eq!(read.next().unwrap().unwrap().global_position().get(), expected);
    }
    let Some(Err(Error::Damage(damage))) = read.next() else { panic!("the damage was not seen") };
    assert!(damage.file.is_file() && damage.offset > 0, "{damage}");
    assert_eq!(damage.first_lost, Some(GlobalPosition::new(5)));
    assert!(read.next().is_none(), "after an error a read ends");
    let mut lent = store.read_all(ReadOptions::new()).unwrap();
    for expected in 1..=4 {
        assert_eq!(lent.advance().unwrap().unwrap().global_position().get(), expected);
    }
    assert!(matches!(lent.advance(), Err(Error::Damage(found)) if found == damage));
    assert!(lent.advance().unwrap().is_none(), "after an error a read ends");
    assert_eq!(positions(&store, ReadOptions::new().after(5)), [6, 7, 8, 9]);
    assert_eq!(positions(&store, ReadOptions::new().before(5)), [1, 2, 3, 4]);
}

pub(super) fn r8_an_answer_that_may_depend_on_damage_is_that_error(harness: &dyn Harness) {
    let store = open(harness);
    for number in 1..=9 {
        let payload = format!("payload number {number} of this store");
        put(&store, ["a", "b", "c"][number % 3], vec![event(&payload)]);
    }
    let all: Vec<_> = store.read_all(ReadOptions::new()).unwrap().map(Result::unwrap).collect();
    let Some(store) = harness.damage(store, GlobalPosition::new(9)) else {
        let name = "r8_an_answer_that_may_depend_on_damage_is_that_error";
        return skip(name, "the harness can not damage an event");
    };
    let is_damage = |error: &Error| matches!(error, Error::Damage(_));
    let lost = all.last().unwrap();
    let mut read = store.read_stream(&stream("a"), ReadOptions::new()).unwrap();
    for expected in 1..=2 {
        assert_eq!(read.next().unwrap().unwrap().stream_version().get(), expected);
    }
    assert!(is_damage(&read.next().unwrap().unwrap_err()));
    let backward = store.read_stream(&stream("a"), ReadOptions::new().backward());
    let first = backward.and_then(|mut backward| backward.next().unwrap());
    assert!(is_damage(&first.unwrap_err()));
    assert!(is_damage(&store.load_stream(&stream("a"), ReadOptions::new()).unwrap_err()));
    assert!(is_damage(&store.event(lost.event_id()).unwrap_err()));
    assert!(!matches!(store.event_exists(lost.event_id()), Ok(false)));
    // A store may know whose event is lost, and then what the others have.
    for (id, version) in [("a", 3), ("b", 3), ("c", 3)] {
        match store.stream_version(&stream(id)) {
            Ok(found) => assert_eq!(found.get(), version),
            Err(error) => assert!(is_damage(&error), "{error:?}"),
        }
        let to = ReadOptions::new().to(2);
        assert_eq!(store.read_stream(&stream(id), to).unwrap().map(Result::unwrap).count(), 2);
    }
    let mut read = store.read_category("Order", ReadOptions::new().from(8)).unwrap();
    assert_eq!(read.next().unwrap().unwrap(), all[7]);
    assert!(is_damage(&read.next().unwrap().unwrap_err()));
    for found in &all[..8] {
        assert_eq!(store.event(found.event_id()).unwrap().as_ref(), Some(found));
    }
}
