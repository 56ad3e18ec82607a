//! How many events a second can be appended, beside what the disk itself gives.
//!
//! Threads append 200-byte payloads, each thread to a stream of its own, through the public API.
//! Beside it runs a raw floor: records of the same size, encoded and checksummed, written with one
//! positioned write and one data sync to a file filled with zeros, by a plain group commit (mutex
//! and condition variable) that is nothing but a write when only one thread commits. The two take
//! turns, round by round, so that both see the same disk; the figures are medians over the rounds,
//! the ratio is taken within each.
//!
//! Environment: `ANNALS_BENCH_DIR` (a directory on the disk to measure; by default one in the
//! target folder), `ANNALS_BENCH_SECONDS` (of one measurement, 0.5), `ANNALS_BENCH_ROUNDS` (5).
//! Without `--bench`, or with `--test`, every configuration runs once with one commit a thread.

#![allow(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::env;
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use annals::{EventStore, ExpectedVersion, FileStore, NewEvent, StreamId};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const PAYLOAD_BYTES: usize = 200;
const THREADS: [usize; 4] = [1, 2, 8, 64];
const EVENTS_PER_COMMIT: [usize; 2] = [1, 100];

/// What the raw floor writes around a payload when the store does not tell its own size.
const RECORD_BYTES_DEFAULT: usize = PAYLOAD_BYTES + 100;
const RAW_FILE_BYTES: u64 = 64 * 1024 * 1024;

fn main() -> Outcome<()> {
    let plan = Plan::from_environment()?;
    fs::create_dir_all(&plan.directory)?;
    let directory = tempfile::Builder::new().prefix("append-").tempdir_in(&plan.directory)?;
    let file_system = file_system_of(directory.path());
    if file_system.as_deref() == Some("tmpfs") {
        return Err("the directory is in memory: set ANNALS_BENCH_DIR to one on a disk".into());
    }
    println!(
        "append: {PAYLOAD_BYTES}-byte payloads, synced; {} rounds of {:?}; {} on {} processors",
        plan.rounds,
        plan.measurement,
        file_system.as_deref().unwrap_or("file system unknown"),
        thread::available_parallelism()?,
    );
    println!("{}", Row::HEADING);
    let raw = GroupCommit::create(&directory.path().join("raw"), plan.raw_file_bytes)?;
    for events_per_commit in EVENTS_PER_COMMIT {
        for threads in THREADS {
            let load = Load { threads, events_per_commit };
            println!("{}", measure(&plan, load, &raw, &directory.path().join("store"))?);
        }
    }
    println!("ev/write: events a write call, every write of the process counted (Linux)");
    println!("ev/sync: events a data sync");
    Ok(())
}

/// How long and where to measure.
struct Plan {
    directory: PathBuf,
    measurement: Duration,
    rounds: usize,
    raw_file_bytes: u64,
}

impl Plan {
    fn from_environment() -> Outcome<Self> {
        let directory = env::var_os("ANNALS_BENCH_DIR");
        let directory = directory.map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from);
        if env::args().any(|argument| argument == "--test")
            || !env::args().any(|argument| argument == "--bench")
        {
            let measurement = Duration::ZERO;
            return Ok(Self { directory, measurement, rounds: 1, raw_file_bytes: 4 << 20 });
        }
        let seconds = env::var("ANNALS_BENCH_SECONDS").unwrap_or_else(|_| "0.5".into()).parse()?;
        let rounds = env::var("ANNALS_BENCH_ROUNDS").unwrap_or_else(|_| "5".into()).parse()?;
        let measurement = Duration::try_from_secs_f64(seconds)?;
        let rounds = usize::max(rounds, 1);
        Ok(Self { directory, measurement, rounds, raw_file_bytes: RAW_FILE_BYTES })
    }
}

/// Who commits how much at once.
#[derive(Clone, Copy)]
struct Load {
    threads: usize,
    events_per_commit: usize,
}

/// Measures a load, the store and the raw floor by turns.
fn measure(plan: &Plan, load: Load, raw: &GroupCommit, path: &Path) -> Outcome<Row> {
    fs::create_dir(path)?;
    let store = FileStore::open(path)?;
    let record_bytes = warm_up(&store, load)?;
    let raw_appender = |_| Ok(raw_appender(raw, load, record_bytes));
    run(load, plan.measurement / 10, raw_appender)?;

    let mut row = Row::new(load);
    for _ in 0..plan.rounds {
        let before = write_calls();
        let mut annals =
            run(load, plan.measurement, |thread| store_appender(&store, load, thread))?;
        annals.calls = before.zip(write_calls()).map(|(before, after)| after - before);
        let before = raw.syncs();
        let mut floor = run(load, plan.measurement, raw_appender)?;
        floor.calls = Some(raw.syncs() - before);
        row.rounds.push((annals, floor));
    }
    store.close()?;
    fs::remove_dir_all(path)?;
    Ok(row)
}

