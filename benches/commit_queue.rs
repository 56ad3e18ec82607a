//! How well do threads share a sync, beside a plain group commit?
//!
//! 1, 2, 8 and 64 threads append 1 and 100 events of 200 bytes at once, each thread to a stream of its own,
//! through the public API and durably. The raw floor is records of the same size, encoded and checksummed,
//! under the plainest group commit (mutex and condition variable), which writes and syncs to a file of
//! zeros what has gathered. The two take turns, and the ratio is taken within each round.
//!
//! Criterion has no part in it: it has one figure for a work, where throughput, the latencies of single
//! commits and the events a sync of many threads are asked for.
//!
//! Environment: `shared/plan.rs`. Without `--bench`, or with `--test`, every thread commits once.

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
    let directory = plan.make_directory("commit_queue")?;
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
    println!(
        "annals syncs once a write; events a write: every write of the process counted (Linux)"
    );
    Ok(())
}
