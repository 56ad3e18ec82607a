//! Decides what a commit comes to: a refusal, a replay, or the events to write with their versions
//! and positions (CONTRACT A2 to A7, C1 to C4, S4).
//!
//! Pure: it asks the store through [`View`] and writes nothing. Every backend decides by this one
//! procedure; what it must keep true is that the view does not change between the decision and the
//! write.
//!
//! The order of the checks is part of the contract:
//!
//! 1. An id that is taken by a different event is an error, whatever else holds (A5, A6).
//! 2. A commit of which every event is recorded, in place and in order, is a replay (A3).
//! 3. A condition that looks only after a position beyond the end of the store is refused: its commit
//!    was decided by another history (C2).
//! 4. Expected versions and conditions are checked, and every failure is reported (A2, C2, C3).
//! 5. Duplicates are rejected if the commit asks for that (A4).
//! 6. Claimed versions are compared with those assigned (S4).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::iter::repeat_n;

use crate::error::{Difference, Error, Result};
use crate::event::{EventId, NewEvent, RecordedEvent};
use crate::few::{Few, few};
use crate::position::{GlobalPosition, StreamVersion};
use crate::store::append::{
    AppendResult, CheckFailure, Commit, CommitResult, OnDuplicate, StreamAppend,
};
use crate::store::first_appends::FirstAppends;
use crate::store::query::Query;
use crate::stream::StreamId;

/// What a decision asks of a store.
pub(crate) trait View {
    /// Returns the version of the stream of an append, which is the first to its stream.
    fn version(&self, append: usize) -> Result<StreamVersion>;
    /// Tells whether no event of the commit is recorded, if that is known without looking each up.
    fn knows_no_event(&self) -> bool {
        false
    }
    fn event(&self, event_id: EventId) -> Result<Option<RecordedEvent>>;
    /// Returns the first event at `first` or later that matches.
    fn first_match(&self, query: &Query, first: GlobalPosition) -> Result<Option<RecordedEvent>>;
    fn global_position(&self) -> GlobalPosition;
}

/// What a commit comes to, if it is not refused.
#[derive(Debug)]
pub(crate) struct Decision {
    /// The events to write, in order; their positions follow the view's global position without a
    /// gap. Empty for a replay and for a commit that has nothing new.
    pub(crate) writes: Few<Write>,
    /// What the caller is told once the writes are done.
    pub(crate) result: CommitResult,
}

/// One event to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Write {
    /// Which append of the commit.
    pub(crate) append: usize,
    /// Which event of the append.
    pub(crate) event: usize,
    pub(crate) stream_version: StreamVersion,
    pub(crate) global_position: GlobalPosition,
}

/// Decides what `commit` comes to; see the head of the module for the order of the checks.
pub(crate) fn decide(commit: &Commit, firsts: &FirstAppends, view: &impl View) -> Result<Decision> {
    let known = recognise(commit, view)?;
    if is_replay(commit, &known) {
        return replay(commit, &known, Versions::new(firsts, view));
    }
    refuse_another_history(commit, view)?;
    let found = check(commit, &known, Versions::new(firsts, view))?;
    if commit.on_duplicate == OnDuplicate::Reject {
        reject_duplicates(commit, &known)?;
    }
    assign(commit, &known, Versions { found, firsts, view })
}

/// What is known of an event before the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    New,
    /// It is recorded at this place.
    Recorded(Place),
    /// It stands earlier in the same commit: the index of that event in the flat order.
    Repeated(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    version: StreamVersion,
    position: GlobalPosition,
}

/// The events of a commit in their order, each with its append.
fn events(commit: &Commit) -> impl Iterator<Item = (&StreamAppend, &NewEvent)> {
    commit.appends.iter().flat_map(|append| append.events.iter().map(move |event| (append, event)))
}

