//! The runs of an index as a set: which files count, and which runs are merged next.
//!
//! There is no list of them on disk: the widest run that is sound counts, and what lies within it is
//! superseded.

use std::cmp::Reverse;
use std::sync::Arc;

use uuid::Uuid;

use super::run::{self, NotOpened, Run};
use crate::error::{Error, Result};
use crate::format::Resume;
use crate::io::{Disk, DiskFile, OpenMode};
use crate::position::GlobalPosition;

/// Runs that are merged at once.
const FAN_OUT: usize = 4;

/// How often the runs are listed anew when one was merged away by a writer at work meanwhile.
const LISTINGS_MAX: usize = 3;

/// What an index is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// How closely the frame is looked at with which a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// At its header, which tells whether it is there.
    Header,
    /// At all of it, where the log is walked from there.
    Whole,
}

/// Tells whether the log has the frame at which a run says it ends.
pub(crate) type IsCurrent<'a> = &'a dyn Fn(&Resume, Look) -> Result<bool>;

/// Runs in the order of their positions.
type Runs<D> = Vec<Arc<Run<<D as Disk>::File>>>;

/// Opens the runs that cover the most. Nothing is removed: a run that the log does not have may be all
/// that tells of the end of the log.
///
/// # Errors
///
/// `Error::Io` when the system lets a run not be looked at.
pub(super) fn open_runs<D: Disk>(
    disk: &D,
    store_id: Uuid,
    is_current: IsCurrent<'_>,
) -> Result<Runs<D>> {
    let mut names = list(disk)?;
    let mut runs = open_widest(disk, &names, store_id, is_current)?;
    for _ in 1..LISTINGS_MAX {
        let listed = list(disk)?;
        if listed == names {
            break;
        }
        runs = open_widest(disk, &listed, store_id, is_current)?;
        names = listed;
    }
    Ok(runs)
}

/// Removes every file of a run but those that are kept, durably preceded by the names of these.
///
/// # Errors
///
/// `Error::Io` when the system does not allow it.
pub(super) fn remove_superseded(disk: &impl Disk, kept: &[String]) -> Result<()> {
    let is_ours = |name: &String| run::interval_of(name).is_some() || run::is_unfinished(name);
    let names = list(disk)?.into_iter().filter(is_ours);
    let superseded: Vec<_> = names.filter(|name| !kept.contains(name)).collect();
    if !superseded.is_empty() {
        // A process that was killed may not have come to it, and what supersedes must not be lost
        // where they are gone.
        disk.sync_dir().map_err(|source| Error::io("sync", disk.path(), source))?;
    }
    for name in superseded {
        disk.remove(&name)
            .map_err(|source| Error::io("remove", disk.path().join(&name), source))?;
    }
    Ok(())
}

fn list(disk: &impl Disk) -> Result<Vec<String>> {
    disk.list().map_err(|source| Error::io("list", disk.path(), source))
}

fn open_widest<D: Disk>(
    disk: &D,
    names: &[String],
    store_id: Uuid,
    is_current: IsCurrent<'_>,
) -> Result<Runs<D>> {
    let mut intervals: Vec<_> = names.iter().filter_map(|name| run::interval_of(name)).collect();
    intervals.sort_unstable_by_key(|(first, last)| (*first, Reverse(*last)));
    let mut runs: Runs<D> = Vec::new();
    for interval in intervals {
        let is_covered = runs.last().is_some_and(|run| run.interval().1 >= interval.0);
        if is_covered {
            continue;
        }
        match Run::open(disk, store_id, interval) {
            Ok(run) if is_current(&run.header().resume, Look::Header)? => runs.push(Arc::new(run)),
            Ok(_) | Err(NotOpened::Unusable(_)) => {}
            Err(NotOpened::Refused(source)) => {
                let path = disk.path().join(run::name(interval.0, interval.1));
                return Err(Error::io("open", path, source));
            }
        }
    }
    sound_at_their_ends(runs, is_current)
}

/// Leaves out runs behind which the log would be walked from a frame that is not sound. Narrower runs
/// within one that is left out are not tried: there are some only after an interrupted merge.
fn sound_at_their_ends<F: DiskFile>(
    runs: Vec<Arc<Run<F>>>,
    is_current: IsCurrent<'_>,
) -> Result<Vec<Arc<Run<F>>>> {
    let mut sound = Vec::with_capacity(runs.len());
    let mut follows = None;
    for run in runs.into_iter().rev() {
        let (first, last) = run.interval();
        if follows == Some(last.next()) || is_current(&run.header().resume, Look::Whole)? {
            follows = Some(first);
            sound.push(run);
        }
    }
    sound.reverse();
    Ok(sound)
}

