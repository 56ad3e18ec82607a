//! Does a large store open, answer and append like a small one?
//!
//! Builds stores of growing size (200-byte payloads, ten events a stream, streams interleaved in time,
//! commits of a thousand events) and measures each, every figure at every size in one run:
//!
//! - `ANNALS_SCALE_EVENTS`: the sizes, `100000,1000000,10000000` when not set;
//! - `ANNALS_BENCH_DIR`: where the stores are built, the target folder when not set;
//! - `--test`, as `cargo test --benches` passes it: one tiny size, to prove that it works.
//!
//! A store after `kill -9` is made by a child process of this program that kills itself.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    reason = "a measuring program fails by panicking and reports by printing"
)]

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use annals::{
    Commit, EventId, EventStore, ExpectedVersion, FileStore, NewEvent, Query, QueryItem,
    ReadOptions, StreamId,
};
use uuid::Uuid;

const EVENTS_PER_STREAM: u64 = 10;
const EVENTS_PER_COMMIT: u64 = 1000;
const PAYLOAD_BYTES: usize = 200;
/// How many streams are open at the same time: what lies between two events of one stream.
const INTERLEAVED: u64 = 5000;
const QUESTIONS: u64 = 20_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, mode, path] = arguments.as_slice()
        && mode == "--append-and-die"
    {
        append_and_die(Path::new(path));
    }
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let is_test = has("--test") || !has("--bench");
    let sizes = match std::env::var("ANNALS_SCALE_EVENTS") {
        Ok(sizes) => sizes.split(',').map(|size| size.parse().unwrap()).collect(),
        Err(_) if is_test => vec![20_000],
        Err(_) => vec![100_000, 1_000_000, 10_000_000],
    };
    let root = std::env::var_os("ANNALS_BENCH_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let columns: Vec<_> = sizes.iter().map(|size| measure(&root.join("scale"), *size)).collect();
    print_table(&sizes, &columns);
}

