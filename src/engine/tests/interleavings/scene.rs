//! A commit queue that some threads of an execution share, and what must hold of every answer that it
//! gives and of the log that it leaves.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use shuttle::thread::JoinHandle;

use super::watched::{MARK, Told, Watched, number_of};
use crate::engine::appender::{Appender, LogEnd};
use crate::engine::background::Bell;
use crate::engine::commit_queue::CommitQueue;
use crate::engine::directory::Directory;
use crate::engine::reader::Reader;
use crate::engine::recovery;
use crate::engine::rotation::Rotation;
use crate::engine::route::{Depth, Route};
use crate::engine::sync::{Condvar, Mutex};
use crate::engine::tests::{event_id, options, stream};
use crate::engine::{Submission, directory, indexing};
use crate::error::{Error, Result};
use crate::event::{NewEvent, RecordedEvent};
use crate::format::{FrameHeader, FrameKind, Location};
use crate::index::Access;
use crate::io::{MemoryDisk, OpenMode};
use crate::store::{
    AppendResult, Commit, ExpectedVersion, GlobalRead, Query, StreamRead, Watch, Watcher,
};

/// What became of an append of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Recorded(AppendResult),
    /// A check failed.
    Refused,
    /// There was no room; nothing was written.
    NoSpace,
    Closed,
    /// Nothing was written, and nothing will be.
    Poisoned,
    /// It was being written when the writing failed.
    Unknown,
    /// The thread wrote for all and panicked.
    Panicked,
}

impl Outcome {
    /// Tells whether nothing more is written behind it.
    pub(super) fn is_trouble(&self) -> bool {
        matches!(self, Self::Poisoned | Self::Unknown | Self::Panicked)
    }
}

/// An event that was submitted.
pub(super) struct Submitted {
    number: u64,
    submission: Submission<Watched>,
}

impl Submitted {
    pub(super) fn is_done(&self) -> bool {
        self.submission.is_done()
    }
}

pub(super) struct Scene {
    pub(super) queue: Arc<CommitQueue<Watched>>,
    pub(super) reader: Arc<Reader<Watched>>,
    pub(super) disk: Watched,
    /// The numbers of the events that were there before.
    before: u64,
    /// Numbers of events and what their caller was told.
    told: Mutex<Vec<(u64, Outcome)>>,
}

impl Scene {
    /// Opens a store as the engine does, without its threads.
    pub(super) fn open(disk: &MemoryDisk) -> Arc<Self> {
        let disk = Watched::over(disk.copy());
        let options = options();
        let root = directory::open_or_make(disk.clone(), &options.clock, options.segment_bytes);
        let root = root.unwrap();
        let access = Access::Write;
        let (index, _) = indexing::open(&root, access, options.memtable_events).unwrap();
        let mut walked = crate::engine::walk(&root, &index, OpenMode::Write).unwrap();
        let reader = Arc::new(crate::engine::reader(&root, index, &walked));
        let Directory { log, identity, .. } = root;
        let (bell, spare) = (Arc::new(Bell::default()), walked.spare.take());
        let rotation = Rotation::new(log, identity.store_id, options.segment_bytes, spare, None);
        let end = LogEnd {
            last_event: walked.last_event,
            active: walked.segments.pop().unwrap(),
            offset: walked.offset,
            tally: walked.tally,
            epoch: walked.epoch + 1,
            recorded_at: walked.recorded_at,
        };
        let (rotation, clock) = (Arc::new(rotation), options.clock);
        let appender = Appender::new(Arc::clone(&reader), rotation, Arc::clone(&bell), clock, end);
        let limits = (options.limits, options.durability);
        let bells = (bell, Arc::default());
        let queue = CommitQueue::new(Arc::clone(&reader), appender, limits, bells, false);
        let queue = Arc::new(queue);
        let before = reader.durable().get();
        Arc::new(Self { queue, reader, disk, before, told: Mutex::default() })
    }

