//! How fast does one thread append, beside what the disk itself gives?
//!
//! Appends 1, 10 and 100 events of 200 bytes at once to one stream, through the public API and durably,
//! to a store that begins empty and to a large one. The raw floor is a record of the same size an event,
//! encoded and checksummed, written with one positioned write and one data sync to a file of zeros.
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

use std::time::Duration;

use annals::FileStore;
use criterion::{Criterion, SamplingMode, Throughput};

use shared::Outcome;
use shared::commits::{Load, Row, compare, raw_appender, store_appender, warm_up};
use shared::floor::GroupCommit;
use shared::plan::Plan;
use shared::stores::make_loaded;
use shared::workload::Workload;

const LOADS: [Load; 3] = [
    Load { threads: 1, events_per_commit: 1 },
    Load { threads: 1, events_per_commit: 10 },
    Load { threads: 1, events_per_commit: 100 },
];

fn main() -> Outcome<()> {
    let plan = Plan::from_environment()?;
    let directory = plan.make_directory("append")?;
    let raw = GroupCommit::create(&directory.path().join("raw"), plan.size(64 << 20, 4 << 20))?;
    let large = directory.path().join("large");
    make_loaded(&plan, &large, Workload { events: plan.events, events_per_stream: 10 })?;
    let stores = [
        ("empty store".to_owned(), FileStore::open(directory.path().join("empty"))?),
        (format!("store of {} events", plan.events), FileStore::open(large)?),
    ];
    for (name, store) in &stores {
        println!("\n{name}:\n\n{}", Row::HEADING);
        for load in LOADS {
            println!("{}", compare(&plan, load, store, &raw)?);
        }
    }
    println!();

    let time = Duration::from_secs(3);
    let criterion = Criterion::default().measurement_time(time).warm_up_time(time / 3);
    let mut criterion = criterion.without_plots().configure_from_args();
    for load in LOADS {
        measure_alone(&mut criterion, load, &stores, &raw)?;
    }
    criterion.final_summary();
    let [(_, empty), (_, large)] = stores;
    empty.close()?;
    Ok(large.close()?)
}

fn measure_alone(
    criterion: &mut Criterion,
    load: Load,
    stores: &[(String, FileStore)],
    raw: &GroupCommit,
) -> Outcome<()> {
    let events = load.events_per_commit;
    let mut group = criterion.benchmark_group(format!("append of {events}"));
    group
        .sampling_mode(SamplingMode::Flat)
        .throughput(Throughput::Elements(u64::try_from(events)?));
    for (name, store) in stores {
        let mut append = store_appender(store, load, 0)?;
        group.bench_function(name, |bencher| bencher.iter(|| append().unwrap()));
    }
    if let Some((_, store)) = stores.first() {
        let mut append = raw_appender(raw, load, warm_up(store, load)?);
        group.bench_function("raw", |bencher| bencher.iter(|| append().unwrap()));
    }
    group.finish();
    Ok(())
}