/// A figure of one store: its name and its value as text.
type Figures = Vec<(&'static str, String)>;

fn measure(path: &Path, events: u64) -> Figures {
    let _absent = fs::remove_dir_all(path);
    let raw = raw_fdatasync(path.parent().unwrap());
    let (seconds, anonymous) = load(path, events);
    merge(path);
    let clean = percentile((0..9).map(|_| time_to_open(path)).collect(), 50);
    die_in_a_child(path);
    // What a crash leaves is there for the first opening only.
    let killed = time_to_open(path);
    let mut figures = vec![
        ("raw write and fdatasync, p50", micros(raw)),
        ("events/s while loading", format!("{:.0}", events as f64 / seconds)),
        ("RssAnon while loading, most", mebibytes(anonymous)),
        ("open after a clean close", milliseconds(clean)),
        ("open after kill -9", milliseconds(killed)),
    ];
    let store = FileStore::open(path).unwrap();
    wait_until_merged(path);
    // Reading everything first makes the questions after it warm: every page is mapped.
    let anonymous = anonymous_while_reading(&store);
    figures.push(("RssAnon while reading everything, most", mebibytes(anonymous)));
    figures.extend(ask(&store, events));
    let stats = store.stats().unwrap();
    store.close().unwrap();
    let share = 100.0 * stats.index_bytes as f64 / stats.log_bytes as f64;
    let (quiet, merging) = appends_beside_a_merge(path, events);
    figures.extend([
        ("log bytes an event", format!("{:.1}", stats.log_bytes as f64 / stats.events as f64)),
        ("index, share of the log", format!("{share:.1} %")),
        ("durable append, p99", micros(quiet)),
        ("durable append while a merge runs, p99", merging.map_or("no merge ran".into(), micros)),
    ]);
    fs::remove_dir_all(path).unwrap();
    figures
}

/// Measures random questions.
fn ask(store: &FileStore, events: u64) -> Figures {
    let streams = events / EVENTS_PER_STREAM;
    let stream = |number: u64| stream_id(scattered(number) % streams);
    let load = median(QUESTIONS / 4, |number| {
        let loaded = store.load_stream(&stream(number), ReadOptions::new()).unwrap();
        assert_eq!(loaded.events().len() as u64, EVENTS_PER_STREAM);
    });
    let version = median(QUESTIONS, |number| {
        assert_eq!(store.stream_version(&stream(number)).unwrap().get(), EVENTS_PER_STREAM);
    });
    let hit = median(QUESTIONS, |number| {
        assert!(store.event_exists(event_id(scattered(number) % events)).unwrap());
    });
    let miss = median(QUESTIONS, |number| {
        assert!(!store.event_exists(event_id(events + 1 + number)).unwrap());
    });
    let query = |item: QueryItem| {
        let query = Query::from(item);
        median(500, |_| {
            assert_eq!(store.read(&query, ReadOptions::new()).unwrap().count(), 10);
        })
    };
    let rare = query(QueryItem::new().tag("rare"));
    let both = query(QueryItem::new().tag("common").tag("rare"));
    vec![
        ("load of a 10-event stream, p50", nanos(load)),
        ("stream_version, p50", nanos(version)),
        ("event_exists, hit, p50", nanos(hit)),
        ("event_exists, miss, p50", nanos(miss)),
        ("query of the rare tag, p50", nanos(rare)),
        ("query of both tags, p50", nanos(both)),
    ]
}

/// Loads a store and returns the seconds it took and the most anonymous memory, in KiB.
fn load(path: &Path, events: u64) -> (f64, u64) {
    let store = FileStore::open(path).unwrap();
    let start = Instant::now();
    let mut most = 0;
    for first in (0..events).step_by(EVENTS_PER_COMMIT as usize) {
        let mut commit = Commit::new();
        for number in first..(first + EVENTS_PER_COMMIT).min(events) {
            let event = event(number, events);
            let stream = stream_id(stream_of(number, events));
            commit = commit.append(&stream, ExpectedVersion::Any, vec![event]);
        }
        store.commit(commit).unwrap();
        most = most.max(anonymous_kib());
    }
    let seconds = start.elapsed().as_secs_f64();
    store.close().unwrap();
    (seconds, most)
}

fn event(number: u64, events: u64) -> NewEvent {
    let mut payload = vec![0; PAYLOAD_BYTES];
    payload[..8].copy_from_slice(&number.to_le_bytes());
    let mut event = NewEvent::new("ItemAdded", payload).id(event_id(number));
    if number.is_multiple_of(10) {
        event = event.tag("common");
        if (number / 10).is_multiple_of(events / 100) {
            event = event.tag("rare");
        }
    }
    event
}

/// Streams are filled in batches, round robin within each.
fn stream_of(number: u64, events: u64) -> u64 {
    let batch = INTERLEAVED * EVENTS_PER_STREAM;
    let first = number / batch * INTERLEAVED;
    let open = INTERLEAVED.min(events / EVENTS_PER_STREAM - first);
    first + number % batch % open
}

fn stream_id(number: u64) -> StreamId {
    StreamId::of("Order", Uuid::from_u128(u128::from(scattered(number)) << 64 | 1)).unwrap()
}

/// Ids of version 7 as a busy program makes them: a hundred in a millisecond.
fn event_id(number: u64) -> EventId {
    const START_MILLIS: u64 = 1_700_000_000_000;
    let mut random = [0; 10];
    random[..8].copy_from_slice(&scattered(number).to_le_bytes());
    let millis = START_MILLIS + number / 100;
    EventId::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
}

/// Scatters numbers over all numbers. Source: Steele, Lea and Flood, SplitMix64 (2014).
fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn raw_fdatasync(directory: &Path) -> Duration {
    fs::create_dir_all(directory).unwrap();
    let path = directory.join("raw");
    let mut file = File::create(&path).unwrap();
    file.write_all(&vec![0; 4 << 20]).unwrap();
    file.sync_all().unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let duration = median(500, |_| {
        file.write_all(&[1; 328]).unwrap();
        file.sync_data().unwrap();
    });
    fs::remove_file(path).unwrap();
    duration
}

/// Lets the merges that are due come to their end.
fn merge(path: &Path) {
    let store = FileStore::open(path).unwrap();
    wait_until_merged(path);
    store.close().unwrap();
}

/// Waits until the index of a store that is open has not changed for a while: a merge reads what it
/// is to write first.
fn wait_until_merged(path: &Path) {
    const WHILE: Duration = Duration::from_secs(5);
    let mut before = index_files(path);
    let mut since = Instant::now();
    while since.elapsed() < WHILE {
        std::thread::sleep(Duration::from_millis(100));
        let now = index_files(path);
        if now != before {
            (before, since) = (now, Instant::now());
        }
    }
}

/// The names and sizes of what is in the index.
fn index_files(path: &Path) -> Vec<(OsString, u64)> {
    let entries = fs::read_dir(path.join("index")).unwrap().flatten();
    let sized = |entry: fs::DirEntry| {
        let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
        (entry.file_name(), bytes)
    };
    let mut files: Vec<_> = entries.map(sized).collect();
    files.sort_unstable();
    files
}

fn is_merging(path: &Path) -> bool {
    let names = fs::read_dir(path.join("index")).unwrap();
    names.flatten().any(|entry| entry.path().extension().is_some_and(|end| end == "tmp"))
}

fn time_to_open(path: &Path) -> Duration {
    let start = Instant::now();
    let store = FileStore::open(path).unwrap();
    let duration = start.elapsed();
    store.close().unwrap();
    duration
}

fn die_in_a_child(path: &Path) {
    let this = std::env::current_exe().unwrap();
    let status = Command::new(this).arg("--append-and-die").arg(path).status().unwrap();
    assert!(!status.success());
}

fn append_and_die(path: &Path) -> ! {
    let store = FileStore::open(path).unwrap();
    let stream = StreamId::new("Dying", Uuid::new_v4().to_string()).unwrap();
    for _ in 0..60 {
        let events = (0..EVENTS_PER_COMMIT).map(|_| NewEvent::new("Last", vec![7; PAYLOAD_BYTES]));
        store.append(&stream, ExpectedVersion::Any, events.collect()).unwrap();
    }
    let own = std::process::id().to_string();
    let _no_such_program = Command::new("kill").args(["-9", &own]).status();
    std::process::abort();
}

fn anonymous_while_reading(store: &FileStore) -> u64 {
    let mut most = 0;
    for (number, event) in store.read_all(ReadOptions::new()).unwrap().enumerate() {
        event.unwrap();
        if number % 10_000 == 0 {
            most = most.max(anonymous_kib());
        }
    }
    most
}

/// Returns the anonymous memory of this process, in KiB; 0 where the system does not tell.
fn anonymous_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon"));
    line.map_or(0, |line| line.split_whitespace().nth(1).unwrap().parse().unwrap())
}

