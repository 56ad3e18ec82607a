//! Aggregates: state that events make, commands that give events, and a repository between them and
//! the store.
//!
//! An aggregate is plain data and knows no store. A command is any function from its state to events or
//! to a rejection, which is the user's own type. The repository loads by applying what is recorded,
//! saves under the version that was loaded, and stamps events with what the context says.
//!
//! Invariants:
//!
//! 1. A command sees a state that recorded events made, or none; a rejected one changes nothing.
//! 2. What a command decided is recorded only if nothing was recorded in the stream since it was loaded.
//! 3. A snapshot changes how fast an aggregate is loaded, never what is loaded.

#![forbid(unsafe_code)]

mod context;
mod repository;
mod root;
mod scenario;
mod snapshot;
mod stored;
mod tenant;

pub use context::Context;
pub use repository::{CommandError, Repository};
pub use root::Root;
pub use scenario::{Outcome, Scenario};
pub use snapshot::{MemorySnapshots, Snapshot, SnapshotPolicy, SnapshotStore, Snapshotted};
pub use stored::StoredSnapshots;
pub use tenant::TenantStore;

use crate::codec::DomainEvent;

/// State that is made of events.
///
/// The default value is the state before the first event. Rules stand in functions of the type that
/// take `&self` and return events or a rejection; [`Root::execute`] and [`Repository::execute`] call them.
///
/// # Examples
///
/// ```
/// use annals::{Aggregate, DomainEvent};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize)]
/// enum TaskEvent { Created { title: String }, Completed }
///
/// impl DomainEvent for TaskEvent {
///     const AGGREGATE_TYPE: &'static str = "Task";
/// }
///
/// #[derive(Debug, Default)]
/// struct Task { title: Option<String>, is_done: bool }
///
/// #[derive(Debug, PartialEq)]
/// enum Rejection { NotCreated, DoneAlready }
///
/// impl Task {
///     fn complete(&self) -> Result<TaskEvent, Rejection> {
///         match (&self.title, self.is_done) {
///             (None, _) => Err(Rejection::NotCreated),
///             (_, true) => Err(Rejection::DoneAlready),
///             _ => Ok(TaskEvent::Completed),
///         }
///     }
/// }
///
/// impl Aggregate for Task {
///     type Event = TaskEvent;
///
///     fn apply(&mut self, event: &TaskEvent) {
///         match event {
///             TaskEvent::Created { title } => self.title = Some(title.clone()),
///             TaskEvent::Completed => self.is_done = true,
///         }
///     }
/// }
///
/// assert_eq!(Task::default().complete().unwrap_err(), Rejection::NotCreated);
/// ```
#[doc(alias = "AggregateRoot")]
pub trait Aggregate: Default {
    /// What can happen to it.
    type Event: DomainEvent;

    /// Changes the state by what has happened. It can not fail: what happened, happened.
    #[doc(alias(
        "apply_event",
        "_apply_event",
        "_apply",
        "when",
        "_get_initial_state",
        "DeclarativeAggregate",
        "handles"
    ))]
    fn apply(&mut self, event: &Self::Event);
}

/// What a command may give: one event, a list or an array of events, or perhaps one.
///
/// # Examples
///
/// ```
/// use annals::{DomainEvent, IntoEvents};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// enum TaskEvent {
///     Created,
///     Completed,
/// }
///
/// impl DomainEvent for TaskEvent {
///     const AGGREGATE_TYPE: &'static str = "Task";
/// }
///
/// assert_eq!(TaskEvent::Created.into_events(), [TaskEvent::Created]);
/// let both = [TaskEvent::Created, TaskEvent::Completed];
/// assert_eq!(both.into_events(), [TaskEvent::Created, TaskEvent::Completed]);
/// ```
pub trait IntoEvents<E> {
    /// Returns the events in the order in which they happened.
    fn into_events(self) -> Vec<E>;
}

impl<E: DomainEvent> IntoEvents<E> for E {
    fn into_events(self) -> Vec<E> {
        vec![self]
    }
}

impl<E: DomainEvent> IntoEvents<E> for Vec<E> {
    fn into_events(self) -> Vec<E> {
        self
    }
}

impl<E: DomainEvent, const COUNT: usize> IntoEvents<E> for [E; COUNT] {
    fn into_events(self) -> Vec<E> {
        self.into()
    }
}

impl<E: DomainEvent> IntoEvents<E> for Option<E> {
    fn into_events(self) -> Vec<E> {
        self.into_iter().collect()
    }
}
