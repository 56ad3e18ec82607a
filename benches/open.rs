//! How long does opening take, beside reading what the index does not know yet?
//!
//! Opens a large store after a clean close, which leaves nothing to be read, and after `kill -9`, which
//! leaves nearly as many events behind the index as it ever does: a child process of this program
//! appends them and kills itself. The raw floor syncs a file of as many records of the same size, drops
//! it from the cache (Linux), as opening a store must, and reads and verifies it; beside the clean close,
//! one record.
//!
//! The table is measured in rounds in which both take turns, and its ratio is taken within each; criterion
//! then measures each by itself, to tell a change from the run before.
//!
//! Environment: `shared/plan.rs`. Without `--bench`, or with `--test`, everything runs once.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring program fails by panicking and reports by printing"
)]

mod shared;

use std::path::Path;
use std::time::{Duration, Instant};

use annals::FileStore;
use criterion::{Criterion, SamplingMode};

use shared::Outcome;
use shared::floor::{RecordFile, Records};
use shared::measure::{Beside, Side, beside};
use shared::plan::Plan;
use shared::stores::{
    append_and_die, bytes_per_event, die_if_asked, make_loaded, settle, time_to_open,
};
use shared::workload::{LAST_EVENTS, Workload};

fn main() -> Outcome<()> {
    die_if_asked()?;
    let plan = Plan::from_environment()?;
    let directory = plan.make_directory("open")?;
    let path = &directory.path().join("store");
    make_loaded(&plan, path, Workload { events: plan.events, events_per_stream: 10 })?;
    let store = FileStore::open(path)?;
    let record_bytes = bytes_per_event(&store)?;
    store.close()?;
    let last_events = plan.size(LAST_EVENTS, 1000);
    let one = Records::encode(1, record_bytes)?.write(&directory.path().join("one"))?;
    let tail = Records::encode(last_events, record_bytes)?.write(&directory.path().join("tail"))?;

    let mut clean = || time_to_open(path);
    let mut raw_clean = || time_to_read(&one);
    let mut killed = || time_to_open_killed(path, last_events);
    let mut raw_killed = || time_to_read(&tail);
    println!("\n{}", Beside::HEADING);
    let work = "open after a clean close";
    println!("{}", beside(plan.rounds, work, &mut clean, &mut raw_clean)?);
    let work = format!("open after kill -9, {last_events} events behind the index");
    println!("{}\n", beside(plan.rounds, &work, &mut killed, &mut raw_killed)?);

    settle(&plan, path)?;
    let mut criterion = Criterion::default().without_plots().configure_from_args();
    let mut group = criterion.benchmark_group("open");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(1));
    // To be killed, a process has to append first, which takes longer than opening.
    let works: [(&str, u64, Side<'_, Duration>); 4] = [
        ("after a clean close", 3, &mut clean),
        ("raw, one record", 3, &mut raw_clean),
        ("after kill -9", 15, &mut killed),
        ("raw, as many records as kill -9 left", 3, &mut raw_killed),
    ];
    for (name, seconds, work) in works {
        group.measurement_time(Duration::from_secs(seconds));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| (0..count).map(|_| work().unwrap()).sum());
        });
    }
    group.finish();
    criterion.final_summary();
    Ok(())
}

fn time_to_open_killed(path: &Path, events: u64) -> Outcome<Duration> {
    append_and_die(path, events)?;
    // What a crash leaves is there for the first opening only.
    time_to_open(path)
}

/// Returns how long it takes to bring records to a state that the device certainly has, and to read
/// them.
fn time_to_read(records: &RecordFile) -> Outcome<Duration> {
    let start = Instant::now();
    records.file().sync_data()?;
    evict(records)?;
    records.scan()?;
    Ok(start.elapsed())
}

#[cfg(target_os = "linux")]
fn evict(records: &RecordFile) -> Outcome<()> {
    Ok(rustix::fs::fadvise(records.file(), 0, None, rustix::fs::Advice::DontNeed)?)
}

#[cfg(not(target_os = "linux"))]
fn evict(_records: &RecordFile) -> Outcome<()> {
    Ok(())
}
