//! Takes lines into a store, batch by batch, and names the line that it can not take.
//!
//! Knows neither files nor terminals. Invariants:
//!
//! 1. Events are recorded in the order of their lines, and what was recorded when an import ends, for
//!    whatever reason, is all that came before.
//! 2. A line that is refused stops the import, or is left out and counted; it takes no other line of
//!    its batch with it.
//! 3. Memory is that of one batch and its longest line, and of the ids (see `event_ids`).

use std::fmt;
use std::io;

use annals::{Commit, Error, EventStore, ExpectedVersion, NewEvent, StreamId};

use crate::event_ids::EventIds;
use crate::json_line::{ParsedLine, parse};
use crate::lines::{Line, Lines};

/// Bytes of lines after which a batch is committed, however few its events: far below the limit of a
/// commit, and enough to hide the cost of a sync.
const BATCH_BYTES: usize = 4 << 20;

/// What becomes of a line that can not be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnInvalid {
    Stop,
    Skip,
}

/// What an import has come to so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) appended: u64,
    /// Events that had been recorded before.
    pub(crate) recognised: u64,
    /// Lines left out.
    pub(crate) skipped: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { appended, recognised, skipped } = self;
        let read = appended + recognised;
        write!(f, "{read} events read, {appended} appended, {recognised} recognised")?;
        match skipped {
            0 => Ok(()),
            skipped => write!(f, ", {skipped} skipped"),
        }
    }
}

/// The line, or lines, at which something went wrong, and what.
#[derive(Debug)]
pub(crate) struct Fault {
    first_line: u64,
    last_line: u64,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    /// The line is no event.
    Invalid(String),
    /// The store did not take the event.
    Store(Error),
    /// The input can not be read.
    Input(io::Error),
}

impl Fault {
    fn at(line: u64, cause: Cause) -> Self {
        Self { first_line: line, last_line: line, cause }
    }

    /// Tells whether the line is to blame, rather than the store or the input as a whole.
    fn blames_line(&self) -> bool {
        match &self.cause {
            Cause::Invalid(_) => true,
            Cause::Store(error) => blames_event(error),
            Cause::Input(_) => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first_line, self.last_line) {
            (first, last) if first == last => write!(f, "line {first}: ")?,
            (first, last) => write!(f, "lines {first} to {last}: ")?,
        }
        match &self.cause {
            Cause::Invalid(reason) => f.write_str(reason),
            Cause::Store(error) => write!(f, "{error}"),
            Cause::Input(error) => write!(f, "can not read the input: {error}"),
        }
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Invalid(_) => None,
            Cause::Store(error) => Some(error),
            Cause::Input(error) => Some(error),
        }
    }
}

/// Takes the lines of one input into a store.
pub(crate) struct Importer<'a> {
    store: &'a dyn EventStore,
    batch_events_max: usize,
    on_invalid: OnInvalid,
    /// Told of every line that is left out.
    on_skip: Box<dyn FnMut(&Fault) + 'a>,
    ids: EventIds,
    batch: Vec<NumberedEvent>,
    batch_bytes: usize,
    counts: Counts,
}

/// An event that waits for its batch.
#[derive(Debug)]
struct NumberedEvent {
    line: u64,
    stream: StreamId,
    event: NewEvent,
}

impl<'a> Importer<'a> {
    pub(crate) fn new(
        store: &'a dyn EventStore,
        batch_events_max: usize,
        on_invalid: OnInvalid,
        on_skip: impl FnMut(&Fault) + 'a,
    ) -> Self {
        Self {
            store,
            batch_events_max,
            on_invalid,
            on_skip: Box::new(on_skip),
            ids: EventIds::default(),
            batch: Vec::new(),
            batch_bytes: 0,
            counts: Counts::default(),
        }
    }

