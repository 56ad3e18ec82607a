//! Which positions a query has to look at, found by the index.
//!
//! A set of candidates is built from postings by union and intersection and walked by leaping: the
//! list that is furthest ahead says where the others go on. It may hold positions that do not match
//! (terms can share a hash), and never misses one that does.

use std::sync::Arc;

use super::holes::Holes;
use super::reader::Reader;
use super::uncovered::Positions;
use crate::error::Result;
use crate::index::{Postings, Term};
use crate::io::Disk;
use crate::position::GlobalPosition;
use crate::store::{Direction, Filter, Query, QueryItem};

/// A set of positions.
#[derive(Debug)]
pub(crate) enum Candidates<D: Disk> {
    Everything,
    Term(Postings<D>),
    /// Positions in at least one of the sets.
    AnyOf(Vec<Candidates<D>>),
    /// Positions in all of the sets.
    AllOf(Vec<Candidates<D>>),
    /// Positions in these ranges, both ends included.
    Within(Vec<Positions>),
}

impl<D: Disk> Candidates<D> {
    /// Returns the candidates for events that match a query and pass a filter.
    pub(crate) fn of(reader: &Reader<D>, query: &Query, filter: &Filter) -> Self {
        let term = |term| Self::Term(reader.postings(term));
        let matched = match query.items() {
            None => Self::Everything,
            Some(items) => Self::any_of(items.iter().map(|item| Self::of_item(reader, item))),
        };
        let tenant = filter.tenant.as_ref().map(|tenant| term(Term::Tenant(tenant.as_ref())));
        let correlation = filter.correlation_id.map(|id| term(Term::CorrelationId(id)));
        let passed = Self::of_item(reader, &filter.item);
        Self::all_of([matched, passed].into_iter().chain(tenant).chain(correlation))
    }

    fn of_item(reader: &Reader<D>, item: &QueryItem) -> Self {
        let term = |term| Self::Term(reader.postings(term));
        let types = item.event_types.iter().map(|name| term(Term::EventType(name)));
        let types = Self::any_of_named(types.collect());
        let categories = item.categories.iter().map(|name| term(Term::AggregateType(name)));
        let categories = Self::any_of_named(categories.collect());
        let tags = item.tags.iter().map(|tag| term(Term::Tag(tag)));
        Self::all_of([types, categories].into_iter().chain(tags))
    }

    /// Returns the union of the sets of some names; no name asks nothing.
    fn any_of_named(sets: Vec<Self>) -> Self {
        match sets.is_empty() {
            true => Self::Everything,
            false => Self::any_of(sets),
        }
    }

    fn any_of(sets: impl IntoIterator<Item = Self>) -> Self {
        let mut sets: Vec<_> = sets.into_iter().collect();
        match sets.iter().any(Self::are_all) {
            true => Self::Everything,
            false if sets.len() == 1 => sets.remove(0),
            false => Self::AnyOf(sets),
        }
    }

    fn all_of(sets: impl IntoIterator<Item = Self>) -> Self {
        let mut sets: Vec<_> = sets.into_iter().filter(|set| !set.are_all()).collect();
        match sets.len() {
            0 => Self::Everything,
            1 => sets.remove(0),
            _ => Self::AllOf(sets),
        }
    }

    /// Adds positions of which nothing is known: they may match, so a read has to meet them.
    pub(crate) fn or_unknown(self, unknown: &[Positions]) -> Self {
        match unknown.is_empty() {
            true => self,
            false => Self::any_of([self, Self::Within(unknown.to_vec())]),
        }
    }

    /// Tells whether every position is a candidate.
    pub(crate) fn are_all(&self) -> bool {
        matches!(self, Self::Everything)
    }

    /// Returns the first candidate at `position` or later.
    fn first_from(&mut self, position: GlobalPosition) -> Result<Option<GlobalPosition>> {
        match self {
            Self::Everything => Ok(Some(position)),
            Self::Term(postings) => postings.first_from(position),
            Self::AnyOf(sets) => {
                best(sets.iter_mut().map(|set| set.first_from(position)), Ord::min)
            }
            Self::AllOf(sets) => agree(position, sets, Self::first_from),
            Self::Within(ranges) => {
                let ahead = ranges.iter().filter(|(_, last)| *last >= position);
                Ok(ahead.map(|(first, _)| (*first).max(position)).min())
            }
        }
    }

    /// Returns the last candidate at `position` or earlier.
    fn last_to(&mut self, position: GlobalPosition) -> Result<Option<GlobalPosition>> {
        match self {
            Self::Everything => Ok((position > GlobalPosition::ZERO).then_some(position)),
            Self::Term(postings) => postings.last_to(position),
            Self::AnyOf(sets) => best(sets.iter_mut().map(|set| set.last_to(position)), Ord::max),
            Self::AllOf(sets) => agree(position, sets, Self::last_to),
            Self::Within(ranges) => {
                let behind = ranges.iter().filter(|(first, _)| *first <= position);
                Ok(behind.map(|(_, last)| (*last).min(position)).max())
            }
        }
    }

    /// Iterates over the candidates from `first` to `last`, both included, in either order; those in
    /// holes are none.
    pub(crate) fn walk(
        mut self,
        direction: Direction,
        first: GlobalPosition,
        last: GlobalPosition,
        holes: Arc<Holes>,
    ) -> impl Iterator<Item = Result<GlobalPosition>> + Send + 'static {
        let mut next = Some(match direction {
            Direction::Forward => first,
            Direction::Backward => last,
        });
        std::iter::from_fn(move || {
            let mut from = next.take()?;
            let found = loop {
                let found = match direction {
                    Direction::Forward => self.first_from(from),
                    Direction::Backward => self.last_to(from),
                };
                let Ok(Some(hole)) = found.as_ref().map(|found| holes.around((*found)?)) else {
                    break found;
                };
                from = match direction {
                    Direction::Forward => hole.next,
                    Direction::Backward => hole.first_lost.previous(),
                };
            };
            let within = |found: &GlobalPosition| (first..=last).contains(found);
            let found = found.map(|found| found.filter(within)).transpose()?;
            next = found.as_ref().ok().map(|found| match direction {
                Direction::Forward => found.next(),
                Direction::Backward => found.previous(),
            });
            Some(found)
        })
    }
}

/// Returns the better of the positions that were found, or the first error.
fn best(
    found: impl Iterator<Item = Result<Option<GlobalPosition>>>,
    better: impl Fn(GlobalPosition, GlobalPosition) -> GlobalPosition,
) -> Result<Option<GlobalPosition>> {
    let mut best = None;
    for found in found {
        best = match (best, found?) {
            (Some(one), Some(other)) => Some(better(one, other)),
            (one, other) => one.or(other),
        };
    }
    Ok(best)
}

/// Moves all sets on until they stand at the same position.
fn agree<S>(
    start: GlobalPosition,
    sets: &mut [S],
    seek: impl Fn(&mut S, GlobalPosition) -> Result<Option<GlobalPosition>>,
) -> Result<Option<GlobalPosition>> {
    let mut target = start;
    let mut agreeing = 0;
    loop {
        for set in sets.iter_mut() {
            let Some(found) = seek(set, target)? else { return Ok(None) };
            agreeing = if found == target { agreeing + 1 } else { 1 };
            target = found;
        }
        if agreeing >= sets.len() {
            return Ok(Some(target));
        }
    }
}
