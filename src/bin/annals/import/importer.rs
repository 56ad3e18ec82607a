//! Takes lines into a store, batch by batch, and names the line that it can not take.
//!
//! Knows neither files nor terminals. Invariants:
//!
//! 1. Events are recorded in the order of their lines, and what was recorded when an import ends, for
//!    whatever reason, is all that came before.
//! 2. A line that is refused stops the import, or is left out and counted; it takes no other line of
//!    its batch with it.
//! 3. A line that was taken is committed at the latest [`COMMIT_AFTER`] later, whether more come or not.
//! 4. Memory is that of one batch and its longest line, and of the ids (see `event_ids`).

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use annals::{
    Commit, Error, EventId, EventStore, Events, ExpectedVersion, GlobalPosition, GlobalRead,
    NewEvent, RecordedEvent,
};

use super::event_ids::EventIds;
use super::foreign::{self, Origin};
use super::lines::{Line, Lines, Next};
use super::rejects::Rejects;
use super::remarks::Remarks;
use crate::json_line::{ParsedLine, Refusal, parse};

/// Bytes of lines after which a batch is committed, however few its events: far below the limit of a
/// commit, and enough to hide the cost of a sync.
const BATCH_BYTES: usize = 4 << 20;

/// How long a line waits for others of its batch: with the commit itself far below the second that is
/// promised, and long enough for the batches of any input that does not wait to be full.
const COMMIT_AFTER: Duration = Duration::from_millis(250);

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
    /// Those of them that are recorded with other fields.
    pub(crate) different: u64,
    /// Lines left out.
    pub(crate) skipped: u64,
}

impl Counts {
    /// Returns the number of lines that are events of the store.
    pub(crate) fn taken(&self) -> u64 {
        self.appended + self.recognised
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { appended, recognised, different, skipped } = self;
        let read = self.taken();
        write!(f, "{read} events read, {appended} appended, {recognised} recognised")?;
        if *different > 0 {
            write!(f, ", {different} of them different")?;
        }
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
    /// The input is no lines of JSON at all.
    Foreign(String),
    /// The store did not take the event.
    Store(Error),
    /// The input can not be read.
    Input(io::Error),
    /// A refused line can not be kept.
    Rejects(io::Error),
}

impl Fault {
    fn at(line: u64, cause: Cause) -> Self {
        Self { first_line: line, last_line: line, cause }
    }

    /// Returns whether the line is to blame, rather than the store or the input as a whole.
    fn blames_line(&self) -> bool {
        match &self.cause {
            Cause::Invalid(_) => true,
            Cause::Store(error) => blames_event(error),
            Cause::Foreign(_) | Cause::Input(_) | Cause::Rejects(_) => false,
        }
    }

    /// Returns the error of the store, if it is one.
    pub(crate) fn into_store_error(self) -> Result<Error, Self> {
        match self.cause {
            Cause::Store(error) => Ok(error),
            cause => Err(Self { cause, ..self }),
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
            Cause::Invalid(reason) | Cause::Foreign(reason) => f.write_str(reason),
            Cause::Store(error) => write!(f, "{error}"),
            Cause::Input(error) => write!(f, "can not read the input: {error}"),
            Cause::Rejects(error) => write!(f, "can not keep the refused line: {error}"),
        }
    }
}

impl std::error::Error for Fault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.cause {
            Cause::Invalid(_) | Cause::Foreign(_) => None,
            Cause::Store(error) => Some(error),
            Cause::Input(error) | Cause::Rejects(error) => Some(error),
        }
    }
}

/// How an import is to go about its work.
#[derive(Debug)]
pub(crate) struct Manner {
    pub(crate) batch_events_max: usize,
    pub(crate) on_invalid: OnInvalid,
    pub(crate) rejects: Rejects,
}

