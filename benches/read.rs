//! How fast is what is recorded read, beside the bytes themselves?
//!
//! Loads random streams of 10 and of 100 events, reads everything, and asks for versions, event ids and
//! tags, in a store that is settled and warm. The raw floor is records of the same size that stand one behind
//! the other in memory, as a warm map of their file gives them, and are verified by their checksums: those at
//! the places where the events of such a stream lie, and for reading everything all of them.
//!
//! The table is measured in rounds in which both take turns, and its ratio is taken within each; criterion
//! then measures each question by itself, to tell a change from the run before.
//!
//! Environment: `shared/plan.rs`. Without `--bench`, or with `--test`, everything runs once.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring program fails by panicking and reports by printing"
)]

mod shared;

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use annals::{EventStore, FileStore, Query, QueryItem, ReadOptions, RecordedEvent, StreamId};
use criterion::{Criterion, SamplingMode, Throughput};

use shared::Outcome;
use shared::floor::Records;
use shared::measure::{Beside, beside};
use shared::plan::Plan;
use shared::stores::{bytes_per_event, make_loaded};
use shared::workload::{RARE_EVENTS, Workload, event_id, stream_id};

fn main() -> Outcome<()> {
    let plan = Plan::from_environment()?;
    let directory = plan.make_directory("read")?;
    let short = Subject::make(&plan, &directory.path().join("short"), 10)?;
    let long = Subject::make(&plan, &directory.path().join("long"), 100)?;

    println!("\n{}", Beside::HEADING);
    for subject in [&short, &long] {
        let work = format!("load of a {}-event stream", subject.workload.events_per_stream);
        let count = subject.streams.len();
        let mut load = || subject.average_time(count, Subject::load);
        let mut raw = || subject.average_time(count, Subject::load_raw);
        println!("{}", beside(plan.rounds, &work, &mut load, &mut raw)?);
    }
    let mut scan = || short.average_time(1, |subject, _| subject.scan());
    let mut raw = || short.average_time(1, |subject, _| subject.records.scan());
    let work = format!("scan of {} events", plan.events);
    println!("{}\n", beside(plan.rounds, &work, &mut scan, &mut raw)?);

    let time = Duration::from_secs(3);
    let criterion = Criterion::default().measurement_time(time).warm_up_time(time / 3);
    let mut criterion = criterion.without_plots().configure_from_args();
    loads(&mut criterion, [&short, &long]);
    questions(&mut criterion, &short);
    scans(&mut criterion, &short);
    criterion.final_summary();
    short.store.close()?;
    Ok(long.store.close()?)
}

/// A store to read, with the raw floor of its size, and what is asked.
struct Subject {
    workload: Workload,
    store: FileStore,
    records: Records,
    /// Streams that are asked for, and where their events lie.
    streams: Vec<(StreamId, Vec<u64>)>,
}

impl Subject {
    fn make(plan: &Plan, path: &Path, events_per_stream: u64) -> Outcome<Self> {
        const QUESTIONS: u64 = 20_000;
        let workload = Workload { events: plan.events, events_per_stream };
        make_loaded(plan, path, workload)?;
        let store = FileStore::open(path)?;
        let records = Records::encode(workload.events, bytes_per_event(&store)?)?;
        let asked = |question| {
            let stream = workload.random_stream(question);
            assert!(workload.events_of(stream).all(|event| workload.stream_of(event) == stream));
            Ok((stream_id(stream)?, workload.events_of(stream).collect()))
        };
        let streams = (0..plan.size(QUESTIONS, 10)).map(asked).collect::<Outcome<_>>()?;
        let subject = Self { workload, store, records, streams };
        subject.scan()?;
        (0..subject.streams.len()).try_for_each(|question| subject.load(question))?;
        Ok(subject)
    }

    /// Returns how long a work takes on an average of so many questions.
    fn average_time(
        &self,
        count: usize,
        work: impl Fn(&Self, usize) -> Outcome<()>,
    ) -> Outcome<Duration> {
        let start = Instant::now();
        (0..count).try_for_each(|question| work(self, question))?;
        Ok(start.elapsed() / u32::try_from(count)?)
    }

