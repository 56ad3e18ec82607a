//! Does a large store open, answer and append like a small one?
//!
//! Builds stores of growing size (200-byte payloads, ten events a stream, streams interleaved in time,
//! commits of a thousand events) and measures each, every figure at every size in one run.
//!
//! Environment: `ANNALS_SCALE_EVENTS` (the sizes, `100000,1000000,10000000` when not set), and what
//! `shared/plan.rs` reads. Without `--bench`, or with `--test`, there is one tiny size.
//!
//! A store after `kill -9` is made by a child process of this program that kills itself.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measuring program fails by panicking and reports by printing"
)]

mod shared;

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use annals::{
    EventStore, ExpectedVersion, FileStore, NewEvent, Query, QueryItem, ReadOptions, StreamId,
};
use uuid::Uuid;

use shared::Outcome;
use shared::commits::{Load, raw_appender, warm_up};
use shared::floor::GroupCommit;
use shared::machine::anonymous_kib;
use shared::measure::{mebibytes, median_time, micros, milliseconds, nanos, percentile, times};
use shared::plan::Plan;
use shared::stores::{
    append_and_die, die_if_asked, is_merging, settle, time_to_open, wait_until_merged,
};
use shared::workload::{
    EVENTS_PER_COMMIT, LAST_EVENTS, PAYLOAD_BYTES, RARE_EVENTS, Workload, event_id, stream_id,
};

const EVENTS_PER_STREAM: u64 = 10;
const QUESTIONS: u64 = 20_000;

fn main() -> Outcome<()> {
    die_if_asked()?;
    let plan = Plan::from_environment()?;
    let sizes = match std::env::var("ANNALS_SCALE_EVENTS") {
        Ok(sizes) => sizes.split(',').map(str::parse).collect::<Result<Vec<u64>, _>>()?,
        Err(_) => plan.size(vec![100_000, 1_000_000, 10_000_000], vec![plan.events]),
    };
    let directory = plan.make_directory("scale")?;
    let columns: Outcome<Vec<_>> =
        sizes.iter().map(|size| measure(&plan, directory.path(), *size)).collect();
    print_table(&sizes, &columns?);
    Ok(())
}

