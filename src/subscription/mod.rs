//! Follows the log: every durable event behind a position, in order, as it comes.
//!
//! Owns a position and nothing that grows. Catching up and live are one mechanism: read what is durable
//! behind the position, and when there is nothing more, wait until there is (CONTRACT F1 to F3). Knows no
//! implementation of a store.
//!
//! Invariants:
//!
//! 1. The position is that of the last event that was delivered or filtered out, and only grows.
//! 2. Nothing is delivered that is not behind the position, and an error moves it nowhere.
//! 3. The store keeps nothing for the subscription and waits for nothing of it: it calls once, when it
//!    was asked to.

#![forbid(unsafe_code)]

mod checkpoint;
mod reached;
mod sleeper;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

pub use checkpoint::Checkpoint;
pub use sleeper::StopHandle;

pub(crate) use reached::Reached;
pub(crate) use sleeper::Patience;

use crate::error::{Error, Result};
use crate::event::{EventId, RecordedEvent};
use crate::position::GlobalPosition;
use crate::store::{EventStore, Events, Filter, GlobalRead, Query, Watch};
use sleeper::Sleeper;

/// Positions that are read at once: few queries where much is to be caught up with, and a position that
/// moves on where nothing passes the filter.
const STEP_POSITIONS: u64 = 65_536;

/// How long is waited until a store that calls nobody is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Where a subscription begins.
///
/// A follower that keeps its position elsewhere, in a database say, keeps the event's id with it. Then
/// a store that was restored from a backup is noticed, also when it has grown past the position since.
///
/// # Examples
///
/// ```
/// use annals::{Error, EventStore, ExpectedVersion, MemoryStore, NewEvent, Start, StreamId, Subscription};
///
/// # let task = StreamId::new("Task", "task-1")?;
/// let store = MemoryStore::new();
/// store.append(&task, ExpectedVersion::Any, vec![NewEvent::new("Created", "tea")])?;
/// let mut subscription = Subscription::new(&store, Start::Beginning)?;
/// let event = subscription.next().transpose()?.ok_or(Error::Closed)?;
///
/// // Kept outside: two values.
/// let (position, event_id) = (event.global_position(), event.event_id());
///
/// assert!(Subscription::new(&store, Start::AfterEvent { position, event_id }).is_ok());
/// let other = MemoryStore::new();
/// other.append(&task, ExpectedVersion::Any, vec![NewEvent::new("Created", "coffee")])?;
/// let refused = Subscription::new(&other, Start::AfterEvent { position, event_id });
/// assert!(matches!(refused, Err(Error::HistoryChanged { .. })));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[doc(alias("start_from", "StartPosition"))]
pub enum Start {
    /// With the first event of the store.
    #[default]
    Beginning,
    /// Behind the event that is the last one now: with what comes from now on.
    End,
    /// After this position, whichever event is at it. This cannot notice that the store has another
    /// history since, unless it ends before the position: prefer [`AfterEvent`](Self::AfterEvent).
    After(GlobalPosition),
    /// After this event, as that of a stored [`Checkpoint`].
    ///
    /// A store that has another event at the position is refused, and so is one that ends before it. A
    /// position that a [repair](crate::FileStore::repair) has given up is accepted: its event is
    /// lost, and nothing says that another one was there. Position 0 is the beginning, whatever the id.
    AfterEvent {
        /// The position of the event.
        position: GlobalPosition,
        /// The id of the event.
        event_id: EventId,
    },
}

/// What asking a subscription gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The next event.
    Event(RecordedEvent),
    /// There was none in the time that was given: the subscription has caught up.
    Nothing,
    /// The subscription was stopped, or the store was closed and all its events are delivered.
    Ended,
}

