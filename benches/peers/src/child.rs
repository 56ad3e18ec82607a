//! One piece of work with one engine, in a process of its own: prints its figures as a line of JSON.
//!
//! Only what a figure names is timed. Events are made outside of the timed calls, and every work ends
//! with the check that the store holds what was acknowledged.

use std::hint::black_box;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;

use crate::engines::{Engine, Name, Purpose, Seen};
use crate::measure::{self, median, percentile};
use crate::placement;
use crate::results::Figures;
use crate::verify;
use crate::work::{Load, Work};
use crate::workload::{EVENTS_PER_STREAM, Workload};

/// What the parent says to a child.
#[derive(Debug, Clone, Args)]
pub struct Options {
    #[arg(long)]
    pub engine: Name,
    #[arg(long)]
    pub work: Work,
    #[arg(long)]
    pub directory: PathBuf,
    #[arg(long)]
    pub events: u64,
    #[arg(long)]
    pub seed: u64,
    /// How long appends are measured.
    #[arg(long)]
    pub seconds: f64,
    /// How many questions of each kind are asked.
    #[arg(long)]
    pub questions: u64,
    /// How long a store must have been quiet before it is asked, in seconds.
    #[arg(long)]
    pub quiet: f64,
    /// How many events the store holds besides those that filled it.
    #[arg(long)]
    pub appended: u64,
    /// The processor on which a lone appender is held.
    #[arg(long)]
    pub processor: Option<usize>,
}

const BULK_EVENTS_PER_COMMIT: u64 = 1000;
const OPENINGS: u32 = 5;
const SCANS: u32 = 9;
/// The lane of the events before a kill.
const DYING_LANE: u64 = 200;
/// The most events before a kill: as many as an engine may have to catch up with when it is opened.
const DYING_COMMITS_MAX: u64 = 60;

pub fn run(options: &Options) {
    let figures = match options.work {
        Work::Bulk => bulk(options),
        Work::Read => read(options),
        Work::Open => open(options),
        Work::OpenKilled => open_killed(options),
        Work::Die => die(options),
        work => {
            let load = work.load().expect("all others append");
            append(options, load.held_on(options.processor))
        }
    };
    println!("{}", serde_json::to_string(&figures).unwrap());
}

impl Options {
    fn workload(&self) -> Workload {
        Workload { seed: self.seed, events: self.events }
    }

    fn open(&self, purpose: Purpose) -> Box<dyn Engine> {
        self.engine.open(&self.directory, purpose)
    }

