//! Reads a damaged store position by position: gives every event that verifies, and says what is missing.
//!
//! Invariants:
//!
//! 1. Every position between the bounds is either given, or named as missing, or was given up by a repair.
//! 2. Each step leaves a position behind, so a walk ends whatever the store answers.
//! 3. What an error says of other positions is not believed: each is tried by itself.

use std::path::PathBuf;

use annals::{
    Direction, Error, EventStore, FileStore, Finding, GlobalPosition, GlobalRead, RecordedEvent,
    Severity,
};

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
    /// Takes one position for missing.
    fn at(position: u64, error: Error) -> Self {
        let (file, offset, reason) = match error {
            Error::Damage(damage) => (damage.file, damage.offset, damage.reason),
            Error::Read { path, offset, source } => (path, offset, source.to_string()),
            other => (PathBuf::new(), 0, other.to_string()),
        };
        Self { first: position, last: position, file, offset, reason }
    }

    /// Returns how many positions are missing; `None` where the end of the log is lost and nobody knows.
    pub(crate) fn count(&self) -> Option<u64> {
        (self.last < u64::MAX).then(|| self.last - self.first + 1)
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
        let sizes = store.stats()?;
        let end = sizes.events.saturating_add(sizes.lost);
        let lost_end = lost_end(store, end).filter(|lost| lost.first <= self.last);
        self.last = self.last.min(end);
        let mut pending = match self.direction {
            Direction::Forward => None,
            Direction::Backward => lost_end.clone(),
        };
        while !self.has_ended() {
            let reached = self.give_up_to_an_error(store, &mut |event| {
                pending.take().iter().for_each(&mut miss);
                give(event)
            })?;
            let error = match reached {
                Reached::End => break,
                Reached::Enough => return Ok(()),
                Reached::Error(error) => error,
            };
            let position = self.failing(&error);
            self.go_past(position);
            let next = match read_one(store, position)? {
                One::Event(event) => {
                    pending.take().iter().for_each(&mut miss);
                    give(&event)?
                }
                One::GivenUp => Next::GoOn,
                One::Missing(error) => {
                    let missing = Missing::at(position, error);
                    if !pending.as_mut().is_some_and(|before| before.takes_up(&missing)) {
                        pending.replace(missing).iter().for_each(&mut miss);
                    }
                    Next::GoOn
                }
            };
            if next == Next::Stop {
                return Ok(());
            }
        }
        pending.iter().for_each(&mut miss);
        if self.direction == Direction::Forward {
            lost_end.iter().for_each(miss);
        }
        Ok(())
    }

    /// Gives events up to the first that cannot be read.
    fn give_up_to_an_error(
        &mut self,
        store: &FileStore,
        give: &mut dyn FnMut(&RecordedEvent) -> Result<Next, Failure>,
    ) -> Result<Reached, Failure> {
        let options = GlobalRead::new().from(self.first).to(self.last);
        let mut events = match store.read_all(options.direction(self.direction)) {
            Ok(events) => events,
            Err(error) if is_passed_over(&error) => return Ok(Reached::Error(error)),
            Err(error) => return Err(error.into()),
        };
        loop {
            match events.advance() {
                Ok(Some(event)) => {
                    self.go_past(event.global_position().get());
                    if give(event)? == Next::Stop {
                        return Ok(Reached::Enough);
                    }
                }
                Ok(None) => return Ok(Reached::End),
                Err(error) if is_passed_over(&error) => return Ok(Reached::Error(error)),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Returns the first position that an error can be about: all before it have been given, or were given up
    /// by a repair.
    fn failing(&self, error: &Error) -> u64 {
        let named = match error {
            Error::Damage(damage) => damage.first_lost.map(GlobalPosition::get),
            _ => None,
        };
        match self.direction {
            Direction::Forward => named.unwrap_or(self.first).clamp(self.first, self.last),
            Direction::Backward => self.last,
        }
    }
}

/// How far a read got.
enum Reached {
    End,
    /// Enough was given.
    Enough,
    Error(Error),
}

/// What there is at one position.
enum One {
    Event(RecordedEvent),
    /// A repair has given it up.
    GivenUp,
    Missing(Error),
}

/// Reads one position: backward, since an event is then read where the index says that it is, whatever has
/// become of the commit around it.
fn read_one(store: &FileStore, position: u64) -> Result<One, Failure> {
    let options = GlobalRead::new().from(position).to(position).backward();
    match store.read_all(options).map_or_else(|error| Some(Err(error)), |mut read| read.next()) {
        Some(Ok(event)) => Ok(One::Event(event)),
        None => Ok(One::GivenUp),
        Some(Err(error)) if is_passed_over(&error) => Ok(One::Missing(error)),
        Some(Err(error)) => Err(error.into()),
    }
}

/// Returns what opening the store has found to be lost behind the last event that can be read.
fn lost_end(store: &FileStore, end: u64) -> Option<Missing> {
    let is_behind = |finding: &&Finding| {
        let is_lost = finding.first_lost.is_some_and(|first| first.get() > end);
        finding.severity == Severity::Damage && is_lost && finding.first_good_after.is_none()
    };
    let finding = store.findings().iter().find(is_behind)?;
    Some(Missing {
        first: finding.first_lost?.get(),
        last: u64::MAX,
        file: finding.file.clone(),
        offset: finding.offset,
        reason: finding.what.clone(),
    })
}

#[cfg(test)]
mod tests {
    use annals::Damage;

    use super::*;

    fn damage(first_lost: Option<u64>) -> Error {
        let (file, reason) = ("log".into(), "bad".to_owned());
        let first_lost = first_lost.map(GlobalPosition::new);
        Damage { file, offset: 8, reason, first_lost, first_good_after: None }.into()
    }

    #[test]
    fn an_error_is_about_the_position_that_it_names_or_the_next_one() {
        let forward = Walk { first: 5, last: 20, direction: Direction::Forward };
        for (named, failing) in [(None, 5), (Some(3), 5), (Some(7), 7), (Some(99), 20)] {
            assert_eq!(forward.failing(&damage(named)), failing);
        }
        let backward = Walk { direction: Direction::Backward, ..forward };
        assert_eq!(backward.failing(&damage(Some(7))), 20);
    }

    #[test]
    fn what_is_missing_side_by_side_for_one_reason_is_one() {
        let mut one = Missing::at(5, damage(None));
        assert!(one.takes_up(&Missing::at(6, damage(None))));
        assert!(one.takes_up(&Missing::at(4, damage(None))));
        assert!(!one.takes_up(&Missing::at(8, damage(None))));
        assert_eq!(one.count(), Some(3));
        assert_eq!(one.to_string(), "missing: positions 4 to 6: log at offset 8: bad");
        one.last = u64::MAX;
        assert_eq!(one.count(), None);
        assert!(one.to_string().starts_with("missing: positions from 4 on: "));
    }
}