/// Appends a little, and returns how many bytes of the log an event took.
fn warm_up(store: &FileStore, load: Load) -> Outcome<usize> {
    let stream = StreamId::new("Warmup", "warm-up")?;
    let before = store.stats().map(|stats| stats.log_bytes);
    const COMMITS: usize = 20;
    for _ in 0..COMMITS {
        store.append(&stream, ExpectedVersion::Any, new_events(load))?;
    }
    let after = store.stats().map(|stats| stats.log_bytes);
    match (before, after) {
        (Ok(before), Ok(after)) => {
            let bytes = usize::try_from(after.saturating_sub(before))?;
            Ok((bytes / (COMMITS * load.events_per_commit)).max(PAYLOAD_BYTES))
        }
        _ => Ok(RECORD_BYTES_DEFAULT),
    }
}

/// What one run of all threads gave.
struct Measured {
    events_per_second: f64,
    events: f64,
    latencies: Vec<Duration>,
    /// How many writes or syncs it took, where that can be counted.
    calls: Option<u64>,
}

impl Measured {
    fn events_per_call(&self) -> Option<f64> {
        self.calls.filter(|&calls| calls > 0).map(|calls| self.events / calls as f64)
    }
}

/// Lets every thread commit until the time is over, at least once.
fn run<A>(
    load: Load,
    time: Duration,
    appender: impl Fn(usize) -> Outcome<A> + Sync,
) -> Outcome<Measured>
where
    A: FnMut() -> Outcome<()>,
{
    let start = Instant::now();
    let outcomes: Vec<Outcome<Vec<Duration>>> = thread::scope(|scope| {
        let appender = &appender;
        let threads: Vec<_> = (0..load.threads)
            .map(|thread| scope.spawn(move || commit_until(start + time, appender(thread)?)))
            .collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined.map(|outcome| outcome.unwrap_or_else(|_| Err("a thread panicked".into()))).collect()
    });
    let elapsed = start.elapsed();
    let latencies = outcomes.into_iter().collect::<Outcome<Vec<_>>>()?.concat();
    let events = (latencies.len() * load.events_per_commit) as f64;
    let events_per_second = events / elapsed.as_secs_f64();
    Ok(Measured { events_per_second, events, latencies, calls: None })
}

fn commit_until(end: Instant, mut commit: impl FnMut() -> Outcome<()>) -> Outcome<Vec<Duration>> {
    let mut latencies = Vec::new();
    loop {
        let start = Instant::now();
        commit()?;
        let now = Instant::now();
        latencies.push(now - start);
        if now >= end {
            return Ok(latencies);
        }
    }
}

/// Returns what commits once to the stream of a thread, knowing the stream's version.
fn store_appender(
    store: &FileStore,
    load: Load,
    thread: usize,
) -> Outcome<impl FnMut() -> Outcome<()> + use<'_>> {
    let stream = StreamId::new("Bench", format!("thread-{thread}"))?;
    let mut version = store.stream_version(&stream)?;
    Ok(move || {
        version = store.append(&stream, version.into(), new_events(load))?.new_version;
        Ok(())
    })
}

fn new_events(load: Load) -> Vec<NewEvent> {
    let event = |_| NewEvent::new("Measured", vec![0x5A; PAYLOAD_BYTES]);
    (0..load.events_per_commit).map(event).collect()
}

/// Returns what encodes a record of as many bytes as the store takes, and commits it.
fn raw_appender(
    raw: &GroupCommit,
    load: Load,
    record_bytes: usize,
) -> impl FnMut() -> Outcome<()> + use<'_> {
    let mut record = Vec::new();
    move || {
        record.clear();
        for event in 0..load.events_per_commit {
            let payload = vec![0x5A; PAYLOAD_BYTES];
            let start = record.len();
            record.extend_from_slice(&u64::try_from(event)?.to_le_bytes());
            record.extend_from_slice(&payload);
            record.resize(start + record_bytes.max(payload.len() + 12) - 4, 1);
            let checksum = crc32fast::hash(record.get(start..).unwrap_or_default());
            record.extend_from_slice(&checksum.to_le_bytes());
        }
        raw.commit(&record)
    }
}

/// The plainest group commit: who finds no leader leads, writes and syncs what has gathered, and
/// wakes everybody.
struct GroupCommit {
    file: File,
    file_bytes: u64,
    state: Mutex<Gathered>,
    synced: Condvar,
}

#[derive(Default)]
struct Gathered {
    buffer: Vec<u8>,
    /// The buffer of the group before, for the next to gather in.
    spare: Vec<u8>,
    /// The group that gathers now, from 0.
    group: u64,
    /// How many groups are synced.
    synced: u64,
    has_leader: bool,
    failed: bool,
    offset: u64,
}

