//! Writes runs: from a memtable, and from adjacent runs.
//!
//! Both stream: a merge holds the bucket and the block it is at of every input, and the small buffers
//! of the writer.

use std::io;
use std::iter::Peekable;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use uuid::Uuid;

use super::memtable::{Memtable, Tables};
use super::run::{Interval, Run, Unusable};
use super::run_writer::{Plan, RunWriter};
use super::term::TermHash;
use crate::clock::Stopwatch;
use crate::format::{IdTimes, Reference};
use crate::io::{Disk, DiskFile};
use crate::position::GlobalPosition;

/// Why a merge did not come about.
#[derive(Debug)]
pub(crate) enum MergeError {
    /// An input, counted from 0, can not be used.
    Input(usize, Unusable),
    /// The output could not be written.
    Output(io::Error),
    /// The store is closing.
    Stopped,
}

impl From<io::Error> for MergeError {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// How fast a merge goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As fast as it can: somebody waits for it.
    Full,
    /// At rest most of the time while events come in, so that appends find a processor and the device.
    Aside,
}

/// Steps that are taken between two looks at the clock.
const STEPS: u32 = 1024;

/// How long a merge aside works before it may rest, at least, and how long it rests at most.
const WORK_MIN: Duration = Duration::from_millis(2);
const REST_MAX: Duration = Duration::from_millis(20);
/// How much longer than it worked it rests.
const REST_SHARE: u32 = 3;
/// With more runs than these a merge does not rest: every one of them is an open file, and every
/// question asks them all. A settled index of four thousand million events has fewer.
const RUNS_AT_REST_MAX: usize = 32;

/// How long after the last event a merge goes on resting: longer than a large group takes to become
/// durable.
const BUSY_FOR: Duration = Duration::from_millis(200);

/// What goes on in the index that a merge is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Activity {
    /// The last position that was indexed.
    pub(crate) newest: GlobalPosition,
    pub(crate) runs: usize,
}

/// Ends a merge when the store is closing, and lets it rest.
pub(crate) struct Pacer<'a> {
    pace: Pace,
    is_stopped: &'a AtomicBool,
    activity: &'a dyn Fn() -> Activity,
    steps: u32,
    at_work: Stopwatch,
    newest: GlobalPosition,
    /// How long ago events were seen to come in.
    unchanged: Stopwatch,
}

impl<'a> Pacer<'a> {
    pub(crate) fn new(
        pace: Pace,
        is_stopped: &'a AtomicBool,
        activity: &'a dyn Fn() -> Activity,
    ) -> Self {
        let (at_work, unchanged) = (Stopwatch::start(), Stopwatch::start());
        let newest = activity().newest;
        Self { pace, is_stopped, activity, steps: 0, at_work, newest, unchanged }
    }

    fn go_on(&mut self) -> Result<(), MergeError> {
        self.steps = self.steps.wrapping_add(1);
        if self.pace == Pace::Aside && self.steps.is_multiple_of(STEPS) {
            let worked = self.at_work.elapsed();
            if worked >= WORK_MIN {
                let Activity { newest, runs } = (self.activity)();
                if newest != self.newest {
                    (self.newest, self.unchanged) = (newest, Stopwatch::start());
                }
                std::thread::sleep(rest_after(worked, self.unchanged.elapsed(), runs));
                self.at_work = Stopwatch::start();
            }
        }
        match self.is_stopped.load(Ordering::Relaxed) {
            true => Err(MergeError::Stopped),
            false => Ok(()),
        }
    }
}

/// Returns how long a merge rests that has worked for a time, so long after the last event came in.
fn rest_after(worked: Duration, unchanged: Duration, runs: usize) -> Duration {
    match unchanged > BUSY_FOR || runs > RUNS_AT_REST_MAX {
        true => Duration::ZERO,
        false => (worked * REST_SHARE).min(REST_MAX),
    }
}

