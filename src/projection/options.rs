//! How a projection is run.

use std::time::Duration;

use crate::clock::Clock;

/// How a projection is run.
///
/// # Examples
///
/// ```
/// use annals::{OnFailure, ProjectionOptions, Retries};
///
/// let options = ProjectionOptions::new()
///     .retries(Retries { attempts: 3, ..Retries::default() })
///     .on_failure(OnFailure::SetAside);
/// ```
#[derive(Debug, Clone, Default)]
pub struct ProjectionOptions {
    pub(crate) batch_events: BatchEvents,
    pub(crate) retries: Retries,
    pub(crate) on_failure: OnFailure,
    pub(crate) on_history_change: OnHistoryChange,
    pub(crate) clock: Clock,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchEvents(pub(crate) usize);

impl Default for BatchEvents {
    fn default() -> Self {
        Self(1000)
    }
}

/// How often an event that fails is tried, and how long is waited in between: longer each time, twice as
/// long as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// How often it is tried in all; 0 counts as 1. Default: 5.
    pub attempts: u32,
    /// How long is waited before the second attempt. Default: 50 ms.
    pub first_delay: Duration,
    /// How long is waited at most. Default: 5 s.
    pub longest_delay: Duration,
}

/// What is done about an event that fails at every attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// The runner stops before it, with [`Error::ProjectionStopped`](crate::Error::ProjectionStopped).
    #[default]
    Stop,
    /// It is set aside in the list of dead letters, which is kept with the state, and the runner goes on
    /// behind it. When the list is full the runner stops.
    #[doc(alias = "dlq")]
    SetAside,
}

/// What is done about a kept state that was made in another history of the store: the store has another
/// event than the one that was kept with the position, or ends before it. So it is after an older state
/// of the store was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnHistoryChange {
    /// Opening the projection is refused, with
    /// [`Error::HistoryChanged`](crate::Error::HistoryChanged), or
    /// [`Error::BeyondEnd`](crate::Error::BeyondEnd) for a state of before event ids were kept. What was
    /// kept stays.
    #[default]
    Refuse,
    /// The projection begins anew with the first event. What was kept, its dead letters included, is
    /// replaced when the first batch is kept.
    ///
    /// A projection that keeps its state elsewhere is handed all events again, and has to discard what
    /// it made of those that are gone.
    Rebuild,
}

impl ProjectionOptions {
    /// Returns the defaults: five attempts, then a stop.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many events at most are handled before state and position are kept, which takes two
    /// syncs of the device. Default: 1,000. At the end of the log they are kept at once.
    #[must_use]
    pub fn batch_events(self, events: usize) -> Self {
        Self { batch_events: BatchEvents(events.max(1)), ..self }
    }

    /// Sets how often an event that fails is tried.
    #[must_use]
    pub fn retries(self, retries: Retries) -> Self {
        Self { retries, ..self }
    }

    /// Sets what is done about an event that fails at every attempt.
    #[must_use]
    pub fn on_failure(self, on_failure: OnFailure) -> Self {
        Self { on_failure, ..self }
    }

    /// Sets what is done about a kept state of another history.
    ///
    /// # Examples
    ///
    /// ```
    /// use annals::{OnHistoryChange, ProjectionOptions};
    ///
    /// let options = ProjectionOptions::new().on_history_change(OnHistoryChange::Rebuild);
    /// ```
    #[must_use]
    pub fn on_history_change(self, on_history_change: OnHistoryChange) -> Self {
        Self { on_history_change, ..self }
    }

    /// Sets the clock that tells when an event was set aside.
    #[must_use]
    pub fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_delay: Duration::from_millis(50),
            longest_delay: Duration::from_secs(5),
        }
    }
}

impl Retries {
    /// Tries once only.
    pub fn none() -> Self {
        Self { attempts: 1, ..Self::default() }
    }

    /// Returns how long is waited after so many attempts; nothing when there is no other.
    pub(crate) fn delay_after(&self, attempts: u32) -> Option<Duration> {
        let doublings = attempts.saturating_sub(1).min(31);
        let delay = self.first_delay.saturating_mul(1 << doublings).min(self.longest_delay);
        (attempts < self.attempts).then_some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_end_with_the_attempts() {
        let retries = Retries {
            attempts: 5,
            first_delay: Duration::from_millis(10),
            longest_delay: Duration::from_millis(35),
        };
        let delays: Vec<_> = (1..=6)
            .map(|attempts| retries.delay_after(attempts).map(|it| it.as_millis()))
            .collect();
        assert_eq!(delays, [Some(10), Some(20), Some(35), Some(35), None, None]);
        assert_eq!(
            Retries { attempts: u32::MAX, ..retries }.delay_after(1000).unwrap().as_millis(),
            35
        );
        assert_eq!(Retries::none().delay_after(1), None);
        assert_eq!(Retries { attempts: 0, ..retries }.delay_after(1), None);
    }
}