    fn seconds(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// How many commits of a thousand events a dying process makes.
    fn dying_commits(&self) -> u64 {
        (self.events * 6 / 100 / BULK_EVENTS_PER_COMMIT).clamp(1, DYING_COMMITS_MAX)
    }
}

fn figures<const N: usize>(figures: [(&str, f64); N]) -> Figures {
    figures.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn append(options: &Options, load: Load) -> Figures {
    let engine = options.open(Purpose::Work);
    if options.work == Work::AppendFull {
        measure::settle(&options.directory, Duration::from_secs_f64(options.quiet));
    }
    let mut appended = vec![0; load.threads as usize];
    let workload = options.workload();
    append_for(&*engine, workload, load, options.seconds() / 10, &mut appended);

    let (warm, bytes) = (appended.iter().sum::<u64>(), measure::bytes_written());
    let began_at = unix_seconds();
    let (latencies, wall) = append_for(&*engine, workload, load, options.seconds(), &mut appended);
    let ended_at = unix_seconds();
    let bytes = measure::bytes_written() - bytes;

    let total: u64 = appended.iter().sum();
    let events = (total - warm) as f64;
    // One thread makes its events between its commits, which is not the engine's time.
    let busy = match load.threads {
        1 => latencies.iter().sum::<f64>() / 1e9,
        _ => wall,
    };
    if options.engine != Name::Raw {
        let filled = if options.work == Work::AppendFull { options.events } else { 0 };
        verify::scan(&*engine, options.engine.times(), workload, filled + total);
    }
    engine.close();
    figures([
        ("p50_ns", percentile(latencies.clone(), 50)),
        ("p99_ns", percentile(latencies, 99)),
        ("events_per_second", events / busy),
        ("bytes_per_event", bytes / events),
        ("commits", events / load.events_per_commit as f64),
        ("appended", total as f64),
        ("began_at", began_at),
        ("ended_at", ended_at),
    ])
}

/// Lets every thread commit until the time is over, at least once. Returns what each commit took, in
/// nanoseconds, and the seconds from the start of the first to the end of the last.
fn append_for(
    engine: &dyn Engine,
    workload: Workload,
    load: Load,
    time: Duration,
    appended: &mut [u64],
) -> (Vec<f64>, f64) {
    let barrier = Barrier::new(appended.len());
    let runs: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (load.first_lane..)
            .zip(appended)
            .map(|(lane, version)| {
                let barrier = &barrier;
                scope.spawn(move || {
                    load.held_on.into_iter().for_each(placement::hold_on);
                    barrier.wait();
                    let start = Instant::now();
                    let mut latencies = Vec::new();
                    while latencies.is_empty() || start.elapsed() < time {
                        let append =
                            vec![workload.append_to_lane(lane, *version, load.events_per_commit)];
                        let before = Instant::now();
                        engine.append(append).unwrap();
                        latencies.push(before.elapsed().as_nanos() as f64);
                        *version += load.events_per_commit;
                    }
                    (start, Instant::now(), latencies)
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let start = runs.iter().map(|(start, ..)| *start).min().unwrap();
    let end = runs.iter().map(|(_, end, _)| *end).max().unwrap();
    let latencies = runs.into_iter().flat_map(|(.., latencies)| latencies).collect();
    (latencies, (end - start).as_secs_f64())
}

fn bulk(options: &Options) -> Figures {
    let engine = options.open(Purpose::BulkLoad);
    let mut busy = Duration::ZERO;
    for commit in options.workload().commits(BULK_EVENTS_PER_COMMIT) {
        let start = Instant::now();
        engine.append(commit).unwrap();
        busy += start.elapsed();
    }
    let start = Instant::now();
    engine.sync();
    busy += start.elapsed();
    let anonymous = measure::anonymous_bytes();
    engine.close();
    figures([
        ("events_per_second", options.events as f64 / busy.as_secs_f64()),
        ("anonymous_bytes", anonymous),
    ])
}

fn read(options: &Options) -> Figures {
    let engine = options.open(Purpose::Work);
    measure::settle(&options.directory, Duration::from_secs_f64(options.quiet));
    let workload = options.workload();
    verify::scan(&*engine, options.engine.times(), workload, options.events);
    let scan = median((0..SCANS).map(|_| timed_scan(&*engine)));
    let mut read = figures([("scan_events_per_second", options.events as f64 / scan)]);
    if options.engine != Name::Raw {
        let stream = |number: u64| workload.stream(workload.random(number) % workload.streams());
        for number in 0..options.questions.min(200) {
            verify::load(&*engine, workload, stream(number));
        }
        verify::refusals(&*engine, workload);
        read.extend(questions(&*engine, workload, options.questions));
    }
    engine.close();
    read
}

/// Takes up every field of every event, and returns the seconds.
fn timed_scan(engine: &dyn Engine) -> f64 {
    let start = Instant::now();
    let mut sum = 0;
    engine.scan(&mut |seen| sum = fold(sum, seen));
    black_box(sum);
    start.elapsed().as_secs_f64()
}

fn fold(sum: u64, seen: &Seen<'_>) -> u64 {
    let (id, aggregate) = (seen.id.as_u64_pair(), seen.aggregate_id.as_u64_pair());
    let numbers = seen.position ^ seen.version ^ seen.recorded_at as u64 ^ seen.occurred_at as u64;
    let names = seen.aggregate_type.len() ^ seen.event_type.len() << 8;
    let payload = seen
        .payload
        .chunks_exact(8)
        .fold(0, |sum: u64, word| sum.wrapping_add(u64::from_le_bytes(word.try_into().unwrap())));
    black_box(seen);
    (sum.rotate_left(1) ^ numbers ^ id.0 ^ id.1 ^ aggregate.0 ^ aggregate.1 ^ names as u64)
        .wrapping_add(payload)
}

fn questions(engine: &dyn Engine, workload: Workload, count: u64) -> Figures {
    let streams = workload.streams();
    let load = measure::warm_median(count.div_ceil(10), |number| {
        let (mut sum, mut events) = (0, 0);
        engine.load_stream(workload.stream(workload.random(number) % streams), &mut |seen| {
            sum = fold(sum, seen);
            events += 1;
        });
        black_box(sum);
        assert_eq!(events, EVENTS_PER_STREAM);
    });
    // Every second question is for something that is not there.
    let version = measure::warm_median(count, |number| {
        let random = workload.random(number) % streams;
        let (stream, expected) = match number % 2 {
            0 => (random, EVENTS_PER_STREAM),
            _ => (streams + random, 0),
        };
        assert_eq!(engine.stream_version(workload.stream(stream)), expected);
    });
    let exists = measure::warm_median(count, |number| {
        let random = workload.random(number) % workload.events;
        match number % 2 {
            0 => assert!(engine.event_exists(workload.event_id(random))),
            _ => assert!(!engine.event_exists(workload.absent_id(random))),
        }
    });
    figures([("load_ns", load), ("version_ns", version), ("exists_ns", exists)])
}

fn open(options: &Options) -> Figures {
    let openings = (0..OPENINGS).map(|_| {
        let start = Instant::now();
        let engine = options.open(Purpose::Work);
        let elapsed = start.elapsed().as_nanos() as f64;
        engine.close();
        elapsed
    });
    figures([("open_ns", median(openings))])
}

/// Appends, says how much was acknowledged, and waits to be killed.
fn die(options: &Options) -> ! {
    let engine = options.open(Purpose::Work);
    for commit in 0..options.dying_commits() {
        let first = commit * BULK_EVENTS_PER_COMMIT;
        let append = options.workload().append_to_lane(DYING_LANE, first, BULK_EVENTS_PER_COMMIT);
        engine.append(vec![append]).unwrap();
    }
    let appended = (options.dying_commits() * BULK_EVENTS_PER_COMMIT) as f64;
    println!("{}", serde_json::to_string(&figures([("appended", appended)])).unwrap());
    std::io::stdout().flush().unwrap();
    loop {
        thread::park();
    }
}

fn open_killed(options: &Options) -> Figures {
    let start = Instant::now();
    let engine = options.open(Purpose::Work);
    let elapsed = start.elapsed().as_nanos() as f64;
    let events = options.events + options.appended;
    verify::scan(&*engine, options.engine.times(), options.workload(), events);
    engine.close();
    figures([("open_ns", elapsed)])
}

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Mutex;

    use uuid::Uuid;

    use super::*;
    use crate::engines::Refused;
    use crate::workload::{Append, Stream};

    /// Keeps on which processors its appenders may run.
    #[derive(Default)]
    struct Spy(Mutex<BTreeSet<Vec<usize>>>);

    impl Engine for Spy {
        fn append(&self, _commit: Vec<Append>) -> Result<(), Refused> {
            self.0.lock().unwrap().insert(placement::usable());
            Ok(())
        }

        fn sync(&self) {}

        fn load_stream(&self, _stream: Stream, _visit: &mut dyn FnMut(&Seen<'_>)) {}

        fn scan(&self, _visit: &mut dyn FnMut(&Seen<'_>)) {}

        fn stream_version(&self, _stream: Stream) -> u64 {
            0
        }

        fn event_exists(&self, _id: Uuid) -> bool {
            false
        }

        fn close(self: Box<Self>) {}
    }

    #[test]
    fn a_lone_appender_is_held_on_its_processor_and_several_are_not() {
        let last = *placement::usable().last().unwrap();
        for (work, where_to) in [
            (Work::Append1, vec![last]),
            (Work::Append100, vec![last]),
            (Work::AppendFull, vec![last]),
            (Work::Append8, placement::usable()),
        ] {
            let load = work.load().unwrap().held_on(Some(last));
            let spy = Spy::default();
            let workload = Workload { seed: 1, events: 1000 };
            let mut appended = vec![0; load.threads as usize];
            append_for(&spy, workload, load, Duration::ZERO, &mut appended);
            assert_eq!(spy.0.into_inner().unwrap(), BTreeSet::from([where_to]), "{work:?}");
        }
    }
}
