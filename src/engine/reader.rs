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
//! 3. No hit is believed only where the index knows every position: else what is `uncovered` is the error.

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
use super::uncovered::{EVERYWHERE, Positions, Uncovered, common};
use super::watchers::Watchers;
use crate::error::{Damage, Error, Result};
use crate::event::{EventId, RecordedEvent};
use crate::format::{Location, Resume};
use crate::index::{Entry, Index, Postings, Term, TermHasher};
use crate::io::Disk;
use crate::position::{GlobalPosition, StreamVersion};
use crate::segment::Segment;
use crate::store::{
    Direction, EventStream, Events, Filter, GlobalRead, Matching, Query, StreamRead, Watch, Watcher,
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
    /// Positions of which nothing is known, found when the store was opened.
    uncovered: Uncovered,
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
        uncovered: Uncovered,
        holes: Arc<Holes>,
    ) -> Self {
        let (position, end) = durable;
        Self {
            log,
            index,
            hasher,
            durable: AtomicU64::new(position.get()),
            durable_end: AtomicU64::new(end.get()),
            uncovered,
            heads: Heads::new(),
            holes,
            watchers: Watchers::default(),
        }
    }

    /// Returns who waits for something new: they are called once it is published.
    pub(crate) fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// Has a watcher called once there may be an event beyond a position. Where the end of the
    /// log is lost there may be one: reading meets the damage.
    pub(crate) fn watch(&self, position: GlobalPosition, watcher: &Watcher) -> Result<Watch> {
        if self.uncovered.end(self.durable()) == GlobalPosition::MAX {
            return Ok(Watch::Beyond);
        }
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

    /// Returns the position of the last event.
    ///
    /// # Errors
    ///
    /// `Error::Damage` where the end of the log is lost, and with it which event was the last.
    pub(crate) fn global_position(&self) -> Result<GlobalPosition> {
        let durable = self.durable();
        self.unless_unknown(durable, (durable.next(), GlobalPosition::MAX))
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
        self.index.locate(position)?.ok_or_else(|| {
            let unknown = self.uncovered.first_in((position, position));
            unknown.unwrap_or(Error::Internal {
                invariant: "every durable event that is not lost is indexed",
            })
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

    /// Returns what nobody can know of the log.
    pub(crate) fn uncovered(&self) -> &Uncovered {
        &self.uncovered
    }

    /// Gives an answer of the index, unless an unknown position among some may change it.
    #[inline]
    fn unless_unknown<T>(&self, answer: T, positions: Positions) -> Result<T> {
        self.uncovered.first_in(positions).map_or(Ok(answer), Err)
    }

    /// Returns how many events there may be that are in no postings, of those with known ones after them.
    pub(crate) fn missing_max(&self) -> u64 {
        self.holes.lost_count().saturating_add(self.uncovered.count())
    }

    /// Returns the error for an event that is not there though a later one of its stream is; the two are
    /// where the one before it and that later one stand. `None` where a repair has given it up, and where
    /// it is not relevant.
    pub(crate) fn lost_between(
        &self,
        (earlier, later): Positions,
        order: Direction,
        relevant: Positions,
    ) -> Option<Error> {
        let between = (earlier.next(), later.previous());
        let asked = common(between, relevant);
        let unknown = match order {
            Direction::Forward => self.uncovered.first_in(asked),
            Direction::Backward => self.uncovered.last_in(asked),
        };
        let is_explained =
            || self.holes.is_between(earlier, later) || self.uncovered.first_in(between).is_some();
        if unknown.is_some() || is_explained() {
            return unknown;
        }
        Some(match self.locate(later) {
            Ok(location) => self.misplaced(location),
            Err(error) => error,
        })
    }

    /// Says in the error for damage which position can not be read, and where reading goes on. What the
    /// index knows to stand in a segment that is not there is told as opening found it.
    pub(crate) fn lost_at(&self, position: GlobalPosition, error: Error) -> Error {
        let Error::Damage(mut damage) = error else { return error };
        if damage.file == self.log.disk().path()
            && let Some(known) = self.uncovered.damage_at(position)
        {
            return known.clone().into();
        }
        if damage.first_lost.is_none() {
            damage.first_lost = Some(position);
            damage.first_good_after = Some(position.next()).filter(|next| *next <= self.durable());
        }
        Error::Damage(damage)
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
        let last = last.map(|event| (event.stream_version(), event.global_position()));
        let (version, position) = last.unwrap_or_default();
        let version = self.unless_unknown(version, (position.next(), GlobalPosition::MAX))?;
        self.heads.keep(head, version, as_of);
        Ok(version)
    }

    fn stream_postings(&self, stream: &StreamId) -> Postings<D> {
        self.postings(Term::stream(stream))
    }

    /// Returns the last event of a stream at `newest` or before.
    pub(crate) fn last_of(
        &self,
        stream: &StreamId,
        newest: GlobalPosition,
    ) -> Result<Option<RecordedEvent>> {
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
        self.unless_unknown(None, EVERYWHERE)
    }

    /// Tells whether an event id is recorded. The id where the index says that it is proves it; anything
    /// else there is looked at closely, to tell another event from a damaged one.
    pub(crate) fn event_exists(&self, event_id: EventId) -> Result<bool> {
        let mut postings = self.postings(Term::EventId(event_id));
        let first = postings.first_from(GlobalPosition::FIRST)?;
        let Some(position) = first.filter(|position| *position <= self.durable()) else {
            return self.unless_unknown(false, EVERYWHERE);
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
            relevant: self.relevant_to(options.passing())?,
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
        let Some((first, last)) = options.range(self.uncovered.end(self.durable())) else {
            return Ok(Events::empty());
        };
        let filter = options.passing().clone();
        let Some((first, last)) = self.recorded_within(&filter, first, last)? else {
            return Ok(Events::empty());
        };
        let candidates = Candidates::of(self, query, &filter);
        let candidates = match query.items() {
            Some([]) => candidates,
            _ => candidates.or_unknown(self.uncovered.ranges()),
        };
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

    /// Returns among which positions an unknown one may be of an event that passes a filter.
    fn relevant_to(&self, filter: &Filter) -> Result<Positions> {
        if self.uncovered.is_empty() || filter.recorded_bounds() == (None, None) {
            return Ok(EVERYWHERE);
        }
        let end = self.uncovered.end(self.durable());
        let within = self.recorded_within(filter, GlobalPosition::FIRST, end)?;
        Ok(within.unwrap_or((GlobalPosition::MAX, GlobalPosition::ZERO)))
    }

    /// Narrows a range of positions to those recorded within the filter's times, by bisection: times
    /// never decrease along positions (CONTRACT R7). A position that can not be read is left out where
    /// one beside it shows that its time is not wanted; else the read meets, and reports, it.
    fn recorded_within(
        &self,
        filter: &Filter,
        first: GlobalPosition,
        last: GlobalPosition,
    ) -> Result<Option<Positions>> {
        let (from, to) = filter.recorded_bounds();
        let first = match from {
            Some(from) => {
                let is_before = |position| {
                    let time = self.time_near(position, Direction::Forward)?;
                    Ok(time.is_some_and(|time| time < from))
                };
                bisect(first, last.next(), is_before)?
            }
            None => first,
        };
        let behind = match to {
            Some(to) if first <= last => {
                let is_within = |position| {
                    let time = self.time_near(position, Direction::Backward)?;
                    Ok(time.is_none_or(|time| time <= to))
                };
                bisect(first, last.next(), is_within)?
            }
            _ => last.next(),
        };
        Ok((first < behind).then(|| (first, behind.previous())))
    }

    /// Returns the commit time of a position; of one that can not be read, that of one beside it in a
    /// direction that can be, if there is one: the nearest, or not far from it.
    fn time_near(
        &self,
        position: GlobalPosition,
        direction: Direction,
    ) -> Result<Option<Timestamp>> {
        /// Positions that are tried one by one, before ever more of them are passed over.
        const SINGLE_STEPS: u32 = 16;
        let mut at = position;
        for step in 0_u32.. {
            if let Some(time) = self.time_at(at)? {
                return Ok(Some(time));
            }
            let distance = 1_u64.checked_shl(step.saturating_sub(SINGLE_STEPS)).unwrap_or(u64::MAX);
            at = match (direction, self.uncovered.around(at)) {
                (Direction::Forward, Some((_, last))) => last.next(),
                (Direction::Forward, None) => at.advanced_by(distance),
                (Direction::Backward, Some((first, _))) => first.previous(),
                (Direction::Backward, None) => {
                    GlobalPosition::new(at.get().saturating_sub(distance))
                }
            };
            let is_out = match direction {
                Direction::Forward => at > self.durable(),
                Direction::Backward => at == GlobalPosition::ZERO,
            };
            if is_out {
                break;
            }
        }
        Ok(None)
    }

    /// Returns the commit time of a position, `None` of one that can not be read. One that a repair has
    /// given up has the time of the event before it.
    fn time_at(&self, position: GlobalPosition) -> Result<Option<Timestamp>> {
        let live = self.holes.last_live_to(position);
        if live == GlobalPosition::ZERO {
            return Ok(Some(Timestamp::MIN));
        }
        match self.event_at(live) {
            Ok(event) => Ok(Some(event.recorded_at())),
            Err(Error::Damage(_) | Error::Read { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Returns the first position from `low` on of which something does not hold, or `high`; it holds of
/// every position before one of which it does.
fn bisect(
    mut low: GlobalPosition,
    mut high: GlobalPosition,
    holds: impl Fn(GlobalPosition) -> Result<bool>,
) -> Result<GlobalPosition> {
    while low < high {
        let middle = low.advanced_by(high.distance_from(low) / 2);
        match holds(middle)? {
            true => low = middle.next(),
            false => high = middle,
        }
    }
    Ok(low)
}

#[cfg(test)]
impl<D: Disk> Reader<D> {
    /// Lets nobody at what is known of a stream's version until the guard is dropped.
    pub(crate) fn pause_head(&self, stream: &StreamId) -> impl Sized + '_ {
        self.heads.pause(Head::of(&self.hasher, stream))
    }
}
