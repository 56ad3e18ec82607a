//! The newest part of the index, in memory: one writer adds, many readers look up.
//!
//! Covers one interval of positions without a gap. Holds at most [`MEMTABLE_EVENTS_MAX`] events before it is frozen and written as a run.

use std::collections::{HashMap, hash_map};
use std::hash::{BuildHasherDefault, Hasher};

use parking_lot::RwLock;

use super::term::{EventTerms, TermHash};
use crate::error::Error;
use crate::format::{IdTimes, Location, Resume};
use crate::position::GlobalPosition;

/// Events of a memtable: what opening has to read again at most, in some milliseconds.
pub(crate) const MEMTABLE_EVENTS_MAX: usize = 65_536;

/// Where an event is and what it is looked up by.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) position: GlobalPosition,
    pub(crate) location: Location,
    pub(crate) terms: EventTerms<'a>,
}

/// An interval of the index in memory.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    tables: RwLock<Tables>,
}

/// What a memtable holds.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// The first position; 0 while there is none.
    pub(crate) first: GlobalPosition,
    /// The location of every position from the first on.
    pub(crate) locations: Vec<Location>,
    /// Postings counted from the first position.
    pub(crate) postings: Postings,
    pub(crate) posting_count: u64,
    pub(crate) id_times: IdTimes,
    /// Where the log goes on behind the last event.
    pub(crate) resume: Option<Resume>,
}

type Postings = HashMap<TermHash, Slots, Unhashed>;

/// The postings of a term, ascending. Most terms have one: it takes no memory of its own.
#[derive(Debug)]
pub(crate) enum Slots {
    One(u32),
    Many(Vec<u32>),
}

impl Slots {
    pub(crate) fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(slot) => std::slice::from_ref(slot),
            Self::Many(slots) => slots,
        }
    }

    /// Adds a posting that follows the last; returns whether it was new.
    fn push(&mut self, slot: u32) -> bool {
        match self {
            Self::One(last) if *last == slot => false,
            Self::One(first) => {
                *self = Self::Many(vec![*first, slot]);
                true
            }
            Self::Many(slots) if slots.last() == Some(&slot) => false,
            Self::Many(slots) => {
                slots.push(slot);
                true
            }
        }
    }
}

impl Memtable {
    /// Adds the events of a frame, which follow the last one.
    ///
    /// # Errors
    ///
    /// `Error::Internal` when one does not follow the one before: it would be looked up elsewhere.
    pub(crate) fn add<'a>(
        &self,
        entries: impl IntoIterator<Item = Entry<'a>>,
        resume: Resume,
    ) -> Result<(), Error> {
        let mut tables = self.tables.write();
        let tables = &mut *tables;
        for Entry { position, location, terms } in entries {
            if tables.locations.is_empty() {
                tables.first = position;
            }
            let distance = position.distance_from(tables.first);
            let follows = distance == tables.locations.len() as u64 && position >= tables.first;
            let slot =
                u32::try_from(distance).ok().filter(|_| follows).ok_or_else(does_not_follow)?;
            tables.locations.push(location);
            tables.id_times.add(terms.id_time);
            for term in terms.hashes {
                let is_new = match tables.postings.entry(*term) {
                    hash_map::Entry::Vacant(vacant) => {
                        vacant.insert(Slots::One(slot));
                        true
                    }
                    hash_map::Entry::Occupied(mut occupied) => occupied.get_mut().push(slot),
                };
                tables.posting_count += u64::from(is_new);
            }
        }
        tables.resume = Some(resume);
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.tables.read().locations.len()
    }

    /// Returns the first position, 0 in an empty table.
    pub(crate) fn first_position(&self) -> GlobalPosition {
        self.tables.read().first
    }

    /// Returns the last position, 0 in an empty table.
    pub(crate) fn last_position(&self) -> GlobalPosition {
        let tables = self.tables.read();
        tables.first.advanced_by(tables.locations.len() as u64).previous()
    }

    pub(crate) fn resume(&self) -> Option<Resume> {
        self.tables.read().resume
    }

    /// Looks at everything at once, as for writing a run.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Tables) -> T) -> T {
        look(&self.tables.read())
    }

    /// Returns where a position is; `None` for one that is not in the table.
    pub(crate) fn locate(&self, position: GlobalPosition) -> Option<Location> {
        let tables = self.tables.read();
        if position < tables.first {
            return None;
        }
        let slot = usize::try_from(position.distance_from(tables.first)).ok()?;
        tables.locations.get(slot).copied()
    }

    /// Tells whether an event at `position` or later has one of the terms.
    pub(crate) fn has_any_from(
        &self,
        mut terms: impl Iterator<Item = TermHash>,
        position: GlobalPosition,
    ) -> bool {
        let tables = self.tables.read();
        terms.any(|term| {
            let last = tables.postings.get(&term).and_then(|list| list.as_slice().last());
            last.is_some_and(|slot| tables.first.advanced_by((*slot).into()) >= position)
        })
    }

    /// Tells whether an event has one of the terms.
    pub(crate) fn has_any(&self, mut terms: impl Iterator<Item = TermHash>) -> bool {
        let tables = self.tables.read();
        terms.any(|term| tables.postings.contains_key(&term))
    }

    /// Asks the postings of a term, which are counted from the first position.
    pub(crate) fn postings<T>(&self, term: TermHash, ask: impl FnOnce(&[u32]) -> T) -> T {
        ask(self.tables.read().postings.get(&term).map(Slots::as_slice).unwrap_or_default())
    }
}

#[cold]
fn does_not_follow() -> Error {
    Error::Internal { invariant: "the events of a memtable follow each other, up to 2^32" }
}

/// For tables of terms, which are hashed already.
pub(crate) type Unhashed = BuildHasherDefault<Identity>;

/// Passes a hash through.
#[derive(Debug, Default)]
pub(crate) struct Identity(u64);

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
