//! Reads a range of positions in order, frame by frame: without the index, but for the first.
//!
//! Bytes are taken a window at a time, so that one look at the file serves many events. A window
//! never reaches beyond its frame, nor beyond what is durable.

use std::ops::Range;
use std::sync::Arc;

use super::reader::Reader;
use crate::error::{Error, Result};
use crate::event::RecordedEvent;
use crate::format::{
    EVENT_HEADER_BYTES, EventPlace, FRAME_HEADER_BYTES, Location, SEGMENT_HEADER_BYTES, aligned,
};
use crate::io::{Disk, fetch};
use crate::position::GlobalPosition;
use crate::segment::Segment;
use crate::store::Source;

/// Bytes of the first window of a scan, which may want one event only. Each is twice the one before.
const WINDOW_BYTES_MIN: u64 = 4 << 10;
/// Bytes of a window at most, unless one event is longer.
const WINDOW_BYTES_MAX: u64 = 256 << 10;

/// What is fetched while an event is verified: so far ahead and so much. The processor itself fetches no
/// further than a page.
const AHEAD: Range<usize> = 2048..2048 + 320;

/// An iterator over the events of a range of positions; not to be asked again after an error.
pub(crate) struct PositionScan<D: Disk> {
    reader: Arc<Reader<D>>,
    next: GlobalPosition,
    last: GlobalPosition,
    place: Option<Place<D>>,
    /// Bytes of the event at the beginning of the window that is lent; 0 when none is.
    lent: usize,
    window_bytes: u64,
}

/// Where a scan stands: before an event of a frame.
struct Place<D: Disk> {
    segment: Arc<Segment<D::File>>,
    event: Location,
    frame_end: Location,
    events_left: u64,
    /// Whether nothing is known of its frame, so that what follows is found by the index.
    is_alone: bool,
    /// What has been taken of the frame, from the event on.
    window: RecordedEvent,
}

impl<D: Disk> Place<D> {
    /// Returns the place of the event at a position, of whose frame nothing is asked.
    fn alone(reader: &Reader<D>, position: GlobalPosition) -> Result<Self> {
        let event = reader.locate(position)?;
        let segment = reader.log().existing_segment_at(event)?;
        let length = aligned(segment.event_place(event)?.length as usize) as u64;
        let (frame_end, window) = (event.plus(length), RecordedEvent::blank());
        Ok(Self { segment, event, frame_end, events_left: 1, is_alone: true, window })
    }

    /// Has the event at hand, verified, at the start of the window, and returns its bytes' number.
    #[inline(always)]
    fn verify_event(&mut self, window_bytes: &mut u64) -> Result<usize> {
        if self.window.shared().len() < EVENT_HEADER_BYTES {
            self.take_window(window_bytes)?;
        }
        let place = EventPlace::read(self.window.shared());
        let place = place.map_err(|fault| self.segment.event_fault(self.event, &fault))?;
        let mut length = place.length as usize;
        if self.window.shared().len() < length {
            self.window = RecordedEvent::of(self.segment.event_bytes(self.event)?);
            length = self.window.shared().len();
        }
        fetch(self.window.shared().get(AHEAD).unwrap_or_default());
        self.segment.check(self.window.shared().get(..length).unwrap_or_default(), self.event)?;
        Ok(length)
    }

    /// Goes on behind the event at hand, of this length.
    #[inline]
    fn pass_event(&mut self, length: usize) {
        let behind = aligned(length);
        self.window.skip(behind);
        self.event = self.event.plus(behind as u64);
        self.events_left -= 1;
    }

    /// Takes what follows of the frame.
    fn take_window(&mut self, window_bytes: &mut u64) -> Result<()> {
        let in_frame = self.frame_end.distance_from(self.event).min(*window_bytes);
        self.window = RecordedEvent::of(self.segment.window(self.event, in_frame)?);
        *window_bytes = (*window_bytes * 2).min(WINDOW_BYTES_MAX);
        Ok(())
    }
}

impl<D: Disk> PositionScan<D> {
    /// Starts before `first`; both bounds are durable.
    pub(crate) fn new(reader: Arc<Reader<D>>, first: GlobalPosition, last: GlobalPosition) -> Self {
        let window_bytes = WINDOW_BYTES_MIN;
        Self { reader, next: first, last, place: None, lent: 0, window_bytes }
    }

    /// Has the event of the next position at hand, verified, in the place that it leaves; returns the number
    /// of its bytes, or `None` at the end.
    #[inline(always)]
    fn verify_next(&mut self) -> Option<Result<usize>> {
        if let (1.., Some(place)) = (self.lent, &mut self.place) {
            place.pass_event(std::mem::take(&mut self.lent));
        }
        self.next = self.reader.holes().first_live_from(self.next);
        if self.next > self.last {
            return None;
        }
        match self.verify_at_next() {
            Ok(length) => {
                self.next = self.next.next();
                Some(Ok(length))
            }
            Err(error) => Some(Err(self.reader.lost_at(self.next, error))),
        }
    }

