//! Projections: state that is made of the events of a store, and kept up to date.
//!
//! [`Projection`] says what an event changes; [`ProjectionRunner`] follows the log, calls it, and keeps
//! how far it is. Nothing is passed over in silence: an event that keeps failing stops the runner, or is
//! set aside in a list that is kept with the state. Knows no implementation of a store.
//!
//! Invariants:
//!
//! 1. State, position and the events that were set aside are one record and change together: after any
//!    end of the process every event up to the position is in the state or in the list, and no other is.
//! 2. The position passes an event only when it was handled, is of no interest, or is in the list.
//! 3. What a handler that failed has done to the state is undone before anything else is done with it.
//! 4. One runner at a time has the record of a name.
//! 5. The id of the event at the position is kept with it. What was kept in another history of the store
//!    is refused or made anew, as the options say, and never continued from (CONTRACT F5).

#![forbid(unsafe_code)]

mod kept;
mod options;
mod rebuild;
mod runner;
mod view;

pub use kept::DeadLetter;
pub use options::{OnFailure, OnHistoryChange, ProjectionOptions, Retries};
pub use rebuild::Rebuild;
pub use runner::{Progress, ProjectionRunner, Redriven};
pub use view::ProjectionView;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::event::RecordedEvent;
use crate::store::Query;

/// What went wrong in a handler.
pub(crate) type HandlerError = Box<dyn std::error::Error + Send + Sync>;

/// State that is made of events, one after the other.
///
/// Where the state is [`State`](Self::State), the store keeps it with the position in one record, and
/// every event counts exactly once, whatever happens: a handler that changes the state and nothing else
/// need not think of repetition. Where it is elsewhere, in a database say, `State` is `()`, and an event
/// may be handled again after a crash: handlers then do again what they did without harm.
///
/// # Examples
///
/// ```
/// use std::collections::BTreeMap;
/// use annals::{EventStore, ExpectedVersion, MemoryStore, NewEvent, StreamId};
/// use annals::{Handled, Projection, ProjectionOptions, ProjectionRunner, RecordedEvent};
///
/// /// Counts events by their type.
/// struct Counts;
///
/// impl Projection for Counts {
///     type State = BTreeMap<String, u64>;
///     type Error = annals::Error;
///
///     fn handle(&mut self, counts: &mut Self::State, event: &RecordedEvent) -> annals::Result<Handled> {
///         *counts.entry(event.event_type().to_owned()).or_default() += 1;
///         Ok(Handled::Applied)
///     }
/// }
///
/// let store = MemoryStore::new();
/// let task = StreamId::new("Task", "task-1")?;
/// store.append(&task, ExpectedVersion::Any, vec![NewEvent::new("Created", "tea")])?;
///
/// let mut runner = ProjectionRunner::open(&store, "counts", Counts, ProjectionOptions::new())?;
/// runner.catch_up()?;
/// assert_eq!(runner.view().read(|counts| counts["Created"]), 1);
/// # Ok::<(), annals::Error>(())
/// ```
#[doc(alias = "DeclarativeProjection")]
#[doc(alias = "CheckpointTrackingProjection")]
pub trait Projection: Send {
    /// What the store keeps of it; `()` for a projection that keeps its state elsewhere. Up to 16 MiB as
    /// encoded, and much less for one that changes often, since it is written as a whole.
    type State: Default + Serialize + DeserializeOwned + Send + Sync;

    /// Why an event could not be handled.
    type Error: Into<Box<dyn std::error::Error + Send + Sync>>;

    /// The version of what `State` looks like and means. Raised with every change of it, so that a state
    /// of before is never taken for one of now: [`Rebuild`] makes the new one.
    const STATE_VERSION: u32 = 1;

    /// Handles one event, and says whether it was of interest.
    ///
    /// # Errors
    ///
    /// Whatever keeps the event from being handled. What was done to `state` meanwhile is undone, and the
    /// event is tried again as [`ProjectionOptions`] say.
    #[doc(alias = "on_event")]
    fn handle(
        &mut self,
        state: &mut Self::State,
        event: &RecordedEvent,
    ) -> Result<Handled, Self::Error>;

    /// Returns which events are of interest; all, when not overridden. The others are not read where the
    /// index tells them apart.
    fn query(&self) -> Query {
        Query::all()
    }

    /// Makes what was handled durable where that is not the store: called before the position is kept.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being durable: the position stays, and the events are handled again.
    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// What a projection has done with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// It counts.
    Applied,
    /// It is of no interest.
    Ignored,
}
