//! The postings of one term over the whole store, asked for by leaping.
//!
//! Sees the index as it was when it was made; what is added later lies behind everything that its
//! reader may see. A part that turns out to be unusable is mended and asked again.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::memtable::Memtable;
use super::run::{List, Run, Unusable};
use super::term::TermHash;
use super::{Index, Part, Parts};
use crate::error::Result;
use crate::format::IdTime;
use crate::io::{Disk, DiskFile};
use crate::position::GlobalPosition;

/// The positions of the events that have a term, ascending.
pub(crate) struct Postings<D: Disk> {
    index: Arc<Index<D>>,
    term: TermHash,
    /// What the event id tells of its time, of which the term is the hash.
    id_time: Option<IdTime>,
    parts: Arc<Parts<D>>,
    /// The list of each run, once it was looked for.
    found: Vec<Option<Option<List>>>,
}

/// Postings of a table that are taken along with one, as many as a block of a run has at most.
const AT_HAND_MAX: usize = 256;

/// Which of the postings is asked for.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    FirstFrom(GlobalPosition),
    LastTo(GlobalPosition),
    AtRank(u64),
}

impl<D: Disk> Postings<D> {
    pub(super) fn new(index: Arc<Index<D>>, term: TermHash, id_time: Option<IdTime>) -> Self {
        let parts = index.parts();
        let found = vec![None; parts.sealed.len()];
        let runs = parts.sealed.iter().filter_map(|part| match part {
            Part::Run(run) => Some(run).filter(|run| run.may_hold_id(id_time)),
            Part::Table(_) => None,
        });
        runs.for_each(|run| run.fetch(term));
        Self { index, term, id_time, parts, found }
    }

    /// Returns the first posting at `position` or later.
    pub(crate) fn first_from(
        &mut self,
        position: GlobalPosition,
    ) -> Result<Option<GlobalPosition>> {
        self.ask(Wanted::FirstFrom(position))
    }

    /// As [`first_from`](Self::first_from), and appends to `behind` some of the postings that follow it
    /// without another between, as many as are at hand.
    pub(crate) fn some_from(
        &mut self,
        position: GlobalPosition,
        behind: &mut VecDeque<GlobalPosition>,
    ) -> Result<Option<GlobalPosition>> {
        let found = self.first_from(position)?;
        if let Some(found) = found {
            self.push_read_behind(found, behind);
        }
        Ok(found)
    }

    fn push_read_behind(&self, found: GlobalPosition, behind: &mut VecDeque<GlobalPosition>) {
        let parts = &self.parts.sealed;
        let number = parts.partition_point(|part| part.last_position() < found);
        let part = parts.get(number);
        let first = part.map_or_else(|| self.parts.active.first_position(), Part::first_position);
        let Some(own) = relative(found, first) else { return };
        let mut push = |postings: &[u32]| {
            behind.extend(postings.iter().map(|one| first.advanced_by((*one).into())));
        };
        let of_table = |table: &Memtable, push: &mut dyn FnMut(&[u32])| {
            table.postings(self.term, |list| {
                let start = list.partition_point(|one| *one <= own);
                push(list.get(start..list.len().min(start + AT_HAND_MAX)).unwrap_or_default());
            });
        };
        match part {
            Some(Part::Run(_)) => {
                if let Some(Some(Some(list))) = self.found.get(number) {
                    push(list.read_behind(own));
                }
            }
            Some(Part::Table(table)) => of_table(table, &mut push),
            None => of_table(&self.parts.active, &mut push),
        }
    }

    /// Returns the last posting at `position` or earlier.
    pub(crate) fn last_to(&mut self, position: GlobalPosition) -> Result<Option<GlobalPosition>> {
        self.ask(Wanted::LastTo(position))
    }

    /// Returns the posting that `rank` others come before.
    pub(crate) fn at_rank(&mut self, rank: u64) -> Result<Option<GlobalPosition>> {
        self.ask(Wanted::AtRank(rank))
    }

    /// Asks, and again after mending a part that could not be used.
    fn ask(&mut self, wanted: Wanted) -> Result<Option<GlobalPosition>> {
        let mut mends = 0;
        loop {
            let answer = match wanted {
                Wanted::FirstFrom(position) => self.find_first(position),
                Wanted::LastTo(position) => self.find_last(position),
                Wanted::AtRank(rank) => self.find_rank(rank),
            };
            match answer {
                Ok(position) => return Ok(position),
                Err((number, fault)) => {
                    if let Some(Part::Run(run)) = self.parts.sealed.get(number) {
                        self.index.mend(run, &fault, &mut mends)?;
                    }
                    self.parts = self.index.parts();
                    self.found = vec![None; self.parts.sealed.len()];
                }
            }
        }
    }

