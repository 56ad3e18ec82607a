//! Threads that commit, each to a stream of its own, and the table that sets them beside the raw floor.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use annals::{EventStore, ExpectedVersion, FileStore, NewEvent, StreamId};

use super::Outcome;
use super::floor::{GroupCommit, encode_record};
use super::machine::write_calls;
use super::measure::{median, median_ratio, percentile, take_turns};
use super::plan::Plan;
use super::workload::payload;

/// Who commits how much at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) threads: usize,
    pub(crate) events_per_commit: usize,
}

/// What one run of all threads gave.
pub(crate) struct Measured {
    pub(crate) events_per_second: f64,
    pub(crate) events: f64,
    /// How long each commit took.
    pub(crate) latencies: Vec<Duration>,
    /// How many writes or syncs it took, where that can be counted.
    pub(crate) calls: Option<u64>,
}

impl Measured {
    fn events_per_call(&self) -> Option<f64> {
        self.calls.filter(|&calls| calls > 0).map(|calls| self.events / calls as f64)
    }
}

/// Lets every thread commit until the time is over, at least once.
pub(crate) fn run<A>(
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

/// Measures a load, the store and the raw floor by turns.
pub(crate) fn compare(
    plan: &Plan,
    load: Load,
    store: &FileStore,
    raw: &GroupCommit,
) -> Outcome<Row> {
    let record_bytes = warm_up(store, load)?;
    let raw_appender = |_: usize| Ok(raw_appender(raw, load, record_bytes));
    run(load, plan.measurement / 10, raw_appender)?;
    let mut of_store = || {
        let before = write_calls();
        let measured = run(load, plan.measurement, |thread| store_appender(store, load, thread))?;
        let calls = before.zip(write_calls()).map(|(before, after)| after - before);
        Ok(Measured { calls, ..measured })
    };
    let mut of_floor = || {
        let before = raw.syncs();
        let measured = run(load, plan.measurement, raw_appender)?;
        Ok(Measured { calls: Some(raw.syncs() - before), ..measured })
    };
    let [store, raw] = take_turns(plan.rounds, [&mut of_store, &mut of_floor])?;
    Ok(Row { load, store, raw })
}

/// Appends a little, and returns how many bytes of the log an event took.
pub(crate) fn warm_up(store: &FileStore, load: Load) -> Outcome<usize> {
    let stream = StreamId::new("Warmup", "warm-up")?;
    let before = store.stats()?.log_bytes;
    const COMMITS: usize = 20;
    for _ in 0..COMMITS {
        store.append(&stream, ExpectedVersion::Any, new_events(load))?;
    }
    let bytes = usize::try_from(store.stats()?.log_bytes - before)?;
    Ok(bytes / (COMMITS * load.events_per_commit))
}

/// Returns what commits once to the stream of a thread, knowing the stream's version.
pub(crate) fn store_appender(
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
    let event = |_| NewEvent::new("Measured", payload(0));
    (0..load.events_per_commit).map(event).collect()
}

/// Returns what encodes records of as many bytes as the store takes, and commits them.
pub(crate) fn raw_appender(
    raw: &GroupCommit,
    load: Load,
    record_bytes: usize,
) -> impl FnMut() -> Outcome<()> + use<'_> {
    let mut records = Vec::new();
    let mut number = 0;
    move || {
        records.clear();
        for _ in 0..load.events_per_commit {
            encode_record(&mut records, number, &payload(number), record_bytes)?;
            number += 1;
        }
        raw.commit(&records)
    }
}

/// One line of the table: the rounds of the store and of the raw floor.
pub(crate) struct Row {
    load: Load,
    store: Vec<Measured>,
    raw: Vec<Measured>,
}

impl Row {
    pub(crate) const HEADING: &str = "\
| threads | events a commit | annals, events/s | raw, events/s | ratio | annals p50 / p99 | raw p50 / p99 \
| annals, events a write | raw, events a sync |\n|---|---|---|---|---|---|---|---|---|";
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = |side: &[Measured]| median(side.iter().map(|run| run.events_per_second));
        let calls = |side: &[Measured]| {
            let counted: Vec<f64> = side.iter().filter_map(Measured::events_per_call).collect();
            if counted.is_empty() { "-".into() } else { format!("{:.1}", median(counted)) }
        };
        write!(
            f,
            "| {} | {} | {:.0} | {:.0} | {:.2} | {} | {} | {} | {} |",
            self.load.threads,
            self.load.events_per_commit,
            rate(&self.store),
            rate(&self.raw),
            median_ratio(&self.store, &self.raw, |run| run.events_per_second),
            latencies(&self.store),
            latencies(&self.raw),
            calls(&self.store),
            calls(&self.raw),
        )
    }
}

/// Shows the median and the 99th percentile of the latencies of all rounds.
fn latencies(runs: &[Measured]) -> String {
    let all: Vec<Duration> = runs.iter().flat_map(|run| run.latencies.clone()).collect();
    let (median, slow) = (percentile(all.clone(), 50), percentile(all, 99));
    format!("{} / {} µs", median.as_micros(), slow.as_micros())
}
