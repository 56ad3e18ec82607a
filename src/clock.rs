//! The only place that asks what time it is.
//!
//! A store holds one `Clock` for all the times it records, so that a test can set it back or let it
//! stand still; how long something took is measured by `Stopwatch`.

#![forbid(unsafe_code)]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::timestamp::Timestamp;

/// Tells the time that a store records with its events.
///
/// The default is the system's clock. The clock may step back: recorded times never do (CONTRACT
/// A9).
///
/// # Examples
///
/// ```
/// use annals::{Clock, Timestamp};
///
/// let (clock, hand) = Clock::manual(Timestamp::from_micros(5));
/// hand.set(Timestamp::from_micros(7));
/// assert_eq!(clock.now(), Timestamp::from_micros(7));
/// ```
#[derive(Clone, Default)]
pub struct Clock(Source);

#[derive(Clone, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<AtomicI64>),
}

/// Sets the time that a manual [`Clock`] tells.
#[derive(Debug, Clone)]
pub struct ClockHand(Arc<AtomicI64>);

impl Clock {
    /// Returns the system's clock.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// Returns a clock that stands still at `start`, and the hand that sets it.
    pub fn manual(start: Timestamp) -> (Self, ClockHand) {
        let micros = Arc::new(AtomicI64::new(start.as_micros()));
        (Self(Source::Manual(Arc::clone(&micros))), ClockHand(micros))
    }

    /// Returns the present time.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => Timestamp::from(SystemTime::now()),
            Source::Manual(micros) => Timestamp::from_micros(micros.load(Ordering::SeqCst)),
        }
    }
}

impl ClockHand {
    /// Sets the clock, forward or back.
    pub fn set(&self, time: Timestamp) {
        self.0.store(time.as_micros(), Ordering::SeqCst);
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::System => f.write_str("Clock::system()"),
            Source::Manual(_) => write!(f, "Clock::manual({})", self.now()),
        }
    }
}

/// Measures how long something takes; never used for times that are recorded.
#[derive(Debug, Clone)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
