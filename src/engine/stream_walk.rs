//! Follows the postings of one stream, in either direction.
//!
//! Another stream may share the hash, so every event is asked whether it is of this one; and what
//! damage has taken out of the index is noticed by the version that is missing.

use std::collections::VecDeque;
use std::sync::Arc;

use super::ahead::Ahead;
use super::reader::Reader;
use crate::error::Result;
use crate::event::RecordedEvent;
use crate::index::Postings;
use crate::io::Disk;
use crate::position::{GlobalPosition, StreamVersion};
use crate::stream::StreamId;

/// The postings of one stream as they were when the read began.
pub(crate) struct StreamWalk<D: Disk> {
    pub(crate) reader: Arc<Reader<D>>,
    pub(crate) stream: StreamId,
    pub(crate) postings: Postings<D>,
    pub(crate) newest: GlobalPosition,
    /// How many events are likely to be asked for.
    pub(crate) likely: u64,
}

impl<D: Disk> StreamWalk<D> {
    /// Returns a posting that the event with the version does not come before: the version's own
    /// rank, which another stream with the same hash can only push back, less the events that may be
    /// lost before it.
    fn rank_of(&mut self, version: StreamVersion) -> Result<Option<GlobalPosition>> {
        let rank = version.previous().get();
        self.postings.at_rank(rank.saturating_sub(self.reader.lost_count()))
    }

    /// Gives the versions from `first` to `last`, every one of them or an error for what is lost.
    pub(crate) fn forward(
        mut self,
        first: StreamVersion,
        last: StreamVersion,
    ) -> Result<impl Iterator<Item = Result<RecordedEvent>> + Send> {
        let start = self.rank_of(first)?;
        let Self { reader, stream, mut postings, newest, likely } = self;
        let likely = likely.min((last.get() - first.get()).saturating_add(1));
        let mut at_hand = VecDeque::new();
        let positions = successors(start, move |position| match at_hand.pop_front() {
            Some(next) => Ok(Some(next)),
            None => postings.some_from(position.next(), &mut at_hand),
        });
        let positions = positions
            .take_while(move |found| found.as_ref().map_or(true, |position| *position <= newest));
        let mut ahead = Ahead::new(Arc::clone(&reader), positions, likely);
        let mut wanted = first;
        let mut before = GlobalPosition::ZERO;
        Ok(std::iter::from_fn(move || {
            while wanted <= last {
                let next = ahead.next()?;
                let Ok(event) = &next else { return Some(next) };
                if !event.is_in(&stream) {
                    continue;
                }
                let version = event.stream_version();
                let earlier = std::mem::replace(&mut before, event.global_position());
                if version > wanted {
                    if let Some(error) = reader.lost_between(earlier, before) {
                        return Some(Err(error));
                    }
                    wanted = version;
                }
                if version == wanted && wanted <= last {
                    wanted = wanted.next();
                    return Some(next);
                }
            }
            None
        }))
    }

    /// As `forward`, from `last` to `first`.
    pub(crate) fn backward(
        mut self,
        first: StreamVersion,
        last: StreamVersion,
    ) -> Result<impl Iterator<Item = Result<RecordedEvent>> + Send> {
        let start = self.last_at(last)?;
        let Self { reader, stream, mut postings, likely, .. } = self;
        let likely = likely.min((last.get() - first.get()).saturating_add(1));
        let positions = successors(start, move |position| postings.last_to(position.previous()));
        let mut ahead = Ahead::new(Arc::clone(&reader), positions, likely);
        // The version of the event before in this walk: the one behind in the stream.
        let mut behind = StreamVersion::MAX;
        let mut later = GlobalPosition::MAX;
        let mut has_begun = false;
        Ok(std::iter::from_fn(move || {
            while behind > first {
                let event = match ahead.next()? {
                    Ok(event) if !event.is_in(&stream) => continue,
                    Ok(event) => event,
                    Err(error) => return Some(Err(error)),
                };
                let version = event.stream_version();
                let skips = std::mem::replace(&mut has_begun, true) && version.next() < behind;
                behind = version;
                let position = event.global_position();
                let later = std::mem::replace(&mut later, position);
                if skips
                    && version < last
                    && let Some(error) = reader.lost_between(position, later)
                {
                    return Some(Err(error));
                }
                if (first..=last).contains(&version) {
                    return Some(Ok(event));
                }
            }
            None
        }))
    }

    /// Returns the posting of the stream's event with this version, or of its newest one.
    fn last_at(&mut self, version: StreamVersion) -> Result<Option<GlobalPosition>> {
        let newest = self.newest;
        let mut candidate = self.rank_of(version)?.filter(|position| *position <= newest);
        while let Some(position) = candidate {
            let event = self.reader.event_at(position)?;
            if event.is_in(&self.stream) && event.stream_version() >= version {
                return Ok(Some(position));
            }
            let later = self.postings.first_from(position.next())?;
            candidate = later.filter(|position| *position <= newest);
        }
        self.postings.last_to(newest)
    }
}

/// Iterates from a position on, by asking for the next one each time. Ends after an error.
fn successors(
    start: Option<GlobalPosition>,
    mut following: impl FnMut(GlobalPosition) -> Result<Option<GlobalPosition>>,
) -> impl Iterator<Item = Result<GlobalPosition>> {
    let mut before = None;
    let mut start = start;
    std::iter::from_fn(move || {
        let found = match start.take() {
            Some(start) => Ok(Some(start)),
            None => following(before.take()?),
        };
        before = found.as_ref().ok().copied().flatten();
        found.transpose()
    })
}
