//! Follows the postings of one stream, in either direction.
//!
//! Another stream may share the hash, so every event is asked whether it is of this one. What damage has
//! taken out of the index is noticed by a version that is missing, and where no later version shows that
//! none is, by the positions that are unknown.

use std::collections::VecDeque;
use std::sync::Arc;

use super::ahead::Ahead;
use super::reader::Reader;
use super::uncovered::{Positions, common};
use crate::error::{Error, Result};
use crate::event::RecordedEvent;
use crate::index::Postings;
use crate::io::Disk;
use crate::position::{GlobalPosition, StreamVersion};
use crate::store::Direction;
use crate::stream::StreamId;

/// The postings of one stream as they were when the read began.
pub(crate) struct StreamWalk<D: Disk> {
    pub(crate) reader: Arc<Reader<D>>,
    pub(crate) stream: StreamId,
    pub(crate) postings: Postings<D>,
    pub(crate) newest: GlobalPosition,
    /// How many events are likely to be asked for.
    pub(crate) likely: u64,
    /// Among which positions an unknown one may be of an event that is asked for.
    pub(crate) relevant: Positions,
}

/// How many events that are not asked for a walk may meet first: as many as may be missing from the
/// postings. One of them that can not be read is no error if a later one shows that it was not asked
/// for.
#[derive(Debug)]
struct Slack {
    left: u64,
    held: Option<Error>,
}

impl Slack {
    /// Holds the error of an event that may not be asked for; returns the one with which the walk ends,
    /// if it does.
    fn hold(&mut self, error: Error) -> Option<Error> {
        if self.left == 0 || !is_of_an_event(&error) {
            return Some(self.held.take().unwrap_or(error));
        }
        self.left -= 1;
        self.held.get_or_insert(error);
        None
    }

    /// Takes note that an event that is asked for was given: all that follow are.
    fn end(&mut self) {
        (self.left, self.held) = (0, None);
    }
}

impl<D: Disk> StreamWalk<D> {
    /// Returns how many events may come before the one with a version in the postings, of those that
    /// begin where it can be at the earliest.
    fn slack_before(&self, version: StreamVersion) -> Slack {
        let left = self.reader.missing_max().min(version.previous().get());
        Slack { left, held: None }
    }

    /// Returns a posting that the event with the version does not come before: the version's own
    /// rank, which another stream with the same hash can only push back, less the events that may be
    /// lost before it.
    fn rank_of(&mut self, version: StreamVersion, slack: &Slack) -> Result<Option<GlobalPosition>> {
        self.postings.at_rank(version.previous().get() - slack.left)
    }

