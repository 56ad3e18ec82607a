//! What is recorded, seen by readers: durable events only.
//!
//! Shared by the store, its iterators and its writer. Reading takes no lock that a writer holds
//! while it waits for the disk.
//!
//! Invariants:
//!
//! 1. `durable` only grows, and every event up to it is durable and indexed. What is indexed beyond it
//!    may never become durable: nobody is told of it.
//! 2. A hit of the index is never believed: the event itself is asked whether it is the one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::ahead::Ahead;
use super::candidates::Candidates;
use super::heads::{Head, Heads};
use super::holes::Holes;
use super::log::Log;
use super::prepared::Keys;
use super::scan::PositionScan;
use super::stream_walk::StreamWalk;
use super::sync::AtomicU64;
use super::watchers::Watchers;
use crate::error::{Damage, Error, Result};
use crate::event::{EventId, RecordedEvent};
use crate::format::{Location, Resume};
use crate::index::{Entry, Index, Postings, Term, TermHasher};
use crate::io::Disk;
use crate::position::{GlobalPosition, StreamVersion};
use crate::segment::Segment;
use crate::store::{
    Direction, EventStream, Events, GlobalRead, Matching, Query, StreamRead, Watch, Watcher,
};
use crate::stream::StreamId;
use crate::timestamp::Timestamp;

/// Events that a query without a limit is first taken to ask for: who looks for one pays for few.
const LIKELY_MATCHES: u64 = 4;

/// Reads what is durable.
pub(crate) struct Reader<D: Disk> {
    log: Log<D>,
    index: Arc<Index<D>>,
    hasher: TermHasher,
    /// The position of the last durable event.
    durable: AtomicU64,
    /// Where the durable part of the log ends.
    durable_end: AtomicU64,
    /// Positions that can not be read, known since opening.
    damage: Vec<Damage>,
    heads: Heads,
    /// Positions that a repair has given up.
    holes: Arc<Holes>,
    /// Who waits for something new.
    watchers: Watchers,
}

/// A frame that has been written.
#[derive(Debug)]
pub(crate) struct Written<'a> {
    pub(crate) first_position: GlobalPosition,
    pub(crate) locations: &'a [Location],
    pub(crate) keys: &'a Keys,
    /// Where the log goes on behind the frame.
    pub(crate) resume: Resume,
}

impl<D: Disk> Reader<D> {
    pub(crate) fn new(
        log: Log<D>,
        index: Arc<Index<D>>,
        hasher: TermHasher,
        durable: (GlobalPosition, Location),
        damage: Vec<Damage>,
        holes: Arc<Holes>,
    ) -> Self {
        let (position, end) = durable;
        Self {
            log,
            index,
            hasher,
            durable: AtomicU64::new(position.get()),
            durable_end: AtomicU64::new(end.get()),
            damage,
            heads: Heads::new(),
            holes,
            watchers: Watchers::default(),
        }
    }

    /// Returns who waits for something new: they are called once it is published.
    pub(crate) fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// Has a watcher called once there may be an event beyond a position.
    pub(crate) fn watch(&self, position: GlobalPosition, watcher: &Watcher) -> Result<Watch> {
        let is_beyond = || self.durable.load(Ordering::SeqCst) > position.get();
        self.watchers.watch(watcher, is_beyond)
    }

    /// Returns what a repair has given up: reads pass over it.
    pub(crate) fn holes(&self) -> &Arc<Holes> {
        &self.holes
    }

    pub(crate) fn log(&self) -> &Log<D> {
        &self.log
    }

    pub(crate) fn index(&self) -> &Arc<Index<D>> {
        &self.index
    }

    /// Returns the positions of the events that may have a term.
    pub(crate) fn postings(&self, term: Term<'_>) -> Postings<D> {
        self.index.postings(self.hasher.hash(term), term.id_time())
    }

    pub(crate) fn hasher(&self) -> &TermHasher {
        &self.hasher
    }

    /// Returns the position of the last durable event.
    pub(crate) fn durable(&self) -> GlobalPosition {
        GlobalPosition::new(self.durable.load(Ordering::Acquire))
    }

    /// Returns where the durable part of the log ends.
    pub(crate) fn durable_end(&self) -> Location {
        Location::new(self.durable_end.load(Ordering::Acquire))
    }