/// The durable events of a store behind a position, in global order, each once, as they come.
///
/// An iterator that waits: at the end of the log it blocks until there is another event, and ends when
/// it is stopped by its [`StopHandle`] or the store is closed. It can be asked to wait for a time only,
/// with [`next_within`](Self::next_within).
///
/// The store may be given by reference or as an `Arc`. Any number of subscriptions follow a store, each
/// at its own pace. None holds an append up, but for the moment that it takes to wake one who waits, and
/// its memory does not grow with how far it is behind.
///
/// # Examples
///
/// ```
/// use annals::{EventStore, ExpectedVersion, MemoryStore, NewEvent, Start, StreamId, Subscription};
///
/// let store = MemoryStore::new();
/// let task = StreamId::new("Task", "task-1")?;
/// let created = NewEvent::new("Created", "tea");
/// store.append(&task, ExpectedVersion::Any, vec![created, NewEvent::new("Done", "")])?;
///
/// let mut subscription = Subscription::new(&store, Start::Beginning)?;
/// let stop = subscription.stop_handle();
/// for event in &mut subscription {
///     let event = event?;
///     println!("{} {}", event.global_position(), event.event_type());
///     if event.event_type() == "Done" {
///         stop.stop(); // Usually another thread does this.
///     }
/// }
/// assert_eq!(subscription.reached().get(), 2);
/// # Ok::<(), annals::Error>(())
/// ```
#[doc(alias("EventBus", "SubscriptionManager", "EventPublisher"))]
pub struct Subscription<S> {
    store: S,
    query: Query,
    filter: Filter,
    reached: Reached,
    step: Option<Step>,
    sleeper: Sleeper,
    /// Whether the last call gave an error: as an iterator it is then at its end.
    has_failed: bool,
}

/// What is being read.
struct Step {
    events: Events,
    /// The position behind which the next step begins.
    until: GlobalPosition,
}

impl<S: EventStore> Subscription<S> {
    /// Follows all events from a start on.
    ///
    /// # Errors
    ///
    /// [`Error::HistoryChanged`] when the store does not have the event that it is to begin after,
    /// and [`Error::BeyondEnd`] when it ends before a position that was given without an event: it is
    /// not the store that the position comes from, or an older state of it. [`Error::Damage`] when that
    /// event cannot be read, so that nothing can be compared.
    pub fn new(store: S, start: Start) -> Result<Self> {
        let reached = start.place(&store)?;
        Ok(Self {
            store,
            query: Query::all(),
            filter: Filter::new(),
            reached,
            step: None,
            sleeper: Sleeper::default(),
            has_failed: false,
        })
    }

    /// Delivers only events that match a query (CONTRACT R4). The others move the position all the
    /// same.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] or [`Error::Limit`] for a name that no event can have.
    pub fn matching(self, query: Query) -> Result<Self> {
        query.check()?;
        Ok(Self { query, step: None, ..self })
    }

    /// Delivers only events that pass a filter (CONTRACT R3). The others move the position all the
    /// same.
    ///
    /// # Errors
    ///
    /// As [`matching`](Self::matching).
    pub fn passing(self, filter: Filter) -> Result<Self> {
        filter.check()?;
        Ok(Self { filter, step: None, ..self })
    }

    /// Returns the position of the last event that was delivered or filtered out.
    pub fn reached(&self) -> GlobalPosition {
        self.reached.position
    }

    /// Returns where a subscription begins that continues from here: the position that was
    /// [`reached`](Self::reached), with the id of the event at it. The id of an event that was filtered
    /// out is looked up.
    ///
    /// It is [`Start::After`] where a repair has given up the position, and
    /// [`Start::Beginning`] at position 0.
    ///
    /// # Errors
    ///
    /// As [`EventStore::event_id_at`].
    pub fn resume_point(&self) -> Result<Start> {
        Ok(self.reached_at(self.reached.position)?.start())
    }

    /// Returns a handle that stops the subscription from another thread.
    pub fn stop_handle(&self) -> StopHandle {
        self.sleeper.stop_handle()
    }

    /// Returns the next event, waiting for one as long as this at most; for no time, if it is zero.
    ///
    /// # Errors
    ///
    /// [`Error::Damage`] for a damaged event, and the other errors of reading. The position stays: asking
    /// again reads the same event again. To go on behind what is damaged, start another subscription
    /// there.
    pub fn next_within(&mut self, longest: Duration) -> Result<Delivery> {
        self.deliver(&Patience::of(longest))
    }

    /// Returns the store that is followed.
    pub(crate) fn store(&self) -> &S {
        &self.store
    }