/// Looks every event up, in flat order, and refuses ids that are taken by a different event.
fn recognise(commit: &Commit, view: &impl View) -> Result<Few<Known>> {
    if !repeats_an_id(commit) {
        if view.knows_no_event() {
            return Ok(few(repeat_n(Known::New, events(commit).count())));
        }
        return events(commit).map(|(append, event)| look_up(append, event, view)).collect();
    }
    let mut seen: HashMap<EventId, (usize, &StreamAppend, &NewEvent)> = HashMap::new();
    let mut known: Few<Known> = Few::new();
    for (index, (append, event)) in events(commit).enumerate() {
        let state = match seen.entry(event.event_id) {
            Entry::Vacant(vacant) => {
                vacant.insert((index, append, event));
                look_up(append, event, view)?
            }
            Entry::Occupied(first) => repeated(append, event, *first.get(), &known)?,
        };
        known.push(state);
    }
    Ok(known)
}

/// Tells whether an event id is in a commit more than once.
fn repeats_an_id(commit: &Commit) -> bool {
    let ids = || events(commit).map(|(_, event)| event.event_id);
    // Ids as a program makes them ascend.
    if ids().is_sorted_by(|one, next| one < next) {
        return false;
    }
    let mut sorted: Vec<_> = ids().collect();
    sorted.sort_unstable();
    !sorted.is_sorted_by(|one, next| one < next)
}

/// Judges an event whose id stands earlier in the commit.
fn repeated(
    append: &StreamAppend,
    event: &NewEvent,
    (first, first_append, first_event): (usize, &StreamAppend, &NewEvent),
    known: &[Known],
) -> Result<Known> {
    let position = match known.get(first) {
        Some(Known::Recorded(place)) => Some(place.position),
        _ => None,
    };
    let same = [
        (Difference::Stream, first_append.stream == append.stream),
        (Difference::EventType, first_event.event_type == event.event_type),
        (Difference::Payload, first_event.payload == event.payload),
    ];
    refuse_different(event.event_id, || Ok(first_append.stream.clone()), position, same)?;
    Ok(Known::Repeated(first))
}

fn look_up(append: &StreamAppend, event: &NewEvent, view: &impl View) -> Result<Known> {
    let Some(recorded) = view.event(event.event_id)? else {
        return Ok(Known::New);
    };
    let position = recorded.global_position();
    let same = [
        (Difference::Stream, recorded.is_in(&append.stream)),
        (Difference::EventType, recorded.event_type() == event.event_type),
        (Difference::Payload, recorded.payload() == event.payload),
    ];
    refuse_different(event.event_id, || recorded.stream(), Some(position), same)?;
    Ok(Known::Recorded(Place { version: recorded.stream_version(), position }))
}

fn refuse_different(
    event_id: EventId,
    stream: impl FnOnce() -> Result<StreamId>,
    global_position: Option<GlobalPosition>,
    same: [(Difference, bool); 3],
) -> Result<()> {
    match same.into_iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((difference, _)) => {
            Err(Error::EventIdTaken { event_id, stream: stream()?, global_position, difference })
        }
    }
}

/// Tells whether every event of the commit is recorded, those of each append consecutively and in
/// their order. A repetition within the commit counts as its first occurrence, unless duplicates are
/// to be rejected.
fn is_replay(commit: &Commit, known: &[Known]) -> bool {
    let mut known = known.iter();
    let mut recorded = 0_usize;
    for append in &commit.appends {
        let mut previous: Option<StreamVersion> = None;
        for state in known.by_ref().take(append.events.len()) {
            match state {
                Known::New => return false,
                Known::Repeated(_) if commit.on_duplicate == OnDuplicate::Reject => return false,
                Known::Repeated(_) => {}
                Known::Recorded(place) => {
                    if previous.is_some_and(|previous| previous.next() != place.version) {
                        return false;
                    }
                    previous = Some(place.version);
                    recorded += 1;
                }
            }
        }
    }
    recorded > 0
}

/// Gives the original result: each stream counts from the version it had before the commit's events.
fn replay<V: View>(
    commit: &Commit,
    known: &[Known],
    mut versions: Versions<'_, V>,
) -> Result<Decision> {
    let mut states = known.iter();
    for (index, append) in commit.appends.iter().enumerate() {
        for state in states.by_ref().take(append.events.len()) {
            if let Known::Recorded(place) = state {
                versions.start(index, place.version.previous());
            }
        }
    }
    let mut results = Results::new(commit, known, versions);
    for append in &commit.appends {
        results.add(append, true)?;
    }
    Ok(results.finish(true))
}