    /// Returns what is recorded by now.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes all lines, or those before the first that can not be taken.
    ///
    /// # Errors
    ///
    /// The line that stopped the import, and why.
    pub(crate) fn take_all(&mut self, lines: &mut Lines<'_>) -> Result<(), Fault> {
        loop {
            match lines.next() {
                Ok(Some(line)) => self.take(&line)?,
                Ok(None) => return self.commit_batch(),
                Err(error) => {
                    self.commit_batch()?;
                    return Err(Fault::at(lines.number(), Cause::Input(error)));
                }
            }
        }
    }

    fn take(&mut self, line: &Line<'_>) -> Result<(), Fault> {
        let parsed = match line.bytes {
            Some(bytes) => parse(bytes).map(|parsed| (bytes, parsed)),
            None => Err("the line is too long".into()),
        };
        match parsed {
            Ok((bytes, parsed)) => self.add(line.number, bytes, parsed),
            Err(reason) => {
                self.commit_batch()?;
                self.refuse(Fault::at(line.number, Cause::Invalid(reason)))
            }
        }
    }

    fn add(&mut self, line: u64, bytes: &[u8], parsed: ParsedLine) -> Result<(), Fault> {
        let ParsedLine { stream, event_id, event } = parsed;
        let event = match event_id {
            Some(_) => event,
            None => event.id(self.ids.of_next(bytes)),
        };
        self.batch_bytes += bytes.len();
        self.batch.push(NumberedEvent { line, stream, event });
        match self.batch.len() >= self.batch_events_max || self.batch_bytes >= BATCH_BYTES {
            true => self.commit_batch(),
            false => Ok(()),
        }
    }

    fn commit_batch(&mut self) -> Result<(), Fault> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        self.commit(&batch)
    }

    /// Commits events; when one of several is refused, halves them until it stands alone.
    fn commit(&mut self, events: &[NumberedEvent]) -> Result<(), Fault> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return Ok(());
        };
        match self.store.commit(commit_of(events)) {
            Ok(result) => {
                self.counts.appended += result.appended;
                self.counts.recognised += events.len() as u64 - result.appended;
                Ok(())
            }
            Err(error) if events.len() > 1 && blames_event(&error) => {
                let (front, back) = events.split_at(events.len() / 2);
                self.commit(front)?;
                self.commit(back)
            }
            Err(error) => self.refuse(Fault {
                first_line: first.line,
                last_line: last.line,
                cause: Cause::Store(error),
            }),
        }
    }

    fn refuse(&mut self, fault: Fault) -> Result<(), Fault> {
        if self.on_invalid == OnInvalid::Stop || !fault.blames_line() {
            return Err(fault);
        }
        self.counts.skipped += 1;
        (self.on_skip)(&fault);
        Ok(())
    }
}

/// Makes one commit, with an append for every run of events of one stream, so that the order of
/// events is kept.
fn commit_of(events: &[NumberedEvent]) -> Commit {
    let runs = events.chunk_by(|one, next| one.stream == next.stream);
    runs.fold(Commit::new(), |commit, run| match run.first() {
        Some(NumberedEvent { stream, .. }) => {
            let events = run.iter().map(|numbered| numbered.event.clone()).collect();
            commit.append(stream, ExpectedVersion::Any, events)
        }
        None => commit,
    })
}

/// Tells whether a commit was refused for one of its events: without it the rest would be taken.
fn blames_event(error: &Error) -> bool {
    matches!(
        error,
        Error::EventIdTaken { .. }
            | Error::VersionMismatch { .. }
            | Error::Limit { .. }
            | Error::InvalidName { .. }
            | Error::Payload(_)
    )
}

#[cfg(test)]
mod tests {
    use annals::MemoryStore;

    use super::*;

    fn line(id: &str, more: &str) -> String {
        format!(
            r#"{{"aggregate_type":"Task","aggregate_id":"{id}","event_type":"Done"{more}}}{}"#,
            "\n"
        )
    }