    #[inline(always)]
    fn verify_at_next(&mut self) -> Result<usize> {
        match self.verify_following() {
            Ok(length) => Ok(length),
            Err(_) => self.verify_alone(),
        }
    }

    /// Has the event of the next position at hand by the index alone. What failed may have been damage
    /// elsewhere in its frame.
    #[cold]
    fn verify_alone(&mut self) -> Result<usize> {
        let place = Place::alone(&self.reader, self.next)?;
        let place = self.place.insert(place);
        let length = place.verify_event(&mut self.window_bytes)?;
        match EventPlace::read(place.window.shared()) {
            Ok(own) if own.global_position == self.next => Ok(length),
            _ => Err(self.reader.misplaced(place.event)),
        }
    }

    /// Has the event of the next position at hand as what follows the one before in its frame.
    #[inline(always)]
    fn verify_following(&mut self) -> Result<usize> {
        let place = match &mut self.place {
            Some(place) if place.events_left > 0 => place,
            _ => {
                let place = self.next_place()?;
                self.place.insert(place)
            }
        };
        let length = place.verify_event(&mut self.window_bytes)?;
        match EventPlace::read(place.window.shared()) {
            Ok(own) if own.global_position == self.next => Ok(length),
            _ => Err(self.reader.misplaced(place.event)),
        }
    }

    /// Finds the place of the next position where none is known or the frame has ended.
    fn next_place(&mut self) -> Result<Place<D>> {
        match self.place.take() {
            // What follows a frame may be what is damaged: then only the index knows what is good.
            Some(place) if !self.reader.uncovered().is_damaged() && !place.is_alone => {
                self.past_ended_frames(place)
            }
            _ => self.locate(),
        }
    }

    /// Finds the place of the next position by the index.
    fn locate(&self) -> Result<Place<D>> {
        let alone = Place::alone(&self.reader, self.next)?;
        let Place { segment, event, .. } = &alone;
        let place = segment.event_place(*event)?;
        let offset = segment.offset(*event).checked_sub(place.frame_distance.into());
        let offset = offset.ok_or_else(|| self.reader.misplaced(*event))?;
        let frame = segment.location(offset);
        if self.reader.holes().hold(frame) {
            return Ok(alone);
        }
        let header = segment.frame_header(frame)?;
        match u64::from(header.event_count).checked_sub(place.index.into()) {
            None | Some(0) => Err(self.reader.misplaced(*event)),
            Some(events_left) => {
                let frame_end = frame.plus(header.length.into());
                Ok(Place { frame_end, events_left, is_alone: false, ..alone })
            }
        }
    }

    /// Goes on to the next frame that has events, in the next segment where one ends. What follows a hole
    /// may be in the middle of a frame: the index knows.
    fn past_ended_frames(&self, mut place: Place<D>) -> Result<Place<D>> {
        let holes = Arc::clone(self.reader.holes());
        while place.events_left == 0 {
            let mut frame = place.frame_end;
            if holes.begin_at(frame) {
                return self.locate();
            }
            let ended = place.segment.footer().map(|footer| place.segment.location(footer.end));
            if ended.is_some_and(|end| frame >= end) {
                let base = place.segment.header().end();
                frame = base.plus(SEGMENT_HEADER_BYTES as u64);
                if holes.begin_at(base) || holes.begin_at(frame) {
                    return self.locate();
                }
                place.segment = self.reader.log().existing_segment_at(base)?;
            }
            let is_empty = place
                .segment
                .footer()
                .is_some_and(|footer| place.segment.offset(frame) >= footer.end);
            if is_empty {
                place.frame_end = frame;
                continue;
            }
            let header = place.segment.frame_header(frame)?;
            place.event = frame.plus(FRAME_HEADER_BYTES as u64);
            place.frame_end = frame.plus(header.length.into());
            place.events_left = header.event_count.into();
            place.window = RecordedEvent::blank();
        }
        Ok(place)
    }
}

impl<D: Disk> Iterator for PositionScan<D> {
    type Item = Result<RecordedEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.verify_next()? {
            Ok(length) => {
                let Some(place) = &mut self.place else {
                    return Some(Err(Error::Internal { invariant: "a verified event is at hand" }));
                };
                let event = RecordedEvent::of(place.window.shared().slice(..length));
                place.pass_event(length);
                Some(Ok(event))
            }
            Err(error) => Some(Err(error)),
        }
    }
}

impl<D: Disk> Source for PositionScan<D> {
    fn advance(&mut self) -> Option<Result<()>> {
        match self.verify_next()? {
            Ok(length) => {
                self.lent = length;
                Some(Ok(()))
            }
            Err(error) => Some(Err(error)),
        }
    }

    fn lent(&self) -> &RecordedEvent {
        static NONE: RecordedEvent = RecordedEvent::blank();
        self.place.as_ref().map_or(&NONE, |place| &place.window)
    }
}
