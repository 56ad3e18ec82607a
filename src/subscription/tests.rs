//! A subscription delivers what is durable once and in order, waits where it has to, and ends when it is
//! told to. Any store will do, and here it is one of a few lines, made to behave as a test needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::{Checkpoint, Delivery, STEP_POSITIONS, Start, StopHandle, Subscription};
use crate::error::{Damage, Error, Result};
use crate::event::{EventId, NewEvent, RecordedEvent};
use crate::position::{GlobalPosition, StreamVersion};
use crate::record::{Record, RecordKind, Unusable};
use crate::store::{
    Claim, Claims, Commit, CommitResult, EventStore, Events, Filter, GlobalRead, Query,
    RecordStore, StreamRead, Watch, Watcher,
};
use crate::stream::StreamId;
use crate::timestamp::Timestamp;

/// A store that has as many events as it is told, all alike but for their type: every thousandth is
/// `Rare`, the others are `Usual`.
#[derive(Default)]
struct Counted {
    events: Arc<AtomicU64>,
    /// How often it was asked to read.
    reads: AtomicU64,
    /// What the ids of its events begin with.
    history: AtomicU64,
    /// The position whose event can not be read.
    damaged: AtomicU64,
    watcher: Mutex<Option<Watcher>>,
    is_closed: Mutex<bool>,
    has_watch: bool,
    /// How often it was asked to watch without being able to.
    asked: AtomicU64,
    record: Mutex<Option<Record>>,
    /// Is stopped by the second call of `read`.
    stopped_by_reading: Mutex<Option<StopHandle>>,
}

fn id(history: u64, position: u64) -> EventId {
    EventId::from_uuid(uuid::Uuid::from_u64_pair(history, position))
}

fn event(history: u64, position: u64) -> RecordedEvent {
    let event_type = if position.is_multiple_of(1000) { "Rare" } else { "Usual" };
    let new = NewEvent::new(event_type, "").id(id(history, position));
    let (position, version) = (GlobalPosition::new(position), StreamVersion::new(position));
    let stream = StreamId::new("Test", "one").unwrap();
    RecordedEvent::from_new(&new, &stream, version, position, Timestamp::MIN).unwrap()
}

impl Counted {
    fn of(events: u64) -> Self {
        let counted = Self { has_watch: true, ..Self::default() };
        counted.events.store(events, Ordering::SeqCst);
        counted
    }

    fn add(&self, events: u64) {
        self.events.fetch_add(events, Ordering::SeqCst);
        if let Some(watcher) = self.watcher.lock().take() {
            watcher.call();
        }
    }
}

impl EventStore for Counted {
    fn commit(&self, _: Commit) -> Result<CommitResult> {
        Err(Error::ReadOnly)
    }

    fn read_stream(&self, _: &StreamId, _: StreamRead) -> Result<Events> {
        Ok(Events::empty())
    }

    fn read(&self, query: &Query, options: GlobalRead) -> Result<Events> {
        if self.reads.fetch_add(1, Ordering::SeqCst) == 1
            && let Some(stop) = &*self.stopped_by_reading.lock()
        {
            stop.stop();
        }
        let newest = self.global_position()?;
        let Some((first, last)) = options.range(newest) else { return Ok(Events::empty()) };
        let (query, filter) = (query.clone(), options.passing().clone());
        let damaged = self.damaged.load(Ordering::SeqCst);
        let history = self.history.load(Ordering::SeqCst);
        let events = (first.get()..=last.get()).map(move |position| match position == damaged {
            true => Err(damage()),
            false => Ok(event(history, position)),
        });
        let passes = move |event: &Result<RecordedEvent>| {
            event.as_ref().map_or(true, |event| query.matches(event) && filter.matches(event))
        };
        Ok(Events::new(events.filter(passes)))
    }

    fn stream_version(&self, _: &StreamId) -> Result<StreamVersion> {
        Ok(StreamVersion::ZERO)
    }

    fn event(&self, _: EventId) -> Result<Option<RecordedEvent>> {
        Ok(None)
    }

    fn global_position(&self) -> Result<GlobalPosition> {
        Ok(GlobalPosition::new(self.events.load(Ordering::SeqCst)))
    }