    /// Indexes the events of frames that are about to become durable. Nobody sees them before they are
    /// published.
    pub(crate) fn index_written(&self, frames: &[Written<'_>]) -> Result<()> {
        for frame in frames {
            let positions = (0..).map(|index| frame.first_position.advanced_by(index));
            let places = positions.zip(frame.locations).zip(frame.keys.terms.iter());
            let entries = places.map(|((position, location), terms)| {
                let location = *location;
                Entry { position, location, terms }
            });
            self.index.add(entries, frame.resume)?;
        }
        Ok(())
    }

    /// Makes the events of frames visible that have been indexed and have just become durable: counted
    /// last, so that no reader sees a position whose stream it finds without it.
    pub(crate) fn publish(&self, frames: &[Written<'_>], next: GlobalPosition, end: Location) {
        for frame in frames {
            let last = frame.resume.next_position.previous();
            let written = |(_, version): &&(Head, StreamVersion)| *version > StreamVersion::ZERO;
            for (head, version) in frame.keys.heads.iter().filter(written) {
                self.heads.publish(head, *version, last);
            }
        }
        self.durable_end.store(end.get(), Ordering::Release);
        // In one order with the registering of watchers, so that none is missed.
        self.durable.store(next.previous().get(), Ordering::SeqCst);
    }

    /// Returns the event at a position that is at most the durable one.
    pub(crate) fn event_at(&self, position: GlobalPosition) -> Result<RecordedEvent> {
        let location = self.locate(position)?;
        self.event_in(self.log.segments().at(location), position, location)
    }

    /// As [`event_at`](Self::event_at), in the segment in which its location was found to lie.
    #[inline]
    pub(crate) fn event_in(
        &self,
        segment: Option<&Arc<Segment<D::File>>>,
        position: GlobalPosition,
        location: Location,
    ) -> Result<RecordedEvent> {
        let event = match segment {
            Some(segment) => segment.event(location),
            None => self.log.event(location),
        };
        let event = event.map_err(|error| self.lost_at(position, error))?;
        match event.global_position() == position {
            true => Ok(event),
            false => Err(self.lost_at(position, self.misplaced(location))),
        }
    }

    /// Returns where the event at a position is.
    pub(crate) fn locate(&self, position: GlobalPosition) -> Result<Location> {
        self.index.locate(position)?.ok_or_else(|| match self.known_damage(position) {
            Some(damage) => damage.clone().into(),
            None => {
                Error::Internal { invariant: "every durable event that is not lost is indexed" }
            }
        })
    }

    /// Appends where the events at positions are, up to the first that can not be found.
    pub(crate) fn locate_all(
        &self,
        positions: &[GlobalPosition],
        located: &mut Vec<(GlobalPosition, Location)>,
    ) -> Result<()> {
        self.index.locate_all(positions, located);
        let invariant = "the index gives no more places than it was asked for";
        let rest = positions.get(located.len()..).ok_or(Error::Internal { invariant })?;
        for position in rest {
            located.push((*position, self.locate(*position)?));
        }
        Ok(())
    }

    /// Tells whether damage was found when the store was opened.
    pub(crate) fn is_damaged(&self) -> bool {
        !self.damage.is_empty()
    }

    /// Returns the ranges of positions that were found lost when the store was opened, both ends
    /// included.
    fn lost_ranges(&self) -> Vec<(GlobalPosition, GlobalPosition)> {
        let behind = |damage: &Damage| damage.first_good_after.unwrap_or(GlobalPosition::MAX);
        let ranges = self.damage.iter();
        ranges.filter_map(|one| Some((one.first_lost?, behind(one).previous()))).collect()
    }

    /// Returns how many positions with good ones behind them are lost, at least.
    pub(crate) fn lost_count(&self) -> u64 {
        let ends =
            self.damage.iter().filter_map(|one| Some((one.first_lost?, one.first_good_after?)));
        let counts = ends.map(|(lost, good)| good.distance_from(lost));
        counts.fold(self.holes.lost_count(), u64::saturating_add)
    }

    /// Returns the error for an event that is not there though a later one of its stream is, at
    /// `position`; the one before it that is there is at `earlier`. `None` where a repair has given it
    /// up.
    pub(crate) fn lost_between(
        &self,
        earlier: GlobalPosition,
        position: GlobalPosition,
    ) -> Option<Error> {
        let before =
            self.damage.iter().filter(|one| one.first_lost.is_some_and(|it| it < position));
        match before.max_by_key(|one| one.first_lost) {
            Some(damage) => Some(damage.clone().into()),
            None if self.holes.is_between(earlier, position) => None,
            None => Some(match self.locate(position) {
                Ok(location) => self.misplaced(location),
                Err(error) => error,
            }),
        }
    }

    /// Returns the damage that was found at opening and in which a position is lost.
    fn known_damage(&self, position: GlobalPosition) -> Option<&Damage> {
        self.damage.iter().find(|damage| {
            damage.first_lost.is_some_and(|lost| lost <= position)
                && damage.first_good_after.is_none_or(|good| position < good)
        })
    }

    /// Says in the error for damage which position can not be read, and where reading goes on.
    pub(crate) fn lost_at(&self, position: GlobalPosition, error: Error) -> Error {
        match (error, self.known_damage(position)) {
            (Error::Damage(_), Some(known)) => known.clone().into(),
            (Error::Damage(mut damage), None) => {
                damage.first_lost = Some(position);
                damage.first_good_after =
                    Some(position.next()).filter(|next| *next <= self.durable());
                Error::Damage(damage)
            }
            (error, _) => error,
        }
    }

    /// Returns the error for an event that verifies but is not the one that should be there.
    pub(crate) fn misplaced(&self, location: Location) -> Error {
        let segment = match self.log.existing_segment_at(location) {
            Ok(segment) => segment,
            Err(error) => return error,
        };
        Damage {
            file: segment.path().clone(),
            offset: segment.offset(location),
            reason: "another event than expected stands here".to_owned(),
            first_lost: None,
            first_good_after: None,
        }
        .into()
    }

    /// Returns the version of a stream.
    pub(crate) fn version(&self, stream: &StreamId) -> Result<StreamVersion> {
        self.version_as_of(stream, &Head::of(&self.hasher, stream), self.durable())
    }

    /// Returns the version of a stream as of a durable position.
    pub(crate) fn version_as_of(
        &self,
        stream: &StreamId,
        head: &Head,
        as_of: GlobalPosition,
    ) -> Result<StreamVersion> {
        if let Some(version) = self.heads.version(head, as_of) {
            return Ok(version);
        }
        let last = self.last_of(stream, as_of)?;
        let version = last.map_or(StreamVersion::ZERO, |event| event.stream_version());
        self.heads.keep(head, version, as_of);
        Ok(version)
    }

    fn stream_postings(&self, stream: &StreamId) -> Postings<D> {
        self.postings(Term::stream(stream))
    }

    /// Returns the last event of a stream at `newest` or before.
    fn last_of(&self, stream: &StreamId, newest: GlobalPosition) -> Result<Option<RecordedEvent>> {
        let mut postings = self.stream_postings(stream);
        let mut candidate = postings.last_to(newest)?;
        while let Some(position) = candidate {
            let event = self.event_at(position)?;
            if event.is_in(stream) {
                return Ok(Some(event));
            }
            candidate = postings.last_to(position.previous())?;
        }
        Ok(None)
    }

    /// Returns the event with an id.
    pub(crate) fn event(&self, event_id: EventId) -> Result<Option<RecordedEvent>> {
        let newest = self.durable();
        let mut postings = self.postings(Term::EventId(event_id));
        let mut candidate = postings.first_from(GlobalPosition::FIRST)?;
        while let Some(position) = candidate.filter(|position| *position <= newest) {
            let event = self.event_at(position)?;
            if event.event_id() == event_id {
                return Ok(Some(event));
            }
            candidate = postings.first_from(position.next())?;
        }
        Ok(None)
    }

    /// Tells whether an event id is recorded. The id where the index says that it is proves it; anything
    /// else there is looked at closely, to tell another event from a damaged one.
    pub(crate) fn event_exists(&self, event_id: EventId) -> Result<bool> {
        let mut postings = self.postings(Term::EventId(event_id));
        let first = postings.first_from(GlobalPosition::FIRST)?;
        let Some(position) = first.filter(|position| *position <= self.durable()) else {
            return Ok(false);
        };
        let location = self.locate(position)?;
        let segment = self.log.existing_segment_at(location)?;
        match segment.event_id(location) {
            Ok(found) if found == event_id => Ok(true),
            _ => Ok(self.event(event_id)?.is_some()),
        }
    }

    /// Returns the first event at `first` or later that matches.
    pub(crate) fn first_match(
        self: &Arc<Self>,
        query: &Query,
        first: GlobalPosition,
    ) -> Result<Option<RecordedEvent>> {
        if first > self.durable() {
            return Ok(None);
        }
        self.read(query, &GlobalRead::new().from(first).limit(1))?.next().transpose()
    }

    /// Reads the events of a stream.
    pub(crate) fn read_stream(
        self: &Arc<Self>,
        stream: &StreamId,
        options: &StreamRead,
    ) -> Result<Events> {
        options.passing().check()?;
        let newest = self.durable();
        let Some((first, last)) = options.range(StreamVersion::MAX) else {
            return Ok(Events::empty());
        };
        let count_max = options.count_max();
        let walk = StreamWalk {
            reader: Arc::clone(self),
            stream: stream.clone(),
            postings: self.stream_postings(stream),
            newest,
            likely: count_max.unwrap_or(u64::MAX),
        };
        let filter = options.passing().clone();
        let all_pass = filter.is_none();
        let passes = move |event: &Result<RecordedEvent>| {
            event.as_ref().map_or(true, |it| filter.matches(it))
        };
        let events = match options.order() {
            Direction::Forward if all_pass => Events::new(walk.forward(first, last)?),
            Direction::Forward => Events::new(walk.forward(first, last)?.filter(passes)),
            Direction::Backward => Events::new(walk.backward(first, last)?.filter(passes)),
        };
        Ok(events.limited_to(count_max))
    }

    /// Loads a stream: its events and its version, which the last event of a whole stream tells.
    pub(crate) fn load_stream(
        self: &Arc<Self>,
        stream: &StreamId,
        options: StreamRead,
    ) -> Result<EventStream> {
        let (known, options) = match options.is_whole() {
            true => (None, options),
            false => {
                let version = self.version(stream)?;
                (Some(version), options.to(version))
            }
        };
        let events: Vec<_> = self.read_stream(stream, &options)?.collect::<Result<_>>()?;
        let last = || events.last().map_or(StreamVersion::ZERO, RecordedEvent::stream_version);
        let version = known.unwrap_or_else(last);
        Ok(EventStream::new(stream.clone(), events, version))
    }

    /// Reads the events of the whole store that match a query.
    pub(crate) fn read(self: &Arc<Self>, query: &Query, options: &GlobalRead) -> Result<Events> {
        query.check()?;
        options.passing().check()?;
        let Some((first, last)) = options.range(self.durable()) else {
            return Ok(Events::empty());
        };
        let filter = options.passing().clone();
        let Some((first, last)) = self.recorded_within(&filter, first, last)? else {
            return Ok(Events::empty());
        };
        let candidates = Candidates::of(self, query, &filter).or_lost(self.lost_ranges());
        let all_match = query.items().is_none() && filter.is_none();
        let reader = Arc::clone(self);
        let query = query.clone();
        let matches = move |event: &RecordedEvent| query.matches(event) && filter.matches(event);
        let count_max = options.count_max();
        if options.order() == Direction::Forward && candidates.are_all() {
            let source = PositionScan::new(reader, first, last);
            let events = match all_match {
                true => Events::of(source),
                false => Events::of(Matching { source, matches }),
            };
            return Ok(events.limited_to(count_max));
        }
        let holes = Arc::clone(&self.holes);
        let positions = candidates.walk(options.order(), first, last, holes);
        let likely = count_max.unwrap_or(LIKELY_MATCHES);
        let matches = move |event: &Result<RecordedEvent>| event.as_ref().map_or(true, &matches);
        let events = Ahead::new(reader, positions, likely).filter(matches);
        Ok(Events::new(events).limited_to(count_max))
    }

    /// Narrows a range of positions to those recorded within the filter's times, by bisection: times
    /// never decrease along positions (CONTRACT R7).
    fn recorded_within(
        &self,
        filter: &crate::store::Filter,
        first: GlobalPosition,
        last: GlobalPosition,
    ) -> Result<Option<(GlobalPosition, GlobalPosition)>> {
        let (from, to) = filter.recorded_bounds();
        let first = match from {
            Some(from) => {
                let is_before = |time: Option<Timestamp>| time.is_some_and(|time| time < from);
                self.bisect(first, last.next(), is_before)?
            }
            None => first,
        };
        let behind = match to {
            Some(to) if first <= last => {
                let is_within = |time: Option<Timestamp>| time.is_none_or(|time| time <= to);
                self.bisect(first, last.next(), is_within)?
            }
            _ => last.next(),
        };
        Ok((first < behind).then(|| (first, behind.previous())))
    }

    /// Returns the first position from `low` on whose commit time is not `before`, or `high`. The time
    /// of a position that can not be read is `None`: it counts so that the read meets, and reports,
    /// it. One that a repair has given up has the time of the event before it.
    fn bisect(
        &self,
        mut low: GlobalPosition,
        mut high: GlobalPosition,
        before: impl Fn(Option<Timestamp>) -> bool,
    ) -> Result<GlobalPosition> {
        while low < high {
            let middle = low.advanced_by(high.distance_from(low) / 2);
            let recorded_at = match self.holes.last_live_to(middle) {
                GlobalPosition::ZERO => Ok(Timestamp::MIN),
                live => self.event_at(live).map(|event| event.recorded_at()),
            };
            let recorded_at = match recorded_at {
                Ok(recorded_at) => Some(recorded_at),
                Err(Error::Damage(_)) => None,
                Err(error) => return Err(error),
            };
            match before(recorded_at) {
                true => low = middle.next(),
                false => high = middle,
            }
        }
        Ok(low)
    }
}

#[cfg(test)]
impl<D: Disk> Reader<D> {
    /// Lets nobody at what is known of a stream's version until the guard is dropped.
    pub(crate) fn pause_head(&self, stream: &StreamId) -> impl Sized + '_ {
        self.heads.pause(Head::of(&self.hasher, stream))
    }
}