    /// Goes back, or on, to a position at which it has been.
    pub(crate) fn rewind(&mut self, reached: Reached) {
        if reached.position != self.reached.position {
            (self.reached, self.step) = (reached, None);
        }
    }

    /// Returns a position at which it has been, as it is kept.
    pub(crate) fn reached_at(&self, position: GlobalPosition) -> Result<Reached> {
        let is_known = position == self.reached.position && self.reached.event_id.is_some();
        if is_known { Ok(self.reached) } else { Reached::look_up(&self.store, position) }
    }

    /// Waits without reading, and tells whether it was stopped meanwhile.
    pub(crate) fn pause(&self, patience: &Patience) -> bool {
        self.sleeper.pause(patience)
    }

    /// Returns the next event, waiting for one as long as the patience lasts.
    pub(crate) fn deliver(&mut self, patience: &Patience) -> Result<Delivery> {
        let delivery = self.wait_for_event(patience);
        self.has_failed = delivery.is_err();
        delivery
    }

    fn wait_for_event(&mut self, patience: &Patience) -> Result<Delivery> {
        loop {
            if self.sleeper.take_stop() {
                return Ok(Delivery::Ended);
            }
            if let Some(event) = self.read_next()? {
                return Ok(Delivery::Event(event));
            }
            if self.step.is_some() {
                continue;
            }
            if patience.is_over() {
                return Ok(Delivery::Nothing);
            }
            self.sleeper.arm();
            match self.store.watch(self.reached.position, self.sleeper.watcher()) {
                Ok(Watch::Beyond) => {}
                Ok(Watch::Waiting) => self.sleeper.sleep(patience),
                Ok(Watch::Unwatched) => self.sleeper.sleep(&patience.at_most(ASK_AGAIN)),
                Err(Error::Closed) => return Ok(Delivery::Ended),
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the next event of the step, or begins another step. With neither, nothing is left to
    /// read.
    fn read_next(&mut self) -> Result<Option<RecordedEvent>> {
        let mut step = match self.step.take() {
            Some(step) => step,
            None => match self.next_step()? {
                Some(step) => step,
                None => return Ok(None),
            },
        };
        match step.events.next() {
            Some(event) => {
                let event = event?;
                self.reached = Reached::from(&event);
                self.step = Some(step);
                Ok(Some(event))
            }
            None => {
                if step.until != self.reached.position {
                    self.reached = Reached { position: step.until, event_id: None };
                }
                self.step = self.next_step()?;
                Ok(None)
            }
        }
    }

    fn next_step(&self) -> Result<Option<Step>> {
        let position = self.reached.position;
        let furthest = position.advanced_by(STEP_POSITIONS);
        let until = match self.store.global_position() {
            Ok(newest) if newest <= position => return Ok(None),
            Ok(newest) => newest.min(furthest),
            // The end of the log is lost: what is before it is delivered first.
            Err(Error::Damage(damage)) => match damage.first_lost.map(GlobalPosition::previous) {
                Some(known) if known > position => known.min(furthest),
                _ => return Err(Error::Damage(damage)),
            },
            Err(error) => return Err(error),
        };
        let options = GlobalRead::new().after(position).to(until).filter(self.filter.clone());
        let events = self.store.read(&self.query, options)?;
        Ok(Some(Step { events, until }))
    }
}

impl<S: EventStore> Iterator for Subscription<S> {
    type Item = Result<RecordedEvent>;

    /// Returns the next event, waiting for one without end. Ends when the subscription is stopped or the
    /// store closed, and after an error; asked again after that it goes on.
    fn next(&mut self) -> Option<Self::Item> {
        if std::mem::take(&mut self.has_failed) {
            return None;
        }
        match self.deliver(&Patience::endless()) {
            Ok(Delivery::Event(event)) => Some(Ok(event)),
            Ok(Delivery::Nothing | Delivery::Ended) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl<S> fmt::Debug for Subscription<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Subscription");
        shown.field("reached", &self.reached).field("query", &self.query);
        shown.field("filter", &self.filter).finish_non_exhaustive()
    }
}
