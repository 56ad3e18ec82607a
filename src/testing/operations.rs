//! Arbitrary operations on a store, compared with a list.
//!
//! The fuzz target `operations` feeds [`check`] with any input, each byte of which decides something: what
//! is committed and with which expectation, what is committed again, what is read, and when the store is
//! closed or killed and opened again. The list knows what has been recorded, in order, and nothing else.

use crate::error::Error;
use crate::event::{NewEvent, RecordedEvent};
use crate::io::MemoryDisk;
use crate::position::GlobalPosition;
use crate::store::{
    AppendResult, Commit, ExpectedVersion, FailIfMatches, GlobalRead, Query, QueryItem, StreamRead,
};
use crate::testing::bytes::Verdict;
use crate::testing::small::{
    MemoryEngine, event_id, given, hold, open, settle_index, stream, take,
};

/// Operations that are looked at: the rest of an input is ignored.
const OPERATIONS_MAX: usize = 60;

const STREAMS: u8 = 4;

/// An event as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Recorded {
    stream: u64,
    id: u64,
    tag: u8,
    payload_bytes: usize,
}

impl Recorded {
    fn to_new(&self) -> NewEvent {
        NewEvent::new(format!("Type{}", self.tag % 2), vec![self.tag; self.payload_bytes])
            .id(event_id(self.id))
            .tag(self.tag_text())
    }

    fn tag_text(&self) -> String {
        format!("tag-{}", self.tag)
    }

    fn is(&self, event: &RecordedEvent) -> bool {
        event.event_id() == event_id(self.id)
            && event.is_in(&stream(self.stream))
            && event.payload().len() == self.payload_bytes
            && event.payload().iter().all(|byte| *byte == self.tag)
            && event.tags().eq([self.tag_text().as_str()])
    }
}

struct Life<'a> {
    input: &'a [u8],
    disk: MemoryDisk,
    engine: MemoryEngine,
    recorded: Vec<Recorded>,
    /// Where in the list the batches begin that went to one stream, and where they end.
    batches: Vec<(usize, usize)>,
    next_id: u64,
}

/// Does what an input tells, and compares every answer.
///
/// # Errors
///
/// What differs, as a sentence.
///
/// # Examples
///
/// ```
/// use annals::testing::bytes::Verdict;
/// use annals::testing::operations::check;
///
/// assert_eq!(check(&[0, 1, 2, 3, 4, 5]), Ok(Verdict::Accepted));
/// ```
pub fn check(input: &[u8]) -> Result<Verdict, String> {
    let disk = MemoryDisk::new();
    let engine = open(&disk).map_err(|error| error.to_string())?;
    let (recorded, batches) = (Vec::new(), Vec::new());
    let mut life = Life { input, disk, engine, recorded, batches, next_id: 1 };
    let mut operations = 0;
    while !life.input.is_empty() && operations < OPERATIONS_MAX {
        life.step().map_err(|wrong| format!("operation {operations}: {wrong}"))?;
        operations += 1;
    }
    life.reopen(operations.is_multiple_of(2))?;
    life.check_all()?;
    Ok(Verdict::Accepted)
}

/// Inputs to begin with, each with a name.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let names = ["many-1", "many-2", "many-3", "many-4", "many-5", "many-6", "many-7", "many-8"];
    let many = (1..).zip(names).map(|(seed, name)| (name, arbitrary_bytes(seed)));
    let few = [
        ("appends", vec![0, 0, 0, 1, 2, 9, 0, 1, 1, 2, 3, 9, 0, 0, 2, 1, 200, 9]),
        ("again", vec![0, 0, 0, 1, 2, 9, 1, 0, 0, 1, 0, 1, 5]),
        ("two-streams", vec![2, 0, 1, 2, 3, 4, 6, 1, 5, 0, 3]),
        ("condition", vec![0, 0, 0, 1, 2, 9, 3, 2, 0, 1, 3, 5, 6, 0, 3, 2, 9, 1]),
    ];
    few.into_iter().chain(many).collect()
}

/// Returns bytes that lead to about as many operations as are looked at.
fn arbitrary_bytes(seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_le_bytes()[7]
    };
    (0..OPERATIONS_MAX * 5).map(|_| next()).collect()
}

