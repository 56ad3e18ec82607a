//! The times that a store records with its events.
//!
//! The clock may step back, and recorded times never do (CONTRACT A9): after a step forward, to 2100 say,
//! commits are recorded in 2100 until the clock is there. When their events occurred is another question,
//! and only the clock has an answer.
//!
//! Invariants:
//!
//! 1. What [`next`](Times::next) returns never decreases. One thread at a time calls it.
//! 2. While the clock does not step back, [`clock_behind`](Times::clock_behind) returns nothing, whatever
//!    other threads do.

use std::sync::atomic::{AtomicI64, Ordering};

use super::finding::Finding;
use super::route::Walked;
use crate::clock::Clock;
use crate::io::Disk;
use crate::timestamp::Timestamp;

pub(crate) struct Times {
    clock: Clock,
    /// The latest time that was recorded, in microseconds.
    recorded_until: AtomicI64,
}

impl Times {
    /// Continues from the latest time in a log.
    pub(crate) fn new(clock: Clock, recorded_until: Timestamp) -> Self {
        Self { clock, recorded_until: AtomicI64::new(recorded_until.as_micros()) }
    }

    /// Returns the time to record next.
    pub(crate) fn next(&self) -> Timestamp {
        let now = self.clock.now().max(self.recorded_until());
        self.recorded_until.store(now.as_micros(), Ordering::Release);
        now
    }

    /// Returns the time of the clock if the next commit is recorded with a later one.
    pub(crate) fn clock_behind(&self) -> Option<Timestamp> {
        // Loaded before the clock is asked, so that no time of another thread looks like a step back.
        let recorded_until = self.recorded_until();
        Some(self.clock.now()).filter(|now| *now < recorded_until)
    }

    fn recorded_until(&self) -> Timestamp {
        Timestamp::from_micros(self.recorded_until.load(Ordering::Acquire))
    }
}

/// Notes that a log is ahead of the clock.
pub(crate) fn ahead_of_clock<D: Disk>(walked: &Walked<D>, clock: &Clock) -> Option<Finding> {
    let (recorded_until, now) = (walked.recorded_at, clock.now());
    let last = walked.segments.last().filter(|_| recorded_until > now)?;
    let what = format!(
        "the newest recorded time is {recorded_until}, ahead of the clock, which says {now}; commits are \
         recorded with that time until the clock has passed it"
    );
    Some(Finding::note(last.path().clone(), walked.offset, what))
}