/// Writes a memtable as a run.
pub(crate) fn write_table<D: Disk>(disk: &D, store_id: Uuid, table: &Memtable) -> io::Result<()> {
    table.with(|tables| match (tables.resume, tables.locations.first().copied()) {
        (Some(resume), Some(base)) => {
            let plan = Plan {
                store_id,
                first_position: tables.first,
                last_position: resume.next_position.previous(),
                base,
                resume,
                key_count: tables.postings.len() as u64,
                id_times: tables.id_times,
            };
            write_tables(RunWriter::create(disk, &plan)?, tables)
        }
        _ => Ok(()),
    })
}

fn write_tables<D: Disk>(mut writer: RunWriter<'_, D>, tables: &Tables) -> io::Result<()> {
    for location in &tables.locations {
        writer.push_location(*location)?;
    }
    let mut terms: Vec<_> = tables.postings.iter().collect();
    terms.sort_unstable_by_key(|(term, _)| **term);
    for (term, slots) in terms {
        let postings = slots.as_slice();
        let count = u32::try_from(postings.len()).map_err(io::Error::other)?;
        writer.push_term::<io::Error>(*term, count, postings.iter().copied().map(Ok))?;
    }
    writer.finish()
}

/// Writes one run in place of adjacent ones, oldest first, and returns its interval. Positions between
/// them are lost.
pub(crate) fn merge<D: Disk>(
    disk: &D,
    store_id: Uuid,
    inputs: &[&Run<D::File>],
    pacer: &mut Pacer<'_>,
) -> Result<Interval, MergeError> {
    let (Some(oldest), Some(newest)) = (inputs.first(), inputs.last()) else {
        return Err(MergeError::Output(io::Error::other("there is nothing to merge")));
    };
    let plan = Plan {
        store_id,
        first_position: oldest.header().first_position,
        last_position: newest.header().last_position,
        base: oldest.header().base,
        resume: newest.header().resume,
        key_count: count_keys(inputs, pacer)?,
        id_times: id_times_of(inputs),
    };
    let mut writer = RunWriter::create(disk, &plan)?;
    let mut next = plan.first_position;
    for (number, run) in inputs.iter().enumerate() {
        // Nobody asks for a position that is lost: it only has its place among the others.
        for _lost in 0..run.header().first_position.distance_from(next) {
            writer.push_location(run.header().base)?;
        }
        next = run.header().last_position.next();
        for slot in 0..run.header().event_count() {
            pacer.go_on()?;
            let position = run.header().first_position.advanced_by(slot);
            let location =
                run.locate(position).map_err(|fault| MergeError::Input(number, fault))?;
            writer.push_location(location)?;
        }
    }
    let mut sources = Sources::new(inputs);
    while let Some((hash, parts)) = sources.next()? {
        pacer.go_on()?;
        push_merged(&mut writer, plan.first_position, hash, &parts)?;
    }
    writer.finish()?;
    Ok((plan.first_position, plan.last_position))
}

fn id_times_of<F: DiskFile>(runs: &[&Run<F>]) -> IdTimes {
    runs.iter().fold(IdTimes::default(), |times, run| times.joined(run.header().id_times))
}

/// Counts the different terms of all inputs: the sizes of filter and buckets depend on it.
fn count_keys<F: DiskFile>(inputs: &[&Run<F>], pacer: &mut Pacer<'_>) -> Result<u64, MergeError> {
    let mut sources = Sources::new(inputs);
    let mut count = 0;
    while sources.next()?.is_some() {
        pacer.go_on()?;
        count += 1;
    }
    Ok(count)
}

type Terms<'a> = Peekable<Box<dyn Iterator<Item = Result<(u64, Reference), Unusable>> + 'a>>;

/// The terms of several runs side by side.
struct Sources<'a, F> {
    inputs: &'a [&'a Run<F>],
    terms: Vec<Terms<'a>>,
}

/// The hash of a term and where it stands.
type Term<'a, F> = (u64, Vec<PartOfTerm<'a, F>>);

/// Where a term stands in one input.
struct PartOfTerm<'a, F> {
    number: usize,
    run: &'a Run<F>,
    reference: Reference,
}