    /// Imports a text and returns the counts, the fault, and the skipped lines.
    fn import(
        store: &MemoryStore,
        input: &str,
        batch_events_max: usize,
        on_invalid: OnInvalid,
    ) -> (Counts, Option<String>, Vec<String>) {
        let mut skipped = Vec::new();
        let on_skip = |fault: &Fault| skipped.push(fault.to_string());
        let mut importer = Importer::new(store, batch_events_max, on_invalid, on_skip);
        let mut lines = Lines::new(input.as_bytes(), 1 << 20).unwrap();
        let fault = importer.take_all(&mut lines).err().map(|fault| fault.to_string());
        let counts = importer.counts();
        drop(importer);
        (counts, fault, skipped)
    }

    fn counts(appended: u64, recognised: u64, skipped: u64) -> Counts {
        Counts { appended, recognised, skipped }
    }

    #[test]
    fn a_line_that_the_store_refuses_is_found_in_its_batch() {
        let mut lines: Vec<_> = (1..=20).map(|version| line("t", &claim(version))).collect();
        lines[12] = line("t", &claim(99));
        for batch in [1, 3, 20, 1000] {
            let store = MemoryStore::new();
            let (counted, fault, _) = import(&store, &lines.concat(), batch, OnInvalid::Stop);
            assert_eq!(counted, counts(12, 0, 0), "batch {batch}");
            let fault = fault.unwrap();
            assert!(fault.starts_with("line 13: ") && fault.contains("99"), "{fault}");
        }
    }

    #[test]
    fn what_is_refused_is_skipped_alone() {
        let input = [
            line("a", ""),
            line("b", r#","tags":["bad\u0000tag"]"#),
            line("a", ""),
            "nonsense\n".to_owned(),
            line("c", r#","event_id":"00000000-0000-0000-0000-000000000001""#),
            line("d", r#","event_id":"00000000-0000-0000-0000-000000000001""#),
            line("e", ""),
        ]
        .concat();
        for batch in [1, 2, 1000] {
            let store = MemoryStore::new();
            let (counted, fault, skipped) = import(&store, &input, batch, OnInvalid::Skip);
            assert_eq!((counted, fault), (counts(4, 0, 3), None), "batch {batch}");
            let starts = ["line 2: invalid tag", "line 4: not a JSON object", "line 6: event id"];
            for (fault, start) in skipped.iter().zip(starts) {
                assert!(fault.starts_with(start), "{fault}");
            }
            let (again, ..) = import(&store, &input, 3, OnInvalid::Skip);
            assert_eq!(again, counts(0, 4, 3));
        }
    }

    #[test]
    fn a_store_that_takes_nothing_is_not_blamed_on_a_line() {
        struct Full;
        impl EventStore for Full {
            fn commit(&self, _: Commit) -> annals::Result<annals::CommitResult> {
                let source = io::ErrorKind::StorageFull.into();
                Err(Error::NoSpace { path: "log".into(), source })
            }
            fn read_stream(
                &self,
                _: &StreamId,
                _: annals::StreamRead,
            ) -> annals::Result<annals::Events> {
                Ok(annals::Events::empty())
            }
            fn read(
                &self,
                _: &annals::Query,
                _: annals::GlobalRead,
            ) -> annals::Result<annals::Events> {
                Ok(annals::Events::empty())
            }
            fn stream_version(&self, _: &StreamId) -> annals::Result<annals::StreamVersion> {
                Ok(annals::StreamVersion::ZERO)
            }
            fn event(&self, _: annals::EventId) -> annals::Result<Option<annals::RecordedEvent>> {
                Ok(None)
            }
            fn global_position(&self) -> annals::Result<annals::GlobalPosition> {
                Ok(annals::GlobalPosition::ZERO)
            }
        }
        let input = [line("a", ""), line("b", "")].concat();
        let mut importer = Importer::new(&Full, 10, OnInvalid::Skip, |_| panic!("skipped"));
        let mut lines = Lines::new(input.as_bytes(), 1 << 20).unwrap();
        let fault = importer.take_all(&mut lines).unwrap_err();
        assert!(fault.to_string().starts_with("lines 1 to 2: no space left"), "{fault}");
    }

    fn claim(version: u64) -> String {
        format!(r#","aggregate_version":{version}"#)
    }
}