    fn watch(&self, position: GlobalPosition, watcher: &Watcher) -> Result<Watch> {
        if !self.has_watch {
            self.asked.fetch_add(1, Ordering::SeqCst);
            return Ok(Watch::Unwatched);
        }
        *self.watcher.lock() = Some(watcher.clone());
        match self.global_position()? > position {
            true => Ok(Watch::Beyond),
            false if *self.is_closed.lock() => Err(Error::Closed),
            false => Ok(Watch::Waiting),
        }
    }
}

impl RecordStore for Counted {
    fn write_record(&self, _: RecordKind, _: &str, content: &[u8]) -> Result<()> {
        *self.record.lock() = Some(Record::Found(content.to_vec().into()));
        Ok(())
    }

    fn read_record(&self, _: RecordKind, _: &str) -> Result<Record> {
        Ok(self.record.lock().clone().unwrap_or(Record::Absent))
    }

    fn remove_record(&self, _: RecordKind, _: &str) -> Result<()> {
        *self.record.lock() = None;
        Ok(())
    }

    fn claim(&self, kind: RecordKind, name: &str) -> Result<Claim> {
        Claims::default().claim(kind, name)
    }
}

fn damage() -> Error {
    let reason = "rot".to_owned();
    let file = "log".into();
    Damage { file, offset: 0, reason, first_lost: None, first_good_after: None }.into()
}

/// Takes what is there now, and returns the positions.
fn at_hand(subscription: &mut Subscription<&Counted>) -> Vec<u64> {
    let mut positions = Vec::new();
    while let Delivery::Event(event) = subscription.next_within(Duration::ZERO).unwrap() {
        positions.push(event.global_position().get());
        assert_eq!(subscription.reached(), event.global_position());
    }
    positions
}

#[test]
fn everything_behind_the_start_is_delivered_once_and_in_order() {
    let store = Counted::of(10);
    let after = |position| Start::After(GlobalPosition::new(position));
    let starts = [(Start::Beginning, 1), (after(0), 1), (after(4), 5), (Start::End, 11)];
    for (start, first) in starts {
        let mut subscription = Subscription::new(&store, start).unwrap();
        assert_eq!(at_hand(&mut subscription), (first..=10).collect::<Vec<_>>(), "{start:?}");
    }
    let mut subscription = Subscription::new(&store, Start::End).unwrap();
    store.add(2);
    assert_eq!(at_hand(&mut subscription), [11, 12]);
    store.add(1);
    assert_eq!(at_hand(&mut subscription), [13]);
    assert!(at_hand(&mut subscription).is_empty());
}

#[test]
fn a_start_behind_the_end_of_the_log_is_refused() {
    let store = Counted::of(10);
    assert!(Subscription::new(&store, Start::After(GlobalPosition::new(10))).is_ok());
    let refused = Subscription::new(&store, Start::After(GlobalPosition::new(11))).err();
    let Some(Error::BeyondEnd { position, end }) = refused else { panic!("{refused:?}") };
    assert_eq!((position.get(), end.get()), (11, 10));
}

#[test]
fn what_is_filtered_out_moves_the_position() {
    let store = Counted::of(2500);
    let rare = Filter::new().event_type("Rare");
    let none = Query::none();
    let mut filtered = Subscription::new(&store, Start::Beginning).unwrap().passing(rare).unwrap();
    assert_eq!(at_hand(&mut filtered), [1000, 2000]);
    assert_eq!(filtered.reached().get(), 2500);
    let mut silent = Subscription::new(&store, Start::Beginning).unwrap().matching(none).unwrap();
    assert!(at_hand(&mut silent).is_empty());
    assert_eq!(silent.reached().get(), 2500);
    store.add(500);
    assert_eq!((at_hand(&mut filtered), at_hand(&mut silent)), (vec![3000], vec![]));
    assert_eq!((filtered.reached().get(), silent.reached().get()), (3000, 3000));
}

#[test]
fn a_name_that_no_event_can_have_is_refused() {
    let store = Counted::of(0);
    let subscription = || Subscription::new(&store, Start::Beginning).unwrap();
    assert!(matches!(
        subscription().matching(Query::category("a b")),
        Err(Error::InvalidName { .. })
    ));
    let filter = Filter::new().aggregate_type("a b");
    assert!(matches!(subscription().passing(filter), Err(Error::InvalidName { .. })));
}