    /// Gives the versions from `first` to `last`, every one of them or an error for what is lost.
    pub(crate) fn forward(
        mut self,
        first: StreamVersion,
        last: StreamVersion,
    ) -> Result<impl Iterator<Item = Result<RecordedEvent>> + Send> {
        let mut slack = self.slack_before(first);
        let start = self.rank_of(first, &slack)?;
        let Self { reader, stream, mut postings, newest, likely, relevant } = self;
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
                let event = match ahead.next() {
                    Some(Ok(event)) if !event.is_in(&stream) => continue,
                    Some(Ok(event)) => event,
                    Some(Err(error)) => match slack.hold(error) {
                        Some(error) => return Some(Err(error)),
                        None => continue,
                    },
                    None => {
                        let held = slack.held.take();
                        let lost = held.or_else(|| lost_behind(&reader, &stream, before, relevant));
                        return lost.map(Err);
                    }
                };
                let version = event.stream_version();
                let earlier = std::mem::replace(&mut before, event.global_position());
                if version > wanted {
                    let held = slack.held.take();
                    let (order, between) = (Direction::Forward, (earlier, before));
                    let lost = held.or_else(|| reader.lost_between(between, order, relevant));
                    if let Some(error) = lost {
                        return Some(Err(error));
                    }
                    wanted = version;
                }
                slack.held = None;
                if version == wanted && wanted <= last {
                    slack.end();
                    wanted = wanted.next();
                    return Some(Ok(event));
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
        let mut slack = self.slack_before(last);
        let start = self.last_at(last, &slack)?;
        let Self { reader, stream, mut postings, likely, relevant, .. } = self;
        let likely = likely.min((last.get() - first.get()).saturating_add(1));
        let positions = successors(start, move |position| postings.last_to(position.previous()));
        let mut ahead = Ahead::new(Arc::clone(&reader), positions, likely);
        // The event before in this walk: the one behind in the stream.
        let mut behind: Option<(StreamVersion, GlobalPosition)> = None;
        Ok(std::iter::from_fn(move || {
            while behind.is_none_or(|(version, _)| version > first) {
                let event = match ahead.next() {
                    Some(Ok(event)) if !event.is_in(&stream) => continue,
                    Some(Ok(event)) => event,
                    Some(Err(error)) => match slack.hold(error) {
                        Some(error) => return Some(Err(error)),
                        None => continue,
                    },
                    None => {
                        let held = slack.held.take();
                        let lost = held.or_else(|| {
                            lost_before(&reader, GlobalPosition::ZERO, behind, relevant)
                        });
                        return lost.map(Err);
                    }
                };
                let (version, position) = (event.stream_version(), event.global_position());
                let behind = behind.replace((version, position));
                let skips = behind.is_none_or(|(behind, _)| version.next() < behind);
                if skips && version < last {
                    let held = slack.held.take();
                    let lost = held.or_else(|| lost_before(&reader, position, behind, relevant));
                    if let Some(error) = lost {
                        return Some(Err(error));
                    }
                }
                slack.held = None;
                if (first..=last).contains(&version) {
                    slack.end();
                    return Some(Ok(event));
                }
            }
            None
        }))
    }

    /// Returns the posting of the stream's event with this version, or of its newest one; of one that can
    /// not be read where it may be that.
    fn last_at(&mut self, version: StreamVersion, slack: &Slack) -> Result<Option<GlobalPosition>> {
        let newest = self.newest;
        let mut unread_left = slack.left;
        let mut candidate = self.rank_of(version, slack)?.filter(|position| *position <= newest);
        while let Some(position) = candidate {
            match self.reader.event_at(position) {
                Ok(event) if event.is_in(&self.stream) && event.stream_version() >= version => {
                    return Ok(Some(position));
                }
                Ok(_) => {}
                Err(error) if !is_of_an_event(&error) => return Err(error),
                Err(_) if unread_left == 0 => return Ok(Some(position)),
                Err(_) => unread_left -= 1,
            }
            let later = self.postings.first_from(position.next())?;
            candidate = later.filter(|position| *position <= newest);
        }
        self.postings.last_to(newest)
    }
}

/// Returns the error for what may be lost of a stream behind the last event of it that was read, or if
/// none was, behind the last that is known.
fn lost_behind<D: Disk>(
    reader: &Reader<D>,
    stream: &StreamId,
    last_read: GlobalPosition,
    relevant: Positions,
) -> Option<Error> {
    if reader.uncovered().is_empty() {
        return None;
    }
    let last = match last_read {
        GlobalPosition::ZERO => match reader.last_of(stream, reader.durable()) {
            Ok(last) => last.map(|event| event.global_position()).unwrap_or_default(),
            Err(error) => return Some(error),
        },
        last => last,
    };
    let behind = (last.next(), GlobalPosition::MAX);
    reader.uncovered().first_in(common(behind, relevant))
}

/// Returns the error for what is lost of a stream between a position and the event behind it, or where
/// none is known, up to the end.
fn lost_before<D: Disk>(
    reader: &Reader<D>,
    position: GlobalPosition,
    behind: Option<(StreamVersion, GlobalPosition)>,
    relevant: Positions,
) -> Option<Error> {
    match behind {
        Some((_, behind)) => reader.lost_between((position, behind), Direction::Backward, relevant),
        None => {
            let behind = (position.next(), GlobalPosition::MAX);
            reader.uncovered().last_in(common(behind, relevant))
        }
    }
}

/// Returns whether an error says that an event can not be read, and nothing of those beside it.
fn is_of_an_event(error: &Error) -> bool {
    matches!(error, Error::Damage(_) | Error::Read { .. })
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