/// Takes the lines of one input into a store.
pub(crate) struct Importer<'a> {
    store: &'a dyn EventStore,
    manner: Manner,
    /// The file that is read, for advice.
    origin: Origin,
    /// Told of every line that is left out.
    on_skip: Box<dyn FnMut(&Fault) + 'a>,
    /// A line that is not blank has come.
    has_begun: bool,
    ids: EventIds,
    batch: Vec<NumberedEvent>,
    batch_bytes: usize,
    /// When the batch has to be committed; none while it is empty.
    due: Option<Instant>,
    counts: Counts,
    remarks: Remarks,
    /// The events behind the last one that was recognised.
    behind: Events,
}

/// An event that waits for its batch.
#[derive(Debug)]
struct NumberedEvent {
    line: u64,
    event_id: EventId,
    parsed: ParsedLine,
    /// The line as it was, where it is to be kept should the store refuse it.
    raw: Option<Box<[u8]>>,
}

impl NumberedEvent {
    fn new_event(&self) -> NewEvent {
        self.parsed.new_event(self.event_id)
    }
}

impl<'a> Importer<'a> {
    pub(crate) fn new(
        store: &'a dyn EventStore,
        manner: Manner,
        origin: Origin,
        on_skip: impl FnMut(&Fault) + 'a,
    ) -> Self {
        Self {
            store,
            manner,
            origin,
            on_skip: Box::new(on_skip),
            has_begun: false,
            ids: EventIds::default(),
            batch: Vec::new(),
            batch_bytes: 0,
            due: None,
            counts: Counts::default(),
            remarks: Remarks::default(),
            behind: Events::empty(),
        }
    }

    /// Ends the import and returns what is recorded by now, and what is to be said about it.
    ///
    /// # Errors
    ///
    /// That the lines that were refused can not be made durable.
    pub(crate) fn finish(self) -> (Counts, Remarks, io::Result<()>) {
        let different = self.remarks.different.count();
        (Counts { different, ..self.counts }, self.remarks, self.manner.rejects.close())
    }

    /// Takes all lines that there are, or those before the first that can not be taken.
    ///
    /// # Errors
    ///
    /// The line that stopped the import, and why.
    pub(crate) fn take_all(&mut self, lines: &mut Lines) -> Result<(), Fault> {
        loop {
            lines.waiting().until(self.due);
            match lines.next() {
                Ok(Next::Line(line)) => {
                    let number = line.number;
                    self.origin.is_gzip = line.is_gzip;
                    match line.bytes {
                        Some(bytes) => self.take(number, bytes, &line)?,
                        None => self.refuse_long_line(number, lines)?,
                    }
                }
                Ok(Next::Waiting) => self.commit_batch()?,
                Ok(Next::End) => return self.commit_batch(),
                Err(error) => {
                    self.commit_batch()?;
                    return Err(Fault::at(lines.number(), Cause::Input(error)));
                }
            }
            if self.due.is_some_and(|due| due <= Instant::now()) {
                self.commit_batch()?;
            }
        }
    }