impl Life<'_> {
    fn byte(&mut self) -> u8 {
        let [byte] = take(&mut self.input);
        byte
    }

    fn step(&mut self) -> Result<(), String> {
        match self.byte() % 8 {
            0 => self.append(),
            1 => self.append_again(),
            2 => self.commit_to_two(),
            3 => self.commit_on_condition(),
            4 => self.read_stream(),
            5 => self.read_all(),
            6 => {
                let is_closed = self.byte().is_multiple_of(2);
                self.reopen(is_closed)
            }
            _ => {
                settle_index(&self.engine);
                Ok(())
            }
        }
    }

    fn any_stream(&mut self) -> u64 {
        u64::from(self.byte() % STREAMS)
    }

    /// Returns new events for a stream; some are large, so that segments fill.
    fn batch(&mut self, stream: u64) -> Vec<Recorded> {
        let (count, tag, size) = (1 + self.byte() % 4, self.byte() % 5, usize::from(self.byte()));
        let payload_bytes = if size > 200 { size * 10 } else { size };
        let mut new = || {
            self.next_id += 1;
            Recorded { stream, id: self.next_id, tag, payload_bytes }
        };
        (0..count).map(|_| new()).collect()
    }

    fn of_stream(&self, stream: u64) -> Vec<&Recorded> {
        self.recorded.iter().filter(|one| one.stream == stream).collect()
    }

    fn version(&self, stream: u64) -> u64 {
        self.of_stream(stream).len() as u64
    }

    /// Puts a batch into the list, once the store has taken it under the next numbers.
    fn record(&mut self, batch: Vec<Recorded>, result: &AppendResult) -> Result<(), String> {
        let start = self.recorded.len();
        let stream = batch.first().map_or(0, |one| one.stream);
        self.recorded.extend(batch);
        self.batches.push((start, self.recorded.len()));
        let expected = (self.version(stream), self.recorded.len() as u64, false);
        let found = (result.new_version.get(), result.global_position.get(), result.replayed);
        hold(found == expected, || format!("{result:?} instead of {expected:?}"))
    }

    fn append(&mut self) -> Result<(), String> {
        let (stream_number, expectation) = (self.any_stream(), self.byte());
        let batch = self.batch(stream_number);
        let version = self.version(stream_number);
        let (expected, holds) = match expectation % 5 {
            0 => (ExpectedVersion::Any, true),
            1 => (ExpectedVersion::NoStream, version == 0),
            2 => (ExpectedVersion::StreamExists, version > 0),
            3 => (ExpectedVersion::exact(version), true),
            _ => (ExpectedVersion::exact(version + 1), false),
        };
        let events = batch.iter().map(Recorded::to_new).collect();
        let commit = Commit::new().append(&stream(stream_number), expected, events);
        match (self.engine.commit(commit), holds) {
            (Ok(result), true) => self.record(batch, &result.appends[0]),
            (Err(error), false) if error.is_conflict() => Ok(()),
            (result, _) => Err(format!("{expected:?} at version {version}: {result:?}")),
        }
    }

    /// Commits a batch a second time: to its own stream, or to another, which is refused.
    fn append_again(&mut self) -> Result<(), String> {
        let (number, is_elsewhere) = (usize::from(self.byte()), self.byte().is_multiple_of(4));
        let count = self.batches.len().max(1);
        let Some((start, end)) = self.batches.get(number % count).copied() else { return Ok(()) };
        let batch = &self.recorded[start..end];
        let own = batch[0].stream;
        let name = stream(if is_elsewhere { own + 1 } else { own });
        let events = batch.iter().map(Recorded::to_new).collect();
        let result =
            self.engine.commit(Commit::new().append(&name, ExpectedVersion::NoStream, events));
        match result {
            Ok(result) if !is_elsewhere => {
                let (append, last) = (&result.appends[0], end as u64);
                let is_original = append.replayed && append.global_position.get() == last;
                hold(is_original, || format!("{append:?} instead of {last}"))
            }
            Err(Error::EventIdTaken { .. }) if is_elsewhere => Ok(()),
            result => Err(format!("again: {result:?}")),
        }
    }

    fn commit_to_two(&mut self) -> Result<(), String> {
        let first = self.any_stream();
        let second = (first + 1) % u64::from(STREAMS);
        let (one, other) = (self.batch(first), self.batch(second));
        let is_refused = self.byte().is_multiple_of(3);
        let version = self.version(second) + u64::from(is_refused);
        let events = |batch: &[Recorded]| batch.iter().map(Recorded::to_new).collect();
        let commit = Commit::new()
            .append(&stream(first), ExpectedVersion::Any, events(&one))
            .append(&stream(second), ExpectedVersion::exact(version), events(&other));
        match self.engine.commit(commit) {
            Ok(result) if !is_refused => {
                self.record(one, &result.appends[0])?;
                self.record(other, &result.appends[1])
            }
            Err(error) if is_refused && error.is_conflict() => Ok(()),
            result => Err(format!("to two streams: {result:?}")),
        }
    }

    fn commit_on_condition(&mut self) -> Result<(), String> {
        let (tag, after) = (self.byte() % 5, usize::from(self.byte()));
        let stream_number = self.any_stream();
        let batch = self.batch(stream_number);
        let after = after % (self.recorded.len() + 1);
        let holds = !self.recorded[after..].iter().any(|one| one.tag == tag);
        let query = Query::none().or(QueryItem::new().tag(format!("tag-{tag}")));
        let condition = FailIfMatches::new(query).after(GlobalPosition::new(after as u64));
        let events = batch.iter().map(Recorded::to_new).collect();
        let commit = Commit::new()
            .append(&stream(stream_number), ExpectedVersion::Any, events)
            .condition(condition);
        match (self.engine.commit(commit), holds) {
            (Ok(result), true) => self.record(batch, &result.appends[0]),
            (Err(error), false) if error.is_conflict() => Ok(()),
            (result, _) => Err(format!("on a condition that holds: {holds}, {result:?}")),
        }
    }

    fn read_stream(&mut self) -> Result<(), String> {
        let (number, from, limit) = (self.any_stream(), self.byte() % 20, self.byte() % 6);
        let is_backward = self.byte().is_multiple_of(2);
        let (from, limit) = (u64::from(from), usize::from(limit));
        let mut read = StreamRead::new().from(from).limit(limit as u64);
        let mut expected: Vec<_> = self.of_stream(number);
        expected.drain(..usize::try_from(from.saturating_sub(1)).unwrap().min(expected.len()));
        if is_backward {
            read = read.backward();
            expected.reverse();
        }
        expected.truncate(limit);
        let found = given(self.engine.reader().read_stream(&stream(number), &read));
        let version = self.engine.reader().version(&stream(number));
        let is_version = version.as_ref().is_ok_and(|found| found.get() == self.version(number));
        hold(is_version, || format!("version of {number}: {version:?}"))?;
        compare(found, &expected)
    }

    fn read_all(&mut self) -> Result<(), String> {
        let (tag, from, limit) = (self.byte() % 6, self.byte(), usize::from(self.byte() % 20));
        let is_backward = self.byte().is_multiple_of(2);
        // There is no event with the last tag: everything is asked for instead.
        let query = match tag {
            5 => Query::all(),
            tag => Query::none().or(QueryItem::new().tag(format!("tag-{tag}"))),
        };
        let mut read = GlobalRead::new().from(u64::from(from)).limit(limit as u64);
        let behind = self.recorded.iter().skip(usize::from(from.saturating_sub(1)));
        let mut expected: Vec<_> = behind.filter(|one| tag == 5 || one.tag == tag).collect();
        if is_backward {
            read = read.backward();
            expected.reverse();
        }
        expected.truncate(limit);
        compare(given(self.engine.reader().read(&query, &read)), &expected)
    }

    /// Closes the store, or leaves it as a kill does, and opens it again.
    fn reopen(&mut self, is_closed: bool) -> Result<(), String> {
        match is_closed {
            true => self.engine.close().map_err(|error| error.to_string())?,
            false => self.disk = self.disk.copy(),
        }
        self.engine = open(&self.disk).map_err(|error| error.to_string())?;
        let (found, expected) = (self.engine.reader().durable().get(), self.recorded.len() as u64);
        hold(found == expected, || format!("{found} events instead of {expected} after opening"))
    }

    fn check_all(&self) -> Result<(), String> {
        let all = given(self.engine.reader().read(&Query::all(), &GlobalRead::new()));
        compare(all, &self.recorded.iter().collect::<Vec<_>>())?;
        for (position, recorded) in (1..).zip(&self.recorded) {
            let found = self.engine.reader().event(event_id(recorded.id));
            let is_there = matches!(&found, Ok(Some(event))
                if recorded.is(event) && event.global_position().get() == position);
            hold(is_there, || format!("{recorded:?} by its id is {found:?}"))?;
        }
        Ok(())
    }
}

fn compare(
    (events, error): (Vec<RecordedEvent>, Option<Error>),
    expected: &[&Recorded],
) -> Result<(), String> {
    let are_same = events.len() == expected.len()
        && expected.iter().zip(&events).all(|(recorded, event)| recorded.is(event));
    hold(are_same && error.is_none(), || format!("{events:?} {error:?} instead of {expected:?}"))
}
