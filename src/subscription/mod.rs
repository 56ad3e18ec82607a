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
mod sleeper;
#[cfg(test)]
mod tests;

use std::fmt;
use std::time::Duration;

pub use checkpoint::Checkpoint;
pub use sleeper::StopHandle;

pub(crate) use sleeper::Patience;

use crate::error::{Error, Result};
use crate::event::RecordedEvent;
use crate::position::GlobalPosition;
use crate::store::{EventStore, Events, Filter, GlobalRead, Query, Watch};
use sleeper::Sleeper;

/// Positions that are read at once: few queries where much is to be caught up with, and a position that
/// moves on where nothing passes the filter.
const STEP_POSITIONS: u64 = 65_536;

/// How long is waited until a store that calls nobody is asked again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Where a subscription begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[doc(alias("start_from", "StartPosition"))]
pub enum Start {
    /// With the first event of the store.
    #[default]
    Beginning,
    /// Behind the event that is the last one now: with what comes from now on.
    End,
    /// Behind this position, as that of a stored [`Checkpoint`].
    After(GlobalPosition),
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
    position: GlobalPosition,
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
    /// [`Error::BeyondEnd`] when the store has no event at the position that it is to begin behind: it
    /// is not the store that the position comes from, or an older state of it.
    pub fn new(store: S, start: Start) -> Result<Self> {
        let end = store.global_position()?;
        let position = match start {
            Start::Beginning => GlobalPosition::ZERO,
            Start::End => end,
            Start::After(position) if position > end => {
                return Err(Error::BeyondEnd { position, end });
            }
            Start::After(position) => position,
        };
        Ok(Self {
            store,
            query: Query::all(),
            filter: Filter::new(),
            position,
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

    /// Returns the position of the last event that was delivered or filtered out: where a subscription
    /// that is to go on from here begins.
    pub fn reached(&self) -> GlobalPosition {
        self.position
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
    pub(crate) fn rewind(&mut self, position: GlobalPosition) {
        if position != self.position {
            (self.position, self.step) = (position, None);
        }
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
            match self.store.watch(self.position, self.sleeper.watcher()) {
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
                self.position = event.global_position();
                self.step = Some(step);
                Ok(Some(event))
            }
            None => {
                self.position = step.until;
                self.step = self.next_step()?;
                Ok(None)
            }
        }
    }

    fn next_step(&self) -> Result<Option<Step>> {
        let newest = self.store.global_position()?;
        if newest <= self.position {
            return Ok(None);
        }
        let until = newest.min(self.position.advanced_by(STEP_POSITIONS));
        let options = GlobalRead::new().after(self.position).to(until).filter(self.filter.clone());
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
        shown.field("position", &self.position).field("query", &self.query);
        shown.field("filter", &self.filter).finish_non_exhaustive()
    }
}
