//! Reads the events at positions, a batch located ahead of use.
//!
//! An event that is not in the processor's caches costs waits for memory, for its location and for
//! itself. Asked for one event after another they add up; asked
//! for a batch at once they overlap. Nothing here decides what is read.

use std::sync::Arc;

use super::log::SegmentTable;
use super::reader::Reader;
use crate::error::{Error, Result};
use crate::event::RecordedEvent;
use crate::format::Location;
use crate::io::Disk;
use crate::position::GlobalPosition;

/// Positions that are located at once, once a read has shown that it goes on.
const BATCH_MAX: usize = 16;

/// The events at the positions that an iterator gives. Ends after an error.
pub(crate) struct Ahead<D: Disk, I> {
    reader: Arc<Reader<D>>,
    positions: I,
    /// How many positions the next batch takes.
    batch_size: usize,
    located: Vec<(GlobalPosition, Location)>,
    /// In which of the segments each of them lies.
    numbers: [Option<usize>; BATCH_MAX],
    /// The segments as the read began: it goes no further than what was durable then.
    segments: Arc<SegmentTable<D>>,
    /// How many of them have been given.
    given: usize,
    /// What comes after the batch in place of an event.
    failed: Option<Error>,
}

impl<D: Disk, I: Iterator<Item = Result<GlobalPosition>>> Ahead<D, I> {
    /// Starts with batches of the number of events that are likely to be asked for.
    pub(crate) fn new(reader: Arc<Reader<D>>, positions: I, likely: u64) -> Self {
        let batch_size = usize::try_from(likely).unwrap_or(usize::MAX).clamp(1, BATCH_MAX);
        let (located, segments) = (Vec::new(), reader.log().segments());
        let numbers = [None; BATCH_MAX];
        Self { reader, positions, batch_size, located, numbers, segments, given: 0, failed: None }
    }

    fn locate_batch(&mut self) {
        self.given = 0;
        self.located.clear();
        let mut positions = [GlobalPosition::ZERO; BATCH_MAX];
        let mut count = 0;
        for (slot, position) in positions.iter_mut().take(self.batch_size).zip(&mut self.positions)
        {
            match position {
                Ok(position) => *slot = position,
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
            count += 1;
        }
        self.batch_size = (self.batch_size * 2).min(BATCH_MAX);
        let positions = positions.get(..count).unwrap_or_default();
        if let Err(error) = self.reader.locate_all(positions, &mut self.located) {
            self.failed = Some(error);
        }
        self.fetch_batch();
    }

    /// Begins to fetch the events that are located, and keeps where each was found.
    fn fetch_batch(&mut self) {
        for (slot, (_, location)) in self.numbers.iter_mut().zip(&self.located) {
            *slot = self.segments.number_at(*location);
            if let Some(segment) = slot.and_then(|number| self.segments.get(number)) {
                segment.fetch(*location);
            }
        }
    }
}

impl<D: Disk, I: Iterator<Item = Result<GlobalPosition>>> Iterator for Ahead<D, I> {
    type Item = Result<RecordedEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.given == self.located.len() && self.failed.is_none() {
            self.locate_batch();
        }
        let Some((position, location)) = self.located.get(self.given).copied() else {
            return self.failed.take().map(Err);
        };
        let number = self.numbers.get(self.given).copied().flatten();
        let segment = number.and_then(|number| self.segments.get(number));
        self.given += 1;
        Some(self.reader.event_in(segment, position, location))
    }
}
