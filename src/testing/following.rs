//! Clauses F1 to F3 and F5: what a subscription delivers, what it costs those who append, and that it
//! notices another history.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::material::*;
use super::{Harness, skip};
use crate::clock::Clock;
use crate::error::Error;
use crate::event::RecordedEvent;
use crate::limits::Limits;
use crate::position::GlobalPosition;
use crate::store::{Filter, Query, QueryItem, Watch, Watcher};
use crate::subscription::{Delivery, Start, Subscription};

type Following<'a> = Subscription<&'a Store>;

fn follow(store: &Store, start: Start) -> Following<'_> {
    Subscription::new(store, start).unwrap()
}

/// Longer than any store takes for one event.
const LONG: Duration = Duration::from_secs(10);

/// Waits for the next event, and not for ever.
fn arriving(subscription: &mut Following<'_>) -> RecordedEvent {
    match subscription.next_within(LONG).unwrap() {
        Delivery::Event(event) => event,
        other => panic!("no event came: {other:?}"),
    }
}

/// Takes what is there now.
fn at_hand(subscription: &mut Following<'_>) -> Vec<RecordedEvent> {
    let next = || match subscription.next_within(Duration::ZERO).unwrap() {
        Delivery::Event(event) => Some(event),
        Delivery::Nothing | Delivery::Ended => None,
    };
    std::iter::from_fn(next).collect()
}

pub(super) fn f1_every_event_is_delivered_once_and_in_order_while_threads_append(
    harness: &dyn Harness,
) {
    const WRITERS: u64 = 4;
    const EACH: u64 = 60;
    let store = &open(harness);
    put(store, "before", events(["a", "b"]));
    let total = usize::try_from(2 + WRITERS * EACH).unwrap();
    let delivered: Vec<_> = thread::scope(|scope| {
        let follower = scope.spawn(move || {
            let mut subscription = follow(store, Start::Beginning);
            (0..total).map(|_| arriving(&mut subscription)).collect()
        });
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for number in 0..EACH / 2 {
                    put(store, &format!("{writer} {number}"), events(["one", "two"]));
                }
            });
        }
        follower.join().unwrap()
    });
    assert_eq!(numbers(&delivered), (1..=2 + WRITERS * EACH).collect::<Vec<_>>());
    assert_eq!(delivered, all(store));
}

pub(super) fn f1_a_subscription_begins_where_it_is_told(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "a", events(["1", "2", "3"]));
    let mut from_beginning = follow(&store, Start::Beginning);
    let mut from_end = follow(&store, Start::End);
    let mut from_second = follow(&store, Start::After(GlobalPosition::new(2)));
    assert_eq!(from_end.reached().get(), 3);
    put(&store, "a", events(["4"]));
    assert_eq!(numbers(&at_hand(&mut from_beginning)), [1, 2, 3, 4]);
    assert_eq!(numbers(&at_hand(&mut from_end)), [4]);
    assert_eq!(numbers(&at_hand(&mut from_second)), [3, 4]);
    assert_eq!(from_second.reached().get(), 4);
}

pub(super) fn f1_a_subscription_goes_on_after_reopening(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "a", events(["1", "2", "3"]));
    let mut subscription = follow(&store, Start::Beginning);
    let first = subscription.next().unwrap().unwrap();
    let reached = subscription.reached();
    assert_eq!(first.global_position(), reached);
    drop(subscription);
    let Some(store) = harness.reopen(store, Clock::system(), Limits::default()) else {
        return skip("F1 after reopening", "the backend is not durable");
    };
    put(&store, "a", events(["4"]));
    assert_eq!(numbers(&at_hand(&mut follow(&store, Start::After(reached)))), [2, 3, 4]);
}