#[test]
fn catching_up_reads_in_large_steps() {
    let store = Counted::of(3 * STEP_POSITIONS + 1);
    let rare = Filter::new().event_type("Rare");
    let mut subscription =
        Subscription::new(&store, Start::Beginning).unwrap().passing(rare).unwrap();
    assert_eq!(at_hand(&mut subscription).len(), 196);
    assert_eq!(store.reads.load(Ordering::SeqCst), 4);
}

#[test]
fn a_stop_is_noticed_between_two_steps_that_deliver_nothing() {
    let store = Counted::of(3 * STEP_POSITIONS);
    let none = Query::none();
    let mut subscription =
        Subscription::new(&store, Start::Beginning).unwrap().matching(none).unwrap();
    *store.stopped_by_reading.lock() = Some(subscription.stop_handle());
    assert_eq!(subscription.next_within(Duration::ZERO).unwrap(), Delivery::Ended);
    assert_eq!(subscription.reached().get(), STEP_POSITIONS);
}

#[test]
fn a_stop_counts_though_there_are_events() {
    let store = Counted::of(3);
    let mut subscription = Subscription::new(&store, Start::Beginning).unwrap();
    assert!(matches!(subscription.next_within(Duration::ZERO).unwrap(), Delivery::Event(_)));
    subscription.stop_handle().stop();
    assert_eq!(subscription.next_within(Duration::ZERO).unwrap(), Delivery::Ended);
    assert_eq!(at_hand(&mut subscription), [2, 3]);
}

#[test]
fn waiting_ends_with_the_next_event() {
    let store = Counted::of(0);
    let mut subscription = Subscription::new(&store, Start::Beginning).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| subscription.next().unwrap().unwrap().global_position());
        while store.watcher.lock().is_none() {
            thread::yield_now();
        }
        store.add(1);
        assert_eq!(waiting.join().unwrap().get(), 1);
    });
}

#[test]
fn waiting_ends_when_it_is_stopped_and_goes_on_when_asked_again() {
    let store = Counted::of(1);
    let mut subscription = Subscription::new(&store, Start::End).unwrap();
    let stop = subscription.stop_handle();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| subscription.next().is_none());
        stop.stop();
        assert!(waiting.join().unwrap());
    });
    store.add(1);
    assert_eq!(subscription.next().unwrap().unwrap().global_position().get(), 2);
    stop.stop();
    assert!(subscription.next().is_none(), "a stop that comes before the question counts");
}

#[test]
fn waiting_ends_when_the_time_is_over() {
    let store = Counted::of(0);
    let mut subscription = Subscription::new(&store, Start::Beginning).unwrap();
    let delivery = subscription.next_within(Duration::from_micros(1)).unwrap();
    assert_eq!(delivery, Delivery::Nothing);
    let delivery = subscription.next_within(Duration::ZERO).unwrap();
    assert_eq!(delivery, Delivery::Nothing);
}

#[test]
fn closing_the_store_ends_a_subscription_behind_its_last_event() {
    let store = Counted::of(2);
    *store.is_closed.lock() = true;
    let subscription = Subscription::new(&store, Start::Beginning).unwrap();
    assert_eq!(subscription.map(|event| event.unwrap().global_position().get()).sum::<u64>(), 3);
}

#[test]
fn a_store_that_calls_nobody_is_asked_again() {
    let store = Counted { has_watch: false, ..Counted::of(0) };
    let mut subscription = Subscription::new(&store, Start::Beginning).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| subscription.next().unwrap().unwrap().global_position());
        while store.asked.load(Ordering::SeqCst) == 0 {
            thread::yield_now();
        }
        store.add(1);
        assert_eq!(waiting.join().unwrap().get(), 1);
    });
}

#[test]
fn damage_is_an_error_at_its_place_and_moves_nothing() {
    let store = Counted::of(5);
    store.damaged.store(3, Ordering::SeqCst);
    let mut subscription = Subscription::new(&store, Start::Beginning).unwrap();
    let delivered: Vec<_> = subscription.by_ref().map(|event| event.map(drop)).collect();
    assert_eq!(delivered.len(), 3);
    assert!(matches!(delivered[2], Err(Error::Damage(_))));
    assert_eq!(subscription.reached().get(), 2);
    assert!(matches!(subscription.next_within(Duration::ZERO), Err(Error::Damage(_))));
    store.damaged.store(0, Ordering::SeqCst);
    assert_eq!(at_hand(&mut subscription), [3, 4, 5]);
}