/// A figure of one store: its name and its value as text.
type Figures = Vec<(&'static str, String)>;

fn measure(plan: &Plan, directory: &Path, events: u64) -> Outcome<Figures> {
    let path = &directory.join("store");
    let raw = raw_write(plan, directory)?;
    let workload = Workload { events, events_per_stream: EVENTS_PER_STREAM };
    let (time, anonymous) = load(path, workload)?;
    settle(plan, path)?;
    let openings: Outcome<Vec<_>> = (0..9).map(|_| time_to_open(path)).collect();
    let clean = percentile(openings?, 50);
    append_and_die(path, plan.size(LAST_EVENTS, 1000))?;
    // What a crash leaves is there for the first opening only.
    let killed = time_to_open(path)?;
    let mut figures = vec![
        ("raw write and fdatasync, p50", micros(raw)),
        ("events/s while loading", format!("{:.0}", events as f64 / time.as_secs_f64())),
        ("RssAnon while loading, most", mebibytes(anonymous)),
        ("open after a clean close", milliseconds(clean)),
        ("open after kill -9", milliseconds(killed)),
    ];
    let store = FileStore::open(path)?;
    wait_until_merged(plan, path)?;
    // Reading everything first makes the questions after it warm: every page is mapped.
    let anonymous = anonymous_while_reading(&store)?;
    figures.push(("RssAnon while reading everything, most", mebibytes(anonymous)));
    figures.extend(ask(&store, workload));
    let stats = store.stats()?;
    store.close()?;
    let share = 100.0 * stats.index_bytes as f64 / stats.log_bytes as f64;
    let (quiet, scanning, merging) = appends_beside_others(plan, path, events)?;
    figures.extend([
        ("log bytes an event", format!("{:.1}", stats.log_bytes as f64 / stats.events as f64)),
        ("index, share of the log", format!("{share:.1} %")),
        ("durable append, p99", micros(quiet)),
        ("durable append while everything is read, p99", micros(scanning)),
        ("durable append while a merge runs, p99", merging.map_or("no merge ran".into(), micros)),
    ]);
    fs::remove_dir_all(path)?;
    Ok(figures)
}

/// Returns the median time of a raw write of one event and its sync.
fn raw_write(plan: &Plan, directory: &Path) -> Outcome<Duration> {
    let load = Load { threads: 1, events_per_commit: 1 };
    let (raw, path) = (directory.join("raw"), directory.join("small"));
    let store = FileStore::open(&path)?;
    let record_bytes = warm_up(&store, load)?;
    store.close()?;
    let group_commit = GroupCommit::create(&raw, 4 << 20)?;
    let mut append = raw_appender(&group_commit, load, record_bytes);
    let time = median_time(plan.size(500, 1), |_| append().unwrap());
    fs::remove_dir_all(path)?;
    fs::remove_file(raw)?;
    Ok(time)
}

/// Measures random questions, of a store that was asked none since it was opened.
fn ask(store: &FileStore, workload: Workload) -> Figures {
    let not_lately = version_not_asked_for_lately(store, workload);
    let stream = |question: u64| stream_id(workload.random_stream(question)).unwrap();
    let load = median_time(QUESTIONS / 4, |question| {
        let loaded = store.load_stream(&stream(question), ReadOptions::new()).unwrap();
        assert_eq!(loaded.events().len() as u64, EVENTS_PER_STREAM);
    });
    let version = median_time(QUESTIONS, |question| {
        assert_eq!(store.stream_version(&stream(question)).unwrap().get(), EVENTS_PER_STREAM);
    });
    let hit = median_time(QUESTIONS, |question| {
        assert!(store.event_exists(event_id(workload.random_event(question))).unwrap());
    });
    let miss = median_time(QUESTIONS, |question| {
        assert!(!store.event_exists(event_id(workload.events + 1 + question)).unwrap());
    });
    let query = |item: QueryItem| {
        let query = Query::from(item);
        median_time(500, |_| {
            let found = store.read(&query, ReadOptions::new()).unwrap().count();
            assert_eq!(found as u64, RARE_EVENTS);
        })
    };
    let rare = query(QueryItem::new().tag("rare"));
    let both = query(QueryItem::new().tag("common").tag("rare"));
    vec![
        ("load of a 10-event stream, p50", nanos(load)),
        ("stream_version, p50", nanos(version)),
        ("stream_version of streams not asked for lately, p50", nanos(not_lately)),
        ("event_exists, hit, p50", nanos(hit)),
        ("event_exists, miss, p50", nanos(miss)),
        ("query of the rare tag, p50", nanos(rare)),
        ("query of both tags, p50", nanos(both)),
    ]
}

/// Returns the median time to look up the version of a stream that the table of hot heads does not know,
/// however many streams there are and would fit into it: each is asked for once since the store was
/// opened, and no event of it was appended.
///
/// The last event of each is read first, which leaves the table as it is, so that as much is warm as for
/// the other questions.
fn version_not_asked_for_lately(store: &FileStore, workload: Workload) -> Duration {
    let questions = 0..QUESTIONS.min(workload.streams());
    let stream = |question: u64| stream_id(workload.distinct_stream(question)).unwrap();
    for question in questions.clone() {
        let last = ReadOptions::new().backward().limit(1);
        assert_eq!(store.read_stream(&stream(question), last).unwrap().count(), 1);
    }
    let version = |question| {
        assert_eq!(store.stream_version(&stream(question)).unwrap().get(), EVENTS_PER_STREAM);
    };
    percentile(times(questions, version), 50)
}

/// Loads a store and returns the time it took and the most anonymous memory, in KiB.
fn load(path: &Path, workload: Workload) -> Outcome<(Duration, u64)> {
    let store = FileStore::open(path)?;
    let start = Instant::now();
    let mut most = 0;
    workload.load(&store, || most = most.max(anonymous_kib().unwrap_or_default()))?;
    let time = start.elapsed();
    store.close()?;
    Ok((time, most))
}

fn anonymous_while_reading(store: &FileStore) -> Outcome<u64> {
    let mut most = 0;
    for (number, event) in store.read_all(ReadOptions::new())?.enumerate() {
        event?;
        if number % 10_000 == 0 {
            most = most.max(anonymous_kib().unwrap_or_default());
        }
    }
    Ok(most)
}

/// What appends of single events take: in quiet, while everything is read, and while enough runs come
/// about for a merge, if one does.
type Appends = (Duration, Duration, Option<Duration>);

fn appends_beside_others(plan: &Plan, path: &Path, events: u64) -> Outcome<Appends> {
    let store = FileStore::open(path)?;
    let stream = StreamId::new("Single", Uuid::new_v4().to_string())?;
    let append = |_| {
        let event = NewEvent::new("Appended", vec![3; PAYLOAD_BYTES]);
        store.append(&stream, ExpectedVersion::Any, vec![event]).unwrap();
    };
    wait_until_merged(plan, path)?;
    let count = plan.size(2000, 20);
    let quiet = times(0..count, append);
    let scanning = beside_a_scan(&store, || times(0..count, append));
    let mut merging = Vec::new();
    let bulk = StreamId::new("Bulk", Uuid::new_v4().to_string())?;
    let mut loaded = 0;
    while (merging.len() as u64) < count && loaded < plan.size(events.max(600_000), events) {
        if is_merging(path)? {
            merging.extend(times(0..1, append));
        } else {
            let events = (0..EVENTS_PER_COMMIT).map(|_| NewEvent::new("Bulk", vec![1; 8]));
            store.append(&bulk, ExpectedVersion::Any, events.collect())?;
            loaded += EVENTS_PER_COMMIT;
        }
    }
    store.close()?;
    let merging = (merging.len() >= 100).then(|| percentile(merging, 99));
    Ok((percentile(quiet, 99), percentile(scanning, 99), merging))
}

/// Works while another thread reads everything, over and over.
fn beside_a_scan<T>(store: &FileStore, work: impl FnOnce() -> T) -> T {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                let events = store.read_all(ReadOptions::new()).unwrap();
                let until_done = events.take_while(|_| !is_done.load(Ordering::Relaxed));
                until_done.for_each(|event| _ = black_box(event.unwrap()));
            }
        });
        let worked = work();
        is_done.store(true, Ordering::Relaxed);
        worked
    })
}

fn print_table(sizes: &[u64], columns: &[Figures]) {
    let header: Vec<_> = sizes.iter().map(|size| format!("{size} events")).collect();
    println!("| figure | {} |", header.join(" | "));
    println!("|---|{}", "---|".repeat(sizes.len()));
    for (row, (name, _)) in columns[0].iter().enumerate() {
        let values: Vec<_> = columns.iter().map(|column| column[row].1.clone()).collect();
        println!("| {name} | {} |", values.join(" | "));
    }
}