    fn find_first(
        &mut self,
        position: GlobalPosition,
    ) -> Result<Option<GlobalPosition>, (usize, Unusable)> {
        let parts = Arc::clone(&self.parts);
        let start = parts.sealed.partition_point(|part| part.last_position() < position);
        for (number, part) in parts.sealed.iter().enumerate().skip(start) {
            let first = part.first_position();
            let Some(from) = relative(position, first) else { continue };
            let found = match part {
                Part::Run(run) => match self.list(number, run)? {
                    Some(list) => list.first_from(run, from).map_err(|fault| (number, fault))?,
                    None => None,
                },
                Part::Table(table) => table_first_from(table, self.term, from),
            };
            if let Some(found) = found {
                return Ok(Some(first.advanced_by(found.into())));
            }
        }
        let active = &parts.active;
        let first = active.first_position();
        if first == GlobalPosition::ZERO {
            return Ok(None);
        }
        let from = relative(position, first);
        let found = from.and_then(|from| table_first_from(active, self.term, from));
        Ok(found.map(|found| first.advanced_by(found.into())))
    }

    fn find_last(
        &mut self,
        position: GlobalPosition,
    ) -> Result<Option<GlobalPosition>, (usize, Unusable)> {
        let parts = Arc::clone(&self.parts);
        let active = &parts.active;
        let first = active.first_position();
        if first > GlobalPosition::ZERO
            && first <= position
            && let Some(to) = relative(position, first)
            && let Some(found) = table_last_to(active, self.term, to)
        {
            return Ok(Some(first.advanced_by(found.into())));
        }
        for (number, part) in parts.sealed.iter().enumerate().rev() {
            let first = part.first_position();
            if first > position {
                continue;
            }
            let Some(to) = relative(position.min(part.last_position()), first) else { continue };
            let found = match part {
                Part::Run(run) => match self.list(number, run)? {
                    Some(list) => list.last_to(run, to).map_err(|fault| (number, fault))?,
                    None => None,
                },
                Part::Table(table) => table_last_to(table, self.term, to),
            };
            if let Some(found) = found {
                return Ok(Some(first.advanced_by(found.into())));
            }
        }
        Ok(None)
    }

    fn find_rank(&mut self, rank: u64) -> Result<Option<GlobalPosition>, (usize, Unusable)> {
        let parts = Arc::clone(&self.parts);
        let mut rank = rank;
        for (number, part) in parts.sealed.iter().enumerate() {
            let (count, found) = match part {
                Part::Run(run) => match self.list(number, run)? {
                    Some(list) => list_at_rank(list, run, rank).map_err(|fault| (number, fault))?,
                    None => (0, None),
                },
                Part::Table(table) => table_at_rank(table, self.term, rank),
            };
            if let Some(found) = found {
                return Ok(Some(part.first_position().advanced_by(found.into())));
            }
            rank = rank.saturating_sub(count);
        }
        let (_, found) = table_at_rank(&parts.active, self.term, rank);
        Ok(found.map(|found| parts.active.first_position().advanced_by(found.into())))
    }

    /// Returns the term's list in a run, looked up once.
    fn list(
        &mut self,
        number: usize,
        run: &Run<D::File>,
    ) -> Result<Option<&mut List>, (usize, Unusable)> {
        let no_slot = || (number, Unusable("it came after the question".to_owned()));
        let slot = self.found.get_mut(number).ok_or_else(no_slot)?;
        if slot.is_none() {
            *slot = Some(match run.may_hold_id(self.id_time) {
                true => run.find(self.term).map_err(|fault| (number, fault))?,
                false => None,
            });
        }
        Ok(slot.as_mut().and_then(Option::as_mut))
    }
}

impl<D: Disk> fmt::Debug for Postings<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postings").field("term", &self.term).finish_non_exhaustive()
    }
}

/// Counts a position from the first one of a part; what lies before it counts as the first.
fn relative(position: GlobalPosition, first: GlobalPosition) -> Option<u32> {
    u32::try_from(position.distance_from(first)).ok()
}

fn table_first_from(table: &Memtable, term: TermHash, from: u32) -> Option<u32> {
    table.postings(term, |list| list.get(list.partition_point(|one| *one < from)).copied())
}

fn table_last_to(table: &Memtable, term: TermHash, to: u32) -> Option<u32> {
    table.postings(term, |list| {
        let behind = list.partition_point(|one| *one <= to);
        list.get(behind.checked_sub(1)?).copied()
    })
}

/// Returns how many postings a list has, and the one at a rank.
fn list_at_rank<F: DiskFile>(
    list: &mut List,
    run: &Run<F>,
    rank: u64,
) -> Result<(u64, Option<u32>), Unusable> {
    let count = list.count(run)?;
    let Some(own) = u32::try_from(rank).ok().filter(|rank| *rank < count) else {
        return Ok((count.into(), None));
    };
    match list.at_rank(run, own)? {
        Some(found) => Ok((count.into(), Some(found))),
        None => Err(Unusable("a list has fewer postings than it says".to_owned())),
    }
}

/// Returns how many postings a table has, and the one at a rank.
fn table_at_rank(table: &Memtable, term: TermHash, rank: u64) -> (u64, Option<u32>) {
    table.postings(term, |list| {
        let found = usize::try_from(rank).ok().and_then(|rank| list.get(rank)).copied();
        (list.len() as u64, found)
    })
}