/// Refuses a commit of which a condition was made with a position that the store does not have.
fn refuse_another_history(commit: &Commit, view: &impl View) -> Result<()> {
    let Some(position) = commit.conditions.iter().filter_map(|condition| condition.after).max()
    else {
        return Ok(());
    };
    let end = view.global_position();
    if position > end { Err(Error::BeyondEnd { position, end }) } else { Ok(()) }
}

/// Checks versions and conditions, and returns the version that each stream of the commit was found at.
fn check<V: View>(
    commit: &Commit,
    known: &[Known],
    mut versions: Versions<'_, V>,
) -> Result<Few<Option<StreamVersion>>> {
    let mut failures = Vec::new();
    let mut found = few(repeat_n(None, commit.appends.len()));
    let mut known = known.iter();
    for (index, append) in commit.appends.iter().enumerate() {
        let StreamAppend { stream, expected, events } = append;
        let actual = versions.of(index)?;
        if let Some(found) = found.get_mut(index).filter(|_| versions.firsts.is_first(index)) {
            *found = Some(actual);
        }
        if !expected.is_met_by(actual) {
            let (stream, expected) = (stream.clone(), *expected);
            failures.push(CheckFailure::Version { stream, expected, actual });
        }
        let states = known.by_ref().take(events.len());
        let new = states.filter(|state| **state == Known::New).count();
        versions.advance(index, actual.advanced_by(new as u64));
    }
    for (index, condition) in commit.conditions.iter().enumerate() {
        let first_match =
            versions.view.first_match(&condition.query, condition.first_position())?;
        if let Some(event) = first_match {
            failures.push(CheckFailure::Condition {
                condition: index,
                global_position: event.global_position(),
                event_type: event.event_type().to_owned(),
                stream: event.stream()?,
            });
        }
    }
    match failures.is_empty() {
        true => Ok(found),
        false => Err(Error::CommitRefused { failures }),
    }
}

fn reject_duplicates(commit: &Commit, known: &[Known]) -> Result<()> {
    let duplicate = events(commit).zip(known).find(|(_, state)| **state != Known::New);
    match duplicate {
        None => Ok(()),
        Some(((append, event), state)) => Err(Error::DuplicateEvent {
            event_id: event.event_id,
            stream: append.stream.clone(),
            global_position: match state {
                Known::Recorded(place) => Some(place.position),
                Known::New | Known::Repeated(_) => None,
            },
        }),
    }
}

fn assign<V: View>(
    commit: &Commit,
    known: &[Known],
    versions: Versions<'_, V>,
) -> Result<Decision> {
    let mut results = Results::new(commit, known, versions);
    for append in &commit.appends {
        results.add(append, false)?;
    }
    Ok(results.finish(false))
}

/// The versions of streams as a commit changes them.
struct Versions<'a, V> {
    /// What is known of the stream of each append, at its first one.
    found: Few<Option<StreamVersion>>,
    firsts: &'a FirstAppends,
    view: &'a V,
}

impl<'a, V: View> Versions<'a, V> {
    fn new(firsts: &'a FirstAppends, view: &'a V) -> Self {
        Self { found: Few::new(), firsts, view }
    }

    /// Returns the version of the stream of an append.
    fn of(&self, append: usize) -> Result<StreamVersion> {
        let first = self.firsts.first(append);
        match self.found.get(first) {
            Some(Some(version)) => Ok(*version),
            _ => self.view.version(first),
        }
    }

    /// Sets the version of the stream of an append if the commit has not changed it yet.
    fn start(&mut self, append: usize, version: StreamVersion) {
        self.place(append).get_or_insert(version);
    }

    fn advance(&mut self, append: usize, version: StreamVersion) {
        *self.place(append) = Some(version);
    }

    #[expect(clippy::indexing_slicing, reason = "the list is made long enough before")]
    fn place(&mut self, append: usize) -> &mut Option<StreamVersion> {
        let first = self.firsts.first(append);
        while self.found.len() <= first {
            self.found.push(None);
        }
        &mut self.found[first]
    }
}

/// Returns the error for an event that would count as new, and could be recorded twice.
#[cold]
fn not_known() -> Error {
    Error::Internal { invariant: "a decision knows of each event whether it is recorded" }
}

