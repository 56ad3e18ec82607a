//! How many events a second can be appended, beside what the disk itself gives.
//!
//! Threads append 200-byte payloads, each thread to a stream of its own, through the public API.
//! Beside it runs a raw floor: records of the same size, encoded and checksummed, written with one
//! positioned write and one data sync to a file filled with zeros, by a plain group commit (mutex
//! and condition variable) that is nothing but a write when only one thread commits. The two take
//! turns, round by round, so that both see the same disk; the figures are medians over the rounds,
//! the ratio is taken within each.
//!
//! The environment is read by `shared/plan.rs`. Without `--bench`, or with `--test`, every
//! configuration runs once with one commit a thread.

#![allow(clippy::print_stdout, reason = "a benchmark prints its results")]

mod shared;

use annals::FileStore;

use shared::Outcome;
use shared::commits::{Load, Row, compare};
use shared::floor::GroupCommit;
use shared::plan::Plan;

const THREADS: [usize; 4] = [1, 2, 8, 64];
const EVENTS_PER_COMMIT: [usize; 2] = [1, 100];

fn main() -> Outcome<()> {
    let plan = Plan::from_environment()?;
    let directory = plan.make_directory("append")?;
    println!("{}", Row::HEADING);
    let raw = GroupCommit::create(&directory.path().join("raw"), plan.size(64 << 20, 4 << 20))?;
    for events_per_commit in EVENTS_PER_COMMIT {
        for threads in THREADS {
            let load = Load { threads, events_per_commit };
            let path = directory.path().join("store");
            let store = FileStore::open(&path)?;
            println!("{}", compare(&plan, load, &store, &raw)?);
            store.close()?;
            std::fs::remove_dir_all(&path)?;
        }
    }
    println!("events a write: every write of the process counted (Linux)");
    Ok(())
}