    /// Starts a thread of the execution.
    pub(super) fn spawn<T: Send + 'static>(
        self: &Arc<Self>,
        run: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let scene = Arc::clone(self);
        shuttle::thread::spawn(move || run(&scene))
    }

    /// Appends one event, and checks the answer.
    pub(super) fn append(&self, name: &str, expected: ExpectedVersion, number: u64) -> Outcome {
        self.commit(Commit::new().append(&stream(name), expected, vec![event(number, 0)]))
    }

    /// Appends one event that fills a sixth of a segment, and checks the answer.
    pub(super) fn append_large(&self, name: &str, number: u64) -> Outcome {
        let events = vec![event(number, crate::engine::tests::SIXTH)];
        self.commit(Commit::new().append(&stream(name), ExpectedVersion::Any, events))
    }

    /// Commits one event, and checks the answer.
    pub(super) fn commit(&self, commit: Commit) -> Outcome {
        let append = commit.appends[0].clone();
        let number = number_of(append.events[0].payload());
        let is_conditional = !commit.conditions.is_empty();
        let version = || self.reader.version(&append.stream).unwrap();
        let was_as_expected = append.expected.is_met_by(version());
        let was_in_trouble = self.told.lock().iter().any(|(_, outcome)| outcome.is_trouble());
        let outcome = match outcome_of(|| self.queue.commit(commit)) {
            Ok(result) => {
                assert!(
                    !was_in_trouble || result.appended == 0,
                    "something is written after trouble"
                );
                self.check_recorded(number, &result.appends[0]);
                Outcome::Recorded(result.appends[0].clone())
            }
            Err(outcome) => outcome,
        };
        if outcome == Outcome::Refused && was_as_expected {
            let is_other = !append.expected.is_met_by(version());
            let is_matched = is_conditional && self.reader.durable().get() > self.before;
            assert!(is_other || is_matched, "refused by what is not durable");
        }
        self.told.lock().push((number, outcome.clone()));
        outcome
    }

    /// Submits one event, which nobody is told of before it is waited for.
    pub(super) fn submit(&self, name: &str, number: u64) -> Result<Submitted, Outcome> {
        let events = vec![event(number, 0)];
        let commit = Commit::new().append(&stream(name), ExpectedVersion::Any, events);
        let submitted = outcome_of(|| self.queue.submit(commit));
        submitted.map(|submission| Submitted { number, submission }).inspect_err(|outcome| {
            self.told.lock().push((number, outcome.clone()));
        })
    }

    /// Waits for an event that was submitted, and checks the answer.
    pub(super) fn wait(&self, submitted: Submitted) -> Outcome {
        let Submitted { number, submission } = submitted;
        let outcome = match outcome_of(|| submission.wait()) {
            Ok(result) => {
                self.check_recorded(number, &result.appends[0]);
                Outcome::Recorded(result.appends[0].clone())
            }
            Err(outcome) => outcome,
        };
        self.told.lock().push((number, outcome.clone()));
        outcome
    }

    fn check_recorded(&self, number: u64, result: &AppendResult) {
        assert!(self.disk.is_durable(number), "event {number} is acknowledged before its sync");
        assert!(self.reader.durable() >= result.global_position, "it is not visible");
        let event = self.reader.event(event_id(number)).unwrap();
        let event = event.unwrap_or_else(|| panic!("event {number} is not found"));
        assert_eq!(event.global_position(), result.global_position);
        assert_eq!(event.stream_version(), result.new_version);
        assert!(self.reader.version(&event.stream().unwrap()).unwrap() >= result.new_version);
    }

    /// Closes the queue, and checks that all that was admitted is done.
    pub(super) fn close(&self) -> Result<(), Outcome> {
        outcome_of(|| self.queue.close())?;
        assert_eq!(self.queue.newest(), self.reader.durable(), "closing did not wait");
        let frames = self.frames();
        assert!(frames.last().is_none_or(|(_, header)| header.kind() != FrameKind::Commit));
        Ok(())
    }

    /// Follows the log as a subscription does until a position is durable or nothing more comes, and
    /// returns how far that was.
    pub(super) fn follow_to(&self, last: u64) -> u64 {
        let bed = Arc::new((Mutex::new(false), Condvar::new()));
        let called = Arc::clone(&bed);
        let watcher = Watcher::new(move || {
            *called.0.lock() = true;
            called.1.notify_one();
        });
        loop {
            let reached = self.reader.durable();
            if reached.get() >= last {
                return reached.get();
            }
            *bed.0.lock() = false;
            match self.reader.watch(reached, &watcher) {
                Ok(Watch::Beyond) => {}
                Ok(_) => {
                    let mut is_called = bed.0.lock();
                    while !*is_called {
                        bed.1.wait(&mut is_called);
                    }
                }
                Err(error) => {
                    assert!(matches!(error, Error::Closed));
                    return reached.get();
                }
            }
        }
    }

    /// Checks that the last event that is visible can be read and is counted in its stream, and that
    /// no more is counted than is visible.
    pub(super) fn check_what_is_visible(&self, name: &str) {
        let version = self.reader.version(&stream(name)).unwrap();
        let whole = self.reader.load_stream(&stream(name), StreamRead::new()).unwrap();
        assert!(whole.version() >= version, "a version is told before its event is visible");
        let durable = self.reader.durable();
        if durable.get() > 0 {
            let event = self.reader.event_at(durable).unwrap();
            let version = self.reader.version(&event.stream().unwrap()).unwrap();
            assert!(version >= event.stream_version(), "its stream has it not yet");
            assert!(self.reader.event(event.event_id()).unwrap().is_some());
        }
    }

    /// Checks what is left once every thread has its answer.
    pub(super) fn check(&self) {
        assert!(self.queue.is_at_rest(), "a group is left behind");
        let read = self.reader.read(&Query::all(), &GlobalRead::new()).unwrap();
        let events: Vec<RecordedEvent> = read.map(Result::unwrap).collect();
        self.check_order(&events);
        self.check_answers(&events);
        self.check_frames();
    }

    fn check_order(&self, events: &[RecordedEvent]) {
        let mut versions = BTreeMap::<String, u64>::new();
        let mut locations = Vec::new();
        for (position, event) in (1..).zip(events) {
            assert_eq!(event.global_position().get(), position, "positions have a gap");
            let version = versions.entry(event.stream().unwrap().to_string()).or_default();
            *version += 1;
            assert_eq!(event.stream_version().get(), *version, "versions have a gap");
            locations.push(self.reader.locate(event.global_position()).unwrap());
        }
        assert!(locations.is_sorted_by(|one, next| one < next), "positions are out of order");
        let mut numbers: Vec<_> = events.iter().map(RecordedEvent::event_id).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), events.len(), "an event is recorded twice");
    }

    fn check_answers(&self, events: &[RecordedEvent]) {
        let told = self.told.lock();
        let find = |number| events.iter().find(|event| event.event_id() == event_id(number));
        for (number, outcome) in told.iter() {
            let is_recorded_later =
                || told.iter().any(|(n, it)| n == number && matches!(it, Outcome::Recorded(_)));
            match (outcome, find(*number)) {
                (Outcome::Recorded(result), Some(event)) => {
                    assert_eq!(event.global_position(), result.global_position);
                }
                (Outcome::Recorded(_), None) => panic!("event {number} is lost"),
                (Outcome::Unknown | Outcome::Panicked, _) | (_, None) => {}
                (_, Some(_)) => {
                    assert!(is_recorded_later(), "{outcome:?}, and yet {number} is there");
                }
            }
        }
        let firsts =
            told.iter().filter(|(_, it)| matches!(it, Outcome::Recorded(r) if !r.replayed));
        let unknown =
            told.iter().filter(|(_, it)| matches!(it, Outcome::Unknown | Outcome::Panicked));
        let most = firsts.clone().count() + unknown.count();
        let new = events.len() - usize::try_from(self.before).unwrap();
        assert!(firsts.count() <= new && new <= most, "{new} events of which nobody was told");
    }

    /// Checks that a mark shows only what was durable before it was written.
    fn check_frames(&self) {
        let mut next = 1;
        for (location, header) in self.frames() {
            assert_eq!(header.first_position.get(), next, "the log has a gap");
            next += u64::from(header.event_count);
            let is_mark = header.kind() != FrameKind::Commit;
            assert!(!is_mark || header.durable_upto == location, "a mark shares its group");
        }
    }

    /// Returns the frames that verify in the log as it would be found now.
    fn frames(&self) -> Vec<(Location, FrameHeader)> {
        let disk = self.disk.disk().copy();
        let store = directory::open(disk).unwrap();
        let mut found = Vec::new();
        let route = Route {
            disk: &store.log,
            store_id: store.identity.store_id,
            mode: OpenMode::Read,
            depth: Depth::Full,
            from: None,
            last: None,
            holes: &store.holes,
            mended: None,
        };
        let walked = recovery::walk(&route, &mut |frame, _| {
            found.push((frame.location(), *frame.header()));
            Ok(())
        });
        assert_eq!(walked.unwrap().damage, []);
        found
    }
}

/// Returns an event whose payload tells the watched disk which one it is.
pub(super) fn event(number: u64, payload_bytes: usize) -> NewEvent {
    let mut payload = [MARK, format!("{number:08}").as_bytes()].concat();
    payload.resize(payload.len().max(payload_bytes), 1);
    NewEvent::new("Happened", payload).id(event_id(number))
}

/// Returns what a call gave, or how it failed. A panic that the disk was told to raise is one way.
fn outcome_of<T>(call: impl FnOnce() -> Result<T>) -> Result<T, Outcome> {
    let error = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(given)) => return Ok(given),
        Ok(Err(error)) => error,
        Err(panic) if panic.is::<Told>() => return Err(Outcome::Panicked),
        Err(panic) => resume_unwind(panic),
    };
    Err(match error {
        Error::CommitRefused { .. } | Error::Conflict { .. } => Outcome::Refused,
        Error::NoSpace { .. } => Outcome::NoSpace,
        Error::Closed => Outcome::Closed,
        Error::Poisoned { .. } => Outcome::Poisoned,
        Error::OutcomeUnknown { .. } => Outcome::Unknown,
        error => panic!("{error}"),
    })
}