#[test]
fn a_checkpoint_is_where_the_next_subscription_begins() {
    let store = Counted::of(5);
    let mut checkpoint = Checkpoint::load(&store, "mailer").unwrap();
    assert_eq!(checkpoint.start(), Start::Beginning);
    checkpoint.save(GlobalPosition::new(3)).unwrap();
    let checkpoint = Checkpoint::load(&store, "mailer").unwrap();
    let mut subscription = Subscription::new(&store, checkpoint.start()).unwrap();
    assert_eq!(at_hand(&mut subscription), [4, 5]);
    checkpoint.remove().unwrap();
    assert_eq!(Checkpoint::load(&store, "mailer").unwrap().position(), GlobalPosition::ZERO);
}

#[test]
fn a_checkpoint_that_can_not_be_used_is_not_taken_for_none() {
    let store = Counted::of(5);
    for reason in [Unusable::Damaged, Unusable::Cut, Unusable::Foreign, Unusable::Newer] {
        *store.record.lock() = Some(Record::Unusable(reason));
        let refused = Checkpoint::load(&store, "mailer").err();
        let is_it = matches!(
            &refused,
            Some(Error::RecordUnusable { kind: RecordKind::Checkpoint, name, reason: own })
                if name == "mailer" && *own == reason
        );
        assert!(is_it, "{refused:?}");
    }
    for content in [&[251][..], &[], &[3, 2], &[3, 1], &[3, 1, 7, 0]] {
        *store.record.lock() = Some(Record::Found(content.to_vec().into()));
        let refused = Checkpoint::load(&store, "mailer");
        assert!(matches!(refused, Err(Error::Payload(_))), "{content:?}: {refused:?}");
    }
}

#[test]
fn a_start_after_an_event_is_taken_only_where_that_event_is() {
    let store = Counted::of(10);
    let after = |position, event_id| Start::AfterEvent { position, event_id };
    let mut subscription = Subscription::new(&store, after(4.into(), id(0, 4))).unwrap();
    assert_eq!(subscription.resume_point().unwrap(), after(4.into(), id(0, 4)));
    assert_eq!(at_hand(&mut subscription), (5..=10).collect::<Vec<_>>());
    let refused = |position: u64, history, found| {
        let kept = id(history, position);
        match Subscription::new(&store, after(position.into(), kept)).err() {
            Some(Error::HistoryChanged { position: at, kept: own, found: other }) => {
                assert_eq!((at, own, other), (position.into(), kept, found));
            }
            other => panic!("not refused: {other:?}"),
        }
    };
    refused(4, 1, Some(id(0, 4)));
    refused(10, 1, Some(id(0, 10)));
    refused(11, 0, None);
    refused(u64::MAX, 0, None);
    let mut from_beginning = Subscription::new(&store, after(0.into(), id(9, 9))).unwrap();
    assert_eq!(at_hand(&mut from_beginning).len(), 10);
    store.damaged.store(4, Ordering::SeqCst);
    let damaged = Subscription::new(&store, after(4.into(), id(0, 4)));
    assert!(matches!(damaged, Err(Error::Damage(_))), "{damaged:?}");
}

#[test]
fn a_point_to_resume_from_holds_the_event_that_is_there_also_when_it_was_filtered_out() {
    let store = Counted::of(2500);
    let rare = Filter::new().event_type("Rare");
    let mut subscription =
        Subscription::new(&store, Start::Beginning).unwrap().passing(rare).unwrap();
    let point = |position| Start::AfterEvent { position, event_id: id(0, position.get()) };
    assert_eq!(subscription.resume_point().unwrap(), Start::Beginning);
    assert!(matches!(subscription.next_within(Duration::ZERO), Ok(Delivery::Event(_))));
    assert_eq!(subscription.resume_point().unwrap(), point(1000.into()));
    assert_eq!(at_hand(&mut subscription), [2000]);
    assert_eq!(subscription.resume_point().unwrap(), point(2500.into()));
    let at_end = Subscription::new(&store, Start::End).unwrap();
    assert_eq!(at_end.resume_point().unwrap(), point(2500.into()));

    // What was delivered is what is kept, whatever the store has become meanwhile.
    let mut followed = Subscription::new(&store, Start::Beginning).unwrap();
    assert!(matches!(followed.next_within(Duration::ZERO), Ok(Delivery::Event(_))));
    store.history.store(1, Ordering::SeqCst);
    assert_eq!(followed.resume_point().unwrap(), point(1.into()));
}
