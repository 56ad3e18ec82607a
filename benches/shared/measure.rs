//! Medians, percentiles, and turns: what is compared is measured in the same round.
//!
//! A machine that others share is faster in one minute than in the next. So a ratio is taken within
//! each round, where both sides saw the same machine, and the median of those ratios is what counts.

use std::fmt;
use std::time::{Duration, Instant};

use super::Outcome;

/// One of those that are compared, measured once.
pub(crate) type Side<'a, T> = &'a mut dyn FnMut() -> Outcome<T>;

/// Lets every side measure once a round, each round beginning with another one; returns what each
/// side gave, in the order of the rounds.
pub(crate) fn take_turns<T, const SIDES: usize>(
    rounds: usize,
    mut sides: [Side<'_, T>; SIDES],
) -> Outcome<[Vec<T>; SIDES]> {
    let mut measured = [const { Vec::new() }; SIDES];
    for round in 0..rounds {
        for turn in 0..SIDES {
            let turn = (round + turn) % SIDES;
            if let (Some(side), Some(measured)) = (sides.get_mut(turn), measured.get_mut(turn)) {
                measured.push(side()?);
            }
        }
    }
    Ok(measured)
}

/// Returns the median of the ratios of two sides within each round.
pub(crate) fn median_ratio<'a, T: 'a>(
    one: impl IntoIterator<Item = &'a T>,
    other: impl IntoIterator<Item = &'a T>,
    value: impl Fn(&T) -> f64,
) -> f64 {
    median(one.into_iter().zip(other).map(|(one, other)| value(one) / value(other)))
}

pub(crate) fn median(numbers: impl IntoIterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.into_iter().collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Returns the time that so many percent of the times do not go beyond; zero of none.
pub(crate) fn percentile(mut times: Vec<Duration>, percent: usize) -> Duration {
    times.sort_unstable();
    times.get(times.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
}

/// Returns the times that `work` takes for each number.
pub(crate) fn times(numbers: std::ops::Range<u64>, mut work: impl FnMut(u64)) -> Vec<Duration> {
    let time = |number| {
        let start = Instant::now();
        work(number);
        start.elapsed()
    };
    numbers.map(time).collect()
}

/// Returns the median of the times that `work` takes, after as many runs of it that do not count.
pub(crate) fn median_time(count: u64, mut work: impl FnMut(u64)) -> Duration {
    (0..count).for_each(&mut work);
    percentile(times(0..count, work), 50)
}

/// A work and its raw floor: how long each took, in the order of the rounds.
pub(crate) struct Beside {
    work: String,
    store: Vec<Duration>,
    raw: Vec<Duration>,
}

impl Beside {
    pub(crate) const HEADING: &str =
        "| work | annals | raw | annals / raw, within a round |\n|---|---|---|---|";
}

/// Measures a work of the store and its raw floor by turns; each returns how long it took.
pub(crate) fn beside(
    rounds: usize,
    work: &str,
    store: Side<'_, Duration>,
    raw: Side<'_, Duration>,
) -> Outcome<Beside> {
    let [store, raw] = take_turns(rounds, [store, raw])?;
    Ok(Beside { work: work.to_owned(), store, raw })
}

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "| {} | {} | {} | {:.2} |",
            self.work,
            short(percentile(self.store.clone(), 50)),
            short(percentile(self.raw.clone(), 50)),
            median_ratio(&self.store, &self.raw, Duration::as_secs_f64),
        )
    }
}

/// Shows a time with the unit that suits it.
fn short(time: Duration) -> String {
    if time < Duration::from_millis(1) { nanos(time) } else { milliseconds(time) }
}

pub(crate) fn nanos(time: Duration) -> String {
    format!("{:.2} µs", time.as_nanos() as f64 / 1000.0)
}

pub(crate) fn micros(time: Duration) -> String {
    format!("{} µs", time.as_micros())
}

pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

pub(crate) fn mebibytes(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}