    fn stream(&self, question: usize) -> &(StreamId, Vec<u64>) {
        self.streams.get(question % self.streams.len()).unwrap()
    }

    fn load(&self, question: usize) -> Outcome<()> {
        let stream = self.store.load_stream(&self.stream(question).0, ReadOptions::new())?;
        match u64::try_from(stream.events().len())? == self.workload.events_per_stream {
            true => Ok(()),
            false => Err("events are missing".into()),
        }
    }

    fn load_raw(&self, question: usize) -> Outcome<()> {
        let (_, events) = self.stream(question);
        events.iter().try_for_each(|event| self.records.read(*event))
    }

    /// Reads everything and looks at every field.
    fn scan(&self) -> Outcome<()> {
        let mut count = 0;
        for event in self.store.read_all(ReadOptions::new())? {
            hand_out(&event?)?;
            count += 1;
        }
        if count == self.workload.events { Ok(()) } else { Err("events are missing".into()) }
    }
}

fn hand_out(event: &RecordedEvent) -> Outcome<()> {
    black_box((event.global_position(), event.stream_version()));
    black_box((event.recorded_at(), event.occurred_at()));
    black_box((event.event_id(), event.event_type(), event.event_version()));
    black_box((event.aggregate_type(), event.aggregate_id()));
    black_box((event.tenant(), event.actor(), event.correlation_id(), event.causation_id()));
    event.tags().for_each(|tag| _ = black_box(tag));
    black_box(event.metadata()?);
    black_box((event.content_type(), event.payload()));
    Ok(())
}

fn loads(criterion: &mut Criterion, subjects: [&Subject; 2]) {
    for subject in subjects {
        let events = subject.workload.events_per_stream;
        let mut group = criterion.benchmark_group(format!("load of a {events}-event stream"));
        group.throughput(Throughput::Elements(events));
        let mut questions = 0_usize..;
        let mut next = || questions.next().unwrap();
        group.bench_function("annals", |bencher| {
            bencher.iter(|| subject.load(next()).unwrap());
        });
        group.bench_function("raw", |bencher| {
            bencher.iter(|| subject.load_raw(next()).unwrap());
        });
        group.finish();
    }
}

fn questions(criterion: &mut Criterion, subject: &Subject) {
    let Subject { workload, store, records, .. } = subject;
    let mut group = criterion.benchmark_group("questions");
    let mut questions = 0_usize..;
    let mut next = || questions.next().unwrap();
    group.bench_function("raw, one record", |bencher| {
        let mut number = || workload.random_event(next() as u64);
        bencher.iter(|| records.read(number()).unwrap());
    });
    group.bench_function("stream_version, asked for lately", |bencher| {
        bencher.iter(|| store.stream_version(&subject.stream(next()).0).unwrap());
    });
    group.bench_function("event_exists, hit", |bencher| {
        let mut id = || event_id(workload.random_event(next() as u64));
        bencher.iter(|| assert!(store.event_exists(id()).unwrap()));
    });
    group.bench_function("event_exists, miss", |bencher| {
        let mut id = || event_id(workload.events + 1 + next() as u64);
        bencher.iter(|| assert!(!store.event_exists(id()).unwrap()));
    });
    let tags = [
        ("query of the rare tag", QueryItem::new().tag("rare")),
        ("query of both tags", QueryItem::new().tag("common").tag("rare")),
    ];
    for (name, item) in tags {
        let query = Query::from(item);
        let count = || store.read(&query, ReadOptions::new()).unwrap().count() as u64;
        group.bench_function(name, |bencher| bencher.iter(|| assert_eq!(count(), RARE_EVENTS)));
    }
    group.bench_function("raw, as many records", |bencher| {
        let step = workload.events / RARE_EVENTS;
        let read = |number: u64| records.read(number * step).unwrap();
        bencher.iter(|| (0..RARE_EVENTS).for_each(read));
    });
    group.finish();
}

fn scans(criterion: &mut Criterion, subject: &Subject) {
    let mut group = criterion.benchmark_group("scan");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(subject.workload.events));
    group.bench_function("annals", |bencher| bencher.iter(|| subject.scan().unwrap()));
    group.bench_function("raw", |bencher| bencher.iter(|| subject.records.scan().unwrap()));
    group.finish();
}
