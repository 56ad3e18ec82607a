//! What is found without reading the log: positions to locations, and terms to positions.
//!
//! Everything here is derived from the log and can be made again from it. A term is anything an
//! event is looked up by (its stream, its id, its type, a tag ...), hashed to 64 bits with a key of
//! the store; its postings are the positions of the events that have it, ascending. Two terms may
//! share a hash: whoever follows a posting must check the event itself.
//!
//! Invariants:
//!
//! 1. Positions are appended in order, and only of events that are durable.
//! 2. A term that an event has is never missing from that term's postings.

#![forbid(unsafe_code)]

mod term;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use parking_lot::RwLock;

pub(crate) use term::{Term, TermHash, TermHasher, TermList};

use crate::format::Location;
use crate::position::GlobalPosition;

/// The index of a store, in memory: made anew at every opening.
#[derive(Debug, Default)]
pub(crate) struct Index {
    tables: RwLock<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    /// Ascending: one, and one more behind every gap of lost positions.
    stretches: Vec<Stretch>,
    postings: HashMap<TermHash, Vec<GlobalPosition>, BuildHasherDefault<Identity>>,
}

/// The locations of positions that follow each other.
#[derive(Debug)]
struct Stretch {
    first: GlobalPosition,
    locations: Vec<Location>,
}

impl Stretch {
    fn next_position(&self) -> GlobalPosition {
        self.first.advanced_by(self.locations.len() as u64)
    }
}

/// Where an event is and what it is looked up by.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) position: GlobalPosition,
    pub(crate) location: Location,
    pub(crate) terms: &'a [TermHash],
}

impl Index {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds events in the order of their positions; positions that are passed over are lost ones.
    pub(crate) fn append<'a>(&self, entries: impl IntoIterator<Item = Entry<'a>>) {
        let mut tables = self.tables.write();
        for Entry { position, location, terms } in entries {
            match tables.stretches.last_mut().filter(|last| last.next_position() == position) {
                Some(last) => last.locations.push(location),
                None => {
                    tables.stretches.push(Stretch { first: position, locations: vec![location] });
                }
            }
            for term in terms {
                let postings = tables.postings.entry(*term).or_default();
                if postings.last() != Some(&position) {
                    postings.push(position);
                }
            }
        }
    }

    /// Returns where the event with a position is; `None` for one that is lost or not yet there.
    pub(crate) fn locate(&self, position: GlobalPosition) -> Option<Location> {
        let tables = self.tables.read();
        let behind = tables.stretches.partition_point(|stretch| stretch.first <= position);
        let stretch = tables.stretches.get(behind.checked_sub(1)?)?;
        let slot = usize::try_from(position.distance_from(stretch.first)).ok()?;
        stretch.locations.get(slot).copied()
    }

    /// Returns the postings of a term.
    pub(crate) fn postings(self: &Arc<Self>, term: TermHash) -> Postings {
        Postings { index: Arc::clone(self), term }
    }
}

/// The positions of the events that have a term, ascending; it grows as events are added.
#[derive(Debug, Clone)]
pub(crate) struct Postings {
    index: Arc<Index>,
    term: TermHash,
}

impl Postings {
    /// Returns the first posting at `position` or later.
    pub(crate) fn first_from(&self, position: GlobalPosition) -> Option<GlobalPosition> {
        self.with(|list| list.get(list.partition_point(|one| *one < position)).copied())
    }

    /// Returns the last posting at `position` or earlier.
    pub(crate) fn last_to(&self, position: GlobalPosition) -> Option<GlobalPosition> {
        self.with(|list| {
            let behind = list.partition_point(|one| *one <= position);
            list.get(behind.checked_sub(1)?).copied()
        })
    }

    /// Returns the posting that `rank` others come before.
    pub(crate) fn at_rank(&self, rank: u64) -> Option<GlobalPosition> {
        self.with(|list| list.get(usize::try_from(rank).ok()?).copied())
    }

    fn with<T>(&self, ask: impl FnOnce(&[GlobalPosition]) -> Option<T>) -> Option<T> {
        self.index.tables.read().postings.get(&self.term).and_then(|list| ask(list))
    }
}

/// Passes a hash through: terms are hashed already.
#[derive(Debug, Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postings_are_found_from_both_sides_and_by_rank() {
        let index = Arc::new(Index::new());
        let term = TermHash::new(7);
        for position in [2_u64, 5, 9] {
            let location = Location::new(position * 100);
            let terms = [term];
            index.append([Entry { position: position.into(), location, terms: &terms }]);
        }
        let postings = index.postings(term);
        let position = |number: u64| Some(GlobalPosition::new(number));
        assert_eq!(postings.first_from(GlobalPosition::new(3)), position(5));
        assert_eq!(postings.first_from(GlobalPosition::new(5)), position(5));
        assert_eq!(postings.first_from(GlobalPosition::new(10)), None);
        assert_eq!(postings.last_to(GlobalPosition::new(8)), position(5));
        assert_eq!(postings.last_to(GlobalPosition::new(1)), None);
        assert_eq!(postings.at_rank(2), position(9));
        assert_eq!(index.locate(GlobalPosition::new(5)), Some(Location::new(500)));
        assert_eq!(index.locate(GlobalPosition::new(4)), None, "a position that was passed over");
        assert_eq!(index.locate(GlobalPosition::ZERO), None);
    }
}