pub(super) fn f1_a_watcher_is_called_for_the_next_event_and_not_before(harness: &dyn Harness) {
    let store = open(harness);
    let (sender, called) = mpsc::channel();
    let watcher = Watcher::new(move || _ = sender.send(()));
    let watch = |position: u64| store.watch(GlobalPosition::new(position), &watcher).unwrap();
    if watch(0) == Watch::Unwatched {
        let name = "f1_a_watcher_is_called_for_the_next_event_and_not_before";
        return skip(name, "the backend calls nobody");
    }
    for newest in 1..=3 {
        assert!(called.try_recv().is_err(), "called before event {newest}");
        put(&store, "a", events(["x"]));
        called.recv_timeout(LONG).unwrap_or_else(|_| panic!("not called for event {newest}"));
        for behind in 0..newest {
            assert_eq!(watch(behind), Watch::Beyond, "event {newest} is beyond {behind}");
        }
        assert_eq!(watch(newest), Watch::Waiting, "nothing is beyond {newest}");
    }
}

pub(super) fn f1_waiting_ends_with_the_next_event_and_not_before(harness: &dyn Harness) {
    let store = &open(harness);
    let mut subscription = follow(store, Start::Beginning);
    assert_eq!(subscription.next_within(Duration::from_millis(1)).unwrap(), Delivery::Nothing);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| [arriving(&mut subscription), arriving(&mut subscription)]);
        put(store, "a", events(["1"]));
        put(store, "a", events(["2"]));
        assert_eq!(numbers(&waiting.join().unwrap()), [1, 2]);
    });
    subscription.stop_handle().stop();
    assert!(subscription.next().is_none());
    put(store, "a", events(["3"]));
    assert_eq!(numbers(&at_hand(&mut subscription)), [3]);
}

pub(super) fn f1_a_start_behind_the_end_is_refused(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "a", events(["1"]));
    let refused = Subscription::new(&store, Start::After(GlobalPosition::new(2)));
    assert!(matches!(refused, Err(Error::BeyondEnd { .. })), "{refused:?}");
    assert!(at_hand(&mut follow(&store, Start::After(GlobalPosition::new(1)))).is_empty());
}

pub(super) fn f2_what_is_filtered_out_moves_the_position(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "a", events(["1", "2"]));
    let nothing = Filter::new().event_type("Unheard");
    let mut filtered = follow(&store, Start::Beginning).passing(nothing).unwrap();
    let mut silent = follow(&store, Start::Beginning).matching(Query::none()).unwrap();
    for reached in [2, 3] {
        assert!(at_hand(&mut filtered).is_empty() && at_hand(&mut silent).is_empty());
        assert_eq!((filtered.reached().get(), silent.reached().get()), (reached, reached));
        put(&store, "b", events(["more"]));
    }
}

pub(super) fn f2_queries_and_filters_combine(harness: &dyn Harness) {
    let store = open(harness);
    for (id, event_type, tag) in
        [("a", "Paid", "x"), ("b", "Paid", "y"), ("c", "Sent", "x"), ("d", "Paid", "x")]
    {
        let event = crate::event::NewEvent::new(event_type, "").tag(tag);
        put(&store, id, vec![event]);
    }
    let paid = Query::from(QueryItem::new().event_type("Paid"));
    let mut subscription = follow(&store, Start::Beginning).matching(paid).unwrap();
    assert_eq!(numbers(&at_hand(&mut subscription)), [1, 2, 4]);
    let paid = Query::from(QueryItem::new().event_type("Paid"));
    let mut subscription = follow(&store, Start::After(GlobalPosition::FIRST))
        .matching(paid)
        .unwrap()
        .passing(Filter::new().tag("x"))
        .unwrap();
    assert_eq!(numbers(&at_hand(&mut subscription)), [4]);
}

pub(super) fn f3_a_subscriber_that_never_asks_holds_up_no_append(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "a", events(["1", "2"]));
    let mut slow = follow(&store, Start::Beginning);
    assert_eq!(slow.next().unwrap().unwrap().global_position().get(), 1);
    for number in 0..50 {
        put(&store, &number.to_string(), events(["more"]));
    }
    assert_eq!(position(&store), 52);
    assert_eq!(numbers(&at_hand(&mut slow)), (2..=52).collect::<Vec<_>>());
}

