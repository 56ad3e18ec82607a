//! What a history does to a store: commits of many shapes, and the work between them.

use annals::testing::simulation::Work;
use annals::{Commit, EventId, ExpectedVersion, NewEvent, StreamId};

use super::chance::Chance;

/// One step of a history.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Commits that are written as one group.
    Commit(Vec<Commit>),
    /// Commits of one event each, with so many bytes of payload, that are written as one group.
    Group(&'static [usize]),
    /// A commit that ends where a page does, and another in its group: what is left of that one, a later
    /// commit that ends there does not overwrite.
    Fill,
    /// A commit that was made before, with this number.
    Retry(usize),
    /// A commit that is refused.
    Conflict,
    Work(Work),
    /// Time passes, in microseconds.
    Wait(i64),
}

const STREAMS: [(&str, &str); 4] = [("Plan", "a"), ("Plan", "b"), ("Task", "a"), ("Task", "1-2-3")];

/// Makes commits whose events are like no other.
#[derive(Debug, Default)]
pub(crate) struct Author {
    events: u128,
}

impl Author {
    /// Numbers events from a number on.
    pub(crate) fn numbered_from(events: u128) -> Self {
        Self { events }
    }

    /// Draws the next step.
    pub(crate) fn step(&mut self, chance: &mut Chance) -> Step {
        match chance.below(20) {
            0..8 => {
                let count = chance.pick(&[1, 1, 1, 2, 2, 3]);
                Step::Commit((0..count).map(|_| self.commit(chance)).collect())
            }
            8..12 => Step::Fill,
            12 => Step::Retry(chance.below(1000)),
            13 => Step::Conflict,
            14..19 => {
                Step::Work(chance.pick(&[Work::Prepare, Work::Mark, Work::Freeze, Work::Merge]))
            }
            _ => Step::Wait(chance.pick(&[1, 1000, 1_000_000])),
        }
    }

    /// Draws a commit of one to three appends.
    pub(crate) fn commit(&mut self, chance: &mut Chance) -> Commit {
        let appends = chance.pick(&[1, 1, 1, 2, 3]);
        (0..appends).fold(Commit::new(), |commit, _| {
            let count = chance.pick(&[1, 1, 1, 2, 3]);
            let events = (0..count).map(|_| self.drawn_event(chance)).collect();
            commit.append(&stream(chance.below(STREAMS.len())), ExpectedVersion::Any, events)
        })
    }

    fn drawn_event(&mut self, chance: &mut Chance) -> NewEvent {
        let bytes = match chance.below(16) {
            0..8 => chance.pick(&[8, 16, 48, 56, 96]),
            8..12 => chance.below(300),
            12..15 => 300 + chance.below(1200),
            _ => chance.below(6000),
        };
        let event = self.event(bytes);
        match chance.below(4) {
            0 => event,
            1 => event.metadata("key", "value").correlation_id(uuid::Uuid::from_u128(7)),
            _ => event.tag(format!("tag-{}", chance.below(3))),
        }
    }

    /// Returns a new event with so many bytes of payload, of which none is zero.
    pub(crate) fn event(&mut self, bytes: usize) -> NewEvent {
        self.events += 1;
        let number = self.events;
        let byte = |index: usize| (number.wrapping_mul(31) + index as u128).to_le_bytes()[0] | 1;
        let payload: Vec<u8> = (0..bytes).map(byte).collect();
        NewEvent::new("Happened", payload).id(EventId::from_uuid(uuid::Uuid::from_u128(number)))
    }

    /// Returns a commit whose frame ends where a page does, when it begins at `start`.
    pub(crate) fn fill(&mut self, start: u64) -> Commit {
        const HEADERS: u64 = 40 + 64;
        let (name, id) = STREAMS[0];
        let least = HEADERS + (name.len() + id.len() + "Happened".len()) as u64;
        let behind = (start + least).next_multiple_of(4096);
        let payload = usize::try_from(behind - start - least).unwrap();
        self.single(payload)
    }

    /// Returns a commit of one event with so many bytes of payload.
    pub(crate) fn single(&mut self, bytes: usize) -> Commit {
        Commit::new().append(&stream(0), ExpectedVersion::Any, vec![self.event(bytes)])
    }

    /// Returns a commit that no store with events takes.
    pub(crate) fn conflict(&mut self) -> Commit {
        let expected = ExpectedVersion::exact(1_000_000);
        Commit::new().append(&stream(1), expected, vec![self.event(8)])
    }
}

/// Returns every stream that a history writes to.
pub(crate) fn streams() -> Vec<StreamId> {
    (0..STREAMS.len()).map(stream).collect()
}

fn stream(number: usize) -> StreamId {
    let (aggregate_type, id) = STREAMS[number];
    StreamId::new(aggregate_type, id).unwrap()
}