/// Appends single events, first in quiet and then while enough runs come about for a merge.
fn appends_beside_a_merge(path: &Path, events: u64) -> (Duration, Option<Duration>) {
    let store = FileStore::open(path).unwrap();
    let stream = StreamId::new("Single", Uuid::new_v4().to_string()).unwrap();
    let append = || {
        let start = Instant::now();
        let event = NewEvent::new("Appended", vec![3; PAYLOAD_BYTES]);
        store.append(&stream, ExpectedVersion::Any, vec![event]).unwrap();
        start.elapsed()
    };
    wait_until_merged(path);
    let quiet: Vec<_> = (0..2000).map(|_| append()).collect();
    let mut merging = Vec::new();
    let bulk = StreamId::new("Bulk", Uuid::new_v4().to_string()).unwrap();
    let mut loaded = 0;
    while merging.len() < 2000 && loaded < events.max(600_000) {
        if is_merging(path) {
            merging.push(append());
        } else {
            let events = (0..EVENTS_PER_COMMIT).map(|_| NewEvent::new("Bulk", vec![1; 8]));
            store.append(&bulk, ExpectedVersion::Any, events.collect()).unwrap();
            loaded += EVENTS_PER_COMMIT;
        }
    }
    store.close().unwrap();
    (percentile(quiet, 99), (merging.len() >= 100).then(|| percentile(merging, 99)))
}

/// Returns the median of the times that `work` takes, after as many runs of it that do not count.
fn median(count: u64, mut work: impl FnMut(u64)) -> Duration {
    (0..count).for_each(&mut work);
    let time = |number| {
        let start = Instant::now();
        work(number);
        start.elapsed()
    };
    percentile((0..count).map(time).collect(), 50)
}

fn percentile(mut durations: Vec<Duration>, percent: usize) -> Duration {
    durations.sort_unstable();
    durations[durations.len() * percent / 100]
}

fn mebibytes(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}

fn nanos(duration: Duration) -> String {
    format!("{:.2} µs", duration.as_nanos() as f64 / 1000.0)
}

fn micros(duration: Duration) -> String {
    format!("{} µs", duration.as_micros())
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

fn print_table(sizes: &[u64], columns: &[Figures]) {
    let mut out = std::io::stdout().lock();
    let header: Vec<_> = sizes.iter().map(|size| format!("{size} events")).collect();
    writeln!(out, "| figure | {} |", header.join(" | ")).unwrap();
    writeln!(out, "|---|{}", "---|".repeat(sizes.len())).unwrap();
    for (row, (name, _)) in columns[0].iter().enumerate() {
        let values: Vec<_> = columns.iter().map(|column| column[row].1.clone()).collect();
        writeln!(out, "| {name} | {} |", values.join(" | ")).unwrap();
    }
}