pub(super) fn f3_subscriptions_do_not_disturb_each_other(harness: &dyn Harness) {
    let store = &open(harness);
    let delivered: Vec<Vec<_>> = thread::scope(|scope| {
        let followers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(move || {
                    let mut own = follow(store, Start::Beginning);
                    (0..40).map(|_| arriving(&mut own)).collect()
                })
            })
            .collect();
        for _ in 0..40 {
            put(store, "a", events(["one"]));
        }
        followers.into_iter().map(|follower| follower.join().unwrap()).collect()
    });
    for events in delivered {
        assert_eq!(numbers(&events), (1..=40).collect::<Vec<_>>());
    }
}

pub(super) fn f5_the_id_at_a_position_is_that_of_its_event(harness: &dyn Harness) {
    let store = open(harness);
    let id_at = |store: &Store, position: u64| store.event_id_at(position.into()).unwrap();
    assert_eq!([0, 1, u64::MAX].map(|position| id_at(&store, position)), [None; 3]);
    put(&store, "a", events(["1", "2"]));
    put(&store, "b", events(["3"]));
    let recorded = all(&store);
    for event in &recorded {
        assert_eq!(id_at(&store, event.global_position().get()), Some(event.event_id()));
    }
    assert_eq!([0, 4, u64::MAX].map(|position| id_at(&store, position)), [None; 3]);
    let Some(store) = harness.reopen(store, Clock::system(), Limits::default()) else {
        return skip("F5 after reopening", "the backend is not durable");
    };
    for event in &recorded {
        assert_eq!(id_at(&store, event.global_position().get()), Some(event.event_id()));
    }
}

pub(super) fn f5_a_subscription_begins_after_an_event_that_is_there(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "a", events(["1", "2", "3"]));
    let mut subscription = follow(&store, Start::Beginning);
    let mut kept = Vec::new();
    while let Delivery::Event(event) = subscription.next_within(Duration::ZERO).unwrap() {
        let (position, event_id) = (event.global_position(), event.event_id());
        assert_eq!(subscription.resume_point().unwrap(), Start::AfterEvent { position, event_id });
        kept.push(subscription.resume_point().unwrap());
    }
    put(&store, "a", events(["4"]));
    for (behind, start) in (2..).zip(kept) {
        assert_eq!(numbers(&at_hand(&mut follow(&store, start))), (behind..=4).collect::<Vec<_>>());
    }
    let nowhere = Start::AfterEvent { position: GlobalPosition::ZERO, event_id: id_of(1) };
    assert_eq!(at_hand(&mut follow(&store, nowhere)).len(), 4);
}

pub(super) fn f5_another_history_is_refused(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "a", events(["1", "2", "3"]));
    let ids: Vec<_> = all(&store).iter().map(RecordedEvent::event_id).collect();
    let refused = |position: u64, kept, found| {
        let position = GlobalPosition::new(position);
        let start = Start::AfterEvent { position, event_id: kept };
        match Subscription::new(&store, start).err() {
            Some(Error::HistoryChanged { position: at, kept: own, found: other }) => {
                assert_eq!((at, own, other), (position, kept, found));
            }
            other => panic!("another history is not told: {other:?}"),
        }
    };
    refused(2, id_of(404), Some(ids[1]));
    refused(2, ids[2], Some(ids[1]));
    refused(3, ids[1], Some(ids[2]));
    refused(4, ids[2], None);
    refused(u64::MAX, ids[2], None);
}

pub(super) fn f5_what_was_filtered_out_is_compared_too(harness: &dyn Harness) {
    let store = open(harness);
    put(&store, "a", events(["1", "2"]));
    let nothing = Filter::new().event_type("Unheard");
    let mut silent = follow(&store, Start::Beginning).passing(nothing).unwrap();
    assert!(at_hand(&mut silent).is_empty());
    let (position, event_id) = (GlobalPosition::new(2), all(&store)[1].event_id());
    assert_eq!(silent.resume_point().unwrap(), Start::AfterEvent { position, event_id });
    let at_end = follow(&store, Start::End);
    assert_eq!(at_end.resume_point().unwrap(), Start::AfterEvent { position, event_id });
}