impl<'a, F: DiskFile> Sources<'a, F> {
    fn new(inputs: &'a [&'a Run<F>]) -> Self {
        let boxed = |run: &&'a Run<F>| {
            let terms: Box<dyn Iterator<Item = _>> = Box::new(run.terms());
            terms.peekable()
        };
        Self { inputs, terms: inputs.iter().map(boxed).collect() }
    }

    /// Returns the next hash and where it stands in which inputs, oldest first.
    fn next(&mut self) -> Result<Option<Term<'a, F>>, MergeError> {
        let mut least: Option<u64> = None;
        for (number, terms) in self.terms.iter_mut().enumerate() {
            if let Some(Err(fault)) = terms.next_if(Result::is_err) {
                return Err(MergeError::Input(number, fault));
            }
            if let Some(Ok((hash, _))) = terms.peek() {
                least = Some(least.map_or(*hash, |least| least.min(*hash)));
            }
        }
        let Some(least) = least else { return Ok(None) };
        let mut parts = Vec::new();
        for ((number, terms), run) in self.terms.iter_mut().enumerate().zip(self.inputs) {
            let is_least = |term: &Result<(u64, Reference), Unusable>| {
                term.as_ref().is_ok_and(|(hash, _)| *hash == least)
            };
            if let Some(Ok((_, reference))) = terms.next_if(is_least) {
                parts.push(PartOfTerm { number, run: *run, reference });
            }
        }
        Ok(Some((least, parts)))
    }
}

/// Writes the postings of a term from all inputs one behind the other: their intervals are in order.
fn push_merged<D: Disk>(
    writer: &mut RunWriter<'_, D>,
    first: GlobalPosition,
    hash: u64,
    parts: &[PartOfTerm<'_, D::File>],
) -> Result<(), MergeError> {
    let mut lists = Vec::with_capacity(parts.len());
    let mut count = 0;
    for part in parts {
        let failed = |fault| MergeError::Input(part.number, fault);
        let mut list = part.run.list(part.reference).map_err(failed)?;
        count += list.count(part.run).map_err(failed)?;
        lists.push(list);
    }
    let postings = parts.iter().zip(&mut lists).flat_map(|(part, list)| {
        let shift = part.run.header().first_position.distance_from(first);
        list.all(part.run).map(move |posting| {
            let posting = posting.map_err(|fault| MergeError::Input(part.number, fault))?;
            u32::try_from(u64::from(posting) + shift)
                .map_err(|error| MergeError::Output(io::Error::other(error)))
        })
    });
    writer.push_term(TermHash::new(hash), count, postings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_rests_while_events_come_in_unless_runs_pile_up() {
        let (worked, moment) = (Duration::from_millis(3), Duration::from_millis(1));
        assert_eq!(rest_after(worked, moment, 5), worked * 3);
        assert_eq!(rest_after(worked, BUSY_FOR + moment, 5), Duration::ZERO);
        assert_eq!(rest_after(worked, moment, 32), worked * 3);
        assert_eq!(rest_after(worked, moment, 33), Duration::ZERO);
        assert_eq!(rest_after(worked * 10, moment, 5), REST_MAX);
    }

    #[test]
    fn what_goes_on_is_looked_at_after_every_piece_of_work() {
        let looks = std::cell::Cell::new(0);
        let activity = || {
            looks.set(looks.get() + 1);
            Activity { newest: GlobalPosition::new(looks.get()), runs: 5 }
        };
        let is_stopped = AtomicBool::new(false);
        let mut pacer = Pacer::new(Pace::Aside, &is_stopped, &activity);
        let start = Stopwatch::start();
        while looks.get() < 3 {
            assert!(start.elapsed() < Duration::from_secs(60), "it never looks");
            pacer.go_on().unwrap();
        }
        assert_eq!(pacer.newest.get(), 3);
        is_stopped.store(true, Ordering::Relaxed);
        assert!(matches!(pacer.go_on(), Err(MergeError::Stopped)));
    }
}