    fn take(&mut self, number: u64, bytes: &[u8], line: &Line<'_>) -> Result<(), Fault> {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        match parse(bytes) {
            Ok(parsed) => self.add(parsed, bytes, line),
            Err(refusal) => {
                self.commit_batch()?;
                let array = (refusal == Refusal::Array).then_some(foreign::ARRAY);
                if let Some(form) = foreign::of(line.raw).or(array).filter(|_| is_first) {
                    return Err(Fault::at(number, Cause::Foreign(form.advice(&self.origin))));
                }
                let cause = Cause::Invalid(self.explained(refusal));
                self.refuse(Fault::at(number, cause), Some(line.raw))
            }
        }
    }

    /// Adds to what is wrong with a line which command would help.
    fn explained(&self, refusal: Refusal) -> String {
        match refusal {
            Refusal::Other(reason) => reason,
            Refusal::Array => foreign::ARRAY.advice(&self.origin),
            Refusal::Unfinished(reason) => {
                format!("{reason}: {}", foreign::PRETTY.advice(&self.origin))
            }
        }
    }

    /// Refuses a line of which only the beginning was read, and passes over its rest.
    fn refuse_long_line(&mut self, number: u64, lines: &mut Lines) -> Result<(), Fault> {
        self.commit_batch()?;
        lines.waiting().until(None);
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        let foreign = foreign::of(lines.long_line()).filter(|_| is_first);
        if let Some(form) = foreign {
            return Err(Fault::at(number, Cause::Foreign(form.advice(&self.origin))));
        }
        let rejects = &mut self.manner.rejects;
        let kept = rejects.keep(lines.long_line());
        if rejects.is_kept() || self.manner.on_invalid == OnInvalid::Skip {
            let passed = lines.pass_over_long_line(|part| rejects.keep(part));
            passed.map_err(|error| Fault::at(number, Cause::Input(error)))?;
        }
        kept.map_err(|error| Fault::at(number, Cause::Rejects(error)))?;
        let (limit, mebibytes) = (lines.line_bytes_max(), lines.line_bytes_max() >> 20);
        let reason = format!(
            "the line is longer than {limit} bytes ({mebibytes} MiB), which no event needs; are its line \
             ends missing?"
        );
        self.refuse(Fault::at(number, Cause::Invalid(reason)), None)
    }

    fn add(&mut self, parsed: ParsedLine, bytes: &[u8], line: &Line<'_>) -> Result<(), Fault> {
        let event_id = match parsed.event_id() {
            Some(event_id) => event_id,
            None => {
                let (event_id, occurrence) = self.ids.of_next(bytes);
                if occurrence > 1 && !parsed.has_time() {
                    self.remarks.repeated.add(|| format!("line {}", line.number));
                }
                event_id
            }
        };
        let raw = self.manner.rejects.is_kept().then(|| line.raw.into());
        self.batch_bytes += line.raw.len();
        self.batch.push(NumberedEvent { line: line.number, event_id, parsed, raw });
        self.due.get_or_insert_with(|| Instant::now() + COMMIT_AFTER);
        let is_full = self.batch.len() >= self.manner.batch_events_max;
        match is_full || self.batch_bytes >= BATCH_BYTES {
            true => self.commit_batch(),
            false => Ok(()),
        }
    }

    fn commit_batch(&mut self) -> Result<(), Fault> {
        let batch = std::mem::take(&mut self.batch);
        (self.batch_bytes, self.due) = (0, None);
        self.commit(&batch)
    }

    /// Commits events; when one of several is refused, halves them until it stands alone.
    fn commit(&mut self, events: &[NumberedEvent]) -> Result<(), Fault> {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return Ok(());
        };
        match self.store.commit(commit_of(events)) {
            Ok(result) => {
                let recognised = events.len() as u64 - result.appended;
                self.counts.appended += result.appended;
                self.counts.recognised += recognised;
                match recognised {
                    0 => Ok(()),
                    _ => self.compare(events, result.appended),
                }
            }
            Err(error) if events.len() > 1 && blames_event(&error) => {
                let (front, back) = events.split_at(events.len() / 2);
                self.commit(front)?;
                self.commit(back)
            }
            Err(error) => {
                let (first_line, last_line) = (first.line, last.line);
                let fault = Fault { first_line, last_line, cause: Cause::Store(error) };
                self.refuse(fault, first.raw.as_deref())
            }
        }
    }

    /// Compares events of a commit with what is recorded, which of some was so before.
    fn compare(&mut self, events: &[NumberedEvent], appended: u64) -> Result<(), Fault> {
        let end = self.store.global_position();
        for NumberedEvent { line, event_id, parsed, .. } in events {
            let blame = |error| Fault::at(*line, Cause::Store(error));
            let recorded = self.recorded(*event_id).map_err(blame)?;
            let Some(recorded) = recorded else { continue };
            if let Some(field) = parsed.difference(&recorded) {
                let first = || format!("line {line}, event {event_id}: `{field}`");
                self.remarks.different.add(first);
            }
            let is_told_by_its_text = parsed.event_id().is_none() && !parsed.has_time();
            let is_old =
                |end: &GlobalPosition| recorded.global_position().get() + appended <= end.get();
            if is_told_by_its_text && end.as_ref().is_ok_and(is_old) {
                self.remarks.recorded_alike.add(|| format!("line {line}"));
            }
        }
        Ok(())
    }

    /// Returns the recorded event of an id. Lines that are imported again are recorded one after the other,
    /// so the event behind the one before is looked at first.
    fn recorded(&mut self, event_id: EventId) -> annals::Result<Option<RecordedEvent>> {
        if let Some(Ok(next)) = self.behind.next().filter(|next| is_event(next, event_id)) {
            return Ok(Some(next));
        }
        let found = self.store.event(event_id)?;
        self.behind = match &found {
            Some(event) => self.store.read_all(GlobalRead::new().after(event.global_position()))?,
            None => Events::empty(),
        };
        Ok(found)
    }

    fn refuse(&mut self, fault: Fault, raw: Option<&[u8]>) -> Result<(), Fault> {
        if fault.blames_line() {
            let kept = self.manner.rejects.keep(raw.unwrap_or_default());
            kept.map_err(|error| Fault::at(fault.first_line, Cause::Rejects(error)))?;
        }
        if self.manner.on_invalid == OnInvalid::Stop || !fault.blames_line() {
            return Err(fault);
        }
        self.counts.skipped += 1;
        (self.on_skip)(&fault);
        Ok(())
    }
}

