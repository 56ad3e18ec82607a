//! Reads a damaged store position by position: gives every event that verifies, and says what is missing.
//!
//! Invariants:
//!
//! 1. Every position between the bounds is either given, or named as missing, or was given up by a repair.
//! 2. Each step leaves positions behind, so a walk ends whatever the store answers.

use std::path::PathBuf;

use annals::{Direction, Error, EventStore, FileStore, GlobalPosition, GlobalRead, RecordedEvent};

use crate::failure::Failure;
use crate::verify::positions;

/// Positions side by side that cannot be read for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    first: u64,
    last: u64,
    file: PathBuf,
    offset: u64,
    reason: String,
}

impl Missing {
    /// Returns how many positions are missing.
    pub(crate) fn count(&self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    /// Takes up what is missing right beside this, for the same reason in the same file.
    fn takes_up(&mut self, other: &Self) -> bool {
        let is_beside = self.last.checked_add(1) == Some(other.first)
            || other.last.checked_add(1) == Some(self.first);
        let is_same = is_beside && self.file == other.file && self.reason == other.reason;
        if is_same {
            self.first = self.first.min(other.first);
            self.last = self.last.max(other.last);
            self.offset = self.offset.min(other.offset);
        }
        is_same
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let last = (self.last < u64::MAX).then_some(self.last);
        let Self { file, offset, reason, .. } = self;
        let positions = positions(self.first, last);
        write!(f, "missing: {positions}: {} at offset {offset}: {reason}", file.display())
    }
}

/// What becomes of an event that is given: whether the walk goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    GoOn,
    Stop,
}

/// Returns whether a walk goes on behind an error.
pub(crate) fn is_passed_over(error: &Error) -> bool {
    matches!(error, Error::Damage(_) | Error::Read { .. })
}

/// A walk over the positions from `first` to `last`, in either direction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) direction: Direction,
}

impl Walk {
    /// Leaves the positions up to this one behind, in the direction of the walk.
    pub(crate) fn go_past(&mut self, position: u64) {
        match self.direction {
            Direction::Forward => self.first = self.first.max(position.saturating_add(1)),
            Direction::Backward => self.last = self.last.min(position.saturating_sub(1)),
        }
    }

    fn has_ended(&self) -> bool {
        self.first > self.last || self.last == 0
    }

    /// Gives every event that verifies to `give`, and what is missing between them to `miss`, in the order
    /// of the walk.
    ///
    /// # Errors
    ///
    /// What the two return, and what is no damage.
    pub(crate) fn run(
        mut self,
        store: &FileStore,
        mut give: impl FnMut(&RecordedEvent) -> Result<Next, Failure>,
        mut miss: impl FnMut(&Missing),
    ) -> Result<(), Failure> {
        self.last = self.last.min(store.global_position()?.get());
        let mut pending: Option<Missing> = None;
        while !self.has_ended() {
            let options = GlobalRead::new().from(self.first).to(self.last);
            let mut events = store.read_all(options.direction(self.direction))?;
            loop {
                match events.advance() {
                    Ok(Some(event)) => {
                        pending.take().iter().for_each(&mut miss);
                        self.go_past(event.global_position().get());
                        if give(event)? == Next::Stop {
                            return Ok(());
                        }
                    }
                    Ok(None) => {
                        pending.take().iter().for_each(&mut miss);
                        return Ok(());
                    }
                    Err(error) if is_passed_over(&error) => {
                        let missing = self.missing(error);
                        self.go_past(missing.last);
                        if self.direction == Direction::Backward {
                            self.go_past(missing.first);
                        }
                        let is_taken = pending.as_mut().is_some_and(|it| it.takes_up(&missing));
                        if !is_taken {
                            pending.replace(missing).iter().for_each(&mut miss);
                        }
                        break;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
        pending.iter().for_each(&mut miss);
        Ok(())
    }

    /// Returns what an error takes of the positions that are left: what it names, and at least the next one.
    fn missing(&self, error: Error) -> Missing {
        let next = match self.direction {
            Direction::Forward => self.first,
            Direction::Backward => self.last,
        };
        let (file, offset, reason, named) = match error {
            Error::Damage(damage) => {
                let named = damage.first_lost.map(|first| {
                    let good = damage.first_good_after.map(GlobalPosition::previous);
                    (first.get(), good.map_or(self.last, GlobalPosition::get))
                });
                (damage.file, damage.offset, damage.reason, named)
            }
            Error::Read { path, offset, source } => (path, offset, source.to_string(), None),
            other => (PathBuf::new(), 0, other.to_string(), None),
        };
        let named = named.map(|(first, last)| (first.max(self.first), last.min(self.last)));
        // What does not lead on from where the walk stands says nothing about it.
        let leads_on = |(first, last): &(u64, u64)| match self.direction {
            Direction::Forward => *last >= next && first <= last,
            Direction::Backward => *first <= next && first <= last,
        };
        let (first, last) = named.filter(leads_on).unwrap_or((next, next));
        // Positions between the walk and what is named were given up by a repair: they are no loss of now.
        Missing { first, last, file, offset, reason }
    }
}

#[cfg(test)]
mod tests {
    use annals::Damage;

    use super::*;

    fn damage(lost: Option<u64>, good: Option<u64>) -> Error {
        let (file, reason) = ("log".into(), "bad".to_owned());
        let first_lost = lost.map(GlobalPosition::new);
        let first_good_after = good.map(GlobalPosition::new);
        Damage { file, offset: 8, reason, first_lost, first_good_after }.into()
    }

    fn taken(walk: Walk, error: Error) -> (u64, u64) {
        let Missing { first, last, .. } = walk.missing(error);
        (first, last)
    }

    #[test]
    fn an_error_takes_what_it_names_or_the_next_position() {
        let forward = Walk { first: 5, last: 20, direction: Direction::Forward };
        assert_eq!(taken(forward, damage(Some(5), Some(9))), (5, 8));
        assert_eq!(taken(forward, damage(Some(3), Some(9))), (5, 8));
        assert_eq!(taken(forward, damage(Some(7), None)), (7, 20));
        assert_eq!(taken(forward, damage(None, None)), (5, 5));
        assert_eq!(taken(forward, damage(Some(2), Some(4))), (5, 5));
        let backward = Walk { direction: Direction::Backward, ..forward };
        assert_eq!(taken(backward, damage(Some(18), Some(30))), (18, 20));
        assert_eq!(taken(backward, damage(Some(3), None)), (5, 20));
        assert_eq!(taken(backward, damage(None, Some(9))), (20, 20));
    }

    #[test]
    fn what_is_missing_side_by_side_for_one_reason_is_one() {
        let walk = Walk { first: 5, last: 20, direction: Direction::Forward };
        let mut one = walk.missing(damage(Some(5), Some(7)));
        assert!(one.takes_up(&walk.missing(damage(Some(7), Some(8)))));
        assert_eq!((one.first, one.last, one.count()), (5, 7, 3));
        assert!(!one.takes_up(&walk.missing(damage(Some(9), Some(10)))));
        assert!(one.to_string().starts_with("missing: positions 5 to 7: log at offset 8: bad"));
    }
}
