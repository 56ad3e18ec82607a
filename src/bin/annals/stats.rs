//! `annals stats`: counts what is in a store and how large it is.
//!
//! Counts by reading every event once; memory grows with the number of event types only.

use std::collections::BTreeMap;

use annals::{EventStore, Events, FileStore, RecordedEvent, StreamVersion, Timestamp};
use clap::Args;
use serde::Serialize;

use crate::StoreArguments;
use crate::failure::Failure;
use crate::output::Output;

/// Count events, streams, categories and event types, and tell sizes
#[derive(Debug, Args)]
pub(crate) struct StatsArguments {
    #[command(flatten)]
    store: StoreArguments,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &StatsArguments) -> Result<(), Failure> {
    let store = FileStore::open_read_only(&arguments.store.path)?;
    let overview =
        Overview::new(&store.stats()?, Contents::count(store.read_all(Default::default())?)?);
    let mut output = Output::new();
    match arguments.json {
        true => output.json(&overview)?,
        false => overview.print(&mut output)?,
    }
    output.finish()
}

/// What is told of a store.
#[derive(Debug, Serialize)]
struct Overview {
    store_id: String,
    format_version: u32,
    events: u64,
    lost: u64,
    streams: u64,
    segments: u64,
    log_bytes: u64,
    disk_bytes: u64,
    index_bytes: u64,
    records: u64,
    record_bytes: u64,
    first_recorded_at: Option<String>,
    last_recorded_at: Option<String>,
    categories: BTreeMap<String, Category>,
}

/// What is told of an aggregate type.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Category {
    streams: u64,
    events: u64,
    event_types: BTreeMap<String, u64>,
}

/// What reading every event brings to light.
#[derive(Debug, Default)]
struct Contents {
    events: u64,
    first_recorded_at: Option<Timestamp>,
    last_recorded_at: Option<Timestamp>,
    categories: BTreeMap<String, Category>,
}

impl Contents {
    fn count(events: Events) -> annals::Result<Self> {
        let mut contents = Self::default();
        for event in events {
            contents.add(&event?);
        }
        Ok(contents)
    }

    fn add(&mut self, event: &RecordedEvent) {
        self.events += 1;
        self.first_recorded_at.get_or_insert(event.recorded_at());
        self.last_recorded_at = Some(event.recorded_at());
        let category = entry(&mut self.categories, event.aggregate_type());
        category.events += 1;
        // A stream has exactly one first event, so counting those needs no list of streams.
        category.streams += u64::from(event.stream_version() == StreamVersion::FIRST);
        *entry(&mut category.event_types, event.event_type()) += 1;
    }
}

/// Returns the entry of a name without making the name anew each time.
fn entry<'a, V: Default>(map: &'a mut BTreeMap<String, V>, name: &str) -> &'a mut V {
    if !map.contains_key(name) {
        map.insert(name.to_owned(), V::default());
    }
    map.entry(name.to_owned()).or_default()
}

impl Overview {
    fn new(sizes: &annals::Stats, contents: Contents) -> Self {
        let text = |time: Option<Timestamp>| time.map(|time| time.to_string());
        Self {
            store_id: sizes.store_id.to_string(),
            format_version: sizes.format_version,
            events: contents.events,
            lost: sizes.lost,
            streams: contents.categories.values().map(|category| category.streams).sum(),
            segments: sizes.segments,
            log_bytes: sizes.log_bytes,
            disk_bytes: sizes.disk_bytes,
            index_bytes: sizes.index_bytes,
            records: sizes.records,
            record_bytes: sizes.record_bytes,
            first_recorded_at: text(contents.first_recorded_at),
            last_recorded_at: text(contents.last_recorded_at),
            categories: contents.categories,
        }
    }

    fn print(&self, output: &mut Output) -> Result<(), Failure> {
        let time = |time: &Option<String>| time.clone().unwrap_or_else(|| "-".into());
        let facts = [
            ("store id", self.store_id.clone()),
            ("format version", self.format_version.to_string()),
            ("events", self.events.to_string()),
            ("lost positions", self.lost.to_string()),
            ("streams", self.streams.to_string()),
            ("segments", self.segments.to_string()),
            ("log bytes", self.log_bytes.to_string()),
            ("disk bytes", self.disk_bytes.to_string()),
            ("index bytes", self.index_bytes.to_string()),
            ("records", self.records.to_string()),
            ("record bytes", self.record_bytes.to_string()),
            ("first recorded at", time(&self.first_recorded_at)),
            ("last recorded at", time(&self.last_recorded_at)),
        ];
        for (name, value) in facts {
            output.line(format_args!("{name:<18}  {value}"))?;
        }
        for (name, category) in &self.categories {
            let Category { streams, events, event_types } = category;
            output.line(format_args!("\n{name}: {events} events in {streams} streams"))?;
            for (event_type, events) in event_types {
                output.line(format_args!("{events:>12}  {event_type}"))?;
            }
        }
        Ok(())
    }
}
