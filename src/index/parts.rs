//! The parts of an index, and which of them a position is in.
//!
//! Intervals follow each other: what is sealed on the disk or in memory, then the table that grows.

use std::sync::Arc;

use super::memtable::Memtable;
use super::run::{Interval, Run, Unusable};
use crate::format::{Location, Resume};
use crate::io::Disk;
use crate::position::GlobalPosition;

/// The parts of an index.
pub(super) struct Parts<D: Disk> {
    /// Parts that no event is added to any more, oldest first.
    pub(super) sealed: Vec<Part<D>>,
    pub(super) active: Arc<Memtable>,
}

/// A part over one interval of positions.
pub(super) enum Part<D: Disk> {
    Run(Arc<Run<D::File>>),
    Table(Arc<Memtable>),
}

/// Where an event is, or the run that can not tell and what is wrong with it.
type Located<'a, D> = Result<Option<Location>, (&'a Arc<Run<<D as Disk>::File>>, Unusable)>;

impl<D: Disk> Clone for Part<D> {
    fn clone(&self) -> Self {
        match self {
            Self::Run(run) => Self::Run(Arc::clone(run)),
            Self::Table(table) => Self::Table(Arc::clone(table)),
        }
    }
}

impl<D: Disk> Parts<D> {
    /// Returns the first sealed part that ends at a position or behind it.
    #[inline]
    pub(super) fn sealed_to(&self, position: GlobalPosition) -> Option<&Part<D>> {
        let number = self.sealed.partition_point(|part| part.last_position() < position);
        self.sealed.get(number)
    }

    /// Returns where the event with a position is, or the run that can not tell.
    pub(super) fn locate(&self, position: GlobalPosition) -> Located<'_, D> {
        self.locate_in(self.sealed_to(position), position)
    }

    /// As [`locate`](Self::locate), where [`sealed_to`](Self::sealed_to) has been asked.
    pub(super) fn locate_in<'a>(
        &'a self,
        part: Option<&'a Part<D>>,
        position: GlobalPosition,
    ) -> Located<'a, D> {
        match part {
            None => Ok(self.active.locate(position)),
            Some(part) if position < part.first_position() => Ok(None),
            Some(Part::Table(table)) => Ok(table.locate(position)),
            Some(Part::Run(run)) => run.locate(position).map(Some).map_err(|fault| (run, fault)),
        }
    }
}

impl<D: Disk> Part<D> {
    pub(super) fn first_position(&self) -> GlobalPosition {
        match self {
            Self::Run(run) => run.header().first_position,
            Self::Table(table) => table.first_position(),
        }
    }

    pub(super) fn last_position(&self) -> GlobalPosition {
        match self {
            Self::Run(run) => run.header().last_position,
            Self::Table(table) => table.last_position(),
        }
    }

    pub(super) fn interval(&self) -> Interval {
        (self.first_position(), self.last_position())
    }

    pub(super) fn resume(&self) -> Option<Resume> {
        match self {
            Self::Run(run) => Some(run.header().resume),
            Self::Table(table) => table.resume(),
        }
    }

    pub(super) fn as_run(&self) -> Option<Arc<Run<D::File>>> {
        match self {
            Self::Run(run) => Some(Arc::clone(run)),
            Self::Table(_) => None,
        }
    }

    pub(super) fn as_table(&self) -> Option<Arc<Memtable>> {
        match self {
            Self::Table(table) => Some(Arc::clone(table)),
            Self::Run(_) => None,
        }
    }
}
