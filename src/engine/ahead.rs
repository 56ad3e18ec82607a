//! Reads the events at positions, located and fetched ahead of use.
//!
//! An event that is not in the processor's caches costs waits for memory, for its location and for
//! itself. Locations are asked for in batches, so that their waits overlap. Events are fetched two by two,
//! while others are verified: the waits for where two of them are mapped overlap, and more in a row came
//! more slowly. Nothing here decides what is read.

use std::collections::VecDeque;
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

/// Events that are being fetched at once: the next one and those behind it.
const DEPTH: usize = 8;

/// Events that are begun to be fetched in a row, once as many have been given.
const STEP: usize = 2;

/// The events at the positions that an iterator gives. Asked again after the error of an event that can
/// not be read, it gives those behind it; after any other error it ends.
pub(crate) struct Ahead<D: Disk, I> {
    reader: Arc<Reader<D>>,
    positions: I,
    /// The segments as the read began: it goes no further than what was durable then.
    segments: Arc<SegmentTable<D>>,
    /// How many positions a batch takes.
    batch_size: usize,
    /// How many events are likely to be asked for, beyond those that are located.
    likely: u64,
    located: Vec<(GlobalPosition, Location)>,
    /// How many of those located are, or have been, in `fetched`.
    taken: usize,
    /// What is given next, at most [`DEPTH`]; with each, in which of the segments it lies.
    fetched: VecDeque<(GlobalPosition, Location, Option<usize>)>,
    /// Whether nothing comes behind those that are located, but for `failed`.
    has_ended: bool,
    failed: Option<Error>,
}

impl<D: Disk, I: Iterator<Item = Result<GlobalPosition>>> Ahead<D, I> {
    /// Starts with the number of events that are likely to be asked for, at least one.
    pub(crate) fn new(reader: Arc<Reader<D>>, positions: I, likely: u64) -> Self {
        let likely = likely.max(1);
        Self {
            segments: reader.log().segments(),
            reader,
            positions,
            batch_size: usize::try_from(likely).unwrap_or(usize::MAX).min(BATCH_MAX),
            likely,
            located: Vec::new(),
            taken: 0,
            fetched: VecDeque::with_capacity(DEPTH),
            has_ended: false,
            failed: None,
        }
    }

    /// Begins to fetch what is likely to be asked for soon.
    #[inline]
    fn look_ahead(&mut self) {
        if self.fetched.len() > DEPTH - STEP {
            return;
        }
        while self.fetched.len() < DEPTH {
            let Some((position, location)) = self.located.get(self.taken).copied() else {
                if !self.is_more_wanted() {
                    return;
                }
                self.locate_batch();
                continue;
            };
            let number = self.segments.number_at(location);
            if let Some(segment) = number.and_then(|number| self.segments.get(number)) {
                segment.fetch(location);
            }
            self.fetched.push_back((position, location, number));
            self.taken += 1;
        }
    }

    /// Tells whether to locate more: what is likely to be asked for, and once all of that has been, more
    /// of it, twice as much each time until there is no end in sight.
    fn is_more_wanted(&mut self) -> bool {
        if self.likely == 0 && self.fetched.is_empty() {
            self.batch_size = (self.batch_size * 2).min(BATCH_MAX);
            self.likely = match self.batch_size {
                BATCH_MAX => u64::MAX,
                batch_size => batch_size as u64,
            };
        }
        self.likely > 0 && !self.has_ended
    }

    fn locate_batch(&mut self) {
        let wanted = usize::try_from(self.likely).unwrap_or(usize::MAX).min(self.batch_size);
        self.likely -= wanted as u64;
        let mut positions = [GlobalPosition::ZERO; BATCH_MAX];
        let mut count = 0;
        for slot in positions.iter_mut().take(wanted) {
            match self.positions.next() {
                Some(Ok(position)) => *slot = position,
                Some(Err(error)) => {
                    self.fail(error);
                    break;
                }
                None => {
                    self.has_ended = true;
                    break;
                }
            }
            count += 1;
        }
        self.located.clear();
        self.taken = 0;
        let invariant = "no more events are looked up ahead than there is room for";
        let positions = positions.get(..count).ok_or(Error::Internal { invariant });
        let located =
            positions.and_then(|positions| self.reader.locate_all(positions, &mut self.located));
        if let Err(error) = located {
            self.fail(error);
        }
    }

    /// Ends with an error behind what is located.
    fn fail(&mut self, error: Error) {
        (self.failed, self.has_ended) = (Some(error), true);
    }
}

impl<D: Disk, I: Iterator<Item = Result<GlobalPosition>>> Iterator for Ahead<D, I> {
    type Item = Result<RecordedEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        self.look_ahead();
        let Some((position, location, number)) = self.fetched.pop_front() else {
            return self.failed.take().map(Err);
        };
        let segment = number.and_then(|number| self.segments.get(number));
        Some(self.reader.event_in(segment, position, location))
    }
}