fn is_event(event: &annals::Result<RecordedEvent>, event_id: EventId) -> bool {
    event.as_ref().is_ok_and(|event| event.event_id() == event_id)
}

/// Makes one commit, with an append for every run of events of one stream, so that the order of
/// events is kept.
fn commit_of(events: &[NumberedEvent]) -> Commit {
    let runs = events.chunk_by(|one, next| one.parsed.stream() == next.parsed.stream());
    runs.fold(Commit::new(), |commit, run| match run.first() {
        Some(first) => {
            let events = run.iter().map(NumberedEvent::new_event).collect();
            commit.append(first.parsed.stream(), ExpectedVersion::Any, events)
        }
        None => commit,
    })
}

/// Returns whether a commit was refused for one of its events: without it the rest would be taken.
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
    use annals::{MemoryStore, StreamId};

    use super::*;
    use crate::import::input::Input;

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
        let mut importer =
            Importer::new(store, manner(batch_events_max, on_invalid), Origin::default(), on_skip);
        let fault = importer.take_all(&mut lines_of(input)).err().map(|fault| fault.to_string());
        let (counts, ..) = importer.finish();
        (counts, fault, skipped)
    }

    fn manner(batch_events_max: usize, on_invalid: OnInvalid) -> Manner {
        Manner { batch_events_max, on_invalid, rejects: Rejects::default() }
    }

    fn lines_of(input: &str) -> Lines {
        Lines::new(Input::new(io::Cursor::new(input.to_owned())), 1 << 20)
    }

    fn counts(appended: u64, recognised: u64, skipped: u64) -> Counts {
        Counts { appended, recognised, different: 0, skipped }
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
            fn read_stream(&self, _: &StreamId, _: annals::StreamRead) -> annals::Result<Events> {
                Ok(Events::empty())
            }
            fn read(&self, _: &annals::Query, _: GlobalRead) -> annals::Result<Events> {
                Ok(Events::empty())
            }
            fn stream_version(&self, _: &StreamId) -> annals::Result<annals::StreamVersion> {
                Ok(annals::StreamVersion::ZERO)
            }
            fn event(&self, _: EventId) -> annals::Result<Option<RecordedEvent>> {
                Ok(None)
            }
            fn global_position(&self) -> annals::Result<GlobalPosition> {
                Ok(GlobalPosition::ZERO)
            }
        }
        let input = [line("a", ""), line("b", "")].concat();
        let manner = manner(10, OnInvalid::Skip);
        let mut importer = Importer::new(&Full, manner, Origin::default(), |_| panic!("skipped"));
        let fault = importer.take_all(&mut lines_of(&input)).unwrap_err();
        assert!(fault.to_string().starts_with("lines 1 to 2: no space left"), "{fault}");
    }

    fn claim(version: u64) -> String {
        format!(r#","aggregate_version":{version}"#)
    }
}
