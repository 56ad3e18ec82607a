//! `annals stats`: counts what is in a store and how large it is.
//!
//! Counts by reading every event once; memory grows with the number of event types only. Of a damaged store
//! it counts what verifies, and tells what does not.

use std::collections::BTreeMap;

use annals::{
    Direction, Error, FileStore, Finding, RecordedEvent, Severity, Stats, StreamVersion, Timestamp,
};
use clap::Args;
use serde::Serialize;

use crate::StoreArguments;
use crate::failure::{Failure, complain};
use crate::opening;
use crate::output::Output;
use crate::skipping::{Missing, Next, Walk};
use crate::text::counted;
use crate::unopened;
use crate::verify::{PrintedFinding, finding_line};

/// Count events, streams, categories and event types, and tell sizes
///
/// Of a damaged store it counts what verifies and tells what does not; the exit code is 1 then. Of one that
/// does not open at all it tells sizes, and what a repair would do.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  annals stats --store orders
  annals stats --store orders --json")]
pub(crate) struct StatsArguments {
    #[command(flatten)]
    store: StoreArguments,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &StatsArguments) -> Result<(), Failure> {
    let store = match opening::open(&arguments.store) {
        Err(error @ (Error::Damage(_) | Error::Read { .. } | Error::StoreFileMissing { .. })) => {
            let mut output = Output::new();
            unopened::print(&arguments.store.path, arguments.json, &mut output)?;
            output.finish()?;
            return Err(error.into());
        }
        opened => opened?,
    };
    let (contents, missing) = Contents::count(&store)?;
    let damage = damage(&arguments.store, &store, &missing);
    let overview = Overview::new(&store.stats()?, contents, &missing, &damage);
    let mut output = Output::new();
    match arguments.json {
        true => output.json(&overview)?,
        false => overview.print(&damage, &mut output)?,
    }
    if damage.is_empty() {
        missing.iter().for_each(|gap| complain(&gap.to_string()));
    }
    output.finish()?;
    match overview.intact {
        true => Ok(()),
        false => Err(Failure::Reported),
    }
}

/// Returns what is damaged: all that a verification finds, once anything shows that there is some.
fn damage(arguments: &StoreArguments, store: &FileStore, missing: &[Missing]) -> Vec<Finding> {
    let is_damage = |finding: &Finding| finding.severity == Severity::Damage;
    if missing.is_empty() && !store.findings().iter().any(is_damage) {
        return Vec::new();
    }
    let found = match FileStore::verify(&arguments.path) {
        Ok(report) => report.findings,
        Err(_) => store.findings().to_vec(),
    };
    found.into_iter().filter(is_damage).collect()
}

/// What is told of a store.
#[derive(Debug, Serialize)]
struct Overview {
    intact: bool,
    store_id: String,
    format_version: u32,
    events: u64,
    lost: u64,
    /// Positions that cannot be read.
    missing: u64,
    streams: u64,
    segments: u64,
    log_bytes: u64,
    disk_bytes: u64,
    index_bytes: u64,
    records: u64,
    record_bytes: u64,
    total_bytes: u64,
    first_recorded_at: Option<String>,
    last_recorded_at: Option<String>,
    categories: BTreeMap<String, Category>,
    findings: Vec<PrintedFinding>,
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
    /// Counts what verifies, and returns what does not beside it.
    fn count(store: &FileStore) -> Result<(Self, Vec<Missing>), Failure> {
        let (mut contents, mut missing) = (Self::default(), Vec::new());
        let walk = Walk { first: 1, last: u64::MAX, direction: Direction::Forward };
        walk.run(
            store,
            |event| {
                contents.add(event);
                Ok(Next::GoOn)
            },
            |gap| missing.push(gap.clone()),
        )?;
        Ok((contents, missing))
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
    fn new(sizes: &Stats, contents: Contents, missing: &[Missing], damage: &[Finding]) -> Self {
        let text = |time: Option<Timestamp>| time.map(|time| time.to_string());
        Self {
            intact: missing.is_empty() && damage.is_empty(),
            store_id: sizes.store_id.to_string(),
            format_version: sizes.format_version,
            events: contents.events,
            lost: sizes.lost,
            missing: missing.iter().filter_map(Missing::count).sum(),
            streams: contents.categories.values().map(|category| category.streams).sum(),
            segments: sizes.segments,
            log_bytes: sizes.log_bytes,
            disk_bytes: sizes.disk_bytes,
            index_bytes: sizes.index_bytes,
            records: sizes.records,
            record_bytes: sizes.record_bytes,
            total_bytes: sizes.total_bytes,
            first_recorded_at: text(contents.first_recorded_at),
            last_recorded_at: text(contents.last_recorded_at),
            categories: contents.categories,
            findings: damage.iter().map(PrintedFinding::from).collect(),
        }
    }

    fn print(&self, damage: &[Finding], output: &mut Output) -> Result<(), Failure> {
        let time = |time: &Option<String>| time.clone().unwrap_or_else(|| "-".into());
        let facts = [
            ("store id", self.store_id.clone()),
            ("format version", self.format_version.to_string()),
            ("events", self.events.to_string()),
            ("lost positions", self.lost.to_string()),
            ("missing positions", self.missing.to_string()),
            ("streams", self.streams.to_string()),
            ("segments", self.segments.to_string()),
            ("log bytes", self.log_bytes.to_string()),
            ("disk bytes", self.disk_bytes.to_string()),
            ("index bytes", self.index_bytes.to_string()),
            ("records", self.records.to_string()),
            ("record bytes", self.record_bytes.to_string()),
            ("total bytes", self.total_bytes.to_string()),
            ("first recorded at", time(&self.first_recorded_at)),
            ("last recorded at", time(&self.last_recorded_at)),
        ];
        for (name, value) in facts {
            output.line(format_args!("{name:<18}  {value}"))?;
        }
        for (name, category) in &self.categories {
            let Category { streams, events, event_types } = category;
            let (events, streams) = (counted(*events, "event"), counted(*streams, "stream"));
            output.line("")?;
            output.line(format_args!("{name}: {events} in {streams}"))?;
            for (event_type, events) in event_types {
                output.line(format_args!("{events:>12}  {event_type}"))?;
            }
        }
        if !self.intact {
            output.line("")?;
            damage.iter().try_for_each(|finding| output.line(finding_line(finding)))?;
            output.line("damaged: counted is what verifies")?;
        }
        Ok(())
    }
}