impl GroupCommit {
    fn create(path: &Path, file_bytes: u64) -> Outcome<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        let zeros = vec![0; 1 << 20];
        for offset in (0..file_bytes).step_by(zeros.len()) {
            write_all_at(&file, &zeros, offset)?;
        }
        file.sync_all()?;
        Ok(Self { file, file_bytes, state: Mutex::default(), synced: Condvar::new() })
    }

    fn syncs(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).synced
    }

    fn commit(&self, record: &[u8]) -> Outcome<()> {
        let poisoned = |_| "another thread panicked";
        let mut state = self.state.lock().map_err(poisoned)?;
        state.buffer.extend_from_slice(record);
        let group = state.group;
        while state.synced <= group {
            if state.failed {
                return Err("a write failed".into());
            }
            if state.has_leader {
                state = self.synced.wait(state).map_err(poisoned)?;
                continue;
            }
            let (buffer, offset) = state.lead(self.file_bytes);
            drop(state);
            let outcome = write_all_at(&self.file, &buffer, offset)
                .and_then(|()| Ok(self.file.sync_data()?));
            state = self.state.lock().map_err(poisoned)?;
            state.follow(buffer, outcome.is_err());
            self.synced.notify_all();
            outcome?;
        }
        Ok(())
    }
}

impl Gathered {
    /// Takes what has gathered, and says where it goes: at the front again when the file is full.
    fn lead(&mut self, file_bytes: u64) -> (Vec<u8>, u64) {
        self.has_leader = true;
        self.group += 1;
        let buffer = std::mem::replace(&mut self.buffer, std::mem::take(&mut self.spare));
        let len = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        let offset = if self.offset.saturating_add(len) > file_bytes { 0 } else { self.offset };
        self.offset = offset.saturating_add(len);
        (buffer, offset)
    }

    fn follow(&mut self, mut buffer: Vec<u8>, failed: bool) {
        buffer.clear();
        self.spare = buffer;
        self.has_leader = false;
        self.failed |= failed;
        if !failed {
            self.synced = self.group;
        }
    }
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> Outcome<()> {
    Ok(std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)?)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> Outcome<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
        bytes = bytes.get(written..).unwrap_or_default();
        offset += u64::try_from(written)?;
    }
    Ok(())
}

/// One line of the table.
struct Row {
    load: Load,
    /// The store and the raw floor.
    rounds: Vec<(Measured, Measured)>,
}

impl Row {
    const HEADING: &str = "threads  ev/commit |  annals ev/s     raw ev/s   ratio | annals p50 / p99 µs  \
                           |    raw p50 / p99 µs  | annals ev/write  raw ev/sync";

    fn new(load: Load) -> Self {
        Self { load, rounds: Vec::new() }
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (annals, raw): (Vec<_>, Vec<_>) = self.rounds.iter().map(|(a, b)| (a, b)).unzip();
        let rate = |side: &[&Measured]| median(side.iter().map(|run| run.events_per_second));
        let ratios = self
            .rounds
            .iter()
            .map(|(annals, raw)| annals.events_per_second / raw.events_per_second);
        let calls = |side: &[&Measured]| {
            let counted: Vec<f64> = side.iter().filter_map(|run| run.events_per_call()).collect();
            if counted.is_empty() { "-".into() } else { format!("{:.1}", median(counted)) }
        };
        write!(
            f,
            "{:>7}  {:>9} | {:>12.0} {:>12.0}  {:>6.2} | {} | {} | {:>15}  {:>11}",
            self.load.threads,
            self.load.events_per_commit,
            rate(&annals),
            rate(&raw),
            median(ratios),
            latencies(&annals),
            latencies(&raw),
            calls(&annals),
            calls(&raw),
        )
    }
}

/// Shows the median and the 99th percentile of the latencies of all rounds.
fn latencies(runs: &[&Measured]) -> String {
    let mut all: Vec<Duration> = runs.iter().flat_map(|run| run.latencies.clone()).collect();
    all.sort_unstable();
    let at = |percent: usize| {
        let latency = all.get(all.len().saturating_sub(1) * percent / 100);
        latency.copied().unwrap_or_default().as_micros()
    };
    format!("{:>8} / {:>8} ", at(50), at(99))
}

fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Returns how many write calls this process has made, where the system tells.
fn write_calls() -> Option<u64> {
    let counters = fs::read_to_string("/proc/self/io").ok()?;
    counters.lines().find_map(|line| line.strip_prefix("syscw: "))?.parse().ok()
}

/// Returns the kind of file system a directory is on, where the system tells.
fn file_system_of(directory: &Path) -> Option<String> {
    let directory = directory.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?, fields.next()?))
    });
    let above = mounts.filter(|(point, _)| directory.starts_with(point));
    above.max_by_key(|(point, _)| point.len()).map(|(_, kind)| kind.to_owned())
}
