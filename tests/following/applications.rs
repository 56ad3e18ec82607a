//! Loan applications, real or made up: what the proofs append, and what a projection must make of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use annals::{EventStore, ExpectedVersion, Handled, NewEvent, Projection, RecordedEvent, StreamId};
use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub(crate) const WRITERS: usize = 8;

/// Names a file with real events.
const FILE: &str = "ANNALS_LOAN_APPLICATIONS";

/// Events of one append at most.
const APPEND_EVENTS_MAX: usize = 5;

/// What happened to one application.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// From 1 on, in the order of the file; the event's id follows from it.
    number: u64,
    application: String,
    event_type: String,
    payload: Vec<u8>,
}

#[derive(Deserialize)]
struct Parsed {
    aggregate_id: String,
    event_type: String,
    data: serde_json::Value,
}

/// Returns all lines, in order.
pub(crate) fn lines() -> Vec<Line> {
    match std::env::var_os(FILE) {
        Some(file) => real(&PathBuf::from(file)),
        None => {
            eprintln!("skipped: real events: {FILE} names no file; a made-up workload stands in");
            made_up(400)
        }
    }
}

fn real(file: &std::path::Path) -> Vec<Line> {
    let reader = BufReader::new(GzDecoder::new(File::open(file).unwrap()));
    let line = |(number, line): (u64, std::io::Result<String>)| {
        let Parsed { aggregate_id, event_type, data } =
            serde_json::from_str(&line.unwrap()).unwrap();
        let payload = serde_json::to_vec(&data).unwrap();
        Line { number, application: aggregate_id, event_type, payload }
    };
    (1..).zip(reader.lines()).map(line).collect()
}

/// Makes up as many applications, whose events run side by side as they do in a bank.
fn made_up(applications: u64) -> Vec<Line> {
    let ends = ["A_DECLINED", "A_CANCELLED", "A_APPROVED"];
    let mut lines = Vec::new();
    for step in 0..8 {
        for application in 0..applications {
            let event_type = match step {
                0 => "A_SUBMITTED",
                1 => "A_PARTLYSUBMITTED",
                7 if application.is_multiple_of(5) => continue,
                7 => ends[usize::try_from(application % 3).unwrap()],
                _ => "W_Complete the application",
            };
            lines.push(Line {
                number: lines.len() as u64 + 1,
                application: format!("{}", 173_688 + application),
                event_type: event_type.to_owned(),
                payload: vec![b'x'; usize::try_from(application % 90).unwrap()],
            });
        }
    }
    lines
}

/// Appends what is not there yet of a writer's share of the lines: whole applications, in their order.
pub(crate) fn append_share(store: &dyn EventStore, lines: &[Line], writer: usize) {
    let mut versions = BTreeMap::<&str, u64>::new();
    let mut batches = BTreeMap::<&str, Vec<NewEvent>>::new();
    let mut seen = BTreeMap::<&str, u64>::new();
    let own = lines.iter().filter(|line| writer_of(&line.application) == writer);
    for line in own {
        let application = line.application.as_str();
        let known = *versions
            .entry(application)
            .or_insert_with(|| store.stream_version(&stream(application)).unwrap().get());
        let number = seen.entry(application).or_default();
        *number += 1;
        if *number > known {
            let batch = batches.entry(application).or_default();
            batch.push(event(line));
            if batch.len() == APPEND_EVENTS_MAX {
                append(store, application, std::mem::take(batch));
            }
        }
    }
    for (application, batch) in batches {
        append(store, application, batch);
    }
}

fn append(store: &dyn EventStore, application: &str, batch: Vec<NewEvent>) {
    store.append(&stream(application), ExpectedVersion::Any, batch).unwrap();
}

fn event(line: &Line) -> NewEvent {
    let id = Uuid::from_u64_pair(1, line.number);
    NewEvent::new(line.event_type.clone(), line.payload.clone()).id(id)
}

fn stream(application: &str) -> StreamId {
    StreamId::new("LoanApplication", application).unwrap()
}

fn writer_of(application: &str) -> usize {
    application.bytes().map(usize::from).sum::<usize>() % WRITERS
}

/// The state of every application: its last event about the application itself.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct States {
    of: BTreeMap<String, String>,
    /// Events that counted, so that one that counts twice shows.
    events: u64,
}

impl States {
    pub(crate) fn add(&mut self, application: &str, event_type: &str) {
        self.events += 1;
        if event_type.starts_with("A_") {
            self.of.insert(application.to_owned(), event_type.to_owned());
        }
    }

    /// Returns what one pass over all lines makes of them.
    pub(crate) fn after(lines: &[Line]) -> Self {
        let mut states = Self::default();
        lines.iter().for_each(|line| states.add(&line.application, &line.event_type));
        states
    }

    /// Returns how many applications are in each state.
    pub(crate) fn counts(&self) -> BTreeMap<&str, u64> {
        let mut counts = BTreeMap::new();
        self.of.values().for_each(|state| *counts.entry(state.as_str()).or_default() += 1);
        counts
    }
}

/// Counts loan applications by their state.
pub(crate) struct ByState;

impl Projection for ByState {
    type State = States;
    type Error = annals::Error;

    fn handle(&mut self, states: &mut States, event: &RecordedEvent) -> annals::Result<Handled> {
        states.add(&event.aggregate_id().to_string(), event.event_type());
        Ok(Handled::Applied)
    }
}
