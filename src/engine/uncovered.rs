//! The positions of a damaged log of which nothing is known: no part of the index covers them, so nobody
//! can tell the stream, the id or the terms of the events that stood there.
//!
//! An answer of the index is whole only where no such position can change it. Every question asks here
//! which of its positions are unknown, and gives the error for them instead of an answer that may be
//! short (CONTRACT R8). A store without damage has none: then each question costs one look at an empty
//! list.
//!
//! Invariants:
//!
//! 1. Ranges are in order and do not overlap.
//! 2. A position that may have been given out is indexed, is in a hole, or is in a range.
//! 3. What a repair has given up is in no range: it is an accepted loss.

use std::cmp::Reverse;
use std::path::PathBuf;

use super::holes::Holes;
use crate::error::{Damage, Error};
use crate::position::GlobalPosition;

/// Positions from the first to the last, both included.
pub(crate) type Positions = (GlobalPosition, GlobalPosition);

/// Every position.
pub(crate) const EVERYWHERE: Positions = (GlobalPosition::FIRST, GlobalPosition::MAX);

/// Returns the positions that are in both of two ranges; where there are none, the first is behind the last.
pub(crate) fn common(one: Positions, other: Positions) -> Positions {
    (one.0.max(other.0), one.1.min(other.1))
}

/// The damage that was found when a store was opened, and what is unknown for it.
#[derive(Debug, Default)]
pub(crate) struct Uncovered {
    /// All damage that was found, also where the index knows what stood there.
    damage: Vec<Damage>,
    ranges: Vec<Positions>,
    log: PathBuf,
}

impl Uncovered {
    /// Puts together what is unknown, given the gaps of the index up to the last durable position.
    pub(crate) fn new(
        damage: Vec<Damage>,
        gaps: &[Positions],
        holes: &Holes,
        durable: GlobalPosition,
        log: PathBuf,
    ) -> Self {
        let mut ranges = without(gaps, holes);
        let has_no_end = |one: &Damage| one.first_lost.is_some() && one.first_good_after.is_none();
        if damage.iter().any(has_no_end) {
            let first = match ranges.pop_if(|(_, last)| *last == durable) {
                Some((first, _)) => first,
                None => durable.next(),
            };
            ranges.push((first, GlobalPosition::MAX));
        }
        Self { damage, ranges, log }
    }

    /// Returns whether any damage was found, known to the index or not.
    pub(crate) fn is_damaged(&self) -> bool {
        !self.damage.is_empty()
    }

    /// Returns whether every position that was given out is known.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns the ranges of unknown positions.
    pub(crate) fn ranges(&self) -> &[Positions] {
        &self.ranges
    }

    /// Returns how many positions with known ones after them are unknown.
    pub(crate) fn count(&self) -> u64 {
        let bounded = self.ranges.iter().filter(|(_, last)| *last < GlobalPosition::MAX);
        let counts = bounded.map(|(first, last)| last.next().distance_from(*first));
        counts.fold(0, u64::saturating_add)
    }

    /// Returns the last position that a read may meet: the last durable one, unless nobody can tell how
    /// far the log went.
    pub(crate) fn end(&self, durable: GlobalPosition) -> GlobalPosition {
        match self.ranges.last() {
            Some((_, GlobalPosition::MAX)) => GlobalPosition::MAX,
            _ => durable,
        }
    }

    /// Returns the range that a position is in.
    pub(crate) fn around(&self, position: GlobalPosition) -> Option<Positions> {
        self.from(position).filter(|(first, _)| *first <= position)
    }

    fn from(&self, position: GlobalPosition) -> Option<Positions> {
        let number = self.ranges.partition_point(|(_, last)| *last < position);
        self.ranges.get(number).copied()
    }

    /// Returns the error for the first unknown position of some, if one is unknown.
    #[inline]
    pub(crate) fn first_in(&self, positions: Positions) -> Option<Error> {
        if self.is_empty() || positions.0 > positions.1 {
            return None;
        }
        let range = self.from(positions.0).filter(|(first, _)| *first <= positions.1)?;
        Some(self.error_at(range, range.0.max(positions.0)))
    }

    /// Returns the error for the last unknown position of some, if one is unknown.
    pub(crate) fn last_in(&self, positions: Positions) -> Option<Error> {
        if self.is_empty() || positions.0 > positions.1 {
            return None;
        }
        let number = self.ranges.partition_point(|(first, _)| *first <= positions.1);
        let range = number.checked_sub(1).and_then(|number| self.ranges.get(number)).copied();
        let range = range.filter(|(_, last)| *last >= positions.0)?;
        Some(self.error_at(range, range.1.min(positions.1)))
    }

    /// Returns the damage that was found to take a position, whether the index covers it or not.
    pub(crate) fn damage_at(&self, position: GlobalPosition) -> Option<&Damage> {
        let takes = |one: &&Damage| {
            one.first_lost.is_some_and(|lost| lost <= position)
                && one.first_good_after.is_none_or(|good| position < good)
        };
        // Of several the one nearest before it; of those that begin together the one that was met first.
        self.damage.iter().filter(takes).min_by_key(|one| Reverse(one.first_lost))
    }

    /// Returns the error for a position of a range: the damage that takes it, with the positions that
    /// are unknown there and no others.
    fn error_at(&self, (first, last): Positions, position: GlobalPosition) -> Error {
        let nearest = || self.damage.iter().rfind(|one| one.first_lost.is_some());
        let damage = self.damage_at(position).or_else(nearest).cloned();
        let damage = damage.unwrap_or_else(|| Damage {
            file: self.log.clone(),
            offset: 0,
            reason: "the log does not have all the events that it should have".to_owned(),
            first_lost: None,
            first_good_after: None,
        });
        let first_lost = damage
            .first_lost
            .filter(|lost| *lost <= position)
            .map_or(first, |lost| lost.max(first));
        let first_good_after = Some(last.next()).filter(|_| last < GlobalPosition::MAX);
        Damage { first_lost: Some(first_lost), first_good_after, ..damage }.into()
    }
}

/// Returns the parts of some ranges that are in no hole.
fn without(ranges: &[Positions], holes: &Holes) -> Vec<Positions> {
    let mut holes = holes.iter().filter(|hole| hole.lost_count() > 0).peekable();
    let mut left = Vec::new();
    for (first, last) in ranges {
        let mut at = *first;
        while at <= *last {
            while holes.next_if(|hole| hole.next <= at).is_some() {}
            at = match holes.peek() {
                Some(hole) if hole.first_lost <= at => hole.next,
                hole => {
                    let end = hole.map_or(*last, |hole| hole.first_lost.previous().min(*last));
                    left.push((at, end));
                    end.next()
                }
            };
        }
    }
    left
}