/// Collects writes and results, append by append.
struct Results<'a, V> {
    known: &'a [Known],
    versions: Versions<'a, V>,
    newest: GlobalPosition,
    next_append: usize,
    /// Where every event so far stands, in flat order.
    places: Few<Place>,
    writes: Few<Write>,
    appends: Vec<AppendResult>,
}

impl<'a, V: View> Results<'a, V> {
    fn new(commit: &Commit, known: &'a [Known], versions: Versions<'a, V>) -> Self {
        let newest = versions.view.global_position();
        Self {
            known,
            versions,
            newest,
            next_append: 0,
            places: Few::with_capacity(known.len()),
            writes: Few::with_capacity(known.len()),
            appends: Vec::with_capacity(commit.appends.len()),
        }
    }

    fn add(&mut self, append: &StreamAppend, replayed: bool) -> Result<()> {
        let (first_place, first_write) = (self.places.len(), self.writes.len());
        let mut version = self.versions.of(self.next_append)?;
        for (index, event) in append.events.iter().enumerate() {
            let place = match self.known.get(self.places.len()) {
                Some(Known::Recorded(place)) => *place,
                Some(Known::Repeated(first)) => {
                    self.places.get(*first).copied().ok_or_else(not_known)?
                }
                Some(Known::New) => {
                    version = version.next();
                    self.write(index, version)
                }
                None => return Err(not_known()),
            };
            check_claim(append, event, place)?;
            version = if replayed { version.max(place.version) } else { version };
            self.places.push(place);
        }
        self.versions.advance(self.next_append, version);
        let places = self.places.get(first_place..).ok_or_else(not_known)?;
        let last = places.last();
        self.appends.push(AppendResult {
            new_version: version,
            global_position: last.map_or(self.newest, |last| last.position),
            first_global_position: places.first().map(|first| first.position),
            appended: (self.writes.len() - first_write) as u64,
            replayed: replayed && !append.events.is_empty(),
        });
        self.next_append += 1;
        Ok(())
    }

    fn write(&mut self, event: usize, version: StreamVersion) -> Place {
        let position = self.newest.advanced_by(self.writes.len() as u64 + 1);
        self.writes.push(Write {
            append: self.next_append,
            event,
            stream_version: version,
            global_position: position,
        });
        Place { version, position }
    }

    fn finish(self, replayed: bool) -> Decision {
        let result = CommitResult {
            global_position: self.places.last().map_or(self.newest, |last| last.position),
            appended: self.writes.len() as u64,
            appends: self.appends,
            replayed,
        };
        Decision { writes: self.writes, result }
    }
}

fn check_claim(append: &StreamAppend, event: &NewEvent, place: Place) -> Result<()> {
    match event.claimed_version {
        Some(claimed) if claimed != place.version => Err(Error::VersionMismatch {
            stream: append.stream.clone(),
            event_id: event.event_id,
            claimed,
            assigned: place.version,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::store::ExpectedVersion;

    /// An empty store that counts how often it is asked for a version.
    #[derive(Default)]
    struct Asked(Cell<usize>);

    impl View for Asked {
        fn version(&self, _: usize) -> Result<StreamVersion> {
            self.0.set(self.0.get() + 1);
            Ok(StreamVersion::ZERO)
        }

        fn event(&self, _: EventId) -> Result<Option<RecordedEvent>> {
            Ok(None)
        }

        fn first_match(&self, _: &Query, _: GlobalPosition) -> Result<Option<RecordedEvent>> {
            Ok(None)
        }

        fn global_position(&self) -> GlobalPosition {
            GlobalPosition::ZERO
        }
    }

    #[test]
    fn the_version_of_a_stream_is_asked_for_once_a_commit() {
        let stream = StreamId::new("Task", "task-1").unwrap();
        let one = || vec![NewEvent::new("Noted", "")];
        let commit = Commit::new().append(&stream, ExpectedVersion::NoStream, one()).append(
            &stream,
            ExpectedVersion::exact(1),
            one(),
        );
        let view = Asked::default();
        let firsts = FirstAppends::of(&commit, [0, 0]).unwrap();
        let decision = decide(&commit, &firsts, &view).unwrap();
        let versions: Vec<_> =
            decision.writes.iter().map(|write| write.stream_version.get()).collect();
        assert_eq!((versions, view.0.get()), (vec![1, 2], 1));
    }
}
