//! Are the tests of crashes worth anything? Each bug that `src/bugs.rs` can put into the store must be
//! found by them.

use std::sync::atomic::{AtomicUsize, Ordering};

use annals::testing::simulation::{Bug, put_in};

use super::{explorer, failures, rot};

/// Histories of each kind that are tried for one bug.
const HISTORIES: u64 = 20_000;

/// Looks for a bug. Returns how it showed, and after how many states.
fn look_for(bug: Bug) -> Option<(String, u64)> {
    put_in(Some(bug));
    let mut states = 0;
    for history in 0..HISTORIES {
        let mut tries = vec![explorer::explore(1, history, None), rot::explore(1, history, None)];
        if history.is_multiple_of(32) {
            tries.push(failures::explore(1, history, None));
        }
        for tried in tries {
            match tried {
                Ok(count) => states += count,
                Err(violation) => return Some((violation, states)),
            }
        }
    }
    None
}

#[test]
fn every_seeded_bug_is_found() {
    let next = AtomicUsize::new(0);
    std::panic::set_hook(Box::new(|_| {}));
    let look = || {
        let mut missed = Vec::new();
        while let Some(bug) = Bug::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            match look_for(*bug) {
                Some((violation, states)) => eprintln!("{bug:?}, {states} states: {violation}"),
                None => missed.push(*bug),
            }
        }
        missed
    };
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let missed: Vec<Bug> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(look)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let _ = std::panic::take_hook();
    assert!(missed.is_empty(), "not found: {missed:?}");
    eprintln!("{} bugs, all found", Bug::ALL.len());
}
