//! Are the tests of crashes worth anything? Each bug that `src/bugs.rs` can put into the store must be
//! found by them.

use std::sync::atomic::{AtomicUsize, Ordering};

use annals::testing::simulation::{Bug, put_in};

use super::{explorer, failures, ghosts, rot};

/// Histories of each kind that are tried for one bug.
const HISTORIES: u64 = 1_000;

/// Looks for a bug. Returns how it showed, and after how many states.
fn look_for(bug: Bug) -> Option<(String, u64)> {
    put_in(Some(bug));
    let mut states = 0;
    for history in 0..HISTORIES {
        let tries: [fn(u64, u64) -> Result<u64, String>; 4] = [
            ghosts::explore,
            |seed, history| explorer::explore(seed, history, None),
            |seed, history| rot::explore(seed, history, None),
            |seed, history| match history.is_multiple_of(8) {
                true => failures::explore(seed, history, None),
                false => Ok(0),
            },
        ];
        for explore in tries {
            match explore(1, history) {
                Ok(count) => states += count,
                Err(violation) => return Some((violation, states)),
            }
        }
    }
    None
}

/// Puts the bug with a name into the stores of this thread.
pub(crate) fn put_in_named(name: Option<&str>) {
    put_in(Bug::ALL.iter().copied().find(|bug| Some(format!("{bug:?}").as_str()) == name));
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
                None => {
                    eprintln!("{bug:?} is NOT found");
                    missed.push(*bug);
                }
            }
        }
        missed
    };
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let missed: Vec<Bug> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(look)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    drop(std::panic::take_hook());
    assert!(missed.is_empty(), "not found: {missed:?}");
    eprintln!("{} bugs, all found", Bug::ALL.len());
}