/// Removes the files of runs that cover an interval of which `is_stale` says so, durably.
pub(crate) fn remove_stale(
    disk: &impl Disk,
    is_stale: &dyn Fn(GlobalPosition, GlobalPosition) -> bool,
) -> Result<()> {
    for name in list(disk)? {
        if run::interval_of(&name).is_some_and(|(first, last)| is_stale(first, last)) {
            disk.remove(&name)
                .map_err(|source| Error::io("remove", disk.path().join(&name), source))?;
        }
    }
    disk.sync_dir().map_err(|source| Error::io("sync", disk.path(), source))
}

/// Returns the name of the run that covers the last position, and where the log went on after it,
/// believed or not by the log. A run tells of nothing that was not durable.
///
/// # Errors
///
/// `Error::Io` when the system does not allow a run to be looked at.
pub(crate) fn newest<D: Disk>(disk: &D, store_id: Uuid) -> Result<Option<(String, Resume)>> {
    let mut intervals: Vec<_> =
        list(disk)?.iter().filter_map(|name| run::interval_of(name)).collect();
    intervals.sort_unstable_by_key(|(_, last)| Reverse(*last));
    for (first, last) in intervals {
        let name = run::name(first, last);
        match resume_of(disk, store_id, (first, last)) {
            Ok(resume) => return Ok(Some((name, resume))),
            Err(NotOpened::Unusable(_)) => {}
            Err(NotOpened::Refused(source)) => {
                return Err(Error::io("open", disk.path().join(name), source));
            }
        }
    }
    Ok(None)
}

/// Returns where the log goes on after the run over an interval, by its header alone.
fn resume_of<D: Disk>(
    disk: &D,
    store_id: Uuid,
    interval: run::Interval,
) -> Result<Resume, NotOpened> {
    let name = run::name(interval.0, interval.1);
    let file = disk.open(&name, OpenMode::Read).map_err(NotOpened::of_opening)?;
    Ok(run::read_header(&file, store_id, interval)?.resume)
}

/// Removes runs that are superseded. One that stays is removed by the next opening.
pub(super) fn remove_runs<D: Disk>(disk: &D, runs: &[Arc<Run<D::File>>]) {
    for run in runs {
        let _left_for_the_next_opening = disk.remove(&run.name());
    }
}

/// Lost positions between two runs that a merged run covers, at most: it has a location for each.
const LOST_BETWEEN_MAX: u64 = 65_536;

/// Returns where the newest runs begin of which any may be merged: behind the last place where too
/// many positions are lost.
pub(super) fn mergeable<F: DiskFile>(runs: &[Arc<Run<F>>]) -> usize {
    let pairs = runs.iter().zip(runs.iter().skip(1));
    let lost = pairs.map(|(run, next)| next.interval().0.distance_from(run.interval().1.next()));
    let wide: Vec<bool> = lost.map(|lost| lost > LOST_BETWEEN_MAX).collect();
    wide.iter().rposition(|is_wide| *is_wide).map_or(0, |at| at + 1)
}

/// Returns how many positions each run covers, with those that are lost before it.
pub(super) fn counts_of<F: DiskFile>(runs: &[Arc<Run<F>>]) -> Vec<u64> {
    let mut next = None;
    let count = |run: &Arc<Run<F>>| {
        let (first, last) = run.interval();
        let start = next.replace(last.next()).unwrap_or(first);
        last.next().distance_from(start)
    };
    runs.iter().map(count).collect()
}

/// Tells whether one run can cover as many events as these together: its postings are of 32 bits.
pub(super) fn fit_one_run(counts: &[u64]) -> bool {
    counts.iter().sum::<u64>() < u64::from(u32::MAX)
}

/// Returns where the group of newest runs begins that is due for merging, given how many events each
/// covers: with four runs of one tier, the smaller ones behind them included.
pub(super) fn due(counts: &[u64], table_events_max: usize) -> Option<usize> {
    let tiers: Vec<u32> = counts.iter().map(|count| tier(*count, table_events_max)).collect();
    let highest = tiers.iter().copied().max()?;
    (0..=highest).find_map(|tier| {
        let outgrown = tiers.iter().rposition(|own| *own > tier);
        let start = outgrown.map_or(0, |last| last + 1);
        let group = tiers.get(start..).unwrap_or_default();
        let is_due = group.iter().filter(|own| **own == tier).count() >= FAN_OUT;
        (is_due && fit_one_run(counts.get(start..).unwrap_or_default())).then_some(start)
    })
}

/// Returns the tier of a run: 0 up to a full memtable, then one more for each four times as much.
fn tier(events: u64, table_events_max: usize) -> u32 {
    let mut tier = 0;
    let mut most = table_events_max.max(1) as u64;
    while most < events {
        most = most.saturating_mul(FAN_OUT as u64);
        tier += 1;
    }
    tier
}
