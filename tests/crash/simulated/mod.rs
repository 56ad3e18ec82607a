//! Does a store lose anything that it has acknowledged, or show anything that it should not, when the
//! power fails? On a simulated disk, at every call to it.
//!
//! `explorer` tells random histories, `exhaustive` every short one, `failures` those in which a call
//! fails; `model` knows what a store must hold and `oracle` judges. How much is tried is said by
//! `ANNALS_CRASH_STATES`, `ANNALS_CRASH_STEPS` and `ANNALS_CRASH_FAILING_STATES`, and by
//! `ANNALS_CRASH_SEED` which. A violation is printed as a line that tries it alone.

#[cfg(annals_bugs)]
mod bugs;
mod chance;
mod exhaustive;
mod explorer;
mod failures;
mod ghosts;
mod life;
mod model;
mod oracle;
mod rot;
mod settings;
mod workload;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// States that are tried when nobody says how many: some seconds' worth without optimisation.
const STATES: u64 = 2_000;

/// States after a failed call that are tried when nobody says how many.
const FAILING_STATES: u64 = 500;

/// Stores with changed bytes that are tried when nobody says how many.
const ROTTEN_STATES: u64 = 1_000;

/// Steps of the longest short histories when nobody says how many.
const STEPS: u64 = 1;

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Returns a panic as the violation that it is.
fn caught<T>(act: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

/// Tries histories, numbered from 0 on, on every processor, as long as it goes on by the number of the
/// next and by how many states were tried. Ends with the first violation.
fn try_histories(
    try_one: impl Fn(u64) -> Result<u64, String> + Sync,
    goes_on: impl Fn(u64, u64) -> bool + Sync,
) -> Result<u64, String> {
    let (next, tried, failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let try_some = || -> Result<(), String> {
        loop {
            let history = next.fetch_add(1, Ordering::Relaxed);
            let is_wanted = goes_on(history, tried.load(Ordering::Relaxed));
            if !is_wanted || failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            let outcome = try_one(history);
            failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
            tried.fetch_add(outcome?, Ordering::Relaxed);
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(try_some)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap())
    })?;
    Ok(tried.into_inner())
}

#[test]
fn no_loss_of_power_loses_what_was_acknowledged_or_shows_what_was_not() {
    let states = from_environment("ANNALS_CRASH_STATES").unwrap_or(STATES);
    let seed = from_environment("ANNALS_CRASH_SEED").unwrap_or(1);
    let tried =
        try_histories(|history| explorer::explore(seed, history, None), |_, tried| tried < states);
    let tried = tried.unwrap_or_else(|violation| panic!("{violation}"));
    eprintln!("{tried} states after a loss of power, seed {seed}: nothing lost, nothing made up");
}

#[test]
fn every_end_of_every_short_history_is_survived() {
    let steps = from_environment("ANNALS_CRASH_STEPS").unwrap_or(STEPS);
    let histories = exhaustive::histories(steps);
    let tried = try_histories(
        |history| exhaustive::explore(history, None),
        |history, _| history < histories,
    );
    let tried = tried.unwrap_or_else(|violation| panic!("{violation}"));
    eprintln!("{tried} states, all that {histories} histories of up to {steps} steps can leave");
}

#[test]
fn every_call_of_a_history_may_fail_once() {
    let states = from_environment("ANNALS_CRASH_FAILING_STATES").unwrap_or(FAILING_STATES);
    let seed = from_environment("ANNALS_CRASH_SEED").unwrap_or(1);
    let tried =
        try_histories(|history| failures::explore(seed, history, None), |_, tried| tried < states);
    let tried = tried.unwrap_or_else(|violation| panic!("{violation}"));
    eprintln!(
        "{tried} states after a call that failed, seed {seed}: nothing lost or taken after it"
    );
}

#[test]
fn changed_bytes_are_noticed_or_change_nothing() {
    let states = from_environment("ANNALS_CRASH_ROTTEN_STATES").unwrap_or(ROTTEN_STATES);
    let seed = from_environment("ANNALS_CRASH_SEED").unwrap_or(1);
    let tried =
        try_histories(|history| rot::explore(seed, history, None), |_, tried| tried < states);
    let tried = tried.unwrap_or_else(|violation| panic!("{violation}"));
    eprintln!(
        "{tried} stores with changed bytes, seed {seed}: nothing wrong, nothing lost in silence"
    );
}

#[test]
fn an_old_frame_that_comes_back_behind_the_end_is_no_event() {
    let seed = from_environment("ANNALS_CRASH_SEED").unwrap_or(1);
    let tried = try_histories(|history| ghosts::explore(seed, history), |history, _| history < 200);
    let tried = tried.unwrap_or_else(|violation| panic!("{violation}"));
    eprintln!(
        "{tried} states with old frames behind the end, seed {seed}: none taken for an event"
    );
}

#[cfg(not(annals_bugs))]
#[test]
fn every_seeded_bug_is_found() {
    eprintln!("skipped every_seeded_bug_is_found: it needs RUSTFLAGS='--cfg annals_bugs'");
}

#[test]
fn replay() {
    let Ok(text) = std::env::var("ANNALS_CRASH_REPLAY") else {
        return eprintln!("skipped replay: ANNALS_CRASH_REPLAY names no state");
    };
    #[cfg(annals_bugs)]
    bugs::put_in_named(std::env::var("ANNALS_CRASH_BUG").ok().as_deref());
    let tried = match text.split_once(':') {
        Some(("short", place)) => exhaustive::replay(place),
        Some(("failing", place)) => failures::replay(place),
        Some(("rot", place)) => rot::replay(place),
        Some(("ghost", place)) => ghosts::replay(place),
        _ => explorer::replay(&text),
    };
    let tried = tried.unwrap_or_else(|violation| panic!("{violation}"));
    eprintln!("{text}: nothing is wrong; {tried} states tried");
}
