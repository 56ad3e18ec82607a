//! Given these events, when this command, then those events: tests of a domain without a store.

use std::fmt;

use super::{Aggregate, IntoEvents};

/// The events that a test of a command begins with.
///
/// # Examples
///
/// ```
/// # use annals::{Aggregate, DomainEvent, Scenario};
/// # use serde::{Deserialize, Serialize};
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// enum DoorEvent { Opened, Closed }
///
/// # impl DomainEvent for DoorEvent { const AGGREGATE_TYPE: &'static str = "Door"; }
/// #[derive(Default)]
/// struct Door { is_open: bool }
///
/// impl Door {
///     fn open(&self) -> Result<DoorEvent, &'static str> {
///         if self.is_open { Err("it is open") } else { Ok(DoorEvent::Opened) }
///     }
/// }
/// # impl Aggregate for Door {
/// #     type Event = DoorEvent;
/// #     fn apply(&mut self, event: &DoorEvent) { self.is_open = *event == DoorEvent::Opened; }
/// # }
///
/// Scenario::<Door>::given([DoorEvent::Opened, DoorEvent::Closed])
///     .when(Door::open)
///     .then([DoorEvent::Opened]);
///
/// Scenario::<Door>::given([DoorEvent::Opened]).when(Door::open).then_rejected("it is open");
/// ```
#[derive(Debug)]
pub struct Scenario<A> {
    state: A,
}

impl<A: Aggregate> Scenario<A> {
    /// Begins with what has happened; with nothing for `[]`.
    pub fn given(events: impl IntoIterator<Item = A::Event>) -> Self {
        let mut state = A::default();
        events.into_iter().for_each(|event| state.apply(&event));
        Self { state }
    }

    /// Gives the state to a command.
    pub fn when<C: IntoEvents<A::Event>, R>(
        self,
        command: impl FnOnce(&A) -> Result<C, R>,
    ) -> Outcome<A, R> {
        let result = command(&self.state).map(IntoEvents::into_events);
        Outcome { state: self.state, result }
    }
}

/// What a command came to, to be compared with what was expected.
#[must_use = "say with `then` or `then_rejected` what is expected"]
pub struct Outcome<A: Aggregate, R> {
    state: A,
    result: Result<Vec<A::Event>, R>,
}

impl<A: Aggregate, R: fmt::Debug> Outcome<A, R>
where
    A::Event: fmt::Debug,
{
    /// Expects events, and returns the state that they lead to.
    ///
    /// # Panics
    ///
    /// When the command gave others or was rejected.
    #[track_caller]
    pub fn then(self, expected: impl IntoEvents<A::Event>) -> A
    where
        A::Event: PartialEq,
    {
        let Self { mut state, result } = self;
        let given = result.map_err(|rejection| format!("rejected: {rejection:?}"));
        assert_eq!(given, Ok(expected.into_events()));
        given.iter().flatten().for_each(|event| state.apply(event));
        state
    }

    /// Expects a rejection.
    ///
    /// # Panics
    ///
    /// When the command gave events or was rejected for another reason.
    #[track_caller]
    pub fn then_rejected(self, expected: R)
    where
        R: PartialEq,
    {
        let given = self.result.map(|events| format!("{events:?}"));
        assert_eq!(given, Err(expected));
    }
}
